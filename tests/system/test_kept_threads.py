"""Tests of threads that are kept for the next calls."""

from __future__ import annotations

import threading
from functools import partial
from queue import SimpleQueue

from nfrun.system.threads import KeptThreads


def test_threads_are_kept_for_the_next_calls() -> None:
    threads, go, ended = KeptThreads("it"), threading.Event(), SimpleQueue[str]()
    idents: list[int] = []

    def call(name: str) -> None:
        idents.append(threading.get_ident())
        if name == "long":
            go.wait(10)
        ended.put(name)

    threads.start(partial(call, "long"))
    threads.start(partial(call, "short"))
    assert ended.get(timeout=10) == "short"
    go.set()
    assert ended.get(timeout=10) == "long"
    assert len(set(idents)) == 2
    while threads._idle < 2:
        pass
    threads.start(partial(call, "next"))
    assert ended.get(timeout=10) == "next"
    assert len(set(idents)) == 2
