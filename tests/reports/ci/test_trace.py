"""Tests of the trace file: its events, and what Perfetto's engine finds in it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from made_run import EVENTS, HOSTILE, ref

from nfrun.core.events import Event, NodeFinished, NodeStarted, NodeWaiting, RunFinished, RunStarted
from nfrun.core.pipeline import NOTHING, OutputId
from nfrun.core.values import replace
from nfrun.reports.ci.trace import TRACE_BEGIN, TraceFile


def trace_of(
    events: Sequence[Event] = EVENTS,
    ticks: int = 0,
    memory: int | None = 7_000,
    workers: Mapping[tuple[str, int], str] = NOTHING,
) -> str:
    lines: list[str] = []
    times = iter([0.0, 0.5, *(1.0 + tick for tick in range(ticks))])
    report = TraceFile(
        lines.extend,
        title=f"shop {HOSTILE}",
        facts={"run": "1", "hostile": HOSTILE},
        kind_of=lambda node: "python",
        executor_of=lambda node: "process" if node == "checked" else "",
        worker_of=workers.get,
        memory=lambda: memory,
        clock=lambda: next(times),
    )
    for event in events:
        if isinstance(event, report.event_types):
            report.event(event)
    for _ in range(ticks):
        report.tick()
    report.close()
    return "\n".join(lines)


def events_of(events: Sequence[Event] = EVENTS, **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(trace_of(events, **more))["traceEvents"]
    return found


def slices(events: list[dict[str, Any]], category: str = "node") -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X" and event["cat"].startswith(category):
            found[event["name"]].append(event)
    return dict(found)


def test_each_attempt_is_a_slice_on_the_lowest_free_slot() -> None:
    found = slices(events_of())
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


def test_each_worker_of_a_cluster_has_slots_of_its_own() -> None:
    workers = {("fit@lr", 1): "tcp://a:1", ("fit@lr", 2): "tcp://b:2", ("fit@rf", 1): "tcp://a:1"}
    events = events_of(workers=workers)
    names = {e["pid"]: e["args"]["name"].rpartition("%0A: ")[2] for e in events if e["name"] == "process_name"}
    found = slices(events)
    assert [names[e["pid"]] for e in found["fit@lr"]] == ["worker tcp://a:1", "worker tcp://b:2"]
    assert [e["tid"] % 100_000 for of in ("fit@lr", "fit@rf") for e in found[of]] == [1, 1, 2]


def test_phases_lie_within_their_attempt() -> None:
    found = slices(events_of(), "phase")
    assert [(e["ts"], e["dur"]) for e in found["inputs"]] == [(1_300_000, 20_000)]
    assert [(e["ts"], e["dur"]) for e in found["handoff"]] == [(970_000, 50_000)]  # it ends with the attempt
    assert [(e["ts"], e["dur"]) for e in found["work"] if e["dur"] > 800_000] == [
        (70_000, 900_000),
        (1_100_000, 900_000),
    ]
    too_long = replace(EVENTS[3], duration=5.0)  # measured by another clock
    work, *_ = slices(events_of([*EVENTS[:3], too_long]), "phase")["work"]
    assert (work["ts"], work["dur"]) == (20_000, 950_000)


def test_arrows_lead_from_what_made_an_output_to_what_reads_it() -> None:
    events = [event for event in events_of() if event.get("cat") == "handoff"]
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


def test_reused_nodes_failures_and_retries_are_instants() -> None:
    found = [(e["name"], e["ts"], e["tid"]) for e in events_of() if e["ph"] == "i"]
    assert found == [
        ("fit@lr is retried", 1_250_000, 100_001),
        ("fit@rf failed", 2_000_000, 100_002),
        ("checked failed", 2_100_000, 200_001),
        ("may_fail failed", 2_200_000, 100_002),
        ("notify failed", 2_700_000, 100_001),
        ("old", 10_000, 100_000),
    ]


def test_counters() -> None:
    events = events_of(ticks=2)
    counters: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for event in events:
        if event["ph"] == "C":
            counters[event["name"]].append((event["ts"], *event["args"].values()))
    assert counters["waiting"] == [(0, 0), (1_020_000, 3), (1_050_000, 1), (1_300_000, 0)]
    assert counters["running"][:6] == [
        (0, 0),
        (20_000, 1),
        (1_020_000, 0),
        (1_050_000, 2),
        (1_250_000, 1),
        (1_300_000, 2),
    ]
    assert counters["running"][-1] == (2_700_000, 0)
    assert counters["memory"] == [(500_000, 7_000), (1_500_000, 7_000)]  # the run began half a second after the clock
    assert not any(e["name"] == "memory" for e in events_of(ticks=2, memory=None))


def test_processes_and_threads_have_names() -> None:
    named = {(e["name"], e["pid"], e["tid"]): e["args"] for e in events_of() if e["ph"] == "M"}
    shown = "shop \\x1b[31m\\x00"
    assert named["process_name", 1, 100_000]["name"].startswith(shown)
    assert named["process_name", 2, 200_000]["name"].endswith(": worker processes")
    threads = {tid: args["name"] for (name, _, tid), args in named.items() if name == "thread_name"}
    assert threads == {100_000: "reused", 100_001: "slot 1", 100_002: "slot 2", 200_001: "slot 1"}


def test_what_has_not_ended_ends_with_the_run() -> None:
    found = slices(events_of([*EVENTS[:2], EVENTS[2], replace(EVENTS[-1], at=0.9)]))
    assert [(e["ts"], e["dur"], e["args"]["status"]) for e in found["orders"]] == [(20_000, 880_000, "cut off")]
    assert json.loads(trace_of(EVENTS[:3]))["otherData"]["status"] == "running"


def test_an_attempt_that_did_nothing_is_left_out_and_one_without_a_length_is_shown() -> None:
    events: list[Event] = [
        RunStarted(0.0, 2, 2),
        NodeStarted(0.0, "orders", 1),
        NodeWaiting(0.1, "orders", 1),
        NodeStarted(0.2, "old", 1),
        NodeFinished(0.2, "old", 1, {"old": ref("old")}),
        NodeStarted(0.2, "orders", 1, {"old": ref("old")}),
        NodeFinished(0.2, "orders", 1, input_waits={OutputId("old"): 0.0}),
        RunFinished(0.3, "ok"),
    ]
    made = events_of(events)
    assert {name: [(e["tid"], e["dur"]) for e in of] for name, of in slices(made).items()} == {
        "old": [(100_001, 1)],
        "orders": [(100_002, 1)],
    }
    assert [e["ts"] for e in made if e.get("cat") == "handoff"] == [200_000, 200_000]


def test_the_file_begins_as_others_can_tell_and_ends_with_facts() -> None:
    text = trace_of()
    assert text.startswith(TRACE_BEGIN)
    facts = json.loads(text)["otherData"]
    assert (facts["run"], facts["status"]) == ("1", "failed")
    assert facts["hostile"].startswith("\\x1b[31m")
    assert json.loads(trace_of([]))["traceEvents"]


@pytest.mark.slow
def test_perfetto_finds_slices_phases_arrows_and_counters(tmp_path: Path) -> None:
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
        "select t.name as name, max(value) as most from counter join counter_track t on t.id = track_id "
        "group by t.name",
        "select extract_arg(arg_set_id, 'args.rows') as rows from slice where name = 'etl@DE/clean'",
    ]
    errors, nodes, phases, arrows, counters, rows = engine.query(trace_of(ticks=1).encode(), asked, tmp_path)
    assert errors == []
    expected = slices(events_of())
    assert sorted((n["name"], n["ts"], n["dur"], n["depth"]) for n in nodes) == sorted(
        (name, e["ts"], e["dur"], 0) for name, of in expected.items() for e in of
    )
    assert {n["slot"] for n in nodes if n["name"] == "fit@rf"} == {"slot 2"}
    assert {n["process"].rpartition(": ")[2] for n in nodes if n["name"] == "checked"} == {"worker processes"}
    assert ("etl@DE/clean", "inputs") in {(p["node"], p["phase"]) for p in phases}
    assert len(phases) == sum(map(len, slices(events_of(), "phase").values()))
    assert {a["made"] for a in arrows} == {"orders"}
    assert sorted(a["read"] for a in arrows) == ["checked", "etl@DE/clean", "fit@lr", "fit@lr", "fit@rf"]
    assert {c["name"]: c["most"] for c in counters} == {
        "running nodes": 2.0,
        "waiting nodes": 3.0,
        "memory bytes": 7000.0,
    }
    assert rows == [{"rows": 7}]
