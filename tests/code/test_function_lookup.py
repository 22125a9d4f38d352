"""The lookup of functions in the source of their module, which runs no code of the module."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import pytest

from nfrun.code.function_lookup import FunctionLookup, LookupResult
from nfrun.code.module_finder import find_module
from nfrun.code.signatures import Signature


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def find_function(folder: Path, source: str, function: str = "f") -> LookupResult:
    # a new folder each time: Python caches the contents of a folder for a moment
    subfolder = folder / f"m{len(list(folder.iterdir()))}"
    subfolder.mkdir()
    (subfolder / "steps.py").write_text(source, encoding="utf-8")
    return FunctionLookup(subfolder).find("steps", function)


@pytest.mark.parametrize(
    ("source", "signature"),
    [
        ("def f(): ...", Signature("steps.py:1", (), ())),
        ("\n\ndef f(a, b=1): ...", Signature("steps.py:3", ("a", "b"), ("a",))),
        ("def f(a, *, b, c=2): ...", Signature("steps.py:1", ("a", "b", "c"), ("a", "b"))),
        ("def f(a, b=1, /, c=2): ...", Signature("steps.py:1", ("c",), (), ("a",))),
        ("def f(a, *rest, b): ...", Signature("steps.py:1", ("a", "b"), ("a", "b"))),
        ("def f(a, **rest): ...", Signature("steps.py:1", ("a",), ("a",), takes_kwargs=True)),
        ("async def f(a): ...", Signature("steps.py:1", ("a",), ("a",), is_async=True)),
        (
            "def f(a: 'list[str]', b: x.Y = 1): ...",
            Signature("steps.py:1", ("a", "b"), ("a",), annotations={"a": "'list[str]'", "b": "x.Y"}),
        ),
        ("def f(a):\n    if a: return\n    b: int = a", Signature("steps.py:1", ("a",), ("a",))),
        ("def f(a):\n    global b\n    b = a", Signature("steps.py:1", ("a",), ("a",))),
        ("def f(a):\n    a.b = a[0] = 1", Signature("steps.py:1", ("a",), ("a",))),
        ("def f(a):\n    b = yield a", Signature("steps.py:1", ("a",), ("a",))),
        ("if True:\n    def f(a): ...", Signature("steps.py:2", ("a",), ("a",))),
        ("try:\n    def f(a): ...\nfinally:\n    pass", Signature("steps.py:2", ("a",), ("a",))),
        ("def other():\n    def f(x): ...\ndef f(a): ...", Signature("steps.py:3", ("a",), ("a",))),
        ("class C:\n    def f(self): ...\ndef f(a): ...", Signature("steps.py:3", ("a",), ("a",))),
    ],
)
def test_the_signature_of_a_function(folder: Path, source: str, signature: Signature) -> None:
    found = find_function(folder, source)
    assert (found.message, found.signature) == ("", signature)


@pytest.mark.parametrize(
    "source",
    [
        "@decorated\ndef f(a): ...",
        "def f(a): ...\ndef f(b): ...",
        "try:\n    import x\n    def f(a): ...\nexcept ImportError:\n    def f(b): ...",
        "while 1:\n    match 1:\n        case 1:\n            def f(a): ...",
        "f = lambda a: a",
        "f: object = print",
        "(f, g) = 1, 2",
        "class f: ...",
        "import f",
        "import f.g",
        "from x import f",
        "from x import y as f",
        "from x import *",
        "def __getattr__(name): ...",
        "for f in (): ...",
        "with open('x') as f: ...",
        "if (f := 1): ...",
        "globals()['f'] = print",
        "exec('def f(): ...')",
        "if 1:\n    vars().update(f=print)",
    ],
)
def test_names_that_only_the_run_can_resolve_are_no_problem(folder: Path, source: str) -> None:
    found = find_function(folder, source)
    assert (found.message, found.signature) == ("", None)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def extract(): ...", LookupResult("steps.py has no function 'extrat'", "did you mean 'extract'?")),
        ("Extrat_ = 1", LookupResult("steps.py has no function 'extrat'", "did you mean 'Extrat_'?")),
        (
            "def one(): ...\nTWO = 2\ndef _three(): ...",
            LookupResult("steps.py has no function 'extrat'", "there is one, TWO"),
        ),
        ("", LookupResult("steps.py has no function 'extrat'")),
        ("import json, extract\ndef f(): ...", LookupResult("steps.py has no function 'extrat'", "there is f")),
        ("def f():\n    def extrat(): ...", LookupResult("steps.py has no function 'extrat'", "there is f")),
        ("class C:\n    def extrat(self): ...", LookupResult("steps.py has no function 'extrat'", "there is C")),
    ],
)
def test_no_such_function(folder: Path, source: str, found: LookupResult) -> None:
    assert find_function(folder, source, "extrat") == found


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("def f(:\n", "steps.py:1:7: "),
        ("x = 1\ndef f(a, a): ...\n", "steps.py:2:"),
        ("return 3\n", "steps.py:1:1: "),
        ("x = '\0'\n", "steps.py"),
        ("# coding: nonsense\n", "steps.py: unknown encoding: nonsense"),
    ],
)
def test_a_module_that_cannot_be_read_is_reported_once(folder: Path, source: str, problem: str) -> None:
    (folder / "steps.py").write_text(source)
    lookup = FunctionLookup(folder)
    first = lookup.find("steps", "f")
    assert first.message.startswith(problem)  # the rest is Python's message, which differs between versions
    assert str(folder) not in first.message
    assert first.hint == "the module 'steps' cannot be read"
    assert lookup.find("steps", "f") == lookup.find("steps", "g") == LookupResult()


def test_a_module_that_is_not_utf_8(folder: Path) -> None:
    (folder / "steps.py").write_bytes(b"def f(): return '\xff'\n")
    message = FunctionLookup(folder).find("steps", "f").message
    assert message.startswith("steps.py:1") and "codec can't decode byte 0xff" in message


def test_a_deeply_nested_module(folder: Path) -> None:
    (folder / "steps.py").write_text("x = " + "(" * 5000 + ")" * 5000)
    assert "steps" in FunctionLookup(folder).find("steps", "f").message


def test_invalid_escapes_cause_no_warning(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find_function(folder, "def f(): return '\\d'").signature


@pytest.fixture
def packages(folder: Path) -> Path:
    """Modules that create a file and fail when they are imported."""
    for name in ("pkg", "pkg/inner", "bare", "empty"):
        (folder / name).mkdir()
    trap = "open('imported', 'w').close()\nraise RuntimeError\n"
    (folder / "pkg" / "__init__.py").write_text(trap + "def top(table): ...\n")
    (folder / "pkg" / "inner" / "__init__.py").write_text(trap)
    (folder / "pkg" / "inner" / "deep.py").write_text(trap + "def f(table): ...\n")
    (folder / "pkg" / "steps.py").write_text(trap + "def f(table): ...\n")
    (folder / "bare" / "load.py").write_text(trap + "def f(): ...\n")
    (folder / "steps.py").write_text(trap + "def f(table): ...\n")
    return folder


@pytest.mark.parametrize(
    ("module", "where"),
    [
        ("steps", "steps.py:3"),
        ("pkg.steps", "pkg/steps.py:3"),
        ("pkg.inner.deep", "pkg/inner/deep.py:3"),
        ("bare.load", "bare/load.py:3"),
    ],
)
def test_modules_are_found_and_nothing_is_imported(packages: Path, module: str, where: str) -> None:
    top = module.split(".")[0]
    before = sys.modules.get(top)  # another test may have imported a module of that name
    found = FunctionLookup(packages).find(module, "f")
    assert found.signature and found.signature.where == where
    assert not (packages / "imported").exists()
    assert sys.modules.get(top) is before
    assert str(packages) not in sys.path


@pytest.mark.parametrize(
    ("module", "found"),
    [
        ("stesp", LookupResult("there is no module 'stesp'", "did you mean 'steps'?")),
        ("pgk", LookupResult("there is no module 'pgk'", "did you mean 'pkg'?")),
        ("pkg.stesp", LookupResult("there is no module 'pkg.stesp'", "did you mean 'pkg.steps'?")),
        ("pkg.zzzzzz", LookupResult("there is no module 'pkg.zzzzzz'")),
        ("steps.py", LookupResult("there is no module 'steps.py'", "did you mean 'steps'?")),
        ("bare.laod", LookupResult("there is no module 'bare.laod'", "did you mean 'bare.load'?")),
        (
            "qqq.a",
            LookupResult(
                "there is no module 'qqq.a'",
                "there is no qqq.py beside the pipeline file, and no such module is installed",
            ),
        ),
        ("bare", LookupResult("'bare' is a folder without an __init__.py, and has no functions")),
    ],
)
def test_no_such_module(packages: Path, module: str, found: LookupResult) -> None:
    assert FunctionLookup(packages).find(module, "f") == found
    assert not (packages / "imported").exists()


def test_installed_modules(folder: Path) -> None:
    lookup = FunctionLookup(folder)
    for module, function in (("sys", "exit"), ("math", "sqrt"), ("pyarrow", "table"), ("os", "getcwd")):
        assert lookup.find(module, function) == LookupResult()
    found = lookup.find("json", "dmup")
    assert (found.message, found.hint) == ("json/__init__.py has no function 'dmup'", "did you mean 'dump'?")


def test_modules_in_the_folder_come_before_installed_ones(folder: Path) -> None:
    (folder / "pytest.py").write_text("def main(table): ...\n")
    found = FunctionLookup(folder).find("pytest", "main")
    assert found.signature and found.signature.where == "pytest.py:1"


@pytest.mark.parametrize("name", ["json", "random", "duckdb", "rich"])
def test_a_file_with_the_name_of_an_imported_module_is_reported(folder: Path, name: str) -> None:
    """The import in the run would find the other module."""
    (folder / f"{name}.py").write_text("def dumps(table): ...\n")
    found = FunctionLookup(folder).find(name, "dumps")
    what = f"the module '{name}' beside the pipeline file has the name of one that is in use already"
    assert (found.message, found.hint) == (what, "rename the file")


def test_standard_modules_are_found_unless_a_file_hides_them(folder: Path) -> None:
    assert FunctionLookup(folder).find("json", "dumps").message == ""


def test_modules_of_other_import_finders_are_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example editable installs."""
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "mine.py").write_text("def f(table): ...\n")

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object, target: object = None) -> object:
            return find_module(name, folder / "elsewhere") if name == "mine" and path is None else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    found = FunctionLookup(folder).find("mine", "f")
    assert found.signature and found.signature.names == ("table",)


def test_a_module_in_nested_namespace_packages_is_found(folder: Path) -> None:
    (folder / "made_up" / "inner").mkdir(parents=True)
    (folder / "made_up" / "inner" / "steps.py").write_text("def f(table): ...\n")
    found = FunctionLookup(folder).find("made_up.inner.steps", "f")
    assert found.signature and found.signature.where == "made_up/inner/steps.py:1"
    assert FunctionLookup(folder).find("made_up.inner", "f").message.startswith("'made_up.inner' is a folder without")


def test_each_module_is_read_once(folder: Path) -> None:
    (folder / "steps.py").write_text("def f(a): ...\n")
    lookup = FunctionLookup(folder)
    assert lookup.find("steps", "f").signature
    (folder / "steps.py").write_text("def g(b): ...\n")
    assert lookup.find("steps", "f").signature
    assert lookup.find("steps", "g").message == "steps.py has no function 'g'"


CLASSES = {
    "class f:\n    def __call__(self, a): ...": ([], [], ["a"]),
    "class f:\n    def __init__(self, m, n=1): ...\n    async def __call__(self, a, /, b): ...": (
        ["m", "n"],
        ["m"],
        ["b"],
    ),
    "@dataclass\nclass f:\n    m: str\n    def __call__(self, a): ...": (None, None, ["a"]),
    "class f(object):\n    def __call__(self, a): ...": ([], [], ["a"]),
    "class f(x.B):\n    def __call__(self, a): ...": (None, None, ["a"]),
    "class f(x.B):\n    def __init__(self, m): ...": (["m"], ["m"], None),
    "class f: ...": ([], [], None),
}


@pytest.mark.parametrize("source", CLASSES)
def test_what_a_class_takes(folder: Path, source: str) -> None:
    class_ = find_function(folder, source).class_
    assert class_ is not None
    init, call = class_.init, class_.call
    found = (init and [*init.names], init and [*init.required], call and [*call.names])
    assert found == CLASSES[source]


def test_what_is_found_once_is_the_same_when_it_is_remembered(folder: Path) -> None:
    source = "@x\ndef f(a: str, /, b=1): ...\nclass C(f):\n    def __init__(self, m): ...\n"
    (folder / "steps.py").write_text(source)
    first = FunctionLookup(folder)
    found = [first.find("steps", name) for name in ("f", "C")]
    known = json.loads(json.dumps(first.known))
    again = FunctionLookup(folder, known=known)
    assert [again.find("steps", name) for name in ("f", "C")] == found
    assert found[0].likely is not None and found[0].signature is None


def test_a_function_that_a_decorator_may_change_has_a_likely_signature(folder: Path) -> None:
    likely = find_function(folder, "@retry(3)\ndef f(a: str): ...").likely
    assert likely is not None and likely.names == ("a",)
    assert find_function(folder, "def f(a): ...\ndef f(b): ...").likely is None
    assert find_function(folder, "from x import *\ndef f(a): ...").likely is not None


def test_what_a_module_imports_is_looked_up_where_it_is_defined(folder: Path) -> None:
    (folder / "pkg").mkdir()
    (folder / "pkg" / "__init__.py").write_text("from .inner import f, C as D\nfrom lost import g\nfrom pkg import h\n")
    (folder / "pkg" / "inner.py").write_text(
        "from .more import *\ndef f(a: str): ...\nclass C:\n    def __call__(self, b): ..."
    )
    (folder / "steps.py").write_text("from pkg import f as k, D, g, h\n")
    lookup = FunctionLookup(folder)
    found = lookup.defined("steps", "k")
    assert found.likely is not None and (found.likely.names, found.signature) == (("a",), None)
    class_ = lookup.defined("steps", "D").class_
    assert class_ is not None and class_.call is not None and class_.call.names == ("b",)
    assert lookup.defined("steps", "g") == lookup.defined("steps", "h") == LookupResult()
    assert lookup.find("steps", "k") == LookupResult()
