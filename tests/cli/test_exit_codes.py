"""Tests of the exit code of a run: from its status, the cause of its failure, and signals."""

from __future__ import annotations

import signal

import pytest

from nfrun.cli.exit_codes import EXIT_CODES, run_exit_code
from nfrun.core.errors import Cause
from nfrun.core.events import RunFinished

CODES = {
    Cause.CANCELLED: 1,
    Cause.NODE: 1,
    Cause.CHECK: 1,
    Cause.TIMEOUT: 1,
    Cause.LOST: 1,
    Cause.IO: 74,
    Cause.PERMISSION: 77,
    Cause.CLUSTER: 69,
    Cause.INTERNAL: 70,
}


@pytest.mark.parametrize("cause", Cause)
def test_the_exit_code_of_a_run_that_failed_is_that_of_its_cause(cause: Cause) -> None:
    assert run_exit_code(RunFinished(1.0, "failed", "", cause), []) == EXIT_CODES[cause] == CODES[cause]


@pytest.mark.parametrize(
    ("status", "cause", "caught", "code"),
    [
        ("ok", None, [], 0),
        ("ok", None, [signal.SIGTERM], 0),  # the signal came too late
        ("failed", Cause.IO, [signal.SIGINT], 130),
        ("cancelled", None, [signal.SIGTERM, signal.SIGINT], 143),
        ("cancelled", None, [signal.SIGHUP], 129),
    ],
)
def test_the_exit_code_of_a_run_that_was_ok_or_cancelled(
    status: str, cause: Cause | None, caught: list[int], code: int
) -> None:
    assert run_exit_code(RunFinished(1.0, status, "", cause), caught) == code
