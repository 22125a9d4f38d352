"""What is written or unlinked next, what may wait, and who has room."""

from __future__ import annotations

import pytest

from nfrun.tables.write_queue import Key, WriteQueue

A, B, C = ("a", 1), ("b", 1), ("c", 1)


def rest(backlog: WriteQueue) -> list[str | Key]:
    """All it gives, one after another, each output settled before the next."""
    given: list[str | Key] = []
    while (task := backlog.next()) is not None:
        given.append(task)
        if not isinstance(task, str):
            backlog.finish(task)
    return given


def with_outputs(backlog: WriteQueue, *keys: Key, size: int = 10) -> WriteQueue:
    for key in keys:
        backlog.add(key, size)
    return backlog


def test_nothing_is_to_be_done_at_first() -> None:
    backlog = WriteQueue(100)
    assert not backlog.has_work()
    assert not backlog.under_pressure()
    assert backlog.next() is None


# ------------------------------------------------------------------ what goes at once


def test_what_is_ahead_goes_at_once_in_the_order_in_which_it_came() -> None:
    assert rest(with_outputs(WriteQueue(100, frozenset("ab")), B, C, A)) == [B, A]


def test_every_attempt_at_what_is_ahead_goes_at_once() -> None:
    assert rest(with_outputs(WriteQueue(100, frozenset("a")), A, ("a", 2))) == [A, ("a", 2)]


def test_everything_that_lasts_goes_at_once() -> None:
    assert rest(with_outputs(WriteQueue(100, frozenset("b"), persistent=True), A, B, C)) == [A, B, C]


def test_what_is_wanted_goes_at_once() -> None:
    backlog = with_outputs(WriteQueue(100), A)
    backlog.add(B, 10, urgent=True)
    assert rest(backlog) == [B]


def test_what_is_wanted_later_goes_behind_what_goes_at_once_already() -> None:
    backlog = with_outputs(WriteQueue(100, frozenset("c")), A, B, C)
    assert backlog.prioritize(B)
    assert rest(backlog) == [C, B]


def test_what_goes_at_once_is_written_or_is_settled_cannot_be_hurried() -> None:
    backlog = with_outputs(WriteQueue(100, frozenset("ab")), A, B)
    assert backlog.next() == A
    assert not any(backlog.prioritize(key) for key in (A, B, C))
    backlog.finish(A)
    assert rest(backlog) == [B]


# ------------------------------------------------------------------ what may wait


def test_what_may_wait_goes_oldest_first_until_half_of_the_budget_waits() -> None:
    backlog = with_outputs(WriteQueue(40), A, B)
    assert (backlog.has_work(), backlog.under_pressure()) == (False, False)  # just half of it
    backlog.add(C, 10)
    assert (backlog.has_work(), backlog.under_pressure()) == (True, True)
    assert rest(backlog) == [A]
    assert [key in backlog for key in (A, B, C)] == [False, True, True]


def test_what_may_wait_goes_behind_what_goes_at_once() -> None:
    assert rest(with_outputs(WriteQueue(15, frozenset("b")), A, B)) == [B, A]


def test_what_may_wait_goes_while_somebody_waits_for_room() -> None:
    backlog = with_outputs(WriteQueue(100), A, B)
    backlog.waiters += 1
    assert backlog.under_pressure()
    assert backlog.next() == A
    backlog.finish(A)
    backlog.waiters -= 1
    assert rest(backlog) == []
    assert B in backlog


def test_room_is_tight_for_those_that_go_at_once_too() -> None:
    assert with_outputs(WriteQueue(10, frozenset("a")), A).under_pressure()


# ------------------------------------------------------------------ room


@pytest.mark.parametrize(("waits", "size", "room"), [(60, 40, True), (60, 41, False), (0, 101, True), (1, 100, False)])
def test_there_is_room_up_to_the_budget_and_for_one_output_of_any_size(waits: int, size: int, room: bool) -> None:
    backlog = WriteQueue(100)
    if waits:
        backlog.add(A, waits)
    assert backlog.has_room(size) is room


def test_what_is_written_takes_its_room_until_it_is_settled() -> None:
    backlog = with_outputs(WriteQueue(10, frozenset("a")), A)
    assert backlog.next() == A
    assert (backlog.bytes, A in backlog, backlog.has_work(), backlog.has_room(1)) == (10, True, False, False)
    backlog.finish(A)
    assert (backlog.bytes, A in backlog, backlog.has_room(1)) == (0, False, True)


def test_an_output_can_wait_again_once_it_is_settled() -> None:
    backlog = with_outputs(WriteQueue(100, frozenset("a")), A)
    assert rest(backlog) == [A]
    assert rest(with_outputs(backlog, A)) == [A]
    assert backlog.bytes == 0


# ------------------------------------------------------------------ what is dropped, and unlinked


@pytest.mark.parametrize("ahead", [frozenset("ab"), frozenset[str]()])
def test_what_is_dropped_is_not_written_and_makes_room(ahead: frozenset[str]) -> None:
    backlog = with_outputs(WriteQueue(15, ahead), A, B)
    assert backlog.cancel(A)
    assert (A in backlog, backlog.bytes, backlog.has_room(5)) == (False, 10, True)
    assert rest(backlog) == [B]


def test_what_is_settled_or_never_waited_can_be_dropped() -> None:
    backlog = with_outputs(WriteQueue(100, frozenset("a")), A)
    assert rest(backlog) == [A]
    assert backlog.cancel(A)
    assert backlog.cancel(B)
    assert backlog.bytes == 0


def test_what_is_written_cannot_be_dropped() -> None:
    backlog = with_outputs(WriteQueue(100, frozenset("a")), A)
    assert backlog.next() == A
    assert not backlog.cancel(A)
    assert (A in backlog, backlog.bytes) == (True, 10)
    backlog.finish(A)
    assert backlog.cancel(A)


def test_files_are_unlinked_before_anything_is_written() -> None:
    backlog = with_outputs(WriteQueue(100, frozenset("a")), A)
    for path in ("x", "y"):
        backlog.unlink(path)
    assert rest(backlog) == ["x", "y", A]


def test_a_file_to_unlink_is_work_and_takes_no_room() -> None:
    backlog = WriteQueue(100)
    backlog.unlink("x")
    assert (backlog.has_work(), backlog.under_pressure(), backlog.bytes) == (True, False, 0)
