"""Defines the errors that nfrun reports to the user, and renders diagnostics as text.

A diagnostic names the source span of a mistake and is rendered with the source line and a caret.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from enum import StrEnum

from nfrun.core.text import cell_width, escape_controls
from nfrun.core.values import field, frozen

_MARK_LIMIT = 40
_LINE_LIMIT = 160
_TEXT_LIMIT = 4_000
# What the dynamic linker says where there is no memory for a module. Python's ImportError has this text, but no errno.
_NO_MEMORY = ("failed to map segment", "Cannot allocate memory")
_SHOWN_IN = "nfrun"  # the module of the errors that users raise, in tracebacks and pickles


class Cause(StrEnum):
    """The cause of a failed attempt. It decides about retries and about the exit code.

    `CHECK`: its table is not what the pipeline file says, so another attempt would fail, too. `IO` and `PERMISSION`:
    nfrun could not read or write a file, or could not start a thread or a process. `LOST`: the worker vanished.
    `CLUSTER`: the cluster refuses the run, or is gone. `INTERNAL`: an error in nfrun itself. Ordered: the last of
    several causes is that of the run.
    """

    CANCELLED = "cancelled"
    NODE = "error"
    CHECK = "check"
    TIMEOUT = "timeout"
    LOST = "lost"
    IO = "io"
    PERMISSION = "permission"
    CLUSTER = "cluster"
    INTERNAL = "internal"


@frozen
class SourceSpan:
    """A span of characters on one line of a text file.

    `file` is the path; `str` escapes it. `line` and `column` count from 1, columns in characters; a `line` of 0 means
    the whole file, a `column` of 0 the whole line. `length` is the number of characters to underline. `text` is the
    source line, "" if there is none to show. `included` are the places that include the file, the nearest first.
    """

    file: str
    line: int = 0
    column: int = 0
    length: int = 1
    text: str = ""
    included: tuple[SourceSpan, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        file = escape_controls(self.file).replace("\n", "\\n")  # a span is always shown on one line
        return ":".join([file, *(str(number) for number in (self.line, self.column) if number)])


@frozen
class Diagnostic:
    """One mistake: its source span, a message, and a `hint` how to fix it ("" if there is none)."""

    span: SourceSpan
    message: str
    hint: str = ""

    @property
    def file(self) -> str:
        """The path of the file with the mistake."""
        return self.span.file

    @property
    def line(self) -> int:
        """The line of the mistake, from 1; 0 for the whole file."""
        return self.span.line

    @property
    def column(self) -> int:
        """The column of the mistake, from 1; 0 for the whole line."""
        return self.span.column

    def __str__(self) -> str:
        return render(self)


@frozen
class Problem:
    """A mistake in the values of a file, without its place in the text. `Document.told` makes a `Diagnostic` of it.

    `path` leads to the value, or to its key if `at_key`; it begins at the node if a kind has found the mistake. With a
    `length`, the mistake is at that many characters of the value, from the index `start` on. `counts`: it is about the
    number of inputs or values, such as a missing one. `is_warning`: the node can run all the same. `about` is the name
    in an expression, or the file that an axis lacks.
    """

    path: tuple[str | int, ...]
    message: str
    hint: str = ""
    at_key: bool = False
    counts: bool = False
    start: int = 0
    length: int = 0
    is_warning: bool = False
    about: str = field(default="", compare=False)


class Error(Exception):
    """The base of all errors that nfrun raises for what its user can mend."""

    def _render_traceback_(self) -> list[str]:
        """Return the lines that a notebook shows: where nfrun has raised it says nothing to its user."""
        return [f"{type(self).__name__}: {line}" if i == 0 else line for i, line in enumerate(str(self).split("\n"))]


class SpecError(Error):
    """A pipeline file, its parameters or its secrets are wrong. `diagnostics` has all mistakes, not only the first.

    Python programs know them as `problems`. The text of the error shows them, `summary` is how many there are.
    """

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.summary = f"{len(diagnostics)} problem{'s' if len(diagnostics) != 1 else ''}"
        super().__init__(self.summary)
        self.diagnostics = self.problems = tuple(diagnostics)

    def __str__(self) -> str:
        return render_all(self.diagnostics)


class UsageError(Error):
    """An option has an invalid value, such as `-j 0`. `option` is its name. Raised before anything is done."""

    def __init__(self, what: str, option: str) -> None:
        super().__init__(what)
        self.option = option


class HandoffError(Error):
    """nfrun could not read or write a file, or start a thread (disk full, permission, damage). Not the node's fault.

    `errno` is that of the system's error, None without one, as for a damaged file.
    """

    def __init__(self, message: str, error: BaseException | None = None) -> None:
        super().__init__(message)
        self.errno: int | None = error.errno if isinstance(error, OSError | HandoffError) else None


class NotStored(HandoffError):
    """An output is not in its place any more, or is damaged there: its node must run again.

    `outputs` has its id, as far as that is known.
    """

    def __init__(self, message: str, error: BaseException | None = None) -> None:
        super().__init__(message, error)
        self.outputs: list[str] = []


class ClusterError(Error):
    """The cluster refuses a run, or is gone. The message says what to do; each line of several is one problem."""


class WorkDirLocked(Error):
    """Another run holds the work folder lock. The message names the work folder."""


class NotRecorded(Error, KeyError):
    """The user names a run, a node or a table that does not exist. The message also says which ones exist."""

    __str__ = Exception.__str__  # that of KeyError puts the message into quotes


class SelectionError(Error):
    """Raised if selected nodes need results of other nodes that no earlier run has left."""


class Retry(Exception):
    """Raised by a function to be called again, `after` seconds at the earliest, if the node has retries left.

    A longer wait than `max_delay` of the retries fails the call. The wait may also come from an exception with HTTP
    headers: `.response.headers["Retry-After"]`.
    """

    __module__ = _SHOWN_IN

    def __init__(self, message: str = "", *, after: float = 0.0) -> None:
        super().__init__(message or f"it asks to be called again after {after:g} s")
        self.after = after


class NoRetry(Exception):
    """Raised by a function that is not to be called again, whatever retries are left: it would fail in the same way.

    With `every_row`, a node with a `map` fails at once: each other row would fail, too, as with a wrong password.
    """

    __module__ = _SHOWN_IN
    every_row = False

    def __init__(self, message: str = "", *, every_row: bool = False) -> None:
        super().__init__(message)
        self.every_row = self.every_row or every_row  # a class that inherits from this one may have it


class NodeError(Exception):
    """Raised by a plug-in, if a node failed for a reason that the message explains: it is shown without a traceback.

    `details` is shown below the message, and the name of a class that inherits from this one before it.
    """

    __module__ = _SHOWN_IN

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


def render(diagnostic: Diagnostic) -> str:
    """Render a diagnostic as text: `file:line:column: message`, then the source line, a caret and the hint."""
    span = diagnostic.span
    head = f"{span}: {escape_controls(diagnostic.message)}"
    hint = escape_controls(diagnostic.hint)
    tail = "".join(f"\n   included at {place}" for place in span.included)
    if not span.line or not span.text:
        return (f"{head}\n   {hint}" if hint else head) + tail
    # Show only a part of a very long line, around the caret.
    start = max(0, span.column - 1 - _LINE_LIMIT // 2) if len(span.text) > _LINE_LIMIT else 0
    before, source = span.text[start : span.column - 1], span.text[start : start + _LINE_LIMIT]
    lead = "".join("\t" if c == "\t" else " " * cell_width(c) for c in before)
    marked = source[len(before) : len(before) + max(1, min(span.length, _MARK_LIMIT))]
    mark = "^" * max(1, cell_width(marked))
    number = f"{span.line:>5}"
    return (
        f"{head}\n{number} | {escape_controls(source)}\n{' ' * len(number)} | {lead}{mark}{' ' + hint if hint else ''}"
        f"{tail}"
    )


def one_line(diagnostic: Diagnostic) -> str:
    """Return a diagnostic as one line of text, as a warning has it."""
    return ": ".join(filter(None, (str(diagnostic.span), diagnostic.message, diagnostic.hint)))


def render_all(diagnostics: Sequence[Diagnostic], limit: int = 50) -> str:
    """Render diagnostics in file order: the first `limit` in full, then the number of the others."""
    ordered = sorted(diagnostics, key=lambda d: (d.span.file, d.span.line, d.span.column))
    shown = [render(diagnostic) for diagnostic in ordered[:limit]]
    if len(ordered) > limit:
        more = len(ordered) - limit
        shown.append(f"… and {more} more problem{'s' if more != 1 else ''}")
    return "\n".join(shown)


def error_text(error: BaseException) -> str:
    """Return the message of an error, or else its type, as text that every reporter can write. Never raises."""
    try:
        text = str(error) or type(error).__name__
    except BaseException as broken:
        text = f"<its message cannot be shown: {type(broken).__name__}>"
    text = text.encode(errors="backslashreplace").decode()  # of lone surrogates
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}… ({len(text):,} characters)"


def cause_of(error: BaseException) -> Cause:
    """Return the cause of an error in nfrun's own code: an error of the system, or else a bug."""
    if isinstance(error, ClusterError):
        return Cause.CLUSTER
    if isinstance(error, OSError | HandoffError) and error.errno in (errno.EACCES, errno.EPERM):
        return Cause.PERMISSION
    return Cause.IO if isinstance(error, OSError | HandoffError) or lacks_memory(error) else Cause.INTERNAL


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error says that there was no memory, for an object or for a module to be imported."""
    if isinstance(error, ImportError):
        return any(text in str(error) for text in _NO_MEMORY)
    return isinstance(error, MemoryError)
