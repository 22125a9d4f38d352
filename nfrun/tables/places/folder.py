"""Opens places, and keeps files in a folder that all machines see by the same path, as on a network file system."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from nfrun.system.atomic_files import make_folders, remove
from nfrun.system.kept_files import is_inside, make_read_only, size_of
from nfrun.system.os_errors import reason
from nfrun.tables.places.base import (
    NAMED,
    TEMPORARY,
    FileGone,
    PlacedFile,
    PlaceError,
    check_address,
    path_of,
    scheme_of,
)

if TYPE_CHECKING:
    from nfrun.tables.places.objects import Objects

# A folder of files and folders that are put whole, and never change: see the methods of `Folder`. All are thread-safe
# and raise PlaceError.
Place: TypeAlias = "Folder | Objects"

_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


class Folder:
    """A folder as a place. Nothing is made in it before something is put.

    What is not complete lies in its folder `tmp`, and is renamed when it is. `uri` is the address of the place, without
    credentials. Names are relative paths such as `data/x.arrow`. `kept` are the folders of this machine in which lies
    what `get` returns.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.uri = path.as_uri()
        self.kept: tuple[Path, ...] = (path,)

    def put(self, path: Path, name: str, *, moved: bool = True) -> int:
        """Put a file or folder under a name, and return its size in bytes. Nothing happens if the name is there.

        It becomes read-only. `moved`: it is not needed at `path` any more. On the same disk it is renamed, or linked if
        it stays.
        """
        final = self.path / name
        with self._errors("write", name):
            size = size_of(path)
            if (found := self.size(name)) == size:
                if moved:
                    remove(path)
                return size
            if found is not None:
                remove(final)  # it is damaged
            with self._staged(path, moved=moved) as staged:
                make_folders(final.parent)
                try:
                    _rename(staged, final)
                except FileNotFoundError:  # another process has removed the folder: it was empty
                    make_folders(final.parent)
                    _rename(staged, final)
            make_read_only(final)
            return size

    def get(self, name: str, size: int | None = None) -> Path:
        """Return a read-only path of this machine with the content: that in the folder itself. Raises FileGone.

        It stays there for as long as the object that is returned. A copy of another `size` in bytes is fetched anew.
        """
        path = self.path / name
        with self._errors("read", name):
            if not os.path.lexists(path):
                # A network file system may remember that a name was not there. Listing the folder asks the server.
                with suppress(OSError):
                    os.listdir(path.parent)  # noqa: PTH208
                if not os.path.lexists(path):
                    raise FileGone(f"{path} is not there any more")
        return path

    def local_path(self, name: str) -> Path:
        """Return the path if the file can be read without a copy of it. It need not be there."""
        return self.path / name

    def size(self, name: str) -> int | None:
        """Return the size in bytes, None if there is no such name."""
        with self._errors("read", name):
            try:
                return size_of(self.path / name)
            except (FileNotFoundError, NotADirectoryError):
                return None

    def remove(self, names: Collection[str]) -> None:
        """Remove what has these names. The folders above stay: another process may be about to put something there."""
        for name in names:
            with self._errors("remove", name):
                if is_inside(self.path / name, self.path):
                    remove(self.path / name)
                if (self.path / name).parent.name.endswith(NAMED):
                    with suppress(OSError):
                        (self.path / name).parent.rmdir()

    def remove_all(self) -> None:
        """Remove the folder with all that is in it."""
        with self._errors("remove", ""):
            remove(self.path)

    def names(self) -> Iterator[PlacedFile]:
        """Yield all that is there, also what killed writers have left, whose names begin with `tmp/`."""
        for above in self._entries(self.path):
            for entry in self._entries(above) if above.is_dir() else ():
                for path in self._entries(entry) if entry.name.endswith(NAMED) else (entry,):
                    with suppress(FileNotFoundError), self._errors("read", path.name):
                        yield PlacedFile(str(path.relative_to(self.path)), size_of(path), path.lstat().st_mtime)

    def fresh_folder(self) -> Path:
        """Make a folder for files that are to be put, where that takes no copy if possible. Returns its path."""
        folder = self.path / TEMPORARY / os.urandom(8).hex()
        with self._errors("write", TEMPORARY.rstrip("/")):
            folder.mkdir(parents=True)
        return folder

    @contextmanager
    def _staged(self, path: Path, *, moved: bool) -> Iterator[Path]:
        """Yield a path on the disk of this folder with the content of `path`, to be renamed."""
        if moved and path.is_relative_to(self.path):
            yield path
            return
        folder = self.fresh_folder()
        staged = folder / "staged"
        try:
            _bring(path, staged, moved=moved)
            yield staged
        finally:
            remove(folder, ignore_errors=True)

    def _entries(self, folder: Path) -> list[Path]:
        try:
            return sorted(path for path in folder.iterdir() if not path.is_symlink())  # it makes none
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise PlaceError(f"cannot list {folder}: {reason(error)}", error) from error

    @contextmanager
    def _errors(self, verb: str, name: str) -> Iterator[None]:
        """Turn errors of the system into errors that say where."""
        try:
            yield
        except PlaceError:
            raise
        except OSError as error:
            raise PlaceError(f"cannot {verb} {self.path / name}: {reason(error)}", error) from error


def _bring(path: Path, staged: Path, *, moved: bool) -> None:
    """Rename, link or copy a file or folder. A file that can be written is not linked: it may change."""
    is_folder = path.is_dir() and not path.is_symlink()
    try:
        if moved:
            os.rename(path, staged)  # noqa: PTH104
            return
        if not is_folder and not path.stat().st_mode & _WRITABLE:
            staged.hardlink_to(path)
            return
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            raise
    import shutil  # it imports modules for archives

    if is_folder:
        shutil.copytree(path, staged, symlinks=True)
    else:
        shutil.copy(path, staged)  # with its mode
    if moved:
        remove(path)


def _rename(staged: Path, final: Path) -> None:
    """Rename to the final name. A folder that is there meanwhile has the same content, and stays."""
    if final.is_dir():
        remove(staged)
        return
    try:
        os.replace(staged, final)  # noqa: PTH105
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        remove(staged)


def open_place(uri: str, cache: Path | None = None) -> Place:
    """Return the place at a path or a URI. Nothing is made, and object storage is not asked for anything.

    `cache` is the folder for copies of what is fetched from object storage, None for that of the user on this machine.
    Raises PlaceError if there can be no such place.
    """
    check_address(uri)
    scheme = scheme_of(uri)
    if scheme not in ("", "file"):
        from nfrun.tables.places.objects import Objects  # it imports modules for archives and threads

        base, mark, options = uri.partition("?")
        return Objects(f"{scheme}{base[len(scheme) :].rstrip('/')}{mark}{options}", cache)
    folder = Path(os.path.abspath(path_of(uri) or uri))  # noqa: PTH100  (links stay: their targets may differ between machines)
    above = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    if not above.is_dir():
        raise PlaceError(f"the store {folder} cannot be a folder: {above} is a file")
    return Folder(folder)
