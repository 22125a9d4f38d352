"""Turns what nodes print into lines that are logged under their name. Knows no reports."""

from __future__ import annotations

import io
import threading
from typing import TextIO

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
        self._lock = threading.Lock()
        self._begun: dict[str, str] = {}

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        node = current_node.get()
        if not node:
            return self._beside.write(text)
        with self._lock:
            *lines, rest = (self._begun.pop(node, "") + text).split("\n")
            while len(rest) > _MOST:
                lines.append(rest[:_MOST])
                rest = rest[_MOST:]
            if rest:
                self._begun[node] = rest
        for line in lines:
            self._say(node, line)
        return len(text)

    def flush(self) -> None:
        if not current_node.get():
            self._beside.flush()

    def finish(self) -> None:
        """Log the lines that never ended."""
        with self._lock:
            begun, self._begun = self._begun, {}
        for node, line in begun.items():
            self._say(node, line)

    def _say(self, node: str, line: str) -> None:
        # Progress bars draw over themselves; only what stays visible is kept.
        self._log(node, self._level, line.rstrip("\r").rpartition("\r")[2])
