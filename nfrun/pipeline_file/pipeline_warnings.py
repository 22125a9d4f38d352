"""Finds probable mistakes in a pipeline and its folder that are no errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nfrun.code.facts.code_facts import shared_variables
from nfrun.code.missing_imports import import_hint
from nfrun.code.module_finder import OURS, hidden_files
from nfrun.core.errors import Diagnostic, SourceSpan
from nfrun.core.pipeline import Pipeline
from nfrun.core.text import ellipsize
from nfrun.nodes.registry import kind_of
from nfrun.nodes.unwaited_files import unwaited_files
from nfrun.nodes.user_checks import nodes_of_checks
from nfrun.system.file_search import inner_folder


def warnings_of(pipeline: Pipeline) -> Iterator[Diagnostic]:
    """Yield the warnings about the files beside the pipeline and the others whose nodes it has, and about those which
    nodes make for others that do not wait for them.
    """
    base, shown = Path(pipeline.folder), Path(pipeline.file).parent
    for folder in dict.fromkeys(spec.folder for spec in pipeline.nodes.values() if kind_of(spec).runs.calls_code):
        for name in hidden_files(inner_folder(base, folder)):
            file, module = inner_folder(shown, folder) / name, name.removesuffix(".py")
            why = (
                f"nfrun uses a package '{module}'"
                if module in OURS
                else f"the standard library has a module '{module}'"
            )
            yield Diagnostic(SourceSpan(str(file)), f"this file is never imported, as {why}", "rename it")
    for spec, name, writer in unwaited_files(pipeline.nodes, base):
        other = writer.declared
        what = f"'{spec.declared}' names '{ellipsize(name)}', which '{other}' makes, and neither waits for the other"
        hint = f"needs: [{other}], or hand the file on: write it to $NFRUN_OUTPUT, and name it under 'inputs'"
        yield Diagnostic(spec.source, what, hint)


def code_warnings(pipeline: Pipeline, base: Path) -> Iterator[Diagnostic]:
    """Yield the warnings about the code that the nodes reach. Reads all code. Files are shown relative to `base`."""
    nodes = {name: spec for name, spec in pipeline.nodes.items() if kind_of(spec).runs.calls_code}
    checks = [node for spec in pipeline.nodes.values() for node in nodes_of_checks(spec)]
    if not nodes and not checks:
        return
    from nfrun.code.fingerprint import Fingerprints
    from nfrun.code.reached_imports import MissingImports

    code = Fingerprints(Path(pipeline.folder), base)
    missing = MissingImports(code)
    facts = {name: kind_of(spec).code.facts(spec, code) for name, spec in nodes.items()}
    for spec in (*nodes.values(), *checks):
        for module, where in missing.of(kind_of(spec).code.reached(spec, code)):
            what = f"{where} imports '{module}', which is not installed"
            yield Diagnostic(spec.source, what, import_hint(module, Path(pipeline.folder)))
    for name, found in facts.items():
        spec = nodes[name]
        for fact in found.global_state if spec.executor == "thread" else ():
            what = f"'{name}' has 'executor: thread' and uses {fact.what} ({fact.where}), which all threads share"
            yield Diagnostic(spec.source, what, "without 'executor' it runs in a process")
        for fact in found.warnings:
            yield Diagnostic(_span(fact.where), f"{fact.what} in '{name}' affects all nodes in its process")
    for name, shared in shared_variables(facts).items():
        what = f"'{name}' reads {shared.variable}, which '{shared.other}' assigns ({shared.assigned.where})"
        hint = "it is never reused, and what it reads may depend on timing"
        yield Diagnostic(_span(shared.read.where), what, hint)


def _span(where: str) -> SourceSpan:
    """Return the span of a place such as "steps.py:12"."""
    file, _, line = where.rpartition(":")
    return SourceSpan(file, int(line))
