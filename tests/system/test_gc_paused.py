"""Tests of `gc_paused` and `collect_rarely`: when the garbage collector runs and what it still finds."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from nfrun.system.runtime import collect_rarely, gc_paused


@pytest.fixture(autouse=True)
def restore_collector() -> Iterator[None]:
    collecting, threshold = gc.isenabled(), gc.get_threshold()
    yield
    gc.unfreeze()
    gc.freeze()  # all tests are, as in `tests/conftest.py`
    gc.set_threshold(*threshold)
    (gc.enable if collecting else gc.disable)()


@pytest.mark.parametrize("collecting", [True, False])
def test_the_collector_is_off_inside_and_then_as_it_was(collecting: bool) -> None:
    (gc.enable if collecting else gc.disable)()
    with gc_paused():
        assert not gc.isenabled()
        with gc_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled() is collecting


@pytest.mark.parametrize("collecting", [True, False])
def test_the_collector_is_as_it_was_after_an_error(collecting: bool) -> None:
    (gc.enable if collecting else gc.disable)()
    with pytest.raises(KeyError), gc_paused():
        raise KeyError
    assert gc.isenabled() is collecting


class Circle:
    def __init__(self) -> None:
        self.itself = self


def test_new_objects_become_old_and_garbage_in_them_is_still_found() -> None:
    gc.enable()
    gc.unfreeze()
    with gc_paused():
        lists = [[i] for i in range(10_000)]
        garbage = weakref.ref(Circle())
    assert len(gc.get_objects(generation=0)) < len(lists) / 2
    assert gc.get_freeze_count() == 0
    assert garbage() is not None
    gc.collect()
    assert garbage() is None


def test_frozen_objects_stay_frozen() -> None:
    gc.enable()
    gc.freeze()
    count = gc.get_freeze_count()
    with gc_paused():
        pass
    assert 0 < gc.get_freeze_count() <= count


def test_the_frozen_objects_are_not_counted_for_a_few_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    monkeypatch.setattr(gc, "get_freeze_count", lambda: counts.append(1) or 1)
    gc.set_threshold(100_000)
    gc.enable()
    young = [[i] for i in range(10_000)]
    with gc_paused():
        kept = [[i] for i in range(1_000)]
    assert not counts
    with gc_paused():
        kept += [[i] for i in range(10_000)]
    assert counts
    del young, kept


def test_collect_rarely_finds_new_garbage_and_ignores_old_objects() -> None:
    class Node:
        other: Node | None = None

    old = Node()
    old.other, old_garbage = old, weakref.ref(old)
    gc.disable()
    collect_rarely()
    new = Node()
    new.other, new_garbage = new, weakref.ref(new)
    del old, new
    assert gc.get_threshold()[0] == 10_000
    lists = [[] for _ in range(100_000)]
    assert new_garbage() is None
    assert old_garbage() is not None
    assert len(lists) == 100_000
