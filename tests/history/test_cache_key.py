"""Tests of cache keys: what changes the key of a node and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfrun.core.pipeline import Gather, Input, NodeSpec, OutputId, Pipeline, column_type
from nfrun.history.cache.cache_key import CacheKeys, cache_key, with_files
from nfrun.system.checksums import text_checksum

NODE = NodeSpec("a", "run", "make", (Input("t", OutputId("b")),), {"n": 1}, ("x", "y"), ("c",), {"LEVEL": "2"})
DIGEST = {"b": "d1"}
NEEDS = {"c": "k1"}


def pipeline(node: NodeSpec, folder: str = "/nowhere", env: Mapping[str, str] = {}) -> Pipeline:
    others = {name: NodeSpec(name, "sql", "select 1", (), {}, (), (), {}) for name in ("b", "c")}
    return Pipeline("p.yaml", folder, "p", "", {}, env, {**others, node.id: node}, {})


def key_inputs_of(node: NodeSpec = NODE, **options: Any) -> Mapping[str, str]:
    inputs, needs, files = options.pop("inputs", DIGEST), options.pop("needs", NEEDS), options.pop("files", {})
    return with_files(CacheKeys(pipeline(node, **options)).key_inputs("a", inputs=inputs, needs=needs), files)


def changed_inputs(node: NodeSpec = NODE, **options: Any) -> set[str]:
    """Return the names of the key inputs that differ from those of `NODE`."""
    before, now = key_inputs_of(), key_inputs_of(node, **options)
    found = {name for name in {*before, *now} if before.get(name) != now.get(name)}
    assert bool(found) == (cache_key(before) != cache_key(now))
    return found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"kind": "sql", "format": NODE.format}, {"kind", "format", "package duckdb", "timezone"}),
        ({"body": "make all"}, {"text"}),
        ({"with_": {"n": 2}}, {"value n"}),
        ({"with_": {"n": 1.0}}, {"value n"}),
        ({"with_": {"n": True}}, {"value n"}),
        ({"with_": {"n": "1"}}, {"value n"}),
        ({"with_": {"m": 1}}, {"value n", "value m"}),
        ({"outputs": ("x",)}, {"outputs"}),
        ({"format": "csv"}, {"format"}),
        ({"env": {"LEVEL": "3"}}, {"variable LEVEL"}),
        ({"env": {}}, {"variable LEVEL"}),
        ({"packages": ("pyarrow",)}, {"package pyarrow"}),
        ({"cpu": 2.0}, {"cpus"}),
    ],
)
def test_settings_in_the_file_change_the_key(change: Mapping[str, Any], expected: set[str]) -> None:
    assert changed_inputs(replace(NODE, **change)) == expected


@pytest.mark.parametrize("change", [{"cpu": 1.5}, {"timeout": 5.0}, {"cache": True}, {"executor": "process"}])
def test_settings_of_how_a_node_runs_do_not_change_the_key(change: Mapping[str, Any]) -> None:
    assert changed_inputs(replace(NODE, **change)) == set()


def test_the_order_of_values_changes_the_key_only_where_the_node_sees_it() -> None:
    first, second = replace(NODE, with_={"p": 1, "q": 2}), replace(NODE, with_={"q": 2, "p": 1})
    assert cache_key(key_inputs_of(first)) == cache_key(key_inputs_of(second)), "a script has them in variables"
    first, second = (replace(node, kind="python", body="made_up:f") for node in (first, second))
    assert cache_key(key_inputs_of(first)) != cache_key(key_inputs_of(second))
    assert changed_inputs(replace(NODE, with_={"n": {"a": 1, "b": 2}})) == {"value n"}
    first, second = replace(NODE, with_={"n": {"a": 1, "b": 2}}), replace(NODE, with_={"n": {"b": 2, "a": 1}})
    assert cache_key(key_inputs_of(first)) != cache_key(key_inputs_of(second))


def test_inputs_needed_nodes_and_files_change_the_key() -> None:
    assert changed_inputs(inputs={"b": "d2"}) == {"input t"}
    assert changed_inputs(needs={"c": "k2"}) == {"needs c"}
    assert changed_inputs(files={"data/x.csv": "f"}) == {"file data/x.csv"}


def test_pipeline_variables_change_the_key_unless_the_node_overrides_them() -> None:
    assert changed_inputs(env={"TZ": "UTC"}) == {"variable TZ"}
    assert changed_inputs(env={"LEVEL": "9"}) == set()


def test_the_location_of_the_folder_does_not_change_the_key() -> None:
    assert changed_inputs(folder="/elsewhere") == set()


def test_variables_do_not_change_the_key_of_a_read_node() -> None:
    read = replace(NODE, kind="read", body="x.csv", env={})
    assert cache_key(key_inputs_of(read)) == cache_key(key_inputs_of(read, env={"TZ": "UTC"}))


def test_called_functions_change_the_key_and_comments_do_not(tmp_path: Path) -> None:
    node = replace(NODE, kind="python", body="made_up_steps:f")
    path = tmp_path / "made_up_steps.py"
    path.write_text("def f(t):\n    return g(t)\n\ndef g(t):\n    return t\n")
    before = key_inputs_of(node, folder=str(tmp_path))
    assert any(name.startswith("code ") for name in before)
    path.write_text("# of no consequence\ndef f(t):  # neither\n    return g(t)\n\n\ndef g(t):\n    return t\n")
    assert key_inputs_of(node, folder=str(tmp_path)) == before
    path.write_text("def f(t):\n    return g(t)\n\ndef g(t):\n    return None\n")
    after = key_inputs_of(node, folder=str(tmp_path))
    assert {name.partition(" ")[0] for name in {*before, *after} if before.get(name) != after.get(name)} == {"code"}


def test_keys_are_the_same_in_every_process() -> None:
    """Pins one key: if it changes, caches of earlier versions become useless."""
    assert cache_key({"b": "2", "a": "1"}) == cache_key({"a": "1", "b": "2"}) == "28eb459935a54257a7d10dd83098115d"


@given(st.dictionaries(st.text(), st.text()), st.dictionaries(st.text(), st.text()))
def test_different_key_inputs_give_different_keys(first: dict[str, str], second: dict[str, str]) -> None:
    assert (cache_key(first) == cache_key(second)) == (first == second)


def test_the_key_of_a_variable_with_secrets_uses_its_redacted_text() -> None:
    def variable_input(value: str, redacted_env: Mapping[str, str], env: Mapping[str, str] = {"LEVEL": "2"}) -> str:
        node = replace(NODE, env=env)
        pipeline_with_secret = replace(pipeline(node, env={"AUTH": value}), redacted_env=redacted_env)
        return CacheKeys(pipeline_with_secret).definition("a")["variable AUTH"]

    redacted = {"AUTH": "me:\0TOKEN\0"}
    assert variable_input("me:hunter2", redacted) == variable_input("me:hunter3", redacted)
    assert variable_input("me:hunter2", redacted) != variable_input("you:hunter2", {"AUTH": "you:\0TOKEN\0"})
    assert variable_input("me:hunter2", redacted) != variable_input("me:hunter2", {})
    assert variable_input("me:hunter2", redacted, {"AUTH": "own"}) == variable_input("", {}, {"AUTH": "own"}), (
        "the node's own goes before"
    )
    own_secret = replace(NODE, env={"LEVEL": "hunter2"}, redacted_env={"LEVEL": "\0TOKEN\0"})
    assert changed_inputs(own_secret) == {"variable LEVEL"}
    assert key_inputs_of(own_secret) == key_inputs_of(replace(own_secret, env={"LEVEL": "hunter3"}))


def test_the_keys_of_journals_without_the_files_that_code_opened_match_no_more() -> None:
    spec = NodeSpec("a", "sql", "select 1", (), {}, (), (), {})
    keys = CacheKeys(Pipeline("p.yaml", "/nowhere", "p", "", {}, {}, {"a": spec}, {}))
    older = {"scheme": "3", "node": "a", "kind": "sql", "text": text_checksum("select 1"), "outputs": ""}
    newer = {"scheme": "5", "cpus": "1", "package duckdb": version("duckdb"), "timezone": "UTC"}
    assert dict(keys.definition("a")) == {**older, **newer}


# ------------------------------------------------------------------ gathered and absent inputs


def gathering(form: str, values: dict[str, Any], axis: str = "v", columns: tuple[str, ...] = ("v",)) -> Input:
    cells = {OutputId(f"b@{cell}"): (value,) for cell, value in values.items()}
    types = dict.fromkeys(columns if form == "concat" else (), column_type(values.values()))
    return Input("t", OutputId("b"), gather=Gather(form, (axis,), cells, types))


def input_digest(item: Input, **digests: str) -> tuple[str, str]:
    """Return the key inputs of an input whose cells have these digests: by default one each."""
    given = digests or {str(output): f"d{i}" for i, output in enumerate(item.outputs)}
    inputs = {OutputId(name): digest for name, digest in given.items()}
    spec = replace(NODE, inputs=(item,))
    found = CacheKeys(pipeline(spec)).key_inputs("a", inputs=inputs, needs=NEEDS)
    return found["input t"], found.get("cells t", "")


@pytest.mark.parametrize("form", ["concat", "dict"])
def test_the_cells_that_are_gathered_and_their_order_count(form: str) -> None:
    two = input_digest(gathering(form, {"x": "x", "y": "y"}))
    assert two == input_digest(gathering(form, {"x": "x", "y": "y"}), **{"b@x": "d0", "b@y": "d1"})
    assert two != input_digest(gathering(form, {"x": "x", "y": "y"}), **{"b@x": "d0", "b@y": "other"})
    assert two[1] != input_digest(gathering(form, {"x": "x", "y": "y", "z": "z"}))[1]
    assert two[1] != input_digest(gathering(form, {"y": "y", "x": "x"}), **{"b@x": "d0", "b@y": "d1"})[1]
    assert two[0] != input_digest(gathering(form, {"x": "x", "y": "y"}), **{"b@x": "d0"})[0]
    assert two[1].startswith("2 ")


def test_the_order_of_the_tables_counts_where_the_node_cannot_see_the_values() -> None:
    one = input_digest(gathering("concat", {"x": "x", "y": "y"}, columns=()), **{"b@x": "d0", "b@y": "d1"})
    other = input_digest(gathering("concat", {"y": "y", "x": "x"}, columns=()), **{"b@x": "d0", "b@y": "d1"})
    assert (one[0] != other[0], one[1] == other[1]) == (True, True)


def test_what_the_node_sees_of_an_axis_counts() -> None:
    one = input_digest(gathering("concat", {"x": "x"}))
    assert one != input_digest(gathering("concat", {"x": "x"}, "w", ("w",))), "the column has another name"
    assert one != input_digest(gathering("concat", {"x": "other"})), "the column has another value"
    unseen = input_digest(gathering("concat", {"x": "x"}, columns=()))
    assert unseen == input_digest(gathering("concat", {"x": "x"}, "w", ()))
    assert unseen == input_digest(gathering("concat", {"x": "other"}, columns=()))
    mapping = input_digest(gathering("dict", {"x": "x"}))
    assert mapping == input_digest(gathering("dict", {"x": "x"}, "w"))
    assert mapping != input_digest(gathering("dict", {"x": 1})), "the key has another type"
    assert mapping != input_digest(gathering("dict", {"y": "x"}), **{"b@y": "d0"}), "a script sees another name"
    assert len({one, unseen, mapping}) == 3


def test_a_value_that_changes_the_type_of_the_column_counts() -> None:
    numbers = gathering("concat", {"1": 1, "2": 2})
    mixed = gathering("concat", {"1": 1, "2": 2.0})
    assert input_digest(numbers, **{"b@1": "d0"}) != input_digest(mixed, **{"b@1": "d0"})


def test_the_content_of_what_is_read_counts_and_that_nothing_is() -> None:
    plain = Input("t", OutputId("b"))
    other = replace(plain, alternative=OutputId("c"))
    assert input_digest(other, b="d0") == input_digest(plain, b="d0")
    assert input_digest(other, c="d0") == input_digest(plain, b="d0")
    assert input_digest(replace(plain, optional=True), c="d0") == ("absent", "")
