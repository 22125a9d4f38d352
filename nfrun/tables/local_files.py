"""Resolves a source (a path, a glob or a `file:` URI) to local files, without reading them."""

from __future__ import annotations

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

    Paths are relative to `base`; the files of a glob are sorted. Raises FormatError if there is no such file or the
    path is a folder, and OSError.
    """
    named = local_source(source)
    if named is None:
        return None
    source = named
    path = base / source
    if path.is_dir():
        raise FormatError(f"{source} is a folder: name its files, as in {source.rstrip('/')}/*.parquet")
    if path.exists():
        return {source: path}
    if has_magic(source):
        # Don't use Path.glob: it finds hidden files. root_dir keeps brackets in the base folder's name from matching.
        found = sorted(n for n in glob(source, root_dir=base, recursive=True) if (base / n).is_file())  # noqa: PTH207
        if not found:
            raise FormatError(f"no file matches {source}")
        return {name: base / name for name in found}
    if not path.parent.is_dir():
        raise FormatError(f"no such file: {source} (there is no folder {Path(source).parent})")
    meant = closest_match(path.name, (p.name for p in path.parent.iterdir()))
    hint = f" (did you mean {Path(source).with_name(meant)}?)" if meant else ""
    raise FormatError(f"no such file: {source}{hint}")
