"""The pipeline of `docs/writing.md`: writes partitions, reads them back, and reuses what is there unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc as ipc
import pytest
from conftest import Here

from tests.docs.pages import write_files

APRIL = "id,day,country,zip\n4,2024-04-01,DE,01067\n5,2024-03-02,DE,10117\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of the page, and the data that they read."""
    write_files("docs/writing.md", tmp_path)
    (tmp_path / "data" / "april.csv").write_text(APRIL)
    return tmp_path


def run(here: Here, folder: Path, *words: str) -> dict[str, Any]:
    done = here(folder, "run", "sales.yaml", *words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def rows(found: dict[str, Any], output: str) -> dict[str, list[Any]]:
    with pa.memory_map(found["outputs"][output]["path"]) as file:
        columns: dict[str, list[Any]] = ipc.open_file(file).read_all().to_pydict()
    return columns


def status(found: dict[str, Any], name: str) -> str:
    nodes = found["nodes"]
    return str(nodes[name]["status"] if isinstance(nodes, dict) else {n["id"]: n["status"] for n in nodes}[name])


def test_partitions_are_replaced_and_read(here: Here, folder: Path) -> None:
    first = run(here, folder)
    files = rows(first, "files")["path"]
    assert rows(first, "all")["id"] == [2, 1, 3]
    assert rows(first, "all")["zip"] == ["01067", "01000", "10115"]
    assert (folder / "out" / "copy" / "part-0.csv").read_text().count("\n") == 4
    assert run(here, folder)["counts"]["reused"] == 5

    second = run(here, folder, "-p", "source=data/april.csv")
    assert rows(second, "all")["id"] == [2, 1, 5, 4]
    assert rows(second, "days") == {"country": ["DE", "FR"], "sales": [3, 1]}
    before = {file: (folder / file).read_bytes() for file in files}
    run(here, folder)
    assert rows(run(here, folder), "all")["id"] == [2, 1, 3, 4]
    assert {file: (folder / file).read_bytes() for file in files} != before  # the second of March is as it was first


def test_what_another_run_wrote_beside_it_does_not_count(here: Here, folder: Path) -> None:
    run(here, folder)
    (folder / "out" / "sales" / "day=2024-01-01" / "country=NL").mkdir(parents=True)
    file = folder / "out" / "sales" / "day=2024-03-01" / "country=DE" / "part-0.parquet"
    (folder / "out" / "sales" / "day=2024-01-01" / "country=NL" / "part-0.parquet").write_bytes(file.read_bytes())
    found = run(here, folder)
    assert (status(found, "save"), status(found, "all")) == ("reused", "ok")
    assert rows(found, "all")["country"] == ["NL", "DE", "FR", "DE"]
    before = file.read_bytes()
    file.write_bytes(b"")
    found = run(here, folder)
    assert status(found, "save") == "ok" and file.read_bytes() == before
