"""Tests of `cancel_on_signals`: the handlers of signals, also in children that are forked."""

from __future__ import annotations

import os
import signal

from nfrun.system.processes.signals import SIGNALS, cancel_on_signals


def handlers_in_a_child() -> list[str]:
    """Return the handlers in a forked child."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writer, "\n".join(handlers()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with open(reader, encoding="utf-8") as found:  # noqa: PTH123  (a descriptor)
        return found.read().split("\n")


def handlers() -> list[str]:
    return [repr(signal.getsignal(number)) for number in SIGNALS]


def test_a_signal_cancels_while_inside() -> None:
    reasons: list[str] = []
    before = handlers()
    with cancel_on_signals(reasons.append) as caught:
        os.kill(os.getpid(), signal.SIGTERM)
        assert handlers() != before
    assert (reasons, caught, handlers()) == (["SIGTERM"], [signal.SIGTERM], before)


def test_a_child_that_is_forked_inside_has_the_handlers_of_before() -> None:
    before = handlers()
    with cancel_on_signals(print), cancel_on_signals(print):
        assert handlers_in_a_child() == before


def test_a_child_that_is_forked_later_has_the_handlers_of_its_parent() -> None:
    with cancel_on_signals(print):
        pass
    earlier = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert handlers_in_a_child() == handlers()
    finally:
        signal.signal(signal.SIGTERM, earlier)
