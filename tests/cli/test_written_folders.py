"""Tests that a node which writes a folder runs again when anything in that folder is not as the node left it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Here

from nfrun.system import atomic_folders

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


LINKED = (
    SITE.replace("  w: {write: out/,", "  w: {write: LINK/,")
    + """\
  rows: {sql: "select unnest([1, 2]) as n, 'x' as text"}
  file: {write: LINK.csv, inputs: rows}
  table: {write: LINK.d/, inputs: rows}
  copy: {write: LINK.txt, inputs: text}
  text: {run: "echo > $NFRUN_OUTPUT", outputs: {text: file}}
"""
)


@pytest.mark.parametrize("target", ["mine/{}", "mine/{}/data", "nowhere/{}", "real/{}"])
def test_a_link_is_replaced_by_what_is_written_and_what_it_leads_to_stays(
    here: Here, tmp_path: Path, target: str
) -> None:
    (tmp_path / "p.yaml").write_text(LINKED.replace("LINK", "out/link"))
    written = ["link", "link.csv", "link.d", "link.txt"]
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")  # a link above is followed
    for name in written:
        (tmp_path / "mine" / name).mkdir(parents=True)
        (tmp_path / "mine" / name / "data").write_text("mine")
        (tmp_path / "real" / name).symlink_to(tmp_path / target.format(name))
    run(here, tmp_path)
    assert (tmp_path / "out").is_symlink()
    assert [path.name for path in sorted((tmp_path / "real").iterdir())] == written
    assert not any((tmp_path / "real" / name).is_symlink() for name in written)
    assert [path.name for path in (tmp_path / "real/link.d").iterdir()] == ["part-0.parquet"]
    assert [path.read_text() for path in (tmp_path / "mine").rglob("data")] == ["mine"] * 4
    assert not (tmp_path / "nowhere").exists()
    assert set(reasons(here, tmp_path).values()) == {""}
    atomic_folders.remove(tmp_path / "real/link")
    (tmp_path / "real/link").symlink_to(tmp_path / "mine")  # put there again, as by a script that links all it finds
    assert reasons(here, tmp_path)["w"].endswith("is gone or has changed")
    run(here, tmp_path)
    assert (tmp_path / "mine/link/data").exists() and not (tmp_path / "real/link").is_symlink()


def test_links_in_a_folder_that_is_replaced_are_not_followed(here: Here, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(SITE)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data").touch()
    (tmp_path / "out" / "inner").mkdir(parents=True)
    for name in ("out/folder", "out/inner/folder"):
        (tmp_path / name).symlink_to(tmp_path / "mine")
    (tmp_path / "out" / "file").symlink_to(tmp_path / "mine" / "data")
    run(here, tmp_path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]
    assert (tmp_path / "mine" / "data").exists() and (tmp_path / "mine").stat().st_mode & 0o777 == 0o755
