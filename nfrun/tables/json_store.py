"""Passes tables from node to node as JSON text, as engines without Arrow do. Used for comparison only.

The text has one list per column instead of one object per row. It takes half the time of such engines' text to write
and parse, so a comparison with it is fair to them.
"""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from nfrun.tables.json_values import encode_json
from nfrun.tables.plain_arrays import is_text
from nfrun.tables.store import TableStore
from nfrun.tables.stored_form import as_stored, in_stream


class JsonStore(TableStore):
    """Stores the outputs of one run as JSON text. Each publisher encodes its table; each reader parses it again.

    Only the text is kept. An Arrow file is written only if `file` is called, from the parsed table.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(folder, **{**options, "mode": "memory"})

    def _held(self, table: pa.Table | None) -> Any:
        return None if table is None else to_json(table)

    def _shown(self, held: Any) -> Any:
        return as_stored(from_json(held)) if isinstance(held, str) else held


def to_json(table: pa.Table) -> str:
    """Return the table as a JSON document. `from_json` restores a table with the same types and the same digest.

    `schema` is the serialized Arrow schema in base64; `rows` is the number of rows; `columns` has a list of values for
    each column of texts, numbers or booleans. Any other one, and one with NaN or infinity, is one string: its Arrow IPC
    stream in base64.
    """
    schema = base64.b64encode(table.schema.serialize()).decode()
    columns = ",".join(_column(table, i) for i in range(table.num_columns))
    return f'{{"schema":"{schema}","rows":{table.num_rows},"columns":[{columns}]}}'


def from_json(text: str) -> pa.Table:
    """Return the table that `to_json` encoded."""
    document = json.loads(text)
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(document["schema"])))
    if not len(schema):  # a table without columns still has a number of rows
        return pa.table({"": pa.nulls(document["rows"])}, metadata=schema.metadata).select([])
    columns = [
        pa.ipc.open_stream(base64.b64decode(values)).read_all().column(0)
        if isinstance(values, str)
        else pa.array(values, field.type)
        for values, field in zip(document["columns"], schema, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _column(table: pa.Table, index: int) -> str:
    alone = table.select([index])
    kind = alone.schema.types[0]
    if is_text(kind) or pt.is_boolean(kind) or pt.is_integer(kind) or pt.is_float32(kind) or pt.is_float64(kind):
        with suppress(ValueError):  # NaN or infinity, or a string that is not UTF-8
            return encode_json(alone.column(0).to_pylist())
    return f'"{base64.b64encode(in_stream(alone)).decode()}"'
