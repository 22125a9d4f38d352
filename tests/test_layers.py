# ruff: noqa: E501
"""Imports go up one list only, and the pure part is pure. Each line of `LAYERS` may import from the lines before it."""

from __future__ import annotations

import ast
from fnmatch import fnmatch
from pathlib import Path

import nfrun

LAYERS = """
__init__ cli  cache reports engine engine.executors spec nodes code logs tables system core
core.text
core.events core.errors core.pipeline
core.plan logs.redaction
core.scheduler reports.bench_stats tables.write_queue
core.simulation
logs.node_logs system.pipes system.checksums system.atomic_files
tables.digest tables.formats code.function_lookup code.symbols tables.json_values spec.text_file spec.yaml_messages spec.yaml_scalars spec.suggestions spec.parameters system.sizes cache.work_dir
tables.local_files nodes.sql_files system.process_tree system.groups system.units system.stray_output system.os_errors system.std_streams code.module_index
tables.file_io spec.expressions tables.ipc spec.yaml_fast system.garbage system.runtime code.fingerprint cache.journal code.source_import nodes.external_files
nodes.base
nodes.*
nodes.registry
spec.yaml_document
spec.schema spec.expression_checks spec.paramsfile
spec.loader
spec.binder cache.cache_key cache.history engine.node_stats
tables.output_files cache.reuse_decision
tables.store engine.gil_contention engine.failures
tables.json_store
tables.worker_store engine.placement
engine.attempt
cache.cached_attempts logs.print_capture logs.event_redaction
cache.journal_writer
engine.executors.base
engine.executors.worker
engine.executors.*
engine.runner
reports.format_units reports.line_buffer engine.event_dispatch engine.pace
reports.*
reports.plan_view cache.run_cache cache.prune logs.stream_takeover cli.exit_codes cli.run_setup
cli.run_reports
cli.run
cli.bench
cli.commands
cli.fast_args cli.typer_app system.supervisor
__main__
"""
PURE = (
    "core.events",
    "core.errors",
    "core.pipeline",
    "core.plan",
    "logs.redaction",
    "core.scheduler",
    "reports.bench_stats",
    "tables.write_queue",
    "core.simulation",
)
IMPURE = {"time", "datetime", "os", "pathlib", "threading", "logging", "asyncio", "subprocess", "io", "tempfile", "sys"}

ROOT = Path(nfrun.__file__).parent
PATHS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text()) for name, path in PATHS.items()}
# A name that is written out goes before a pattern.
ROWS = sorted(
    ((pattern, row) for row, line in enumerate(LAYERS.split("\n")) for pattern in line.split()),
    key=lambda pair: "*" in pair[0],
)


def layer(module: str) -> int:
    rows = [row for pattern, row in ROWS if fnmatch(module, pattern)]
    assert rows, f"nfrun.{module} has no place in the list of layers"
    return rows[0]


def imported(module: str) -> set[str]:
    """All it imports, wherever in it: modules of nfrun with a leading dot, of others the top name.

    Where it calls `import_module`, also what it names as text.
    """
    found: set[str] = set()
    by_name = any(isinstance(node, ast.Name) and node.id == "import_module" for node in ast.walk(TREES[module]))
    texts = {f"nfrun.{name}" for name in PATHS} if by_name else set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            parts = [f"{node.module}.{alias.name}" for alias in node.names]
            found.update(part if part.removeprefix("nfrun.") in PATHS else node.module or "" for part in parts)
        elif isinstance(node, ast.Constant) and node.value in texts:
            found.add(str(node.value))
    ours = {name.removeprefix("nfrun").removeprefix(".") or "__init__" for name in found if name.startswith("nfrun")}
    return {f".{name}" for name in ours} | {name.split(".")[0] for name in found if not name.startswith("nfrun")}


def test_every_line_of_the_list_is_of_use() -> None:
    used = {layer(module) for module in PATHS}
    assert used == {row for _, row in ROWS}


def test_imports_go_up_the_list_only() -> None:
    for module in PATHS:
        for name in sorted(imported(module)):
            if name.startswith("."):
                other = name.removeprefix(".")
                same_folder = "." in module and module.rpartition(".")[0] == other.rpartition(".")[0]
                assert layer(other) < layer(module) or (layer(other) == layer(module) and same_folder), (
                    f"nfrun.{module} imports nfrun.{other}"
                )


def test_modules_that_are_imported_by_name_are_seen() -> None:
    kinds = {
        f".{name}"
        for name in PATHS
        if name.startswith("nodes.") and name.split(".")[1] in {"python", "sql", "shell", "read", "write"}
    }
    assert len(kinds) > 1
    assert imported("nodes.registry") >= kinds


def test_the_pure_part_knows_no_clock_no_files_no_threads_and_no_logger() -> None:
    for module in PURE:
        assert not imported(module) & IMPURE, module
        calls = [n.func.id for n in ast.walk(TREES[module]) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
        assert not {"open", "print", "input", "__import__", "exec", "eval", "hash", "id"} & set(calls), module


def test_chance_in_the_pure_part_always_has_a_seed() -> None:
    for module in PURE:
        for node in ast.walk(TREES[module]):
            if isinstance(node, ast.ImportFrom):
                assert node.module != "random", module
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random":
                assert node.attr == "Random", module
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "random.Random":
                assert node.args, module


def test_neither_reports_nor_executors_have_heard_of_the_scheduler() -> None:
    for module in PATHS:
        if module.startswith(("reports", "engine.executors", "nodes", "engine.attempt")):
            assert not {".core.scheduler", ".core.simulation", ".engine.runner"} & imported(module), module


def test_nothing_is_global() -> None:
    assert not [name for name, tree in TREES.items() for node in ast.walk(tree) if isinstance(node, ast.Global)]
