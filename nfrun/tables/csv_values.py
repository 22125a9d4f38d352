"""Reads what people write in place of numbers and dates: groups of thousands, decimal commas, days before months."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.types as pt

from nfrun.core.text import ellipsize
from nfrun.tables.csv_options import CsvOptions
from nfrun.tables.exact_numbers import exact
from nfrun.tables.text_files import Types


def types_to_read(types: Types, options: CsvOptions) -> Types:
    """Return the types as which Arrow reads columns that `finished` makes those of `types` of."""

    def read_as(type_: pa.DataType) -> pa.DataType:
        if options.thousands and _is_number(type_):
            return pa.string()
        return pa.timestamp("s") if options.formats and pt.is_date(type_) else type_

    return {name: read_as(type_) for name, type_ in types.items()}


def finished(table: pa.Table, options: CsvOptions, types: Types) -> pa.Table:
    """Return the table with numbers and dates for what Arrow has read as texts and times. Raises ArrowInvalid."""
    if not options.thousands and not options.formats:
        return table
    for i, field in enumerate(table.schema):
        column, type_ = table.column(i), types.get(field.name)
        if options.thousands and pt.is_string(field.type) and (type_ is None or _is_number(type_)):
            column = _number(column, options, type_, field.name)
        elif pt.is_timestamp(field.type):
            column = _date(column, options, type_)
        table = table.set_column(i, pa.field(field.name, column.type), column)
    return table


def _is_number(type_: pa.DataType) -> bool:
    return bool(pt.is_integer(type_) or pt.is_floating(type_) or pt.is_decimal(type_))


def _number(column: pa.ChunkedArray, options: CsvOptions, type_: pa.DataType | None, name: str) -> pa.ChunkedArray:
    """Return texts as numbers: of this type, or of one that holds all of them; as they are if not all are numbers."""
    import pyarrow.compute as pc
    from pyarrow import csv

    texts = pc.ascii_trim_whitespace(column)
    if options.null_values is None:
        texts = pc.if_else(pc.is_in(texts, pa.array(csv.ConvertOptions().null_values)), None, texts)
    group, point = re.escape(options.thousands), re.escape(options.decimal)
    grouped = rf"^[+-]?[0-9]{{1,3}}({group}[0-9]{{3}})*({point}[0-9]+)?$|^[+-]?[0-9]+({point}[0-9]+)?$"
    fits = pc.match_substring_regex(texts, grouped)
    if type_ is None and (pc.all(fits).as_py() is not True or texts.null_count == len(texts)):
        return column
    if pc.all(fits).as_py() is False:
        wrong = texts.filter(pc.invert(fits))[0].as_py()
        raise pa.ArrowInvalid(f"column '{ellipsize(name)}': CSV conversion error to {type_}: invalid value '{wrong}'")
    plain = pc.replace_substring(pc.replace_substring(texts, options.thousands, ""), options.decimal, ".")
    plain = pc.replace_substring_regex(plain, r"^\+", "")
    if type_ is not None:
        return plain.cast(type_)
    try:
        return plain.cast(pa.int64())
    except pa.ArrowInvalid:
        found = exact(plain, plain.cast(pa.float64()))
        return column if pt.is_string(found.type) else found


def _date(column: pa.ChunkedArray, options: CsvOptions, type_: pa.DataType | None) -> pa.ChunkedArray:
    """Return times as dates: where these are asked for, or where no format has a time and all times are midnight."""
    if type_ is not None:
        return column.cast(type_) if pt.is_date(type_) else column
    if options.has_times or column.type.tz is not None or column.null_count == len(column):
        return column
    try:
        return column.cast(pa.date32())
    except pa.ArrowInvalid:
        return column
