"""Tests of the work folder: its layout and its lock."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nfrun.cache.work_dir import WorkDir, new_run_id
from nfrun.core.errors import WorkDirLocked
from nfrun.core.pipeline import Pipeline
from nfrun.system.atomic_files import read_regular_file

RUN = "20260101-000000-aaaaaa"


def pipeline(folder: Path) -> Pipeline:
    return Pipeline(str(folder / "p.yaml"), str(folder), "p", "", {}, {}, {}, {})


def test_run_ids_sort_and_differ() -> None:
    ids = [new_run_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{6}", run_id) for run_id in ids)


def test_the_folder_is_next_to_the_file_or_at_the_given_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert WorkDir.of_pipeline(pipeline(tmp_path), None).path == tmp_path / ".nfrun"
    assert WorkDir.of_pipeline(pipeline(tmp_path / "a"), Path("w")).path == tmp_path / "w"


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
    with work.lock():
        assert work.make_run_folder("r1") == tmp_path / "x" / "work" / "runs" / "r1"
        assert work.make_run_folder("r2").is_dir()
        with pytest.raises(FileExistsError):
            work.make_run_folder("r1")
    assert (work.path / ".gitignore").read_text() == "*\n"
    assert stat.S_IMODE(work.path.stat().st_mode) == 0o700


def test_an_existing_folder_gets_no_gitignore(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    with work.lock():
        work.make_run_folder("r1")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lock", "runs"]


def test_run_folders_lists_only_run_folders(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    assert work.run_folders() == []
    one = work.make_run_folder("20260101-000000-aaaaaa")
    (tmp_path / "runs" / "mine").mkdir()
    (tmp_path / "runs" / "20260101-000000-bbbbbb").write_text("")
    (tmp_path / "runs" / "20260101-000000-cccccc").symlink_to(one)
    assert work.run_folders() == [one]
    assert stat.S_IMODE(one.stat().st_mode) == stat.S_IMODE(one.parent.stat().st_mode) == 0o700


def test_remove_unfinished_removes_only_scratch_and_partial_files(tmp_path: Path) -> None:
    work = WorkDir(tmp_path / "w")
    folder, elsewhere = work.make_run_folder(RUN), tmp_path / "elsewhere"
    for path in (folder / "scratch" / "a.1.x", elsewhere / "scratch"):
        path.mkdir(parents=True)
    remaining = [folder / "a.1.arrow", folder / "journal.jsonl", elsewhere / "a.1.arrow.1f.partial"]
    for path in (*remaining, folder / "scratch" / "a.1.x" / "half", folder / "b.1.arrow.1f.partial"):
        path.touch()
    work.remove_unfinished(RUN)
    other = "20260101-000000-bbbbbb"
    (tmp_path / "w" / "runs" / other).symlink_to(elsewhere)
    work.remove_unfinished(other)
    work.remove_unfinished("20260101-000000-cccccc")  # does not exist
    assert sorted(folder.iterdir()) == remaining[:2]
    assert sorted(elsewhere.iterdir()) == [remaining[2], elsewhere / "scratch"]


def test_one_run_at_a_time_locks_the_folder_and_the_error_names_it(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    with work.lock() as lock:
        assert lock.number is None
        assert lock.run is None
        lock.write_holder(run=RUN, pipeline="flights.yaml", number=3)
        expected = f"another run holds {tmp_path} (pipeline flights.yaml, run {RUN}, process {os.getpid()}, host "
        with pytest.raises(WorkDirLocked, match=re.escape(expected)), work.lock():
            pass
    with work.lock() as lock:
        assert (lock.run, lock.number) == (RUN, 3)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"run": []}', '{"run": ".."}', "\xff", '{"number": -1}', '{"number": "1"}']
)
def test_a_lock_file_without_valid_content_still_locks(tmp_path: Path, text: str) -> None:
    work = WorkDir(tmp_path)
    (tmp_path / "lock").write_bytes(text.encode("latin-1"))
    with work.lock() as lock:
        assert (lock.run, lock.number) == (None, None)
        with (
            pytest.raises(WorkDirLocked, match=rf"^another run holds {re.escape(str(tmp_path))}( \(run \.\.\))?$"),
            work.lock(),
        ):
            pass


def test_the_lock_file_is_valid_json_while_it_is_rewritten(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    long, short = "a-long-name-of-a-pipeline.yaml", "p.yaml"
    seen: set[str] = set()
    with work.lock() as lock:
        lock.write_holder(run=RUN, pipeline=long, number=1)
        done = threading.Event()

        def write_repeatedly() -> None:
            for number in range(2_000):
                lock.write_holder(run=RUN, pipeline=(short, long)[number % 2], number=number)
            done.set()

        writer = threading.Thread(target=write_repeatedly)
        writer.start()
        while not done.is_set():
            seen.add(json.loads((tmp_path / "lock").read_bytes())["pipeline"])
        writer.join()
    assert seen <= {long, short}


def test_a_new_lock_file_is_locked_separately(tmp_path: Path) -> None:
    work = WorkDir(tmp_path / "w")
    with work.lock():
        (tmp_path / "w" / "lock").unlink()
        with work.lock():
            assert (tmp_path / "w" / "lock").is_file()


def test_a_killed_process_releases_the_lock_although_its_children_live(tmp_path: Path) -> None:
    program = (
        "import os, subprocess, sys, time; from pathlib import Path; from nfrun.cache.work_dir import WorkDir\n"
        "with WorkDir(Path(sys.argv[1])).lock():\n"
        "    child = subprocess.Popen(['sleep', '60'])\n"
        "    forked = os.fork() or time.sleep(60)\n"
        "    print(child.pid, forked, flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    children = [int(pid) for pid in process.stdout.readline().split()]
    try:
        with pytest.raises(WorkDirLocked), WorkDir(tmp_path).lock():
            pass
        process.kill()
        process.wait()
        with WorkDir(tmp_path).lock():
            pass
    finally:
        process.stdout.close()
        for pid in children:
            os.kill(pid, signal.SIGKILL)


def test_a_symbolic_link_as_lock_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"), WorkDir(tmp_path).lock():
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_reading_a_pipe_as_a_regular_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    with pytest.raises(OSError, match="not an ordinary file"):
        read_regular_file(tmp_path / "x")
    (tmp_path / "y").write_bytes(b"data")
    assert read_regular_file(tmp_path / "y") == b"data"
