"""Prints the results of `nfrun bench`: a table of medians, and a verdict on each pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nfrun.core.text import ellipsize, escape_controls
from nfrun.core.values import frozen
from nfrun.reports.bench_stats import VARIANTS, Comparison, ratio
from nfrun.reports.format_units import format_count, format_seconds, format_size
from nfrun.reports.printing import Printer

_MAX_NAME = 24
_MARGIN = 1.05  # a speedup must exceed the ceiling by this factor: less may be chance


@frozen
class Row:
    """One row of the table.

    `measure` names the value of each variant of the comparison `of`. `write` formats it. `account` is the figure of the
    blog post, empty if it has none.
    """

    label: str
    of: Comparison
    measure: str
    write: Callable[[float], str]
    account: str = ""


def blog_rows(five: Comparison, twenty: Comparison) -> list[Row]:
    """Return the rows of the blog post's table. Memory and serialization, one row each, use the larger pipeline."""
    return [
        Row("pipeline of 5 nodes", five, "wall_s", format_seconds, "800 -> 240 ms"),
        Row("pipeline of 20 nodes", twenty, "wall_s", format_seconds, "3.2 s -> 680 ms"),
        Row("memory per execution", twenty, "peak_rss_bytes", format_size, "128 -> 76 MB"),
        Row("serialization per node", twenty, "handoff_per_node_s", format_seconds, "~50 -> <1 ms"),
    ]


def rows(of: Comparison) -> list[Row]:
    """Return the rows of the table for any pipeline."""
    label = f"{ellipsize(of['name'], _MAX_NAME)}, {format_count(of['nodes'], 'node')}"
    return [
        Row(label, of, "wall_s", format_seconds),
        Row("memory per execution", of, "peak_rss_bytes", format_size),
        Row("serialization per node", of, "handoff_per_node_s", format_seconds),
    ]


def print_comparison(
    console: Printer, comparisons: Sequence[Comparison], table: Sequence[Row], machine: Mapping[str, object]
) -> None:
    """Print the results of all comparisons."""
    console.print_line(machine_line(machine))
    repeat = comparisons[0]["runs"] // len(VARIANTS)
    runs = f"medians of {format_count(repeat, 'run')}" if repeat > 1 else "1 run"
    console.print_line(f"{runs} of each variant, in turns, each in a process of its own")
    for variant in VARIANTS:
        console.print_line(f"  {variant.name + ':':<8}{variant.description}", "dim")
    _print_table(console, table)
    for comparison in comparisons:
        for line in verdict(comparison):
            console.print_line(line)


def verdict(comparison: Comparison) -> list[str]:
    """Return lines that say whether the results were identical, and how the speedup compares to the best possible."""
    name = ellipsize(comparison["name"])
    outputs, runs = format_count(comparison["outputs"], "output"), format_count(comparison["runs"], "run")
    if comparison["differing"]:
        lines = [f"{name}: results identical: no"]
        lines += [f"  '{escape_controls(output)}' {why}" for output, why in comparison["differing"].items()]
    elif comparison["outputs"]:
        lines = [f"{name}: results identical: yes ({outputs}, {runs})"]
    else:
        lines = [f"{name}: results identical: it has no outputs to compare"]
    work, longest, slots = comparison["work_s"], comparison["longest_path_s"], comparison["slots"]
    speedup, ceiling = comparison["speedup"], comparison["ceiling"]
    bound = f"{format_seconds(longest)} on the longest path"
    if work / slots > longest:
        bound = f"{format_seconds(work / slots)} for each of {format_count(slots, 'slot')}"
    lines.append(
        f"{name}: {_faster(speedup)}; the order of nodes alone gives at most {_times(ceiling)} "
        f"({format_seconds(work)} of work, {bound})"
    )
    handed_on = comparison["variants"][VARIANTS[0].name]["handoff_per_node_s"]["median"] > 0
    if handed_on and speedup > _MARGIN * ceiling:
        lines.append("  what goes beyond that is JSON that is no longer written and parsed")
    return lines


def machine_line(machine: Mapping[str, object]) -> str:
    """Describe the machine and its load average on one line."""
    named = (f"{key} {machine[key]}" for key in ("nfrun", "python", "pyarrow"))
    cores = format_count(int(str(machine["cores"])), "core")
    what = (ellipsize(str(machine[key])) for key in ("cpu", "system") if machine[key])
    return ", ".join([cores, *what, *named, f"load {machine['load']}"])


def _print_table(console: Printer, table: Sequence[Row]) -> None:
    cells: dict[str, list[str]] = {}  # by heading
    for row in table:
        medians = {name: measures[row.measure]["median"] for name, measures in row.of["variants"].items()}
        texts = {name: row.write(median) for name, median in medians.items()}
        texts["ratio"] = _times(ratio(medians[VARIANTS[0].name], medians[VARIANTS[-1].name]))
        for heading, text in {**texts, "blog": row.account}.items():
            cells.setdefault(heading, []).append(text)
    if not any(cells["blog"]):
        del cells["blog"]
    printed = console.new_table()
    printed.add_column("median")
    for heading in cells:
        printed.add_column(heading, justify="left" if heading == "blog" else "right", no_wrap=True)
    for i, row in enumerate(table):
        printed.add_row(console.shrinking_cell(row.label), *(cells[heading][i] for heading in cells))
    console.print(printed)


def _faster(speedup: float) -> str:
    return f"{_times(speedup)} faster" if speedup >= 0.95 else f"{_times(1 / speedup)} slower" if speedup else "slower"


def _times(value: float) -> str:
    if value < 0.95:
        return f"{value:.2g}x"
    return f"{value:.1f}x" if value < 100 else f"{value:,.0f}x" if value < 1e6 else "-"
