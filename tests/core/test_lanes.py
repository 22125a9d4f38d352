"""Tests of the lanes in which intervals of time are drawn."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfrun.lookback.page.run_times import assign_lanes

TIMES = st.floats(0, 100, allow_nan=False)
INTERVALS = st.lists(st.tuples(TIMES, TIMES).map(lambda pair: (min(pair), max(pair))), max_size=40)


@pytest.mark.parametrize(
    ("intervals", "lanes"),
    [
        ([], []),
        ([(0, 1), (1, 2), (2, 3)], [0, 0, 0]),
        ([(0, 3), (1, 2), (2, 4), (3, 5)], [0, 1, 1, 0]),
        ([(0, 9), (0, 1), (0, 9), (2, 3)], [0, 1, 2, 1]),
        ([(5, 6), (0, 9), (1, 2)], [1, 0, 1]),  # in any order
        ([(0, 5), (1, 1), (1, 1)], [0, 1, 1]),  # of no length
    ],
)
def test_each_interval_has_the_lowest_lane_that_is_free(intervals: list[tuple[float, float]], lanes: list[int]) -> None:
    assert assign_lanes(intervals) == lanes


@given(INTERVALS)
def test_no_two_intervals_overlap_in_a_lane_and_no_lane_is_wasted(intervals: list[tuple[float, float]]) -> None:
    lanes = assign_lanes(intervals)
    for (i, first), (j, second) in combinations(enumerate(intervals), 2):
        if lanes[i] == lanes[j]:
            assert first[1] <= second[0] or second[1] <= first[0]
    assert set(lanes) == set(range(len(set(lanes))))
    at_once = [sum(a <= begin < b or a == b == begin for a, b in intervals) for begin, _ in intervals]
    assert len(set(lanes)) <= max(at_once, default=0)
