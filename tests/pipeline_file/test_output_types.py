"""Outputs have types, and each reader knows that of what it reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.core.errors import SpecError
from nfrun.core.pipeline import Pipeline
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.resolve import resolve

PIPELINE = """
matrix: {fold: [0, 1]}
nodes:
  fit: {run: x, matrix: fold, outputs: {model: .pkl, scores: {}, site: {type: folder, description: pages}}}
  all: {run: x, inputs: {models: {from: fit.model, gather: dict}, scores: {from: fit.scores, gather: concat}}}
  one: {run: x, matrix: fold, inputs: {m: fit.model, s: fit.site}}
"""


def pipeline_of(tmp_path: Path, text: str) -> Pipeline:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    return resolve(path, given={}, params_file=None, environ={}, run_id="1").pipeline


def problems_of(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        read_pipeline(path)
    found = caught.value.diagnostics
    return [f"{d.span.line}:{d.span.column}: {d.message} ({d.hint})" for d in found]


def test_a_list_and_a_mapping_name_outputs(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path, "nodes: {a: {run: x, outputs: [p, q]}, b: {run: x, outputs: {p: table, q: file}}}")
    assert pipeline.nodes["a"].outputs == pipeline.nodes["b"].outputs == ("p", "q")
    assert pipeline.nodes["a"].types == {}
    assert pipeline.nodes["b"].types == {"q": "file"}
    assert pipeline.nodes["b"].type_of("p") == "table"


def test_inputs_have_the_types_of_what_they_read_in_cells_too(tmp_path: Path) -> None:
    nodes = pipeline_of(tmp_path, PIPELINE).nodes
    assert [item.type for item in nodes["all"].inputs] == [".pkl", "table"]
    assert [item.type for item in nodes["one@1"].inputs] == [".pkl", "folder"]


def test_the_outputs_of_another_pipeline_have_types(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(
        "inputs: {ref: {outputs: {ref: folder}}}\n"
        "nodes: {a: {run: x, inputs: ref, outputs: {bam: .bam}}}\n"
        "outputs: {bam: a}"
    )
    nodes = pipeline_of(
        tmp_path,
        "nodes:\n"
        "  genome: {run: x, outputs: {ref: folder}}\n"
        "  sub: {pipeline: other.yaml, inputs: {ref: genome}}\n"
        "  b: {run: x, inputs: sub}",
    ).nodes
    assert nodes["b"].inputs[0].type == ".bam"
    assert nodes["sub/ref"].types == {"ref": "folder"}
    assert nodes["sub/a"].inputs[0].type == "folder"


def test_tables_are_not_given_in_the_place_of_folders(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(
        "inputs: {ref: {outputs: {ref: folder}}}\nnodes: {a: {run: x, inputs: ref}}\noutputs: {a: a}"
    )
    text = "nodes:\n  genome: {run: x}\n  sub: {pipeline: other.yaml, inputs: {ref: genome}}"
    what = "3:45: 'other.yaml' reads its input 'ref' as a folder, and 'genome' is a table"
    assert problems_of(tmp_path, text) == [f"{what} (in other.yaml: inputs: {{ref: {{outputs: {{ref: table}}}}}})"]


WRONG = {
    "b: {run: x, matrix: i, outputs: {f: .x}}, c: {run: x, inputs: {f: {from: b, gather: concat}}}": [
        "2:93: 'b.f' is a file, and only tables are put together (gather: dict)"
    ],
    "b: {run: x, outputs: {f: .x}}, c: {run: x}, d: {run: x, inputs: {f: {from: b, else: c}}}": [
        "2:93: 'c' is a table, and 'b.f' is a file (both must be tables, files or folders)"
    ],
}


@pytest.mark.parametrize("nodes", WRONG)
def test_wrong_edges_are_told_at_their_place(tmp_path: Path, nodes: str) -> None:
    assert problems_of(tmp_path, f"matrix: {{i: [1, 2]}}\nnodes: {{{nodes}}}") == WRONG[nodes]
