"""Pipelines with mapped nodes, as users write them, are run with small data and a server: results, reuse, failures."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import Here

CONTRACT = Path(__file__).parents[1] / "contract"
DOCUMENTS = {f"d{i}": f"Abba {i} eats beef. A bag of cabbage. Feed the hedge." for i in range(1, 6)}


def run(here: Here, folder: Path, *words: str, code: int = 0) -> dict[str, Any]:
    done = here(folder, "run", *words, "--json")
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = {**json.loads(done.stdout), "told": done.stderr}
    return found


# -- an index of documents ---------------------------------------------------------------------------------------------


@pytest.fixture
def rag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with documents, whose chunks are made on threads: the contract's worker processes take seconds."""
    text = (CONTRACT / "rag.yaml").read_text()
    (tmp_path / "rag.yaml").write_text(text.replace("executor: process", "executor: thread"))
    shutil.copy(CONTRACT / "rag.py", tmp_path)
    (tmp_path / "docs").mkdir()
    for name, text in DOCUMENTS.items():
        (tmp_path / "docs" / f"{name}.txt").write_text(text)
    monkeypatch.setenv("RAG_LOG", str(tmp_path / "log.txt"))
    return tmp_path


def noted(folder: Path) -> list[str]:
    """Return what was called since the last time."""
    log = folder / "log.txt"
    found = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return sorted(found)


def test_documents_are_embedded_once_and_indexed(here: Here, rag: Path) -> None:
    document = run(here, rag, "rag.yaml")
    assert document["nodes"]["embed"]["map"] == {"rows": 15, "reused": 0, "failed": 0, "calls": 1}
    index = json.loads((rag / "out" / "index" / "index.json").read_text())
    assert sorted(index["a"]) == sorted(f"d{i}.{n}" for i in range(1, 6) for n in (0, 1))
    # Five texts differ, and two are in all documents.
    assert noted(rag) == [*[f"chunk d{i}" for i in range(1, 6)], "close", "embed 7", "model minilm"]
    run(here, rag, "rag.yaml")
    assert noted(rag) == []


def test_a_changed_document_costs_its_part_and_its_new_chunks(here: Here, rag: Path) -> None:
    run(here, rag, "rag.yaml")
    noted(rag)
    (rag / "docs" / "d3.txt").write_text(f"{DOCUMENTS['d3']} And a face.")
    document = run(here, rag, "rag.yaml")
    assert noted(rag) == ["chunk d3", "close", "embed 1", "model minilm"]
    assert document["nodes"]["embed"]["map"] == {"rows": 16, "reused": 15, "failed": 0, "calls": 1}


def test_an_index_of_no_documents_is_empty(here: Here, rag: Path) -> None:
    for path in (rag / "docs").iterdir():
        path.unlink()
    run(here, rag, "rag.yaml")
    assert json.loads((rag / "out" / "index" / "index.json").read_text()) == {}


# -- a comparison of models --------------------------------------------------------------------------------------------


class Model(BaseHTTPRequestHandler):
    """Answers sums. The first request for each text gets what `moods` says next, if anything."""

    moods: list[int]
    asked: list[str]
    is_good: bool

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        is_new = text not in self.asked
        self.asked.append(text)
        status = self.moods.pop(0) if is_new and self.moods else 200
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "0")
        self.end_headers()
        if status == 200:
            a, b = text.partition(": ")[2].split("+")
            answer = str(int(a) + int(b)) if self.is_good else "7"
            self.wfile.write(json.dumps({"answer": answer}).encode())

    def log_message(self, *words: object) -> None:
        pass


def served(*, is_good: bool, moods: list[int]) -> tuple[ThreadingHTTPServer, type[Model]]:
    handler = type("Handler", (Model,), {"is_good": is_good, "moods": moods, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server, handler


@pytest.fixture
def models() -> Iterator[list[tuple[ThreadingHTTPServer, type[Model]]]]:
    """A model that cannot add, and one that can, and sends clients away at first."""
    found = [served(is_good=False, moods=[]), served(is_good=True, moods=[429, 500, 429])]
    yield found
    for server, _ in found:
        server.shutdown()
        server.server_close()


def evals(folder: Path, ports: list[int]) -> None:
    text = (CONTRACT / "evals.yaml").read_text().replace("delay: 2s", "delay: 1ms").replace("localhost", "127.0.0.1")
    for old, port in zip(("8001", "8002"), ports, strict=True):
        text = text.replace(old, str(port))
    (folder / "evals.yaml").write_text(text)
    shutil.copy(CONTRACT / "evals.py", folder)
    (folder / "prompts.csv").write_text("id,template\nplain,Say: {}\ncot,Think: {}\n")
    (folder / "data").mkdir()
    questions = [{"question": f"{i}+4", "expected": str(i + 4)} for i in range(10)]
    (folder / "data" / "questions.jsonl").write_text("\n".join(map(json.dumps, questions)))
    for name in ("notify.sh", "stop-servers.sh"):
        (folder / name).write_text(f'#!/bin/sh\necho "$NFRUN_FAILED" > {name}.txt\n')
        (folder / name).chmod(0o755)


def test_models_are_compared(here: Here, tmp_path: Path, models: list[tuple[ThreadingHTTPServer, type[Model]]]) -> None:
    evals(tmp_path, [server.server_port for server, _ in models])
    document = run(here, tmp_path, "evals.yaml")
    report = Path(document["outputs"]["report"]["path"]).read_text()
    assert report.splitlines() == [
        "<p>small cot 0.10</p>", "<p>small plain 0.10</p>", "<p>large cot 1.00</p>", "<p>large plain 1.00</p>"
    ]  # fmt: skip
    counts = [len(model.asked) for _, model in models]
    assert counts == [20, 23]
    assert (tmp_path / "stop-servers.sh.txt").exists() and not (tmp_path / "notify.sh.txt").exists()
    # Another question costs one call for each model and prompt.
    with (tmp_path / "data" / "questions.jsonl").open("a") as file:
        file.write('\n{"question": "40+2", "expected": "42"}')
    document = run(here, tmp_path, "evals.yaml")
    assert [len(model.asked) for _, model in models] == [22, 25]
    assert document["nodes"]["answer@large@cot"]["map"] == {"rows": 11, "reused": 10, "failed": 0, "calls": 1}


def test_a_model_that_is_down_is_left_out(
    here: Here, tmp_path: Path, models: list[tuple[ThreadingHTTPServer, type[Model]]]
) -> None:
    evals(tmp_path, [models[0][0].server_port, 1])
    document = run(here, tmp_path, "evals.yaml")
    report = Path(document["outputs"]["report"]["path"]).read_text()
    assert report.splitlines() == ["<p>small cot 0.10</p>", "<p>small plain 0.10</p>"]
    failed = document["nodes"]["answer@large@cot"]
    assert (failed["status"], failed["tolerated"]) == ("failed", True)
    told = r"evals.yaml:11:3: row (\d+) of 10 of 'answer@large@\w+' failed \(tolerated\): ConnectionRefusedError: .*"
    row = re.search(rf'{told} \(question: "(\d)\+4"\)', document["told"])
    assert row is not None and int(row[1]) == int(row[2]) + 1
