"""Arrow files: the space reserved for them, their size, and failed writes."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import nfrun.tables.ipc
from nfrun.tables.ipc import RESERVE_BYTES, open_file, write_file

SMALL = pa.table({"n": pa.array([1, 2, 3], pa.int64())})
LARGE = pa.table({"n": pa.repeat(pa.scalar(7, pa.int64()), 1_000_000)})
ONE_DICTIONARY = pa.DictionaryArray.from_arrays(pa.array([1], pa.int8()), [f"{i}" * RESERVE_BYTES for i in range(2)])
SHARED = pa.table({"d": pa.chunked_array([ONE_DICTIONARY] * 50)})


class ReservedSpace:
    """The calls of `posix_fallocate`: the sizes, and whether the file was open for appending."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error_number: int = 0) -> None:
        self.requests: list[tuple[int, bool]] = []
        original = os.posix_fallocate

        def fallocate(file: int, start: int, size: int) -> None:
            assert start == 0
            self.requests.append((size, bool(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_APPEND)))
            if error_number:
                raise OSError(error_number, os.strerror(error_number))
            original(file, start, size)

        monkeypatch.setattr(os, "posix_fallocate", fallocate)


needs_fallocate = pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system has no posix_fallocate")


def size_of(table: pa.Table) -> int:
    """The size of an Arrow file of the table."""
    sink = pa.MockOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return int(sink.size())


@needs_fallocate
def test_space_is_reserved_for_large_files_up_to_their_size_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserved = ReservedSpace(monkeypatch)
    write_file(SMALL, tmp_path / "small.arrow")
    assert reserved.requests == []
    write_file(LARGE, tmp_path / "large.arrow")
    write_file(SHARED, tmp_path / "shared.arrow")
    assert SHARED.nbytes > 10 * SHARED.get_total_buffer_size()
    assert reserved.requests == [(LARGE.nbytes, True), (SHARED.get_total_buffer_size(), True)]
    write_file(LARGE.to_reader(), tmp_path / "reader.arrow")  # its size is not known
    assert len(reserved.requests) == 2


@needs_fallocate
@pytest.mark.parametrize("factor", [0.6, 1, 3])
def test_the_size_of_a_file_does_not_depend_on_the_reserved_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    original = nfrun.tables.ipc._reserve
    monkeypatch.setattr(nfrun.tables.ipc, "_reserve", lambda path, size: original(path, int(factor * size)))
    path = tmp_path / "a.arrow"
    write_file(LARGE, path)
    assert open_file(path).equals(LARGE)
    assert path.stat().st_size == size_of(LARGE)


@needs_fallocate
@pytest.mark.parametrize("error_number", [errno.EOPNOTSUPP, errno.EBADF, errno.ENOSYS, errno.EINVAL, errno.ENOSPC])
def test_a_file_is_written_even_if_no_space_can_be_reserved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error_number: int
) -> None:
    reserved = ReservedSpace(monkeypatch, error_number)
    path = tmp_path / "a.arrow"
    write_file(LARGE, path)
    assert reserved.requests == [(LARGE.nbytes, True)]
    assert open_file(path).equals(LARGE)
    assert path.stat().st_size == size_of(LARGE)


def test_a_system_without_fallocate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    write_file(LARGE, tmp_path / "a.arrow")
    assert open_file(tmp_path / "a.arrow").equals(LARGE)


def test_a_write_stopped_by_an_exception_leaves_no_file(tmp_path: Path) -> None:
    calls: list[Any] = []

    def before_batch() -> None:
        calls.append(None)
        if len(calls) == 2:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        write_file(pa.concat_tables([LARGE] * 3), tmp_path / "a.arrow", before_batch)
    assert len(calls) == 2
    assert list(tmp_path.iterdir()) == []


_LIMITED = """
import resource, sys
from pathlib import Path
import pyarrow as pa
from nfrun.tables.ipc import write_file
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, resource.RLIM_INFINITY))
try:
    write_file(pa.table({"n": pa.repeat(pa.scalar(7, pa.int64()), 1_000_000)}), Path(sys.argv[1]))
except OSError as error:
    print(error.errno)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on files there")
def test_a_file_over_the_size_limit_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    """Without stubs: the system first reserves too little space and then fails the write."""
    command = [sys.executable, "-c", _LIMITED, str(tmp_path / "a.arrow")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr, done.returncode) == (str(errno.EFBIG), "", 0)
    assert list(tmp_path.iterdir()) == []
