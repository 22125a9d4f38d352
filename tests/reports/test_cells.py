"""How the reports show the cells of a matrix: as one, however many there are."""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
import pytest
from planned_record import with_outputs

from nfrun.core.errors import Cause, SourceSpan
from nfrun.core.events import Event, Failure, NodeStarted, Outcome, OutputRef
from nfrun.core.pipeline import Gather, Input, NodeSpec, OutputId, Pipeline
from nfrun.core.plan import plan_of
from nfrun.core.scheduler import Scheduler
from nfrun.reports.console import console
from nfrun.reports.plan_view import as_json, plan_view
from nfrun.reports.progress.live_rows import Look, grid_of, live_rows
from nfrun.reports.progress.live_view import LiveView
from nfrun.reports.run_record import RunRecord, folded
from nfrun.reports.summary import Summary
from nfrun.reports.table_preview import preview_of

FAILURE = Failure(Cause.NODE, "ValueError", "no convergence")


def node(id: str, *inputs: Input, kind: str = "python", **cell: Any) -> NodeSpec:
    return NodeSpec(id, kind, "m:f", inputs, {}, (), (), {}, cell=cell, source=SourceSpan("g.yaml", 4, 3))


def grid(models: int, folds: int, excluded: int = 0) -> Pipeline:
    """A cell of `fit` for each model and fold but the last `excluded`, one of `mean` for each model, and `best`."""
    cells = [(f"m{m}", fold) for m in range(models) for fold in range(folds)]
    cells = cells[: len(cells) - excluded]
    nodes = [node("data", kind="read")]
    nodes += [node(f"fit@{m}@{f}", Input("t", OutputId("data")), model=m, fold=f) for m, f in cells]
    for model in dict.fromkeys(m for m, _ in cells):
        own = {OutputId(f"fit@{model}@{f}"): (f,) for m, f in cells if m == model}
        fits = Input("fits", OutputId("fit"), gather=Gather("concat", ("fold",), own, {"fold": "int64"}))
        nodes.append(node(f"mean@{model}", fits, kind="sql", model=model))
    means = {OutputId(f"mean@{m}"): (m,) for m in dict.fromkeys(m for m, _ in cells)}
    nodes.append(node("best", Input("means", OutputId("mean"), gather=Gather("dict", ("model",), means))))
    return Pipeline("g.yaml", "/nowhere", "g", "", {}, {}, {n.id: n for n in nodes}, {"best": OutputId("best")})


class Run:
    """A run in virtual time, in which a node ends each 1.5 s, with its record and its live view."""

    def __init__(self, pipeline: Pipeline, failing: Collection[str] = (), *, verbose: bool = False) -> None:
        self.plan = plan_of(pipeline, slots=3)
        self.record = RunRecord(self.plan, pipeline)
        view = LiveView(
            self.record,
            io.StringIO(),
            colored=False,
            verbose=verbose,
            size=lambda stream: (80, 24),
            clock=lambda: 0.0,
        )
        self.view, self.events = view, list[Event]()
        self._pipeline, self._failing = pipeline, failing
        self._scheduler, self._running, self.now = Scheduler(self.plan, keep_going=True), list[NodeStarted](), 0.0
        self._emit(self._scheduler.begin(0.0))

    def _emit(self, events: list[Event]) -> None:
        for event in events:
            self.events.append(event)
            self.record.event(event)
            if isinstance(event, self.view.event_types):
                self.view.event(event)
            if isinstance(event, NodeStarted):
                self._running.append(event)

    def go(self, count: int = 10**6, *, reused: bool = False) -> Run:
        """Let so many nodes end, or all."""
        while self._running and count:
            start = self._running.pop(0)
            self.now, count = self.now + 1.5, count - 1
            outputs = {id: OutputRef(id, 10, 80, "n: int64") for id in self._pipeline.nodes[start.node].output_ids}
            failure = FAILURE if start.node in self._failing else None
            made = {} if failure else outputs
            outcome = Outcome(start.node, start.attempt, failure, made, 1.5, reused=reused and not failure)
            self._emit(self._scheduler.outcome(self.now, outcome))
        return self

    def end(self) -> Run:
        self.go()
        self._emit(self._scheduler.finish(self.now))
        return self

    def rows(self, width: int = 80) -> list[str]:
        return live_rows(self.record, self.now, grid_of(self.record), width - 1, Look(False))

    def lines(self) -> list[str]:
        return "".join(self.view._lines).splitlines()


def test_names_of_cells_are_folded() -> None:
    cells = {"fit@0": "fit", "fit@1": "fit", "a/b@x": "a/b"}
    assert folded(["d", "fit@0", "e", "fit@1", "a/b@x"], cells) == ["d", "fit (2)", "e", "a/b@x"]
    assert folded(["d", "e"], {}) == ["d", "e"]


def test_the_live_view_has_a_line_for_a_matrix() -> None:
    run = Run(grid(3, 4), failing=["fit@m0@1"]).go(6)
    assert run.rows() == [
        "g  8/17 nodes  3 running  1 failed  2 skipped  9.00 s",
        "  ✓ stage 1         1/1  ━━━━━━━━━━━━━━━━━━━━━━━━  data",
        "  ✗ stage 2        4/12  ━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  1 failed of fit (12)",
        "    stage 3         0/3  ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  mean (3)",
        "  - stage 4         0/1  ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  best",
        "  ▸ fit            4/12  ━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  1 failed, 3 running: m1@1, …",
        "  ✗ fit@m0@1     1.50 s  ValueError: no convergence",
    ]


@pytest.mark.parametrize("width", [30, 60, 80, 200])
def test_the_rows_fit_the_terminal(width: int) -> None:
    run = Run(grid(30, 40), failing=["fit@m0@1"]).go(500)
    assert max(map(len, run.rows(width))) < width
    assert len(run.rows(width)) <= 16


def test_the_rows_are_as_many_for_10_000_cells_as_for_10() -> None:
    few, many = Run(grid(5, 2)).go(5), Run(grid(100, 100)).go(5)
    assert len(few.rows()) == len(many.rows())


def test_a_matrix_has_one_line_when_its_last_cell_has_ended() -> None:
    run = Run(grid(3, 4), failing=["fit@m0@1"]).end()
    assert run.lines() == [
        "✓ data         1.50 s  10 rows",
        "✗ fit@m0@1     1.50 s  ValueError: no convergence",
        "✗ fit          18.0 s  12 cells, 1 failed, 110 rows",
        "- mean         6.00 s  3 cells, 1 skipped, 20 rows",
    ]
    assert Run(grid(1, 2)).end().lines()[1:] == [
        "✓ fit          3.00 s  2 cells, 20 rows",
        "✓ mean         1.50 s  1 cell, 10 rows",
        "✓ best         1.50 s  10 rows",
    ]


def test_verbose_shows_each_cell() -> None:
    lines = Run(grid(1, 2), verbose=True).end().lines()
    assert "✓ fit@m0@0     1.50 s  10 rows" in lines
    assert not any(line.startswith("✓ fit ") for line in lines)


def test_cells_that_were_all_reused_have_no_line() -> None:
    assert not Run(grid(2, 2)).go(reused=True).lines()
    lines = Run(grid(2, 2)).go(2, reused=True).go().lines()
    assert "✓ fit          6.00 s  4 cells, 1 reused, 40 rows" in lines


def test_the_record_of_a_matrix_counts_its_cells() -> None:
    run = Run(grid(3, 5, excluded=2), failing=["fit@m1@0", "mean@m2"])
    while True:
        for of, counts in run.record.matrices.items():
            cells = [run.record.nodes[name] for name, other in run.record.cells.items() if other == of]
            statuses = [cell.status for cell in cells]
            assert counts.nodes == len(cells)
            assert counts.succeeded == statuses.count("ok")
            assert counts.failed == statuses.count("failed")
            assert counts.ended == sum(status not in ("waiting", "running") for status in statuses)
        if not run.record.running:
            break
        run.go(1)


def summary_of(run: Run, outputs: dict[str, str], **options: Any) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    report = Summary(
        with_outputs(run.record, **outputs),
        out,
        err,
        console=partial(console, colored=False),
        preview=lambda id: preview_of(pa.table({"n": [1]})),
        cpu=lambda: 0.0,
        **options,
    )
    report.close()
    return out.getvalue(), err.getvalue()


def test_the_summary_folds_names() -> None:
    _, err = summary_of(Run(grid(3, 4), failing=["fit@m0@1"]).end(), {})
    names = [line[8:].partition("  ")[0].strip() for line in err.splitlines()[3:6]]
    assert names == ["data", "fit (12)", "2 of 3: mean (2)"]
    assert "\ncritical path 4.50 s: data -> fit@m1@0 -> mean@m1\n" in err
    assert "g.yaml:4:3: node 'fit@m0@1' failed: ValueError: no convergence\n  skipped mean@m0, best\n" in err


def test_cells_with_one_error_are_told_once() -> None:
    failing = [f"fit@m{model}@{fold}" for model in (0, 1) for fold in range(4)]
    _, err = summary_of(Run(grid(3, 4), failing=["best", *failing]).end(), {})
    assert err.count("no convergence") == 1
    assert "failed: ValueError: no convergence\n  the same in fit@m0@1, fit@m0@2, " in err
    assert "more failed" not in err
    assert "  skipped mean (2), best\n" in err


def test_the_summary_says_once_why_cells_are_not_reused() -> None:
    run = Run(grid(2, 3)).end()
    cells = dict.fromkeys(run.record.cells, "it may connect")
    _, err = summary_of(run, {}, obstacles=lambda: cells)
    assert [line for line in err.splitlines() if "reused" in line] == [
        "node 'fit' is not reused: it may connect; say 'cache: true' to reuse it",
        "node 'mean' is not reused: it may connect; say 'cache: true' to reuse it",
    ]
    _, err = summary_of(run, {}, obstacles=lambda: dict.fromkeys(cells, ""))
    assert "not reused: fit (6), mean (2) ('nfrun plan' says why)" in err


def test_of_an_output_of_a_matrix_one_table_is_shown() -> None:
    run = Run(grid(3, 3)).end()
    outputs = {f"fits@{name.partition('@')[2]}": name for name, of in run.record.cells.items() if of == "fit"}
    out, _ = summary_of(run, {**outputs, "best": "best"})
    heads = [line for line in out.splitlines() if "column" in line or "…" in line]
    assert heads == ["fits@m0@0: 1 row, 1 column", "… and 8 more cells of fits", "best: 1 row, 1 column"]
    many = {f"{name}{i}@x": "best" for i in range(9) for name in ("a", "b")}
    assert summary_of(run, many)[0].count("1 column") == 6
    assert summary_of(run, many)[0].endswith("\n… and 12 more outputs\n")


def test_the_plan_has_a_line_for_a_matrix() -> None:
    pipeline = grid(3, 4, excluded=2)
    recorded = {"fit@m0@0": 1.0, "fit@m0@1": 2.0}
    text = plan_view(pipeline, plan_of(pipeline, slots=2), "text", recorded).split("\n\n")
    assert text[:5] == [
        "g: 15 nodes, 4 stages, 23 edges, at most 10 wide",
        "stage 1  (1 node)\n  data  read",
        "stage 2  (10 nodes)\n  fit   python  10 cells: model (3) x fold (4)  1.50 s each  reads t=data",
        "stage 3  (3 nodes)\n  mean  sql     3 cells: model (3)  reads fits=fit",
        "stage 4  (1 node)\n  best  python  reads means=mean",
    ]
    verbose = plan_view(pipeline, plan_of(pipeline, slots=2), "text", recorded, verbose=True)
    assert verbose.count("\n  fit@m") == 10
    assert "\n  fit@m0@1  python  2.00 s  reads t=data\n" in verbose


def test_the_plan_says_what_is_disabled() -> None:
    pipeline = grid(3, 4, excluded=2)
    off = [node(f"fit@m2@{fold}", model="m2", fold=fold) for fold in (2, 3)] + [node("push", kind="run")]
    pipeline = replace(
        pipeline,
        disabled={spec.id: "its 'if' is false" for spec in off},
        disabled_nodes={spec.id: spec for spec in off},
    )
    text = plan_view(pipeline, plan_of(pipeline), "text", {})
    assert "  fit   python  10 cells: model (3) x fold (4)  reads" in text
    assert "\n\ndisabled  (3 nodes)\n  fit (2), push: its 'if' is false\n" in text
    found = as_json(pipeline, plan_of(pipeline))["nodes"]
    assert isinstance(found, dict)
    assert (found["fit@m2@3"]["disabled"], found["fit@m2@3"]["of"]) == ("its 'if' is false", "fit")


def test_the_json_plan_has_each_cell() -> None:
    pipeline = grid(2, 2)
    nodes = as_json(pipeline, plan_of(pipeline))["nodes"]
    assert isinstance(nodes, dict)
    assert list(nodes["fit@m1@0"].items())[:2] == [("of", "fit"), ("matrix", {"model": "m1", "fold": 0})]
    assert nodes["mean@m1"]["inputs"] == {"fits": ["fit@m1@0", "fit@m1@1"]}
    assert "of" not in nodes["data"]


def test_graphs_draw_a_matrix_as_one_node() -> None:
    pipeline = grid(20, 10)
    plan = plan_of(pipeline)
    assert plan_view(pipeline, plan, "mermaid", {}).splitlines() == [
        "flowchart LR",
        '  n0["data<br/><small>read</small>"]',
        '  n1["fit<br/><small>python, 200 cells</small>"]',
        '  n2["mean<br/><small>sql, 20 cells</small>"]',
        '  n3["best<br/><small>python</small>"]',
        "  n0 --> n1",
        "  n1 --> n2",
        "  n2 --> n3",
    ]
    dot = plan_view(pipeline, plan, "dot", {})
    assert '"fit" [label="fit\\npython, 200 cells"];' in dot
    assert dot.count("->") == 3
