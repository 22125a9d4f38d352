"""The write queue: the order of writes and unlinks, outputs that may wait, and the room in the budget."""

from __future__ import annotations

import pytest

from nfrun.tables.write_queue import Key, WriteQueue

A, B, C = ("a", 1), ("b", 1), ("c", 1)


def drain(queue: WriteQueue) -> list[str | Key]:
    """All tasks that the queue gives; each output is finished before the next task."""
    tasks: list[str | Key] = []
    while (task := queue.next()) is not None:
        tasks.append(task)
        if not isinstance(task, str):
            queue.finish(task)
    return tasks


def with_outputs(queue: WriteQueue, *keys: Key, size: int = 10) -> WriteQueue:
    for key in keys:
        queue.add(key, size)
    return queue


def test_a_new_queue_has_no_work() -> None:
    queue = WriteQueue(100)
    assert not queue.has_work()
    assert not queue.under_pressure()
    assert queue.next() is None


# ------------------------------------------------------------------ outputs that are written at once


def test_write_first_outputs_are_written_at_once_in_order() -> None:
    assert drain(with_outputs(WriteQueue(100, frozenset("ab")), B, C, A)) == [B, A]


def test_every_attempt_at_a_write_first_output_is_written_at_once() -> None:
    assert drain(with_outputs(WriteQueue(100, frozenset("a")), A, ("a", 2))) == [A, ("a", 2)]


def test_all_outputs_of_a_persistent_queue_are_written_at_once() -> None:
    assert drain(with_outputs(WriteQueue(100, frozenset("b"), persistent=True), A, B, C)) == [A, B, C]


def test_an_urgent_output_is_written_at_once() -> None:
    queue = with_outputs(WriteQueue(100), A)
    queue.add(B, 10, urgent=True)
    assert drain(queue) == [B]


def test_a_prioritized_output_comes_after_outputs_that_are_written_at_once() -> None:
    queue = with_outputs(WriteQueue(100, frozenset("c")), A, B, C)
    assert queue.prioritize(B)
    assert drain(queue) == [C, B]


def test_only_an_output_that_may_wait_can_be_prioritized() -> None:
    queue = with_outputs(WriteQueue(100, frozenset("ab")), A, B)
    assert queue.next() == A
    assert not any(queue.prioritize(key) for key in (A, B, C))
    queue.finish(A)
    assert drain(queue) == [B]


# ------------------------------------------------------------------ outputs that may wait


def test_outputs_that_may_wait_are_written_oldest_first_until_half_of_the_budget_is_left() -> None:
    queue = with_outputs(WriteQueue(40), A, B)
    assert (queue.has_work(), queue.under_pressure()) == (False, False)  # exactly half of the budget
    queue.add(C, 10)
    assert (queue.has_work(), queue.under_pressure()) == (True, True)
    assert drain(queue) == [A]
    assert [key in queue for key in (A, B, C)] == [False, True, True]


def test_outputs_that_may_wait_come_after_outputs_that_are_written_at_once() -> None:
    assert drain(with_outputs(WriteQueue(15, frozenset("b")), A, B)) == [B, A]


def test_outputs_that_may_wait_are_written_while_there_is_a_waiter() -> None:
    queue = with_outputs(WriteQueue(100), A, B)
    queue.waiters += 1
    assert queue.under_pressure()
    assert queue.next() == A
    queue.finish(A)
    queue.waiters -= 1
    assert drain(queue) == []
    assert B in queue


def test_write_first_outputs_count_for_the_pressure_too() -> None:
    assert with_outputs(WriteQueue(10, frozenset("a")), A).under_pressure()


# ------------------------------------------------------------------ room


@pytest.mark.parametrize(("waiting", "size", "room"), [(60, 28, True), (60, 29, False), (0, 101, True), (1, 88, False)])
def test_there_is_room_in_most_of_the_budget_and_for_one_output_of_any_size(
    waiting: int, size: int, room: bool
) -> None:
    queue = WriteQueue(100)
    if waiting:
        queue.add(A, waiting)
    assert queue.has_room(size) is room


def test_an_output_takes_room_until_it_is_finished() -> None:
    queue = with_outputs(WriteQueue(10, frozenset("a")), A)
    assert queue.next() == A
    assert (queue.bytes, A in queue, queue.has_work(), queue.has_room(1)) == (10, True, False, False)
    queue.finish(A)
    assert (queue.bytes, A in queue, queue.has_room(1)) == (0, False, True)


def test_a_finished_output_can_be_added_again() -> None:
    queue = with_outputs(WriteQueue(100, frozenset("a")), A)
    assert drain(queue) == [A]
    assert drain(with_outputs(queue, A)) == [A]
    assert queue.bytes == 0


# ------------------------------------------------------------------ cancel and unlink


@pytest.mark.parametrize("write_first", [frozenset("ab"), frozenset[str]()])
def test_a_cancelled_output_is_not_written_and_frees_its_room(write_first: frozenset[str]) -> None:
    queue = with_outputs(WriteQueue(17, write_first), A, B)
    assert queue.cancel(A)
    assert (A in queue, queue.bytes, queue.has_room(5)) == (False, 10, True)
    assert drain(queue) == [B]


def test_a_finished_or_unknown_output_can_be_cancelled() -> None:
    queue = with_outputs(WriteQueue(100, frozenset("a")), A)
    assert drain(queue) == [A]
    assert queue.cancel(A)
    assert queue.cancel(B)
    assert queue.bytes == 0


def test_an_output_that_is_being_written_cannot_be_cancelled() -> None:
    queue = with_outputs(WriteQueue(100, frozenset("a")), A)
    assert queue.next() == A
    assert not queue.cancel(A)
    assert (A in queue, queue.bytes) == (True, 10)
    queue.finish(A)
    assert queue.cancel(A)


def test_files_are_unlinked_before_anything_is_written() -> None:
    queue = with_outputs(WriteQueue(100, frozenset("a")), A)
    for path in ("x", "y"):
        queue.unlink(path)
    assert drain(queue) == ["x", "y", A]


def test_a_file_to_unlink_is_work_and_takes_no_room() -> None:
    queue = WriteQueue(100)
    queue.unlink("x")
    assert (queue.has_work(), queue.under_pressure(), queue.bytes) == (True, False, 0)
