"""Keeps files in object storage, such as S3: each is uploaded whole, and fetched whole into the cache of this machine.

An object appears when its upload is complete, and under a name that its content gives. What is fetched is compared with
the checksum in that name, so a truncated or damaged object is never believed.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tarfile
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from nfrun.core.text import ellipsize
from nfrun.system.atomic_files import remove
from nfrun.system.checksums import text_checksum
from nfrun.system.kept_files import content_of
from nfrun.system.os_errors import reason
from nfrun.tables.places.base import FOLDER_MARK, TEMPORARY, FileGone, PlacedFile, PlaceError, address_of
from nfrun.tables.places.host_cache import HostCache, boot_name, default_folder

SMALL = 5_000_000  # bytes of an object that is written with one request, without a look whether it is there
_PART = 16 << 20  # bytes that are fetched with one request
_PATIENCE_SECONDS = 15  # in which requests are sent again
_AT_ONCE = 4  # requests for one object
_OF_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)  # errors that no service has
_CHECKSUM = re.compile(r"data/[0-9a-f]*-[0-9a-f]+-([0-9a-f]{32})(?:\.|$)")


class Objects:
    """A prefix in object storage as a place.

    `cache` is the folder for the copies of all places on this machine, None for that of the user. The service is asked
    for nothing before something is put or fetched.
    """

    def __init__(self, uri: str, cache: Path | None = None, *, budget: int | None = None) -> None:
        self.uri = uri
        folder = cache or default_folder()
        self._cache = HostCache(folder / boot_name() / text_checksum(uri), budget)
        self.kept: tuple[Path, ...] = (folder,)

    def put(self, path: Path, name: str, *, moved: bool = True) -> int:
        """Upload a file, or a folder as a `tar` file, under a name. A large one is not uploaded again if it is there.

        An output that is moved becomes the copy of this machine.
        """
        with self._errors("write", name):
            if path.is_dir():
                folder = self._cache.fresh_folder()
                try:
                    size = self._upload(_packed(path, folder / "packed.tar"), name)
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
            else:
                size = self._upload(path, name)
            if moved and _CHECKSUM.match(name):
                self._cache.adopt(path, name)
            elif moved:
                remove(path)
            return size

    def get(self, name: str, size: int | None = None) -> Path:
        """Return the path of the copy on this machine, and fetch it first if there is none. Raises FileGone."""
        with self._errors("read", name):
            return self._cache.get(name, lambda folder: self._fetch(name, folder), size)

    def local_path(self, name: str) -> None:
        """Return None: a file here is a copy."""

    def size(self, name: str) -> int | None:
        """Return the size in bytes, that of the `tar` file for a folder; None if there is no such name."""
        with self._errors("read", name):
            try:
                with self._opened[0].open_input_file(
                    self._key(name)
                ) as file:  # with one request less than for its info
                    return int(file.size())
            except FileNotFoundError:
                return None

    def remove(self, names: Collection[str]) -> None:
        """Remove the objects with these names."""

        def delete(name: str) -> None:
            with self._errors("remove", name):
                self._cache.forget(name)
                with suppress(FileNotFoundError):
                    self._opened[0].delete_file(self._key(name))

        with ThreadPoolExecutor(2 * _AT_ONCE) as pool:
            for _ in pool.map(delete, names):
                pass

    def remove_all(self) -> None:
        """Remove all objects, a thousand with one request."""
        with self._errors("remove", ""), suppress(FileNotFoundError):
            self._opened[0].delete_dir(self._opened[1])

    def names(self) -> Iterator[PlacedFile]:
        """Yield all objects that are there. Of what killed writers have left, a service shows nothing."""
        with self._errors("list", ""):
            from pyarrow.fs import FileSelector, FileType

            found = self._opened[0].get_file_info(FileSelector(self._opened[1], allow_not_found=True, recursive=True))
            for info in found:
                if info.type == FileType.File:
                    name = info.path[len(self._opened[1]) + 1 :]
                    name = name.removesuffix(".tar") if FOLDER_MARK in name else name
                    yield PlacedFile(name, info.size, 0.0 if info.mtime is None else info.mtime.timestamp())

    def fresh_folder(self) -> Path:
        """Make a folder on the disk of the copies, and return its path."""
        with self._errors("write", TEMPORARY.rstrip("/")):
            return self._cache.fresh_folder()

    # -- the service -------------------------------------------------------------------------------------------------

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system of pyarrow, and the path in it."""
        from pyarrow.fs import FileSystem  # with the libraries of all services

        uri = self.uri
        # The first, so that a small object is written with one request; the other, since Google tries for 15 minutes.
        option = "allow_delayed_open=true" if uri.startswith("s3:") else f"retry_limit_seconds={_PATIENCE_SECONDS}"
        if option.partition("=")[0] not in uri:
            uri += f"{'&' if '?' in uri else '?'}{option}"
        service, root = FileSystem.from_uri(uri)
        return service, root.rstrip("/")

    def _key(self, name: str) -> str:
        return f"{self._opened[1]}/{name}{'.tar' if FOLDER_MARK in name else ''}"

    def _upload(self, path: Path, name: str) -> int:
        size = path.stat().st_size
        if size > SMALL and self.size(name) == size:
            return size
        key = self._key(name)
        with path.open("rb") as source:
            target = self._opened[0].open_output_stream(key)
            try:
                while data := source.read(_PART):
                    target.write(data)
                    if not source.tell() % (_AT_ONCE * _PART):
                        target.flush()  # waits for the parts on their way, which take as much memory
            except BaseException:
                # There is no way to give an upload up: what is complete is too short then, and is removed.
                with suppress(Exception):
                    target.close()
                with suppress(Exception):
                    self._opened[0].delete_file(key)
                raise
            target.close()
        return size

    def _fetch(self, name: str, folder: Path) -> Path:
        """Fetch an object into a folder. Returns the path of the file, or that of the folder that was packed."""
        path: Path | None = folder / "object"
        self._download(name, folder / "object")
        if FOLDER_MARK in name:
            path = _unpacked(folder / "object", folder / "unpacked")
        wanted = _CHECKSUM.match(name)
        if path is not None and (wanted is None or content_of(path).digest == wanted[1]):
            if ".program" in name and path.is_file():
                path.chmod(0o755)
            return path
        self.remove([name])
        raise FileGone(f"{address_of(self.uri, name)} is damaged and was removed")

    def _download(self, name: str, path: Path) -> None:
        try:
            source = self._opened[0].open_input_file(self._key(name))
        except FileNotFoundError:
            raise FileGone(f"{address_of(self.uri, name)} is not there any more") from None
        with source, path.open("wb") as target:
            size, file = source.size(), target.fileno()
            target.truncate(size)

            def fetch(start: int) -> None:
                data = memoryview(source.read_at(min(_PART, size - start), start))
                while data:
                    written = os.pwrite(file, data, start)
                    data, start = data[written:], start + written

            with ThreadPoolExecutor(_AT_ONCE) as pool:
                for _ in pool.map(fetch, range(0, size, _PART)):
                    pass

    @contextmanager
    def _errors(self, verb: str, name: str) -> Iterator[None]:
        """Turn errors of the service and of the disk into errors that say where."""
        try:
            yield
        except PlaceError:
            raise
        except Exception as error:
            if not isinstance(error, OSError) and not type(error).__module__.startswith("pyarrow"):
                raise
            where = address_of(self.uri, name) if name else self.uri
            if isinstance(error, OSError) and error.errno in _OF_DISK:
                where += f" with a copy in {self._cache.folder}"
            raise PlaceError(f"cannot {verb} {where}: {explained(error)}", error) from None


def _packed(folder: Path, path: Path) -> Path:
    """Write a folder into a `tar` file that depends on its content only."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = 0
        return entry

    with tarfile.open(path, "w") as archive:
        archive.add(folder, "", filter=plain)
    return path


def _unpacked(packed: Path, folder: Path) -> Path | None:
    """Unpack a `tar` file into a new folder. Returns its path, None if the file is damaged or leads out of the folder.

    Raises PlaceError in a Python that has no filter for that.
    """
    if not hasattr(tarfile, "data_filter"):
        raise PlaceError("folders in object storage need Python 3.11.4 or later")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        with tarfile.open(packed) as archive:
            archive.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, KeyError, ValueError, FileExistsError, NotADirectoryError, IsADirectoryError):
        return None
    links = (path for path in folder.rglob("*") if path.is_symlink())
    return folder if all(Path(os.path.realpath(path)).is_relative_to(folder.resolve()) for path in links) else None


# ------------------------------------------------------------------ errors

_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_KEY")
_BEFORE_MESSAGE = re.compile(r".*(?=AWS Error )", re.DOTALL)
_LONGEST = 300  # characters


def explained(error: BaseException) -> str:
    """Return what is wrong in the words of the system or of the service, without the keys of the environment."""
    text = str(error)
    if isinstance(error, OSError) and error.errno and error.strerror and "AWS Error" not in text:
        return reason(error)
    text = " ".join(_BEFORE_MESSAGE.sub("", text).split())
    for value in filter(None, map(os.environ.get, _SECRETS)):
        text = text.replace(value, "***")
    return ellipsize(text, _LONGEST)
