"""Finds probable mistakes in a pipeline and its folder that are no errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nfrun.code.module_finder import OURS, hidden_files
from nfrun.core.pipeline import Pipeline
from nfrun.facts.code_facts import shared_variables
from nfrun.nodes.declared_files import missing_files
from nfrun.nodes.registry import KINDS


def warnings_of(pipeline: Pipeline) -> Iterator[str]:
    """Yield the warnings of a pipeline, each one line."""
    if any(KINDS[node.kind].has_user_frames for node in pipeline.nodes.values()):
        for name in hidden_files(Path(pipeline.folder)):
            file, module = Path(pipeline.file).parent / name, name.removesuffix(".py")
            why = (
                f"nfrun uses a package '{module}'"
                if module in OURS
                else f"the standard library has a module '{module}'"
            )
            yield f"{file} is never imported, as {why}: rename it"
    # Errors when parameters are bound: a file may be made until then.
    for node in pipeline.nodes.values():
        for _, what, hint in missing_files(node, pipeline.nodes, Path(pipeline.folder)) if node.files else ():
            yield f"{node.source}: 'files' of '{node.id}': {what}: {hint}"


def code_warnings(pipeline: Pipeline) -> Iterator[str]:
    """Yield the warnings about the code that the nodes reach, each one line. Reads all code."""
    nodes = {name: spec for name, spec in pipeline.nodes.items() if KINDS[spec.kind].has_user_frames}
    if not nodes:
        return
    from nfrun.code.fingerprint import Fingerprints

    code = Fingerprints(Path(pipeline.folder))
    facts = {name: KINDS[spec.kind].code_facts(spec, code) for name, spec in nodes.items()}
    for name, found in facts.items():
        spec = nodes[name]
        for fact in found.global_state if spec.executor == "thread" else ():
            what = f"'{name}' has 'executor: thread' and uses {fact.what} ({fact.where}), which all threads share"
            yield f"{spec.source}: {what}: without 'executor' it runs in a process"
        for fact in found.warnings:
            yield f"{fact.where}: {fact.what} in '{name}' affects all nodes in its process"
    for name, shared in shared_variables(facts).items():
        what = f"'{name}' reads {shared.variable}, which '{shared.other}' assigns ({shared.assigned.where})"
        yield f"{shared.read.where}: {what}: it is never reused, and what it reads may depend on timing"
