"""Tests of how many threads native libraries get: in the run's process, in worker processes and in scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import STUBS, Here

from nfrun.session.options import RunOptions
from nfrun.system.runtime import cores
from nfrun.system.units import parse_size
from tests.program_runs import run_pipeline

VARIABLES = {
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
}
# Python imports this module when it starts, in each process of a run. It writes down what the first import of pyarrow
# and numpy finds in the environment. Behind it on the path are the stubs: numpy itself need not be imported.
WATCH = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("pyarrow", "numpy"):
            with open(os.environ["IMPORTS"], "a") as log:
                print(name, os.environ.get("OMP_NUM_THREADS"), os.environ.get("OPENBLAS_NUM_THREADS"), file=log)
sys.meta_path.insert(0, Watch())
"""
STEPS = """
import os
import pyarrow as pa

def seen(context):
    names = [name for name in os.environ if name.endswith("_THREADS") or name.startswith("TOKEN")]
    return {**{name: os.environ[name] for name in sorted(names)}, "arrow": pa.cpu_count(), "cpus": context.cpus}

def same(table):
    return table
"""
PRINT = """|
      echo name,value > $NFRUN_OUTPUT
      env | grep -E '_THREADS=|^TOKEN' | sed 's/=\\(.*\\)/,"is \\1"/' >> $NFRUN_OUTPUT
"""
PIPELINE = f"""\
nodes:
  seen: {{python: "steps:seen"}}
  worker: {{python: "steps:seen", executor: process}}
  script:
    format: csv
    run: {PRINT}
outputs: {{seen: seen, worker: worker, script: script}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "p.yaml").write_text(PIPELINE)
    (tmp_path / "alone.yaml").write_text('nodes:\n  seen: {python: "steps:seen"}\n')
    (tmp_path / "two.yaml").write_text(
        'nodes: {a: {python: "steps:seen"}, b: {python: "steps:same", inputs: {table: a}}}\n'
    )
    return tmp_path


def values_of(rows: list[dict[str, str]]) -> dict[str, str]:
    """Return the variables that PRINT has written, by name."""
    return {row["name"]: row["value"].removeprefix("is ") for row in rows}


def started(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in {*VARIABLES, "TOKENIZERS_PARALLELISM"}}
    command = [sys.executable, "-m", "nfrun", *words]
    done = subprocess.run(
        command, cwd=folder, env={**kept, **environ}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def seen(folder: Path, here: Here, *words: str) -> dict[str, dict[str, Any]]:
    """Run the pipeline in this process, without variables of the user, and return what each node saw."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (*VARIABLES, "TOKENIZERS_PARALLELISM"):
            patch.delenv(name, raising=False)
        done = here(folder, "run", *words, "--json", "--keep")
    assert done.returncode == 0, done.stderr
    return rows_of(done.stdout)


def seen_in_a_process(folder: Path, *words: str, **environ: str) -> dict[str, dict[str, Any]]:
    """Run the pipeline in a new process with these variables, and return what each node saw."""
    return rows_of(started(folder, "run", *words, "--json", "--keep", **environ).stdout)


def rows_of(printed: str) -> dict[str, dict[str, Any]]:
    import pyarrow as pa

    document = json.loads(printed)
    found = {}
    for name, output in document["outputs"].items():
        table = pa.ipc.open_file(output["path"]).read_all()
        rows = table.to_pylist()
        found[name] = rows[0] if len(rows) == 1 else values_of(rows)
    return found


@pytest.mark.parametrize("slots", [pytest.param("1", marks=pytest.mark.slow), "auto"])
def test_native_libraries_have_one_thread_in_nodes_workers_and_scripts(folder: Path, here: Here, slots: str) -> None:
    options = ("p.yaml", "-j", slots)
    found = seen(folder, here, *options) if slots == "1" else seen_in_a_process(folder, *options)
    expected = dict.fromkeys(VARIABLES, "1")
    for name in ("seen", "worker"):
        assert found[name] == {**expected, "TOKENIZERS_PARALLELISM": "false", "arrow": cores(), "cpus": 1}
    assert found["script"] == {**expected, "TOKENIZERS_PARALLELISM": "false"}


def test_a_node_that_is_alone_has_as_many_as_it_wants(folder: Path, here: Here) -> None:
    assert seen(folder, here, "alone.yaml") == {"seen": {"arrow": cores(), "cpus": 1}}


def test_what_the_user_has_set_stays(folder: Path) -> None:
    found = seen_in_a_process(
        folder, "p.yaml", OMP_NUM_THREADS="3,2", MKL_NUM_THREADS="5", TOKENIZERS_PARALLELISM="true"
    )
    for node in found.values():
        assert {name: node[name] for name in VARIABLES} == {
            **dict.fromkeys(VARIABLES, "3"),
            "OMP_NUM_THREADS": "3,2",
            "MKL_NUM_THREADS": "5",
        }
        assert node["TOKENIZERS_PARALLELISM"] == "true"
    assert [found[name]["arrow"] for name in ("seen", "worker")] == [3, 3]  # Arrow's pool follows it too


def test_the_variables_of_the_file_and_of_the_node_stay(folder: Path, here: Here) -> None:
    script = f"  own:\n    format: csv\n    env: {{OPENBLAS_NUM_THREADS: 7}}\n    run: {PRINT}\noutputs: {{own: own, "
    text = PIPELINE.replace("outputs: {", script)
    (folder / "p.yaml").write_text(f"env: {{OPENBLAS_NUM_THREADS: 4}}\n{text}")
    found = seen(folder, here, "p.yaml")
    assert {name: node["OPENBLAS_NUM_THREADS"] for name, node in found.items()} == {
        **dict.fromkeys(("seen", "worker", "script"), "4"),
        "own": "7",
    }
    assert {node["OMP_NUM_THREADS"] for node in found.values()} == {"1"}


@pytest.mark.parametrize(
    "words",
    [
        ["run", "two.yaml"],
        pytest.param(["run", "two.yaml", "--handoff", "json"], marks=pytest.mark.slow),
        ["run", "two.yaml", "--executor", "process"],
        ["bench", "two.yaml", "--repeat", "1"],
    ],
)
def test_the_variables_are_set_before_anything_imports_numpy(folder: Path, words: list[str]) -> None:
    (folder / "start").mkdir()
    (folder / "start" / "sitecustomize.py").write_text(WATCH)
    log = folder / "imports.log"
    started(folder, *words, IMPORTS=str(log), PYTHONPATH=f"{folder / 'start'}{os.pathsep}{STUBS}")
    lines = log.read_text().splitlines()
    assert {"pyarrow 1 1", "numpy 1 1"} == set(lines)


def test_the_process_of_a_python_program_keeps_its_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES | {"TOKENIZERS_PARALLELISM"}:
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    result = run_pipeline(RunOptions(pipeline=folder / "p.yaml", slots=2))
    assert result.end.status == "ok"
    assert dict(os.environ) == before
    nodes = {name: table.to_pylist() for name, table in result.tables.items()}
    assert nodes["seen"] == [{"arrow": cores(), "cpus": 1}]
    assert nodes["worker"][0]["OMP_NUM_THREADS"] == "1"
    assert values_of(nodes["script"])["OMP_NUM_THREADS"] == "1"


OWN = f"""\
nodes:
  seen: {{python: "steps:seen", resources: {{cpu: 3}}}}
  thread: {{python: "steps:seen", resources: {{cpu: 3}}, executor: thread}}
  half: {{python: "steps:seen", resources: {{cpu: 0.5}}}}
  query: {{sql: "select current_setting('threads')::int as threads", resources: {{cpu: 2.5}}}}
  script:
    format: csv
    resources: {{cpu: 3}}
    run: {PRINT}
outputs: {{seen: seen, thread: thread, half: half, query: query, script: script}}
"""


def test_a_node_gets_the_threads_that_it_asks_for(folder: Path) -> None:
    pytest.importorskip("duckdb")
    (folder / "p.yaml").write_text(OWN)
    found = seen_in_a_process(folder, "p.yaml", "-j", "2", OMP_NUM_THREADS="2")
    assert {name: node.get("OMP_NUM_THREADS") for name, node in found.items()} == {
        "seen": "3",
        "thread": "2",
        "half": "2",
        "query": None,
        "script": "3",
    }
    assert [found[name]["cpus"] for name in ("seen", "thread", "half")] == [3, 3, 1]
    assert found["query"] == {"threads": 2}
    for name in ("seen", "script"):
        assert {found[name][variable] for variable in VARIABLES} == {"3"}
        assert found[name]["TOKENIZERS_PARALLELISM"] == "true"


def test_a_variable_of_the_file_stays_in_a_node_with_its_own_number(folder: Path, here: Here) -> None:
    nodes = OWN.replace(OWN[OWN.index("  thread:") : OWN.index("  script:")], "").partition("outputs:")[0]
    (folder / "p.yaml").write_text(f"env: {{MKL_NUM_THREADS: 7}}\n{nodes}")
    found = seen(folder, here, "p.yaml")
    for name in ("seen", "script"):
        assert {variable: found[name][variable] for variable in VARIABLES} == {
            **dict.fromkeys(VARIABLES, "3"),
            "MKL_NUM_THREADS": "7",
        }


def test_numpy_is_loaded_with_the_threads_that_the_node_asks_for(folder: Path) -> None:
    """The first import of numpy in the worker finds them in the environment."""
    (folder / "start").mkdir()
    (folder / "start" / "sitecustomize.py").write_text(WATCH)
    (folder / "p.yaml").write_text(
        'nodes: {a: {python: "steps:seen", resources: {cpu: 3}}, b: {python: "steps:seen"}}\n'
    )
    log = folder / "imports.log"
    started(folder, "run", "p.yaml", IMPORTS=str(log), PYTHONPATH=f"{folder / 'start'}{os.pathsep}{STUBS}")
    assert set(log.read_text().splitlines()) == {f"{name} {n} {n}" for name in ("pyarrow", "numpy") for n in (1, 3)}


PROGRAM = """
import os
from pathlib import Path
from nfrun.session.options import RunOptions
from tests.program_runs import run_pipeline
before = dict(os.environ)
result = run_pipeline(RunOptions(Path("two.yaml"), executor="process"))
assert result.end.status == "ok" and dict(os.environ) == before
"""


def test_workers_of_a_python_program_load_numpy_with_one_thread(folder: Path) -> None:
    (folder / "start").mkdir()
    (folder / "start" / "sitecustomize.py").write_text(WATCH)
    (folder / "program.py").write_text(PROGRAM)
    log = folder / "imports.log"
    kept = {name: value for name, value in os.environ.items() if name not in {*VARIABLES, "TOKENIZERS_PARALLELISM"}}
    environ = {**kept, "IMPORTS": str(log), "PYTHONPATH": f"{folder / 'start'}{os.pathsep}{STUBS}"}
    subprocess.run([sys.executable, "program.py"], cwd=folder, env=environ, timeout=60, check=True)
    both = {f"{name} {n} {n}" for name in ("pyarrow", "numpy") for n in ("None", "1")}
    assert set(log.read_text().splitlines()) == both
    assert log.read_text().count("numpy None") == 1  # that of the program itself


def test_the_queries_of_all_worker_processes_share_the_memory(folder: Path, here: Here) -> None:
    pytest.importorskip("duckdb")
    limit = "select current_setting('memory_limit') as 'limit'"
    nodes = "".join(f'  {name}: {{sql: "{limit}", executor: process}}\n' for name in "ab")
    (folder / "p.yaml").write_text(f'nodes:\n  thread: {{sql: "{limit}"}}\n{nodes}')
    found = {name: parse_size(node["limit"]) for name, node in seen(folder, here, "p.yaml", "-j", "2").items()}
    assert found.keys() == {"thread", "a", "b"}
    for name in "ab":
        assert found[name] == pytest.approx(found["thread"] / 2, rel=0.02)
