"""Pipelines with a matrix as users write them: their nodes and edges, and what is told of mistakes in them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nfrun.core.errors import Diagnostic, SpecError
from nfrun.core.map_spec import MapForm
from nfrun.core.pipeline import Pipeline
from nfrun.pipeline_file.resolve import resolve
from nfrun.pipeline_file.validate import validate_file

CONTRACT = Path(__file__).parents[1] / "contract"
DAYS = ("2024-01-01", "2024-01-02", "2024-01-03")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the pipelines with data to plan them."""
    for file in CONTRACT.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    for name in ("digits.parquet", "genome/genome.fa", "questions.jsonl", *(f"events/{day}.jsonl" for day in DAYS)):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).touch()
    (tmp_path / "data" / "samples").mkdir()
    for unit in ("A_1", "A_2", "B_1", ".hidden_1"):
        (tmp_path / "data" / "samples" / f"{unit}.fastq").touch()
    (tmp_path / "docs").mkdir()
    (tmp_path / "prompts.csv").write_text("id,template\nplain,Say: {}\ncot,Think: {}\n")
    return tmp_path


def planned(file: Path, **given: str) -> Pipeline:
    return resolve(file, given=given, params_file=None, environ={}, run_id="run", to_run=False).pipeline


def edges(pipeline: Pipeline) -> dict[str, list[str]]:
    return {id: list(spec.upstream) for id, spec in pipeline.nodes.items()}


def test_grid_has_a_cell_for_each_model_and_fold_but_the_excluded(folder: Path) -> None:
    pipeline = planned(folder / "grid.yaml")
    pairs = ["lr@0", "lr@1", "lr@2", "rf@0", "rf@1", "rf@2", "knn@1", "knn@2"]
    assert edges(pipeline) == {
        "data": [],
        **{f"fold_of@{fold}": ["data"] for fold in range(3)},
        **{f"fit@{pair}": [f"fold_of@{pair[-1]}"] for pair in pairs},
        **{f"score@{pair}": [f"fit@{pair}", f"fold_of@{pair[-1]}"] for pair in pairs},
        **{f"per_model@{m}": [f"score@{p}" for p in pairs if p.startswith(m)] for m in ("lr", "rf", "knn")},
        "best": ["per_model@lr", "per_model@rf", "per_model@knn"],
    }
    fit = pipeline.nodes["fit@rf@2"]
    assert fit.with_ == {"spec": {"id": "rf", "trees": 200}}
    assert (fit.of, fit.cell, fit.declared) == ("fit", {"model": "rf", "fold": 2}, "fit")
    assert [str(output) for item in fit.inputs for output in item.outputs] == ["fold_of@2.train"]
    gather = pipeline.nodes["per_model@knn"].inputs[0].gather
    assert gather is not None
    assert (gather.form, gather.axes, gather.columns) == ("concat", ("fold",), {"fold": "int64"})
    assert dict(gather.cells) == {"score@knn@1": (1,), "score@knn@2": (2,)}
    assert dict(pipeline.outputs) == {"best": "best"}


def test_more_folds_leave_the_cells_as_they_are(folder: Path) -> None:
    three, four = planned(folder / "grid.yaml"), planned(folder / "grid.yaml", folds="4")
    cells = [id for id, spec in three.nodes.items() if spec.of and spec.declared == "fit"]
    assert {id: four.nodes[id] for id in cells} == {id: three.nodes[id] for id in cells}
    assert "fit@knn@3" in four.nodes


def test_backfill_has_a_chain_for_each_day(folder: Path) -> None:
    pipeline = planned(folder / "backfill.yaml")
    assert edges(pipeline) == {
        **{f"raw@{day}": [] for day in DAYS},
        **{f"daily@{day}": [f"raw@{day}"] for day in DAYS},
        **{f"save@{day}": [f"daily@{day}"] for day in DAYS},
        "total": [f"daily@{day}" for day in DAYS],
    }
    assert pipeline.nodes["raw@2024-01-02"].body == "data/events/2024-01-02.jsonl"
    assert pipeline.nodes["save@2024-01-03"].body == "out/daily/day=2024-01-03/part.parquet"


def test_the_units_of_a_sample_are_gathered_for_it(folder: Path) -> None:
    pipeline = planned(folder / "genomics.yaml")
    units = ["A-1", "A-2", "B-1"]
    assert edges(pipeline) == {
        "genome": [],
        **{f"reads@{unit}": [] for unit in units},
        **{f"align@{unit}": ["genome", f"reads@{unit}"] for unit in units},
        "merge@A": ["align@A-1", "align@A-2"],
        "merge@B": ["align@B-1"],
        "call": ["genome", "merge@A", "merge@B"],
        "plot": ["call"],
        "save": ["plot"],
    }
    assert pipeline.nodes["align@A-2"].with_ == {"id": "A-2", "sample": "A"}
    assert pipeline.nodes["reads@B-1"].body == "data/samples/B_1.fastq"


def test_the_rows_of_a_sheet_are_an_axis(folder: Path) -> None:
    pipeline = planned(folder / "evals.yaml")
    pairs = ["small@plain", "small@cot", "large@plain", "large@cot"]
    assert [id for id in pipeline.nodes if id.startswith("answer@")] == [f"answer@{pair}" for pair in pairs]
    assert pipeline.nodes["answer@large@cot"].with_ == {"url": "http://localhost:8002", "template": "Think: {}"}
    answers = pipeline.nodes["scored@small@cot"].inputs[0]
    assert (answers.output, answers.alternative) == ("judged@small@cot", "answer@small@cot")
    without = planned(folder / "evals.yaml", judge="false").nodes["scored@small@cot"].inputs[0]
    assert (without.output, without.alternative) == ("answer@small@cot", None)
    scores = pipeline.nodes["report"].inputs[0]
    assert scores.gather is not None
    assert dict(scores.gather.cells) == {"by_llm@small": ("small",), "by_llm@large": ("large",)}
    assert (scores.gather.form, scores.gather.columns) == ("dict", {})


def test_the_calls_of_an_index_are_known_when_it_is_planned(folder: Path) -> None:
    nodes = planned(folder / "rag.yaml").nodes
    assert edges(planned(folder / "rag.yaml"))["embed"] == ["chunks"]
    chunks, embed = nodes["chunks"].map, nodes["embed"].map
    assert chunks is not None and (chunks.cut_text, chunks.is_row_wise) == ("by doc_id in 16 parts", False)
    assert embed is not None and embed.form == MapForm(False, ("text",), batches={"text": "list"})


# The file, the text that is replaced at its first place, what replaces it, and all that is told.
WRONG = [
    ("grid", "matrix: model\n", "matrix: modle\n", ["28:13: there is no axis 'modle' (did you mean 'model'?)"]),
    (
        "grid",
        "{scores: {from: score, gather: concat}}",
        "score",
        [
            "30:13: 'score' has the axis 'fold', which 'per_model' does not have "
            "(gather: {from: score, gather: concat}, or pin: {from: score, where: {fold: …}})"
        ],
    ),
    (
        "grid",
        "{from: score, gather: concat}",
        "{from: score, gather: dict}",
        ["30:44: 'gather: dict' is not for sql nodes (one table is gathered by 'concat')"],
    ),
    (
        "grid",
        "{model: knn, fold: 0}",
        "{model: kn, fold: 0}",
        ["7:21: the axis 'model' has no value 'kn' (did you mean 'knn'?)"],
    ),
    (
        "grid",
        "{id: rf, trees: 200}",
        "{trees: 200}",
        ["5:29: an item of 'model' needs 'id' (write a string, a number, true, false, or {id: a, …})"],
    ),
    (
        "grid",
        'spec: "${{ matrix.model }}"',
        'spec: "${{ matrix.modle }}"',
        ["20:19: 'matrix' has no 'modle' (did you mean 'model'?)"],
    ),
    (
        "grid",
        "data/digits.parquet",
        '"data/${{ matrix.fold }}.parquet"',
        ["9:22: there is no 'matrix' here (only a node with 'matrix: AXIS' has it)"],
    ),
    (
        "grid",
        'fold: "${{ params.folds | range }}"',
        'fold: [1, "1"]',
        [
            "6:13: the values '1' and '1' of the axis 'fold' have one id "
            "(remove one, or give it an id that differs in more than case: {id: …, …})"
        ],
    ),
    (
        "grid",
        "matrix: fold\n",
        "matrix: {fold: [0, 1]}\n",
        ["11:14: the axis 'fold' is declared already in line 6 (name it here: matrix: fold)"],
    ),
    (
        "grid",
        "exclude: [",
        "include: [",
        [
            "7:3: a matrix has no 'include' (make one axis of mappings)",
        ],
    ),
    (
        "evals",
        "prompts: prompts.csv",
        "prompts: promts.csv",
        [
            "7:18: the axis 'prompt' has no values: there is no file 'promts.csv' "
            "(those that match a pattern are {files: …})"
        ],
    ),
    (
        "rag",
        "map: {over: texts,",
        "map: {over: text,",
        ["11:17: 'chunks' has no input 'text' to map over (did you mean 'texts'?)"],
    ),
    (
        "rag",
        "resources: {gpu: 1}\n    cache",
        "resources: {gpus: 1}\n    cache",
        ["19:17: there is no budget for 'gpus' (did you mean 'gpu'?)"],
    ),
    (
        "rag",
        "outputs: {index: folder}}",
        "outputs: {index: folder}, map: vectors}",
        [
            "23:95: 'index' is a folder, and pieces are joined as tables "
            "(return a table, and make the file in a node behind)"
        ],
    ),
    (
        "evals",
        'limit: "${{ params.limit }}"}}',
        "limit: 5}, map: bank}",
        ["10:87: a sql node has no 'map' (it is for python and run nodes)"],
    ),
    (
        "rag",
        "resources: {gpu: 1}\n    cache",
        "resources: {gpu: 2}\n    cache",
        ["19:22: 'embed' takes 2 of 'gpu', and there is 1"],
    ),
    (
        "backfill",
        "out/daily/day=${{ matrix.day }}/part.parquet",
        "out/daily.parquet",
        [
            "16:30: 'save@2024-01-01' and 'save@2024-01-02' write the same file 'out/daily.parquet' "
            "(put ${{ matrix.day }} into the path)"
        ],
    ),
    (
        "genomics",
        "data/samples/",
        "data/sample/",
        [
            "4:17: no file matches 'data/sample/{sample}_{lane}.fastq' (a pattern is relative to the pipeline file)",
        ],
    ),
    (
        "genomics",
        "from: merge, gather: dict",
        "from: merge, gather: concat",
        ["21:55: 'merge.bam' is a file, and only tables are put together (gather: dict)"],
    ),
    (
        "genomics",
        "{vcf: .vcf}",
        "{vcf: vcf}",
        ["22:20: 'vcf' cannot be 'vcf' (there is table, file, folder, or an ending such as .pkl)"],
    ),
    (
        "genomics",
        "sample: {of: unit}",
        "smaple: {of: unit}",
        [
            "15:50: 'matrix' has no 'sample' (did you mean 'smaple'?)",
            "18:19: there is no axis 'sample' (did you mean 'smaple'?)",
        ],
    ),
    (
        "genomics",
        "matrix: unit\n",
        "matrix: [unit, sample]\n",
        ["10:13: 'sample' follows from 'unit' (leave it out: a cell of 'unit' is in one of 'sample')"],
    ),
]


def shown(found: Diagnostic) -> str:
    return f"{found.span.line}:{found.span.column}: {found.message}" + (f" ({found.hint})" if found.hint else "")


@pytest.mark.parametrize(("name", "old", "new", "told"), WRONG)
def test_a_mistake_is_told_once_at_its_place(folder: Path, name: str, old: str, new: str, told: list[str]) -> None:
    file = folder / f"{name}.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(SpecError) as caught:
        planned(file)
    assert [shown(found) for found in caught.value.diagnostics] == told


@pytest.mark.parametrize(("name", "old", "new", "told"), WRONG)
def test_validate_tells_the_same_and_warns_of_missing_files(
    folder: Path, name: str, old: str, new: str, told: list[str]
) -> None:
    file = folder / f"{name}.yaml"
    file.write_text(file.read_text().replace(old, new, 1))
    warnings: list[Diagnostic] = []
    if "promts.csv" in new or old == "data/samples/":
        validate_file(file, warnings.append)
        assert told[0] in [shown(found) for found in warnings]
    else:
        with pytest.raises(SpecError) as caught:
            validate_file(file, warnings.append)
        assert [shown(found) for found in caught.value.diagnostics] == told
