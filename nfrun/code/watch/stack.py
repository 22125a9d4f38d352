"""Reads from the stack whose code opened a file: that of a node, of a library, or nfrun's own."""

from __future__ import annotations

import os
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import nfrun
from nfrun.code.module_finder import is_installed

_NFRUN = os.path.dirname(nfrun.__file__)
# Where nfrun calls the code of a node. Everything else on the stack of such a call counts as the node's.
_CALLERS = frozenset(
    os.path.join(_NFRUN, name)
    for name in (
        *("nodes/python.py", "nodes/user_function.py", "nodes/instances.py", "nodes/use.py"),
        "engine/executors/threads.py",
    )
)
_LIBRARY, _PROJECT, _CALLER, _OURS = range(4)
_CODE = (".py", ".pyc", ".pyi", ".so", ".pth")
_SOURCE_READERS = ("linecache.py", "tokenize.py")  # which tracebacks and warnings use


class CodeLine(NamedTuple):
    """A line of the project's code that was running: the first line of a function, or that of an import."""

    file: str
    line: int


class Caller(NamedTuple):
    """Whose code opened a file.

    `lines` are the project's functions on the stack, the innermost first. `imported`: the last of them is the line of
    a module that was being imported. Both are empty where only a library ran.
    """

    lines: tuple[CodeLine, ...]
    imported: bool = False


class Stacks:
    """Reads stacks. `folder` is that of the pipeline."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kinds: dict[str, int] = {}  # by file

    def is_ours(self, frame: FrameType) -> bool:
        """Return whether the function that is running in the frame is nfrun's own."""
        return self._kind_of(frame.f_code.co_filename) == _OURS

    def caller(self, frame: FrameType, path: str | None, *, in_attempt: bool) -> Caller | None:
        """Return whose code is running in `frame`. None if it is nfrun's own, or if Python loads code from `path`.

        None, too, for what nfrun calls outside of attempts, such as a reporter of the program.
        """
        if _loads_code(frame, path):
            return None
        lines: list[CodeLine] = []
        above: FrameType | None = frame
        while above is not None:
            code = above.f_code
            kind = self._kind_of(code.co_filename)
            if kind == _PROJECT:
                imported = code.co_name == "<module>"
                line = CodeLine(code.co_filename, above.f_lineno if imported else code.co_firstlineno)
                if line not in lines:
                    lines.append(line)
                if imported:
                    return Caller(tuple(lines), True)
            elif kind == _OURS and not (lines and in_attempt):
                return None
            elif kind in (_OURS, _CALLER):
                break
            above = above.f_back
        return Caller(tuple(lines))

    def _kind_of(self, file: str) -> int:
        kind = self._kinds.get(file)
        if kind is None:
            is_library = file.startswith("<") or is_installed(Path(os.path.abspath(file)), self._folder)
            kind = _LIBRARY if is_library else _PROJECT
            if file.startswith(f"{_NFRUN}/"):
                kind = _CALLER if file in _CALLERS else _OURS
            self._kinds[file] = kind
        return kind


def _loads_code(frame: FrameType, path: str | None) -> bool:
    """Return whether Python looks for a module or a distribution, or reads source code or bytecode."""
    file = frame.f_code.co_filename
    if file.startswith(("<frozen importlib", "<frozen zipimport")):
        return path is None or path.endswith(_CODE)
    if path is None and file.endswith("/importlib/metadata/__init__.py"):
        return True
    return path is not None and path.endswith(".py") and file.endswith(_SOURCE_READERS)
