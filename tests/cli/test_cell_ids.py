"""A run of nodes whose ids have dots, as the cells of a matrix will have: no part of an id is taken for an output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nfrun.cli.typer_app import app
from nfrun.core.pipeline import Input, NodeSpec, OutputId, Pipeline
from nfrun.pipeline_file import resolve as resolving

STEPS = """
def split(): return {"early": {"n": 1}, "late": {"n": 2}}
def half(): return {"early": {"n": 1}, "late": None}
"""
TEXT = """\
nodes:
  split: {python: "steps_of_cells:split", outputs: [early, late], cache: true}
  late: {sql: select * from late, inputs: split.late}
  all: {sql: select * from late union all select * from early, inputs: {late: late, early: split.early}}
  after: {sql: select 1 as n, needs: all}
"""


def as_cell(spec: NodeSpec) -> NodeSpec:
    """Return the node as the cell `0.5` of an axis."""
    return replace(
        spec,
        id=f"{spec.id}@0.5",
        inputs=tuple(Input(i.name, OutputId(f"{i.output.node}@0.5", i.output.name)) for i in spec.inputs),
        needs=tuple(f"{need}@0.5" for need in spec.needs),
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a pipeline; every node becomes a cell once it is bound."""
    bind = resolving.bind

    def bind_cells(*arguments: Any, **settings: Any) -> Pipeline:
        pipeline = bind(*arguments, **settings)
        nodes = {spec.id: spec for spec in map(as_cell, pipeline.nodes.values())}
        outputs = {name: OutputId(f"{id.node}@0.5", id.name) for name, id in pipeline.outputs.items()}
        return replace(pipeline, nodes=nodes, outputs=outputs)

    monkeypatch.setattr(resolving, "bind", bind_cells)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "steps_of_cells.py").write_text(STEPS)
    (tmp_path / "p.yaml").write_text(TEXT)
    path, environ = list(sys.path), dict(os.environ)
    yield tmp_path
    sys.path[:] = path
    sys.modules.pop("steps_of_cells", None)
    os.environ.clear()
    os.environ.update(environ)


def nfrun(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, words)
    return done.exit_code, done.stdout, done.stderr


def run(*options: str) -> dict[str, Any]:
    code, out, err = nfrun("run", "p.yaml", "--json", *options)
    assert code == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


def test_they_run_and_are_reused(folder: Path) -> None:
    first = run("--keep")
    assert {name: node["status"] for name, node in first["nodes"].items()} == dict.fromkeys(
        ("split@0.5", "late@0.5", "all@0.5", "after@0.5"), "ok"
    )
    assert first["nodes"]["split@0.5"]["rows"] == 2
    assert {name: output["rows"] for name, output in first["outputs"].items()} == {"all": 2, "after": 1}
    again = run("--resume")
    assert {node["status"] for node in again["nodes"].values()} == {"reused"}
    assert again["outputs"]["all"]["digest"] == first["outputs"]["all"]["digest"]
    _, out, _ = nfrun("plan", "p.yaml", "--resume", "--format", "json")
    planned = json.loads(out)
    assert planned["nodes"]["split@0.5"]["outputs"] == ["split@0.5.early", "split@0.5.late"]
    assert {node["resume"] for node in planned["nodes"].values()} == {"reuse"}


def test_without_room_for_tables_only_cached_outputs_stay_between_nodes(folder: Path) -> None:
    found = run("--cache-size", "0")
    names = {path.name.removesuffix(".1.arrow") for path in (folder / ".nfrun" / "runs" / found["run"]).glob("*.arrow")}
    assert names == {"split@0.5.early", "split@0.5.late", "all@0.5", "after@0.5"}


def test_a_missing_output_is_named(folder: Path) -> None:
    (folder / "p.yaml").write_text(TEXT.replace(":split", ":half"))
    code, _, err = nfrun("run", "p.yaml", "--quiet")
    assert code == 1
    assert "p.yaml:2:3: node 'split@0.5' failed: " in err
    assert "it has not made 'split@0.5.late', but other nodes read it" in err
