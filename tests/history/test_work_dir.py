"""Tests of the work folder: its layout, the numbers of its runs and its locks."""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from nfrun.core.errors import HandoffError, WorkDirLocked
from nfrun.core.pipeline import Pipeline
from nfrun.history.work_dir import RunStart, WorkDir, close_lock, new_run_id, open_lock, run_number, write_holder
from nfrun.system.atomic_files import read_regular_file

RUN = "3-20260101-000000"
OLD_RUN = "20260101-000000-aaaaaa"  # of an older version


def pipeline(folder: Path, name: str = "p.yaml") -> Pipeline:
    return Pipeline(str(folder / name), str((folder / name).parent), "p", "", {}, {}, {}, {})


def started(work: WorkDir, name: str = "p.yaml") -> AbstractContextManager[RunStart]:
    """Start a run of the pipeline of this name beside the work folder, or in it if that is the folder of the test."""
    folder = work.path.parent if work.path.name in ("w", "work") else work.path
    return work.start_run(pipeline(folder, name))


def test_a_run_id_has_the_number_and_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.gmtime", lambda: time.struct_time((2026, 1, 2, 3, 4, 5, 0, 0, 0)))
    assert new_run_id(42) == "42-20260102-030405"
    assert run_number("42-20260102-030405") == 42
    assert run_number(OLD_RUN) == run_number("x") == 0


def test_the_folder_is_next_to_the_file_or_at_the_given_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert WorkDir.of_pipeline(pipeline(tmp_path), None).path == tmp_path / ".nfrun"
    assert WorkDir.of_pipeline(pipeline(tmp_path / "a"), Path("w")).path == tmp_path / "w"
    with_profile = replace(pipeline(tmp_path), work="kept")
    assert WorkDir.of_pipeline(with_profile, None).path == tmp_path / "kept"
    assert WorkDir.of_pipeline(with_profile, Path("w")).path == tmp_path / "w"


def test_the_name_of_a_pipeline_depends_on_its_path_relative_to_the_folder(tmp_path: Path) -> None:
    default, shared = WorkDir(tmp_path / "a" / ".nfrun"), WorkDir(tmp_path / "w")
    assert default.pipeline_name(pipeline(tmp_path / "a")) == "p.yaml"
    one, other = shared.pipeline_name(pipeline(tmp_path / "a")), shared.pipeline_name(pipeline(tmp_path / "b"))
    assert one != other
    assert re.fullmatch("p.yaml [0-9a-f]{32}", one)
    moved = tmp_path / "moved"
    assert WorkDir(moved / "w").pipeline_name(pipeline(moved / "a")) == one


def test_a_run_folder_is_private_and_ignored_by_git(tmp_path: Path) -> None:
    work = WorkDir(tmp_path / "x" / "work")
    with started(work):
        assert work.make_run_folder("r1") == tmp_path / "x" / "work" / "runs" / "r1"
        assert work.make_run_folder("r2").is_dir()
        with pytest.raises(FileExistsError):
            work.make_run_folder("r1")
    assert (work.path / ".gitignore").read_text() == "*\n"
    assert stat.S_IMODE(work.path.stat().st_mode) == 0o700


def test_an_existing_folder_gets_no_gitignore(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    with started(work):
        work.make_run_folder("r1")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lock", "locks", "runs"]


def test_run_folders_lists_only_run_folders_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    assert work.run_folders() == []
    ten, nine, old = (work.make_run_folder(name) for name in ("10-20260101-000000", "9-20260102-000000", OLD_RUN))
    for name in ("mine", "09-20260102-000000", "9-20260102", "-20260102-000000", f"1{'0' * 16}-20260102-000000"):
        (tmp_path / "runs" / name).mkdir()
    (tmp_path / "runs" / "20260101-000000-bbbbbb").write_text("")
    (tmp_path / "runs" / "20260101-000000-cccccc").symlink_to(ten)
    assert work.run_folders() == [old, nine, ten]
    assert stat.S_IMODE(ten.stat().st_mode) == stat.S_IMODE(ten.parent.stat().st_mode) == 0o700


def test_remove_unfinished_removes_only_scratch_and_partial_files(tmp_path: Path) -> None:
    work = WorkDir(tmp_path / "w")
    folder, elsewhere = work.make_run_folder(RUN), tmp_path / "elsewhere"
    for path in (folder / "scratch" / "a.1.x", elsewhere / "scratch"):
        path.mkdir(parents=True)
    remaining = [folder / "a.1.arrow", folder / "journal.jsonl", elsewhere / "a.1.arrow.1f.partial"]
    for path in (*remaining, folder / "scratch" / "a.1.x" / "half", folder / "b.1.arrow.1f.partial"):
        path.touch()
    work.remove_unfinished(RUN)
    other = "4-20260101-000000"
    (tmp_path / "w" / "runs" / other).symlink_to(elsewhere)
    work.remove_unfinished(other)
    work.remove_unfinished("5-20260101-000000")  # does not exist
    assert sorted(folder.iterdir()) == remaining[:2]
    assert sorted(elsewhere.iterdir()) == [remaining[2], elsewhere / "scratch"]


@pytest.mark.parametrize("lost", ["", "runs", "lock"])
def test_numbers_count_up_whatever_is_lost(tmp_path: Path, lost: str) -> None:
    work = WorkDir(tmp_path)
    for number in (1, 2):
        with started(work) as start:
            assert start.number == number
            work.make_run_folder(start.run)
    if lost == "runs":
        shutil.rmtree(tmp_path / "runs")
    elif lost:
        (tmp_path / "lock").unlink()
    with started(work, "q.yaml") as start:
        assert (start.number, run_number(start.run), start.waited) == (3, 3, False)


def test_the_number_that_a_clean_leaves_is_not_used_again(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    with started(work):
        pass
    with work.lock():
        pass
    with started(work) as start:
        assert start.number == 2


def test_runs_of_older_versions_come_before(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    work.make_run_folder(OLD_RUN)
    (tmp_path / "lock").write_text('{"run": "20260101-000000-aaaaaa", "number": 7, "pipeline": "p.yaml"}')
    with started(work) as start:
        assert start.number == 8
        work.make_run_folder(start.run)
    assert [run_number(path.name) for path in work.run_folders()] == [0, 8]


def test_what_a_killed_run_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    with started(work, "third.yaml") as third, started(work) as start:
        pass
    with started(work, "other.yaml") as other:
        for id in (start.run, other.run, third.run):
            (work.make_run_folder(id) / "scratch").mkdir()
        with started(work):
            assert not (tmp_path / "runs" / start.run / "scratch").exists()
            assert not (tmp_path / "runs" / third.run / "scratch").exists(), "of another pipeline"
            assert (tmp_path / "runs" / other.run / "scratch").exists(), "it is under way"
    work.remove_left()
    assert not (tmp_path / "runs" / other.run / "scratch").exists()


def test_a_lock_that_cannot_be_opened_is_not_taken_for_one_that_is_free(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with started(work) as start:
        assert work.runs_under_way() == {start.run}
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                work.runs_under_way()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_clean_up_that_is_killed_is_done_by_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = WorkDir(tmp_path)
    with started(work) as start:
        (work.make_run_folder(start.run) / "scratch").mkdir()
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(WorkDir, "remove_unfinished", lambda work, run: 1 / 0)
        with started(work):
            pass
    with started(work):
        assert not (tmp_path / "runs" / start.run / "scratch").exists()


@pytest.mark.parametrize("link", ["runs", "runs/{}", "runs/{}/scratch", ""])
def test_what_links_lead_to_is_not_cleaned_up_but_the_work_folder_may_be_a_link(tmp_path: Path, link: str) -> None:
    work = WorkDir(tmp_path / "work")
    with started(work) as start:
        (work.make_run_folder(start.run) / "scratch").mkdir()
        (work.path / "runs" / start.run / "scratch" / "data").touch()
    top = work.path / link.format(start.run)
    top.rename(tmp_path / "disk")
    top.symlink_to(tmp_path / "disk")
    work.remove_left()
    assert [path.name for path in (tmp_path / "disk").rglob("data")] == (["data"] if link else [])


def test_one_run_of_a_pipeline_at_a_time_and_the_error_names_it(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    with started(work) as start:
        mine = f"(pipeline {tmp_path}/p.yaml, run {start.run}, process {os.getpid()}, host "
        with (
            pytest.raises(WorkDirLocked, match=re.escape(f"another run is under way in {tmp_path} {mine}")),
            started(work),
        ):
            pass
        with started(work, "q.yaml") as second:
            assert second.number == start.number + 1
            with pytest.raises(WorkDirLocked) as error, work.lock():
                pass
            other = f"(pipeline {tmp_path}/q.yaml, run {second.run}, process {os.getpid()}, host "
            assert mine[1:] in str(error.value)
            assert f"; {other[1:]}" in str(error.value)
            names = [work.pipeline_name(pipeline(tmp_path, name)) for name in ("p.yaml", "q.yaml", "r.yaml")]
            assert [work.is_running(name) for name in names] == [True, True, False]


def test_a_run_beside_a_clean_is_told_of_it(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    with work.lock(), pytest.raises(WorkDirLocked) as error, started(work):
        pass
    holder = rf"\(process {os.getpid()}, host \S+\)"
    assert re.fullmatch(rf"'nfrun clean' is under way in {tmp_path} {holder}", str(error.value))
    with started(work), pytest.raises(WorkDirLocked, match=r"^another run is under way"), work.lock():
        pass


def test_pipelines_of_one_name_in_two_folders_are_two_pipelines(tmp_path: Path) -> None:
    work = WorkDir(tmp_path / "w")
    with started(work, "x/p.yaml") as one, started(work, "y/p.yaml") as two:
        assert (one.number, two.number) == (1, 2)


def test_a_run_of_an_older_version_and_one_of_this_keep_each_other_out(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    with started(work), (tmp_path / "lock").open("r+") as old:
        with pytest.raises(BlockingIOError):
            fcntl.flock(old, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert json.load(old)["number"] == 1, "it goes on from this number"
    with (tmp_path / "lock").open("r+") as old:
        fcntl.flock(old, fcntl.LOCK_EX)
        with pytest.raises(WorkDirLocked), started(work):
            pass


def test_a_run_waits_for_another_one_and_says_so_once(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    told: list[str] = []
    with started(work) as first:
        with pytest.raises(WorkDirLocked), work.start_run(pipeline(tmp_path), wait=0.3, on_wait=told.append):
            pass
        assert re.fullmatch(
            rf"another run is under way in {tmp_path} \(pipeline .*, run {first.run}, process .*\)", told.pop()
        )
        ended = threading.Event()

        def hold() -> None:
            with started(work, "q.yaml"):
                held.set()
                ended.wait()

        held = threading.Event()
        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()

    def on_wait(why: str) -> None:
        told.append(why)
        ended.set()

    with work.start_run(pipeline(tmp_path, "q.yaml"), wait=math.inf, on_wait=on_wait) as start:
        assert (start.number, start.waited, len(told)) == (3, True, 1)
    thread.join()


@pytest.mark.parametrize("name", ["a" * 250, "\udcff.yaml", "b" * 199 + "é"])
def test_a_name_that_is_too_long_for_a_file_is_no_error(tmp_path: Path, name: str) -> None:
    work = WorkDir(tmp_path / "w")
    with started(work, name) as start:
        assert start.number == 1
    with started(work, name) as following:
        assert following.number == start.number + 1


def test_a_long_path_leaves_room_for_the_number(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    spec = replace(pipeline(tmp_path), file="\U0001f600" * 5_000)
    for number in (1, 2):
        with work.start_run(spec) as start:
            assert start.number == number


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"run": []}', '{"run": ".."}', "\xff", '{"number": -1}', '{"number": "1"}']
)
def test_a_lock_file_without_valid_content_still_locks(tmp_path: Path, text: str) -> None:
    work = WorkDir(tmp_path)
    (tmp_path / "locks").mkdir()
    for path in (tmp_path / "lock", tmp_path / "locks" / "p.yaml.lock"):
        path.write_bytes(text.encode("latin-1"))
    with (tmp_path / "lock").open() as old:
        fcntl.flock(old, fcntl.LOCK_EX)
        expected = rf"^another run is under way in {re.escape(str(tmp_path))}( \(run \.\.\))?$"
        with pytest.raises(WorkDirLocked, match=expected), started(work):
            pass
    with started(work) as start:
        assert start.number == 1


def test_the_lock_file_is_valid_json_while_it_is_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    long, short = "a-long-name-of-a-pipeline.yaml", "p.yaml"
    seen: set[str] = set()
    lock = open_lock(path, os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX)
    write_holder(lock, run=RUN, pipeline=long, number=1)
    done = threading.Event()

    def write_repeatedly() -> None:
        for number in range(2_000):
            write_holder(lock, run=RUN, pipeline=(short, long)[number % 2], number=number)
        done.set()

    writer = threading.Thread(target=write_repeatedly)
    writer.start()
    while not done.is_set():
        seen.add(json.loads(path.read_bytes())["pipeline"])
    writer.join()
    close_lock(lock)
    close_lock(lock)
    assert seen <= {long, short}


@pytest.mark.parametrize("removed", ["lock", "locks"])
def test_a_new_lock_file_is_locked_separately(tmp_path: Path, removed: str) -> None:
    work = WorkDir(tmp_path / "w")
    with work.lock() if removed == "lock" else started(work):
        if removed == "lock":
            (tmp_path / "w" / "lock").unlink()
        else:
            shutil.rmtree(tmp_path / "w" / "locks")
        with started(work):
            assert (tmp_path / "w" / "lock").is_file()


def test_a_killed_process_releases_the_locks_although_its_children_live(tmp_path: Path) -> None:
    program = (
        "import os, subprocess, sys, time; from pathlib import Path; from nfrun.history.work_dir import WorkDir\n"
        "from nfrun.core.pipeline import Pipeline\n"
        "pipeline = Pipeline(sys.argv[1] + '/p.yaml', sys.argv[1], 'p', '', {}, {}, {}, {})\n"
        "with WorkDir(Path(sys.argv[1])).start_run(pipeline):\n"
        "    child = subprocess.Popen(['sleep', '60'])\n"
        "    forked = os.fork() or time.sleep(60)\n"
        "    print(child.pid, forked, flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    children = [int(pid) for pid in process.stdout.readline().split()]
    work = WorkDir(tmp_path)
    try:
        with pytest.raises(WorkDirLocked), started(work):
            pass
        with pytest.raises(WorkDirLocked), work.lock():
            pass
        process.kill()
        process.wait()
        with started(work), pytest.raises(WorkDirLocked), work.lock():
            pass
        with work.lock():
            pass
    finally:
        process.stdout.close()
        for pid in children:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("name", ["lock", "locks", "locks/p.yaml.lock"])
def test_a_symbolic_link_as_lock_file_is_not_followed(tmp_path: Path, name: str) -> None:
    work, elsewhere = WorkDir(tmp_path / "w"), tmp_path / "elsewhere"
    (work.path / name).parent.mkdir(parents=True)
    if name == "locks":
        elsewhere.mkdir()
    (work.path / name).symlink_to(elsewhere)
    with pytest.raises(HandoffError, match=r"it is a symbolic link \(|it is not a folder \("), started(work):
        pass
    assert not elsewhere.exists() or not list(elsewhere.iterdir())


@pytest.mark.parametrize("name", ["lock", "locks/p.yaml.lock"])
def test_a_pipe_as_lock_file_is_an_error_and_does_not_block(tmp_path: Path, name: str) -> None:
    work = WorkDir(tmp_path / "w")
    (work.path / "locks").mkdir(parents=True)
    os.mkfifo(work.path / name)
    with pytest.raises(HandoffError, match="it is not an ordinary file"), started(work):
        pass


def test_reading_a_pipe_as_a_regular_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    with pytest.raises(OSError, match="not an ordinary file"):
        read_regular_file(tmp_path / "x")
    (tmp_path / "y").write_bytes(b"data")
    assert read_regular_file(tmp_path / "y") == b"data"


def test_a_work_folder_has_a_part_of_a_store_of_its_own(tmp_path: Path) -> None:
    folders = [WorkDir(tmp_path / name) for name in "ab"]
    for folder in folders:
        folder.path.mkdir()
    first, second = (folder.store_address("s3://bucket/x/?region=r") for folder in folders)
    assert re.fullmatch(r"s3://bucket/x/[0-9a-f]{32}\?region=r", first)
    assert first != second
    assert WorkDir(tmp_path / "a").store_address("s3://bucket/x?region=r") == first
    assert [path.name for path in folders[0].path.iterdir()] == ["store-id"]
