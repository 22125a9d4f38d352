"""Defines the filters of expressions: those of Jinja with limits on what they produce, and `range` and `dates`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

MAX_SIZE = 1_000_000  # characters or items that one operation may produce
MAX_DATES = 200_000
# These filters keep small values small, but for `join`, `replace`, `round`, `range` and `dates`, which have limits.
FILTERS = (
    *("abs", "capitalize", "dates", "default", "first", "float", "int", "items", "join", "last", "length", "list"),
    *("lower", "max", "min", "range", "replace", "reverse", "round", "sort", "string", "sum", "title", "trim"),
    *("unique", "upper"),
)
SIZED = (str, list, tuple)
_MAX_DIGITS = 400
_DATE = len("2024-01-31")
_HOURS = {"day": 24, "week": 168, "hour": 1}


def new_filters(filters: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Return the filters that Jinja lacks, and those that can make a large value from small ones, with limits."""
    from jinja2.exceptions import FilterArgumentError, SecurityError

    @wraps(filters["join"])
    def join(context: Any, value: Any, d: Any = "", *more: Any, **options: Any) -> Any:
        items = list(value)
        if size_of(items) + len(items) * len(str(d)) > MAX_SIZE:
            raise SecurityError("this text is too large")
        return filters["join"](context, items, d, *more, **options)

    @wraps(filters["replace"])
    def replace(context: Any, text: Any, old: Any, new: Any, *more: Any, **options: Any) -> Any:
        if result_size(str(text), "replace", (str(old), str(new)), {}) > MAX_SIZE:
            raise SecurityError("this text is too large")
        return filters["replace"](context, text, old, new, *more, **options)

    @wraps(filters["round"])
    def round_(value: Any, precision: Any = 0, *more: Any, **options: Any) -> Any:
        if isinstance(precision, int) and abs(precision) > _MAX_DIGITS:
            raise SecurityError("this precision is too large")
        return filters["round"](value, precision, *more, **options)

    def range_(value: Any) -> list[int]:
        if isinstance(value, bool) or not isinstance(value, int):
            raise FilterArgumentError(f"'range' takes a whole number, not {value!r:.60}")
        if value > MAX_SIZE:
            raise SecurityError("this range is too large")
        return list(range(value))

    def dates_(value: Any, step: Any = "day") -> list[str]:
        try:
            return dates(value, step)
        except ValueError as error:
            raise FilterArgumentError(str(error)) from None

    return {"join": join, "replace": replace, "round": round_, "range": range_, "dates": dates_}


def dates(ends: Any, step: Any = "day") -> list[str]:
    """Return every day, or every `step`, from the first to the last of two dates, both included, as ISO texts.

    A month later is the same day of the next month, or its last day. Hours are written `2024-01-31T05`; a last date
    without an hour includes all of its hours. Raises ValueError.
    """
    from datetime import timedelta

    if not (isinstance(ends, list | tuple) and len(ends) == 2 and all(isinstance(end, str) for end in ends)):
        raise ValueError("'dates' takes two dates: [first, last] | dates")
    if step not in ("day", "week", "month", "hour"):
        raise ValueError(f"'dates' goes by 'day', 'week', 'month' or 'hour', not {step!r:.60}")
    first, last = _moment(ends[0]), _moment(ends[1])
    if step == "hour" and len(ends[1]) == _DATE:
        last += timedelta(hours=23)
    elif step != "hour" and max(map(len, ends)) > _DATE:
        raise ValueError(f"'dates' by {step} takes dates without an hour")
    found: list[str] = []
    at = first
    while at <= last:
        if len(found) == MAX_DATES:
            raise ValueError(f"'dates' gives at most {MAX_DATES:,} dates")
        found.append(at.isoformat(timespec="hours") if step == "hour" else at.date().isoformat())
        count = len(found)
        try:
            at = _months_later(first, count) if step == "month" else first + timedelta(hours=count * _HOURS[step])
        except (OverflowError, ValueError):
            break  # the calendar ends with the year 9999
    return found


def _moment(text: str) -> datetime:
    """Parse a date, or a date with an hour. Raises ValueError."""
    from datetime import datetime

    if len(text) not in (_DATE, _DATE + 3):
        raise ValueError(f"{text!r:.60} is no date such as 2024-01-31")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r:.60} is no date such as 2024-01-31") from None


def _months_later(first: datetime, count: int) -> datetime:
    from calendar import monthrange

    years, month = divmod(first.month - 1 + count, 12)
    year, month = first.year + years, month + 1
    return first.replace(year=year, month=month, day=min(first.day, monthrange(year, month)[1]))


def result_size(text: str, method: str, args: Sequence[Any], options: Mapping[str, Any]) -> int:
    """Return a limit for the size of what a text method returns, 0 if that is no larger than its arguments."""
    if method == "expandtabs":
        width = next((value for value in (*args, *options.values()) if isinstance(value, int)), 8)
        return len(text) + text.count("\t") * width
    if method == "replace" and len(args) > 1 and isinstance(args[0], str):
        return len(text) + text.count(args[0]) * size_of(args[1])
    if method == "join" and args and isinstance(args[0], (*SIZED, dict)):
        return size_of(args[0]) + len(args[0]) * len(text)
    return len(text) * size_of(args[0]) if method == "translate" and args else 0


def size_of(value: Any) -> int:
    """Return the number of characters and items in a value. Stops counting at the limit."""
    if isinstance(value, str):
        return max(1, len(value))
    if isinstance(value, Mapping):
        value = [*value, *value.values()]
    total = 1
    for item in value if isinstance(value, list | tuple) else ():
        total += size_of(item)
        if total > MAX_SIZE:
            break
    return total
