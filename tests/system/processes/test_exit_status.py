"""Tests of the words for how a process ended."""

from __future__ import annotations

import subprocess

import pytest

from nfrun.system.processes.process_tree import describe_exit


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 0", "exited with status 0"),
        ("exit 3", "exited with status 3"),
        ("exit 255", "exited with status 255"),
        ("kill -TERM $$", "was killed by SIGTERM"),
        ("kill -KILL $$", "was killed by SIGKILL; the system does that when memory runs out"),
        ("kill -SEGV $$", "was killed by SIGSEGV; compiled code in it crashed"),
        ("kill -BUS $$", "was killed by SIGBUS; compiled code in it crashed"),
        ("kill -ABRT $$", "was killed by SIGABRT; compiled code in it aborted"),
        ("kill -40 $$", "was killed by signal 40"),
    ],
)
def test_every_end_of_a_process_has_its_words(script: str, words: str) -> None:
    status = subprocess.run(["bash", "-c", f"ulimit -c 0; {script}"], check=False, timeout=60).returncode
    assert describe_exit(status) == words
