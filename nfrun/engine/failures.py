"""Turns the error of an attempt into a `Failure`: its cause, the user's traceback frames and the causes."""

from __future__ import annotations

import asyncio
import errno
import importlib
import math
import os
import sysconfig
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import nfrun
from nfrun.code.module_space import with_short_names
from nfrun.core.errors import Cause, HandoffError, NodeError, NoRetry, Retry, error_text
from nfrun.core.events import Failure, Frame, nfrun_failure
from nfrun.core.pipeline import NodeSpec
from nfrun.core.values import replace
from nfrun.nodes.folders import folder_of
from nfrun.nodes.registry import kind_of
from nfrun.tables.formats import FormatError

_MOST_FRAMES = 12
_MOST_CAUSES, _CAUSE_FRAMES = 3, 2


def failure_of(error: BaseException, spec: NodeSpec, inputs: tuple[str, ...], base: Path) -> Failure:
    """Return the `Failure` for an error that a node raised.

    `inputs` has one line for each input. Paths in frames are shown relative to `base`, the folder of the pipeline. A
    HandoffError and a full disk have the cause IO or PERMISSION, all other errors the cause NODE.
    """
    if isinstance(error, NodeError | FormatError):
        name = type(error).__name__ if type(error) not in (NodeError, FormatError) else ""
        found = Failure(Cause.NODE, name, _text(error), details=getattr(error, "details", ""), inputs=inputs)
        return _with_retries(found, error)
    if isinstance(error, HandoffError):
        return replace(nfrun_failure(error), inputs=inputs)
    folders = base, folder_of(spec, base)
    number = error.errno if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) else None
    cause = Cause.NODE if number is None else Cause.IO
    if isinstance(error, OSError) and not kind_of(spec).runs.calls_code:
        return Failure(cause, type(error).__name__, _text(error), inputs=inputs, errno=number)
    frames = _user_frames(error, folders)
    details = "\n".join([*_notes(error), *(line for cause in _causes(error) for line in _cause_lines(cause, folders))])
    return _with_retries(Failure(cause, type(error).__name__, _text(error), frames, details, inputs, number), error)


def _notes(error: BaseException) -> list[str]:
    try:
        return [str(note) for note in error.__notes__]
    except Exception:  # it has none, or the user's own code is wrong
        return []


def _with_retries(failure: Failure, error: BaseException) -> Failure:
    """Return a failure with the fields that its error has for other attempts."""
    if isinstance(error, NoRetry):
        return replace(failure, is_final=True, is_certain=error.every_row)
    after = retry_after(error)
    return failure if after is None else replace(failure, retry_after=after)


def _user_frames(error: BaseException, folders: Sequence[Path]) -> tuple[Frame, ...]:
    """Return the user's frames of an error's traceback, and the innermost frame even if it is in a library.

    Leaves out frames of nfrun, of the import system and of compiled modules, which have no source to show. Files in
    `folders` are shown relative to the first of them. For a SyntaxError, adds a frame for the line with the error. Of
    more than 12 frames, the first and the last 6 are shown.
    """
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _is_machinery(f.filename)]
    user_frames = _outside_libraries(frames)
    if user_frames and frames[-1] is not user_frames[-1]:
        user_frames.append(frames[-1])
    shown = user_frames or frames
    if len(shown) > _MOST_FRAMES:  # a recursion: its two ends say more than its middle
        shown = shown[: _MOST_FRAMES // 2] + shown[-_MOST_FRAMES // 2 :]
    found = [Frame(_relative(f.filename, folders), f.lineno or 0, f.name, _clean(f.line or "")) for f in shown]
    if isinstance(error, SyntaxError) and error.filename:
        found.append(Frame(_relative(error.filename, folders), error.lineno or 0, "<module>", _clean(error.text or "")))
    return tuple(found)


def user_place(error: BaseException, spec: NodeSpec, base: Path) -> str:
    """Return the last place in the user's code that an error has passed, "" if there is none."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _is_machinery(f.filename)]
    for frame in reversed(_outside_libraries(frames)):
        return f"{_relative(frame.filename, (base, folder_of(spec, base)))}:{frame.lineno} in {frame.name}"
    return ""


def _outside_libraries(frames: Sequence[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    libraries = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")})
    return [frame for frame in frames if not frame.filename.startswith(libraries)]


def _is_machinery(file: str) -> bool:
    hidden = (f"{Path(nfrun.__file__).parent}{os.sep}", f"{Path(importlib.__file__).parent}{os.sep}", "<frozen ")
    return file.startswith(hidden) or file.endswith((".pyx", ".pxi"))


def _clean(line: str) -> str:
    return line.strip().encode(errors="backslashreplace").decode()


def _relative(file: str, folders: Sequence[Path]) -> str:
    """Return the name of a file that lies in one of the folders, relative to the first of them."""
    if not any(Path(file).is_relative_to(folder) for folder in folders):
        return file
    return os.path.relpath(file, folders[0])


def _cause_lines(cause: BaseException, folders: Sequence[Path]) -> Iterator[str]:
    """Yield the lines of a cause: its type and message, and its innermost frames as those of the error are shown."""
    yield f"caused by {type(cause).__name__}: {_text(cause)}"
    for frame in _user_frames(cause, folders)[-_CAUSE_FRAMES:]:
        yield f"  {frame.file}:{frame.line} in {frame.function}"
        if frame.source:
            yield f"    {frame.source}"


def _causes(error: BaseException) -> list[BaseException]:
    """Return up to 3 causes, nearest first: members of exception groups, causes and contexts, and those of these."""
    found: list[BaseException] = []
    pending = [error]
    while pending and len(found) < _MOST_CAUSES:
        step = pending.pop(0)
        before = step.__cause__ or (None if step.__suppress_context__ else step.__context__)
        members = step.exceptions if isinstance(step, BaseExceptionGroup) else ()
        new = [
            cause for cause in (*members, before) if cause is not None and all(cause is not other for other in found)
        ]
        found += new
        pending += new
    return found[:_MOST_CAUSES]


def _text(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"the node called sys.exit({'' if error.code is None else error_text(error)})"
    is_empty = isinstance(error, asyncio.CancelledError) and not error.args
    return "" if is_empty else with_short_names(error_text(error))


_HEADERS = ("Retry-After", "retry-after")


def retry_after(error: BaseException) -> float | None:
    """Return the seconds to wait before the next attempt, None if the error does not say.

    `nfrun.Retry` says it in `after`, and errors of HTTP libraries in the header `Retry-After` of `response.headers` or
    `headers`: as seconds or as a date.
    """
    if isinstance(error, Retry):
        return _seconds(error.after)
    for holder in (getattr(error, "response", None), error):
        headers = getattr(holder, "headers", None)
        if headers is None or not hasattr(headers, "get"):
            continue
        try:
            found = next((value for name in _HEADERS if (value := headers.get(name)) is not None), None)
            return None if found is None else _seconds_of_header(str(found))
        except Exception:  # headers of a library that are no mapping after all
            return None
    return None


def _seconds_of_header(text: str) -> float | None:
    try:
        return _seconds(float(text))
    except ValueError:
        pass
    from email.utils import parsedate_to_datetime

    try:
        return _seconds(max(0.0, parsedate_to_datetime(text.strip()).timestamp() - time.time()))
    except (ValueError, TypeError, OverflowError):
        return None


def _seconds(value: float) -> float | None:
    return float(value) if math.isfinite(value) and value >= 0 else None
