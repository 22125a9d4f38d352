"""Tests of the units of `gpu` that attempts hold on a Dask worker, without Dask."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from nfrun.cluster.dask_worker import _held_units


def worker(**resources: float) -> Any:
    return SimpleNamespace(address="tcp://of-this-test:1", state=SimpleNamespace(total_resources=resources))


def test_attempts_hold_different_units_and_wait_until_one_has_enough_left() -> None:
    two = worker(GPU=2.0)
    seen: list[tuple[int, ...]] = []

    def hold() -> None:
        with _held_units(two, 0.8) as units:
            seen.append(units)

    with _held_units(two, 0.0) as none, _held_units(two, 1.0) as first:
        assert (none, first) == ((), (0,))
        with _held_units(two, 0.6) as second:
            assert second == (1,)
            waiting = threading.Thread(target=hold)  # Dask does so if 0.6 are taken of both units, say
            waiting.start()
            waiting.join(0.05)
            assert seen == []
        waiting.join(10)
    assert seen == [(1,)]
