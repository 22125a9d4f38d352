"""Variables of modules that the code of one node assigns and that of another reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.code.facts.code_facts import shared_variables
from nfrun.code.facts.fact_reader import FactReader
from nfrun.code.fingerprint import Fingerprints

SHARED = {
    "global": "X = 0\ndef a():\n  global X\n  X = 1\ndef b(): return X",
    "global, with an operator": "X = 0\ndef a():\n  global X\n  X += 1\ndef b(): return X",
    "an item": "X = {}\ndef a(): X['k'] = 1\ndef b(): return X['k']",
    "an item that is removed": "X = {}\ndef a(): del X['k']\ndef b(): return X.get('k')",
    "an item of an item": "X = {'k': {}}\ndef a(): X['k']['l'] = 1\ndef b(): return X['k']",
    "an attribute": "class X: k = 1\ndef a(): X.k = 2\ndef b(): return X.k",
    "append": "X = []\ndef a(): X.append(1)\ndef b(): return len(X)",
    "what a function keeps by its argument": "X = {}\ndef g(k):\n  if k not in X: X[k] = h(k)\n  return X[k]\n"
    "def a(): return g(1)\ndef b(): return g(2)",
    "append to a part": "X = {'k': []}\ndef a(): X['k'].append(1)\ndef b(): return X",
    "update": "X = dict(k=1)\ndef a(): X.update(k=2)\ndef b(): return X['k']",
    "add": "X = set()\ndef a(): X.add(1)\ndef b(): return 1 in X",
    "a list that is used up": "X = [1, 2]\ndef a(): return X.pop()\ndef b(): return X.pop()",
    "a counter": "import itertools\nX = itertools.count()\ndef a(): return next(X)\ndef b(): return next(X)",
    "a heap": "from heapq import heappush\nX = []\ndef a(): heappush(X, 1)\ndef b(): return X[0]",
    "a heap that is used up": "import heapq\nX = [1, 2]\ndef a(): return heapq.heappop(X)\ndef b(): return X[0]",
    "a sorted list": "import bisect\nX = []\ndef a(): bisect.insort(X, 1)\ndef b(): return X[0]",
    "an item by a function": "import operator\nX = {}\ndef a(): operator.setitem(X, 1, 2)\ndef b(): return X[1]",
    "an attribute by a function": "class X: k = 1\ndef a(): setattr(X, 'k', 2)\ndef b(): return X.k",
    "a random generator": "from random import Random as R\nX = R(1)\ndef a(): X.seed(2)\ndef b(): return X.gauss()",
    "by another name": "X = []\nY = X\ndef a(): Y.append(1)\ndef b(): return X",
    "by a local name": "X = []\ndef a():\n  y = X\n  y.append(1)\ndef b(): return X",
    "an attribute of the module": "import steps\nX = 0\ndef a(): steps.X = 1\ndef b(): return X",
    "in another module": "import state\ndef a(): state.X['k'] = 1\ndef b(): return state.X",
    "an attribute of another module": "import state\ndef a(): state.N = 1\ndef b(): return state.N",
    "an imported variable": "from state import X\nimport state\ndef a(): X['k'] = 1\ndef b(): return state.X",
    "by a function of another module": "import state\ndef a(): state.put(1)\ndef b(): return state.X",
    "read by a function that it calls": "X = []\ndef a(): X.append(1)\ndef g(): return X\ndef b(): return g()",
    "in a method": "X = []\nclass A:\n  def put(self): X.append(1)\ndef a(): A().put()\ndef b(): return X",
    "in a loop": "X = 0\ndef a():\n  global X\n  for X in range(3): pass\ndef b(): return X",
    "the input of a comprehension": "X = []\ndef a(): X.append(1)\ndef b(): return [X for X in X]",
    "in a comprehension": "X = []\ndef a(): return [X.append(y) for y in 'z']\ndef b(): return X",
    "in a function inside": "X = []\ndef a(): return [(lambda: X.append(1))]\ndef b(): return X",
    "assigned beside an annotation": "X: list = []\ndef a(): X.append(1)\ndef b(): return X",
}
OWN = {
    "a local variable of that name": "X = 0\ndef a():\n  X = 1\n  return X\ndef b(): return X",
    "an item of a copy": "X = {}\ndef a():\n  x = X.copy()\n  x['k'] = 1\ndef b(): return X",
    "an argument of that name": "X = []\ndef a(X): X.append(1)\ndef b(): return X",
    "assigned on import only": "X = {}\nX['k'] = 1\ndef a(): return X\ndef b(): return X",
    "only assigned": "X = []\ndef a(): X.append(1)\ndef b(): X.append(2)",
    "another variable": "X = []\nY = []\ndef a(): X.append(1)\ndef b(): return Y",
    "an item of another object": "X = []\ndef a(x): x.X = 1\ndef b(): return X",
    "lru_cache": "import functools\n@functools.cache\ndef g(k): return k\ndef a(): return g(1)\ndef b(): return g(1)",
    "read only": "X = {'k': 1}\ndef a(): return X['k']\ndef b(): return X.get('k')",
    "a nonlocal variable": "X = 1\ndef a():\n  X = 0\n  def g():\n    nonlocal X\n    X = 2\n  g()\ndef b(): return X",
    "a logger": "import logging\nX = logging.getLogger()\ndef a(): X.info('')\ndef b(): X.info('')",
    "of a comprehension": "X = []\ndef a(): return [X for X in range(3)]\ndef b(): return X",
    "of a comprehension in a method": "X = 1\nclass A:\n  def f(self, y): return {X.k: X for X, z in y if X}\n"
    "def a(): return A().f([])\ndef b(): return X",
    "read in a comprehension": "X = []\ndef a(): X.append(1)\ndef b(): return sum(X * y for X in [1] for y in X)",
    "used by one node only": "X = {}\ndef a():\n  X['k'] = 1\n  return X\ndef b(): return 1",
}
STATE = "X = {}\nN = 0\ndef put(x): X['k'] = x\n"


def shared(folder: Path, text: str) -> dict[str, str]:
    (folder / "steps.py").write_text(text)
    (folder / "state.py").write_text(STATE)
    facts = FactReader(Fingerprints(folder))
    return shared_variables({n: facts.of("steps", n) for n in "ab"})


@pytest.mark.parametrize("name", SHARED)
def test_a_variable_that_another_node_assigns(name: str, tmp_path: Path) -> None:
    found = shared(tmp_path, SHARED[name])
    assert "b" in found
    assert ", which 'a' assigns (st" in found["b"]


@pytest.mark.parametrize("name", OWN)
def test_what_is_not_shared(name: str, tmp_path: Path) -> None:
    assert shared(tmp_path, OWN[name]) == {}


def test_the_reason_names_both_lines(tmp_path: Path) -> None:
    text = "STATE = {}\n\ndef a():\n    STATE['k'] = 1\n\ndef b():\n    return STATE['k']\n"
    assert shared(tmp_path, text) == {"b": "it reads STATE (steps.py:7), which 'a' assigns (steps.py:4)"}
