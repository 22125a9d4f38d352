"""Tests of what each command imports and does not import: imports take most of the start-up time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# The console script, which writes the names of the imported modules to a file at exit. numpy and pandas are hidden:
# Arrow imports them if they are installed, with many other modules that are of no interest here.
SCRIPT = """
import atexit, sys
sys.modules["numpy"] = sys.modules["pandas"] = None
log = sys.argv.pop(1)
atexit.register(lambda: open(log, "w").write(" ".join(sys.modules)))
from nfrun.__main__ import main
main()
"""
HEAVY = {
    *("pyarrow", "pyarrow.parquet", "duckdb", "yaml", "jsonschema", "jinja2", "rich", "typer", "pydantic", "xxhash"),
    *("asyncio", "ssl", "http", "importlib.metadata", "multiprocessing", "concurrent.futures", "subprocess", "logging"),
}
HELLO = "name: hello\nnodes:\n  a: {python: 'steps:a'}\n  b: {python: 'steps:b', inputs: {n: a}}\n"
STEPS = "def a():\n    return {'n': 1}\n\ndef b(n):\n    return n\n\nasync def c():\n    return {'n': 1}\n"
ASYNCIO = {"asyncio", "ssl", "concurrent.futures", "logging"}  # asyncio imports the others


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hello.yaml").write_text(HELLO)
    (tmp_path / "values.yaml").write_text(HELLO + "  c: {run: 'true', with: {n: '${{ run.id | upper }}'}}\n")
    (tmp_path / "async.yaml").write_text("nodes:\n  c: {python: 'steps:c'}\n")
    (tmp_path / "script.yaml").write_text("nodes:\n  c: {run: 'true'}\n")
    (tmp_path / "steps.py").write_text(STEPS)
    return tmp_path


def imported(folder: Path, *words: str) -> set[str]:
    """Return which of HEAVY are imported when `nfrun` ends."""
    return HEAVY & modules(folder, *words)


def modules(folder: Path, *words: str) -> set[str]:
    """Return all modules that are imported when `nfrun` ends."""
    log = folder / "imported"
    command = [sys.executable, "-c", SCRIPT, str(log), *words]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(log.read_text().split())


def test_the_main_module_imports_nothing(folder: Path) -> None:
    """A command imports what it needs once it is known which one runs."""
    code = "import sys; before = set(sys.modules); import nfrun.__main__; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"nfrun", "nfrun.__main__"} == {name for name in done.stdout.split() if name.startswith("nfrun")}
    assert not HEAVY & set(done.stdout.split())


def test_help_imports_typer_alone(folder: Path) -> None:
    assert imported(folder, "--help") - {"subprocess"} == {"typer"}


@pytest.mark.parametrize(
    "words", ["--help", "run --help", "run hello.yaml -h", "plan hello.yaml", "validate hello.yaml"]
)
def test_other_commands_do_not_import_the_supervisor(folder: Path, words: str) -> None:
    assert "nfrun.system.processes.supervisor" not in modules(folder, *words.split())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a run is one process")
def test_run_imports_the_supervisor(folder: Path) -> None:
    assert "nfrun.system.processes.supervisor" in modules(folder, "run", "hello.yaml", "-q")


@pytest.mark.parametrize(
    "words", [["validate", "script.yaml"], ["plan", "--fresh", "hello.yaml"], ["plan", "hello.yaml"]], ids=" ".join
)
def test_validate_and_plan_import_little(folder: Path, words: list[str]) -> None:
    assert imported(folder, *words) == {"xxhash", "yaml"}


def test_validate_reads_the_code_that_nodes_reach(folder: Path) -> None:
    assert imported(folder, "validate", "hello.yaml", "async.yaml") == {"xxhash", "yaml"}
    assert "ctypes" not in modules(folder, "validate", "hello.yaml")


def test_filters_import_jinja_and_a_script_that_does_not_run_imports_nothing(folder: Path) -> None:
    (folder / "plain.yaml").write_text((folder / "values.yaml").read_text().replace(" | upper", ""))
    assert "jinja2" not in imported(folder, "validate", "plain.yaml")
    found = imported(folder, "validate", "values.yaml")
    assert found >= {"yaml", "jinja2"}
    assert "subprocess" not in found


@pytest.mark.parametrize("options", [["--json", "-q"], ["-q", "-j", "2"], ["-q", "--events", "events.jsonl"], []])
def test_a_run_imports_arrow_and_yaml(folder: Path, options: list[str]) -> None:
    found = imported(folder, "run", "hello.yaml", *options)
    assert found - ASYNCIO - {"subprocess"} == {"pyarrow", "yaml", "xxhash"}


@pytest.mark.parametrize("options", [[], ["--json"], ["-v"]])
def test_a_run_that_prints_a_summary_in_colours_imports_rich_too(folder: Path, options: list[str]) -> None:
    found = imported(folder, "run", "hello.yaml", "--color", "always", *options)
    assert found - ASYNCIO - {"subprocess"} == {"pyarrow", "yaml", "xxhash", "rich"}


@pytest.mark.parametrize("handoff", ["auto", "mmap", "memory"])
def test_a_run_imports_nothing_that_is_for_comparison(folder: Path, handoff: str) -> None:
    ours = {name for name in modules(folder, "run", "hello.yaml", "--handoff", handoff) if name.startswith("nfrun.")}
    assert "nfrun.tables.store" in ours
    assert not [name for name in ours if "bench" in name or "json_store" in name]


def test_a_run_that_reuses_everything_imports_little(folder: Path) -> None:
    modules(folder, "run", "hello.yaml", "-q")
    again = modules(folder, "run", "hello.yaml", "-q")
    assert HEAVY & again == {"yaml", "xxhash"}
    assert not {"nfrun.facts.fact_reader", "nfrun.tables.store"} & again
    assert not {"dataclasses", "inspect", "tokenize", "shutil", "random", "email"} & again


def test_showing_the_tables_of_a_run_that_reuses_everything_imports_arrow_alone(folder: Path) -> None:
    modules(folder, "run", "hello.yaml", "-q")
    again = modules(folder, "run", "hello.yaml")
    assert HEAVY & again == {"yaml", "xxhash", "pyarrow"}
    assert not {"pyarrow.compute", "pyarrow.parquet", "nfrun.tables.file_io"} & again


def test_showing_them_again_imports_no_arrow(folder: Path) -> None:
    modules(folder, "run", "hello.yaml")
    assert imported(folder, "run", "hello.yaml") == {"yaml", "xxhash"}


def test_the_json_handoff_imports_its_store(folder: Path) -> None:
    assert "nfrun.tables.json_store" in modules(folder, "run", "hello.yaml", "--handoff", "json")


def test_a_user_module_named_rich_is_not_imported(folder: Path) -> None:
    (folder / "rich.py").write_text("raise ImportError('a file of the user, found where it must not be')\n")
    command = [sys.executable, "-m", "nfrun", "run", "hello.yaml", "--color", "always"]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "critical path" in done.stderr


def test_a_run_imports_asyncio_only_for_an_async_node(folder: Path) -> None:
    assert not imported(folder, "run", "hello.yaml") & ASYNCIO


def test_an_async_node_has_its_event_loop(folder: Path) -> None:
    assert imported(folder, "run", "async.yaml") >= {"asyncio"}


def test_usage_errors_are_left_to_typer(folder: Path) -> None:
    command = [sys.executable, "-m", "nfrun", "run", "hello.yaml", "-j", "0"]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Invalid value for -j: '0' is neither auto nor a number from 1 to 10,000" in done.stderr
    assert done.stderr.startswith("Usage: ")
    assert not (folder / ".nfrun").exists()
