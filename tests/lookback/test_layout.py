"""Tests of columns and fields in terminals of several widths."""

from __future__ import annotations

import pytest

from nfrun.lookback.layout import Look, local_time

HEADINGS = ["node", "status", "time", "why it ran"]
ROWS = [
    ["extract_all_of_the_orders", "ok", "1.50 s", "the function extract in steps changed"],
    ["b", "failed", "12 ms", ""],
]


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (
            None,
            [
                "node                       status    time  why it ran",
                "extract_all_of_the_orders  ok      1.50 s  the function extract in steps changed",
                "b                          failed   12 ms",
            ],
        ),
        (
            60,
            [
                "node                       status    time  why it ran",
                "extract_all_of_the_orders  ok      1.50 s  the functio…anged",
                "b                          failed   12 ms",
            ],
        ),
        (
            46,
            [
                "node                     status    time",
                "extract_all_of_…_orders  ok      1.50 s",
                "b                        failed   12 ms",
            ],
        ),
        (20, ["node        status", "extrac…ers  ok", "b           failed"]),
    ],
)
def test_columns_fit_the_terminal(width: int | None, lines: list[str]) -> None:
    found = list(Look(width).columns(HEADINGS, ROWS, right={"time"}))
    assert found == lines
    assert width is None or max(map(len, found)) <= width


def test_columns_of_a_pipe_are_not_cut() -> None:
    assert list(Look().columns(["a", "b"], [["x", "y" * 900]], right=()))[1] == f"x  {'y' * 900}"


def test_only_the_status_has_a_colour() -> None:
    found = list(Look(colored=True).columns(HEADINGS, ROWS, right={"time"}))
    assert found[1].startswith("extract_all_of_the_orders  \x1b[32mok    \x1b[0m  1.50 s  the")
    assert found[2] == "b                          \x1b[31mfailed\x1b[0m   12 ms"


def test_controls_are_escaped_and_lines_joined() -> None:
    assert list(Look().columns(["a"], [["\x1b[2J\n"]], right=()))[1] == "\\x1b[2J\\n"
    assert list(Look().fields([("label", "a\x1b\nb"), ("none", "")])) == ["  label  a\\x1b", "         b"]


def test_a_time_of_today_has_no_date(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_700_000_000.0
    assert local_time(now - 60, now).startswith("today ")
    assert local_time(now - 86_400, now)[4] == "-"
    assert local_time(None) == "-"
