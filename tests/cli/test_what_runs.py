"""Which nodes `run` runs and `plan` shows: what has changed, what `--fresh` and `--force` ask for, and effects."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import Here

from nfrun.history.database import read_journal

STEPS = """
import os
from pathlib import Path

def numbers(count): return [{"n": n} for n in range(count)]
def double(table): return [{"n": 2 * n} for n in table["n"].to_pylist()]
def total(table):
    if "BROKEN" in os.environ:
        raise ValueError("not yet")
    return {"total": sum(table["n"].to_pylist())}
"""
PIPELINE = """\
name: trial
params: {count: 4}
nodes:
  numbers: {python: "steps:numbers", with: {count: "${{ params.count }}"}}
  double: {python: "steps:double", inputs: {table: numbers}}
  total: {python: "steps:total", inputs: {table: double}}
"""
REUSED = dict.fromkeys(("numbers", "double", "total"), "reused")
RAN = dict.fromkeys(REUSED, "ok")


class Trial:
    """A folder with a pipeline, in which nfrun runs in this process."""

    def __init__(self, path: Path, here: Here) -> None:
        self.path, self._here = path, here
        self.write("steps.py", STEPS)
        self.write("p.yaml", PIPELINE)

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.path / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def nfrun(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._here(self.path, *words)

    def document(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Run the pipeline and return the document. The messages are in `stderr`."""
        done = self.nfrun("run", "p.yaml", "--json", *words)
        assert done.returncode == code, done.stderr
        self.stderr = done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def run(self, *words: str, code: int = 0) -> dict[str, str]:
        """Run the pipeline and return the status of each node."""
        return {name: node["status"] for name, node in self.document(*words, code=code)["nodes"].items()}

    def planned(self, *words: str) -> dict[str, tuple[str, str | None]]:
        """Return what `plan` says of each node."""
        done = self.nfrun("plan", "p.yaml", "--format", "json", *words)
        assert done.returncode == 0, done.stderr
        nodes = json.loads(done.stdout)["nodes"]
        return {name: (node["resume"], node["why"]) for name, node in nodes.items()}


@pytest.fixture
def trial(tmp_path: Path, here: Here) -> Trial:
    return Trial(tmp_path, here)


def test_a_run_reuses_what_has_not_changed_and_runs_what_has(trial: Trial) -> None:
    assert trial.run("--keep") == RAN
    assert trial.run() == REUSED
    trial.replace("steps.py", "sum(", "1 + sum(")
    assert trial.run() == {**REUSED, "total": "ok"}
    assert trial.run("-p", "count=5") == RAN
    assert trial.run() == REUSED, "the results of count=4 are still there"


def test_fresh_runs_everything_and_leaves_what_the_next_run_reuses(trial: Trial) -> None:
    trial.replace("p.yaml", "inputs: {table: numbers}}", "inputs: {table: numbers}, cache: true}")
    assert [trial.run(), trial.run("--fresh"), trial.run()] == [RAN, RAN, REUSED]


@pytest.mark.parametrize("words", [["--schedule", "eager"], ["--handoff", "auto"], ["--handoff", "mmap"]])
def test_a_schedule_or_handoff_that_is_given_means_fresh(trial: Trial, words: list[str]) -> None:
    trial.run()
    assert trial.run("--keep", *words) == RAN
    assert trial.run("--keep", "--resume", *words) == REUSED
    assert trial.run("--keep", "--force", "total", *words) == {**REUSED, "total": "ok"}


def test_force_runs_these_nodes_whatever_is_there(trial: Trial) -> None:
    trial.replace("p.yaml", "inputs: {table: numbers}}", "inputs: {table: numbers}, cache: true}")
    assert trial.run("--keep") == RAN
    assert trial.run("--keep", "--force", "double") == {**REUSED, "double": "ok"}, "the table is the same as before"
    assert trial.run("--keep", "--force", "double", "--force=total") == {**REUSED, "double": "ok", "total": "ok"}
    assert trial.run("--force", "total", "--fresh") == RAN


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("totl", "no node matches 'totl'; did you mean 'total'?"),
        ("zzz", "no node matches 'zzz'; there is numbers, double, total"),
        ("numbers,total", "no node matches all of 'numbers,total'; to select what matches any part, repeat the option"),
        ("x*", "no node matches 'x*'; there is numbers, double, total"),
        ("total\x1b", "no node matches 'total\\x1b'; did you mean 'total'?"),
    ],
)
def test_force_of_an_unknown_node_is_an_error(trial: Trial, command: str, name: str, what: str) -> None:
    done = trial.nfrun(command, "p.yaml", "--force", "numbers", "--force", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Invalid value for --force: {what}" in " ".join(done.stderr.replace("│", " ").split())
    assert not (trial.path / ".nfrun").exists()


def test_cache_false_is_never_reused_and_resume_is_the_default(trial: Trial) -> None:
    trial.replace("p.yaml", "inputs: {table: double}}", "inputs: {table: double}, cache: false}")
    assert [trial.run("--keep"), trial.run("--resume"), trial.run()] == [RAN, *[{**REUSED, "total": "ok"}] * 2]
    assert trial.run("--resume", "--fresh") == RAN


def test_the_journal_says_why_nodes_ran(trial: Trial) -> None:
    def reasons(*words: str) -> dict[str, str]:
        trial.run("--keep", *words)
        newest = max((trial.path / ".nfrun/runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
        return {finished.node: finished.reason for finished in read_journal(newest).finished if not finished.reused}

    never = "it has not finished in any run that is kept"
    assert reasons() == dict.fromkeys(REUSED, never)
    assert reasons() == {}
    assert reasons("--fresh") == reasons("--handoff", "mmap") == dict.fromkeys(REUSED, "--fresh")
    assert reasons("--force", "double") == {"double": "--force"}
    trial.replace("steps.py", "range(count)", "range(1, count)")
    assert reasons() == {
        "numbers": "the function steps:numbers changed",
        "double": "the input 'table' changed",
        "total": "the input 'table' changed",
    }


# -- plan --------------------------------------------------------------------------------------------------------------


def test_the_plan_shows_what_would_run_and_why(trial: Trial) -> None:
    never = ("run", "it has not finished in any run that is kept")
    assert trial.planned() == trial.planned("--resume") == dict.fromkeys(REUSED, never)
    trial.run("--keep")
    assert trial.planned() == dict.fromkeys(REUSED, ("reuse", None))
    assert trial.planned("--force", "total") == {**trial.planned(), "total": ("run", "--force")}
    assert {why for _, why in trial.planned("-p", "count=5").values()} == {
        "the value 'count' changed",
        "it reads 'numbers', which runs",
        "it reads 'double', which runs",
    }
    assert trial.run() == REUSED, "the plan has changed nothing"


def test_the_plan_as_text_ends_with_how_many_nodes_a_run_reuses(trial: Trial) -> None:
    first = trial.nfrun("plan", "p.yaml").stdout
    assert "\nnfrun run reuses 0 of 3 nodes: none has finished in any run that is kept\n" in first
    assert "  run    numbers  python\n" in first
    assert first.count("it has not finished") == 0, "once is enough"
    trial.run()
    second = trial.nfrun("plan", "p.yaml").stdout
    assert "\nnfrun run reuses 3 of 3 nodes\n" in second
    assert "  reuse  numbers" in second


@pytest.mark.parametrize("format", ["text", "json", "mermaid", "dot"])
def test_a_fresh_plan_does_not_look_at_earlier_runs(trial: Trial, format: str) -> None:
    trial.run()
    shown = trial.nfrun("plan", "p.yaml", "--fresh", "--format", format).stdout
    assert "numbers" in shown
    assert "reuse" not in shown
    assert "resume" not in shown


def test_a_plan_needs_the_values_of_parameters_as_the_run_does(trial: Trial) -> None:
    trial.replace("p.yaml", "{count: 4}", "{count: {type: integer}}")
    for words in ([], ["--fresh"]):
        done = trial.nfrun("plan", "p.yaml", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "p.yaml: the parameter 'count' has no value\n   give it with -p count=…\n"
    assert trial.nfrun("plan", "p.yaml", "-p", "count=3").stderr == ""


def test_a_plan_fails_as_the_run_does_if_all_parameters_have_values(trial: Trial) -> None:
    trial.replace("p.yaml", "nodes:\n", "nodes:\n  odd: {run: echo, if: '${{ params.count }}'}\n")
    planned, ran = trial.nfrun("plan", "p.yaml"), trial.nfrun("run", "p.yaml")
    assert (planned.returncode, planned.stdout) == (2, "")
    assert "'if' must be true or false, and this is 4" in planned.stderr
    assert (ran.returncode, ran.stderr) == (2, planned.stderr)


# -- effects -----------------------------------------------------------------------------------------------------------

EFFECTS = """\
nodes:
  rows: {run: 'printf "n\\n1\\n" > "$NFRUN_OUTPUT"', format: csv}
  script: {run: "echo done"}
  function: {python: "steps:nothing"}
  cached: {run: "echo done", cache: true}
  save: {write: out/rows.csv, inputs: rows}
"""


def test_nodes_without_an_output_run_for_their_effect_and_a_written_file_is_kept(trial: Trial) -> None:
    trial.write("steps.py", "def nothing(): pass\n")
    trial.write("p.yaml", EFFECTS)
    assert set(trial.run().values()) == {"ok"}
    reused = {"rows": "reused", "script": "ok", "function": "ok", "cached": "reused", "save": "reused"}
    assert trial.run() == reused
    assert "not reused" not in trial.stderr, "there is nothing to mend"
    why = "it gave no output, so it runs for its effect"
    assert trial.planned()["script"] == trial.planned()["function"] == ("run", why)
    trial.write("out/rows.csv", "n\n2\n")
    assert trial.planned()["save"] == ("run", "the file out/rows.csv, which it wrote, is gone or has changed")
    assert trial.run() == {**reused, "save": "ok"}
    assert (trial.path / "out/rows.csv").read_text() == '"n"\n1\n'


# -- what is said at the end -------------------------------------------------------------------------------------------


def test_a_reason_is_told_once_and_then_in_one_line_until_it_changes(trial: Trial) -> None:
    trial.write("steps.py", "URL = 'https://api.example.com/v1'\ndef numbers(count): return {'url': URL}\n")
    trial.write("p.yaml", "nodes:\n  numbers: {python: 'steps:numbers', with: {count: 1}}\n")

    def told(*words: str) -> list[str]:
        lines = trial.nfrun("run", "p.yaml", *words).stderr.splitlines()
        return [line for line in lines if "not reused" in line]

    def full(address: str) -> list[str]:
        what = f"it may connect to {address} (the address is in steps.py:1)"
        return [f"node 'numbers' is not reused: {what}; say 'cache: true' to reuse it"]

    short = ["not reused: numbers ('nfrun plan' says why)"]
    assert [told(), told(), told()] == [full("api.example.com"), short, short]
    trial.replace("steps.py", "api.", "db.")
    assert [told(), told()] == [full("db.example.com"), short]
    trial.replace("p.yaml", "count: 1}", "count: 1}, cache: true")
    assert [told(), told()] == [[], []]


def test_what_a_node_connects_to_is_told_once_too(trial: Trial) -> None:
    body = "with socket.socket() as s: s.connect_ex(('127.0.0.1', 1))\n    return {'n': 1}"
    trial.write("steps.py", f"import socket\ndef f():\n    {body}\n")
    trial.write("p.yaml", "nodes:\n  a: {python: 'steps:f'}\n")
    shown = [trial.nfrun("run", "p.yaml", *words).stderr for words in (("--force", "a"), (), ("--force", "a"))]
    assert ["node 'a' is not reused: it connects to 127.0.0.1" in err for err in shown] == [True, False, False]
    assert ["not reused: a ('nfrun plan' says why)" in err for err in shown] == [False, True, True]


def test_the_last_line_says_what_happened(trial: Trial) -> None:
    def last(*words: str) -> str:
        return re.sub(r", [\d.]+ [mu]?s$", "", trial.nfrun("run", "p.yaml", *words).stderr.splitlines()[-1])

    assert [last(), last("--keep", "--fresh"), last()] == ["trial: ok, 3 ran"] * 2 + ["trial: ok, 3 reused"]
    trial.replace("steps.py", "sum(", "1 + sum(")
    assert last() == "trial: ok, 1 ran, 2 reused"
    assert trial.nfrun("run", "p.yaml", "-q", "--fresh").stderr == ""


def test_the_document_has_the_counts(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    none = {"ok": 0, "reused": 0, "failed": 0, "skipped": 0, "cancelled": 0}
    assert trial.document()["counts"] == {**none, "ok": 3}
    assert trial.document()["counts"] == {**none, "reused": 3}
    monkeypatch.setenv("BROKEN", "1")
    assert trial.document("--fresh", code=1)["counts"] == {**none, "ok": 2, "failed": 1}


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("p.yaml", "nfrun run p.yaml"),
        (
            "-q p.yaml -k -p 'count=4' -p word='a b' --params-file v.json --work 'a b' -j 2 --fresh --handoff mmap",
            "nfrun run p.yaml -k -p count=4 -p 'word=a b' --params-file v.json --work 'a b' -j 2",
        ),
        ("p.yaml --force numbers --force total", "nfrun run p.yaml --force total"),
        ("./p.yaml -j auto", "nfrun run ./p.yaml -j auto"),
        ('p.yaml -p word="it\'s" -q', "nfrun run p.yaml -p 'word=it'\"'\"'s'"),
        ("p.yaml -p word=s3cret-word -k", "nfrun run p.yaml -k (add -p word=…: a secret)"),
        (
            "p.yaml -p word=s3cret-word --work=s3cret-word --param count=4",
            "nfrun run p.yaml --param count=4 (add -p word=… --work=…: secrets)",
        ),
    ],
)
def test_after_a_failure_the_last_line_is_a_command_that_goes_on(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, words: str, command: str
) -> None:
    monkeypatch.setenv("BROKEN", "1")
    monkeypatch.setenv("TOKEN", "s3cret-word")
    trial.write("v.json", "{}")
    trial.replace("p.yaml", "{count: 4}", "{count: 4, word: a}\nsecrets: [TOKEN]")
    done = trial.nfrun("run", *shlex.split(words))
    assert done.returncode == 1
    *_, status, last = done.stderr.splitlines()
    assert status.startswith("trial: failed, 2 ran, 1 failed, ")
    assert last == f"to go on from here: {command}"
    if "…" not in command:
        monkeypatch.delenv("BROKEN")
        *_, last = trial.nfrun(*shlex.split(command)[1:]).stderr.splitlines()
        assert last.startswith("trial: ok, 1 ran, 2 reused, ")


def test_no_command_is_named_if_nothing_has_finished_or_nothing_is_kept(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN", "1")
    assert "go on" not in trial.nfrun("run", "p.yaml", "--handoff", "memory").stderr
    trial.replace("steps.py", "def numbers(count): return", "def numbers(count): 1 / 0; return")
    assert "go on" not in trial.nfrun("run", "p.yaml").stderr


def test_a_file_whose_name_begins_with_a_dash_goes_on(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKEN", "1")
    (trial.path / "p.yaml").rename(trial.path / "-p.yaml")
    done = trial.nfrun("run", "--", "-p.yaml")
    assert done.stderr.splitlines()[-1] == "to go on from here: nfrun run -- -p.yaml"
