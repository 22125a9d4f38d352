"""What a page predicts of other slots and faster nodes, from journals that the tests write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from kept_runs import Kept, finished

from nfrun.core.map_counts import MapCounts
from nfrun.core.map_spec import MapSpec
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.core.plan import plan_of
from nfrun.history.journal import FinishedNode
from nfrun.history.run_plan import Circumstances, write_run_plan
from nfrun.lookback.page.recorded import read_recorded
from nfrun.lookback.page.what_if_data import what_if_data
from nfrun.lookback.run_reference import find_run

SECOND = 1_000_000


def spec(id: str, *needs: str, **fields: Any) -> NodeSpec:
    return NodeSpec(id, "sql", "select 1", (), {}, (), needs, {}, **fields)


def ran(id: str, start: float, end: float, cpu: float = 0.0, **fields: Any) -> FinishedNode:
    times = tuple(int(value * SECOND) for value in (start, end, 0.0, 0.0, 0.0, cpu, 0.0))
    return finished(id, started=start, duration=end - start, times=times, **fields)


def predicted(folder: Path, specs: list[NodeSpec], ends: list[FinishedNode], **run: Any) -> Mapping[str, Any] | None:
    """What the page of a run with these nodes predicts. Its plan has two slots on two cores."""
    kept = Kept(folder)
    on = Circumstances(slots=2, cores=2)
    made = kept.add(1, nodes=ends, **{"counts": {"ok": len(ends)}, **run})
    nodes = {each.id: each for each in specs}
    pipeline = Pipeline("p.yaml", str(folder), "p", "", {}, {}, nodes, {})
    write_run_plan(made, pipeline, plan_of(pipeline, slots=2), on, executors={})
    return what_if_data(read_recorded(find_run(kept.work, None)), ("a", "d"))


def test_more_slots_and_faster_nodes(tmp_path: Path) -> None:
    specs = [spec("a"), spec("b"), spec("c"), spec("d", "a")]
    ends = [ran("a", 0, 4), ran("b", 0, 3), ran("c", 3, 5), ran("d", 4, 6)]
    found = predicted(tmp_path, specs, ends, duration=6.5)
    assert found is not None
    assert found["slots"] == [
        {"slots": 1, "seconds": 11.5},
        {"slots": 2, "seconds": 6.5},
    ]
    assert (found["best"], found["recorded"]["predicted"]) == (6.5, 6.0)
    assert "more slots would not make it shorter" in found["text"]
    assert [(each["node"], each["saves"], each["saves_all"]) for each in found["faster"]] == [
        ("a", 1.0, 2.0),
        ("d", 1.0, 1.0),
    ]
    assert found["faster"][0]["text"] == (
        "If 'a' took half the time, the run would take 1.00 s less; if it took none, 2.00 s less."
    )
    assert "limit" not in found


def test_the_best_number_of_slots_is_told(tmp_path: Path) -> None:
    specs = [spec(name) for name in "abcdefgh"]
    ends = [ran(name, 1.0 * (i // 2), 1.0 * (i // 2) + 1) for i, name in enumerate("abcdefgh")]
    found = predicted(tmp_path, specs, ends, duration=4.0)
    assert found is not None
    assert [(each["slots"], each["seconds"]) for each in found["slots"]] == [(1, 8.0), (2, 4.0), (4, 2.0), (8, 1.0)]
    assert found["text"] == (
        "With 2 slots the run took 4.00 s; the best possible is 1.00 s, its longest chain of nodes, with 8 slots."
    )


def test_nodes_that_compute_are_bound_by_the_cores(tmp_path: Path) -> None:
    specs = [spec(name) for name in "abcd"]
    ends = [ran(name, 1.0 * (i // 2), 1.0 * (i // 2) + 1, cpu=0.9) for i, name in enumerate("abcd")]
    found = predicted(tmp_path, specs, ends, duration=2.0)
    assert found is not None
    assert found["limit"].startswith(
        "Nodes used 3.60 s of CPU time, so on 2 cores the run cannot take less than 1.80 s, and with more slots"
    )


def test_cells_count_as_one_node_and_calls_share_slots(tmp_path: Path) -> None:
    cells = [spec(f"a@{i}", of="a", cell={"n": i}) for i in range(4)]
    mapped = spec("m", map=MapSpec("x"))
    ends = [ran(f"a@{i}", 1.0 * (i // 2), 1.0 * (i // 2) + 1, of="a", cell={"n": i}) for i in range(4)]
    ends.append(ran("m", 2, 6, map=MapCounts(10, calls=10, busy=8.0)))
    kept = Kept(tmp_path)
    made = kept.add(1, nodes=ends, counts={"ok": 5}, duration=6.0)
    pipeline = Pipeline("p.yaml", str(tmp_path), "p", "", {}, {}, {each.id: each for each in (*cells, mapped)}, {})
    write_run_plan(made, pipeline, plan_of(pipeline, slots=2), Circumstances(slots=2), executors={})
    found = what_if_data(read_recorded(find_run(kept.work, None)), ("a@0", "m"))
    assert found is not None
    seconds = {each["slots"]: each["seconds"] for each in found["slots"]}
    assert (seconds[1], seconds[2]) == (pytest.approx(12.0), pytest.approx(6.0))
    (of_calls, of_cells) = found["faster"]
    assert (of_calls["node"], of_cells["node"], of_cells["cells"]) == ("m", "a", 4)
    assert of_cells["text"].startswith("If the 4 cells of 'a' took half the time")


@pytest.mark.parametrize("status", ["failed", "cancelled", ""])
def test_runs_that_did_not_end_well_have_none(tmp_path: Path, status: str) -> None:
    assert predicted(tmp_path, [spec("a")], [ran("a", 0, 1)], status=status) is None


def test_a_run_without_a_plan_or_without_nodes_that_ran_has_none(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.add(1, nodes=[ran("a", 0, 1)], counts={"ok": 1})
    assert what_if_data(read_recorded(find_run(kept.work, None)), ("a",)) is None
    reused = finished("a", reused=True, started=0.0)
    assert predicted(tmp_path / "other", [spec("a")], [reused]) is None
