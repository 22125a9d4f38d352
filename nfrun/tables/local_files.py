"""Which files of this machine a source names: a path, a glob, or a URI of a file. Reads none of them."""

from __future__ import annotations

from glob import glob, has_magic
from pathlib import Path
from urllib.parse import unquote

from nfrun.core.text import closest_match
from nfrun.tables.formats import URI, FormatError


def resolve_files(source: str, base: Path) -> dict[str, Path] | None:
    """The files, by the names that people know them by; None where a URI names something elsewhere.

    Paths are relative to `base`, the files of a glob sorted. Raises FormatError where there is none, OSError.
    """
    uri = URI.match(source)
    if uri and uri[1].lower() != "file":
        return None
    if uri:
        source = unquote(source[uri.end() :])
    path = base / source
    if path.is_dir():
        raise FormatError(f"{source} is a folder: name its files, as in {source.rstrip('/')}/*.parquet")
    if path.exists():
        return {source: path}
    if has_magic(source):
        # Not Path.glob, which finds hidden files. root_dir: brackets in the name of the base folder are no pattern.
        found = sorted(n for n in glob(source, root_dir=base, recursive=True) if (base / n).is_file())  # noqa: PTH207
        if not found:
            raise FormatError(f"no file matches {source}")
        return {name: base / name for name in found}
    if not path.parent.is_dir():
        raise FormatError(f"no such file: {source} (there is no folder {Path(source).parent})")
    meant = closest_match(path.name, (p.name for p in path.parent.iterdir()))
    hint = f" (did you mean {Path(source).with_name(meant)}?)" if meant else ""
    raise FormatError(f"no such file: {source}{hint}")
