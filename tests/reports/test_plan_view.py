"""Tests of the plan view: exact texts, and the JSON that programs rely on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nfrun.core.pipeline import Pipeline
from nfrun.core.plan import plan_of
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.resolve import resolve
from nfrun.reports.plan_view import plan_view

FILE = """\
name: etl
description: Extract,
  then load.
nodes:
  load: {run: "true", outputs: [good, bad], description: From the till}
  users: {run: "true"}
  join: {run: "true", inputs: {left: load.good, right: users}}
  end: {run: "true", inputs: [join, load.bad], needs: users}
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    (tmp_path / "etl.yaml").write_text(FILE)
    return read_pipeline(tmp_path / "etl.yaml")[0]


def test_a_plan_as_text(pipeline: Pipeline) -> None:
    assert (
        plan_view(pipeline, plan_of(pipeline, slots=2), "text", {})
        == """\
etl: 4 nodes, 3 stages, 5 edges, at most 2 wide
Extract, then load.

stage 1  (2 nodes)
  load   run     (From the till)
  users  run

stage 2  (1 node)
  join   run     reads left=load.good, right=users

stage 3  (1 node)
  end    run     reads join, load.bad  needs users

longest path: load -> join -> end (3 nodes)
best possible with 2 workers: 1.3x faster than one after the other \
(nothing recorded yet: as if every node took the same time)"""
    )


def test_the_text_shows_recorded_durations(pipeline: Pipeline) -> None:
    recorded = {"load": 1.0, "users": 0.5, "join": 0.25, "end": 0.25}
    text = plan_view(pipeline, plan_of(pipeline, slots=4, estimated_durations=recorded), "text", recorded)
    assert "  users  run     500 ms\n" in text
    assert text.endswith(
        "best possible with 4 workers: 1.3x faster than one after the other "
        "(2.00 s of work, 1.50 s on the longest path, as recorded)"
    )
    some = plan_view(pipeline, plan_of(pipeline, slots=4, estimated_durations={"load": 1.0}), "text", {"load": 1.0})
    assert some.endswith("as recorded for 1 of 4 nodes)")


def test_a_plan_as_json(pipeline: Pipeline) -> None:
    assert json.loads(plan_view(pipeline, plan_of(pipeline), "json", {})) == {
        "name": "etl",
        "stages": [["load", "users"], ["join"], ["end"]],
        "nodes": {
            "load": {"kind": "run", "stage": 0, "inputs": {}, "needs": [], "outputs": ["load.good", "load.bad"]},
            "users": {"kind": "run", "stage": 0, "inputs": {}, "needs": [], "outputs": ["users"]},
            "join": {
                "kind": "run",
                "stage": 1,
                "inputs": {"left": "load.good", "right": "users"},
                "needs": [],
                "outputs": ["join"],
            },
            "end": {
                "kind": "run",
                "stage": 2,
                "inputs": {"join": "join", "bad": "load.bad"},
                "needs": ["users"],
                "outputs": ["end"],
            },
        },
        "edges": [["load", "join"], ["users", "join"], ["join", "end"], ["load", "end"], ["users", "end"]],
        "longest_path": ["load", "join", "end"],
    }


def test_a_plan_as_mermaid_and_dot(pipeline: Pipeline) -> None:
    plan = plan_of(pipeline)
    mermaid = plan_view(pipeline, plan, "mermaid", {}).splitlines()
    assert mermaid[:2] == ["flowchart LR", '  n0["load<br/><small>run</small>"]']
    assert mermaid[-1] == "  n1 --> n3"  # 'end' itself would break the diagram
    dot = plan_view(pipeline, plan, "dot", {}).splitlines()
    assert dot[0] == "digraph pipeline {"
    assert '  "join" -> "end";' in dot
    assert dot[-1] == "}"


def test_disabled_nodes_and_those_that_run_last_are_shown_with_the_plan(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "name: p\nnodes:\n  a: {sql: select 1 as n}\n  off: {sql: select 2 as n, if: false}\n"
        "  gone: {run: x, inputs: off}\non_failure:\n  tell: {run: x}\nfinally:\n  stop: {run: y, inputs: a}\n"
    )
    pipeline = resolve(tmp_path / "p.yaml", given={}, params_file=None, environ={}, run_id="r").pipeline
    text = plan_view(pipeline, plan_of(pipeline), "text", {})
    assert (
        "disabled  (2 nodes)\n  off: its 'if' is false\n  gone: it reads 'off', which is disabled\n\n"
        "on_failure  (1 node)\n  tell  run\n\nfinally  (1 node)\n  stop  run     reads a\n"
    ) in text
    document = json.loads(plan_view(pipeline, plan_of(pipeline), "json", {}))
    assert document["nodes"]["off"]["disabled"] == "its 'if' is false"
    assert (document["on_failure"], document["finally"]) == ({"tell": {"kind": "run"}}, {"stop": {"kind": "run"}})


def test_a_plan_without_nodes_is_shown(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("name: p\nnodes:\n  off: {run: x, if: false}\n")
    pipeline = resolve(tmp_path / "p.yaml", given={}, params_file=None, environ={}, run_id="r").pipeline
    text = plan_view(pipeline, plan_of(pipeline), "text", {})
    assert text == "p: 0 nodes, 0 stages, 0 edges, at most 0 wide\n\ndisabled  (1 node)\n  off: its 'if' is false"
