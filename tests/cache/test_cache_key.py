"""What makes up the key of a node's outputs, and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfrun.cache.cache_key import CacheKeys, cache_key
from nfrun.core.pipeline import Input, NodeSpec, Pipeline

NODE = NodeSpec("a", "run", "make", (Input("t", "b", "b"),), {"n": 1}, ("x", "y"), ("c",), {"LEVEL": "2"})
DIGEST = {"b": "d1"}
NEEDS = {"c": "k1"}


def pipeline(node: NodeSpec, folder: str = "/nowhere", env: Mapping[str, str] = {}) -> Pipeline:
    others = {name: NodeSpec(name, "sql", "select 1", (), {}, (), (), {}) for name in ("b", "c")}
    return Pipeline("p.yaml", folder, "p", "", {}, env, {**others, node.id: node}, {})


def parts(node: NodeSpec = NODE, **more: Any) -> Mapping[str, str]:
    inputs, needs, files = more.pop("inputs", DIGEST), more.pop("needs", NEEDS), more.pop("files", {})
    return CacheKeys(pipeline(node, **more)).key_inputs("a", inputs=inputs, needs=needs, files=files)


def changed(node: NodeSpec = NODE, **more: Any) -> set[str]:
    """The parts that are not what they are for `NODE`."""
    before, now = parts(), parts(node, **more)
    found = {name for name in {*before, *now} if before.get(name) != now.get(name)}
    assert bool(found) == (cache_key(before) != cache_key(now))
    return found


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"kind": "sql", "format": NODE.format}, {"kind", "format"}),
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
    ],
)
def test_what_the_file_says_counts(change: Mapping[str, Any], part: set[str]) -> None:
    assert changed(replace(NODE, **change)) == part


@pytest.mark.parametrize("change", [{"cpu": 2.0}, {"timeout": 5.0}, {"cache": True}, {"executor": "process"}])
def test_how_and_how_often_a_node_may_run_does_not_count(change: Mapping[str, Any]) -> None:
    assert changed(replace(NODE, **change)) == set()


def test_the_order_of_values_counts_where_it_can_be_seen() -> None:
    one, other = replace(NODE, with_={"p": 1, "q": 2}), replace(NODE, with_={"q": 2, "p": 1})
    assert cache_key(parts(one)) == cache_key(parts(other)), "a script has them in variables"
    one, other = (replace(node, kind="python", body="made_up:f") for node in (one, other))
    assert cache_key(parts(one)) != cache_key(parts(other))
    assert changed(replace(NODE, with_={"n": {"a": 1, "b": 2}})) == {"value n"}
    one, other = replace(NODE, with_={"n": {"a": 1, "b": 2}}), replace(NODE, with_={"n": {"b": 2, "a": 1}})
    assert cache_key(parts(one)) != cache_key(parts(other))


def test_what_it_reads_and_what_it_needs_count() -> None:
    assert changed(inputs={"b": "d2"}) == {"input t"}
    assert changed(needs={"c": "k2"}) == {"needs c"}
    assert changed(files={"data/x.csv": "f"}) == {"file data/x.csv"}


def test_the_environment_of_the_pipeline_counts_and_the_node_s_own_hides_it() -> None:
    assert changed(env={"TZ": "UTC"}) == {"variable TZ"}
    assert changed(env={"LEVEL": "9"}) == set()


def test_where_the_folder_is_does_not_count() -> None:
    assert changed(folder="/elsewhere") == set()


def test_variables_do_not_count_for_what_cannot_see_them() -> None:
    read = replace(NODE, kind="read", body="x.csv", env={})
    assert cache_key(parts(read)) == cache_key(parts(read, env={"TZ": "UTC"}))


def test_a_function_counts_and_what_is_not_called_does_not(tmp_path: Path) -> None:
    node = replace(NODE, kind="python", body="made_up_steps:f")
    path = tmp_path / "made_up_steps.py"
    path.write_text("def f(t):\n    return g(t)\n\ndef g(t):\n    return t\n")
    before = parts(node, folder=str(tmp_path))
    assert any(name.startswith("code ") for name in before)
    path.write_text("# of no consequence\ndef f(t):  # neither\n    return g(t)\n\n\ndef g(t):\n    return t\n")
    assert parts(node, folder=str(tmp_path)) == before
    path.write_text("def f(t):\n    return g(t)\n\ndef g(t):\n    return None\n")
    after = parts(node, folder=str(tmp_path))
    assert {name.partition(" ")[0] for name in {*before, *after} if before.get(name) != after.get(name)} == {"code"}


def test_keys_are_the_same_in_every_process() -> None:
    """Written down on purpose: what earlier versions have kept is of no more use when this changes."""
    assert cache_key({"b": "2", "a": "1"}) == cache_key({"a": "1", "b": "2"}) == "28eb459935a54257a7d10dd83098115d"


@given(st.dictionaries(st.text(), st.text()), st.dictionaries(st.text(), st.text()))
def test_other_parts_give_another_key(one: dict[str, str], other: dict[str, str]) -> None:
    assert (cache_key(one) == cache_key(other)) == (one == other)


def test_of_a_variable_that_is_made_of_secrets_counts_what_stands_for_it() -> None:
    def part(value: str, hidden: Mapping[str, str], env: Mapping[str, str] = {"LEVEL": "2"}) -> str:
        node = replace(NODE, env=env)
        whole = replace(pipeline(node, env={"AUTH": value}), redacted_env=hidden)
        return CacheKeys(whole).definition("a")["variable AUTH"]

    made = {"AUTH": "me:\0TOKEN\0"}
    assert part("me:hunter2", made) == part("me:hunter3", made)
    assert part("me:hunter2", made) != part("you:hunter2", {"AUTH": "you:\0TOKEN\0"})
    assert part("me:hunter2", made) != part("me:hunter2", {})
    assert part("me:hunter2", made, {"AUTH": "own"}) == part("", {}, {"AUTH": "own"}), "the node's own goes before"
    own = replace(NODE, env={"LEVEL": "hunter2"}, redacted_env={"LEVEL": "\0TOKEN\0"})
    assert changed(own) == {"variable LEVEL"}
    assert parts(own) == parts(replace(own, env={"LEVEL": "hunter3"}))
