"""Tests that a node which writes a folder runs again when anything in that folder is not as the node left it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Here

SITE = """\
params: {pages: a}
nodes:
  site:
    run: 'cd $NFRUN_OUTPUT && touch $NFRUN_WITH_pages'
    with: {pages: "${{ params.pages }}"}
    outputs: {site: folder}
  w: {write: out/, inputs: site}
"""
TABLES = """\
nodes:
  rows: {sql: "select unnest([1, 2]) as n, 'x' as text"}
  w: {write: out/, inputs: rows, with: {partition: n}}
  p: {write: parts/, inputs: rows, with: {partition: n, mode: partitions}}
"""
MOVED = """\
params: {rows: "1"}
nodes:
  rows: {read: "${{ params.rows }}.csv"}
  w: {write: out/, inputs: rows, with: {partition: [day, country], mode: partitions, replace: day}}
"""
CHANGED = "the folder {}, which it wrote, is gone or has changed"
CHANGES: dict[str, Callable[[Path], object]] = {
    "a file": lambda folder: (folder / "new").touch(),
    "a folder": lambda folder: (folder / "new").mkdir(),
    "a hidden file": lambda folder: (folder / ".new").touch(),
    "a link": lambda folder: (folder / "new").symlink_to("elsewhere"),
    "an executable bit": lambda folder: next(filter(Path.is_file, folder.iterdir())).chmod(0o755),
}


def reasons(here: Here, folder: Path) -> dict[str, str]:
    done = here(folder, "plan", "p.yaml", "--format", "json")
    assert done.returncode == 0, done.stderr
    return {name: node.get("why") or "" for name, node in json.loads(done.stdout)["nodes"].items()}


def run(here: Here, folder: Path, *words: str) -> None:
    done = here(folder, "run", "p.yaml", *words)
    assert done.returncode == 0, done.stderr


def test_a_folder_has_what_the_last_run_wrote(here: Here, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(SITE)
    for pages in ("a", "a b", "a"):
        run(here, tmp_path, "-p", f"pages={pages}")
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == pages.split()


@pytest.mark.parametrize("change", CHANGES)
def test_a_copied_folder_counts_in_full(here: Here, tmp_path: Path, change: str) -> None:
    (tmp_path / "p.yaml").write_text(SITE)
    run(here, tmp_path)
    assert reasons(here, tmp_path)["w"] == ""
    CHANGES[change](tmp_path / "out")
    assert reasons(here, tmp_path)["w"] == CHANGED.format("out/")


@pytest.mark.parametrize("change", CHANGES)
def test_written_tables_count_in_full_and_partitions_that_others_wrote_do_not(
    here: Here, tmp_path: Path, change: str
) -> None:
    (tmp_path / "p.yaml").write_text(TABLES)
    run(here, tmp_path)
    assert set(reasons(here, tmp_path).values()) == {""}
    for name in ("out", "parts"):
        (tmp_path / name / "n=3").mkdir()
    assert reasons(here, tmp_path) == {"rows": "", "w": CHANGED.format("out/"), "p": ""}
    CHANGES[change](tmp_path / "parts/n=2")
    assert reasons(here, tmp_path)["p"] == CHANGED.format("parts/n=2/")


def test_a_row_that_moves_to_another_partition_counts_once_in_any_work_folder(here: Here, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(MOVED)
    rows = {"1": "2026-01-01,FR,7\n2026-01-02,FR,7\n", "2": "2026-01-01,DE,7\n", "3": "2026-01-01,FR,7\n"}
    for name, text in rows.items():
        (tmp_path / f"{name}.csv").write_text(f"day,country,n\n{text}")
    for name, work in (("1", ".nfrun"), ("2", "fresh"), ("3", ".nfrun"), ("2", ".nfrun"), ("2", "other")):
        run(here, tmp_path, "-p", f"rows={name}", "--work", work)
        country = "DE" if name == "2" else "FR"
        found = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.parquet"))
        assert found == [f"day=2026-01-01/country={country}/part-0.parquet", "day=2026-01-02/country=FR/part-0.parquet"]


def test_a_replaced_folder_counts_in_full(here: Here, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(MOVED)
    (tmp_path / "1.csv").write_text("day,country,n\n2026-01-01,FR,7\n")
    run(here, tmp_path)
    assert set(reasons(here, tmp_path).values()) == {""}
    (tmp_path / "out/day=2026-01-02/country=IT").mkdir(parents=True)
    assert set(reasons(here, tmp_path).values()) == {""}
    (tmp_path / "out/day=2026-01-01/country=IT").mkdir()  # a row of another run would count beside those of this one
    assert reasons(here, tmp_path)["w"] == CHANGED.format("out/day=2026-01-01/")


def test_a_folder_that_is_a_link(here: Here, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(SITE)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to("elsewhere")
    run(here, tmp_path)
    assert (tmp_path / "out").is_symlink()
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["a"]
    assert reasons(here, tmp_path)["w"] == ""
    shown = here(tmp_path, "show", "w", "--pipeline", "p.yaml")
    assert "  wrote       out/a\n              out/\n" in shown.stdout
