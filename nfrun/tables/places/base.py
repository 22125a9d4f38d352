"""Defines the addresses of places, which keep whole files and folders under names, for all machines."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlsplit

from nfrun.core.values import frozen

NAMED = ".named"  # the end of a folder with one file or folder that has a name of its own
FOLDER_MARK = ".folder"  # stands in the name of what is a folder
TEMPORARY = "tmp/"  # begins the names of what writers have not put yet, or were killed with

SCHEMES = ("s3", "gs", "gcs")  # of object storage; not that of Azure: without credentials, Arrow ends the process there
_SECRET = re.compile(r"key|secret|token|password|credential", re.IGNORECASE)  # in the name of an option
_FOLDERS = "data", "code"  # names in a place begin with one of them
_NAME = re.compile(rf"({'|'.join(_FOLDERS)})/[^/]+(/[^/]+)?")


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


# ------------------------------------------------------------------ addresses

# URIs without credentials, of places and of what is in them.


def address_of(place: str, name: str) -> str:
    """Return the address of the file with this name in the place with this address."""
    base, mark, options = place.partition("?")
    return f"{base.rstrip('/')}/{quote(name)}{mark}{options}"


def place_and_name(address: str) -> tuple[str, str]:
    """Return the address of the place and the name in it. Raises PlaceError if the address is of no such form."""
    base, mark, options = address.partition("?")
    at = max(base.rfind(f"/{folder}/") for folder in _FOLDERS)
    name = unquote(base[at + 1 :])
    if at < 0 or not _NAME.fullmatch(name) or ".." in name.split("/"):
        raise PlaceError(f"'{shown(address)}' is no address of an output")
    return f"{base[:at]}{mark}{options}", name


def scheme_of(address: str) -> str:
    """Return the scheme of an address, "" for a path. Not `urlsplit`: that takes `C:x` and `a:b/c` for URIs, too."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", address)
    return found[1].lower() if found else ""


def has_credentials(address: str) -> bool:
    """Return whether an address holds what should be secret: a user, a password, or a key among its options."""
    if not scheme_of(address):
        return False
    found = urlsplit(address)
    names = [option.partition("=")[0] for option in found.query.split("&")]
    return "@" in found.netloc or "@" in unquote(found.query) or any(map(_SECRET.search, names))


def path_of(address: str) -> str | None:
    """Return the path of a file in a folder, None if the address is one of object storage."""
    return unquote(urlsplit(address).path) if scheme_of(address) == "file" else None


def check_address(address: str) -> None:
    """Raise PlaceError if this cannot be the address of a place, wherever that is asked."""
    if not address.strip():
        raise PlaceError("an empty name is no store")
    if has_credentials(address):
        raise PlaceError(
            f"the store {shown(address)} holds credentials: leave them out, and set them in the environment"
        )
    scheme = scheme_of(address)
    found = urlsplit(address) if scheme else urlsplit("")
    if scheme not in ("", "file", *SCHEMES):
        known = ", ".join(f"{each}://" for each in SCHEMES)
        raise PlaceError(f"the store {address} is of an unknown kind: it is a path, or begins with file://, {known}")
    if scheme == "file" and (found.query or found.fragment or found.netloc not in ("", "localhost")):
        raise PlaceError(f"the store {address} is no folder: write file:///FOLDER (with %3F for ?, and %23 for #)")
    if scheme in SCHEMES and not found.netloc:
        raise PlaceError(f"the store {address} names no bucket ({scheme}://BUCKET/FOLDER)")


def shown(address: str) -> str:
    """Return an address without what should be secret."""
    if not has_credentials(address):
        return address
    found = urlsplit(address)
    user, at, host = found.netloc.rpartition("@")
    return f"{found.scheme}://{'***' if user else ''}{at}{host}{found.path}"
