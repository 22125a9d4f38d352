"""Sees which state of the whole process changed while a node ran, and sets that state before the attempts of a worker.

On threads all nodes share this state, so that their results depend on who changes it when. A worker process makes one
attempt at a time, and each begins with the same state.
"""

from __future__ import annotations

import _locale
import os
import pickle
import random
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any, NamedTuple

RANDOM = "random's generator"
NUMPY = "numpy's global random generator"
DIRECTORY = "the working directory"
ENVIRON = "the environment variables"
LOCALE = "the locale"
FIGURES = "pyplot's figures"

_OURS = frozenset({b"PYTHONSAFEPATH", b"PYTHONHASHSEED", b"NFRUN_PRELOAD"})  # set while a fork server starts
_SEEDED_ON_IMPORT = ("numpy.random", "torch", "polars", "duckdb")


class StartState(NamedTuple):
    """The states of both generators, and the number of imported modules, when an attempt or the node's code began.

    The state of numpy's generator is None if numpy is not imported.
    """

    random: object
    numpy: object
    modules: int


class ProcessState:
    """Sees changes of process-global state since it was made, and of both random generators since `begin`.

    Changes that an import makes do not count: those of variables at any time, and those of the directory and the locale
    before `begin`.
    Safe to call from several threads.
    """

    _directory: str
    _environ: dict[bytes, bytes]
    _locale: str

    def __init__(self) -> None:
        self._adopt()
        self._figures = _figures()
        if "numpy" in sys.modules:  # so that the first use of its generator is seen
            import numpy.random  # noqa: F401

    def reset(self) -> StartState:
        """Return the state when an attempt begins."""
        return StartState(random.getstate(), _numpy_state(), len(sys.modules))

    def begin(self, start: StartState) -> StartState:
        """Call this when the attempt has imported the node's modules. `start` is what `reset` returned."""
        if len(sys.modules) != start.modules:
            self._adopt()
        return ProcessState.reset(self)

    def changed(self, start: StartState) -> tuple[str, ...]:
        """Return the names of what has changed: the generators since `start`, all else since this object was made."""
        found = [RANDOM] if random.getstate() != start.random else []
        if start.numpy is not None and _numpy_state() != start.numpy:
            found.append(NUMPY)
        if _directory() != self._directory:
            found.append(DIRECTORY)
        environ = _environ()
        if environ != self._environ and _without_ours(environ) != _without_ours(self._environ):
            if len(sys.modules) == start.modules:
                found.append(ENVIRON)
            else:
                self._environ = dict(environ)
        if _locale.setlocale(_locale.LC_ALL) != self._locale:
            found.append(LOCALE)
        if _figures() != self._figures:
            found.append(FIGURES)
        return tuple(found)

    def obstacle(self, changed: Sequence[str]) -> str:
        """Return why a result is not reused if this state changed while the attempt ran."""
        return f"it ran on a thread while {listed(changed)} changed"

    @property
    def spent(self) -> bool:
        """Whether this process must not make another attempt."""
        return False

    def _adopt(self) -> None:
        self._directory = _directory()
        self._environ = dict(_environ())
        self._locale = _locale.setlocale(_locale.LC_ALL)


class WorkerState(ProcessState):
    """The state of a worker process, which is the same at the beginning of each attempt.

    `seed` is the text that seeds the generators for the node's code; None takes the system's randomness. DuckDB's
    default connection gets `threads`, 0 if the node has no code that could use it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._settings = _pyplot_settings()
        self._seeded: str | None = ""
        self._first_locale = self._locale
        self.seed: str | None = ""
        self.threads = 0
        self._default_connection: DefaultConnection | None = None
        sys.meta_path.insert(0, _SeedOnImport(self._seed_module))

    def reset(self) -> StartState:
        """Restore the directory and the variables, and seed the generators for what imports draw."""
        if _directory() != self._directory:
            with suppress(OSError):  # it may have been removed
                os.chdir(self._directory)
        if _environ() != self._environ:
            before = {os.fsdecode(name): os.fsdecode(value) for name, value in self._environ.items()}
            os.environ.clear()
            os.environ.update(before)
            time.tzset()
        self._seed_all("")
        return super().reset()

    def begin(self, start: StartState) -> StartState:
        """Seed the generators for the code of the node."""
        self._seed_all(self.seed)
        return super().begin(start)

    def obstacle(self, changed: Sequence[str]) -> str:
        """Return "": a worker makes one attempt at a time."""
        return ""

    @property
    def spent(self) -> bool:
        """Whether something has changed that cannot be put back, so that the worker must not make another attempt."""
        locale = _locale.setlocale(_locale.LC_ALL)
        if self._default_connection is not None and self._default_connection.used:
            return True  # what the imports of the user's modules did there is lost with it
        return bool(_figures()) or locale != self._first_locale or _pyplot_settings() != self._settings

    def _seed_all(self, seed: str | None) -> None:
        self._seeded = seed
        random.seed(seed)
        for name in _SEEDED_ON_IMPORT:
            if name in sys.modules:
                self._seed_module(name)

    def _seed_module(self, name: str) -> None:
        module: Any = sys.modules[name]
        numbers = random.Random(self._seeded)  # a new one for each module: what one draws does not depend on the other
        with suppress(Exception):  # a module that has this name only
            if name == "torch":
                module.manual_seed(numbers.getrandbits(63))
            elif name == "polars":
                module.set_random_seed(numbers.getrandbits(63))
            elif name == "duckdb":
                self._begin_connection(numbers.random())
            else:
                module.seed([numbers.getrandbits(32) for _ in range(4)])

    def _begin_connection(self, seed: float) -> None:
        if self.threads and self._default_connection is None:
            self._default_connection = DefaultConnection(self.threads)
        if self.threads and self._default_connection is not None:
            self._default_connection.begin(seed, self.threads)


class _SeedOnImport(MetaPathFinder):
    """Seeds a module when it is imported: a node may import it late, and another node in the same worker early."""

    def __init__(self, seed: Callable[[str], None]) -> None:
        self._seed = seed

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        others = [finder for finder in sys.meta_path if finder is not self] if name in _SEEDED_ON_IMPORT else []
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_seed(module: Any) -> None:
                execute(module)
                self._seed(name)

            spec.loader.exec_module = execute_and_seed  # type: ignore[method-assign]
        return spec


def listed(names: Sequence[str]) -> str:
    """Return "a, b and c"."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""


def _numpy_state() -> bytes | None:
    """Return the state of numpy's global generator, None if it is not imported."""
    module = sys.modules.get("numpy.random.mtrand")
    return None if module is None else pickle.dumps(module.get_state(legacy=False))


def _environ() -> Mapping[bytes, bytes]:
    """Return the environment as bytes, as `os.environ` stores it: comparing it takes a hundredth of the time."""
    environ: Any = os.environ
    data: Mapping[bytes, bytes] = environ._data
    return data


def _without_ours(environ: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    return {name: value for name, value in list(environ.items()) if name not in _OURS}


def _figures() -> list[int]:
    """Return the numbers of the open figures."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    list_figures: Callable[[], list[int]] = getattr(pyplot, "get_fignums", list)
    return list_figures()


def _pyplot_settings() -> dict[str, Any] | None:
    """Return the settings of all figures to come; None without pyplot."""
    if "matplotlib.pyplot" not in sys.modules:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dict(getattr(sys.modules.get("matplotlib"), "rcParams", {}))


class DefaultConnection:
    """The connection behind `duckdb.sql` and the like. With several `threads`, the order of rows would change."""

    def __init__(self, threads: int) -> None:
        import duckdb

        self._connection = duckdb.connect(config={"threads": threads})
        self._threads = threads
        self._used = False
        self._transaction = self._begin_transaction()
        duckdb.set_default_connection(self._connection)

    def begin(self, seed: float, threads: int) -> None:
        """Seed what queries draw, by a number from 0 to 1, and set the number of threads."""
        import duckdb

        was_used = self.used
        with suppress(duckdb.Error):
            self._connection.execute("select setseed(?)", [seed]).fetchall()
            if threads != self._threads:
                self._connection.execute(f"set threads = {threads}")
                self._threads = threads
            if not was_used:
                self._transaction = self._begin_transaction()

    @property
    def used(self) -> bool:
        """Whether anything but this object has used the connection, or has replaced it."""
        import duckdb

        if not self._used:
            last = self._transaction
            try:
                self._transaction = self._begin_transaction()
                self._used = self._transaction != last + 1 or duckdb.default_connection() is not self._connection
            except duckdb.Error:  # it is closed, or has a result that was not read to its end
                self._used = True
        return self._used

    def _begin_transaction(self) -> int:
        """Return the number of a new transaction: every use of the instance takes one."""
        rows: list[Any] = self._connection.execute("select txid_current()").fetchall()
        return int(rows[0][0])
