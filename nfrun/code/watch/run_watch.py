"""Watches the attempts of a run in this process: collects what their code opens, writes and connects to.

The context in which code runs says which attempt opened a file. What functions of the project open is also collected by
function, for two reasons. Threads that a node starts have no such context. And a function may keep what it has read, as
with `lru_cache`, and return it to other nodes. `attribution.py` finds the nodes for which such a file counts.
"""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any, NamedTuple

import nfrun
from nfrun.code.module_finder import is_installed
from nfrun.code.watch.audit_events import Access, Connections, Use, accesses, listening
from nfrun.code.watch.counted_files import CountedFiles, parts_of_work
from nfrun.code.watch.seen_files import RecordedFiles, SeenFiles
from nfrun.core.observation import Observation, SharedObservation
from nfrun.core.values import replace
from nfrun.system.checksums import FileChecksums
from nfrun.system.file_search import inner_folder
from nfrun.system.logs.node_logs import Logs
from nfrun.system.logs.print_capture import current_attempt

_NFRUN = os.path.dirname(nfrun.__file__)
# Where nfrun calls the code of a node. Everything else on the stack of such a call counts as the node's.
_CALLERS = frozenset(
    os.path.join(_NFRUN, name)
    for name in (
        *("nodes/python.py", "nodes/user_function.py", "nodes/instances.py", "nodes/use.py"),
        "engine/executors/threads.py",
    )
)
_LIBRARY, _PROJECT, _CALLER, _OURS = range(4)
_CODE = (".py", ".pyc", ".pyi", ".so", ".pth")
_SOURCE_READERS = ("linecache.py", "tokenize.py")  # which tracebacks and warnings use


class CodeLine(NamedTuple):
    """A line of the project's code that was running: the first line of a function, or that of an import."""

    file: str
    line: int


class Caller(NamedTuple):
    """Whose code opened a file.

    `lines` are the project's functions on the stack, the innermost first. `imported`: the last of them is the line of
    a module that was being imported. Both are empty where only a library ran.
    """

    lines: tuple[CodeLine, ...]
    imported: bool = False


class Stacks:
    """Reads stacks. `folder` is that of the pipeline."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kinds: dict[str, int] = {}  # by file

    def is_ours(self, frame: FrameType) -> bool:
        """Return whether the function that is running in the frame is nfrun's own."""
        return self._kind_of(frame.f_code.co_filename) == _OURS

    def caller(self, frame: FrameType, path: str | None, *, in_attempt: bool) -> Caller | None:
        """Return whose code is running in `frame`. None if it is nfrun's own, or if Python loads code from `path`.

        None, too, for what nfrun calls outside of attempts, such as a reporter of the program.
        """
        if _loads_code(frame, path):
            return None
        lines: list[CodeLine] = []
        above: FrameType | None = frame
        while above is not None:
            code = above.f_code
            kind = self._kind_of(code.co_filename)
            if kind == _PROJECT:
                imported = code.co_name == "<module>"
                line = CodeLine(code.co_filename, above.f_lineno if imported else code.co_firstlineno)
                if line not in lines:
                    lines.append(line)
                if imported:
                    return Caller(tuple(lines), True)
            elif kind == _OURS and not (lines and in_attempt):
                return None
            elif kind in (_OURS, _CALLER):
                break
            above = above.f_back
        return Caller(tuple(lines))

    def _kind_of(self, file: str) -> int:
        kind = self._kinds.get(file)
        if kind is None:
            is_library = file.startswith("<") or is_installed(Path(os.path.abspath(file)), self._folder)
            kind = _LIBRARY if is_library else _PROJECT
            if file.startswith(f"{_NFRUN}/"):
                kind = _CALLER if file in _CALLERS else _OURS
            self._kinds[file] = kind
        return kind


def _loads_code(frame: FrameType, path: str | None) -> bool:
    """Return whether Python looks for a module or a distribution, or reads source code or bytecode."""
    file = frame.f_code.co_filename
    if file.startswith(("<frozen importlib", "<frozen zipimport")):
        return path is None or path.endswith(_CODE)
    if path is None and file.endswith("/importlib/metadata/__init__.py"):
        return True
    return path is not None and path.endswith(".py") and file.endswith(_SOURCE_READERS)


_FOLDER_OPENERS = ("/shutil.py", "/os.py", "<frozen os>")  # with `os.open`, relative to other open folders
# The value of `current_attempt`.
Attempt = tuple[str, int, Logs]


class RunWatch:
    """Watches the attempts of one run. Thread-safe. `folder` is that of the pipeline, `work` the work folder.

    `folders` are the other folders with files of the pipeline, relative to `folder`. No file in the folders `unwatched`
    counts; one of these that is a name only is left out wherever it is.

    `files` takes checksums of the files that were recorded, with `checksums`, and `counts` says of an absolute path
    whether the file counts. The runner of attempts keeps `running`: those under way, as in `current_attempt`. Where
    `seen` is empty, `end` has nothing to return.
    """

    def __init__(
        self,
        folder: Path,
        work: Path,
        checksums: FileChecksums | None = None,
        folders: Iterable[str] = (),
        unwatched: Iterable[Path] = (),
    ) -> None:
        self._folder = folder
        others = [inner_folder(folder, other) for other in folders]
        self._inside = tuple([f"{place}/" for place in (folder, *others)])
        self.work, self.unwatched = work, tuple(unwatched)
        self.counts = CountedFiles(
            folder, [*parts_of_work(Path(os.path.abspath(work))), *self.unwatched], others
        ).counts
        self.checksums = checksums or FileChecksums()
        self.files = RecordedFiles(folder, self.counts, self.checksums)
        self._stacks = Stacks(folder)
        self._connections = Connections()
        self._children = _ForkedChildren()
        self._received: deque[SharedObservation] = deque()
        self._lock = threading.Lock()
        self._error = ""
        self.running: dict[Attempt, None] = {}
        self.seen: dict[Attempt | None, SeenFiles] = {}
        self._shared: dict[tuple[Caller, tuple[str, ...], bool], SeenFiles] = {}
        # Returns what shared code has used that counts for a node, without the first ones; None in a worker process.
        self.attributed: Callable[[str, int], Sequence[SharedObservation]] | None = None
        self._taken: list[SharedObservation] = []  # in this worker process

    def watching(self) -> AbstractContextManager[None]:
        """Watch this process within a `with` block."""
        return listening(self._see)

    def end(self, attempt: Attempt | None) -> Observation | None:
        """Return the files and hosts that an attempt used, which has ended; None if it used none that count."""
        with self._lock:
            for child_of, what, checksum in self._children.told():
                for mark, files in list(self.seen.items()):
                    if mark is not None and mark[:2] == child_of:
                        files.add(what, checksum)
            seen = self.seen.pop(attempt, None)
        if seen is None and not self._error:
            return None
        found = Observation() if seen is None else seen.settled()
        return replace(found, obstacle=found.obstacle or self._error)

    def receive(self, shared: Iterable[SharedObservation]) -> None:
        """Add the files and hosts that code of several nodes used in a worker process."""
        self._received.extend(shared)

    def take(self) -> list[SharedObservation]:
        """Return the files and hosts that code of several nodes used since the last call, here and in workers."""
        found: list[SharedObservation] = []
        while self._received:
            found.append(self._received.popleft())
        if self._shared:
            with self._lock:
                shared, self._shared = self._shared, {}
            for (caller, nodes, of_attempt), files in shared.items():
                seen = files.as_opened() if of_attempt else files.settled()
                found.append(SharedObservation(*caller, nodes, of_attempt, seen))
                if self.attributed is None:
                    self._taken.append(found[-1])
        return found

    def shared_with(self, node: str, known: int) -> Sequence[SharedObservation]:
        """Return what shared code has used until now that may count for the node, without the first `known` ones.

        In a worker process, which cannot tell for which nodes it counts, all that its code has used.
        """
        if self.attributed is not None:
            return self.attributed(node, known)
        self.receive(self.take())  # which `take` returns again
        return self._taken[known:]

    # -- in the audit hook -----------------------------------------------------------------------------------------

    def _see(self, event: str, args: tuple[Any, ...], frame: FrameType) -> None:
        """Record an event. An error in here must not reach the node's code: it becomes an obstacle to every reuse."""
        try:
            if not self._stacks.is_ours(frame):  # most events are nfrun's own
                self._record(event, args, frame)
        except Exception as error:
            self.seen[None] = SeenFiles(self.files)  # so that each attempt calls `end`
            self._error = f"nfrun could not see what it opened ({type(error).__name__}: {error})"

    def _record(self, event: str, args: tuple[Any, ...], frame: FrameType) -> None:
        if event == "os.fork":
            self._children.expect()
            attempt = current_attempt.get()
            for mark in [attempt] if attempt in self.running else list(self.running):  # so that each calls `end`
                self.seen.setdefault(mark, SeenFiles(self.files))
            return
        if event.startswith("socket."):
            with suppress(OSError, TypeError, ValueError, LookupError):  # the call raises it, too
                if host := self._connections.host(event, args):
                    self._add(frame, host)
            return
        if event == "open" and args[1] is None and frame.f_code.co_filename.endswith(_FOLDER_OPENERS):
            return
        try:
            found = list(accesses(event, args))
        except (OSError, TypeError, ValueError):  # the call raises it, too
            return
        for access in found:
            if self.counts(os.path.join(access.path, "x") if access.use is Use.LIST else access.path):
                self._add(frame, access)

    def _add(self, frame: FrameType, what: Access | str) -> None:
        """Record an access, or a host, for the attempt and for the functions whose code is running in the frame."""
        attempt = current_attempt.get()
        own = attempt is not None and attempt in self.running
        if attempt is not None and not own and all(other[2] is not attempt[2] for other in list(self.running)):
            return  # an attempt of another run in this process
        path = what.path if isinstance(what, Access) and what.use is not Use.LIST else None
        caller = self._stacks.caller(frame, path, in_attempt=own)
        if caller is None:
            return
        writes = isinstance(what, Access) and what.use.writes
        if self._children.in_child:
            self._tell([attempt] if attempt is not None and own else list(self.running), what)
            return
        checksum: str | None = None
        # Code that runs on import may be that of other nodes, too. `Attribution` cannot tell for other folders.
        imported = caller.imported and any(line.file.startswith(self._inside) for line in caller.lines)
        of_attempt = own and (writes or not imported)
        if of_attempt:
            checksum = self.seen.setdefault(attempt, SeenFiles(self.files)).add(what)
            if checksum is None or not caller.lines:
                return
        nodes = (attempt[0],) if attempt is not None and own else tuple(node for node, _, _ in list(self.running))
        with self._lock:  # so that it is taken with what is added, or later
            self._shared.setdefault((caller, nodes, of_attempt), SeenFiles(self.files)).add(what, checksum)

    def _tell(self, attempts: Iterable[Attempt], what: Access | str) -> None:
        """Tell the process that has forked this one what these attempts open here."""
        checksum = None
        if isinstance(what, Access) and not what.use.writes:
            files = RecordedFiles(self._folder, self.counts, FileChecksums())  # with locks of its own
            checksum = files.checksum(files.name(what.path) + what.suffix)
        self._children.tell([attempt[:2] for attempt in attempts], what, checksum)


class _ForkedChildren:
    """Collects what the children of this process open, in a temporary file that they inherit.

    Nothing here takes a lock: in a child, a lock that another thread held would stay locked for ever.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._file: IO[bytes] | None = None
        self._end = 0  # of what was read from the file

    @property
    def in_child(self) -> bool:
        """Whether this process is a forked child."""
        return os.getpid() != self._process

    def expect(self) -> None:
        """Open the file, before a child is forked."""
        if self._file is None:
            import tempfile

            self._file = tempfile.TemporaryFile("ab+", buffering=0)  # noqa: SIM115  (kept open)

    def tell(self, attempts: Iterable[tuple[str, int]], what: Access | str, checksum: str | None) -> None:
        """In a child: record what it opened for these attempts."""
        access = what if isinstance(what, str) else [what.use.value, *what[1:]]
        if self._file is not None:
            for attempt in attempts:
                self._file.write(f"{json.dumps([attempt, access, checksum])}\n".encode())

    def told(self) -> Iterator[tuple[tuple[str, int], Access | str, str | None]]:
        """Yield what children have recorded since the last call."""
        if self._file is None:
            return
        number = self._file.fileno()
        text = os.pread(number, os.fstat(number).st_size - self._end, self._end)
        self._end += len(text)
        for attempt, access, checksum in map(json.loads, text.splitlines()):
            what = access if isinstance(access, str) else Access(Use(access[0]), *access[1:])
            yield tuple(attempt), what, checksum
