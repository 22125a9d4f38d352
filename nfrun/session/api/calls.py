"""Finds the line of a program that calls nfrun."""

from __future__ import annotations

import linecache
import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from nfrun.core.errors import SourceSpan

_OURS = f"{Path(__file__).parent}{os.sep}"


def calling_place() -> SourceSpan:
    """Return the line of the nearest call from outside of the API: of a file, or of a cell such as `Cell In[3]`."""
    frame = _calling_frame()
    if frame is None:
        return SourceSpan("the program")
    file = frame.f_code.co_filename
    line = frame.f_lineno
    text = linecache.getline(file, line, frame.f_globals).rstrip("\n")
    call = text.strip()
    return SourceSpan(_shown(file), line, text.find(call) + 1 if text else 0, max(1, len(call)), text)


def shown_file(file: str) -> str:
    """Return the name of a file of code as people know it: that of a cell, such as `Cell In[3]`, or the path."""
    return _name_of_cell(file) or file


def calling_folder() -> Path:
    """Return the folder of the file of that call; the working directory in a notebook or at a prompt."""
    frame = _calling_frame()
    file = frame.f_globals.get("__file__") if frame is not None else None
    is_file = file is not None and frame is not None and Path(frame.f_code.co_filename).is_file()
    return Path(str(file)).absolute().parent if is_file and _cell_name(frame) == "" else Path.cwd()


def _calling_frame() -> FrameType | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return frame


def _shown(file: str) -> str:
    name = _name_of_cell(file)
    if name:
        return name
    return os.path.relpath(file) if Path(file).is_absolute() and Path(file).is_relative_to(Path.cwd()) else file


def _cell_name(frame: FrameType | None) -> str:
    return _name_of_cell(frame.f_code.co_filename) if frame is not None else ""


def _name_of_cell(file: str) -> str:
    """Return the name of a cell of IPython by the name of the file that stands for its code, "" for another file."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    names = getattr(getattr(shell, "compile", None), "_filename_map", {})
    return f"Cell In[{names[file]}]" if file in names else ""
