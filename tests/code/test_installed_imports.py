"""Tests of which modules of installed packages the code of a function imports."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.code.fingerprint import Fingerprints

STEPS = """
import json, os.path
import pkg.inner as inner
from pkg import name, other
import helpers

def f():
    try:
        import late
    except ImportError:
        from missing import thing
    def inside():
        while True:
            with open("a") as file:
                import deep.module
    return helpers.h

def g(): pass
"""


@pytest.mark.parametrize(
    ("function", "found"),
    [
        ("f", ["deep.module", "late", "pkg", "pkg.inner", "pkg.other", "used"]),
        ("g", ["pkg", "pkg.inner", "pkg.other", "used"]),
    ],
)
def test_installed_modules_are_found_wherever_they_are_imported(
    function: str, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`other` is a module of the package and `name` none. The helper's import at the top runs too."""
    for file in (
        "pkg/__init__.py",
        "pkg/inner.py",
        "pkg/other.py",
        "late.py",
        "deep/__init__.py",
        "deep/module.py",
        "used.py",
    ):
        path = tmp_path / "site-packages" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "steps.py").write_text(STEPS)
    (folder / "helpers.py").write_text("import used\nh = used.__name__\n")
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    code = Fingerprints(folder)
    assert sorted(code.installed_imports("steps", function)) == found
