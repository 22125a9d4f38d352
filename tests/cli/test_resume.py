"""Tests of reuse in whole processes, and of `cache`, `plan`, `clean` and `--durable`."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import forked
import pytest
from conftest import Here

from nfrun.history import database_file
from nfrun.history.database import Journal, read_journal

STEPS = """
import os, signal, time
from pathlib import Path
import pyarrow as pa

def log(name):
    with open("calls", "a") as file:
        file.write(name + "\\n")

def numbers(count):
    log("numbers")
    return helper(count)

def helper(count):
    return pa.table({"n": list(range(count))})

def double(table):
    log("double")
    return pa.table({"n": [2 * n for n in table["n"].to_pylist()]})

def split(table):
    log("split")
    return {"low": table.slice(0, 1), "high": table.slice(1)}

def total(table):
    log("total")
    if Path("broken").exists():
        raise ValueError("not yet")
    return {"total": sum(table["n"].to_pylist())}

def nothing(table):
    log("nothing")
"""

PIPELINE = """\
name: trial
params: {count: 4}
nodes:
  numbers: {python: "steps:numbers", with: {count: "${{ params.count }}"}}
  double: {python: "steps:double", inputs: {table: numbers}}
  total: {python: "steps:total", inputs: {table: double}}
"""


class Trial:
    """A folder with a pipeline, in which nfrun runs."""

    def __init__(self, path: Path, here: Here) -> None:
        self.path, self._here = path, here
        self.write("steps.py", STEPS)
        self.write("p.yaml", PIPELINE)

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(textwrap.dedent(text))

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.path / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def nfrun(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._here(self.path, *words)

    def process(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a process of its own, which may be killed."""
        return forked.run(
            [sys.executable, "-m", "nfrun", *words],
            check=False,
            cwd=self.path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def run(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Run the pipeline and return the document."""
        done = self.nfrun("run", "p.yaml", "--json", *words)
        assert done.returncode == code, done.stderr
        self.stderr = done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def statuses(self, *words: str, code: int = 0) -> dict[str, str]:
        return {name: node["status"] for name, node in self.run(*words, code=code)["nodes"].items()}

    @property
    def calls(self) -> list[str]:
        """The functions that were called since the last use of this property."""
        path = self.path / "calls"
        found = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return found

    def files(self) -> list[str]:
        """Return the names of the table files in the work folder, by run."""
        return [path.name for path in sorted(self.path.glob(".nfrun/runs/*/*.arrow"))]


@pytest.fixture
def trial(tmp_path: Path, here: Here) -> Trial:
    return Trial(tmp_path, here)


def test_resume_after_a_failure_runs_only_the_missing_nodes(trial: Trial) -> None:
    trial.write("broken", "")
    first = trial.statuses(code=1)
    assert first == {"numbers": "ok", "double": "ok", "total": "failed"}
    assert trial.files() == ["double.1.arrow", "numbers.1.arrow"]
    assert trial.calls == ["numbers", "double", "total"]
    (trial.path / "broken").unlink()
    document = trial.run("--resume")
    assert {name: node["status"] for name, node in document["nodes"].items()} == {
        "numbers": "reused",
        "double": "reused",
        "total": "ok",
    }
    assert trial.calls == ["total"]
    assert document["outputs"]["total"]["rows"] == 1
    assert trial.files() == ["double.1.arrow", "numbers.1.arrow", "total.1.arrow"], "each has one file"


@pytest.mark.parametrize("setting", ["cache: true", "description: resumed"])
def test_a_query_runs_again_if_a_file_that_it_names_has_changed(trial: Trial, setting: str) -> None:
    trial.write("s.csv", "n\n1\n")
    trial.write("p.yaml", f"name: p\nnodes:\n  q: {{sql: \"select n from read_csv('s.csv')\", {setting}}}\n")
    again = () if setting.startswith("cache") else ("--resume",)
    before = trial.run("--keep")["outputs"]["q"]["digest"]
    assert trial.statuses("--keep", *again) == {"q": "reused"}
    trial.write("s.csv", "n\n2\n")
    assert "the file s.csv changed" in trial.nfrun("plan", "p.yaml", "--resume").stdout
    document = trial.run("--keep", *again)
    assert document["nodes"]["q"]["status"] == "ok"
    assert document["outputs"]["q"]["digest"] != before


@pytest.mark.parametrize("more", ["", "\n            cache: true"])
def test_a_missing_file_error_names_the_reused_node_that_may_have_made_it(trial: Trial, more: str) -> None:
    trial.write(
        "p.yaml",
        f"""
        name: p
        nodes:
          other: {{run: "true"}}
          make:
            run: 'printf "n\\n1\\n" | tee "$(echo data_csv | tr _ .)" > "$NFRUN_OUTPUT"'
            format: csv{more}
          load: {{read: data.csv, needs: [make, other]}}
        """,
    )
    assert set(trial.statuses().values()) == {"ok"}
    (trial.path / "data.csv").unlink()
    trial.replace("p.yaml", '"true"', '"true # again"')
    assert trial.statuses("--resume", code=1) == {"other": "ok", "make": "reused", "load": "failed"}
    assert "no such file: data.csv" in trial.stderr
    assert set(trial.statuses("--force", "make").values()) == {"ok"}


def test_a_declared_file_that_no_node_wrote_fails_the_node_that_declares_it(trial: Trial) -> None:
    trial.write(
        "p.yaml",
        "nodes:\n  make: {run: 'false && echo > x.bin || true'}\n  use: {run: 'true', files: x.bin, needs: make}\n",
    )
    assert trial.statuses(code=1) == {"make": "ok", "use": "failed"}
    assert "node 'use' failed: there is no file 'x.bin', which 'files' of the node names" in trial.stderr
    trial.replace("p.yaml", "false && ", "")
    assert trial.statuses() == {"make": "ok", "use": "ok"}


def test_what_a_script_has_done_last_counts_for_the_next_run(trial: Trial) -> None:
    """With `cache: true`, a script that sends something is not reused after it has sent something else."""
    found = []
    for what in ("1", "1", "2", "1", "1"):
        trial.write("p.yaml", f"nodes:\n  send: {{run: 'true {what}', cache: true}}\n")
        found.append(trial.statuses()["send"])
    assert found == ["ok", "reused", "ok", "ok", "reused"]


def test_a_declared_file_that_is_missing_is_an_error_of_a_plan(trial: Trial) -> None:
    trial.write("p.yaml", "nodes:\n  use: {run: 'true', files: x.bin}\n")
    for options in ([], ["--resume"]):
        done = trial.nfrun("plan", "p.yaml", *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert "p.yaml:2:29: there is no file 'x.bin'\n" in done.stderr
    assert not (trial.path / ".nfrun").exists()


def test_a_query_with_unchanged_inputs_checks_its_files(trial: Trial) -> None:
    trial.write("s.csv", "n\n1\n")
    trial.write("x.csv", "n\n1\n")
    trial.write(
        "p.yaml",
        """
        name: p
        nodes:
          x: {read: x.csv, cache: false}
          q: {sql: "select n from s.csv join x using (n)", inputs: x}
        """,
    )
    assert trial.statuses("--keep") == {"x": "ok", "q": "ok"}
    assert trial.statuses("--keep", "--resume") == {"x": "ok", "q": "reused"}
    trial.write("s.csv", "n\n1\n1\n")
    assert trial.statuses("--keep", "--resume") == {"x": "ok", "q": "ok"}


def test_a_query_with_unchanged_inputs_sees_what_a_node_has_just_written(trial: Trial) -> None:
    trial.write(
        "steps.py",
        """
        import time
        def a():
            open("s.csv", "w").write(f"n\\n{time.perf_counter_ns()}\\n")
            return {"x": 1}
        """,
    )
    trial.write("s.csv", "n\n0\n")
    trial.write(
        "p.yaml",
        """
        nodes:
          a: {python: "steps:a"}
          q: {sql: "select n from s.csv", inputs: a}
          r: {sql: "select x + $k as x from a", inputs: a, with: {k: 1}}
        """,
    )
    assert trial.statuses("--resume") == {"a": "ok", "q": "ok", "r": "ok"}
    assert trial.statuses("--resume") == dict.fromkeys("aqr", "reused")
    for table in trial.path.glob(".nfrun/runs/*/a.1.arrow"):
        table.unlink()
    trial.replace("p.yaml", "k: 1", "k: 2")  # `a` runs again, as its table is gone
    assert trial.statuses("--resume") == {"a": "ok", "q": "ok", "r": "ok"}


def test_what_a_reused_node_had_read_and_connected_to_still_counts(trial: Trial) -> None:
    trial.write(
        "steps.py",
        """
        import socket
        from contextlib import suppress
        def a(): return {"x": open("x.txt").read()}
        def b():
            with suppress(OSError): socket.create_connection(("127.0.0.1", 1)).close()
            return {"x": 1}
        """,
    )
    trial.write("x.txt", "1")
    trial.write("p.yaml", "nodes:\n  a: {python: 'steps:a'}\n  b: {python: 'steps:b', cache: true}\n")
    assert trial.statuses("--resume") == {"a": "ok", "b": "ok"}
    assert trial.statuses("--resume") == {"a": "reused", "b": "reused"}
    trial.write("x.txt", "2")
    trial.replace("p.yaml", ", cache: true", "")
    assert trial.statuses("--resume") == {"a": "ok", "b": "ok"}


def test_with_fresh_everything_runs_again(trial: Trial) -> None:
    trial.run()
    trial.run("--fresh")
    assert trial.calls == ["numbers", "double", "total"] * 2


def test_resume_after_success_runs_nothing_although_intermediate_tables_are_gone(trial: Trial) -> None:
    before = trial.run()["outputs"]["total"]
    trial.nfrun("clean", "--cache-size", "0")
    assert trial.files() == ["total.1.arrow"]
    document = trial.run("--resume")
    assert {node["status"] for node in document["nodes"].values()} == {"reused"}
    after = document["outputs"]["total"]
    assert after["digest"] == before["digest"]
    assert after["path"] == before["path"], "no byte was copied"
    assert stat_mode(after["path"]) == 0o444


def stat_mode(path: str) -> int:
    return Path(path).stat().st_mode & 0o777


def test_file_times_do_not_matter(trial: Trial) -> None:
    trial.run()
    for path in trial.path.rglob("*"):
        os.utime(path, (0, 0))
    assert set(trial.statuses("--resume").values()) == {"reused"}


def test_comments_do_not_matter_and_helper_functions_do(trial: Trial) -> None:
    trial.run()
    trial.replace("steps.py", "def helper", "# a comment\n\n\ndef helper")
    assert set(trial.statuses("--resume").values()) == {"reused"}
    trial.replace("steps.py", "range(count)", "range(count + 1)")
    assert set(trial.statuses("--resume").values()) == {"ok"}


def test_readers_of_an_unchanged_output_are_reused(trial: Trial) -> None:
    trial.run("--keep")
    trial.replace("steps.py", "list(range(count))", "[*range(count)]")
    assert trial.statuses("--resume") == {"numbers": "ok", "double": "reused", "total": "reused"}


def test_every_kind_of_node_is_reused(trial: Trial) -> None:
    (trial.path / "x.csv").write_text("n\n1\n2\n3\n")
    trial.write(
        "p.yaml",
        """\
        nodes:
          x: {read: x.csv}
          split: {python: "steps:split", inputs: {table: x}, outputs: [low, high], executor: process}
          lines:
            run: echo lines >> "$(echo sllac | rev)"; cat "$NFRUN_INPUT_high" > "$NFRUN_OUTPUT"
            inputs: {high: split.high}
            format: csv
          sum: {sql: "select sum(n) as n from lines", inputs: lines}
          nothing: {python: "steps:nothing", inputs: {table: split.low}}
          last: {python: "steps:nothing", inputs: {table: sum}, needs: nothing}
          out: {write: out.csv, inputs: sum}
        """,
    )
    assert set(trial.statuses("--keep").values()) == {"ok"}
    assert len(trial.files()) == 5, "the source x.csv is there, so its table is not written"
    assert sorted(trial.calls) == ["lines", "nothing", "nothing", "split"]
    effects = {"nothing", "last"}  # they give no output, so they run for their effect
    assert {name for name, status in trial.statuses("--resume").items() if status == "ok"} == effects
    (trial.path / "out.csv").unlink()
    assert {name for name, status in trial.statuses("--resume").items() if status == "ok"} == {"out", *effects}
    assert (trial.path / "out.csv").read_text() == '"n"\n5\n'
    (trial.path / "x.csv").write_text("n\n1\n2\n4\n")
    statuses = trial.statuses("--resume")
    assert {name for name, status in statuses.items() if status == "ok"} == {
        "x",
        "split",
        "lines",
        "sum",
        "out",
        *effects,
    }


def test_a_node_with_cache_false_is_never_reused_and_the_tables_of_a_cached_one_stay(trial: Trial) -> None:
    trial.replace("p.yaml", "inputs: {table: numbers}}", "inputs: {table: numbers}, cache: true}")
    trial.replace("p.yaml", "inputs: {table: double}}", "inputs: {table: double}, cache: false}")
    trial.run()
    trial.nfrun("clean", "--cache-size", "0")
    assert trial.files() == ["double.1.arrow", "total.1.arrow"]
    assert trial.statuses() == {"numbers": "reused", "double": "reused", "total": "ok"}
    assert trial.statuses("-p", "count=5")["double"] == "ok"
    assert trial.statuses()["double"] == "reused", "every value has a place"


def test_a_damaged_file_is_reported_renamed_and_made_again(trial: Trial) -> None:
    good = trial.run("--keep")["outputs"]["total"]["digest"]
    path = next(trial.path.glob(".nfrun/runs/*/double.1.arrow"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    trial.replace("steps.py", "sum(", "0 + sum(")
    document = trial.run("--resume")
    assert {name: node["status"] for name, node in document["nodes"].items()} == {
        "numbers": "reused",
        "double": "ok",
        "total": "ok",
    }
    assert document["outputs"]["total"]["digest"] == good
    warning = f"nfrun: warning: {path} is damaged and is not used; it is kept as double.1.arrow.bad\n"
    assert trial.stderr.count(warning) == 1
    assert path.with_name("double.1.arrow.bad").read_bytes() == data


def test_a_killed_run_is_resumed(trial: Trial) -> None:
    trial.write(
        "steps.py",
        STEPS
        + """
def die(table, context):
    if not Path("dead").exists():
        (context.scratch / "left").touch()
        Path("dead").touch()
        import sqlite3
        with sqlite3.connect(".nfrun/history.db") as db:
            while not db.execute("select 1 from lines where node = 'double'").fetchone():
                time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGKILL)
    log("die")
    return table
""",
    )
    trial.replace("p.yaml", "inputs: {table: double}}", "inputs: {table: die}}")
    trial.write(
        "p.yaml", (trial.path / "p.yaml").read_text() + '  die: {python: "steps:die", inputs: {table: double}}\n'
    )
    killed = trial.process("run", "p.yaml")
    assert killed.returncode != 0
    assert trial.calls == ["numbers", "double"]
    (left,) = trial.path.glob(".nfrun/runs/*/scratch/die.1.*/left")
    assert trial.statuses("--resume") == {"numbers": "reused", "double": "reused", "die": "ok", "total": "ok"}
    assert trial.calls == ["die", "total"]
    assert not left.parents[1].exists()


def test_the_next_run_removes_the_partial_file_of_a_killed_run(trial: Trial) -> None:
    trial.write(
        "steps.py",
        STEPS
        + """
def many():
    return pa.table({"n": range(400_000)})

def die():
    while not Path("dead").exists():
        if list(Path("out").glob(".*")):
            Path("dead").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.001)
""",
    )
    trial.write(
        "p.yaml",
        """\
        nodes:
          numbers: {python: "steps:many"}
          die: {python: "steps:die"}
          save: {write: out/n.jsonl, inputs: [numbers]}
        """,
    )
    assert trial.process("run", "p.yaml").returncode != 0
    (left,) = (trial.path / "out").iterdir()
    assert left.name.startswith(".nfrun-")
    assert trial.statuses("--resume")["save"] == "ok"
    assert [path.name for path in (trial.path / "out").iterdir()] == ["n.jsonl"]


def test_pipelines_of_one_name_in_one_work_folder_do_not_share_a_cache(trial: Trial) -> None:
    for name in ("x", "y"):
        (trial.path / name).mkdir()
        (trial.path / name / "same.yaml").write_text(
            "nodes:\n  n: {run: 'cat data.csv > $NFRUN_OUTPUT', format: csv}\n"
        )
        (trial.path / name / "data.csv").write_text(f"v\n{name}\n")
        document = json.loads(trial.nfrun("run", f"{name}/same.yaml", "--work", "w", "--resume", "--json").stdout)
        assert document["nodes"]["n"]["status"] == "ok"
    trial.nfrun("clean", "--work", "w")
    again = json.loads(trial.nfrun("run", "x/same.yaml", "--work", "w", "--resume", "--json").stdout)
    assert again["nodes"]["n"]["status"] == "reused", "nor is the one in the way of what is kept of the other"


def test_the_plan_says_which_nodes_run_and_why(trial: Trial) -> None:
    trial.run()
    plan = trial.nfrun("plan", "p.yaml").stdout
    assert "\n  reuse  numbers  python" in plan
    assert "\nnfrun run reuses 3 of 3 nodes\n" in plan
    plan = trial.nfrun("plan", "p.yaml", "-p", "count=5").stdout
    assert "\n  run    numbers  python" in plan
    assert "\n         the value 'count' changed\n" in plan
    assert "\n         it reads 'numbers', which runs; reused after all if its inputs turn out the same\n" in plan
    trial.replace("steps.py", "sum(", "0 + sum(")
    trial.nfrun("clean", "--cache-size", "0")
    nodes = json.loads(trial.nfrun("plan", "p.yaml", "--format", "json").stdout)["nodes"]
    assert {name: (node["resume"], node["why"]) for name, node in nodes.items()} == {
        "numbers": ("run", "its table is made again, as 'double' reads it"),
        "double": ("run", "its table is made again, as 'total' reads it"),
        "total": ("run", "the function steps:total changed"),
    }


def test_plan_refuses_wrong_parameters(trial: Trial, here: Here) -> None:
    wrong = here(trial.path, "plan", "p.yaml", "-p", "cuont=5")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "p.yaml: the pipeline has no parameter 'cuont'\n   did you mean 'count'?\n"


def test_clean_removes_what_is_over_the_budget_and_with_all_every_run(trial: Trial) -> None:
    assert trial.nfrun("clean").stdout == f"nothing to remove: there is no {trial.path}/.nfrun\n"
    trial.run()
    trial.run("--fresh")
    trial.write("broken", "")
    trial.run("-p", "count=5", code=1)
    runs = sorted((trial.path / ".nfrun/runs").iterdir(), key=lambda path: read_journal(path).started.number)
    assert len(runs) == 3
    assert trial.nfrun("clean").stdout == "nothing to remove\n"
    partial = runs[0] / "x.arrow.partial"
    partial.touch()
    assert trial.nfrun("clean", "--dry-run").stdout == f"{partial}\nwould remove 1 file, 0 B\n"
    would = trial.nfrun("clean", "--dry-run", "--cache-size", "0").stdout
    assert partial.exists()
    assert re.search(r"would remove 7 files, \S+ kB\n$", would)
    done = trial.nfrun("clean", "p.yaml", "--cache-size", "0").stdout
    assert re.fullmatch(r"removed 7 files, \S+ kB\n", done)
    assert trial.nfrun("clean", "--cache-size", "0").stdout == "nothing to remove\n"
    assert sorted(trial.files()) == ["double.1.arrow", "total.1.arrow"], "what is needed next, and the last good output"
    assert trial.nfrun("clean", "--all").stdout.startswith("removed 3 runs")
    assert trial.files() == []
    (trial.path / "broken").unlink()
    assert set(trial.statuses("--resume").values()) == {"ok"}


def test_clean_does_not_touch_other_folders(trial: Trial) -> None:
    before = sorted(trial.path.iterdir())
    done = trial.nfrun("clean", "--all", "--work", str(trial.path))
    assert (done.returncode, done.stdout) == (0, f"nothing to remove: no run was ever kept in {trial.path}\n")
    assert sorted(trial.path.iterdir()) == before


def test_clean_of_a_missing_file_is_an_error(trial: Trial, here: Here) -> None:
    done = here(trial.path, "clean", "pp.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "pp.yaml: there is no such file\n   did you mean 'p.yaml'?\n"


@pytest.mark.parametrize("command", [("run", "p.yaml"), ("plan", "p.yaml", "--resume"), ("clean",)])
def test_an_empty_work_folder_name_is_a_usage_error(trial: Trial, here: Here, command: tuple[str, ...]) -> None:
    done = here(trial.path, *command, "--work", "")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: Invalid value for --work: an empty name is no folder\n" in done.stderr


@pytest.mark.parametrize("option", ["--events", "--params-file"])
def test_an_empty_file_name_is_a_usage_error(trial: Trial, here: Here, option: str) -> None:
    done = here(trial.path, "run", "p.yaml", option, "")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Error: Invalid value for {option}: an empty name is no file\n" in done.stderr


@pytest.mark.parametrize("made", ["file", "link", "folder"])
def test_an_unusable_work_folder_is_an_io_error(trial: Trial, here: Here, made: str) -> None:
    lock = trial.path / "w" / "lock"
    if made == "file":
        (trial.path / "w").touch()
    elif made == "link":
        lock.parent.mkdir()
        lock.symlink_to(trial.path / "p.yaml")
    else:
        lock.mkdir(parents=True)
    done = here(trial.path, "run", "p.yaml", "--work", "w")
    whys = {"file": "it is not a folder", "link": "it is a symbolic link", "folder": "it is a folder, not a file"}
    path = lock.parent if made == "file" else lock
    hint = "remove it, or keep the runs elsewhere with --work DIR"
    assert (done.returncode, done.stderr) == (74, f"nfrun: cannot use {path}: {whys[made]} ({hint})\n")


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_changed_code_is_run_even_with_an_old_time_stamp(trial: Trial, executor: str) -> None:
    trial.write("p.yaml", "nodes:\n  a: {python: 'steps:f'}\noutputs: {a: a}\n")
    digests = set()
    for word in ("aaa", "bbb"):
        trial.write("steps.py", f"def f():\n    return {{'o': '{word}'}}\n")
        os.utime(trial.path / "steps.py", (1_500_000_000, 1_500_000_000))
        digests.add(trial.run("--resume", "--executor", executor)["outputs"]["a"]["digest"])
    assert len(digests) == 2


def test_a_node_whose_code_changed_while_it_ran_is_not_reused(trial: Trial) -> None:
    trial.write("p.yaml", "nodes:\n  a: {python: 'steps:f'}\n  b: {run: 'echo n > $NFRUN_OUTPUT', format: csv}\n")
    trial.write(
        "steps.py",
        """
        from pathlib import Path
        def f():
            path = Path(__file__)
            path.write_text(path.read_text() + "# edited\\n")
            return {"o": 1}
        """,
    )
    trial.run()
    nodes = json.loads(trial.nfrun("plan", "p.yaml", "--resume", "--format", "json").stdout)["nodes"]
    assert nodes["a"]["why"] == "its code or inputs changed while it last ran"
    assert trial.statuses("--resume") == {"a": "ok", "b": "reused"}


@pytest.mark.parametrize(("name", "rest"), [("conf.py", None), ("__init__.py", "")])
def test_a_node_that_ran_with_temporary_code_is_not_reused(trial: Trial, name: str, rest: str | None) -> None:
    (trial.path / "pkg").mkdir()
    trial.write("pkg/__init__.py", "")
    trial.write("p.yaml", "nodes:\n  a: {python: 'steps:f'}\n  b: {run: 'echo n > $NFRUN_OUTPUT', format: csv}\n")
    trial.write(
        "steps.py",
        f"""
        from pathlib import Path
        def f():
            path = Path(__file__).parent / "pkg" / "{name}"
            if Path("once").exists():
                Path("once").unlink()
                path.write_text("VALUE = 2")
            try:
                from pkg{".conf" if name == "conf.py" else ""} import VALUE
            except ImportError:
                VALUE = 1
            return {{"o": VALUE}}
        """,
    )
    trial.write("once", "")
    before = trial.run()["outputs"]["a"]["digest"]
    (trial.path / "pkg" / name).unlink()
    if rest is not None:
        trial.write(f"pkg/{name}", rest)
    document = trial.run("--resume")
    assert {name: node["status"] for name, node in document["nodes"].items()} == {"a": "ok", "b": "reused"}
    assert document["outputs"]["a"]["digest"] != before


def test_code_imported_by_a_computed_name_matters(trial: Trial) -> None:
    ways = {
        "a": "import_module(f'plugins.{name}')",
        "b": "import_module('plugins.' + name)",
        "c": "getattr(__import__('plugins', fromlist=[name]), name)",
        "d": "import_module(f'plugins.{[*pkgutil.iter_modules(plugins.__path__)][0].name}')",
        "e": "SimpleNamespace(**runpy.run_path(f'plugins/{name}.py'))",
    }
    imports = "import pkgutil, runpy, plugins\nfrom importlib import import_module\nfrom types import SimpleNamespace\n"
    functions = [f"def {way}(name): return {{'o': {text}.VALUE}}\n" for way, text in ways.items()]
    trial.write("steps.py", imports + "".join(functions))
    (trial.path / "plugins").mkdir()
    trial.write("plugins/__init__.py", "")
    trial.write("plugins/foo.py", "VALUE = 1\n")
    nodes = [f"  {way}: {{python: 'steps:{way}', with: {{name: foo}}}}\n" for way in ways]
    trial.write("p.yaml", "nodes:\n" + "".join(nodes))
    trial.run()
    assert set(trial.statuses("--resume").values()) == {"reused"}
    trial.write("plugins/foo.py", "VALUE = 2\n")
    assert set(trial.statuses("--resume").values()) == {"ok"}


def test_a_changed_definition_is_reported_before_changed_inputs(trial: Trial) -> None:
    trial.replace("p.yaml", "nodes:", "env: {WORD: x}\nnodes:")
    trial.run()
    trial.replace("p.yaml", "WORD: x", "WORD: y")
    nodes = json.loads(trial.nfrun("plan", "p.yaml", "--resume", "--format", "json").stdout)["nodes"]
    assert {node["why"] for node in nodes.values()} == {"the variable WORD changed"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_runs_folder_is_an_error(trial: Trial) -> None:
    trial.run()
    runs = trial.path / ".nfrun" / "runs"
    runs.chmod(0)
    try:
        for words in (["plan", "p.yaml", "--resume"], ["clean"]):
            done = trial.nfrun(*words)
            assert (done.returncode, done.stdout, done.stderr) == (77, "", f"nfrun: no permission: {runs}\n")
    finally:
        runs.chmod(0o700)


def test_an_error_at_the_start_is_reported_as_json_too(trial: Trial) -> None:
    (trial.path / "w").touch()
    done = trial.nfrun("run", "p.yaml", "--json", "--work", "w")
    hint = "remove it, or keep the runs elsewhere with --work DIR"
    error = f"cannot use {trial.path}/w: it is not a folder ({hint})"
    assert (done.returncode, done.stderr) == (74, f"nfrun: {error}\n")
    assert json.loads(done.stdout) == {"status": "failed", "error": error, "problems": []}


def test_clean_keeps_cached_outputs(trial: Trial) -> None:
    trial.replace("p.yaml", "inputs: {table: numbers}}", "inputs: {table: numbers}, cache: true}")
    for count in (3, 4, 3, 5):
        trial.run("-p", f"count={count}")
    trial.nfrun("clean", "--cache-size", "0")
    assert trial.files().count("double.1.arrow") == 3
    for count in (3, 4, 5):
        assert trial.statuses("-p", f"count={count}")["double"] == "reused"


@pytest.mark.parametrize("option", ["--resume", "--keep", "--durable"])
@pytest.mark.parametrize("handoff", ["memory", "json"])
def test_handoffs_without_files_refuse_resume_keep_and_durable(
    trial: Trial, here: Here, option: str, handoff: str
) -> None:
    wrong = here(trial.path, "run", "p.yaml", option, "--handoff", handoff)
    assert wrong.returncode == 2
    assert f"--handoff {handoff} leaves no files of tables" in " ".join(wrong.stderr.replace("│", " ").split())


def test_a_run_without_files_leaves_no_run_folder(trial: Trial) -> None:
    assert trial.nfrun("run", "p.yaml", "--handoff", "memory").returncode == 0
    assert list((trial.path / ".nfrun/runs").iterdir()) == []


@pytest.fixture
def synced(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the fsyncs and renames of runs in this process, with paths relative to the folder of the trial."""
    found: list[str] = []
    real, rename = os.fsync, os.replace

    def name(path: Any) -> str:
        return str(Path(trial.path, path).relative_to(trial.path))

    def fsync(file: int) -> None:
        found.append(name(Path(f"/proc/self/fd/{file}").readlink()))
        real(file)

    def replace(old: Any, new: Any) -> None:
        if Path(new).parent.name != "code":  # what is remembered of the code is only for speed
            found.append(f"{name(old)} -> {name(new)}")
        rename(old, new)

    if not Path("/proc/self/fd").exists():
        pytest.skip("names of open files are looked up in /proc")
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(Path, "replace", replace)
    transaction = database_file.transaction

    @contextmanager
    def committed(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        with transaction(db):
            yield db
        found.append(".nfrun/history.db")

    monkeypatch.setattr(database_file, "transaction", committed)
    return found


def test_a_durable_run_syncs_its_files_their_names_and_its_journal(
    trial: Trial, synced: list[str], here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    for words in ([], ["--resume"]):
        synced.clear()
        assert here(trial.path, "run", "p.yaml", "--durable", *words).returncode == 0
        begun = [path for path in synced if not path.endswith(".db")]
        run = begun[0]
        assert begun[:4] == [run, ".nfrun/runs", ".nfrun", "."] and Path(run).parent == Path(".nfrun/runs")
        last = max(i for i, path in enumerate(synced) if path == run)
        assert ".nfrun/history.db" in synced[last:]  # the files are synced before the line that names them
        if not words:
            assert len([path for path in synced if path.endswith(".partial")]) == 3


def test_a_durable_run_syncs_new_folders(
    trial: Trial, synced: list[str], here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    assert here(trial.path, "run", "p.yaml", "--durable", "--work", "deep/a/b").returncode == 0
    folders = [path for path in synced if not path.endswith(".db")]
    assert folders[1:6] == ["deep/a/b/runs", "deep/a/b", "deep/a", "deep", "."]


@pytest.mark.parametrize("words", [[], ["--durable"]])
def test_a_durable_run_syncs_files_of_write_nodes_before_the_journal(
    trial: Trial, words: list[str], synced: list[str], here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    trial.write(
        "p.yaml",
        """\
        nodes:
          numbers: {python: "steps:numbers", with: {count: 3}}
          save: {write: out/new/n.csv, inputs: [numbers]}
        """,
    )
    assert here(trial.path, "run", "p.yaml", *words).returncode == 0
    outside = [step for step in synced if not step.startswith(".nfrun")]
    (renamed,) = (step for step in outside if step.endswith(" -> out/new/n.csv"))
    if not words:
        assert outside == [renamed]
        return
    assert outside == [".", "out", ".", renamed.partition(" -> ")[0], renamed, "out/new"]
    assert any(step == ".nfrun/history.db" for step in synced[synced.index("out/new") :])


def test_durable_runs_give_the_same_digests(trial: Trial) -> None:
    trial.replace("p.yaml", "inputs: {table: numbers}}", "inputs: {table: numbers}, executor: process}")
    found = [trial.run(*words)["outputs"]["total"]["digest"] for words in (["--durable"], ["--fresh"])]
    assert found[0] == found[1]


@pytest.mark.parametrize("line", ["add", "ended"])
def test_a_run_with_an_incomplete_journal_fails(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, here: Callable[..., subprocess.CompletedProcess[str]], line: str
) -> None:
    def full(self: Journal, entry: object, **more: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Journal, line, full)
    (trial.path / "p.yaml").write_text("nodes: {a: {run: 'true'}}\n")
    done = here(trial.path, "run", "p.yaml", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["status"]) == (74, "failed")
    assert document["error"].endswith("history.db: No space left on device")
    assert done.stderr.count("No space left on device") == 1


def test_a_journal_that_cannot_be_written_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Here
) -> None:
    def full(self: Journal, *finished: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Journal, "add", full)
    (tmp_path / "p.yaml").write_text("nodes: {a: {run: 'true'}, b: {run: 'true', needs: a}}\n")
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    done = here(tmp_path, "run", "p.yaml")
    assert done.returncode == 74
    assert {number: signal.getsignal(number) for number in before} == before
    assert f"nfrun: cannot write {tmp_path}/.nfrun/history.db: No space left on device\n" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("handoff", "executor"), [("auto", "thread"), ("mmap", "thread"), ("auto", "process")])
@pytest.mark.parametrize(
    ("one", "other", "sees"),
    [
        ('pa.table({"x": [0]}, metadata={"unit": "m"})', '"m"', "table.schema.metadata[b'unit'].decode()"),
        (
            'pa.table({"x": pa.DictionaryArray.from_arrays([0, 1], ["lo", "hi"])})',
            '"lo", "hi"',
            "','.join(table['x'].chunk(0).dictionary.to_pylist())",
        ),
    ],
    ids=["metadata", "categories"],
)
def test_metadata_and_categories_seen_by_readers_matter(
    trial: Trial, one: str, other: str, sees: str, handoff: str, executor: str
) -> None:
    options = ("--handoff", handoff, "--executor", executor)
    trial.write("p.yaml", 'nodes: {a: {python: "steps:a"}, b: {python: "steps:b", inputs: {table: a}}}')
    trial.write(
        "steps.py", f"import pyarrow as pa\ndef a():\n    return {one}\ndef b(table):\n    return {{'s': {sees}}}\n"
    )
    before = trial.run(*options)["outputs"]["b"]["digest"]
    assert trial.statuses("--resume", *options) == {"a": "reused", "b": "reused"}
    trial.replace("steps.py", "def a():\n", "def a():\n    # which is the same\n")
    assert trial.statuses("--resume", *options) == {"a": "reused", "b": "reused"}
    trial.replace("steps.py", other, {'"m"': '"ft"', '"lo", "hi"': '"none", "lo", "hi"'}[other])
    trial.replace("steps.py", "[0, 1]", "[1, 2]") if "lo" in other else None
    document = trial.run("--resume", *options)
    assert {name: node["status"] for name, node in document["nodes"].items()} == {"a": "ok", "b": "ok"}
    assert document["outputs"]["b"]["digest"] not in (before, ""), "which it sees"
    assert trial.statuses("--resume", *options) == {"a": "reused", "b": "reused"}
