"""What several tests share: one attempt at one node, with a real store and nothing around it."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings

from nfrun.__main__ import main
from nfrun.core.events import Failure, NodeStarted, Outcome
from nfrun.core.pipeline import Input, NodeSpec, Pipeline
from nfrun.engine.attempt import AttemptRunner
from nfrun.engine.executors.threads import _Loop
from nfrun.logs.node_logs import Logs
from nfrun.nodes.base import CancelToken
from nfrun.tables.store import TableStore

# For laws that say nothing else: each run tries other examples, and a busy machine is no failure.
settings.register_profile("nfrun", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("nfrun")

LEAN = Path(__file__).with_name("lean")
_MODULES = (f"steps_{number}" for number in itertools.count())


@dataclass
class Trial:
    """Makes single attempts in `folder`. `logged` and `progress` are what the nodes said."""

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
        """Write a module beside the pipeline file; returns its name."""
        name = next(_MODULES)
        (self.folder / f"{name}.py").write_text(textwrap.dedent(source))
        return name

    def spec(self, kind: str, body: str, inputs: Mapping[str, Any] = {}, **more: Any) -> NodeSpec:
        given = tuple(Input(name, f"from_{name}", f"from_{name}") for name in inputs)
        more = {"with_": {}, "outputs": (), "needs": (), "env": {}, **more}
        return NodeSpec("node", kind, body, given, **more)

    def work(self, *specs: NodeSpec, read: bool = False) -> AttemptRunner:
        nodes = {spec.id: spec for spec in specs}
        if read:  # a second node, so that somebody reads what the first gives
            reads = tuple(Input(f"i{i}", "node", output) for i, output in enumerate(specs[0].output_ids))
            nodes["reader"] = NodeSpec("reader", "run", "true", reads, {}, (), (), {})
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
        **more: Any,
    ) -> Outcome:
        """One attempt at a node called `node`, on this thread."""
        refs = {f"from_{name}": self.store.publish(f"from_{name}", attempt, table) for name, table in inputs.items()}
        start = NodeStarted(0.0, "node", attempt, refs)
        work = self.work(self.spec(kind, body, inputs, **more), read=read)
        outcome = work(start, self.stop, self.wait)
        assert not self.scratch.exists() or not list(self.scratch.iterdir()), "no scratch is left"
        return outcome

    def python(self, source: str, inputs: Mapping[str, pa.Table] = {}, **more: Any) -> Outcome:
        """One attempt at the function `f` of this source."""
        return self.run("python", f"{self.module(source)}:f", inputs, **more)

    def tables(self, outcome: Outcome) -> dict[str, pa.Table]:
        assert outcome.failure is None, outcome.failure
        return {output: self.store.open(ref) for output, ref in outcome.outputs.items()}

    def table(self, outcome: Outcome) -> pa.Table:
        """The only output."""
        (table,) = self.tables(outcome).values()
        return table


def failed(outcome: Outcome) -> Failure:
    """Why it failed."""
    assert outcome.failure is not None
    assert not outcome.outputs
    return outcome.failure


@pytest.fixture(scope="session", autouse=True)
def lean() -> Iterator[None]:
    """No pandas and no numpy in the processes that tests start.

    nfrun needs neither, but they come with what tests need, and Arrow imports both where it finds them: that is more
    than half of what a run of a small pipeline costs.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(LEAN), prepend=os.pathsep)
        yield


@pytest.fixture(scope="session", autouse=True)
def heeded() -> None:
    """Started in the background or by nohup, tests would hand on signals that are ignored to all that they start."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


Here = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """nfrun in this process, where one of its own would prove no more."""

    def nfrun(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["nfrun", *arguments])
            patch.setattr(sys, "path", [*sys.path])
            patch.setattr("nfrun.system.process_exit.leave_process", sys.exit)  # this process goes on
            patch.delitem(sys.modules, "steps", raising=False)  # that of another folder
            with pytest.raises(SystemExit) as left:
                main(guarded=False)
            sys.modules.pop("steps", None)
        gc.unfreeze()
        gc.enable()
        return subprocess.CompletedProcess(arguments, int(left.value.code or 0), *capsys.readouterr())

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
