"""Makes the attempts of one run on a host: unpacks its code, fetches inputs, runs the node, and puts its outputs."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from nfrun import __version__
from nfrun.cluster.code_archive import unpack
from nfrun.cluster.folder_copies import NamedInCopy, packed_states
from nfrun.cluster.wire import Ended, HostConfig, RemoteOrder, Told
from nfrun.code.module_space import FolderModules
from nfrun.core.contracts import EVIDENCE
from nfrun.core.errors import HandoffError, NotStored
from nfrun.core.events import CallStarted, Outcome, OutputRef, nfrun_failure
from nfrun.core.pipeline import NOTHING, OutputId
from nfrun.core.values import mutable, replace
from nfrun.engine.attempt_context import CANCELLED
from nfrun.engine.executors.fork_server import start_server
from nfrun.engine.executors.pool import WorkerPool
from nfrun.engine.executors.processes import PRELOAD
from nfrun.engine.executors.worker import AttemptOrder, CallOrder, WorkerConfig, serve, with_shared
from nfrun.engine.executors.worker_orders import Receivers, WorkerOrders
from nfrun.nodes.base import CancelToken
from nfrun.nodes.registry import kind_of
from nfrun.rows.recorder import WorkerMap
from nfrun.system.atomic_files import remove
from nfrun.system.file_search import inner_folder
from nfrun.system.kept_files import content_of, size_of
from nfrun.system.logs.node_logs import KEEP_BYTES, LOG, STREAMS, Logs, StreamLog, log_path
from nfrun.system.logs.print_capture import capture_prints
from nfrun.system.native_threads import given_thread_variables
from nfrun.system.runtime import available_memory, cores
from nfrun.tables.places.folder import open_place
from nfrun.tables.places.stored_outputs import StoredOutputs, put_output

_CALL_END = 1 << 16  # bytes of the end of what a call of a mapped node prints
_MOST_INLINE = 1 << 16  # bytes of results of a call that are sent through the cluster
_CHUNK = 1 << 14  # bytes of a message: a scheduler keeps the last thousand
_LINE_BYTES = 64  # what a logged line takes beside its text
Send = Callable[[Told], None]


def _check(config: HostConfig) -> None:
    """Raise HandoffError with what this machine lacks for a run, one a line."""
    host = socket.gethostname()
    problems = [f"{host} has no module '{name}': install it there" for name in config.modules if not _is_there(name)]
    if config.version != __version__:
        problems.append(f"{host} has nfrun {__version__}, and the machine of the run {config.version}")
    if problems:
        raise HandoffError("\n".join(problems))


def _is_there(module: str) -> bool:
    """Return whether there is a module. Imports only the packages that contain it."""
    try:
        return find_spec(module) is not None
    except Exception:  # such as a package around it that is not there, or cannot be imported
        return False


class _Lacking(Exception):
    """The store does not have an input any more, or not all of it: `ref`."""

    def __init__(self, ref: OutputRef) -> None:
        super().__init__(ref.id)
        self.ref = ref


class HostRun:
    """Makes the attempts of one run on this host. Safe to call from several threads.

    `folder` is the folder of this host, which is empty. `told` has the folders of this host that are told as others: as
    those of the machine of the run. Queries of an attempt may use `memory` bytes, 0 for all of the machine. Raises
    HandoffError if this machine lacks something for the run, and if the store cannot be read.
    """

    def __init__(self, config: HostConfig, folder: Path, memory: int = 0) -> None:
        _check(config)
        self._config = config
        self._place = open_place(config.store)
        self._stored = StoredOutputs(self._place)
        self.code, self._work = folder / "code", folder / "work"
        self.told = {str(self.code): config.root, str(self._work / EVIDENCE): config.evidence}
        remove(self.code)  # of an earlier try
        self._work.mkdir(exist_ok=True)
        self._unpack()
        self._packed = packed_states(self.code)
        base = inner_folder(self.code, config.base)
        base.mkdir(parents=True, exist_ok=True)
        os.chdir(base)
        if sys.path[0] != str(base):
            sys.path.insert(0, str(base))
        self._outputs = self._place.fresh_folder()  # on the disk of the store, where that is a folder
        there = available_memory()
        worker = self._worker = WorkerConfig(
            replace(config.pipeline, folder=str(base)),
            config.run_id,
            self._outputs,
            self._work / "scratch",
            {**os.environ, **config.environ},
            config.fsync,
            cores() if config.arrow_on_all_cores else 0,
            memory_share=min(memory or there, there) / there,
            work=self._work,
            folders=config.folders,
            started=config.started,
            unwatched=self._place.kept,
        )
        start_server(PRELOAD, given_thread_variables(worker.environ))
        self._orders = WorkerOrders(
            WorkerPool(serve, lambda environ: replace(worker, environ={**worker.environ, **environ}), ahead=1),
            config.grace,
        )
        # For checks in Python of scripts, which run in this process.
        self._watch = worker.watch()
        assert self._watch is not None
        self._modules = FolderModules(base, config.folders)
        self._around = ExitStack()
        self._around.enter_context(self._modules)
        self._around.enter_context(self._watch.watching())
        self._around.enter_context(capture_prints())
        self._memo: dict[Any, Any] = {}
        self._rooms: dict[tuple[str, int], dict[str, Room]] = {}  # of mapped nodes, by node and attempt
        self._lock = threading.Lock()

    def make(self, remote: RemoteOrder, cancel_token: CancelToken, send: Send) -> Ended:
        """Make an attempt or a call, and return its end. `send` takes what it tells before."""
        order, token, logs = remote.order, remote.token, self._logs(remote, send)
        records: list[bytes] = []
        named: Mapping[str, str] = NOTHING
        waits: dict[OutputId, float] = {}
        try:
            with self._fetched(order, waits) as fetched:
                base, env = Path(self._worker.pipeline.folder), self._worker.pipeline.env
                files = NamedInCopy(order.node, base, self._work, env, self._packed)
                if kind_of(order.node).runs.is_process:
                    _tell_begin(order, token, send)
                    outcome = self._make_here(fetched, cancel_token, logs, send, token, records)
                else:
                    outcome = self._make_in_worker(remote, fetched, cancel_token, logs, send, records)
                named = files.read(outcome)
                outcome = replace(files.seen(outcome), outputs=self._put(outcome.outputs))
        except _Lacking as lacking:
            outcome = order.start.outcome(lacking=(lacking.ref,))
        except (HandoffError, OSError) as error:
            outcome = order.start.outcome(CANCELLED if cancel_token.cancelled else nfrun_failure(error))
        logs.end(order.start.node, order.start.attempt)
        for output, seconds in outcome.input_waits.items():
            waits[output] = waits.get(output, 0.0) + seconds
        outcome = replace(outcome, input_waits=waits)
        try:
            return self._ended(token, outcome, b"".join(records), named)
        except OSError as error:
            return Ended(token, order.start.outcome(nfrun_failure(error)))

    def close(self, *, at_once: bool) -> list[str]:
        """End all worker processes. Unless `at_once`, they close the instances of classes first.

        Returns messages about errors.
        """
        messages: list[str] = []
        if not at_once and (close := self._orders.unused_instances(())) is not None:
            messages = close()
        self._orders.close()
        self._around.close()
        remove(self._outputs, ignore_errors=True)
        return messages

    # -- an attempt ------------------------------------------------------------------------------------------------

    def _make_in_worker(
        self,
        remote: RemoteOrder,
        order: AttemptOrder,
        cancel_token: CancelToken,
        logs: SentLogs,
        send: Send,
        records: list[bytes],
    ) -> Outcome:
        token = remote.token
        calls: dict[str, Callable[..., object]] = {
            "taken": lambda *key: None,  # a call begins when its function is loaded
            "begun": lambda *key: _tell_begin(order, token, send),
            "log": logs.log,
            "progress": lambda node, done, total: send(Told(token, "progressed", (done, total))),
            "records": records.append,
        }
        feeds = [logs.of(order.start.node, order.start.attempt, name).feed for name in STREAMS]
        return self._orders.make(order, remote.variables, cancel_token, Receivers(calls, feeds))

    def _make_here(
        self,
        order: AttemptOrder,
        cancel_token: CancelToken,
        logs: SentLogs,
        send: Send,
        token: str,
        records: list[bytes],
    ) -> Outcome:
        """Make an attempt at a node that is a process of its own, in this process."""
        start = order.start
        runner = self._worker.runner(
            *(order, logs, lambda node, done, total: send(Told(token, "progressed", (done, total)))),
            memo=self._memo,
            grace=self._config.grace,
            importer=self._modules.importer,
            watch=self._watch,
        )
        if not isinstance(order, CallOrder):
            return with_shared(runner(start, cancel_token, asyncio.run), self._watch)
        assert order.data is not None
        assert isinstance(start, CallStarted)
        source = WorkerMap(order.data, {})  # the script reads the other inputs as files
        try:
            source.take(dict(zip(start.pieces, order.pieces, strict=True)))
            runner.open_maps[start.key[:2]] = source
            outcome = runner(start, cancel_token, asyncio.run)
            records.append(source.take_records())
            return replace(outcome, cpu=source.cpu, gil_wait=source.gil_wait)
        finally:
            source.close()

    @contextmanager
    def _fetched(self, order: AttemptOrder, waits: dict[OutputId, float]) -> Iterator[AttemptOrder]:
        """Yield the order with inputs on this machine, and with a folder for its outputs. Adds the seconds to `waits`.

        Raises _Lacking, HandoffError.
        """
        used: list[Path] = []  # copies stay there for as long as this has them

        def fetch(stored: str, size: int | None = None) -> str:
            used.append(self._stored.get(stored, size))
            return str(used[-1])

        inputs: dict[str, OutputRef] = {}
        for id, ref in order.start.inputs.items():
            began = time.perf_counter()
            try:
                path = fetch(ref.stored or "", ref.size)
            except NotStored:
                raise _Lacking(ref) from None
            if ref.size is not None and size_of(Path(path)) != ref.size:
                raise _Lacking(ref)
            inputs[id] = replace(ref, path=path, files=None)
            waits[ref.id] = time.perf_counter() - began
        order = replace(order, start=replace(order.start, inputs=inputs))
        if isinstance(order, CallOrder) and order.data is not None:
            try:
                path = fetch(order.data.input)
            except NotStored:
                raise _Lacking(_mapped_input(order)) from None
            order = replace(order, data=replace(order.data, input=path, sent=True))
        with self._folder() as folder:
            yield replace(order, outputs=str(folder))

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """Yield an empty folder that no other attempt has."""
        folder = self._outputs / os.urandom(6).hex()
        folder.mkdir(parents=True)  # also if the store was removed meanwhile
        try:
            yield folder
        finally:
            remove(folder, ignore_errors=True)

    def _put(self, outputs: Mapping[str, OutputRef]) -> dict[str, OutputRef]:
        """Put outputs into the store. Raises PlaceError, OSError."""
        found: dict[str, OutputRef] = {}
        for id, ref in outputs.items():
            assert ref.path is not None
            checksum = ref.checksum or content_of(Path(ref.path)).digest
            found[id] = put_output(self._place, replace(ref, checksum=checksum, files=None))
        return found

    def _ended(self, token: str, outcome: Outcome, records: bytes, named: Mapping[str, str]) -> Ended:
        """Return the end of an attempt. Puts long parts of it into the store. Raises OSError."""
        stored_records, evidence = "", {}
        if len(records) > _MOST_INLINE:
            path = self._outputs / f"{token}.records"
            path.write_bytes(records)
            self._place.put(path, stored_records := f"data/calls-{token}.records")
            records = b""
        for number, result in enumerate(outcome.checks):
            if result.path is not None:
                self._place.put(Path(result.path), name := f"data/checks-{token}-{number}.arrow")
                evidence[result.path] = name
        return Ended(token, outcome, "", records, stored_records, evidence, named)

    def _logs(self, remote: RemoteOrder, send: Send) -> SentLogs:
        start = remote.order.start
        folder = Path(self._config.logs) if self._config.logs else None
        if not isinstance(start, CallStarted):
            return SentLogs(send, remote.token, folder, {})
        with self._lock:
            rooms = self._rooms.setdefault(start.key[:2], {})
        return SentLogs(send, remote.token, folder, rooms, _CALL_END)

    def _unpack(self) -> None:
        """Unpack the code. Raises PlaceError, HandoffError."""
        self.code.mkdir()
        if not self._config.code:
            return
        archive = self._place.get(self._config.code)
        try:
            unpack(archive, self.code)
        except BadZipFile as error:
            raise HandoffError(f"{archive} is damaged: {error}") from None


def _mapped_input(order: CallOrder) -> OutputRef:
    """Return the output that is mapped, of which the run knows more. Raises HandoffError if it is no single output."""
    spec = order.node.map
    assert spec is not None
    over = next(item for item in order.node.inputs if item.name == spec.over)
    if not over.is_plain:  # outputs that the run has put together
        raise HandoffError(f"the input '{over.name}' is gone from the store: the next run puts it there again")
    return OutputRef(over.outputs[0], 0, 0, "")


def _tell_begin(order: AttemptOrder, token: str, send: Send) -> None:
    """Tell that an attempt begins, if anybody needs to know: its timeout counts from then."""
    if order.node.timeout is not None:
        send(Told(token, "begun"))


@mutable
class Room:
    """Counts how many bytes of the beginning of a stream may still be sent. The calls of a mapped node share it."""

    left: int = KEEP_BYTES


class SentLogs(Logs):
    """The logs of one execution of an attempt.

    `send` takes its messages, which have its `token`. `folder` is that of the log files of the run, as messages show
    it, None if it has none. `rooms` has those of the streams, by name. At the end, up to `most_end` bytes of a stream
    are sent that had no room.
    """

    def __init__(
        self, send: Send, token: str, folder: Path | None, rooms: dict[str, Room], most_end: int = KEEP_BYTES
    ) -> None:
        super().__init__(folder=folder)
        self._send, self._token = send, token
        self._rooms, self._most_end = rooms, most_end

    def _make(self, node: str, attempt: int, stream: str) -> StreamLog:
        path = None if self._folder is None else log_path(self._folder, node, attempt, stream)
        room = self._rooms.setdefault(stream, Room())
        return _SentStream(self._send, self._token, node, stream, path, room, self._most_end)


class _SentStream(StreamLog):
    """One stream of an execution. Thread-safe."""

    def __init__(
        self, send: Send, token: str, node: str, stream: str, path: Path | None, room: Room, most_end: int
    ) -> None:
        super().__init__(node, stream, lambda node, level, line: None, path)
        self._send, self._token, self._room, self._most_end = send, token, room, most_end
        self._waiting = bytearray()  # what is to be sent
        self._late = 0  # bytes that had no room
        self._logged: list[tuple[str, str]] = []
        self._late_logged_bytes = 0
        self._late_logged: deque[tuple[str, str]] = deque()

    def feed(self, data: bytes, *, at_once: bool = True) -> None:
        """Add printed bytes. Ignored after `end`."""
        with self._lock:
            if self._ended:
                return
            self._size += len(data)
            self._last += data
            if len(self._last) > 2 * KEEP_BYTES:
                del self._last[:-KEEP_BYTES]
            fitting = data[: self._taken(len(data))]
            self._late += len(data) - len(fitting)
            self._waiting += fitting
            if len(self._waiting) >= _CHUNK:
                self._send_waiting()

    def log(self, level: str, line: str) -> None:
        """Add a line that was logged. Ignored after `end`."""
        with self._lock:
            if self._ended:
                return
            size = _logged_bytes(level, line)
            if self._late or not self._taken(size):
                self._late += size
                self._late_logged.append((level, line))
                self._late_logged_bytes += size
                while self._late_logged_bytes - _logged_bytes(*self._late_logged[0]) >= self._most_end:
                    self._late_logged_bytes -= _logged_bytes(*self._late_logged.popleft())
                return
            self._logged.append((level, line))
            self._size += size
            if self._size >= _CHUNK:
                self._send_lines()

    def write_delayed(self) -> None:
        """Send what waits."""
        with self._lock:
            if not self._ended:
                self._send_waiting()
                self._send_lines()

    def _end(self) -> None:
        self._ended = True
        self._send_waiting()
        self._send_lines()
        if self._stream == LOG:
            self._skip(self._late - self._late_logged_bytes)
            self._logged = list(self._late_logged)
            self._send_lines()
        elif self._late:
            kept = min(self._late, self._most_end, len(self._last))
            self._skip(self._late - kept)
            self._waiting = self._last[-kept:]
            self._send_waiting()

    def _taken(self, size: int) -> int:
        """Take room for so many bytes. Returns how many have room."""
        fitting = min(size, self._room.left)
        self._room.left -= fitting
        return fitting

    def _skip(self, size: int) -> None:
        if size > 0:
            self._send(Told(self._token, "skipped", (self._stream, size)))

    def _send_waiting(self) -> None:
        while self._waiting:
            self._send(Told(self._token, "printed", (self._stream, bytes(self._waiting[:_CHUNK]))))
            del self._waiting[:_CHUNK]

    def _send_lines(self) -> None:
        group: list[tuple[str, str]] = []
        size = 0
        for line in self._logged:
            size += _logged_bytes(*line) + _LINE_BYTES
            if group and size > _CHUNK:
                self._send(Told(self._token, "logged", tuple(group)))
                group, size = [], _logged_bytes(*line) + _LINE_BYTES
            group.append(line)
        if group:
            self._send(Told(self._token, "logged", tuple(group)))
        self._logged, self._size = [], 0


def _logged_bytes(level: str, line: str) -> int:
    """Return the bytes that a logged line has in its file."""
    return len(level) + len(line.encode(errors="backslashreplace")) + 3
