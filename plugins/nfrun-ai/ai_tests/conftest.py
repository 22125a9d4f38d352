"""The fixtures of the tests: the plug-in as if it were installed, and the pretended model of `pipelines/evals`."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import nfrun

PACKAGE = Path(__file__).parents[1]
EVALS = PACKAGE.parents[1] / "pipelines" / "evals"

# Runs a node of `ai.chat` over questions: `run(with_, node)`, values of which win over the usual ones.
Ask = Callable[..., nfrun.Result]


@pytest.fixture(autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the package look installed."""
    site = tmp_path_factory.mktemp("site")
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = site / f"nfrun_ai-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: nfrun-ai\nVersion: {project['version']}\n")
    kinds = project["entry-points"]["nfrun.kinds"]
    (info / "entry_points.txt").write_text(
        "[nfrun.kinds]\n" + "".join(f"{name} = {module}\n" for name, module in kinds.items())
    )
    monkeypatch.setattr(sys, "path", [*sys.path, str(site), str(PACKAGE)])


@pytest.fixture
def model() -> Iterator[Any]:
    """The server's module, whose settings a test may change, with the server that runs as `running`."""
    spec = importlib.util.spec_from_file_location("evals_server", EVALS / "server.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.SECONDS, module.RETRY_AFTER = (0.0, 0.0), "0.01"
    with module.Server() as server:
        module.running = server
        yield module


@pytest.fixture
def ask(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Runs `answers`, a node that asks the pretended model the questions of `pipelines/evals`."""
    monkeypatch.setenv("MODEL_KEY", model.running.key)
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def run(values: Mapping[str, Any] = {}, **settings: Any) -> nfrun.Result:
        return nfrun.load(pipeline_file(tmp_path, model.running.url, values, **settings)).run()

    return run


def pipeline_file(folder: Path, url: str, values: Mapping[str, Any] = {}, **settings: Any) -> Path:
    """Write the pipeline, as JSON, which is YAML. Returns its file. A value of None leaves out what is usual."""
    usual = {
        "url": url,
        "model": "small",
        "messages": "{question} Answer with the result alone.",
        "prices": {"small": {"input": 0.15, "output": 0.6}},
    }
    node = {
        "use": "ai.chat",
        "inputs": "questions",
        "with": {name: value for name, value in {**usual, **values}.items() if value is not None},
        "map": {"over": "questions", "on_error": "collect"},
        "env": {"API_KEY": "${{ secrets.MODEL_KEY }}"},
        "resources": {"cpu": 0.1},
        "retries": {"max": 3, "delay": "1ms"},
    }
    columns = dict.fromkeys(("id", "topic", "question", "expected"), "string?")
    questions = settings.pop("questions", str(EVALS / "data" / "questions.csv"))
    nodes = {
        "questions": {"read": questions, "schema": columns},
        "answers": {name: value for name, value in {**node, **settings}.items() if value is not None},
    }
    file = folder / "ask.yaml"
    file.write_text(_yaml({"secrets": ["MODEL_KEY"], "nodes": nodes}), encoding="utf-8")
    return file


def _yaml(document: Any) -> str:
    import yaml

    return yaml.safe_dump(document, sort_keys=False, width=1000)
