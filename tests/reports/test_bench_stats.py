"""Tests of bench statistics: medians, the ceiling, and whether results are identical."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nfrun.core.plan import SCHEDULES, longest_path, plan_of
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.reports.bench_stats import VARIANTS, compare, differing, interleave, ratio
from nfrun.tables.handoffs import HANDOFFS


def document(wall: float, handoff: float = 0.1, digest: str = "d", peak: int = 100) -> dict[str, Any]:
    """Return the document of a run of two nodes, one after the other, with 3 seconds of work."""
    return {
        "wall_s": wall,
        "sequential_s": 3.0,
        "critical_path_s": 2.0,
        "peak_rss_bytes": peak,
        "nodes": {"a": {"handoff_s": handoff}, "b": {"handoff_s": 0.0}},
        "outputs": {"b": {"digest": digest}},
    }


RUNS = {
    "before": [document(4.0, 0.4), document(6.0, 0.8), document(5.0, 0.6)],
    "stages": [document(3.0), document(3.5), document(3.2)],
    "now": [document(2.0), document(2.5), document(2.2, peak=70)],
}


def test_variants_are_interleaved() -> None:
    ran = [(turn, variant.name) for turn, variant in interleave(2)]
    assert ran == [(1, "before"), (1, "stages"), (1, "now"), (2, "before"), (2, "stages"), (2, "now")]


def test_variants_are_options_of_run() -> None:
    assert {variant.schedule for variant in VARIANTS} <= set(SCHEDULES)
    assert {variant.handoff for variant in VARIANTS} <= set(HANDOFFS)


@pytest.mark.parametrize(("slots", "ceiling"), [(1, 1.0), (2, 1.5), (100, 1.5)])
def test_the_ceiling_is_set_by_the_longest_path_or_the_slots(slots: int, ceiling: float) -> None:
    assert compare("p", "p.yaml", slots, RUNS)["ceiling"] == ceiling


@pytest.mark.parametrize(("before", "now", "expected"), [(4, 2, 2), (1, 0, float("inf")), (0, 0, 1)])
def test_ratios(before: float, now: float, expected: float) -> None:
    assert ratio(before, now) == expected


SAME = [{"x": "1"}]


@pytest.mark.parametrize(
    ("digests", "expected"),
    [
        ({"before": SAME * 2, "now": SAME * 2}, {}),
        ({"before": [{}], "now": [{}]}, {}),
        (
            {"before": [{"x": "1"}, {"x": "2"}], "now": SAME * 2},
            {"x": "differs from run to run of 'before': something in it is not deterministic"},
        ),
        (
            {"before": SAME * 2, "now": [{"x": "1"}, {}]},
            {"x": "differs from run to run of 'now': something in it is not deterministic"},
        ),
        (
            {"before": [{"x": "1", "y": "1"}] * 2, "now": [{"x": "2", "y": "1"}] * 2},
            {"x": "is the same in all runs of a variant, but not in all variants"},
        ),
        (
            {"before": SAME, "now": [{"x": "2"}]},
            {"x": "is not the same in all variants; --repeat 2 shows whether it is deterministic"},
        ),
    ],
)
def test_differing_results_are_described(digests: dict[str, list[dict[str, str]]], expected: dict[str, str]) -> None:
    assert differing(digests) == expected


def test_the_keys_of_the_document() -> None:
    found = compare("p", "p.yaml", 4, RUNS)
    assert list(found) == [
        *("name", "file", "nodes", "slots", "runs", "variants", "speedup", "work_s", "longest_path_s", "ceiling"),
        *("outputs", "identical", "differing"),
    ]
    assert found["variants"]["before"] == {
        "schedule": "sequential",
        "handoff": "json",
        "wall_s": {"median": 5.0, "min": 4.0, "max": 6.0},
        "peak_rss_bytes": {"median": 100, "min": 100, "max": 100},
        "handoff_per_node_s": {"median": 0.3, "min": 0.2, "max": 0.4},
    }
    assert found["variants"]["now"]["peak_rss_bytes"] == {"median": 100, "min": 70, "max": 100}
    assert (found["speedup"], found["ceiling"], found["identical"]) == (2.273, 1.5, True)
    assert (found["nodes"], found["runs"], found["outputs"], found["differing"]) == (2, 9, 1, {})


def test_without_outputs_identical_is_null() -> None:
    runs = {name: [{**each, "outputs": {}} for each in of] for name, of in RUNS.items()}
    assert compare("p", "p.yaml", 4, runs)["identical"] is None


@pytest.mark.parametrize(
    ("name", "nodes", "work", "longest", "stages"), [("blog-5", 5, 800, 240, 380), ("blog-20", 20, 3200, 680, 1120)]
)
def test_the_shipped_pipelines_have_the_sums_of_the_blog_post(
    name: str, nodes: int, work: float, longest: float, stages: float
) -> None:
    pipeline, _ = read_pipeline(Path(__file__).parents[2] / "pipelines" / "bench" / f"{name}.yaml")
    plan = plan_of(pipeline, estimated_durations={node: spec.with_["ms"] for node, spec in pipeline.nodes.items()})
    assert len(plan.nodes) == nodes
    assert plan.work == work
    assert longest_path(plan)[1] == longest
    assert sum(max(plan.nodes[node].estimated_duration for node in stage) for stage in plan.stages) == stages
