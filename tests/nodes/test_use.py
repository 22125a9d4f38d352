"""Nodes of plug-ins run: what `run(job)` gets and may return, on threads and in processes, and when it runs again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Here
from plugin_site import on_path, write_plugin
from recorded_lines import text_of

from nfrun.core.values import replace
from nfrun.nodes import use
from nfrun.nodes.base import NodeError
from nfrun.nodes.plugins import find_kind

ANY: Mapping[str, Any] = {"api": 1, "version": "1", "revision": 1, "with": {"type": "object"}, "inputs": {}}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "site"
    folder.mkdir()
    with on_path(folder):
        yield folder


def run(here: Here, folder: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Run p.yaml. Returns the exit code, the JSON document and stderr."""
    done = here(folder, "run", "p.yaml", "-q", "--json", *options)
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def rows(here: Here, folder: Path, output: str) -> list[dict[str, Any]]:
    done = here(folder, "open", output, "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def one(site: Path, source: str, node: str, **kind: Any) -> Path:
    """Write a plug-in `toy.one` and a pipeline with a node of it, `x`, and a table `t`. Returns the folder."""
    write_plugin(site, name="toy.one", module="toy_kinds.one", source=source, kind={**ANY, **kind})
    folder = site.parent
    (folder / "p.yaml").write_text(
        f"nodes:\n  t: {{sql: select 1 as a union all select 2}}\n  x: {{use: toy.one, {node}}}\noutputs: {{x: x}}\n"
    )
    return folder


SEES = """
import os

def run(job):
    done, total = 1, 2
    job.progress(done, total)
    job.log.info("hello from %s", job.node.kind)
    job.node.values["list"].append(2)
    async def twice(n):
        return 2 * n
    assert job.scratch() == job.scratch() and job.scratch().is_dir()
    with job.stop.calls(lambda: None):
        assert not job.stop.requested
    return {"seen": [{
        "id": job.node.id, "kind": job.node.kind, "inputs": ",".join(job.node.inputs), "outputs": str(job.node.outputs),
        "cpus": job.node.cpus, "list": str(job.node.values["list"]), "rows": job.table("rows").num_rows,
        "file": job.file("rows").suffix, "has": job.has("rows"), "folder": job.folder.name, "attempt": job.attempt,
        "key": job.environ["TOY_KEY"], "twice": job.wait(twice(2)), "durable": job.durable,
        "in_process": job.environ["NFRUN_TEST_PID"] != str(os.getpid()),
    }]}
"""


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_what_run_gets(here: Here, site: Path, monkeypatch: pytest.MonkeyPatch, executor: str) -> None:
    import os

    monkeypatch.setenv("NFRUN_TEST_PID", str(os.getpid()))
    node = "inputs: {rows: t}, with: {list: [1]}, env: {TOY_KEY: a}, executor: " + executor
    folder = one(site, SEES, node, outputs={"seen": "table"}, env=["TOY_KEY"])
    code, document, told = run(here, folder)
    assert code == 0, told
    assert rows(here, folder, "x") == [
        {
            **{"id": "x", "kind": "toy.one", "inputs": "rows", "outputs": "{'seen': 'table'}", "cpus": 1},
            **{"list": "[1, 2]", "rows": 2, "file": ".arrow", "has": True, "folder": folder.name, "attempt": 1},
            **{"key": "a", "twice": 4, "durable": False, "in_process": executor == "process"},
        }
    ]
    assert "hello from toy.one" in here(folder, "logs", "x").stdout
    assert document["nodes"]["x"]["status"] == "ok"


FILES = """
def run(job):
    (job.scratch() / "made").mkdir()
    (job.scratch() / "made" / "a.txt").write_text("a")
    return {"raw": b"bytes", "made": job.scratch() / "made", "rows": job.table("rows")}
"""


def test_tables_files_and_folders_are_made(here: Here, site: Path) -> None:
    outputs = {"raw": ".bin", "made": "folder", "rows": "table"}
    folder = one(site, FILES, "inputs: {rows: t}", outputs=outputs)
    (folder / "p.yaml").write_text(
        (folder / "p.yaml").read_text().replace("{x: x}", "{x: x.raw, y: x.made, z: x.rows}")
    )
    code, document, told = run(here, folder)
    assert code == 0, told
    assert {name: out.get("type", "table") for name, out in document["outputs"].items()} == {
        "x": ".bin",
        "y": "folder",
        "z": "table",
    }


HAS = "def run(job): return {'rows': [{'has': str([job.has(name) for name in ('t', 'off', 'nothing')])}]}"


def test_an_optional_input_may_be_absent(here: Here, site: Path) -> None:
    folder = one(site, HAS, "inputs: {t: t, off: {from: off, optional: true}}", outputs={"rows": "table"})
    text = (folder / "p.yaml").read_text()
    (folder / "p.yaml").write_text(text.replace("  x:", "  off: {if: false, sql: select 1}\n  x:"))
    assert status(here, folder) == "ok"
    assert rows(here, folder, "x") == [{"has": "[True, False, False]"}]


STREAM = """
import pyarrow as pa

def run(job):
    schema = pa.schema({"n": pa.int64()})
    def batches():
        for i in range(3):
            yield pa.record_batch([[i]], schema=schema)
    return {"rows": pa.RecordBatchReader.from_batches(schema, batches())}
"""


def test_a_reader_is_written_as_it_comes(here: Here, site: Path) -> None:
    folder = one(site, STREAM, "with: {}", outputs={"rows": "table"})
    assert run(here, folder)[0] == 0
    assert rows(here, folder, "x") == [{"n": 0}, {"n": 1}, {"n": 2}]


ROWS = {"rows": "table"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "import nfrun\ndef run(job): raise nfrun.NodeError('the service is closed', 'open it')",
            "the service is closed",
        ),
        ("def run(job): return 1", "run() of 'toy.one' returned an int, not a mapping of its outputs"),
        (
            "def run(job): return {'row': 1}",
            "run() of 'toy.one' returned a mapping of 'row': there is no output 'row'",
        ),
        ("def run(job): return {}", "it has not made 'x', but 'outputs' of the file names it"),
        ("def walk(job): pass", "the module 'toy_kinds.one' of 'toy.one' has no function run(job)"),
        ("def run(job): return {'rows': 'text'}", "the function returned a str, which is not a table"),
        ("def run(job): return {'raw': 1}", "the output 'raw' is a file, and the function returned an int"),
        ("def run(job): return {1: 2}", "run() of 'toy.one' returned a dict, not a mapping of its outputs"),
    ],
)
def test_what_is_wrong_is_said(here: Here, site: Path, source: str, message: str) -> None:
    folder = one(site, source, "with: {}", outputs={**ROWS, "raw": ".bin"} if "raw" in source else ROWS)
    if "raw" in source:
        (folder / "p.yaml").write_text((folder / "p.yaml").read_text().replace("{x: x}", "{x: x.raw}"))
    code, document, _ = run(here, folder)
    assert (code, document["nodes"]["x"]["error"]) == (1, message)
    if "raw" in source:
        told = here(folder, "show", "x").stdout
        assert "make it at job.scratch() / 'raw.bin', and return that path; or return bytes" in told


def test_any_other_error_is_shown_with_the_frames_of_the_plug_in(here: Here, site: Path) -> None:
    source = "def run(job):\n    return helper(job)\n\ndef helper(job):\n    return 1 / 0\n"
    folder = one(site, source, "with: {}", outputs=ROWS)
    done = here(folder, "run", "p.yaml", "-q")
    assert done.returncode == 1
    assert "ZeroDivisionError: division by zero" in done.stderr
    assert "one.py:2 in run" in done.stderr
    assert "one.py:5 in helper" in done.stderr
    assert "nodes/use.py" not in done.stderr


def test_a_worker_of_another_environment_has_a_plug_in_of_its_own(site: Path) -> None:
    one(site, "def run(job): return {}", "with: {}", outputs=ROWS)
    half = replace(find_kind("toy.one"), origin="/elsewhere/toy_kinds/one.py")
    assert callable(use._imported(half, "run").run)
    with pytest.raises(NodeError) as error:
        use._imported(replace(half, revision=half.revision + 1, package="toy-kinds 2.0"), "run")
    told = f"'toy.one' has the revision {half.revision} here (of {half.package}), and {half.revision + 1} in the run"
    assert (str(error.value), error.value.details) == (told, "install toy-kinds 2.0 here, too")


def test_a_module_that_is_hidden_by_another_is_an_error(here: Here, site: Path) -> None:
    folder = one(site, "def run(job): return {}", "with: {}", outputs=ROWS)
    (folder / "toy_kinds").mkdir()
    (folder / "toy_kinds" / "__init__.py").touch()
    (folder / "toy_kinds" / "one.py").write_text("def run(job): raise SystemExit('the wrong one')")
    (folder / "steps.py").write_text("def f():\n    import toy_kinds.one\n    return {'a': 1}\n")
    (folder / "p.yaml").write_text(
        "nodes:\n  first: {python: 'steps:f'}\n  x: {use: toy.one, needs: first}\noutputs: {x: x}\n"
    )
    code, document, _ = run(here, folder)
    assert code == 1
    assert document["nodes"]["x"]["error"].startswith(
        "the module 'toy_kinds.one' of 'toy.one' is hidden by another of that"
    )


def status(here: Here, folder: Path, *options: str) -> str:
    code, document, told = run(here, folder, *options)
    assert code == 0, told
    return str(document["nodes"]["x"]["status"])


PLAIN = "def run(job): return {'rows': [{'a': 1}]}"


def why(here: Here, folder: Path) -> tuple[str, str | None]:
    node = json.loads(here(folder, "plan", "p.yaml", "--format", "json").stdout)["nodes"]["x"]
    return node["resume"], node["why"]


def test_the_revision_is_in_the_key_and_the_version_is_not(here: Here, site: Path) -> None:
    folder = one(site, PLAIN, "with: {}", outputs=ROWS)
    assert [status(here, folder) for _ in range(2)] == ["ok", "reused"]
    one(site, PLAIN, "with: {}", outputs=ROWS, version="1.7")
    (folder / "p.yaml").write_text((folder / "p.yaml").read_text().replace("toy.one", "toy.one@1"))
    assert status(here, folder) == "reused"
    one(site, PLAIN, "with: {}", outputs=ROWS, revision=2)
    assert why(here, folder) == ("run", "its revision changed")
    assert status(here, folder) == "ok"
    one(site, PLAIN, "with: {a: 1}", outputs=ROWS, revision=2)
    assert why(here, folder) == ("run", "the value 'a' is new")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("effects", "it runs for its effect"),
        ("external", "'toy.one' reads what lies outside of the run, and nfrun cannot see whether it has changed"),
    ],
)
def test_effects_and_what_lies_outside_run_each_time_without_cache(
    here: Here, site: Path, key: str, reason: str
) -> None:
    kind = {"outputs": ROWS, key: True}
    folder = one(site, PLAIN, "with: {}", **kind)
    assert [status(here, folder) for _ in range(2)] == ["ok", "ok"]
    assert why(here, folder) == ("run", reason)
    one(site, PLAIN, "with: {}, cache: true", **kind)
    assert [status(here, folder) for _ in range(2)] == ["reused", "reused"]


def test_the_variables_that_a_kind_names_are_in_the_key(
    here: Here, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the address of a database: what was read of another one is no result of this one."""
    monkeypatch.setenv("TOY_KEY", "a")
    folder = one(site, PLAIN, "with: {}, cache: true", outputs=ROWS, external=True, env=["TOY_KEY"])
    assert [status(here, folder) for _ in range(2)] == ["ok", "reused"]
    monkeypatch.setenv("TOY_KEY", "b")
    assert why(here, folder) == ("run", "the variable TOY_KEY changed")
    assert status(here, folder) == "ok"
    journals = text_of(folder / ".nfrun")
    assert '"variable TOY_KEY": "' in journals and '"variable TOY_KEY": "b"' not in journals


READS = "def run(job):\n    return {'rows': [{'a': (job.folder / 'in.txt').read_text()}]}"


def test_files_that_it_opens_count(here: Here, site: Path) -> None:
    folder = one(site, READS, "with: {}", outputs=ROWS)
    (folder / "in.txt").write_text("a")
    assert [status(here, folder) for _ in range(2)] == ["ok", "reused"]
    (folder / "in.txt").write_text("b")
    assert status(here, folder) == "ok"
    assert rows(here, folder, "x") == [{"a": "b"}]


MAPPED = """
import pyarrow as pa

def run(job):
    (job.folder / "calls.txt").open("a").write("x")
    piece = job.table("rows")
    assert job.table("whole").num_rows == 2
    return {"rows": piece.append_column("b", pa.array([value.as_py() * job.node.values["n"] for value in piece["a"]]))}
"""


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_it_is_called_for_each_piece_of_a_map(here: Here, site: Path, executor: str) -> None:
    node = f"inputs: {{rows: t, whole: t}}, with: {{n: 10}}, map: {{over: rows, batch: 1}}, executor: {executor}"
    folder = one(
        site, MAPPED.replace('(job.folder / "calls.txt").open("a").write("x")', "pass"), node, outputs=ROWS, map=True
    )
    assert status(here, folder) == "ok"
    assert rows(here, folder, "x") == [{"a": 1, "b": 10}, {"a": 2, "b": 20}]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def run(job): return {'row': 1}", "run() of 'toy.one' returned a mapping of 'row', not {'rows': a table}"),
        ("def run(job): return job.file('rows')", "ValueError: 'rows' is cut by the map of 'x': a piece has no file"),
    ],
)
def test_what_is_wrong_in_a_call_is_said(here: Here, site: Path, source: str, message: str) -> None:
    folder = one(site, source, "inputs: {rows: t}, map: rows", outputs=ROWS, map=True)
    code, document, _ = run(here, folder)
    assert code == 1
    assert message in document["nodes"]["x"]["error"]


def test_a_kind_for_processes_only_runs_in_one(here: Here, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    source = "import os\ndef run(job): return {'rows': [{'pid': os.getpid()}]}"
    folder = one(site, source, "with: {}", outputs=ROWS, executor=["process"])
    assert status(here, folder) == "ok"
    assert rows(here, folder, "x") != [{"pid": os.getpid()}]
    folder = one(site, source, "with: {}", outputs=ROWS, executor=["thread"])
    assert status(here, folder, "--executor", "process", "--fresh") == "ok"
    assert rows(here, folder, "x") == [{"pid": os.getpid()}]


SECRET = (
    "def run(job):\n    job.log.info(job.environ['TOY_KEY'])\n    return {'rows': [{'n': len(job.environ['TOY_KEY'])}]}"
)


def test_a_secret_reaches_it_by_env_and_is_masked(here: Here, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_SECRET", "abracadabra")
    folder = one(site, SECRET, "env: {TOY_KEY: '${{ secrets.TOY_SECRET }}'}", outputs=ROWS)
    (folder / "p.yaml").write_text("secrets: [TOY_SECRET]\n" + (folder / "p.yaml").read_text())
    done = here(folder, "run", "p.yaml")
    assert done.returncode == 0, done.stderr
    assert ("abracadabra" in done.stderr, "***" in done.stderr) == (False, True)
    assert rows(here, folder, "x") == [{"n": 11}]
    assert not [
        path for path in (folder / ".nfrun").rglob("*") if path.is_file() and b"abracadabra" in path.read_bytes()
    ]
    monkeypatch.setenv("TOY_SECRET", "another")
    assert status(here, folder) == "reused"


COUNTED = """
import pyarrow as pa

def run(job):
    rows = job.table("rows")
    return {"rows": pa.table({"a": rows["a"], "rows": [rows.num_rows] * rows.num_rows})}
"""


def made_calls(here: Here, folder: Path) -> tuple[int, int]:
    """Run the pipeline. Returns how many calls were made, and for how many rows results were used again."""
    code, document, told = run(here, folder)
    assert code == 0, told
    return document["nodes"]["x"]["map"]["calls"], document["nodes"]["x"]["map"]["reused"]


def test_results_of_calls_are_used_again_until_the_revision_is_another(here: Here, site: Path) -> None:
    node = "inputs: {rows: t}, map: {over: rows, by: a}"
    folder = one(site, COUNTED, node, outputs=ROWS, map=True)
    assert made_calls(here, folder) == (2, 0)
    text = (folder / "p.yaml").read_text()
    (folder / "p.yaml").write_text(text.replace("select 2", "select 2 union all select 3"))
    assert made_calls(here, folder) == (1, 2)
    one(site, COUNTED, node, outputs=ROWS, map=True, revision=2)
    assert made_calls(here, folder) == (2, 0)
    one(site, COUNTED, node, outputs=ROWS, map=True, revision=2, effects=True)
    assert made_calls(here, folder) == (2, 0)
    one(site, COUNTED, node, outputs=ROWS, map=True, revision=2, external=True)
    (folder / "p.yaml").write_text(text.replace("select 2", "select 2 union all select 4"))
    assert made_calls(here, folder) == (1, 2)


def test_plans_and_runs_show_the_name_of_the_kind(here: Here, site: Path) -> None:
    folder = one(site, PLAIN, "with: {}", outputs=ROWS)
    lines = here(folder, "plan", "p.yaml").stdout.splitlines()
    assert [line.split()[:3] for line in lines if " x " in line] == [["run", "x", "toy.one"]]
    assert json.loads(here(folder, "plan", "p.yaml", "--format", "json").stdout)["nodes"]["x"]["kind"] == "use"
    assert "toy.one" in here(folder, "plan", "p.yaml", "--format", "mermaid").stdout


TELLS = """
def run(job):
    (job.folder / "told.txt").write_text(job.environ["NFRUN_STATUS"] + str(job.has("t")))
    return {}
"""


@pytest.mark.parametrize(
    ("query", "section", "told"),
    [("select 1 as a", "finally", "okTrue"), ("select error('no')", "on_failure", "failedFalse")],
)
def test_it_runs_at_the_end_of_a_run(here: Here, site: Path, query: str, section: str, told: str) -> None:
    folder = one(site, TELLS, "with: {}", outputs=ROWS, effects=True)
    (folder / "p.yaml").write_text(f"nodes: {{t: {{sql: {query}}}}}\n{section}: {{x: {{use: toy.one, inputs: t}}}}\n")
    here(folder, "run", "p.yaml", "-q")
    assert (folder / "told.txt").read_text() == told
