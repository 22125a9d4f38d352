"""Tests of pruning: which runs and files of a work folder are removed and which stay."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from recorded_lines import lines_of
from written_run import write_run

from nfrun.core.errors import HandoffError
from nfrun.core.pipeline import OutputId, Pipeline
from nfrun.history.database import PLANS, PREVIEWS, TIMINGS, Database
from nfrun.history.journal import FinishedOutput, RecordedNode, RunHeader
from nfrun.history.kept_tables import remove_old_inputs, remove_over_budget
from nfrun.history.prune import PrunePlan, plan_prune
from nfrun.history.work_dir import LOGS, WorkDir

PAGE = 4096
_OTHERS = ("inputs/x.arrow", "map/m/1.rows", "map/m/1.partial")


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
        tables: bool = True,
        home: str = "",
        shown: bool = True,
        stored: str = "",
        id: str = "",
    ) -> Path:
        """Make a run in which these nodes finished under the key `key`, with a page of data each.

        Without `tables` their files are gone, and with a `home` they are in the folder of that run. With `stored` they
        are at this address.
        """
        self.number += 1
        header = RunHeader(id or f"20260101-{self.number:06}-abcdef", pipeline, self.number)
        ends = []
        for node in nodes:
            file, content = f"{node}.1.arrow", f"d {node}"
            in_file = None if stored else file
            output = FinishedOutput(
                OutputId(node), 1, 8, "", content, PAGE, "", in_file, home=home, shown=shown, stored=stored
            )
            ends.append(RecordedNode(node, "ok", f"{key} {node}", {}, (output,), {}, cached=node in cached))
        folder = write_run(self.work, header, ends, ended=ended, is_torn=not journal)
        for table in folder.glob("*.arrow") if not tables else ():
            table.unlink()
        return folder

    def plan(self, **how: Any) -> PrunePlan:
        """Return what would be removed."""
        with closing(Database(self.work)) as database:
            return plan_prune(database, **how)

    def pruned(self, *, budget: int = 1 << 40, everything: bool = False) -> list[str]:
        """Prune, and return the removed paths relative to the work folder."""
        with closing(Database(self.work, print)) as database:
            found = plan_prune(database, budget=budget, everything=everything)
            found.remove(database)
        gone = [*found.runs, *found.files]
        assert not any(os.path.lexists(path) for path in gone)
        again = self.plan(budget=budget, everything=everything)
        assert not again.runs
        assert not again.files
        return sorted(str(path.relative_to(self.work.path)) for path in gone)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_an_empty_folder_has_nothing_to_remove(trial: Trial) -> None:
    assert trial.pruned() == []


def test_nothing_is_removed_if_the_history_is_lost(trial: Trial) -> None:
    trial.run("a", cached="a")
    trial.work.path.joinpath("history.db").unlink()
    with closing(Database(trial.work, lambda text: None)) as database:
        with pytest.raises(HandoffError, match=r"history.db has none of the runs .* is needed \('nfrun clean --all'"):
            plan_prune(database)
        assert len(plan_prune(database, everything=True).runs) == 1


@pytest.mark.parametrize("ended", ["ok", "failed", "cancelled", ""])
def test_runs_and_their_tables_stay_within_the_budget(trial: Trial, ended: str) -> None:
    trial.run("a", ended=ended)
    trial.run("a", ended=ended)
    trial.run("b", ended=ended)
    assert trial.pruned() == []


def test_tables_over_the_budget_go_and_their_runs_stay(trial: Trial) -> None:
    one, two = trial.run("a", "b", key="k1"), trial.run("a", "b", key="k2")
    assert trial.pruned(budget=3 * PAGE) == [f"runs/{one.name}/a.1.arrow"]
    assert trial.pruned(budget=0) == [f"runs/{one.name}/b.1.arrow"]  # those of the last run are its outputs
    assert (two / "a.1.arrow").exists()
    assert [line["event"] for line in lines_of(one)] == ["started", "finished", "finished", "ended"]


def test_runs_before_the_last_100_go_if_their_tables_are_gone(trial: Trial) -> None:
    one, two = trial.run("a", key="k1"), trial.run("a", key="k2")
    for _ in range(100):
        trial.run("b", tables=False)
    assert trial.pruned() == []
    (one / "a.1.arrow").unlink()
    assert trial.pruned() == [f"runs/{one.name}"]
    assert (two / "a.1.arrow").exists()


def test_each_pipeline_has_last_runs_of_its_own(trial: Trial) -> None:
    other = trial.run("a", pipeline="q.yaml", tables=False)
    gone = trial.run("a", tables=False)
    for _ in range(100):
        trial.run("a", tables=False)
    assert trial.pruned() == [f"runs/{gone.name}"]
    assert other.exists()


def test_a_run_stays_whose_table_another_run_uses(trial: Trial) -> None:
    first = trial.run("a", key="k1")
    for _ in range(101):
        trial.run("a", key="k1", home=first.name)
    assert trial.pruned() == [f"runs/20260101-{2:06}-abcdef"]
    assert (first / "a.1.arrow").exists()


def test_a_run_stays_that_has_an_output_in_a_place(trial: Trial) -> None:
    """As long as no later run has it."""
    first = trial.run("a", key="k1", stored="file:///place/data/0/a.arrow")
    second = trial.run("b", key="k1", stored="file:///place/data/0/b.arrow")
    trial.run("a", key="k1", stored="file:///place/data/0/a.arrow")
    for _ in range(100):
        trial.run("b", tables=False)
    assert trial.pruned() == [f"runs/{first.name}"]
    assert second.exists()


def test_what_belongs_to_a_run_under_way_stays(trial: Trial) -> None:
    first = trial.run("a", key="k1")
    spec = Pipeline(str(trial.work.path / "p.yaml"), str(trial.work.path), "p", "", {}, {}, {}, {})
    with WorkDir(trial.work.path).start_run(spec) as start:
        name = trial.work.pipeline_name(spec)
        trial.number = start.number
        running = trial.run("a", key="k1", pipeline=name, ended="", id=start.run)
        (running / "b.1.arrow.partial").touch()
        mine = trial.run("a", key="k0", pipeline=name, ended="failed", shown=False)
        again = trial.run("a", key="k1", ended="failed")
        plan = trial.plan(budget=0)
        assert (plan.runs, plan.files) == ((), ())
        assert trial.plan(everything=True).runs == (first, mine, again)
    files = mine / "a.1.arrow", running / "a.1.arrow", running / "b.1.arrow.partial"
    assert {*trial.plan(budget=0).files} == {*files}


def test_with_everything_of_a_pipeline_other_runs_stay(trial: Trial) -> None:
    folders = [trial.run("a", pipeline=name) for name in ("p.yaml", "q.yaml", "p.yaml 0123")]
    torn = trial.run("a", journal=False)
    assert trial.plan(everything=True, pipeline="q.yaml").runs == (folders[1],)
    assert trial.plan(everything=True, pipeline="q.yaml").files == ()
    assert torn.exists()


def test_what_is_kept_of_printed_rows_goes_with_all_runs(trial: Trial) -> None:
    runs = {name: trial.run("a", pipeline=name) for name in ("p.yaml", "q.yaml")}
    with closing(Database(trial.work, print)) as database:
        kept = {
            (what, name): database.kept(what, name)
            for pipeline, run in runs.items()
            for what, name in ((PREVIEWS, pipeline), (TIMINGS, pipeline), (PLANS, run.name))
        }
        for (what, _), (_, write) in kept.items():
            write({"of": what})
        trial.plan(everything=True, pipeline="q.yaml").remove(database)
        gone = [what for what, (read, _) in kept.items() if not read()]
        assert gone == [(PREVIEWS, "q.yaml"), (PLANS, runs["q.yaml"].name)]
        trial.plan(everything=True).remove(database)
        assert [what for what, (read, _) in kept.items() if read()] == [(TIMINGS, "p.yaml"), (TIMINGS, "q.yaml")]


def test_a_table_that_came_back_stays(trial: Trial) -> None:
    folder = trial.run("a", cached="a", ended="failed", shown=False)
    (folder / "a.1.arrow").rename(folder / "away")
    with closing(Database(trial.work)) as database:
        assert database.tables() == []
    (folder / "away").rename(folder / "a.1.arrow")
    assert trial.pruned(budget=0) == []


def test_outputs_of_cached_nodes_stay_under_every_key_from_the_latest_run(trial: Trial) -> None:
    first = trial.run("ab", "c", cached="ab", key="k1")
    second = trial.run("ab", cached="ab", key="k2")
    third = trial.run("ab", cached="ab", key="k2")
    assert trial.pruned(budget=0) == [f"runs/{first.name}/c.1.arrow", f"runs/{second.name}/ab.1.arrow"]
    assert (first / "ab.1.arrow").exists()
    assert (third / "ab.1.arrow").exists()


def test_an_earlier_cached_output_stays_if_the_latest_is_gone(trial: Trial) -> None:
    first = trial.run("a", cached="a")
    (trial.run("a", cached="a") / "a.1.arrow").unlink()
    assert trial.pruned(budget=0) == []
    assert (first / "a.1.arrow").exists()


@pytest.mark.parametrize("ended", ["ok", ""])
def test_files_that_no_journal_names_go_and_logs_stay(trial: Trial, ended: str) -> None:
    folder = trial.run("a", ended=ended)
    for name in ("b.1.arrow", "b.1.arrow.partial", "a.1.arrow.bad"):
        (folder / name).touch()
    for name in ("scratch", LOGS):
        (folder / name).mkdir()
        (folder / name / "x").touch()
    assert trial.pruned() == [
        f"runs/{folder.name}/{name}" for name in ("a.1.arrow.bad", "b.1.arrow", "b.1.arrow.partial", "scratch")
    ]


def test_a_table_that_no_journal_names_does_not_push_others_out(trial: Trial) -> None:
    trial.run("a", key="k1")
    killed = trial.run("a", key="k2", ended="")
    (killed / "b.1.arrow").write_bytes(b"." * PAGE)
    assert trial.pruned(budget=2 * PAGE) == [f"runs/{killed.name}/b.1.arrow"]


def test_runs_without_a_readable_journal_go(trial: Trial) -> None:
    torn = trial.run("a", journal=False, tables=False)
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


@pytest.mark.parametrize("budget", [0, None])
@pytest.mark.parametrize("link", ["runs", "runs/{}", "runs/{}/logs", "inputs", "map", "map/m", ""])
def test_nothing_is_removed_outside_of_the_work_folder(tmp_path: Path, link: str, budget: int | None) -> None:
    trial = Trial(tmp_path / "work")
    run = trial.run("a")
    files = [*(run / name for name in ("logs/x", "old.arrow")), *(trial.work.path / name for name in _OTHERS)]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b".")
    top = trial.work.path / link.format(run.name)
    top.rename(tmp_path / "disk")
    top.symlink_to(tmp_path / "disk")
    before = sorted(path for path in (tmp_path / "disk").rglob("*"))
    plan = trial.plan(everything=True) if budget is None else trial.plan(budget=budget)
    with closing(Database(trial.work, print)) as database:
        plan.remove(database)
    after = sorted(path for path in (tmp_path / "disk").rglob("*"))
    if link:
        assert after == before
        assert plan.outside == ((top,) if "/" not in link and budget is None else plan.outside)
    else:  # the work folder may be on another disk
        assert after != before and plan.outside == ()
        assert not [path for path in files if path.name.endswith("partial") and path.exists()]


@pytest.mark.parametrize("is_link", [True, False])
def test_what_is_over_the_budget_stays_where_a_link_leads_out(tmp_path: Path, is_link: bool) -> None:
    trial = Trial(tmp_path / "work")
    first, _ = trial.run("a", key="k1"), trial.run("a", key="k2")
    (trial.work.path / "inputs").mkdir()
    (trial.work.path / "inputs" / "x.arrow").write_bytes(b"." * 100)
    for name in ("runs", "inputs") if is_link else ():
        (trial.work.path / name).rename(tmp_path / name)
        (trial.work.path / name).symlink_to(tmp_path / name)
    remove_old_inputs(trial.work, (), 10)
    with closing(Database(trial.work, print)) as database:
        kept, _ = remove_over_budget(database, database.tables(), 0)
    assert (first / "a.1.arrow").exists() == (trial.work.path / "inputs" / "x.arrow").exists() == is_link
    assert kept == PAGE * (1 + is_link)  # that of the last run is protected
