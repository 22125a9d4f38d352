"""What an earlier run has read of the code counts while the code is the same, and is read anew otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from kept_json import kept_in

import nfrun
from nfrun.code import module_index
from nfrun.code.facts.code_facts import shared_variables
from nfrun.code.fingerprint import Fingerprints, FolderCode
from nfrun.code.reached_code import ReachedCode
from nfrun.history.cache import remembered_code
from nfrun.history.cache.remembered_code import restore_code, save_code
from nfrun.nodes.python import facts_of

STEPS = """\
import random

import helpers

CACHE = {}


def a():
    CACHE["a"] = random.random()
    return helpers.twice(1), "https://example.com/"


def b():
    return CACHE


def c():
    return helpers.load("c")
"""
HELPERS = """\
import importlib


def twice(x):
    return 2 * x


def load(name):
    return importlib.import_module(f"loaded_by_name.{name}")
"""
FUNCTIONS = ("a", "b", "c")
ROOT = Path(nfrun.__file__).parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "loaded_by_name").mkdir(parents=True)
    (folder / "steps.py").write_text(STEPS)
    (folder / "helpers.py").write_text(HELPERS)
    (folder / "loaded_by_name" / "c.py").write_text("X = 1\n")
    return folder


def found_by(code: Fingerprints) -> dict[str, Any]:
    """All that the code shows, and saves."""
    facts = {name: facts_of(code, "steps", name) for name in FUNCTIONS}
    return {
        "digests": [code.of("steps", name) for name in FUNCTIONS],
        "packages": [code.packages("steps", name) for name in FUNCTIONS],
        "facts": [[*f.global_state, *f.network, *f.assigned] for f in facts.values()],
        "shared": shared_variables(facts),
    }


def read_and_saved(folder: Path) -> dict[str, Any]:
    code = FolderCode(folder)
    found = found_by(code.of(""))
    save_code(code, kept_in(folder / "code.json")[1])
    return found


def restored(folder: Path) -> Fingerprints:
    code = FolderCode(folder)
    restore_code(code, kept_in(folder / "code.json")[0])
    return code.of("")


def no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: ReachedCode, module: str) -> None:
        raise AssertionError(f"{module} is read")

    monkeypatch.setattr(ReachedCode, "_read_source", read)


def test_unchanged_code_is_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_and_saved(folder)
    assert found["shared"] == {"b": "it reads CACHE (steps.py:14), which 'a' assigns (steps.py:9)"}
    no_reading(monkeypatch)
    every = FolderCode(folder)
    restore_code(every, kept_in(folder / "code.json")[0])
    code = every.of("")
    assert found_by(code) == found
    assert all(code.is_current("steps", name) for name in FUNCTIONS)
    save_code(every, pytest.fail)  # there is nothing new to save


def test_code_of_another_folder_is_remembered_by_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "in").mkdir()
    (folder / "in/steps.py").write_text("def a(): return 2\n")
    (folder / "in/other.py").write_text("import steps\ndef f(): return steps.a()\n")
    code, (read, write) = FolderCode(folder), kept_in(folder / "code.json")
    found = [code.of("").of("steps", "a"), code.of("in").of("other", "f")]
    assert sorted(found[1]) == ["other:f", "steps:a"]
    save_code(code, write)
    (folder / "steps.py").write_text("def a(): return 3\n")  # the code of one folder has changed
    again = FolderCode(folder)
    restore_code(again, read, ["in", "gone"])
    assert again.of("").of("steps", "a") != found[0]
    no_reading(monkeypatch)
    assert again.of("in").of("other", "f") == found[1]
    alone = FolderCode(folder)
    restore_code(alone, read)
    with pytest.raises(AssertionError, match="is read"):
        alone.of("in").of("other", "f")


CHANGES: dict[str, Callable[[Path], object]] = {
    "a function": lambda folder: (folder / "steps.py").write_text(STEPS.replace("helpers.twice(1)", "CACHE")),
    "a helper": lambda folder: (folder / "helpers.py").write_text(HELPERS.replace("2 * x", "3 * x")),
    "a comment": lambda folder: (folder / "helpers.py").write_text(f"# first\n{HELPERS}"),
    "a module that hides another": lambda folder: (
        (folder / "helpers").mkdir() or (folder / "helpers" / "__init__.py").write_text("def twice(x): return x\n")
    ),
    "a module that is gone": lambda folder: (folder / "helpers.py").unlink(),
    "a module that may be loaded by name": lambda folder: (folder / "loaded_by_name" / "d.py").write_text(""),
    "a module that was loaded by name": lambda folder: (folder / "loaded_by_name" / "c.py").write_text("X = 2\n"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changed_code_is_read_anew(folder: Path, change: Callable[[Path], object]) -> None:
    read_and_saved(folder)
    change(folder)
    assert found_by(restored(folder)) == found_by(Fingerprints(folder))


def test_code_that_changes_after_it_was_taken_over_is_not_current(folder: Path) -> None:
    read_and_saved(folder)
    code = restored(folder)
    (folder / "helpers.py").write_text(HELPERS.replace("2 * x", "3 * x"))
    code.source.statements("steps", "a")  # reads the new code
    assert not code.is_current("steps", "a")


def test_code_with_too_many_modules_to_compare_is_not_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_index, "_MANY", 0)
    read_and_saved(folder)
    assert not (folder / "code.json").exists()


def test_all_modules_that_read_code_are_those_of_a_reader() -> None:
    of_readers = {
        f"nfrun.{path.relative_to(ROOT).with_suffix('').as_posix().replace('/', '.')}".removesuffix(".__init__")
        for pattern in remembered_code._READERS
        for path in ROOT.glob(pattern)
    }
    for name in sorted(of_readers):
        if name.startswith(("nfrun.code.", "nfrun.code.facts.")):
            text = Path(import_module(name).__file__ or "").read_text()
            assert {*re.findall(r"^ *from (nfrun\.[\w.]+) import", text, re.MULTILINE)} <= of_readers, name


def test_what_another_nfrun_has_read_does_not_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_and_saved(folder)
    monkeypatch.setattr(remembered_code, "_reader", lambda: "another")
    no_reading(monkeypatch)
    with pytest.raises(AssertionError, match="steps is read"):
        found_by(restored(folder))
