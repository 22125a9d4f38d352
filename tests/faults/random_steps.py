"""The functions of random pipelines (`random_pipelines.py`), and how to make columns of all types."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

arrays: dict[str, list[Any]] = {}  # by output: what its table was made of


class Tagged(pa.ExtensionType):
    """An extension type that is not registered."""

    name = "trial.tagged"

    def __init__(self) -> None:
        super().__init__(pa.int64(), self.name)

    def __arrow_ext_serialize__(self) -> bytes:
        return b"tag"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: Any, serialized: bytes) -> Tagged:
        return cls()


class Known(Tagged):
    """An extension type that is registered."""

    name = "trial.known"


with suppress(pa.ArrowKeyError):  # another copy of this module has done it
    pa.register_extension_type(Known())


def _simple(kind: pa.DataType, value: Callable[[random.Random], Any]) -> Callable[[random.Random, int], pa.Array]:
    def column(chance: random.Random, rows: int) -> pa.Array:
        return pa.array([None if chance.random() < 0.2 else value(chance) for _ in range(rows)], kind)

    return column


def _word(chance: random.Random) -> str:
    return chance.choice(("", "a", "b", "ä€", "a longer text than fits", 'quoted "x", y'))


def _bytes(chance: random.Random) -> bytes:
    return chance.choice((b"", b"\0", b"abc", b"\xff" * 20))


def _moment(chance: random.Random) -> dt.datetime:
    return dt.datetime(2020, 1, 1) + dt.timedelta(days=chance.randrange(3000), seconds=chance.randrange(86400))


def _float(chance: random.Random) -> float:
    return chance.choice((0.0, -0.0, 1.5, -2.25, float("nan"), float("inf"), 1e300))


def _dictionary(values: Callable[[random.Random], pa.Array]) -> Callable[[random.Random, int], pa.Array]:
    def column(chance: random.Random, rows: int) -> pa.Array:
        found = values(chance)
        indices = [None if chance.random() < 0.2 else chance.randrange(len(found)) for _ in range(rows)]
        return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int8()), found)

    return column


def _ints(chance: random.Random, rows: int) -> pa.Array:
    return _simple(pa.int64(), lambda chance: chance.randrange(100))(chance, rows)


COLUMNS: dict[str, Callable[[random.Random, int], pa.Array]] = {
    **{
        str(kind): _simple(kind, lambda chance: chance.randrange(100))
        for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
    },
    **{str(kind): _simple(kind, _word) for kind in (pa.string(), pa.large_string(), pa.string_view())},
    **{str(kind): _simple(kind, _bytes) for kind in (pa.binary(), pa.large_binary(), pa.binary_view())},
    **{
        str(kind): _simple(kind, _moment)
        for kind in (
            *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")),
            *(pa.timestamp("us", zone) for zone in ("UTC", "Europe/Berlin", "+05:30")),
            *(pa.date32(), pa.date64()),
        )
    },
    **{
        str(kind): _simple(kind, lambda chance: decimal.Decimal(chance.randrange(1000)) / 100)
        for kind in (pa.decimal32(7, 2), pa.decimal64(12, 2), pa.decimal128(20, 2), pa.decimal256(50, 2))
    },
    "float": _simple(pa.float32(), lambda chance: chance.choice((0.0, -0.0, 1.5, float("nan")))),
    "double": _simple(pa.float64(), _float),
    "halffloat": _simple(pa.float16(), lambda chance: np.float16(chance.choice((0, 1.5, -2)))),
    "bool": _simple(pa.bool_(), lambda chance: chance.random() < 0.5),
    "fixed binary": _simple(pa.binary(3), lambda chance: chance.choice((b"abc", b"\0\1\2"))),
    "time32": _simple(pa.time32("s"), lambda chance: _moment(chance).time().replace(microsecond=0)),
    "time64": _simple(pa.time64("us"), lambda chance: _moment(chance).time()),
    "duration": _simple(pa.duration("ms"), lambda chance: dt.timedelta(seconds=chance.randrange(1000))),
    "interval": _simple(pa.month_day_nano_interval(), lambda chance: (chance.randrange(5), 1, 2)),
    "null": lambda chance, rows: pa.nulls(rows),
    "list": _simple(pa.list_(pa.int16()), lambda chance: [None, *range(chance.randrange(3))]),
    "large list": _simple(pa.large_list(pa.string()), lambda chance: [_word(chance)] * chance.randrange(3)),
    "fixed list": _simple(pa.list_(pa.float64(), 2), lambda chance: [1.0, None]),
    "list of lists": _simple(pa.list_(pa.list_(pa.bool_())), lambda chance: [[True], None, []]),
    "struct": _simple(
        pa.struct([("x", pa.int64()), ("y", pa.list_(pa.string()))]),
        lambda chance: {"x": chance.randrange(9), "y": [_word(chance)]},
    ),
    "map": _simple(pa.map_(pa.string(), pa.int64()), lambda chance: [(_word(chance), 1), ("z", None)]),
    "dictionary": _dictionary(lambda chance: pa.array(chance.sample(["a", "b", "c", "d"], 3))),
    "dictionary of numbers": _dictionary(lambda chance: pa.array(chance.sample(range(9), 4), pa.int32())),
    "dictionary of lists": _dictionary(lambda chance: pa.array([[chance.randrange(5)], [], None])),
    "dictionary with nulls": _dictionary(lambda chance: pa.array(chance.sample(["x", None, "y"], 3))),
    "list of dictionaries": lambda chance, rows: pa.array(
        [[_word(chance)] for _ in range(rows)], pa.list_(pa.dictionary(pa.int32(), pa.string()))
    ),
    "uuid": _simple(pa.uuid(), lambda chance: bytes(chance.randrange(256) for _ in range(16))),
    "bool8": _simple(pa.bool8(), lambda chance: chance.randrange(2)),
    "json": _simple(pa.json_(), lambda chance: '{"a": 1}'),
    "tagged": lambda chance, rows: pa.ExtensionArray.from_storage(Tagged(), _ints(chance, rows)),
    "known": lambda chance, rows: pa.ExtensionArray.from_storage(Known(), _ints(chance, rows)),
    "struct of known": lambda chance, rows: pa.StructArray.from_arrays([COLUMNS["known"](chance, rows)], ["k"]),
}


# -- sources -----------------------------------------------------------------------------------------------------------


def table_of(names: list[str], rows: int, seed: int, chunks: int) -> pa.Table:
    """Make a table with an `id` and the named columns, in several chunks."""
    chance = random.Random(f"{seed} {names}")
    sizes = [rows // chunks] * (chunks - 1) + [rows - rows // chunks * (chunks - 1)] if chunks else []
    columns = {name: [COLUMNS[name](chance, min(size, 500)) for size in sizes] for name in names}
    parts = []
    for i, size in enumerate(sizes):
        start = sum(sizes[:i])
        part = {"id": pa.array(range(start, start + size), pa.int64())}
        for name in names:
            column = columns[name][i]
            repeated = pa.concat_arrays([column] * -(-size // max(1, len(column)))) if size > len(column) else column
            part[name] = repeated.slice(0, size)
        parts.append(pa.table(part))
    empty = pa.table({"id": pa.array([], pa.int64()), **{name: COLUMNS[name](chance, 0) for name in names}})
    return pa.concat_tables(parts) if parts else empty.slice(0, 0)


def make(names: list[str], rows: int, seed: int, chunks: int, form: str, context: Any) -> Any:
    """Make a table in one of many forms, some of which share memory with an array that is changed later."""
    table = table_of(names, rows, seed, chunks)
    array = np.arange(rows, dtype="f8")
    arrays[context.node] = [array]
    match form:
        case "reader":
            return table.to_reader(max_chunksize=100)
        case "polars":
            return pl.DataFrame({"id": pl.Series(np.arange(rows)), "x": pl.Series(array)})
        case "pandas":
            return table.to_pandas()
        case "array":
            return table.append_column("x", pa.array(array))
        case "frame":
            frame = pd.DataFrame({"id": np.arange(rows), "w": ["w"] * rows, "x": array.copy()})
            arrays[context.node].append(frame)
            return frame[frame["x"] != 2] if seed % 2 else frame
        case "rows":
            return table.slice(0, 50).to_pylist() or {"id": 1}
        case "refilled":
            return refilled(rows)
    return table


async def make_async(names: list[str], rows: int, seed: int, chunks: int, form: str, context: Any) -> Any:
    await asyncio.sleep(0.001)
    return make(names, rows, seed, chunks, form, context)


def refilled(rows: int) -> pa.RecordBatchReader:
    """Return a reader that fills the same array for each batch."""
    array = np.zeros(max(1, rows // 3))

    def batches() -> Iterator[pa.RecordBatch]:
        for i in range(3):
            array[:] = i
            yield pa.record_batch({"id": pa.array(array)})

    return pa.RecordBatchReader.from_batches(pa.schema([("id", pa.float64())]), batches())


def disturb(output: str) -> None:
    """Change the arrays that the table of an output was made of: its node has ended."""
    for value in arrays.get(output, ()):
        if isinstance(value, pd.DataFrame):
            value.iloc[:, -1] = -1
        else:
            value[:] = -1


# -- what reads --------------------------------------------------------------------------------------------------------


def look(a: pa.Table, a_of: str) -> dict[str, Any]:
    """Return what a reader sees of a table, before and after what it was made of changes."""
    before = _seen(a)
    disturb(a_of)
    return {"before": before, "after": _seen(a)}


def _seen(table: pa.Table) -> str:
    chunks = [[len(chunk) for chunk in column.chunks] for column in table.columns]
    rows = [[str(chunk.slice(0, 20)) for chunk in column.chunks] for column in table.columns]
    return f"{table.schema.to_string(show_field_metadata=True)} {chunks} {rows}"


def same(a: pa.Table, a_of: str) -> pa.Table:
    disturb(a_of)
    return a


def add(a: pa.Table, a_of: str, context: Any) -> pa.Table:
    disturb(a_of)
    array = np.arange(a.num_rows) * 3
    arrays[context.node] = [array]
    return a.append_column("added", pa.array(array))


def filtered(a: pa.Table, a_of: str) -> pa.Table:
    disturb(a_of)
    return a.filter(pc.equal(pc.bit_wise_and(a["id"].cast(pa.int64()), 1), 0))


async def counted(a: pa.Table, a_of: str) -> list[dict[str, Any]]:
    await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0.001))
    return [{"name": name, "nulls": a[name].null_count} for name in a.column_names]


def by_pandas(a: pa.Table, a_of: str, context: Any) -> pd.DataFrame:
    frame = a.to_pandas()
    frame["more"] = np.arange(len(frame)) / 2
    arrays[context.node] = [frame]
    return frame[frame["id"] % 2 == 0]


def grouped(a: pa.Table, a_of: str) -> pd.DataFrame:
    frame = a.select(["id"]).to_pandas()
    return frame.assign(k=frame["id"] % 3).groupby("k").sum()


def by_polars(a: pa.Table, a_of: str) -> pl.DataFrame:
    disturb(a_of)
    return pl.from_arrow(a).filter(pl.col("id") > 1).with_columns(twice=pl.col("id") * 2)


def batches(a: pa.Table, a_of: str) -> pa.RecordBatchReader:
    disturb(a_of)
    return pa.RecordBatchReader.from_batches(a.schema, iter(a.to_batches(max_chunksize=7)))


def split(a: pa.Table, a_of: str) -> dict[str, pa.Table]:
    disturb(a_of)
    half = a.num_rows // 2
    return {"even": a.slice(0, half), "odd": a.slice(half)}


def summed(a: pa.Table, a_of: str) -> dict[str, Any]:
    return {"rows": a.num_rows, "sum": pc.sum(a["id"]).as_py()}


def packed(a: pa.Table, a_of: str) -> bytes:
    return f"{a.schema.names} {a.num_rows}".encode()


def packed_folder(a: pa.Table, a_of: str, context: Any) -> Path:
    found: Path = context.output("made/folder")
    (found / "inner").mkdir(parents=True)
    (found / "inner" / "rows").write_text(str(a.num_rows))
    (found / "link").symlink_to("inner/rows")
    return found


def unpacked(f: Path) -> list[dict[str, Any]]:
    files = [f] if f.is_file() else sorted(path for path in f.rglob("*") if path.is_file())
    return [{"id": i, "text": path.read_text()} for i, path in enumerate(files)]


def both(a: pa.Table, b: pa.Table, a_of: str) -> pa.Table:
    rows = min(a.num_rows, b.num_rows)
    return pa.table([*a.slice(0, rows).columns, *b.slice(0, rows).columns], names=_names(a, b))


def _names(a: pa.Table, b: pa.Table) -> list[str]:
    return [*(f"a {name}" for name in a.column_names), *(f"b {name}" for name in b.column_names)]


# -- what fails --------------------------------------------------------------------------------------------------------


def fails(a: pa.Table, a_of: str) -> None:
    raise ValueError(f"{a.num_rows} rows are no good")


def not_a_table(a: pa.Table, a_of: str) -> int:
    return a.num_rows


def nothing(a: pa.Table, a_of: str) -> None:
    return None


def second_try(a: pa.Table, a_of: str, context: Any) -> pa.Table:
    if context.attempt < 2:
        raise RuntimeError("not yet")
    return a


def exits(a: pa.Table, a_of: str) -> None:
    sys.exit(3)


def bad_dictionary(a: pa.Table, a_of: str) -> pa.Table:
    inner = pa.array(["a"]).dictionary_encode()
    return pa.table({"x": pa.DictionaryArray.from_arrays(pa.array([0]), inner)})
