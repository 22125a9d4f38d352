"""What nodes of each kind get of an input that gathers cells, and of inputs that may be absent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Trial, failed

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import Problem
from nfrun.core.events import NodeStarted, Outcome
from nfrun.core.pipeline import Gather, Input, NodeSpec, OutputId
from nfrun.nodes.registry import KINDS

CELLS = {OutputId("score@lr@0"): ("lr", 0), OutputId("score@lr@1"): ("lr", 1), OutputId("score@rf@0"): ("rf", 0)}
TABLES = {output: pa.table({"n": [i], "s": ["x"]}) for i, output in enumerate(CELLS)}
ROWS = [
    {"model": "lr", "fold": 0, "n": 0, "s": "x"},
    {"model": "lr", "fold": 1, "n": 1, "s": "x"},
    {"model": "rf", "fold": 0, "n": 2, "s": "x"},
]


def gathering(form: str, **more: Any) -> Input:
    columns = {"model": "string", "fold": "int64"} if form == "concat" else {}
    return Input("scores", OutputId("score"), gather=Gather(form, ("model", "fold"), CELLS, columns), **more)


def attempt(
    trial: Trial, kind: str, body: str, item: Input, tables: Mapping[OutputId, pa.Table] = TABLES, **more: Any
) -> Outcome:
    """Make an attempt at a node with this input, for which these tables were made."""
    more = {"with_": {}, "outputs": (), "needs": (), "env": {}, **more}
    refs = {output: trial.store.publish(output, 1, table) for output, table in tables.items()}
    runner = trial.work(NodeSpec("best", kind, body, (item,), **more))
    return runner(NodeStarted(0.0, "best", 1, refs), trial.stop, trial.wait)


def function(trial: Trial, source: str) -> str:
    return f"{trial.module(source)}:f"


def test_a_function_gets_one_table(trial: Trial) -> None:
    outcome = attempt(trial, "python", function(trial, "def f(scores): return scores"), gathering("concat"))
    assert trial.table(outcome).to_pylist() == ROWS
    assert set(outcome.input_waits) == set(CELLS)


def test_a_function_gets_a_dict_by_the_values_of_the_cells(trial: Trial) -> None:
    source = """
        import pyarrow as pa
        def f(scores):
            assert list(scores) == ["lr", "rf"] and list(scores["lr"]) == [0, 1]
            return pa.concat_tables([scores["rf"][0], scores["lr"][1]])
    """
    outcome = attempt(trial, "python", function(trial, source), gathering("dict"))
    assert trial.table(outcome).column("n").to_pylist() == [2, 1]


def test_a_query_gets_one_table(trial: Trial) -> None:
    query = "select model, sum(n)::int as n from scores group by model order by model"
    outcome = attempt(trial, "sql", query, gathering("concat"))
    assert trial.table(outcome).to_pylist() == [{"model": "lr", "n": 1}, {"model": "rf", "n": 2}]


def test_a_file_is_written_of_one_table(trial: Trial) -> None:
    outcome = attempt(trial, "write", "out.parquet", gathering("concat"))
    assert outcome.failure is None
    assert pq.read_table(trial.folder / "out.parquet").to_pylist() == ROWS


@pytest.mark.parametrize("format", ["arrow", "csv"])
def test_a_script_gets_one_file(trial: Trial, format: str) -> None:
    outcome = attempt(trial, "run", "cp $NFRUN_INPUT_scores $NFRUN_OUTPUT", gathering("concat"), format=format)
    assert trial.table(outcome).to_pylist() == ROWS


@pytest.mark.parametrize("format", ["arrow", "csv", "parquet"])
def test_a_script_gets_a_folder_with_a_file_for_each_cell(trial: Trial, format: str) -> None:
    script = f"ls $NFRUN_INPUT_scores | tr '\\n' ' ' > names; cp $NFRUN_INPUT_scores/rf@0.{format} $NFRUN_OUTPUT"
    outcome = attempt(trial, "run", script, gathering("dict"), format=format)
    assert trial.table(outcome).to_pylist() == [{"n": 2, "s": "x"}]
    assert (trial.folder / "names").read_text().split() == [f"{cell}.{format}" for cell in ("lr@0", "lr@1", "rf@0")]
    assert not list(trial.scratch.iterdir())


@pytest.mark.parametrize(
    ("output", "reader", "cell"),
    [
        ("score@lr@0", "best", "lr@0"),
        ("clean@DE/euros", "all", "DE"),
        ("clean@DE/fit@lr", "all", "DE@lr"),
        ("clean@DE/fit@lr", "clean@DE/best", "lr"),
        ("a/b", "c", ""),
    ],
)
def test_the_name_of_a_cell_is_what_the_reader_does_not_share(output: str, reader: str, cell: str) -> None:
    assert OutputId(output, "name").cell(reader) == cell


def test_absent_cells_are_left_out(trial: Trial) -> None:
    there = {output: TABLES[output] for output in list(CELLS)[1:]}
    outcome = attempt(trial, "python", function(trial, "def f(scores): return scores"), gathering("concat"), there)
    assert trial.table(outcome).to_pylist() == ROWS[1:]
    source = "def f(scores): return {'cells': str({m: list(folds) for m, folds in scores.items()})}"
    outcome = attempt(trial, "python", function(trial, source), gathering("dict"), there)
    assert trial.table(outcome).to_pylist() == [{"cells": "{'lr': [1], 'rf': [0]}"}]


def test_the_alternative_is_read_where_all_is_absent(trial: Trial) -> None:
    other = OutputId("other")
    source = function(trial, "def f(scores): return scores")
    for item in (gathering("concat", alternative=other), Input("scores", OutputId("score"), alternative=other)):
        outcome = attempt(trial, "python", source, item, {other: pa.table({"n": [7]})})
        assert trial.table(outcome).to_pylist() == [{"n": 7}]
        assert set(outcome.input_waits) == {other}


def test_an_optional_input_that_is_absent_is_not_given(trial: Trial) -> None:
    item = Input("scores", OutputId("score"), optional=True)
    outcome = attempt(trial, "python", function(trial, "def f(scores=None): return {'none': scores is None}"), item, {})
    assert trial.table(outcome).to_pylist() == [{"none": True}]
    script = 'echo "{\\"is\\": \\"${NFRUN_INPUT_scores-unset}\\"}" > $NFRUN_OUTPUT'
    outcome = attempt(trial, "run", script, item, {}, format="jsonl")
    assert trial.table(outcome).to_pylist() == [{"is": "unset"}]


def test_an_input_without_data_fails_the_node(trial: Trial) -> None:
    failure = failed(attempt(trial, "python", function(trial, "def f(scores): ..."), gathering("dict"), {}))
    assert failure.message == "the input 'scores' has no data: 'score' handed nothing on"


def test_tables_that_do_not_fit_fail_the_node_and_their_shapes_are_shown(trial: Trial) -> None:
    tables = {**TABLES, OutputId("score@rf@0"): pa.table({"n": ["x"]})}
    for kind, body in (("sql", "from scores"), ("python", function(trial, "def f(scores): ...")), ("run", "true")):
        failure = failed(attempt(trial, kind, body, gathering("concat"), tables))
        assert failure.message == (
            "the tables of 'score@lr@0' and 'score@rf@0' cannot be put together: 'n' is int64 in the one and string in "
            "the other"
        )
        assert failure.inputs == ("scores: 3 cells, 3 rows, n: int64, s: string (and 1 other schema)",)
        assert not failure.frames


def test_sql_and_write_read_nothing_but_tables(tmp_path: Path) -> None:
    def found(kind: str, body: str, item: Input) -> list[Problem]:
        spec = NodeSpec("best", kind, body, (item,), {}, (), (), {})
        return list(KINDS[kind].says.check(spec, FunctionLookup(tmp_path)))

    for kind, body in (("sql", "from scores"), ("write", "a.csv")):
        form, optional = gathering("dict"), gathering("concat", optional=True)
        what = f"'gather: dict' is not for {kind} nodes"
        hint = "one table is gathered by 'concat'"
        assert found(kind, body, form) == [Problem(("inputs", "scores", "gather"), what, hint)]
        what, hint = f"a {kind} node cannot do without a table", "say what is read instead: else: NODE"
        place = ("inputs", "scores", "optional")
        assert found(kind, body, optional) == [Problem(place, what, hint, at_key=True)]
        assert not found(kind, body, gathering("concat"))
    assert not found("run", "true", gathering("dict", optional=True))
    (tmp_path / "steps.py").write_text("def f(scores): ...\ndef g(scores=None): ...\n")
    place, what = ("inputs", "scores", "optional"), "f() cannot do without 'scores'"
    missing = Problem(place, what, "give it a default: scores=None", at_key=True)
    assert found("python", "steps:f", gathering("dict", optional=True)) == [missing]
    assert not found("python", "steps:g", gathering("dict", optional=True))
