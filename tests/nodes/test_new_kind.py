"""A kind that is defined here and added to the list works everywhere: nothing else in nfrun has to know it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pyarrow as pa
import pytest
from conftest import Here

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import Problem
from nfrun.core.pipeline import NodeSpec
from nfrun.nodes import schemas
from nfrun.nodes.base import NodeContext, NodeError, output_name
from nfrun.nodes.kind import Code, Kind, Outside, Runs, Says
from nfrun.nodes.registry import KINDS, written_kinds
from nfrun.pipeline_file import schema

PIPELINE = """\
nodes:
  last:
    tail_lines: "events.${{ params.ending }}"
    last: 2
  shown: {sql: select * from last, inputs: last}
params: {ending: txt}
"""


def check(node: NodeSpec, lookup: FunctionLookup) -> Iterator[Problem]:
    if node.inputs:
        yield Problem(("inputs",), "a tail_lines node has no inputs", "remove them", at_key=True)
    if node.settings.get("last", 0) > 1000:
        yield Problem(("last",), "these are too many lines", "there may be 1000")


def run(context: NodeContext) -> Mapping[str, Any]:
    lines = (context.folder / context.node.body).read_text().splitlines()
    if not lines:
        return {}
    if "bad" in lines:
        raise NodeError("a line is bad")
    return {output_name(context.node): pa.table({"line": lines[-context.node.settings.get("last", 10) :]})}


TAIL_LINES = Kind(
    name="tail_lines",
    says=Says(
        settings=("last",),
        check=check,
        synonyms=("ending_lines",),
        is_template=True,
    ),
    runs=Runs(run, executors=("thread",)),
    outside=Outside(inputs=lambda node, folder: {node.body: folder / node.body}),
)


SCHEMAS = {
    "tail_lines": {
        "title": "Last lines",
        "description": "The last lines of a text file.",
        "type": "string",
        "pattern": r"\S",
        "examples": ["events.txt"],
    },
    "last": {"title": "Lines", "description": "How many lines.", "type": "integer", "minimum": 1},
    "touch_file": {"title": "Touch", "description": "Writes a file.", "type": "string"},
}


def add(patch: pytest.MonkeyPatch, kind: Kind) -> None:
    """Add a kind to the list and to the schema of pipeline files."""
    document = json.loads(schemas.document_schema("pipeline"))
    node = document["$defs"]["node"]
    node["properties"] = {**{key: SCHEMAS[key] for key in (kind.name, *kind.says.settings)}, **node["properties"]}
    patch.setitem(KINDS, kind.name, kind)
    for module in (schemas, schema):
        patch.setattr(module, "document_schema", lambda name: json.dumps(document))


@pytest.fixture(autouse=True)
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline with a node of the new kind, and the file that this node reads."""
    (tmp_path / "p.yaml").write_text(PIPELINE)
    (tmp_path / "events.txt").write_text("a\nb\nc\n")
    add(monkeypatch, TAIL_LINES)
    return tmp_path / "p.yaml"


def run_nodes(here: Here, folder: Path, *options: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the pipeline. Returns the nodes and the outputs of the JSON report."""
    done = here(folder, "run", "p.yaml", "-q", "--json", *options)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    return document["nodes"], document["outputs"]


def validate(here: Here, pipeline: Path, old: str = "", new: str = "") -> CompletedProcess[str]:
    pipeline.write_text(PIPELINE.replace(old, new, 1))
    return here(pipeline.parent, "validate", "p.yaml")


def test_a_pipeline_with_it_is_valid(here: Here, pipeline: Path) -> None:
    assert validate(here, pipeline).stdout == "p.yaml: ok, 2 nodes\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (  # of the kind's own check
            "last: 2",
            "last: 1001",
            "p.yaml:4:11: these are too many lines\n    4 |     last: 1001\n      |           ^^^^ there may be 1000\n",
        ),
        (  # of its schema
            '"events.${{ params.ending }}"',
            "[1]",
            "p.yaml:3:17: 'tail_lines' must be a string, not a list\n"
            "    3 |     tail_lines: [1]\n"
            "      |                 ^^^ for example tail_lines: events.txt\n",
        ),
        (
            "last: 2",
            "last: 0",
            "p.yaml:4:11: 'last' must be at least 1, not 0\n    4 |     last: 0\n      |           ^\n",
        ),
        (  # by its synonym
            'tail_lines: "events.${{ params.ending }}"',
            "ending_lines: events.txt",
            "p.yaml:3:5: 'ending_lines' is not a key of a node\n"
            "    3 |     ending_lines: events.txt\n"
            "      |     ^^^^^^^^^^^^ did you mean 'tail_lines'?\n",
        ),
        (  # of the expression in its body
            "params.ending }}",
            "params.endign }}",
            "p.yaml:3:25: 'params' has no 'endign'\n"
            '    3 |     tail_lines: "events.${{ params.endign }}"\n'
            "      |                         ^^^^^^^^^^^^^^^^^^^^ did you mean 'ending'?\n",
        ),
        (  # its setting in a node of another kind
            "inputs: last}",
            "inputs: last, last: 2}",
            "p.yaml:5:50: a sql node has no 'last'\n"
            "    5 |   shown: {sql: select * from last, inputs: last, last: 2}\n"
            "      |                                                  ^^^^ remove it\n",
        ),
        (  # another kind's setting
            "last: 2",
            "format: csv",
            "p.yaml:4:5: a tail_lines node has no 'format'\n    4 |     format: csv\n      |     ^^^^^^ remove it\n",
        ),
        (  # where all kinds are listed
            "{sql: select * from last, inputs: last}",
            "{inputs: last}",
            "p.yaml:5:3: node 'shown' has no kind\n"
            "    5 |   shown: {inputs: last}\n"
            f"      |   ^^^^^ give it one of {', '.join(written_kinds())}, tail_lines\n",
        ),
    ],
)
def test_mistakes_are_shown_where_they_are(here: Here, pipeline: Path, old: str, new: str, message: str) -> None:
    done = validate(here, pipeline, old, new)
    assert (done.returncode, done.stderr) == (2, message)


def test_where_expressions_may_stand_it_is_named_too(here: Here, pipeline: Path) -> None:
    message = validate(here, pipeline, "ending: txt", "ending: '${{ run.id }}'").stderr
    assert "expressions stand in with, env, files, if, timeout, retries," in message
    assert message.endswith(", tail_lines\n")


def test_the_plan_shows_it(here: Here, pipeline: Path) -> None:
    shown = here(pipeline.parent, "plan", "p.yaml", "--fresh", "--format", "json").stdout
    assert json.loads(shown)["nodes"]["last"] == {
        "kind": "tail_lines", "stage": 0, "inputs": {}, "needs": [], "outputs": ["last"],
    }  # fmt: skip
    lines = here(pipeline.parent, "plan", "p.yaml", "--fresh").stdout.splitlines()
    assert [line for line in lines if line.startswith("  ")] == [
        "  last   tail_lines",
        "  shown  sql         reads last",
    ]


def test_it_runs_is_reused_and_runs_again_after_a_change(here: Here, pipeline: Path) -> None:
    folder = pipeline.parent
    nodes, outputs = run_nodes(here, folder, "--keep")
    assert (nodes["last"]["status"], nodes["last"]["attempts"], nodes["last"]["rows"]) == ("ok", 1, 2)
    assert outputs["shown"]["rows"] == 2
    nodes, outputs = run_nodes(here, folder, "--resume", "--keep")
    assert {node["status"] for node in nodes.values()} == {"reused"}
    assert outputs["shown"]["rows"] == 2

    (folder / "events.txt").write_text("a\nb\nd\n")
    assert forecast(here, folder)["last"] == ("run", "the file events.txt changed")
    nodes, _ = run_nodes(here, folder, "--resume", "--keep")
    assert {node["status"] for node in nodes.values()} == {"ok"}

    pipeline.write_text(PIPELINE.replace("last: 2", "last: 1"))
    assert forecast(here, folder)["last"] == ("run", "the setting 'last' changed")
    nodes, outputs = run_nodes(here, folder, "--resume", "--keep")
    assert nodes["last"]["status"] == "ok"
    assert outputs["shown"]["rows"] == 1


def forecast(here: Here, folder: Path) -> dict[str, tuple[str, str]]:
    """What `plan --resume` says of each node."""
    nodes = json.loads(here(folder, "plan", "p.yaml", "--resume", "--format", "json").stdout)["nodes"]
    return {name: (node["resume"], node["why"]) for name, node in nodes.items()}


def touch(context: NodeContext) -> Mapping[str, Any]:
    (context.folder / context.node.body).write_text("touched")
    return {output_name(context.node): pa.table({"n": [1]})}


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Adds a kind that writes a file. Returns a list of what else its key depends on."""
    found = ["1"]
    kind = Kind(
        name="touch_file",
        says=Says(),
        runs=Runs(touch, has_side_effects=True),
        outside=Outside(outputs=lambda node, folder: {node.body: folder / node.body}),
        code=Code(key=lambda node, code: {"version": found[0]}),
    )
    add(monkeypatch, kind)
    return found


def test_what_it_writes_and_what_else_it_depends_on_counts(here: Here, pipeline: Path, versions: list[str]) -> None:
    folder = pipeline.parent
    pipeline.write_text("nodes: {t: {touch_file: out.txt}}\n")
    run_nodes(here, folder)
    assert forecast(here, folder)["t"] == ("reuse", None)
    (folder / "out.txt").unlink()
    assert forecast(here, folder)["t"] == ("run", "the file out.txt, which it wrote, is gone or has changed")
    run_nodes(here, folder, "--resume")
    assert (folder / "out.txt").read_text() == "touched"
    versions[0] = "2"
    assert forecast(here, folder)["t"] == ("run", "its version changed")


def test_two_nodes_do_not_write_the_same_file(here: Here, pipeline: Path, versions: list[str]) -> None:
    pipeline.write_text("nodes:\n  a: {touch_file: out.txt}\n  b: {touch_file: ./out.txt}\n")
    assert here(pipeline.parent, "validate", "p.yaml").stderr == (
        "p.yaml:3:19: node 'a' (p.yaml:2:19) writes this file too\n"
        "    3 |   b: {touch_file: ./out.txt}\n"
        "      |                   ^^^^^^^^^ './out.txt' and 'out.txt' are one file: rename one\n"
    )


def test_bench_asks_before_it_runs_one_with_side_effects(here: Here, pipeline: Path, versions: list[str]) -> None:
    pipeline.write_text("nodes: {t: {touch_file: out.txt}}\n")
    done = here(pipeline.parent, "bench", "p.yaml")
    assert done.returncode == 2
    assert "('t'), and this executes all of it " in done.stderr


@pytest.mark.parametrize(
    ("lines", "message"), [("bad\n", "a line is bad"), ("", "it has not made 'last', but other nodes read it")]
)
def test_its_failures_are_shown(here: Here, pipeline: Path, lines: str, message: str) -> None:
    (pipeline.parent / "events.txt").write_text(lines)
    done = here(pipeline.parent, "run", "p.yaml", "-q", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["nodes"]["last"]["error"] == message
