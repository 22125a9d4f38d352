"""Why are New York flights late? The steps of flights.yaml, each a plain function of tables.

Delays are in minutes, negative when early. A result is the same to the last bit, whatever threads are at work: sums are
taken over whole numbers, which do not care for order, groups are sorted, and joins keep the order of the flights.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

Row = dict[str, Any]

LATE = 15  # minutes: the US Department of Transportation counts a flight as on time below this
KNOT = 1.15078  # miles per hour; the stations measure whole knots, the table holds miles per hour
STRONGEST_WIND = 200  # knots; one row of February says 911

UNITS = {
    "intercept": "minutes",
    "hour": "minutes per hour of the day",
    "precip": "minutes per 0.01 inch of precipitation in the hour",
    "wind": "minutes per knot of wind",
    "distance": "minutes per mile of distance",
}


# One table with a row per flight


def clean(flights: pa.Table) -> pa.Table:
    """The columns that are needed, the local `date`, whether the flight was `cancelled`, and its `station_hour`."""
    kept = ["year", "hour", "origin", "dest", "carrier", "tailnum", "distance", "dep_delay", "arr_delay"]
    return (
        flights.select(kept)
        .append_column("date", _date(flights["year"], flights["month"], flights["day"]))
        .append_column("cancelled", pc.is_null(flights["dep_time"]))
        .append_column("station_hour", _station_hour(flights))
    )


def hourly(weather: pa.Table) -> pa.Table:
    """The weather by `station_hour`, in whole numbers.

    `precip` is in hundredths of an inch, `wind` in knots (null where it cannot be true), `sky` is "rainy" or "dry".
    """
    precip = pc.cast(pc.round(pc.multiply(weather["precip"], 100)), pa.int32())
    wind = pc.cast(pc.round(pc.divide(weather["wind_speed"], KNOT)), pa.int32())
    return pa.table(
        {
            "station_hour": _station_hour(weather),
            "precip": precip,
            "wind": pc.if_else(pc.less(wind, STRONGEST_WIND), wind, None),
            "sky": pc.if_else(pc.greater(precip, 0), "rainy", "dry"),
        }
    )


def join(
    clean: pa.Table, hourly: pa.Table, planes: pa.Table, airports: pa.Table, airlines: pa.Table
) -> dict[str, pa.Table]:
    """Join each flight with its weather, plane, destination and airline. Columns without a match are null.

    `scheduled` has all flights in the order of `clean`, `arrived` those that reached their destination.
    """
    planes = planes.select(["tailnum", "year", "seats"]).rename_columns(["tailnum", "built", "seats"])
    airports = airports.select(["faa", "name"]).rename_columns(["dest", "airport"])
    airlines = airlines.select(["carrier", "name"]).rename_columns(["carrier", "airline"])
    scheduled = left_join(clean, hourly, "station_hour")
    scheduled = left_join(scheduled, planes, "tailnum")
    scheduled = left_join(scheduled, airports, "dest")
    scheduled = left_join(scheduled, airlines, "carrier")
    return {"scheduled": scheduled, "arrived": scheduled.filter(pc.is_valid(scheduled["arr_delay"]))}


# Ten questions


def by_carrier(arrived: pa.Table) -> pa.Table:
    """Arrival delay by `carrier` (two letters) and `airline` (its name); columns as in `delay_by`."""
    return delay_by(arrived, "carrier", "airline")


def by_hour(arrived: pa.Table) -> pa.Table:
    """Arrival delay by scheduled `hour` of departure (0 to 23, local time); columns as in `delay_by`."""
    return delay_by(arrived, "hour")


def by_destination(arrived: pa.Table) -> pa.Table:
    """Arrival delay by `dest` (three letters) and `airport` (its name, null if unknown); columns as in `delay_by`."""
    return delay_by(arrived, "dest", "airport")


def by_plane_age(arrived: pa.Table) -> pa.Table:
    """Arrival delay by age of the plane: `age` is the first of five years (0, 5, 10 ...), null if unknown."""
    years = pc.subtract(arrived["year"], arrived["built"])
    return delay_by(arrived.append_column("age", pc.multiply(pc.divide(years, 5), 5)), "age")


def by_weather(arrived: pa.Table) -> pa.Table:
    """Arrival delay by `sky` in the hour and at the airport of departure: "rainy", "dry", or null if unknown."""
    return delay_by(arrived, "sky")


def by_day(scheduled: pa.Table) -> pa.Table:
    """Departure delay by `date`, of the flights that departed; columns as in `delay_by`."""
    departed = scheduled.filter(pc.is_valid(scheduled["dep_delay"]))
    return delay_by(departed, "date", delay="dep_delay")


def cancellations(scheduled: pa.Table) -> pa.Table:
    """By `date`: flights `scheduled`, how many of them were `cancelled`, and the `share` (0 to 1)."""
    days = scheduled.group_by("date", use_threads=False).aggregate([("cancelled", "count"), ("cancelled", "sum")])
    days = _sort(days.rename_columns(["date", "scheduled", "cancelled"]), "date")
    return days.append_column("share", pc.divide(pc.cast(days["cancelled"], pa.float64()), days["scheduled"]))


def routes(arrived: pa.Table) -> pa.Table:
    """Arrival delay by `origin` and `dest`, the busiest route first; columns as in `delay_by`."""
    by_route = delay_by(arrived, "origin", "dest")
    return by_route.take(pc.sort_indices(by_route, [("flights", "descending")]))  # stable: ties stay in order


def fit(arrived: pa.Table, regressors: list[str]) -> list[Row]:
    """Least squares of the arrival delay on whole-numbered columns, over the flights where all of them are known.

    One row per `term`: its `coefficient` in `unit`, the number of `flights`, and `r_squared`, the share (0 to 1) of the
    variance of the delay that all terms explain together.
    """
    known = arrived.select(["arr_delay", *regressors]).drop_null()
    delay, *columns = [pc.cast(column, pa.int64()) for column in known.columns]
    columns = [pa.repeat(1, known.num_rows), *columns]
    # The normal equations: sums of whole numbers, so they are exact, and so is their solution.
    right = [_dot(column, delay) for column in columns]
    coefficients = solve([[_dot(a, b) for b in columns] for a in columns], right)
    explained = sum(c * r for c, r in zip(coefficients, right, strict=True))
    from_mean = Fraction(right[0] ** 2, known.num_rows)  # right[0] is the sum of the delays
    r_squared = float((explained - from_mean) / (_dot(delay, delay) - from_mean))
    return [
        {
            "term": term,
            "coefficient": float(coefficient),
            "unit": UNITS.get(term, f"minutes per unit of {term}"),
            "flights": known.num_rows,
            "r_squared": r_squared,
        }
        for term, coefficient in zip(["intercept", *regressors], coefficients, strict=True)
    ]


def coverage(scheduled: pa.Table) -> list[Row]:
    """What the joins did not find, by `table`: number of distinct `keys`, of `flights`, and of those that `arrived`."""
    # For each table, the key and a column that is never null in it.
    dimensions = {
        "weather": ("station_hour", "sky"),
        "planes": ("tailnum", "seats"),
        "airports": ("dest", "airport"),
        "airlines": ("carrier", "airline"),
    }
    rows = []
    for table, (key, column) in dimensions.items():
        missing = scheduled.filter(pc.is_null(scheduled[column]))
        rows.append(
            {
                "table": table,
                "keys": pc.count_distinct(missing[key]).as_py(),
                "flights": missing.num_rows,
                "arrived": missing.num_rows - missing["arr_delay"].null_count,
            }
        )
    return rows


# Their answers


def summarize(
    by_carrier: pa.Table,
    by_hour: pa.Table,
    by_destination: pa.Table,
    by_plane_age: pa.Table,
    by_weather: pa.Table,
    by_day: pa.Table,
    cancellations: pa.Table,
    routes: pa.Table,
    fit: pa.Table,
    coverage: pa.Table,
    min_flights: int,
) -> list[Row]:
    """A row per `question`: the `answer` in words, the `value` behind it to four decimals, and the `unit` of the value.

    The worst of a kind is sought among those with at least `min_flights` flights.
    """
    days, hours, terms = cancellations.to_pylist(), by_hour.to_pylist(), fit.to_pylist()
    scheduled, cancelled = sum(day["scheduled"] for day in days), sum(day["cancelled"] for day in days)
    arrived = sum(hour["flights"] for hour in hours)
    late = 100 * sum(hour["flights"] * hour["late"] for hour in hours) / arrived
    explained = 100 * terms[0]["r_squared"]

    carrier = _worst(by_carrier, min_flights)
    hour = _worst(by_hour, min_flights)
    place = _worst(by_destination, min_flights)
    airport = place["airport"] or place["dest"]
    age = _worst(by_plane_age.filter(pc.is_valid(by_plane_age["age"])), min_flights)
    day = _worst(by_day, min_flights)
    emptiest = max(days, key=lambda day: day["cancelled"])
    busiest = routes.to_pylist()[0]

    answers: list[tuple[str, str, float, str]] = [
        ("How many flights arrive late?", f"{late:.1f} % of {arrived:,}, by {LATE} minutes or more", late, "percent"),
        ("How many flights are cancelled?", f"{cancelled:,} of {scheduled:,}", cancelled, "flights"),
        ("Which carrier is the latest?", _named(carrier, carrier["airline"]), carrier["mean"], "minutes"),
        ("Which hour of departure is the latest?", _named(hour, f"{hour['hour']}:00"), hour["mean"], "minutes"),
        ("Which destination is the latest?", _named(place, airport), place["mean"], "minutes"),
        ("Which age of plane is the latest?", _named(age, f"from {age['age']} years"), age["mean"], "minutes"),
        ("Which day has the longest departure delays?", _named(day, f"{day['date']}"), day["mean"], "minutes"),
        ("Which day has the most cancellations?", f"{emptiest['date']}", emptiest["cancelled"], "flights"),
        ("Which route is the busiest?", f"{busiest['origin']}-{busiest['dest']}", busiest["flights"], "flights"),
    ]
    for row in by_weather.to_pylist():
        question = f"How late are flights in {row['sky'] or 'unknown'} weather?"
        answers.append((question, _typical(row), row["mean"], "minutes"))
    for row in terms[1:]:
        question = f"What does {row['term']} add, other things being equal?"
        answers.append((question, f"{row['coefficient']:+.3f} {row['unit']}", row["coefficient"], row["unit"]))
    answers.append(("How much of the delays do these explain?", f"{explained:.1f} %", explained, "percent"))
    for row in coverage.to_pylist():
        question = f"How many flights have no row in {row['table']}?"
        answers.append((question, f"{row['flights']:,}; {row['arrived']:,} arrived", row["flights"], "flights"))
    return [
        {"question": question, "answer": answer, "value": round(float(value), 4), "unit": unit}
        for question, answer, value, unit in answers
    ]


# What they share


def delay_by(flights: pa.Table, *keys: str, delay: str = "arr_delay") -> pa.Table:
    """The column `delay` (whole minutes, never null) by `keys`: a row per group, sorted by the keys, nulls last.

    `flights` is their number, `mean` and `median` are in minutes, nine in ten flights were no later than `p90` minutes,
    and `late` is the share (0 to 1) of those that were at least 15 minutes late. A few very long delays pull the mean
    far above the median, so read the two together.
    """
    chosen = _sort(flights.select([*keys, delay]), *keys, delay)
    chosen = chosen.append_column("late", pc.greater_equal(chosen[delay], LATE))
    groups = chosen.group_by(list(keys), use_threads=False).aggregate(
        [(delay, "count"), (delay, "mean"), ("late", "mean")]
    )
    groups = _sort(groups.rename_columns([*keys, "flights", "mean", "late"]), *keys)
    # Each group is a run of rows sorted by delay, so its quantiles are found by counting rows.
    size = groups["flights"]
    first = pc.subtract(pc.cumulative_sum(size), size)
    half, tenth = pc.divide(pc.subtract(size, 1), 2), pc.divide(pc.subtract(pc.multiply(size, 9), 1), 10)
    for name, nth in (("median", half), ("p90", tenth)):
        groups = groups.append_column(name, chosen[delay].take(pc.add(first, nth)))
    return groups.select([*keys, "flights", "mean", "median", "p90", "late"])


def left_join(left: pa.Table, right: pa.Table, key: str) -> pa.Table:
    """`left` with the other columns of `right`, null where `right` has no such `key`. ValueError if two rows have it.

    The rows of `left` keep their order, which `pyarrow.Table.join` does not promise.
    """
    if pc.count_distinct(right[key]).as_py() != right.num_rows:
        raise ValueError(f"{key} is not unique in the table that is joined")
    rows = pc.index_in(left[key], value_set=right[key])
    for name in right.column_names:
        if name != key:
            left = left.append_column(name, right[name].take(rows))
    return left


def solve(matrix: Sequence[Sequence[int]], right: Sequence[int]) -> list[Fraction]:
    """The exact x of matrix x = right, by Gaussian elimination. ValueError if there is not exactly one."""
    rows = [[Fraction(number) for number in [*row, last]] for row, last in zip(matrix, right, strict=True)]
    for i in range(len(rows)):
        pivot = next((j for j in range(i, len(rows)) if rows[j][i]), None)
        if pivot is None:
            raise ValueError("the regressors do not vary, or one of them follows from the others: leave one out")
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [number / rows[i][i] for number in rows[i]]
        for j in range(len(rows)):
            if j != i:
                rows[j] = [a - rows[j][i] * b for a, b in zip(rows[j], rows[i], strict=True)]
    return [row[-1] for row in rows]


def _dot(a: pa.ChunkedArray, b: pa.ChunkedArray) -> int:
    return int(pc.sum(pc.multiply(a, b), min_count=0).as_py())


def _date(year: pa.ChunkedArray, month: pa.ChunkedArray, day: pa.ChunkedArray) -> pa.ChunkedArray:
    # From the local calendar: the date of time_hour is that of UTC, which in the evening is tomorrow's.
    parts = [pc.utf8_lpad(pc.cast(part, pa.string()), 2, "0") for part in (year, month, day)]
    return pc.cast(pc.binary_join_element_wise(*parts, "-"), pa.date32())


def _station_hour(table: pa.Table) -> pa.ChunkedArray:
    # The hour is that of UTC: on the day the clocks go back, one local hour comes twice.
    hour = pc.cast(pc.cast(table["time_hour"], pa.int64()), pa.string())
    return pc.binary_join_element_wise(table["origin"], hour, "@")


def _sort(table: pa.Table, *keys: str) -> pa.Table:
    return table.take(pc.sort_indices(table, [(key, "ascending") for key in keys]))


def _worst(groups: pa.Table, min_flights: int) -> Row:
    rows = [row for row in groups.to_pylist() if row["flights"] >= min_flights]
    if not rows:
        raise ValueError(f"no group has {min_flights} flights: choose a smaller min_flights")
    return max(rows, key=lambda row: row["mean"])


def _named(row: Row, name: str) -> str:
    return f"{name} ({row['flights']:,} flights)"


def _typical(row: Row) -> str:
    return f"{row['mean']:.1f} minutes on average, half of them {row['median']} or less"
