"""The pure parts of the benchmarks, and the engines: each calls every node once and in order. Asserts no times."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench import blog, compare, digits, metg, noop, peers
from bench.measure import Sample, clocked, holds, interleaved, versus
from bench.nodes import steps
from bench.peers import Engine, Shape
from nfrun.code.fingerprint import Fingerprints
from nfrun.core.plan import make_stages
from nfrun.nodes.registry import kind_of
from nfrun.pipeline_file.loader import read_pipeline


def test_variants_are_interleaved() -> None:
    order: list[str] = []

    def variant(name: str) -> int:
        order.append(name)
        return len(order)

    found = interleaved({name: partial(variant, name) for name in "ABC"}, 2)
    assert "".join(order) == "ABCABC"
    assert found == {"A": [1, 4], "B": [2, 5], "C": [3, 6]}


@pytest.mark.parametrize(
    ("ratio", "bar", "holds_bar"),
    [(1.0, "<= 1.0", True), (1.01, "<= 1.0", False), (1.0, "> 1", False), (1.8, ">= 1.8", True), (5.0, "", None)],
)
def test_a_ratio_holds_or_misses_its_bar(ratio: float, bar: str, holds_bar: bool | None) -> None:
    assert holds(ratio, bar) is holds_bar


def test_an_invalid_bar_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such bar: 'at most 1'"):
        holds(1.0, "at most 1")


def test_a_row_has_the_ratio_of_medians_and_the_spread_of_the_rounds() -> None:
    ours = [Sample(1e-3, 4e-3), Sample(2e-3, 4e-3), Sample(9e-3, 4e-3)]
    theirs = [Sample(1e-3, 2e-3), Sample(4e-3, 2e-3), Sample(4e-3, 2e-3)]
    line = versus("a / b", ours, theirs, "<= 1.0", each=100)
    assert (line.ratio, line.cpu, line.wall) == (0.5, 0.5, 2.0)
    assert (line.low, line.high, line.holds) == (0.5, 2.25, True)
    assert line.measured == "20.0 us (10.0 to 90.0) CPU, 40.0 us (40.0 to 40.0) wall"
    by_wall = versus("a / b", ours, theirs, "<= 1.0", by="wall")
    assert (by_wall.ratio, by_wall.low, by_wall.high, by_wall.holds) == (2.0, 2.0, 2.0, False)
    assert by_wall.against == "4.0 ms (1.0 to 4.0) CPU, 2.0 ms (2.0 to 2.0) wall"


def test_both_clocks_are_read_around_one_call() -> None:
    calls: list[int] = []
    sample = clocked(lambda: calls.append(1))
    assert calls == [1]
    assert sample.wall > 0


# -- METG ----------------------------------------------------------------------------------------------------------


def test_the_crossing_is_interpolated_between_sizes() -> None:
    assert metg.crossing([1, 4, 16], [0.25, 0.75, 0.9]) == pytest.approx(2)
    assert metg.crossing([1, 4, 16], [0.5, 0.75, 0.9]) == 1


def test_the_last_crossing_counts() -> None:
    assert metg.crossing([1, 4, 16, 64], [0.1, 0.9, 0.25, 0.75]) == pytest.approx(32)


def test_without_a_crossing_the_nearest_measured_size_counts() -> None:
    assert metg.crossing([1, 4], [0.6, 0.9]) == 1
    assert metg.crossing([1, 4], [0.1, 0.4]) == 4


def test_a_stencil_reaches_to_its_neighbours() -> None:
    needs = metg.stencil(3, 2)
    assert len(needs) == 6
    assert needs["t0_1"] == ()
    assert needs["t1_0"] == ("t0_0", "t0_1")
    assert needs["t1_1"] == ("t0_0", "t0_1", "t0_2")
    assert needs["t1_2"] == ("t0_1", "t0_2")


# -- shapes and engines --------------------------------------------------------------------------------------------


def test_layers_are_deterministic_and_have_three_inputs() -> None:
    needs = noop.layers(100)
    assert needs == noop.layers(100)
    assert [len(names) for names in needs.values()] == [0] * 10 + [3] * 90
    assert len(make_stages(needs)) == 10


def test_chain_and_fan_out() -> None:
    assert noop.chain(3) == {"n0": (), "n1": ("n0",), "n2": ("n1",)}
    assert noop.fan_out(3) == {"n0": (), "n1": ("n0",), "n2": ("n0",)}


def test_the_blog_pipelines_have_the_times_of_the_blog_post() -> None:
    assert blog.bounds("blog-5") == pytest.approx((0.8, 0.24, 0.38))
    assert blog.bounds("blog-20") == pytest.approx((3.2, 0.68, 1.12))


def test_the_fits_draw_by_seeds_of_their_own_so_that_they_run_on_threads() -> None:
    pipeline, _ = read_pipeline(digits.PIPELINE / "digits.yaml")
    assert "score" in pipeline.nodes
    code = Fingerprints(digits.PIPELINE)
    facts = [kind_of(spec).code.facts(spec, code) for spec in pipeline.nodes.values()]
    assert [found.global_state for found in facts if found.global_state] == []


@pytest.fixture
def calls_of_row(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The inputs of each call of `row`, replaced in the module from which every engine takes it."""
    received_inputs: list[dict[str, Any]] = []
    lock = threading.Lock()

    def row(**inputs: Any) -> Any:
        with lock:
            received_inputs.append(inputs)
        return steps.ROW

    monkeypatch.setattr(steps, "row", row)
    return received_inputs


LOOPS: list[tuple[str, Engine]] = [*peers.LOOPS.items(), *peers.libraries().items()]


@pytest.mark.parametrize(("name", "engine"), LOOPS, ids=[name for name, _ in LOOPS])
def test_every_engine_calls_every_node_once_with_its_inputs(
    name: str, engine: Engine, calls_of_row: list[dict[str, Any]]
) -> None:
    needs = noop.layers(25)
    engine(Shape(needs, "row", hands_on=True), 2)()
    assert sorted(tuple(inputs) for inputs in calls_of_row) == sorted(needs.values())
    assert all(value is steps.ROW for inputs in calls_of_row for value in inputs.values())


@pytest.mark.parametrize(("name", "engine"), LOOPS, ids=[name for name, _ in LOOPS])
def test_without_hands_on_edges_only_order_the_nodes(
    name: str, engine: Engine, calls_of_row: list[dict[str, Any]]
) -> None:
    engine(Shape(noop.chain(4), "row", {f"n{i}": {"i": i} for i in range(4)}), 2)()
    assert calls_of_row == [{"i": 0}, {"i": 1}, {"i": 2}, {"i": 3}]


@pytest.mark.parametrize("engine", [peers.loop, peers.callback_loop, peers.naive_loop, peers.gather])
def test_a_loop_raises_the_error_of_a_node(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise LookupError("no such thing")

    monkeypatch.setattr(steps, "nothing", fails)
    with pytest.raises(LookupError, match="no such thing"):
        engine(Shape({"a": ()}, "nothing"), 2)()


@pytest.mark.parametrize("handoff", ["auto", "memory"])
def test_nfrun_runs_a_shape_and_leaves_only_its_timings(tmp_path: Path, handoff: str) -> None:
    needs = noop.layers(25)
    noop.nfrun(Shape(needs, "row", hands_on=True), 2, work=tmp_path / "runs", handoff=handoff)()
    with closing(sqlite3.connect(tmp_path / "runs" / "history.db")) as db:
        ((text,),) = db.execute("select text from kept where what = 'timings'").fetchall()
    assert json.loads(text)["took"].keys() == set(needs)
    assert [path for path in (tmp_path / "runs" / "runs").rglob("*") if path.is_file()] == []


def test_a_failed_run_is_an_error_and_no_measurement(tmp_path: Path) -> None:
    run = noop.nfrun(Shape({"a": ()}, "no_such_function"), 2, work=tmp_path / "runs")
    with pytest.raises(RuntimeError, match="the run ended as failed"):
        run()


def test_engines_are_left_out_above_their_limit_of_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unused_engine: Callable[..., Any] = peers.loop
    monkeypatch.setattr(peers, "libraries", lambda: {"dask": unused_engine, "pipefunc": unused_engine})
    assert "pipefunc" in noop.engines(tmp_path, 200)
    assert "pipefunc" not in noop.engines(tmp_path, 201)
    assert list(noop.engines(tmp_path, 201))[:2] == ["nfrun", "loop"]


# -- two files of results ------------------------------------------------------------------------------------------


def _line(
    what: str, ratio: float, low: float | None, high: float | None, bar: str, holds_bar: bool | None
) -> dict[str, Any]:
    return {"what": what, "ratio": ratio, "low": low, "high": high, "bar": bar, "holds": holds_bar}


@pytest.mark.parametrize(
    ("old", "new", "bar", "verdict"),
    [
        ((0.8, 0.7, 0.9), (0.9, 0.85, 1.0), "<= 1.0", ""),  # the spreads overlap
        ((0.8, 0.7, 0.9), (0.95, 0.91, 1.0), "<= 1.0", "worse"),
        ((0.8, 0.7, 0.9), (0.5, 0.4, 0.6), "<= 1.0", "better"),
        ((1.9, 1.8, 2.0), (1.6, 1.5, 1.7), "> 1", "worse"),
        ((1.9, 1.8, 2.0), (2.6, 2.5, 2.7), "> 1", "better"),
        ((1.9, 1.8, 2.0), (2.6, 2.5, 2.7), "", "differs"),
        ((1.0, None, None), (1.15, None, None), "<= 2", ""),  # no spread is known: the tolerance is a tenth
        ((1.0, None, None), (1.3, None, None), "<= 2", "worse"),
    ],
)
def test_a_change_outside_of_the_spread_is_worse_or_better(
    old: tuple[float, float | None, float | None],
    new: tuple[float, float | None, float | None],
    bar: str,
    verdict: str,
) -> None:
    (row,) = compare.compare([_line("x", *old, bar, True)], [_line("x", *new, bar, True)])
    assert row.verdict == verdict
    assert row.change == pytest.approx(new[0] / old[0])


def test_a_newly_missed_bar_is_reported_regardless_of_the_spread() -> None:
    old, new = _line("x", 0.99, 0.9, 1.1, "<= 1.0", True), _line("x", 1.01, 0.9, 1.1, "<= 1.0", False)
    assert [row.verdict for row in compare.compare([old], [new])] == ["missed"]
    assert [row.verdict for row in compare.compare([new], [new])] == [""]


def test_rows_that_only_one_file_has_are_listed() -> None:
    removed, new = _line("gone", 1.0, None, None, "", None), _line("new", 2.0, None, None, "", None)
    rows = compare.compare([removed], [new])
    assert [(row.what, row.old, row.new, row.verdict, row.change) for row in rows] == [
        ("new", None, 2.0, "new", None),
        ("gone", 1.0, None, "gone", None),
    ]


def test_the_command_lists_the_rows_that_got_worse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps({"machine": {"cores": 2}, "results": [_line("x", 0.5, 0.4, 0.6, "<= 1.0", True)]}))
    new.write_text(json.dumps({"machine": {"cores": 4}, "results": [_line("x", 0.9, 0.8, 0.95, "<= 1.0", True)]}))
    with pytest.raises(SystemExit) as exited:
        compare.main(old, new)
    assert exited.value.code == 1
    assert capsys.readouterr().out.splitlines() == [
        "cores: 2 before, 4 now",
        f"{'x':<64} {'0.500':>9} {'0.900':>9} {'x 1.80':>8} worse",
        "worse by more than the spread, or below its bar now: x",
    ]
    with pytest.raises(SystemExit) as exited:
        compare.main(old, old)
    assert exited.value.code == 0


def test_a_file_without_results_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.json"
    path.write_text("[]")
    with pytest.raises(SystemExit) as exited:
        compare.main(path, path)
    assert exited.value.code == 2
    assert capsys.readouterr().err.startswith(f"{path}: not a file of results: ")
