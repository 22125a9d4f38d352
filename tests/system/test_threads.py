"""Tests of starting threads where the system allows no more."""

from __future__ import annotations

import errno
import sys
import threading

import pytest

from nfrun.core.errors import Cause, HandoffError, cause_of
from nfrun.system.threads import start_thread, start_timer


def test_a_thread_gets_its_name_and_arguments() -> None:
    called: list[object] = []
    thread = start_thread(lambda *arguments: called.extend([threading.current_thread().name, *arguments]), "it", 1, 2)
    thread.join(10)
    assert (called, thread.daemon) == (["it", 1, 2], True)


def test_a_refused_thread_is_an_error_of_the_system_and_a_refused_timer_fires_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(HandoffError, match="no thread could be started: can't start new thread") as caught:
        start_thread(print, "it")
    assert (caught.value.errno, cause_of(caught.value)) == (errno.EAGAIN, Cause.IO)
    called: list[int] = []
    start_timer(threading.Timer(1000.0, called.append, [1]))
    assert called == [1]


def test_a_thread_that_ends_before_its_first_step_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "_bootstrap", lambda thread: None)  # as if it had no memory left
    with pytest.raises(HandoffError, match="no thread could be started: can't start new thread"):
        start_thread(print, "it")
    called: list[int] = []
    start_timer(threading.Timer(1000.0, called.append, [1]))
    assert called == [1]


def test_a_thread_that_starts_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    may_start, bootstrap, count = threading.Event(), vars(threading.Thread)["_bootstrap"], sys.getrefcount
    looks: list[int] = []

    def late(thread: threading.Thread) -> None:
        may_start.wait(10)
        bootstrap(thread)

    def look(value: object) -> int:
        looks.append(1)
        if len(looks) > 2:  # the first is before the start
            may_start.set()
        return count(value)

    monkeypatch.setattr(threading.Thread, "_bootstrap", late)
    monkeypatch.setattr(sys, "getrefcount", look)
    called: list[int] = []
    start_thread(called.append, "it", 1).join(10)
    assert called == [1]
