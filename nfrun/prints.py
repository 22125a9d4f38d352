"""Turns what nodes print into lines that are logged under their name. Knows no reports."""

from __future__ import annotations

import io
import threading
from typing import Any, TextIO

from nfrun.errors import escape
from nfrun.work import Log, current_node

_MOST = 16_384  # characters of a line; a longer one is cut into several


class Prints(io.TextIOBase):
    """Stands in for `sys.stdout` or `sys.stderr` while nodes run.

    What a node writes is logged line by line at `level`; what anyone else writes goes to `beside`. Results on stdout
    stay clean that way, and no control byte of a node reaches the terminal.
    """

    def __init__(self, level: str, log: Log, beside: TextIO) -> None:
        self._level = level
        self._log = log
        self._beside = beside
        # Re-entrant: inside `write` the garbage collector may run a `__del__` of the node's that prints.
        self._lock = threading.RLock()
        self._begun: dict[str, str] = {}

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def buffer(self) -> io.RawIOBase:
        """For those who print bytes."""
        return _Bytes(self)

    def reconfigure(self, **options: object) -> None:
        """There is nothing to set; it would be an error to have no such method."""

    def fileno(self) -> int:
        """For child processes: what they print cannot be told apart, and goes where nobody's prints go."""
        return self._beside.fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        node = current_node.get()
        if not node:  # such as a thread that a node started
            return self._beside.write(escape(text))
        with self._lock:
            *lines, rest = (self._begun.pop(node, "") + text).split("\n")
            if rest:
                last = (len(rest) - 1) // _MOST * _MOST
                lines += (rest[start : start + _MOST] for start in range(0, last, _MOST))
                self._begun[node] = rest[last:]
        for line in lines:
            self._say(node, line)
        return len(text)

    def end_line(self, node: str) -> None:
        """Log the line that the node began and never ended."""
        if node not in self._begun:
            return
        with self._lock:
            line = self._begun.pop(node, "")
        if line:
            self._say(node, line)

    def flush(self) -> None:
        if not current_node.get():
            self._beside.flush()

    def close(self) -> None:
        """Does nothing: one node that closes it must not take it from the others."""

    def _say(self, node: str, line: str) -> None:
        line = _visible(line)
        for start in range(0, len(line) or 1, _MOST):
            self._log(node, self._level, line[start : start + _MOST])


class _Bytes(io.RawIOBase):
    def __init__(self, prints: Prints) -> None:
        self._prints = prints

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._prints.write(bytes(data).decode(errors="replace"))
        return len(data)


def _visible(line: str) -> str:
    """What is left of a line on a terminal: progress bars draw over themselves."""
    # Half a character, which no stream takes, as in the name of a file that is not UTF-8.
    line = line.encode(errors="backslashreplace").decode()
    return line.rstrip("\r").rpartition("\r")[2]
