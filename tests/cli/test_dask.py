"""Tests of runs with few nodes on a real Dask cluster. `tests/faults/dask_kill.py` kills it during runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import forked
import pytest
from plugin_site import KIND, write_plugin
from recorded_lines import lines_of

from tests.faults import features
from tests.faults.dask_cluster import DaskCluster

pytest.importorskip("distributed", reason="needs Dask: pip install 'distributed>=2024.1'")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="hosts need Linux")

PIPELINE = """
name: p
params: {word: hello}
env: {WORD: "${{ params.word }}"}
nodes:
  seeds: {read: seeds.csv}
  made: {python: "steps:made", inputs: {table: seeds}}
  summed: {sql: select sum(n)::int as n from made, inputs: made}
  shown: {run: 'echo "$WORD" >&2; cat "$NFRUN_INPUT_summed" > "$NFRUN_OUTPUT"', inputs: summed, format: csv}
outputs: {shown: shown}
"""
STEPS = """
import pyarrow.compute as pc

def made(table):
    print("in a worker")
    return table.append_column("n", pc.multiply(table["id"], 2))
"""
# A plug-in that tells where it runs.
WHERE = """
import builtins

def run(job):
    job.log.info("in the plug-in")
    rows = job.table("rows").num_rows * job.node.values["times"]
    is_there = not hasattr(builtins, "of_the_driver")
    return {"rows": [{"rows": rows, "is_there": is_there, "key": job.environ["TOY_KEY"]}]}
"""
FLIGHTS = Path(__file__).parents[2] / "pipelines/flights"
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plug-in that the workers have, too."""
    folder = tmp_path_factory.mktemp("site")
    write_plugin(folder, source=WHERE, kind={**KIND, "env": ["TOY_KEY"]})
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, site: Path) -> Iterator[DaskCluster]:
    path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(site))))
    options = ("--resources", "gpu=1 memory=1e15")
    with DaskCluster(tmp_path_factory.mktemp("dask"), 1, {"PYTHONPATH": path}, options) as cluster:
        yield cluster


def project(folder: Path, pipeline: str = PIPELINE, steps: str = STEPS) -> Path:
    folder.mkdir()
    (folder / "p.yaml").write_text(pipeline)
    (folder / "steps.py").write_text(steps)
    (folder / "seeds.csv").write_text("id\n1\n2\n3\n")
    return folder


def nfrun(folder: Path, *arguments: str) -> Done:
    command = [sys.executable, "-m", "nfrun", *arguments]
    return forked.run(command, cwd=folder, capture_output=True, text=True, timeout=100)


def on_dask(folder: Path, cluster: DaskCluster, *arguments: str) -> Done:
    return nfrun(folder, "run", "p.yaml", "--executor", "dask", "--address", cluster.address, *arguments)


def last_line(done: Done) -> str:
    return re.sub(r", [\d.]+ \w+$", "", done.stderr.rstrip("\n").rpartition("\n")[2])


def test_a_run_on_a_cluster_gives_what_a_local_run_gives_and_each_goes_on_from_the_other(
    tmp_path: Path, cluster: DaskCluster
) -> None:
    here, there = project(tmp_path / "here"), project(tmp_path / "there")
    local = json.loads(nfrun(here, "run", "p.yaml", "--json").stdout)
    done = on_dask(there, cluster, "--json", "--trace", "trace.json")
    assert done.returncode == 0, done.stderr
    nfrun(there, "report", "--format", "trace", "-o", "past.json")
    for file in ("trace.json", "past.json"):
        traced = json.loads((there / file).read_text())["traceEvents"]
        titles = [event["args"]["name"] for event in traced if event["name"] == "process_name"]
        assert any(title.endswith(f": worker {next(iter(cluster.addresses()))}") for title in titles)
    (run,) = (there / ".nfrun").glob("runs/*")
    workers = {line["worker"] for line in lines_of(run) if "worker" in line}
    assert workers
    assert workers <= set(cluster.addresses())
    far = json.loads(done.stdout)
    assert far["outputs"]["shown"]["digest"] == local["outputs"]["shown"]["digest"]
    assert re.search(r"s  made \| in a worker$", done.stderr, re.MULTILINE)
    assert re.search(r"s  shown \| hello$", done.stderr, re.MULTILINE)
    assert last_line(nfrun(there, "run", "p.yaml")) == "p: ok, 4 reused"
    assert last_line(on_dask(here, cluster)) == "p: ok, 4 reused"
    (here / "p.yaml").write_text(PIPELINE.replace("sum(n)", "max(n)"))
    assert last_line(on_dask(here, cluster)) == "p: ok, 2 ran, 2 reused"


def test_a_node_tells_which_module_its_worker_lacks(tmp_path: Path, cluster: DaskCluster) -> None:
    folder = project(tmp_path / "p", PIPELINE, f"import only_here\n{STEPS}")
    (tmp_path / "lib/only_here.py").parent.mkdir()
    (tmp_path / "lib/only_here.py").write_text("")
    done = nfrun_with(folder, tmp_path / "lib", cluster, tmp_path / "store")
    assert done.returncode == 1
    assert "node 'made' failed: ModuleNotFoundError: No module named 'only_here'\n  steps.py:1 in" in done.stderr


def nfrun_with(folder: Path, library: Path, cluster: DaskCluster, store: Path, before: str = "pass") -> Done:
    code = f"{before}; import sys; sys.path.append({str(library)!r}); from nfrun.__main__ import main; main()"
    command = [sys.executable, "-c", code, "run", "p.yaml", "--executor", "dask", "--address", cluster.address]
    return subprocess.run(
        [*command, "--store", str(store)], cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )


def test_a_plug_in_runs_on_a_worker_that_has_it(tmp_path: Path, cluster: DaskCluster, site: Path) -> None:
    used = """
nodes:
  seeds: {read: seeds.csv}
  used: {use: toy.repeat, inputs: {rows: seeds}, with: {times: 2}, env: {TOY_KEY: abc}}
outputs: {used: used}
"""
    folder = project(tmp_path / "p", used)
    done = nfrun_with(folder, site, cluster, tmp_path / "store", "import builtins; builtins.of_the_driver = True")
    assert done.returncode == 0, done.stderr
    assert re.search(r"s  used \| in the plug-in$", done.stderr, re.MULTILINE)
    shown = nfrun(folder, "open", "used", "--format", "jsonl").stdout
    assert json.loads(shown) == {"rows": 6, "is_there": True, "key": "abc"}


def test_a_plug_in_that_workers_lack_is_told_before_any_node_runs(tmp_path: Path, cluster: DaskCluster) -> None:
    write_plugin(tmp_path / "lib", name="toy.here", module="here_kinds.one", distribution="here")
    folder = project(
        tmp_path / "p", "nodes: {seeds: {read: seeds.csv}, x: {use: toy.here, inputs: seeds, with: {times: 1}}}\n"
    )
    done = nfrun_with(folder, tmp_path / "lib", cluster, tmp_path / "store")
    assert (done.returncode, done.stderr) == (
        69,
        "nfrun: the cluster cannot run this pipeline:\n"
        f"   worker {next(iter(cluster.addresses()))}: "
        f"{socket.gethostname()} has no module 'here_kinds.one': install it there\n",
    )


def test_a_node_takes_the_memory_of_a_worker_and_not_that_of_this_machine(tmp_path: Path, cluster: DaskCluster) -> None:
    pipeline = "name: p\nnodes: {a: {python: 'steps:a', resources: {memory: 900TB}}}\n"
    folder = project(tmp_path / "p", pipeline, "import pyarrow as pa\ndef a(): return pa.table({'n': [1]})\n")
    assert nfrun(folder, "run", "p.yaml").returncode == 2
    done = on_dask(folder, cluster)
    assert (done.returncode, last_line(done)) == (0, "p: ok, 1 ran"), done.stderr


def test_a_scheduler_that_is_not_there_is_told(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        done = nfrun(project(tmp_path / "p"), "run", "p.yaml", "--executor", "dask", "--address", address)
    assert (done.returncode, done.stderr) == (
        69,
        f"nfrun: no Dask scheduler answers at {address}: Connection refused\n",
    )


def test_certificates_that_are_missing_are_told(tmp_path: Path, cluster: DaskCluster) -> None:
    address = cluster.address.replace("tcp", "tls")
    done = nfrun(project(tmp_path / "p"), "run", "p.yaml", "--executor", "dask", "--address", address)
    assert (done.returncode, done.stderr) == (
        69,
        f"nfrun: {address} needs certificates, and Dask has none: set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, "
        "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY\n",
    )


def test_runs_on_this_machine_do_not_import_dask(tmp_path: Path) -> None:
    code = (
        "import sys, atexit; from nfrun.__main__ import main\n"
        "atexit.register(lambda: print(sorted({'dask', 'distributed'} & {*sys.modules})))\n"
        "main(guarded=False)"
    )
    command = [sys.executable, "-c", code, "run", "p.yaml", "-q"]
    done = subprocess.run(command, cwd=project(tmp_path / "p"), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_every_kind_and_feature_is_the_same_on_a_cluster(tmp_path: Path, cluster: DaskCluster) -> None:
    found = {}
    for name, options in (("local", []), ("dask", ["--executor", "dask", "--address", cluster.address])):
        folder, events = features.write(tmp_path / name), tmp_path / f"{name}.events"
        done = nfrun(folder, "run", features.FILE, "--json", "--events", str(events), *options)
        assert done.returncode == 0, done.stderr
        outputs = json.loads(done.stdout)["outputs"]
        found[name] = features.same_parts(events), {key: output["digest"] for key, output in outputs.items()}
    assert found["dask"] == found["local"]


VANISHING = """
import pathlib, pyarrow as pa

def made():
    return pa.table({"n": [*range(20)]})

def squared(n: int, store: str):
    flag = pathlib.Path(store).with_name("flag")
    if n == 5 and not flag.exists():
        flag.touch()
        for path in pathlib.Path(store).rglob("data/*.arrow"):
            path.unlink()
    return {"squared": n * n}
"""


@pytest.mark.slow
def test_a_map_whose_input_vanishes_during_calls_has_it_made_again_and_goes_on(
    tmp_path: Path, cluster: DaskCluster
) -> None:
    store = tmp_path / "store"
    node = f"{{python: 'steps:squared', inputs: made, map: {{over: made, batch: 1}}, with: {{store: {store}}}}}"
    folder = project(tmp_path / "p", f"name: p\nnodes: {{made: {{python: 'steps:made'}}, m: {node}}}\n", VANISHING)
    events = tmp_path / "events"
    done = on_dask(folder, cluster, "--store", str(store), "--events", str(events))
    assert done.returncode == 0, done.stderr
    parts = [json.loads(line) for line in events.read_text().splitlines()]
    ended = [(part["node"], part["attempt"]) for part in parts if part["event"] == "node_finished"]
    assert ended == [("made", 1), ("made", 2), ("m", 2)]
    again = next(part["map"] for part in parts if part["event"] == "node_finished" and part["node"] == "m")
    assert again["reused"] >= 5, "what the calls before have given is not computed again"


@pytest.mark.slow
def test_flights_are_the_same_on_a_cluster(tmp_path: Path, cluster: DaskCluster) -> None:
    found = {}
    for name, options in (("local", []), ("dask", ["--executor", "dask", "--address", cluster.address])):
        folder, events = tmp_path / name / "p", tmp_path / f"{name}.events"
        shutil.copytree(FLIGHTS, folder, ignore=shutil.ignore_patterns(".*", "out"))
        done = nfrun(folder, "run", "flights.yaml", "-q", "--events", str(events), *options)
        assert done.returncode == 0, done.stderr
        found[name] = features.same_parts(events)
    assert sum('"digest"' in part for part in found["local"]) > 15
    assert found["dask"] == found["local"]


def test_an_error_of_a_class_at_the_end_of_the_run_is_told(tmp_path: Path, cluster: DaskCluster) -> None:
    steps = """
class Twice:
    def __call__(self, id: int): return {"twice": 2 * id}
    def close(self): raise ValueError("no end")
"""
    pipeline = """
name: p
nodes:
  seeds: {read: seeds.csv}
  twice: {python: "steps:Twice", map: {over: rows, batch: 3}, inputs: {rows: seeds}}
"""
    done = on_dask(project(tmp_path / "p", pipeline, steps), cluster)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if "close()" in line]
    assert told == ["nfrun: close() of an instance failed: ValueError: no end"]
