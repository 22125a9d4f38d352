"""Tests of what `nfrun doctor` says of a work folder: its locks, runs, tables and what was reused."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from written_run import write_run

from nfrun.core.health import NOTE, OK, PROBLEM
from nfrun.core.pipeline import OutputId, Pipeline
from nfrun.history import health
from nfrun.history.health import check_reuse, check_unseen, check_work_dir
from nfrun.history.journal import FinishedOutput, RecordedNode, RunHeader
from nfrun.history.work_dir import WorkDir
from nfrun.system.mounts import Mount


@pytest.fixture
def work(tmp_path: Path) -> WorkDir:
    found = WorkDir(tmp_path / ".nfrun")
    found.make()
    (found.path / "lock").touch()
    return found


def node(name: str, *, size: int = 0, **more: Any) -> RecordedNode:
    output = FinishedOutput(OutputId(name), 1, 8, "", f"d {name}", size, "", f"{name}.1.arrow")
    return RecordedNode(name, "ok", f"k {name}", {}, (output,) if size else (), {}, **more)


def keep(work: WorkDir, number: int, *nodes: RecordedNode, pipeline: str = "p.yaml", ended: str = "ok") -> Path:
    header = RunHeader(f"{number}-20260101-00000{number}", pipeline, number, at=1_767_225_600.0 + number)
    return write_run(work, header, nodes, ended=ended)


def test_a_folder_in_order(work: WorkDir) -> None:
    keep(work, 1, node("a", size=1_000_000))
    locks, runs, tables = check_work_dir(work, 10_000_000)
    assert {check.level for check in (locks, runs, tables)} == {OK}
    assert [locks.text, runs.text, tables.text] == ["none is held", "1 run", "1 table, 1.0 MB of at most 10.0 MB"]


def test_the_holder_of_a_lock_is_named(work: WorkDir, tmp_path: Path) -> None:
    pipeline = Pipeline(str(tmp_path / "p.yaml"), str(tmp_path), "p", "", {}, {}, {}, {})
    with work.start_run(pipeline) as run:
        locks, runs, _ = check_work_dir(work, None)
    file, host = tmp_path / "p.yaml", os.uname().nodename
    text = f"held: pipeline {file}, run {run.run}, process {os.getpid()}, host {host}"
    assert (locks.level, locks.text) == (NOTE, text)
    assert locks.advice == "another run of the same pipeline waits with --wait, or exits with 75"
    assert runs.facts["under_way"] == [run.run]


def test_killed_runs_are_named(work: WorkDir) -> None:
    keep(work, 1, ended="")
    assert check_work_dir(work, None)[1].text == "1 run; run 1 was killed"
    keep(work, 2, ended="")
    found = check_work_dir(work, None)[1]
    assert (found.level, found.text) == (OK, "2 runs; runs 1, 2 were killed")


def test_runs_that_cannot_be_read(work: WorkDir) -> None:
    keep(work, 1)
    (work.path / "runs/2-20260101-000000").mkdir()
    found = check_work_dir(work, None)[1]
    text = "1 run; the history does not have run 2, so that nothing of it is reused"
    assert (found.level, found.text) == (NOTE, text)
    (work.path / "history.db").write_bytes(b"no database, and longer than the head of one" * 99)
    (found,) = check_work_dir(work, None)
    text = f"{work.path}/history.db cannot be used: file is not a database"
    assert (found.about, found.level, found.text) == ("work folder", PROBLEM, text)
    assert found.advice == "'nfrun run' keeps it under another name, and makes another"


def test_tables_near_their_budget(work: WorkDir) -> None:
    keep(work, 1, node("a", size=950_000))
    found = check_work_dir(work, 1_000_000)[2]
    assert (found.level, found.text) == (NOTE, "1 table, 950 kB of at most 1.0 MB")
    advice = "removed tables are made again where nodes read them: --cache-size or NFRUN_CACHE_SIZE allows more"
    assert (found.advice, found.facts["budget"]) == (advice, 1_000_000)


def test_a_file_in_its_place_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    (found,) = check_work_dir(WorkDir(path), None)
    assert (found.level, found.text) == (PROBLEM, f"cannot use {path}: it is not a folder")
    assert found.advice == "remove it, or keep the runs elsewhere with --work DIR"


def test_a_folder_of_another_user_cannot_be_used(work: WorkDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "no", str(path))

    monkeypatch.setattr(health, "is_locked", refused)
    (found,) = check_work_dir(work, None)
    assert (found.level, found.text) == (PROBLEM, f"cannot use {work.path}/lock: no permission")
    assert found.advice == "let this user read and write it, or keep the runs elsewhere with --work DIR"


def test_what_the_last_runs_did_not_reuse(work: WorkDir) -> None:
    why, new = "it connects to api.example.com", "it has not finished in any run that is kept"
    again = "its code changed: steps:fit"
    keep(work, 1, node("a", obstacle="an older reason"), node("e", reason=again), node("f", reason="--fresh"))
    keep(
        *(work, 2),
        *(node("a", obstacle=why), node("b", obstacle=why), RecordedNode("c", "reused")),
        *(node("d", obstacle="x", cached=True), node("e", reason=again), node("f", reason="--fresh")),
    )
    keep(work, 3, node("a", reason=new), pipeline=f"q.yaml {'0' * 32}")
    keep(work, 4, pipeline=f"q.yaml {'0' * 32}", ended="")
    last, other = check_reuse(work)
    assert (last.level, last.text) == (OK, "q.yaml, run 3: 1 ran, 0 reused")
    text = f"p.yaml, run 2: 5 ran, 1 reused; not reused: a, b: {why}, e: {again}"
    assert (other.level, other.text) == (NOTE, text)
    advice = "'cache: true' reuses nodes in spite of that; 'nfrun plan' says of each node why it would run"
    assert other.advice == advice
    assert [check.facts["number"] for check in check_reuse(work, "p.yaml")] == [2]
    assert check_reuse(work, "r.yaml") == []


@pytest.mark.parametrize(
    "reason",
    [
        *(
            "--fresh",
            "it has 'cache: false'",
            "it reads 'x', which runs",
            "it gave no output, so it runs for its effect",
        ),
        *("the input 'x' changed", "the input 'x', the input 'y' changed"),
    ],
)
def test_what_is_meant_to_run_is_not_told(reason: str, work: WorkDir) -> None:
    for number in (1, 2):
        keep(work, number, node("a", reason=reason))
    assert [check.level for check in check_reuse(work)] == [OK]


def test_what_is_not_seen_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nfrun.history.health.mount_of", lambda path: Mount("/", "ext4"))
    assert check_unseen(tmp_path).level == OK
    monkeypatch.setattr("nfrun.history.health.mount_of", lambda path: Mount("/", "tmpfs"))
    found = check_unseen(tmp_path)
    assert found.text == f"{tmp_path} is in memory (tmpfs): writes to large files through a mapping change no times"
    monkeypatch.setattr("nfrun.history.health.mount_of", lambda path: Mount("/", "nfs4"))
    monkeypatch.setattr("sys.platform", "darwin")
    found = check_unseen(tmp_path)
    assert found.text == (
        f"{tmp_path} is on nfs4: this machine may see changes of others late; this is not Linux: whether somebody has "
        "a large file open to write is not known"
    )
    assert found.advice == "run where the files are written, or give --verify; give --verify after such writes"
