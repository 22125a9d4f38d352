"""Checksums of large files are remembered across runs, and believed only where the file proves to be the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kept_json import kept_in

import nfrun.system.checksums
from nfrun.system.checksums import FileChecksums, RememberedChecksums, file_checksum


class Trial:
    """A file `large` and a memory of checksums; `read` counts how often the file was read."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.memory, self.read = folder / "large", folder / "checksums.json", 0
        self.during: Callable[[], object] = lambda: None
        self.path.write_bytes(b"1" * 100)
        monkeypatch.setattr("nfrun.system.checksums.LARGE", 99)
        self._checksum = nfrun.system.checksums._checksum
        monkeypatch.setattr("nfrun.system.checksums._checksum", self.checksum)
        self.age(monkeypatch, 10)

    def age(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        """Let all files seem to have been changed so many seconds ago."""
        now = time.time_ns
        monkeypatch.setattr("nfrun.system.checksums.time.time_ns", lambda: now() + int(seconds * 1e9))

    def checksum(self, file: int) -> str:
        self.read += 1
        found = self._checksum(file)
        self.during()
        return found

    def run(self, *, verify: bool = False) -> tuple[str, int]:
        """Do what a run does: return the checksum of the file, and how often it was read for that."""
        memory, self.read = RememberedChecksums(*kept_in(self.memory), verify=verify), 0
        checksums = FileChecksums(memory)
        found = checksums.of(self.path)
        assert checksums.of(self.path) == found
        memory.save()
        return found, self.read


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    return Trial(tmp_path, monkeypatch)


def test_a_large_file_is_read_once_in_all_runs(trial: Trial) -> None:
    known = file_checksum(trial.path)
    assert [trial.run() for _ in range(3)] == [(known, 1), (known, 0), (known, 0)]
    assert trial.run(verify=True) == (known, 1)
    assert trial.run() == (known, 0)


def test_a_small_file_is_read_in_every_run(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nfrun.system.checksums.LARGE", 100)
    known = file_checksum(trial.path)
    assert [trial.run() for _ in range(2)] == [(known, 1)] * 2
    assert not trial.memory.exists()


@pytest.mark.parametrize("change", ["content", "size", "times", "another file"])
def test_a_file_that_may_have_changed_is_read_again(trial: Trial, change: str) -> None:
    trial.run()
    before = trial.path.stat()
    if change == "times":
        os.utime(trial.path, (1, 1))
    elif change == "another file":
        trial.path.with_name("other").write_bytes(b"1" * 100)
        trial.path.with_name("other").replace(trial.path)
    else:
        trial.path.write_bytes(b"2" * (101 if change == "size" else 100))
    if change != "times":
        os.utime(trial.path, ns=(before.st_atime_ns, before.st_mtime_ns))  # only ctime and size tell
    assert trial.run() == (file_checksum(trial.path), 1)


def test_a_file_that_was_changed_less_than_two_seconds_ago_is_not_remembered(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("nfrun.system.checksums.LARGE", 99)
    monkeypatch.setattr("nfrun.system.checksums._checksum", trial.checksum)
    os.utime(trial.path)
    assert [trial.run()[1] for _ in range(2)] == [1, 1]
    trial.age(monkeypatch, 2.5)
    assert [trial.run()[1] for _ in range(2)] == [1, 0]
    os.utime(trial.path)
    trial.age(monkeypatch, -20)  # the clock was put back: the file is of the future
    assert [trial.run()[1] for _ in range(2)] == [1, 1]


def test_a_file_that_changes_while_it_is_read_is_not_remembered(trial: Trial) -> None:
    trial.during = lambda: trial.path.write_bytes(b"3" * 100)
    memory = RememberedChecksums(*kept_in(trial.memory))
    FileChecksums(memory).of(trial.path)
    memory.save()
    trial.during = lambda: None
    assert trial.run() == (file_checksum(trial.path), 1)


def test_a_file_that_somebody_may_write_to_is_not_remembered(trial: Trial) -> None:
    with trial.path.open("r+b"):
        trial.run()
    assert trial.run()[1] == 1


def test_a_file_whose_writers_cannot_be_known_is_remembered(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("fcntl.F_SETLEASE")  # as for a file of another user
    assert [trial.run()[1] for _ in range(2)] == [1, 0]


def test_the_longest_unused_files_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nfrun.system.checksums._MOST", 2)
    memory = RememberedChecksums(*kept_in(tmp_path / "m"))
    for inode in (1, 2, 1, 3):
        memory.put((0, inode), (1, 2, 3), str(inode))
    memory.save()
    again = RememberedChecksums(*kept_in(tmp_path / "m"))
    found: list[Any] = [again.get((0, inode), (1, 2, 3)) for inode in (1, 2, 3)]
    assert found == ["1", None, "3"]


@pytest.mark.parametrize("path", ["/proc/self/mountinfo", "/proc/kmsg", "/sys/kernel/mm/transparent_hugepage/enabled"])
def test_files_that_the_system_makes_up_are_not_read(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nfrun.system.checksums._checksum", lambda file: pytest.fail(f"{path} may have no end"))
    (tmp_path / "link").symlink_to(path)
    assert FileChecksums().of(Path(path)) == FileChecksums().of(tmp_path / "link") == ""


def test_files_in_memory_are_ordinary_ones() -> None:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        pytest.skip("there is no such folder")
    path = folder / f"nfrun-test-{os.getpid()}"
    try:
        path.touch()
        assert FileChecksums().of(path) == file_checksum(path)
    finally:
        path.unlink()


def test_two_runs_at_once_both_add_what_they_have_learned(tmp_path: Path) -> None:
    memories = [RememberedChecksums(*kept_in(tmp_path / "m")) for _ in range(3)]
    assert memories[0].get((0, 1), (1, 2, 3)) is None, "it has read what is kept"
    memories[1].put((0, 1), (1, 2, 3), "one")
    memories[0].put((0, 2), (1, 2, 3), "two")
    for memory in memories:
        memory.save()
    again = RememberedChecksums(*kept_in(tmp_path / "m"))
    assert [again.get((0, inode), (1, 2, 3)) for inode in (1, 2)] == ["one", "two"]
