"""Finds what nodes need and this machine does not have: files, packages, services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from nfrun.code.distributions import Distributions
from nfrun.code.function_lookup import FunctionLookup
from nfrun.code.missing_imports import install_hint
from nfrun.core.errors import Diagnostic
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.core.text import closest_match, ellipsize
from nfrun.nodes.external_files import is_written_before, missing_files
from nfrun.nodes.folders import folder_of, may_exist
from nfrun.nodes.registry import kind_of
from nfrun.nodes.user_checks import missing_for
from nfrun.pipeline_file.contracts import checks_path
from nfrun.pipeline_file.references import items
from nfrun.pipeline_file.yaml.document import Document


def missing(
    pipeline: Pipeline,
    document: Document,
    functions: FunctionLookup,
    environ: Mapping[str, str],
    absent: list[str] | None = None,
) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each thing that is missing, such as a variable that is not in `environ`.

    `validate` warns of these; before a run they are errors. Files that a node before may write need not be there. If
    there is a list for them, it gets the nodes that lack other files, which are no errors then.
    """
    folder, distributions, top = Path(pipeline.folder), Distributions(), document
    for spec in (*pipeline.nodes.values(), *pipeline.last_nodes.values()):
        document = top.others.get(spec.source.file, top)
        if spec.files:
            steps = {text: step for step, text in items(document.root["nodes"][spec.local_name]["files"])}
            for entry, what, hint in missing_files(spec, pipeline.nodes, folder):
                if absent is not None and may_exist(entry, folder_of(spec, folder)):
                    absent.append(spec.id)
                    continue
                span = document.span("nodes", spec.local_name, "files", *steps.get(entry, ()))
                yield Diagnostic(span, ellipsize(what, 200), hint)
        if spec.packages:
            yield from _missing_packages(spec, document, distributions)
        may_appear = partial(_may_appear, spec=spec, nodes=pipeline.nodes, base=folder, absent=absent)
        lookup = functions.beside(folder_of(spec, folder))
        for found in kind_of(spec).says.missing(spec, lookup, may_appear) if spec.body else ():
            span = (document.key_span if found.at_key else document.span)(spec.section, spec.local_name, *found.path)
            yield Diagnostic(span, found.message, found.hint)
        for name in spec.plugin.env if spec.plugin is not None else ():
            if name not in spec.env and name not in pipeline.env and not environ.get(name):
                what = f"'{spec.body}' needs the variable {name}, which is not set"
                hint = f"set it in 'env' of the node or the file: {{{name}: …}}"
                yield Diagnostic(document.span(spec.section, spec.local_name, spec.kind), what, hint)
        for output, contract in spec.contracts.items():
            for check in contract.checks:
                path = (*checks_path(document, spec.local_name, output), check.index)
                for found in missing_for(check, spec, lookup, may_appear):
                    span = (document.key_span if found.at_key else document.span)(*path, *found.path)
                    yield Diagnostic(span, found.message, found.hint)


def _may_appear(
    entry: str, spec: NodeSpec, nodes: Mapping[str, NodeSpec], base: Path, absent: list[str] | None
) -> bool:
    if is_written_before(entry, spec, nodes, base):
        return True
    if absent is not None:
        absent.append(spec.id)
    return absent is not None


def _missing_packages(spec: NodeSpec, document: Document, distributions: Distributions) -> Iterator[Diagnostic]:
    for i, name in enumerate(spec.packages):
        if distributions.version(name) is None:
            guess = closest_match(name, distributions.names())
            hint = install_hint(name) or (f"did you mean '{guess}'?" if guess else "install it, or remove it here")
            span = document.span("nodes", spec.local_name, "packages", i)
            yield Diagnostic(span, f"no package '{ellipsize(name)}' is installed", hint)
