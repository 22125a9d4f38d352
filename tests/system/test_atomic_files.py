"""Tests of atomic writes with killed and concurrent writers: a file appears whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nfrun.system.atomic_files import PARTIAL, atomic_write, remove_partials

WRITE = """
import os, sys, time
from pathlib import Path
from nfrun.system.atomic_files import atomic_write
with atomic_write(Path(sys.argv[1])) as partial:
    Path(partial).write_text("theirs")
    print(partial, flush=True)
    {}
"""


def writer(path: Path, then: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITE.format(then), str(path)], stdout=subprocess.PIPE, text=True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(path: Path, text: str) -> None:
    with atomic_write(path) as partial:
        Path(partial).write_text(text)


def test_the_next_writer_removes_the_partial_file_of_a_killed_one(tmp_path: Path) -> None:
    path = tmp_path / "new/folders/t.csv"
    killed = writer(path, "os.kill(os.getpid(), 9)")
    assert killed.wait(60) == -signal.SIGKILL
    assert len(names(path.parent)) == 1 and names(path.parent) != ["t.csv"]
    write(path, "mine")
    assert names(path.parent) == ["t.csv"] and path.read_text() == "mine"


def test_the_next_writer_removes_the_partial_files_of_several_killed_ones(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    processes = []
    for _ in range(2):  # one after the other: writers that begin at once may leave a number out
        process = writer(path, "time.sleep(1000)")
        assert process.stdout is not None and process.stdout.readline()
        processes.append(process)
    assert len(names(tmp_path)) == 2
    for process in processes:
        process.kill()
        process.wait(60)
    write(path, "mine")
    assert names(tmp_path) == ["t.csv"]


def test_the_partial_file_of_a_live_writer_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with atomic_write(path) as mine:
        Path(mine).write_text("mine, ")
        theirs = writer(path, "pass")
        assert theirs.wait(60) == 0
        assert path.read_text() == "theirs" and Path(mine).read_text() == "mine, "
        with Path(mine).open("a") as file:
            file.write("all of it")
    assert names(tmp_path) == ["t.csv"] and path.read_text() == "mine, all of it"


def test_a_writer_interrupted_after_the_rename_removes_no_file_of_another(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    first = atomic_write(path)
    mine = first.__enter__()
    Path(mine).replace(path)
    with atomic_write(path) as other:
        assert other == mine
        Path(other).write_text("other")
        assert not first.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert names(tmp_path) == ["t.csv"] and path.read_text() == "other"


def test_a_partial_file_removed_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("names of open files are looked up in /proc")
    real, seen = fcntl.flock, []

    def flock(file: int, how: int) -> None:
        seen.append(Path(f"/proc/self/fd/{file}").readlink())
        if len(seen) == 1:
            seen[0].unlink()
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    write(tmp_path / "t.csv", "whole")
    assert len(set(seen)) == 2 and (tmp_path / "t.csv").read_text() == "whole"
    assert names(tmp_path) == ["t.csv"]


def test_without_file_locks_no_partial_file_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = tmp_path / "t.csv"
    with atomic_write(path) as first:
        Path(first).write_text("first")
        write(path, "second")
        assert path.read_text() == "second"
    assert path.read_text() == "first" and names(tmp_path) == ["t.csv"]


def test_a_leftover_that_cannot_be_removed_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with atomic_write(path) as partial:
        Path(partial).write_text("1")
    Path(partial).mkdir()
    write(path, "2")
    assert path.read_text() == "2" and names(tmp_path) == sorted([Path(partial).name, "t.csv"])


# ------------------------------------------------------------------ private files


def test_a_private_file_is_read_only_and_replaced_by_a_rename(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    for text in ("1", "2"):
        with atomic_write(path, private=True) as partial:
            Path(partial).write_text(text)
            assert Path(partial).parent == tmp_path and partial.endswith(PARTIAL)
            assert not path.exists() or path.read_text() == "1"
        assert path.read_text() == text
        assert path.stat().st_mode & 0o777 == 0o444
    assert names(tmp_path) == ["a.arrow"]


@pytest.mark.parametrize("private", [False, True])
def test_an_error_leaves_the_earlier_file_and_nothing_else(tmp_path: Path, private: bool) -> None:
    path = tmp_path / "t"
    path.write_text("earlier")
    with pytest.raises(KeyboardInterrupt), atomic_write(path, private=private) as partial:
        Path(partial).write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["t"] and path.read_text() == "earlier"


@pytest.mark.parametrize("private", [False, True])
def test_a_file_that_cannot_be_renamed_leaves_no_partial_file(tmp_path: Path, private: bool) -> None:
    (tmp_path / "t").mkdir()
    with pytest.raises(IsADirectoryError), atomic_write(tmp_path / "t", private=private) as partial:
        Path(partial).write_text("whole")
    assert names(tmp_path) == ["t"]


@pytest.mark.parametrize("private", [False, True])
def test_fsync_comes_before_the_rename_and_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private: bool
) -> None:
    real_fsync, real_replace, steps = os.fsync, os.replace, []

    def fsync(file: int) -> None:
        steps.append("folder" if Path(f"/proc/self/fd/{file}").readlink() == tmp_path else "file")
        real_fsync(file)

    def replace(source: str, target: str) -> None:
        steps.append("rename")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    for durable in (False, True):
        with atomic_write(tmp_path / "t", private=private, fsync=durable) as partial:
            Path(partial).write_text("whole")
    assert steps == ["rename", "file", "rename", "folder"]


def test_remove_partials_removes_only_partial_files_of_killed_writers(tmp_path: Path) -> None:
    (tmp_path / f"a.arrow.1f{PARTIAL}").touch()
    (tmp_path / f"folder{PARTIAL}").mkdir()
    (tmp_path / "a.arrow").touch()
    remove_partials(tmp_path)
    assert names(tmp_path) == ["a.arrow", f"folder{PARTIAL}"]
