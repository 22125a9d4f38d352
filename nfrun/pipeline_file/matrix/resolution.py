"""Finds the values of a pipeline's axes and expands it, with problems at their places in the document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nfrun.core.errors import Diagnostic, SpecError
from nfrun.core.pipeline import Axis, NodeSpec, Pipeline
from nfrun.core.values import replace
from nfrun.pipeline_file.file_conflicts import file_conflicts, with_default_paths
from nfrun.pipeline_file.matrix.axes import with_followers
from nfrun.pipeline_file.matrix.cell_ids import text_of
from nfrun.pipeline_file.matrix.cells import projection
from nfrun.pipeline_file.matrix.expansion import Problems, expand
from nfrun.pipeline_file.matrix.literal_values import indices
from nfrun.pipeline_file.matrix.values import Names, ValueProblem, find_values
from nfrun.pipeline_file.parameters import default_names
from nfrun.pipeline_file.yaml.document import Document


def expand_matrix(pipeline: Pipeline, document: Document, names: Names, *, files_may_lack: bool = False) -> Pipeline:
    """Return the pipeline with a node for each cell. `names` are those that expressions see. Raises SpecError.

    If `files_may_lack` and an axis has no values for that, nothing runs but what fails for it, and what tells of that.
    """
    if not pipeline.axes:
        return pipeline
    axes, wrong = find_values(pipeline, seen_by_graph(names))
    if wrong and files_may_lack and all(problem.missing for problem in wrong):
        return _without_cells(pipeline, wrong, document)
    if wrong:
        raise SpecError([diagnostic_of(problem, document) for problem in wrong])
    problems: Problems = []
    expanded = expand(replace(pipeline, axes=axes), problems)
    if problems:
        raise SpecError([Diagnostic(document.span(*path), what, hint) for path, what, hint in problems])
    return expanded


def _without_cells(pipeline: Pipeline, wrong: Sequence[ValueProblem], document: Document) -> Pipeline:
    """Return the pipeline with a node in place of all, for each axis: it reads the missing file, and so it fails."""
    nodes = {}
    for problem in wrong:
        id, with_, source = f"matrix/{problem.path[-2]}", {"format": "csv"}, document.span(*problem.path)
        nodes[id] = NodeSpec(id, "read", problem.missing, (), with_, (), (), {}, source=source)
    return replace(pipeline, axes={}, nodes=nodes, outputs={}, included={}, names_outputs=False)


def matrix_problems(
    pipeline: Pipeline, document: Document, of_cells: Callable[[Pipeline], list[Diagnostic]]
) -> list[Diagnostic]:
    """Return warnings of the files that axes lack, as far as the defaults of the parameters tell them.

    Raises SpecError with what is wrong with the values of axes and with the cells, where these are known. `of_cells`
    returns more problems of an expanded pipeline.
    """
    if not pipeline.axes:
        return []
    axes, wrong = find_values(pipeline, default_names(pipeline, {}), reads_data=False)
    may_be_given = any(param.required for param in pipeline.params.values())
    certain = [] if may_be_given else [problem for problem in wrong if not problem.missing]
    problems: Problems = []
    expanded = replace(pipeline, axes=axes)
    if not certain and all(axis.values for axis in axes.values()):
        expanded = expand(expanded, problems)
    errors = [diagnostic_of(problem, document) for problem in certain]
    errors += [Diagnostic(document.span(*path), what, hint) for path, what, hint in problems]
    if errors:
        raise SpecError(errors)
    if expanded.nodes is not pipeline.nodes:
        sure = {name: spec if spec.if_ is True else replace(spec, body="") for name, spec in expanded.nodes.items()}
        nodes = with_default_paths(sure, pipeline.params, MatrixNames(axes).of)
        clashes = file_conflicts(nodes, Path(pipeline.folder), document.span)
        errors += [Diagnostic(document.span(*path), what, hint) for path, what, hint in clashes]
        errors += of_cells(expanded)
    if errors:
        raise SpecError(errors)
    return [diagnostic_of(problem, document) for problem in wrong if problem.missing]


def seen_by_graph(names: Names) -> Names:
    """Return the names that the graph may depend on: the id and the date of the run are not among them."""
    hidden = (("run", "id"), ("run", "date"))
    return {name: {key: of[key] for key in of if (name, key) not in hidden} for name, of in names.items()}


def diagnostic_of(problem: ValueProblem, document: Document) -> Diagnostic:
    """Return the diagnostic for an axis whose values are not known."""
    span = document.span(*problem.path)
    if problem.length:
        span = document.span_within(problem.path, problem.start, problem.length)
    return Diagnostic(span, problem.message, problem.hint)


class MatrixNames:
    """Has what expressions of cells see as `matrix`."""

    def __init__(self, axes: Mapping[str, Axis]) -> None:
        self._axes = axes
        self._known = {name: indices(axis) for name, axis in axes.items()}
        self._readers: dict[tuple[str, ...], Callable[[NodeSpec], dict[str, Any]]] = {}

    def of(self, spec: NodeSpec) -> Mapping[str, Any]:
        """Return the values of a cell on the axes of its node and on those that follow from them."""
        if spec.axes not in self._readers:
            self._readers[spec.axes] = self._reader(spec.axes)
        return self._readers[spec.axes](spec)

    def _reader(self, own: tuple[str, ...]) -> Callable[[NodeSpec], dict[str, Any]]:
        has = with_followers(self._axes, own)
        project, known = projection(self._axes, own, has), [self._known[name] for name in own]
        values = [(name, self._axes[name].values) for name in has]

        def read(spec: NodeSpec) -> dict[str, Any]:
            cell = project(tuple([at[text_of(key)] for at, key in zip(known, spec.cell.values(), strict=True)]))
            return {name: of[i] for (name, of), i in zip(values, cell, strict=True)}

        return read
