"""A run for tests, whose attempts are made by a host of the test's own process."""

from __future__ import annotations

import os
import textwrap
import threading
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from nfrun.cluster import hosted
from nfrun.cluster.wire import Ended, HostConfig, RemoteOrder, Told, from_text, to_text
from nfrun.core.events import CallStarted, NodeStarted, Outcome, OutputRef
from nfrun.core.pipeline import Input, NodeSpec, OutputId, Pipeline
from nfrun.core.values import replace
from nfrun.engine.executors.worker import AttemptOrder, CallOrder
from nfrun.rows.piece import Piece
from nfrun.rows.recorder import WorkerData
from nfrun.tables.output_files import WorkerStore
from nfrun.tables.places.folder import open_place
from nfrun.tables.places.stored_outputs import StoredOutputs, put_output

NOTHING: Mapping[str, Any] = {}
NODE = OutputId("node")


@dataclass
class Trial:
    """A run whose store is in `folder`, or at the address `store`.

    `name` is that of the run on the cluster, and `files` those of its project. `messages` are those of all attempts.
    """

    folder: Path
    name: str
    files: Mapping[str, str]
    store: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    messages: list[Any] = field(default_factory=list)
    tokens: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.place = open_place(self.store or str(self.folder / "store"))
        self.outputs = StoredOutputs(self.place)
        code = f"code/{self.folder.name}.zip"
        self.place.put(self._archive(), code)
        pipeline = Pipeline("p.yaml", "/home/user/p", "p", "", {}, {}, {}, {})
        given = {"environ": {"GIVEN": "1"}, "grace": 0.5, "evidence": "/home/user/.nfrun/checks", **self.settings}
        self.config = HostConfig(self.name, "1-x", pipeline, self.place.uri, code, "p", "/home/user", **given)

    def _archive(self) -> Path:
        path = self.folder / "code.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in self.files.items():
                archive.writestr(os.path.normpath(f"p/{name}"), textwrap.dedent(text))
        return path

    def put(self, name: str, table: pa.Table) -> OutputRef:
        """Put a table into the store."""
        folder = self.folder / "made"
        folder.mkdir(exist_ok=True)
        return put_output(self.place, WorkerStore(folder).publish(OutputId(name), 1, table))

    def spec(self, kind: str, body: str, inputs: Mapping[str, Any] = NOTHING, **more: Any) -> NodeSpec:
        with_ = more.pop("with_", {})
        outputs = more.pop("outputs", ())
        env = more.pop("env", {})
        read = tuple(Input(name, OutputId(name), type=getattr(ref, "type", "table")) for name, ref in inputs.items())
        return NodeSpec("node", kind, body, read, with_, outputs, (), env, **more)

    def order(
        self, kind: str, body: str, inputs: Mapping[str, pa.Table | OutputRef] = NOTHING, attempt: int = 1, **more: Any
    ) -> RemoteOrder:
        """Return the order for an attempt."""
        refs = self._refs(inputs)
        spec = self.spec(kind, body, inputs, **more)
        start = NodeStarted(0.0, "node", attempt, {OutputId(name): ref for name, ref in refs.items()})
        return RemoteOrder(self._token(), self.config, AttemptOrder(spec, start, spec.output_ids))

    def calls(self, spec: NodeSpec, over: OutputRef, pieces: tuple[Piece, ...], call: int = 1) -> RemoteOrder:
        """Return the order for calls of a mapped node."""
        start = CallStarted(0.0, "node", 1, {}, call=call, pieces=tuple((call, i) for i in range(len(pieces))))
        data = WorkerData(over.stored or "", "/nowhere", "x", spec.map is not None and spec.map.explode, {})
        return RemoteOrder(self._token(), self.config, CallOrder(spec, start, (), pieces=pieces, data=data))

    def _refs(self, inputs: Mapping[str, pa.Table | OutputRef]) -> dict[str, OutputRef]:
        return {
            name: self.put(name, found) if isinstance(found, pa.Table) else replace(found, id=OutputId(name))
            for name, found in inputs.items()
        }

    def _token(self) -> str:
        self.tokens += 1
        return f"{self.name}-{self.tokens}"

    def make(self, order: RemoteOrder, is_wanted: Callable[[], bool] = lambda: True) -> Ended:
        """Make an attempt, as the worker of an engine does."""
        ended = from_text(self.make_text(order.config.run, order.token, to_text(order), is_wanted))
        assert isinstance(ended, Ended)
        assert ended.token == order.token
        return ended

    def make_text(self, run: str, token: str, order: str, is_wanted: Callable[[], bool] = lambda: True) -> str:
        """Make the attempt of an order, and return the text of its end."""
        over, ends = threading.Event(), list[str]()

        def end(text: str) -> None:
            ends.append(text)
            over.set()

        hosted.start(run, token, order, lambda text: self.messages.append(from_text(text)), end)
        if not hosted.wait_while_wanted(over, is_wanted):
            hosted.drop(run, token)
        over.wait()
        return ends[0]

    def begin(self, order: RemoteOrder, is_wanted: Callable[[], bool] = lambda: True) -> Callable[[], Ended]:
        """Begin an attempt. Returns what waits for its end."""
        found: list[Ended] = []
        thread = threading.Thread(target=lambda: found.append(self.make(order, is_wanted)))
        thread.start()

        def wait() -> Ended:
            thread.join()
            return found[0]

        return wait

    def run(self, kind: str, body: str, inputs: Mapping[str, Any] = NOTHING, **more: Any) -> Outcome:
        """Make an attempt, and return its outcome."""
        ended = self.make(self.order(kind, body, inputs, **more))
        assert ended.outcome is not None, ended.lost
        return ended.outcome

    def stored(self, ref: OutputRef) -> Path:
        """Return the path of an output in the store."""
        assert ref.path is None
        assert ref.stored is not None
        return self.outputs.get(ref.stored)

    def table(self, outcome: Outcome) -> list[dict[str, Any]]:
        """Return the rows of the only output."""
        assert outcome.failure is None, outcome.failure
        (ref,) = outcome.outputs.values()
        rows: list[dict[str, Any]] = WorkerStore(self.folder).open(replace(ref, path=str(self.stored(ref)))).to_pylist()
        return rows

    def told(self, what: str) -> list[Any]:
        """Return what attempts have told of a kind."""
        return [message.given for message in self.messages if isinstance(message, Told) and message.what == what]

    def printed(self, stream: str) -> bytes:
        """Return what attempts have printed."""
        return b"".join(data for name, data in self.told("printed") if name == stream)
