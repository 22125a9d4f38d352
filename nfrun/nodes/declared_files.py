"""Finds the files that nodes declare under `files`, and those of them that are missing."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatch
from glob import has_magic
from pathlib import Path

from nfrun.core.errors import Cause
from nfrun.core.events import Failure
from nfrun.core.pipeline import NodeSpec, ancestors, has_expression
from nfrun.nodes.file_names import describe_missing, is_above
from nfrun.nodes.folders import folder_of, from_base
from nfrun.nodes.registry import KINDS
from nfrun.system.file_search import find_files


def declared_files(spec: NodeSpec, base: Path, skipped: Collection[str] = ()) -> dict[str, dict[str, Path]]:
    """Return the files of each entry, by the name to show; none for an entry of which there is no file.

    `base` is the folder of the pipeline here and below. Names to show are relative to it, entries to that of the node.
    """
    found, folder, renamed = {}, folder_of(spec, base), from_base(spec)
    for entry in spec.files:
        found[entry] = dict[str, Path]()
        with suppress(OSError, ValueError):
            if not is_above(entry, folder):
                found[entry] = {renamed(name): path for name, path in find_files(entry, folder, skipped).items()}
    return found


def failure_without(entry: str, spec: NodeSpec, base: Path) -> Failure:
    """Return the `Failure` of a node for an entry of its `files` of which there is no file."""
    what, hint = describe_missing(entry, folder_of(spec, base))
    return Failure(Cause.NODE, "", f"{what}, which 'files' of the node names", details=hint)


def written_files(spec: NodeSpec, base: Path) -> dict[str, Path]:
    """Return the files that the pipeline file says a node writes, by the name to show."""
    found = KINDS[spec.kind].external_outputs(spec, folder_of(spec, base))
    renamed = from_base(spec)
    return {renamed(name): path for name, path in found.items()}


def used_files(spec: NodeSpec, base: Path) -> set[str]:
    """Return the names of files that the pipeline file says a node reads or writes, and those that patterns find.

    Names below `base` are relative to it.
    """
    kind, folder, renamed = KINDS[spec.kind], folder_of(spec, base), from_base(spec)
    named = {*kind.named_files(spec), *kind.external_outputs(spec, folder), *spec.files}
    named.update(kind.external_inputs(spec, folder) or ())
    found = {*map(renamed, named)}.union(*declared_files(spec, base).values())
    return {os.path.normpath(name).removeprefix(f"{base}{os.sep}") for name in found}


def missing_files(
    spec: NodeSpec, nodes: Mapping[str, NodeSpec], base: Path, skipped: Collection[str] = ()
) -> Iterator[tuple[str, str, str]]:
    """Yield each entry for which there is no file, with a message and a hint.

    Leaves out what a node may write that ends before this one starts.
    """
    for entry, files in declared_files(spec, base, skipped).items():
        if not files and not has_expression(entry) and not is_written_before(entry, spec, nodes, base):
            yield entry, *describe_missing(entry, folder_of(spec, base))


def is_written_before(entry: str, spec: NodeSpec, nodes: Mapping[str, NodeSpec], base: Path) -> bool:
    """Return whether a node that ends before this one starts may write the file, which this one names."""
    entry = from_base(spec)(entry)
    before = ancestors(spec.id, nodes)
    # A node without inputs waits for others because of what they do.
    needed = {need for name in (spec.id, *before) for need in nodes[name].needs} if spec.inputs else before
    return any(_may_write(nodes[name], entry, base, needed) for name in before)


def _holds(folder: str | Path, path: str | Path) -> bool:
    """Return whether a path is that of a folder, or of something in it. Links are followed."""
    return f"{os.path.realpath(path)}{os.sep}".startswith(f"{os.path.realpath(folder)}{os.sep}")


def _may_write(node: NodeSpec, entry: str, base: Path, needed: Collection[str]) -> bool:
    kind = KINDS[node.kind]
    if kind.has_user_frames or kind.is_expanded or (kind.is_process and node.id in needed):
        return node.id in needed  # what code and scripts write is not known: only `needs` tells that it may matter
    if kind.is_template and has_expression(node.body):
        return True
    pattern, real = os.path.normpath(entry), os.path.realpath(base / entry)
    for name, path in written_files(node, base).items():
        if fnmatch(os.path.normpath(name), pattern) or _holds(real, path) or _holds(path, real):
            return True
    last = Path(pattern).name
    return not kind.is_template and (has_magic(last) or last in node.body)
