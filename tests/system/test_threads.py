"""Tests of starting threads where the system allows no more."""

from __future__ import annotations

import errno
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
