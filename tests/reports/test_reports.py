"""Tests of the reporters with hand-made events, without a run."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pytest
from planned_record import record_of_plan, with_outputs
from rich.console import Console

from nfrun.core.errors import Cause
from nfrun.core.events import (
    AttemptStopped,
    Event,
    Failure,
    Frame,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeLogged,
    NodeProgressed,
    NodeRetrying,
    NodeSkipped,
    NodeStarted,
    NodeWaiting,
    OutputPublished,
    OutputRef,
    RunFinished,
    RunStarted,
)
from nfrun.core.pipeline import OutputId
from nfrun.core.plan import Node, Plan, make_plan
from nfrun.engine.event_dispatch import EventDispatcher
from nfrun.reports.console import console
from nfrun.reports.format_units import format_count, format_seconds, format_size
from nfrun.reports.json_document import RunDocument
from nfrun.reports.last_line import last_line
from nfrun.reports.line_reporter import EventsFile
from nfrun.reports.progress.plain_lines import PlainLines
from nfrun.reports.run_record import RunRecord
from nfrun.reports.summary import Summary, failure_text
from nfrun.reports.table_preview import preview_of

FAILURE = Failure(
    Cause.NODE,
    "ValueError",
    "no \x1b[31mgood",
    (Frame("steps.py", 3, "go", "x = 1"),),
    "caused by rain",
    ("a: 1 rows, x: int64",),
)


def plan(**needs: str) -> Plan:
    nodes = [
        Node(n, tuple(filter(None, need.split())), reads=tuple(filter(None, need.split()))) for n, need in needs.items()
    ]
    return make_plan(nodes, slots=2)


def ref(id: str, rows: int = 3, size: int = 24) -> OutputRef:
    return OutputRef(OutputId(id), rows, size, "n: int64", f"/w/{id}.1.arrow", "xxh3_128:00")


# a and b run in parallel, then c, which reads a
EVENTS: list[Event] = [
    RunStarted(0.0, 3, 2),
    NodeStarted(0.0, "a", 1),
    NodeStarted(0.1, "b", 1, queue_wait=0.1),
    NodeFinished(1.0, "a", 1, {"a": ref("a")}, duration=0.9, publish_wait=0.01),
    NodeStarted(1.0, "c", 1, {"a": ref("a")}),
    NodeRetrying(1.5, "b", 1, 0.5, FAILURE, duration=1.4),
    NodeStarted(2.0, "b", 2),
    NodeFinished(2.5, "b", 2, {"b": ref("b", 5, 40)}, duration=0.5),
    NodeFinished(3.0, "c", 1, {"c": ref("c", 1, 8)}, duration=1.9, input_waits={OutputId("a"): 0.02}),
    OutputPublished(3.1, "c", ref("c", 1, 8)),
    RunFinished(3.2, "ok"),
]


def record_of(events: list[Event], of: Plan) -> RunRecord:
    record = record_of_plan(of)
    for event in events:
        record.event(event)
    return record


@pytest.fixture
def record() -> RunRecord:
    return record_of(EVENTS, plan(a="", b="", c="a"))


def test_a_node_adds_up_over_its_attempts(record: RunRecord) -> None:
    b = record.nodes["b"]
    assert (b.status, b.attempts, b.started, b.ended, b.queue_wait, b.rows, b.bytes) == ("ok", 2, 0.1, 2.5, 0.1, 5, 40)
    assert b.duration == pytest.approx(1.9)
    assert b.failure is None


def test_input_waits_count_for_the_node_that_made_the_output(record: RunRecord) -> None:
    assert record.nodes["a"].handoff == pytest.approx(0.03)
    assert record.nodes["c"].handoff == 0.0


def test_stages_and_critical_path(record: RunRecord) -> None:
    first, second = record.stages()
    assert (first.names, first.wall, first.rows, first.bytes) == (("a", "b"), 2.5, 8, 64)
    assert first.busy == pytest.approx(2.8)
    assert (second.names, second.wall) == (("c",), 2.0)
    path, longest = record.critical_path()
    assert path == ["a", "c"]
    assert longest == pytest.approx(2.8)
    assert record.sequential == pytest.approx(4.7)


def test_nodes_that_did_not_run_have_no_times() -> None:
    events: list[Event] = [
        NodeStarted(0.0, "a", 1),
        NodeFailed(1.0, "a", 1, FAILURE, duration=1.0),
        NodeSkipped(1.0, "c", "a"),
        NodeCancelled(1.0, "b", "node 'a' failed"),
    ]
    record = record_of(events, plan(a="", b="", c="a"))
    assert [record.nodes[name].status for name in "abc"] == ["failed", "cancelled", "skipped"]
    assert record.nodes["c"].because == "a"
    assert record.nodes["b"].ended is None
    assert record.stages()[1].wall == 0.0
    assert record.named("failed") == ["a"]


def test_the_json_document(record: RunRecord, tmp_path: Path) -> None:
    (tmp_path / "a.1.stderr").touch()
    out = io.StringIO()
    document = RunDocument(with_outputs(record, result="c", gone="x"), "r1", tmp_path, lambda: 7, out)
    document.close()
    found = json.loads(out.getvalue())
    assert out.getvalue().endswith("}\n")
    assert found["run"] == "r1"
    assert (found["status"], found["error"], found["wall_s"], found["peak_rss_bytes"]) == ("ok", None, 3.2, 7)
    assert found["sequential_s"] == 4.7
    assert found["critical_path_s"] == 2.8
    assert found["stages"][0] == {"index": 0, "nodes": ["a", "b"], "wall_s": 2.5, "busy_s": 2.8}
    assert found["nodes"]["a"] == {
        "status": "ok",
        "stage": 0,
        "attempts": 1,
        "started_s": 0.0,
        "took_s": 0.9,
        "queued_s": 0.0,
        "cpu_s": 0.0,
        "locked_s": 0.0,
        "handoff_s": 0.03,
        "rows": 3,
        "bytes": 24,
        "error": None,
        "because": None,
        "logs": {"stderr": str(tmp_path / "a.1.stderr")},
    }
    assert found["outputs"] == {"result": {"path": "/w/c.1.arrow", "rows": 1, "bytes": 8, "digest": "xxh3_128:00"}}


def test_the_events_file_has_a_line_for_each_event() -> None:
    lines: list[str] = []

    class Keep(io.StringIO):
        def close(self) -> None:
            lines.extend(self.getvalue().splitlines())
            super().close()

    report = EventsFile(Keep())
    for event in EVENTS:
        report.event(event)
    report.close()
    assert len(lines) == len(EVENTS)
    assert json.loads(lines[1]) == {
        "event": "node_started",
        "at": 0.0,
        "node": "a",
        "attempt": 1,
        "inputs": {},
        "queued": 0.0,
        "granted": {},
    }
    assert json.loads(lines[5])["failure"]["frames"] == [
        {"file": "steps.py", "line": 3, "function": "go", "source": "x = 1"}
    ]


def test_plain_lines() -> None:
    out = io.StringIO()
    report = PlainLines(record_of_plan(plan(a="")), out)
    for event in [
        *EVENTS[:7],
        NodeLogged(2.1, "b", "stdout", "hi \x1b[1m"),
        NodeFailed(2.2, "b", 2, FAILURE),
        NodeSkipped(2.3, "d", "b"),
        AttemptStopped(2.4, "c", 1, "Ctrl-C"),
        RunFinished(3.2, "failed"),
    ]:
        report.event(event)
    report.close()
    assert (
        out.getvalue()
        == """\
    0.000 s  p: 3 nodes, up to 2 at a time
    1.000 s  a finished in 900 ms, 3 rows
    1.500 s  b failed, next attempt in 500 ms: ValueError: no \\x1b[31mgood
    2.100 s  b | hi \\x1b[1m
    2.200 s  b failed: ValueError: no \\x1b[31mgood
    2.300 s  d skipped: it needs b
    2.400 s  c told to stop: Ctrl-C
"""
    )


@pytest.mark.parametrize("make", [lambda out: PlainLines(record_of_plan(plan(a="")), out), EventsFile])
def test_lines_are_written_together(make: Callable[[io.StringIO], PlainLines | EventsFile]) -> None:
    """Otherwise a flood of lines would wait for the GIL once per line."""
    writes: list[int] = []

    class Counting(io.StringIO):
        def write(self, text: str) -> int:
            writes.append(text.count("\n"))
            return len(text)

    report = make(Counting())
    for _ in range(1_003):
        report.event(NodeLogged(1.0, "a", "info", "line"))
    report.pause()
    report.pause()
    report.event(NodeLogged(1.0, "a", "info", "line"))
    report.close()
    assert writes == [500, 500, 3, 1]


def test_there_is_room_for_log_lines_until_ten_thousand_events_wait() -> None:
    line, begun, go_on = NodeLogged(1.0, "a", "info", "line"), threading.Event(), threading.Event()

    class Slow:
        def event(self, event: Event) -> None:
            begun.set()
            go_on.wait(30)

    dispatcher = EventDispatcher([Slow()], print)
    dispatcher.emit(line)
    assert begun.wait(30)
    for _ in range(10_000):
        assert dispatcher.has_room()
        dispatcher.emit(line)
    assert not dispatcher.has_room()
    go_on.set()
    dispatcher.close()
    assert dispatcher.has_room()


@pytest.mark.parametrize(("verbose", "lines"), [(False, ["2 reused"]), (True, ["n0 reused", "n1 reused", "2 reused"])])
def test_plain_lines_show_reused_nodes_when_verbose(verbose: bool, lines: list[str]) -> None:
    out = io.StringIO()
    record = record_of_plan(plan(n0="", n1="", a=""))
    report = PlainLines(record, out, verbose=verbose)
    for event in [*(NodeFinished(0.1, name, 1, reused=True) for name in ("n0", "n1")), NodeFinished(0.2, "a", 1)]:
        record.event(event)
        report.event(event)
    report.close()
    assert [line[13:] for line in out.getvalue().splitlines()] == [*lines[:-1], "a finished in 0 us"]
    assert lines[-1] in last_line(record)


def test_plain_lines_name_a_node_that_waits_for_a_table_when_verbose() -> None:
    out = io.StringIO()
    report = PlainLines(record_of_plan(plan(a="")), out, verbose=True)
    report.event(NodeWaiting(0.5, "b", 1))
    report.close()
    assert out.getvalue() == "    0.500 s  b waits for a table that is made again\n"


def test_plain_lines_show_starts_when_verbose() -> None:
    out = io.StringIO()
    report = PlainLines(record_of_plan(plan(a="")), out, verbose=True)
    report.event(NodeStarted(0.5, "b", 1))
    report.event(NodeStarted(1.5, "b", 2))
    report.pause()
    assert out.getvalue() == "    0.500 s  b started\n    1.500 s  b started (attempt 2)\n"


def summary(
    record: RunRecord,
    table: pa.Table | None = None,
    cpu: Sequence[float] = (0.0, 0.0),
    outputs: dict[str, str] | None = None,
    **options: Any,
) -> tuple[str, str]:
    """Return what is printed on stdout and stderr. `cpu` are successive readings of this clock."""
    times = iter(cpu)
    out, err = io.StringIO(), io.StringIO()
    report = Summary(
        with_outputs(record, **({"result": "c"} if outputs is None else outputs)),
        out,
        err,
        preview=lambda id: None if table is None else preview_of(table),
        cpu=lambda: next(times),
        **{"console": partial(console, colored=False), **options},
    )
    report.close()
    assert not list(times)
    return out.getvalue(), err.getvalue()


def not_reused(record: RunRecord, obstacles: dict[str, str]) -> list[str]:
    _, err = summary(record, obstacles=lambda: obstacles)
    return [line for line in err.splitlines() if "not reused" in line]


def test_the_summary_says_once_why_nodes_are_not_reused(record: RunRecord) -> None:
    told = not_reused(record, {f"n{i}": f"it has [b]{i}" for i in range(8)})
    assert told[0] == "node 'n0' is not reused: it has [b]0; say 'cache: true' to reuse it"
    assert told[5:] == [
        "node 'n5' is not reused: it has [b]5; say 'cache: true' to reuse it",
        "also not reused: n6, n7 ('nfrun plan' says why)",
    ]


def test_one_line_names_the_nodes_that_are_not_reused_as_before(record: RunRecord) -> None:
    assert not_reused(record, {f"n{i}": "" for i in range(8)}) == [
        "not reused: n0, n1, n2, n3, n4, n5 and 2 more ('nfrun plan' says why)"
    ]
    assert not_reused(record, {"a": "", "b": "it has changed"}) == [
        "node 'b' is not reused: it has changed; say 'cache: true' to reuse it",
        "also not reused: a ('nfrun plan' says why)",
    ]
    assert not_reused(record, {}) == []


def test_the_summary_of_a_good_run(record: RunRecord) -> None:
    out, err = summary(record, pa.table({"n": [1, None], "[b]x[/b]": ["\x1b[1m", "[red]"]}))
    assert [line.split() for line in err.strip().splitlines() if line.strip()] == [
        ["stage", "nodes", "wall", "busy", "parallel", "rows", "bytes", "handoff"],
        ["─" * 69],
        ["1", "2:", "a,", "b", "2.50", "s", "2.80", "s", "1.1", "8", "64", "B", "30.0", "ms"],
        ["2", "c", "2.00", "s", "1.90", "s", "0.9", "1", "8", "B", "0", "us"],
        ["critical", "path", "2.80", "s:", "a", "->", "c"],
        ["sequential", "4.70", "s", "->", "3.20", "s", "(1.5x)"],
        ["p:", "ok,", "3", "ran,", "3.2", "s"],
    ]
    assert out.splitlines()[1] == "result: 2 rows, 2 columns /w/c.1.arrow"
    assert "[b]x[/b]" in out
    assert "\\x1b[1m" in out
    assert "[red]" in out
    assert "\x1b" not in out


def test_the_summary_of_a_run_with_reused_nodes_shows_what_ran() -> None:
    events = [
        NodeStarted(0.0, "a", 1),
        NodeFinished(0.1, "a", 1, {"a": ref("a")}, reused=True),
        NodeStarted(0.0, "b", 1),
        NodeFinished(0.5, "b", 1, {"b": ref("b", 5, 40)}, duration=0.5),
        NodeStarted(0.5, "c", 1),
        NodeFinished(0.6, "c", 1, {"c": ref("c")}, reused=True),
        NodeStarted(0.6, "d", 1),
        NodeFinished(0.8, "d", 1, {"d": ref("d")}, duration=0.2),
        RunFinished(0.8, "ok"),
    ]
    err = summary(record_of(events, plan(a="", b="", c="b", d="c")))[1]
    assert [line.split() for line in err.splitlines() if line.strip()][2:] == [
        ["1", "1", "of", "2:", "b", "500", "ms", "500", "ms", "1.0", "5", "40", "B", "0", "us"],
        ["3", "d", "200", "ms", "200", "ms", "1.0", "3", "24", "B", "0", "us"],
        ["critical", "path", "700", "ms:", "b", "->", "d"],
        ["p:", "ok,", "2", "ran,", "2", "reused,", "0.8", "s"],
    ]


def test_the_summary_of_a_run_in_which_everything_was_reused_is_its_last_line() -> None:
    events = [NodeStarted(0.0, "a", 1), NodeFinished(0.1, "a", 1, {"a": ref("a")}, reused=True), RunFinished(0.1, "ok")]
    assert summary(record_of(events, plan(a="")))[1] == "p: ok, 1 reused, 0.1 s\n"


@pytest.mark.parametrize(
    ("cpu", "own", "line"),
    [
        (0.5, 0.5, "sequential 4.70 s -> 3.20 s (1.5x)\n"),  # the nodes waited, as for the network
        (4.7, 4.7, "sequential 4.70 s -> 3.20 s (1.5x)\n"),  # each computed on a core of its own
        (4.7, 4.3, "sequential 4.70 s -> 3.20 s (1.5x)\n"),
        (3.2, 3.2, ""),  # they computed, and waited for a core
        (4.7, 0.5, ""),  # they computed on threads of their own, which share the cores
    ],
)
def test_a_speed_up_is_shown_only_if_the_nodes_did_not_share_the_processor(
    record: RunRecord, cpu: float, own: float, line: str
) -> None:
    record.nodes["a"].cpu = own
    err = summary(record, cpu=(0.0, cpu))[1]
    assert line in err
    assert ("sequential 4" in err) is bool(line)


@pytest.mark.parametrize("cpu", [0.0, 2.0])
def test_less_than_a_second_of_work_is_not_compared(record: RunRecord, cpu: float) -> None:
    for node in record.nodes.values():
        node.duration /= 5
    err = summary(record, cpu=(0.0, cpu))[1]
    assert "critical path 560 ms" in err
    assert "sequential" not in err


def test_a_quiet_summary_does_not_import_rich(record: RunRecord) -> None:
    def never(stream: IO[str]) -> Console:
        raise AssertionError("nothing is printed with it")

    assert summary(record, cpu=(0.0,), quiet=True, console=never) == ("", "")


def test_long_waits_for_the_gil_are_shown(record: RunRecord) -> None:
    record.nodes["b"].gil_wait = 0.04  # too short to show
    assert "lock" not in summary(record)[1]
    record.nodes["a"].gil_wait, record.nodes["c"].gil_wait = 0.2, 0.6
    expected = "\nwaited for Python's lock: c 600 ms of 1.90 s, a 200 ms of 900 ms; "
    assert f"{expected}the next run has them in processes unless an 'executor' says" in summary(record)[1]
    record.nodes["a"].gil_wait, record.nodes["c"].gil_wait = 0.1, 0.2  # less than a tenth of the run
    assert "lock" not in summary(record)[1]


def test_a_long_output_is_cut_and_counted(record: RunRecord) -> None:
    assert "more row" not in summary(record, pa.table({"n": range(25)}))[0]
    out = summary(record, pa.table({"n": range(26)}))[0]
    assert "… and 16 more rows" in out
    wide = summary(record, pa.table({f"c{i}": [i] for i in range(20)}))[0]
    assert "… 8 more" in wide


def test_columns_of_one_name_are_shown(record: RunRecord) -> None:
    out = summary(record, pa.table([[1], [2]], names=["x", "x"]))[0]
    assert out.split()[-2:] == ["1", "2"]


def test_nodes_that_have_not_finished_after_a_failure_are_named() -> None:
    events: list[Event] = [
        NodeStarted(0.0, "a", 1),
        NodeStarted(0.0, "b", 1),
        NodeStarted(0.0, "c", 1),
        NodeRetrying(0.5, "c", 1, 9.0, FAILURE, duration=0.5),
        NodeFailed(1.0, "a", 1, FAILURE, duration=1.0),
        NodeCancelled(1.0, "c", "node 'a' failed"),
        NodeCancelled(1.0, "d", "node 'a' failed"),
        NodeCancelled(2.0, "b", "Ctrl-C"),
        RunFinished(2.0, "failed"),
    ]
    _, err = summary(record_of(events, plan(a="", b="", c="", d="")), cpu=(0.0,), quiet=True)
    assert err.startswith(
        """\
not finished after the failure: b, c, d; -k runs what does not depend on it

"""
    )


def test_the_summary_of_a_failed_run_ends_with_the_failure() -> None:
    events: list[Event] = [
        NodeStarted(0.0, "a", 1),
        NodeFailed(1.0, "a", 1, FAILURE, duration=1.0),
        NodeSkipped(1.0, "c", "a"),
        NodeCancelled(1.0, "b", "node 'a' failed"),
        RunFinished(1.0, "failed"),
    ]
    _, err = summary(record_of(events, plan(a="", b="", c="a")), cpu=(0.0,), quiet=True)
    assert (
        err
        == """\
not finished after the failure: b; -k runs what does not depend on it

p.yaml:4:3: node 'a' failed: ValueError: no \\x1b[31mgood
  steps.py:3 in go
    x = 1
  caused by rain
  inputs
    a: 1 rows, x: int64
  skipped c
p: failed, 1 failed, 1 skipped, 1 cancelled, 1.0 s
"""
    )


def test_a_run_that_did_not_end_well_shows_no_speed_up() -> None:
    events: list[Event] = [NodeStarted(0.0, "a", 1), NodeCancelled(1.0, "a", "Ctrl-C"), RunFinished(1.0, "cancelled")]
    _, err = summary(record_of(events, plan(a="")))
    assert "sequential" not in err
    assert err.endswith("\np: cancelled, 1 cancelled, 1.0 s\n")


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (RunFinished(2.0, "cancelled"), "p: cancelled, 1 ran, 1 cancelled, 2.0 s\n"),
        (
            RunFinished(2.0, "failed", "cannot write x: no room"),
            "nfrun: cannot write x: no room\np: failed, 1 ran, 1 cancelled, 2.0 s\n",
        ),
    ],
)
def test_the_command_that_goes_on_ends_the_summary_of_a_run_that_did_not_end_well(
    end: RunFinished, expected: str
) -> None:
    began: list[Event] = [NodeStarted(0.0, "a", 1), NodeFinished(1.0, "a", 1, {}, 1.0), NodeStarted(1.0, "b", 1)]
    ended: list[Event] = [*began, NodeCancelled(2.0, "b", "it is over"), end]
    nodes = plan(a="", b="a")
    for quiet in (True, False):
        told = f"{expected}to go on from here: nfrun run p.yaml\n"
        cpu = (0.0,) if quiet else (0.0, 0.0)
        record = record_of(ended, nodes)
        assert summary(record, cpu=cpu, command=lambda: "nfrun run p.yaml", quiet=quiet)[1].endswith(told)
        assert summary(record, cpu=cpu, quiet=quiet)[1].endswith(expected)
    good = record_of([*began, NodeFinished(2.0, "b", 1), RunFinished(2.0, "ok")], nodes)
    assert summary(good, command=lambda: "nfrun run p.yaml")[1].endswith("\np: ok, 2 ran, 2.0 s\n")


def test_an_error_outside_of_nodes_is_shown() -> None:
    events: list[Event] = [NodeCancelled(1.0, "a", "x"), RunFinished(1.0, "failed", "cannot write 'a': disk full")]
    _, err = summary(record_of(events, plan(a="")))
    assert err.endswith("nfrun: cannot write 'a': disk full\np: failed, 1 cancelled, 1.0 s\n")


def test_many_skipped_nodes_are_counted() -> None:
    node = record_of([NodeFailed(1.0, "a", 3, FAILURE)], plan(a="")).nodes["a"]
    node.attempts = 3
    text = failure_text("a", node, "p.yaml:1:1", [f"n{i}" for i in range(100)])
    assert "node 'a' failed after 3 attempts: ValueError" in text
    assert text.endswith("skipped n0, n1, n2, n3, n4, n5 and 94 more")


def test_an_error_without_a_message_is_shown_once() -> None:
    failure = Failure(Cause.NODE, "KeyboardInterrupt", "KeyboardInterrupt")
    node = record_of([NodeFailed(1.0, "a", 1, failure)], plan(a="")).nodes["a"]
    assert failure_text("a", node, "p.yaml:1:1", []) == "\np.yaml:1:1: node 'a' failed: KeyboardInterrupt"


def test_a_reporter_that_raises_is_removed_and_reported_once() -> None:
    class Bad:
        def event(self, event: Event) -> None:
            raise RuntimeError("oh")

        def close(self) -> None:
            raise AssertionError("it was left out")

    class Good:
        def __init__(self) -> None:
            self.seen: list[Event] = []
            self.closed = False

        def event(self, event: Event) -> None:
            self.seen.append(event)

        def close(self) -> None:
            self.closed = True

    good, errors = Good(), list[str]()
    dispatcher = EventDispatcher([Bad(), good], errors.append)
    for event in EVENTS:
        dispatcher.emit(event)
    dispatcher.close()
    assert good.seen == EVENTS
    assert good.closed
    assert errors == ["nfrun: the report Bad stopped: RuntimeError: oh"]


def test_a_reporter_that_writes_nothing_at_the_end_needs_no_close() -> None:
    class Seen:
        def __init__(self) -> None:
            self.seen: list[Event] = []

        def event(self, event: Event) -> None:
            self.seen.append(event)

    reporter, errors = Seen(), list[str]()
    dispatcher = EventDispatcher([reporter], errors.append)
    for event in EVENTS:
        dispatcher.emit(event)
    dispatcher.close()
    assert (reporter.seen, errors, dispatcher.stopped) == (EVENTS, [], {})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 us"),
        (0.000_85, "850 us"),
        (0.0034, "3.4 ms"),
        (0.0949, "94.9 ms"),
        (0.25, "250 ms"),
        (0.9994, "999 ms"),
        (1.25, "1.25 s"),
        (9.996, "10.0 s"),
        (59.9, "59.9 s"),
        (250, "4 m 10 s"),
        (7_260, "2 h 1 m"),
    ],
)
def test_format_seconds(value: float, text: str) -> None:
    assert format_seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (99_400, "99.4 kB"), (999_600, "1.0 MB"), (10**13, "10.0 TB")],
)
def test_format_size(value: int, text: str) -> None:
    assert format_size(value) == text


def test_format_count() -> None:
    assert [format_count(n, "row") for n in (0, 1, 27_004)] == ["0 rows", "1 row", "27,004 rows"]


def narrow(width: int, stream: IO[str]) -> Console:
    terminal = console(stream, colored=False)
    terminal.width = width
    return terminal


@pytest.mark.parametrize(
    ("width", "table"),
    [
        (
            120,
            """\
 stage   nodes                                              wall        busy   parallel         rows    bytes   handoff
     1   7: long_node_name_0, long_node_name_1, long…   7 m 24 s   51 m 49 s        7.0   86,419,746   864 MB      0 us
""",
        ),
        (
            80,
            """\
 stage   nodes                         wall        busy   parallel         rows
     1   7: long_node_name_0, l…   7 m 24 s   51 m 49 s        7.0   86,419,746
""",
        ),
    ],
)
def test_on_a_narrow_terminal_names_are_cut_and_there_are_fewer_figures(width: int, table: str) -> None:
    nodes = {f"long_node_name_{i}": "" for i in range(7)}
    events: list[Event] = []
    for name in nodes:
        outputs = {name: ref(name, 12_345_678, 123_456_789)}
        events += [NodeStarted(0.0, name, 1), NodeFinished(444.1, name, 1, outputs, duration=444.1)]
    record = record_of([*events, RunFinished(500.0, "ok")], plan(**nodes))
    lines = [line.rstrip() for line in summary(record, console=partial(narrow, width))[1].splitlines()]
    assert [lines[1], lines[3]] == table.splitlines()


@pytest.mark.parametrize(("width", "shown", "more"), [(2_000, 12, 8), (80, 8, 12), (40, 3, 17), (20, 1, 19)])
def test_a_narrow_terminal_has_fewer_columns(record: RunRecord, width: int, shown: int, more: int) -> None:
    table = pa.table({f"c{i}": [i] for i in range(20)})
    out = summary(record, table, console=partial(narrow, width))[0]
    assert f"c{shown - 1}" in out.split()
    assert f"c{shown}" not in out.split()
    assert f"{more}more" in "".join(out.split())


def test_the_column_count_does_not_push_out_a_column(record: RunRecord) -> None:
    table = pa.table({f"c{i}": [i] for i in range(5)})
    assert "more" not in summary(record, table, console=partial(narrow, 40))[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [(12345.67, "12345.67"), (0.1 + 0.2, "0.3"), (1e300, "1e+300"), (1_700_000_000_123.0, "1700000000123"), (2.0, "2")],
)
def test_numbers_are_shown_as_they_are(record: RunRecord, value: float, text: str) -> None:
    assert text in summary(record, pa.table({"n": [value]}))[0].split()


def test_a_reporter_is_paused_when_no_event_is_waiting() -> None:
    paused = threading.Event()
    seen: list[str] = []

    class Pausing:
        def event(self, event: Event) -> None:
            seen.append("event")

        def pause(self) -> None:
            seen.append("pause")
            paused.set()

        def close(self) -> None:
            seen.append("close")

    dispatcher = EventDispatcher([Pausing()], print)
    dispatcher.emit(RunStarted(0.0, 1, 1))
    assert paused.wait(10)
    dispatcher.close()
    assert seen == ["event", "pause", "close"]


def test_reporters_get_what_the_gate_returns() -> None:
    held: list[Event] = []

    def gate(events: list[Event]) -> list[Event]:
        """Hold each event back until the end of the run."""
        nonlocal held
        held += events
        if not isinstance(events[-1], RunFinished):
            return []
        admitted, held = held, []
        return admitted

    class Collecting:
        def __init__(self) -> None:
            self.seen: list[Event] = []
            self.paused = threading.Event()

        def event(self, event: Event) -> None:
            self.seen.append(event)

        def pause(self) -> None:
            self.paused.set()

        def close(self) -> None:
            self.seen.append(RunFinished(9.0, "closed"))

    reporter = Collecting()
    dispatcher = EventDispatcher([reporter], print, gate)
    events: list[Event] = [RunStarted(0.0, 1, 1), RunFinished(1.0, "ok")]
    dispatcher.emit(events[0])
    assert reporter.paused.wait(10)
    assert reporter.seen == []
    dispatcher.emit(events[1])
    dispatcher.close()
    assert reporter.seen == [*events, RunFinished(9.0, "closed")]


@pytest.mark.parametrize("error", [LookupError("oh"), OSError(28, "No space left on device")])
def test_a_gate_that_raises_keeps_no_later_events_from_the_reporters_and_the_run_fails(error: Exception) -> None:
    def gate(events: list[Event]) -> list[Event]:
        raise error

    class Collecting:
        def __init__(self) -> None:
            self.seen: list[Event] = []

        def event(self, event: Event) -> None:
            self.seen.append(event)

        def close(self) -> None:
            self.seen.append(RunFinished(9.0, "closed"))

    reporter = Collecting()
    dispatcher = EventDispatcher([reporter], print, gate)
    dispatcher.emit(RunStarted(0.0, 1, 1))
    dispatcher.emit(RunFinished(1.0, "ok"))
    dispatcher.close()
    message = f"the gate of the events failed: {type(error).__name__}: {error}"
    end = RunFinished(1.0, "failed", message, Cause.INTERNAL)
    assert reporter.seen == [RunStarted(0.0, 1, 1), end, RunFinished(9.0, "closed")]
    assert str(dispatcher.gate_error) == message


def test_all_events_before_close_are_delivered() -> None:
    seen: list[Event] = []

    class Collecting:
        def event(self, event: Event) -> None:
            seen.append(event)

        def close(self) -> None:
            pass

    expected: list[Event] = [RunStarted(0.0, n, 1) for n in range(100)]
    dispatcher = EventDispatcher([Collecting()], print)
    for event in expected:
        dispatcher.emit(event)
    dispatcher.close()
    dispatcher.emit(RunStarted(1.0, 1, 1))
    assert seen == expected


def test_close_ends_although_a_reporter_keeps_emitting() -> None:
    first, seen = threading.Event(), 0

    class Slow:
        def event(self, event: Event) -> None:
            nonlocal seen
            seen += 1
            first.set()
            for _ in range(10):  # ten more for each event
                dispatcher.emit(event)

        def close(self) -> None:
            pass

    dispatcher = EventDispatcher([Slow()], print)
    dispatcher.emit(RunStarted(0.0, 1, 1))
    assert first.wait(10)
    dispatcher.close()
    assert seen >= 1


def test_a_reporter_that_raises_in_pause_is_removed() -> None:
    messages: list[str] = []
    reported = threading.Event()

    class Broken:
        def event(self, event: Event) -> None:
            pass

        def pause(self) -> None:
            raise ValueError("no room")

        def close(self) -> None:
            messages.append("closed")

    def on_error(message: str) -> None:
        messages.append(message)
        reported.set()

    dispatcher = EventDispatcher([Broken()], on_error)
    dispatcher.emit(RunStarted(0.0, 1, 1))
    assert reported.wait(10)
    dispatcher.close()
    assert messages == ["nfrun: the report Broken stopped: ValueError: no room"]


def test_a_reporter_ticks_while_no_events_come() -> None:
    ticked = threading.Semaphore(0)
    seen: list[str] = []

    class Clock:
        interval = 0.001

        def event(self, event: Event) -> None:
            seen.append("event")

        def tick(self) -> None:
            ticked.release()

        def pause(self) -> None:
            seen.append("pause")

    dispatcher = EventDispatcher([Clock()], print)
    for _ in range(3):
        assert ticked.acquire(timeout=10)
    dispatcher.close()
    assert seen == []


def test_a_reporter_ticks_while_events_keep_coming() -> None:
    ticked = threading.Event()

    class Busy:
        interval = 0.001

        def event(self, event: Event) -> None:
            if not ticked.is_set():
                dispatcher.emit(event)

        def tick(self) -> None:
            ticked.set()

    dispatcher = EventDispatcher([Busy()], print)
    dispatcher.emit(RunStarted(0.0, 1, 1))
    assert ticked.wait(10)
    dispatcher.close()


def test_a_reporter_that_raises_in_tick_is_removed() -> None:
    messages: list[str] = []
    reported = threading.Event()

    class Broken:
        interval = 0.001

        def event(self, event: Event) -> None:
            pass

        def tick(self) -> None:
            raise OSError(5, "Input/output error")

    def on_error(message: str) -> None:
        messages.append(message)
        reported.set()

    dispatcher = EventDispatcher([Broken()], on_error)
    assert reported.wait(10)
    dispatcher.close()
    assert messages == ["nfrun: the report Broken stopped: Input/output error"]


def progress_lines(ticks: Sequence[float], *events: Event, names: str = "abc") -> list[str]:
    """Return the lines of a run that are written when the clock shows `ticks`. Events come when it is time for them."""
    now = 0.0
    record = record_of_plan(plan(**dict.fromkeys(names.split() if " " in names else names, "")))
    out = io.StringIO()
    report = PlainLines(record, out, clock=lambda: 100.0 + now)
    report.event(RunStarted(0.0, 3, 2))
    report.pause()
    out.truncate(0)
    out.seek(0)
    left = list(events)
    for now in ticks:
        while left and left[0].at <= now:
            record.event(left.pop(0))
        report.tick()
    return out.getvalue().splitlines()


def test_plain_lines_show_progress_every_ten_seconds() -> None:
    lines = progress_lines(
        [10.0, 20.0, 30.0, 40.0, 50.0],
        NodeStarted(2.0, "a", 1),
        NodeStarted(2.0, "b", 1),
        NodeProgressed(9.0, "a", 2_000, 1_000_000),
        NodeProgressed(19.0, "a", 502_000, 1_000_000),
        NodeProgressed(19.5, "b", 0.5, None),
        NodeProgressed(29.0, "a", 1_000_000, 1_000_000),
        NodeRetrying(31.0, "a", 1, 1.0, FAILURE),
        NodeStarted(35.0, "a", 2),
        NodeProgressed(36.0, "a", 50, 100),
        NodeFinished(41.0, "a", 2),
        NodeFinished(42.0, "b", 1),
    )
    assert lines == [
        "   10.000 s  a: 0 %  2,000/1,000,000",
        "   20.000 s  a: 50 %  502,000/1,000,000",
        "   20.000 s  b: 0.5",
        "   30.000 s  a: 100 %  1,000,000/1,000,000",
        "   30.000 s  b: 0.5",
        "   40.000 s  b: 0.5",
        "   40.000 s  a: 50 %  50/100",
    ]


def test_plain_lines_name_nodes_that_run_on_in_silence_every_minute() -> None:
    names = " ".join(f"n{i}" for i in range(9))
    lines = progress_lines(
        [10.0 * i for i in range(1, 20)],
        NodeStarted(5.0, "n0", 1),
        *[NodeStarted(70.0, f"n{i}", 1) for i in range(1, 9)],
        NodeProgressed(71.0, "n8", 1, 0),
        NodeFinished(175.0, "n0", 1),
        names=names,
    )
    assert [line for line in lines if "n8: " not in line] == [
        "   70.000 s  still running: n0 65.0 s",
        "  130.000 s  still running: n0 2 m 5 s, n1 60.0 s, n2 60.0 s, n3 60.0 s, n4 60.0 s, n5 60.0 s and 2 more",
        "  190.000 s  still running: n1 2 m 0 s, n2 2 m 0 s, n3 2 m 0 s, n4 2 m 0 s, n5 2 m 0 s, n6 2 m 0 s and 1 more",
    ]


def test_plain_lines_do_not_show_the_progress_of_any_number_of_nodes() -> None:
    names = [f"n{i}" for i in range(50)]
    started = [NodeStarted(0.0, name, 1) for name in names]
    lines = progress_lines(
        [10.0], *started, *[NodeProgressed(1.0, name, 1, 2) for name in names], names=" ".join(names)
    )
    assert lines[19:] == [
        "   10.000 s  n19: 50 %  1/2",
        "   10.000 s  … and 30 more nodes report progress",
    ]


def test_of_many_failures_the_summary_shows_five() -> None:
    names = [f"n{i}" for i in range(12)]
    failed = [NodeFailed(1.0, name, 1, FAILURE) for name in names]
    record = record_of([*failed, RunFinished(2.0, "failed")], plan(**dict.fromkeys(names, "")))
    err = summary(record, quiet=True, cpu=(0.0,))[1]
    assert err.count("\np.yaml:4:3: node 'n") == 5
    assert err.endswith("\n\n… and 7 more nodes failed: 'nfrun show' lists them all\np: failed, 12 failed, 2.0 s\n")
