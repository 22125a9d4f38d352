"""Expands the matrix of a pipeline: replaces each node that has axes by its cells.

Nothing behind this knows of axes, except by `NodeSpec.of` and `cell` and `Input.gather`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from nfrun.core.pipeline import NOTHING, Gather, Input, NodeSpec, OutputId, Pipeline, column_type
from nfrun.core.text import ellipsize
from nfrun.core.values import replace
from nfrun.pipeline_file.conditions import unread_outputs
from nfrun.pipeline_file.matrix.cell_ids import MAX_ID, key_of, text_of
from nfrun.pipeline_file.matrix.cells import Cell, Cells, cells_of, count_problems, projection
from nfrun.pipeline_file.matrix.literal_values import indices
from nfrun.pipeline_file.yaml.document import Keys

Problems = list[tuple[Keys, str, str]]  # each with its path in the document, the message, the hint
_MAX_TOLD = 10
_Reads = Callable[[Cell], "Input | None"]  # from a cell to one of its inputs


def expand(pipeline: Pipeline, problems: Problems) -> Pipeline:
    """Return the pipeline with a node for each cell. Its axes have their values.

    Adds to `problems` what is wrong: too many cells, nodes without cells, cells that do not exist and are read.
    """
    if not pipeline.axes:
        return pipeline
    problems += count_problems(pipeline)
    if problems:
        return pipeline
    expansion = _Expansion(pipeline, cells_of(pipeline), problems)
    nodes = {spec.id: spec for declared in pipeline.nodes.values() for spec in expansion.cells_of(declared)}
    return replace(pipeline, nodes=nodes, outputs=dict(expansion.shown(nodes)))


class _Expansion:
    """Makes the cells of the nodes of one pipeline."""

    def __init__(self, pipeline: Pipeline, cells: Mapping[str, Cells], problems: Problems) -> None:
        self.pipeline, self.cells, self.problems = pipeline, cells, problems
        self.known = {name: indices(axis) for name, axis in pipeline.axes.items()}

    def cells_of(self, spec: NodeSpec) -> Iterator[NodeSpec]:
        """Yield the cells of a node, or the node itself if it has no axes."""
        mine = self.cells[spec.id]
        if not mine.ids:
            what = f"'{ellipsize(spec.id)}' has no cells"
            self.problems.append((("nodes", spec.id, "matrix"), what, "'exclude' leaves out all of them"))
        elif len(longest := max(mine.ids.values(), key=len)) > MAX_ID:
            what = f"the id of a cell has {len(longest)} characters, and at most {MAX_ID}: '{ellipsize(longest)}'"
            self.problems.append((("nodes", spec.id, "matrix"), what, "give the values shorter ids: {id: a, …}"))
        self.report_ambiguous(spec, mine)
        reads = [self.reads(spec, item) for item in spec.opened]
        needs = [self.needed(mine, need) for need in spec.needs]
        if not spec.axes and all(read is None for read in reads) and not any(needs):
            yield spec
            return
        values = [self.pipeline.axes[name].keys for name in spec.axes]
        for cell, id in mine.ids.items():
            opened = [item if read is None else read(cell) for item, read in zip(spec.opened, reads, strict=True)]
            inputs, references = opened[: len(spec.inputs)], opened[len(spec.inputs) :]
            if None in inputs:
                self.report_absent(spec, inputs, id)
            waits = [n for need, of in zip(spec.needs, needs, strict=True) for n in (of(cell) if of else (need,))]
            yield replace(
                spec,
                id=id,
                inputs=tuple([item for item in inputs if item is not None]),
                references=tuple([item for item in references if item is not None]),
                needs=tuple(waits),
                of=spec.id if spec.axes else "",
                cell={name: values[i][cell[i]] for i, name in enumerate(spec.axes)} if spec.axes else NOTHING,
            )

    def reads(self, spec: NodeSpec, item: Input) -> _Reads | None:
        """Return the function from a cell of a node to its input, None if all cells have the input as it is."""
        mine, theirs = self.cells[spec.id], self.cells[item.output.node]
        find: _Reads = lambda cell: item  # noqa: E731
        if item.gather and theirs.axes:
            find = self.gathered(mine, theirs, item)
        elif theirs.axes:
            find = self.matched(mine, theirs, item)
        if item.alternative is None:
            return find if theirs.axes else None
        instead = self.alternative(mine, item.alternative)

        def with_alternative(cell: Cell) -> Input | None:
            found, other = find(cell), instead(cell)
            if found is None:  # `where` names a cell that does not exist
                return replace(item, output=other, alternative=None, gather=None, where=NOTHING)
            return replace(found, alternative=other)

        return with_alternative

    def matched(self, mine: Cells, theirs: Cells, item: Input) -> _Reads:
        """Return the function from a cell to the input that reads the one cell that agrees with it."""
        pinned = {name: self.index(name, value) for name, value in item.where.items()}
        shared = [name for name in theirs.axes if name not in pinned]
        project, name = projection(self.pipeline.axes, mine.axes, shared), item.output.name
        made: dict[Cell, Input | None] = {}

        def find(cell: Cell) -> Input | None:
            values = project(cell)
            if values not in made:
                left = iter(values)
                id = theirs.ids.get(tuple([pinned[axis] if axis in pinned else next(left) for axis in theirs.axes]))
                made[values] = (
                    id and replace(item, output=OutputId(id, name), where=NOTHING, alternative=None)
                ) or None
            return made[values]

        return find

    def gathered(self, mine: Cells, theirs: Cells, item: Input) -> _Reads:
        """Return the function from a cell to the input that gathers all cells that agree with it."""
        assert item.gather
        form, name = item.gather, item.output.name
        shared = [axis for axis in theirs.has if axis in mine.has and axis not in item.where]
        allowed = {
            axis: {self.index(axis, each) for each in (value if isinstance(value, list) else [value])}
            for axis, value in item.where.items()
        }
        axes = [self.pipeline.axes[axis] for axis in form.axes]
        columns = {axis: column_type(self.pipeline.axes[axis].keys) for axis in form.columns}
        groups: dict[Cell, dict[OutputId, tuple[object, ...]]] = {}
        for values, cell, left in self.grouped(theirs, shared, [*form.axes, *allowed]):
            if all(left[len(axes) + i] in of for i, of in enumerate(allowed.values())):
                keys = tuple([axis.keys[left[i]] for i, axis in enumerate(axes)])
                groups.setdefault(values, {})[OutputId(theirs.ids[cell], name)] = keys
        inputs = {
            values: replace(item, alternative=None, gather=Gather(form.form, form.axes, cells, columns), where=NOTHING)
            for values, cells in groups.items()
        }
        project = projection(self.pipeline.axes, mine.axes, shared)
        return lambda cell: inputs.get(project(cell))

    def grouped(self, theirs: Cells, shared: Sequence[str], wanted: Sequence[str]) -> Iterator[tuple[Cell, Cell, Cell]]:
        """Yield each cell between its indices on the shared axes and on the wanted axes."""
        axes = self.pipeline.axes
        on_shared, on_wanted = projection(axes, theirs.axes, shared), projection(axes, theirs.axes, wanted)
        for cell in theirs.ids:
            yield on_shared(cell), cell, on_wanted(cell)

    def alternative(self, mine: Cells, output: OutputId) -> Callable[[Cell], OutputId]:
        """Return the function from a cell to the output that it reads instead of an absent one.

        That cell exists: it has no axis that the reader lacks, and `exclude` takes cells of all nodes.
        """
        theirs = self.cells[output.node]
        project = projection(self.pipeline.axes, mine.axes, theirs.axes)
        return lambda cell: OutputId(theirs.ids[project(cell)], output.name)

    def needed(self, mine: Cells, need: str) -> Callable[[Cell], Sequence[str]] | None:
        """Return the function from a cell to the cells of `need` that it waits for, None if that has no axes."""
        theirs = self.cells[need]
        if not theirs.axes:
            return None
        shared = [axis for axis in theirs.has if axis in mine.has]
        groups: dict[Cell, list[str]] = {}
        for values, cell, _ in self.grouped(theirs, shared, ()):
            groups.setdefault(values, []).append(theirs.ids[cell])
        project = projection(self.pipeline.axes, mine.axes, shared)
        return lambda cell: groups.get(project(cell), ())

    def index(self, axis: str, value: object) -> int:
        """Return the index of a value that `where` names, -1 if the axis does not have it."""
        return self.known[axis].get(text_of(key_of(value)), -1)

    def report_ambiguous(self, spec: NodeSpec, mine: Cells) -> None:
        """Report an id that is both a cell and an output of another cell: people could not name the output."""
        ids = dict.fromkeys(mine.ids.values()) if spec.axes and spec.outputs else {}
        for i, name in enumerate(spec.outputs):
            if twin := next((id for id in ids if f"{id}.{name}" in ids), None):
                what = f"'{ellipsize(twin)}.{name}' is a cell, and the output '{name}' of another one"
                self.problems.append(
                    (("nodes", spec.id, "outputs", i), what, "rename the output, or give the value an id")
                )

    def report_absent(self, spec: NodeSpec, inputs: Sequence[Input | None], id: str) -> None:
        """Report what a cell reads of cells that do not exist, unless it is optional."""
        for item, found in zip(spec.inputs, inputs, strict=True):
            if found is None and not item.optional and len(self.problems) < _MAX_TOLD:
                what = f"there is no cell of '{ellipsize(item.output.node)}' that '{ellipsize(id)}' could read"
                self.problems.append((("nodes", spec.id, "inputs", item.name), what, "exclude this cell, too"))

    def shown(self, nodes: Mapping[str, NodeSpec]) -> Iterator[tuple[str, OutputId]]:
        """Yield the names that the run shows, each with its output: those of the file, or all that no node reads."""
        if not self.pipeline.names_outputs:
            yield from unread_outputs(nodes).items()
            return
        for name, output in self.pipeline.outputs.items():
            for id in self.cells[output.node].ids.values():
                yield name + id[len(output.node) :], OutputId(id, output.name)
