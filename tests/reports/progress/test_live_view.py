"""Tests of the live view: its rows in terminals of several kinds, the lines of nodes, and what is written when."""

from __future__ import annotations

import io
import re

import pytest
from planned_record import record_of_plan

from nfrun.core.errors import Cause
from nfrun.core.events import (
    AttemptStopped,
    Event,
    Failure,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeLogged,
    NodeProgressed,
    NodeRetrying,
    NodeSkipped,
    NodeStarted,
    NodeWaiting,
    OutputRef,
    RunStarted,
)
from nfrun.core.map_spec import MapCounts
from nfrun.core.pipeline import OutputId
from nfrun.core.plan import Node, Plan, make_plan
from nfrun.core.text import cell_width
from nfrun.core.values import replace
from nfrun.reports.progress.live_rows import Look, grid_of, live_rows
from nfrun.reports.progress.live_view import LiveView
from nfrun.reports.run_record import RunRecord

FAILURE = Failure(Cause.NODE, "KeyError", "'pr\x1b[31mice'")
STYLE = re.compile("\x1b\\[[0-9;]*m")


def plan(**needs: str) -> Plan:
    return make_plan([Node(name, tuple(need.split())) for name, need in needs.items()], slots=2)


def fan(count: int) -> Plan:
    """Stages of 100 nodes."""
    return plan(**{f"n{i}": f"n{i - 100}" if i >= 100 else "" for i in range(count)})


def record_of(of: Plan, *events: Event) -> RunRecord:
    record = record_of_plan(of, "etl")
    for event in events:
        record.event(event)
    return record


def rows_of(record: RunRecord, width: int = 80, *, colored: bool = False) -> list[str]:
    return live_rows(record, 12.0, grid_of(record), width, Look(colored))


@pytest.fixture
def record() -> RunRecord:
    """A run with a node in each state."""
    return record_of(
        plan(read="", old="", score="read", embed="read", fetch="read", late="score", save="embed"),
        NodeStarted(0.0, "read", 1),
        NodeFinished(1.0, "read", 1, duration=1.0),
        NodeStarted(0.0, "old", 1),
        NodeFinished(1.0, "old", 1, reused=True),
        NodeStarted(1.0, "score", 1),
        NodeStarted(1.0, "embed", 1),
        NodeStarted(1.0, "fetch", 1),
        NodeProgressed(2.0, "embed", 512, 1024),
        NodeFailed(2.5, "score", 1, FAILURE, duration=1.5),
        NodeSkipped(2.5, "late", "score"),
        NodeRetrying(3.0, "fetch", 1, 2.0, Failure(Cause.NODE, "OSError", "503"), duration=2.0),
    )


FRAMES = {
    40: """\
etl  4/7 nodes  1 failed  12.0 s
  ✓ stage 1        2/2  ━━━━━━━
  ✗ stage 2        0/3  ╌╌╌╌╌╌╌
    stage 3        0/2  ╌╌╌╌╌╌╌
  ▸ embed       11.0 s  ━━━━╌╌╌
  ✗ score       1.50 s  KeyError: 'pr\\x…
  ↻ fetch       2.00 s  attempt 1 faile…
""",
    60: """\
etl  4/7 nodes  1 running  1 failed  1 reused  12.0 s
  ✓ stage 1        2/2  ━━━━━━━━━━━━━━━━━  read, old
  ✗ stage 2        0/3  ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  1 failed of scor…
    stage 3        0/2  ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  late, save
  ▸ embed       11.0 s  ━━━━━━━━╌╌╌╌╌╌╌╌╌  50 %  512/1,024
  ✗ score       1.50 s  KeyError: 'pr\\x1b[31mice'
  ↻ fetch       2.00 s  attempt 1 failed: OSError: 503
""",
    80: """\
etl  4/7 nodes  1 running  1 failed  1 reused  1 skipped  12.0 s
  ✓ stage 1        2/2  ━━━━━━━━━━━━━━━━━━━━━━━━  read, old
  ✗ stage 2        0/3  ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  1 failed of score, embed, fet…
    stage 3        0/2  ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  late, save
  ▸ embed       11.0 s  ━━━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌  50 %  512/1,024
  ✗ score       1.50 s  KeyError: 'pr\\x1b[31mice'
  ↻ fetch       2.00 s  attempt 1 failed: OSError: 503
""",
    200: """\
etl  4/7 nodes  1 running  1 failed  1 reused  1 skipped  12.0 s
  ✓ stage 1        2/2  ━━━━━━━━━━━━━━━━━━━━━━━━  read, old
  ✗ stage 2        0/3  ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  1 failed of score, embed, fetch
    stage 3        0/2  ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  late, save
  ▸ embed       11.0 s  ━━━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌  50 %  512/1,024
  ✗ score       1.50 s  KeyError: 'pr\\x1b[31mice'
  ↻ fetch       2.00 s  attempt 1 failed: OSError: 503
""",
}


@pytest.mark.parametrize("width", FRAMES)
def test_the_rows_stand_in_one_grid(record: RunRecord, width: int) -> None:
    assert "\n".join(rows_of(record, width)) + "\n" == FRAMES[width]


def test_colours_mean_the_same_as_the_marks(record: RunRecord) -> None:
    assert rows_of(record, 60, colored=True) == [
        "\x1b[1metl\x1b[0m  4/7 nodes  \x1b[36m1 running\x1b[0m  \x1b[31m1 failed\x1b[0m  1 reused  12.0 s",
        "  \x1b[32m✓\x1b[0m stage 1        2/2  \x1b[32m━━━━━━━━━━━━━━━━━\x1b[0m  \x1b[2mread, old\x1b[0m",
        "  \x1b[31m✗\x1b[0m stage 2        0/3  \x1b[2m╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌\x1b[0m  \x1b[31m1 failed of scor…\x1b[0m",
        "    stage 3        0/2  \x1b[2m╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌\x1b[0m  \x1b[2mlate, save\x1b[0m",
        "  \x1b[36m▸\x1b[0m embed       11.0 s  \x1b[36m━━━━━━━━\x1b[0m\x1b[2m╌╌╌╌╌╌╌╌╌\x1b[0m"
        "  \x1b[2m50 %  512/1,024\x1b[0m",
        "  \x1b[31m✗\x1b[0m score       1.50 s  \x1b[31mKeyError: 'pr\\x1b[31mice'\x1b[0m",
        "  \x1b[33m↻\x1b[0m fetch       2.00 s  \x1b[2mattempt 1 failed: OSError: 503\x1b[0m",
    ]


def test_a_mapped_node_shows_its_rows() -> None:
    counts = MapCounts(rows=648, reused=200, failed=2, calls=4)
    found = record_of(plan(a=""), NodeStarted(0.0, "a", 1), NodeProgressed(6.9, "a", 412, 648, counts))
    text = "  412/648 rows, 18/s, 13.4 s left (200 reused, 2 failed)"
    assert rows_of(found, 120)[2].endswith(text)


def test_progress_can_be_seen_without_colours() -> None:
    def row(*events: Event) -> str:
        return rows_of(record_of(plan(a="", b="", c=""), *events))[1]

    ends = [NodeFinished(1.0, name, 1) for name in "abc"]
    assert row() == "    stage 1        0/3  ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  a, b, c"
    assert row(*ends[:1]) == "  ▸ stage 1        1/3  ━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  a, b, c"
    assert row(*ends) == "  ✓ stage 1        3/3  ━━━━━━━━━━━━━━━━━━━━━━━━  a, b, c"


def test_a_bar_is_full_only_when_all_is_done() -> None:
    look = Look(colored=False)
    assert [look.bar(done, 10, "") for done in (0, 0.001, 0.5, 0.999, 1)] == [
        "╌╌╌╌╌╌╌╌╌╌",
        "━╌╌╌╌╌╌╌╌╌",
        "━━━━━╌╌╌╌╌",
        "━━━━━━━━━╌",
        "━━━━━━━━━━",
    ]


@pytest.mark.parametrize("width", [10, 30, 31, 60, 80, 200])
@pytest.mark.parametrize(
    "name",
    ["etl", "n" * 200, "日本語" * 30, "e\u0301" * 50, "\x1b[2J\n\t\u202e", ""],
    ids=["short", "long", "wide", "combining", "controls", "empty"],
)
def test_no_row_is_wider_than_the_terminal(width: int, name: str) -> None:
    of = make_plan([Node(name or "a"), Node("b", (name or "a",)), *[Node(f"n{i}", ("b",)) for i in range(40)]])
    failure = Failure(Cause.NODE, "", name * 2)
    record = record_of(
        of,
        NodeStarted(0.0, name or "a", 1),
        NodeProgressed(0.0, name or "a", 1e300, 1e9),
        NodeStarted(0.0, "n0", 1),
        NodeRetrying(1.0, "n0", 1, 1.0, failure),
        NodeFailed(1.0, "b", 1, failure),
    )
    record.pipeline = replace(record.pipeline, name=name)
    rows = rows_of(record, width)
    assert max(map(cell_width, rows)) <= width
    for row in rows:
        assert row.isprintable()


@pytest.mark.parametrize("running", [0, 3, 900])
@pytest.mark.parametrize("failed", [0, 2, 50])
@pytest.mark.parametrize("retrying", [0, 2, 50])
def test_the_view_has_at_most_16_rows(running: int, failed: int, retrying: int) -> None:
    names = [f"n{i}" for i in range(running + failed + retrying)]
    record = record_of(
        fan(2_000),
        *[NodeStarted(0.0, name, 1) for name in names],
        *[NodeFailed(1.0, name, 1, FAILURE) for name in names[:failed]],
        *[NodeRetrying(1.0, name, 1, 5.0, FAILURE) for name in names[failed : failed + retrying]],
    )
    rows = rows_of(record, 100)
    text = "\n".join(rows)
    assert len(rows) <= 16
    assert rows[0].startswith(f"etl  {failed:,}/2,000 nodes  {running} running")
    assert "    of 20 stages" in rows
    assert (f"    and {running - 5:,} more running" in rows) == (running > 6)
    assert ("✗ n49" in text) == (failed == 50 and retrying < 3)
    assert text.count("✗ n") + text.count("↻ n") == min(3, failed + retrying)


def test_the_stages_around_the_first_open_one_are_shown() -> None:
    of = plan(**{f"n{i}": f"n{i - 1}" if i else "" for i in range(10)})
    record = record_of(of, *[NodeFinished(1.0, f"n{i}", 1) for i in range(4)])
    assert [row.rpartition("  ")[2] for row in rows_of(record)[1:]] == ["n3", "n4", "n5", "n6", "n7", "of 10 stages"]


def test_the_record_counts_every_node_once() -> None:
    record = record_of(
        plan(a="", b="", c="", d="", e="", f="a"),
        NodeStarted(0.0, "a", 1),
        NodeRetrying(1.0, "a", 1, 1.0, FAILURE),
        NodeStarted(0.0, "b", 1),
        NodeStarted(0.0, "e", 1),
    )
    assert (list(record.running), list(record.retrying)) == (["b", "e"], ["a"])
    for event in [
        NodeStarted(2.0, "a", 2),
        NodeFailed(3.0, "a", 2, FAILURE),
        NodeSkipped(3.0, "f", "a"),
        NodeFinished(3.0, "b", 1),
        NodeFinished(3.0, "c", 1, reused=True),
        NodeCancelled(3.0, "d", "Ctrl-C"),
    ]:
        record.event(event)
    assert (list(record.running), list(record.retrying), list(record.failed)) == (["e"], [], ["a"])
    assert record.counts() == {"ok": 1, "reused": 1, "failed": 1, "skipped": 1, "cancelled": 1}
    assert record.counts() == {status: len(record.named(status)) for status in record.counts()}
    first, second = record.stage_counts
    assert (first.nodes, first.ended, first.succeeded, first.failed) == (5, 4, 2, 1)
    assert (second.nodes, second.ended, second.succeeded, second.failed) == (1, 1, 0, 0)


def test_a_node_whose_table_is_made_again_is_counted_once() -> None:
    record = record_of(
        plan(a="", b="a"),
        NodeStarted(0.0, "a", 1),
        NodeFinished(0.0, "a", 1, reused=True),
        NodeStarted(0.0, "b", 1),
    )
    assert record.open_stage() == 1
    record.event(NodeStarted(1.0, "a", 2))
    assert (record.open_stage(), sum(record.counts().values()), record.stage_counts[0].ended) == (0, 0, 0)
    record.event(NodeFinished(2.0, "a", 2))
    record.event(NodeStarted(2.0, "b", 1))
    record.event(NodeFinished(2.0, "b", 1))
    assert (record.counts()["ok"], record.counts()["reused"], record.open_stage(), record.running) == (2, 0, 2, {})


def test_a_reader_that_waits_for_a_table_that_is_made_again_does_not_run() -> None:
    record = record_of(
        plan(a="", b="a"),
        NodeStarted(0.0, "a", 1),
        NodeFinished(0.0, "a", 1, reused=True),
        NodeStarted(0.1, "b", 1),
        NodeWaiting(0.2, "b", 1),
        NodeStarted(0.2, "a", 2),
    )
    assert [*record.running] == ["a"]
    assert (record.nodes["b"].status, record.nodes["b"].ran) == ("waiting", False)
    record.event(NodeFinished(1.0, "a", 2))
    record.event(NodeStarted(1.0, "b", 1))
    assert (record.nodes["b"].started, [*record.running]) == (1.0, ["b"])


@pytest.mark.parametrize("event", [NodeCancelled(2.0, "a", "node 'x' failed"), NodeSkipped(2.0, "a", "x")])
def test_a_node_whose_table_was_to_be_made_again_is_counted_once(event: Event) -> None:
    record = record_of(plan(a="", b="a"), NodeStarted(0.0, "a", 1), NodeFinished(0.0, "a", 1, reused=True), event)
    assert (sum(record.counts().values()), record.counts()["reused"], record.open_stage()) == (1, 0, 1)
    assert (record.stage_counts[0].ended, record.stage_counts[0].succeeded) == (1, 0)


# ------------------------------------------------------------------ what is written


class Terminal(io.StringIO):
    """Keeps each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []
        self.size = (80, 24)

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)


def view_of(record: RunRecord, *, verbose: bool = False) -> tuple[LiveView, Terminal]:
    terminal = Terminal()
    clock = iter(range(1_000))
    view = LiveView(
        record,
        terminal,
        colored=False,
        verbose=verbose,
        size=lambda stream: terminal.size,
        clock=lambda: float(next(clock)),
    )
    return view, terminal


def lines_of(*events: Event, of: Plan | None = None, verbose: bool = False) -> list[str]:
    """Return the lines that stay on the terminal."""
    record = record_of_plan(of or plan(a="", b=""), "etl")
    view, terminal = view_of(record, verbose=verbose)
    for event in events:
        if type(event) in view.event_types:
            view.event(event)
    view.close()
    return "".join(terminal.writes).splitlines()


def ref(rows: int) -> OutputRef:
    return OutputRef(OutputId("a"), rows, 24, "n: int64")


ENDS: list[Event] = [
    RunStarted(0.0, 2, 2),
    NodeStarted(0.0, "a", 1),
    NodeFinished(1.0, "a", 1, {"a": ref(27_004)}, duration=0.153),
    NodeStarted(1.0, "b", 1),
    NodeRetrying(2.5, "b", 1, 0.5, FAILURE, duration=1.5),
    NodeStarted(3.0, "b", 2),
    NodeLogged(3.0, "b", "stdout", "hi \x1b[1m"),
    AttemptStopped(3.0, "b", 2, "timeout"),
    NodeFailed(3.0, "b", 2, FAILURE, duration=0.1),
    NodeSkipped(3.0, "c", "b"),
    NodeStarted(3.0, "d", 1),
    NodeFinished(3.0, "d", 1, {"d": ref(1)}, reused=True),
]


def test_a_line_for_each_node_that_ran_or_failed() -> None:
    assert lines_of(*ENDS, of=plan(a="", longer_name="")) == [
        "✓ a               153 ms  27,004 rows",
        "↻ b               1.50 s  attempt 1 failed, the next in 500 ms: KeyError: 'pr\\x1b[31mice'",
        "b | hi \\x1b[1m",
        "b told to stop: timeout",
        "✗ b               100 ms  KeyError: 'pr\\x1b[31mice'",
    ]


def test_with_verbose_a_line_for_every_node() -> None:
    assert lines_of(*ENDS, of=plan(a="", longer_name=""), verbose=True) == [
        "▸ a              started",
        "✓ a               153 ms  27,004 rows",
        "▸ b              started",
        "↻ b               1.50 s  attempt 1 failed, the next in 500 ms: KeyError: 'pr\\x1b[31mice'",
        "▸ b              started  attempt 2",
        "b | hi \\x1b[1m",
        "b told to stop: timeout",
        "✗ b               100 ms  KeyError: 'pr\\x1b[31mice'",
        "- c              skipped  it needs b",
        "▸ d              started",
        "✓ d               reused  1 row",
    ]


def test_of_many_short_nodes_only_the_first_have_a_line() -> None:
    ends = [NodeFinished(1.0, f"n{i}", 1, duration=1.0 if i % 100 == 99 else 0.01) for i in range(1_000)]
    lines = lines_of(*ends, of=fan(1_000))
    assert lines[98:104] == [
        "✓ n98         10.0 ms",
        "✓ n99          1.00 s",
        "✓ n100        10.0 ms",
        "  from here on only nodes that take a second or failed have a line; -v shows all",
        "✓ n199         1.00 s",
        "✓ n299         1.00 s",
    ]
    assert len(lines) == 111
    assert sum("✓ n" in line for line in lines_of(*ends, of=fan(1_000), verbose=True)) == 1_000


def test_lines_are_written_with_the_next_frame_above_it() -> None:
    record = record_of_plan(plan(a=""), "etl")
    view, terminal = view_of(record)
    view.event(NodeLogged(0.1, "a", "stdout", "one"))
    view.event(NodeLogged(0.1, "a", "stdout", "two"))
    view.pause()
    assert terminal.writes == []
    view.tick()
    view.tick()
    view.event(AttemptStopped(0.2, "a", 1, "timeout"))
    view.close()
    stage = "    stage 1        0/1  ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  a"
    assert terminal.writes == [
        f"\x1b[?25la | one\na | two\n\netl  0/1 nodes  0 running  1.00 s\n{stage}\r\x1b[2A",
        f"\r\x1b[J\netl  0/1 nodes  0 running  2.00 s\n{stage}\r\x1b[2A",
        "\r\x1b[Ja told to stop: timeout\n\x1b[?25h",
    ]


def test_many_lines_do_not_wait_for_a_frame() -> None:
    view, terminal = view_of(record_of_plan(plan(a=""), "etl"))
    for i in range(503):
        view.event(NodeLogged(0.1, "a", "stdout", f"line {i}"))
    assert [text.count("a | line") for text in terminal.writes] == [500]
    view.close()
    assert [text.count("a | line") for text in terminal.writes] == [500, 3]


def test_a_run_that_ends_before_the_first_frame_has_no_view() -> None:
    view, terminal = view_of(record_of_plan(plan(a=""), "etl"))
    view.close()
    assert terminal.writes == [""]


def test_a_low_terminal_has_the_first_rows_only(record: RunRecord) -> None:
    view, terminal = view_of(record)
    terminal.size = (80, 5)
    view.tick()
    assert terminal.writes[0].count("\n") == 3
    assert terminal.writes[0].endswith("\r\x1b[3A")


def test_each_frame_is_as_wide_as_the_terminal_is_then() -> None:
    view, terminal = view_of(record_of_plan(plan(**{f"node_{i}": "" for i in range(40)}), "etl"))
    widest = []
    for columns in (60, 40, 200):
        terminal.size = (columns, 24)
        view.tick()
        widest.append(max(map(cell_width, terminal.writes[-1].rpartition("\r")[0].splitlines()[1:])))
    assert widest == [59, 34, 115]
