"""Pipelines that a program builds: the document of a file, the same checks, keys and results."""

from __future__ import annotations

import datetime
import functools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forked
import pytest

import nfrun
from nfrun.nodes.schemas import document_schema
from nfrun.pipeline_file.built_document import yaml_text
from nfrun.pipeline_file.yaml.document import parse

THIS = Path(__file__)
STEPS = THIS.with_name("pipeline_steps.py")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with files, and a module that is imported from there."""
    shutil.copy(STEPS, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("pipeline_steps", None)
    (tmp_path / "orders.csv").write_text("id,amount\n1,1.5\n2,2.5\n3,3\n")
    (tmp_path / "other.yaml").write_text(
        "inputs: {orders: {}}\nparams: {k: 1}\nnodes: {a: {sql: 'select *, $k as k from orders', inputs: orders, "
        "with: {k: '${{ params.k }}'}}}\noutputs: {a: a}\n"
    )
    yield tmp_path
    sys.modules.pop("pipeline_steps", None)


def everything(folder: Path) -> nfrun.Pipeline:
    """A pipeline with every kind, and almost every setting."""
    import pipeline_steps as steps

    b = nfrun.Pipeline(
        "etl",
        folder=folder,
        description="all: of it",
        params={
            "most": 2,
            "word": "no",
            "when": datetime.date(2024, 1, 1),
            "kind": {"type": "string", "default": "012"},
        },
        env={"LEVEL": "1"},
        matrix={
            "country": ["DE", "FR"],
            "model": [{"id": "lr", "C": 0.5}],
            "exclude": [{"country": "FR", "model": "lr"}],
        },
        resources={"api": 2},
        defaults={"retries": 1, "tags": ["daily"]},
        profiles={"prod": {"params": {"most": 1}, "jobs": 2}},
    )
    orders = b.input("orders", "orders.csv", schema={"id": "integer", "amount": "number"}, checks=[{"unique": "id"}])
    clean = b.python(
        "clean",
        steps.clean,
        {"orders": orders},
        {"most": b.expr("params.most")},
        timeout="30s",
        retries={"max": 2, "delay": "1s"},
        checks=[{"python": steps.has_rows}, {"rows": {"min": 1}, "severity": "warn"}],
        executor="thread",
        cache=True,
        description="the first ones",
    )
    scored = b.python(
        "scored",
        "pipeline_steps:score",
        {"orders": clean},
        {"of": b.expr("matrix.country")},
        matrix=["country"],
        resources={"api": 1},
    )
    cells = b.python(
        "cells", steps.score, {"orders": clean}, {"of": b.expr("matrix.model.id")}, matrix=("country", "model")
    )
    both = b.sql("both", "select *\nfrom scored\n-- [all]: {of} 'them'\n", {"scored": scored.ref(gather="concat")})
    parts = b.python("parts", steps.parts, {"orders": clean}, outputs=["small", "large"])
    b.python("mapped", steps.twice, {"rows": parts["large"]}, {"factor": 2}, map={"over": "rows", "batch": 1})
    text = b.script(
        "text",
        'wc -l < "$NFRUN_INPUT_x" > "$NFRUN_OUTPUT_txt"',
        {"x": parts["small"].ref(optional=True), "y": {"from": parts["small"], "else": orders}},
        outputs={"txt": ".txt"},
        needs=[scored],
        files="orders.csv",
        env={"A": 1},
    )
    b.pipeline("other", Path("other.yaml"), {"orders": clean}, {"k": 3}, tags=["sub"])
    b.write("save", "out/both.parquet", both, if_=b.expr("params.most > 1"), needs=text)
    b.read("again", "orders.csv", continue_on_error=True)
    b.sql("first", "select * from cells", {"cells": cells.ref(where={"country": "DE", "model": "lr"})})
    b.on_failure.script("alarm", "echo failed")
    b.finally_.python("tell", steps.tell)
    b.outputs(both=both, small=parts["small"], text="text.txt")
    return b


def nfrun_stdout(folder: Path, *words: str) -> str:
    """What the command prints in the folder."""
    return forked.run(
        [sys.executable, "-m", "nfrun", *words], cwd=folder, capture_output=True, text=True, check=False
    ).stdout


def test_a_builder_a_file_and_the_command_reuse_the_results_of_each_other(folder: Path) -> None:
    built = everything(folder).run()
    assert built.status == "ok", built.failures
    built.check()
    everything(folder).to_yaml(folder / "etl.yaml")
    by_file = nfrun.load(folder / "etl.yaml").run()
    by_command = json.loads(nfrun_stdout(folder, "run", "etl.yaml", "--json"))
    again = everything(folder).run()
    total = built.counts["ok"]
    assert by_file.counts == again.counts == {"ok": 1, "reused": total - 1}  # the last node runs every time
    assert {key: count for key, count in by_command["counts"].items() if count} == by_file.counts

    def digests(document: dict[str, Any]) -> dict[str, str]:
        return {name: output["digest"] for name, output in document["outputs"].items()}

    assert digests(built.to_dict()) == digests(by_file.to_dict()) == digests(by_command) == digests(again.to_dict())
    assert built["both"].to_pylist() == again["both"].to_pylist()
    assert built.nodes["tell"].log() == "it ended ok\n"


def test_a_file_that_runs_first_is_reused_by_the_builder(folder: Path) -> None:
    everything(folder).to_yaml(folder / "etl.yaml")
    nfrun_stdout(folder, "run", "etl.yaml")
    assert everything(folder).plan().runs == ()
    assert everything(folder).plan().to_dict() == nfrun.load(folder / "etl.yaml").plan().to_dict()


def test_the_yaml_has_the_values_of_the_calls(folder: Path) -> None:
    root = parse(everything(folder).to_yaml(), "x").root
    assert list(root) == [
        *("name", "description", "params", "env", "inputs", "matrix", "resources", "defaults", "profiles", "nodes"),
        *("on_failure", "finally", "outputs"),
    ]
    assert root["params"]["when"] == "2024-01-01"
    assert root["params"]["word"] == "no"
    assert root["nodes"]["clean"]["python"] == "pipeline_steps:clean"
    assert root["nodes"]["clean"]["checks"][0] == {"python": "pipeline_steps:has_rows"}
    assert root["nodes"]["text"]["inputs"]["y"] == {"from": "parts.small", "else": "orders"}
    assert root["nodes"]["save"]["if"] == "${{ params.most > 1 }}"
    assert root["nodes"]["other"]["pipeline"] == "other.yaml"


def test_every_setting_of_a_file_is_one_of_a_builder() -> None:
    known = json.loads(document_schema("pipeline"))
    of_nodes = {key.rstrip("_") for key in nfrun.session.api.builder.NodeSettings.__annotations__}  # type: ignore[attr-defined]
    kinds = {"python", "sql", "run", "read", "write", "pipeline", "use"}
    assert of_nodes == set(known["$defs"]["node"]["properties"]) - kinds - {"inputs", "with"}


TEXTS = [
    *("no", "on", "012", "1:30", "1e3", "0x1F", "~", "null", "", " a", "a ", "- a", "a: b", "a #b", "#a", "? a"),
    *("%a", "@a", "`a", "'a'", '"a"', "a\nb", "a\nb\n", "\na", " a\nb", "a\n\n", "a\tb", "\t", "ä", "\u2028", "😀"),
    *("*a", "&a", "!a", "|", ">", "[a", "{a", "a]", "a,b", "2024-01-01", "true", "1_000", "=", "<<", "a:b", "a - b"),
    *("x" * 300, "a " * 200, "\ufeff", "---", "...", ".nan", ".inf", "-", "--- a", "\\n", "a\n  b\n c", "a\n\n\nb"),
]


def test_texts_are_read_back_as_they_are(tmp_path: Path) -> None:
    b = nfrun.Pipeline("x", folder=tmp_path)
    given = {f"v{i}": [text, {"k": text}] for i, text in enumerate(TEXTS)}
    keys = {text: i for i, text in enumerate(TEXTS)}
    b.python("a", lambda **more: None, with_={**given, "keys": keys})
    b._functions.given.clear()
    assert parse(yaml_text(b._root), "x").root["nodes"]["a"]["with"] == {**given, "keys": keys}


def local() -> Callable[..., Any]:
    def inner(orders: Any = None, most: int = 1) -> Any:
        return orders.slice(0, most)

    return inner


class Adder:
    """A class without a name at the top of a module: its instances are made once."""

    def __init__(self, by: int) -> None:
        self.by = by

    def __call__(self, orders: Any) -> Any:
        return [{"id": row["id"] + self.by} for row in orders.to_pylist()]


def test_functions_that_cannot_be_imported_run_on_threads_and_are_never_reused(folder: Path) -> None:
    b = nfrun.Pipeline("live", folder=folder)
    one = b.python("one", lambda: [{"id": 1}, {"id": 2}])
    two = b.python("two", local(), {"orders": one}, {"most": 2})
    add = b.python("add", type("Other", (Adder,), {}), {"orders": two}, {"by": 5})

    async def wait(id: int) -> dict[str, int]:
        return {"more": id + 1}

    b.python("mapped", wait, {"rows": add}, map="rows")
    b.python("same", local(), {"orders": one})
    for _ in range(2):
        result = b.run()
        assert result.status == "ok", result.failures
        assert result["mapped"].to_pylist() == [{"id": 6, "more": 7}, {"id": 7, "more": 8}]
        assert result.counts == {"ok": 5}
    assert b.plan().runs == ("one", "two", "add", "mapped", "same")


def test_their_arguments_are_checked_before_a_run(folder: Path) -> None:
    b = nfrun.Pipeline("live", folder=folder)
    one = b.python("one", lambda: [{"id": 1}])
    line = _line() + 1
    b.python("two", local(), {"order": one}, {"much": 2})
    with pytest.raises(nfrun.SpecError) as caught:
        b.check()
    assert {problem.line for problem in caught.value.problems} == {line}
    assert "inner() has no argument 'order'" in str(caught.value)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda: None, "'<lambda>' cannot be imported by a name: no module has it"),
        (local(), "'local.<locals>.inner' cannot be imported by a name: no module has it"),
        (Adder.__call__, "'Adder.__call__' cannot be imported by a name: no module has it"),
        (functools.partial(print, 1), "'partial' cannot be imported by a name: no module has it"),
        (Adder, "'Adder' cannot be imported by a name: no module has it"),
    ],
    ids=["lambda", "local", "method", "partial", "elsewhere"],
)
def test_to_yaml_refuses_functions_without_a_name(tmp_path: Path, function: Any, why: str) -> None:
    (tmp_path / "test_builder.py").write_text("")
    b = nfrun.Pipeline("x", folder=tmp_path)
    if function in (Adder, Adder.__call__):
        b.python("a", function, {"orders": b.sql("one", "select 1 as id")}, {"by" if function is Adder else "self": 1})
    else:
        b.python("a", function)
    with pytest.raises(nfrun.SpecError, match=re.escape(why)):
        b.to_yaml()


def test_mistakes_name_the_line_of_the_call(folder: Path) -> None:
    import pipeline_steps as steps

    b = nfrun.Pipeline("wrong", folder=folder, params={"most": 1})
    line = _line()
    one = b.python("one", steps.clean, {"order": "orders"}, {"most": b.expr("params.mots")}, tiemout="3s")  # type: ignore[call-arg]
    b.sql("two", "select * from y", one, retries=-1)
    b.read("three", "orders.cvs")
    b.outputs(x="four")
    with pytest.raises(nfrun.SpecError) as caught:
        b.plan()
    found = [(p.file.endswith(THIS.name), p.line - line, p.message) for p in caught.value.problems]
    assert all(is_here for is_here, _, _ in found)
    assert [(number, message) for _, number, message in found] == [
        (1, "'params' has no 'mots'"),
        (1, "'tiemout' is not a key of a node"),
        (1, "node 'one' reads 'orders', which is not defined"),
        (2, "'retries' must be at least 0, not -1"),
        (2, "the query reads the table 'y', which is not there"),
        (3, "the ending of this file does not tell its format"),
        (4, "'outputs' shows 'four', which is not defined"),
    ]
    assert f"{THIS.name}:{line + 1}:" in str(caught.value)
    assert "tiemout=" in str(caught.value)  # the line itself


MISTAKES: dict[str, tuple[Callable[[nfrun.Pipeline], object], str]] = {
    "no value": (lambda b: b.sql("a", "select 1", with_={"x": object}), "it is <class 'object'>, a type"),
    "a control character": (lambda b: b.sql("a", "select 1", with_={"x": "\x07"}), "the control character '\\x07'"),
    "a set": (
        lambda b: b.sql("a", "select 1", with_={"x": {1}}),
        "the value of 'with.x': it is {1}, a set",
    ),
    "a large number": (
        lambda b: b.sql("a", "select 1", with_={"x": 1 << 70}),
        "an integer that does not fit in 64 bits",
    ),
    "infinity": (lambda b: b.sql("a", "select 1", with_={"x": float("inf")}), "it is inf, which is no number"),
    "a key": (lambda b: b.sql("a", "select 1", with_={1: 2}), "a mapping with the key 1, which is no text"),  # type: ignore[dict-item]
    "an id": (lambda b: b.sql("a b", "select 1"), "'a b'"),
    "no id": (lambda b: b.sql(3, "select 1"), "3 is no name"),  # type: ignore[arg-type]
    "twice": (lambda b: (b.sql("a", "select 1"), b.sql("a", "select 2")), "there is a node 'a' already, made at "),
    "a check": (lambda b: b.sql("a", "select 1", checks=[{"python": lambda t: True}]), "it is a lambda"),
    "a kind": (lambda b: b.node("a", "pyhton", "x:y"), "'pyhton'"),
    "a sub-pipeline": (lambda b: b.pipeline("a", "no.yaml"), "there is no file 'no.yaml'"),
    "an output": (lambda b: b.outputs(a="b"), "'b'"),
    "no nodes": (lambda b: None, "nodes"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_in_calls_are_told_all_at_once_when_it_is_checked(tmp_path: Path, name: str) -> None:
    b = nfrun.Pipeline("x", folder=tmp_path)
    call, text = MISTAKES[name]
    call(b)
    for use in (b.check, b.plan, b.run, b.to_yaml):
        with pytest.raises(nfrun.SpecError) as caught:
            use()
        assert text in str(caught.value)
        assert "test_builder.py:" in str(caught.value)


@pytest.mark.parametrize("name", ["", " ", "a/b", 3, "x" * 300])
def test_the_name_of_a_pipeline_is_that_of_a_file(name: Any) -> None:
    with pytest.raises(nfrun.UsageError, match=r"^name: "):
        nfrun.Pipeline(name)


def test_to_yaml_replaces_its_own_files_only(tmp_path: Path) -> None:
    b = nfrun.Pipeline("x", folder=tmp_path)
    b.sql("a", "select 1 as x")
    file = tmp_path / "x.yaml"
    b.to_yaml(file)
    b.sql("b", "select 2 as x")
    b.to_yaml(file)
    assert list(parse(file.read_text(), "x").root["nodes"]) == ["a", "b"]
    file.write_text(file.read_text().partition("\n")[2])
    for path, text in (
        (file, "is there, and to_yaml has not written it: remove it, or name another file"),
        (tmp_path / "steps.py", "is no name of a pipeline file: end it in .yaml"),
    ):
        with pytest.raises(nfrun.UsageError, match=text):
            b.to_yaml(path)


def test_the_place_of_a_mistake_is_that_of_the_call(tmp_path: Path) -> None:
    b = nfrun.Pipeline("x", folder=tmp_path)
    b.sql("ä", "select 1")
    b.sql("b", "select 1", tiemout="3s")  # type: ignore[call-arg]
    with pytest.raises(nfrun.SpecError) as caught:
        b.check()
    marked = [p.span.text[p.column - 1 : p.column - 1 + p.span.length] for p in caught.value.problems]
    assert marked == ['b.sql("ä", "select 1")', 'b.sql("b", "select 1", tiemout="3s")  # type: ignore[call-arg]']


def test_functions_of_a_script_may_have_one_name(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("""
import nfrun
b = nfrun.Pipeline("x")
def rows(): return [{"n": 1}]
b.python("a", rows)
def rows(): return [{"n": 2}]
b.python("b", rows)
result = b.run().check()
print([result[name].to_pylist()[0]["n"] for name in "ab"])
""")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[1, 2]\n", "")


def test_functions_of_this_process_run_in_no_other(tmp_path: Path) -> None:
    b = nfrun.Pipeline("x", folder=tmp_path)
    b.python("a", lambda: None)
    with pytest.raises(nfrun.UsageError, match=r"^executor: no other process can import 'lambda'"):
        b.run(executor="process")


def test_the_folder_is_that_of_the_program(tmp_path: Path) -> None:
    assert nfrun.Pipeline("x").folder == THIS.parent
    assert nfrun.Pipeline("x", folder=tmp_path).folder == tmp_path
    node = nfrun.Pipeline("x").sql("a", "select 1")
    assert (node.id, str(node["b"]), str(node)) == ("a", "a.b", "a")
    with pytest.raises(TypeError, match=re.escape("'a' is a node: name an output of it, as in node['name']")):
        list(node)


def _line() -> int:
    return sys._getframe(1).f_lineno
