"""Reads what the journal of a run says about its nodes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nfrun.core.errors import NotRecorded
from nfrun.core.text import closest_match, ellipsize, shortened
from nfrun.history.database import read_journal
from nfrun.history.journal import FinishedOutput, RecordedNode, reader_digest
from nfrun.lookback.run_reference import KILLED, RUNNING, ListedRun
from nfrun.reports.format_units import format_count

_RANKS = {"failed": 0, "ok": 1, "cancelled": 2, "skipped": 3, "reused": 4}
_MAX_LISTED = 6
_REFERENCE = re.compile(r"[0-9][0-9-]*|last(-ok)?(~[0-9]+)?")  # looks like a run, and not like a node
_INPUT = "input "  # begins the names of key inputs that are inputs of the node


def read_nodes(run: ListedRun) -> list[RecordedNode]:
    """Return all nodes of a run: the failed, those that ran, the cancelled, the skipped, the reused.

    Each of these is in the order in which they started, or else in that of the journal.
    """
    nodes = read_journal(run.folder).ends.values()
    return sorted(nodes, key=lambda node: (_RANKS.get(node.status, 9), node.started or 0.0))


def cells_of(nodes: Iterable[RecordedNode], of: str) -> list[RecordedNode]:
    """Return the cells of a matrix by status, and by their values; none if there is no such matrix."""
    cells = [node for node in nodes if node.of == of]
    return sorted(cells, key=lambda node: (_RANKS.get(node.status, 9), [*map(_sort_key, node.cell.values())]))


def _sort_key(value: Any) -> tuple[bool, float, str]:
    is_text = isinstance(value, str)
    return is_text, 0.0 if is_text else float(value), str(value)


def node_of(run: ListedRun, nodes: Sequence[RecordedNode], name: str) -> RecordedNode:
    """Return one of the nodes of a run. Raises NotRecorded if there is none of this name."""
    found = next((node for node in nodes if node.node == name), None)
    if found is None:
        raise NotRecorded(_no_such_node(run, nodes, name))
    return found


def why(node: RecordedNode) -> str:
    """Return why a node ran, or why it did not."""
    if node.status == "skipped":
        return f"an input is absent because of '{node.because}'" if node.tolerated else f"'{node.because}' failed"
    return node.because or node.reason


def inputs_of(nodes: Iterable[RecordedNode], node: RecordedNode) -> Iterator[tuple[str, FinishedOutput | None]]:
    """Yield the inputs of a node: the name, and the output of this run that it read, None if it is not in the journal.

    The journal has their content by digests. Of outputs with the same content, one that is called as the input.
    """
    digests = {part[len(_INPUT) :]: value for part, value in node.key_inputs.items() if part.startswith(_INPUT)}
    made: dict[str, list[FinishedOutput]] = {}
    for output in (output for other in nodes for output in other.outputs):
        made.setdefault(reader_digest(output), []).append(output)
    for name, digest in digests.items():
        same = made.get(digest, [])
        named = [output for output in same if name in (output.id, output.id.node, output.id.name)]
        yield name, next(iter(named or same), None)


def _no_such_node(run: ListedRun, nodes: Sequence[RecordedNode], node: str) -> str:
    if which := which_cell(node, {found.node: found.of for found in nodes}):
        return which
    names = [found.node for found in nodes] + [*dict.fromkeys(found.of for found in nodes if found.of)]
    hint = f"did you mean --run {node}?" if _REFERENCE.fullmatch(node) else hint_of(node, sorted(names))
    what = f"the node '{ellipsize(node)}'"
    if run.status == KILLED:
        return f"{what} had not ended when run {run.number} was killed: it was under way, or had not begun ({hint})"
    return f"{what}{' has not ended' if run.status == RUNNING else ' is not recorded'} in run {run.number}: {hint}"


def which_cell(name: str, matrices: Mapping[str, str]) -> str:
    """Return the message for the name of a matrix or of a sub-pipeline where one node must be named, "" for others.

    `matrices` has the matrix of each node, "" for none.
    """
    cells = [cell for cell, of in matrices.items() if of and of == name]
    if cells:
        return f"'{name}' has {format_count(len(cells), 'cell')}: say which, such as '{cells[0]}'"
    inside = [node for node, of in matrices.items() if any(text.startswith(f"{name}/") for text in (node, of))]
    # The last one to end is mostly the one that others read.
    return f"'{name}' has {format_count(len(inside), 'node')}: say which, such as '{inside[-1]}'" if inside else ""


def hint_of(name: str, names: Iterable[str], has: str = "its nodes are") -> str:
    """Return the name that is probably meant, or else which there are."""
    known = list(names)
    close = closest_match(name, known)
    return f"did you mean '{close}'?" if close else f"{has} {shortened(known, _MAX_LISTED) or 'none'}"
