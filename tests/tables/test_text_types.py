"""The types that text is read as are those that Arrow's readers of csv and JSON know."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import csv, json

from nfrun.tables.contracts.column_types import arrow_type
from nfrun.tables.contracts.type_names import DECIMALS, PLAIN, is_read, parse_type

NAMES = [
    *PLAIN,
    *("date32[day]", "date64[ms]", "time32[s]", "time32[ms]", "time64[us]", "time64[ns]"),
    *(f"{name}[{unit}]" for name in ("timestamp", "duration") for unit in ("s", "ms", "us", "ns")),
    *("integer", "number", "string", "boolean", "date", "timestamp", "binary", "timestamp[us, tz=UTC]"),
    *(f"{name}(9, 2)" for name in DECIMALS),
    *(f"{name}<int64>" for name in ("list", "large_list")),
    *("fixed_size_list<int64>[2]", "struct<a: int64>", "map<string, int64>", "fixed_size_binary[2]"),
    *("list<struct<a: list<string>>>", "list<float16>", "struct<a: map<string, int64>>"),
    *(
        f"dictionary<values={values}, indices={indices}>"
        for values in ("string", "int64")
        for indices in ("int8", "int32")
    ),
]


def read_csv(type_: Any) -> None:
    csv.read_csv(io.BytesIO(b"c,d\n,1\n"), convert_options=csv.ConvertOptions(column_types={"c": type_}))


def read_json(type_: Any) -> None:
    options = json.ParseOptions(explicit_schema=pa.schema({"c": type_}))
    json.read_json(io.BytesIO(b'{"c": null, "d": 1}\n'), parse_options=options)


@pytest.mark.parametrize(("format", "read"), [("csv", read_csv), ("jsonl", read_json)])
def test_what_arrow_reads(format: str, read: Callable[[Any], None]) -> None:
    for name in NAMES:
        type_ = parse_type(name)[0]
        if not is_read(type_, format):
            with pytest.raises(pa.ArrowNotImplementedError):
                read(arrow_type(type_))
        else:
            read(arrow_type(type_))
