"""Finds what is probably a mistake in a pipeline and its folder, but keeps no run from working."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nfrun.code.module_finder import hidden_files
from nfrun.core.pipeline import Pipeline
from nfrun.nodes.registry import KINDS


def warnings_of(pipeline: Pipeline) -> Iterator[str]:
    """Yield the warnings of a pipeline, each one line."""
    if any(KINDS[node.kind].has_user_frames for node in pipeline.nodes.values()):
        for name in hidden_files(Path(pipeline.folder)):
            file, module = Path(pipeline.file).parent / name, name.removesuffix(".py")
            yield f"{file} is never imported, as the standard library has a module '{module}': rename it"
