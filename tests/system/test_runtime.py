"""Tests of the number of cores and of the processor time of child processes."""

from __future__ import annotations

import subprocess
import sys

from nfrun.system.runtime import children_time, cores


def test_the_time_of_children_counts_when_they_have_ended() -> None:
    before = children_time()
    code = "import time\nwhile time.process_time() < 0.2: pass"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as child:
        assert children_time() == before
        child.communicate()
    assert children_time() - before >= 0.2


def test_there_is_at_least_one_core() -> None:
    assert cores() >= 1
