"""Checks the checksums that are taken while a file is written."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from nfrun.system import checksums
from nfrun.system.checksums import HashedFile, file_checksum

MIB = 1 << 20


class Recorder:
    """An unbuffered file that notes the size of each write, and writes at most `most` bytes of it."""

    def __init__(self, path: Path, most: int | None = None) -> None:
        self._file = path.open("wb", buffering=0)
        self._most = most
        self.sizes: list[int] = []

    def write(self, data: Any) -> int:
        self.sizes.append(len(data))
        return self._file.write(data[: self._most]) or 0


def hashed(file: Recorder) -> HashedFile:
    return HashedFile(file)  # type: ignore[arg-type]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time pass, so that no block counts as slow."""
    monkeypatch.setattr(checksums.time, "perf_counter", lambda: 0.0)


@pytest.mark.usefixtures("quick")
def test_a_large_buffer_is_written_in_blocks(tmp_path: Path) -> None:
    data, file = os.urandom(2 * MIB + 5), Recorder(tmp_path / "a")
    written = hashed(file)
    assert [written.write(b"head"), written.write(data)] == [4, len(data)]
    assert file.sizes == [4, MIB, MIB, 5]
    assert (tmp_path / "a").read_bytes() == b"head" + data
    assert written.checksum() == file_checksum(tmp_path / "a")


@pytest.mark.usefixtures("quick")
def test_what_the_system_does_not_take_at_once_is_written_again(tmp_path: Path) -> None:
    data, file = os.urandom(MIB + 7), Recorder(tmp_path / "a", most=400_000)
    written = hashed(file)
    assert written.write(memoryview(data)) == len(data)
    assert (tmp_path / "a").read_bytes() == data
    assert written.checksum() == file_checksum(tmp_path / "a")


def test_after_a_slow_block_all_is_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count()
    monkeypatch.setattr(checksums.time, "perf_counter", lambda: float(next(clock)))
    data, file = os.urandom(3 * MIB), Recorder(tmp_path / "a")
    written = hashed(file)
    written.write(data)
    written.write(data)
    assert file.sizes == [MIB, 2 * MIB, 3 * MIB]
    assert (tmp_path / "a").read_bytes() == 2 * data
    assert written.checksum() == file_checksum(tmp_path / "a")
