"""The import from source: the code that runs is the source, even if there are stale compiled files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from nfrun.code.fingerprint import Fingerprints
from nfrun.code.module_space import ModuleSpace

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
