"""Reads JSON lines: columns with the types that are given, and the others with those that all rows have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pyarrow as pa

from nfrun.tables.formats import FormatError
from nfrun.tables.json_types import read_exactly

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
