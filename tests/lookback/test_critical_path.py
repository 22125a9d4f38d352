"""Which nodes a run waited for, and the time in which no node worked."""

from __future__ import annotations

import pytest

from nfrun.lookback.page.recorded import Span
from nfrun.lookback.page.run_times import RecordedPath, recorded_path, seconds_without_work


def span(ready: float, started: float, ended: float) -> Span:
    return Span(ready, started, ended, ended - started)


def test_the_path_goes_back_from_what_ended_last_to_what_it_waited_for_last() -> None:
    spans = {"a": span(0, 0, 2), "b": span(0, 1, 3), "c": span(3, 3.5, 6), "d": span(2, 2, 5)}
    upstream = {"c": ["a", "b"], "d": ["a"]}
    path = recorded_path(spans, lambda node: upstream.get(node, []))
    assert (path.nodes, path.seconds, path.work, path.queued) == (("b", "c"), 6, 4.5, 1.5)


def test_a_path_ends_where_journals_say_that_nodes_wait_for_one_another() -> None:
    spans = {"a": span(0, 0, 2), "b": span(0, 0, 2)}
    assert recorded_path(spans, lambda node: ["a", "b"]).nodes == ("b", "a")


def test_a_run_without_nodes_that_ran_has_no_path() -> None:
    assert recorded_path({}, lambda node: []).text(2) == "No node ran."


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (RecordedPath(("a",), 2.0, 2.0, 0.0), "The run waited for a: 2.00 s of work."),
        (
            RecordedPath(("a", "b"), 4.0, 2.0, 1.0),
            "The run waited for a → b: 2.00 s of work, 1.00 s of waiting for a free slot (the run had 2 slots), "
            "1.00 s of starting them and handing on.",
        ),
        (
            RecordedPath(("a", "g"), 2.0, 1.1, 0.0, 0.9),
            "The run waited for a → g: 1.10 s of work, 900 ms of waiting for the next attempt.",
        ),
        (
            RecordedPath(tuple("abcdefghi"), 4.0, 4.0, 0.0),
            "The run waited for a → b → c → d → … → g → h → i: 4.00 s of work.",
        ),
    ],
)
def test_the_path_in_a_sentence(path: RecordedPath, text: str) -> None:
    assert path.text(2) == text


@pytest.mark.parametrize(
    ("spans", "idle"),
    [
        ([], 10.0),
        ([(0, 10)], 0.0),
        ([(2, 4), (3, 5)], 7.0),
        ([(3, 5), (1, 2), (1, 6)], 5.0),
        ([(8, 12)], 8.0),
        ([(11, 12)], 10.0),
    ],
)
def test_seconds_without_work(spans: list[tuple[float, float]], idle: float) -> None:
    assert seconds_without_work(spans, 10.0) == idle


def test_what_nodes_of_the_path_take_besides_slots_is_named() -> None:
    path = RecordedPath(("b",), 3.0, 1.0, 2.0)
    waited = "The run waited for b: 1.00 s of work, 2.00 s of waiting for a free slot (the run had 4 slots)"
    assert path.text(4, ["gpu"]) == f"{waited} or gpu."
    assert path.text(4, ["gpu", "rate"]) == f"{waited} or gpu or rate."
