"""Tests of the types that results of queries have: those of Arrow that hold the values."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from conftest import Trial, failed

from nfrun.core.pipeline import Input, NodeSpec, OutputId
from nfrun.nodes.sql_check import columns_of_query

pytest.importorskip("duckdb")

BIG = "(values (9223372036854775807::bigint), (5)) t(n)"
MOST = 10**38 - 1
DECIMAL = pa.decimal128(38, 0)
RESULTS: dict[str, tuple[str, pa.DataType, Any]] = {
    "sum": ("select sum(n) as x from (values (1), (2)) t(n)", pa.int64(), 3),
    "sum of nothing": ("select sum(n) as x from (values (1)) t(n) where n > 1", pa.int64(), None),
    "sum of 64 bits": (f"select sum(n) as x from {BIG}", DECIMAL, Decimal(2**63 + 4)),
    "sum of truths": ("select sum((n > 1)::int) as x from (values (1), (2)) t(n)", pa.int64(), 1),
    "running sum": ("select sum(1) over () as x", pa.int64(), 1),
    "sum of uint64": ("select sum(1::ubigint) as x", pa.int64(), 1),
    "average": ("select avg(n) as x from (values (1), (2)) t(n)", pa.float64(), 1.5),
    "smallest of 64 bits": ("select (-9223372036854775808)::hugeint as x", pa.int64(), -(2**63)),
    "38 digits": (f"select {MOST}::hugeint as x", DECIMAL, Decimal(MOST)),
    "factorial": ("select factorial(5) as x", pa.int64(), 120),
    "uhugeint": ("select 7::uhugeint as x", pa.int64(), 7),
    "sum of decimals": ("select sum(1.5) as x", pa.decimal128(38, 1), Decimal("1.5")),
    "decimal of 38 digits": ("select 7::decimal(38, 0) as x", DECIMAL, Decimal(7)),
    "list": ("select list(n) as x from (select sum(1) as n)", pa.list_(pa.int64()), [1]),
    "array": ("select [1, 2]::hugeint[2] as x", pa.list_(pa.int64(), 2), [1, 2]),
    "struct": (
        "select {'n': sum(1), 's': 'a'} as x",
        pa.struct({"n": pa.int64(), "s": pa.string()}),
        {"n": 1, "s": "a"},
    ),
    "map": ("select map {'a': sum(1)} as x", pa.map_(pa.string(), pa.int64()), [("a", 1)]),
    "bits": ("select '0101'::bit as x", pa.string(), "0101"),
    "bits in a list": ("select ['01'::bit] as x", pa.list_(pa.string()), ["01"]),
    "a field of that name": ("select {'BIT': '01'::bit} as x", pa.struct({"BIT": pa.string()}), {"BIT": "01"}),
    "bignum": ("select 123456789012345678901234567890123456789012::bignum as x", pa.string(), "1234567890" * 4 + "12"),
    "variant": ("select 1::variant as x", pa.string(), "1"),
    "time with a zone": ("select '12:00:00+02'::timetz as x", pa.string(), "12:00:00+02"),
    "uuid": (
        "select '0cb2297e-cab1-46a6-93ea-966dc7abe642'::uuid as x",
        pa.string(),
        "0cb2297e-cab1-46a6-93ea-966dc7abe642",
    ),
    "json": ("select '{\"a\": 1}'::json as x", pa.string(), '{"a": 1}'),
    "enum": ("select 'b'::enum('a', 'b') as x", pa.dictionary(pa.uint8(), pa.string()), "b"),
}
TOO_LARGE = {
    f"select {MOST + 1}::hugeint as x": "the column 'x' has a whole number of more than 38 digits",
    f"select [{MOST + 1}::hugeint] as x": "the column 'x' has a whole number of more than 38 digits",
    "select 340282366920938463463374607431768211455::uhugeint as x": "out of range",
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_has_a_type_that_holds_its_values(trial: Trial, name: str) -> None:
    query, type_, value = RESULTS[name]
    table = trial.table(trial.run("sql", query))
    assert table.column("x").to_pylist() == [value]
    assert [list_names(field.type) for field in table.schema] == [list_names(type_)]


def list_names(type_: pa.DataType) -> str:
    """Return the name of a type, with the name that Arrow has for items of lists."""
    return str(type_).replace("l: ", "item: ").replace("<: ", "<item: ")


@pytest.mark.parametrize("query", TOO_LARGE)
def test_a_number_that_no_type_holds_fails_the_node(trial: Trial, query: str) -> None:
    assert TOO_LARGE[query] in failed(trial.run("sql", query)).message


def test_columns_of_one_name_stay_what_they_are(trial: Trial) -> None:
    table = trial.table(trial.run("sql", "select 1 as a, '01'::bit as a, sum(2) as a"))
    assert table.column_names == ["a", "a", "a"]
    assert [column.to_pylist() for column in table.columns] == [[1], ["01"], [2]]


@pytest.mark.parametrize("most", [5, 2**63])
def test_all_rows_of_a_column_have_one_type(trial: Trial, most: int) -> None:
    numbers = pa.table({"n": pa.array([*range(6000), most], pa.uint64())})
    table = trial.table(trial.run("sql", "select n::hugeint as x from t", {"t": numbers}))
    assert table.schema.field("x").type == (pa.int64() if most == 5 else DECIMAL)
    assert table.column("x").to_pylist()[-1] == most


@pytest.mark.parametrize("name", RESULTS)
def test_a_query_that_reads_it_is_bound_before_the_run(name: str) -> None:
    query, type_, _ = RESULTS[name]
    spec = NodeSpec(id="n", kind="sql", body=query, inputs=(), with_={}, outputs=(), needs=(), env={})
    schema, wrong = columns_of_query(spec, {})
    assert wrong is None
    if type_ != DECIMAL or "decimal" in name:
        assert list_names(schema.field("x").type) == list_names(type_)
    behind = NodeSpec("m", "sql", "select y from t", (Input("t", OutputId("n")),), {}, (), (), {})
    assert columns_of_query(behind, {"t": schema})[1] is not None
