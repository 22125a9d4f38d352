"""Exit codes: what scripts around nfrun know of an end."""

from __future__ import annotations

import signal

import pytest

from nfrun.cli.exit_codes import io_exit_code, run_exit_code
from nfrun.core.events import Failure, RunFinished

FULL, DENIED = "cannot write x: No space left on device", "cannot write x: Permission denied"


@pytest.mark.parametrize(
    ("status", "error", "failures", "caught", "code"),
    [
        ("ok", "", [], [], 0),
        ("ok", "", [], [signal.SIGTERM], 0),  # it came too late
        ("failed", "", [("error", "ValueError")], [], 1),
        ("failed", "", [("error", "PermissionError")], [], 1),  # the node's own
        ("failed", "", [("error", "ValueError"), ("io", "")], [], 74),
        ("failed", "", [("io", ""), ("io", "PermissionError")], [], 77),
        ("failed", FULL, [], [], 74),
        ("failed", DENIED, [], [], 77),
        ("failed", FULL, [("io", "PermissionError")], [], 77),
        ("cancelled", "", [("io", "")], [signal.SIGINT], 130),
        ("cancelled", "", [], [signal.SIGTERM, signal.SIGINT], 143),
        ("cancelled", "", [], [signal.SIGHUP], 129),
    ],
)
def test_a_run_has_the_exit_code_of_its_end(
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
def test_what_may_not_be_written_behind_the_nodes_is_a_matter_of_permission(error: str, code: int) -> None:
    assert io_exit_code(error) == code
