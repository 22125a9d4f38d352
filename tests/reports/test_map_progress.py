"""What reports show of the rows of mapped nodes, while these run and when they have ended."""

from __future__ import annotations

import io

import pytest
from planned_record import record_of_plan

from nfrun.core.errors import Cause
from nfrun.core.events import Event, Failure, NodeFailed, NodeFinished, NodeProgressed, NodeStarted, RunFinished
from nfrun.core.map_spec import MapCounts
from nfrun.core.plan import Node, make_plan
from nfrun.reports.format_units import format_rows
from nfrun.reports.last_line import last_line
from nfrun.reports.progress.plain_lines import PlainLines
from nfrun.reports.run_record import RunRecord
from nfrun.reports.summary import failure_text

COUNTS = MapCounts(rows=648, reused=200, failed=2, calls=4)


def record(*events: Event) -> RunRecord:
    found = record_of_plan(make_plan([Node("embed")]), "rag")
    for event in events:
        found.event(event)
    return found


@pytest.mark.parametrize(
    ("done", "counts", "seconds", "text"),
    [
        (412, COUNTS, 6.9, "412/648 rows, 31/s, 7.68 s left (200 reused, 2 failed)"),
        (200, COUNTS, 0.0, "200/648 rows (200 reused, 2 failed)"),
        (648, COUNTS, 4.0, "648/648 rows, 112/s (200 reused, 2 failed)"),
        (3, MapCounts(10), 10.0, "3/10 rows, 0.3/s, 23.3 s left"),
        (0, MapCounts(10), 10.0, "0/10 rows"),
        (10_000, MapCounts(1_000_000), 2.0, "10,000/1,000,000 rows, 5,000/s, 3 m 18 s left"),
    ],
)
def test_rows_done_the_rate_and_the_time_left(done: float, counts: MapCounts, seconds: float, text: str) -> None:
    assert format_rows(done, counts, seconds) == text


def test_plain_lines_show_rows_every_ten_seconds_with_their_rate() -> None:
    now, out = 0.0, io.StringIO()
    found = record()
    report = PlainLines(found, out, clock=lambda: 100.0 + now)
    for at, done in ((10.0, 300), (20.0, 500)):
        for event in [NodeStarted(0.0, "embed", 1)] * (done == 300) + [NodeProgressed(at, "embed", done, 648, COUNTS)]:
            found.event(event)
            report.event(event)
        now = at
        report.tick()
    end = NodeFinished(22.0, "embed", 1, duration=22.0, map=COUNTS)
    found.event(end)
    report.event(end)
    report.close()
    assert out.getvalue().splitlines() == [
        "   10.000 s  embed: 300/648 rows, 10/s, 34.8 s left (200 reused, 2 failed)",
        "   20.000 s  embed: 500/648 rows, 15/s, 9.87 s left (200 reused, 2 failed)",
        "   22.000 s  embed finished in 22.0 s (200 reused, 2 failed)",
    ]


def test_the_last_line_counts_rows_if_not_all_were_computed() -> None:
    end = RunFinished(4.0, "ok")
    assert last_line(record(NodeFinished(1.0, "embed", 1, map=COUNTS), end)) == (
        "rag: ok, 1 ran, 448 of 648 rows computed, 2 rows failed, 4.0 s"
    )
    assert last_line(record(NodeFinished(1.0, "embed", 1, map=MapCounts(9, calls=1)), end)) == ("rag: ok, 1 ran, 4.0 s")
    reused = NodeFinished(1.0, "embed", 1, reused=True, map=MapCounts(9, 9))
    assert last_line(record(reused, end)) == "rag: ok, 1 reused, 4.0 s"


def test_a_failure_names_the_row() -> None:
    failure = Failure(Cause.NODE, "TimeoutError", "TimeoutError", rows="row 37 of 200", sample='question: "how?"')
    found = record(NodeStarted(0.0, "embed", 1), NodeFailed(1.0, "embed", 1, failure))
    assert failure_text("embed", found.nodes["embed"], "evals.yaml:11:3", ()) == (
        "\nevals.yaml:11:3: row 37 of 200 of 'embed' failed: TimeoutError (question: \"how?\")"
    )
    out = io.StringIO()
    report = PlainLines(found, out)
    report.event(NodeFailed(1.0, "embed", 1, failure))
    report.close()
    assert out.getvalue() == "    1.000 s  row 37 of 200 of embed failed: TimeoutError\n"
