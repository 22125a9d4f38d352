"""Tests of placement: the option, the file and recorded statistics decide on which executor a node runs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from nfrun.code.fingerprint import FolderCode
from nfrun.core.pipeline import Input, NodeSpec, OutputId, Pipeline
from nfrun.engine.executors.base import ON_THREADS, Placement
from nfrun.engine.executors.registry import CLUSTERS, DEFAULT_EXECUTOR, EXECUTORS
from nfrun.engine.node_stats import NodeStats
from nfrun.engine.placement import gains_from_process, place_nodes
from nfrun.pipeline_file.resolve import resolve

NONE = NodeStats({}, {}, {}, {})


def pipeline(**executors: str) -> Pipeline:
    nodes = {
        name: NodeSpec(name, "run" if name == "script" else "python", "m:f", (), {}, (), (), {}, executor=executor)
        for name, executor in executors.items()
    }
    return Pipeline("p.yaml", ".", "p", "", {}, {}, nodes, {})


def place(nodes: Pipeline, requested: str, recorded: NodeStats) -> Mapping[str, str]:
    return place_nodes(nodes, requested, recorded, FolderCode(Path(nodes.folder))).executors


def test_on_a_cluster_files_of_this_machine_and_nodes_on_threads_stay_here() -> None:
    bodies = {
        "function": ("python", "m:f"), "query": ("sql", "select 1"), "script": ("run", "true"),
        "file": ("read", "a.csv"), "object": ("read", "s3://b/a.csv"), "written": ("write", "a.csv"),
        "given": ("input", ""),
    }  # fmt: skip
    nodes = {name: NodeSpec(name, *body, (), {}, (), (), {}) for name, body in bodies.items()}
    nodes["here"] = replace(nodes["function"], id="here", executor="thread")
    nodes["process"] = replace(nodes["function"], id="process", executor="process")
    executors = place(Pipeline("p.yaml", ".", "p", "", {}, {}, nodes, {}), "dask", NONE)
    assert executors == dict.fromkeys(["function", "query", "script", "object", "process"], "dask")


def test_queries_of_files_of_this_machine_stay_here() -> None:
    nodes = {
        "a": NodeSpec("a", "read", "a.csv", (), {}, (), (), {}),
        "b": NodeSpec("b", "sql", "select * from a", (Input("a", OutputId("a")),), {}, (), (), {}),
    }
    both = Pipeline("p.yaml", ".", "p", "", {}, {}, nodes, {})
    code = FolderCode(Path())
    given = {"given": NodeSpec("given", "input", "", (Input("a", OutputId("a")),), {}, (), (), {})}
    given["c"] = replace(nodes["b"], id="c", inputs=(Input("t", OutputId("given")),))
    given["d"] = replace(nodes["b"], id="d", inputs=(Input("t", OutputId("c")),))
    assert place_nodes(replace(both, nodes={**nodes, **given}), "dask", NONE, code).executors == {"d": "dask"}
    assert place_nodes(both, "dask", NONE, code).in_files == {"a"}


def test_a_node_that_hands_on_what_it_is_given_stays_on_a_thread() -> None:
    nodes = {kind: NodeSpec(kind, kind, "", (), {}, (), (), {}) for kind in ("input", "read")}
    executors = place(Pipeline("p.yaml", ".", "p", "", {}, {}, nodes, {}), "process", NONE)
    assert executors == {"read": "process"}


@pytest.mark.parametrize("environ", [{}, {"TZ": "Asia/Tokyo"}])
@pytest.mark.parametrize("requested", ["file", "auto"])
def test_code_with_local_time_runs_where_the_time_zone_of_the_file_holds(
    environ: Mapping[str, str], requested: str, tmp_path: Path
) -> None:
    (tmp_path / "m.py").write_text(
        "from datetime import UTC, datetime\n\ndef f(): return datetime.fromtimestamp(0)\n\n"
        "def g(): return datetime.fromtimestamp(0, UTC)\n"
    )
    nodes = {name: replace(spec, body=f"m:{name}") for name, spec in pipeline(f="auto", g="auto").nodes.items()}
    placed = Pipeline("p.yaml", str(tmp_path), "p", "", {}, environ, nodes, {})
    assert place(placed, requested, NONE) == ({"f": "process"} if environ else {})


def stats(duration: float, gil_wait: float, process: float | None = None) -> NodeStats:
    return NodeStats({"a": duration}, {"a": duration}, {"a": gil_wait}, {} if process is None else {"a": process})


def test_without_an_option_the_file_decides() -> None:
    nodes = pipeline(a="process", b="thread", c="", script="process")
    assert place(nodes, "file", NONE) == {"a": "process"}


@pytest.mark.parametrize(
    ("requested", "found"), [("process", "abc"), ("thread", ""), ("auto", "a"), ("toy", ["a", "b", "c", "script"])]
)
def test_the_option_applies_to_all_nodes_but_no_script_runs_in_a_worker_process(requested: str, found: str) -> None:
    nodes = pipeline(a="thread", b="process", c="", script="")
    name = "process" if requested == "auto" else requested
    assert place(nodes, requested, stats(2.0, 1.0)) == dict.fromkeys(found, name)


@pytest.mark.parametrize(("requested", "found"), [("file", "ab"), ("auto", "abc"), ("thread", ""), ("process", "abcd")])
def test_a_function_with_its_own_number_of_threads_runs_in_a_worker_that_starts_with_them(
    requested: str, found: str
) -> None:
    nodes = {**pipeline(a="", b="auto", c="thread", script="").nodes}
    nodes["d"] = NodeSpec("d", "sql", "select 1", (), {}, (), (), {})
    nodes = {name: replace(spec, cpu=3.0) for name, spec in nodes.items()}
    environ = {"MKL_NUM_THREADS": "8"}
    placed = Pipeline("p.yaml", ".", "p", "", {}, environ, nodes, {})
    placement = place_nodes(placed, requested, NONE, FolderCode(Path(placed.folder)))
    assert placement.executors == dict.fromkeys(found, "process")
    assert placement.worker_environ.keys() == {*found} - {"d"}
    for variables in placement.worker_environ.values():
        assert variables["OMP_NUM_THREADS"] == "3"
        assert "MKL_NUM_THREADS" not in variables


def test_any_executor_may_be_one_of_worker_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("placement", "node_stats"):
        monkeypatch.setattr(f"nfrun.engine.{module}.WORKER_PROCESSES", ("toy",))
    nodes = pipeline(a="", script="")
    assert place(nodes, "auto", stats(2.0, 1.0)) == place(nodes, "toy", NONE) == {"a": "toy"}
    assert NONE.with_run({"a": 1.5}, {}, {"a": "toy"}).process == {"a": 1.5}


def test_the_schema_has_the_executors_of_the_registry() -> None:
    schema = json.loads((Path(__file__).parents[2] / "schemas" / "pipeline.schema.json").read_text())
    assert schema["$defs"]["executor"]["anyOf"][0]["enum"] == [
        *(name for name in EXECUTORS if name not in CLUSTERS),
        "auto",
    ]
    assert DEFAULT_EXECUTOR in EXECUTORS


@pytest.mark.parametrize(
    ("recorded", "gain"),
    [
        (NONE, False),
        (stats(2.0, 1.0), True),
        (stats(2.0, 0.3), False),  # it waited for a small part of its time
        (stats(0.06, 0.04), False),  # it is too short
        (stats(2.0, 1.0, process=1.2), True),
        (stats(2.0, 1.0, process=2.5), False),  # it was slower in a process
    ],
)
def test_a_node_gains_if_it_waited_long_for_the_gil(recorded: NodeStats, gain: bool) -> None:
    assert gains_from_process("a", recorded) is gain


STEPS = """
import random
import pyarrow
import pyarrow.compute
def draws(): random.random()
def plain(): return pyarrow.compute.add(1, 2)
"""


def placed(folder: Path, *functions: str, recorded: NodeStats = NONE, requested: str = "file") -> Placement:
    """Place a node for each of the functions, which has its name."""
    (folder / "steps.py").write_text(STEPS)
    nodes = {name: NodeSpec(name, "python", f"steps:{name}", (), {}, (), (), {}) for name in functions}
    return place_nodes(
        Pipeline("p.yaml", str(folder), "p", "", {}, {}, nodes, {}), requested, recorded, FolderCode(folder)
    )


def test_a_node_whose_code_uses_global_state_runs_in_a_process(tmp_path: Path) -> None:
    assert placed(tmp_path, "draws", "plain").executors == {"draws": "process"}
    assert placed(tmp_path, "draws", requested="thread").executors == {}


@pytest.mark.parametrize(
    ("function", "requested", "exposed"),
    [("plain", "thread", False), ("draws", "file", False), ("draws", "thread", True), ("draws", "process", False)],
)
def test_nodes_on_threads_that_use_global_state_are_exposed(
    tmp_path: Path, function: str, requested: str, exposed: bool
) -> None:
    assert bool(placed(tmp_path, function, requested=requested).exposed) is exposed


@pytest.mark.parametrize("file", ["flights/flights.yaml", "bench/blog-20.yaml", "hello.yaml"])
def test_the_pipelines_of_nfrun_run_on_threads(file: str) -> None:
    path = Path(__file__).parents[2] / "pipelines" / file
    pipeline = resolve(
        path, given={}, params_file=None, environ=os.environ, run_id="run-1", set_redactor=lambda redactor: None
    ).pipeline
    placement = place_nodes(pipeline, "file", NONE, FolderCode(Path(pipeline.folder)))
    assert replace(placement, unshared=frozenset(), in_files=frozenset()) == ON_THREADS
