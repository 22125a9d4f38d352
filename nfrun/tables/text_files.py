"""Reads CSV and JSON lines: columns with the types that are given, and the others with those that all rows have."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.types as pt

from nfrun.core.text import ellipsize
from nfrun.tables.formats import FormatError
from nfrun.tables.json_types import read_exactly

Open = Callable[[], Any]  # returns the bytes of the file as a stream of pyarrow
Types = Mapping[str, Any]  # types of Arrow by column
_Read = TypeVar("_Read")

NO_TYPES: Types = {}
FILE_NAME = "filename"  # the column with the file of each row

_BLOCK, _MAX_BLOCK = 1 << 22, (1 << 31) - 1  # bytes; a value must fit into a block, and the size into a C int
_DELIMITERS = (";", "\t", "|", ",")
_LONGEST_HEADER = 1 << 16  # bytes of a CSV file that are read for its header alone
_LINE_END = re.compile(rb"(?<=[^\r\n])(?:\r\n?|\n)")
_EMPTY = [""]
_ENCODING = "a read node takes its encoding: with: {encoding: cp1252} (of Windows), or latin-1"
_COLUMN = re.compile(r"In CSV column #(\d+): ")


def read_csv(
    open_file: Open,
    columns: Sequence[str] | None,
    delimiter: str,
    nulls: Sequence[str] | None,
    types: Types,
) -> pa.Table:
    """Return the table in a CSV file: all its columns, or at least those of `columns` that it has.

    An empty field is null. A quoted empty field is an empty text in a column of texts, and null in others. So are NA,
    NULL, nan and the like: texts in a column of texts, null in others. `nulls` replaces all of that.
    """
    try:
        table = _read_guessing(open_file, columns, delimiter, nulls, types)
        _check_utf8(table, open_file, types)
    except UnicodeDecodeError as error:
        if error.encoding != "utf-8":  # the encoding that is given
            raise
        raise ValueError(f"the names in its header are not UTF-8: {_ENCODING}") from error
    return table


def _check_utf8(table: pa.Table, open_file: Open, types: Types) -> None:
    """Raise ValueError for a column that is read as bytes because it has a text that is not UTF-8."""
    for field, column in zip(table.schema, table.columns, strict=True):
        if field.name in types or not pt.is_binary(field.type):
            continue
        text = next(value for value in column.to_pylist() if value is not None and not _is_utf8(value))
        with open_file() as stream:
            lines = io.BufferedReader(stream)
            place = next((f" in line {i}" for i, line in enumerate(lines, 1) if not _is_utf8(line)), "")
        raise ValueError(
            f"its column '{ellipsize(field.name)}' is not UTF-8{place}, {ellipsize(str(text), 40)}: {_ENCODING}"
        )


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read_guessing(
    open_file: Open, columns: Sequence[str] | None, delimiter: str, nulls: Sequence[str] | None, types: Types
) -> pa.Table:
    read = partial(_read_csv, open_file, delimiter, types)
    if nulls is not None:
        return _with_columns(partial(read, nulls=nulls, quoted=True), columns)
    try:
        table = _with_columns(partial(read, nulls=_EMPTY, quoted=False), columns)
    except pa.ArrowInvalid as error:
        if "conversion error" not in str(error):
            raise
        table = _with_columns(partial(read, nulls=None, quoted=True), columns)
        texts = [field.name for field in table.schema if _may_be_texts(field, types)]
        return _replaced(table, read, texts, _EMPTY, quoted=False)
    table = _without_nan(table)
    doubtful = [field.name for i, field in enumerate(table.schema) if _may_be_values(field, table.column(i), types)]
    return _replaced(table, read, doubtful, None, quoted=True, only_values=True)


def with_guessed_types(table: pa.Table) -> pa.Table:
    """Return the table with the types that a csv file gives to its columns of texts."""
    from pyarrow import csv

    places = [i for i, field in enumerate(table.schema) if pt.is_string(field.type)]
    if not places:
        return table
    sink = pa.BufferOutputStream()
    texts = table.select(places)
    last = max(texts.schema.names, key=len) + "_"  # one more column: an empty line would be no row
    csv.write_csv(texts.append_column(last, pa.repeat("x", len(texts))), sink)
    data = sink.getvalue()
    values = read_csv(lambda: pa.BufferReader(data), None, ",", None, NO_TYPES)
    for i, place in enumerate(places):
        table = table.set_column(place, values.schema.field(i), values.column(i))
    return table


def _may_be_texts(field: pa.Field, types: Types) -> bool:
    """Return whether a column has texts, also if all of them may stand for missing values."""
    is_text = pt.is_string(field.type) or pt.is_large_string(field.type)
    return is_text or (pt.is_null(field.type) and field.name not in types)


def _without_nan(table: pa.Table) -> pa.Table:
    """Return the table with nulls for NaN, as the text `nan` is one of those that stand for a missing value."""
    import pyarrow.compute as pc

    for i, field in enumerate(table.schema):
        column = table.column(i)
        if pt.is_floating(field.type) and pc.any(pc.is_nan(column)).as_py():
            table = table.set_column(i, field, pc.if_else(pc.is_nan(column), pa.scalar(None, field.type), column))
    return table


def _may_be_values(field: pa.Field, column: pa.ChunkedArray, types: Types) -> bool:
    """Return whether a column of texts may hold numbers or dates among which some are missing."""
    if field.name in types or not pt.is_string(field.type):
        return False
    import pyarrow.compute as pc
    from pyarrow import csv

    missing = pa.array(csv.ConvertOptions().null_values)
    return bool(pc.any(pc.is_in(column, value_set=missing)).as_py())


def _replaced(
    table: pa.Table,
    read: Callable[..., pa.Table],
    names: Sequence[str],
    nulls: Sequence[str] | None,
    *,
    quoted: bool,
    only_values: bool = False,
) -> pa.Table:
    """Return the table with some columns read again with other nulls, `only_values` those that are no texts then."""
    if not names or len(set(table.schema.names)) < len(table.schema.names):
        return table
    again = read(include=names, nulls=nulls, quoted=quoted)
    for name in names:
        column = again.column(name)
        if not (only_values and (pt.is_string(column.type) or pt.is_null(column.type))):
            table = table.set_column(table.schema.get_field_index(name), pa.field(name, column.type), column)
    return table


def _with_columns(read: Callable[..., pa.Table], columns: Sequence[str] | None) -> pa.Table:
    try:
        return read(include=columns)
    except KeyError:  # a column is missing: another file may have it; if none has, the message lists all
        return read(include=None)


def _read_csv(
    open_file: Open,
    delimiter: str,
    types: Types,
    *,
    include: Sequence[str] | None,
    nulls: Sequence[str] | None,
    quoted: bool,
) -> pa.Table:
    from pyarrow import csv

    def read(block: int, threads: bool = True) -> pa.Table:
        convert = csv.ConvertOptions(include_columns=list(dict.fromkeys(include or [])), column_types=dict(types))
        if nulls is not None:
            convert.null_values, convert.strings_can_be_null = list(nulls), True
            convert.quoted_strings_can_be_null = quoted
        with open_file() as stream:
            return csv.read_csv(
                stream,
                csv.ReadOptions(block_size=block, use_threads=threads),
                csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert,
            )

    try:
        return _growing(read)
    except pa.ArrowInvalid as error:
        if "Expected" not in str(error) and "conversion error" not in str(error):
            raise
        try:
            return _growing(partial(read, threads=False))  # fails again, with the row number in its message
        except pa.ArrowInvalid as with_row:
            message = _with_column_name(str(with_row), open_file, delimiter)
            raise pa.ArrowInvalid(f"{message}{_other_delimiter(message, open_file, delimiter)}") from error


def _other_delimiter(message: str, open_file: Open, delimiter: str) -> str:
    """Return how to read a file with rows of several values whose header is one name with another delimiter."""
    try:
        names = csv_names(open_file, delimiter) if "Expected 1 columns" in message else []
    except (pa.ArrowException, ValueError, OSError):
        return ""
    found = next((other for other in _DELIMITERS if len(names) == 1 and other in names[0]), "")
    return f" (its header has {found!r}: with: {{delimiter: {json.dumps(found)}}})" if found else ""


def one_column(table: pa.Table) -> str:
    """Return what is told of a table whose one column has the names of several, "" if that is not so."""
    (name, *more) = [name for name in table.schema.names if name != FILE_NAME] or [""]
    found = next((other for other in _DELIMITERS[:-1] if other in name), "") if not more else ""
    how = f"'with: {{delimiter: {json.dumps(found)}}}' makes several of it"
    return f"the table has one column, '{ellipsize(name)}': {how}" if found else ""


def _with_column_name(message: str, open_file: Open, delimiter: str) -> str:
    """Return the message of an error with the name of its column, which Arrow counts from 0."""
    if (found := _COLUMN.match(message)) is None:
        return message
    from pyarrow import csv

    def read(block: int) -> Sequence[str]:
        with open_file() as stream:
            options = csv.ReadOptions(block_size=block), csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
            with csv.open_csv(stream, *options) as reader:
                names: Sequence[str] = reader.schema.names
                return names

    try:
        name = _growing(read)[int(found[1])]
    except (pa.ArrowException, ValueError, IndexError):  # the header alone cannot be read
        return message
    return f"column '{ellipsize(name)}': {message[found.end() :]}"


def csv_names(open_file: Open, delimiter: str) -> Sequence[str]:
    """Return the names in the header of a CSV file, of which only the beginning is read.

    Raises ArrowInvalid or ValueError where it cannot be read, as if it is longer than 64 KB.
    """
    from pyarrow import csv

    with open_file() as stream:
        start = bytes(stream.read(_LONGEST_HEADER))
    ends = [found.end() for found in _LINE_END.finditer(start)]
    whole = next((end for end in ends if start.count(b'"', 0, end) % 2 == 0), None)
    if whole is None and len(start) == _LONGEST_HEADER:
        raise ValueError("the header is too long")
    options = csv.ReadOptions(use_threads=False), csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    names: Sequence[str] = csv.read_csv(pa.BufferReader(start[:whole]), *options).schema.names
    return names


def read_jsonl(open_file: Open, types: Types) -> pa.Table:
    """Return the table in a file of JSON lines. A column that no row has is null, if its type is given."""
    from pyarrow import json as arrow_json

    def read(types: Types, only: bool) -> pa.Table:
        others = "ignore" if only else "infer"
        options = arrow_json.ParseOptions(pa.schema(list(types.items())), unexpected_field_behavior=others)

        def read_blocks(block: int) -> pa.Table:
            with open_file() as stream:
                return arrow_json.read_json(stream, arrow_json.ReadOptions(block_size=block), options)

        return _growing(read_blocks)

    try:
        return read_exactly(read, open_file, types)
    except pa.ArrowInvalid as error:
        if str(error) == "Empty JSON file":
            # As written by a filter that matches nothing.
            return pa.table({name: pa.array([], type_) for name, type_ in types.items()})
        raise


def _growing(read: Callable[[int], _Read]) -> _Read:
    """Call `read` with growing block sizes, until the longest value fits: pyarrow fails if one exceeds a block."""
    block = _BLOCK
    while True:
        try:
            return read(block)
        except pa.ArrowInvalid as error:
            # pyarrow gives the second text for a header longer than a block.
            short = "straddling object" in str(error) or "CSV file or block" in str(error)
            if not short or block == _MAX_BLOCK:
                raise
            block = min(block * 16, _MAX_BLOCK)


def with_file_name(table: pa.Table, name: str) -> pa.Table:
    """Return the table with a last column that has this name in each row. Raises FormatError if it has one."""
    if FILE_NAME in table.schema.names:
        raise FormatError(f"{name} has a column '{FILE_NAME}' already: leave the option '{FILE_NAME}' out")
    return table.append_column(FILE_NAME, pa.repeat(pa.scalar(name, pa.string()), table.num_rows))
