"""Tests of the ways to name a run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kept_runs import START, Kept

from nfrun.core.errors import NotRecorded
from nfrun.lookback.run_reference import find_run, find_running


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Runs 3 to 9 without 6: of two pipelines, and with all ends. Runs 3 and 4 began at once."""
    kept = Kept(tmp_path)
    kept.add(3, "ok", id="20260101-000000-ffffff")
    kept.add(4, "ok", id="20260101-000000-aaaaaa")
    kept.add(5, "ok")
    kept.add(7, "failed")
    kept.add(8, "ok", pipeline="q.yaml")
    kept.add(9, "")
    return kept


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        ("007", 7),
        ("3", 3),
        ("last", 9),
        ("last~0", 9),
        ("last~1", 8),
        ("last~2", 7),
        ("last~5", 3),
        ("last-ok", 8),
        ("last-ok~1", 5),
        ("last-ok~2", 4),
        ("last-ok~3", 3),
        ("20260101-000000-a", 4),
        ("20260101-000000-ffffff", 3),
    ],
)
def test_a_run_is_named_by_number_id_or_distance(kept: Kept, text: str, number: int) -> None:
    assert find_run(kept.work, None, text).number == number


def test_the_beginning_of_an_id_is_enough(kept: Kept) -> None:
    id = find_run(kept.work, None, "8").id
    assert find_run(kept.work, None, id[:5]).id == id == find_run(kept.work, None, id).id


def test_only_runs_of_the_pipeline_are_counted(kept: Kept) -> None:
    assert [find_run(kept.work, "p.yaml", text).number for text in ("last~1", "last-ok", "7")] == [7, 5, 7]


@pytest.mark.parametrize(
    ("pipeline", "text", "message"),
    [
        (None, "10", "there is no run 10 in WORK: 6 runs from 3 to 9 are kept there"),
        (None, "0", "there is no run 0 in WORK: 6 runs from 3 to 9 are kept there"),
        (None, "6", "there is no run 6 in WORK: 6 runs from 3 to 9 are kept there"),
        (None, "9" * 90, f"there is no run {'9' * 39 + '…' + '9' * 20} in WORK: 6 runs from 3 to 9 are kept there"),
        ("p.yaml", "8", "there is no run 8 of p.yaml in WORK: 5 runs from 3 to 9 are kept there"),
        ("r.yaml", "8", "no run of r.yaml is kept in WORK, only of p.yaml, q.yaml"),
        ("r.yaml", "last", "no run of r.yaml is kept in WORK, only of p.yaml, q.yaml"),
        (None, "last~6", "there is no run last~6 in WORK: 6 runs have ended"),
        (None, "last-ok~9", "there is no run last-ok~9 in WORK: 4 runs have ended well"),
        (None, "2026", "there is no run 2026 in WORK: 6 runs from 3 to 9 are kept there"),
        (
            None,
            "20260101",
            "2 runs have an id that begins with 20260101: 20260101-000000-aaaaaa, 20260101-000000-ffffff",
        ),
        (None, "lst", "there is no run lst in WORK: 6 runs from 3 to 9 are kept there"),
        (None, "LAST-OK", "there is no run LAST-OK in WORK: 6 runs from 3 to 9 are kept there"),
        (None, "", "there is no run  in WORK: 6 runs from 3 to 9 are kept there"),
        (None, "../x", "there is no run ../x in WORK: 6 runs from 3 to 9 are kept there"),
        (None, "\x1b[31m", "there is no run \\x1b[31m in WORK: 6 runs from 3 to 9 are kept there"),
        (None, "٣", "there is no run ٣ in WORK: 6 runs from 3 to 9 are kept there"),
    ],
)
def test_a_wrong_reference_says_what_there_is(kept: Kept, pipeline: str | None, text: str, message: str) -> None:
    forms = r"( \(a run is a number, an id, last, last-ok or last~2\))?"
    with pytest.raises(NotRecorded, match=f"^{re.escape(message.replace('WORK', str(kept.work.path)))}{forms}$"):
        find_run(kept.work, pipeline, text)


def test_runs_of_one_number_are_told_apart_by_their_ids(kept: Kept) -> None:
    """As where two work folders were put together."""
    kept.add(7, at=START + 1)
    with pytest.raises(NotRecorded, match=r"^2 runs have the number 7: 7-\d+-\d+, 7-\d+-\d+$"):
        find_run(kept.work, None, "7")


def test_without_runs_the_error_says_so(tmp_path: Path) -> None:
    work = Kept(tmp_path).work
    for text in ("last", "last-ok", "7", "x"):
        with pytest.raises(NotRecorded, match=rf"^no run is kept in {re.escape(str(work.path))}$"):
            find_run(work, None, text)


def test_a_lost_history_is_told(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.add(1)
    for file in kept.work.path.glob("history.db*"):
        file.unlink()
    with pytest.raises(NotRecorded, match=r": the folders of its runs are there, but .* history.db, is lost$"):
        find_run(kept.work, None)


def test_no_run_may_have_ended_well(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.add(1, "failed")
    with pytest.raises(NotRecorded, match=rf"^no run in {re.escape(str(kept.work.path))} has ended well$"):
        find_run(kept.work, None, "last-ok")


def test_a_run_under_way_is_the_last_only_if_there_is_no_other(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    with kept.running(1):
        assert (find_run(kept.work, None, "last").number, find_run(kept.work, None, "last").status) == (1, "running")
    kept.add(2)
    with kept.running(3):
        assert [find_run(kept.work, None, text).number for text in ("last", "last~1", "3")] == [2, 1, 3]
        assert find_run(kept.work, None, "last~1").status == "killed"
        assert [run.number for run in find_running(kept.work, None)] == [3]
        assert find_running(kept.work, "q.yaml") == []
    assert find_running(kept.work, None) == []


def test_lock_files_that_are_none_are_passed_over(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    with kept.running(1):
        (kept.work.path / "lock").symlink_to(tmp_path / "elsewhere")
        (kept.work.path / "locks" / "folder").mkdir()
        (kept.work.path / "locks" / "q.yaml.lock").write_text("damaged")
        assert find_run(kept.work, None, "1").status == "running"
