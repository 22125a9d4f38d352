"""Plug-ins that are called for each row: what their calls get, what is reused, and what is wrong before a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from conftest import Here
from plugin_site import on_path, write_plugin

from nfrun.nodes.base import NodeError
from nfrun.nodes.use import joined_rows
from nfrun.testing import run_node

KIND: Mapping[str, Any] = {
    "api": 1,
    "version": "1",
    "revision": 1,
    "with": {
        "type": "object",
        "additionalProperties": False,
        "required": ["text"],
        "properties": {"text": {}, "factor": {"type": "number"}},
    },
    "inputs": {"min": 1},
    "outputs": {"rows": "table"},
    "map": {"columns_in": ["text"], "after": ["factor"]},
    "executor": ["thread"],
}
SOURCE = """
import asyncio

import nfrun
import pyarrow.compute as pc
from nfrun import filled_in

class Busy(nfrun.NodeError):
    headers = {"Retry-After": "0.01"}

class Bad(nfrun.NodeError):
    pass

class Refused(nfrun.NodeError, nfrun.NoRetry):
    every_row = True

class Calls:
    def __init__(self, job):
        self.made, self.folder = 0, job.folder
        self.factor = job.node.values.get("factor")

    async def __call__(self, job, row):
        await asyncio.sleep(0)
        self.made += 1
        text = filled_in(job.node.values["text"], row)
        if "busy" in text and job.attempt == 1:
            raise Busy("come again")
        if "bad" in text:
            raise Bad("a bad one")
        if "refused" in text:
            raise Refused("no")
        assert "factor" not in job.node.values and job.table("rows").num_rows == 1
        return {"told": text, "size": len(text), "tries": job.attempt}

    async def close(self):
        (self.folder / "closed.txt").open("a").write(f"{self.made} calls, {self.factor}\\n")

def after(values, rows):
    return rows.append_column("times", pc.multiply(rows["size"], values["factor"]))
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "site"
    folder.mkdir()
    with on_path(folder):
        yield folder


def one(site: Path, node: str, *texts: str, source: str = SOURCE) -> Path:
    """Write the plug-in, and a pipeline with a node `x` of it and a table `t` of texts. Returns the folder."""
    write_plugin(site, name="toy.row", module="toy_kinds.row", source=source, kind=KIND)
    folder = site.parent
    (folder / "t.csv").write_text("".join(f"{text}\n" for text in ("text", *texts)))
    (folder / "p.yaml").write_text(
        "nodes:\n  t: {read: t.csv, schema: {text: string}}\n"
        f"  x: {{use: toy.row, inputs: {{rows: t}}, {node}}}\noutputs: {{x: x}}\n"
    )
    return folder


def run(here: Here, folder: Path, *options: str) -> dict[str, Any]:
    done = here(folder, "run", "p.yaml", "-q", "--json", *options)
    document: dict[str, Any] = json.loads(done.stdout)
    return document["nodes"]["x"]


def rows(here: Here, folder: Path, output: str = "x") -> list[dict[str, Any]]:
    done = here(folder, "open", output, "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_row_is_a_call_whose_result_is_kept(here: Here, site: Path) -> None:
    folder = one(site, "with: {text: 'say {text}', factor: 2}, map: rows", "one", "two", "one")
    found = run(here, folder)
    assert found["map"] == {"rows": 3, "reused": 0, "failed": 0, "calls": 2}, found
    one_row = {"text": "one", "told": "say one", "size": 7, "tries": 1, "times": 14}
    assert rows(here, folder) == [one_row, {**one_row, "text": "two", "told": "say two"}, one_row]
    assert (folder / "closed.txt").read_text() == "2 calls, 2\n"
    with (folder / "t.csv").open("a") as file:
        file.write("three\n")
    assert run(here, folder)["map"] == {"rows": 4, "reused": 3, "failed": 0, "calls": 1}


def test_another_value_for_what_follows_calls_nothing_again(here: Here, site: Path) -> None:
    folder = one(site, "with: {text: '{text}', factor: 2}, map: {over: rows, keep: []}", "one")
    assert run(here, folder)["map"]["calls"] == 1
    text = (folder / "p.yaml").read_text()
    (folder / "p.yaml").write_text(text.replace("factor: 2", "factor: 3"))
    assert run(here, folder)["map"] == {"rows": 1, "reused": 1, "failed": 0, "calls": 0}
    assert rows(here, folder) == [{"told": "one", "size": 3, "tries": 1, "times": 9}]
    (folder / "p.yaml").write_text(text.replace("'{text}'", "'{text}!'"))
    assert run(here, folder)["map"]["calls"] == 1


def test_errors_of_calls_are_told_by_their_class_without_frames(here: Here, site: Path) -> None:
    cut = "map: {over: rows, on_error: collect, max_failed: 2}, retries: {max: 2, delay: 1ms}"
    folder = one(site, f"with: {{text: '{{text}}', factor: 2}}, {cut}", "busy", "bad")
    found = run(here, folder)
    assert found["map"] == {"rows": 2, "reused": 0, "failed": 1, "calls": 5}, found
    assert [row["tries"] for row in rows(here, folder, "x")] == [2]
    assert rows(here, folder, "x.errors") == [{"text": "bad", "error": "Bad", "message": "a bad one", "attempts": 3}]
    (folder / "t.csv").write_text("text\nrefused\n")
    done = here(folder, "run", "p.yaml", "-q")
    assert "p.yaml:3:3: node 'x' failed: Refused: no\n  inputs\n" in done.stderr


def told(here: Here, folder: Path, command: str = "validate") -> str:
    done = here(folder, command, "p.yaml")
    assert done.returncode == 2, done.stdout
    return done.stderr.strip()


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ("with: {text: '{text}'}", "3:12: 'toy.row' is called for each row of an input"),
        (
            "with: {text: 'a {txet}'}, map: rows",
            "3:53: 'toy.row' names the column 'txet', which 'rows' does not have",
        ),
        ("with: {text: [1, {b: 'a {txet}'}]}, map: rows", "3:61: 'toy.row' names the column 'txet'"),
        ("with: {text: '{{text}}'}, map: rows", "3:53: 'text' names no column of 'rows': each row would get the same"),
        (
            "with: {text: '{text}'}, map: {over: rows, by: text}",
            "3:82: 'toy.row' is called for each row, and has no 'by'",
        ),
        ("with: {text: '{text}'}, map: {over: rows, parts: 2}", "has no 'parts'"),
        ("with: {text: '{text}'}, map: {over: rows, explode: true}", "has no 'explode'"),
    ],
)
def test_what_is_wrong_is_told_before_a_run(here: Here, site: Path, node: str, message: str) -> None:
    assert message in told(here, one(site, node))


def test_columns_in_values_of_expressions_are_looked_for_when_these_are_known(here: Here, site: Path) -> None:
    folder = one(site, "with: {text: '${{ params.ask }}'}, map: rows")
    text = (folder / "p.yaml").read_text()
    for ask, message in [
        ("an {txet}", "p.yaml:4:53: 'toy.row' names the column 'txet', which 'rows' does not have"),
        ("nothing", "p.yaml:4:53: 'text' names no column of 'rows': each row would get the same"),
    ]:
        (folder / "p.yaml").write_text(f"params: {{ask: '{ask}'}}\n{text}")
        assert message in told(here, folder, "plan")
    (folder / "p.yaml").write_text(f"params: {{ask: 'the {{text}}'}}\n{text}")
    assert here(folder, "plan", "p.yaml").returncode == 0


def test_one_node_runs_in_a_test_of_the_user(site: Path) -> None:
    folder = one(site, "with: {text: '{text}!', factor: 2}, map: rows")
    table = run_node(folder / "p.yaml", "x", {"rows": [{"text": "one"}, {"text": "two"}]}, with_={"text": "{text}?"})
    assert table["told"].to_pylist() == ["one?", "two?"]


def test_a_module_without_what_is_called(here: Here, site: Path) -> None:
    folder = one(site, "with: {text: '{text}', factor: 2}, map: rows", "one", source="def run(job): pass")
    assert "the module 'toy_kinds.row' of 'toy.row' has no class Calls" in run(here, folder)["error"]


def blocks(*tables: pa.Table) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(tables[0].schema, [batch for t in tables for batch in t.to_batches()])


def test_what_follows_all_calls_gets_block_by_block() -> None:
    node: Any = SimpleNamespace(plugin=object(), body="toy.row", with_={"factor": 3})
    seen = []

    def after(values: Mapping[str, Any], rows: pa.Table) -> pa.Table:
        seen.append(rows.num_rows)
        return rows.append_column("times", pa.array([n * values["factor"] for n in rows["n"].to_pylist()], pa.int64()))

    given = blocks(pa.table({"n": [1, 2]}), pa.table({"n": [3]}))
    found = joined_rows(node, SimpleNamespace(after=after), given)
    assert found.schema.names == ["n", "times"] and seen == [0]  # blocks are read as they are wanted
    assert found.read_all().to_pydict() == {"n": [1, 2, 3], "times": [3, 6, 9]} and seen == [0, 2, 1]
    assert joined_rows(
        node, SimpleNamespace(after=after), blocks(pa.table({"n": pa.array([], pa.int64())}))
    ).read_all() == (pa.table({"n": pa.array([], pa.int64()), "times": pa.array([], pa.int64())}))


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (lambda values, rows: rows.slice(1), "after() of 'toy.row' returned 1 row, and it got 2"),
        (
            lambda values, rows: rows if len(rows) else rows.append_column("a", pa.array([], pa.int64())),
            "after() of 'toy.row' returned the columns n: int64, and n: int64, a: int64 for a table without rows",
        ),
        (lambda values, rows: None, "after() of 'toy.row' returned None, not a table"),
    ],
)
def test_rows_that_do_not_fit_are_told(after: Any, message: str) -> None:
    node: Any = SimpleNamespace(plugin=object(), body="toy.row", with_={})
    with pytest.raises(NodeError) as raised:
        joined_rows(node, SimpleNamespace(after=after), blocks(pa.table({"n": [1, 2]}))).read_all()
    assert str(raised.value) == message
