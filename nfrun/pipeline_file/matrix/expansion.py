"""Expands the matrix of a pipeline: replaces each node that has axes by its cells.

Nothing behind this knows of axes, except by `NodeSpec.of` and `cell` and `Input.gather`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import prod
from typing import Any

from nfrun.core.errors import Diagnostic, SpecError
from nfrun.core.pipeline import NOTHING, Axis, Gather, Input, NodeSpec, OutputId, Pipeline, column_type
from nfrun.core.text import ellipsize
from nfrun.core.values import frozen, replace
from nfrun.pipeline_file.conditions import unread_outputs
from nfrun.pipeline_file.matrix.axes import with_followers
from nfrun.pipeline_file.matrix.axis_values import MAX_ID, MAX_NODES, indices, key_of, text_of
from nfrun.pipeline_file.matrix.values import Names, ValueProblem, find_values
from nfrun.pipeline_file.yaml.document import Document, Keys

MAX_CELLS = 10_000  # of a node
MAX_READS = 2_000_000  # from the cells of one node to those of another

Cell = tuple[int, ...]  # the index of the cell's value on each of its axes
_Excluded = Mapping[tuple[str, ...], set[Cell]]  # the combinations of indices on these axes
Problems = list[tuple[Keys, str, str]]  # each with its path in the document, the message, the hint
_MAX_TOLD = 10
_Reads = Callable[[Cell], "Input | None"]  # from a cell to one of its inputs


def expand_matrix(pipeline: Pipeline, document: Document, names: Names, *, files_may_lack: bool = False) -> Pipeline:
    """Return the pipeline with a node for each cell. `names` are those that expressions see. Raises SpecError.

    If `files_may_lack` and an axis has no values for that, nothing runs but what fails for it, and what tells of that.
    """
    if not pipeline.axes:
        return pipeline
    axes, wrong = find_values(pipeline, seen_by_graph(names))
    if wrong and files_may_lack and all(problem.missing for problem in wrong):
        # A node in place of all, for each axis: it reads the missing file, and so it fails.
        fields: dict[str, Any] = {"inputs": (), "with_": {"format": "csv"}, "outputs": (), "needs": (), "env": {}}
        found = {f"matrix/{one.path[-2]}": (one.missing, document.span(*one.path)) for one in wrong}
        nodes = {id: NodeSpec(id, "read", file, **fields, source=source) for id, (file, source) in found.items()}
        return replace(pipeline, axes={}, nodes=nodes, outputs={}, included={}, names_outputs=False)
    if wrong:
        raise SpecError([diagnostic_of(problem, document) for problem in wrong])
    problems: Problems = []
    expanded = expand(replace(pipeline, axes=axes), problems)
    if problems:
        raise SpecError([Diagnostic(document.span(*path), what, hint) for path, what, hint in problems])
    return expanded


def seen_by_graph(names: Names) -> Names:
    """Return the names that the graph may depend on: the id and the date of the run are not among them."""
    hidden = (("run", "id"), ("run", "date"))
    return {name: {key: of[key] for key in of if (name, key) not in hidden} for name, of in names.items()}


def diagnostic_of(problem: ValueProblem, document: Document) -> Diagnostic:
    """Return the diagnostic for an axis whose values are not known."""
    place = document.place(problem.path, start=problem.start, length=problem.length)
    return Diagnostic(place, problem.message, problem.hint)


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


@frozen
class Cells:
    """The cells of a node: `axes` are those of the node, `has` also has those that follow from them.

    `ids` has the id of each cell by the indices of its values, in cell order. A node without axes has one, `()`.
    """

    axes: tuple[str, ...]
    has: tuple[str, ...]
    ids: Mapping[Cell, str]


def count_problems(pipeline: Pipeline) -> Iterator[tuple[Keys, str, str]]:
    """Yield path, message and hint for each node with too many cells, or else for what is too much in all.

    This takes little time and memory, however many cells there would be.
    """
    excluded = _combinations(pipeline)
    counts, lengths = count_cells(pipeline)
    for name, count in counts.items():
        if count > MAX_CELLS:
            own = pipeline.nodes[name].axes
            cells = f"{prod([lengths[axis] for axis in own]):,} cells ({product_text(own, lengths)})"
            less = " less those excluded" if _applying(pipeline.axes, own, excluded) else ""
            yield ("nodes", name, "matrix"), f"{name}: {cells}{less}, and at most {MAX_CELLS:,}", ""
    if max(counts.values()) > MAX_CELLS:
        return
    largest = max(counts, key=counts.__getitem__)
    if (total := sum(counts.values())) > MAX_NODES and pipeline.nodes[largest].axes:
        product = product_text(pipeline.nodes[largest].axes, lengths)
        what = f"the pipeline has {total:,} nodes, and at most {MAX_NODES:,}"
        yield ("nodes", largest, "matrix"), f"{what}: '{largest}' has {counts[largest]:,} ({product})", ""
    for name, spec in pipeline.nodes.items():
        has = with_followers(pipeline.axes, spec.axes)
        read = {item.output.node: [*item.where, *has] for item in spec.inputs if item.gather}
        for other, fixed in {**dict.fromkeys(spec.needs, has), **read}.items():
            each = prod([lengths[axis] for axis in pipeline.nodes[other].axes if axis not in fixed])
            if counts[name] * each > MAX_READS:
                what = f"{counts[name]:,} cells of '{name}' wait for {each:,} cells of '{other}' each"
                hint = f"let one node gather them, and read that: '{name}' has other axes than '{other}'"
                yield ("nodes", name, "matrix"), f"{what}, and at most {MAX_READS:,} in all", hint


def count_cells(pipeline: Pipeline) -> tuple[dict[str, int], dict[str, int]]:
    """Return how many cells each node has, and how many values each axis. An axis without known values has one.

    Of a node with too many cells the number is above the limit, but may not be theirs.
    """
    excluded = _combinations(pipeline)
    alone = {on[0]: cells for on, cells in excluded.items() if len(on) == 1}
    lengths = {name: len(axis.values or "?") - len(alone.get(name, ())) for name, axis in pipeline.axes.items()}
    counted: dict[tuple[str, ...], int] = {}
    for own in {spec.axes for spec in pipeline.nodes.values()}:
        counted[own] = prod([lengths[name] for name in own])
        if counted[own] > MAX_CELLS and _applying(pipeline.axes, own, excluded):
            counted[own] = sum(1 for _ in islice(_cells(pipeline.axes, own, excluded), MAX_CELLS + 1))
    return {name: counted[spec.axes] for name, spec in pipeline.nodes.items()}, lengths


def product_text(own: Sequence[str], lengths: Mapping[str, int]) -> str:
    """Return axes with their lengths, as in `model 3 x fold 5`."""
    return " x ".join(f"{axis} {lengths[axis]:,}" for axis in own)


def _combinations(pipeline: Pipeline) -> _Excluded:
    """Return the excluded combinations of indices of values, by the axes that their entries name."""
    known = {name: indices(axis) for name, axis in pipeline.axes.items()} if pipeline.excluded else {}
    found: dict[tuple[str, ...], set[Cell]] = {}
    for entry in pipeline.excluded:
        axes = tuple([name for name in pipeline.axes if name in entry])
        cell = [known[name].get(text_of(key_of(entry[name]))) for name in axes]
        if None not in cell:  # otherwise no cell has these values
            found.setdefault(axes, set()).add(tuple([index for index in cell if index is not None]))
    return found


def _applying(axes: Mapping[str, Axis], own: tuple[str, ...], excluded: _Excluded) -> bool:
    """Whether combinations are excluded that a node with these axes may have, beside single values of these axes."""
    has = set(with_followers(axes, own))
    return any(has.issuperset(on) and not (len(on) == 1 and on[0] in own) for on in excluded)


def cells_of(pipeline: Pipeline) -> dict[str, Cells]:
    """Return the cells of each node, without those that are excluded. The last axis varies fastest."""
    excluded = _combinations(pipeline)
    cells: dict[tuple[str, ...], list[tuple[Cell, str]]] = {}  # with what is behind the name of the node in the id
    found: dict[str, Cells] = {}
    for name, spec in pipeline.nodes.items():
        if spec.axes not in cells:
            cells[spec.axes] = list(_cells(pipeline.axes, spec.axes, excluded))
        has = with_followers(pipeline.axes, spec.axes)
        found[name] = Cells(spec.axes, has, {cell: name + suffix for cell, suffix in cells[spec.axes]})
    return found


def _cells(axes: Mapping[str, Axis], own: tuple[str, ...], excluded: _Excluded) -> Iterator[tuple[Cell, str]]:
    """Yield the cells that a node with these axes has, each with the end of its id."""
    cells: Iterator[tuple[Cell, str]] = iter([((), "")])
    rules = dict(excluded)
    for i, name in enumerate(own):
        has = set(with_followers(axes, own[: i + 1]))
        known = [on for on in rules if has.issuperset(on)]  # on these axes, the values are known from here on
        cells = _with_axis(cells, axes[name].ids, [(projection(axes, own[: i + 1], on), rules.pop(on)) for on in known])
    return cells


def _with_axis(
    cells: Iterator[tuple[Cell, str]], ids: Sequence[str], rules: Sequence[tuple[Callable[[Cell], Cell], set[Cell]]]
) -> Iterator[tuple[Cell, str]]:
    """Yield the cells with each value of one more axis, without those that are excluded."""
    for cell, text in cells:
        for i, id in enumerate(ids):
            longer = (*cell, i)
            if not any(project(longer) in without for project, without in rules):
                yield longer, f"{text}@{id}"


def projection(axes: Mapping[str, Axis], own: Sequence[str], on: Iterable[str]) -> Callable[[Cell], Cell]:
    """Return the function from a cell on the axes `own` to the indices of its values on the axes `on`.

    Each of `on` must be one of `own` or follow from one.
    """
    steps = [_step(axes, own, name) for name in on]
    if all(table is None for _, table in steps):
        positions = [position for position, _ in steps]
        if positions == list(range(len(own))):
            return lambda cell: cell
        return lambda cell: tuple([cell[i] for i in positions])
    return lambda cell: tuple([cell[i] if table is None else table[cell[i]] for i, table in steps])


def _step(axes: Mapping[str, Axis], own: Sequence[str], name: str) -> tuple[int, tuple[int, ...] | None]:
    """Return the position of the axis of `own` that decides the value on an axis, and the indices of those values."""
    if name in own:
        return own.index(name), None
    position, table = _step(axes, own, axes[name].of)
    follows = axes[name].follows
    return position, follows if table is None else tuple([follows[index] for index in table])
