"""Reads JSON lines: columns with the types that are given, and the others with those that all rows have."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from io import BufferedReader
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.types as pt

from nfrun.core.text import ellipsize
from nfrun.tables.formats import FormatError
from nfrun.tables.plain_arrays import times_of_day, with_inner_types

Open = Callable[[], Any]  # returns the bytes of the file as a stream of pyarrow
Types = Mapping[str, Any]  # types of Arrow by column
_Read = TypeVar("_Read")

NO_TYPES: Types = {}
FILE_NAME = "filename"  # the column with the file of each row

BLOCK, _MAX_BLOCK = 1 << 22, (1 << 31) - 1  # bytes; a value must fit into a block, and the size into a C int


def read_jsonl(open_file: Open, types: Types) -> pa.Table:
    """Return the table in a file of JSON lines. A column that no row has is null, if its type is given."""
    from pyarrow import json as arrow_json

    def read(types: Types, only: bool) -> pa.Table:
        others = "ignore" if only else "infer"
        options = arrow_json.ParseOptions(pa.schema(list(types.items())), unexpected_field_behavior=others)

        def read_blocks(block: int) -> pa.Table:
            with open_file() as stream:
                return arrow_json.read_json(stream, arrow_json.ReadOptions(block_size=block), options)

        return growing(read_blocks)

    try:
        return read_exactly(read, open_file, types)
    except pa.ArrowInvalid as error:
        if str(error) == "Empty JSON file":
            # As written by a filter that matches nothing.
            return pa.table({name: pa.array([], type_) for name, type_ in types.items()})
        raise


def growing(read: Callable[[int], _Read], before: Callable[[], None] = lambda: None) -> _Read:
    """Call `read` with growing block sizes, until the longest value fits: pyarrow fails if one exceeds a block.

    `before` is called each time that it did not fit, and may raise what is wrong with it.
    """
    block = BLOCK
    while True:
        try:
            return read(block)
        except pa.ArrowInvalid as error:
            # pyarrow gives the second text for a header longer than a block.
            short = "straddling object" in str(error) or "CSV file or block" in str(error)
            if not short or block == _MAX_BLOCK:
                raise
            before()
            block = min(block * 16, _MAX_BLOCK)


def with_file_name(table: pa.Table, name: str) -> pa.Table:
    """Return the table with a last column that has this name in each row. Raises FormatError if it has one."""
    if FILE_NAME in table.schema.names:
        raise FormatError(f"{name} has a column '{FILE_NAME}' already: leave the option '{FILE_NAME}' out")
    return table.append_column(FILE_NAME, pa.repeat(pa.scalar(name, pa.string()), table.num_rows))


# ------------------------------------------------------------------ types that hold what JSON says

# Arrow's reader drops time zones, and makes floats of whole numbers that 64 bits do not hold.

# Reads columns of these types: `only` them, or those with the others, whose types are inferred.
Read = Callable[[Types, bool], pa.Table]

_ZONED = r"[T ]\d\d[:\d.]*(Z|[+-]\d\d(:?\d\d)?)$"
_EXACT = float(1 << 53)  # up to here, a double holds each whole number
_DIGITS = 38  # of a decimal128


def read_exactly(read: Read, open_file: Callable[[], Any], types: Types) -> pa.Table:
    """Return the table that `read` gives, without a value that the file has in another way.

    Of columns whose type is not given: times that all have a zone are in UTC, and texts where only some have one.
    Raises ValueError for times that have a zone against their type, or none, and for a whole number that no double is.
    """
    given = {
        name: type_ for name, type_ in types.items() if pt.is_timestamp(type_) or pt.is_date(type_) or pt.is_time(type_)
    }
    table = read({**types, **dict.fromkeys(given, pa.string())}, False)
    for name, type_ in given.items():
        texts = table.column(name)
        if pt.is_timestamp(type_):
            _zoned(name, type_, texts, True)
        column = times_of_day(texts, type_) if pt.is_time(type_) else texts.cast(type_)
        table = table.set_column(table.schema.get_field_index(name), name, column)
    times = {
        field.name: field.type
        for field in table.schema
        if any(map(pt.is_timestamp, _leaf_types(field.type))) and field.name not in given
    }
    if times:
        as_text: Callable[[Any], Any] = lambda type_: pa.string() if pt.is_timestamp(type_) else type_  # noqa: E731
        texts = read({name: with_inner_types(type_, as_text) for name, type_ in times.items()}, True)
        for name, type_ in times.items():
            zoned = _zoned(name, type_, texts.column(name), name in types)
            if zoned != type_:
                table = table.set_column(table.schema.get_field_index(name), name, texts.column(name).cast(zoned))
    for name in table.column_names:
        if name not in types and any(map(may_be_inexact, _leaves(table.column(name)))):
            _check_whole_numbers(name, open_file)
    return table


def _zoned(name: str, type_: pa.DataType, texts: pa.ChunkedArray, is_given: bool) -> pa.DataType:
    """Return the type of a column with times, whose texts are given. Raises ValueError if it is not that given."""
    import pyarrow.compute as pc

    found = []
    for leaf, column in zip(_leaf_types(type_), _leaves(texts), strict=True):
        found.append(leaf)
        if not pt.is_timestamp(leaf):
            continue
        has_zone = pc.match_substring_regex(column, _ZONED)
        if is_given:
            wrong = column.filter(pc.not_equal(has_zone, leaf.tz is not None))
            if len(wrong):
                has, and_type = ("no time zone", "one") if leaf.tz else ("a time zone", "none")
                what = f"'{ellipsize(wrong[0].as_py(), 40)}' has {has}, and {leaf} has {and_type}"
                raise ValueError(f"column '{ellipsize(name)}': {what}")
        elif pc.any(has_zone).as_py():
            found[-1] = pa.timestamp(leaf.unit, "UTC") if pc.all(has_zone).as_py() else pa.string()
    leaves = iter(found)
    return with_inner_types(type_, lambda _: next(leaves))


class _Lost(Exception):
    """A whole number that no double is."""


def _double(text: str) -> float:
    value = float(text)
    if Decimal(repr(value)) != Decimal(text):
        raise _Lost(ellipsize(text, 40))
    return value


def _check_whole_numbers(name: str, open_file: Callable[[], Any]) -> None:
    """Raise ValueError for a whole number in a column of floats that would become another one."""
    with open_file() as stream:
        for number, line in enumerate(BufferedReader(stream), 1):
            try:
                # Python makes no longer ones of texts, and the beginning of such a number is no double either.
                row = json.loads(line, parse_int=lambda text: int(text[:4300])) if line.strip() else {}
                json.loads(json.dumps(row.get(name)), parse_int=_double)
            except _Lost as lost:
                what = f"column '{ellipsize(name)}' has {lost} in line {number}, which neither int64 nor a double is"
                how = f"write it as a text, or give its type in a schema, such as {ellipsize(name)}: uint64"
                raise ValueError(f"{what}: {how}") from None
            except ValueError:  # several values in a line, which Arrow reads
                continue


def _leaf_types(type_: pa.DataType) -> list[pa.DataType]:
    """Return the types inside of lists and structs, in the order in which `_leaves` has their values."""
    if pt.is_list(type_) or pt.is_struct(type_):
        return [leaf for i in range(type_.num_fields) for leaf in _leaf_types(type_.field(i).type)]
    return [type_]


def _leaves(column: pa.ChunkedArray) -> Iterator[pa.ChunkedArray]:
    """Yield the values inside of lists and structs, those of each field of a struct by themselves."""
    import pyarrow.compute as pc

    if pt.is_list(column.type):
        yield from _leaves(pc.list_flatten(column))
    elif pt.is_struct(column.type):
        for i in range(column.type.num_fields):
            yield from _leaves(pc.struct_field(column, [i]))
    else:
        yield column


# ------------------------------------------------------------------ whole numbers past 64 bits


def may_be_inexact(column: pa.ChunkedArray) -> bool:
    """Return whether a column has doubles that stand for several whole numbers."""
    import pyarrow.compute as pc

    if not pt.is_floating(column.type):
        return False
    return bool(pc.any(pc.greater_equal(pc.abs(column), _EXACT)).as_py())  # infinity, too: of 400 digits, say


def check_doubles(columns: Sequence[pa.ChunkedArray]) -> None:
    """Raise ArrowInvalid for decimals that are not read as doubles, since others would become the same."""
    import pyarrow.compute as pc

    for column in columns:
        if pt.is_decimal128(column.type) and (pc.max(pc.abs(column.cast(pa.float64()))).as_py() or 0) >= _EXACT:
            raise pa.ArrowInvalid("a decimal is larger than whole numbers in doubles")


def exact(texts: pa.ChunkedArray, doubles: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return numbers that are given as texts: the doubles that Arrow makes of them, unless one is another number.

    Then they are uint64, or decimals, or else texts. A number with an exponent is a double, and counts as one.
    """
    import pyarrow.compute as pc

    large = pc.fill_null(pc.greater_equal(pc.abs(doubles), _EXACT), False)
    if not any(_is_other(text) for text in texts.filter(large).to_pylist()):
        return doubles
    numbers = pc.ascii_trim_whitespace(texts)
    point = pc.find_substring(numbers, ".")
    length = pc.binary_length(numbers)
    scale = pc.max(pc.if_else(pc.less(point, 0), 0, pc.subtract(pc.subtract(length, point), 1))).as_py()
    whole = pc.max(pc.if_else(pc.less(point, 0), length, point)).as_py()
    if whole + scale > _DIGITS:  # Arrow would cut it
        return texts
    for type_ in ([pa.uint64()] if not scale else []) + [pa.decimal128(_DIGITS, scale)]:
        try:
            return numbers.cast(type_)
        except pa.ArrowInvalid:
            continue
    return texts


def _is_other(text: str) -> bool:
    """Return whether the double that is nearest to a number is written otherwise, so that others become the same."""
    return "e" not in text.lower() and Decimal(text.strip()) != Decimal(repr(float(text)))
