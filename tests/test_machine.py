"""What the process has used of the machine."""

from __future__ import annotations

import subprocess
import sys
import time

from nfrun.machine import cores, processor_time


def test_processor_time_counts_children_that_have_ended() -> None:
    own, before = time.process_time(), processor_time()
    code = "import time\nwhile time.process_time() < 0.2: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert processor_time() - before - (time.process_time() - own) >= 0.2


def test_there_is_at_least_one_core() -> None:
    assert cores() >= 1
