"""Answers the questions of pipelines/flights with DuckDB alone: `python -m bench.flights_script SOURCE OUT`.

It runs the queries of the pipeline one after the other on one connection, with all cores, and its Python functions.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv

FLIGHTS = Path(__file__).parents[1] / "pipelines" / "flights"
TABLES = ("flights", "weather", "planes", "airports", "airlines")
QUESTIONS = (
    *("by_carrier", "by_hour", "by_destination", "by_plane_age", "by_weather", "by_day"),
    *("cancellations", "routes", "coverage"),
)


def main(source: str, out: str) -> None:
    """Read the tables in the folder `source`, and write the summary to the CSV file `out`."""
    sys.path.insert(0, str(FLIGHTS))
    import steps  # type: ignore[import-not-found]

    connection = duckdb.connect()
    for table in TABLES:
        connection.execute(f"create view {table} as from read_parquet('{source}/{table}.parquet')")
    for name, form in (("clean", "view"), ("hourly", "view"), ("joined", "table")):
        connection.execute(f"create {form} {name} as {_query(name)}")
    answers = {name: connection.sql(_query(name)).to_arrow_table() for name in QUESTIONS}
    regressors = ["hour", "precip", "wind", "distance"]
    columns = connection.sql(f"select arr_delay, {', '.join(regressors)} from joined").to_arrow_table()
    answers["fit"] = pa.Table.from_pylist(steps.fit(columns, regressors))
    summary = pa.Table.from_pylist(steps.summarize(**answers, min_flights=100))
    pyarrow.csv.write_csv(summary, out)


def _query(name: str) -> str:
    return (FLIGHTS / "sql" / f"{name}.sql").read_text(encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
