"""Tests of `nfrun runs`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from conftest import Here
from kept_runs import START, Kept, finished

from nfrun.history.journal import RecordedNode

COUNTS = {"ok": 3, "reused": 17, "failed": 0, "skipped": 0, "cancelled": 0}


pytestmark = pytest.mark.usefixtures("utc")


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def lines(here: Here, folder: Path, *options: str) -> list[str]:
    found = here(folder, "runs", *options)
    assert (found.returncode, found.stderr) == (0, "")
    return found.stdout.splitlines()


def test_there_is_a_line_for_each_run_the_newest_first(here: Here, tmp_path: Path, kept: Kept) -> None:
    kept.add(8, "ok", params={"day": 3, "country": "DE"}, counts=COUNTS, duration=0.4)
    kept.add(9, "ok", at=START + 60, params={"day": 4, "country": "DE"}, counts=COUNTS)
    kept.add(10, "failed", at=START + 90, params={"day": 4, "country": "DE"}, counts={**COUNTS, "failed": 2})
    assert lines(here, tmp_path) == [
        "run  when              status  ran  reused  failed    time  parameters",
        " 10  2023-11-14 22:14  failed    3      17       2  2.00 s",
        "  9  2023-11-14 22:14  ok        3      17       0  2.00 s  day=4",
        "  8  2023-11-14 22:13  ok        3      17       0  400 ms  day=3, country=DE",
    ]


def test_killed_and_running_runs_say_so(here: Here, tmp_path: Path, kept: Kept) -> None:
    kept.add(2, "", nodes=[finished("a"), finished("b", reused=True), RecordedNode("c", "failed")])
    with kept.running(3, at=time.time()):
        found = lines(here, tmp_path)
    assert [line.split()[3] for line in found[1:]] == ["running", "killed"]
    assert found[2].split()[3:] == ["killed", "1", "1", "1", "-"]


def test_a_node_whose_table_was_made_again_is_counted_once(here: Here, tmp_path: Path, kept: Kept) -> None:
    again = [finished("a", reused=True), finished('b"', reused=True), RecordedNode('b"', "failed"), finished("a")]
    kept.add(1, "", nodes=again)
    assert lines(here, tmp_path)[1].split()[3:] == ["killed", "1", "0", "1", "-"]


def test_a_run_of_today_says_so(here: Here, tmp_path: Path, kept: Kept) -> None:
    kept.add(1, at=(now := time.time()))
    assert time.strftime("today %H:%M:%S", time.gmtime(now)) in lines(here, tmp_path)[1]


def test_the_last_twenty_are_listed(here: Here, tmp_path: Path, kept: Kept) -> None:
    for number in range(1, 26):
        kept.add(number, params={"day": number // 6})
    found = lines(here, tmp_path)
    assert [int(line.split()[0]) for line in found[1:-1]] == [*range(25, 5, -1)]
    assert found[-1] == "… and older runs: 'nfrun runs --all' lists all"
    assert found[-2].endswith("day=1")  # compared with a run that is not listed
    assert len(lines(here, tmp_path, "--all")) == 26
    assert len(lines(here, tmp_path, "-n", "25")) == 26
    assert [line.split()[0] for line in lines(here, tmp_path, "-n1")] == ["run", "25", "…"]


def test_pipelines_in_one_folder_are_told_apart(here: Here, tmp_path: Path, kept: Kept) -> None:
    (tmp_path / "q.yaml").touch()
    kept.add(1, params={"day": 1})
    kept.add(2, pipeline="q.yaml", params={"day": 2})
    kept.add(3, params={"day": 1})
    kept.add(4, pipeline=f"q.yaml {'ab' * 16}", params={"day": 4})
    kept.add(5, pipeline=f"a name.yaml {'ab' * 16}", params={"day": 5})
    assert [line[60:] for line in lines(here, tmp_path)] == [
        "pipeline              parameters",
        "a name.yaml (ababab)  day=5",
        "q.yaml (ababab)       day=4",
        "p.yaml",
        "q.yaml                day=2",
        "p.yaml                day=1",
    ]
    assert [line.split()[0] for line in lines(here, tmp_path, "--pipeline", "q.yaml")] == ["run", "2"]


def test_a_pipeline_in_another_folder_is_found_in_its_work_folder(here: Here, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "p.yaml").touch()
    (tmp_path / "a" / "b" / "p.yaml").touch()
    kept = Kept(tmp_path / "a")
    kept.add(1)
    kept.add(2, pipeline=kept.work.name_of_file(tmp_path / "a" / "b" / "p.yaml"))
    assert [line.split()[0] for line in lines(here, tmp_path, "--pipeline", "a/p.yaml")] == ["run", "1"]
    both = ("--work", "a/.nfrun", "--pipeline", "a/b/../b/p.yaml")
    assert [line.split()[0] for line in lines(here, tmp_path, *both)] == ["run", "2"]


def test_json_is_one_document(here: Here, tmp_path: Path, kept: Kept) -> None:
    kept.add(1, params={"day": 1, "x": None}, counts=COUNTS)
    kept.add(2, "", params={"day": 2, "x": None})
    document = json.loads(here(tmp_path, "runs", "--json").stdout)
    assert document["runs"][1] == {
        "run": "1-20231114-221320",
        "number": 1,
        "pipeline": "p.yaml",
        "status": "ok",
        "started": "2023-11-14T22:13:20Z",
        "ended": "2023-11-14T22:13:22Z",
        "wall_s": 2.0,
        "counts": COUNTS,
        "error": None,
        "params": {"day": 1, "x": None},
        "inputs": {},
        "changed_params": {"day": 1, "x": None},
    }
    killed = {"run": "2-20231114-221320", "status": "killed", "ended": None, "wall_s": None}
    assert document["runs"][0].items() >= {**killed, "changed_params": {"day": 2}}.items()
    assert len(json.loads(here(tmp_path, "runs", "--json", "-n", "1").stdout)["runs"]) == 1
