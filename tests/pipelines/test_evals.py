"""pipelines/evals: all of it against its pretended model, whose counters agree, and its script that makes the data."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import forked
import pyarrow as pa
import pytest

pytest.importorskip("httpx")

EVALS = Path(__file__).parents[2] / "pipelines" / "evals"

# What the hashes of the 300 requests decide: model, prompt, failed, accuracy, tokens and dollars, the best first.
SCORES = [
    ("large", "steps", 3, 0.92, 648, 1175, 0.01337),
    ("large", "exam", 0, 0.9, 938, 50, 0.002845),
    ("small", "steps", 2, 0.88, 661, 1200, 0.000819),
    ("large", "bare", 3, 0.76, 459, 47, 0.001618),
    ("small", "bare", 1, 0.68, 478, 49, 0.000101),
    ("small", "exam", 2, 0.6, 901, 48, 0.000164),
]
COUNTERS = {"requests": 363, "answered": 289, "broken": 14, "busy": 19, "garbage": 41}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"evals_{name}", EVALS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_data, steps = load("make_data"), load("steps")


@pytest.fixture
def server() -> Iterator[Any]:
    """The pretended model on a free port. It answers at once, so that the tests are short."""
    module = load("server")
    module.SECONDS, module.RETRY_AFTER = (0.0, 0.0), "0.01"
    with module.Server() as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The pipeline in a folder of its own, with a larger rate."""
    found = tmp_path / "evals"
    shutil.copytree(EVALS, found, ignore=shutil.ignore_patterns(".nfrun", "out", "__pycache__"))
    text = (found / "evals.yaml").read_text(encoding="utf-8")
    assert "calls: 50/s" in text and "delay: 50ms" in text
    text = text.replace("calls: 50/s", "calls: 5k/s").replace("delay: 50ms", "delay: 1ms")
    (found / "evals.yaml").write_text(text, encoding="utf-8")
    return found


KEY = "key-of-the-pretended-model"


def run(folder: Path, url: str, *arguments: str, key: str = KEY, code: int = 0) -> Any:
    """Run the pipeline. Returns the document of the run, or stderr if it fails."""
    command = [sys.executable, "-m", "nfrun", "run", str(folder / "evals.yaml"), "--json", "-q", "-p", f"url={url}"]
    environ = {**os.environ, "API_KEY": key, "no_proxy": "127.0.0.1"}
    done = forked.run([*command, *arguments], capture_output=True, text=True, timeout=120, check=False, env=environ)
    assert done.returncode == code, done.stderr
    assert key not in done.stdout + done.stderr
    return done.stderr if code else json.loads(done.stdout)


def rows(document: Any, output: str) -> list[dict[str, Any]]:
    with pa.memory_map(document["outputs"][output]["path"]) as file:
        found: list[dict[str, Any]] = pa.ipc.open_file(file).read_all().to_pylist()
    return found


def failed_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "out" / "failures.csv").open(encoding="utf-8", newline="") as file:
        return [*csv.DictReader(file)]


def test_the_questions_are_those_that_the_script_makes() -> None:
    with (EVALS / "data" / "questions.csv").open(encoding="utf-8", newline="") as file:
        assert [*csv.DictReader(file)] == make_data.questions()


@pytest.mark.parametrize(
    ("answer", "expected", "is_right"),
    [
        ("74", "74", True),
        ("So it is **74**.\n", "74", True),
        ("ELTTEK", "elttek", True),
        ("it is 'elttek'!", "elttek", True),
        ("74 apples", "74", False),
        ("", "74", False),
        (None, "74", False),
    ],
)
def test_what_counts_is_the_last_word_of_an_answer(answer: str | None, expected: str, is_right: bool) -> None:
    table = pa.table({"answer": pa.array([answer], pa.string()), "expected": [expected]})
    assert steps.graded(table)["is_right"].to_pylist() == [is_right]


def test_accuracy_cost_and_failures_are_known_exactly(folder: Path, server: Any) -> None:
    first = run(folder, server.url)
    names = ("model", "prompt", "failed", "accuracy", "tokens_in", "tokens_out", "dollars")
    assert [tuple(row[name] for name in names) for row in rows(first, "scores")] == SCORES
    assert server.counters() == COUNTERS
    failures = failed_rows(folder)
    assert len(failures) == 11 and {row["error"] for row in failures} == {"ValueError"}
    assert {row["attempts"] for row in failures} == {"4"}
    mapped = [node["map"] for name, node in first["nodes"].items() if name.startswith("answers@")]
    assert {name: sum(each[name] for each in mapped) for name in ("rows", "reused", "failed", "calls")} == {
        "rows": 300,
        "reused": 0,
        "failed": 11,
        "calls": COUNTERS["requests"],
    }
    report = (folder / "out" / "report.md").read_text(encoding="utf-8")
    assert "| large | steps | 92 % | 3 | 0.0134 |" in report
    assert "11 of 300 questions have no answer:\n\n- small, bare: How many letters has 'meadow'? ValueError" in report

    second = run(folder, server.url)  # asks again what has failed, and the model has recovered
    assert sum(node["map"]["calls"] for node in second["nodes"].values() if "map" in node) == 11
    assert failed_rows(folder) == []
    assert server.counters() == {**COUNTERS, "requests": 374, "answered": 300}
    third = run(folder, server.url)
    assert {node["status"] for node in third["nodes"].values()} == {"reused"}
    assert server.counters()["requests"] == 374

    with (folder / "data" / "questions.csv").open("a", encoding="utf-8") as file:
        file.write("q51,plus,What is 1 plus 1?,2\n")
    run(folder, server.url)
    assert server.counters()["answered"] == 306


def test_the_gate_fails_the_run_behind_the_report(folder: Path, server: Any) -> None:
    told = run(folder, server.url, "-p", "accuracy=0.95", code=1)
    what = "node 'best' failed its check 'range: accuracy': 1 row of 1; the first: accuracy: 0.92, model: large, prompt"
    assert what in told
    assert (folder / "out" / "report.md").exists()


def test_a_wrong_key_and_an_unknown_model_fail_at_once(folder: Path, server: Any) -> None:
    told = run(folder, server.url, key="another-key", code=1)
    assert 'NoRetry: status 401: {"error": {"message": "wrong API key"}}' in told
    models = folder / "models.csv"
    models.write_text(models.read_text(encoding="utf-8").replace("large", "huge"), encoding="utf-8")
    told = run(folder, server.url, code=1)
    assert 'NoRetry: status 404: {"error": {"message": "there is no model \'huge\'"}}' in told
    assert server.counters()["unauthorized"] <= 300 and server.counters()["unknown"] <= 150  # none is asked twice


def test_an_endpoint_that_is_not_there(folder: Path, server: Any) -> None:
    server.shutdown()
    server.server_close()
    told = run(folder, server.url, code=1)
    assert "6 of 50 rows failed" in told and "ConnectError: All connection attempts failed" in told


def test_the_server_runs_a_command_with_its_key_and_exits_with_its_code() -> None:
    show = "import os, sys; print(os.environ['API_KEY'], sys.argv[1], os.environ['no_proxy']); sys.exit(3)"
    command = [sys.executable, str(EVALS / "server.py"), "--port", "0", sys.executable, "-c", show, "{url}"]
    environ = {**os.environ, "no_proxy": "intranet"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environ)
    assert done.returncode == 3
    key, url, direct = done.stdout.split()
    assert key == KEY and url.startswith("http://127.0.0.1:") and direct == "intranet,127.0.0.1"
    assert done.stderr == 'the server counts {"requests": 0}\n'
