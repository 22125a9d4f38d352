"""Tests that files with a checksum are read as they were written, and otherwise count as empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.system.checksums import read_checked, write_checked

FOUND = {"a": [1, None, "ä\n", 0.1]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "file.json"


def test_what_was_written_is_read(path: Path) -> None:
    write_checked(path, "things", FOUND)
    assert read_checked(path, "things") == FOUND
    assert path.stat().st_mode & 0o077 == 0


def test_a_file_of_something_else_counts_as_empty(path: Path) -> None:
    write_checked(path, "things", FOUND)
    assert read_checked(path, "others") == {}


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"0\n{}\n", b"[" * 100_000])
def test_a_damaged_file_counts_as_empty(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    assert read_checked(path, "things") == {}


def test_a_changed_byte_is_found(path: Path) -> None:
    write_checked(path, "things", FOUND)
    path.write_text(path.read_text().replace("0.1", "0.2"))
    assert read_checked(path, "things") == {}


def test_no_folders_are_made_above_the_one_of_the_file(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_checked(path / "file.json", "things", FOUND)
    assert not path.parent.exists()
