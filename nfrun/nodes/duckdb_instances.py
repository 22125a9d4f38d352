"""Opens connections to DuckDB: queries share one instance, whose cursors cost a tenth of an instance of their own.

Registered tables belong to a cursor. Views, settings and attached databases belong to the instance, so nodes that
change such things get an instance of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nfrun.core.errors import HandoffError
from nfrun.system.runtime import available_memory

_MEMORY_SHARE = 0.8  # of the memory of the machine or the container, for all instances of a run


class DuckDBInstances:
    """The DuckDB instances of one process. Thread-safe.

    `config` has the settings of every instance. The shared one spills to `spill_folder`, which DuckDB makes when it
    needs it. All instances together may take 80 % of `share` of the memory: each one of its own gets half of what the
    shared one has, and gives it back. A query runs on the thread that asks for it: with several threads DuckDB returns
    the rows in another order each time, and sums that differ in the last bits.
    """

    def __init__(self, config: Mapping[str, Any], spill_folder: Path, share: float) -> None:
        self._config = config
        self._spill_folder = spill_folder
        self._lock = threading.Lock()
        self._shared: Any = None
        self._memory = _MEMORY_SHARE * share * available_memory()  # of the shared instance

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """Open a cursor on the shared instance. After an error that broke the instance, the next cursor has a new one.

        Raises `duckdb.Error`, HandoffError.
        """
        import duckdb

        with self._lock:
            if self._shared is None:
                self._make_room()
                self._shared = self._connect(1, self._spill_folder, self._memory)
            shared = self._shared
            cursor = shared.cursor()
        try:
            with cursor:
                yield cursor
        except (duckdb.FatalException, duckdb.InternalException):
            with self._lock:
                if self._shared is shared:
                    self._shared = None
            raise

    @contextmanager
    def own(self, threads: int, spill_folder: Path) -> Iterator[Any]:
        """Open an instance for one node. Raises `duckdb.Error`."""
        with self._lock:
            memory = self._memory / 2
            self._resize(-memory)
        try:
            with self._connect(threads, spill_folder, memory) as connection:
                yield connection
        finally:
            with self._lock:
                self._resize(memory)

    def _make_room(self) -> None:
        """Make the folder around the spill folder: DuckDB makes only the last one. Raises HandoffError."""
        folder = self._spill_folder.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HandoffError(f"cannot make the folder {folder} for queries: {error.strerror}", error) from error

    def _resize(self, change: float) -> None:
        """Change the memory limit of the shared instance. If it cannot free so much now, it keeps the old limit."""
        import duckdb

        self._memory += change
        if self._shared is not None:
            with suppress(duckdb.Error), self._shared.cursor() as cursor:
                cursor.execute(f"set memory_limit = '{int(self._memory)}B'")

    def _connect(self, threads: int, spill_folder: Path, memory: float) -> Any:
        import duckdb

        config: dict[str, Any] = {
            "temp_directory": str(spill_folder),
            "memory_limit": f"{int(memory)}B",
            "threads": threads,
        }
        return duckdb.connect(":memory:", config={**self._config, **config})
