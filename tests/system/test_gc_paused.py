"""The collector is off while much is built, and left as it was."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from nfrun.system.runtime import collect_rarely, gc_paused


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    collecting, threshold = gc.isenabled(), gc.get_threshold()
    yield
    gc.unfreeze()
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
def test_so_it_is_after_an_error(collecting: bool) -> None:
    (gc.enable if collecting else gc.disable)()
    with pytest.raises(KeyError), gc_paused():
        raise KeyError
    assert gc.isenabled() is collecting


class Circle:
    def __init__(self) -> None:
        self.itself = self


def test_what_was_built_is_young_no_more_and_garbage_in_it_is_still_found() -> None:
    gc.enable()
    gc.unfreeze()
    with gc_paused():
        kept = [[i] for i in range(10_000)]
        lost = weakref.ref(Circle())
    assert len(gc.get_objects(generation=0)) < len(kept) / 2
    assert gc.get_freeze_count() == 0
    assert lost() is not None
    gc.collect()
    assert lost() is None


def test_what_somebody_froze_stays_frozen() -> None:
    gc.enable()
    gc.freeze()
    count = gc.get_freeze_count()
    with gc_paused():
        pass
    assert 0 < gc.get_freeze_count() <= count


def test_garbage_is_still_found_but_rarely_and_not_among_what_there_was() -> None:
    class Node:
        other: Node | None = None

    old = Node()
    old.other, gone = old, weakref.ref(old)
    gc.disable()
    collect_rarely()
    new = Node()
    new.other, found = new, weakref.ref(new)
    del old, new
    assert gc.get_threshold()[0] == 10_000
    kept = [[] for _ in range(100_000)]
    assert found() is None
    assert gone() is not None
    assert len(kept) == 100_000
