"""Changes of installed packages and of Python."""

from __future__ import annotations

from pathlib import Path

from edit import PIPELINE, Edit

SITE = "../site-packages/"


def installed(version: str, code: str = "def g(): return 1\n") -> dict[str, str]:
    """Return the files of a package that is called `made-up` and has the module `made_up`."""
    info = f"{SITE}made_up-{version}.dist-info"
    return {f"{SITE}made_up.py": code, f"{info}/RECORD": f"made_up.py,,\n{info}/RECORD,,\n", f"{info}/METADATA": ""}


def upgraded(version: str, code: str) -> dict[str, str | None]:
    return {**dict.fromkeys(installed("1.3")), **installed(version, code)}


def edit(
    name: str,
    files: dict[str, str] | str,
    *,
    runs_again: bool,
    version: str = "1.4",
    reason: str = "",
    code: str = "def g(): return 1\n",
) -> Edit:
    """Return the row in which `made-up` is upgraded, whose module has this code."""
    files = {"steps.py": files} if isinstance(files, str) else files
    return Edit(
        name=name,
        files={**installed("1.3", code), **files},
        edit=upgraded(version, code),
        act=without_old_folder,
        runs_again=runs_again,
        reason=reason,
    )


def without_old_folder(folder: Path) -> None:
    for info in (folder.parent / "site-packages").glob("*.dist-info"):
        if not any(info.iterdir()):
            info.rmdir()


WORDS = "made-up 1.3 -> 1.4"
IMPORTED = "import made_up\ndef f(): return {'a': made_up.g()}\n"
OWN = "def f(): return {'a': 1}\n"
NOTHING = "def f(): return {'a': 1}\n"
A = "nodes:\n  node: {%s}\n"

ROWS: list[Edit] = [
    edit("a package that the code imports", IMPORTED, runs_again=True, reason=WORDS),
    edit("in a function", "def f():\n import made_up\n return {'a': made_up.g()}\n", runs_again=True, reason=WORDS),
    edit("by name", "from made_up import g\ndef f(): return {'a': g()}\n", runs_again=True, reason=WORDS),
    edit("by star", "from made_up import *\ndef f(): return {'a': g()}\n", runs_again=True, reason=WORDS),
    edit(
        "by text", "import importlib\ndef f(): return {'a': importlib.import_module('made_up').g()}\n", runs_again=True
    ),
    edit("imported and unused", "import made_up\n" + NOTHING, runs_again=True, reason=WORDS),
    edit(
        "through a module of the project",
        {"steps.py": "import helpers\ndef f(): return {'a': helpers.g()}\n", "helpers.py": "from made_up import g\n"},
        runs_again=True,
        reason=WORDS,
    ),
    edit("to the same version", IMPORTED, version="1.3", runs_again=False),
    edit("one that is not imported", NOTHING, runs_again=False),
    edit(
        "imported by another module",
        {"steps.py": NOTHING, "helpers.py": "from made_up import g\n"},
        runs_again=False,
    ),
    edit(
        "imported for type checkers only",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n import made_up\n" + NOTHING,
        runs_again=False,
    ),
    edit(
        "named under 'packages'",
        {"steps.py": NOTHING, "p.yaml": PIPELINE.replace('"}', '", packages: [made_up]}')},
        runs_again=True,
        reason=WORDS,
    ),
    edit(
        "named in a script's node",
        {"p.yaml": A % "run: 'echo {} > $NFRUN_OUTPUT', format: jsonl, packages: [Made.Up]"},
        runs_again=True,
        reason=WORDS,
    ),
    edit(
        "named in a query's node", {"p.yaml": A % "sql: select 1, packages: [made-up]"}, runs_again=True, reason=WORDS
    ),
    Edit(
        name="a package is named that was not",
        files={**installed("1.3"), "steps.py": NOTHING},
        edit={"p.yaml": PIPELINE.replace('"}', '", packages: [made-up]}')},
        runs_again=True,
        reason="the package made-up is new",
    ),
    Edit(
        name="DuckDB, which runs the queries",
        files={"p.yaml": A % "sql: select 1 as a", f"{SITE}duckdb-1.4.dist-info/RECORD": ""},
        edit={f"{SITE}duckdb-1.4.dist-info/RECORD": None, f"{SITE}duckdb-1.5.dist-info/RECORD": ""},
        act=without_old_folder,
        runs_again=True,
        reason="duckdb 1.4 -> 1.5",
    ),
    Edit(
        name="pyarrow, which reads the files",
        files={"p.yaml": A % "read: a.csv", "a.csv": "a\n1\n", f"{SITE}pyarrow-24.0.dist-info/RECORD": ""},
        edit={f"{SITE}pyarrow-24.0.dist-info/RECORD": None, f"{SITE}pyarrow-25.0.dist-info/RECORD": ""},
        act=without_old_folder,
        runs_again=True,
        reason="pyarrow 24.0 -> 25.0",
    ),
    Edit(
        name="DuckDB in a node that reads a file",
        files={"p.yaml": A % "read: a.csv", "a.csv": "a\n1\n", f"{SITE}duckdb-1.4.dist-info/RECORD": ""},
        edit={f"{SITE}duckdb-1.4.dist-info/RECORD": None, f"{SITE}duckdb-1.5.dist-info/RECORD": ""},
        act=without_old_folder,
        runs_again=False,
    ),
    edit("the package of the function", {"p.yaml": A % 'python: "made_up:f"'}, runs_again=True, reason=WORDS, code=OWN),
    Edit(
        name="a package of the same version that was installed again from a folder",
        files={
            **installed("1.3"),
            f"{SITE}made_up-1.3.dist-info/direct_url.json": '{"dir_info": {}}',
            "steps.py": IMPORTED,
        },
        edit={f"{SITE}made_up-1.3.dist-info/RECORD": "made_up.py,sha256=x,\n"},
        runs_again=True,
        reason="made-up 1.3 ",
    ),
    Edit(
        name="a module that no package has installed",
        files={f"{SITE}made_up.py": "def g(): return 1\n", "steps.py": IMPORTED},
        edit={f"{SITE}made_up.py": "def g(): return 2\n"},
        runs_again=True,
    ),
    Edit(
        name="a module of another place on the path",
        files={"../src/made_up.py": "def g(): return 1\n", "steps.py": IMPORTED},
        edit={"../src/made_up.py": "def g(): return 2\n"},
        runs_again=True,
        reason="the function made_up:g changed",
    ),
]
