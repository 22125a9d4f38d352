"""The work folder: what lies where, and who holds it."""

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


def test_the_folder_is_beside_the_file_or_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert WorkDir.beside(pipeline(tmp_path), None).path == tmp_path / ".nfrun"
    assert WorkDir.beside(pipeline(tmp_path / "a"), Path("w")).path == tmp_path / "w"


def test_a_pipeline_is_known_by_where_it_is_as_seen_from_the_folder(tmp_path: Path) -> None:
    beside, shared = WorkDir(tmp_path / "a" / ".nfrun"), WorkDir(tmp_path / "w")
    assert beside.pipeline_name(pipeline(tmp_path / "a")) == "p.yaml"
    one, other = shared.pipeline_name(pipeline(tmp_path / "a")), shared.pipeline_name(pipeline(tmp_path / "b"))
    assert one != other
    assert re.fullmatch("p.yaml [0-9a-f]{32}", one)
    moved = tmp_path / "moved"
    assert WorkDir(moved / "w").pipeline_name(pipeline(moved / "a")) == one


def test_a_run_has_a_folder_of_its_own_that_git_and_others_do_not_see(tmp_path: Path) -> None:
    work = WorkDir(tmp_path / "x" / "work")
    with work.lock():
        assert work.make_run_folder("r1") == tmp_path / "x" / "work" / "runs" / "r1"
        assert work.make_run_folder("r2").is_dir()
        with pytest.raises(FileExistsError):
            work.make_run_folder("r1")
    assert (work.path / ".gitignore").read_text() == "*\n"
    assert stat.S_IMODE(work.path.stat().st_mode) == 0o700


def test_a_folder_of_the_users_is_not_hidden_from_git(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    with work.lock():
        work.make_run_folder("r1")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lock", "runs"]


def test_only_folders_of_runs_are_taken_for_such(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    assert work.run_folders() == []
    one = work.make_run_folder("20260101-000000-aaaaaa")
    (tmp_path / "runs" / "mine").mkdir()
    (tmp_path / "runs" / "20260101-000000-bbbbbb").write_text("")
    (tmp_path / "runs" / "20260101-000000-cccccc").symlink_to(one)
    assert work.run_folders() == [one]
    assert stat.S_IMODE(one.stat().st_mode) == stat.S_IMODE(one.parent.stat().st_mode) == 0o700


def test_what_a_killed_run_had_under_way_goes_and_nothing_else(tmp_path: Path) -> None:
    work = WorkDir(tmp_path / "w")
    folder, elsewhere = work.make_run_folder(RUN), tmp_path / "elsewhere"
    for path in (folder / "scratch" / "a.1.x", elsewhere / "scratch"):
        path.mkdir(parents=True)
    stays = [folder / "a.1.arrow", folder / "journal.jsonl", elsewhere / "a.1.arrow.1f.partial"]
    for path in (*stays, folder / "scratch" / "a.1.x" / "half", folder / "b.1.arrow.1f.partial"):
        path.touch()
    work.remove_unfinished(RUN)
    other = "20260101-000000-bbbbbb"
    (tmp_path / "w" / "runs" / other).symlink_to(elsewhere)
    work.remove_unfinished(other)
    work.remove_unfinished("20260101-000000-cccccc")  # which is not there
    assert sorted(folder.iterdir()) == stays[:2]
    assert sorted(elsewhere.iterdir()) == [stays[2], elsewhere / "scratch"]


def test_one_process_at_a_time_holds_the_folder_and_is_named(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    with work.lock() as hold:
        assert hold.number is None
        assert hold.run is None
        hold.write_holder(run=RUN, pipeline="flights.yaml", number=3)
        told = f"another run holds {tmp_path} (pipeline flights.yaml, run {RUN}, process {os.getpid()}, host "
        with pytest.raises(WorkDirLocked, match=re.escape(told)), work.lock():
            pass
    with work.lock() as hold:
        assert (hold.run, hold.number) == (RUN, 3)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"run": []}', '{"run": ".."}', "\xff", '{"number": -1}', '{"number": "1"}']
)
def test_a_lock_file_that_tells_nothing_still_locks(tmp_path: Path, text: str) -> None:
    work = WorkDir(tmp_path)
    (tmp_path / "lock").write_bytes(text.encode("latin-1"))
    with work.lock() as hold:
        assert (hold.run, hold.number) == (None, None)
        with (
            pytest.raises(WorkDirLocked, match=rf"^another run holds {re.escape(str(tmp_path))}( \(run \.\.\))?$"),
            work.lock(),
        ):
            pass


def test_whoever_reads_while_a_holder_says_who_it_is_finds_one(tmp_path: Path) -> None:
    work = WorkDir(tmp_path)
    long, short = "a-long-name-of-a-pipeline.yaml", "p.yaml"
    seen: set[str] = set()
    with work.lock() as hold:
        hold.write_holder(run=RUN, pipeline=long, number=1)
        told = threading.Event()

        def tell() -> None:
            for number in range(2_000):
                hold.write_holder(run=RUN, pipeline=(short, long)[number % 2], number=number)
            told.set()

        teller = threading.Thread(target=tell)
        teller.start()
        while not told.is_set():
            seen.add(json.loads((tmp_path / "lock").read_bytes())["pipeline"])
        teller.join()
    assert seen <= {long, short}


def test_a_folder_that_was_made_again_has_a_lock_of_its_own(tmp_path: Path) -> None:
    work = WorkDir(tmp_path / "w")
    with work.lock():
        (tmp_path / "w" / "lock").unlink()
        with work.lock():
            pass


def test_a_killed_holder_lets_go_and_its_children_do_not_hold_on(tmp_path: Path) -> None:
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


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"), WorkDir(tmp_path).lock():
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    with pytest.raises(OSError, match="not an ordinary file"):
        read_regular_file(tmp_path / "x")
    (tmp_path / "y").write_bytes(b"data")
    assert read_regular_file(tmp_path / "y") == b"data"
