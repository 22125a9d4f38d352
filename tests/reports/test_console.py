"""Tests of the rich console: styles, wrapping, and text that must not be read as markup."""

from __future__ import annotations

import io
import os
import random

import pytest
from random_seeds import seeds

from nfrun.reports.console import console
from nfrun.reports.printing import PlainConsole, Printer


def printed(*, colored: bool = False) -> str:
    out = io.StringIO()
    console(out, colored=colored).print_line("[b]x[/b] :smile: 1", "bold")
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
    console(out, colored=False).print_line("word " * 1_000 + "end")
    table = console(out, colored=False).new_table()
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
    table = console(out, colored=False).new_table()
    table.add_column("heading", no_wrap=True)
    table.add_row("x" * 80)
    console(out, colored=False).print(table)
    console(out, colored=False).print_line("y" * 80)
    lines = [line.strip() for line in out.getvalue().splitlines()]
    assert lines == ["", "heading", "─" * 18, "x" * 17 + "…", "", "y" * 80]


def test_a_closed_pipe_raises_broken_pipe_error() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    with pytest.raises(BrokenPipeError), os.fdopen(theirs, "w") as stream:
        console(stream, colored=False).print_line("x")


CELLS = ["", "x", "a longer cell", "1,234", "日本語", "e\u0301", "…", "🙂", "x" * 80, "with  two spaces", "ï–—"]


@pytest.mark.parametrize("seed", seeds(4, 20))
def test_plain_tables_and_lines_are_those_of_rich_without_blanks_at_the_ends_of_lines(seed: int) -> None:
    rng = random.Random(seed)
    out, plain_out = io.StringIO(), io.StringIO()
    justify = [rng.choice(("left", "right")) for _ in range(rng.randrange(1, 7))]
    rows = [[rng.choice(CELLS) for _ in justify] for _ in range(rng.randrange(4))]
    targets: tuple[Printer, Printer] = console(out, colored=False), PlainConsole(plain_out)
    for target in targets:
        table = target.new_table()
        table.add_column("cut", max_width=9)
        for i, side in enumerate(justify):
            table.add_column(f"c{i}" * (i + 1), justify=side, no_wrap=i % 2 == 0)
        for row in rows:
            table.add_row(target.shrinking_cell(row[0]), *row)
        target.print_line("\nname: [b]1[/b] row", "bold", also="/a/path with :smile:")
        target.print(table)
        target.print_line("… and 3 more rows", "dim")
        target.print("\n… and 1 more output")
    assert plain_out.getvalue() == "".join(f"{line.rstrip(' ')}\n" for line in out.getvalue().split("\n")[:-1])
