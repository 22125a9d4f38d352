"""Writers of partitions that are killed: each partition is the old or the new one, and the next write completes all."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from nfrun.tables.file_io import read_table
from nfrun.tables.table_folders import write_folder

pytestmark = pytest.mark.slow

PARTS = 5
# Writes to `t`, and is killed before or after a step: the write of a file, or the renaming of a folder.
WRITER = """
import os, signal, sys
from pathlib import Path
import pyarrow as pa
from nfrun.tables import table_folders
steps = int(sys.argv[1])
def step():
    global steps
    steps -= 1
    if not steps:
        os.kill(os.getpid(), signal.SIGKILL)
def killed_around(function):
    def call(*args, **options):
        step()
        found = function(*args, **options)
        step()
        return found
    return call
for name in ("write_table", "put_in_place"):
    setattr(table_folders, name, killed_around(getattr(table_folders, name)))
table = pa.table({"p": list(range(5)) * 2, "n": [1] * 10, "v": [0] * 10})
table_folders.write_folder(table, Path("t"), partition=sys.argv[2].split(), replace=sys.argv[3].split())
"""

# By mode: the columns to partition by, and those whose folders are replaced.
MODES = {"replace": (["p"], []), "partitions": (["p"], ["p"]), "first": (["p", "n"], ["p"])}


def generation(n: int) -> pa.Table:
    return pa.table({"p": [*range(PARTS)] * 2, "n": [n] * 2 * PARTS, "v": [0] * 2 * PARTS})


@pytest.mark.parametrize(
    ("mode", "step"),
    [
        *(("partitions", step) for step in range(1, 21)),
        *(("first", step) for step in range(1, 21)),
        *(("replace", step) for step in range(1, 13)),
    ],
)
def test_a_killed_writer(tmp_path: Path, mode: str, step: int) -> None:
    partition, replace = MODES[mode]
    write_folder(generation(0), tmp_path / "t", partition=partition)
    command = [sys.executable, "-c", WRITER, str(step), " ".join(partition), " ".join(replace)]
    done = subprocess.run(command, cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL
    found = read_table("t/", base=tmp_path)
    by_part = {row["p"]: row["n"] for row in found.to_pylist()}
    assert found.num_rows == 2 * PARTS and sorted(by_part) == [*range(PARTS)]
    swapped = max(0, step - 2 * PARTS) // 2
    assert [*by_part.values()].count(1) == (swapped if replace else swapped * PARTS)
    write_folder(generation(1), tmp_path / "t", partition=partition, replace=replace)
    assert set(read_table("t/", base=tmp_path)["n"].to_pylist()) == {1}
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
