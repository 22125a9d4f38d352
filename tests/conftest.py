"""Fixtures that several tests share: single attempts at a node with a real store, and nfrun run in this process."""

from __future__ import annotations

import gc
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import spawn
from pathlib import Path
from typing import Any, TypeVar

import forked
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings

from nfrun.__main__ import main
from nfrun.code.source_import import forget_imported, imported_sources
from nfrun.core.events import Failure, NodeStarted, Outcome
from nfrun.core.pipeline import Input, NodeSpec, OutputId, Pipeline
from nfrun.engine.attempt import AttemptRunner
from nfrun.engine.executors.threads import _Loop
from nfrun.nodes.base import CancelToken
from nfrun.system import runtime
from nfrun.system.logs.node_logs import Logs
from nfrun.system.runtime import cores
from nfrun.tables.store import TableStore

# For property tests: each run tries new examples, and a slow machine does not fail a test. `.ci/run` tries more, with
# --hypothesis-profile=long.
settings.register_profile("nfrun", max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", settings.get_profile("nfrun"), max_examples=150)
settings.load_profile("nfrun")

# A process that compiles nfrun and pyarrow again takes four times as long, and tests start hundreds.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.pop("GITHUB_ACTIONS", None)  # in which nfrun prints for GitHub's runner
sys.dont_write_bytecode = False

pytest_plugins = ["tests.lookback.page_fixtures", "tests.tables.s3_fixtures"]

STUBS = Path(__file__).with_name("lean")
_T = TypeVar("_T")
_MODULES = (f"steps_{number}" for number in itertools.count())


@dataclass
class Trial:
    """Makes single attempts in `folder`. `logged` and `progress` collect what the nodes log and their progress."""

    folder: Path
    store: TableStore
    loop: _Loop
    stop: CancelToken = field(default_factory=CancelToken)
    logged: list[tuple[str, str]] = field(default_factory=list)
    progress: list[tuple[float, float | None]] = field(default_factory=list)
    grace: float = 5.0
    environ: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"})

    def __post_init__(self) -> None:
        self.wait = partial(self.loop.run_coroutine, cancel_token=self.stop)
        self.logs = Logs(lambda node, level, line: self.logged.append((level, line)), self.folder / "logs")

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    def module(self, source: str) -> str:
        """Write a module next to the pipeline file and return its name."""
        name = next(_MODULES)
        (self.folder / f"{name}.py").write_text(textwrap.dedent(source))
        return name

    def spec(self, kind: str, body: str, inputs: Mapping[str, Any] = {}, **settings_of_node: Any) -> NodeSpec:
        declared_inputs = tuple(Input(name, OutputId(f"from_{name}")) for name in inputs)
        settings_of_node = {"with_": {}, "outputs": (), "needs": (), "env": {}, **settings_of_node}
        return NodeSpec("node", kind, body, declared_inputs, **settings_of_node)

    def work(self, *specs: NodeSpec, read: bool = False) -> AttemptRunner:
        nodes = {spec.id: spec for spec in specs}
        if read:  # add a second node that reads the outputs of the first
            reader_inputs = tuple(Input(f"i{i}", output) for i, output in enumerate(specs[0].output_ids))
            nodes["reader"] = NodeSpec("reader", "run", "true", reader_inputs, {}, (), (), {})
        pipeline = Pipeline("p.yaml", str(self.folder), "p", "", {}, {}, nodes, {})
        return AttemptRunner(
            pipeline,
            self.store,
            "run-1",
            self.scratch,
            self.environ,
            logs=self.logs,
            progress=lambda node, done, total: self.progress.append((done, total)),
            grace=self.grace,
        )

    def run(
        self,
        kind: str,
        body: str,
        inputs: Mapping[str, pa.Table] = {},
        *,
        attempt: int = 1,
        read: bool = False,
        **settings_of_node: Any,
    ) -> Outcome:
        """Make one attempt at a node called `node`, on this thread, but for a query."""
        refs = {f"from_{name}": self.store.publish(f"from_{name}", attempt, table) for name, table in inputs.items()}
        start = NodeStarted(0.0, "node", attempt, refs)
        work = self.work(self.spec(kind, body, inputs, **settings_of_node), read=read)
        attempt = partial(work, start, self.stop, self.wait)
        outcome = in_thread(attempt) if kind == "sql" else attempt()
        assert not self.scratch.exists() or not list(self.scratch.iterdir()), "no scratch is left"
        return outcome

    def python(self, source: str, inputs: Mapping[str, pa.Table] = {}, **settings_of_node: Any) -> Outcome:
        """Make one attempt at the function `f` of this source."""
        return self.run("python", f"{self.module(source)}:f", inputs, **settings_of_node)

    def tables(self, outcome: Outcome) -> dict[str, pa.Table]:
        assert outcome.failure is None, outcome.failure
        return {output: self.store.open(ref) for output, ref in outcome.outputs.items()}

    def table(self, outcome: Outcome) -> pa.Table:
        """Return the table of the only output."""
        (table,) = self.tables(outcome).values()
        return table


def in_thread(do: Callable[[], _T]) -> _T:
    """Call a function on a thread of its own, such as one that gives its thread another working directory for good.

    If the thread of the tests had its own, the threads of libraries would not follow it to the folders of tests.
    """
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(copy_context().run, do).result()


def failed(outcome: Outcome) -> Failure:
    """Return the failure of an outcome that failed and has no outputs."""
    assert outcome.failure is not None
    assert not outcome.outputs
    return outcome.failure


@pytest.fixture(scope="session", autouse=True)
def without_pandas() -> Iterator[None]:
    """Hide pandas and numpy from the processes that tests start.

    nfrun needs neither, but the test dependencies install them, and Arrow imports both if it finds them. The imports
    take more than half of the time of a run of a small pipeline.
    """
    given = spawn.get_preparation_data

    def prepare(name: str) -> dict[str, Any]:
        data, first = given(name), os.environ.get("PYTHONPATH", "").split(os.pathsep)
        return {**data, "sys_path": [*filter(None, first), *data["sys_path"]]}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spawn, "get_preparation_data", prepare)  # for workers of runs in this process
        patch.setenv("PYTHONPATH", str(STUBS), prepend=os.pathsep)
        forked.keep_environ()
        yield


@pytest.fixture(scope="session", autouse=True)
def one_directory() -> Iterator[None]:
    """Let the thread of the tests keep the working directory of its process.

    A query would give it one of its own for good, and threads of libraries, as those of polars, do not follow that.
    """
    own, process = runtime._has_own_directory, os.getpid()

    def has_own_directory() -> bool:
        is_of_tests = os.getpid() == process and threading.current_thread() is threading.main_thread()
        return not is_of_tests and own()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "_has_own_directory", has_own_directory)
        yield


@pytest.fixture(scope="session", autouse=True)
def default_signal_handlers() -> None:
    """Restore the handlers of SIGINT and SIGHUP if they are ignored, as in the background or under nohup.

    Child processes would inherit the ignored signals.
    """
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Return how many processes `-n auto` starts. For a third of their time tests wait, mostly for processes."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else int(cores() * 3 / 2) or 1


_FOUND_BY: tuple[list[Any], list[Any]] = ([], [])  # the path hooks and finders before the first test


def pytest_collection_finish() -> None:
    if polars := sys.modules.get("polars"):
        # Its threads keep the working directory of the thread that starts them, and a query node changes its own.
        with tempfile.NamedTemporaryFile(suffix=".csv") as file:
            file.write(b"n\n1\n")
            file.flush()
            polars.scan_csv(file.name).collect()
    gc.collect()
    gc.freeze()  # thousands of tests: each full collection would look at all of them
    _FOUND_BY[0][:], _FOUND_BY[1][:] = sys.path_hooks, sys.meta_path


def pytest_sessionfinish() -> None:
    gc.freeze()  # pytest collects at its end: a second for what all tests have left


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Remove what runs in this process have left for imports: each import would ask the hooks of all tests before."""
    if sys.path_hooks != _FOUND_BY[0] or sys.meta_path != _FOUND_BY[1]:
        # The backport of importlib.metadata, which dask imports, has put its finder in the place of Python's for good.
        new = [finder for finder in sys.meta_path if finder not in _FOUND_BY[1]]
        _FOUND_BY[1].extend(finder for finder in new if type(finder).__module__ == "importlib_metadata")
        sys.path_hooks[:], sys.meta_path[:] = _FOUND_BY
        sys.path_importer_cache.clear()
        imported_sources.clear()
    if left := forked.left_in_environ():
        for name, value in left.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        pytest.fail(f"the test has left changed variables, with which no later test can fork nfrun: {[*left]}")


Here = Callable[..., subprocess.CompletedProcess[str]]


def without_time(text: str) -> str:
    """Return what a run prints with TIME in place of the seconds in its last line."""
    return re.sub(r"^(\w+: (?:ok|failed|cancelled), .*, )[\d.]+ [mu]?s$", r"\1TIME", text, flags=re.MULTILINE)


def wait_until(is_done: Callable[[], object], is_alive: Callable[[], object]) -> None:
    """Wait until a process has done something. It must be alive until then."""
    while not is_done():
        assert is_alive(), "it has ended before"
        time.sleep(0.002)  # a loop without a pause would take the time of the process


def _is_in(module: Any, folder: Path) -> bool:
    """Whether it is a module beside a pipeline file in this folder. Packages of plug-ins in it are for their tests."""
    return (getattr(module, "__file__", None) or "").rpartition(os.sep)[0] == str(folder)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Run nfrun in this process, for tests that need no process of its own."""

    def nfrun(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        environ = dict(os.environ)
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["nfrun", *arguments])
            patch.setattr(sys, "path", [*sys.path])
            patch.setattr(
                "nfrun.system.processes.process_exit.leave_process", lambda code, at_once: sys.exit(code)
            )  # this process must not exit
            patch.setattr(gc, "freeze", lambda: None)  # what a run leaves is to be found in this process
            forget_imported()  # another test may have imported its own
            with pytest.raises(SystemExit) as exit_info:
                main(guarded=False)
            forget_imported()
            left = {name: module for name, module in [*sys.modules.items()] if _is_in(module, folder)}
            for name, module in left.items():  # it would hide the module of that name of each later test
                del sys.modules[name]
                warnings.warn(f"the run has left a module: {module.__spec__}", stacklevel=1)
        os.environ.clear()
        os.environ.update(environ)  # the command sets variables for its nodes
        gc.enable()
        return subprocess.CompletedProcess(arguments, int(exit_info.value.code or 0), *capsys.readouterr())

    return nfrun


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    path, modules = list(sys.path), set(sys.modules)
    store, loop = TableStore(tmp_path / "run", mode="memory"), _Loop()
    yield Trial(tmp_path, store, loop)
    loop.close()
    store.close()
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("steps_"):
            del sys.modules[name]


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the local time be UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
