"""Puts outputs of nodes into a place, under names that their content gives, and fetches them from any place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.core.errors import HandoffError, NotStored
from nfrun.core.events import OutputRef
from nfrun.core.pipeline import FOLDER, TABLE, ending_of
from nfrun.core.values import replace
from nfrun.system.atomic_files import remove
from nfrun.system.checksums import text_checksum
from nfrun.system.kept_files import NotKeepable, content_of
from nfrun.tables.places.base import FOLDER_MARK, NAMED, FileGone, PlaceError, address_of, place_and_name

if TYPE_CHECKING:
    from nfrun.tables.places.folder import Place

_PROGRAM = " program"  # stands in what readers see of a file that can be executed


def output_name(ref: OutputRef) -> str:
    """Return the name of an output in a place: equal outputs have the same name, and different ones others.

    It has what readers see: the digest, the schema digest and the checksum of the bytes, and the ending of the path.
    """
    seen = ref.schema_digest or ""
    digest = (ref.digest or "").rpartition(":")[2]
    stem = f"{digest}-{text_checksum(seen)}-{ref.checksum}"
    if ref.type == TABLE:
        return f"data/{stem}.arrow"
    rest = seen.removeprefix(ref.type)
    name = rest.removeprefix(_PROGRAM)
    stem += ".program" if name != rest else FOLDER_MARK if ref.type == FOLDER else ""
    return f"data/{stem}{NAMED}/{name.lstrip()}" if name else f"data/{stem}{ending_of(ref.type)}"


def put_output(place: Place, ref: OutputRef, *, moved: bool = True) -> OutputRef:
    """Put the file or folder of an output into a place, and return its reference with its address there.

    It needs digest and checksum. `moved`: it has no `path` any more. Raises PlaceError.
    """
    name = output_name(ref)
    place.put(Path(ref.path or ""), name, moved=moved)
    return replace(ref, stored=address_of(place.uri, name), path=None if moved else ref.path)


class StoredOutputs:
    """Fetches outputs from the places in which they are, and puts others into the `place` of a run. Thread-safe.

    Methods raise HandoffError, and `get` raises NotStored if nothing intact is there.
    """

    def __init__(self, place: Place | None = None) -> None:
        self.place = place
        self._places = {} if place is None else {place.uri: place}
        # By name, id and attempt: the address, once it is put. What another attempt gives is put again, since it may
        # have been removed.
        self._put: dict[tuple[str, str, int], tuple[threading.Lock, list[str]]] = {}
        self._unreachable: set[str] = set()
        self._lock = threading.Lock()

    def get(self, stored: str, size: int | None = None) -> Path:
        """Return a path with the content at this address, see `Folder.get`."""
        with _handoff_errors():
            uri, name = place_and_name(stored)
            return self._opened(uri).get(name, size)

    def has(
        self,
        stored: str,
        size: int | None,
        is_intact: Callable[[Path], bool],
        *,
        warn: Callable[[str], object],
        removes_damaged: bool,
    ) -> bool:
        """Return whether something intact has this address, with a size in bytes, if that is known.

        Where it takes no copy, `is_intact(path)` is asked, too. Calls `warn(message)` if it is damaged, and once for
        each place that cannot be reached. `removes_damaged`: so that it can be put again.
        """
        uri = ""
        try:
            uri, name = place_and_name(stored)
            if uri in self._unreachable:
                return False
            place = self._opened(uri)
            found, path = place.size(name), place.local_path(name)
            if found is None:
                return False
            if (size is None or found == size) and (path is None or is_intact(path)):
                return True
            if removes_damaged:
                place.remove([name])
        except FileNotFoundError:
            return False
        except OSError as error:
            self._unreachable.add(uri)
            warn(f"outputs in a store are not used: {error}")
            return False
        warn(f"{stored} is damaged and is not used")
        return False

    def put(self, ref: OutputRef) -> OutputRef:
        """Put an output into the place, where its file stays at its path, too. Returns its reference with the address.

        Threads that put the same output wait for one of them. A checksum that is not known is taken.
        """
        if self.place is None:
            raise HandoffError(f"there is no place for the output '{ref.id}'")
        with _handoff_errors():
            if ref.checksum is None:
                ref = replace(ref, checksum=content_of(Path(ref.path or "")).digest)
            with self._lock:
                key = output_name(ref), ref.id, ref.attempt
                lock, done = self._put.setdefault(key, (threading.Lock(), []))
            with lock:
                if not done:
                    done.append(_put_copy(self.place, ref).stored or "")
                return replace(ref, stored=done[0])

    def _opened(self, uri: str) -> Place:
        from nfrun.tables.places.folder import open_place

        with self._lock:
            if uri not in self._places:
                self._places[uri] = open_place(uri)
            return self._places[uri]


def _put_copy(place: Place, ref: OutputRef) -> OutputRef:
    """Put an output that stays at its path. One that can be written may change meanwhile, and is copied first."""
    path = Path(ref.path or "")
    if not path.stat().st_mode & 0o222:
        return put_output(place, ref, moved=False)
    folder = place.fresh_folder()
    try:
        copy = folder / "copy"
        from nfrun.system.atomic_folders import copy_file, copy_folder  # it imports modules for archives

        (copy_folder if path.is_dir() else copy_file)(path, copy)
        if content_of(copy).digest != ref.checksum:
            raise HandoffError(f"{path} was changed while the run was reading it: start the run again")
        return replace(put_output(place, replace(ref, path=str(copy))), path=ref.path)
    finally:
        remove(folder, ignore_errors=True)


@contextmanager
def _handoff_errors() -> Iterator[None]:
    try:
        yield
    except FileGone as error:
        raise NotStored(str(error), error) from error
    except PlaceError as error:
        raise HandoffError(str(error), error) from error
    except (OSError, NotKeepable) as error:
        raise HandoffError(f"cannot read {getattr(error, 'filename', None)}: {error}", error) from error


class StoredFile:
    """The file or folder of an output that is in a place. Thread-safe. Its copy stays for as long as this object."""

    def __init__(self, ref: OutputRef, files: StoredOutputs) -> None:
        self._ref = ref
        self._files = files
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._table: Any = None

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

    def _fetched(self) -> Path:
        if self._path is None:
            try:
                self._path = self._files.get(self._ref.stored or "", self._ref.size)
            except NotStored as error:
                error.outputs.append(self._ref.id)
                raise
        return self._path
