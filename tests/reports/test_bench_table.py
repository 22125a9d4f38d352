"""Tests of the bench table: how a comparison of given figures is printed."""

from __future__ import annotations

import io
from typing import Any

import pytest

from nfrun.core.plan import best_speedup
from nfrun.reports.bench_stats import MEASURES, VARIANTS, Comparison, ratio, spread
from nfrun.reports.bench_table import blog_rows, machine_line, print_comparison, rows, verdict
from nfrun.reports.console import console

MACHINE = {
    "cores": 2,
    "cpu": "Some CPU",
    "system": "Linux 6 x86_64",
    "nfrun": "0.1",
    "python": "3.11",
    "pyarrow": "26",
    "load": 0.5,
}


def measured(wall: float, peak: float, handoff: float) -> dict[str, Any]:
    return {name: spread([v, v * 0.9, v * 1.1]) for name, v in zip(MEASURES, (wall, peak, handoff), strict=True)}


def replace(of: Comparison, **changes: Any) -> Comparison:
    """Return a comparison with other values, and the speed-ups that follow from them."""
    made = {**of, **changes}
    before, now = (made["variants"][VARIANTS[i].name]["wall_s"]["median"] for i in (0, -1))
    ceiling = best_speedup(made["work_s"], made["longest_path_s"], made["slots"])
    return {**made, "speedup": ratio(before, now), "ceiling": ceiling}


FIVE = replace(
    {},
    name="blog-5",
    file="blog-5.yaml",
    nodes=5,
    slots=5,
    runs=9,
    variants={
        "before": measured(1.0, 100e6, 0.05),
        "stages": measured(0.4, 80e6, 0.005),
        "now": measured(0.25, 75e6, 0.0002),
    },
    work_s=0.8,
    longest_path_s=0.24,
    outputs=4,
    differing={},
)
TWENTY = replace(FIVE, name="blog-20", nodes=20, slots=20, work_s=3.2, longest_path_s=0.68)


def printed(*comparisons: Comparison, width: int | None = None) -> str:
    """Return the printed comparison without trailing spaces."""
    out = io.StringIO()
    table = blog_rows(*comparisons) if len(comparisons) == 2 else rows(comparisons[0])
    terminal = console(out, colored=False)
    if width is not None:
        terminal.width = width
    print_comparison(terminal, comparisons, table, MACHINE)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def test_the_table_of_the_blog_post() -> None:
    assert (
        printed(FIVE, TWENTY)
        == """\
2 cores, Some CPU, Linux 6 x86_64, nfrun 0.1, python 3.11, pyarrow 26, load 0.5
medians of 3 runs of each variant, in turns, each in a process of its own
  before: one node at a time, JSON text between nodes
  stages: every stage waits for the one before, Arrow files between nodes
  now:    every node starts when its inputs are there, Arrow tables by reference

 median                    before    stages       now   ratio   blog
 ──────────────────────────────────────────────────────────────────────────────
 pipeline of 5 nodes       1.00 s    400 ms    250 ms    4.0x   800 -> 240 ms
 pipeline of 20 nodes      1.00 s    400 ms    250 ms    4.0x   3.2 s -> 680 ms
 memory per execution      100 MB   80.0 MB   75.0 MB    1.3x   128 -> 76 MB
 serialization per node   50.0 ms    5.0 ms    200 us    250x   ~50 -> <1 ms

blog-5: results identical: yes (4 outputs, 9 runs)
blog-5: 4.0x faster; the order of nodes alone gives at most 3.3x (800 ms of work, 240 ms on the longest path)
  what goes beyond that is JSON that is no longer written and parsed
blog-20: results identical: yes (4 outputs, 9 runs)
blog-20: 4.0x faster; the order of nodes alone gives at most 4.7x (3.20 s of work, 680 ms on the longest path)
"""
    )


def test_other_pipelines_have_no_blog_column() -> None:
    once = {"before": measured(2.0, 1e8, 0.0), "stages": measured(1.0, 1e8, 0.0)}
    name = "\x1b[31mred and too long for a table"
    found = replace(FIVE, name=name, runs=3, variants={**once, "now": measured(0, 0, 0)})
    text = printed(found)
    assert "\n1 run of each variant" in text
    assert "blog " not in text
    assert "\x1b" not in text
    assert " serialization per node                0 us     0 us   0 us    1.0x\n" in text


def test_nothing_is_wider_than_a_terminal_of_80_columns() -> None:
    table = printed(FIVE, TWENTY, width=80).split("\n\n")[1]
    assert max(map(len, table.splitlines())) <= 80
    assert "…" not in table


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        (
            {"differing": {"b": "differs from run to run of 'now': something in it is not deterministic"}},
            [
                "blog-5: results identical: no",
                "  'b' differs from run to run of 'now': something in it is not deterministic",
            ],
        ),
        ({"outputs": 0}, ["blog-5: results identical: it has no outputs to compare"]),
    ],
)
def test_the_verdict_names_differing_results(changes: dict[str, object], lines: list[str]) -> None:
    assert verdict(replace(FIVE, **changes))[: len(lines)] == lines


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"slots": 2, "work_s": 10.0},
            "4.0x faster; the order of nodes alone gives at most 2.0x (10.0 s of work, 5.00 s for each of 2 slots)",
        ),
        (
            {"variants": {**FIVE["variants"], "now": measured(2.0, 1, 1)}},
            "2.0x slower; the order of nodes alone gives at most 3.3x (800 ms of work, 240 ms on the longest path)",
        ),
    ],
)
def test_the_verdict_says_how_much_faster(changes: dict[str, object], line: str) -> None:
    assert verdict(replace(FIVE, **changes))[1] == f"blog-5: {line}"


def test_the_machine_line_leaves_out_an_unknown_cpu() -> None:
    assert machine_line({**MACHINE, "cores": 1, "cpu": ""}) == (
        "1 core, Linux 6 x86_64, nfrun 0.1, python 3.11, pyarrow 26, load 0.5"
    )


def test_a_single_run_has_no_median() -> None:
    assert "\n1 run of each variant, in turns" in printed(replace(FIVE, runs=3))


def test_json_is_named_as_a_cause_only_beyond_the_noise_and_if_it_was_used() -> None:
    def explains_json(of: Comparison) -> bool:
        return any("JSON" in line for line in verdict(of))

    nothing = {name: {**m, "handoff_per_node_s": spread([0.0])} for name, m in FIVE["variants"].items()}
    assert explains_json(FIVE)
    assert not explains_json(replace(FIVE, variants=nothing))
    assert not explains_json(replace(FIVE, longest_path_s=0.205))
    assert explains_json(replace(FIVE, longest_path_s=0.22))
