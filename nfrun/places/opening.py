"""Opens places by their addresses: a path or `file://` is a folder, all others are object storage."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from nfrun.places.addresses import has_credentials, scheme_of, shown
from nfrun.places.base import Place, PlaceError
from nfrun.places.folder import Folder

SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss")


def open_place(uri: str, cache: Path | None = None) -> Place:
    """Return the place at a path or a URI. Nothing is made, and object storage is not asked for anything.

    `cache` is the folder for copies of what is fetched from object storage, None for that of the user on this machine.
    Raises PlaceError if there can be no such place.
    """
    if has_credentials(uri):
        raise PlaceError(f"the store {shown(uri)} holds credentials: leave them out, and set them in the environment")
    if not uri.strip():
        raise PlaceError("the store has no name")
    scheme = scheme_of(uri)
    if scheme not in ("", "file"):
        return _open_objects(uri, scheme, cache)
    path = uri
    if scheme:
        found = urlsplit(uri)
        if found.netloc not in ("", "localhost"):
            raise PlaceError(f"the store {uri} names another machine: a path has three slashes (file://{found.path})")
        path = unquote(found.path)
    folder = Path(os.path.abspath(path))  # noqa: PTH100  (links stay: their targets may differ between machines)
    above = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    if not above.is_dir():
        raise PlaceError(f"the store {folder} cannot be a folder: {above} is a file")
    return Folder(folder)


def _open_objects(uri: str, scheme: str, cache: Path | None) -> Place:
    if scheme not in SCHEMES:
        known = ", ".join(f"{each}://" for each in SCHEMES)
        raise PlaceError(f"the store {uri} is of an unknown kind: it is a path, or begins with file://, {known}")
    base, mark, options = uri.partition("?")
    base = f"{scheme}{base[len(scheme) :].rstrip('/')}"
    if not urlsplit(base).netloc:
        raise PlaceError(f"the store {uri} names no bucket ({scheme}://BUCKET/FOLDER)")
    from nfrun.places.objects import Objects  # it imports modules for archives and threads

    return Objects(f"{base}{mark}{options}", cache)
