"""Names the folders of partitions as Hive does (`country=DE`), and reads the columns back that such names hold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.types as pt

from nfrun.core.text import ellipsize
from nfrun.core.values import frozen
from nfrun.tables.formats import FormatError
from nfrun.tables.plain_arrays import is_text, plain_column

NULL = "__HIVE_DEFAULT_PARTITION__"

_SPECIAL = re.compile("[\x00-\x1f\x7f\"#%'*/:=?\\\\{\\[\\]^]")
_WHOLE = re.compile("0|-?[1-9][0-9]*")
_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


def folder_name(column: str, value: str | None) -> str:
    """Return the name of the folder for the rows that have this text in the column. Null and "" share a folder."""
    return f"{_escaped(column)}={_escaped(value) if value else NULL}"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda found: f"%{ord(found[0]):02X}", text)


@frozen
class Partitions:
    """The columns that the paths of files hold: for each file its texts (None: null), and the type of each column."""

    texts: Mapping[str, Mapping[str, str | None]]
    types: Mapping[str, Any]

    def add_to(self, table: pa.Table, file: str) -> pa.Table:
        """Return the table of a file with the columns of its path, behind those of other names."""
        if not self.types:
            return table
        table = table.select([i for i, name in enumerate(table.schema.names) if name not in self.types])
        for column, text in self.texts[file].items():
            value = pa.scalar(text, pa.string()).cast(self.types[column])
            table = table.append_column(column, pa.repeat(value, table.num_rows))
        return table


def partitions_of(folder: str, files: Sequence[str], types: Mapping[str, Any]) -> Partitions:
    """Return the columns that the paths of `files` in `folder` hold.

    The path of a folder ends in `/`; any other source has no such columns. A column without one of the given `types`
    is int64 if all of its texts are whole numbers as they are usually written, date32 if all are dates, and else
    string. Raises FormatError if not all files have the same columns, or if a text does not have the given type.
    """
    if not folder.endswith("/"):
        return Partitions({}, {})
    texts = {file: _values(file.removeprefix(folder)) for file in files}
    first = files[0]
    for file in files:
        if list(texts[file]) != list(texts[first]):
            one, other = (", ".join(texts[name]) or "none" for name in (first, file))
            what = f"their paths hold different columns: {one}, and {other}"
            raise FormatError(f"{first} and {file} cannot be read as one table, as {what}")
    found = {}
    for column in texts[first]:
        values = list(dict.fromkeys(texts[file][column] for file in files))
        found[column] = types.get(column) or _type_of([value for value in values if value is not None])
        try:
            pa.array(values, pa.string()).cast(found[column])
        except pa.ArrowException as error:
            what = f"the column '{column}', which paths in {folder} hold, cannot be read as {found[column]}"
            raise FormatError(f"{what}: {ellipsize(str(error), 160)}") from error
    return Partitions(texts, found)


def column_of(folder: str) -> str:
    """Return the column that the name of a folder holds, "" if it holds none."""
    column, equals, _ = folder.partition("=")
    return unquote(column) if equals else ""


def _values(path: str) -> dict[str, str | None]:
    """Return the columns in the path of a file, with their texts."""
    found: dict[str, str | None] = {}
    for part in PurePath(path).parts[:-1]:
        if column := column_of(part):
            text = part.partition("=")[2]
            found[column] = None if text in (NULL, "") else unquote(text)
    return found


def _type_of(texts: Sequence[str]) -> pa.DataType:
    for pattern, kind in ((_WHOLE, pa.int64()), (_DATE, pa.date32())):
        if texts and all(map(pattern.fullmatch, texts)):
            with suppress(pa.ArrowInvalid):  # a number past 64 bits, or no day
                pa.array(texts, pa.string()).cast(kind)
                return kind
    return pa.string()


def with_plain_columns(table: pa.Table) -> pa.Table:
    """Return the table without encodings of columns from which Arrow cannot take rows."""
    for i, field in enumerate(table.schema):
        if pt.is_string_view(field.type) or pt.is_binary_view(field.type):
            plain = plain_column(table.column(i))
            table = table.set_column(i, field.with_type(plain.type), plain)
    return table


def texts_of(column: pa.ChunkedArray, name: str) -> pa.Array:
    """Return the values of a column as texts, in a dictionary. Raises FormatError for a type that has no such texts."""
    kind = column.type.value_type if pt.is_dictionary(column.type) else column.type
    if not (is_text(kind) or pt.is_integer(kind) or pt.is_boolean(kind) or pt.is_date(kind) or pt.is_null(kind)):
        what = f"'{name}' is {kind}, and rows are partitioned by texts, whole numbers, booleans and dates"
        raise FormatError(f"{what}: cast it in a sql node")
    plain = column.cast(pa.date32() if pt.is_date64(kind) else kind)
    return plain.cast(pa.large_string()).combine_chunks().dictionary_encode()
