"""Tests of the exit code of a run: from its status, its failures and signals."""

from __future__ import annotations

import signal

import pytest

from nfrun.cli.exit_codes import io_exit_code, run_exit_code
from nfrun.core.events import Failure, RunFinished

DISK_FULL, PERMISSION_DENIED = "cannot write x: No space left on device", "cannot write x: Permission denied"


@pytest.mark.parametrize(
    ("status", "error", "failures", "caught", "code"),
    [
        ("ok", "", [], [], 0),
        ("ok", "", [], [signal.SIGTERM], 0),  # the signal came too late
        ("failed", "", [("error", "ValueError")], [], 1),
        ("failed", "", [("error", "PermissionError")], [], 1),  # raised by the node itself
        ("failed", "", [("error", "ValueError"), ("io", "")], [], 74),
        ("failed", "", [("io", ""), ("io", "PermissionError")], [], 77),
        ("failed", DISK_FULL, [], [], 74),
        ("failed", PERMISSION_DENIED, [], [], 77),
        ("failed", DISK_FULL, [("io", "PermissionError")], [], 77),
        ("cancelled", "", [("io", "")], [signal.SIGINT], 130),
        ("cancelled", "", [], [signal.SIGTERM, signal.SIGINT], 143),
        ("cancelled", "", [], [signal.SIGHUP], 129),
    ],
)
def test_the_exit_code_of_a_run(
    status: str, error: str, failures: list[tuple[str, str]], caught: list[int], code: int
) -> None:
    end = RunFinished(1.0, status, error)
    assert run_exit_code(end, [Failure(kind, type, "") for kind, type in failures], caught) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("cannot write the output 'a' (8 bytes): Permission denied", 77),
        ("cannot write /w/journal.jsonl: Operation not permitted", 77),
        ("cannot write the output 'Permission denied' (8 bytes): No space left on device", 74),
    ],
)
def test_a_permission_error_while_writing_outputs_is_77(error: str, code: int) -> None:
    assert io_exit_code(error) == code
