"""Tests of pruning: which runs and files of a work folder are removed and which stay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nfrun.cache.journal import FinishedNode, FinishedOutput, Journal, RunHeader
from nfrun.cache.prune import plan_prune
from nfrun.cache.work_dir import JOURNAL, LOGS, WorkDir

PAGE = 4096


class Trial:
    def __init__(self, path: Path) -> None:
        self.work = WorkDir(path)
        self.number = 0

    def run(
        self,
        *nodes: str,
        ended: str = "ok",
        pipeline: str = "p.yaml",
        cached: str = "",
        key: str = "k",
        journal: bool = True,
    ) -> Path:
        """Make a run in which these nodes finished under the key `key`, with a page of data each."""
        self.number += 1
        folder = self.work.make_run_folder(f"20260101-{self.number:06}-abcdef")
        written = Journal(folder)
        if journal:
            written.started(RunHeader(folder.name, pipeline, self.number))
        for node in nodes:
            (folder / f"{node}.1.arrow").write_bytes(b"." * PAGE)
            outputs = (FinishedOutput(node, 1, 8, "", "d", PAGE, "", f"{node}.1.arrow"),)
            written.finished(FinishedNode(node, f"{key} {node}", {}, outputs, {}, cached=node in cached))
        if ended:
            written.ended(ended)
        written.close()
        return folder

    def pruned(self, *, everything: bool = False) -> list[str]:
        """Prune, and return the removed paths relative to the work folder."""
        found = plan_prune(self.work, everything=everything)
        found.remove()
        gone = [*found.runs, *found.files]
        assert not any(os.path.lexists(path) for path in gone)
        again = plan_prune(self.work, everything=everything)
        assert not again.runs
        assert not again.files
        return sorted(str(path.relative_to(self.work.path)) for path in gone)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_an_empty_folder_has_nothing_to_remove(trial: Trial) -> None:
    assert trial.pruned() == []


def test_the_last_run_that_ended_well_stays_and_those_before_it_go(trial: Trial) -> None:
    one, two, three = trial.run("a"), trial.run("a", ended="failed"), trial.run("a")
    assert trial.pruned() == [f"runs/{one.name}", f"runs/{two.name}"]
    assert (three / "a.1.arrow").exists()
    assert (three / JOURNAL).exists()


@pytest.mark.parametrize("ended", ["failed", "cancelled", ""])
def test_runs_that_can_be_resumed_stay(trial: Trial, ended: str) -> None:
    trial.run("a")
    trial.run("a", ended=ended)
    trial.run("b", ended=ended)
    assert trial.pruned() == []


def test_each_pipeline_has_a_last_run_of_its_own(trial: Trial) -> None:
    trial.run("a", pipeline="q.yaml")
    gone = trial.run("a")
    trial.run("a")
    assert trial.pruned() == [f"runs/{gone.name}"]


def test_outputs_of_cached_nodes_stay_under_every_key_from_the_latest_run(trial: Trial) -> None:
    first = trial.run("ab", "c", cached="ab", key="k1")
    second = trial.run("ab", cached="ab", key="k2")
    third = trial.run("ab", cached="ab", key="k2")
    assert trial.pruned() == [f"runs/{first.name}/c.1.arrow", f"runs/{second.name}"]
    assert (first / "ab.1.arrow").exists()
    assert (third / "ab.1.arrow").exists()


def test_an_earlier_cached_output_stays_if_the_latest_is_gone(trial: Trial) -> None:
    first = trial.run("a", cached="a")
    (trial.run("a", cached="a") / "a.1.arrow").unlink()
    assert trial.pruned() == []
    assert (first / "a.1.arrow").exists()


def test_files_that_no_journal_names_go_and_logs_stay(trial: Trial) -> None:
    folder = trial.run("a")
    for name in ("b.1.arrow", "b.1.arrow.partial", "a.1.arrow.bad"):
        (folder / name).touch()
    for name in ("scratch", LOGS):
        (folder / name).mkdir()
        (folder / name / "x").touch()
    (trial.work.path / "timings").mkdir()
    for name in ("p.yaml.json", "p.yaml.json.partial"):
        (trial.work.path / "timings" / name).touch()
    assert trial.pruned() == [
        *(f"runs/{folder.name}/{name}" for name in ("a.1.arrow.bad", "b.1.arrow", "b.1.arrow.partial", "scratch")),
        "timings/p.yaml.json.partial",
    ]


def test_runs_without_a_readable_journal_go(trial: Trial) -> None:
    torn = trial.run("a", journal=False)
    none = trial.work.make_run_folder("20260102-000000-abcdef")
    trial.run("a")
    assert trial.pruned() == [f"runs/{torn.name}", f"runs/{none.name}"]


def test_nothing_else_in_the_folder_is_touched(trial: Trial) -> None:
    trial.run("a")
    for name in ("mine", "20260101-000000-abcdeg"):
        (trial.work.path / "runs" / name).mkdir()
    (trial.work.path / "notes.txt").touch()
    target = trial.work.path / "data"
    target.mkdir()
    (target / "x").touch()
    (trial.work.path / "runs" / "20260103-000000-abcdef").symlink_to(target)
    assert trial.pruned(everything=True) == ["runs/20260101-000001-abcdef"]
    assert (target / "x").exists()


def test_links_in_a_run_s_folder_are_removed_and_not_followed(trial: Trial) -> None:
    folder = trial.run("a")
    target = trial.work.path / "data"
    target.mkdir()
    (target / "x").touch()
    (folder / "link").symlink_to(target)
    assert trial.pruned() == [f"runs/{folder.name}/link"]
    assert (target / "x").exists()


def test_with_everything_all_runs_go(trial: Trial) -> None:
    folders = [trial.run("a"), trial.run("a", ended=""), trial.run("b", cached="b")]
    assert trial.pruned(everything=True) == [f"runs/{folder.name}" for folder in folders]


def test_a_hard_linked_file_counts_once_when_its_last_name_goes(trial: Trial) -> None:
    first, second = trial.run("a"), trial.run("a")
    (second / "a.1.arrow").unlink()
    os.link(first / "a.1.arrow", second / "a.1.arrow")
    pages = sum(512 * (folder / JOURNAL).stat().st_blocks for folder in (first, second))
    assert plan_prune(trial.work).size == 512 * (first / JOURNAL).stat().st_blocks
    assert plan_prune(trial.work, everything=True).size == PAGE + pages
