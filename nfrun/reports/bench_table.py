"""Prints the results of `nfrun bench`: a table, bars, and a verdict on each pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nfrun.core.text import ellipsize, escape_controls
from nfrun.core.values import frozen
from nfrun.reports.bench_stats import VARIANTS, Comparison, Spread, ratio
from nfrun.reports.format_units import format_count, format_seconds, format_size
from nfrun.reports.printing import Printer, fitting_columns

_BAR_WIDTH = 40  # characters of a terminal for the slowest variant
_MAX_NAME = 24
_MIN_NAME = 10
_MARGIN = 1.05  # a speedup must exceed the ceiling by this factor: less may be chance
# Columns by priority: a narrow terminal shows only the first ones, and always the first.
_COLUMN_PRIORITY = ("now", "before", "ratio", "stages", "blog")


@frozen
class Row:
    """One row of the table.

    `measure` is the field of `Measured` with the value, for each variant of the comparison `of`. `write` formats it.
    `account` is the figure of the blog post, empty if it has none.
    """

    label: str
    of: Comparison
    measure: str
    write: Callable[[float], str]
    account: str = ""


def blog_rows(five: Comparison, twenty: Comparison) -> list[Row]:
    """Return the rows of the blog post's table. Memory and serialization, one row each, use the larger pipeline."""
    return [
        Row("pipeline of 5 nodes", five, "wall", format_seconds, "800 -> 240 ms"),
        Row("pipeline of 20 nodes", twenty, "wall", format_seconds, "3.2 s -> 680 ms"),
        Row("memory per execution", twenty, "peak", format_size, "128 -> 76 MB"),
        Row("serialization per node", twenty, "handoff", format_seconds, "~50 -> <1 ms"),
    ]


def rows(of: Comparison) -> list[Row]:
    """Return the rows of the table for any pipeline."""
    label = f"{ellipsize(of.name, _MAX_NAME)}, {format_count(of.nodes, 'node')}"
    return [
        Row(label, of, "wall", format_seconds),
        Row("memory per execution", of, "peak", format_size),
        Row("serialization per node", of, "handoff", format_seconds),
    ]


def print_comparison(
    console: Printer,
    comparisons: Sequence[Comparison],
    table: Sequence[Row],
    machine: Mapping[str, object],
    block: str,
) -> None:
    """Print the results of all comparisons. `block` is the character that bars are made of."""
    _print_head(console, comparisons, machine)
    _print_table(console, table)
    for comparison in comparisons:
        _print_bars(console, comparison, block)
    for comparison in comparisons:
        for line in verdict(comparison):
            console.print_line(line)


def verdict(comparison: Comparison) -> list[str]:
    """Return lines that say whether the results were identical, and how the speedup compares to the best possible."""
    name = ellipsize(comparison.name)
    outputs, runs = format_count(comparison.outputs, "output"), format_count(comparison.runs, "run")
    if comparison.differing:
        lines = [f"{name}: results identical: no"]
        lines += [f"  '{escape_controls(output)}' {why}" for output, why in comparison.differing.items()]
    elif comparison.outputs:
        lines = [f"{name}: results identical: yes ({outputs}, {runs})"]
    else:
        lines = [f"{name}: results identical: it has no outputs to compare"]
    work, longest, slots = comparison.work, comparison.longest, comparison.slots
    bound = f"{format_seconds(longest)} on the longest path"
    if work / slots > longest:
        bound = f"{format_seconds(work / slots)} for each of {format_count(slots, 'slot')}"
    lines.append(
        f"{name}: {_faster(comparison.speedup)}; the order of nodes alone gives at most {_times(comparison.ceiling)} "
        f"({format_seconds(work)} of work, {bound})"
    )
    handed_on = comparison.variants[VARIANTS[0].name].handoff.median > 0
    if handed_on and comparison.speedup > _MARGIN * comparison.ceiling:
        lines.append("  what goes beyond that is JSON that is no longer written and parsed")
    return lines


def _print_head(console: Printer, comparisons: Sequence[Comparison], machine: Mapping[str, object]) -> None:
    console.print_line(machine_line(machine))
    repeat = comparisons[0].runs // len(VARIANTS)
    runs = f"medians of {format_count(repeat, 'run')}" if repeat > 1 else "1 run"
    console.print_line(f"{runs} of each variant, in turns, each in a process of its own")
    for variant in VARIANTS:
        console.print_line(f"  {variant.name + ':':<8}{variant.description}", "dim")


def machine_line(machine: Mapping[str, object]) -> str:
    """Describe the machine and its load average on one line."""
    named = (f"{key} {machine[key]}" for key in ("nfrun", "python", "pyarrow"))
    cores = format_count(int(str(machine["cores"])), "core")
    what = (ellipsize(str(machine[key])) for key in ("cpu", "system") if machine[key])
    return ", ".join([cores, *what, *named, f"load {machine['load']}"])


def _print_table(console: Printer, table: Sequence[Row]) -> None:
    names = [variant.name for variant in VARIANTS]
    blog = ["blog"] if any(row.account for row in table) else []
    medians, ranges = [], []
    for row in table:
        spreads: list[Spread] = [getattr(row.of.variants[name], row.measure) for name in names]
        gain = ratio(spreads[0].median, spreads[-1].median)
        account = [row.account] if blog else []
        medians.append([row.label, *(row.write(s.median) for s in spreads), _times(gain), *account])
        ranges.append([row.label, *(_range(s, row.write) for s in spreads)])
    _print_columns(console, ["median", *names, "ratio", *blog], medians)
    if any(measured.wall.min < measured.wall.max for row in table for measured in row.of.variants.values()):
        _print_columns(console, ["min to max", *names], ranges)


def _print_columns(console: Printer, headings: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    columns = dict(zip(headings[1:], zip(headings[1:], *(row[1:] for row in cells), strict=True), strict=True))
    by_priority = sorted(columns, key=_COLUMN_PRIORITY.index)
    fit = by_priority[: fitting_columns([columns[heading] for heading in by_priority], console.width, _MIN_NAME)]
    table = console.new_table()
    table.add_column(headings[0])
    for heading in headings[1:]:
        if heading in fit:
            table.add_column(heading, justify="left" if heading == "blog" else "right", no_wrap=True)
    for row in cells:
        figures = (cell for heading, cell in zip(headings[1:], row[1:], strict=True) if heading in fit)
        table.add_row(console.shrinking_cell(row[0]), *figures)
    console.print(table)


def _print_bars(console: Printer, comparison: Comparison, block: str) -> None:
    console.print_line(ellipsize(comparison.name), "bold")
    walls = {name: measured.wall.median for name, measured in comparison.variants.items()}
    longest = max(walls.values())
    room = max(1, min(_BAR_WIDTH, console.width - 20))
    for name, wall in walls.items():
        bar = block * max(1, round(room * wall / longest)) if longest else block
        console.print_line(f"  {name:<8}{bar} {format_seconds(wall)}")
    console.print_line("")


def _range(spread: Spread, write: Callable[[float], str]) -> str:
    """Format a range as `1.05 - 1.08 s`, with the unit once if both ends have the same."""
    low, high = write(spread.min), write(spread.max)
    if low == high:
        return low
    same = low.rpartition(" ")[2] == high.rpartition(" ")[2]
    return f"{low.rpartition(' ')[0] if same else low} - {high}"


def _faster(speedup: float) -> str:
    return f"{_times(speedup)} faster" if speedup >= 0.95 else f"{_times(1 / speedup)} slower" if speedup else "slower"


def _times(value: float) -> str:
    if value < 0.95:
        return f"{value:.2g}x"
    return f"{value:.1f}x" if value < 100 else f"{value:,.0f}x" if value < 1e6 else "-"
