"""Measures seven queries of TPC-H against the same in dask's data frames, and in Hamilton with pandas.

All read the same Parquet files, in fresh processes, in turns. The answers must be equal: decimals are fractions in data
frames, as whoever wants them to be fast makes them.
"""

from __future__ import annotations

import inspect
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench import tpch_frames
from bench.measure import Line, interleaved
from bench.tpch import open_answer, tables, write_pipeline
from bench.whole_processes import Usage, usage_lines, usage_of

_QUERIES: Mapping[str, Callable[..., Any]] = dict(inspect.getmembers(tpch_frames, inspect.isfunction))
_ROOT = Path(__file__).parents[1]
_ROW_GROUPS = 8  # of a file in one partition of dask, so that two cores have several of the long tables each


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Compare a first run of the pipeline with each library that is installed. Raises AssertionError."""
    peers = [name for name, package in (("dask", "dask"), ("hamilton", "hamilton")) if find_spec(package)]
    data = tables(folder) if peers and find_spec("pandas") else None
    if data is None:
        return
    pipeline, work = write_pipeline(folder, data, set(_QUERIES)), folder / "work"

    def nfrun() -> Usage:
        subprocess.run(["rm", "-rf", str(work)], check=True)
        return usage_of("-m", "nfrun", "run", str(pipeline), "-q", "-j", "2", "--work", str(work), "--json")

    def peer(name: str) -> Callable[[], Usage]:
        return lambda: usage_of("-m", "bench.tpch_peers", name, str(data), str(folder / name), folder=_ROOT)

    found = interleaved({"nfrun": nfrun, **{name: peer(name) for name in peers}}, repeat)
    for name in peers:
        for query in _QUERIES:
            check_answer(query, open_answer(pipeline, work, query), folder / name / f"{query}.arrow")
        what = f"TPC-H, {len(_QUERIES)} queries: nfrun / {name}"
        yield from usage_lines(what, found["nfrun"], found[name], None)


def check_answer(query: str, ours: Any, path: Path) -> None:
    """Compare an answer of the pipeline with that of a library. Raises AssertionError where they differ."""
    import pyarrow as pa

    with pa.OSFile(str(path)) as file:
        theirs = pa.ipc.open_file(file).read_all()
    rows = [sorted(zip(*table.to_pydict().values(), strict=True), key=_rounded) for table in (ours, theirs)]
    assert len(rows[0]) == len(rows[1]), f"{query} differs: {len(rows[0])} rows and {len(rows[1])}"
    for mine, other in zip(*rows, strict=True):
        assert all(map(_equal, mine, other)), f"{query} differs: {mine} {other}"


def _rounded(row: tuple[Any, ...]) -> str:
    return repr([value if isinstance(value, str) else f"{value:.2f}" for value in map(_plain, row)])


def _equal(mine: Any, other: Any) -> bool:
    mine, other = _plain(mine), _plain(other)
    return mine == other if isinstance(mine, str) else math.isclose(mine, other, rel_tol=1e-9)


def _plain(value: Any) -> str | float:
    return value if isinstance(value, str) else str(value) if hasattr(value, "year") else float(value)


# -- the scripts ---------------------------------------------------------------------------------------------------


def _dask(data: Path) -> Mapping[str, Any]:
    import dask.base
    import dask.dataframe as dd

    compute: Any = dask.base.compute
    frames = {}
    for table in tpch_frames.COLUMNS:
        frame = dd.read_parquet(f"{data}/{table}.parquet", split_row_groups=_ROW_GROUPS)
        decimals = [name for name, dtype in frame.dtypes.items() if str(dtype).startswith("decimal")]
        frames[table] = frame.astype(dict.fromkeys(decimals, "float64"))
    asked = [query(*(frames[table] for table in inspect.signature(query).parameters)) for query in _QUERIES.values()]
    return dict(zip(_QUERIES, compute(*asked), strict=True))


def _hamilton(data: Path) -> Mapping[str, Any]:
    from hamilton import ad_hoc_utils, driver
    from hamilton.plugins.h_threadpool import FutureAdapter

    def reader(table: str) -> Callable[[], Any]:
        def read() -> Any:
            return _frame(data / f"{table}.parquet", tpch_frames.COLUMNS[table])

        read.__name__ = read.__qualname__ = table
        read.__annotations__ = {"return": Any}
        return read

    readers = ad_hoc_utils.create_temporary_module(*map(reader, tpch_frames.COLUMNS), module_name="tpch_readers")
    adapter = FutureAdapter(max_workers=2)
    built = driver.Builder().with_modules(readers, tpch_frames).with_adapters(adapter).build()
    return dict(built.execute([*_QUERIES]))


def _frame(path: Path, columns: tuple[str, ...]) -> Any:
    """Read a table with fractions for decimals, and with Arrow's dates, which pandas compares fast."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=list(columns))
    decimals = [(i, field) for i, field in enumerate(table.schema) if pa.types.is_decimal(field.type)]
    for i, field in decimals:
        table = table.set_column(i, field.name, table.column(i).cast(pa.float64()))
    return table.to_pandas(types_mapper={pa.date32(): pd.ArrowDtype(pa.date32())}.get)


def _script(library: str, data: Path, answers: Path) -> None:
    import pyarrow as pa

    answers.mkdir(exist_ok=True)
    for query, frame in {"dask": _dask, "hamilton": _hamilton}[library](data).items():
        answer = pa.Table.from_pandas(frame, preserve_index=False)
        with pa.ipc.new_file(str(answers / f"{query}.arrow"), answer.schema) as writer:
            writer.write_table(answer)


if __name__ == "__main__":
    _script(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
