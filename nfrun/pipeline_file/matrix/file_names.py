"""Finds the files that an axis names by a pattern, and takes the values of its `{name}`s from their paths."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from contextlib import suppress
from glob import glob
from pathlib import Path, PurePosixPath
from typing import Any

from nfrun.core.text import closest_match, ellipsize, shortened

_MAX_LISTED, _MANY = 3, 1_000  # names of files in a hint; of more, none is likely to be meant
_ENTRIES = ("id", "path", "name", "stem")  # what each value has beside the `{name}`s
_PART = re.compile(r"\{([^{}]*)\}|(\*\*/)|(\*\*)|(\*)|(\?)|(\[!?\]?[^\]]*\])")


def capture_names(pattern: str) -> list[str]:
    """Return the names in braces, each once."""
    return list(dict.fromkeys(found[1] for found in _PART.finditer(pattern) if found[1] is not None))


def pattern_problem(pattern: str) -> tuple[str, str] | None:
    """Return what is wrong with the braces of a pattern, as message and hint."""
    names = capture_names(re.sub(r"\$\{\{.*?\}\}", "", pattern))
    for name in names:
        if not name.isidentifier() or not name.isascii():
            return f"'{{{ellipsize(name)}}}' is no name", "write {name}, with letters, digits and _"
        if name in _ENTRIES:
            return f"each file has '{name}' anyway, so it cannot be a name in the pattern", f"write {{{name}_}}"
    left = _PART.sub("", re.sub(r"\$\{\{.*?\}\}", "", pattern))
    if "{" in left or "}" in left:
        return "a brace in this pattern is not closed, or not opened", "write {name}"
    return None


def find_files(pattern: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield `{id, path, name, stem, <each name>}` of each file that matches, in order of the paths.

    Hidden files match only what begins with a dot, as in `read`. Paths are relative to `folder`, as the pattern is.
    """
    plain = re.sub(r"\{[^{}]*\}", "*", pattern)
    names, matches = capture_names(pattern), re.compile(_as_regex(pattern), re.DOTALL).fullmatch
    for path in sorted(glob(plain, root_dir=folder, recursive=True)):  # noqa: PTH207  Path.glob finds hidden files
        match = matches(path)
        if match and (folder / path).is_file():
            file, captured = PurePosixPath(path), match.groupdict()
            id = "-".join([captured[key] for key in names]) if names else file.stem
            yield {"id": id, "path": path, "name": file.name, "stem": file.stem, **captured}


def hint_for(pattern: str, folder: Path) -> str:
    """Return a hint for a pattern that matches no file: what was probably meant, or what there is, "" if nothing is."""
    if "://" in pattern:
        return "an axis lists files of this machine"
    if pattern.startswith("~"):
        return "~ is not the home folder here: write ${{ env.HOME }}"
    above = PurePosixPath(".")
    for part in PurePosixPath(pattern).parts[:-1]:
        if re.search(r"[*?\[{]", part) or not (folder / above).is_dir():
            return ""
        if not (folder / above / part).is_dir():
            guess = closest_match(part, _names(folder / above, folders=True))
            return f"did you mean the folder '{ellipsize(str(above / guess))}'?" if guess else ""
        above /= part
    if (folder / pattern).is_dir():
        return f"it is a folder; its files are '{ellipsize(pattern.rstrip('/'))}/*'"
    names = _names(folder / above)
    return f"there is {ellipsize(shortened(names, _MAX_LISTED), 200)}" if names and len(names) < _MANY else ""


def _names(folder: Path, *, folders: bool = False) -> list[str]:
    """Return the names of the files or of the folders in a folder, without hidden ones."""
    with suppress(OSError):
        return sorted(path.name for path in folder.iterdir() if path.name[:1] != "." and path.is_dir() is folders)
    return []


def _as_regex(pattern: str) -> str:
    """Return a regular expression for the paths that a pattern matches, with a group for each `{name}`."""
    regex, end = "", 0
    seen: set[str] = set()
    for found in _PART.finditer(pattern):
        regex += re.escape(pattern[end : found.start()])
        name, deep, deepest, some, _, chars = found.groups()
        if name is not None:
            regex += f"(?P={name})" if name in seen else f"(?P<{name}>[^/]*)"
            seen.add(name)
        elif chars:
            regex += fnmatch.translate(chars).removeprefix("(?s:").removesuffix(")\\Z").removesuffix(")\\z")
        else:
            regex += "(?:.*/)?" if deep else ".*" if deepest else "[^/]*" if some else "[^/]"
        end = found.end()
    return regex + re.escape(pattern[end:])
