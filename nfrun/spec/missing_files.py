"""Checks before a run that the files which nodes declare under `files` are there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nfrun.core.errors import Diagnostic
from nfrun.core.pipeline import Pipeline
from nfrun.core.text import ellipsize
from nfrun.nodes.declared_files import missing_files
from nfrun.spec.references import items
from nfrun.spec.yaml_document import Document


def check_files(pipeline: Pipeline, document: Document) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each entry of which there is no file, unless a node before may write it."""
    for name, spec in pipeline.nodes.items():
        if spec.files:
            steps = {text: step for step, text in items(document.root["nodes"][name]["files"])}
            for entry, what, hint in missing_files(spec, pipeline.nodes, Path(pipeline.folder)):
                span = document.span("nodes", name, "files", *steps.get(entry, ()))
                yield Diagnostic(span, ellipsize(what, 200), hint)
