"""Reads a text file that a user wrote, and rejects files that are not UTF-8 text.

The callers parse the text.
"""

from __future__ import annotations

import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from nfrun.core.errors import Diagnostic, SourceSpan, SpecError
from nfrun.core.text import closest_match, ellipsize

MAX_BYTES = 67_108_864  # 64 MiB

# Strings, compiled on use: compiling a pattern that a file does not need takes longer than reading a small file.
ASCII = "[\t\n\r\x20-\x7e]*"
NOT_TEXT = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]+|[\udc80-\udcff]+|[\ud800-\udc7f\udd00-\udfff\ufffe\uffff]+"


def read_text(path: Path, name: str, folder: Path = Path(), endings: Collection[str] = (".yaml", ".yml")) -> str:
    """Return the text of the file, called `name` in messages. Each byte that is not UTF-8 becomes a lone surrogate.

    `path` is relative to the `folder`. If it is not there, a file with one of the `endings` may be meant. Raises
    SpecError if the file cannot be read, is not a regular file, is larger than MAX_BYTES, or is not text.
    """
    data = b""
    try:
        status = (folder / path).stat()  # before opening, which would block on a FIFO
        if stat.S_ISDIR(status.st_mode):
            refuse(name, "this is a folder, not a file", "name a file in it")
        if not stat.S_ISREG(status.st_mode):
            refuse(name, "this is not a regular file", "save what it gives to a file, and give that")
        if status.st_size <= MAX_BYTES:
            with (folder / path).open("rb") as file:
                data = file.read(MAX_BYTES + 1)  # the file may have grown
    except (FileNotFoundError, NotADirectoryError):
        near = closest_file(path, folder, endings)
        hint = f"did you mean '{ellipsize(str(near), 200)}'?" if near else "check the path"
        refuse(name, "there is no such file", hint)
    except PermissionError:
        refuse(name, "there is no permission to read this file", "check its mode, and those of the folders above it")
    except (OSError, ValueError) as error:  # ValueError: a NUL or a lone surrogate in the path
        refuse(name, f"this file cannot be read: {(isinstance(error, OSError) and error.strerror) or error}", "")
    if max(status.st_size, len(data)) > MAX_BYTES:
        size = max(status.st_size, len(data)) / 2**20
        refuse(name, f"this file has {size:,.1f} MB; the limit is {MAX_BYTES >> 20} MB", "is it a data file?")
    if b"\0" in data:
        refuse(name, "this is not UTF-8 text", "save it as UTF-8")  # but UTF-16, UTF-32 or binary data
    # Bytes that are not UTF-8 become lone surrogates, so that `document.parse` can report each at its place.
    return data.decode("utf-8", "surrogateescape")


def refuse(file: str, what: str, hint: str) -> NoReturn:
    """Raise SpecError with one diagnostic for the whole file; no hint if it is ""."""
    raise SpecError([Diagnostic(SourceSpan(file), what, hint)])


def closest_file(path: Path, folder: Path, endings: Collection[str]) -> Path | None:
    """Return the path of a file with a similar name in the same folder; None if there is none."""
    with suppress(OSError, ValueError):
        files = sorted(file.name for file in (folder / path.parent).iterdir() if file.suffix.lower() in endings)
        # Compared without their endings, which would make any two names look alike.
        names = {Path(name).stem: name for name in files}
        if guess := closest_match(path.stem, names):
            return path.parent / names[guess]
    return None
