"""Tests of the rich console: styles, wrapping, and text that must not be read as markup."""

from __future__ import annotations

import io
import os

import pytest

from nfrun.reports.console import console, new_table, print_line


def printed(*, colored: bool = False) -> str:
    out = io.StringIO()
    print_line(console(out, colored=colored), "[b]x[/b] :smile: 1", "bold")
    return out.getvalue()


def test_a_pipe_gets_no_styles_and_text_is_not_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.setenv(name, "1")
    assert printed() == "[b]x[/b] :smile: 1\n"


@pytest.mark.parametrize("term", ["dumb", "", "xterm-256color"])
def test_styles_are_printed_on_request(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    assert printed(colored=True) == "\x1b[1m[b]x[/b] :smile: 1\x1b[0m\n"


def test_nothing_is_wrapped_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    out = io.StringIO()
    print_line(console(out, colored=False), "word " * 1_000 + "end")
    table = new_table()
    for i in range(12):
        table.add_column(f"column {i}")
    table.add_row(*["x" * 80] * 12)
    console(out, colored=False).print(table)
    assert [line.strip()[-4:] for line in out.getvalue().splitlines()] == [" end", "", "n 11", "────", "xxxx", ""]


def test_a_table_fits_a_terminal_and_a_line_is_not_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    table = new_table()
    table.add_column("heading", no_wrap=True)
    table.add_row("x" * 80)
    console(out, colored=False).print(table)
    print_line(console(out, colored=False), "y" * 80)
    lines = [line.strip() for line in out.getvalue().splitlines()]
    assert lines == ["", "heading", "─" * 18, "x" * 17 + "…", "", "y" * 80]


def test_a_closed_pipe_raises_broken_pipe_error() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    with pytest.raises(BrokenPipeError), os.fdopen(theirs, "w") as stream:
        print_line(console(stream, colored=False), "x")
