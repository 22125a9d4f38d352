"""The import from source: the code that runs is the source, even if there are stale compiled files."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
from conftest import Here

import nfrun
from nfrun.code.fingerprint import Fingerprints
from nfrun.code.module_space import ModuleSpace
from nfrun.code.source_import import sources_by_path

PROGRAM = """
import sys
from pathlib import Path
from nfrun.code.source_import import import_for_process
folder = Path(sys.argv[1])
import_for_process("steps", folder)
import_for_process("inner.deep", folder)
import steps, inner.deep, json.decoder
print(steps.WORD, inner.deep.WORD, len([hook for hook in sys.path_hooks if type(hook).__name__ == "_Hook"]))
print(type(steps.__loader__).__name__, type(json.decoder.__loader__).__name__)
"""


def run(folder: Path) -> list[str]:
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30, env=environ)
    return done.stdout.splitlines()


def test_a_change_that_keeps_size_and_time_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    files = [tmp_path / "steps.py", tmp_path / "inner" / "deep.py"]
    for word in ("one", "two"):
        for file in files:
            file.write_text(f"WORD = '{word}'\n")
            os.utime(file, (1_500_000_000, 1_500_000_000))
        if word == "one":  # leave compiled files, as Python does
            subprocess.run([sys.executable, "-m", "compileall", "-q", str(tmp_path)], check=True)
            assert list(tmp_path.rglob("*.pyc"))
        assert run(tmp_path) == [f"{word} {word} 1", "SourceLoader SourceFileLoader"]


def test_no_compiled_files_are_left_beside_the_sources(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for file in (tmp_path / "steps.py", tmp_path / "inner" / "deep.py"):
        file.write_text("WORD = 1\n")
    run(tmp_path)
    assert not list(tmp_path.rglob("__pycache__"))


def test_an_edit_that_was_taken_back_is_noticed_whichever_process_has_imported_it(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text("import other\ndef f(): return other.WORD\n")
    other = tmp_path / "other.py"
    other.write_text("WORD = 'one'\n")
    code = Fingerprints(tmp_path)
    code.of("steps", "f")
    before = other.stat()
    while other.stat().st_ctime_ns == before.st_ctime_ns:  # the clock of the system may be as slow as 100 Hz
        other.write_text("WORD = 'two'\n")
        other.write_text("WORD = 'one'\n")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    code.refresh()
    assert not code.is_current("steps", "f")


def test_a_module_that_was_imported_and_then_removed_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text(
        "try: from other import WORD\nexcept ImportError: WORD = 1\ndef f(): return WORD"
    )
    code = Fingerprints(tmp_path)
    code.of("steps", "f")
    code.refresh()
    assert code.is_current("steps", "f")
    (tmp_path / "other.py").write_text("WORD = 2\n")
    with ModuleSpace(tmp_path) as space:
        assert space.import_module("steps").f() == 2
    (tmp_path / "other.py").unlink()
    code.refresh()
    assert not code.is_current("steps", "f")
    # What an earlier run of this process has imported is of no account for the next.
    code = Fingerprints(tmp_path)
    code.of("steps", "f")
    code.refresh()
    assert code.is_current("steps", "f")


BY_PATH = {
    "spec": """
spec = importlib.util.spec_from_file_location("plug", PLUG)
plug = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plug)
""",
    "a loader with a module": """
plug = types.ModuleType("plug")
SourceFileLoader("plug", PLUG).exec_module(plug)
""",
    "the code of a loader": """
plug = types.ModuleType("plug")
exec(SourceFileLoader("plug", PLUG).get_code("plug"), vars(plug))
""",
    "a finder": """
spec = FileFinder(os.path.dirname(PLUG), (SourceFileLoader, [".py"])).find_spec("plug")
plug = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plug)
""",
    "a lazy loader": """
spec = importlib.util.spec_from_file_location("plug", PLUG)
spec.loader = importlib.util.LazyLoader(spec.loader)
sys.modules["plug"] = plug = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plug)
plug.WORD
del sys.modules["plug"]
""",
    "a package": """
spec = importlib.util.spec_from_file_location("loaded", PACKAGE, submodule_search_locations=[os.path.dirname(PACKAGE)])
sys.modules["loaded"] = plugs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plugs)
import loaded.plug as plug
del sys.modules["loaded"], sys.modules["loaded.plug"]
""",
    "a path": "plug = types.SimpleNamespace(**runpy.run_path(PLUG))",
    "sys.path": """
sys.path.insert(0, os.path.dirname(PLUG))
import plug
del sys.modules["plug"], sys.path[0]
""",
    "a module that runs": """
sys.path.insert(0, os.path.dirname(PLUG))
plug = types.SimpleNamespace(**runpy.run_module("plug"))
del sys.path[0]
""",
}


@pytest.mark.parametrize("executor", ["thread", "process"])
@pytest.mark.parametrize("in_program", [True, False])
def test_files_that_nodes_load_by_path_come_from_their_sources(
    tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch, executor: str, in_program: bool
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    plugs = tmp_path / "plugs"
    plugs.mkdir()
    source = (
        "import importlib.util, os, runpy, sys, types\nfrom importlib.machinery import FileFinder, SourceFileLoader\n"
    )
    source += f"PLUG, PACKAGE = {str(plugs / 'plug.py')!r}, {str(plugs / '__init__.py')!r}\n"
    for number, code in enumerate(BY_PATH.values()):
        lines = "".join(f"    {line}\n" for line in code.strip().splitlines())
        source += f"def way_{number}():\n{lines}    return [{{'word': plug.WORD}}]\n"
    (tmp_path / "ways.py").write_text(source)
    nodes = "".join(f"  n{i}: {{python: 'ways:way_{i}', executor: {executor}}}\n" for i in range(len(BY_PATH)))
    outputs = ", ".join(f"n{i}: n{i}" for i in range(len(BY_PATH)))
    (tmp_path / "p.yaml").write_text(f"nodes:\n{nodes}outputs: {{{outputs}}}\n")
    for word in ("old", "new"):
        for name in ("plug.py", "__init__.py"):
            (plugs / name).write_text(f"WORD = '{word}'\n")
            os.utime(plugs / name, (1_500_000_000, 1_500_000_000))
            if word == "old":  # leave compiled files, as Python does
                py_compile.compile(str(plugs / name))
    if in_program:
        result = nfrun.load(tmp_path / "p.yaml").run(jobs=1)
        words = [result[f"n{i}"].to_pylist()[0]["word"] for i in range(len(BY_PATH))]
    else:
        assert here(tmp_path, "run", "p.yaml", "-j", "1").returncode == 0
        words = [
            here(tmp_path, "open", f"n{i}", "--format", "csv").stdout.split()[-1].strip('"')
            for i in range(len(BY_PATH))
        ]
    assert dict(zip(BY_PATH, words, strict=True)) == dict.fromkeys(BY_PATH, "new")
    assert SourceFileLoader.path_stats.__qualname__ == "SourceFileLoader.path_stats"


def test_installed_packages_keep_their_bytecode_while_nodes_run(tmp_path: Path) -> None:
    with sources_by_path(tmp_path), sources_by_path(tmp_path / "other"):
        assert SourceFileLoader("pytest", str(pytest.__file__)).path_stats(str(pytest.__file__))["size"] > 0
        with pytest.raises(OSError, match="is not used"):
            SourceFileLoader("x", "x.py").path_stats(str(tmp_path / "x.py"))
    assert SourceFileLoader.path_stats.__qualname__ == "SourceFileLoader.path_stats"
