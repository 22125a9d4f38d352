"""Reads code that many people wrote: reading it ends and raises nothing, whatever the code is."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pytest

from nfrun.code.facts.fact_reader import FactReader
from nfrun.code.fingerprint import Fingerprints


def sources(name: str) -> list[Path]:
    """Return the modules of the standard library ("stdlib"), or of an installed package."""
    if name == "stdlib":
        return [path for path in Path(sysconfig.get_path("stdlib")).rglob("*.py") if "site-packages" not in path.parts]
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        pytest.skip(f"{name} is not installed")
    return [*Path(spec.origin).parent.rglob("*.py")]


def read(path: Path, folder: Path) -> None:
    """Read a copy of a module, alone in its folder."""
    shutil.copyfile(path, folder / "module.py")
    FactReader(Fingerprints(folder)).of("module", "*")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stdlib", "pandas", "polars", "duckdb", "sklearn", "pyarrow", "dask", "hypothesis"])
def test_a_tenth_of_the_modules_of_a_library_is_read(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Code that may load any module reaches all below these folders: here that would be nfrun with its tests.
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr("sys.path", [path for path in sys.path if "site-packages" in path or "lib/python" in path])
    for path in sorted(sources(name))[::10]:
        read(path, tmp_path)


@pytest.mark.parametrize("name", ["optparse", "argparse", "typing", "tarfile"])
def test_a_module_in_which_names_get_values_made_of_their_own_is_read(tmp_path: Path, name: str) -> None:
    spec = find_spec(name)
    assert spec is not None
    read(Path(str(spec.origin)), tmp_path)


@pytest.mark.parametrize("name", ["/proc", "/proc/self/maps", "/sys/block", "/dev", "//proc/"])
def test_files_of_the_system_are_not_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "steps.py").write_text(f"import subprocess\ndef f(x): return subprocess.run(['ls', '{name}', x])\n")
    facts = FactReader(Fingerprints(tmp_path)).of("steps", "f")
    assert not [path for path in (*facts.files, *facts.named) if path.startswith("/")]


@pytest.mark.parametrize(
    "code",
    [
        "'a' + " * 70_000 + "'b'",
        "x" + "['a']" * 5_000,
        "x" + ".a('b.csv')" * 5_000,
        "subprocess.run(*words)",
        "' '.join()",
        "Path()",
        "'%s' % ()",
        "''.format()",
        "open()",
    ],
)
def test_no_expression_is_too_much(tmp_path: Path, code: str) -> None:
    (tmp_path / "steps.py").write_text(f"import subprocess\nfrom pathlib import Path\ndef f(x, words): return {code}\n")
    FactReader(Fingerprints(tmp_path)).of("steps", "f")


def test_code_that_is_nested_too_deep_names_all_its_texts(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text("def f(x): return x" + ".a(1)" * 400 + ".b('b.csv')\n")
    assert "b.csv" in FactReader(Fingerprints(tmp_path)).of("steps", "f").named


def test_texts_that_double_are_no_longer_than_a_limit(tmp_path: Path) -> None:
    lines = [f"    x{i + 1} = x{i} + x{i}" for i in range(60)]
    (tmp_path / "steps.py").write_text("\n".join(["def f():", "    x0 = 'a.csv'", *lines, "    return open(x60)"]))
    assert "a.csv" in FactReader(Fingerprints(tmp_path)).of("steps", "f").named
