"""What `plan`, `run`, `show` and `validate` print with `--json`, held against the schemas that users get."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from conftest import Here
from jsonschema import Draft202012Validator

STEPS = """
import pyarrow as pa
def orders(): return pa.table({"id": [1, 2, 2], "text": ["a", "b", "c"]})
def same(orders): return orders
def fail(orders): raise KeyError("price")
def both(orders): return {"small": orders, "large": orders}
def length(text: list[str]): return [len(t) for t in text]
"""
ALL = """
name: all
params: {skip: true}
resources: {gpu: 2, api: 50/s}
matrix: {model: [lr, rf]}
nodes:
  orders:
    python: steps:orders
    tags: [first]
    checks: [{unique: id, severity: warn}, {rows: {min: 9}, severity: warn}]
  sub: {pipeline: sub.yaml, inputs: {orders: orders}}
  fit: {python: "steps:same", inputs: {orders: sub.same}, matrix: [model], resources: {gpu: 1}}
  all: {python: "steps:same", inputs: {orders: {from: fit, gather: concat}}}
  split: {python: "steps:both", inputs: orders, outputs: [small, large], needs: [all]}
  lengths: {python: "steps:length", inputs: orders, map: {over: orders, batch: 2}}
  bad: {python: "steps:fail", inputs: orders}
  after: {python: "steps:same", inputs: {orders: bad}}
  odd: {python: "steps:fail", inputs: orders, continue_on_error: true}
  off: {python: "steps:same", inputs: orders, if: "${{ not params.skip }}"}
  page: {run: 'echo hello > "$NFRUN_OUTPUT_page"', outputs: {page: .html}}
  broken: {python: "steps:orders", checks: [{unique: id}]}
outputs: {orders: orders, page: page.page}
on_failure:
  notify: {run: "true"}
finally:
  close: {run: "true"}
"""
SUB = """
inputs: {orders: {}}
nodes:
  same: {python: "steps:same", inputs: orders}
outputs: {same: same}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "all.yaml").write_text(ALL)
    (tmp_path / "sub.yaml").write_text(SUB)
    (tmp_path / "bad.yaml").write_text("nodes: {a: {rn: true}}")
    return tmp_path


@cache
def validator(name: str) -> Draft202012Validator:
    """Return the validator of a schema in which no object has other keys than those that it names."""
    schema = json.loads(text_of(name))
    Draft202012Validator.check_schema(schema)
    for part in [part for part in schema["$defs"].values() if "$ref" in part]:  # it adds keys to another one
        schema["$defs"][part["$ref"].rpartition("/")[2]]["unevaluatedProperties"] = True
    return Draft202012Validator(closed(schema))


def text_of(name: str) -> str:
    name = "run" if name == "show" else name
    return (Path(__file__).parents[2] / "schemas" / f"{name}.schema.json").read_text()


def closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = {key: closed(part) for key, part in schema.items()}
    if isinstance(schema.get("properties"), Mapping) and schema.get("type") == "object":
        return {"unevaluatedProperties": False, **made}
    return made


def document(here: Here, folder: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Run a command with --json, and return its document, which its schema accepts."""
    done = here(folder, *arguments, "--json")
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    validator(arguments[0]).validate(found)
    return found


def test_plans(folder: Path, here: Here) -> None:
    first = document(here, folder, "plan", "all.yaml")
    assert first["nodes"]["off"]["disabled"]
    assert first["nodes"]["lengths"]["map"] == {"over": "orders", "batch": 2}
    assert first["nodes"]["fit@lr"]["matrix"] == {"model": "lr"}
    assert first["resources"] == {"gpu": 2, "api": "50/s"}
    assert first["finally"] == {"close": {"kind": "run"}}
    assert (
        here(folder, "plan", "all.yaml", "--format", "json").stdout == here(folder, "plan", "all.yaml", "--json").stdout
    )
    assert "resume" not in document(here, folder, "plan", "all.yaml", "--fresh")["nodes"]["orders"]
    here(folder, "run", "all.yaml", "-k", "-q")
    chosen = document(here, folder, "plan", "all.yaml", "--only", "lengths")
    assert chosen["nodes"]["orders"]["not_selected"] is True
    (folder / "all.yaml").write_text(ALL.replace("rows: {min: 9}", "rows: {min: 8}").replace("len(t)", "-len(t)"))
    assert document(here, folder, "plan", "all.yaml")["nodes"]["orders"]["checks"] == ["rows: min 8"]


def test_runs(folder: Path, here: Here) -> None:
    first = document(here, folder, "run", "all.yaml", "-k", code=1)
    statuses = {name: node["status"] for name, node in first["nodes"].items()}
    assert statuses["off"] == "disabled"
    assert {statuses[name] for name in ("bad", "odd", "broken")} == {"failed"}
    assert statuses["after"] == "skipped"
    assert first["nodes"]["lengths"]["map"]["rows"] == 3
    assert first["outputs"]["page"]["type"] == ".html"
    assert document(here, folder, "run", "all.yaml", "-k", code=1)["nodes"]["orders"]["status"] == "reused"
    chosen = document(here, folder, "run", "all.yaml", "--only", "lengths")
    assert chosen["nodes"]["bad"]["status"] == "not_selected"
    assert document(here, folder, "run", "all.yaml", "--fresh", code=1)["counts"]["cancelled"] >= 0


def test_recorded_runs(folder: Path, here: Here) -> None:
    here(folder, "run", "all.yaml", "-k", "-q")
    whole = document(here, folder, "show")
    assert whole["nodes"]["bad"]["failure"]["frames"][0]["file"] == "steps.py"
    assert document(here, folder, "show", "fit")["cells"].keys() == {"fit@lr", "fit@rf"}
    for node in ("orders", "lengths", "bad", "after", "page", "broken", "fit@lr"):
        found = document(here, folder, "show", node)
        assert found["status"] == whole["nodes"][node]["status"]
    shown = document(here, folder, "show", "orders")
    assert shown["outputs"]["orders"]["rows"] == 3
    assert shown["times"]["ended_s"] >= shown["times"]["started_s"]
    here(folder, "run", "all.yaml", "-k", "-q")
    assert document(here, folder, "show", "orders")["status"] == "reused"
    assert document(here, folder, "show", "none", code=2)["status"] == "failed"


def test_validations(folder: Path, here: Here) -> None:
    found = document(here, folder, "validate", "all.yaml", "bad.yaml", code=2)
    assert [file["ok"] for file in found["files"]] == [True, False]
    (folder / "gone.yaml").write_text("nodes: {a: {read: gone.csv}}")
    assert document(here, folder, "validate", "gone.yaml")["files"][0]["warnings"]


@pytest.mark.parametrize(
    "arguments", [("plan", "bad.yaml"), ("run", "bad.yaml"), ("plan", "none.yaml"), ("run", "all.yaml", "-j", "0")]
)
def test_refusals(folder: Path, here: Here, arguments: tuple[str, ...]) -> None:
    found = document(here, folder, *arguments, code=2)
    assert found["status"] == "failed"


@pytest.mark.parametrize("name", ["plan", "run", "show", "validate", "kind", "pipeline"])
def test_the_schemas_are_printed(folder: Path, here: Here, name: str) -> None:
    done = here(folder, "schema", name)
    assert done.returncode == 0
    assert json.loads(done.stdout)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    if name != "pipeline":  # it has all kinds that are installed
        assert done.stdout == text_of(name)


def test_the_schema_refuses_what_is_no_document() -> None:
    for name in ("plan", "run", "show", "validate"):
        assert not validator(name).is_valid({})
        assert not validator(name).is_valid({"name": "a"})
