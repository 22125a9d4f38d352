"""Finds all that can be found in a pipeline file and in the code of its nodes, without running anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import Diagnostic, SpecError
from nfrun.core.pipeline import Pipeline
from nfrun.core.values import replace
from nfrun.pipeline_file.axes import find_values
from nfrun.pipeline_file.budgets import refused_amounts
from nfrun.pipeline_file.built_document import BuiltPipeline
from nfrun.pipeline_file.cells import MatrixNames, expand
from nfrun.pipeline_file.file_conflicts import file_conflicts, with_default_paths
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.missing import missing, warnings_of
from nfrun.pipeline_file.parameters import default_names
from nfrun.pipeline_file.resolve import functions_of
from nfrun.pipeline_file.subpipelines import with_included
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
    files = with_included(pipeline, document)
    # The file itself was checked when it was read.
    amounts = [problem for one, _ in files[1:] for problem in refused_amounts(one, document, pipeline.budgets)]
    if amounts:
        raise SpecError(amounts)
    for one, its in files:
        found += matrix_problems(one, its)
        found += [*missing(one, its, environ), *warnings_of(one)]
    for warning in dict.fromkeys(found):
        on_warning(warning)
    return pipeline


def matrix_problems(pipeline: Pipeline, document: Document) -> list[Diagnostic]:
    """Return warnings of the files that axes lack, as far as the defaults of the parameters tell them.

    Raises SpecError with what is wrong with the values of axes and with the cells, where these are known.
    """
    if not pipeline.axes:
        return []
    axes, wrong = find_values(pipeline, default_names(pipeline, {}), reads_data=False)
    may_be_given = any(param.required for param in pipeline.params.values())
    problems = [] if may_be_given else [problem for problem in wrong if not problem.about]
    expanded = replace(pipeline, axes=axes)
    if not problems and all(axis.values for axis in axes.values()):
        expanded = expand(expanded, problems)
    errors = [document.told(problem) for problem in problems]
    if expanded.nodes is not pipeline.nodes and not errors:
        nodes = with_default_paths(expanded.nodes, pipeline.params, MatrixNames(axes).of)
        errors += file_conflicts(nodes, Path(pipeline.folder), document)
    if errors:
        raise SpecError(errors)
    return [document.told(problem) for problem in wrong if problem.about]
