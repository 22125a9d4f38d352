"""The write queue: the order of writes and unlinks, and the room in the budget."""

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


# ------------------------------------------------------------------ order and pressure


def test_outputs_are_written_in_order() -> None:
    assert drain(with_outputs(WriteQueue(100), B, A, ("a", 2))) == [B, A, ("a", 2)]


def test_there_is_pressure_when_more_than_half_of_the_budget_is_queued_or_somebody_waits() -> None:
    queue = with_outputs(WriteQueue(40), A, B)
    assert not queue.under_pressure()  # exactly half of the budget
    queue.waiters += 1
    assert queue.under_pressure()
    queue.waiters -= 1
    queue.add(C, 10)
    assert queue.under_pressure()
    assert drain(queue) == [A, B, C]
    assert not queue.under_pressure()


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
    queue = with_outputs(WriteQueue(10), A)
    assert queue.next() == A
    assert (queue.bytes, A in queue, queue.has_work(), queue.has_room(1)) == (10, True, False, False)
    queue.finish(A)
    assert (queue.bytes, A in queue, queue.has_room(1)) == (0, False, True)


def test_a_finished_output_can_be_added_again() -> None:
    queue = with_outputs(WriteQueue(100), A)
    assert drain(queue) == [A]
    assert drain(with_outputs(queue, A)) == [A]
    assert queue.bytes == 0


# ------------------------------------------------------------------ cancel and unlink


def test_a_cancelled_output_is_not_written_and_frees_its_room() -> None:
    queue = with_outputs(WriteQueue(17), A, B)
    assert queue.cancel(A)
    assert (A in queue, queue.bytes, queue.has_room(5)) == (False, 10, True)
    assert drain(queue) == [B]


def test_a_finished_or_unknown_output_can_be_cancelled() -> None:
    queue = with_outputs(WriteQueue(100), A)
    assert drain(queue) == [A]
    assert queue.cancel(A)
    assert queue.cancel(B)
    assert queue.bytes == 0


def test_an_output_that_is_being_written_cannot_be_cancelled() -> None:
    queue = with_outputs(WriteQueue(100), A)
    assert queue.next() == A
    assert not queue.cancel(A)
    assert (A in queue, queue.bytes) == (True, 10)
    queue.finish(A)
    assert queue.cancel(A)


def test_files_are_unlinked_before_anything_is_written() -> None:
    queue = with_outputs(WriteQueue(100), A)
    for path in ("x", "y"):
        queue.unlink(path)
    assert drain(queue) == ["x", "y", A]


def test_a_file_to_unlink_is_work_and_takes_no_room() -> None:
    queue = WriteQueue(100)
    queue.unlink("x")
    assert (queue.has_work(), queue.under_pressure(), queue.bytes) == (True, False, 0)
