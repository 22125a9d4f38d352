"""Fingerprints of functions: which changes of a project change them, and which do not."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from nfrun.code.fingerprint import Fingerprints
from nfrun.system.checksums import file_checksum, text_checksum

Files = Mapping[str, str]
Row = tuple[str, Files | str] | tuple[str, Files | str, str, str]


class Trial:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._count = 0

    def fingerprint_of(self, files: Files | str, function: str = "f", module: str = "steps") -> Mapping[str, str]:
        """The fingerprint of `steps:f` in a project of these files. A string is the text of steps.py."""
        self._count += 1  # a new folder each time: Python caches the contents of a folder for a moment
        folder = self.path / str(self._count)
        folder.mkdir()
        for name, text in ({"steps.py": files} if isinstance(files, str) else files).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Fingerprints(folder).of(module, function)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


F = "def f(): return g()\n"
G = "def g(): return 1\n"

# Code that counts: a name, a project, and the replacement in it (default: 1 by 2). Most of it is never run.
COUNTED: list[Row] = [
    ("itself", "def f(): return 1"),
    ("a coroutine", "async def f(): return 1"),
    ("what it calls", F + G),
    ("at any depth", F + "def g(): return h()\ndef h(): return 1\n"),
    ("in cycles", F + "def g(): return h()\ndef h(): return f() or 1\n"),
    ("a constant", "LIMIT = 1\ndef f(): return LIMIT"),
    ("a constant with a type", "LIMIT: int = 1\ndef f(): return LIMIT"),
    ("one of several targets", "A, (B, *C) = 1, (2, 3)\ndef f(): return C", "3", "4"),
    ("a chain of targets", "A = B = 1\ndef f(): return A"),
    ("a name bound within an expression", "A = (B := 1) + 1\ndef f(): return B", ":= 1", ":= 2"),
    ("a decorator", "def d(g): return 1\n@d\ndef f(): ..."),
    ("an argument of a decorator", "A = 1\n@print(A)\ndef f(): ..."),
    ("a default", "A = 1\ndef f(a=A): ..."),
    ("a default by keyword", "A = 1\ndef f(*, a=A): ..."),
    ("an annotation", "class A: x = 1\ndef f(a: A): ..."),
    ("an annotation between quotes", "class A: x = 1\ndef f(a: list['A']): ..."),
    ("the annotation of what it returns", "class A: x = 1\ndef f() -> 'A': ..."),
    ("the annotation of a variable", "class A: x = 1\ndef f():\n a: 'A' = 3"),
    ("a class", "class C:\n def m(self): return 1\ndef f(): return C().m()"),
    ("a base class", "class B: x = 1\nclass C(B): ...\ndef f(): return C()"),
    ("a keyword of a class", "A = 1\nclass C(x=A): ...\ndef f(): return C()"),
    ("what a method calls", "class C:\n def m(self): return g()\n" + G + "def f(): return C()"),
    (
        "what a name in a class hides",
        "class C:\n g = 2\n def m(self): return g()\n" + G + "def f(): return C()",
        "1",
        "3",
    ),
    ("a method given as such", "class f:\n def m(self): return 1"),
    ("an inner function", "def f():\n " + G + " return g"),
    ("what an inner function calls", "def f():\n def h(): return g()\n return h\n" + G),
    ("what a lambda calls", "f = lambda: g()\n" + G),
    ("what a name in an inner function hides", "def f():\n def h(g): ...\n return g()\n" + G),
    ("what a name in a lambda hides", "def f(): return lambda g: g, g()\n" + G),
    ("what a name in a comprehension hides", "def f(): return [g for g in 'x'], g()\n" + G),
    ("what a comprehension begins with", "def f(): return [g for g in g()]\n" + G),
    ("what a comprehension asks", "def f(): return {x: 0 for x in 'x' if g()}\n" + G),
    ("what a comprehension goes on with", "def f(): return {x for x in 'x' for y in g()}\n" + G),
    ("a default that its own argument hides", "def f(g=g): return g()\n" + G),
    ("a global name", "A = 1\ndef f():\n global A\n A += 1", "1\n", "2\n"),
    ("who sets a global name", "A = 1\ndef set():\n global A\n A = 2\ndef f(): return A", "2", "3"),
    ("a global name that an outer function hides", "def f(g):\n def h():\n  global g\n  return g()\n" + G),
    ("all definitions of a name", G + "def g(): return 2\n" + F, "1", "3"),
    ("their order", "A = 1\nB = A\nA = 2\ndef f(): return B", "B = A\nA = 2", "A = 2\nB = A"),
    ("in a branch", "if a:\n " + G + "else:\n def g(): return 2\n" + F, "2", "3"),
    ("the branch", "if a:\n " + G + "else:\n pass\n" + F, G + "else:\n pass", "pass\nelse:\n def g(): return 1"),
    ("what a branch is taken by", "if a > 1:\n " + G + F, "> 1", "> 2"),
    ("in try", "try:\n " + G + "except E: ...\n" + F),
    ("in except", "try: ...\nexcept E:\n " + G + F),
    ("in else and finally", "try: ...\nexcept E: ...\nelse:\n A = 1\nfinally:\n B = A\ndef f(): return B"),
    ("what is caught", "try:\n " + G + "except E: ...\n" + F, "E", "D"),
    ("in with", "with a:\n " + G + F),
    ("with what", "with a(1):\n A = 0\ndef f(): return A"),
    ("in a loop", "for x in y:\n A = 1\ndef f(): return A"),
    ("in match", "match x:\n case 1:\n  A = 1\ndef f(): return A", "A = 1", "A = 2"),
    ("what is imported", "import math as m\ndef f(): return m.sqrt(2)", "math", "cmath"),
    ("what is imported by name", "from math import sin as s\ndef f(): return s(2)", "sin", "cos"),
    ("what is imported inside", "def f():\n from math import sin as s\n return s(2)", "sin", "cos"),
    ("where a star leads", "from math import *\ndef f(): return sin(2)", "math", "cmath"),
    (
        "which import comes first",
        "import a as x\nimport b as x\ndef f(): x",
        "import a as x\nimport b as x",
        "import b as x\nimport a as x",
    ),
    ("the future", "from __future__ import annotations\ndef f(): ...", "from __future__ import annotations", ""),
    ("a call on import", "import random\nrandom.seed(1)\ndef f(): ..."),
    ("what a call on import uses", "A = 1\nprint(A)\ndef f(): ..."),
    ("an item set on import", "C = {}\nC['x'] = 1\ndef f(): ..."),
    ("an attribute set on import", "import a\na.x = 1\ndef f(): ..."),
    ("an addition on import", "A = 0\nA += 1\ndef f(): ..."),
    ("a loop on import", "for x in range(1): C.append(x)\ndef f(): ..."),
    ("when a call on import comes", "A = b()\nc(1)\ndef f(): return A", "A = b()\nc(1)", "c(1)\nA = b()"),
    ("what is done unless it is the program", "if __name__ == '__main__': ...\nelse: print(1)\ndef f(): ..."),
    ("anything, of getattr", "def f(x): return getattr(x, 'y')\n" + G),
    ("anything, of globals", "def f(x): return globals()[x]()\n" + G),
    ("anything, of eval", "def f(x): return eval(x)\n" + G),
    ("anything, of importlib", "import importlib as i\ndef f(x): return i.import_module(x)\n" + G),
    ("anything, of import_module", "def f(x):\n from importlib import import_module as i\n return i(x)\n" + G),
    ("anything, of sys.modules", "import sys\ndef f(x): return sys.modules[x]\n" + G),
    ("what is registered", "ALL = []\ndef add(g): ALL.append(g)\n@add\n" + G + "def f(): return ALL[0]()"),
    ("what is registered with an object", "app = App()\n@app.task\n" + G + "def f(): return app"),
    (
        "a variant for a type",
        "@singledispatch\ndef g(x): ...\n@g.register\ndef _(x: int): return 1\ndef f(): return g(2)",
        "1",
        "3",
    ),
    ("a class that its base knows", "class B:\n def __init_subclass__(c): ...\nclass C(B): x = 1\ndef f(): return B"),
    ("its own docstring, by name", "'''1'''\ndef f(): return __doc__"),
    ("that of a function", "def f():\n return g.__doc__\ndef g():\n '''1'''"),
    ("that of a method", "class C:\n def m(self):\n  '''1'''\ndef f(): return help(C)"),
    ("that of a module that is passed on", {"steps.py": "import a\ndef f(): x(a)", "a.py": "'''1'''"}),
    ("a docstring that comes", "def f():\n return 2", "def f():", "def f():\n '''a'''"),
    ("text that is no docstring", "def f(): return '''1'''"),
    ("kinds of numbers", "def f(): return 1", "1", "1.0"),
    ("true and one", "def f(): return 1", "1", "True"),
    ("a long number", f"def f(): return 0x1{'0' * 5000}", "0x1", "0x2"),
    ("the name of an argument", "def f(a): ...", "(a)", "(b)"),
    ("a helper", {"steps.py": "import helpers\ndef f(): return helpers.g()", "helpers.py": G}),
    ("a helper under another name", {"steps.py": "import helpers as h\ndef f(): return h.g()", "helpers.py": G}),
    ("a helper by name", {"steps.py": "from helpers import g as h\ndef f(): return h()", "helpers.py": G}),
    ("a helper by star", {"steps.py": "from helpers import *\n" + F, "helpers.py": G}),
    ("a helper by stars", {"steps.py": "from a import *\n" + F, "a.py": "from b import *\nfrom a import *", "b.py": G}),
    (
        "a builtin that a star hides",
        {"steps.py": "from a import *\ndef f(): return sum()", "a.py": "def sum(): return 1"},
    ),
    ("a helper imported inside", {"steps.py": "def f():\n import helpers\n return helpers.g()", "helpers.py": G}),
    ("a name imported inside", {"steps.py": "def f():\n from helpers import g as h\n return h()", "helpers.py": G}),
    ("a name imported around", {"steps.py": "def f():\n from helpers import g\n return lambda: g()", "helpers.py": G}),
    ("a module imported in a class", {"steps.py": "class f:\n import helpers", "helpers.py": G}),
    ("a name imported in a class", {"steps.py": "class f:\n from helpers import g", "helpers.py": G}),
    ("a module that is passed on", {"steps.py": "import helpers\ndef f(): return x(helpers)", "helpers.py": G}),
    ("a module under a name", {"steps.py": "import helpers\nh = helpers\ndef f(): return h.g()", "helpers.py": G}),
    ("what such a module imports", {"steps.py": "import a\ndef f(): x(a)", "a.py": "import b", "b.py": G}),
    ("a package that is passed on", {"steps.py": "import p.a\ndef f(): x(p)", "p/__init__.py": "", "p/a.py": G}),
    ("what a module has under no name", {"steps.py": "import a\ndef f(): a.b()", "a.py": G}),
    ("a module named in a text", {"steps.py": "import importlib\ndef f(): importlib.import_module('a')", "a.py": G}),
    ("a module in a package", {"steps.py": "import p.a\ndef f(): return p.a.g()", "p/__init__.py": "", "p/a.py": G}),
    ("such a module by from", {"steps.py": "from p import a\ndef f(): return a.g()", "p/__init__.py": "", "p/a.py": G}),
    ("in a folder that is no package", {"steps.py": "from p import a\ndef f(): return a.g()", "p/a.py": G}),
    (
        "what a package hands on",
        {"steps.py": "from p import g\n" + F, "p/__init__.py": "from .a import g", "p/a.py": G},
    ),
    (
        "under another name",
        {"steps.py": "import p\ndef f(): p.h()", "p/__init__.py": "from .a import g as h", "p/a.py": G},
    ),
    ("by star", {"steps.py": "import p\ndef f(): p.g()", "p/__init__.py": "from .a import *", "p/a.py": G}),
    (
        "a module that a star may hand on",
        {"steps.py": "from p import *\ndef f(): a.g()", "p/__init__.py": "__all__ = ['a']", "p/a.py": G},
    ),
    ("what a star hands on", {"steps.py": "from a import *\n" + F, "a.py": "__all__ = ['g', 'h']\n" + G}, ", 'h'", ""),
    (
        "a package's own module",
        {
            "steps.py": "from p import g\n" + F,
            "p/__init__.py": "from .a import x\ndef g(): return a.h()",
            "p/a.py": "x = 0\ndef h(): return 1",
        },
    ),
    (
        "from above",
        {
            "steps.py": "from p.q.a import f",
            "p/__init__.py": "",
            "p/b.py": G,
            "p/q/__init__.py": "",
            "p/q/a.py": "from ..b import g\n" + F,
        },
    ),
    (
        "modules in a circle",
        {"steps.py": "import a\ndef f(): a.g()\ndef h(): return 1", "a.py": "import steps\ndef g(): steps.h()"},
    ),
    ("names in a circle", {"steps.py": "from a import g\n" + F, "a.py": "from steps import g\nprint(1)\n"}),
    (
        "either of two imports",
        {"steps.py": "try:\n from a import g\nexcept E:\n from b import g\n" + F, "a.py": "def g(): ...", "b.py": G},
    ),
    ("a call on import of a module", {"steps.py": "import a\ndef f(): ...", "a.py": "print(1)"}),
    ("of its package", {"steps.py": "import p.a\ndef f(): ...", "p/__init__.py": "print(1)", "p/a.py": ""}),
    ("of one imported inside", {"steps.py": "def f(): import a", "a.py": "print(1)"}),
    ("of one imported for a type", {"steps.py": "import a\ndef f(x: a.T): ...", "a.py": "print(1)\nclass T: ..."}),
    (
        "what is registered elsewhere",
        {
            "steps.py": "import r, a\ndef f(): return r.ALL",
            "r.py": "ALL = []\ndef add(g): ALL.append(g)",
            "a.py": "import r\n@r.add\ndef g(): return 1",
        },
    ),
    ("a module imported by a loop", {"steps.py": "for x in y: import a\ndef f(): a.g()", "a.py": G}),
    ("a module imported as a global name", {"steps.py": "def f():\n global a\n import a", "a.py": G}),
    (
        "a package that loads when asked",
        {
            "steps.py": "import p\ndef f(): p.g()",
            "p/__init__.py": "import importlib\nMAP = {'g': '.a'}\n"
            "def __getattr__(n): return importlib.import_module(MAP[n], __name__)",
            "p/a.py": G,
        },
    ),
    ("when a list is emptied", "C = []\nC.append(1)\ndef f(): return C", "C = []\nC.append(1)", "C.append(1)\nC = []"),
    ("anything, of a star of importlib", "from importlib import *\ndef f(x): return import_module(x)\n" + G),
    ("a name in a text that its module makes", {"steps.py": "def f(): return 'a.g'", "a.py": "globals()['g'] = 1"}),
    ("a name in a text", {"steps.py": "def f(): return 'a.g'", "a.py": G}),
    (
        "a package whose resource is read",
        {"steps.py": "from importlib.resources import files\ndef f(): return files('p')", "p/__init__.py": "print(1)"},
    ),
    (
        "a method with an attribute of a class for a decorator",
        "class R:\n def add(g): ...\n@R.add\n" + G + "def f(): return R",
    ),
]

# Code that does not count: as above, the default replacement is 3 by 4.
IGNORED: list[Row] = [
    ("comments", "def f():\n return 1  # one", "# one", "# two"),
    ("layout", "def f(): return g(1, 2)", "g(1, 2)", "(g(\n  1,\n\n  2,\n ))"),
    ("quotes", "def f(): return 'a'", "'a'", '"a"'),
    ("the docstring of a module of which only names are used", "'''1'''\ndef f(): return 2", "1", "3"),
    ("another function", F + G + "def h(): return 3"),
    ("another constant", F + G + "H = 3"),
    ("another class", F + G + "class H: x = 3"),
    ("a function more", F + G, G, G + "def h(): return 3\n"),
    ("a constant more, before", F + G, G, "H = 3\n" + G),
    ("the order of functions", F + G, F + G, G + F),
    ("what it is as a program", F + G + "if __name__ == '__main__':\n print(3)"),
    ("an argument of the same name", "def f(g): return g\n" + G, "1", "2"),
    ("arguments of all kinds", "def f(a, /, b, *c, d, **e): return a, b, c, d, e\na = b = c = d = e = 1", "1", "2"),
    ("a variable of the same name", "def f():\n g = 3\n return g\n" + G, "1", "2"),
    (
        "one bound by with, for, except, import, match or :=",
        "def f(x):\n with x as a: ...\n for b in x: ...\n try: ...\n except x as c: ...\n import math as d\n"
        " match x:\n  case [e, *g] as h: ...\n  case {'key': i, **j}: ...\n (k := x)\n"
        " return a, b, c, d, e, g, h, i, j, k\na = b = c = d = e = g = h = i = j = k = 1",
        "1",
        "2",
    ),
    ("a name of the function around", "def f(g): return lambda: g\n" + G, "1", "2"),
    ("an inner function of the same name", "def f():\n def g(): ...\n return g()\n" + G, "1", "2"),
    (
        "a name in a comprehension",
        "def f(x): return [g for g in x if g], {h: i for h, i in x}\nh = i = 1\n" + G,
        "1",
        "2",
    ),
    ("an argument of a lambda", "def f(): return lambda g: g\n" + G, "1", "2"),
    ("an attribute of the same name", "def f(x): return x.g()\n" + G, "1", "2"),
    ("an argument by keyword", "def f(x): return x(g=3)\n" + G, "1", "2"),
    (
        "a module in a package whose resource is read",
        {
            "steps.py": "from importlib import resources\nimport pkgutil\n"
            "def f(): return resources.files('p'), pkgutil.get_data('p', 'a')\ndef h(): return 3",
            "p/__init__.py": "def g(): return 3",
            "p/b.py": "x = 3",
        },
    ),
    ("the name of a file", {"steps.py": "def f(): return 'a.log'", "a.py": "x = 3\ndef g(): return 3"}),
    ("another method of the same name", F + G + "class C:\n def g(self): return 3"),
    ("an import that it does not use", "import os\n" + F + G, "import os", "import sys"),
    (
        "another function of a helper",
        {"steps.py": "import helpers\ndef f(): helpers.g()", "helpers.py": G + "def h(): return 3"},
    ),
    ("of one imported by name", {"steps.py": "from helpers import g\n" + F, "helpers.py": G + "def h(): return 3"}),
    ("of one imported by star", {"steps.py": "from helpers import *\n" + F, "helpers.py": G + "def h(): return 3"}),
    (
        "of one in a package",
        {
            "steps.py": "import p\ndef f(): p.g()",
            "p/__init__.py": "from .a import g",
            "p/a.py": G + "def h(): return 3",
        },
    ),
    (
        "of one with the name of its module",
        {
            "steps.py": "import p\ndef f(): p.g()",
            "p/__init__.py": "from .g import g",
            "p/g.py": G + "def h(): return 3",
        },
    ),
    (
        "of one imported inside",
        {"steps.py": "def f():\n import helpers as h\n h.g()", "helpers.py": G + "def h(): return 3"},
    ),
    ("a module that nothing imports", {"steps.py": F + G, "helpers.py": "print(3)"}),
    ("one imported by another function", {"steps.py": F + G + "def h(): import helpers", "helpers.py": "print(3)"}),
    (
        "a function with a decorator that keeps nothing",
        "import logging, functools\nlog = logging.getLogger('x')\nN = 3\ndef d(g):\n @functools.wraps(g)\n"
        " def h(): return g(log.info(N))\n return h\n@d\ndef f(): ...\n@d\ndef g(): return 1",
        "1",
        "2",
    ),
    ("a function with an installed decorator", "import functools\n@functools.cache\n" + G + "def f(): ...", "1", "2"),
    ("a class with a plain base", "class B: x: int = 3\nclass C(B): x = 1\ndef f(): return B", "1", "2"),
]


def replace_in(files: Files | str, old: str, new: str) -> Files | str:
    texts = [files] if isinstance(files, str) else [*files.values()]
    assert any(old in text for text in texts)
    return files.replace(old, new) if isinstance(files, str) else {n: t.replace(old, new) for n, t in files.items()}


@pytest.mark.parametrize("row", COUNTED, ids=[row[0] for row in COUNTED])
def test_reached_code_changes_the_fingerprint(trial: Trial, row: Row) -> None:
    files, old, new = (*row[1:], "1", "2")[:3]
    assert trial.fingerprint_of(files) != trial.fingerprint_of(replace_in(files, old, new))
    assert trial.fingerprint_of(files) == trial.fingerprint_of(files)


@pytest.mark.parametrize("row", IGNORED, ids=[row[0] for row in IGNORED])
def test_other_changes_leave_the_fingerprint_as_it_is(trial: Trial, row: Row) -> None:
    files, old, new = (*row[1:], "3", "4")[:3]
    assert trial.fingerprint_of(files) == trial.fingerprint_of(replace_in(files, old, new))


def test_digests_are_keyed_by_module_and_name(trial: Trial) -> None:
    files = {
        "steps.py": "import helpers, other, p.a\nLIMIT = 1\nprint(1)\n"
        "def f(): return helpers.g(LIMIT), p.a.C().m(), x(other)\n",
        "helpers.py": G,
        "other.py": "import deep\n",
        "deep.py": G,
        "p/__init__.py": "",
        "p/a.py": "class C: ...",
    }
    found = trial.fingerprint_of(files)
    assert list(found) == ["deep:*", "helpers:g", "other:*", "p.a:C", "steps:LIMIT", "steps:f", "steps:import"]
    assert all(re.fullmatch("[0-9a-f]{32}", digest) for digest in found.values())
    assert found == trial.fingerprint_of(files)


def test_circular_imports_and_names_end(trial: Trial) -> None:
    files = {
        "steps.py": "from p import *\nfrom steps import *\nfrom p import g\nimport steps\n"
        "def f(): return g(), p.a.g(), steps.f\n",
        "p/__init__.py": "from . import a\nfrom .a import g, h\n",
        "p/a.py": "from p import a, g as h\nfrom p.a import *\nfrom p import h as g\nN = a.N\n",
    }
    assert {"steps:f"} <= {*trial.fingerprint_of(files)}
    assert trial.fingerprint_of(files, "N", "p.a") == trial.fingerprint_of(files, "a.a.a.N", "p.a")


def test_a_method_counts_as_its_class(trial: Trial) -> None:
    assert list(trial.fingerprint_of("class C:\n    def m(self): return g()\n\n" + G, "C.m")) == ["steps:C", "steps:g"]


def test_a_change_shows_in_the_digest_of_its_definition(trial: Trial) -> None:
    files = {"steps.py": "import helpers\ndef f(): return helpers.g()\n", "helpers.py": G}
    before, after = trial.fingerprint_of(files), trial.fingerprint_of(replace_in(files, "1", "2"))
    assert {name for name in after if after[name] != before[name]} == {"helpers:g"}


def test_a_function_that_is_not_found_counts_as_the_whole_module(trial: Trial) -> None:
    assert list(trial.fingerprint_of("def g(): return 1\n")) == ["steps:*"]
    assert trial.fingerprint_of("", module="no_such_module") == {}


def test_installed_modules_do_not_count(trial: Trial) -> None:
    imports = "import ast, sys, pytest, os.path, no_such_module"
    text = f"{imports}\ndef f(): ast.parse(''), sys.argv, pytest.x, os.path.join, os, no_such_module.x\n"
    assert list(trial.fingerprint_of(text)) == ["steps:f"]
    assert trial.fingerprint_of("", "join", "os.path") == {}


@pytest.mark.parametrize("text", ["def f(:", "def f(): '", "\0", "# coding: no-such-coding", "x = " + "(" * 300])
def test_a_module_that_cannot_be_parsed(trial: Trial, text: str) -> None:
    assert trial.fingerprint_of(text) == {"steps:*": "unreadable"}
    assert trial.fingerprint_of({"steps.py": "import a\ndef f(): a.g()\n", "a.py": text})["a:*"] == "unreadable"


def test_a_module_that_cannot_be_read(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_bytes(path: Path) -> bytes:
        raise PermissionError(13, "no")

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert trial.fingerprint_of(F + G) == {"steps:*": "unreadable"}


def test_an_extension_counts_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text("import fast\ndef f(): return fast.g()\n")
    path = tmp_path / f"fast{EXTENSION_SUFFIXES[0]}"
    path.write_bytes(b"of no platform")
    found = Fingerprints(tmp_path).of("steps", "f")
    assert {name: digest for name, digest in found.items() if name != "steps:f"} == {"fast:*": file_checksum(path)}


def test_a_project_inside_site_packages_is_still_a_project(tmp_path: Path) -> None:
    folder = tmp_path / "site-packages" / "pipeline"
    folder.mkdir(parents=True)
    (folder / "steps.py").write_text("import beside\n" + F + G)
    assert list(Fingerprints(folder).of("steps", "f")) == ["steps:f", "steps:g"]


def test_installed_packages_are_recognized_by_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package_folders = [tmp_path / name for name in ("site-packages", "dist-packages", "elsewhere")]
    for package_folder in package_folders:
        package_folder.mkdir()
        (package_folder / f"made_up_{package_folder.name.partition('-')[0]}.py").write_text(G)
        monkeypatch.syspath_prepend(str(package_folder))
    folder = tmp_path / "project"
    folder.mkdir()
    calls = [f"made_up_{name}.g()" for name in ("site", "dist", "elsewhere")]
    imports = "import made_up_site, made_up_dist, made_up_elsewhere"
    (folder / "steps.py").write_text(f"{imports}\ndef f(): return {', '.join(calls)}\n")
    assert list(Fingerprints(folder).of("steps", "f")) == ["made_up_elsewhere:g", "steps:f"]


PLUGIN = {"plug/__init__.py": "", "plug/a.py": "def run(): return 1\n", "other.py": "def run(): return 7\n"}
LOADED = {
    "by a format": "from importlib import import_module\ndef f(n): return import_module(f'plug.{n}').run()",
    "by a sum": "import importlib\ndef f(n): return importlib.import_module('plug.' + n + '').run()",
    "by %": "import importlib as i\ndef f(n): return i.import_module('plug.%s' % n).run()",
    "by .format": "import importlib\ndef f(n): return importlib.import_module('plug.{}'.format(n)).run()",
    "by a list": "def f(n): return __import__('plug', fromlist=[n])",
    "within": "def f(n):\n from importlib import import_module as i\n return i(f'plug.{n}').run()",
    "through another": "def g(n): return __import__(f'plug.{n}')\ndef f(n): return g(n)",
    "by a name": "from importlib import import_module\nP = 'plug.'\ndef f(n): return import_module(P + n).run()",
    "under another name": "from importlib import import_module as i\ndef f(n): return i(f'plug.{n}').run()",
    "as a value": "from importlib import import_module\ndef f(n): return map(import_module, n)",
    "what is found": "import pkgutil, plug\ndef f(n): return [*pkgutil.iter_modules(plug.__path__)]",
    "a file": "from importlib.util import spec_from_file_location\ndef f(n): return spec_from_file_location('x', n)",
    "a file that runs": "import runpy\ndef f(n): return runpy.run_path('plug/a.py')",
    "one that runs, within": "def f(n):\n import runpy as r\n return r.run_path('plug/a.py')",
    "its text": "def f(n): exec(open(n).read())",
}


@pytest.mark.parametrize("text", LOADED.values(), ids=LOADED)
def test_modules_that_may_be_loaded_by_a_computed_name_count(trial: Trial, text: str) -> None:
    files = {"steps.py": text, **PLUGIN}
    before = trial.fingerprint_of(files)
    assert before == trial.fingerprint_of({**files, "plug/a.py": f"# the same\n{PLUGIN['plug/a.py']}"})
    assert before != trial.fingerprint_of({**files, "plug/a.py": "def run(): return 2\n"})
    assert before != trial.fingerprint_of({**files, "plug/b.py": ""}), "one more"
    assert before != trial.fingerprint_of({**files, "plug/deep/b.py": ""})
    assert before != trial.fingerprint_of({**files, "other.py": "def run(): return 8\n"}), "it may be any module"
    assert before != trial.fingerprint_of({**files, "odd-one/x.y.py": "1"})
    odd = [trial.fingerprint_of({**files, "odd-one/x.y.py": text}) for text in ("1", "2")]
    assert odd[0] != odd[1], "which may be run by its path"
    for ignored in (".hidden/x.py", "node_modules/x.py", "plug/__pycache__/x.py", "plug/data.txt"):
        assert before == trial.fingerprint_of({**files, ignored: "1"})
    assert before == trial.fingerprint_of({**files, "env/pyvenv.cfg": "", "env/lib/x.py": ""})


@pytest.mark.parametrize(
    "text",
    [
        "import importlib\ndef f(): return importlib.import_module('plug.a').run()",
        "import importlib\ndef f(): return importlib.import_module('.a', __package__)",
        "def f(): return __import__('plug.a', fromlist=['run'])",
        "import importlib.metadata\ndef f(): return importlib.metadata.version('x')",
        "from importlib import resources\ndef f(): return resources.files('x')",
    ],
)
def test_a_literal_module_name_does_not_make_other_modules_count(trial: Trial, text: str) -> None:
    files = {"steps.py": text, **PLUGIN}
    assert trial.fingerprint_of(files) == trial.fingerprint_of(
        {**files, "other.py": "def run(): return 8\n", "more.py": ""}
    )


def test_modules_of_the_own_package_loaded_by_a_computed_name_count(trial: Trial) -> None:
    text = "from importlib import import_module\ndef f(n): return import_module(f'.{n}', __package__)"
    files = {"p/steps.py": text, "p/__init__.py": "", "p/a.py": G, "b.py": G}
    before = trial.fingerprint_of(files, module="p.steps")
    assert before != trial.fingerprint_of(replace_in(files, "return 1", "return 2"), module="p.steps")
    for other in (text.replace("__package__", "n"), text.replace("f'.{n}'", "'..b'")):
        files["p/steps.py"] = other
        assert trial.fingerprint_of(files, module="p.steps") != trial.fingerprint_of(
            {**files, "b.py": ""}, module="p.steps"
        )


def test_modules_added_to_and_removed_from_a_package_are_noticed(trial: Trial) -> None:
    trial.fingerprint_of({"steps.py": LOADED["by a format"], **PLUGIN})
    folder = trial.path / "1"
    fingerprints = Fingerprints(folder)
    fingerprints.of("steps", "f")
    assert fingerprints.is_current("steps", "f")
    (folder / "plug" / "new.py").write_text("")
    fingerprints.refresh()
    assert not fingerprints.is_current("steps", "f")
    (folder / "plug" / "new.py").unlink()
    fingerprints.refresh()
    assert fingerprints.is_current("steps", "f")


def test_beyond_the_limit_of_modules_fingerprints_never_match(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"steps.py": LOADED["by a format"], **PLUGIN}
    assert trial.fingerprint_of(files) == trial.fingerprint_of(files)
    for limit in ("_MANY", "_ENTRIES"):
        with monkeypatch.context() as patch:
            patch.setattr(f"nfrun.code.module_index.{limit}", 1)
            assert trial.fingerprint_of(files) != trial.fingerprint_of(files)


ADDED = {
    "a module": ("import a\ndef f(): a.g()", "a.py"),
    "one that hides an installed one": ("import json\ndef f(): json.g()", "json.py"),
    "one in a package": ("try:\n from p.a import g\nexcept ImportError: ...\ndef f(): return g()", "p/a.py"),
    "one imported inside": ("def f():\n from p import a\n return a.g()", "p/a.py"),
    "a package in the place of a module": ("from b import g\ndef f(): return g()", "b/__init__.py"),
    "what makes a folder a package": ("import q.c\ndef f(): return q.c.g()", "q/__init__.py"),
    "a folder": ("try:\n import r.a\nexcept ImportError: ...\ndef f(): r.a.g()", "r/a.py"),
}


@pytest.mark.parametrize(("text", "name"), ADDED.values(), ids=ADDED)
def test_added_and_removed_modules_are_noticed(tmp_path: Path, text: str, name: str) -> None:
    files = {"steps.py": text, "p/__init__.py": "", "b.py": G, "q/c.py": G, "unasked.py": G}
    for file, content in files.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(content)
    fingerprints = Fingerprints(tmp_path)
    fingerprints.of("steps", "f")
    (tmp_path / "unasked.py").write_text("")
    (tmp_path / "never.py").write_text("")
    assert fingerprints.is_current("steps", "f")
    path = tmp_path / name
    new_folder = not path.parent.exists()
    path.parent.mkdir(exist_ok=True)
    path.write_text(G)
    assert fingerprints.is_current("steps", "f"), "nobody has looked again"
    fingerprints.refresh()
    assert not fingerprints.is_current("steps", "f")
    path.unlink()
    if new_folder or name == "b/__init__.py":
        path.parent.rmdir()
    fingerprints.refresh()
    assert fingerprints.is_current("steps", "f")


def test_an_empty_init_file_is_checked_for_changes_too(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "__init__.py").write_text("")
    (tmp_path / "p" / "a.py").write_text(G)
    (tmp_path / "steps.py").write_text("from p.a import g\n" + F)
    fingerprints = Fingerprints(tmp_path)
    assert list(fingerprints.of("steps", "f")) == ["p.a:g", "steps:f"]
    (tmp_path / "p" / "__init__.py").write_text("print(1)")
    fingerprints.refresh()
    assert not fingerprints.is_current("steps", "f")


def test_nothing_is_imported(trial: Trial) -> None:
    before = set(sys.modules)
    trial.fingerprint_of(
        {"steps.py": "import not_to_be_imported as a\n1 / 0\ndef f(): a.g()\n", "not_to_be_imported.py": G}
    )
    assert set(sys.modules) == before


def test_each_module_is_read_once_and_only_if_it_is_reached(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    (trial.path / "steps.py").write_text("import a\n" + "".join(f"def f{i}(): return a.g()\n" for i in range(50)))
    (trial.path / "a.py").write_text(G)
    (trial.path / "b.py").write_text(G)
    read: list[str] = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (read.append(path.name), real(path))[1])
    fingerprints = Fingerprints(trial.path)
    for i in range(50):
        assert list(fingerprints.of("steps", f"f{i}")) == ["a:g", f"steps:f{i}"]
    assert sorted(read) == ["a.py", "steps.py"]


@pytest.mark.parametrize(
    "deep",
    ["1" + " + 1" * 400, "1" + " + 1" * 20000, "(" * 90 + "1" + ")" * 90, "x1" + ".b" * 700, "lambda: " * 90 + "1"],
    ids=["sums", "longer sums", "brackets", "attributes", "functions"],
)
def test_code_that_is_nested_deeply(trial: Trial, deep: str) -> None:
    files = {"steps.py": f"from a import g\ndef f(): return g({deep})\n", "a.py": G}
    before = trial.fingerprint_of(files)
    assert before == trial.fingerprint_of(files)
    assert before != trial.fingerprint_of({**files, "steps.py": files["steps.py"].replace("1", "2")})


def test_a_module_too_deep_to_parse_counts_by_its_text(trial: Trial) -> None:
    text = f"import a\nx = 1{' + 1' * 20000}\ndef f(): return a.g()\n"
    assert trial.fingerprint_of(text)["steps:*"] == text_checksum(text)


def test_long_chains_of_branches(trial: Trial) -> None:
    text = "if x == 0: A = 0\n" + "".join(f"elif x == {i}: A = {i}\n" for i in range(1, 90)) + "def f(): return A\n"
    assert list(trial.fingerprint_of(text)) == ["steps:A", "steps:f", "steps:import"]


def test_the_statements_that_a_function_reaches_are_given_with_their_trees(trial: Trial) -> None:
    files = {
        "steps.py": "import helpers, p.a, r, other\nA = 1\nprint(1)\nfor x in []: A = x\n@r.add\ndef g(): ...\n"
        "def f(): return helpers.g(A), x, p.a\ndef unused(): return other\n",
        "helpers.py": G + "def unused(): ...\n",
        "other.py": G,
        "p/__init__.py": "",
        "p/a.py": "'''1'''\nimport deep\nB = C = 1\nclass D: ...\nB.x = 1\n",
        "deep.py": "",
        "r.py": "ALL = []\ndef add(g): ALL.append(g)",
    }
    trial.fingerprint_of(files)
    fingerprints = Fingerprints(trial.path / "1")
    found = fingerprints.source.statements("steps", "f")
    assert [(module, definition.body.lineno) for group in found for module, definition in group] == [
        ("helpers", 1),
        ("p.a", 1),
        ("p.a", 3),
        ("p.a", 4),
        ("p.a", 5),
        ("r", 1),
        ("r", 2),
        ("steps", 2),
        ("steps", 3),
        ("steps", 4),
        ("steps", 6),
        ("steps", 7),
    ]
    assert all(again is group for again, group in zip(fingerprints.source.statements("steps", "f"), found, strict=True))
    assert fingerprints.source.file_of("p.a") == trial.path / "1" / "p" / "a.py"
    assert fingerprints.source.file_of("json") is fingerprints.source.file_of("no_such_module") is None
    symbols = fingerprints.source.symbols_of("p.a")
    assert symbols is not None
    assert [*symbols.imports] == ["deep"]
    assert fingerprints.source.symbols_of("json") is None
    assert fingerprints.source.statements("json", "loads") == []


def test_what_many_functions_reach_is_read_and_grouped_once(trial: Trial) -> None:
    files = {
        "steps.py": "import pickle, helpers\n"
        "def f(): return pickle.load(x), helpers.g()\ndef h(): return pickle.load(y), helpers.g()\n",
        "helpers.py": G,
    }
    assert [name for name in trial.fingerprint_of(files) if name.startswith("helpers")] == ["helpers:*"]
    fingerprints = Fingerprints(trial.path / "1")
    first, second = (fingerprints.source.statements("steps", name)[0] for name in "fh")
    assert first[0].module == "helpers"
    assert first is second


def test_reading_the_statements_parses_no_file_again(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.fingerprint_of(F + G)
    fingerprints = Fingerprints(trial.path / "1")
    fingerprints.of("steps", "f")
    monkeypatch.setattr(Path, "read_bytes", None)
    assert [piece.definition.at for group in fingerprints.source.statements("steps", "f") for piece in group] == [1, 2]
