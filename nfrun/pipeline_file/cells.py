"""Expands the matrix of a pipeline: replaces each node that has axes by its cells.

A node and what it reads are matched by axis: on the axes that both have, a cell reads the cell with the same values.
While a file is read, `references.py` checks this, and says for each input which axes are gathered. Nothing behind this
knows of axes, except by `NodeSpec.cell` and `Input.gather`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, product
from math import prod
from typing import Any

from nfrun.core.errors import Problem, SpecError
from nfrun.core.pipeline import (
    NOTHING,
    Axis,
    Gather,
    Input,
    NodeSpec,
    OutputId,
    Pipeline,
    column_type,
)
from nfrun.core.text import ellipsize
from nfrun.core.values import frozen, replace
from nfrun.pipeline_file.axes import (
    MAX_ID,
    MAX_NODES,
    Names,
    find_values,
    indices,
    key_of,
    text_of,
    with_followers,
)
from nfrun.pipeline_file.conditions import unread_outputs
from nfrun.pipeline_file.yaml.document import Document, Keys

MAX_CELLS = 10_000  # of a node
MAX_READS = 2_000_000  # from the cells of one node to those of another
_MAX_TOLD = 10

Cell = tuple[int, ...]  # the index of the cell's value on each axis that its node has
_Reads = Callable[[Cell], "Input | None"]  # from a cell to one of its inputs


def expand_matrix(pipeline: Pipeline, document: Document, names: Names, *, files_may_lack: bool = False) -> Pipeline:
    """Return the pipeline with a node for each cell. `names` are those that expressions see. Raises SpecError.

    If `files_may_lack` and an axis has no values for that, nothing runs but what fails for it, and what tells of that.
    """
    if not pipeline.axes:
        return pipeline
    axes, problems = find_values(pipeline, seen_by_graph(names))
    if problems and files_may_lack and all(problem.about for problem in problems):
        # A node in place of all, for each axis: it reads the missing file, and so it fails.
        fields: dict[str, Any] = {"inputs": (), "with_": {"format": "csv"}, "outputs": (), "needs": (), "env": {}}
        found = {f"matrix/{one.path[-2]}": (one.about, document.span(*one.path)) for one in problems}
        nodes = {id: NodeSpec(id, "read", file, **fields, source=source) for id, (file, source) in found.items()}
        return replace(pipeline, axes={}, nodes=nodes, outputs={}, included={}, names_outputs=False)
    expanded = pipeline if problems else expand(replace(pipeline, axes=axes), problems)
    if problems:
        raise SpecError([document.told(problem) for problem in problems])
    return expanded


def seen_by_graph(names: Names) -> Names:
    """Return the names that the graph may depend on: the id and the date of the run are not among them."""
    hidden = (("run", "id"), ("run", "date"))
    return {name: {key: of[key] for key in of if (name, key) not in hidden} for name, of in names.items()}


def expand(pipeline: Pipeline, problems: list[Problem]) -> Pipeline:
    """Return the pipeline with a node for each cell. Its axes have their values.

    Adds to `problems` what is wrong: too many cells, nodes without cells, cells that do not exist and are read.
    """
    made = MadeCells(pipeline)
    problems += made.problems()
    if problems:
        return pipeline
    expansion = _Expansion(pipeline, made.of_nodes(), problems)
    nodes = {spec.id: spec for declared in pipeline.nodes.values() for spec in expansion.cells_of(declared)}
    return replace(pipeline, nodes=nodes, outputs=dict(expansion.shown(nodes)))


class _Expansion:
    """Makes the cells of the nodes of one pipeline."""

    def __init__(self, pipeline: Pipeline, cells: Mapping[str, Cells], problems: list[Problem]) -> None:
        self.pipeline, self.cells, self.problems = pipeline, cells, problems
        self.known = {name: indices(axis) for name, axis in pipeline.axes.items()}

    def cells_of(self, spec: NodeSpec) -> Iterator[NodeSpec]:
        """Yield the cells of a node, or the node itself if it has no axes."""
        mine = self.cells[spec.id]
        path: Keys = ("nodes", spec.id, "matrix")
        if not mine.ids:
            self.problems.append(
                Problem(path, f"'{ellipsize(spec.id)}' has no cells", "'exclude' leaves out all of them")
            )
        elif len(longest := max(mine.ids.values(), key=len)) > MAX_ID:
            what = f"the id of a cell has {len(longest)} characters, and at most {MAX_ID}: '{ellipsize(longest)}'"
            self.problems.append(Problem(path, what, "give the values shorter ids: {id: a, …}"))
        self.report_ambiguous(spec, mine)
        reads = [self.reads(spec, item) for item in spec.opened]
        needs = [self.needed(mine, need) for need in spec.needs]
        if not spec.axes and all(read is None for read in reads) and not any(needs):
            yield spec
            return
        own = [(name, mine.has.index(name), self.pipeline.axes[name].keys) for name in spec.axes]
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
                cell={name: keys[cell[i]] for name, i, keys in own} if spec.axes else NOTHING,
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
        # That cell exists: it has no axis that the reader lacks, and `exclude` takes cells of all nodes.
        name, others = item.alternative.name, self.cells[item.alternative.node]
        at, instead = picked(mine.has, others.axes), others.by_own()

        def with_alternative(cell: Cell) -> Input | None:
            found, other = find(cell), OutputId(instead[at(cell)], name)
            if found is None:  # `where` names a cell that does not exist
                return replace(item, output=other, alternative=None, gather=None, where=NOTHING)
            return replace(found, alternative=other)

        return with_alternative

    def matched(self, mine: Cells, theirs: Cells, item: Input) -> _Reads:
        """Return the function from a cell to the input that reads the one cell that agrees with it."""
        pinned = {name: self.index(name, value) for name, value in item.where.items()}
        at = picked(mine.has, [name for name in theirs.axes if name not in pinned])
        name, ids = item.output.name, theirs.by_own()
        made: dict[Cell, Input | None] = {}

        def find(cell: Cell) -> Input | None:
            values = at(cell)
            if values not in made:
                left = iter(values)
                id = ids.get(tuple([pinned[axis] if axis in pinned else next(left) for axis in theirs.axes]))
                found = id and replace(item, output=OutputId(id, name), where=NOTHING, alternative=None)
                made[values] = found or None
            return made[values]

        return find

    def gathered(self, mine: Cells, theirs: Cells, item: Input) -> _Reads:
        """Return the function from a cell to the input that gathers all cells that agree with it."""
        assert item.gather
        form, name = item.gather, item.output.name
        allowed = {
            axis: {self.index(axis, each) for each in (value if isinstance(value, list) else [value])}
            for axis, value in item.where.items()
        }
        axes = [self.pipeline.axes[axis] for axis in form.axes]
        columns = {axis: column_type(self.pipeline.axes[axis].keys) for axis in form.columns}
        at, grouped = agreeing(mine, theirs, item.where)
        on_axes, on_allowed = picked(theirs.has, form.axes), picked(theirs.has, [*allowed])
        inputs: dict[Cell, Input] = {}
        for values, cells in grouped.items():
            found = {
                OutputId(theirs.ids[cell], name): tuple(
                    [axis.keys[i] for axis, i in zip(axes, on_axes(cell), strict=True)]
                )
                for cell in cells
                if all(i in of for i, of in zip(on_allowed(cell), allowed.values(), strict=True))
            }
            if found:
                gather = Gather(form.form, form.axes, found, columns)
                inputs[values] = replace(item, alternative=None, gather=gather, where=NOTHING)
        return lambda cell: inputs.get(at(cell))

    def needed(self, mine: Cells, need: str) -> Callable[[Cell], Sequence[str]] | None:
        """Return the function from a cell to the cells of `need` that it waits for, None if that has no axes."""
        theirs = self.cells[need]
        if not theirs.axes:
            return None
        at, grouped = agreeing(mine, theirs)
        waited = {values: [theirs.ids[cell] for cell in cells] for values, cells in grouped.items()}
        return lambda cell: waited.get(at(cell), ())

    def index(self, axis: str, value: object) -> int:
        """Return the index of a value that `where` names, -1 if the axis does not have it."""
        return self.known[axis].get(text_of(key_of(value)), -1)

    def report_ambiguous(self, spec: NodeSpec, mine: Cells) -> None:
        """Report an id that is both a cell and an output of another cell: people could not name the output."""
        ids = dict.fromkeys(mine.ids.values()) if spec.axes and spec.outputs else {}
        for i, name in enumerate(spec.outputs):
            if twin := next((id for id in ids if f"{id}.{name}" in ids), None):
                what = f"'{ellipsize(twin)}.{name}' is a cell, and the output '{name}' of another one"
                hint = "rename the output, or give the value an id"
                self.problems.append(Problem(("nodes", spec.id, "outputs", i), what, hint))

    def report_absent(self, spec: NodeSpec, inputs: Sequence[Input | None], id: str) -> None:
        """Report what a cell reads of cells that do not exist, unless it is optional."""
        for item, found in zip(spec.inputs, inputs, strict=True):
            if found is None and not item.optional and len(self.problems) < _MAX_TOLD:
                what = f"there is no cell of '{ellipsize(item.output.node)}' that '{ellipsize(id)}' could read"
                self.problems.append(Problem(("nodes", spec.id, "inputs", item.name), what, "exclude this cell, too"))

    def shown(self, nodes: Mapping[str, NodeSpec]) -> Iterator[tuple[str, OutputId]]:
        """Yield the names that the run shows, each with its output: those of the file, or all that no node reads."""
        if not self.pipeline.names_outputs:
            yield from unread_outputs(nodes).items()
            return
        for name, output in self.pipeline.outputs.items():
            for id in self.cells[output.node].ids.values():
                yield name + id[len(output.node) :], OutputId(id, output.name)


class MatrixNames:
    """Has what expressions of cells see as `matrix`."""

    def __init__(self, axes: Mapping[str, Axis]) -> None:
        self._axes = axes
        self._known = {name: indices(axis) for name, axis in axes.items()}

    def of(self, spec: NodeSpec) -> Mapping[str, Any]:
        """Return the values of a cell on the axes of its node and on those that follow from them."""
        at = {name: self._known[name][text_of(key)] for name, key in spec.cell.items()}
        has = with_followers(self._axes, spec.axes)
        return {name: self._axes[name].values[i] for name, i in zip(has, _cell(self._axes, has, at), strict=True)}


@frozen
class Cells:
    """The cells of a node: `axes` are those of the node, `has` also has those that follow from them.

    `ids` has the id of each cell by the indices of its values on all that it `has`, in cell order, the last axis
    varying fastest. A node without axes has one, `()`.
    """

    axes: tuple[str, ...]
    has: tuple[str, ...]
    ids: Mapping[Cell, str]

    def by_own(self) -> dict[Cell, str]:
        """Return the ids by the indices on the axes of the node alone."""
        own = picked(self.has, self.axes)
        return {own(cell): id for cell, id in self.ids.items()}


def agreeing(
    mine: Cells, theirs: Cells, but: Iterable[str] = ()
) -> tuple[Callable[[Cell], Cell], dict[Cell, list[Cell]]]:
    """Return the function from my cells to the values on the axes that both have, and their cells by these values."""
    shared = [axis for axis in theirs.has if axis in mine.has and axis not in but]
    on_shared, grouped = picked(theirs.has, shared), dict[Cell, list[Cell]]()
    for cell in theirs.ids:
        grouped.setdefault(on_shared(cell), []).append(cell)
    return picked(mine.has, shared), grouped


def picked(has: Sequence[str], on: Sequence[str]) -> Callable[[Cell], Cell]:
    """Return the function from a cell to the indices of its values on some of the axes that it has."""
    places = [has.index(name) for name in on]
    return lambda cell: tuple([cell[i] for i in places])


def _cell(axes: Mapping[str, Axis], has: Sequence[str], at: dict[str, int]) -> Cell:
    """Return the indices on all axes that a cell `has`: those `at` which it is, and what follows from them.

    An axis without known values has one.
    """
    for name in has:  # an axis stands below the one that it follows
        if name not in at:
            follows = axes[name].follows
            at[name] = follows[at[axes[name].of]] if follows else 0
    return tuple([at[name] for name in has])


class MadeCells:
    """The cells that nodes with the same axes have: at most MAX_CELLS, and one more if there are more.

    `lengths` are those of the axes, less the values that `exclude` names alone.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline, self.axes = pipeline, pipeline.axes
        self.excluded: dict[tuple[str, ...], set[Cell]] = {}  # the combinations of indices, by axes
        known = {name: indices(axis) for name, axis in self.axes.items()} if pipeline.excluded else {}
        for entry in pipeline.excluded:
            axes = tuple([name for name in self.axes if name in entry])
            cell = [known[name].get(text_of(key_of(entry[name]))) for name in axes]
            if None not in cell:  # otherwise no cell has these values
                self.excluded.setdefault(axes, set()).add(tuple([index for index in cell if index is not None]))
        alone = {on[0]: len(cells) for on, cells in self.excluded.items() if len(on) == 1}
        self.lengths = {name: len(axis.values or "?") - alone.get(name, 0) for name, axis in self.axes.items()}
        self.has: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.made: dict[tuple[str, ...], list[tuple[Cell, str]]] = {}  # with what is behind the name in the id
        for own in dict.fromkeys(spec.axes for spec in pipeline.nodes.values()):
            self.has[own] = with_followers(self.axes, own)
            self.made[own] = [*islice(self._cells(own), MAX_CELLS + 1)]

    def of_nodes(self) -> dict[str, Cells]:
        """Return the cells of each node, without those that are excluded."""
        return {
            name: Cells(spec.axes, self.has[spec.axes], {cell: name + end for cell, end in self.made[spec.axes]})
            for name, spec in self.pipeline.nodes.items()
        }

    def text(self, own: Sequence[str]) -> str:
        """Return axes with their lengths, as in `model 3 x fold 5`."""
        return " x ".join(f"{axis} {self.lengths[axis]:,}" for axis in own)

    def problems(self) -> Iterator[Problem]:
        """Yield a problem for each node with too many cells, or else for what is too much in all."""
        nodes = self.pipeline.nodes
        counts = {name: len(self.made[spec.axes]) for name, spec in nodes.items()}
        for name, count in counts.items():
            if count > MAX_CELLS:
                what = f"'{name}' has more than {MAX_CELLS:,} cells ({self.text(nodes[name].axes)})"
                yield Problem(("nodes", name, "matrix"), what)
        if max(counts.values()) > MAX_CELLS:
            return
        largest = max(counts, key=counts.__getitem__)
        if (total := sum(counts.values())) > MAX_NODES and nodes[largest].axes:
            what = f"the pipeline has {total:,} nodes, and at most {MAX_NODES:,}"
            has_most = f"'{largest}' has {counts[largest]:,} ({self.text(nodes[largest].axes)})"
            yield Problem(("nodes", largest, "matrix"), f"{what}: {has_most}")
        for name, spec in nodes.items():
            seen = self.has[spec.axes]
            read = {item.output.node: [*item.where, *seen] for item in spec.inputs if item.gather}
            for other, fixed in {**dict.fromkeys(spec.needs, seen), **read}.items():
                each = prod([self.lengths[axis] for axis in nodes[other].axes if axis not in fixed])
                if counts[name] * each > MAX_READS:
                    what = f"{counts[name]:,} cells of '{name}' wait for {each:,} cells of '{other}' each"
                    hint = f"let one node gather them, and read that: '{name}' has other axes than '{other}'"
                    yield Problem(("nodes", name, "matrix"), f"{what}, and at most {MAX_READS:,} in all", hint)

    def _cells(self, own: tuple[str, ...]) -> Iterator[tuple[Cell, str]]:
        """Yield the cells of a node with these axes without those that are excluded, each with the end of its id."""
        has = self.has[own]
        rules = [(picked(has, on), without) for on, without in self.excluded.items() if {*has}.issuperset(on)]
        values = [[*enumerate(self.axes[name].ids or "?")] for name in own]
        for axis, name in enumerate(own):  # of long axes, a few values may be left
            values[axis] = [value for value in values[axis] if value[:1] not in self.excluded.get((name,), ())]
        for ids in product(*values):
            cell = _cell(self.axes, has, {name: i for name, (i, _) in zip(own, ids, strict=True)})
            if not any(at(cell) in without for at, without in rules):
                yield cell, "".join([f"@{id}" for _, id in ids])
