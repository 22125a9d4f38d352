"""Resolves a source (a path, a glob or a `file:` URI) to local files, without reading them."""

from __future__ import annotations

import os
from glob import glob, has_magic
from pathlib import Path
from urllib.parse import unquote

from nfrun.core.text import closest_match
from nfrun.tables.formats import URI, FormatError


def local_source(source: str) -> str | None:
    """Return the path or pattern that `source` names, None for a URI that is not a file."""
    uri = URI.match(source)
    if uri and uri[1].lower() != "file":
        return None
    return unquote(source[uri.end() :]) if uri else source


def resolve_files(source: str, base: Path) -> dict[str, Path] | None:
    """Return the local files that `source` names, keyed by display name; None for a URI that is not a file.

    Paths are relative to `base`; the files of a glob are sorted, and so are those in a folder, which ends in `/`.
    Raises FormatError if there is no such file or the path is a folder without a `/`, and OSError.
    """
    named = local_source(source)
    if named is None:
        return None
    source = named
    path = base / source
    if path.is_dir():
        if not source.endswith("/"):
            raise FormatError(f"{source} is a folder: {folder_hint(source)}")
        inside = _files_in(path)
        if not inside:
            raise FormatError(f"there is no file in the folder {source}")
        return {source + name: path / name for name in inside}
    if path.exists() and not source.endswith("/"):
        return {source: path}
    if has_magic(source):
        # Don't use Path.glob: it finds hidden files. root_dir keeps brackets in the base folder's name from matching.
        found = sorted(n for n in glob(source, root_dir=base, recursive=True) if (base / n).is_file())  # noqa: PTH207
        if not found:
            raise FormatError(f"no file matches {source}")
        return {name: base / name for name in found}
    if source.endswith("/"):
        raise FormatError(f"no such folder: {source}")
    if not path.parent.is_dir():
        raise FormatError(f"no such file: {source} (there is no folder {Path(source).parent})")
    meant = closest_match(path.name, (p.name for p in path.parent.iterdir()))
    hint = f" (did you mean {Path(source).with_name(meant)}?)" if meant else ""
    raise FormatError(f"no such file: {source}{hint}")


def folder_hint(folder: str) -> str:
    """Return how to read the files in a folder, of which the path has no `/` at its end."""
    return f"read: {folder}/ reads all of its files"


def is_hidden(name: str) -> bool:
    """Whether files and folders of this name are left out of a folder: `.git`, `_SUCCESS`, but not `_day=1`."""
    return name.startswith((".", "_")) and "=" not in name


def _files_in(folder: Path) -> list[str]:
    """Return the paths of the files in a folder, relative to it and sorted. Follows links but those that lead above."""
    found = []
    for above, inner, files in os.walk(folder, followlinks=True):
        here = os.path.realpath(above)
        inner[:] = [name for name in inner if not is_hidden(name) and not _leads_above(above, name, here)]
        found += [os.path.relpath(os.path.join(above, name), folder) for name in files if not is_hidden(name)]  # noqa: PTH118
    return sorted(found)


def _leads_above(folder: str, name: str, real: str) -> bool:
    path = os.path.join(folder, name)  # noqa: PTH118
    return os.path.islink(path) and f"{real}{os.sep}".startswith(f"{os.path.realpath(path)}{os.sep}")  # noqa: PTH114
