"""Pipelines whose nodes hand on files, as users write them, are run with small data: their results, and reuse."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc as ipc
import pytest
from conftest import Here

CONTRACT = Path(__file__).parents[1] / "contract"
GENOME = "ACGTTGCAAGCTTACGGATCCATGCAAATTTGCCCGGGATATCGAT"


def run(here: Here, folder: Path, *words: str) -> dict[str, Any]:
    done = here(folder, "run", *words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def ran(document: dict[str, Any]) -> list[str]:
    return [id for id, node in document["nodes"].items() if node["status"] == "ok"]


@pytest.fixture
def genomics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("genomics.yaml", "plots.py"):
        shutil.copy(CONTRACT / name, tmp_path)
    monkeypatch.setenv("PATH", f"{CONTRACT / 'bin'}{os.pathsep}{os.environ['PATH']}")
    samples, genome = tmp_path / "data" / "samples", tmp_path / "data" / "genome"
    samples.mkdir(parents=True)
    genome.mkdir()
    (genome / "genome.fa").write_text(f">chr1\n{GENOME}\n")
    (genome / "genome.fa.fai").write_text("chr1\t46\n")
    for unit, at, letter in (("A_1", 4, "A"), ("A_2", 4, "A"), ("B_1", 20, "T")):
        read = GENOME[at - 3 : at + 9]
        reads = [read, read[:3] + letter + read[4:]]
        lines = [f"@{unit}.{i}\n{read}\n+\n{'I' * len(read)}\n" for i, read in enumerate(reads)]
        (samples / f"{unit}.fastq").write_text("".join(lines))
    return tmp_path


def test_variants_are_called_from_the_reads_of_all_samples(here: Here, genomics: Path) -> None:
    assert len(ran(run(here, genomics, "genomics.yaml"))) == 1 + 3 + 3 + 2 + 3
    drawn = (genomics / "out" / "quals.svg").read_text()
    assert drawn == '<svg><rect x="5" height="60"/><rect x="21" height="30"/></svg>'
    assert ran(run(here, genomics, "genomics.yaml")) == []
    fastq = genomics / "data" / "samples" / "B_1.fastq"
    fastq.write_text(fastq.read_text().replace("T", "G", 1))
    again = ran(run(here, genomics, "genomics.yaml"))
    assert {"reads@B-1", "align@B-1", "merge@B", "call"} <= set(again)
    assert "merge@A" not in again
    merged = here(genomics, "open", "merge@A", "--pipeline", "genomics.yaml")
    path = Path(merged.stdout.strip())
    assert (path.name, path.stat().st_mode & 0o777) == ("merge@A.bam.1.bam", 0o444)
    assert path.read_text().splitlines()[:2] == ["@RG\tID:A-1\tSM:A", "@RG\tID:A-2\tSM:A"]


def test_the_price_of_shuttles_is_learnt(here: Here, tmp_path: Path) -> None:
    for name in ("spaceflights.yaml", "steps.py"):
        shutil.copy(CONTRACT / name, tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    (data / "companies.csv").write_text("id,company_rating\n1,90%\n2,80%\n")
    reviews = [f"{i},{90 + i}" for i in range(1, 11)]
    (data / "reviews.csv").write_text("\n".join(["shuttle_id,review_scores_rating", *reviews]) + "\n")
    header = ["id", "company", "engines", "passenger_capacity", "crew", "price"]
    rows = [[str(i), str(1 + i % 2), str(i % 4), "5", "2", f"${1000 + 500 * (i % 4):,}"] for i in range(1, 11)]
    sheet = "".join(f"<row>{''.join(f'<t>{cell}</t>' for cell in row)}</row>" for row in [header, *rows])
    with zipfile.ZipFile(data / "shuttles.xlsx", "w") as file:
        file.writestr("xl/worksheets/sheet1.xml", sheet)
    document = run(here, tmp_path, "spaceflights.yaml")
    regressor, metrics = document["outputs"]["regressor"], document["outputs"]["metrics"]
    assert (regressor["type"], regressor["rows"]) == (".pkl", None)
    assert Path(regressor["path"]).suffix == ".pkl"
    with pa.memory_map(metrics["path"]) as opened:
        assert ipc.open_file(opened).read_all().to_pylist() == [{"max_error": 0.0}]
    assert ran(run(here, tmp_path, "spaceflights.yaml")) == []
    assert sorted(ran(run(here, tmp_path, "spaceflights.yaml", "-p", "random_state=4"))) == [
        "evaluate",
        "parts",
        "train",
    ]
