"""Tests of which functions may keep what they have opened, and for which nodes it counts."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

import pytest

from nfrun.code.effects import may_keep
from nfrun.code.watch.attribution import Attribution
from nfrun.core.observation import Observation, SharedObservation
from nfrun.session.options import RunOptions
from tests.program_runs import run_pipeline


@pytest.mark.parametrize(
    "text",
    [
        "@lru_cache\ndef f(): return open('x')",
        "@app.anything(1)\ndef f(): pass",
        "def f():\n    global X\n    X = 1",
        "def f(): CACHE['a'] = 1",
        "def f(): settings.path = 1",
        "def f(): CACHE.rows['a'].n += 1",
        "def f(): ROWS.append(1)",
        "def f(): return CACHE.setdefault('a', 1)",
        "def f(self): self.text = 1",
        "def f(seen): seen['a'] = 1",
        "def f(_cache={}): _cache['a'] = 1",
        "def f(): get().n = 1",
        "def f(): setattr(X, 'n', 1)",
        "def f():\n    def g(): CACHE['a'] = 1\n    g()",
        "def f():\n    cache = {}\n    def g(n):\n        cache[n] = open(n)\n    return g",
        "def f():\n    n = 0\n    def g():\n        nonlocal n\n        n = 1\n    return g",
        "async def f(): CACHE['a'] = await g()",
        "class A:\n    n = 1",
        "X = 1",
    ],
)
def test_functions_that_may_keep_what_they_open(text: str) -> None:
    assert may_keep(ast.parse(text).body[0])


@pytest.mark.parametrize(
    "text",
    [
        "def f(): return open('x').read()",
        "def f(path): return json.load(open(HERE / path))",
        "def f():\n    rows = {}\n    rows['a'] = 1\n    return rows",
        "def f():\n    rows = []\n    rows.append(1)\n    return rows",
        "def f():\n    table = read()\n    table.columns = ['a']\n    table['b'] = 1\n    return table",
        "def f():\n    for row in rows(): row['a'] = 1",
        "def f():\n    def g():\n        rows = {}\n        rows['a'] = 1\n        return rows\n    return g()",
        "def f():\n    log.info('read')\n    return open('x')",
        "def f():\n    with open('x') as file: file.closed\n    return LIMIT",
    ],
)
def test_functions_that_keep_nothing(text: str) -> None:
    assert not may_keep(ast.parse(text).body[0])


def seen(*, nodes: tuple[str, ...], of_attempt: bool = False, **what: object) -> SharedObservation:
    return SharedObservation((), False, nodes, of_attempt, Observation(**what))  # type: ignore[arg-type]


def complete(node: str, own: Observation | None, *shared: SharedObservation) -> Observation:
    new = [*shared]

    def take() -> list[SharedObservation]:
        taken, new[:] = [*new], []
        return taken

    return Attribution(("a", "b"), lambda node: (), lambda module: None, take, Path("/p")).complete(node, own)


def test_what_only_a_library_opened_concerns_all_nodes_that_were_running() -> None:
    shared = seen(nodes=("a", "b"), reads={"x": "1"}, writes={"y": "2"})
    for node in "ab":
        assert complete(node, None, shared) == Observation({"x": "1"}, {"y": "2"})
    assert complete("c", None, shared) == Observation()


def test_a_file_that_the_node_wrote_is_not_what_it_read() -> None:
    own = Observation(writes={"x": "2"})
    assert complete("a", own, seen(nodes=("a",), reads={"x": "1"})) == own


def test_a_file_that_two_have_read_with_another_content_is_an_obstacle() -> None:
    own = Observation({"x": "1"})
    found = complete("a", own, seen(nodes=("a",), reads={"x": "2"}))
    assert found == Observation({"x": "1"}, obstacle="x changed while it ran")
    assert complete("a", own, seen(nodes=("a",), of_attempt=True, reads={"x": "2"})) == own, "settled by the attempt"


def test_hosts_are_an_obstacle_and_three_of_them_are_told() -> None:
    hosts = ("a.com", "b.com", "c.com", "d.com")
    assert complete("a", Observation(hosts=hosts)).obstacle == "it connects to a.com, b.com, c.com"


def test_unknown_code_concerns_the_nodes_that_were_running_only_if_it_lies_in_the_folder() -> None:
    inside = SharedObservation((("/p/late.py", 1),), False, ("a",), False, Observation({"x": "1"}))
    elsewhere = SharedObservation((("/srv/app.py", 1),), False, ("a",), False, Observation({"x": "1"}))
    assert complete("a", None, inside) == Observation({"x": "1"})
    assert complete("a", None, elsewhere) == Observation()


def test_a_module_that_the_program_had_imported_prevents_the_reuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been edited since, and a file that it keeps is not opened again."""
    for file, text in {
        "lib/own_helper.py": "N = 1",
        "project/steps.py": "import own_helper\ndef f(): return {'n': own_helper.N}\ndef g(): return {'n': 1}",
        "project/p.yaml": 'nodes:\n  a: {python: "steps:f"}\n  b: {python: "steps:g"}\n',
    }.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.delitem(sys.modules, "own_helper", raising=False)
    monkeypatch.setitem(sys.modules, "own_helper", importlib.import_module("own_helper"))
    for _ in range(2):
        done = run_pipeline(RunOptions(tmp_path / "project/p.yaml", keep=True, resume=True))
    nodes = done.record.nodes
    assert (nodes["a"].status, nodes["b"].status) == ("ok", "reused")
