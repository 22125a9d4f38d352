"""How long an error of a node says to wait before the next attempt."""

from __future__ import annotations

import email.message
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nfrun import NoRetry, Retry
from nfrun.core.errors import Cause
from nfrun.core.events import Failure
from nfrun.core.pipeline import Retry as Retries
from nfrun.core.retries import delay_after
from nfrun.engine import failures as module
from nfrun.engine.failures import failure_of, retry_after


class Response:
    def __init__(self, headers: Any) -> None:
        self.headers = headers


class HttpError(Exception):
    """As errors of requests, httpx and aiohttp: the response, or the headers themselves, are at hand."""

    def __init__(self, headers: Any, *, on_response: bool = True) -> None:
        super().__init__("busy")
        if on_response:
            self.response = Response(headers)
        else:
            self.headers = headers


def message(value: str) -> email.message.Message:
    found = email.message.Message()
    found["Retry-after"] = value
    return found


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Retry(after=3), 3.0),
        (Retry(), 0.0),
        (Retry(after=float("nan")), None),
        (Retry(after=-1), None),
        (HttpError({"Retry-After": "7"}), 7.0),
        (HttpError({"retry-after": "0.5"}), 0.5),
        (HttpError(message("8")), 8.0),
        (HttpError({"Retry-After": "9"}, on_response=False), 9.0),
        (HttpError({"Retry-After": formatdate(1_000_090, usegmt=True)}), 90.0),
        (HttpError({"Retry-After": formatdate(999_000, usegmt=True)}), 0.0),
        (HttpError({"Retry-After": "soon"}), None),
        (HttpError({"Retry-After": "inf"}), None),
        (HttpError({}), None),
        (HttpError(None), None),
        (HttpError("Retry-After: 3"), None),
        (ValueError("no"), None),
    ],
)
def test_the_seconds_that_an_error_asks_for(
    error: Exception, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.time, "time", lambda: 1_000_000.0)
    assert retry_after(error) == seconds


@pytest.mark.parametrize(("asked", "delay"), [(3.0, 3.0), (60.0, 60.0), (60.1, None), (0.0, 0.0), (None, 1.0)])
def test_a_longer_pause_than_allowed_is_no_retry(asked: float | None, delay: float | None) -> None:
    failure = Failure(Cause.NODE, "Busy", "", retry_after=asked)
    assert delay_after(1, failure, Retries(2, delay=1.0, max_delay=60.0, jitter=0.0), "seed") == delay


@pytest.mark.parametrize("every_row", [False, True])
def test_who_must_not_call_again_has_no_retry(every_row: bool, tmp_path: Path) -> None:
    class WrongKey(NoRetry):
        pass

    spec: Any = SimpleNamespace(kind="python", folder="")
    failure = failure_of(WrongKey("no", every_row=every_row), spec, (), tmp_path)
    assert (failure.type, failure.message) == ("WrongKey", "no")
    assert (failure.is_final, failure.is_certain) == (True, every_row)
    assert delay_after(1, failure, Retries(2, delay=1.0), "seed") is None
