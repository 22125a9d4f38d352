"""Folds the cells of a matrix for people: their names in a list, and what they have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nfrun.core.text import shortened
from nfrun.reports.run_record import RunRecord


def folded(names: Iterable[str], cells: Mapping[str, str]) -> list[str]:
    """Return the names, with those of several cells of a matrix as one: `fit (8)`. `cells` has the matrix of each."""
    if not cells:
        return list(names)
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(cells.get(name, name), []).append(name)
    return [group[0] if len(group) == 1 else f"{of} ({len(group):,})" for of, group in groups.items()]


def shortened_cells(names: Iterable[str], cells: Mapping[str, str], most: int) -> str:
    """Return a list of nodes as `shortened` does, with the cells of a matrix as one."""
    return shortened(folded(names, cells), most)


def alike_failures(failed: Sequence[str], record: RunRecord) -> list[list[str]]:
    """Return failed nodes in groups: the cells of a matrix with one error, and each other node."""
    groups: dict[object, list[str]] = {}
    for name in failed:
        node, of = record.nodes[name], record.cells.get(name)
        frames = [(frame.file, frame.line) for frame in node.failure.frames] if node.failure else []
        error = node.failure.error if node.failure else ""
        groups.setdefault((of, error, *frames, node.tolerated) if of else name, []).append(name)
    return list(groups.values())
