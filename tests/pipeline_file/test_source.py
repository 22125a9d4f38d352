"""`NodeSpec.source`: where the name of a node stands in its file."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from nfrun.core.errors import SourceSpan
from nfrun.pipeline_file.loader import read_pipeline

PIPELINES = Path(__file__).parents[2] / "pipelines"
PLAIN = """\
name: p
params: {a: {type: integer, default: 1}}
defaults: {retries: {max: 1}}
nodes:
  a: {sql: select 1}
  "b":
    sql: select * from a
    inputs: a
  ? c
  : sql: select 1
  'd': {sql: select 1}
"""


def sources(folder: Path, text: str) -> dict[str, tuple[int, int]]:
    """Return the line and the column of each node."""
    (folder / "p.yaml").write_text(text, encoding="utf-8", newline="")
    pipeline, _ = read_pipeline(folder / "p.yaml")
    assert {spec.source.file for spec in pipeline.nodes.values()} == {str(folder / "p.yaml")}
    return {name: (spec.source.line, spec.source.column) for name, spec in pipeline.nodes.items()}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_of_plain_and_quoted_names(tmp_path: Path, end: str) -> None:
    assert sources(tmp_path, PLAIN.replace("\n", end)) == {"a": (5, 3), "b": (6, 3), "c": (9, 5), "d": (11, 3)}


def test_of_a_file_in_one_line_with_wide_characters(tmp_path: Path) -> None:
    text = "\ufeff{name: é😀, nodes: {a: {sql: select 1}, b: {sql: select 2}}}"
    assert sources(tmp_path, text) == {"a": (1, 20), "b": (1, 40)}


def test_of_files_with_anchors_and_tabs(tmp_path: Path) -> None:
    text = PLAIN.replace("select 1", "select\t1") + "  e: &e {sql: select 1}\n  f: *e\n  &g g: {sql: select 1}\n"
    assert sources(tmp_path, text) == {
        **{"a": (5, 3), "b": (6, 3), "c": (9, 5), "d": (11, 3)},
        **{"e": (12, 3), "f": (13, 3), "g": (14, 6)},
    }


@pytest.mark.parametrize("path", sorted(PIPELINES.rglob("*.yaml")), ids=lambda path: path.name)
def test_it_is_the_span_of_the_key_without_the_line(path: Path) -> None:
    pipeline, document = read_pipeline(path)
    for name, spec in pipeline.nodes.items():
        span = document.key_span("nodes", name)
        assert spec.source == SourceSpan(str(path), span.line, span.column)


def test_it_goes_to_workers_and_makes_no_difference_between_nodes(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("nodes: {a: {sql: select 1}}")
    (node,) = read_pipeline(tmp_path / "p.yaml")[0].nodes.values()
    assert pickle.loads(pickle.dumps(node)).source == SourceSpan(str(tmp_path / "p.yaml"), 1, 9)
    (tmp_path / "p.yaml").write_text("nodes:\n  a: {sql: select 1}")
    assert list(read_pipeline(tmp_path / "p.yaml")[0].nodes.values()) == [node]
