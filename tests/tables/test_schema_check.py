"""A table compared with the schema of its output."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa

from nfrun.tables.contracts.built_in import schema_problems

TABLE = pa.table(
    {
        "id": pa.array([1, 2, 3], pa.int32()),
        "name": pa.array(["a", None, "c"]).dictionary_encode(),
        "amount": pa.array([Decimal("1.10"), None, None]),
    }
)


def test_a_table_that_fits_has_no_problem() -> None:
    assert not list(schema_problems({"amount": "decimal128(3, 2)?", "id": "integer", "name": "string?"}, TABLE))
    assert not list(schema_problems({"*": "any", "id": "int32"}, TABLE))
    assert not list(schema_problems({"id": "any", "name": "any?", "amount": "number?"}, TABLE))


def test_every_problem_of_a_table_is_told() -> None:
    assert list(schema_problems({"idd": "int32", "name": "string", "amount": "int64"}, TABLE)) == [
        "there is no column 'idd' (but 'id')",
        "'name' has 1 null ('string?' admits them)",
        "'amount' is decimal128(3, 2) and not int64",
        "the column 'id' is not in the schema",
    ]


def test_nulls_in_the_values_of_a_dictionary_count() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 1]), pa.array(["a", None]))
    assert list(schema_problems({"c": "string"}, pa.table({"c": column}))) == [
        "'c' has 2 nulls ('string?' admits them)"
    ]


def test_a_column_that_is_there_twice_is_a_problem() -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    assert list(schema_problems({"a": "int64"}, table)) == ["there are 2 columns 'a'"]
    assert list(schema_problems({"*": "any"}, table)) == []


def test_a_column_without_any_value_has_the_type_null() -> None:
    table = pa.table({"a": pa.nulls(2)})
    assert list(schema_problems({"a": "string?"}, table)) == ["'a' is null and not string"]
    assert list(schema_problems({"a": "null?"}, table)) == []
    assert list(schema_problems({"a": "string"}, table.slice(2))) == []
