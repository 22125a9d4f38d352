"""Turns the error of an attempt into a `Failure`: its cause, the user's traceback frames and the causes."""

from __future__ import annotations

import asyncio
import errno
import importlib
import os
import sysconfig
import traceback
from dataclasses import replace
from pathlib import Path

import nfrun
from nfrun.code.module_space import with_short_names
from nfrun.core.errors import Cause, HandoffError, error_text
from nfrun.core.events import Failure, Frame, nfrun_failure
from nfrun.core.pipeline import NodeSpec
from nfrun.nodes.base import NodeError
from nfrun.nodes.registry import KINDS
from nfrun.tables.formats import FormatError

_MOST_FRAMES = 12


def failure_of(error: BaseException, spec: NodeSpec, inputs: tuple[str, ...], folder: Path) -> Failure:
    """Return the `Failure` for an error that a node raised.

    `inputs` has one line for each input. Paths in frames are shown relative to `folder`. A HandoffError and a full disk
    have the cause IO or PERMISSION, all other errors the cause NODE.
    """
    if isinstance(error, NodeError | FormatError):
        return Failure(Cause.NODE, "", _text(error), details=getattr(error, "details", ""), inputs=inputs)
    if isinstance(error, HandoffError):
        return replace(nfrun_failure(error), inputs=inputs)
    number = error.errno if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) else None
    cause = Cause.NODE if number is None else Cause.IO
    if isinstance(error, OSError) and not KINDS[spec.kind].has_user_frames:
        return Failure(cause, type(error).__name__, _text(error), inputs=inputs, errno=number)
    frames = _user_frames(error, folder)
    notes = [str(note) for note in getattr(error, "__notes__", [])]
    details = "\n".join([*notes, *(f"caused by {type(e).__name__}: {_text(e)}" for e in _causes(error))])
    return Failure(cause, type(error).__name__, _text(error), frames, details, inputs, number)


def _user_frames(error: BaseException, folder: Path) -> tuple[Frame, ...]:
    """Return the user's frames of an error's traceback, and the innermost frame even if it is in a library.

    Leaves out frames of nfrun, of the import system and of compiled modules, which have no source to show. Files in the
    pipeline's folder are shown relative to it. For a SyntaxError, adds a frame for the line with the error. Of more
    than 12 frames, the first and the last 6 are shown.
    """
    libraries = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")})
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _is_machinery(f.filename)]
    user_frames = [f for f in frames if not f.filename.startswith(libraries)]
    if user_frames and frames[-1] is not user_frames[-1]:
        user_frames.append(frames[-1])
    shown = user_frames or frames
    if len(shown) > _MOST_FRAMES:  # a recursion: its two ends say more than its middle
        shown = shown[: _MOST_FRAMES // 2] + shown[-_MOST_FRAMES // 2 :]
    found = [Frame(_relative(f.filename, folder), f.lineno or 0, f.name, _clean(f.line or "")) for f in shown]
    if isinstance(error, SyntaxError) and error.filename:
        found.append(Frame(_relative(error.filename, folder), error.lineno or 0, "<module>", _clean(error.text or "")))
    return tuple(found)


def _is_machinery(file: str) -> bool:
    hidden = (f"{Path(nfrun.__file__).parent}{os.sep}", f"{Path(importlib.__file__).parent}{os.sep}", "<frozen ")
    return file.startswith(hidden) or file.endswith((".pyx", ".pxi"))


def _clean(line: str) -> str:
    return line.strip().encode(errors="backslashreplace").decode()


def _relative(file: str, folder: Path) -> str:
    return str(Path(file).relative_to(folder)) if Path(file).is_relative_to(folder) else file


def _causes(error: BaseException) -> list[BaseException]:
    """Return up to 3 causes: the first members of an exception group, then the chain of causes, nearest first."""
    causes = list(error.exceptions[:3]) if isinstance(error, BaseExceptionGroup) else []
    step: BaseException | None = error
    while step is not None and len(causes) < 3:
        step = step.__cause__ or (None if step.__suppress_context__ else step.__context__)
        if step is not None:
            causes.append(step)
    return causes


def _text(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"the node called sys.exit({'' if error.code is None else error_text(error)})"
    is_empty = isinstance(error, asyncio.CancelledError) and not error.args
    return "" if is_empty else with_short_names(error_text(error))
