"""Finds which cells the nodes of a pipeline have, and counts them before any is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import prod

from nfrun.core.pipeline import Axis, Pipeline
from nfrun.core.values import frozen
from nfrun.pipeline_file.matrix.axes import with_followers
from nfrun.pipeline_file.matrix.cell_ids import key_of, text_of
from nfrun.pipeline_file.matrix.literal_values import indices
from nfrun.pipeline_file.yaml.document import Keys

MAX_CELLS = 10_000  # of a node
MAX_NODES = 100_000  # of a pipeline
MAX_READS = 2_000_000  # from the cells of one node to those of another

Cell = tuple[int, ...]  # the index of the cell's value on each of its axes
_Excluded = Mapping[tuple[str, ...], set[Cell]]  # the combinations of indices on these axes


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
    counted = {own: _count(pipeline.axes, own, lengths, excluded) for own in {s.axes for s in pipeline.nodes.values()}}
    return {name: counted[spec.axes] for name, spec in pipeline.nodes.items()}, lengths


def _count(axes: Mapping[str, Axis], own: tuple[str, ...], lengths: Mapping[str, int], excluded: _Excluded) -> int:
    """Return how many cells a node with these axes has, or a number above the limit if there are more."""
    most = prod([lengths[name] for name in own])
    if most <= MAX_CELLS or not _applying(axes, own, excluded):
        return most
    return sum(1 for _ in islice(_cells(axes, own, excluded), MAX_CELLS + 1))


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
