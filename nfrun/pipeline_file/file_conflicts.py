"""Finds nodes that use one file in no fixed order: two that write it, or one that reads what another may be writing.

Also finds nodes that would replace a folder that must stay (of the pipeline, the run), or hand on the work folder.
Files are compared by their real paths: a node may name a file through `..`, an absolute path or a symbolic link. Files
need not exist.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from glob import has_magic
from pathlib import Path
from typing import Any

from nfrun.core.errors import Diagnostic, SourceSpan
from nfrun.core.pipeline import FOLDER, WORK_DIR, NodeSpec, Param, ancestors, has_expression
from nfrun.core.text import ellipsize
from nfrun.core.values import replace
from nfrun.nodes.folders import folder_of
from nfrun.nodes.registry import kind_of
from nfrun.pipeline_file.expressions import ExpressionError, evaluate
from nfrun.pipeline_file.yaml.document import Document
from nfrun.system.file_search import is_match

# By real path: the node, and the path as the node has it. That of a folder ends in `/`.
_Writers = dict[str, tuple[str, str]]
_RealPath = Callable[[str | os.PathLike[str]], str]


def with_default_paths(
    nodes: Mapping[str, NodeSpec],
    params: Mapping[str, Param],
    matrix_of: Callable[[NodeSpec], Mapping[str, Any]] | None = None,
) -> dict[str, NodeSpec]:
    """Return the nodes with the expressions in their paths evaluated, as far as the defaults of parameters allow.

    `matrix_of` gives what expressions of a cell see as `matrix`. Nodes with an `if` have no body: two of them may write
    one file, if one is disabled. The binder looks at their files.
    """
    names: dict[str, Mapping[str, Any]] = {
        "params": {name: param.default for name, param in params.items() if not param.required}
    }
    found = {name: spec if spec.if_ is True else replace(spec, body="") for name, spec in nodes.items()}
    for name, spec in found.items():
        if has_expression(spec.body) and spec.kind and kind_of(spec).says.is_template:
            if matrix_of and spec.of:
                names["matrix"] = matrix_of(spec)
            with suppress(ExpressionError):
                found[name] = replace(spec, body=str(evaluate(spec.body, names)))
    return found


def file_conflicts(
    nodes: Mapping[str, NodeSpec], folder: Path, document: Document, works: Sequence[Path] = ()
) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each conflict. Nodes of other files have their places in the others of the document.

    Nodes without a valid body are left out. Two texts with the same expressions are one path. `folder` is that of the
    pipeline, and `works` are work folders other than the usual one.
    """
    conflicts = _Conflicts(nodes, folder, document)
    yield from conflicts.kept_folders(works)
    yield from conflicts.between_writers()
    if conflicts.writers:
        yield from conflicts.with_readers()


class _Conflicts:
    """Finds the conflicts about files between the nodes of a pipeline. `writers` are those found so far."""

    def __init__(self, nodes: Mapping[str, NodeSpec], folder: Path, document: Document) -> None:
        self.all, self.folder, self.document = nodes, folder, document
        self.nodes = {name: spec for name, spec in nodes.items() if spec.kind and spec.body}
        self.writers: _Writers = {}
        self.real_path = _real_paths()

    def told(self, spec: NodeSpec, what: str, hint: str, key: str = "") -> Diagnostic:
        """Return the diagnostic for a node, at the value under a key: by default that of its kind."""
        return Diagnostic(self.place(spec, key), what, hint)

    def place(self, spec: NodeSpec, key: str = "") -> SourceSpan:
        return self.document.of_file(spec.source.file).span("nodes", spec.local_name, key or spec.kind)

    def between_writers(self) -> Iterator[Diagnostic]:
        """Add the writers of all files, and yield those of one file, or of a file in the folder of another."""
        nodes, writers = self.nodes, self.writers
        told: set[str] = set()  # nodes with cells that write the same file
        for name, spec in nodes.items():
            for file, path in _outputs(spec, self.folder):
                first, same = writers.setdefault(self.real_path(path), (name, file))
                other, declared = nodes[first], spec.declared
                # Cells that differ on an axis of their file, and not only of files that include it, are one mistake.
                axes = spec.axes if first != name and other.declared == declared else ()
                axis = next((axis for axis in axes if other.cell[axis] != spec.cell[axis]), "")
                if axis:
                    if declared not in told:
                        told.add(declared)
                        what = f"'{first}' and '{name}' write the same file '{ellipsize(file)}'"
                        yield self.told(spec, what, f"put ${{{{ matrix.{axis} }}}} into the path")
                elif first != name:
                    one = "" if file == same else f"'{ellipsize(file)}' and '{ellipsize(same)}' are one file: "
                    what = f"node '{first}' ({self.place(other)}) writes this file too"
                    yield self.told(spec, what, f"{one}rename one")
        has_folders = any(file.endswith("/") for _, file in writers.values())
        inside = (
            (*writer, *above) for path, writer in writers.items() if has_folders for above in _above(path, writers)
        )
        for name, file, outer, above in inside:
            if nodes[name].declared not in told:
                told.add(nodes[name].declared)
                place = self.place(nodes[outer])
                what = f"node '{outer}' ({place}) writes the folder '{ellipsize(above)}', which holds '{file}'"
                yield self.told(nodes[name], what, "write to another folder")

    def with_readers(self) -> Iterator[Diagnostic]:
        """Yield the nodes that may read what another one is writing."""
        for name, spec in self.nodes.items():
            # A pattern under 'files' leaves out what other nodes write.
            named = [(spec.kind, path) for path in kind_of(spec).outside.named(spec)]
            named += [("files", path.rstrip("/")) for path in spec.files if not has_magic(path)]
            folder = folder_of(spec, self.folder)
            found = {pair: key for key, path in named for pair in _written(path, folder, self.writers, self.real_path)}
            before = ancestors(name, self.all) if found else set()
            waits_not: set[str] = set()  # nodes with cells for which this one does not wait
            for (writer, file), key in found.items():
                other = self.nodes[writer]
                if writer == name or writer in before or other.declared in waits_not:
                    continue
                if name not in ancestors(writer, self.all):
                    waits_not.add(other.declared)
                    what = f"node '{writer}' ({self.place(other)}) writes '{ellipsize(file)}', which this node may read"
                    what += ", and neither waits for the other"
                    yield self.told(spec, what, f"make it wait: needs: [{other.declared}]", key)

    def kept_folders(self, works: Sequence[Path]) -> Iterator[Diagnostic]:
        """Yield what is wrong with nodes that write a folder in a place that must stay, or hand on the work folder.

        What is written takes the place of the whole folder. In work folders, nothing may be replaced either.
        """
        nodes, folder, there = self.nodes, self.folder, self.folder / WORK_DIR
        for spec in nodes.values():
            if FOLDER in spec.types.values() and (
                path := kind_of(spec).outside.source_path(spec, folder_of(spec, folder))
            ):
                inside = [*works, *([there] if not works or there.exists() else [])]
                if any(_is_in(os.path.realpath(work), os.path.realpath(path)) for work in inside):
                    what = "the work folder is in this folder, which therefore changes during the run"
                    yield self.told(spec, what, "hand on a folder of its own: read: data/")
        written = [spec for spec in nodes.values() if spec.body.endswith("/")]
        outputs = [(spec, kind_of(spec).outside.outputs(spec, folder_of(spec, folder))) for spec in written]
        kept: dict[str, str] = {}  # what must stay, by real path
        if any(found for _, found in outputs):
            files = [Path(file).resolve().parent for file in {spec.source.file for spec in nodes.values()} if file]
            kept = {os.path.realpath(path): "the pipeline file" for path in (folder, *files)}
            kept |= {os.path.realpath(folder_of(spec, folder)): "the pipeline file" for spec in nodes.values()}
            with suppress(OSError):  # it may be gone
                kept.setdefault(os.path.realpath("."), "the current directory")
            for work in (*works, there):
                kept.setdefault(os.path.realpath(work), "the work folder")
        for spec, found in outputs:
            for path in [*found.values()][:1]:
                target = os.path.realpath(path)
                what = next((f"{what} is in this one" for real, what in kept.items() if _is_in(real, target)), "")
                if what:
                    what = f"what is written takes the place of a folder, and {what}"
                elif any(_is_in(target, os.path.realpath(work)) for work in (*works, there)):
                    what = "this folder is in the work folder, which nfrun alone writes to"
                if what:
                    yield self.told(spec, what, "name another one: write: out/site/")


def _outputs(spec: NodeSpec, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files and folders that a node writes, but not what is in such a folder now."""
    found = kind_of(spec).outside.outputs(spec, folder_of(spec, folder))
    own = {str(path) for path in found.values()} if len(found) > 1 else ()
    for file, path in found.items():
        if not any(str(above) in own for above in path.parents):
            yield f"{file}/" if spec.body == f"{file}/" else file, path


def _above(path: str, writers: _Writers) -> Iterator[tuple[str, str]]:
    """Yield the writers of the folders around a path."""
    while (path := os.path.dirname(path)) not in ("", "/"):  # noqa: PTH120  (Path.parents takes longer)
        if path in writers:
            yield writers[path]


def _real_paths() -> _RealPath:
    """Return a function that is `os.path.realpath`, but resolves each folder once."""
    folders = cache(os.path.realpath)

    def real_path(path: str | os.PathLike[str]) -> str:
        above, name = os.path.split(path)
        found = os.path.join(folders(above), name)  # noqa: PTH118
        return os.path.realpath(path) if name in ("", ".", "..") or os.path.islink(found) else found  # noqa: PTH114

    return real_path


def _written(named: str, folder: Path, writers: _Writers, real_path: _RealPath) -> Iterator[tuple[str, str]]:
    """Yield the writers of the files that a path or a glob pattern names. A folder with `/` names all files in it."""
    if (real := real_path(folder / named)) in writers:
        yield writers[real]
    elif has_magic(named):
        parts = Path(named).parts
        first = next(i for i, part in enumerate(parts) if has_magic(part))
        above = os.path.realpath(folder.joinpath(*parts[:first])).rstrip(os.sep) + os.sep
        yield from _above(above, writers)
        for path, writer in writers.items():
            inside = path.startswith(above) and not has_expression(writer[1])
            if inside and _may_match(Path(path[len(above) :]).parts, parts[first:], is_folder=writer[1].endswith("/")):
                yield writer
    else:
        yield from _above(real, writers)
        if named.endswith("/"):
            yield from (writer for path, writer in writers.items() if path.startswith(f"{real}/"))


def _may_match(names: Sequence[str], pattern: Sequence[str], *, is_folder: bool) -> bool:
    """Return whether a pattern may match a file, or one in a folder, by the names of the path."""
    lengths = range(1, len(pattern)) if is_folder else ()
    beginnings = [[*pattern[:length], *(["*"] if pattern[length - 1] == "**" else [])] for length in lengths]
    return is_match(pattern, names) or any(is_match(beginning, names) for beginning in beginnings)


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
