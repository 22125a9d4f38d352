"""Says what a place for files is: it keeps whole files and folders under names, for all machines that see it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Protocol

from nfrun.core.values import frozen

NAMED = ".named"  # the end of a folder with one file or folder that has a name of its own
FOLDER_MARK = ".folder"  # stands in the name of what is a folder
TEMPORARY = "tmp/"  # begins the names of what writers have not put yet, or were killed with


class PlaceError(OSError):
    """A place cannot be used, or a file in it. The message says what, and where.

    `errno` is that of the system's error, None without one.
    """

    def __init__(self, message: str, error: BaseException | None = None) -> None:
        super().__init__(message)
        self.errno = error.errno if isinstance(error, OSError) else None


class FileGone(PlaceError):
    """A file is not in its place any more, or is damaged. Then it is not there, so that it can be put again."""


@frozen
class PlacedFile:
    """A file or folder in a place: its size in bytes, and when it was put, in seconds since 1970."""

    name: str
    size: int
    modified: float


class Place(Protocol):
    """A folder of files and folders that are put whole, and never change. All methods are thread-safe.

    `uri` is its address, without credentials. Names are relative paths such as `data/x.arrow`. `kept` are the folders
    of this machine in which lies what `get` returns. All methods raise PlaceError.
    """

    uri: str
    kept: tuple[Path, ...]

    def put(self, path: Path, name: str, *, moved: bool = True) -> int:
        """Put a file or folder under a name. Returns its size in bytes. Nothing happens if the name is there.

        It becomes read-only. `moved`: it is not needed at `path` any more.
        """
        ...

    def get(self, name: str, size: int | None = None) -> Path:
        """Return a read-only path of this machine with the content. It stays until `release` is called as often.

        A copy of another `size` in bytes is fetched anew. Raises FileGone.
        """
        ...

    def local_path(self, name: str) -> Path | None:
        """Return the path if what is there can be read without a copy of it. It need not be there."""
        ...

    def release(self, name: str) -> None:
        """End one use of the path that `get` gave."""
        ...

    def size(self, name: str) -> int | None:
        """Return the size in bytes, None if there is no such name."""
        ...

    def remove(self, names: Collection[str]) -> None:
        """Remove what has these names. What is not there is skipped."""
        ...

    def remove_all(self) -> None:
        """Remove all that is there."""
        ...

    def names(self) -> Iterator[PlacedFile]:
        """Yield all that is there, also what killed writers have left, whose names begin with `tmp/`."""
        ...

    def fresh_folder(self) -> Path:
        """Make a folder for files that are to be put, where that takes no copy if possible. Returns its path."""
        ...
