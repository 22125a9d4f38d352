"""Nodes of plug-ins in a pipeline file: what is wrong is told with its place, from the static half alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Here
from plugin_site import KIND, on_path, write_plugin

from nfrun.core.errors import SpecError, render_all
from nfrun.core.pipeline import NodeSpec
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.resolve import resolve

BASE = """\
params: {n: 2}
nodes:
  t: {sql: select 1 as a}
  f: {read: a.bin, outputs: {bin: .bin}}
"""
FAILS = "raise SystemExit('imported')"


@pytest.fixture(scope="module", autouse=True)
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("site")
    write_plugin(folder, source=FAILS)
    write_plugin(
        folder, name="toy.none", module="toy_kinds.none", source=FAILS, kind={"api": 1, "version": "3", "revision": 1}
    )
    many = {**KIND, "inputs": {"min": 2}, "outputs": {"train": "table", "model": ".pkl"}, "with": {"type": "object"}}
    write_plugin(folder, name="toy.many", module="toy_kinds.many", source=FAILS, kind=many)
    one = {
        **KIND,
        "inputs": {"max": 1, "types": ["file", "folder"]},
        "outputs": {"made": "file"},
        "executor": ["process"],
    }
    write_plugin(folder, name="toy.file", module="toy_kinds.file", source=FAILS, kind={**one, "env": ["TOY_KEY"]})
    write_plugin(folder, name="toy.wrong", module="toy_kinds.wrong", source=FAILS, kind={**KIND, "revision": "1"})
    with on_path(folder):
        yield folder


def told(folder: Path, node: str, **more: Any) -> str:
    """What is said of a node in line 5, without the line and the caret: `column: message (hint)`, one a line."""
    (folder / "p.yaml").write_text(f"{BASE}  x: {node}\n")
    (folder / "a.bin").touch()
    with pytest.raises(SpecError) as error:
        resolve(
            folder / "p.yaml",
            given={},
            params_file=None,
            environ={},
            run_id="1",
            **more,
        )
    found = error.value.diagnostics
    assert {each.span.line for each in found} == {5}, render_all(found)
    return "\n".join(f"{each.span.column}: {each.message}" + f" ({each.hint})" * bool(each.hint) for each in found)


WRONG = {
    "{use: toy.repaet, inputs: t}": "12: no installed package has the kind 'toy.repaet' (did you mean 'toy.repeat'?)",
    "{use: toy.repeat@2, inputs: t, with: {times: 1}}": "12: 'toy.repeat' is installed in version 1.2 (of toy-kinds "
    "1.2.0), and this asks for 2 (install another version, or write toy.repeat@1)",
    "{use: ./toy.py, inputs: t}": "12: 'use' cannot be './toy.py' (write the name of a kind, such as adbc.query or "
    "adbc.query@1)",
    "{use: 'https://example.com/x', inputs: t}": "12: 'use' cannot be 'https://example.com/x' (write the name of a "
    "kind, such as adbc.query or adbc.query@1)",
    "{use: toy.repeat@x, inputs: t}": "12: 'use' cannot be 'toy.repeat@x' (write the name of a kind, such as "
    "adbc.query or adbc.query@1)",
    "{use: [toy.repeat], inputs: t}": "12: 'use' must be a string, not a list (for example use: adbc.query)",
    "{use: , inputs: t}": "7: 'use' is empty (for example use: adbc.query)",
    "{use: '${{ params.n }}', inputs: t}": "13: an expression is not evaluated here (which plug-in runs is fixed; put "
    "values under 'with')",
    "{use: toy.repeat, sql: select 1}": "24: node 'x' has 2 kinds: use, sql (a node is one of them; make it several "
    "nodes)",
    "{plugin: toy.repeat, inputs: t}": "7: 'plugin' is not a key of a node (did you mean 'use'?)",
    "{uses: toy.repeat, inputs: t}": "7: 'uses' is not a key of a node (did you mean 'use'?)",
    "{use: toy.repeat, inputs: t}": "12: 'toy.repeat' needs 'times' (how often)",
    "{use: toy.repeat, inputs: t, with: {times: two}}": "49: 'times' must be a whole number, not 'two' (how often)",
    "{use: toy.repeat, inputs: t, with: {tims: 2}}": "42: 'toy.repeat' has no 'tims' (did you mean 'times'?)",
    "{use: toy.repeat, inputs: t, with: {times: 2, order: upp}}": "59: 'order' must be up or down, not 'upp' (did you "
    "mean 'up'?)",
    "{use: toy.repeat, inputs: t, with: {times: 2, columns: [a, 1]}}": "65: an item of 'columns' must be a string, not "
    "1",
    "{use: toy.repeat, inputs: t, with: {order: up}}": "35: 'toy.repeat' needs 'times' (how often)",
    "{use: toy.repeat, inputs: t, with: {times: '${{ params.n - 2 }}'}}": "49: 'times' must be at least 1, not 0 (how "
    "often)",
    "{use: toy.repeat, inputs: t, with: {times: 1, columns: '${{ [1] }}'}}": "61: an item of 'columns' must be a "
    "string, not 1",
    "{use: toy.repeat, with: {times: 2}}": "7: 'toy.repeat' has 1 to 2 inputs; this node has none (name it with "
    "'inputs')",
    "{use: toy.none, inputs: t}": "22: 'toy.none' has no inputs; this node has 1 (remove them)",
    "{use: toy.none, with: {a: 1}}": "29: 'toy.none' has no 'a' (it has no entries)",
    "{use: toy.many, inputs: t}": "22: 'toy.many' has 2 or more inputs; this node has 1",
    "{use: toy.repeat, inputs: [t, f], with: {times: 1}}": "36: 'f' is a file, and 'toy.repeat' reads tables",
    "{use: toy.repeat, inputs: t, outputs: [rwos], with: {times: 1}}": "45: 'toy.repeat' has no output 'rwos' (did you "
    "mean 'rows'?)",
    "{use: toy.none, outputs: [rows]}": "32: 'toy.none' has no output 'rows' (it makes none)",
    "{use: toy.repeat, inputs: t, outputs: {rows: file}, with: {times: 1}}": "45: the output 'rows' of 'toy.repeat' is "
    "a table (write rows: table)",
    "{use: toy.repeat, inputs: t, map: t, with: {times: 1}}": "35: 'toy.repeat' has no 'map' (it reads its inputs as a "
    "whole)",
    "{use: toy.file, inputs: f, with: {times: 1}, executor: thread}": "61: 'toy.file' does not run on the executor "
    "'thread' (it has process: remove it)",
    "{use: toy.file, inputs: f, with: {times: 1}}": "12: 'toy.file' needs the variable TOY_KEY, which is not set (set "
    "it in 'env' of the node or the file: {TOY_KEY: …})",
    "{use: toy.repeat, inputs: t, with: {times: 1}, format: csv}": "53: a use node has no 'format' (remove it)",
}


@pytest.mark.parametrize("node", WRONG)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, node: str) -> None:
    assert told(tmp_path, node) == WRONG[node]


def test_a_static_half_that_is_wrong_is_told_where_the_node_names_it(tmp_path: Path, site: Path) -> None:
    file = site / "toy_kinds" / "wrong.kind.json"
    expected = (
        f"12: the static half of the kind 'toy.wrong' of toy-kinds 1.2.0 is wrong: {file}: revision: 'revision' must "
    )
    assert told(tmp_path, "{use: toy.wrong, inputs: t}").startswith(expected + "be a whole number, not '1' (")


def last_problems(folder: Path, node: str) -> list[str]:
    (folder / "p.yaml").write_text(f"nodes: {{t: {{sql: select 1}}}}\nfinally: {{x: {node}}}\n")
    with pytest.raises(SpecError) as error:
        read_pipeline(folder / "p.yaml")
    return [each.message for each in error.value.diagnostics]


def test_plug_ins_at_the_end_of_a_run_are_checked_alike(tmp_path: Path) -> None:
    assert last_problems(tmp_path, "{use: toy.nune}") == ["no installed package has the kind 'toy.nune'"]
    assert last_problems(tmp_path, "{use: toy.repeat, inputs: t}") == ["'toy.repeat' needs 'times'"]
    assert last_problems(tmp_path, "{use: toy.file, with: {times: 1}}") == [
        "'toy.file' runs in processes only, and a node under 'finally' runs on a thread"
    ]


def node(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> NodeSpec:
    (folder / "p.yaml").write_text(f"{BASE}  x: {text}\n")
    (folder / "a.bin").touch()
    done = resolve(folder / "p.yaml", given={}, params_file=None, environ=environ or {}, run_id="1")
    return done.pipeline.nodes["x"]


def test_values_made_by_expressions_and_the_outputs_of_the_static_half(tmp_path: Path) -> None:
    found = node(tmp_path, "{use: toy.repeat@1, inputs: t, with: {times: '${{ params.n + 1 }}'}}")
    assert (found.kind, found.body, found.with_, found.outputs, found.types) == (
        "use",
        "toy.repeat",
        {"times": 3},
        (),
        {},
    )
    found = node(
        tmp_path, "{use: toy.many, inputs: [t, f]}".replace("f]", "t.x]").replace("t.x", "s") + "\n  s: {sql: select 1}"
    )
    assert (found.outputs, found.types) == (("train", "model"), {"model": ".pkl"})
    found = node(tmp_path, "{use: toy.many, inputs: [t, s], outputs: [model]}\n  s: {sql: select 1}")
    assert (found.outputs, found.types) == (("model",), {"model": ".pkl"})


@pytest.mark.parametrize("where", ["env: {TOY_KEY: a}", "", "inputs: f"])
def test_a_variable_may_be_set_anywhere(tmp_path: Path, where: str) -> None:
    environ = {} if where.startswith("env") else {"TOY_KEY": "a"}
    inputs = "" if where.startswith("inputs") else "inputs: f, "
    found = node(tmp_path, f"{{use: toy.file, {inputs}with: {{times: 1}}, {where}}}", environ)
    assert (found.outputs, found.types) == (("made",), {"made": "file"})


def test_validate_warns_of_a_variable_and_imports_nothing(here: Here, tmp_path: Path) -> None:
    (tmp_path / "a.bin").touch()
    (tmp_path / "p.yaml").write_text(f"{BASE}  x: {{use: toy.file, inputs: f, with: {{times: 1}}}}\n")
    done = here(tmp_path, "validate", "p.yaml")
    assert done.returncode == 0
    assert "'toy.file' needs the variable TOY_KEY, which is not set" in done.stderr
