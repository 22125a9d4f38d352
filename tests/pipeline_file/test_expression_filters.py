"""The filters `range` and `dates` of expressions."""

from __future__ import annotations

import re
import tracemalloc

import pytest

from nfrun.pipeline_file.expressions import MAX_DATES, ExpressionError, dates, evaluate


@pytest.mark.parametrize(
    ("first", "last", "step", "found"),
    [
        ("2024-02-28", "2024-03-01", "day", ["2024-02-28", "2024-02-29", "2024-03-01"]),
        ("2024-01-01", "2024-01-15", "week", ["2024-01-01", "2024-01-08", "2024-01-15"]),
        ("2023-11-30", "2024-03-30", "month", ["2023-11-30", "2023-12-30", "2024-01-30", "2024-02-29", "2024-03-30"]),
        ("2024-01-01T22", "2024-01-02T01", "hour", [f"2024-01-0{h}" for h in ("1T22", "1T23", "2T00", "2T01")]),
        ("2024-01-02", "2024-01-01", "day", []),
    ],
)
def test_dates_are_those_from_the_first_to_the_last(first: str, last: str, step: str, found: list[str]) -> None:
    assert dates([first, last], step) == found


def test_a_last_date_has_all_of_its_hours() -> None:
    assert dates(["2024-01-01", "2024-01-01"], "hour")[::23] == ["2024-01-01T00", "2024-01-01T23"]


@pytest.mark.parametrize(
    ("ends", "step", "told"),
    [
        (["2024-01-01"], "day", "'dates' takes two dates: [first, last] | dates"),
        ("2024-01-01", "day", "'dates' takes two dates: [first, last] | dates"),
        ([1, 2], "day", "'dates' takes two dates: [first, last] | dates"),
        (["2024-01-01", "2024-1-2"], "day", "'2024-1-2' is no date such as 2024-01-31"),
        (["2024-01-01", "2024-02-30"], "day", "'2024-02-30' is no date such as 2024-01-31"),
        (["2024-01-01", "2024-01-02T25"], "hour", "'2024-01-02T25' is no date such as 2024-01-31"),
        (["2024-01-01", "2024-01-02T05"], "day", "'dates' by day takes dates without an hour"),
        (["2024-01-01", "2024-01-02"], "year", "'dates' goes by 'day', 'week', 'month' or 'hour', not 'year'"),
        (["0001-01-01", "9999-12-31"], "hour", f"'dates' gives at most {MAX_DATES:,} dates"),
    ],
)
def test_other_dates_are_refused(ends: object, step: str, told: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        dates(ends, step)


def test_dates_end_where_the_calendar_ends() -> None:
    assert dates(["9999-12-30", "9999-12-31"]) == ["9999-12-30", "9999-12-31"]


def test_range_counts_from_zero() -> None:
    assert evaluate("${{ 3 | range }}", {}) == [0, 1, 2]
    assert evaluate("${{ params.n | range }}", {"params": {"n": 0}}) == []


@pytest.mark.parametrize("value", ["'3'", "1.5", "true", "[1]", "1000000000"])
def test_range_takes_a_whole_number_that_is_not_too_large(value: str) -> None:
    with pytest.raises(ExpressionError, match=r"takes a whole number|too large"):
        evaluate(f"${{{{ {value} | range }}}}", {})


def test_a_long_range_takes_the_memory_of_its_values() -> None:
    tracemalloc.start()
    try:
        assert len(evaluate("${{ 100001 | range }}", {})) == 100_001
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16_000_000, "the values are not in the compiled code, too"
