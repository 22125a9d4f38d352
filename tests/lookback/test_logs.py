"""Tests of `nfrun logs`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Here
from kept_runs import Kept, failure, finished
from recorded_lines import Line, add_line

from nfrun.history.journal import RecordedNode
from nfrun.lookback.log_files import follow


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_the_streams_of_the_last_attempt_are_printed(here: Here, tmp_path: Path, kept: Kept) -> None:
    run = kept.add(1, nodes=[finished("a", attempts=2)])
    kept.log(run, "a", "stdout", "lost\n")
    kept.log(run, "a", "stdout", "one\n10%\r20%\r\n\x1b[31mred\n\nlast", attempt=2)
    kept.log(run, "a", "stderr", "\N{EURO SIGN}\n", attempt=2)
    kept.log(run, "a", "log", "warning: two\n", attempt=2)
    kept.log(run, "a1", "log", "of another node\n", attempt=3)
    found = here(tmp_path, "logs", "a")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.splitlines() == [
        "stdout | one",
        "stdout | 20%",
        "stdout | \\x1b[31mred",
        "stdout | ",
        "stdout | last",
        "stderr | \N{EURO SIGN}",
        "log    | warning: two",
    ]
    assert here(tmp_path, "logs", "a", "--attempt", "1").stdout == "stdout | lost\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["b"], "the node 'b' is not recorded in run 1: its nodes are quiet, train"),
        (["trian"], "the node 'trian' is not recorded in run 1: did you mean 'train'?"),
        (["../logs/train"], "the node '../logs/train' is not recorded in run 1: its nodes are quiet, train"),
        (["train", "--attempt", "3"], "the node 'train' made 1 attempt in run 1"),
        (["train", "--run", "2"], "there is no run 2 in WORK: run 1 is kept there"),
    ],
)
def test_a_wrong_name_is_an_error(here: Here, tmp_path: Path, kept: Kept, words: list[str], message: str) -> None:
    run = kept.add(1, nodes=[finished("train"), finished("quiet")])
    kept.log(run, "train", "stdout", "x\n")
    found = here(tmp_path, "logs", *words)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == f"nfrun: {message.replace('WORK', str(kept.work.path))}\n"


def test_a_node_that_printed_nothing_says_so(here: Here, tmp_path: Path, kept: Kept) -> None:
    kept.add(1, nodes=[finished("quiet")])
    for words in (["quiet"], ["quiet", "-f"], ["quiet", "--attempt", "1"]):
        found = here(tmp_path, "logs", *words)
        assert (found.returncode, found.stdout) == (0, "")
        assert found.stderr == "nfrun: 'quiet' printed nothing in run 1, or its logs were removed\n"


def test_the_logs_of_a_reused_node_are_those_of_the_run_in_which_it_ran(here: Here, tmp_path: Path, kept: Kept) -> None:
    first = kept.add(1, nodes=[finished("a")])
    kept.log(first, "a", "stdout", "once\n")
    kept.add(2, nodes=[finished("a", reused=True, home=first.name)])
    found = here(tmp_path, "logs", "a")
    assert (found.returncode, found.stdout) == (0, "stdout | once\n")
    assert found.stderr == "nfrun: 'a' was reused in run 2: it ran in run 1\n"


def test_a_home_that_leads_elsewhere_is_not_followed(here: Here, tmp_path: Path, kept: Kept) -> None:
    other = kept.add(1, nodes=[finished("a")])
    kept.log(other, "a", "stdout", "secret\n")
    kept.add(2, nodes=[finished("a", reused=True, home=f"../runs/{other.name}")])
    assert here(tmp_path, "logs", "a").stdout == ""


def test_a_run_under_way_is_pointed_out(here: Here, tmp_path: Path, kept: Kept) -> None:
    kept.log(kept.add(1, nodes=[finished("a")]), "a", "stdout", "before\n")
    with kept.running(2) as run:
        kept.log(run, "a", "stdout", "now\n")
        found = here(tmp_path, "logs", "a")
        assert found.stdout == "stdout | before\n"
        assert found.stderr == "nfrun: run 2 is under way: -f or --run 2 shows what it prints\n"
        assert here(tmp_path, "logs", "a", "--run", "2").stdout == "stdout | now\n"


def test_of_several_runs_under_way_one_must_be_named(here: Here, tmp_path: Path, kept: Kept) -> None:
    kept.log(kept.add(1, nodes=[finished("a")]), "a", "stdout", "before\n")
    with kept.running(2), kept.running(3, pipeline="q.yaml"):
        assert here(tmp_path, "logs", "a").stdout == "stdout | before\n"
        found = here(tmp_path, "logs", "-f", "a")
    message = "2 runs are under way: 3 (q.yaml), 2 (p.yaml); name one with --run or --pipeline"
    assert (found.returncode, found.stdout, found.stderr) == (2, "", f"nfrun: {message}\n")


class Steps:
    """What happens to a run while it is followed: one step at each pause."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self.steps = iter(steps)

    def __call__(self) -> None:
        next(self.steps)()


def test_a_run_is_followed_until_the_node_has_ended(kept: Kept) -> None:
    run = kept.add(1, "")
    steps = Steps(
        lambda: kept.log(run, "a", "stdout", "one\ntw"),
        lambda: kept.log(run, "a", "stdout", "one\ntwo\n"),
        lambda: kept.log(run, "a", "stderr", "err"),
        lambda: add_line(run, {"event": "finished", "node": "other"}),
        lambda: kept.log(run, "a", "stdout", "again\n", attempt=2),
        lambda: (
            kept.log(run, "a", "stdout", "again\nlast", attempt=2),
            add_line(run, {"event": "finished", "node": "a"}),
        ),
    )
    assert list(follow(run, "a", lambda: True, steps)) == [
        "stdout | one",
        "stdout | two",
        "stderr | err",
        "nfrun  | attempt 2",
        "stdout | again",
        "stdout | last",
    ]


REUSED = {"event": "finished", "node": "a", "status": "reused"}


def test_following_a_node_that_was_reused_ends_at_once(kept: Kept) -> None:
    run = kept.add(1, "")
    assert list(follow(run, "a", lambda: True, Steps(lambda: add_line(run, REUSED)))) == []


@pytest.mark.parametrize("line", [{"event": "ended", "status": "ok"}, {"event": "unfinished", "node": "a"}])
def test_following_ends_with_the_run_and_with_the_failure_of_the_node(kept: Kept, line: Line) -> None:
    run = kept.add(1, "")
    assert list(follow(run, "a", lambda: True, Steps(lambda: None, lambda: add_line(run, line)))) == []


def test_following_ends_when_the_run_is_killed(kept: Kept) -> None:
    run = kept.add(1, "")
    holds: Iterator[bool] = iter([True, True, False])
    steps = Steps(lambda: None, lambda: kept.log(run, "a", "stdout", "the last words"))
    assert list(follow(run, "a", lambda: next(holds), steps)) == ["stdout | the last words"]


def test_a_run_that_has_ended_is_not_followed(here: Here, tmp_path: Path, kept: Kept) -> None:
    run = kept.add(1, "failed", nodes=[RecordedNode("a", "failed", failure=failure(), attempts=1)])
    kept.log(run, "a", "stdout", "x\n")
    assert here(tmp_path, "logs", "-f", "a").stdout == "stdout | x\n"
