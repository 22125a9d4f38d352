"""Tests of the number of cores and of the processor time of child processes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from nfrun.system.runtime import PeakMemory, children_time, cores, process_began


def test_the_time_of_children_counts_when_they_have_ended() -> None:
    before = children_time()
    code = "import time\nwhile time.process_time() < 0.2: pass"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as child:
        assert children_time() == before
        child.communicate()
    assert children_time() - before >= 0.2


def test_there_is_at_least_one_core() -> None:
    assert cores() >= 1


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux resets the peak of a process")
def test_the_peak_of_memory_begins_anew() -> None:
    peak = PeakMemory()
    peak.begin()
    data = bytearray(100_000_000)
    first = peak.bytes()
    del data
    peak.begin()
    assert first - peak.bytes() > 50_000_000


def test_a_process_began_before_now_and_after_its_parent() -> None:
    code = "from nfrun.system.runtime import process_began; print(process_began())"
    before = time.time()
    child = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert process_began() - 0.02 <= before - 0.02 <= child <= time.time()  # exact to 10 ms
