"""Finds the line of a program that calls nfrun."""

from __future__ import annotations

import linecache
import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from nfrun.core.errors import SourceSpan
from nfrun.system.file_search import name_below

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
    shown = _name_of_cell(file) or name_below(str(Path.cwd()), file)
    return SourceSpan(shown, line, text.find(call) + 1 if text else 0, max(1, len(call)), text)


def shown_file(file: str) -> str:
    """Return the name of a file of code as people know it: that of a cell, such as `Cell In[3]`, or the path."""
    return _name_of_cell(file) or file


def calling_folder() -> Path:
    """Return the folder of the file of that call; the working directory in a notebook or at a prompt."""
    frame = _calling_frame()
    code = "" if frame is None else frame.f_code.co_filename
    file = None if frame is None or _name_of_cell(code) or not Path(code).is_file() else frame.f_globals.get("__file__")
    return Path.cwd() if file is None else Path(str(file)).absolute().parent


def _calling_frame() -> FrameType | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return frame


def _name_of_cell(file: str) -> str:
    """Return the name of a cell of IPython by the name of the file that stands for its code, "" for another file."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    names = getattr(getattr(shell, "compile", None), "_filename_map", {})
    return f"Cell In[{names[file]}]" if file in names else ""
