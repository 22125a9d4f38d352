"""What commands print: reads it as a terminal shows it, and compares it with what a page shows."""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import os
import pty
import re
import select
import struct
import termios
from collections.abc import Iterator
from itertools import groupby

_SCREEN = re.compile(r"\x1b\[(\d+)A|(\x1b\[0?J)|(\r*\n)|\x1b\[[\d;?]*[a-zA-Z]|\r|([^\x1b\r\n]+)")
_VARIES = (
    (r"/home/you/[^/\s]+", "HERE"),
    (r"(today |yesterday |\d{4}-\d\d-\d\d[ T])\d\d:\d\d(:\d\d)?\b", "WHEN"),
    (r"\b\d+-\d{8}-\d{6}\b", "ID"),
    (r"\b[\d.]+ ?(us|ms|s|min|h)\b(?! ago)", "TIME"),
    (r"[+-](?=TIME)", ""),
    (r"\b\d+\.\d+x", "TIMES"),
    (r"(?<=host  ) *\S+", "HOST"),
    (r"(?<=versions  ).*", "VERSIONS"),
    # These are there only if nodes worked for a second, or waited for one another.
    (r"^(sequential|waited for Python's lock) .*", ""),
    (r"[─—-]{3,}", "---"),
    (r"[ \t]+", " "),
)


@contextlib.contextmanager
def open_output(on_terminal: bool) -> Iterator[tuple[int, int]]:
    """A terminal, or a pipe: what a process writes to, and what it is read from. The first is for others to close."""
    if on_terminal:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 100, 0, 0))
    else:
        ours, theirs = os.pipe()
    try:
        yield theirs, ours
    finally:
        os.close(ours)


def read_output(source: int, pid: int) -> str:
    """Read until a process has ended. Returns what a terminal shows in the end, without live views."""
    read = b""
    try:
        ended = os.pidfd_open(pid)
    except ProcessLookupError:
        ended = os.open(os.devnull, os.O_RDONLY)  # can be read from at once, as that of a process that has ended
    with contextlib.suppress(OSError):  # of a terminal that no process has open any more
        while source in select.select([source, ended], (), ())[0] and (part := os.read(source, 1 << 16)):
            read += part
    os.close(ended)
    lines, row = [""], 0
    for up, erase, newline, text in _SCREEN.findall(read.decode("utf-8", "replace")):
        if up:
            row -= int(up)
        elif erase:
            lines[row:] = [""]
        elif newline:
            row += 1
            lines += [""] * (row == len(lines))
        else:
            lines[row] += text
    return "\n".join(lines)


def difference_of(expected: str, shown: str) -> str:
    """Return what differs between what a page shows and what a command has printed, "" if nothing does."""
    wanted, found = comparable(expected), comparable(shown)
    if any(line.count("TIME") > 1 for line in wanted):  # which other nodes became slower is left to chance, too
        found = [line for line in found if line.count("TIME") < 2 or line in wanted]
    pattern = "".join(r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + r"\n" for line in wanted)
    if re.fullmatch(pattern, "".join(f"{line}\n" for line in found)):
        return ""
    return "\n".join(difflib.ndiff(wanted, found))


def comparable(text: str) -> list[str]:
    """Return the lines of an output with names in place of what differs from run to run, such as times.

    Nodes that run at once end in any order, and which take longer is left to chance: lines that follow each other are
    sorted if they begin with a tick, or have several times.
    """
    for pattern, name in _VARIES:
        text = re.sub(pattern, name, text, flags=re.MULTILINE)
    lines = [_order(line.strip()) for line in text.splitlines() if line.strip()]
    return [line for key, run in groupby(lines, key=lambda each: each[0]) for line in _in_order(key, run)]


def _order(line: str) -> tuple[str, str]:
    """What kind of lines a line may change places with, "" for none, and the line."""
    if line.count("TIME") > 1:  # nodes in order of their times, and stages, of which also the parallelism varies
        return "times", re.sub(r"\b\d+\.\d+\b", "N", line)
    return ("tick" if line.startswith(("✓", "✗")) else ""), line


def _in_order(key: str, run: Iterator[tuple[str, str]]) -> list[str]:
    lines = [line for _, line in run]
    return sorted(lines) if key else lines
