"""Tests of `wait_group_exit`: it waits until a process group is empty, or the time is up."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator

import pytest

from nfrun.system.processes.process_tree import wait_group_exit


@pytest.fixture
def last() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is alone in its group: the leader has ended."""
    leader = subprocess.Popen(["sleep", "300"], process_group=0)
    last = subprocess.Popen(["sleep", "300"], process_group=leader.pid)
    leader.kill()
    leader.wait()
    yield last
    last.kill()
    last.wait()


def test_it_returns_when_the_last_process_has_ended(last: subprocess.Popen[bytes]) -> None:
    group = os.getpgid(last.pid)
    end = threading.Timer(0.05, lambda: (last.kill(), last.wait()))
    end.start()
    assert wait_group_exit(group, 1e9)
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)
    end.join()


def test_it_returns_after_the_given_seconds(last: subprocess.Popen[bytes]) -> None:
    for seconds in (0.02, 0.0, -1.0):
        assert not wait_group_exit(os.getpgid(last.pid), seconds)
    assert last.poll() is None


def test_it_returns_at_once_for_an_empty_group() -> None:
    leader = subprocess.Popen(["true"], process_group=0)
    leader.wait()
    for seconds in (1e9, 0.0, -1.0):
        assert wait_group_exit(leader.pid, seconds)
