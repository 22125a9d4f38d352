"""Reads the rows of a CSV file by Arrow, and says what Arrow does not: which quote is never closed, which rows are bad.

Arrow takes a quote that is not closed to the end of the file without a word. So it gets one more row at the end, with
another number of fields: Arrow reports that row as a bad one, unless it has taken it for a part of a field.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, reduce
from itertools import chain, islice
from typing import Any, cast

import pyarrow as pa
import pyarrow.types as pt

from nfrun.core.text import ellipsize
from nfrun.core.values import frozen
from nfrun.tables.csv_options import ASIDE, FAIL, CsvOptions
from nfrun.tables.plain_arrays import held_type
from nfrun.tables.text_files import BLOCK, Open, growing

_HEADER_BLOCK, _LONGEST_HEADER = 1 << 16, 1 << 20  # bytes of a CSV file that are read for its header alone
_HEADER_BLOCKS = _LONGEST_HEADER // _HEADER_BLOCK + 1
_END = "\x1eend of the file\x1e"
_COLUMN = re.compile(r"In CSV column #(\d+): ")
MOST_BYTES, MOST_LINES = 1 << 20, 1000  # of a field, unless the file says that it has longer ones
_WRONG_QUOTE = (
    "has a quote that is not closed, not within 1,000 lines and 1 MB, or where more text follows: close or double it,"
    " or read it with: {quote: ''} if quotes are text, or {long_fields: true} if a field is so long"
)

Rejected = Mapping[str, Any]  # a row that is put aside, with its `filename`, `line`, `reason` and `text`


class CsvSource:
    """The rows of a CSV file with this delimiter. `open_file` returns its bytes as a stream of pyarrow."""

    def __init__(self, open_file: Open, options: CsvOptions, delimiter: str, name: str = "") -> None:
        self.open, self.options, self.delimiter, self._name = open_file, options, delimiter, name
        self._bad: dict[str, str] = {}  # what is wrong by the text of a row

    # -- the header ------------------------------------------------------------------------------------------------

    @cached_property
    def _header(self) -> Record:
        """The first row. Reads only the beginning of the file. Raises ValueError if the row is wrong."""
        with self.open() as stream:
            beginning = islice(iter(lambda: stream.read(_HEADER_BLOCK), b""), _HEADER_BLOCKS)
            header = next((record for record in self._records(beginning) if record.is_row), Record(1, b""))
        if header.wrong or len(header.data) > _LONGEST_HEADER:
            raise ValueError(header.wrong or "the header is longer than 1 MB")
        return header

    @cached_property
    def names(self) -> Sequence[str]:
        """The names of the columns. Raises ArrowInvalid or ValueError where the header cannot be read."""
        from pyarrow import csv as arrow_csv

        if isinstance(self.options.header, Sequence):
            return list(self.options.header)
        options = arrow_csv.ReadOptions(use_threads=False, autogenerate_column_names=not self.options.header)
        line = self._header.data.rstrip(b"\r\n")
        data = pa.BufferReader(line and line + b"\n")
        return cast("Sequence[str]", arrow_csv.read_csv(data, options, self._parse_options()).schema.names)

    def column_name(self, message: str) -> str:
        """Return the message of an error with the name of its column, which Arrow counts from 0."""
        found = _COLUMN.match(message)
        if found is None or int(found[1]) >= len(self.names):
            return message
        return f"column '{ellipsize(self.names[int(found[1])])}': {message[found.end() :]}"

    # -- the rows --------------------------------------------------------------------------------------------------

    def read(self, convert: Any) -> pa.Table:
        """Return the columns that Arrow's `ConvertOptions` name, with the row numbers in its messages.

        Raises ArrowInvalid; ValueError where a quoted field is not closed or too long; KeyError for an unknown column.
        """

        try:
            return growing(lambda block: self._read(block, convert), self.check_quotes)
        except pa.ArrowInvalid as error:
            if "Expected" not in str(error) and "conversion error" not in str(error):
                raise
            if "\n" in str(error):  # a value of several lines
                self.check_quotes()
        # It fails again, with the row number in its message.
        return growing(lambda block: self._read(block, convert, threads=False), self.check_quotes)

    def _read(self, block: int, convert: Any, *, threads: bool = True) -> pa.Table:
        from pyarrow import csv as arrow_csv

        header, one = self.options.header, len(self.names) == 1
        end = self.delimiter.join([_END] * (2 if one else 1))
        self._bad, ended = {}, []

        def on_bad(row: Any) -> str:
            if row.text == end:
                ended.append(row)
                return "skip"
            if self.options.bad_rows == FAIL:
                return "error"
            fields = f"{row.actual_columns:,} field{'' if row.actual_columns == 1 else 's'}"
            self._bad[row.text] = f"{fields}, and the header has {row.expected_columns:,}"
            return "skip"

        names = {"column_names": list(header)} if isinstance(header, Sequence) else {}
        first = (
            self._header.line if header is True else self.options.skip + 1
        )  # blank lines before a header are no rows
        skip = 0 if self.options.comment else first - 1
        read = arrow_csv.ReadOptions(
            block_size=block, use_threads=threads, autogenerate_column_names=header is False, skip_rows=skip, **names
        )
        with self.open() as stream:
            blocks = (
                self._without_comments(stream, block, first) if self.options.comment else _buffers_of(stream, block)
            )
            source = _Stream(blocks, end.encode(), count=bool(convert.include_columns))
            parse = self._parse_options(ignore_empty_lines=not one, invalid_row_handler=on_bad)
            table = arrow_csv.read_csv(source, read, parse, convert)
        if not ended:
            self.check_quotes()
            raise ValueError("the file was changed while it was read")
        if convert.include_columns and source.lines - table.num_rows > 1 + skip:
            self.check_quotes()  # some fields have several lines, maybe in columns that are left out
        else:
            self._check_fields(table)
        return table

    def _parse_options(self, **more: Any) -> Any:
        from pyarrow import csv as arrow_csv

        options = self.options
        return arrow_csv.ParseOptions(
            delimiter=self.delimiter,
            quote_char=options.quote or False,
            escape_char=options.escape or False,
            newlines_in_values=bool(options.quote or options.escape),
            **more,
        )

    def _without_comments(self, stream: Any, size: int, first: int) -> Iterator[pa.Buffer]:
        """Yield the bytes of the file from its first row on, which is on the line `first`, without comments."""
        kept: list[bytes] = []
        length = 0
        for record in self._records(_blocks_of(stream)):
            is_comment = not record.is_row and record.data.startswith(self.options.comment.encode())
            if record.line >= first and not is_comment:
                kept.append(record.data)
                length += len(record.data)
            if length >= size:
                yield pa.py_buffer(b"".join(kept))
                kept, length = [], 0
        if kept:
            yield pa.py_buffer(b"".join(kept))

    # -- what is wrong with it -------------------------------------------------------------------------------------

    def _records(self, blocks: Iterator[bytes]) -> Iterator[Record]:
        first = next(blocks, b"").removeprefix(b"\xef\xbb\xbf")
        return records(lines_of(chain([first], blocks)), self.options, self.delimiter)

    def check_quotes(self) -> None:
        """Raise ValueError with the place of the first quoted field that is not closed, or is too long."""
        with self.open() as stream:
            wrong = next((record.wrong for record in self._records(_blocks_of(stream)) if record.wrong), "")
        if wrong:
            raise ValueError(wrong)

    def _check_fields(self, table: pa.Table) -> None:
        """Look at the quotes of the file if one seems not to be closed, or to be closed by that of another field."""
        texts = [column.cast(kind) for column in table.columns if _is_text(kind := held_type(column.type))]
        if self.options.quote and texts and (any(map(self._is_long, texts)) or self._is_closed_by_other(texts)):
            self.check_quotes()

    def _is_long(self, column: pa.ChunkedArray) -> bool:
        import pyarrow.compute as pc

        length = pc.binary_length(column)
        longest = pc.max(length).as_py() or 0
        if longest <= MOST_LINES or self.options.long_fields:
            return False
        long = column.filter(pc.greater(length, MOST_LINES))
        return bool(longest > MOST_BYTES or (pc.max(pc.count_substring(long, "\n")).as_py() or 0) >= MOST_LINES)

    def _is_closed_by_other(self, columns: Sequence[pa.ChunkedArray]) -> bool:
        """Return whether a row has a field of several lines, and one with a quote at its end that none opens."""
        import pyarrow.compute as pc

        quote = self.options.quote
        ends = [pc.ends_with(column, quote) for column in columns]
        if not any(pc.any(end).as_py() for end in ends):
            return False
        rows = reduce(pc.or_kleene, ends)
        some = [column.filter(rows) for column in columns]
        odd = [pc.equal(pc.bit_wise_and(pc.count_substring(column, quote), 1), 1) for column in some]
        open_end = reduce(pc.or_kleene, [pc.and_(pc.ends_with(some[i], quote), odd[i]) for i in range(len(some))])
        lines = reduce(pc.or_kleene, [pc.match_substring(column, "\n") for column in some])
        return bool(pc.any(pc.and_kleene(open_end, lines)).as_py())

    def rejected(self, wrong: Mapping[int, str]) -> Iterator[Rejected]:
        """Yield the bad rows of the last reading with their places: also those that have something `wrong`.

        Its keys are places in the table.
        """
        if not (self._bad or wrong) or self.options.bad_rows != ASIDE:
            return
        row = -1 if self.options.header is True else 0
        one = len(self.names) == 1
        with self.open() as stream:
            for record in self._records(_blocks_of(stream)):
                data = record.data.rstrip(b"\r\n")
                if not record.is_row and (data or not one or row < 0):
                    continue
                text = data.decode("utf-8", "replace")
                reason = self._bad.get(text)
                if reason is None:
                    reason, row = wrong.get(row), row + 1
                if reason is not None:
                    yield {"filename": self._name, "line": record.line, "reason": reason, "text": text}


def _is_text(type_: pa.DataType) -> bool:
    return bool(pt.is_string(type_) or pt.is_large_string(type_) or pt.is_binary(type_) or pt.is_large_binary(type_))


class _Stream:
    """The bytes of a CSV file for Arrow, with a row at the end. `lines` counts them if asked for."""

    closed = False

    def __init__(self, blocks: Iterator[pa.Buffer], end: bytes, *, count: bool) -> None:
        self._blocks, self._end, self._count = blocks, end, count
        self._next: pa.Buffer | None = next(blocks, pa.py_buffer(b""))
        self.lines = 0

    def read_buffer(self, _size: int = -1) -> pa.Buffer:
        if (block := self._next) is None:
            return pa.py_buffer(b"")
        self._next = next(self._blocks, None)
        if self._count:
            self.lines += block.to_pybytes().count(b"\n")
        if self._next is None:
            data = block.to_pybytes()
            block = pa.py_buffer(data + (b"\n" if data[-1:] not in b"\r\n" else b"") + self._end)
        return block

    def read(self, size: int = -1) -> bytes:
        return bytes(self.read_buffer(size))

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        pass


# ------------------------------------------------------------------ rows with their places

# Exact, and slower than Arrow, which says neither where a quote was opened nor on which lines a row stands, and knows
# no comments.

_MOST_OF_FIELD = (1 << 31) - 1  # characters; the module `csv` has one limit for the process, which is only raised
_MOST_OF_ROW = 16 << 20  # bytes that are read of a row unless the file has longer fields: its quote may never be closed


@frozen
class Record:
    """A row with its first line, or a line that is none: a blank one or a comment. `wrong` is about a quote in it."""

    line: int
    data: bytes
    is_row: bool = True
    wrong: str = ""


def _blocks_of(stream: Any) -> Iterator[bytes]:
    return iter(lambda: stream.read(BLOCK), b"")


def _buffers_of(stream: Any, size: int) -> Iterator[pa.Buffer]:
    while len(block := stream.read_buffer(size)):
        yield block


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

    A row ends early where it gets too long: `wrong` says so.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _MOST_OF_FIELD))
    comment, signs = options.comment.encode(), [sign.encode() for sign in (options.quote, options.escape) if sign]
    left = islice(enumerate(lines, 1), options.skip, None)
    for number, line in left:
        is_comment = bool(comment) and line.startswith(comment)
        if is_comment or not any(sign in line for sign in signs):
            yield Record(number, line, not is_comment and bool(line.strip(b"\r\n")))
            continue
        taken = [line]
        more = _taken(left, taken, _MOST_OF_FIELD if options.long_fields else _MOST_OF_ROW)
        fields = next(_parsed(chain([line], more), options, delimiter))
        is_wrong = _has_wrong_quote(taken, fields, options, delimiter)
        yield Record(number, b"".join(taken), wrong=f"the row on line {number:,} {_WRONG_QUOTE}" if is_wrong else "")


def _taken(lines: Iterable[tuple[int, bytes]], taken: list[bytes], most: int) -> Iterator[bytes]:
    """Yield the next lines of a row, and add them to those that are `taken`, until these have so many bytes."""
    size = 0
    for _, line in lines:
        taken.append(line)
        size += len(line)
        yield line
        if size > most:
            return


def _parsed(
    lines: Iterable[bytes], options: CsvOptions, delimiter: str, *, strict: bool = False
) -> Iterator[list[str]]:
    return csv.reader(
        (line.decode("utf-8", "surrogateescape") for line in lines),
        delimiter=delimiter,
        quotechar=options.quote or None,
        escapechar=options.escape or None,
        quoting=csv.QUOTE_MINIMAL if options.quote else csv.QUOTE_NONE,
        strict=strict,
    )


def _has_wrong_quote(lines: Sequence[bytes], fields: Sequence[str], options: CsvOptions, delimiter: str) -> bool:
    """Return whether a quoted field of a row does not end, is too long, or has text behind its end on a later line."""
    is_long = any(len(field) > MOST_BYTES or field.count("\n") >= MOST_LINES for field in fields)
    try:
        next(_parsed(lines, options, delimiter, strict=True))
    except csv.Error as error:
        return len(lines) > 1 or "unexpected end" in str(error)
    return is_long and not options.long_fields
