"""A run is a function: several at once in one process, with the results of the command, and nothing left changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import forked
import pytest

from nfrun.engine.event_dispatch import Reporter
from nfrun.session.options import RunOptions
from nfrun.session.run import Run
from nfrun.system.logs.print_capture import capture_prints
from tests.program_runs import run_pipeline

FOLDERS = ("one", "two")

PIPELINE = """
env: {WORD: NAME, TZ: ZONE}
nodes:
  thread: {python: "steps:numbers", with: {count: 5}, outputs: [rows, more]}
  process: {python: "steps:work", inputs: {table: thread.rows}, executor: process}
  async: {python: "steps:wait", inputs: {table: thread.more}}
  script: {run: 'printf "word\\n$WORD\\n" > "$NFRUN_OUTPUT"', format: csv}
  all: {sql: "select * from process, async, script", inputs: [process, async, script]}
outputs: {all: all, rows: thread.rows}
"""

STEPS = """
from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass

import helpers


@dataclass
class Row:
    n: int
    word: str


def numbers(count, context):
    from late import more  # beside this file, and not imported before

    print("hello from", helpers.NAME)
    assert context.env["WORD"] == helpers.NAME
    rows = [vars(Row(n, helpers.NAME)) for n in range(count)]
    return {"rows": rows, "more": [{"n": more()}]}


def work(table):
    print("at work for", helpers.NAME)
    return {"rows": table.num_rows, "name": helpers.NAME, "env": os.environ["WORD"], "zone": time.strftime("%z")}


async def wait(table):
    await asyncio.sleep(0)
    return {"sum": sum(table["n"].to_pylist()), "async_name": helpers.NAME}
"""

# Two runs at once on two threads, then one in a coroutine, one that fails and one that is cancelled.
PROGRAM = """
import asyncio, atexit, gc, json, os, signal, sys, threading, warnings
from contextlib import contextmanager
from pathlib import Path

import multiprocessing.forkserver, pyarrow
import nfrun.engine.executors.processes
from nfrun.session.options import RunOptions
from program_runs import run_pipeline
from nfrun.core.events import NodeStarted
import nfrun.engine.executors.processes

HERE = Path(sys.argv[1])


def options(file, **changes):
    return RunOptions(file, slots=4, **changes)


def state():
    for thread in threading.enumerate():
        if thread.name == "nfrun-loop":
            thread.join(10)
    return {
        "environ": dict(os.environ),
        "path": list(sys.path),
        "hooks": list(map(repr, sys.path_hooks)),
        "finders": list(map(repr, sys.meta_path)),
        "folders": [place for place in sys.path_importer_cache if place.startswith(f"{HERE}")],
        "modules": [name for name, module in list(sys.modules.items()) if is_ours(name, module)],
        "streams": [id(sys.stdout), id(sys.stderr)],
        "descriptors": [list(os.fstat(number)[:3]) for number in (1, 2)],
        "signals": {number: repr(signal.getsignal(number)) for number in signal.valid_signals()},
        "interval": sys.getswitchinterval(),
        "collector": [gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()],
        "event loops": [repr(loop) for loop in gc.get_objects() if is_open_loop(loop)],
        "exit hooks": atexit._ncallbacks(),
        "warnings": list(map(repr, warnings.filters)),
    }


def is_open_loop(thing):
    return isinstance(thing, asyncio.AbstractEventLoop) and not thing.is_closed()


def is_ours(name, module):
    return name.startswith("nfrun_run") or (getattr(module, "__file__", None) or "").startswith(f"{HERE}/")


def document(result):
    return {
        "status": result.end.status,
        "outputs": {str(id): [ref.rows, ref.digest] for id, ref in result.record.refs.items()},
        "tables": {name: table and table.to_pylist() for name, table in result.tables.items()},
        "detached": result.detached,
        "failures": [node.failure.message for node in result.record.nodes.values() if node.failure],
    }


def at_once(names):
    found, start = {}, threading.Barrier(len(names))

    @contextmanager
    def together(run):
        start.wait(60)
        yield

    def run(name):
        found[name] = document(run_pipeline(options(HERE / name / "p.yaml"), around=together))

    threads = [threading.Thread(target=run, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


async def in_a_loop():
    return document(run_pipeline(options(HERE / "one" / "p.yaml", handoff="memory", work=HERE / "loop")))


class Canceller:
    runs = []

    @contextmanager
    def around(self, run):
        self.runs.append(run)
        yield

    def event(self, event):
        if isinstance(event, NodeStarted) and event.node == "endless":
            self.runs[0].cancel("enough")

    def close(self):
        pass


def main():
    # What the first use of a library leaves is not of a run.
    asyncio.run(asyncio.sleep(0))
    run_pipeline(options(HERE / "one" / "p.yaml", work=HERE / "first"))
    before = state()
    found = {"at once": at_once(FOLDERS), "loop": asyncio.run(in_a_loop())}
    found["failing"] = document(run_pipeline(options(HERE / "failing" / "p.yaml")))
    canceller = Canceller()
    found["cancelled"] = document(run_pipeline(options(HERE / "endless" / "p.yaml"), [canceller], canceller.around))
    found["before"], found["after"] = before, state()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for number, name in enumerate(FOLDERS):
        files = {
            "p.yaml": PIPELINE.replace("NAME", name).replace("ZONE", f"XXX-{number + 5}"),
            "steps.py": STEPS,
            "helpers.py": f"NAME = {name!r}",
            "late.py": f"def more(): return {number + 40}",
        }
        (folder / name).mkdir()
        for file, text in files.items():
            (folder / name / file).write_text(text)
    for name, nodes in {
        "failing": "  bad: {python: 'steps:bad'}\n  worse: {python: 'steps:bad', executor: process, needs: [bad]}",
        "endless": "  endless: {run: sleep 600}\n  also: {python: 'steps:endless'}",
    }.items():
        (folder / name).mkdir()
        (folder / name / "p.yaml").write_text(f"nodes:\n{nodes}\n")
        (folder / name / "steps.py").write_text(
            "import steps\ndef bad(): steps.rows\ndef endless(context):\n    while not context.stopped: pass\n"
        )
    return folder


@pytest.fixture(scope="module")
def program(folder: Path) -> dict[str, Any]:
    """What the program found."""
    file = folder.parent / f"{folder.name}.py"
    file.write_text(PROGRAM.replace("FOLDERS", repr(FOLDERS)))
    command = [sys.executable, str(file), str(folder)]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60, env=environ)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_two_runs_at_once_give_what_the_command_gives(folder: Path, program: dict[str, Any], tmp_path: Path) -> None:
    for name in FOLDERS:
        file = str(folder / name / "p.yaml")
        command = [sys.executable, "-m", "nfrun", "run", "--json", "-q", "--work", str(tmp_path), file]
        done = forked.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60)
        outputs = json.loads(done.stdout)["outputs"]
        found = program["at once"][name]
        assert (found["status"], found["detached"], found["failures"]) == ("ok", 0, [])
        shown = {"all": "all", "rows": "thread.rows"}
        assert {key: found["outputs"][id] for key, id in shown.items()} == {
            key: [output["rows"], output["digest"]] for key, output in outputs.items()
        }


def test_each_run_has_its_modules_its_environment_and_its_logs(folder: Path, program: dict[str, Any]) -> None:
    for number, name in enumerate(FOLDERS):
        tables = program["at once"][name]["tables"]
        assert tables["rows"] == [{"n": n, "word": name} for n in range(5)]
        row = {"rows": 5, "name": name, "env": name, "zone": f"+0{number + 5}00", "sum": 40 + number}
        assert tables["all"] == [{**row, "async_name": name, "word": name}]
        logs = {path.name: path.read_text() for path in (folder / name).glob(".nfrun/runs/*/logs/*")}
        assert logs == {"thread.1.stdout": f"hello from {name}\n", "process.1.stdout": f"at work for {name}\n"}


def test_a_run_in_a_coroutine_has_the_same_tables(program: dict[str, Any]) -> None:
    assert program["loop"]["tables"] == program["at once"]["one"]["tables"]


def test_a_failing_and_a_cancelled_run_are_results(program: dict[str, Any]) -> None:
    failing, cancelled = program["failing"], program["cancelled"]
    assert (failing["status"], failing["failures"]) == ("failed", ["module 'steps' has no attribute 'rows'"])
    assert (cancelled["status"], cancelled["detached"]) == ("cancelled", 0)


@pytest.mark.parametrize(
    "what",
    [
        *("environ", "path", "hooks", "finders", "folders", "modules"),
        *("streams", "descriptors", "signals", "interval", "collector", "event loops", "exit hooks", "warnings"),
    ],
)
def test_the_process_is_afterwards_as_before(program: dict[str, Any], what: str) -> None:
    assert program["after"][what] == program["before"][what]
    if what in ("folders", "modules"):
        assert not program["after"][what]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A pipeline file of one small node."""
    (tmp_path / "steps.py").write_text("def make(): return {'n': 1}\n")
    file = tmp_path / "p.yaml"
    file.write_text("nodes:\n  a: {python: 'steps:make'}\noutputs: {a: a}\n")
    return file


@contextmanager
def broken(run: Run) -> Iterator[None]:
    raise LookupError("broken")
    yield


def raise_broken(*arguments: object, **named: object) -> None:
    raise LookupError("broken")


class BrokenReporters:
    def __iter__(self) -> Iterator[Reporter]:
        raise LookupError("broken")


@pytest.mark.parametrize("broken_part", ["around", "go", "reporters", "store", "dispatcher", "journal"])
def test_a_run_that_raises_leaves_no_open_file_and_no_thread(
    file: Path, broken_part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    more: dict[str, Any] = {}
    if broken_part == "around":
        more["around"] = broken
    elif broken_part == "go":
        monkeypatch.setattr(Run, "go", raise_broken)
    elif broken_part == "reporters":
        more["reporters"] = BrokenReporters()
    elif broken_part == "journal":
        monkeypatch.setattr("nfrun.history.cache.run_cache.sync", raise_broken)
    else:
        name = {"store": "tables.store.available_memory", "dispatcher": "engine.event_dispatch.start_thread"}[
            broken_part
        ]
        monkeypatch.setattr(f"nfrun.{name}", raise_broken)
    events = file.parent / "events.jsonl"
    before = threading.enumerate()  # other tests may have left some
    with pytest.raises(LookupError, match="broken") as error:
        run_pipeline(RunOptions(file, events=events, fsync=True), **more)
    descriptors = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    assert not [path for path in descriptors if path.startswith(f"{file.parent}")], error  # which holds all frames
    left = [each for each in threading.enumerate() if each.name.startswith("nfrun-") and each not in before]
    for thread in left:
        thread.join(0)
    assert not [thread.name for thread in left if thread.is_alive()]


def test_the_events_file_has_every_event(file: Path) -> None:
    events = file.parent / "events.jsonl"
    run_pipeline(RunOptions(file, events=events))
    kinds = [json.loads(line)["event"] for line in events.read_text().splitlines()]
    assert (kinds[0], kinds[-1]) == ("run_started", "run_finished")
    assert {"node_started", "node_finished"} < set(kinds)


def test_what_a_detached_node_prints_is_lost(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PASSWORD", "hunter2hunter2")
    file.write_text(
        "secrets: [PASSWORD]\nenv: {SECRET: '${{ secrets.PASSWORD }}'}\n"
        "nodes:\n  slow: {python: 'slow_steps:slow', timeout: 0.1}\n"
    )
    (file.parent / "slow_steps.py").write_text(
        "def slow(context):\n    go_on.wait(30)\n    print(context.env['SECRET'])\n    return {'n': 1}\n"
    )
    go_on = threading.Event()
    monkeypatch.setattr("builtins.go_on", go_on, raising=False)
    before = sys.stdout
    runs: list[Run] = []

    @contextmanager
    def around(run: Run) -> Iterator[None]:
        runs.append(run)
        yield

    result = run_pipeline(RunOptions(file, grace=0.0), around=around)
    assert (result.end.status, result.detached) == ("failed", 1)
    print("the program's")
    assert sys.stdout is not before
    go_on.set()
    for thread in threading.enumerate():
        if thread.name.startswith("nfrun-worker"):
            thread.join(10)
    assert runs[0].detached == 0
    print("at the end")
    with capture_prints():
        pass
    assert sys.stdout is before, "the next run puts it back"
    assert capsys.readouterr().out == "the program's\nat the end\n"


FORKING = """
import multiprocessing
import os
import sys
from pathlib import Path

import nfrun


def run(name):
    result = nfrun.load("p.yaml").run(work=name)
    Path(f"{name}.txt").write_text(f"{result.status} {result['all'].num_rows}")


def forked(work):
    if not (child := os.fork()):
        work()
        os._exit(0)
    os.waitpid(child, 0)


def nested():
    run("child")
    forked(lambda: run("grandchild"))


run("program")
forked(nested)
process = multiprocessing.get_context("fork").Process(target=run, args=("process",))
process.start()
process.join()
with multiprocessing.get_context("fork").Pool(2) as pool:
    pool.map(run, ["pooled"])
run("again")
reading, writing = os.pipe()
if not os.fork():
    os.close(writing)
    os.read(reading, 1)  # the end of the program
    run("orphan")
"""


def test_forked_children_of_a_program_run_pipelines_in_workers_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text("def one():\n    return [{'n': 1}]\n")
    (tmp_path / "p.yaml").write_text(
        "nodes:\n"
        "  process: {python: 'steps:one', executor: process}\n"
        "  thread: {python: 'steps:one', executor: thread}\n"
        "  all: {sql: 'select * from process, thread', inputs: [process, thread]}\n"
    )
    (tmp_path / "program.py").write_text(FORKING)
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = ["program", "child", "grandchild", "process", "pooled", "again", "orphan"]
    assert {name: (tmp_path / f"{name}.txt").read_text() for name in names} == dict.fromkeys(names, "ok 1")
