"""Opens connections to DuckDB: queries share one instance, whose cursors cost a tenth of an instance of their own.

Registered tables belong to a cursor. Views, settings and attached databases belong to the instance, so nodes that
change such things get an instance of their own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nfrun.core.errors import HandoffError
from nfrun.core.pipeline import UTC
from nfrun.nodes.base import NodeContext, NodeError
from nfrun.system.runtime import available_memory

_MEMORY_SHARE = 0.8  # of the memory of the machine or the container, for all instances of a run


class DuckDBInstances:
    """The DuckDB instances of one process. Thread-safe.

    The shared one spills to `spill_folder`, which DuckDB makes when it needs it. All instances together may take 80 %
    of `share` of the memory, and each the same part of it, but for those with a limit of their own. A query on the
    shared one runs on the thread that asks for it: with several threads DuckDB returns the rows in another order each
    time, and sums that differ in the last bits.
    """

    def __init__(self, spill_folder: Path, share: float) -> None:
        self._spill_folder = spill_folder
        self._lock = threading.Lock()
        self._shared: Any = None
        self._memory = _MEMORY_SHARE * share * available_memory()  # of all instances
        self._sharing: list[Any] = []  # the instances that share it

    @contextmanager
    def cursor(self, folder: str = "", timezone: str = UTC) -> Iterator[Any]:
        """Open a cursor on the shared instance, for queries that find files in this folder, in this time zone.

        After an error that broke the instance, the next cursor has a new one. Raises `duckdb.Error`, HandoffError, and
        NodeError for a folder that DuckDB cannot have.
        """
        import duckdb

        with self._lock:
            if self._shared is None:
                self._make_room()
                self._shared = self._connect(1, self._spill_folder)
            shared = self._shared
            cursor = shared.cursor()
        try:
            with cursor:
                _set_up(cursor, folder, timezone)
                yield cursor
        except (duckdb.FatalException, duckdb.InternalException):
            with self._lock:
                if self._shared is shared:
                    self._shared = None
                    self._sharing.remove(shared)
            raise

    @contextmanager
    def own(
        self, threads: int, spill_folder: Path, memory: float = 0.0, folder: str = "", timezone: str = UTC
    ) -> Iterator[Any]:
        """Open an instance for one node, which may take `memory` bytes if given. Raises as `cursor` does."""
        with self._lock:
            instance = self._connect(threads, spill_folder, memory)
        try:
            with instance.cursor() as cursor:
                _set_up(cursor, folder, timezone)
                yield cursor
        finally:
            with self._lock:
                if not memory:
                    self._sharing.remove(instance)
                instance.close()
                self._share_memory()

    def _make_room(self) -> None:
        """Make the folder around the spill folder: DuckDB makes only the last one. Raises HandoffError."""
        folder = self._spill_folder.parent
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise HandoffError(f"cannot make the folder {folder} for queries: {error.strerror}", error) from error

    def _share_memory(self) -> None:
        """Give all instances that share the memory the same part of it. One that cannot free it keeps its limit."""
        import duckdb

        for instance in self._sharing:
            with suppress(duckdb.Error):
                instance.execute(f"set memory_limit = '{int(self._memory / len(self._sharing))}B'")

    def _connect(self, threads: int, spill_folder: Path, memory: float = 0.0) -> Any:
        import duckdb

        _check_name(str(spill_folder))
        config: dict[str, Any] = {
            "python_enable_replacements": "false",  # otherwise unknown tables are Python variables of nfrun's frames
            "enable_external_file_cache": "false",  # it would know files by paths that come again
            "temp_directory": str(spill_folder),  # otherwise the working directory
            "threads": threads,
        }
        if memory:
            config["memory_limit"] = f"{int(memory)}B"
        instance = duckdb.connect(":memory:", config=config)
        if not memory:
            self._sharing.append(instance)
            self._share_memory()
        with suppress(duckdb.Error):  # it has no time zones
            instance.execute(f"set global timezone = '{UTC}'")  # otherwise that of the machine
        return instance


def _set_up(cursor: Any, folder: str, timezone: str) -> None:
    if folder:
        _check_name(folder)
        cursor.execute("set session file_search_path = ?", [folder])
    if timezone != UTC:  # which all instances have
        cursor.execute("set timezone = ?", [timezone])


def _check_name(folder: str) -> None:
    """Raise NodeError for a name with bytes that are not UTF-8, for which DuckDB would raise "std::bad_cast"."""
    if folder.encode(errors="ignore").decode() != folder:
        raise NodeError(f"DuckDB takes no folder whose name is not UTF-8: {folder}", "rename the folder")


def instances_of(context: NodeContext) -> DuckDBInstances:
    """Return the instances of this process."""
    found: DuckDBInstances | None = context.memo.get(DuckDBInstances)
    if found is None:
        made = DuckDBInstances(context.run_scratch / f"duckdb.{os.getpid()}", context.memory_share)
        found = context.memo.setdefault(DuckDBInstances, made)
    return found
