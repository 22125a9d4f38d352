"""Finds the files that nodes declare under `files`, and those of them that are missing."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatch
from glob import has_magic
from pathlib import Path

from nfrun.core.pipeline import NodeSpec, ancestors, has_expression
from nfrun.core.text import closest_match
from nfrun.nodes.registry import KINDS
from nfrun.system.file_search import find_files


def declared_files(spec: NodeSpec, base: Path, skipped: Collection[str] = ()) -> dict[str, dict[str, Path]]:
    """Return the files of each entry, by the name to show; none for an entry of which there is no file."""
    found = {}
    for entry in spec.files:
        found[entry] = dict[str, Path]()
        with suppress(OSError, ValueError):
            if not _is_above(entry, base):
                found[entry] = find_files(entry, base, skipped)
    return found


def missing_files(
    spec: NodeSpec, nodes: Mapping[str, NodeSpec], base: Path, skipped: Collection[str] = ()
) -> Iterator[tuple[str, str, str]]:
    """Yield each entry of which there is no file, what is wrong, and a hint.

    Leaves out what a node may write that ends before this one starts.
    """
    for entry, files in declared_files(spec, base, skipped).items():
        if not files and not has_expression(entry) and not _is_written_before(entry, spec, nodes, base):
            yield entry, *_describe(entry, base)


def _is_above(entry: str, base: Path) -> bool:
    """Return whether an entry stands for all that is below a folder around that of the pipeline, such as `/`."""
    path = os.path.join(base, os.path.expanduser(entry))  # noqa: PTH118, PTH111
    fixed, stars, _ = path.partition("**")
    return bool(stars or not has_magic(path)) and Path(os.path.normpath(fixed)) in base.absolute().parents


def _describe(entry: str, base: Path) -> tuple[str, str]:
    path = base / entry
    if _is_above(entry, base):
        return f"'{entry}' contains the pipeline's folder", "name only what the node reads"
    if "://" in entry:
        return f"'{entry}' is a URI, and 'files' takes paths", "read it with a 'read' node"
    with suppress(OSError):
        if path.is_dir():
            return f"there is no file in the folder '{entry}'", "hidden folders in it do not count"
        if path.is_symlink() and not path.exists():
            return f"'{entry}' is a link to a file that does not exist", "mend the link, or name the file itself"
        if path.exists():
            return f"'{entry}' is not an ordinary file", "name a file, a folder or a pattern"
        if has_magic(entry):
            return (
                f"no file matches '{entry}'",
                "a pattern is relative to the pipeline file; **/ stands for any folders",
            )
        if guess := closest_match(path.name, os.listdir(path.parent)):  # noqa: PTH208
            return f"there is no file '{entry}'", f"did you mean '{Path(entry).with_name(guess)}'?"
    return f"there is no file '{entry}'", "a path is relative to the pipeline file"


def _is_written_before(entry: str, spec: NodeSpec, nodes: Mapping[str, NodeSpec], base: Path) -> bool:
    """Return whether a node that ends before this one starts may write the file."""
    before = ancestors(spec.id, nodes)
    needed = {need for name in (spec.id, *before) for need in nodes[name].needs}
    return any(_may_write(nodes[name], entry, base, needed) for name in before)


def _may_write(node: NodeSpec, entry: str, base: Path, needed: Collection[str]) -> bool:
    kind = KINDS[node.kind]
    if kind.has_user_frames:  # what Python code writes is not known: only `needs` tells that it may matter
        return node.id in needed
    written = map(os.path.normpath, kind.external_outputs(node, base))
    pattern = os.path.normpath(entry)
    if any(name == pattern or fnmatch(name, pattern) or name.startswith(f"{pattern}{os.sep}") for name in written):
        return True
    last = Path(pattern).name
    return not kind.is_template and (has_magic(last) or last in node.body)
