"""Tests that a report cannot change how a run ends: previews that cannot be shown, and reports that break."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Here

from nfrun.reports.summary import Summary

STEPS = """
import pyarrow as pa

def far():
    return pa.table({
        "late": pa.array([1 << 62, 0], pa.timestamp("us")),
        "day": pa.array([2**31 - 1, 0], pa.date32()),
        "zone": pa.array([10**9, None], pa.timestamp("s", "Mars/Base")),
        "text": pa.array(["a", "b"]),
        "struct": pa.array([{"t": 1 << 62}, None], pa.struct([("t", pa.timestamp("us"))])),
    })

def fine(): return pa.table({"ns": pa.array([1], pa.timestamp("ns"))})
def fail(): raise ValueError("boom")
"""
PIPELINE = """\
nodes:
  far: {python: "steps:far"}
  fine: {python: "steps:fine"}
outputs: {far: far, fine: fine}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "p.yaml").write_text(PIPELINE)
    (tmp_path / "failing.yaml").write_text(PIPELINE.replace("outputs:", '  bad: {python: "steps:fail"}\noutputs:'))
    return tmp_path


def test_values_that_cannot_be_shown_do_not_count(folder: Path, here: Here) -> None:
    done = here(folder, "run", "p.yaml")
    assert done.returncode == 0
    rows = [re.split(" {3,}", line.strip()) for line in done.stdout.splitlines()]
    far, hidden = "<value out of range: {}>", "(cannot be shown)"
    assert [far.format(1 << 62), far.format(2**31 - 1), hidden, "a", hidden] in rows
    assert ["1970-01-01 00:00:00", "1970-01-01", "b"] in rows
    assert any("1970-01-01 00:00:00.000000001" in row for row in rows)


def test_failures_are_printed_beside_broken_previews(folder: Path, here: Here) -> None:
    done = here(folder, "run", "failing.yaml", "-k")
    assert done.returncode == 1
    assert "failing.yaml:4:3: node 'bad' failed: ValueError: boom" in done.stderr


@pytest.mark.parametrize(("error", "code"), [(RuntimeError("oh"), 70), (OSError(28, "No space left on device"), 74)])
def test_a_report_that_breaks_prints_the_failures_and_has_its_own_code(
    folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def broken(*given: object) -> None:
        raise error

    monkeypatch.setattr(Summary, "_print_speed", broken)
    assert here(folder, "run", "p.yaml").returncode == code
    done = here(folder, "run", "failing.yaml", "-k")
    assert done.returncode == 1
    assert "failing.yaml:4:3: node 'bad' failed: ValueError: boom" in done.stderr


def test_a_table_without_columns(tmp_path: Path, here: Here) -> None:
    (tmp_path / "steps.py").write_text("def none(): return []\n")
    nodes = "nodes: {e: {python: 'steps:none'}, r: {sql: select * from e, inputs: e}}\noutputs: {e: e}\n"
    (tmp_path / "p.yaml").write_text(nodes)
    done = here(tmp_path, "run", "p.yaml")
    assert done.returncode == 1
    assert "node 'r' failed: the table of 'e' has no columns\n  a query needs one at least: " in done.stderr
    assert "\n    e: 0 rows, no columns\n" in done.stderr
    assert "e: 0 rows, 0 columns " in done.stdout
    assert "cannot be shown" not in done.stdout + done.stderr
    assert "\n  e: 0 rows, 0 B\n    no columns\n" in here(tmp_path, "show", "e").stdout
