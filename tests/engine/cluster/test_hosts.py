"""Tests of hosts: attempts of all kinds are made by them as on the machine of the run, and nothing of them is left."""

from __future__ import annotations

import os
import textwrap
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nfrun.core.events import NodeStarted, Outcome, OutputRef
from nfrun.core.pipeline import Input, NodeSpec, OutputId, Pipeline
from nfrun.core.values import replace
from nfrun.engine.cluster import hosted
from nfrun.engine.cluster.wire import Ended, HostConfig, Printed, RemoteOrder, from_text, to_text
from nfrun.engine.executors.worker import AttemptOrder
from nfrun.places.folder import Folder
from nfrun.places.stored_outputs import StoredOutputs
from nfrun.tables.worker_store import WorkerStore

STEPS = """
    import os, pathlib, signal, sys, time
    import pyarrow as pa

    def double(table): return pa.table({"n": [2 * n for n in table["n"].to_pylist()]})
    def fail(table):
        raise ValueError(f"no {pathlib.Path('words.txt').absolute()}")
    def where(context):
        print("out"); print("err", file=sys.stderr); context.log.info("logged"); context.progress(1, 2)
        return {"pid": os.getpid(), "parent": os.getppid(), "cwd": os.getcwd(), "given": os.environ["GIVEN"]}
    async def co(): return {"n": 7}
    def words(): return {"word": pathlib.Path("words.txt").read_text()}
"""


@dataclass
class Trial:
    """A run whose attempts are made by a host of this process."""

    folder: Path
    name: str
    messages: list[Any] = field(default_factory=list)
    texts: int = 0

    def __post_init__(self) -> None:
        self.place = Folder(self.folder / "store")
        self.place.put(self.archive({"steps.py": textwrap.dedent(STEPS), "words.txt": "hello"}), "code/1.zip")
        self.outputs = StoredOutputs(self.place)
        pipeline = Pipeline("p.yaml", "/home/user/p", "p", "", {}, {}, {}, {})
        self.config = HostConfig(
            self.name, "1-x", pipeline, self.place.uri, "code/1.zip", "p", "/home/user", {"GIVEN": "1"}, grace=0.5
        )

    def archive(self, files: Mapping[str, str]) -> Path:
        path = self.folder / "code.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in files.items():
                archive.writestr(f"p/{name}", text)
        return path

    def put(self, name: str, table: pa.Table) -> OutputRef:
        folder = self.folder / "made"
        folder.mkdir(exist_ok=True)
        return self.outputs.put(WorkerStore(folder).publish(OutputId(name), 1, table))

    def order(self, kind: str, body: str, inputs: Mapping[str, pa.Table] = {}, **more: Any) -> RemoteOrder:
        refs = {name: replace(self.put(name, table), path=None) for name, table in inputs.items()}
        spec = NodeSpec(
            "node", kind, body, tuple(Input(name, OutputId(name)) for name in inputs), {}, (), (), {}, **more
        )
        self.texts += 1
        start = NodeStarted(0.0, "node", 1, {OutputId(name): ref for name, ref in refs.items()})
        return RemoteOrder(f"token-{self.texts}", self.config, AttemptOrder(spec, start, (OutputId("node"),)))

    def make(self, order: RemoteOrder, is_wanted: Any = lambda: True) -> Ended:
        ended = from_text(hosted.make(to_text(order), lambda text: self.messages.append(from_text(text)), is_wanted))
        assert isinstance(ended, Ended)
        assert ended.token == order.token
        return ended

    def run(self, kind: str, body: str, inputs: Mapping[str, pa.Table] = {}, **more: Any) -> Outcome:
        ended = self.make(self.order(kind, body, inputs, **more))
        assert ended.outcome is not None, ended.lost
        return ended.outcome

    def table(self, outcome: Outcome) -> list[dict[str, Any]]:
        assert outcome.failure is None, outcome.failure
        (ref,) = outcome.outputs.values()
        assert ref.path is None and ref.stored is not None
        rows: list[dict[str, Any]] = (
            WorkerStore(self.folder).open(replace(ref, path=str(self.outputs.get(ref.stored)))).to_pylist()
        )
        return rows


@pytest.fixture
def trial(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Trial]:
    trial = Trial(tmp_path, f"run of {request.node.name} {os.getpid()}")
    yield trial
    assert hosted.end(trial.name) == []


N = {"table": pa.table({"n": [1, 2, 3]})}


def test_python_sql_and_run_nodes_are_made(trial: Trial) -> None:
    assert trial.table(trial.run("python", "steps:double", N)) == [{"n": 2}, {"n": 4}, {"n": 6}]
    assert trial.table(trial.run("python", "steps:co")) == [{"n": 7}]
    assert trial.table(trial.run("sql", "select sum(n)::int as n from table_", {"table_": N["table"]})) == [{"n": 6}]
    made = trial.run("run", 'cat words.txt >&2; cp "$NFRUN_INPUT_table" "$NFRUN_OUTPUT"', N)
    assert trial.table(made) == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert trial.messages[-1] == Printed("token-4", "stderr", b"hello")
