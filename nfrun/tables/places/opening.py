"""Opens places by their addresses: a path or `file://` is a folder, all others are object storage."""

from __future__ import annotations

import os
from pathlib import Path

from nfrun.tables.places.addresses import check_address, path_of, scheme_of
from nfrun.tables.places.base import Place, PlaceError
from nfrun.tables.places.folder import Folder


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
