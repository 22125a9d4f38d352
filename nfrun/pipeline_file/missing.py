"""Finds what nodes need and this machine does not have, and probable mistakes in a pipeline and its folder.

What is missing are files, packages and services. `validate` warns of all, a run refuses what it lacks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from nfrun.code.distributions import Distributions
from nfrun.code.module_finder import OURS, hidden_files
from nfrun.core.errors import Diagnostic, Problem, SourceSpan
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.core.text import did_you_mean, ellipsize
from nfrun.nodes.external_files import is_written_before, missing_files, unwaited_files
from nfrun.nodes.folders import folder_of, may_exist
from nfrun.nodes.registry import kind_of
from nfrun.pipeline_file.yaml.document import Document, Keys, items
from nfrun.system.file_search import inner_folder


def missing(
    pipeline: Pipeline,
    document: Document,
    environ: Mapping[str, str],
    absent: list[str] | None = None,
) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each thing that is missing, such as a variable that is not in `environ`.

    `validate` warns of these; before a run they are errors. Files that a node before may write need not be there. If
    there is a list for them, it gets the nodes that lack other files, which are no errors then.
    """
    folder, distributions, top = Path(pipeline.folder), Distributions(), document
    for spec in (*pipeline.nodes.values(), *pipeline.last_nodes.values()):
        document = top.of_file(spec.source.file)
        if spec.files:
            steps = {text: step for step, text in items(document.root["nodes"][spec.local_name]["files"])}
            for entry, what, hint in missing_files(spec, pipeline.nodes, folder):
                if absent is not None and may_exist(entry, folder_of(spec, folder)):
                    absent.append(spec.id)
                    continue
                path: Keys = ("nodes", spec.local_name, "files", *steps.get(entry, ()))
                yield document.told(Problem(path, ellipsize(what, 200), hint))
        for i, name in enumerate(spec.packages):
            if distributions.version(name) is None:
                hint = did_you_mean(name, distributions.names(), "install it, or remove it here")
                what = f"no package '{ellipsize(name)}' is installed"
                yield document.told(Problem(("nodes", spec.local_name, "packages", i), what, hint))

        def may_appear(entry: str, spec: NodeSpec = spec) -> bool:
            """Return whether a file may be missing: a node before writes it, or the run tells that it lacks it."""
            is_written = is_written_before(entry, spec, pipeline.nodes, folder)
            if not is_written and absent is not None:
                absent.append(spec.id)
            return is_written or absent is not None

        for found in kind_of(spec).says.missing(spec, folder_of(spec, folder), may_appear) if spec.body else ():
            yield document.told(found, (spec.section, spec.local_name))
        for name in spec.plugin.env if spec.plugin is not None else ():
            if name not in spec.env and name not in pipeline.env and not environ.get(name):
                what = f"'{spec.body}' needs the variable {name}, which is not set"
                hint = f"set it in 'env' of the node or the file: {{{name}: …}}"
                yield document.told(Problem((spec.section, spec.local_name, spec.kind), what, hint))


def warnings_of(pipeline: Pipeline) -> Iterator[Diagnostic]:
    """Yield the warnings about the files beside the pipeline and the others whose nodes it has, and about those which
    nodes make for others that do not wait for them.
    """
    base, shown = Path(pipeline.folder), Path(pipeline.file).parent
    for folder in dict.fromkeys(spec.folder for spec in pipeline.nodes.values() if kind_of(spec).runs.calls_code):
        for name in hidden_files(inner_folder(base, folder)):
            file, module = inner_folder(shown, folder) / name, name.removesuffix(".py")
            whose = "nfrun uses" if module in OURS else "the standard library has"
            what = f"this file is never imported, as {whose} a module '{module}'"
            yield Diagnostic(SourceSpan(str(file)), what, "rename it")
    for spec, name, writer in unwaited_files(pipeline.nodes, base):
        other = writer.declared
        what = f"'{spec.declared}' names '{ellipsize(name)}', which '{other}' makes, and neither waits for the other"
        hint = f"needs: [{other}], or hand the file on: write it to $NFRUN_OUTPUT, and name it under 'inputs'"
        yield Diagnostic(spec.source, what, hint)
