"""Finds nodes that would replace a folder that must stay (of the pipeline, the run), or hand on the work folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from nfrun.core.output_types import FOLDER
from nfrun.core.pipeline import WORK_DIR, NodeSpec
from nfrun.nodes.folders import folder_of
from nfrun.nodes.registry import kind_of
from nfrun.pipeline_file.yaml.document import Keys

_HINT = "name another one: write: out/site/"


def replaced_folders(
    nodes: Mapping[str, NodeSpec], folder: Path, works: Iterable[Path]
) -> Iterator[tuple[Keys, str, str]]:
    """Yield the path of a value, a message and a hint for each node that writes a folder in a place that must stay.

    What is written takes the place of the whole folder. `folder` is that of the pipeline, and `works` are the work
    folders. In these, nothing may be replaced either. Real paths are compared.
    """
    written = {name: path for name, spec in nodes.items() if (path := _folder_of(spec, folder)) is not None}
    if not written:
        return
    kept, inside = _kept_folders(nodes, folder, works)
    for name, path in written.items():
        target, spec = os.path.realpath(path), nodes[name]
        what = next((f"{what} is in this one" for real, what in kept.items() if _is_in(real, target)), "")
        if what:
            what = f"what is written takes the place of a folder, and {what}"
        elif any(_is_in(target, work) for work in inside):
            what = "this folder is in the work folder, which nfrun alone writes to"
        if what:
            yield ("nodes", spec.declared, spec.kind), what, _HINT


def handed_on_work_folders(
    nodes: Mapping[str, NodeSpec], folder: Path, works: Iterable[Path]
) -> Iterator[tuple[Keys, str, str]]:
    """Yield the path of a value, a message and a hint for each node that hands on a folder with the work folder in it.

    The arguments are those of `replaced_folders`.
    """
    places = [*works]
    if not places or (folder / WORK_DIR).exists():
        places.append(folder / WORK_DIR)
    inside = [os.path.realpath(path) for path in places]
    for spec in nodes.values():
        path = (
            kind_of(spec).outside.source_path(spec, folder_of(spec, folder)) if FOLDER in spec.types.values() else None
        )
        if path is not None and any(_is_in(work, os.path.realpath(path)) for work in inside):
            what = "the work folder is in this folder, which therefore changes during the run"
            yield ("nodes", spec.declared, spec.kind), what, "hand on a folder of its own: read: data/"


def _folder_of(spec: NodeSpec, folder: Path) -> Path | None:
    """Return the folder that a node writes, None if it writes none."""
    if not spec.kind or not spec.body.endswith("/"):
        return None
    found = kind_of(spec).outside.outputs(spec, folder_of(spec, folder))
    return next(iter(found.values()), None)


def _kept_folders(
    nodes: Mapping[str, NodeSpec], folder: Path, works: Iterable[Path]
) -> tuple[dict[str, str], list[str]]:
    """Return what is said of the folders that must stay, by their real paths, and the real paths of work folders."""
    files = {spec.source.file for spec in nodes.values() if spec.source.file}
    folders = [
        folder,
        *(folder_of(spec, folder) for spec in nodes.values()),
        *(Path(f).resolve().parent for f in files),
    ]
    kept = {os.path.realpath(path): "the pipeline file" for path in folders}
    with suppress(OSError):  # it may be gone
        kept.setdefault(os.path.realpath("."), "the current directory")
    inside = [os.path.realpath(path) for path in (*works, folder / WORK_DIR)]
    for path in inside:
        kept.setdefault(path, "the work folder")
    return kept, inside


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
