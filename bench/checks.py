"""Measures the built-in checks over a long table against one DuckDB query that asks the same, and against pandera."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from bench.measure import Line, Sample, clocked, interleaved, versus
from nfrun.core.contracts import Check
from nfrun.tables.contracts.built_in import make_check

ROWS = 10_000_000
_CUSTOMERS = 1_000_000
_STARTED = 1_704_240_000.0  # the start of the run, for `fresh`: two days after the first row
_PATTERN = "^[^@]+@[^@]+$"
_STATUSES = ["placed", "shipped", "completed", "returned"]
_CHECKS: Mapping[str, Any] = {
    "rows": {"min": 1},
    "unique": "id",
    "not_null": ["id", "amount", "status"],
    "enum": {"status": _STATUSES},
    "range": {"amount": {"min": 0, "max": 100}},
    "match": {"email": _PATTERN},
    "references": {"customer": "customers(customer)"},
    "fresh": {"at": "3d"},
}
_QUERY = f"""
    select count(*), count(*) - count(distinct id),
      count(*) filter (where id is null or amount is null or status is null),
      count(*) filter (where status not in {tuple(_STATUSES)}),
      count(*) filter (where not (amount between 0 and 100)),
      count(*) filter (where not regexp_matches(email, '{_PATTERN}')),
      count(*) filter (where customer not in (select customer from customers)),
      max("at")
    from orders
"""


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Yield the row of the eight checks, which all hold, and where pandera is installed of those that it has."""
    table, customers = _orders(ROWS), pa.table({"customer": pa.array(range(_CUSTOMERS))})
    others: Mapping[str, pa.Table] = {"customer": customers}

    def check(*kinds: str) -> Sample:
        def run() -> None:
            for kind in kinds:
                found = make_check(Check(kind, _CHECKS[kind], kind), table, others, _STARTED)
                assert found.holds, kind

        return clocked(run)

    def ask() -> Sample:
        sliced = pa.Table.from_batches(table.to_batches(max_chunksize=122_880), table.schema)

        def query() -> None:
            with duckdb.connect() as connection:
                connection.register("orders", sliced)
                connection.register("customers", customers)
                found = connection.execute(_QUERY).fetchone()
            assert found is not None
            assert found[:-1] == (ROWS, 0, 0, 0, 0, 0, 0)

        return clocked(query)

    found = interleaved({"checks": lambda: check(*_CHECKS), "query": ask}, repeat)
    what = f"8 built-in checks, {ROWS:,} rows: nfrun / one DuckDB query"
    yield versus(what, found["checks"], found["query"], "<= 1.5")
    if find_spec("pandera") is None or find_spec("polars") is None:
        return
    import polars as pl

    frame, schema = pl.from_arrow(table), _schema()
    shared = ("unique", "not_null", "enum", "range", "match")
    found = interleaved(
        {"checks": lambda: check(*shared), "pandera": lambda: clocked(lambda: schema.validate(frame))}, repeat
    )
    yield versus(f"5 of them, {ROWS:,} rows: nfrun / pandera on polars", found["checks"], found["pandera"])


def _schema() -> Any:
    """Return the schema of pandera with the checks that both have; nothing is cast."""
    import pandera.polars as pa_polars
    import polars as pl

    def column(type_: Any, *checks: Any, **settings: Any) -> Any:
        return pa_polars.Column(type_, checks=list(checks), **settings)

    check = pa_polars.Check
    return pa_polars.DataFrameSchema(
        {
            "id": column(pl.Int64, unique=True),
            "amount": column(pl.Float64, check.in_range(0, 100)),
            "status": column(pl.String, check.isin(_STATUSES)),
            "email": column(pl.String, check.str_matches(_PATTERN), nullable=True),
        }
    )


def _orders(rows: int) -> pa.Table:
    """Return orders whose ids are in no order, as those of a sorted table are known to be unique at once."""
    with duckdb.connect() as connection:
        return connection.sql(
            f"""
            select (hash(i) >> 1)::int64 as id, i % {_CUSTOMERS} as customer, (i * 7919) % 1000 / 10.0 as amount,
              {_STATUSES}[1 + i % 4] as status, 'user' || (i % 100000) || '@example.com' as email,
              timestamp '2024-01-01' + interval (i % 86400) second as at
            from range({rows}) t(i)
            """
        ).to_arrow_table()
