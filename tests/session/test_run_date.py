"""Tests of `${{ run.date }}`: one date for a whole run, that of today or the one that is given."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from conftest import Here

import nfrun
from nfrun.history.work_dir import WorkDir
from nfrun.lookback.reopen.current_pipeline import bind_as_in
from nfrun.lookback.run_reference import list_runs
from nfrun.pipeline_file.resolve import date_in

NO_EFFECT = "nfrun: warning: --date has no effect: no expression reads run.date\n"
INNER = "timezone: Asia/Tokyo\nparams: {p: ''}\nnodes:\n  a: {sql: \"select $d as d\", with: {d: '${{ run.date }}'}}\n"
PIPELINE = """\
timezone: Pacific/Kiritimati
env: {DAY: "${{ run.date }}"}
nodes:
  value: {sql: "select $d as d", with: {d: "${{ run.date }}"}}
  script: {run: 'printf "d\\n$DAY\\n" > $NFRUN_OUTPUT', format: csv}
  file: {read: "in-${{ run.date }}.csv"}
  inner: {pipeline: inner.yaml}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p.yaml").write_text(PIPELINE)
    (tmp_path / "inner.yaml").write_text(INNER)
    for day in ("2026-01-31", "2026-02-01"):
        (tmp_path / f"in-{day}.csv").write_text(f"d\n{day}\n")
    return tmp_path


def test_the_date_that_is_given_is_that_of_all_nodes_of_all_files(folder: Path, here: Here) -> None:
    for day in ("2026-01-31", "2026-02-01"):
        done = here(folder, "run", "p.yaml", "--date", day)
        assert done.returncode == 0, done.stderr
        for node in ("value", "script", "file", "inner/a"):
            assert day in here(folder, "open", node, "--format", "csv").stdout, node
    assert "4 reused" in here(folder, "run", "p.yaml", "--date", "2026-01-31").stderr


def test_without_one_it_is_that_of_today_in_the_zone_of_the_file_once_for_all(
    folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    zones: list[str] = []
    monkeypatch.setattr("nfrun.pipeline_file.resolve.date_in", lambda zone: zones.append(zone) or "2026-01-31")
    assert here(folder, "run", "p.yaml", "-q").returncode == 0
    assert set(zones) == {"Pacific/Kiritimati"}
    assert "2026-01-31" in here(folder, "open", "inner/a", "--format", "csv").stdout


def test_the_date_of_today_depends_on_the_time_zone() -> None:
    before = datetime.now(UTC)
    found = {zone: date.fromisoformat(date_in(zone)) for zone in ("UTC", "Pacific/Kiritimati", "Pacific/Niue")}
    after = datetime.now(UTC)
    for zone, day in found.items():
        assert before.astimezone(ZoneInfo(zone)).date() <= day <= after.astimezone(ZoneInfo(zone)).date()
    assert found["Pacific/Niue"] < found["Pacific/Kiritimati"]  # 25 hours apart


def test_a_run_is_looked_back_at_with_its_own_date(folder: Path, here: Here) -> None:
    assert here(folder, "run", "p.yaml", "-q", "--date", "2026-01-31").returncode == 0
    (run,) = list_runs(WorkDir(folder / ".nfrun"))
    assert bind_as_in(run, folder / "p.yaml", given={}, environ=os.environ).nodes["value"].with_ == {"d": "2026-01-31"}


def test_a_date_is_recorded_where_an_expression_reads_it(folder: Path, here: Here) -> None:
    (folder / "other.yaml").write_text("env: {RUN: '${{ run.name }}'}\nnodes: {a: {sql: select 1 as n}}\n")
    for command in ("run", "plan"):
        for file, warning in {"p.yaml": "", "other.yaml": NO_EFFECT}.items():
            done = here(folder, command, file, "--date", "2026-01-31", *["-q"] * (command == "run"))
            assert (done.returncode, done.stderr) == (0, warning)
    assert [run.header.date for run in list_runs(WorkDir(folder / ".nfrun"))] == ["", "2026-01-31"]


def test_a_program_gives_the_date_too(folder: Path) -> None:
    pipeline = nfrun.load(folder / "p.yaml")
    assert pipeline.run(date="2026-01-31")["value"]["d"].to_pylist() == ["2026-01-31"]
    assert pipeline.run(date="2026-02-01")["value"]["d"].to_pylist() == ["2026-02-01"]
