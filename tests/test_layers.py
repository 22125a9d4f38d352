"""The shape of the code: which package imports which, what each offers, what the pure part may touch, how long it is.

All imports count, wherever they stand: at the top of a module, inside a function, for type checkers only, or as the
name of a module in a text.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import nfrun

# A package may import those on the lines before its own. It has so many lines of Python at most: who needs more takes
# them from another package, or says in the commit that raises a number what for.
LAYERS = """
core 3858
system 3654
tables 6280
code 6030
rows 2567
nodes 6133
pipeline_file 5721
engine 3910
cluster 2390
history 5269
reports 3219
lookback 3587
session 3650
cli 2109
"""
MOST_ARROWS = 94  # from a package to another, `__main__` counted as a package
MOST_LINES = 700  # of a file: a module is one idea, and this is where to ask whether it is two
MOST_FUNCTION_LINES = 60

# Pure are all of core, and a few modules that other packages keep to themselves.
PURE_ELSEWHERE = ("system.logs.redaction", "reports.bench_stats", "tables.write_queue")
# Who may split a text at a dot. An `OutputId` has its parts: ids of nodes may contain dots.
SPLITS_AT_DOTS = {
    "code": "names of modules",
    "cluster.preflight": "numbers of versions",
    "nodes": "names of modules, and numbers of versions",
    "pipeline_file.references": "references in a pipeline file",
    "system.units": "numbers",
    "tables.formats": "file names",
}
IMPURE = {"time", "datetime", "os", "pathlib", "threading", "logging", "asyncio", "subprocess", "io", "tempfile", "sys"}

ROOT = Path(nfrun.__file__).parent
PATHS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
    if "templates" not in path.relative_to(ROOT).parts  # data of `nfrun init`
}
BUDGETS = {package: int(lines) for package, lines in map(str.split, LAYERS.strip().split("\n"))}
ROWS = {package: row for row, package in enumerate(BUDGETS)}
PURE = [*(name for name in PATHS if name.startswith("core.")), *PURE_ELSEWHERE]


@cache
def trees() -> dict[str, ast.Module]:
    """The modules by name, parsed. Not at the import, which each test process makes."""
    return {name: ast.parse(path.read_text()) for name, path in PATHS.items()}


@cache
def nodes() -> dict[str, list[ast.AST]]:
    """All nodes of the syntax trees of the modules: a walk takes longer than what tests look for."""
    return {name: [*ast.walk(tree)] for name, tree in trees().items()}


def package_of(module: str) -> str:
    """`pipeline_file` for `pipeline_file.loader`."""
    return module.split(".")[0]


@cache
def imported(module: str) -> dict[str, set[str]]:
    """What the module imports: modules, with the names that are taken from them. Those of nfrun have a leading dot.

    Where the module calls `import_module`, also the modules that it names in texts.
    """
    found: dict[str, set[str]] = {}
    by_name = any(isinstance(node, ast.Name) and node.id == "import_module" for node in nodes()[module])
    texts = {f"nfrun.{name}" for name in PATHS} if by_name else set()
    for node in nodes()[module]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.setdefault(alias.name, set())
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole.removeprefix("nfrun.") in PATHS:
                    found.setdefault(whole, set())
                else:
                    found.setdefault(node.module or "", set()).add(alias.name)
        elif isinstance(node, ast.Constant) and node.value in texts:
            found.setdefault(str(node.value), set())
    return {
        f".{name.removeprefix('nfrun').removeprefix('.') or '__init__'}" if is_ours(name) else name: names
        for name, names in found.items()
    }


def is_ours(module: str) -> bool:
    return module == "nfrun" or module.startswith("nfrun.")


def inner(module: str) -> list[str]:
    """The modules of nfrun that this one imports, but for nfrun itself."""
    return sorted(name.removeprefix(".") for name in imported(module) if name.startswith(".") and name != ".__init__")


def test_only_packages_lie_in_nfrun() -> None:
    assert {name for name, path in PATHS.items() if path.parent == ROOT} == {"__init__", "__main__", "testing"}
    assert {package_of(name) for name in PATHS} - {"__init__", "__main__", "testing"} == set(ROWS)


def test_imports_go_up_the_list_only() -> None:
    for module in PATHS:
        for other in inner(module):
            ours, theirs = package_of(module), package_of(other)
            allowed = ours in ("__init__", "__main__", "testing", theirs) or ROWS[theirs] < ROWS[ours]
            assert allowed, f"nfrun.{module} imports nfrun.{other}"


def test_packages_take_nothing_from_nfrun_itself_but_its_version() -> None:
    for module in PATHS:
        if module != "__main__":
            assert imported(module).get(".__init__", set()) <= {"__version__"}, module


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter({module: inner(module) for module in PATHS}).prepare()  # raises CycleError


def test_arrows_between_packages_are_few() -> None:
    arrows = {(package_of(module), package_of(other)) for module in PATHS for other in inner(module)}
    assert len([arrow for arrow in arrows if arrow[0] != arrow[1]]) <= MOST_ARROWS


def test_the_docstring_of_a_package_is_all_that_it_has() -> None:
    """Every command imports it, whichever module of the package it needs."""
    for module, path in PATHS.items():
        if path.name == "__init__.py" and module != "__init__":
            assert not imported(module), module


def test_nfrun_itself_imports_nothing_until_a_name_is_asked_for() -> None:
    tree = trees()["__init__"]
    assert not [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert {package_of(name) for name in inner("__init__")} == {"session", "nodes", "core"}


def test_the_command_line_does_not_know_the_api_of_programs() -> None:
    users = {module for module in PATHS for other in inner(module) if other.startswith("session.api.")}
    assert {module for module in users if not module.startswith("session.api.")} == {"__init__", "testing"}


def test_modules_that_are_imported_by_name_are_seen() -> None:
    assert set(inner("nodes.registry")) >= {"nodes.python", "nodes.sql", "nodes.shell", "nodes.read", "nodes.write"}


def test_only_bench_imports_what_is_for_comparison() -> None:
    for_comparison = {"cli.bench", "reports.bench_stats", "reports.bench_table", "tables.json_store"}
    assert {module: found for module in PATHS if (found := for_comparison & set(inner(module)))} == {
        "cli.bench": {"reports.bench_stats", "reports.bench_table"},
        "cli.commands": {"cli.bench"},  # inside the function of the command
        "reports.bench_table": {"reports.bench_stats"},
        "tables.handoffs": {"tables.json_store"},  # its name, in a text
    }


def test_the_pure_part_uses_no_clock_no_files_no_threads_and_no_logger() -> None:
    for module in PURE:
        assert not {name.split(".")[0] for name in imported(module)} & IMPURE, module
        assert {package_of(name) for name in inner(module)} <= {"core", package_of(module)}, module
        calls = [n.func.id for n in nodes()[module] if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
        compiles = {"exec"} if module == "core.values" else set()  # `__init__` of its classes, as `dataclasses` does
        impure = {"open", "print", "input", "__import__", "exec", "eval", "hash", "id"} - compiles
        assert not impure & set(calls), module


def test_chance_in_the_pure_part_always_has_a_seed() -> None:
    for module in PURE:
        for node in nodes()[module]:
            if isinstance(node, ast.ImportFrom):
                assert node.module != "random", module
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random":
                assert node.attr == "Random", module
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "random.Random":
                assert node.args, module


def test_neither_reports_nor_executors_import_the_scheduler() -> None:
    for module in PATHS:
        if module.startswith(("reports", "engine.executors", "cluster", "nodes", "engine.attempt")):
            assert not {"core.scheduler", "engine.runner"} & set(inner(module)), module


def test_the_pool_of_worker_processes_knows_no_store_no_table_and_no_pipeline() -> None:
    known = {"engine.executors.fork_server", "core.values"}
    others = [name for name in inner("engine.executors.pool") if name not in known]
    assert {package_of(name) for name in others} == {"system"}
    assert {package_of(name) for name in inner("engine.executors.fork_server")} == {"system"}


def test_nothing_is_global() -> None:
    assert not [name for name, found in nodes().items() for node in found if isinstance(node, ast.Global)]


def test_only_the_package_of_pipeline_files_has_the_yaml_document() -> None:
    """A node's place in its file is its `source`; nobody else looks into the file."""
    users = {
        package_of(module) for module in PATHS for other in inner(module) if other == "pipeline_file.yaml.document"
    }
    assert users == {"pipeline_file"}


def test_ids_are_not_split() -> None:
    splits = {
        module if module in SPLITS_AT_DOTS else package_of(module)
        for module, found in nodes().items()
        for node in found
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("partition", "rpartition", "split", "rsplit")
        and any(isinstance(argument, ast.Constant) and argument.value == "." for argument in node.args)
    }
    assert splits == set(SPLITS_AT_DOTS)


@pytest.mark.parametrize("package", BUDGETS)
def test_a_package_has_no_more_lines_than_its_budget(package: str) -> None:
    lines = sum(len(path.read_text().splitlines()) for module, path in PATHS.items() if package_of(module) == package)
    assert lines <= BUDGETS[package]


def test_the_map_in_contributing_has_these_packages_in_this_order() -> None:
    text = (ROOT.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", text, re.M) == [*BUDGETS][::-1]


def test_files_and_functions_are_short() -> None:
    long_files = [name for name, path in PATHS.items() if len(path.read_text().splitlines()) > MOST_LINES]
    long_functions = [
        f"{module}.{node.name}"
        for module, found in nodes().items()
        for node in found
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= MOST_FUNCTION_LINES
    ]
    assert not long_files + long_functions


def test_no_two_files_of_tests_have_one_name() -> None:
    """pytest imports them by their names alone, so it refuses to run both."""
    names = [path.name for path in Path(__file__).parent.rglob("*.py") if path.name != "__init__.py"]
    assert sorted(names) == sorted(set(names))
