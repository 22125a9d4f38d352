"""Finds all that can be found in a pipeline file and in the code of its nodes, without running anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import Diagnostic, SpecError
from nfrun.core.pipeline import Pipeline
from nfrun.pipeline_file.budgets import refused_amounts
from nfrun.pipeline_file.built_document import BuiltPipeline
from nfrun.pipeline_file.cell_checks import cell_problems
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.matrix.resolution import matrix_problems
from nfrun.pipeline_file.missing import missing
from nfrun.pipeline_file.node_counts import too_many_nodes
from nfrun.pipeline_file.parameters import default_names
from nfrun.pipeline_file.pipeline_warnings import code_warnings, warnings_of
from nfrun.pipeline_file.resolve import functions_of
from nfrun.pipeline_file.yaml.document import Document


def validate_file(
    file: Path,
    on_warning: Callable[[Diagnostic], object],
    environ: Mapping[str, str] = os.environ,
    built: BuiltPipeline | None = None,
) -> Pipeline:
    """Return the pipeline in the file, after all warnings have been passed on. Raises SpecError with every problem.

    Variables that plug-ins need may be in `environ`. If the pipeline is `built` by a program, no file is read.
    """
    functions = FunctionLookup(file.absolute().parent, given=functions_of(built))
    found: list[Diagnostic] = []
    given = None if built is None else built.document
    pipeline, document = read_pipeline(file, functions, found.append, document=given)
    if wrong := too_many_nodes(pipeline, document, default_names(pipeline, {})):
        raise SpecError([wrong])
    files = list(_with_included(pipeline, document))
    # The file itself was checked when it was read.
    amounts = [problem for one, _ in files[1:] for problem in refused_amounts(one, document, pipeline.budgets)]
    if amounts:
        raise SpecError(amounts)
    for one, its in files:
        found += matrix_problems(one, its, partial(cell_problems, document=its))
        found += [*missing(one, its, functions.beside(Path(one.folder)), environ), *warnings_of(one)]
        told = {warning.message for warning in found}
        for warning in code_warnings(one, Path(pipeline.folder)):
            if warning.message not in told:  # an import is one mistake, however many nodes reach it
                found.append(warning)
                told.add(warning.message)
    for warning in dict.fromkeys(found):
        on_warning(warning)
    return pipeline


def _with_included(pipeline: Pipeline, document: Document) -> Iterator[tuple[Pipeline, Document]]:
    """Yield the pipeline and all that it includes, each file once."""
    left, seen = [pipeline], {pipeline.file}
    for one in left:
        yield one, document.others.get(one.file, document)
        new = [other for other in one.included.values() if other.file not in seen]
        seen.update(other.file for other in new)
        left += new
