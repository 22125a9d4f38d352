"""Tests of what each command imports and does not import: imports take most of the start-up time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Set
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pytest

from nfrun.tables.file_io import write_table

# The console script, which writes the names of the imported modules to a file at exit. numpy, pandas and cloudpickle
# are hidden: Arrow imports them if they are installed, with many other modules that are of no interest here.
SCRIPT = """
import atexit, sys
sys.modules["numpy"] = sys.modules["pandas"] = sys.modules["cloudpickle"] = None
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


def new_folder(path: Path) -> Path:
    """Write the files of the tests into a folder."""
    (path / "hello.yaml").write_text(HELLO)
    (path / "values.yaml").write_text(HELLO + "  c: {run: 'true', with: {n: '${{ run.id | upper }}'}}\n")
    (path / "async.yaml").write_text("nodes:\n  c: {python: 'steps:c'}\n")
    (path / "script.yaml").write_text("nodes:\n  c: {run: 'true'}\n")
    (path / "steps.py").write_text(STEPS)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return new_folder(tmp_path)


@pytest.fixture(scope="module")
def at_first(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Set[str]]:
    """Return a function that does what `modules` does in a new folder, once for each command."""
    return cache(lambda *words: frozenset(modules(new_folder(tmp_path_factory.mktemp("new")), *words)))


def imported(folder: Path, *words: str) -> set[str]:
    """Return which of HEAVY are imported when `nfrun` ends."""
    return HEAVY & modules(folder, *words)


def modules(folder: Path, *words: str, script: str = SCRIPT) -> set[str]:
    """Return all modules that are imported when `nfrun` ends."""
    log = folder / "imported"
    command = [sys.executable, "-c", script, str(log), *words]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(log.read_text().split())


def test_the_main_module_imports_nothing(folder: Path) -> None:
    """A command imports what it needs once it is known which one runs."""
    code = "import sys; before = set(sys.modules); import nfrun.__main__; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"nfrun", "nfrun.__main__"} == {name for name in done.stdout.split() if name.startswith("nfrun")}
    assert not HEAVY & set(done.stdout.split())


def test_only_help_imports_rich(at_first: Callable[..., Set[str]]) -> None:
    assert HEAVY & at_first("--help") - {"subprocess"} == {"typer", "rich", "logging"}
    assert {"typer", "rich"} & at_first("plan", "--", "hello.yaml") == {"typer"}


@pytest.mark.parametrize(
    "words", ["--help", "run --help", "run hello.yaml -h", "plan hello.yaml", "validate hello.yaml"]
)
def test_other_commands_do_not_import_the_supervisor(at_first: Callable[..., Set[str]], words: str) -> None:
    assert "nfrun.system.processes.supervisor" not in at_first(*words.split())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a run is one process")
def test_run_imports_the_supervisor(at_first: Callable[..., Set[str]]) -> None:
    assert "nfrun.system.processes.supervisor" in at_first("run", "hello.yaml")


@pytest.mark.parametrize(
    "words", [["validate", "script.yaml"], ["plan", "--fresh", "hello.yaml"], ["plan", "hello.yaml"]], ids=" ".join
)
def test_validate_and_plan_import_little(at_first: Callable[..., Set[str]], words: list[str]) -> None:
    assert HEAVY & at_first(*words) == {"xxhash", "yaml"}


def test_validate_reads_the_code_that_nodes_reach(at_first: Callable[..., Set[str]]) -> None:
    assert HEAVY & at_first("validate", "hello.yaml", "async.yaml") == {"xxhash", "yaml"}
    assert "ctypes" not in at_first("validate", "hello.yaml")


def test_filters_import_jinja_and_a_script_that_does_not_run_imports_nothing(folder: Path) -> None:
    (folder / "plain.yaml").write_text((folder / "values.yaml").read_text().replace(" | upper", ""))
    assert "jinja2" not in imported(folder, "validate", "plain.yaml")
    found = imported(folder, "validate", "values.yaml")
    assert found >= {"yaml", "jinja2"}
    assert "subprocess" not in found


@pytest.mark.parametrize(
    "options",
    [
        ["--json", "-q"],
        pytest.param(["-q", "-j", "2"], marks=pytest.mark.slow),
        pytest.param(["-q", "--events", "events.jsonl"], marks=pytest.mark.slow),
        [],
    ],
)
def test_a_run_imports_arrow_and_yaml(at_first: Callable[..., Set[str]], options: list[str]) -> None:
    found = HEAVY & at_first("run", "hello.yaml", *options)
    assert found - ASYNCIO - {"subprocess"} == {"pyarrow", "yaml", "xxhash"}


@pytest.mark.parametrize("options", [[], *(pytest.param([word], marks=pytest.mark.slow) for word in ("--json", "-v"))])
def test_a_run_that_prints_a_summary_in_colours_imports_rich_too(folder: Path, options: list[str]) -> None:
    found = imported(folder, "run", "hello.yaml", "--color", "always", *options)
    assert found - ASYNCIO - {"subprocess"} == {"pyarrow", "yaml", "xxhash", "rich"}


@pytest.mark.parametrize(
    "options", [(), ("--handoff", "mmap"), pytest.param(("--handoff", "memory"), marks=pytest.mark.slow)]
)
def test_a_run_imports_nothing_that_is_for_comparison(
    at_first: Callable[..., Set[str]], options: tuple[str, ...]
) -> None:
    ours = {name for name in at_first("run", "hello.yaml", *options) if name.startswith("nfrun.")}
    assert "nfrun.tables.store" in ours
    assert not [name for name in ours if "bench" in name or "json_store" in name]


def test_a_run_that_reuses_everything_imports_little(folder: Path) -> None:
    modules(folder, "run", "hello.yaml", "-q")
    again = modules(folder, "run", "hello.yaml", "-q")
    assert HEAVY & again == {"yaml", "xxhash"}
    assert not {"nfrun.code.facts.fact_reader", "nfrun.code.names_reader", "nfrun.tables.store", "ast"} & again
    assert not {name for name in again if name.startswith("nfrun.tables.places")}
    assert not {"dataclasses", "inspect", "tokenize", "shutil", "random", "email"} & again
    shown = modules(folder, "run", "hello.yaml")
    assert HEAVY & shown == {"yaml", "xxhash", "pyarrow"}, "the tables were not shown before"
    assert not {"pyarrow.compute", "pyarrow.parquet", "nfrun.tables.file_io"} & shown
    assert imported(folder, "run", "hello.yaml") == {"yaml", "xxhash"}, "they were"


@pytest.mark.parametrize("source", ["x.parquet", "x.arrow", "x.csv"])
def test_queries_import_no_pandas(folder: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow imports it for the first array or scalar that is made of Python's values, if it is installed."""
    if find_spec("pandas") is None or find_spec("duckdb") is None:
        pytest.skip("pandas or DuckDB is not installed")
    write_table(pa.table({"n": [1, None], "t": ["a", None]}), folder / source)
    (folder / "q.yaml").write_text(f"""
nodes:
  x: {{read: {source}, schema: {{n: int64?, t: string?}}}}
  y: {{sql: select * from x where n = $n or n is null, inputs: x, with: {{n: 1}}}}
  z: {{sql: 'select t, count(*) as rows from y group by all', inputs: y, checks: [{{sql: from this where rows > 1}}]}}
""")
    monkeypatch.delenv("PYTHONPATH")  # which hides it from other tests
    with_pandas = SCRIPT.replace('sys.modules["numpy"] = sys.modules["pandas"] = ', "")
    found = modules(folder, "run", "q.yaml", script=with_pandas)
    assert {"duckdb", "numpy"} <= found and "pandas" not in found


def test_the_json_handoff_imports_its_store(folder: Path) -> None:
    assert "nfrun.tables.json_store" in modules(folder, "run", "hello.yaml", "--handoff", "json")


def test_a_user_module_named_rich_is_not_imported(folder: Path) -> None:
    (folder / "rich.py").write_text("raise ImportError('a file of the user, found where it must not be')\n")
    command = [sys.executable, "-m", "nfrun", "run", "hello.yaml", "--color", "always"]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "critical path" in done.stderr


def test_a_run_imports_asyncio_only_for_an_async_node(at_first: Callable[..., Set[str]]) -> None:
    assert not at_first("run", "hello.yaml") & ASYNCIO


def test_an_async_node_has_its_event_loop(folder: Path) -> None:
    assert imported(folder, "run", "async.yaml") >= {"asyncio"}


def test_usage_errors_are_left_to_typer(folder: Path) -> None:
    command = [sys.executable, "-m", "nfrun", "run", "hello.yaml", "-j", "0"]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Invalid value for -j: '0' is neither auto nor a number from 1 to 10,000" in done.stderr
    assert done.stderr.startswith("Usage: ")
    assert not (folder / ".nfrun").exists()
