"""The difference between two journals, and how it is shown."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from nfrun.core.errors import Cause
from nfrun.core.events import Failure
from nfrun.core.pipeline import OutputId
from nfrun.history.journal import (
    RUNS_LAST,
    FinishedOutput,
    JournalContents,
    RecordedNode,
    RunEnding,
    RunHeader,
)
from nfrun.lookback import run_diff
from nfrun.lookback.layout import Look
from nfrun.lookback.run_diff import diff_lines, schema_changes
from nfrun.lookback.run_reference import ListedRun
from nfrun.lookback.run_view import run_json

INPUTS = {"code steps:clean": "1", "input flights": "d1", "value limit": "5"}


def output(id: OutputId, **fields: Any) -> FinishedOutput:
    return FinishedOutput(
        id, **{"rows": 2, "bytes": 16, "schema": "n: int64", "digest": "d", "size": 9, "checksum": "c", **fields}
    )


def node(
    name: str, key: str | None = "k", duration: float = 0.0, *, reused: bool = False, **fields: Any
) -> RecordedNode:
    outputs = (output(OutputId(name)),)
    return RecordedNode(
        name,
        "reused" if reused else "ok",
        key,
        **{"key_inputs": INPUTS, "outputs": outputs, "duration": duration, **fields},
    )


def failed(name: str, text: str = "no", **fields: Any) -> RecordedNode:
    return RecordedNode(name, "failed", failure=Failure(Cause.NODE, "ValueError", text), **fields)


def run(number: int, *nodes: RecordedNode, status: str = "ok", **header: Any) -> JournalContents:
    started = RunHeader(f"{number}-20260101-000000", "p.yaml", number, at=1000.0, **header)
    ends = [[end for end in nodes if end.is_finished is finished] for finished in (True, False)]
    return JournalContents(
        Path("/w/runs") / started.run,
        started,
        *map(tuple, ends),
        RunEnding(status, 1000.0 + number, float(number), {"ok": len(nodes)}),
    )


@dataclass(frozen=True)
class Difference:
    """The document of a difference, and the runs that it is about."""

    runs: tuple[ListedRun, ListedRun]
    document: dict[str, Any]

    @property
    def nodes(self) -> list[dict[str, Any]]:
        return self.document["nodes"]


def diff_runs(before: JournalContents, after: JournalContents, data: Any = None) -> Difference:
    runs = listed(before), listed(after)
    return Difference(runs, run_diff.diff_runs(runs, (before, after), lambda before, after: data))


def difference(*nodes: RecordedNode, data: Any = None) -> Difference:
    """The difference between a run with the first node and one with the second."""
    return diff_runs(run(1, nodes[0]), run(2, nodes[1]), data)


def listed(contents: JournalContents) -> ListedRun:
    header = contents.started or RunHeader("lost", "p.yaml", 1)
    return ListedRun(header, contents.folder, contents.ended, contents.ending)


def shown(diff: Difference, *, all: bool = False) -> list[str]:
    return list(diff_lines(diff.document, diff.runs, Look(), all=all))


def test_equal_runs_take_one_line() -> None:
    diff = difference(node("clean", duration=1.0), node("clean", reused=True, duration=1.0))
    assert diff.document["equal"]
    assert shown(diff) == ["run 2 equals run 1: 1 node, the same code, inputs and outputs; 1.00 s -> 2.00 s"]


def cells(values: str, *folds: int) -> list[RecordedNode]:
    """Cells of `fit` with these values, each with an output of its own."""
    changed = {**INPUTS, "value limit": values}
    return [
        node(
            f"fit@{fold}",
            f"k{values}{fold}",
            key_inputs=changed,
            outputs=(output(OutputId(f"fit@{fold}"), digest=values),),
            of="fit",
            cell={"fold": fold},
        )
        for fold in folds
    ]


def test_cells_that_differ_alike_have_one_line() -> None:
    diff = diff_runs(run(1, *cells("5", 0, 1, 2), *cells("7", 3)), run(2, *cells("6", 0, 1, 2, 3, 4)))
    lines = shown(diff)[2:7]
    assert lines == [
        "changed  fit (4 cells): the value 'limit' changed",
        "           fit@0: other content, 2 rows",
        "           … and 3 more cells: --all shows all that differ",
        "new      fit@4: ok",
        "",
    ]
    assert [line for line in shown(diff, all=True) if line.startswith("changed")] == [
        f"changed  fit@{fold}: the value 'limit' changed" for fold in range(4)
    ]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"code steps:clean": "2"}, "the function steps:clean changed"),
        ({"input flights": "d2"}, "the input 'flights' changed"),
        ({"value limit": "6", "package polars": "1.4"}, "the value 'limit' changed, the package polars is new"),
    ],
)
def test_a_node_says_what_changed(changed: dict[str, str], words: str) -> None:
    (found,) = difference(node("clean"), node("clean", "k2", key_inputs={**INPUTS, **changed})).nodes
    assert (found["because"], found["outputs"]) == (words, [])


def test_a_file_that_the_code_reads_counts_though_it_is_not_in_the_key() -> None:
    (found,) = difference(node("a", reads={"conf.yaml": "1"}), node("a", reads={"conf.yaml": "2"})).nodes
    assert found["because"] == "the file conf.yaml changed"


def test_a_node_whose_key_is_unknown_says_why() -> None:
    (found,) = difference(node("a"), node("a", None, key_inputs={})).nodes
    assert found["because"] == "its code or inputs changed while it ran"


def test_a_node_that_ran_last_in_both_runs_is_the_same() -> None:
    first, second = (node("stop", None, took, key_inputs={}, outputs=(), reason=RUNS_LAST) for took in (1.0, 2.0))
    diff = difference(first, second)
    assert diff.document["equal"]
    assert [*diff.document["seconds"]] == ["stop"]


def test_outputs_that_differ_are_shown_with_rows_and_columns() -> None:
    other = output(OutputId("clean"), rows=3, schema="n: double, s: string", digest="d2")
    lines = shown(
        difference(node("clean"), node("clean", "k2", key_inputs={**INPUTS, "value limit": "6"}, outputs=(other,)))
    )
    assert lines[2:6] == [
        "changed  clean: the value 'limit' changed",
        "           2 -> 3 rows",
        "             n: int64 -> double",
        "             + s: string",
    ]


def test_another_result_of_the_same_key_is_pointed_out() -> None:
    lines = shown(difference(node("draw"), node("draw", outputs=(output(OutputId("draw"), digest="d2"),))))
    assert lines[2:4] == [
        "changed  draw: it gave another result, though nothing that nfrun sees has changed",
        "           other content, 2 rows",
    ]


def test_the_metadata_of_a_schema_is_a_difference() -> None:
    other = output(OutputId("a"), schema_digest="x")
    lines = shown(difference(node("a"), node("a", "k2", outputs=(other,), key_inputs={"text": "2"})))
    assert lines[3] == "           another schema, 2 rows"


def test_nodes_that_are_new_gone_or_failed_are_shown() -> None:
    before = run(1, node("old"), node("score"), node("same"))
    after = run(
        2, node("same"), node("young"), failed("score", "bad \x1b[31m", reason="its text changed"), status="failed"
    )
    assert shown(diff_runs(before, after)) == [
        "p.yaml run 1 (ok) -> p.yaml run 2 (failed)",
        "",
        "new     young: ok",
        r"failed  score: ok -> failed; ValueError: bad \x1b[31m; its text changed",
        "gone    old: ok",
        "1 node is the same",
        "",
        "time            run 1   run 2   change",
        "the whole run  1.00 s  2.00 s  +1.00 s",
    ]


def test_a_skipped_node_says_for_which_it_was_skipped() -> None:
    skipped = RecordedNode("save", "skipped", because="score", reason="it reads 'score', which runs")
    lines = shown(difference(node("save", reused=True), skipped))
    assert lines[2] == "changed  save: reused -> skipped; 'score' failed"


def test_a_node_that_lacks_an_input_is_skipped_because_of_the_node_that_may_fail() -> None:
    skipped = RecordedNode("save", "skipped", because="score", tolerated=True)
    lines = shown(difference(node("save"), skipped))
    assert lines[2] == "changed  save: ok -> skipped; an input is absent because of 'score'"


def test_a_node_that_may_fail_says_so_and_is_the_same_if_it_fails_again() -> None:
    fails = failed("score", tolerated=True, reason="it has not finished in any run that is kept")
    lines = shown(difference(node("score"), fails))
    assert lines[2] == ("failed  score: ok -> failed; ValueError: no; it has not finished in any run that is kept")
    assert difference(fails, fails).document["equal"]
    (found,) = difference(fails, failed("score", tolerated=True, reason="its text changed")).nodes
    assert found["because"] == "its text changed"


def test_rows_without_a_difference_say_so() -> None:
    other = output(OutputId("a"), schema="m: int64", digest="d2")
    data = {"changed": 0, "new": 0, "gone": 0, "rows": []}
    lines = shown(difference(node("a"), node("a", "k2", key_inputs={"text": "2"}, outputs=(other,)), data=data))
    assert lines[3:7] == [
        "           other content, 2 rows",
        "             + m: int64",
        "             - n: int64",
        "             no row differs in the columns that both have",
    ]


def test_a_failure_that_is_the_same_in_both_runs_is_no_difference() -> None:
    assert difference(failed("a"), failed("a")).nodes == []
    (found,) = difference(failed("a"), failed("a", "another")).nodes
    assert found["error"] == ["ValueError: no", "ValueError: another"]


def test_a_file_that_a_node_wrote_is_a_difference() -> None:
    lines = shown(difference(node("save", wrote={"out.csv": "1"}), node("save", wrote={"out.csv": "2"})))
    assert lines[2] == "changed  save: it wrote other content to out.csv"


def test_parameters_and_versions_that_differ_are_shown() -> None:
    before = run(1, params={"month": 1, "old": None, "same": [1]}, versions={"python": "3.11.1"})
    after = run(2, params={"month": 12, "names": ["a"], "same": [1]}, versions={"python": "3.12.0"})
    assert shown(diff_runs(before, after))[1:4] == [
        "parameter month: 1 -> 12",
        'parameter names: nothing -> ["a"]',
        "version of python: 3.11.1 -> 3.12.0",
    ]


def test_times_are_those_of_nodes_that_ran_in_both_runs_the_slower_ones_first() -> None:
    before = run(1, node("a", duration=1.0), node("b", duration=5.0), node("c", duration=1.0), node("d", duration=1.0))
    after = run(
        2, node("a", duration=1.5), node("b", duration=2.0), node("c", reused=True), node("d", duration=4.0), node("e")
    )
    lines = shown(diff_runs(before, after))
    assert lines[-5:] == [
        "time            run 1   run 2   change",
        "the whole run  1.00 s  2.00 s  +1.00 s",
        "d              1.00 s  4.00 s  +3.00 s",
        "a              1.00 s  1.50 s  +500 ms",
        "b              5.00 s  2.00 s  -3.00 s",
    ]


def test_many_nodes_that_differ_are_cut_unless_all_are_wanted() -> None:
    before = run(1, *(node(f"n{i}") for i in range(60)))
    after = run(2, *(node(f"n{i}", "k2", key_inputs={"text": "x"}) for i in range(60)))
    diff = diff_runs(before, after)
    assert "… and 10 more nodes: --all shows all that differ" in shown(diff)
    assert len(shown(diff, all=True)) > 60


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ("a: int64", "a: int64", ()),
        ("a: int64", "a: int64, b: double", ("+ b: double",)),
        (
            "a: struct<x: int64, y: list<item: string>>, b: int8",
            "b: int8",
            ("- a: struct<x: int64, y: list<item: string>>",),
        ),
        ("a: int64, b: int8", "b: int8, a: int64", ("the columns are in another order",)),
        ("", "a: decimal128(5, 2)", ("+ a: decimal128(5, 2)",)),
        (
            "a: timestamp[us, tz=UTC]",
            "a: timestamp[ns, tz=UTC]",
            ("a: timestamp[us, tz=UTC] -> timestamp[ns, tz=UTC]",),
        ),
    ],
)
def test_schemas_are_compared_column_by_column(before: str, after: str, lines: tuple[str, ...]) -> None:
    assert schema_changes(before, after) == lines


def test_the_document_has_all_that_differs() -> None:
    other = output(OutputId("clean"), rows=3, digest="d2")
    diff = difference(
        node("clean", duration=1.0),
        node("clean", "k2", 2.0, key_inputs={**INPUTS, "value limit": "6"}, outputs=(other,)),
        data={"error": "it is gone"},
    )
    assert json.loads(json.dumps(diff.document)) == {
        "before": run_json(diff.runs[0]),
        "after": run_json(diff.runs[1]),
        "equal": False,
        "params": {},
        "versions": {},
        "nodes": [
            {
                "node": "clean",
                "change": "changed",
                "status": ["ok", "ok"],
                "error": ["", ""],
                "because": "the value 'limit' changed",
                "outputs": [
                    {
                        "id": "clean",
                        "rows": [2, 3],
                        "schema": ["n: int64", "n: int64"],
                        "digest": ["d", "d2"],
                        "data": {"error": "it is gone"},
                    }
                ],
                "files": [],
            }
        ],
        "same": 0,
        "seconds": {"clean": [1.0, 2.0]},
    }


def test_journals_without_a_first_line_or_an_end_are_compared() -> None:
    killed = replace(run(1, node("a")), started=None, ending=None)
    diff = diff_runs(killed, run(2, node("a"), node("b")))
    assert [(found["node"], found["status"]) for found in diff.nodes] == [("b", ["not ended", "ok"])]
