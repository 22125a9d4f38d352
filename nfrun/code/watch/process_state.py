"""Sets the state of the whole process before the attempts of a worker, so that each begins with the same.

On threads all nodes share this state. So a node whose code uses it runs in a worker process, which makes one attempt at
a time.
"""

from __future__ import annotations

import _locale
import os
import random
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

_PYPLOT = "matplotlib.pyplot"
_SEEDED_ON_IMPORT = ("numpy.random", "torch", "polars", "duckdb")


class WorkerState:
    """The state of a worker process, which is the same at the beginning of each attempt.

    What imports change stays for all attempts after it: variables, and the directory if the node's code had not begun.
    `seed` is the text that seeds the generators for the node's code; None takes the system's randomness. DuckDB's
    default connection gets `threads`, 0 if the node has no code that could use it.
    """

    _directory: str
    _environ: Mapping[bytes, bytes]
    _modules: int  # how many were imported

    def __init__(self) -> None:
        self._adopt()
        self._had_pyplot = _PYPLOT in sys.modules
        self._seeded: str | None = ""
        self._first_locale = _locale.setlocale(_locale.LC_ALL)
        self.seed: str | None = ""
        self.threads = 0
        self._default_connection: DefaultConnection | None = None
        sys.meta_path.insert(0, _SeedOnImport(self._seed_module))

    def reset(self) -> None:
        """Restore the directory and the variables, and seed the generators for what imports draw."""
        if _directory() != self._directory:
            with suppress(OSError):  # it may have been removed
                os.chdir(self._directory)
        if _environ() != self._environ and len(sys.modules) != self._modules:
            self._environ = dict(_environ())  # an import may have set them, which is not done again
        elif _environ() != self._environ:
            before = {os.fsdecode(name): os.fsdecode(value) for name, value in self._environ.items()}
            os.environ.clear()
            os.environ.update(before)
            time.tzset()
        self._seed_all("")
        self._modules = len(sys.modules)

    def begin(self) -> None:
        """Seed the generators for the code of the node. Call this when the attempt has imported the node's modules."""
        self._seed_all(self.seed)
        if len(sys.modules) != self._modules:
            self._adopt()

    def _adopt(self) -> None:
        self._directory = _directory()
        self._environ = dict(_environ())
        self._modules = len(sys.modules)

    @property
    def spent(self) -> bool:
        """Whether something has changed that cannot be put back, so that the worker must not make another attempt."""
        locale = _locale.setlocale(_locale.LC_ALL)
        if self._default_connection is not None and self._default_connection.used:
            return True  # what the imports of the user's modules did there is lost with it
        # Figures may be open, and the settings of those to come may have changed.
        return locale != self._first_locale or (_PYPLOT in sys.modules) != self._had_pyplot

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
        if self.threads:
            self._default_connection = self._default_connection or DefaultConnection()
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


def _directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""


def _environ() -> Mapping[bytes, bytes]:
    """Return the environment as bytes, as `os.environ` stores it: comparing it takes a hundredth of the time."""
    environ: Any = os.environ
    data: Mapping[bytes, bytes] = environ._data
    return data


class DefaultConnection:
    """The connection behind `duckdb.sql` and the like."""

    def __init__(self) -> None:
        import duckdb

        self._connection = duckdb.connect()
        self._used = False
        self._transaction = self._begin_transaction()
        duckdb.set_default_connection(self._connection)

    def begin(self, seed: float, threads: int) -> None:
        """Seed what queries draw, by a number from 0 to 1, and set how many threads there are: rows depend on both."""
        import duckdb

        was_used = self.used
        with suppress(duckdb.Error):
            self._connection.execute("select setseed(?)", [seed]).fetchall()
            self._connection.execute(f"set threads = {threads}")
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
