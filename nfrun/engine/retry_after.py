"""Reads from an error of a node how long to wait before the next attempt."""

from __future__ import annotations

import math
import time

_HEADERS = ("Retry-After", "retry-after")


def retry_after(error: BaseException) -> float | None:
    """Return the seconds to wait before the next attempt, None if the error does not say.

    `nfrun.Retry` says it in `after`, and errors of HTTP libraries in the header `Retry-After` of `response.headers` or
    `headers`: as seconds or as a date.
    """
    from nfrun import Retry

    if isinstance(error, Retry):
        return _seconds(error.after)
    for holder in (getattr(error, "response", None), error):
        headers = getattr(holder, "headers", None)
        if headers is None or not hasattr(headers, "get"):
            continue
        try:
            found = next((value for name in _HEADERS if (value := headers.get(name)) is not None), None)
            return None if found is None else _seconds_of_header(str(found))
        except Exception:  # headers of a library that are no mapping after all
            return None
    return None


def _seconds_of_header(text: str) -> float | None:
    try:
        return _seconds(float(text))
    except ValueError:
        pass
    from email.utils import parsedate_to_datetime

    try:
        return _seconds(max(0.0, parsedate_to_datetime(text.strip()).timestamp() - time.time()))
    except (ValueError, TypeError, OverflowError):
        return None


def _seconds(value: float) -> float | None:
    return float(value) if math.isfinite(value) and value >= 0 else None
