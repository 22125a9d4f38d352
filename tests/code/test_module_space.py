"""Tests of `ModuleSpace`: each has the project's modules for itself, and leaves this process as it was."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nfrun.code.module_space import ModuleSpace


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


def call(folder: Path, function: str = "f", *arguments: Any) -> Any:
    """Call a function of the module `steps` in a space of its own."""
    with ModuleSpace(folder) as space:
        return getattr(space.import_module("steps"), function)(*arguments)


def process_state(folder: Path) -> dict[str, Any]:
    return {
        "path": list(sys.path),
        "hooks": list(sys.path_hooks),
        "finders": list(sys.meta_path),
        "modules": set(sys.modules),
        "finders of the folder": [path for path in sys.path_importer_cache if path.startswith(str(folder))],
    }


@pytest.mark.parametrize(
    ("files", "result"),
    [
        ({"steps.py": "import helpers\ndef f(): return helpers.WORD", "helpers.py": "WORD = 1"}, 1),
        ({"steps.py": "from helpers import WORD as w\ndef f(): return w", "helpers.py": "WORD = 1"}, 1),
        ({"steps.py": "from helpers import *\ndef f(): return WORD", "helpers.py": "WORD = 1"}, 1),
        ({"steps.py": "def f():\n    import helpers\n    return helpers.WORD", "helpers.py": "WORD = 1"}, 1),
        ({"steps.py": "import a.b.c\ndef f(): return a.b.c.WORD", "a/b/c.py": "WORD = 1"}, 1),
        ({"steps.py": "import a.b as x\ndef f(): return x.WORD", "a/__init__.py": "", "a/b.py": "WORD = 1"}, 1),
        ({"steps.py": "from a import b\ndef f(): return b.WORD", "a/__init__.py": "", "a/b.py": "WORD = 1"}, 1),
        (
            {
                "steps.py": "from a.b import f",
                "a/__init__.py": "WORD = 1",
                "a/b.py": "from . import WORD\nfrom .c import MORE\ndef f(): return WORD + MORE",
                "a/c.py": "import helpers\nMORE = helpers.MORE",
                "helpers.py": "MORE = 2",
            },
            3,
        ),
        ({"steps.py": "import b\nWORD = 1\nf = b.f", "b.py": "import steps\ndef f(): return steps.WORD"}, 1),
        ({"steps.py": "import json.decoder\nfrom json import dumps\ndef f(): return dumps(json.loads('1'))"}, "1"),
        ({"steps.py": "import json\ndef f(): return json.dumps(1)", "json.py": "raise SystemExit"}, "1"),
        ({"steps.py": "def f(): exec('import b', m := {}); return m['b'].WORD", "b.py": "WORD = 1"}, 1),
        (
            {
                "steps.py": """
                    import importlib.util
                    from importlib import import_module
                    def f(): return import_module('a.b').WORD + importlib.import_module('.b', 'a').MORE
                """,
                "a/b.py": "WORD, MORE = 1, 2",
            },
            3,
        ),
        (
            {
                "steps.py": """
                    from __future__ import annotations
                    import pickle, typing
                    from dataclasses import dataclass, field
                    @dataclass
                    class Row:
                        n: int
                        words: typing.ClassVar[list[Row]] = []
                    def f():
                        return pickle.loads(pickle.dumps(Row(1))).n, list(typing.get_type_hints(Row)) == ['n', 'words']
                """
            },
            (1, True),
        ),
    ],
)  # fmt: skip
def test_a_project_imports_its_modules(tmp_path: Path, files: dict[str, str], result: object) -> None:
    before = process_state(tmp_path)
    assert call(write(tmp_path, files)) == result
    assert process_state(tmp_path) == {**before, "modules": before["modules"] | {"json.decoder"}}


def test_spaces_of_two_folders_do_not_share_modules(tmp_path: Path) -> None:
    """At the same time, each on a thread, with an import in the function."""
    steps = """
        import helpers
        from lib import deep
        def f(barrier):
            barrier.wait(10)
            from late import WORD
            return helpers.WORD, deep.WORD, WORD
    """
    names = ("one", "two")
    before, barrier, found = process_state(tmp_path), threading.Barrier(2), dict[str, Any]()
    for name in names:
        word = f"WORD = '{name}'"
        write(tmp_path / name, {"steps.py": steps, "helpers.py": word, "lib/deep.py": word, "late.py": word})

    def run(name: str) -> None:
        found[name] = call(tmp_path / name, "f", barrier)

    threads = [threading.Thread(target=run, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == {name: (name,) * 3 for name in names}
    assert process_state(tmp_path) == before


def test_modules_of_the_program_stay_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, project = tmp_path / "program", tmp_path / "project"
    write(program, {"helpers.py": "WORD = 'program'", "shared.py": "LIST = []"})
    write(project, {"helpers.py": "WORD = 'project'"})
    write(project, {"steps.py": "import helpers, shared\ndef f(): shared.LIST.append(1); return helpers.WORD"})
    monkeypatch.syspath_prepend(program)
    import helpers  # type: ignore[import-not-found]
    import shared  # type: ignore[import-not-found]

    try:
        assert call(project) == "project"
        assert (sys.modules["helpers"], helpers.WORD, shared.LIST) == (helpers, "program", [1])
    finally:
        del sys.modules["helpers"], sys.modules["shared"]


def test_each_space_imports_the_code_as_it_is_now(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path, {"steps.py": f"import helpers\ndef f(): return helpers.WORD, {number}"})
        write(tmp_path, {"helpers.py": f"WORD = {number}"})
        assert call(tmp_path) == (number, number)
    assert not list(tmp_path.rglob("__pycache__"))


def test_the_modules_of_a_space_are_imported_once(tmp_path: Path) -> None:
    write(tmp_path, {"steps.py": "import helpers\nhelpers.LIST.append(1)", "helpers.py": "LIST = []"})
    with ModuleSpace(tmp_path) as space:
        assert space.import_module("steps") is space.import_module("steps")
        assert space.import_module("helpers").LIST == [1]
    with ModuleSpace(tmp_path) as space:
        assert space.import_module("helpers").LIST == []


def test_a_module_that_is_missing_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"steps.py": "def f():\n    import no_such_module\n"})
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'no_such_module'$") as caught:
        call(tmp_path)
    frame = traceback.extract_tb(caught.value.__traceback__)[2]
    assert (frame.filename, frame.lineno, frame.line) == (str(tmp_path / "steps.py"), 2, "import no_such_module")


def test_a_folder_of_the_project_on_the_path_belongs_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"steps.py": "import inner_of_src\ndef f(): return inner_of_src.__name__"})
    write(tmp_path, {"src/inner_of_src.py": ""})
    monkeypatch.syspath_prepend(tmp_path / "src")
    assert call(tmp_path).startswith("nfrun_run_")
    assert "inner_of_src" not in sys.modules


@pytest.mark.parametrize(
    ("files", "text", "name"),
    [
        (
            {"steps.py": "from . import helpers", "helpers.py": ""},
            "attempted relative import with no known parent package",
            None,
        ),
        (
            {"steps.py": "import a.b", "a/__init__.py": "", "a/b.py": "from .. import helpers", "helpers.py": ""},
            "attempted relative import beyond top-level package",
            None,
        ),
        (
            {"steps.py": "import a.missing", "a.py": ""},
            "No module named 'a.missing'; 'a' is not a package",
            "a.missing",
        ),
        ({"steps.py": "import a.b", "a/b.py": "from .missing import c"}, "No module named 'a.missing'", "a.missing"),
        (
            {"steps.py": "import importlib\nimportlib.import_module('a.no')", "a.py": ""},
            "No module named 'a.no'",
            "a.no",
        ),
        ({"steps.py": "raise ImportError(5)"}, "5", None),
    ],
)
def test_an_error_of_an_import_is_that_of_a_process_with_one_run(
    tmp_path: Path, files: dict[str, str], text: str, name: str | None
) -> None:
    with pytest.raises(ImportError) as error:
        call(write(tmp_path, files))
    assert (str(error.value).startswith(text), error.value.name) == (True, name), str(error.value)
    alone = subprocess.run(
        [sys.executable, "-c", "import steps"], cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )
    assert alone.stderr.splitlines()[-1].endswith(f"Error: {error.value}")
