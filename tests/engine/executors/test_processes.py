"""Tests of attempts in worker processes: outcomes, prints, stopping, and workers that die."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pytest

from nfrun.core.errors import Cause, HandoffError
from nfrun.core.events import Failure, NodeStarted, Outcome, OutputRef
from nfrun.core.pipeline import Input, NodeSpec, OutputId, Pipeline
from nfrun.engine.attempt import AttemptRunner
from nfrun.engine.executors.base import Placement
from nfrun.engine.executors.pool import WorkerPool
from nfrun.engine.executors.processes import ProcessExecutor, ProcessWorkers
from nfrun.engine.executors.worker_orders import _ending
from nfrun.nodes.base import CancelToken
from nfrun.system.logs.node_logs import Logs
from nfrun.tables.store import TableStore

NO_TABLES: Mapping[str, pa.Table] = {}
STEPS = """
    import asyncio, logging, multiprocessing, os, pathlib, signal, sys, threading, time
    import pyarrow as pa

    class NoPandas:
        def find_spec(name, path=None, target=None):
            if name == "pandas":
                raise ModuleNotFoundError(name)

    if multiprocessing.parent_process():
        sys.meta_path.insert(0, NoPandas)  # where it is installed, Arrow would import it in every worker

    def where(): return {"pid": os.getpid(), "main": threading.current_thread() is threading.main_thread()}
    def double(table): return pa.table({"n": [2 * n for n in table["n"].to_pylist()]})
    def two(): return {"left": {"n": 1}, "right": {"n": 2}}
    def nothing(): return None
    def fail(table): raise ValueError("no good")
    def leave(): os._exit(3)
    def die(number): os.kill(os.getpid(), number)
    def speak(context):
        print("out")
        print("err", file=sys.stderr)
        print("begun", end="")
        context.log.info("logged")
        context.progress(1, 2)
    def started_with():
        started = pathlib.Path("/proc/self/environ").read_text().split("\\0")
        return {"pid": os.getpid(), "own": "OWN=1" in started, "now": os.environ["OWN"], "given": os.environ["GIVEN"]}
    def environment(): return {"value": os.environ["GIVEN"], "cwd": os.getcwd()}
    def for_ever(flag):
        pathlib.Path(flag).write_text("")
        while True:
            time.sleep(0.001)
    def stubborn(flag):
        while True:
            try:
                for_ever(flag)
            except BaseException:
                pass
    async def co(): return {"n": await asyncio.sleep(0, 7)}
    async def co_for_ever(flag):
        pathlib.Path(flag).write_text("")
        await asyncio.sleep(1000)
    def reader():
        schema = pa.schema([("n", pa.int64())])
        batches = (pa.record_batch([[n]], schema=schema) for n in range(3))
        return pa.RecordBatchReader.from_batches(schema, batches)
    def broken_reader():
        schema = pa.schema([("n", pa.int64())])
        def batches():
            yield pa.record_batch([[1]], schema=schema)
            raise ValueError("half way")
        return pa.RecordBatchReader.from_batches(schema, batches())
    def words():
        chunks = [pa.array([word]).dictionary_encode() for word in ("a", "b")]
        return pa.table({"w": pa.chunked_array(chunks)})
    def shout():
        raise SystemExit(4)
    def fork(end):
        pid = os.fork()
        if not pid and end == "raise": raise ValueError("of the child")
        if not pid and end == "exit": raise SystemExit(0)
        if not pid: print("of the child")
        if pid: os.waitpid(pid, 0)
        return {"who": "parent" if pid else "child"}
    def fork_and_terminate():
        here, there = os.pipe()
        pid = os.fork()
        if not pid:
            os.write(there, b".")
            time.sleep(1000)
        os.read(here, 1)
        os.kill(pid, signal.SIGTERM)
        return {"status": os.waitpid(pid, 0)[1]}
    def hang_up(): os.closerange(3, 200)
    def leave_behind(flag):
        import subprocess
        child = subprocess.Popen(["sleep", "1000"])
        pathlib.Path(flag).write_text(str(child.pid))
        while True: time.sleep(0.01)
    def interrupt_a_child():
        import subprocess
        child = subprocess.Popen(["sleep", "1000"])
        child.send_signal(signal.SIGINT)
        return {"status": child.wait()}
    def print_all():
        import subprocess
        os.write(2, b"of the system \\x1b[1m")
        subprocess.run(["echo", "of a program"], check=True)
        thread = threading.Thread(target=print, args=["of a thread"])
        thread.start()
        thread.join()
    def cut_off(context):
        from multiprocessing.connection import Connection
        send = Connection._send
        def send_half(self, data, *more):
            Connection._send = send
            send(self, data[: len(data) // 2])
            signal.raise_signal(signal.SIGTERM)
        Connection._send = send_half
        context.log.info("x" * 16_000)
    def print_and_die():
        print("last words")
        os._exit(3)
    def stay_behind():
        import subprocess
        print("here")
        subprocess.Popen(["sh", "-c", "sleep 1000"])
    def close_all():
        os.close(1)
        os.close(2)
        return {"n": 1}
    def closing():
        sys.stdout.close()
        return {"n": 1}
    by_lambda = lambda: {"n": 5}
    def make(n):
        def closure(): return {"n": n}
        return closure
    by_closure = make(6)
    def may_share(context): return {"may_share": context._node_context.may_share_memory}
"""


@dataclass
class Trial:
    """Makes attempts at the node `node` in worker processes. `inputs` are its tables by input name."""

    folder: Path
    mode: str = "auto"
    ahead: int = 1
    grace: float = 5.0
    take_seconds: float = 1000.0
    environ: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    logged: list[tuple[str, str, str]] = field(default_factory=list)
    progress: list[tuple[str, float, float | None]] = field(default_factory=list)
    workers: ProcessWorkers | None = None
    started: list[Any] = field(default_factory=list)
    begun: list[tuple[str, int]] = field(default_factory=list)
    unshared: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.module = f"remote_{self.folder.name}"
        (self.folder / f"{self.module}.py").write_text(textwrap.dedent(STEPS))
        self.run_folder = self.folder / "run"
        self.store = TableStore(self.run_folder, mode=self.mode)

    def on_begun(self, node: str, attempt: int, call: int) -> None:
        self.begun.append((node, attempt))

    def spec(self, function: str, *inputs: str, **more: Any) -> NodeSpec:
        given = tuple(Input(name, OutputId(f"from_{name}")) for name in inputs)
        more = {"with_": {}, "outputs": (), "needs": (), "env": {}, **more}
        return NodeSpec("node", "python", f"{self.module}:{function}", given, **more)

    def start(self, spec: NodeSpec, *, read: bool = False) -> ProcessWorkers:
        readers = tuple(Input(f"i{i}", output) for i, output in enumerate(spec.output_ids if read else ()))
        all_nodes = {"node": spec, "reader": NodeSpec("reader", "run", "true", readers, {}, (), (), {})}
        pipeline = Pipeline("p.yaml", str(self.folder), "p", "", {}, {}, all_nodes, {})
        work = AttemptRunner(
            pipeline,
            self.store,
            "run-1",
            self.folder / "scratch",
            {**os.environ, "GIVEN": "yes"},
            Logs(lambda *line: self.logged.append(line), self.folder / "logs"),
            lambda *step: self.progress.append(step),
            grace=self.grace,
            unshared=self.unshared,
        )
        started = self.started

        class Watched(WorkerPool):
            def _start(self, environ: Mapping[str, str]) -> Any:
                worker = super()._start(environ)
                started.append(worker)
                return worker

        with patch("nfrun.engine.executors.pool.WorkerPool", Watched):
            placement = Placement(worker_environ=self.environ)
            self.workers = ProcessWorkers(
                work, self.store, self.run_folder, self.on_begun, self.ahead, self.take_seconds, placement
            )
        return self.workers

    def run(
        self,
        function: str,
        inputs: Mapping[str, pa.Table] = NO_TABLES,
        *,
        cancel_token: CancelToken | None = None,
        read: bool = False,
        attempts: int = 1,
        **more: Any,
    ) -> list[Outcome]:
        refs = {f"from_{name}": self.store.publish(f"from_{name}", 1, table) for name, table in inputs.items()}
        workers = self.workers or self.start(self.spec(function, *inputs, **more), read=read)
        cancel_token = cancel_token or CancelToken()
        return [workers(NodeStarted(0.0, "node", n + 1, refs), cancel_token, _no_coroutine) for n in range(attempts)]

    def run_once(self, function: str, inputs: Mapping[str, pa.Table] = NO_TABLES, **more: Any) -> Outcome:
        (outcome,) = self.run(function, inputs, **more)
        return outcome

    def table(self, outcome: Outcome) -> list[dict[str, Any]]:
        assert outcome.failure is None
        (ref,) = outcome.outputs.values()
        rows: list[dict[str, Any]] = self.store.open(ref).to_pylist()
        return rows

    def pids(self) -> list[int]:
        """Return the process ids of all workers that were started."""
        return [worker.process.pid or 0 for worker in self.started]


def _no_coroutine(coroutine: Any) -> Any:
    raise AssertionError("nothing of it runs on the event loop of this process")


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    trial = Trial(tmp_path)
    yield trial
    if trial.workers:
        trial.workers.close()
        assert not any(worker and worker.alive for worker in trial.started)
        assert all(worker is None or worker.pipe.closed for worker in trial.started)
    trial.store.close()


def test_a_node_runs_in_another_process_on_its_main_thread(trial: Trial) -> None:
    first, second = trial.run("where", attempts=2)
    assert trial.table(first) == trial.table(second) == [{"pid": trial.pids()[0], "main": True}], "it stays warm"
    assert trial.pids()[0] != os.getpid()


@pytest.mark.parametrize("unshared", [True, False])
def test_a_worker_is_told_whether_a_result_may_share_memory(trial: Trial, unshared: bool) -> None:
    trial.unshared = frozenset({"node"} if unshared else ())
    assert trial.table(trial.run_once("may_share")) == [{"may_share": not unshared}]


def test_an_attempt_begins_when_a_worker_has_taken_it(trial: Trial) -> None:
    trial.run("where", attempts=2)
    assert trial.begun == [("node", 1), ("node", 2)]
    assert not ProcessExecutor.begins_at_once


def test_an_attempt_without_a_worker_or_its_inputs_has_not_begun(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.run("where")
    seen: list[int] = []
    real_file, real_take = trial.store.file, WorkerPool.take

    def file(ref: OutputRef) -> Path:
        seen.append(len(trial.begun))
        return real_file(ref)

    def take(pool: WorkerPool, seconds: float, environ: Mapping[str, str]) -> Any:
        seen.append(len(trial.begun))
        return real_take(pool, seconds, environ)

    monkeypatch.setattr(trial.store, "file", file)
    monkeypatch.setattr(WorkerPool, "take", take)
    trial.run("where", {"table": pa.table({"n": [1]})})
    assert (seen, len(trial.begun)) == ([1, 1], 2)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_with_variables_of_its_own_starts_with_them(trial: Trial) -> None:
    """Libraries read some variables when they are imported, and the fork server has imported them."""
    trial.environ = {"node": {"OWN": "1"}}
    first, second = trial.run("started_with", attempts=2)
    (row,) = trial.table(first)
    assert row == {"pid": row["pid"], "own": True, "now": "1", "given": "yes"}
    assert row["pid"] in trial.pids()
    assert trial.table(second) == [row], "it stays warm"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_with_variables_of_its_own_is_stopped_like_others(trial: Trial) -> None:
    trial.environ, trial.ahead = {"node": {"OWN": "1"}}, 0
    failure = trial.run_once("die", with_={"number": signal.SIGTERM}).failure
    assert failure == lost("its worker process was told to end by SIGTERM")
    trial.workers = None
    outcome = outcome_when_stopped(trial, "for_ever", CancelToken.cancel)
    assert outcome.failure is not None
    assert outcome.failure.cause is Cause.CANCELLED


@pytest.mark.parametrize("mode", ["auto", "mmap", "memory"])
def test_tables_travel_through_files(tmp_path: Path, mode: str) -> None:
    trial = Trial(tmp_path, mode=mode)
    try:
        outcome = trial.run_once("double", {"table": pa.table({"n": [1, 2, 3]})})
        assert trial.table(outcome) == [{"n": 2}, {"n": 4}, {"n": 6}]
        (ref,) = outcome.outputs.values()
        path = None if mode == "memory" else str(trial.run_folder / "node.1.arrow")
        assert (ref.rows, ref.schema, ref.path) == (3, "n: int64", path)
        assert (trial.run_folder / "node.1.arrow").exists() == (mode != "memory")
        assert outcome.duration > 0
        assert outcome.cpu > 0
        assert set(outcome.input_waits) == {"from_table"}
        trial.store.release(ref)
        assert trial.store.flushed(10)
        assert not (trial.run_folder / "node.1.arrow").exists()
    finally:
        assert trial.workers
        trial.workers.close()
        trial.store.close()


@pytest.mark.parametrize(
    ("function", "rows"),
    [
        ("reader", [{"n": 0}, {"n": 1}, {"n": 2}]),
        ("words", [{"w": "a"}, {"w": "b"}]),
        ("co", [{"n": 7}]),
        ("closing", [{"n": 1}]),
        ("by_lambda", [{"n": 5}]),
        ("by_closure", [{"n": 6}]),
    ],
)
def test_functions_of_any_sort_run_in_a_worker(trial: Trial, function: str, rows: list[dict[str, Any]]) -> None:
    """The worker imports the function by name. User objects are never pickled, so lambdas work too."""
    assert trial.table(trial.run_once(function)) == rows


def test_several_outputs_and_none(trial: Trial) -> None:
    outcome = trial.run_once("two", outputs=("left", "right"))
    assert {output: trial.store.open(ref).to_pylist() for output, ref in outcome.outputs.items()} == {
        "node.left": [{"n": 1}],
        "node.right": [{"n": 2}],
    }


def test_a_missing_output_that_is_read_is_a_failure(trial: Trial) -> None:
    failure = trial.run_once("nothing", read=True).failure
    assert failure is not None
    assert failure.message == "it has not made 'node', but other nodes read it"


def test_an_error_has_the_users_frames(trial: Trial) -> None:
    failure = trial.run_once("fail", {"table": pa.table({"n": [1]})}).failure
    assert failure is not None
    assert (failure.cause, failure.type, failure.message) == (Cause.NODE, "ValueError", "no good")
    assert [(f.file, f.function, f.source) for f in failure.frames] == [
        (f"{trial.module}.py", "fail", 'def fail(table): raise ValueError("no good")')
    ]
    assert failure.inputs == ("table: 1 row, n: int64",)


@pytest.mark.parametrize(
    ("function", "message"), [("broken_reader", "half way"), ("shout", "the node called sys.exit(4)")]
)
def test_a_failed_node_keeps_its_worker_and_leaves_no_file(trial: Trial, function: str, message: str) -> None:
    first, second = trial.run(function, attempts=2)
    for outcome in (first, second):
        assert outcome.failure is not None
        assert (outcome.failure.message, dict(outcome.outputs)) == (message, {})
    assert len(trial.pids()) == 1
    assert not trial.run_folder.exists() or list(trial.run_folder.iterdir()) == []


def test_prints_logs_and_progress_are_passed_on(trial: Trial) -> None:
    trial.run_once("speak")
    assert trial.logged == [
        ("node", "stdout", "out"),
        ("node", "stderr", "err"),
        ("node", "info", "logged"),
        ("node", "stdout", "begun"),
    ]
    assert trial.progress == [("node", 1.0, 2.0)]


def test_all_output_of_a_worker_is_logged_for_its_node(trial: Trial) -> None:
    """Compiled code, threads and programs may print."""
    trial.run_once("print_all")
    assert sorted(trial.logged) == [
        ("node", "stderr", "of the system \x1b[1m"),
        ("node", "stdout", "of a program"),
        ("node", "stdout", "of a thread"),
    ]
    assert (trial.folder / "logs" / "node.1.stderr").read_bytes() == b"of the system \x1b[1m"


def test_prints_before_a_worker_dies_are_not_lost(trial: Trial) -> None:
    outcome = trial.run_once("print_and_die")
    assert outcome.failure == lost("its worker process exited with status 3 while the node ran")
    assert trial.logged == [("node", "stdout", "last words")]


def test_a_background_process_with_the_streams_of_a_worker_does_not_block_it(trial: Trial) -> None:
    trial.run("stay_behind", attempts=3)
    assert trial.logged == [("node", "stdout", "here")] * 3


def test_a_node_may_close_its_streams(trial: Trial) -> None:
    first, second = trial.run("close_all", attempts=2)
    assert trial.table(first) == trial.table(second) == [{"n": 1}]


def test_the_environment_is_that_of_the_run(trial: Trial) -> None:
    assert trial.table(trial.run_once("environment")) == [{"value": "yes", "cwd": str(Path.cwd())}]


# ------------------------------------------------------------------ workers that die


def lost(message: str) -> Failure:
    return Failure(Cause.LOST, "WorkerLost", message)


@pytest.mark.parametrize(
    ("function", "given", "message"),
    [
        ("leave", {}, "its worker process exited with status 3 while the node ran"),
        (
            "die",
            {"number": signal.SIGKILL},
            "its worker process was killed by SIGKILL; the system does that when memory runs out",
        ),
        ("die", {"number": signal.SIGTERM}, "its worker process was told to end by SIGTERM"),
        (
            "die",
            {"number": signal.SIGSEGV},
            "its worker process was killed by SIGSEGV; compiled code in it crashed",
        ),
    ],
)
def test_a_worker_that_dies_is_lost_and_replaced(
    trial: Trial, function: str, given: dict[str, Any], message: str
) -> None:
    first, second = trial.run(function, with_={name: int(value) for name, value in given.items()}, attempts=2)
    assert first == Outcome("node", 1, lost(message))
    assert second.failure == lost(message)
    assert len(set(trial.pids())) == 2


@pytest.mark.parametrize("length", [1, 1_000_000])  # a long order does not fit into the pipe
def test_a_worker_that_does_not_take_its_attempt_is_killed_and_lost(trial: Trial, length: int) -> None:
    trial.run("where", env={"X": "x" * length})
    assert trial.workers
    os.kill(trial.pids()[0], signal.SIGSTOP)
    trial.workers._orders._take_seconds = 0.1
    assert trial.run_once("where").failure == lost("its worker process has not taken the attempt within 0.1 s")
    assert not trial.started[0].alive
    trial.workers._orders._take_seconds = 1000.0
    assert trial.table(trial.run_once("where")) == [{"pid": trial.pids()[1], "main": True}]


def test_a_worker_that_has_taken_its_attempt_has_no_deadline(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 1e6 * len(trial.begun))
    monkeypatch.setattr("nfrun.engine.executors.pool.time", clock)
    assert trial.table(trial.run_once("where")) == [{"pid": trial.pids()[0], "main": True}]


def test_an_attempt_does_not_wait_for_ever_for_a_worker_to_start(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang(*arguments: Any) -> None:
        release.wait(20)
        raise OSError("too late")

    monkeypatch.setattr("nfrun.engine.executors.pool.Worker", hang)
    trial.take_seconds = 0.1
    failure = trial.run_once("where").failure
    release.set()
    assert failure is not None
    assert (failure.cause, failure.type) == (Cause.LOST, "TimeoutError")
    assert failure.message == "no worker process could be started: none has started within 0.1 s"


def test_a_worker_that_ends_in_the_middle_of_a_message_is_lost(trial: Trial) -> None:
    assert trial.run_once("cut_off").failure == lost("its worker process has closed the connection to the run")
    assert trial.logged == []


def test_an_error_in_the_code_of_a_worker_is_internal_and_the_worker_goes_on(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = ProcessWorkers._order

    def wrong_once(self: ProcessWorkers, start: NodeStarted, input_waits: dict[str, float]) -> Any:
        made = order(self, start, input_waits)
        return replace(made, start=replace(start, node="other")) if start.attempt == 1 else made

    monkeypatch.setattr(ProcessWorkers, "_order", wrong_once)
    first, second = trial.run("where", attempts=2)
    assert first.failure is not None
    assert (first.failure.cause, first.failure.type, first.failure.message) == (Cause.INTERNAL, "KeyError", "'other'")
    assert trial.table(second)[0]["pid"] in trial.pids()
    assert len(trial.started) == 1


def test_workers_that_die_together_report_their_own_exit_status(tmp_path: Path) -> None:
    """This happens when memory runs out. Workers are checked while others start."""
    trial = Trial(tmp_path, ahead=3)
    workers = trial.start(trial.spec("die", with_={"number": int(signal.SIGKILL)}))
    outcomes: list[Outcome] = []

    def attempts(first: int) -> None:
        outcomes.extend(
            workers(NodeStarted(0.0, "node", first + n, {}), CancelToken(), _no_coroutine) for n in range(8)
        )

    threads = [threading.Thread(target=attempts, args=[100 * n]) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    workers.close()
    trial.store.close()
    killed = "its worker process was killed by SIGKILL; the system does that when memory runs out"
    assert {outcome.failure for outcome in outcomes} == {lost(killed)}
    assert len(outcomes) == 24
    assert workers._orders._pool._all == [], "nothing of them is kept"


def test_a_worker_that_closes_its_pipes_is_lost(trial: Trial) -> None:
    """The message depends on which pipe is noticed first: that of results, or that which shows the end of the run."""
    messages = {outcome.failure.message for outcome in trial.run("hang_up", attempts=2) if outcome.failure}
    assert messages <= {
        "its worker process has closed the connection to the run",
        "its worker process exited with status 1 while the node ran",
    }


@pytest.mark.parametrize("end", ["return", "raise", "exit"])
def test_a_forked_child_of_a_node_returns_no_outcome(trial: Trial, end: str) -> None:
    outcomes = trial.run("fork", with_={"end": end}, attempts=3)
    assert [trial.table(outcome) for outcome in outcomes] == [[{"who": "parent"}]] * 3
    printed = [line for _, stream, line in trial.logged if stream == "stdout"]
    assert printed == (["of the child"] * 3 if end == "return" else [])  # it prints like any program that a node starts
    assert len(trial.pids()) == 1


def test_a_forked_child_has_default_signal_handlers(trial: Trial) -> None:
    assert trial.table(trial.run_once("fork_and_terminate")) == [{"status": signal.SIGTERM}]


def test_programs_started_by_a_node_can_be_interrupted(trial: Trial) -> None:
    assert trial.table(trial.run_once("interrupt_a_child")) == [{"status": -signal.SIGINT}]


def test_a_worker_that_cannot_start_is_io(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, *arguments: Any) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("nfrun.engine.executors.pool.Worker.__init__", refuse)
    failure = trial.run_once("where").failure
    assert failure is not None
    assert (failure.cause, failure.type) == (Cause.IO, "OSError")
    assert failure.message == "no worker process could be started: Too many open files"


def test_if_one_output_cannot_be_registered_no_file_is_left(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    real = trial.store.register_file

    def register_file(ref: Any) -> Any:
        if ref.id == "node.right":
            raise HandoffError("no room")
        return real(ref)

    monkeypatch.setattr(trial.store, "register_file", register_file)
    with pytest.raises(HandoffError, match="no room"):
        trial.run_once("two", outputs=("left", "right"))
    assert trial.store.flushed(10)
    assert list(trial.run_folder.iterdir()) == []


def test_every_end_of_a_worker_is_described() -> None:
    assert _ending(None) == _ending(0) == "its worker process has closed the connection to the run"
    assert _ending(3) == "its worker process exited with status 3 while the node ran"
    assert _ending(-15) == "its worker process was killed by SIGTERM"


def test_an_idle_worker_that_died_is_not_used(trial: Trial) -> None:
    trial.run_once("where")
    (worker,) = trial.started
    os.kill(worker.process.pid or 0, signal.SIGKILL)
    worker.process.join(10)
    assert trial.table(trial.run_once("where")) == [{"pid": trial.pids()[1], "main": True}]


# ------------------------------------------------------------------ stopping


def outcome_when_stopped(trial: Trial, function: str, act: Callable[[CancelToken], None]) -> Outcome:
    """Start a node, call `act` on its cancel token once it runs, and return the outcome."""
    flag, cancel_token = trial.folder / "flag", CancelToken()
    outcomes: list[Outcome] = []
    thread = threading.Thread(
        target=lambda: outcomes.append(trial.run_once(function, cancel_token=cancel_token, with_={"flag": str(flag)})),
        daemon=True,
    )
    thread.start()
    tick = threading.Event()
    while not flag.exists() or (function == "leave_behind" and not flag.read_text()):
        assert thread.is_alive()
        tick.wait(0.005)
    act(cancel_token)
    thread.join(20)
    (outcome,) = outcomes
    return outcome


@pytest.mark.parametrize("function", ["for_ever", "co_for_ever"])
def test_a_cancelled_node_stops(trial: Trial, function: str) -> None:
    failure = outcome_when_stopped(trial, function, CancelToken.cancel).failure
    assert failure is not None
    assert (failure.cause, failure.message) == (Cause.CANCELLED, "stopped")


@pytest.mark.parametrize("function", ["for_ever", "stubborn"])
def test_a_node_that_does_not_stop_is_killed(trial: Trial, function: str) -> None:
    failure = outcome_when_stopped(trial, function, CancelToken.kill).failure
    assert failure is not None
    assert failure.cause is Cause.CANCELLED


def test_a_node_that_ignores_the_cancel_is_killed_after_the_grace(trial: Trial) -> None:
    trial.grace = 0.05
    failure = outcome_when_stopped(trial, "stubborn", CancelToken.cancel).failure
    assert failure is not None
    assert failure.cause is Cause.CANCELLED


def test_children_of_a_stopped_node_are_killed(trial: Trial) -> None:
    outcome_when_stopped(trial, "leave_behind", CancelToken.cancel)
    pid, tick = int((trial.folder / "flag").read_text()), threading.Event()
    for _ in range(1000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
            return
        tick.wait(0.01)
    pytest.fail("it still runs")


def test_a_cancel_before_the_start_cancels_the_attempt(trial: Trial) -> None:
    cancel_token = CancelToken()
    cancel_token.cancel()
    failure = trial.run_once("where", cancel_token=cancel_token).failure
    assert failure is not None
    assert failure.cause is Cause.CANCELLED


def test_after_close_no_attempt_starts(trial: Trial) -> None:
    workers = trial.start(trial.spec("where"))
    workers.close()
    failure = workers(NodeStarted(0.0, "node", 1), CancelToken(), _no_coroutine).failure
    assert failure is not None
    assert failure.cause is Cause.CANCELLED


def test_an_input_that_is_gone_is_io(trial: Trial) -> None:
    ref = trial.store.publish("from_table", 1, pa.table({"n": [1]}))
    workers = trial.start(trial.spec("double", "table"))
    trial.store.release(ref)
    with pytest.raises(HandoffError, match="the output 'from_table' is gone: all its readers had ended"):
        workers(NodeStarted(0.0, "node", 1, {"from_table": ref}), CancelToken(), _no_coroutine)


def test_a_closed_store_registers_no_file(trial: Trial) -> None:
    outcome = trial.run_once("where")
    (ref,) = outcome.outputs.values()
    trial.store.release(ref)
    assert trial.store.flushed(10)
    trial.store.close()
    with pytest.raises(HandoffError, match="the output 'node' comes too late: the run is over"):
        trial.run_once("where")
    assert not list(trial.folder.glob("run/*"))
    with pytest.raises(HandoffError):
        trial.store.open(ref)
