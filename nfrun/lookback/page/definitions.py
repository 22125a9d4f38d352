"""Shows how a pipeline file defined a node when it ran, from the text that the run has kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nfrun.core.text import escape_controls
from nfrun.history.run_plan import PlannedNode, RunPlan, definition_lines

_MOST_LINES, _LONGEST_LINE = 60, 300
_BEFORE, _AFTER = 1, 4  # lines beside the one with the node of an error


class Definitions:
    """The definitions of the nodes of a run, as they were."""

    def __init__(self, plan: RunPlan) -> None:
        self._lines: Mapping[str, list[str]] = {file: text.split("\n") for file, text in plan.texts.items()}

    def of(self, node: PlannedNode, *, is_brief: bool) -> dict[str, Any]:
        """Return the place of a node and, unless it is to be brief, its text in the pipeline file."""
        found: dict[str, Any] = {"place": place_of(node)}
        if not is_brief and (lines := self._text(node)):
            found["yaml"] = "\n".join(lines)
        return found

    def around(self, node: PlannedNode) -> list[list[Any]]:
        """Return the line of a node in the pipeline file with those beside it, each with its number."""
        lines = self._lines.get(node.file, [])
        if not self._text(node):
            return []
        first, last = max(1, node.line - _BEFORE), min(len(lines), node.line + _AFTER)
        return [[number, lines[number - 1][:_LONGEST_LINE]] for number in range(first, last + 1)]

    def _text(self, node: PlannedNode) -> list[str]:
        """Return the lines of a node; none if the text does not have it there, as when the file was being changed."""
        lines = self._lines.get(node.file, [])
        found = [lines[index] for index in definition_lines(lines, node.line)]
        if not any(_name_in_file(node) in line for line in found):
            return []
        indent = len(found[0]) - len(found[0].lstrip(" "))
        cut = [line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…" for line in found[:_MOST_LINES]]
        return [line[indent:] for line in cut] + (["…"] if len(found) > _MOST_LINES else [])


def place_of(node: PlannedNode) -> str:
    """Return the place of a node: the pipeline file, and the line."""
    return f"{escape_controls(node.file)}:{node.line}"


def _name_in_file(node: PlannedNode) -> str:
    """Return the name under which the file has a node: for a cell, that of its matrix."""
    return (node.of or node.id).rpartition("/")[2]
