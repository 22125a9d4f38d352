"""The built-in checks: which rows fail, and what is said where a check cannot be made."""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from nfrun.core.contracts import Check
from nfrun.tables.contracts.built_in import make_check
from nfrun.tables.contracts.finding import EVIDENCE_ROWS, Finding

DAY = 86400


def found(kind: str, value: Any, table: pa.Table, others: Any = None, started: float = 0.0) -> Finding:
    return make_check(Check(kind, value, kind), table, others or {}, started)


def failing(kind: str, value: Any, column: pa.Array, others: Any = None) -> list[Any]:
    """Return the values that fail, after it was seen that all of them are counted."""
    result = found(kind, value, pa.table({"c": column}), others)
    assert not result.reason, result.reason
    rows = [] if result.evidence is None else result.evidence["c"].to_pylist()
    assert result.failing == len(rows)
    assert result.holds is (not rows)
    return rows


@pytest.mark.parametrize(
    ("value", "count", "reason"),
    [
        (2, 2, ""),
        (2, 1, "1 row, and not exactly 2"),
        ({"min": 1}, 0, "0 rows, and not at least 1"),
        ({"min": 1}, 1, ""),
        ({"max": 1000}, 1001, "1,001 rows, and not at most 1,000"),
        ({"min": 2, "max": 2}, 3, "3 rows, and not exactly 2"),
        ({"min": 2, "max": 4}, 4, ""),
    ],
)
def test_rows(value: Any, count: int, reason: str) -> None:
    result = found("rows", value, pa.table({"a": range(count)}))
    assert (result.holds, result.failing, result.reason) == (not reason, None, reason)


def test_unique_gives_all_rows_that_agree_with_another() -> None:
    assert failing("unique", "c", pa.array([3, 1, 3, None, None, 2, 1])) == [3, 1, 3, 1]
    assert failing("unique", "c", pa.array(["a", "b", "a"]).dictionary_encode()) == ["a", "a"]
    assert failing("unique", "c", pa.array([0.0, -0.0, 1.0])) == [0.0, -0.0]
    assert [math.isnan(v) for v in failing("unique", "c", pa.array([math.nan, 1.0, -math.nan]))] == [True, True]
    assert failing("unique", "c", pa.array([1, 2, 5])) == []
    assert failing("unique", "c", pa.array([date(2024, 1, 1)] * 2)) == [date(2024, 1, 1)] * 2
    assert failing("unique", "c", pa.nulls(2)) == []


def test_unique_over_several_columns() -> None:
    table = pa.table({"a": ["x", "x", "y", "x", None], "b": pa.array([1, 2, 1, 1, 1], pa.int8())})
    result = found("unique", ["a", "b"], table)
    assert result.evidence is not None
    assert result.evidence.to_pylist() == [{"a": "x", "b": 1}] * 2


def test_not_null() -> None:
    assert failing("not_null", "c", pa.array([1, None, 3, None])) == [None, None]
    table = pa.table({"a": [1, None, 3], "b": pa.array([None, None, "x"]).dictionary_encode()})
    result = found("not_null", ["a", "b"], table)
    assert (result.failing, result.holds) == (2, False)


ENUMS = [
    (["a", "b"], pa.array(["a", "c", None]), ["c"]),
    (["a"], pa.array(["a", "b"]).dictionary_encode(), ["b"]),
    (["a"], pa.array(["a", "b"], pa.string_view()), ["b"]),
    ([1, 2.0], pa.array([1, 2, 3], pa.int8()), [3]),
    ([1, 1000], pa.array([1, 2], pa.int8()), [2]),
    ([0.1], pa.array([0.1, 0.2], pa.float32()), [pa.scalar(0.2, pa.float32()).as_py()]),
    ([0], pa.array([-0.0, 1.0]), [1.0]),
    ([True], pa.array([True, False]), [False]),
    (["2024-01-01"], pa.array([date(2024, 1, 1), date(2024, 1, 2)]), [date(2024, 1, 2)]),
    ([0.1, 1], pa.array([Decimal("0.10"), Decimal("0.11"), Decimal("1.00")]), [Decimal("0.11")]),
    ([], pa.array(["a", None]), ["a"]),
]


@pytest.mark.parametrize(("values", "column", "wrong"), ENUMS)
def test_enum(values: list[Any], column: pa.Array, wrong: list[Any]) -> None:
    assert failing("enum", {"c": values}, column) == wrong


HIGH = 2**63 - 1
RANGES = [
    ({"min": 0, "max": 2}, pa.array([-1, 0, 2, 3, None]), [-1, 3]),
    ({"min": 1.0, "max": 2.0}, pa.array([0, 1, 2, 3]), [0, 3]),
    ({"min": -5, "max": 300}, pa.array([0, 255], pa.uint8()), []),
    ({"min": 300}, pa.array([0, 255, None], pa.uint8()), [0, 255]),
    ({"max": -1}, pa.array([0, 255], pa.uint8()), [0, 255]),
    ({"min": 2**53 + 1}, pa.array([2**53, 2**53 + 1]), [2**53]),
    ({"max": HIGH}, pa.array([HIGH]), []),
    ({"max": HIGH + 1}, pa.array([2**64 - 1, 1], pa.uint64()), [2**64 - 1]),
    ({"min": 0}, pa.array([-0.0, 0.0, -0.1, math.inf]), [-0.1]),
    ({"max": 0.1}, pa.array([0.1, 0.2], pa.float32()), [pa.scalar(0.2, pa.float32()).as_py()]),
    ({"max": 10**9}, pa.array([Decimal("9.99")]), []),
    ({"min": 10**9}, pa.array([Decimal("9.99")]), [Decimal("9.99")]),
    ({"max": "b"}, pa.array(["a", "b", "c"]), ["c"]),
    ({"min": "2024-01-02"}, pa.array([date(2024, 1, 1), date(2024, 1, 2)]), [date(2024, 1, 1)]),
    ({"max": "2024-01-01"}, pa.array([datetime(2024, 1, 1), datetime(2024, 1, 1, 1)]), [datetime(2024, 1, 1, 1)]),
    ({"min": "12:00"}, pa.array([time(11), time(12)]), [time(11)]),
    ({"max": "1h"}, pa.array([timedelta(hours=1), timedelta(hours=2)]), [timedelta(hours=2)]),
    ({"min": 2}, pa.array([1, 2]).dictionary_encode(), [1]),
]  # fmt: skip


@pytest.mark.parametrize(("limits", "column", "wrong"), RANGES)
def test_range(limits: dict[str, Any], column: pa.Array, wrong: list[Any]) -> None:
    assert failing("range", {"c": limits}, column) == wrong


def test_nan_is_in_no_range() -> None:
    for limits in ({"min": 0}, {"max": 0}, {"max": math.inf}):
        rows = failing("range", {"c": limits}, pa.array([math.nan, None]))
        assert [math.isnan(value) for value in rows] == [True]


def test_times_are_compared_across_zones() -> None:
    column = pa.array([datetime(2024, 1, 1, 12)], pa.timestamp("us", "Asia/Tokyo"))  # 12:00 in UTC
    assert failing("range", {"c": {"min": "2024-01-01T12:00"}}, column) == []
    assert failing("range", {"c": {"min": "2024-01-01T21:00+09:00"}}, column) == []
    assert len(failing("range", {"c": {"min": "2024-01-01T21:01+09:00"}}, column)) == 1


def test_match_is_anywhere_in_the_text() -> None:
    assert failing("match", {"c": "b+"}, pa.array(["abba", "c", None])) == ["c"]
    assert failing("match", {"c": "^b"}, pa.array(["ab"], pa.large_string())) == ["ab"]
    assert failing("match", {"c": "^a"}, pa.array(["ab", "c"]).dictionary_encode()) == ["c"]


def test_references() -> None:
    value = {"c": "other(id)"}
    others = {"c": pa.table({"id": pa.array([1, 2, None], pa.int64())})}
    assert failing("references", value, pa.array([1, 3, None], pa.int32()), others) == [3]
    assert failing("references", value, pa.array([1.0, 2.5]), others) == [2.5]
    assert failing("references", value, pa.array([Decimal("1.0"), Decimal("2.5")]), others) == [Decimal("2.5")]
    assert failing("references", value, pa.array([2, 2**64 - 1], pa.uint64()), others) == [2**64 - 1]
    assert failing("references", value, pa.array([7]), {"c": None}) == []
    texts = {"c": pa.table({"id": pa.array(["a"]).dictionary_encode()})}
    assert failing("references", value, pa.array(["a", "b"], pa.large_string()), texts) == ["b"]


@pytest.mark.parametrize("column", [pa.nulls(2), pa.nulls(0), pa.nulls(2).dictionary_encode()])
def test_values_hold_in_a_column_of_nulls_that_has_no_type(column: pa.Array) -> None:
    assert failing("enum", {"c": ["a", 1]}, column) == []
    assert failing("match", {"c": "^a"}, column) == []
    assert failing("range", {"c": {"min": 1}}, column) == []
    assert failing("references", {"c": "o(k)"}, column, {"c": pa.table({"k": [1]})}) == []
    assert found("unique", ["c", "d"], pa.table({"c": column, "d": range(len(column))})).holds
    assert failing("not_null", "c", column) == [None] * len(column)
    assert found("fresh", {"c": "1h"}, pa.table({"c": column})).reason == "'c' has no value"


def test_a_mapping_of_several_columns_counts_a_row_once() -> None:
    table = pa.table({"a": [-1, 1], "b": [-1, 1]})
    assert found("range", {"a": {"min": 0}, "b": {"min": 0}}, table).failing == 1


@pytest.mark.parametrize(
    ("column", "age", "started", "reason"),
    [
        (pa.array([0, DAY], pa.timestamp("s")), "1d", 2.0 * DAY, ""),
        (pa.array([0, DAY], pa.timestamp("s")), "1d", 2.0 * DAY + 1,
         "the latest 'c' is 1970-01-02 00:00:00 (UTC), more than 1d before the start of the run"),
        (pa.array([0], pa.timestamp("ns", "UTC")), "1h", 3.5 * DAY,
         "the latest 'c' is 1970-01-01 00:00:00 (UTC), more than 1h before the start of the run"),
        (pa.array([1], pa.date32()), "12h", 1.5 * DAY, ""),
        (pa.array([None], pa.timestamp("us")), "1d", 0.0, "'c' has no value"),
        (pa.array([], pa.timestamp("us")), "1d", 0.0, "'c' has no value"),
        (pa.array([1]), "1d", 0.0, "'c': 'fresh' is for timestamps and dates, and not for int64"),
    ],
)  # fmt: skip
def test_fresh(column: pa.Array, age: str, started: float, reason: str) -> None:
    result = found("fresh", {"c": age}, pa.table({"c": column}), started=started)
    assert (result.holds, result.failing, result.reason) == (not reason, None, reason)


AS_DATE = "be compared with date32[day]: write it as an ISO text, such as '2024-01-31'"
IMPOSSIBLE = [
    ("unique", "cc", "there is no column 'cc' (did you mean 'c'?)"),
    ("unique", ["l"], "'unique' is not for list<item: int64>"),
    ("not_null", "x", "there is no column 'x' (there is c, t, d, l, s, n)"),
    ("enum", {"c": ["1"]}, "'c': the text '1' cannot be compared with int64"),
    ("enum", {"t": [1]}, "'t': 1 cannot be compared with string"),
    ("enum", {"c": [True]}, "'c': true cannot be compared with int64"),
    ("range", {"t": {"min": 1}}, "'t': 1 cannot be compared with string"),
    ("range", {"d": {"min": 24}}, f"'d': 24 cannot {AS_DATE}"),
    ("range", {"d": {"min": "1.1.2024"}}, f"'d': the text '1.1.2024' cannot {AS_DATE}"),
    ("range", {"l": {"min": 1}}, "'l': 1 cannot be compared with list<item: int64>"),
    ("range", {"c": {"min": math.nan}}, "'c': nan cannot be compared with int64"),
    ("match", {"c": "a"}, "'c': 'match' is for texts, and not for int64"),
    ("references", {"c": "o(idd)"}, "there is no column 'idd' (did you mean 'id'?)"),
    ("references", {"t": "o(id)"}, "'t': string cannot be compared with int64"),
    ("references", {"l": "o(l)"}, "'l': 'references' is not for list<item: int64>"),
    ("enum", {"l": [None]}, "'l': 'enum' is not for list<item: int64>"),
    ("enum", {"c": [1.5]}, "'c': 1.5 cannot be compared with int64"),
    ("range", {"c": {"max": 2**63}}, f"'c': {2**63} cannot be compared with int64"),
    ("range", {"c": {"max": math.inf}}, "'c': inf cannot be compared with int64"),
    ("range", {"n": {"max": 0.123}}, "'n': 0.123 cannot be compared with decimal128(4, 2)"),
    ("range", {"d": {"min": "2024-01-01T12"}}, "'d': the text '2024-01-01T12' cannot be compared with date32[day]"),
    ("range", {"s": {"min": math.inf}}, "'s': inf cannot be compared with duration[us]"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "reason"), IMPOSSIBLE)
def test_a_check_that_cannot_be_made_does_not_hold(kind: str, value: Any, reason: str) -> None:
    table = pa.table({"c": [1], "t": ["a"], "d": [date(2024, 1, 1)], "l": [[1]], "s": [timedelta(1)]})
    table = table.append_column("n", pa.array([1], pa.decimal128(4, 2)))
    others = dict.fromkeys(("c", "t", "l"), pa.table({"id": [1], "l": [[1]]}))
    result = found(kind, value, table, others)
    assert (result.holds, result.failing, result.reason) == (False, None, reason)


@pytest.mark.parametrize(
    ("column", "other"),
    [
        (pa.array([2**53 + 1]), pa.array([1.0])),
        (pa.array([10**12], pa.timestamp("s")), pa.array([1], pa.timestamp("ns"))),
    ],
)
def test_values_that_fit_into_no_common_type_are_told(column: pa.Array, other: pa.Array) -> None:
    result = found("references", {"c": "o(c)"}, pa.table({"c": column}), {"c": pa.table({"c": other})})
    assert (result.holds, result.failing) == (False, None)
    assert result.reason.startswith(f"'c': {column.type} cannot be compared with {other.type}: ")


def test_a_pattern_that_is_no_regular_expression_is_told() -> None:
    result = found("match", {"c": "(a"}, pa.table({"c": ["a"]}))
    assert result.reason.startswith("'c': '(a' is not a regular expression of RE2: ")


def test_the_first_thousand_failing_rows_are_evidence() -> None:
    count = 200_000
    result = found("range", {"c": {"min": 1}}, pa.table({"c": pa.array([0, 1] * (count // 2)), "i": range(count)}))
    assert result.failing == count // 2
    assert result.evidence is not None
    assert result.evidence["i"].to_pylist() == list(range(0, EVIDENCE_ROWS * 2, 2))


def test_failing_rows_may_have_columns_of_any_encoding() -> None:
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([1, 4], pa.int32()), pa.array(["a", "b"]))
    views = pa.array(["x", "y", "z", "u"], pa.string_view())
    result = found("range", {"c": {"max": 1}}, pa.table({"c": [0, 2, 1, 3], "r": runs, "v": views}))
    assert result.evidence is not None
    assert result.evidence.combine_chunks().to_pylist() == [{"c": 2, "r": "b", "v": "y"}, {"c": 3, "r": "b", "v": "u"}]
