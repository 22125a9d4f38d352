"""Walks over the rows of a CSV file as Arrow parses them, with their places: exact, and slower than Arrow.

Arrow says neither where a quote was opened nor on which lines a row stands, and knows no comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from nfrun.core.values import frozen
from nfrun.tables.csv_options import CsvOptions

MOST_BYTES, MOST_LINES = 1 << 20, 1000  # of a field, unless the file says that it has longer ones
_LEFT = "or read it with: {quote: ''} if quotes are text"


@frozen
class Record:
    """A row with its first line, or a line that is none: a blank one or a comment. `wrong` is about a quote in it."""

    line: int
    data: bytes
    is_row: bool = True
    wrong: str = ""


class _Opened:
    """A quoted field that is not closed yet: where it was opened, and how long it is so far."""

    def __init__(self, line: int, column: int) -> None:
        self.line, self.column, self.size = line, column, 0

    def __str__(self) -> str:
        return f"line {self.line:,}, column {self.column:,}"

    def too_long(self, line: int) -> str:
        if line - self.line < MOST_LINES and self.size <= MOST_BYTES:
            return ""
        what = f"{self}: the quote opens a field of more than 1,000 lines or 1 MB"
        return f"{what}: close it, or read it with: {{long_fields: true}}"


def lines_of(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a text with their ends, which are those of any system."""
    rest = b""
    for block in blocks:
        lines = (rest + block).splitlines(keepends=True)
        rest = lines.pop() if lines else b""  # more of it may follow, such as the \n of \r\n
        yield from lines
    if rest:
        yield rest


def records(lines: Iterable[bytes], options: CsvOptions, delimiter: str) -> Iterator[Record]:
    """Yield the rows, blank lines and comments behind the lines that are skipped. `lines` are those of the whole file.

    A row ends early where a quoted field gets too long, or where the file ends: `wrong` says so.
    """
    quote, escape, comment = options.quote.encode(), options.escape.encode(), options.comment.encode()
    between, escaped = re.escape(delimiter.encode()), re.escape(escape)
    pair = re.escape(quote)
    also = b"|%b." % escaped if escape else b""
    to_delimiter = re.compile(b"(?:[^%b%b]+%b)*" % (between, escaped, also), re.DOTALL)
    to_quote = re.compile(b"(?:[^%b%b]+|%b%b%b)*" % (pair, escaped, pair, pair, also), re.DOTALL)
    kept: list[bytes] = []
    first, opened = 0, None
    for number, line in _joined(lines, options.skip, escape):
        if not kept:
            is_comment = bool(comment) and line.startswith(comment)
            if is_comment or not quote or quote not in line:
                is_row = not is_comment and bool(line.strip(b"\r\n"))
                yield Record(number, line, is_row, _too_long(line, number, options, delimiter))
                continue
            first = number
        kept.append(line)
        at, wrong = 0, ""
        while at < len(line) and not wrong:
            if opened is None and line.startswith(quote, at):
                opened, at = _Opened(number, len(line[:at].decode("utf-8", "replace")) + 1), at + 1
            if opened is None:
                at = _end(to_delimiter, line, at) + 1
                continue
            end = _end(to_quote, line, at)
            opened.size += end - at
            wrong = "" if options.long_fields else opened.too_long(number)
            if end == len(line):
                break
            at = _end(to_delimiter, line, end + 1)
            if not wrong and number > opened.line and line[end + 1 : at].strip(b"\r\n"):
                wrong = f"{opened}: the quote is closed on line {number:,}, where more text follows: double it, {_LEFT}"
            opened, at = None, at + 1
        if wrong or opened is None:
            yield Record(first, b"".join(kept), wrong=wrong)
            kept, opened = [], None
    if kept:
        yield Record(first, b"".join(kept), wrong=f"{opened}: the quote is never closed: close it, {_LEFT}")


def _joined(lines: Iterable[bytes], skip: int, escape: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the lines with their numbers behind those that are skipped; one with an escaped end has the next in it."""
    begun, first = b"", 0
    for number, line in enumerate(lines, 1):
        if number > skip:
            begun, first = begun + line, first or number
            escapes = len(line) - 1 - len(line[:-1].rstrip(escape)) if escape else 0
            if escapes % 2 == 0 or line.endswith(b"\r\n") or line[-1:] not in b"\r\n":
                yield first, begun
                begun, first = b"", 0
    if begun:
        yield first, begun


def _end(pattern: re.Pattern[bytes], line: bytes, at: int) -> int:
    found = pattern.match(line, at)
    assert found is not None
    return found.end()


def _too_long(line: bytes, number: int, options: CsvOptions, delimiter: str) -> str:
    """Return what is wrong with a line without quotes, "" if no field is too long."""
    if len(line) <= MOST_BYTES or options.long_fields:
        return ""
    at = 0
    for field in line.split(delimiter.encode()):
        if len(field) > MOST_BYTES:
            return f"line {number:,}, column {at + 1:,}: a field of more than 1 MB: read it with: {{long_fields: true}}"
        at += len(field) + 1
    return ""
