"""The commands that GitHub's runner finds in what a step prints: makes them, and keeps others from being taken for one.

The runner takes a line for a command if it begins with `::name`, after spaces, or has `##[name]` anywhere in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import IO, Any

from nfrun.core.text import escape_controls
from nfrun.core.values import frozen

# What a node may tell the runner: messages, and what to mask. The others would change the environment, the outputs or
# the log of the step, and data that a node prints must not do that.
_OF_NODES = re.compile(r"::(debug|notice|warning|error|add-mask)( [^:]*)?::", re.IGNORECASE)
_LIKE_COMMAND = re.compile(r"((?:^|\r)\s*)::", re.MULTILINE)
_OLD_COMMAND = "##["
_MOST_SHOWN = 10  # annotations of one level that GitHub shows of a step
_MOST_MESSAGE = 4_000  # characters


@frozen
class Annotation:
    """A message of a `level` (error, warning or notice). `file` is relative to the workspace, "" if it is elsewhere."""

    level: str
    title: str
    message: str
    file: str = ""
    line: int = 0
    column: int = 0

    @property
    def command(self) -> str:
        """The line for the runner."""
        message = escape_controls(self.message)
        message = message if len(message) <= _MOST_MESSAGE else f"{message[:_MOST_MESSAGE]}…"
        places = {"file": self.file, "line": self.line, "col": self.column} if self.file else {}
        return command(
            self.level, message, **{name: value for name, value in places.items() if value}, title=self.title
        )


def command(name: str, message: str, **properties: Any) -> str:
    """Return the line of a command."""
    shown = ",".join(f"{key}={_escaped_property(str(value))}" for key, value in properties.items())
    return f"::{name}{' ' if shown else ''}{shown}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped_property(text: str) -> str:
    return _escaped(escape_controls(text)).replace(":", "%3A").replace(",", "%2C")


def annotation_lines(found: Iterable[Annotation]) -> list[str]:
    """Return the lines of annotations: of each level as many as GitHub shows, the last of which counts the others.

    If there are more, each line of a file has one before any has two.
    """
    levels: dict[str, list[Annotation]] = {}
    for annotation in found:
        levels.setdefault(annotation.level, []).append(annotation)
    lines = []
    for level, all_of_level in levels.items():
        shown = all_of_level if len(all_of_level) <= _MOST_SHOWN else _spread(all_of_level)[: _MOST_SHOWN - 1]
        lines += [annotation.command for annotation in shown]
        if more := len(all_of_level) - len(shown):
            lines.append(command(level, f"{more:,} more: the log has all of them, and the summary of the job"))
    return lines


def _spread(found: Iterable[Annotation]) -> list[Annotation]:
    """Return annotations in another order: first one for each line of a file, or each title where there is no file."""
    first: dict[object, Annotation] = {}
    others = []
    for annotation in found:
        place = (annotation.file, annotation.line) if annotation.file else annotation.title
        if first.setdefault(place, annotation) is not annotation:
            others.append(annotation)
    return [*first.values(), *others]


def line_of_node(text: str) -> str:
    """Return a line that a node has printed as the runner may see it: as a command only if nodes may give it."""
    if _OF_NODES.match(text.lstrip()):
        return text.lstrip()
    return harmless(text)


def harmless(text: str) -> str:
    """Return text of which the runner takes no line for a command."""
    return _LIKE_COMMAND.sub(r"\1| ::", text).replace(_OLD_COMMAND, "## [")


class HarmlessStream:
    """A text stream of which the runner takes no line for a command. `as_json`: what is written is a JSON document."""

    def __init__(self, stream: IO[str], *, as_json: bool = False) -> None:
        self._stream = stream
        self._as_json = as_json
        self._begins_line = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text, given in whole lines or in parts of them."""
        if self._as_json:
            shown = text.replace(_OLD_COMMAND, "##\\u005b")  # it can only be in a string
        else:
            shown = harmless(text) if self._begins_line else harmless(f".{text}")[1:]
            self._begins_line = text.endswith("\n") if text else self._begins_line
        return self._stream.write(shown)
