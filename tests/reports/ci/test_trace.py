"""Tests of the trace of a run: its events, and what Perfetto's engine finds in it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from kept_runs import Kept, finished, output
from made_run import ERROR, HOSTILE, LOST, pipeline, plan

from nfrun.core.errors import Cause
from nfrun.core.events import Failure
from nfrun.core.values import replace
from nfrun.history.database import Database
from nfrun.history.journal import FailedAttempt, NodeTimes, RecordedNode
from nfrun.history.run_plan import Circumstances, write_run_plan
from nfrun.lookback.page.recorded_trace import recorded_trace
from nfrun.lookback.run_reference import find_run

BROKEN = Failure(Cause.CHECK, "", "failed its check 'not_null: id'")
ODD = Failure(Cause.NODE, "ValueError", "odd")
Node = RecordedNode


def ok(node: str, times: tuple[int, ...], duration: float, rows: int = 10, **more: Any) -> RecordedNode:
    found = {"started": times[0] / 1e6, "attempts": 1, "times": NodeTimes(*(time / 1e6 for time in times)), **more}
    return finished(node, outputs=(output(node, rows, bytes=80),), duration=duration, **found)


def failed(node: str, times: tuple[int, ...], duration: float, failure: Failure, **more: Any) -> RecordedNode:
    return RecordedNode(
        node,
        "failed",
        failure=failure,
        attempts=1,
        started=times[0] / 1e6,
        duration=duration,
        times=NodeTimes(*(time / 1e6 for time in times)),
        **more,
    )


RETRIED = (FailedAttempt(1.05, 1.25, 0.5, 0.03, LOST.error),)
NODES: list[Node] = [
    finished("old", reused=True, started=0.01, outputs=(output("old"),)),
    ok("orders", (20_000, 1_020_000, 0, 0, 50_000), 0.9),
    ok("etl@DE/clean", (1_300_000, 1_600_000, 280_000, 20_000), 0.25, 7),
    failed("fit@rf", (1_050_000, 2_000_000, 30_000), 0.9, ERROR),
    RecordedNode("after", "skipped", because="fit@rf"),
    failed("checked", (2_000_000, 2_100_000, 0), 0.1, BROKEN),
    failed("may_fail", (2_100_000, 2_200_000, 0), 0.1, ODD, tolerated=True),
    ok("fit@lr", (1_750_000, 2_500_000, 0), 0.7, 1, started=1.05, attempts=2, earlier=RETRIED),
    RecordedNode("late", "cancelled"),
    failed("notify", (2_600_000, 2_700_000, 0), 0.1, LOST),
]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def trace_of(kept: Kept, nodes: Iterable[Node] = NODES, status: str = "failed") -> str:
    header = {"pipeline": f"{HOSTILE.replace('/', '')}.yaml", "command": ("nfrun", HOSTILE), "profile": HOSTILE}
    folder = kept.add(1, status, nodes=nodes, duration=2.8, counts={"ok": 4} if status else {}, **header)
    database = Database(kept.work, print)
    write_run_plan(database, folder.name, pipeline(), plan(), Circumstances(slots=2), executors={"checked": "process"})
    return recorded_trace(find_run(kept.work, None), str)


def events_of(kept: Kept, *more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(trace_of(kept, *more))["traceEvents"]
    return found


def slices(events: list[dict[str, Any]], category: str = "node") -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X" and event["cat"].startswith(category):
            found[event["name"]].append(event)
    return dict(found)


def test_each_attempt_is_a_slice_on_the_lowest_free_slot(kept: Kept) -> None:
    found = slices(events_of(kept))
    assert {name: [(e["pid"], e["tid"], e["ts"], e["dur"], e["cat"]) for e in of] for name, of in found.items()} == {
        "orders": [(1, 100_001, 20_000, 1_000_000, "node,ok")],
        "fit@lr": [
            (1, 100_001, 1_050_000, 200_000, "node,retried"),
            (1, 100_001, 1_750_000, 750_000, "node,ok"),
        ],
        "fit@rf": [(1, 100_002, 1_050_000, 950_000, "node,failed")],
        "etl@DE/clean": [(1, 100_001, 1_300_000, 300_000, "node,ok")],
        "checked": [(2, 200_001, 2_000_000, 100_000, "node,failed")],
        "may_fail": [(1, 100_002, 2_100_000, 100_000, "node,failed")],
        "notify": [(1, 100_001, 2_600_000, 100_000, "node,failed")],
    }
    assert found["etl@DE/clean"][0]["args"] == {
        "kind": "python",
        "status": "ok",
        "attempt": 1,
        "queued_s": 0.28,
        "rows": 7,
        "bytes": 80,
        "cpu_s": 0.0,
        "gil_wait_s": 0.0,
    }
    assert found["fit@rf"][0]["args"]["error"].startswith("KeyError: \\x1b[31m\\x00")


def test_each_worker_of_a_cluster_has_slots_of_its_own(kept: Kept) -> None:
    """Of attempts before the last one no worker is recorded."""
    workers = {"fit@lr": "tcp://b:2", "fit@rf": "tcp://a:1", "etl@DE/clean": "tcp://a:1"}
    events = events_of(kept, [replace(node, worker=workers.get(node.node, "")) for node in NODES])
    names = {e["pid"]: e["args"]["name"].rpartition(": worker ")[2] for e in events if e["name"] == "process_name"}
    found = slices(events)
    assert [names[e["pid"]] for e in found["fit@lr"]][1:] == ["tcp://b:2"]
    assert [e["tid"] % 100_000 for name in ("fit@lr", "fit@rf", "etl@DE/clean") for e in found[name]] == [1, 1, 1, 2]


def test_phases_lie_within_their_attempt(kept: Kept) -> None:
    found = slices(events_of(kept), "phase")
    assert [(e["ts"], e["dur"]) for e in found["inputs"]] == [(1_300_000, 20_000)]
    assert [(e["ts"], e["dur"]) for e in found["handoff"]] == [(970_000, 50_000)]  # it ends with the attempt
    assert [(e["ts"], e["dur"]) for e in found["work"] if e["dur"] > 800_000] == [
        (70_000, 900_000),
        (1_100_000, 900_000),
    ]


def test_a_work_that_another_clock_has_measured_lies_within_its_attempt(kept: Kept) -> None:
    work, *_ = slices(events_of(kept, [replace(NODES[1], duration=5.0)]), "phase")["work"]
    assert (work["ts"], work["dur"]) == (20_000, 950_000)


def test_arrows_lead_from_what_made_an_output_to_what_reads_it(kept: Kept) -> None:
    events = [event for event in events_of(kept) if event.get("cat") == "handoff"]
    pairs = [
        (a["name"], a["ph"], a["tid"], a["ts"], b["ph"], b["tid"], b["ts"])
        for a, b in zip(events[::2], events[1::2], strict=True)
    ]
    assert pairs == [
        ("orders", "s", 100_001, 1_019_999, "f", 100_001, 1_050_000),
        ("orders", "s", 100_001, 1_019_999, "f", 100_002, 1_050_000),
        ("orders", "s", 100_001, 1_019_999, "f", 100_001, 1_300_000),
        ("orders", "s", 100_001, 1_019_999, "f", 100_001, 1_750_000),
        ("orders", "s", 100_001, 1_019_999, "f", 200_001, 2_000_000),
    ]
    assert [a["id"] for a in events[::2]] == [b["id"] for b in events[1::2]] == [1, 2, 3, 4, 5]


def test_reused_nodes_failures_and_retries_are_instants(kept: Kept) -> None:
    found = [(e["name"], e["ts"], e["tid"]) for e in events_of(kept) if e["ph"] == "i"]
    assert found == [
        ("fit@lr is retried", 1_250_000, 100_001),
        ("fit@rf failed", 2_000_000, 100_002),
        ("checked failed", 2_100_000, 200_001),
        ("may_fail failed", 2_200_000, 100_002),
        ("notify failed", 2_700_000, 100_001),
        ("old", 10_000, 100_000),
    ]


def test_processes_and_threads_have_names(kept: Kept) -> None:
    named = {(e["name"], e["pid"], e["tid"]): e["args"] for e in events_of(kept) if e["ph"] == "M"}
    shown = "\\x1b[31m\\x00"
    assert named["process_name", 1, 100_000]["name"].startswith(shown)
    assert named["process_name", 2, 200_000]["name"].endswith(": worker processes")
    threads = {tid: args["name"] for (name, _, tid), args in named.items() if name == "thread_name"}
    assert threads == {100_000: "reused", 100_001: "slot 1", 100_002: "slot 2", 200_001: "slot 1"}


def test_an_attempt_without_a_length_is_shown_and_its_output_has_an_arrow(kept: Kept) -> None:
    made = events_of(kept, [ok("orders", (200_000, 200_000, 0), 0.0), ok("fit@lr", (200_000, 200_000, 0), 0.0)])
    assert {name: [(e["tid"], e["dur"]) for e in of] for name, of in slices(made).items()} == {
        "orders": [(100_001, 1)],
        "fit@lr": [(100_002, 1)],
    }
    assert [e["ts"] for e in made if e.get("cat") == "handoff"] == [200_000, 200_000]


def test_the_file_begins_as_others_can_tell_and_ends_with_facts(kept: Kept) -> None:
    text = trace_of(kept)
    assert text.startswith('{"traceEvents"')
    facts = json.loads(text)["otherData"]
    assert (facts["run"], facts["status"]) == (find_run(kept.work, None).id, "failed")
    assert facts["profile"].startswith("\\x1b[31m")
    assert "\x1b" not in text


@pytest.mark.slow
def test_perfetto_finds_slices_phases_and_arrows(kept: Kept, tmp_path: Path) -> None:
    engine = pytest.importorskip("perfetto_engine")
    if engine.CHROMIUM is None:
        pytest.skip("Perfetto's engine needs Chromium, and there is none")
    asked = [
        "select name from stats where severity = 'error' and value > 0",
        "select s.name, s.ts / 1000 as ts, s.dur / 1000 as dur, depth, thread.name as slot, process.name as process "
        "from slice s join thread_track t on s.track_id = t.id join thread using(utid) join process using(upid) "
        "where s.category like 'node,%' order by s.ts, slot",
        "select parent.name as node, s.name as phase from slice s join slice parent on s.parent_id = parent.id "
        "where s.category = 'phase' order by s.ts, node",
        "select made.name as made, coalesce(read.name, i.name) as read from flow join slice o on slice_out = o.id "
        "join slice i on slice_in = i.id join slice made on made.id = o.parent_id left join slice read on "
        "read.id = i.parent_id order by i.ts",
        "select extract_arg(arg_set_id, 'args.rows') as rows from slice where name = 'etl@DE/clean'",
    ]
    text = trace_of(kept)
    errors, nodes, phases, arrows, rows = engine.query(text.encode(), asked, tmp_path)
    assert errors == []
    events = json.loads(text)["traceEvents"]
    expected = slices(events)
    assert sorted((n["name"], n["ts"], n["dur"], n["depth"]) for n in nodes) == sorted(
        (name, e["ts"], e["dur"], 0) for name, of in expected.items() for e in of
    )
    assert {n["slot"] for n in nodes if n["name"] == "fit@rf"} == {"slot 2"}
    assert {n["process"].rpartition(": ")[2] for n in nodes if n["name"] == "checked"} == {"worker processes"}
    assert ("etl@DE/clean", "inputs") in {(p["node"], p["phase"]) for p in phases}
    assert len(phases) == sum(map(len, slices(events, "phase").values()))
    assert {a["made"] for a in arrows} == {"orders"}
    assert sorted(a["read"] for a in arrows) == ["checked", "etl@DE/clean", "fit@lr", "fit@lr", "fit@rf"]
    assert rows == [{"rows": 7}]
