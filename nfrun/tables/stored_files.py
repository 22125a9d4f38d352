"""Fetches outputs that are in a place which machines share, when somebody reads them, and once for all readers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from nfrun.core.errors import HandoffError, NotStored
from nfrun.core.events import OutputRef
from nfrun.core.output_types import TABLE


class StoredFiles(Protocol):
    """Fetches outputs from places, and puts them into the `place` of the run, None if it has none."""

    place: Any

    def get(self, stored: str, size: int | None = None) -> Path:
        """Return a path with the content of what has this address, which stays until `release` is called as often.

        `size` is in bytes, if it is known. Raises HandoffError, and NotStored if nothing intact is there.
        """

    def release(self, stored: str) -> None:
        """End one use of the path. Does not block."""

    def put(self, ref: OutputRef) -> OutputRef:
        """Put an output that has a path into the place, once. Return its reference with the address.

        Raises HandoffError.
        """


class LateStoredFiles:
    """Fetches outputs of earlier runs in a run without a place: `make()` is called for the first one.

    Without `make` there are none.
    """

    place: Any = None

    def __init__(self, make: Callable[[], StoredFiles] | None = None) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: StoredFiles | None = None

    def get(self, stored: str, size: int | None = None) -> Path:
        """Fetch an output, see `StoredFiles`."""
        with self._lock:
            if self._made is None and self._make is not None:
                self._made = self._make()
        if self._made is None:
            raise NotStored(f"there is no place for {stored}")
        return self._made.get(stored, size)

    def release(self, stored: str) -> None:
        """End one use of the path."""
        if self._made is not None:
            self._made.release(stored)

    def put(self, ref: OutputRef) -> OutputRef:
        """Raise HandoffError."""
        raise HandoffError(f"there is no place for the output '{ref.id}'")


NO_STORED_FILES = LateStoredFiles()


class StoredFile:
    """The file or folder of an output that is in a place. Thread-safe."""

    def __init__(self, ref: OutputRef, files: StoredFiles) -> None:
        self._ref = ref
        self._stored = ref.stored or ""
        self._files = files
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._table: Any = None
        self._released = False

    def path(self) -> Path:
        """Return its path on this machine, and fetch it if that was not done before. Raises HandoffError, NotStored."""
        with self._lock:
            return self._fetched()

    def open(self) -> Any:
        """Return the table, mapped once for all readers, or the path. Raises HandoffError, NotStored."""
        if self._ref.type != TABLE:
            return self.path()
        from nfrun.tables.ipc import open_file  # it imports Arrow

        with self._lock:
            if self._table is None:
                self._table = open_file(self._fetched(), self._ref.size)
            return self._table

    def release(self) -> None:
        """End the use of the path. Does not wait for who is fetching it now."""
        self._released = True
        if self._lock.acquire(blocking=False):
            try:
                self._end_use()
            finally:
                self._lock.release()

    def _fetched(self) -> Path:
        if self._path is None:
            try:
                self._path = self._files.get(self._stored, self._ref.size)
            except NotStored as error:
                error.outputs.append(self._ref.id)
                raise
        path = self._path
        if self._released:  # while it was fetched
            self._end_use()
        return path

    def _end_use(self) -> None:
        if self._path is not None:
            self._path = None
            self._files.release(self._stored)
