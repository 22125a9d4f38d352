"""Gives attempts their view of the run: the settings that they share, the inputs and the `NodeContext` of each.

Each attempt has context variables of its own: the settings of decimal and of numpy are such variables. What it sets of
the interpreter, such as the limit of recursion, is put back behind it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence, Set
from contextvars import Context, ContextVar, copy_context
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from nfrun.code.watch.run_watch import RunWatch
from nfrun.core.contracts import EVIDENCE
from nfrun.core.errors import Cause, HandoffError, NodeError, NotStored, error_text
from nfrun.core.events import Failure, NodeStarted, OutputRef, nfrun_failure
from nfrun.core.file_source import FileSource
from nfrun.core.observation import Observation
from nfrun.core.pipeline import (
    LAST_SECTIONS,
    NOTHING,
    TABLE,
    Gather,
    Input,
    NodeSpec,
    OutputId,
    Pipeline,
    ending_of,
    form_of,
)
from nfrun.core.text import file_stem
from nfrun.core.values import field, frozen, replace
from nfrun.engine.gil_contention import GilContention
from nfrun.nodes.base import GRACE_SECONDS, CancelToken
from nfrun.nodes.folders import folder_of
from nfrun.system.atomic_files import remove
from nfrun.system.checksums import FileChecksums, FileLook
from nfrun.system.logs.node_logs import Logs, StreamLog, throttle_detached
from nfrun.system.logs.print_capture import current_attempt
from nfrun.system.native_threads import thread_variables
from nfrun.tables.formats import FormatError

if TYPE_CHECKING:
    from nfrun.code.watch.process_state import WorkerState
    from nfrun.rows.open_map import OpenMap
    from nfrun.rows.recorder import WorkerMap
    from nfrun.tables.output_files import WorkerStore
    from nfrun.tables.store import TableStore

    OutputStore: TypeAlias = TableStore | WorkerStore  # passes outputs between nodes, in the run's process or a worker
    PieceSource: TypeAlias = OpenMap | WorkerMap  # where a call gets its piece from, and where its result goes


# Runs a coroutine on an event loop to its end and returns its result.
RunCoroutine = Callable[[Coroutine[Any, Any, Any]], Any]
CANCELLED = Failure(Cause.CANCELLED, "Cancelled", "stopped")  # of an attempt that was told to stop
Progress = Callable[[str, float, float | None], None]
# Returns what imports a module for the nodes of a folder, "" for that of the pipeline; None: as usual in this process.
Importer = Callable[[str], Callable[[str], Any] | None]

_PROGRESS_SECONDS = 0.1  # at least, between two progress events of an attempt
_GPU, _CUDA = "gpu", "CUDA_VISIBLE_DEVICES"
T = TypeVar("T")


class AttemptInputs:
    """The inputs of an attempt at a node. `given` has the outputs that were made, of all that the node may read.

    `waits` has the seconds for which the attempt waited for each, and `lost` has those that are not in their place any
    more. `is_broken`: an error came from nfrun's own code.
    """

    def __init__(self, node: NodeSpec, given: Mapping[str, OutputRef], store: OutputStore) -> None:
        self._node = node
        self._given = given
        self._store = store
        self.is_broken = False
        self.lost: list[OutputRef] = []
        self.waits: dict[OutputId, float] = {}

    def has(self, name: str) -> bool:
        """Return whether there is something to read under this name. Raises NodeError for an unknown name."""
        return bool(self._input(name).read(self._given.__contains__))

    def table(self, name: str) -> Any:
        """Return the table or the path of the file, or with `gather: dict` those of the cells.

        Raises NodeError, FormatError, HandoffError.
        """
        gather, outputs = self._gathered(name)
        if gather is None:
            return self._read(outputs[0], self._store.open)
        from nfrun.tables.gathered import put_together

        return put_together(gather, {output: self._read(output, self._store.open) for output in outputs})

    def files(self, name: str) -> FileSource | None:
        """Return the files that hold the table of an input, None if there are none. Raises NodeError, HandoffError."""
        gather, outputs = self._gathered(name)
        found = self._given[outputs[0]].files
        return self._store.files(self._given[outputs[0]]) if found is not None and gather is None else None

    def file(self, name: str, scratch: Callable[[], Path]) -> Path:
        """Return the path of the file, made in the folder `scratch()` if the input is gathered.

        With `gather: dict` it is a folder of links to the files of the cells. Raises NodeError, FormatError,
        HandoffError, OSError.
        """
        gather, outputs = self._gathered(name)
        if gather is None:
            path: Path = self._read(outputs[0], self._store.file)
            return path
        if gather.form == "dict":
            folder = scratch() / f"input_{name}"
            folder.mkdir()
            for output in outputs:
                file: Path = self._read(output, self._store.file)
                ending = ".arrow" if self._given[output].type == TABLE else ending_of(self._given[output].type)
                (folder / f"{output.cell(self._node.id)}{ending}").symlink_to(file.absolute())
            return folder
        from nfrun.tables.ipc import write_file

        path = scratch() / f"input_{name}.arrow"
        write_file(self.table(name), path)
        return path

    def described(self) -> Iterator[str]:
        """Yield a line for each input: its rows and its schema, and the number of its cells."""
        for item in self._node.inputs:
            outputs = item.read(self._given.__contains__)
            if outputs:
                yield f"{item.name}: {_described([self._given[o] for o in outputs], item.gathered(outputs))}"

    def _input(self, name: str) -> Input:
        for item in self._node.inputs:
            if item.name == name:
                return item
        raise NodeError(f"the node has no input '{name}'")

    def _gathered(self, name: str) -> tuple[Gather | None, tuple[OutputId, ...]]:
        """Return the outputs that the input reads, and how they are put together, None for a single output."""
        item = self._input(name)
        outputs = item.read(self._given.__contains__)
        if not outputs:
            raise NodeError(f"the input '{name}' has no data: '{item.output}' handed nothing on")
        return item.gathered(outputs), outputs

    def _read(self, output: OutputId, read: Callable[[OutputRef], Any]) -> Any:
        ref, began = self._given[output], time.perf_counter()
        try:
            return read(ref)
        except NotStored:
            self.lost.append(ref)
            raise
        except HandoffError:  # its cause is known by its type, and the kind may handle it
            raise
        except BaseException:
            self.is_broken = True
            raise
        finally:
            self.waits[ref.id] = self.waits.get(ref.id, 0.0) + time.perf_counter() - began


def _described(refs: Sequence[OutputRef], gather: Gather | None) -> str:
    if refs[0].type != TABLE:
        cells = f"{len(refs):,} cell{'' if len(refs) == 1 else 's'}, " if gather else ""
        return f"{cells}{form_of(refs[0].type)}, {sum(ref.bytes for ref in refs):,} bytes"
    rows, schemas = sum(ref.rows for ref in refs), list(dict.fromkeys(ref.schema for ref in refs))
    cells = f"{len(refs):,} cell{'' if len(refs) == 1 else 's'}, " if gather else ""
    more = len(schemas) - 1
    others = f" (and {more:,} other schema{'' if more == 1 else 's'})" if more else ""
    return f"{cells}{rows:,} row{'' if rows == 1 else 's'}, {schemas[0] or 'no columns'}{others}"


@frozen
class AttemptSettings:
    """The settings that all attempts of a run share.

    `scratch` is the folder in which attempts get scratch folders. `environ` is the environment of the run: the
    process's with the file's `env` on top. `logs` receives what nodes print and log; `progress(node, done, total)`
    emits progress. `memo` is shared by all attempts, for values that kinds keep. `consumed_here` is
    `consumed`, needed where `pipeline` is only a part. A cancelled child process is killed after `grace` seconds.
    `importer` returns what imports the user's modules. Queries in this process may
    take `memory_share` of the memory that queries may take. `watch` sees what attempts open. `process_state` is that of
    a worker process, None elsewhere. `exposed`, `unshared` and `in_files` are those of `Placement`.
    `end_variables` are for the nodes that run last: they tell how the run ended. `started` is when the run started, in
    seconds since 1970. `open_maps` are the mapped nodes whose calls are made, by node and attempt.
    `on_begun(node, attempt, call)` is called when the user's code begins in a call.
    """

    pipeline: Pipeline
    store: OutputStore
    run_id: str
    scratch: Path
    environ: Mapping[str, str]
    logs: Logs = field(default_factory=Logs)
    progress: Progress = lambda node, done, total: None
    contention: GilContention = field(default_factory=GilContention)
    memo: dict[Any, Any] = field(default_factory=dict)
    consumed_here: Mapping[str, Sequence[OutputId]] | None = None
    grace: float = GRACE_SECONDS
    importer: Importer = lambda folder: None
    memory_share: float = 1.0
    process_state: WorkerState | None = None
    watch: RunWatch | None = None
    exposed: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    unshared: Set[str] = frozenset()
    in_files: Set[str] = frozenset()
    end_variables: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    started: float = field(default_factory=time.time)
    on_begun: Callable[[str, int, int], object] = lambda node, attempt, call: None
    open_maps: dict[tuple[str, int], PieceSource] = field(default_factory=dict)

    @property
    def evidence(self) -> Path:
        """The folder for rows that fail checks."""
        return self.scratch.parent / EVIDENCE

    @cached_property
    def folder(self) -> Path:
        """The folder of the pipeline."""
        return Path(self.pipeline.folder)

    @cached_property
    def consumed(self) -> Mapping[str, Sequence[OutputId]]:
        """The outputs that other nodes read or the file names under `outputs`, by the node that makes them."""
        if self.consumed_here is not None:
            return self.consumed_here
        found: dict[str, list[OutputId]] = {}
        read = (output for spec in self.pipeline.nodes.values() for item in spec.inputs for output in item.outputs)
        named = self.pipeline.outputs.values() if self.pipeline.names_outputs else ()
        for output in dict.fromkeys((*read, *named)):
            found.setdefault(output.node, []).append(output)
        return found


class AttemptContext:
    """The `NodeContext` that the kind of a node gets for an attempt, or for a call of a mapped node.

    `logged` is the number of the attempt under which its lines are logged. `failure` is set when the node has failed.
    """

    def __init__(
        self, settings: AttemptSettings, start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine
    ) -> None:
        self.settings = settings
        self.node: NodeSpec = settings.pipeline.spec_of(start.node)
        self.inputs = AttemptInputs(self.node, start.inputs, settings.store)
        self.attempt = self.logged = start.attempt
        self.granted = start.granted or NOTHING
        self.run = settings.run_id
        self.folder = folder_of(self.node, settings.folder)
        self.grace = settings.grace
        self.memo = settings.memo
        self.fsync = settings.store.fsync
        self.run_scratch = settings.scratch
        self.memory_share = settings.memory_share
        self.may_share_memory = self.node.id not in settings.unshared
        self.stays_in_files = self.node.id in settings.in_files
        self.cancel_token = cancel_token
        self.run_coroutine = run_coroutine
        self.wrote: dict[str, str] = {}
        self.failure: Failure | None = None
        self.in_nfrun = False  # whether an error now is one of nfrun's own code
        self.has_ended = self._complete_sent = False
        self._folder: Path | None = None
        self._progress_at = 0.0

    def begin(self, *, imported: bool = False) -> None:
        if imported:
            keep_imported(self.memo, current_attempt)
        if self.settings.process_state is not None:
            self.settings.process_state.begin()

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment of the run, with the node's threads, its units of budgets and its own variables on top."""
        node, runner = self.node, self.settings
        threads = thread_variables(node.cpus, runner.pipeline.env) if node.cpus > 1 else {}
        at_end = runner.end_variables if node.section in LAST_SECTIONS else {}
        units = unit_variables(self.granted, runner.environ)
        return {**runner.environ, **threads, **units, **node.env, **at_end}

    @property
    def named_environ(self) -> Mapping[str, str]:
        return {**self.settings.pipeline.env, **self.node.env}

    @property
    def import_module(self) -> Callable[[str], Any] | None:
        return self.settings.importer(self.node.folder)

    def has_input(self, name: str) -> bool:
        return self.inputs.has(name)

    def table(self, name: str) -> Any:
        return self.inputs.table(name)

    def file(self, name: str) -> Path:
        return self.inputs.file(name, self.scratch)

    def files(self, name: str) -> FileSource | None:
        return self.inputs.files(name)

    def look(self, path: Path) -> FileLook:
        watch = self.settings.watch
        return (FileChecksums() if watch is None else watch.checksums).look(path)

    def scratch(self) -> Path:
        if self._folder is None:
            self._folder = make_scratch(self.settings.scratch, self.node.id, self.attempt)
        return self._folder

    def log(self, level: str, line: str) -> None:
        if self._is_active():
            self.settings.logs.log(self.node.id, self.logged, level, line)

    def stream_log(self, stream: str) -> StreamLog:
        return self.settings.logs.of(self.node.id, self.logged, stream)

    def progress(self, done: float, total: float | None = None) -> None:
        if not self._is_active():
            return
        now, complete = time.monotonic(), done == total
        if now - self._progress_at >= _PROGRESS_SECONDS or (complete and not self._complete_sent):
            self._progress_at, self._complete_sent = now, complete
            self.settings.progress(self.node.id, done, total)

    def _is_active(self) -> bool:
        """Whether the attempt may still emit logs and progress.

        False once it is detached, and for a thread that the node left running after the attempt has ended. Slows
        detached code down, so that it leaves the GIL to others.
        """
        if self.settings.logs.is_detached(self.node.id, self.logged):
            throttle_detached()
            return False
        return not self.has_ended

    # -- for the engine ----------------------------------------------------------------------------------------------

    def observation(self) -> Observation | None:
        """Return, once, the observation until now: files, and why the result is not reused; None without any."""
        watch, exposed = self.settings.watch, self.settings.exposed.get(self.node.id)
        seen = watch.end(current_attempt.get()) if watch is not None and watch.seen else None
        if not self.wrote and not exposed:
            return seen
        seen = seen or Observation()
        return replace(seen, writes={**seen.writes, **self.wrote}, obstacle=exposed or seen.obstacle)

    def remove_scratch(self) -> None:
        if self._folder is not None:
            remove(self._folder, ignore_errors=True)

    def describe_failure(self, error: BaseException) -> Failure:
        """Return the failure for an error that the node, or nfrun's own code, has raised."""
        if self.cancel_token.cancelled:
            return CANCELLED
        if (self.in_nfrun or self.inputs.is_broken) and not isinstance(error, NodeError | FormatError):
            return nfrun_failure(error)
        try:
            from nfrun.engine.failures import failure_of

            return failure_of(error, self.node, tuple(self.inputs.described()), self.settings.folder)
        except Exception as broken:
            return nfrun_failure(broken, Failure(Cause.NODE, type(error).__name__, error_text(error)))


def make_scratch(scratch: Path, node: str, attempt: int) -> Path:
    """Make a folder for an attempt in the folder `scratch`, which the run may lack. Raises HandoffError."""
    import tempfile  # few attempts need it, and it imports `random`

    try:
        scratch.mkdir(exist_ok=True)  # the folder of the run may have been removed
        return Path(tempfile.mkdtemp(prefix=f"{file_stem(node)}.{attempt}.", dir=scratch))
    except OSError as error:
        what = f"cannot make a folder for the node '{node}' in {scratch}"
        raise HandoffError(f"{what}: {error.strerror}", error) from error


def unit_variables(granted: Mapping[str, tuple[int, ...]] | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Return `NFRUN_<BUDGET>` for each budget of which units are held, such as `0,1`; of `gpu` also what CUDA reads.

    If `environ`, that of the run, shows CUDA some devices only, the units are numbers in that list.
    """
    variables = {f"NFRUN_{name.upper()}": ",".join(map(str, units)) for name, units in (granted or {}).items()}
    if granted and _GPU in granted:
        visible = [device.strip() for device in environ.get(_CUDA, "").split(",") if device.strip()]
        devices = [visible[unit] if unit < len(visible) else str(unit) for unit in granted[_GPU]]
        variables[_CUDA] = ",".join(devices)
    return variables


def with_settings_kept(memo: dict[Any, Any], function: Callable[[], T]) -> T:
    """Call the function, and put back what it has set of the interpreter: nfrun's own code may fail with it.

    A higher limit of recursion stays: a module sets it once, when it is imported, for all of its functions. The
    settings of all threads become those at the first attempt: another one may have changed them meanwhile.
    """
    first = memo.setdefault(with_settings_kept, (sys.getrecursionlimit(), threading.gettrace(), threading.getprofile()))
    tracing, profiling = sys.gettrace(), sys.getprofile()
    try:
        return function()
    finally:
        if sys.getrecursionlimit() < first[0]:
            sys.setrecursionlimit(first[0])
        if sys.gettrace() is not tracing:
            sys.settrace(tracing)
        if sys.getprofile() is not profiling:
            sys.setprofile(profiling)
        if (threading.gettrace(), threading.getprofile()) != first[1:]:
            threading.settrace(first[1])
            threading.setprofile(first[2])


def new_context(memo: Mapping[Any, Any]) -> Context:
    """Return a new context that has only the variables that imports have set."""
    found, imported = Context(), memo.get(keep_imported)
    if imported is not None:
        found.run(_set, imported)
    return found


def keep_imported(memo: dict[Any, Any], but: ContextVar[Any]) -> None:
    """Keep the variables of this context for all later attempts. Call this after an import, before the user's code.

    Only the first attempt imports a module, and the others must compute with the same settings.
    """
    found = {variable: _copy(value) for variable, value in copy_context().items() if variable is not but}
    if found := {variable: value for variable, value in found.items() if not _is_default(value)}:
        memo[keep_imported] = {**memo.get(keep_imported, {}), **found}


def _set(values: Mapping[ContextVar[Any], Any]) -> None:
    for variable, value in values.items():
        variable.set(_copy(value))


def _is_decimal(value: Any) -> bool:
    return (type(value).__module__, type(value).__name__) == ("decimal", "Context")


def _copy(value: Any) -> Any:
    """Copy a context of decimal, which changes in place."""
    return value.copy() if _is_decimal(value) else value


def _is_default(value: Any) -> bool:
    if not _is_decimal(value):
        return False
    import decimal

    value.clear_flags()  # of the copy
    return repr(value) == repr(decimal.DefaultContext)
