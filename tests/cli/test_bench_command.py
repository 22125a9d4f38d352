"""Tests of `nfrun bench`: runs, questions, output and errors."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import forked
import pytest
from conftest import Here, without_time

from nfrun.cli.bench import _bundled, machine

STEPS = """
import asyncio
import os
import signal
import sys

def numbers(count=3):
    return [{"n": n} for n in range(count)]

def double(table):
    return [{"n": 2 * n} for n in table["n"].to_pylist()]

def run(context):
    return [{"run": context.run}]

def fails(table):
    raise LookupError("no column 'price'")

def only_one_at_a_time():
    if sys.argv[sys.argv.index("--schedule") + 1] != "sequential":
        raise LookupError("too many")

def killed():
    os.kill(os.getpid(), signal.SIGKILL)

def leaves(code):
    os._exit(code)

async def hangs():
    with open("begun", "w") as pipe:
        pipe.write(str(os.getpid()))
    await asyncio.Event().wait()
"""

FILES = {
    "steps.py": STEPS,
    "two.yaml": """\
name: two
params: {count: 3}
nodes:
  numbers: {python: "steps:numbers", with: {count: "${{ params.count }}"}}
  double: {python: "steps:double", inputs: {table: numbers}}
""",
    "chance.yaml": 'nodes: {a: {python: "steps:run"}, b: {python: "steps:numbers"}}\n',
    "failing.yaml": 'nodes: {a: {python: "steps:numbers"}, b: {python: "steps:fails", inputs: {table: a}}}\n',
    "second.yaml": 'nodes: {a: {python: "steps:only_one_at_a_time"}}\n',
    "killed.yaml": 'nodes: {a: {python: "steps:killed"}}\n',
    "leaves.yaml": 'params: {code: 0}\nnodes: {a: {python: "steps:leaves", with: {code: "${{ params.code }}"}}}\n',
    "hangs.yaml": 'nodes: {a: {python: "steps:hangs"}}\n',
    "effects.yaml": 'nodes: {a: {python: "steps:numbers"}, b: {write: b.csv, inputs: a}, c: {run: "echo >> c"}}\n',
    "wrong.yaml": 'nodes: {a: {python: "steps:numbers"}, b: {python: "steps:double", inputs: {table: c}}}\n',
}


class Folder:
    """A folder with pipelines in which nfrun runs, and a folder for temporary files.

    `bench` compares in this process, which starts the runs as forks of one that has imported nfrun.
    """

    def __init__(self, path: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
        self._here, self._patch = here, monkeypatch
        self.path = path / "here"
        self.temporary = path / "temporary"
        self.path.mkdir()
        self.temporary.mkdir()
        for name, text in FILES.items():
            (self.path / name).write_text(text, encoding="utf-8")
        dropped = ("NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING")
        environ = {key: value for key, value in os.environ.items() if key not in dropped}
        self.env = {**environ, "TMPDIR": str(self.temporary), "COLUMNS": "100"}

    def bench(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        forks = SimpleNamespace(**{**vars(subprocess), "Popen": forked.Popen})
        with self._patch.context() as patch:
            patch.setattr("nfrun.cli.bench.subprocess", forks)
            patch.setattr(tempfile, "tempdir", str(self.temporary))
            for name in ("TMPDIR", "COLUMNS"):
                patch.setenv(name, self.env[name])
            return self._here(self.path, "bench", *arguments)

    def nfrun(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return forked.run(
            [sys.executable, "-m", "nfrun", *arguments],
            cwd=self.path,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )

    def left(self) -> list[str]:
        """Return the names of new files in both folders."""
        return sorted(
            {path.name for path in self.path.iterdir()} - FILES.keys()
            | {path.name for path in self.temporary.iterdir()}
        )


@pytest.fixture
def folder(tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> Folder:
    return Folder(tmp_path, here, monkeypatch)


def test_figures_on_stdout_and_progress_on_stderr(folder: Folder) -> None:
    done = folder.bench("two.yaml", "--repeat", "2", "-p", "count=5")
    assert done.returncode == 0, done.stderr
    progress = [re.sub(r": [\d.]+ \w+$", "", line) for line in done.stderr.splitlines()]
    assert progress == [f"two: {variant}, {turn} of 2" for turn in (1, 2) for variant in ("before", "stages", "now")]
    assert done.stdout.startswith(f"{machine()['cores']} core")
    for line in (" two, 2 nodes ", " memory per execution ", " serialization per node "):
        assert line in done.stdout
    assert "\ntwo: results identical: yes (1 output, 6 runs)\n" in done.stdout
    assert "the order of nodes alone gives at most 1.0x" in done.stdout
    assert "blog" not in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert folder.left() == []


def test_json_prints_one_document(folder: Folder) -> None:
    done = folder.bench("two.yaml", "--repeat", "1", "--json", "-j", "7")
    document = json.loads(done.stdout)
    assert list(document) == ["status", "machine", "repeat", "pipelines"]
    assert document["status"] == "ok"
    assert document["repeat"] == 1
    assert list(document["machine"]) == ["cores", "cpu", "system", "nfrun", "python", "pyarrow", "load"]
    (pipeline,) = document["pipelines"]
    assert (pipeline["name"], pipeline["file"], pipeline["nodes"], pipeline["slots"]) == ("two", "two.yaml", 2, 7)
    assert (pipeline["identical"], pipeline["differing"]) == (True, {})
    assert list(pipeline["variants"]) == ["before", "stages", "now"]
    for variant in pipeline["variants"].values():
        for key in ("wall_s", "peak_rss_bytes", "handoff_per_node_s"):
            assert 0 < variant[key]["min"] == variant[key]["median"] == variant[key]["max"]
    assert pipeline["variants"]["before"]["peak_rss_bytes"]["median"] > 10_000_000


@pytest.fixture(params=["without waiting", pytest.param("as they are", marks=pytest.mark.slow)])
def shipped(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let bench find the pipelines that nfrun brings along, or copies with small tables and without waiting."""
    if request.param == "as they are":
        return
    for name in ("blog-5", "blog-20"):
        text = _bundled(name).read_text()
        (tmp_path / f"{name}.yaml").write_text(re.sub(r"ms: \d+", "ms: 1", text))
    text = _bundled("blog-5").with_name("waiting.py").read_text()
    (tmp_path / "waiting.py").write_text(re.sub(r"^ROWS = .*", "ROWS = 20", text, flags=re.MULTILINE))
    monkeypatch.setattr("nfrun.cli.bench._bundled", lambda name: tmp_path / f"{name}.yaml")


@pytest.mark.usefixtures("shipped")
def test_the_shipped_pipelines_run_from_a_read_only_folder(folder: Folder) -> None:
    folder.path.chmod(0o555)
    try:
        done = folder.bench("--repeat", "1", "--color", "always")
    finally:
        folder.path.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["blog-5"] * 3 + ["blog-20"] * 3
    for line in (" pipeline of 5 nodes", " pipeline of 20 nodes", "800 -> 240 ms", "3.2 s -> 680 ms", "128 -> 76 MB"):
        assert line in done.stdout
    assert "blog-5: results identical: yes (4 outputs, 3 runs)" in done.stdout
    assert "blog-20: results identical: yes (5 outputs, 3 runs)" in done.stdout
    assert "\x1b[1m" in done.stdout
    assert folder.left() == []


def test_a_variant_can_be_run_with_run(folder: Folder) -> None:
    (folder.path / "script.yaml").write_text(
        "nodes:\n"
        '  numbers: {python: "steps:numbers"}\n'
        '  copy: {run: \'cp "$NFRUN_INPUT_table" "$NFRUN_OUTPUT"\', inputs: {table: numbers}}\n'
        '  double: {python: "steps:double", inputs: {table: copy}}\n'
    )
    results = []
    for handoff in ("json", "auto"):
        done = folder.nfrun("run", "script.yaml", "--json", "-q", "--handoff", handoff)
        document = json.loads(done.stdout)
        assert document["status"] == "ok", done.stderr
        assert document["nodes"]["numbers"]["handoff_s"] > 0
        results.append(document["outputs"]["double"])
    text, table = results
    assert text == {**table, "path": None}


def test_differing_results_are_named(folder: Folder) -> None:
    done = folder.bench("chance.yaml", "--repeat", "2")
    assert done.returncode == 0
    assert (
        "chance: results identical: no\n"
        "  'a' differs from run to run of 'before': something in it is not deterministic\n" in done.stdout
    )
    assert "'b'" not in done.stdout


def test_a_pipeline_with_side_effects_needs_yes(folder: Folder) -> None:
    done = folder.bench("effects.yaml")
    what = (
        "effects.yaml writes files, runs scripts or has other effects ('b', 'c'), and this executes all of it 9 times"
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"nfrun: {what}; pass --yes if it may\n")
    assert folder.left() == []
    done = folder.bench("effects.yaml", "--yes", "--repeat", "1")
    assert done.returncode == 0, done.stderr
    assert (folder.path / "c").read_text() == "\n" * 3
    assert folder.left() == ["b.csv", "c"]


def test_a_failure_is_reported_once(folder: Folder) -> None:
    done = folder.bench("failing.yaml")
    assert (done.returncode, done.stdout) == (1, "")
    assert without_time(done.stderr) == (
        "failing: before, 1 of 3: \n"
        "\n"
        "failing.yaml:1:39: node 'b' failed: LookupError: no column 'price'\n"
        "  steps.py:17 in fails\n"
        "    raise LookupError(\"no column 'price'\")\n"
        "  inputs\n"
        "    table: 3 rows, n: int64\n"
        "failing: failed, 1 ran, 1 failed, TIME\n"
        "nfrun: 'before' of failing.yaml exited with status 1; nothing is compared\n"
    )


def test_bench_does_not_suggest_options_of_run(folder: Folder) -> None:
    nodes = "".join(f"  w{i}: {{python: 'steps:numbers', inputs: {{count: b}}}}\n" for i in range(2))
    (folder.path / "more.yaml").write_text(
        "nodes:\n  a: {python: 'steps:numbers'}\n  b: {python: 'steps:fails', inputs: {table: a}}\n"
        "  c: {python: 'steps:numbers', needs: [a]}\n" + nodes
    )
    done = folder.bench("more.yaml")
    assert "not finished after the failure: c\n" in done.stderr
    assert "-k" not in done.stderr
    assert "go on" not in done.stderr


def test_a_failure_in_one_variant_fails_bench(folder: Folder) -> None:
    done = folder.bench("second.yaml", "--json")
    assert done.returncode == 1
    assert "node 'a' failed: LookupError: too many" in done.stderr
    what = "'stages' of second.yaml exited with status 1; nothing is compared"
    assert done.stderr.endswith(f"nfrun: {what}\n")
    assert json.loads(done.stdout) == {"status": "failed", "error": what}
    assert folder.left() == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["killed.yaml"], "'before' of killed.yaml was killed by SIGKILL; the system does that when memory runs out"),
        (["leaves.yaml"], "'before' of leaves.yaml ended without a result"),
        (["leaves.yaml", "-p", "code=3"], "'before' of leaves.yaml exited with status 3"),
    ],
)
def test_a_run_without_a_result_is_described(folder: Folder, arguments: list[str], expected: str) -> None:
    done = folder.bench(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    name = arguments[0].removesuffix(".yaml")
    assert done.stderr == f"{name}: before, 1 of 3: \nnfrun: {expected}; nothing is compared\n"
    assert folder.left() == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["none.yaml"], "none.yaml: there is no such file\n"),
        (["."], ".: this is a folder, not a file\n"),
        (["wrong.yaml"], "wrong.yaml:1:83: node 'b' reads 'c', which is not defined\n"),
        (["steps.py"], "steps.py:"),
        (["two.yaml", "-p", "cuont=1"], "two.yaml: the pipeline has no parameter 'cuont'\n"),
        (["two.yaml", "-p", "count=x"], "two.yaml: the parameter 'count' must be of type integer, not 'x'\n"),
        (["two.yaml", "-p", "count"], "Error: Invalid value for -p: 'count' is not NAME=VALUE\n"),
        (
            ["-p", "a=1"],
            "Error: Invalid value for -p: the pipelines that nfrun brings along have no parameters: name a",
        ),
        (["two.yaml", "-j", "x"], "Error: Invalid value for -j: 'x' is neither auto nor a number from 1 to 10,000\n"),
        (["two.yaml", "-j", "0"], "Error: Invalid value for -j: '0' is neither auto nor a number from 1 to 10,000\n"),
        (["two.yaml", "--repeat", "0"], "Error: Invalid value for --repeat: '0' is not a number from 1 to 1,000\n"),
        (["two.yaml", "--repeat", "x"], "Error: Invalid value for --repeat: 'x' is not a number from 1 to 1,000\n"),
        (["two.yaml", "wrong.yaml"], "Error: Got unexpected extra argument(s) (wrong.yaml)\n"),
        (["two.yaml", "--handoff", "json"], "Error: No such option: --handoff"),
    ],
)
def test_usage_errors_are_reported_before_anything_runs(
    folder: Folder, here: Here, arguments: list[str], expected: str
) -> None:
    done = here(folder.path, "bench", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert expected in done.stderr
    assert "1 of 3" not in done.stderr
    assert "Traceback" not in done.stderr
    assert folder.left() == []


def test_an_invalid_file_is_reported_as_json(folder: Folder, here: Here) -> None:
    done = here(folder.path, "bench", "wrong.yaml", "--json")
    assert done.returncode == 2
    (problem,) = json.loads(done.stdout)["problems"]
    assert problem["message"] == "node 'b' reads 'c', which is not defined"


@pytest.mark.parametrize(("number", "name", "code"), [(2, "Ctrl-C", 130), (15, "SIGTERM", 143), (1, "SIGHUP", 129)])
def test_a_signal_ends_bench_and_its_child(folder: Folder, number: int, name: str, code: int) -> None:
    os.mkfifo(folder.path / "begun")
    process = forked.Popen(
        [sys.executable, "-m", "nfrun", "bench", "hangs.yaml"],
        cwd=folder.path,
        env=folder.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        process_group=0,
    )
    with process:
        pid = int((folder.path / "begun").read_text())
        os.killpg(process.pid, number)  # as a terminal does: the child gets the signal too
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    assert err == f"hangs: before, 1 of 3: \nnfrun: stopped by {name}; nothing is compared\n"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert folder.left() == ["begun"]
