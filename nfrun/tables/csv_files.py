"""Reads CSV: columns with the types that are given, and the others with those that all rows have."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from nfrun.core.text import ellipsize
from nfrun.tables.csv_options import FAIL, CsvOptions, wrong_option
from nfrun.tables.csv_source import CsvSource, Rejected
from nfrun.tables.formats import FormatError, endings
from nfrun.tables.plain_arrays import is_text, times_of_day
from nfrun.tables.text_files import FILE_NAME, NO_TYPES, Types, exact, may_be_inexact

_DELIMITERS = (";", "\t", "|", ",")
_EMPTY = [""]
_VALUE = re.compile(r"\s*(?:[-+.]*\d|true|false|nan|inf)", re.IGNORECASE)
_YEAR = re.compile("(19|20)[0-9][0-9]")
_REJECTED = pa.schema([("filename", pa.string()), ("line", pa.int64()), ("reason", pa.string()), ("text", pa.string())])
_ENCODING = "a read node takes its encoding: with: {encoding: cp1252} (of Windows), or latin-1"


def csv_options(given: Mapping[str, Any], source: str) -> CsvOptions:
    """Return the options of the files of this name, the usual ones for None. Raises FormatError for a wrong value."""
    given = {name: value for name, value in given.items() if value is not None}
    for name, value in given.items():
        if wrong := wrong_option(name, value, given, endings(source)[0]):
            raise FormatError(": ".join(wrong))
    return CsvOptions(**given)


def read_csv(
    source: CsvSource, columns: Sequence[str] | None, types: Types, rejected: list[Rejected] | None = None
) -> pa.Table:
    """Return the table in a CSV file: all its columns, or at least those of `columns` that it has.

    An empty field is null, and so is a blank line where there is one column. A quoted empty field is an empty text in a
    column of texts, and null in others. So are NA, NULL, nan and the like: texts in a column of texts, null in others.
    `null_values` replaces all of that. Bad rows that are put aside go to `rejected`.
    """
    try:
        table, bad = _read_rows(source, columns, types)
        _check_utf8(table, types)
    except UnicodeDecodeError as error:
        if error.encoding != "utf-8":  # the encoding that is given
            raise
        raise ValueError(f"the names in its header are not UTF-8: {_ENCODING}") from error
    if rejected is not None:
        rejected += source.rejected(bad)
    return table


def _read_rows(source: CsvSource, columns: Sequence[str] | None, types: Types) -> tuple[pa.Table, Mapping[int, str]]:
    """Return the table, and a warning about rows that it leaves out since a value does not have its type."""
    options = source.options
    try:
        return _finished(_read_guessing(source, columns, types), options, types)
    except pa.ArrowInvalid as error:
        if options.bad_rows == FAIL or not types:
            raise
        texts = {name: pa.string() for name, type_ in types.items() if not pt.is_dictionary(type_)}
        try:
            return _finished(_read_guessing(source, columns, {**types, **texts}), options, types)
        except pa.ArrowNotImplementedError:  # a type that pyarrow makes of texts in files only
            raise error from None


def _check_utf8(table: pa.Table, types: Types) -> None:
    """Raise ValueError for a column that is read as bytes because it has a text that is not UTF-8."""
    wrong = [field.name for field in table.schema if field.name not in types and pt.is_binary(field.type)]
    if wrong:
        raise ValueError(f"its column '{ellipsize(wrong[0])}' is not UTF-8: {_ENCODING}")


def _read_guessing(source: CsvSource, columns: Sequence[str] | None, types: Types) -> pa.Table:
    read = partial(_read_csv, source, types)
    nulls = source.options.null_values
    if nulls is not None:
        return _with_exact(_with_columns(partial(read, nulls=nulls, quoted=True), columns), read, types, nulls)
    try:
        table = _with_columns(partial(read, nulls=_EMPTY, quoted=False), columns)
    except pa.ArrowInvalid as error:
        if "conversion error" not in str(error):
            raise
        table = _with_columns(partial(read, nulls=None, quoted=True), columns)
        texts = [field.name for field in table.schema if _may_be_texts(field, types)]
        return _with_exact(_replaced(table, read, texts, _EMPTY, quoted=False), read, types)
    table = _without_nan(table)
    doubtful = [field.name for i, field in enumerate(table.schema) if _may_be_values(field, table.column(i), types)]
    table = _replaced(table, read, doubtful, None, quoted=True, only_values=True)
    return _with_exact(table, read, types)


def _with_exact(
    table: pa.Table, read: Callable[..., pa.Table], types: Types, nulls: Sequence[str] | None = None
) -> pa.Table:
    """Return the table with numbers of another type where doubles are not the numbers in the file."""
    found = [i for i, field in enumerate(table.schema) if field.name not in types and may_be_inexact(table.column(i))]
    if not found:
        return table
    from pyarrow import csv

    names = table.schema.names
    nulls = csv.ConvertOptions().null_values if nulls is None else nulls
    only = None if len(set(names)) < len(names) else [names[i] for i in found]
    texts = read(include=only, nulls=nulls, quoted=True, as_texts=[names[i] for i in found])
    for place, i in enumerate(found):
        column = exact(texts.column(i if only is None else place), table.column(i))
        table = table.set_column(i, pa.field(names[i], column.type), column)
    return table


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
    values = read_csv(CsvSource(lambda: pa.BufferReader(data), CsvOptions(long_fields=True), ","), None, NO_TYPES)
    for i, place in enumerate(places):
        table = table.set_column(place, values.schema.field(i), values.column(i))
    return table


def _may_be_texts(field: pa.Field, types: Types) -> bool:
    """Return whether a column has texts, also if all of them may stand for missing values."""
    return is_text(field.type) or (pt.is_null(field.type) and field.name not in types)


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
    length = pc.binary_length(column)
    if (pc.min(length).as_py() or 0) > max(map(len, missing.to_pylist())):
        return False
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
    source: CsvSource,
    types: Types,
    *,
    include: Sequence[str] | None,
    nulls: Sequence[str] | None,
    quoted: bool,
    as_texts: Sequence[str] = (),
) -> pa.Table:
    from pyarrow import csv

    options = source.options
    convert = csv.ConvertOptions(
        include_columns=list(dict.fromkeys(include or [])),
        column_types={**types_to_read(types, options), **dict.fromkeys(as_texts, pa.string())},
        decimal_point=options.decimal,
    )
    if nulls is not None:
        convert.null_values, convert.strings_can_be_null = list(nulls), True
        convert.quoted_strings_can_be_null = quoted
    try:
        return source.read(convert)
    except pa.ArrowInvalid as error:
        message = source.column_name(str(error))
        found = _other_delimiter(source.names) if "Expected 1 columns" in message else ""
        hint = f" (its header has {found!r}: with: {{delimiter: {json.dumps(found)}}})" if found else ""
        raise pa.ArrowInvalid(f"{message}{hint}") from error


def _other_delimiter(names: Sequence[str]) -> str:
    """Return the delimiter that a header of one name seems to have, "" if it has none."""
    return next((other for other in _DELIMITERS if len(names) == 1 and other in names[0]), "")


def warnings(table: pa.Table, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield a warning if the header seems to have another delimiter, or to be a row."""
    names = [name for name in table.schema.names if name != FILE_NAME]
    if "delimiter" not in options and (found := _other_delimiter(names)):
        how = f"'with: {{delimiter: {json.dumps(found)}}}' makes several of it"
        yield f"the table has one column, '{ellipsize(names[0])}': {how}"
    if "header" not in options and (value := _value_in_header(table)):
        told = f"the first row looks like data, not like the names of columns: '{ellipsize(value, 40)}'"
        how = "'header: false' reads it as a row, 'header: [a, b]' names the columns, and 'header: true' is silent"
        yield f"{told}. Under 'with', {how}"


def _value_in_header(table: pa.Table) -> str:
    """Return the name of a column that is a value, if all columns but those of texts have such names.

    A year may be a name.
    """
    found = ""
    for field in table.schema:
        if pt.is_string(field.type) or pt.is_null(field.type):
            continue
        if not _VALUE.match(field.name):  # so that Arrow need not import pandas, as it does for the first array
            return ""
        try:
            pa.array([field.name]).cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return ""
        found = found or ("" if _YEAR.fullmatch(field.name) else field.name)
    return found


def rejected_rows(rows: Sequence[Rejected]) -> pa.Table:
    """Return the table with the rows that are put aside, by their files."""
    return pa.Table.from_pylist(list(rows), _REJECTED)


# ------------------------------------------------------------------ foreign numbers and dates


def types_to_read(types: Types, options: CsvOptions) -> Types:
    """Return the types as which Arrow reads columns that `_finished` makes those of `types` of."""
    texts = {
        name: pa.string()
        for name, type_ in types.items()
        if (options.thousands and _is_number(type_)) or (options.formats and _is_day(type_))
    }
    return {**types, **texts}


def _finished(table: pa.Table, options: CsvOptions, types: Types) -> tuple[pa.Table, Mapping[int, str]]:
    """Return the table with numbers and dates for what Arrow has read as texts, and what is wrong with bad rows.

    These are left out. Raises ArrowInvalid for a bad row if it is to fail.
    """
    names = table.schema.names
    texts = [i for i, field in enumerate(table.schema) if types.get(field.name, field.type) != field.type]
    made: dict[int, pa.ChunkedArray] = {}
    bad: dict[int, str] = {}
    for i in texts:
        column, type_ = table.column(i), types[names[i]]
        try:
            made[i] = converted(column, type_, options)
        except pa.ArrowInvalid:
            for row in bad_values(column, type_, options):
                bad.setdefault(row, f"'{ellipsize(str(column[row]), 40)}' in the column '{names[i]}' is no {type_}")
    if bad and options.bad_rows == FAIL:
        first = min(bad)
        raise pa.ArrowInvalid(f"Row #{first + options.skip + (2 if options.header is True else 1):,}: {bad[first]}")
    if bad:
        table = table.take(pa.array([i for i in range(table.num_rows) if i not in bad], pa.int64()))
        made = {i: converted(table.column(i), types[names[i]], options) for i in texts}
    for i, field in enumerate(table.schema):
        if field.name not in types and pt.is_string(field.type) and (options.thousands or options.formats):
            made[i] = _guessed(table.column(i), options)
        if i in made:
            table = table.set_column(i, pa.field(field.name, made[i].type), made[i])
    return table, bad


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
