"""Tests of when instances of classes are closed, and of what the end of a run waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable

from nfrun.core.events import NodeFinished
from nfrun.core.pipeline import NodeSpec
from nfrun.engine.instance_closer import InstanceCloser


def test_the_end_of_a_run_waits_for_instances_that_another_thread_begins_to_close() -> None:
    order: list[str] = []
    found, go_on = threading.Event(), threading.Event()
    left = ["instance"]

    def close() -> Iterable[str]:
        order.append("closed")
        return ()

    def find(needed: Collection[tuple[str, str]]) -> Callable[[], Iterable[str]] | None:
        if not left:
            return None
        left.clear()
        found.set()
        assert go_on.wait(10)
        return close

    closer = InstanceCloser([NodeSpec("a", "python", "steps:Model", (), {}, (), (), {})], 10.0, order.append)
    closer.finders.append(find)
    reporter = threading.Thread(target=closer.event, args=(NodeFinished(0.0, "a", 1),))
    reporter.start()
    assert found.wait(10)

    def end() -> None:
        closer.close_all()
        order.append("ended")

    ending = threading.Thread(target=end)
    ending.start()
    ending.join(0.05)  # time to end too early
    go_on.set()
    for thread in (reporter, ending):
        thread.join(10)
    assert order == ["closed", "ended"]
