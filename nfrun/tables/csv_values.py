"""Reads what people write in place of numbers and dates: groups of thousands, decimal commas, days before months."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.types as pt

from nfrun.core.text import ellipsize
from nfrun.tables.csv_options import CsvOptions
from nfrun.tables.exact_numbers import exact
from nfrun.tables.plain_arrays import times_of_day
from nfrun.tables.text_files import Types


def types_to_read(types: Types, options: CsvOptions) -> Types:
    """Return the types as which Arrow reads columns that `finished` makes those of `types` of."""

    def is_text(type_: pa.DataType) -> bool:
        return bool(options.thousands and _is_number(type_)) or bool(options.formats and _is_day(type_))

    return {name: pa.string() if is_text(type_) else type_ for name, type_ in types.items()}


def finished(table: pa.Table, options: CsvOptions, types: Types) -> pa.Table:
    """Return the table with numbers and dates for what Arrow has read as texts. Raises ArrowInvalid."""
    if not options.thousands and not options.formats:
        return table
    for i, field in enumerate(table.schema):
        column, type_ = table.column(i), types.get(field.name)
        if type_ is not None and type_ != field.type:
            column = _typed(column, type_, options, field.name)
        elif type_ is None and pt.is_string(field.type):
            column = _guessed(column, options)
        table = table.set_column(i, pa.field(field.name, column.type), column)
    return table


def converted(column: pa.ChunkedArray, type_: pa.DataType, options: CsvOptions) -> pa.ChunkedArray:
    """Return texts as values of this type. Raises ArrowInvalid, ArrowNotImplementedError."""
    if not pt.is_string(column.type) or pt.is_string(type_):
        return column.cast(type_)
    texts = _without_missing(column, options)
    if _is_number(type_):
        return _plain(texts, options).cast(type_)
    if options.formats and _is_day(type_):
        zone = type_.tz if pt.is_timestamp(type_) else None
        times = _times(texts, options.formats, pa.timestamp("us", zone))
        if (zone is None) != (times.type.tz is None):
            raise pa.ArrowInvalid("a time has a zone, and the type has none, or the other way round")
        return _as_dates(times).cast(type_) if pt.is_date(type_) else times.cast(type_)
    return times_of_day(texts, type_) if pt.is_time(type_) else texts.cast(type_)


def _times(texts: pa.ChunkedArray, formats: Sequence[str], type_: pa.DataType) -> pa.ChunkedArray:
    """Return texts in one of these formats, or in ISO 8601, as times, with a zone if they have one.

    `type_` is that where no text has one of the formats. Raises ArrowInvalid for another text, and if only some have a
    zone.
    """
    import pyarrow.compute as pc

    parsed = [pc.strptime(texts, format, type_.unit, error_is_null=True) for format in formats]
    parsed = [times for times in parsed if times.null_count < len(times)]
    if len({times.type for times in parsed}) > 1:
        raise pa.ArrowInvalid("some times have a zone, and others have none")
    found = pc.coalesce(*parsed) if parsed else pa.chunked_array([pa.nulls(len(texts), type_)])
    if pc.any(pc.less_equal(pc.day(found), 3)).as_py():  # Arrow makes the 2nd of March of 31.02.
        for text in texts.filter(pc.match_substring_regex(texts, "29|30|31")).unique().to_pylist():
            if any(_is_no_day(text, format) for format in formats):
                raise pa.ArrowInvalid(f"'{text}' is a day that its month does not have")
    others = pc.if_else(pc.is_null(found), texts, None)
    return found if others.null_count == len(others) else pc.coalesce(found, others.cast(found.type))


def _as_dates(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the days of times. Raises ArrowInvalid for a time of day, which a cast of Arrow drops."""
    days = times.cast(pa.date32())
    if not days.cast(times.type).equals(times):
        raise pa.ArrowInvalid("a time is no day")
    return days


def _is_no_day(text: str, format: str) -> bool:
    try:
        datetime.strptime(text, format.replace("%e", "%d").replace("%F", "%Y-%m-%d").replace("%D", "%m/%d/%y"))
    except ValueError as error:
        return "day is out of range" in str(error)
    return False


def bad_values(column: pa.ChunkedArray, type_: pa.DataType, options: CsvOptions) -> list[int]:
    """Return the places of the texts in a column that are no values of this type."""
    if len(column) == 0:
        return []
    try:
        converted(column, type_, options)
    except pa.ArrowInvalid:
        if len(column) == 1:
            return [0]
        middle = len(column) // 2
        behind = bad_values(column.slice(middle), type_, options)
        return [*bad_values(column.slice(0, middle), type_, options), *[middle + i for i in behind]]
    return []


def _typed(column: pa.ChunkedArray, type_: pa.DataType, options: CsvOptions, name: str) -> pa.ChunkedArray:
    try:
        return converted(column, type_, options)
    except pa.ArrowInvalid as error:
        place = bad_values(column, type_, options)[0]
        row = f"Row #{place + (2 if options.header is True else 1):,}"
        what = f"column '{ellipsize(name)}': {row}: CSV conversion error to {type_}: invalid value '{column[place]}'"
        raise pa.ArrowInvalid(what) from error


def _is_number(type_: pa.DataType) -> bool:
    return bool(pt.is_integer(type_) or pt.is_floating(type_) or pt.is_decimal(type_))


def _is_day(type_: pa.DataType) -> bool:
    return bool(pt.is_date(type_) or pt.is_timestamp(type_))


def _without_missing(column: pa.ChunkedArray, options: CsvOptions) -> pa.ChunkedArray:
    """Return texts without space around them, and with nulls for those that stand for a missing value."""
    import pyarrow.compute as pc
    from pyarrow import csv

    texts = pc.ascii_trim_whitespace(column)
    nulls = csv.ConvertOptions().null_values if options.null_values is None else list(options.null_values)
    return pc.if_else(pc.is_in(texts, pa.array(nulls, pa.string())), None, texts)


def _plain(texts: pa.ChunkedArray, options: CsvOptions) -> pa.ChunkedArray:
    """Return numbers as Arrow reads them. Raises ArrowInvalid if groups of thousands have another length than three."""
    import pyarrow.compute as pc

    if options.thousands:
        group, point = re.escape(options.thousands), re.escape(options.decimal)
        pattern = rf"^[+-]?[0-9]{{1,3}}({group}[0-9]{{3}})*({point}[0-9]+)?$|^[+-]?[0-9]*({point}[0-9]*)?([eE].*)?$"
        if pc.all(pc.match_substring_regex(texts, pattern)).as_py() is False:
            raise pa.ArrowInvalid("a text is no number")
        texts = pc.replace_substring(texts, options.thousands, "")
    return pc.replace_substring_regex(pc.replace_substring(texts, options.decimal, "."), r"^\+", "")


def _guessed(column: pa.ChunkedArray, options: CsvOptions) -> pa.ChunkedArray:
    """Return texts as the numbers or times that they all are, else as they are."""
    texts = _without_missing(column, options)
    if texts.null_count == len(texts):
        return column
    for guess in ([_numbers] if options.thousands else []) + ([_days] if options.formats else []):
        try:
            guess(texts.slice(0, 100), options)  # most texts are none
            return guess(texts, options)
        except pa.ArrowInvalid:
            continue
    return column


def _numbers(texts: pa.ChunkedArray, options: CsvOptions) -> pa.ChunkedArray:
    plain = _plain(texts, options)
    doubles = plain.cast(pa.float64())
    try:
        return plain.cast(pa.int64())
    except pa.ArrowInvalid:
        found = exact(plain, doubles)
        if pt.is_string(found.type):
            raise
        return found


def _days(texts: pa.ChunkedArray, options: CsvOptions) -> pa.ChunkedArray:
    """Return times, as dates where no format has a time of day and all times are midnight."""
    times = _times(texts, options.formats, pa.timestamp("s"))
    if options.has_times or times.type.tz is not None:
        return times
    try:
        return _as_dates(times)
    except pa.ArrowInvalid:
        return times
