"""Opens connections to DuckDB: queries share one instance, whose cursors cost a tenth of an instance of their own.

Registered tables belong to a cursor. Views, settings and attached databases belong to the instance, so nodes that
change such things get an instance of their own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
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

    `config` has the settings of every instance. There is a shared one for each folder in which queries find files, ""
    for none. Those spill to `spill_folder`, which DuckDB makes when it needs it. All instances together may take 80 %
    of `share` of the memory, and each the same part of it, but for those with a limit of their own. A query on the
    shared one runs on the thread that asks for it: with several threads DuckDB returns the rows in another order each
    time, and sums that differ in the last bits.
    """

    def __init__(self, config: Mapping[str, Any], spill_folder: Path, share: float) -> None:
        self._config = config
        self._spill_folder = spill_folder
        self._lock = threading.Lock()
        self._shared: dict[str, Any] = {}  # by folder
        self._memory = _MEMORY_SHARE * share * available_memory()  # of all instances
        self._limit = int(self._memory)  # of each instance
        # The limit in DuckDB's own form, by a connection that is used only here and with the lock held.
        self._limits: dict[Any, str] = {}

    @contextmanager
    def cursor(self, folder: str = "", timezone: str = UTC) -> Iterator[Any]:
        """Open a cursor on the shared instance of a folder, for queries in this time zone.

        After an error that broke the instance, the next cursor has a new one. Raises `duckdb.Error`, HandoffError, and
        NodeError for a folder that DuckDB cannot have.
        """
        import duckdb

        with self._lock:
            if folder not in self._shared:
                self._make_room()
                self._share_memory(one_more=1)
                self._shared[folder] = self._connect(folder, 1, self._spill_folder)
            shared = self._shared[folder]
            cursor = shared.cursor()
        try:
            with cursor:
                _set_timezone(cursor, timezone)
                yield cursor
        except (duckdb.FatalException, duckdb.InternalException):
            with self._lock:
                if self._shared.get(folder) is shared:
                    del self._shared[folder]
                    del self._limits[shared]
            raise

    @contextmanager
    def own(
        self, threads: int, spill_folder: Path, memory: float = 0.0, folder: str = "", timezone: str = UTC
    ) -> Iterator[Any]:
        """Open an instance for one node, which may take `memory` bytes if given. Raises as `cursor` does."""
        instance = None
        try:
            with self._lock:
                if not memory:
                    self._share_memory(one_more=1)
                instance = self._connect(folder, threads, spill_folder, memory)
                cursor = instance.cursor()
            with cursor:
                _set_timezone(cursor, timezone)
                yield cursor
        finally:
            with self._lock:
                if instance is not None:
                    self._limits.pop(instance, None)
                    instance.close()
                self._share_memory()

    def _make_room(self) -> None:
        """Make the folder around the spill folder: DuckDB makes only the last one. Raises HandoffError."""
        folder = self._spill_folder.parent
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise HandoffError(f"cannot make the folder {folder} for queries: {error.strerror}", error) from error

    def _share_memory(self, one_more: int = 0) -> None:
        """Give all instances the same part of the memory, but for those where a node has set its limit itself.

        An instance that cannot free so much now keeps its limit.
        """
        import duckdb

        self._limit = int(self._memory / max(1, len(self._limits) + one_more))
        for instance, limit in self._limits.items():
            with suppress(duckdb.Error):
                if _memory_limit(instance) == limit:
                    instance.execute(f"set memory_limit = '{self._limit}B'")
                    self._limits[instance] = _memory_limit(instance)

    def _connect(self, folder: str, threads: int, spill_folder: Path, memory: float = 0.0) -> Any:
        import duckdb

        for path in (folder, str(spill_folder)):
            if not _is_utf_8(path):  # DuckDB would raise "std::bad_cast"
                raise NodeError(f"DuckDB takes no folder whose name is not UTF-8: {path}", "rename the folder")
        config: dict[str, Any] = {"temp_directory": str(spill_folder), "memory_limit": f"{int(memory or self._limit)}B"}
        if folder:
            config["file_search_path"] = folder
        instance = duckdb.connect(":memory:", config={**self._config, **config, "threads": threads})
        with suppress(duckdb.Error):  # it has no time zones
            instance.execute(f"set global timezone = '{UTC}'")  # otherwise that of the machine
        if not memory:  # otherwise its limit stays as it is
            self._limits[instance] = _memory_limit(instance)
        return instance


def _set_timezone(cursor: Any, timezone: str) -> None:
    if timezone != UTC:  # which all instances have
        cursor.execute("set timezone = ?", [timezone])


def _is_utf_8(path: str) -> bool:
    """Return whether the name has no bytes that are not UTF-8, which Python has as lone surrogates."""
    return path.encode(errors="ignore").decode() == path


def instances_of(context: NodeContext) -> DuckDBInstances:
    """Return the instances of this process."""
    found: DuckDBInstances | None = context.memo.get(DuckDBInstances)
    if found is None:
        # Otherwise DuckDB looks up unknown tables among the Python variables of nfrun's own frames.
        # It would keep parts of files by their paths, and those of open files are used again.
        config = {"python_enable_replacements": "false", "enable_external_file_cache": "false"}
        # DuckDB would spill to the working directory.
        made = DuckDBInstances(config, context.run_scratch / f"duckdb.{os.getpid()}", context.memory_share)
        found = context.memo.setdefault(DuckDBInstances, made)
    return found


def _memory_limit(connection: Any) -> str:
    return str(connection.sql("select current_setting('memory_limit')").fetchall()[0][0])
