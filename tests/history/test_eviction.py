"""Laws of eviction: which tables are removed so that the others fit the budget."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfrun.history.database import KeptTable
from nfrun.history.kept_tables import budget_of, tables_to_remove

_SIZES = st.integers(0, 10**13)
_SECONDS = st.floats(0, 1e6) | st.sampled_from([0.0, 1.0])
_FIGURES = st.tuples(_SIZES, _SECONDS, st.integers(1, 50), st.booleans())
_TABLES = st.lists(_FIGURES, max_size=30).map(
    lambda rows: [KeptTable(Path(str(i)), *figures) for i, figures in enumerate(rows)]
)


@given(_TABLES, _SIZES)
def test_what_stays_fits_the_budget_but_for_what_is_protected(tables: list[KeptTable], budget: int) -> None:
    removed = tables_to_remove(tables, budget)
    assert not any(table.is_protected for table in removed)
    stays = [table for table in tables if table not in removed]
    assert sum(table.size for table in stays) <= budget or all(table.is_protected for table in stays)


@given(_TABLES, _SIZES)
def test_what_is_removed_takes_less_time_per_byte_than_what_stays(tables: list[KeptTable], budget: int) -> None:
    removed = tables_to_remove(tables, budget)
    for stays in tables:
        if stays not in removed and not stays.is_protected:
            for table in removed:
                order = (table.seconds_per_byte, table.last_used)
                assert order <= (stays.seconds_per_byte, stays.last_used)


@given(_TABLES, _SIZES)
def test_no_table_is_removed_without_need(tables: list[KeptTable], budget: int) -> None:
    removed = tables_to_remove(tables, budget)
    if removed:
        assert sum(table.size for table in tables if table not in removed[:-1]) > budget
    else:
        assert sum(table.size for table in tables) <= budget or all(table.is_protected for table in tables)


@given(_TABLES, _SIZES, st.randoms())
def test_the_order_of_the_tables_makes_no_difference(tables: list[KeptTable], budget: int, random: object) -> None:
    shuffled = list(tables)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert tables_to_remove(shuffled, budget) == tables_to_remove(tables, budget)


def test_among_equals_the_longest_unused_goes_first() -> None:
    tables = [KeptTable(Path(str(last)), 10, 1.0, last) for last in (3, 1, 2)]
    assert [table.last_used for table in tables_to_remove(tables, 10)] == [1, 2]


def test_the_default_budget_is_10_gb_or_a_tenth_of_the_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def budget(free: int, kept: int) -> int:
        monkeypatch.setattr("os.statvfs", lambda path: SimpleNamespace(f_bavail=free, f_frsize=1))
        return budget_of(tmp_path, kept, None)

    assert budget(10**15, 0) == 10 * 10**9
    assert budget(60 * 10**9, 40 * 10**9) == 10 * 10**9
    assert budget(50, 50) == 10
    assert budget_of(None, 0, None, 7) == 7
