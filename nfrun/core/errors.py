"""What is wrong with what the user wrote, and where. Knows nothing of YAML, terminals or runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nfrun.core.text import escape_controls

_MARK_LIMIT = 40
_LINE_LIMIT = 160


@dataclass(frozen=True, slots=True)
class SourceSpan:
    """A place in a text file.

    `file` is shown escaped; `line` and `column` count characters from 1, 0 meaning the whole file; `length` is the
    number of characters to underline; `text` is the source line, "" where there is none to show.
    """

    file: str
    line: int = 0
    column: int = 0
    length: int = 1
    text: str = ""

    def __str__(self) -> str:
        file = escape_controls(self.file).replace("\n", "\\n")  # a place is always on one line
        return f"{file}:{self.line}:{self.column}" if self.line else file


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake: where it is, what it is, and what to do about it (`hint`, "" if there is nothing to say)."""

    span: SourceSpan
    message: str
    hint: str = ""


class SpecError(Exception):
    """Everything that is wrong with a pipeline file or with what was asked of it; never just the first mistake."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__(f"{len(diagnostics)} problem{'s' if len(diagnostics) != 1 else ''}")
        self.diagnostics = tuple(diagnostics)


class HandoffError(Exception):
    """nfrun itself could not read or write a file it needs (disk full, permission, damage). Not the node's fault."""


class WorkDirLocked(Exception):
    """Another run holds the work folder; the text names it."""


def render(diagnostic: Diagnostic) -> str:
    """The problem as people see it: `file:line:column: what`, the source line, a caret, and the hint."""
    where = diagnostic.span
    head = f"{where}: {escape_controls(diagnostic.message)}"
    hint = escape_controls(diagnostic.hint)
    if not where.line or not where.text:
        return f"{head}\n   {hint}" if hint else head
    # A window of a very long line, so that the caret stays in sight.
    start = max(0, where.column - 1 - _LINE_LIMIT // 2) if len(where.text) > _LINE_LIMIT else 0
    before, source = where.text[start : where.column - 1], where.text[start : start + _LINE_LIMIT]
    lead = "".join("\t" if c == "\t" else " " * _cells(c) for c in before)
    marked = source[len(before) : len(before) + max(1, min(where.length, _MARK_LIMIT))]
    mark = "^" * max(1, _cells(marked))
    number = f"{where.line:>5}"
    return (
        f"{head}\n{number} | {escape_controls(source)}\n{' ' * len(number)} | {lead}{mark}{' ' + hint if hint else ''}"
    )


def _cells(text: str) -> int:
    """How many columns of a terminal the text takes, once it is escaped."""
    if text.isascii() and text.isprintable():
        return len(text)
    import unicodedata

    wide = (unicodedata.east_asian_width(c) in "WF" for c in escape_controls(text))
    return len(escape_controls(text)) + sum(wide) - sum(unicodedata.combining(c) > 0 for c in text)


def render_all(diagnostics: Sequence[Diagnostic], limit: int = 50) -> str:
    """All problems in file order, the first `limit` in full and the rest counted."""
    ordered = sorted(diagnostics, key=lambda p: (p.span.file, p.span.line, p.span.column))
    shown = [render(p) for p in ordered[:limit]]
    if len(ordered) > limit:
        more = len(ordered) - limit
        shown.append(f"… and {more} more problem{'s' if more != 1 else ''}")
    return "\n".join(shown)


def io_failure_type(error: HandoffError) -> str:
    """The type of a failure with this error: the exit code depends on whether it was a matter of permission."""
    return "PermissionError" if isinstance(error.__cause__, PermissionError) else ""
