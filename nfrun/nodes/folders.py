"""Finds the folder of a node: that of the file which declares it. The node's paths and modules are in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from nfrun.core.pipeline import NodeSpec
from nfrun.system.file_search import inner_folder


def folder_of(spec: NodeSpec, base: Path) -> Path:
    """Return the folder that the paths of a node are relative to. `base` is that of the pipeline."""
    return inner_folder(base, spec.folder)


def relative_folder(folder: str, base: str) -> str:
    """Return the folder of another pipeline as `NodeSpec.folder` has it in the pipeline whose folder is `base`."""
    found = os.path.relpath(folder, base)
    if os.path.realpath(os.path.join(base, found)) != os.path.realpath(folder):  # noqa: PTH118  (a link on the way)
        found = os.path.relpath(os.path.realpath(folder), os.path.realpath(base))
    return "" if found == "." else found


def from_base(spec: NodeSpec) -> Callable[[str], str]:
    """Return the function from the name of a file, as the node has it, to the name from the pipeline's folder."""

    def renamed(name: str) -> str:
        if not spec.folder or "://" in name or name.startswith("~"):
            return name
        return os.path.normpath(os.path.join(spec.folder, name))  # noqa: PTH118  (the name may be a pattern)

    return renamed


def folders_of(nodes: Iterable[NodeSpec]) -> tuple[str, ...]:
    """Return the folders of nodes other than that of the pipeline, each once."""
    return tuple(dict.fromkeys(spec.folder for spec in nodes if spec.folder))
