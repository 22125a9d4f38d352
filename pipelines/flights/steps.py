"""Why are New York flights late? The steps of flights.yaml that are no queries, each a plain function of tables.

Delays are in minutes, negative when early. A result is the same to the last bit, whatever order the flights have: sums
are taken over whole numbers, and the queries sort their groups.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

Row = dict[str, Any]

LATE = 15  # minutes: the US Department of Transportation counts a flight as on time below this

UNITS = {
    "intercept": "minutes",
    "hour": "minutes per hour of the day",
    "precip": "minutes per 0.01 inch of precipitation in the hour",
    "wind": "minutes per knot of wind",
    "distance": "minutes per mile of distance",
}


# One question of ten: the others are queries


def fit(joined: pa.Table, regressors: list[str]) -> list[Row]:
    """Least squares of the arrival delay on whole-numbered columns, over the flights where all of them are known.

    One row per `term`: its `coefficient` in `unit`, the number of `flights`, and `r_squared`, the share (0 to 1) of the
    variance of the delay that all terms explain together.
    """
    known = joined.select(["arr_delay", *regressors]).drop_null()
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


def _worst(groups: pa.Table, min_flights: int) -> Row:
    rows = [row for row in groups.to_pylist() if row["flights"] >= min_flights]
    if not rows:
        raise ValueError(f"no group has {min_flights} flights: choose a smaller min_flights")
    return max(rows, key=lambda row: row["mean"])


def _named(row: Row, name: str) -> str:
    return f"{name} ({row['flights']:,} flights)"


def _typical(row: Row) -> str:
    return f"{row['mean']:.1f} minutes on average, half of them {row['median']} or less"
