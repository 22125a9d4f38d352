"""How often a run reads the bytes of files: the kernel counts what a process and its children read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the kernel does not count")

# The source was written just before: without this, nfrun would not trust its time stamps and read it once more.
_NFRUN = """
import nfrun.system.checksums as checksums
from nfrun.__main__ import main

checksums._FRESH_NANOSECONDS = 0
main()
"""
_STEPS = """
import pyarrow as pa


def make(count):
    return pa.table({"n": pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(bytes(8 * count))])})


def stream(count):
    return make(count).to_reader()


def nothing(table):
    return None
"""
_SOURCES = """
nodes:
  a: {read: data/source.csv}
  b: {read: data/source.csv}
  c: {sql: "select length(content) as n from read_text('data/source.csv')"}
outputs: {c: c}
"""
_OUTPUTS = """
params: {count: 1}
nodes:
  table: {python: "steps:make", with: {count: "${{ params.count }}"}}
  reader: {python: "steps:stream", with: {count: "${{ params.count }}"}}
  worker: {python: "steps:make", with: {count: "${{ params.count }}"}, executor: process}
  mapped: {python: "steps:nothing", inputs: {table: worker}, executor: process}
outputs: {table: table, reader: reader, worker: worker}
"""
_SIZE = 16_000_000


def read_by(folder: Path, *arguments: str) -> int:
    """Run nfrun and return the bytes that it and its children have read."""

    def count() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    before = count()
    command = [sys.executable, "-c", _NFRUN, "run", "p.yaml", "-q", "--keep", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return count() - before


def test_a_source_is_read_once_for_its_checksum_and_once_by_each_reader(tmp_path: Path) -> None:
    source = tmp_path / "data" / "source.csv"
    source.parent.mkdir(exist_ok=True)
    (tmp_path / "p.yaml").write_text(_SOURCES)
    row = f"{'x' * 4_999}\n"
    source.write_text(f"text\n{row}")
    little = read_by(tmp_path, "--work", "little")
    source.write_text("text\n" + row * (_SIZE // len(row)))
    size = source.stat().st_size
    much = read_by(tmp_path, "--work", "much") - little
    assert 0.95 * 4 * size < much < 1.05 * 4 * size, "the tables of a and b become no files"
    again = read_by(tmp_path, "--work", "much", "--resume") - little
    assert again < 1.05 * size, "only for the checksum: nobody needs the tables"


def test_an_output_is_read_at_most_once_after_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text(_STEPS)
    (tmp_path / "p.yaml").write_text(_OUTPUTS)
    little = read_by(tmp_path, "--work", "little")
    much = read_by(tmp_path, "--work", "much", "-p", f"count={_SIZE // 8}") - little
    assert much < 1.05 * 3 * _SIZE
    again = read_by(tmp_path, "--work", "much", "-p", f"count={_SIZE // 8}", "--resume") - little
    assert again < 1.05 * 3 * _SIZE
