"""`map` of nodes: how it is read, and what is told of one that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.core.errors import SpecError, render_all
from nfrun.core.map_spec import MapSpec
from nfrun.core.pipeline import NodeSpec
from nfrun.core.values import replace
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.resolve import resolve

STEPS = """
def each(t): ...
def length(text: str): ...
"""

READ = {
    "rows": MapSpec("rows"),
    "{over: rows}": MapSpec("rows", batch=64),
    "{over: rows, batch: 5}": MapSpec("rows", batch=5),
    "{over: rows, by: a}": MapSpec("rows", batch=0, by=("a",)),
    "{over: rows, by: [a, b], parts: 3}": MapSpec("rows", batch=0, by=("a", "b"), parts=3),
    "{over: rows, parts: 3}": MapSpec("rows", batch=0, parts=3),
    "{over: rows, batch: '${{ params.n }}'}": MapSpec("rows", batch=7),
    "{over: rows, parts: '${{ params.n }}'}": MapSpec("rows", batch=0, parts=7),
    "{over: rows, by: '${{ params.columns }}'}": MapSpec("rows", batch=0, by=("a", "b")),
    "{over: rows, reuse: '${{ params.n == 1 }}'}": MapSpec("rows", reuse=False),
    "{over: rows, on_error: collect, max_failed: 3}": MapSpec("rows", on_error="collect", max_failed=3),
    "{over: rows, on_error: collect, max_failed: '2.5 %'}": MapSpec("rows", on_error="collect", max_failed=0.025),
    "{over: rows, on_error: collect, max_failed: '${{ params.n }}%'}": MapSpec(
        "rows", on_error="collect", max_failed=0.07
    ),
}


def file(folder: Path, node: str) -> Path:
    (folder / "steps.py").write_text(STEPS)
    (folder / "rows.csv").write_text("a,b\n1,2\n")
    text = f"params: {{n: 7, columns: [a, b]}}\nnodes:\n  rows: {{read: rows.csv}}\n{node}\n"
    (folder / "p.yaml").write_text(text)
    return folder / "p.yaml"


def node(folder: Path, map: str, kind: str = "run: cat") -> NodeSpec:
    path = file(folder, f"  a: {{{kind}, inputs: rows, map: {map}}}")
    return resolve(path, given={}, params_file=None, environ={}, run_id="r").pipeline.nodes["a"]


@pytest.mark.parametrize("map", READ)
def test_a_map_is_read_and_bound(tmp_path: Path, map: str) -> None:
    kind = "run: cat" if READ[map].by or READ[map].parts else "python: steps:length"
    found = node(tmp_path, map, kind).map
    assert found is not None and found.form is not None
    assert replace(found, form=None) == READ[map]


@pytest.mark.parametrize("keep", ["a", "[a]"])
def test_columns_that_stay_are_one_or_a_list(tmp_path: Path, keep: str) -> None:
    found = node(tmp_path, f"{{over: rows, keep: {keep}}}", "python: steps:length").map
    assert found is not None and found.keep == ("a",)


def test_a_share_of_failed_rows_is_judged_from_20_rows_on() -> None:
    assert [MapSpec("x").is_past(3, ended) for ended in (3, 19, 20, 29, 30)] == [False, False, True, True, False]
    assert [MapSpec("x", max_failed=2).is_past(failed, 3) for failed in (2, 3)] == [False, True]
    assert MapSpec("x", max_failed=0).is_past(1, 1)


def test_a_node_that_collects_has_failed_rows_as_a_further_output(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        """
  a: {python: "steps:length", inputs: rows, map: {over: rows, on_error: collect}}
  b: {python: "steps:length", inputs: rows, outputs: [good], map: {over: rows, on_error: collect}}
  good: {run: x, inputs: {x: a, y: b, z: b.good}}
  bad: {run: x, inputs: {x: a.errors, y: b.errors}}""",
    )
    nodes = read_pipeline(path)[0].nodes
    assert [*nodes["a"].output_ids] == ["a", "a.errors"] and [*nodes["b"].output_ids] == ["b.good", "b.errors"]
    assert [item.output for item in nodes["good"].inputs] == ["a", "b.good", "b.good"]
    assert [item.output for item in nodes["bad"].inputs] == ["a.errors", "b.errors"]


# Each node of the table, and below it what is told last.
LINES = Path(__file__).with_name("wrong_maps.txt").read_text().splitlines()
MESSAGES = {node: message.strip() for node, message in zip(LINES[::2], LINES[1::2], strict=True)}


@pytest.mark.parametrize("node", MESSAGES)
def test_a_map_that_cannot_be_is_told_at_its_place(tmp_path: Path, node: str) -> None:
    with pytest.raises(SpecError) as caught:
        path = file(tmp_path, f"  a: {node}")
        resolve(path, given={}, params_file=None, environ={}, run_id="r")
    told = [
        f"{found.span.line}:{found.span.column}: {found.message}" + (f" ({found.hint})" if found.hint else "")
        for found in caught.value.diagnostics
    ]
    assert told[-1] == MESSAGES[node], render_all(caught.value.diagnostics)
    assert len(told) == 1 + ("pipeline:" in node)


@pytest.mark.parametrize("entry", ["", "batch: '${{ params.n }}'"])
def test_a_column_that_the_function_takes_must_be_there(tmp_path: Path, entry: str) -> None:
    path = file(
        tmp_path,
        f"""
  cut: {{sql: "select a, 'x' as txt from rows", inputs: rows}}
  a: {{python: "steps:length", inputs: cut, map: {{over: cut, {entry}}}}}""",
    )
    path.write_text(path.read_text().replace("read: rows.csv", "read: rows.csv, schema: {a: int64, b: int64}"))
    with pytest.raises(SpecError) as caught:
        resolve(path, given={}, params_file=None, environ={}, run_id="r", columns=True)
    (found,) = caught.value.diagnostics
    assert (found.span.line, found.span.column) == (6, 15)
    assert found.message == "length() takes the column 'text', which 'cut' does not have"
