"""Chooses the rows that the fast tests leave out, and writes their names to `slow_rows.txt`.

    python tests/reuse/choose_rows.py

It measures which branches of nfrun each row takes. The fast tests have rows enough that each branch is taken twice, or
once if only one row takes it, and of each table, way of looking and answer at least one. `-m slow` has the others. A
new row is in the fast tests until this is done again. It needs the package `coverage`, and takes some minutes.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from heapq import heapify, heappop, heappush
from pathlib import Path

import coverage
import pytest

HERE = Path(__file__).parent
TIMES = 2
Branch = tuple[str, tuple[int, int]]


class Recorder:
    """A plug-in of pytest that collects the branches which each row takes."""

    def __init__(self) -> None:
        self.taken: dict[str, frozenset[Branch]] = {}
        self.failed = False
        self._coverage = coverage.Coverage(branch=True, source_pkgs=["nfrun"], data_file=None, config_file=False)
        self._coverage.set_option("run:disable_warnings", ["module-not-measured"])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Function) -> Iterator[None]:
        self._coverage.erase()
        self._coverage.start()
        try:
            yield
        finally:
            self._coverage.stop()
            if hasattr(item, "callspec"):
                data = self._coverage.get_data()
                found = {(file, arc) for file in data.measured_files() for arc in data.arcs(file) or ()}
                self.taken[item.callspec.id] = frozenset(found)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed


def choose(taken: Mapping[str, frozenset[Branch]], first: set[str]) -> set[str]:
    """Return the rows that the fast tests have: these, and those that take most of the branches that are left."""
    wanted = Counter(branch for branches in taken.values() for branch in branches)
    wanted = Counter({branch: min(TIMES, count) for branch, count in wanted.items()})
    chosen: set[str] = set()

    def gain(name: str) -> int:
        return sum(wanted[branch] > 0 for branch in taken[name])

    def add(name: str) -> None:
        chosen.add(name)
        wanted.subtract(taken[name])

    for name in sorted(first):
        add(name)
    # A gain never grows, so the best row is the first whose gain is still what it was when it was put there.
    candidates = [(-gain(name), name) for name in taken if name not in chosen]
    heapify(candidates)
    while candidates:
        before, name = heappop(candidates)
        if now := -gain(name):
            if now == before:
                add(name)
            else:
                heappush(candidates, (now, name))
    return chosen


def main() -> None:
    recorder = Recorder()
    file = str(HERE / "test_edits.py")
    pytest.main(["-q", "-p", "no:cacheprovider", "-m", "slow or not slow", file], plugins=[recorder])
    if recorder.failed:
        sys.exit("a row failed")
    from test_edits import ROWS, SLOW_ROWS

    looks = {(name.partition(":")[0], row.by, bool(row.runs_again)): name for name, row in reversed(ROWS.items())}
    quick = choose(recorder.taken, {*looks.values()})
    SLOW_ROWS.write_text("".join(f"{name}\n" for name in ROWS if name not in quick))
    print(f"{len(quick)} of {len(ROWS)} rows are in the fast tests")


if __name__ == "__main__":
    main()
