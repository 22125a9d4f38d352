"""Under memory pressure, the store returns the unused memory of written tables to the system."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from nfrun.tables.store import TableStore

TABLE = pa.table({"n": range(1_000)})  # 8,000 bytes


@pytest.mark.parametrize(("budget", "returned"), [(12_000, True), (1_000_000, False)])
def test_unused_memory_is_released_under_pressure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: int, returned: bool
) -> None:
    calls: list[str] = []

    class Pool:
        def release_unused(self) -> None:
            calls.append("released")

    monkeypatch.setattr(pa, "default_memory_pool", Pool)
    store = TableStore(tmp_path / "run", retained=frozenset({"a"}), budget=budget)
    store.publish("a", 1, TABLE)
    assert store.flushed(10)
    store.close()
    assert bool(calls) is returned
