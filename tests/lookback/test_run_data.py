"""The document of a run's page: from runs of the command line, and from journals that the tests write."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Here
from forked import run as run_nfrun
from kept_runs import START, Kept, failure, finished, output
from recorded_lines import lines_of, rewrite_lines

from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.core.plan import plan_of
from nfrun.history.database import Database
from nfrun.history.journal import FailedAttempt, NodeTimes, RecordedNode
from nfrun.history.run_plan import Circumstances, read_run_plan, write_run_plan
from nfrun.history.work_dir import WorkDir
from nfrun.lookback.page.recorded_trace import recorded_trace
from nfrun.lookback.page.run_data import run_data
from nfrun.lookback.run_reference import find_run
from nfrun.system.logs.redaction import Redactor

PIPELINE = """
name: small
params: {low: 2}
nodes:
  numbers: {python: "steps:numbers"}
  kept: {sql: "select * from numbers where n >= 2", inputs: numbers}
  told: {python: "steps:told", inputs: {table: kept}}
outputs: {kept: kept, told: told}
"""
STEPS = """
import pyarrow as pa

def numbers():
    print("four numbers")
    return pa.table({"n": [1, 2, 3, None], "name": ["a", "b", "b", "<b>"]})

def told(table):
    raise ValueError(f"no {table.num_rows}")
"""


def data(folder: Path, run: str | None = None, *secrets: str, unknown: Sequence[str] = ()) -> dict[str, Any]:
    """The document of a run in a work folder, as JSON gives it back."""
    work = WorkDir(folder)
    found = run_data(work, find_run(work, None, run), Redactor(secrets), unknown)
    return json.loads(json.dumps(found, allow_nan=False))


def by_id(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {node["id"]: node for node in document["nodes"]}


@pytest.fixture(scope="module")
def failed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    (folder / "small.yaml").write_text(PIPELINE)
    (folder / "steps.py").write_text(STEPS)
    assert run_nfrun([sys.executable, "-m", "nfrun", "run", "small.yaml"], cwd=folder).returncode == 1
    return folder / ".nfrun"


def test_a_run_of_the_command_line(failed_run: Path) -> None:
    document = data(failed_run)
    run, nodes = document["run"], by_id(document)
    assert (document["version"], run["status"], run["counts"]["ran"], run["counts"]["failed"]) == (1, "failed", 2, 1)
    assert run["command"][:2] == ["nfrun", "run"]
    assert nodes["numbers"]["kind"] == "python"
    assert nodes["numbers"]["log"]["tail"] == ["four numbers"]
    assert nodes["told"]["failure"]["message"] == "no 2"
    assert nodes["told"]["failure"]["frames"][-1]["source"] == 'raise ValueError(f"no {table.num_rows}")'
    assert ["numbers", "kept", "data"] in document["edges"]
    assert ["kept", "told", "data"] in document["edges"]
    assert [nodes[name]["stage"] for name in ("numbers", "kept", "told")] == [0, 1, 2]
    assert run["critical_path"]["nodes"] == ["numbers", "kept", "told"]


def test_first_rows_and_nulls_of_a_kept_table(failed_run: Path) -> None:
    (numbers,) = by_id(data(failed_run))["numbers"]["outputs"]
    assert numbers["schema"] == [["n", "int64"], ["name", "string"]]
    assert numbers["first_rows"] == [[1, "a"], [2, "b"], [3, "b"], [None, "<b>"]]
    assert numbers["nulls"] == [1, 0]


def test_a_removed_table_still_has_schema_and_rows(failed_run: Path) -> None:
    (file,) = failed_run.glob("runs/*/kept.1.arrow")
    moved = file.rename(file.with_suffix(".moved"))
    try:
        (kept,) = by_id(data(failed_run))["kept"]["outputs"]
    finally:
        moved.rename(file)
    assert (kept["kept"], kept["rows"], "first_rows" in kept) == (False, 2, False)
    assert kept["gone"].startswith("the table of 'kept' in run 1 was removed; to make it again: nfrun run")


def test_a_table_of_which_a_byte_has_changed_is_not_shown(failed_run: Path, tmp_path: Path) -> None:
    copied = tmp_path / ".nfrun"
    shutil.copytree(failed_run, copied)
    (file,) = copied.glob("runs/*/numbers.1.arrow")
    content = file.read_bytes()
    place = content.index((2).to_bytes(8, "little") + (3).to_bytes(8, "little"))
    file.chmod(0o600)
    file.write_bytes(content[:place] + b"\x4d" + content[place + 1 :])
    (numbers,) = by_id(data(copied))["numbers"]["outputs"]
    assert (numbers["kept"], "first_rows" in numbers) == (False, False)
    assert numbers["gone"].startswith(f"{file} is damaged and is not used; to make it again: nfrun run")


def test_the_journal_of_a_killed_run(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.add(2, "", nodes=[finished("a", key_inputs={"kind": "sql"}, outputs=(output("a"),), duration=1.0)])
    killed = data(kept.work.path, "2")
    assert (killed["run"]["status"], by_id(killed)["a"]["kind"]) == ("killed", "sql")
    assert "overhead" not in killed["run"]


@pytest.mark.parametrize(("lines", "more"), [(20, False), (21, True)])
def test_the_end_of_a_long_log_says_that_there_is_more(tmp_path: Path, lines: int, more: bool) -> None:
    kept = Kept(tmp_path)
    error = RecordedNode("a", "failed", failure=failure("ValueError: no"), started=0.0)
    text = "".join(f"line {number}\n" for number in range(lines))
    kept.log(kept.add(1, "failed", nodes=[error]), "a", "stdout", text)
    log = by_id(data(kept.work.path))["a"]["log"]
    assert (log["tail"], log["more"]) == ([f"line {number}" for number in range(lines - 20, lines)], more)


def keep_plan(kept: Kept, folder: Path, pipeline: Pipeline) -> None:
    """Write the plan of the run with this folder."""
    on, plan = Circumstances(slots=2), plan_of(pipeline, slots=2)
    with closing(Database(kept.work, print)) as database:
        write_run_plan(database, folder.name, pipeline, plan, on, executors={})


def test_a_run_under_way_says_what_it_waits_for(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    at = {"started": 0.0, "duration": 1.0, "attempts": 1, "times": NodeTimes(0.0, 1.0, 0.0)}
    with kept.running(1, at=time.time() - 2, nodes=[finished("a", **at)]) as folder:
        nodes = {name: NodeSpec(name, "sql", "", (), {}, (), needs, {}) for name, needs in (("a", ()), ("b", ("a",)))}
        pipeline = Pipeline("p.yaml", str(tmp_path), "p", "", {}, {}, nodes, {})
        keep_plan(kept, folder, pipeline)
        document = data(kept.work.path)
    found = by_id(document)["b"]
    assert (found["status"], "started" in found) == ("not_ended", False)
    assert document["run"]["status"] == "running"
    text = document["run"]["critical_path"]["text"]
    assert re.fullmatch(r"The run has been under way for .*s\. Under way or next: b\.", text)
    assert document["run"]["duration"] >= 2


def test_secrets_are_masked_in_all_that_nodes_say(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    error = RecordedNode("a", "failed", failure=failure("ValueError: it is hunter22"), started=0.0, reason="hunter22")
    kept.log(kept.add(1, "failed", nodes=[error]), "a", "stdout", "hunter22 and 7\n")
    text = json.dumps(data(kept.work.path, None, "hunter22"))
    assert "hunter22" not in text
    assert "it is ***" in text


SECRET_PIPELINE = """
secrets: [TOKEN]
params: {city: hunter22}
nodes:
  told: {python: "steps:told", with: {city: "${{ params.city }}"}}
  pin: {python: "steps:pin"}
  page: {python: "steps:page", outputs: {page: .html}}
  bad:
    sql: select 'hunter22' as password, 1 as id
    checks: [{enum: {password: [other]}, severity: warn}]
  last: {python: "steps:last", inputs: [told]}
outputs: {told: told}
# hunter22 in a comment
"""
SECRET_STEPS = """
import os, sys
import pyarrow as pa

def told(city):
    print("the token is", os.environ["TOKEN"])
    return pa.table({"hunter22": ["x", "hunter22"], "n": [4711.0, 1.0]})

def pin():
    return pa.table({"n": [22334455, 22334455, 1], "m": [22334455.0, 2.0, 3.0]})

def page(context):
    path = context.scratch / "p.html"
    path.write_text("<p>hunter22</p>")
    return path

def last(told):
    raise KeyError("hunter22")
"""


def test_no_secret_of_a_run_is_in_its_page_or_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p.yaml").write_text(SECRET_PIPELINE)
    (tmp_path / "steps.py").write_text(SECRET_STEPS)
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml", "--keep-going", "-q"]
    run_nfrun(command, cwd=tmp_path, env={**os.environ, "TOKEN": "hunter22"})
    (run,) = (tmp_path / ".nfrun" / "runs").iterdir()
    assert "hunter22" not in repr(read_run_plan(run))
    document = data(tmp_path / ".nfrun", None, "hunter22", "22334455")
    nodes = by_id(document)
    assert "hunter22" not in json.dumps(document)
    text = json.dumps(document)
    assert "22334455" not in text, text[text.index("22334455") - 200 :][:300]
    (told,) = nodes["told"]["outputs"]
    assert (told["schema"][0], told["first_rows"][1]) == (["***", "string"], ["***", 1.0])
    assert nodes["pin"]["outputs"][0]["first_rows"][0] == ["***", "***.0"]
    assert nodes["page"]["outputs"][0]["media"] == {"type": "text/html", "data": "<p>***</p>", "cut": False}
    assert nodes["bad"]["checks"][0]["failing_rows"] == [{"password": "***", "id": "1"}]
    assert nodes["last"]["failure"]["message"] == "'***'"
    assert nodes["told"]["log"]["tail"] == ["the token is ***"]
    elsewhere = data(tmp_path / ".nfrun", unknown=["TOKEN"])
    assert "hunter22" not in json.dumps(elsewhere)
    assert "first_rows" not in json.dumps(elsewhere)
    assert "media" not in json.dumps(elsewhere)
    assert elsewhere["run"]["hidden"] == (
        "the secret TOKEN is not set here and cannot be masked: the page shows nothing of what outputs hold "
        "(set it to have that)"
    )


def test_a_node_took_the_time_of_all_its_attempts(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    tried = (FailedAttempt(0.0, 1.0, 0.9, 0.0, "ValueError: no"),)
    times = NodeTimes(2.0, 2.9, 0.0)
    kept.add(1, nodes=[finished("a", started=0.0, duration=0.9, attempts=2, times=times, earlier=tried)])
    found = by_id(data(kept.work.path))["a"]
    assert (found["duration"], found["started"], found["ended"]) == (1.9, 0.0, 2.9)
    path = data(kept.work.path)["run"]["critical_path"]
    assert (path["work"], path["retrying"]) == (1.9, 1.0)
    assert found["attempts"] == [
        {"started": 0.0, "duration": 1.0, "failure": "ValueError: no"},
        {"started": 2.0, "duration": 0.9},
    ]


def test_nodes_that_run_last_wait_for_all_others_and_disabled_ones_are_shown(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    starts = {"a": 0.0, "b": 0.0, "on_fail": 3.0, "end": 4.0}
    ends = [
        finished(name, times=NodeTimes(at, at + length, 0.0), started=at, duration=length, attempts=1)
        for (name, at), length in zip(starts.items(), (2.0, 3.0, 1.0, 1.0), strict=True)
    ]
    folder = kept.add(1, "ok", nodes=ends, duration=5.0, counts={"ok": 4})
    nodes = {name: NodeSpec(name, "sql", "", (), {}, (), (), {}) for name in ("a", "b")}
    last = {
        "on_failure": {"on_fail": NodeSpec("on_fail", "sql", "", (), {}, (), (), {}, section="on_failure")},
        "finally_": {"end": NodeSpec("end", "sql", "", (), {}, (), (), {}, section="finally")},
    }
    off = {"off": NodeSpec("off", "sql", "", (), {}, (), (), {})}
    pipeline = Pipeline(
        "p.yaml", str(tmp_path), "p", "", {}, {}, nodes, {}, **last, disabled={"off": "why"}, disabled_nodes=off
    )
    keep_plan(kept, folder, pipeline)
    document = data(kept.work.path)
    path = document["run"]["critical_path"]
    assert (path["nodes"], path["seconds"]) == (["b"], 3.0)
    assert path["text"] == "The run waited for b: 3.00 s of work. Then on_fail, end ran last, in 2.00 s."
    found = by_id(document)
    assert (found["off"]["status"], found["off"]["because"]) == ("disabled", "why")
    assert document["run"]["counts"]["disabled"] == 1
    assert [found[name]["stage"] for name in ("a", "off", "on_fail", "end")] == [0, 0, 1, 1]


def test_what_nfrun_itself_cost_in_a_sentence(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    ends = [
        finished("a", times=NodeTimes(0.5, 1.5, 0.0), started=0.5, duration=1.0, attempts=1),
        finished("b", times=NodeTimes(1.25, 1.75, 0.0), started=1.25, duration=0.5, attempts=1),
    ]
    kept.add(1, nodes=ends)
    cost = data(kept.work.path)["run"]["overhead"]
    assert (cost["seconds"], cost["start"], cost["idle"], cost["share"]) == (0.75, 0.0, 0.75, 0.375)
    assert cost["text"] == "nfrun itself took 750 ms of the 2.00 s of the run."
    on = Circumstances(began=START - 0.25, slots=2)
    pipeline = Pipeline("p.yaml", str(tmp_path), "p", "", {}, {}, {}, {})
    run = find_run(kept.work, None).id
    write_run_plan(Database(kept.work, print), run, pipeline, plan_of(pipeline), on, executors={})
    assert data(kept.work.path)["run"]["overhead"]["text"] == (
        "nfrun itself took 1.00 s: 250 ms to start, before the run began, and 750 ms of the 2.00 s of the run."
    )


def test_the_memory_of_a_worker_process(here: Here, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("nodes: {big: {python: 'sized:big', executor: process}, small: {sql: select 1}}\n")
    (tmp_path / "sized.py").write_text("def big():\n    return {'n': len(b'x' * 200_000_000)}\n")
    assert here(tmp_path, "run", "p.yaml", "-q").returncode == 0
    nodes = by_id(data(tmp_path / ".nfrun"))
    assert nodes["big"]["memory"] > 200_000_000
    assert "memory" not in nodes["small"]


def test_a_resource_that_a_node_waited_for_is_named(here: Here, tmp_path: Path) -> None:
    node = "{run: 'true', resources: {gpu: 1}}"
    (tmp_path / "p.yaml").write_text(f"resources: {{gpu: 1}}\nnodes: {{train: {node}, score: {node}}}\n")
    assert here(tmp_path, "run", "p.yaml").returncode == 0
    path = data(tmp_path / ".nfrun")["run"]["critical_path"]
    assert " or gpu" in path["text"]


def test_nodes_of_one_worker_are_side_by_side(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    ends = [
        finished(name, worker=worker, started=start, duration=1.0, attempts=1)
        for name, worker, start in (("a", "w1", 0.0), ("b", "w2", 0.0), ("c", "w1", 0.5), ("d", "w2", 1.0))
    ]
    kept.add(1, nodes=ends)
    nodes = by_id(data(kept.work.path))
    assert {name: (node["worker"], node["lane"]) for name, node in nodes.items()} == {
        "a": ("w1", 0),
        "c": ("w1", 1),
        "b": ("w2", 2),
        "d": ("w2", 2),
    }


def test_what_changed_since_the_run_before(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    before = finished("a", key_inputs={"text": "1"}, outputs=(output("a", digest="1"),), duration=1.0)
    after = finished("a", key="l", key_inputs={"text": "2"}, outputs=(output("a", 12, digest="2"),), duration=1.0)
    kept.add(1, nodes=[before])
    kept.add(2, nodes=[after], duration=3.0)
    change = data(kept.work.path)["change"]
    assert (change["against"]["number"], change["seconds"]) == (1, 1.0)
    (node,) = change["nodes"]
    assert (node["id"], node["before"], node["after"]) == ("a", "ok", "ok")
    assert node["outputs"] == ["a: 10 -> 12 rows"]
    assert data(kept.work.path, "1")["change"] is None
    kept.add(3, nodes=[finished("b", duration=1.0)], counts={"ok": 1})
    what = {node["id"]: node["what"] for node in data(kept.work.path)["change"]["nodes"]}
    assert what == {"a": "gone", "b": "new"}


def test_definitions_times_and_cost_of_a_run(failed_run: Path) -> None:
    document = data(failed_run)
    run, nodes = document["run"], by_id(document)
    assert nodes["numbers"]["definition"] == {"place": "small.yaml:5", "yaml": 'numbers: {python: "steps:numbers"}'}
    assert nodes["told"]["failure"]["place"] == "small.yaml:7"
    assert [node["id"] for node in document["nodes"]] == ["numbers", "kept", "told"]
    for node in nodes.values():
        assert node["queued"] <= node["started"] <= node["ended"]
        first, last = node["queued"] - 2e-6, node["ended"] + 2e-6  # lines have whole microseconds
        assert all(first <= a < b <= last for _, a, b in node["phases"])
    assert (run["slots"] > 0, run["machine"]["cores"] > 0) == (True, True)
    assert 0 < run["overhead"]["start"] <= run["overhead"]["seconds"]


def test_a_killed_run_shows_the_nodes_that_had_not_ended(failed_run: Path, tmp_path: Path) -> None:
    (run,) = failed_run.glob("runs/*")
    copied = tmp_path / ".nfrun"
    shutil.copytree(failed_run, copied)
    folder = copied / "runs" / run.name
    first = lines_of(folder)[:2]
    rewrite_lines(folder, lambda line: line if line in first else None)
    Kept(tmp_path).log(folder, "kept", "stderr", "half way\n")
    document = data(copied)
    assert document["run"]["status"] == "killed"
    assert document["run"]["counts"] | {"failed": 0} == document["run"]["counts"]
    assert {id: node["status"] for id, node in by_id(document).items()} == {
        "numbers": "ok",
        "kept": "not_ended",
        "told": "not_ended",
    }
    kept = by_id(document)["kept"]
    assert kept["log"]["tail"] == ["half way"]
    text = document["run"]["critical_path"]["text"]
    assert re.fullmatch(r"The run was killed after at least .*s\. Under way or next: kept\.", text)
    assert document["run"]["critical_path"]["nodes"] == []
    assert by_id(document)["told"]["definition"]["place"] == "small.yaml:7"
    assert ["kept", "told", "data"] in document["edges"]
    trace = json.loads(recorded_trace(find_run(WorkDir(copied), None, None), str))
    assert trace["otherData"]["status"] == "killed"
    slices = {e["name"]: e["cat"] for e in trace["traceEvents"] if e["ph"] == "X" and e["cat"].startswith("node")}
    assert slices == {"numbers": "node,ok"}
