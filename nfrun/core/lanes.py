"""Draws intervals of time in lanes: events carry no slot, so a lane stands for a slot."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush


def assign_lanes(intervals: Sequence[tuple[float, float]]) -> list[int]:
    """Return a lane for each interval, given as its begin and its end: the lowest that is free when it begins.

    Lanes count from 0. They are assigned in the order of the begins, among equals in the given order, so intervals may
    be given in any order. An interval may begin in a lane at the moment when another ends there. As many lanes are used
    as intervals overlap at once, at most.
    """
    lanes = [0] * len(intervals)
    free: list[int] = []
    taken: list[tuple[float, int]] = []  # ends, with their lanes
    for index in sorted(range(len(intervals)), key=lambda i: intervals[i][0]):
        begin, end = intervals[index]
        while taken and taken[0][0] <= begin:
            heappush(free, heappop(taken)[1])
        lanes[index] = heappop(free) if free else len(taken)
        heappush(taken, (end, lanes[index]))
    return lanes
