"""No module outside of `nfrun/nodes` compares or lists the names of kinds: what it asks a kind is in `Kind`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

import pytest
from test_layers import PATHS, ROOT, nodes

from nfrun.nodes.registry import KINDS

# Where the same word means something else: module, form, word.
OTHER_MEANINGS = {
    ("__main__.py", "comparison", "run"): "a command",
    ("__main__.py", "list", "run"): "a command",
    ("cli/bench.py", "tuple", "run"): "a command",
    ("engine/attempt_context.py", "tuple", "run"): "an attribute of an attempt: the id of its run",
    ("cli/bench.py", "dict key", "python"): "the version of Python",
    ("history/cache/cache_key.py", "dict key", "python"): "the version of Python",
    ("session/cluster_run.py", "dict key", "python"): "the version of Python",
    ("cli/commands.py", "comparison", "pipeline"): "the name of a schema",
    ("cli/schema_options.py", "tuple", "pipeline"): "the name of a schema",
    ("cli/schema_options.py", "tuple", "run"): "the name of a schema",
    ("session/ci_files.py", "dict key", "python"): "the version of Python",
    ("session/health.py", "dict key", "python"): "the version of Python",
    ("session/health.py", "tuple", "python"): "the version of Python",
    ("session/ci_files.py", "dict key", "run"): "the id of a run",
    ("cluster/preflight.py", "tuple", "python"): "the version of Python",
    ("cli/commands.py", "dict key", "run"): "a command",
    ("cli/completion.py", "dict key", "run"): "what an option names: a run",
    ("session/option_fields.py", "tuple", "run"): "what an option names: a run",
    ("history/cache/change_text.py", "dict key", "input"): "a key input that is the content of an input",
    ("history/index_tables.py", "tuple", "input"): "a key input that is the content of an input",
    ("tables/contracts/check_values.py", "dict key", "sql"): "a check whose query gives the rows that fail",
    ("tables/contracts/check_values.py", "dict key", "python"): "a check that is a function",
    ("core/contracts.py", "tuple", "sql"): "a check whose query gives the rows that fail",
    ("core/contracts.py", "tuple", "python"): "a check that is a function",
    ("history/lock_files.py", "tuple", "pipeline"): "the name of the pipeline of a run",
    ("code/facts/clocks.py", "tuple", "write"): "a method of files",
    ("lookback/runs_view.py", "list", "pipeline"): "the heading of a column",
    ("lookback/runs_view.py", "dict key", "pipeline"): "the name of the pipeline of a run",
    ("pipeline_file/suggestions.py", "tuple", "input"): "a word for inputs",
    ("code/uses.py", "set", "sql"): "a function of libraries that runs a query",
    ("nodes/texts/script_files.py", "comparison", "python"): "a language",
    ("lookback/command_again.py", "list", "run"): "the command",
    ("lookback/node_view.py", "dict key", "run"): "the run in a JSON document",
    ("lookback/node_view.py", "tuple", "read"): "the label of the files that a node read",
    ("cluster/answers.py", "dict key", "python"): "the version of Python",
    ("lookback/run_view.py", "dict key", "run"): "the run in a JSON document",
    ("lookback/runs_view.py", "dict key", "run"): "the id of a run",
    ("lookback/runs_view.py", "list", "run"): "the heading of a column",
    ("lookback/runs_view.py", "set", "run"): "the heading of a column",
    ("history/lock_files.py", "tuple", "run"): "the id of a run",
    ("lookback/page/run_data.py", "dict key", "pipeline"): "the name of the pipeline of a run",
    ("lookback/page/recorded_trace.py", "dict key", "run"): "the id of a run",
    ("lookback/page/run_data.py", "dict key", "run"): "the run in a JSON document",
    ("reports/bench_table.py", "tuple", "python"): "the version of Python",
    ("reports/json_document.py", "dict key", "run"): "the id of a run",
    ("pipeline_file/node_binder.py", "comparison", "run"): "the names under run. in expressions",
    ("pipeline_file/binder.py", "dict key", "run"): "the names under run. in expressions",
    ("pipeline_file/expression_checks.py", "dict key", "run"): "the names under run. in expressions",
    ("pipeline_file/matrix/resolution.py", "tuple", "run"): "the names under run. in expressions",
    ("pipeline_file/parameters.py", "dict key", "run"): "the names under run. in expressions",
}


def named_kinds(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str, int]]:
    """The names of kinds in comparisons, lists and patterns of a module: form, name and line."""
    for node in nodes:
        parts: list[ast.expr | None] = []
        if isinstance(node, ast.Compare):
            form, parts = "comparison", [node.left, *node.comparators]
        elif isinstance(node, ast.Set | ast.List | ast.Tuple):
            form, parts = type(node).__name__.lower(), [*node.elts]
        elif isinstance(node, ast.Dict):
            form, parts = "dict key", node.keys
        elif isinstance(node, ast.MatchValue):
            form, parts = "pattern", [node.value]
        for part in parts:
            if isinstance(part, ast.Constant) and part.value in KINDS:
                yield form, part.value, part.lineno


@pytest.mark.parametrize(
    ("source", "form"),
    [
        ("spec.kind == 'sql'", "comparison"),
        ("'sql' != spec.kind", "comparison"),
        ("'sql' in body", "comparison"),
        ("spec.kind in ('sql', 'other')", "tuple"),
        ("spec.kind in ['sql']", "list"),
        ("spec.kind in {'sql'}", "set"),
        ("frozenset(['other', 'sql'])", "list"),
        ("NAMES = ('sql', *others)", "tuple"),
        ("{'sql': 1}.get(spec.kind)", "dict key"),
        ("{**others, 'sql': 1}", "dict key"),
        ("match spec.kind:\n  case 'sql': pass", "pattern"),
        ("match spec.kind:\n  case 'other' | 'sql': pass", "pattern"),
        ("match spec:\n  case Spec(kind='sql'): pass", "pattern"),
    ],
)
def test_each_form_is_found(source: str, form: str) -> None:
    assert [(found, name) for found, name, _ in named_kinds(ast.walk(ast.parse(source)))] == [(form, "sql")]


@pytest.mark.parametrize("source", ["print('sql')", "{'a': 'sql'}", "x == 'a sql node'", "x = 'sql'", "f'{sql}' == 1"])
def test_other_texts_are_no_lists_of_kinds(source: str) -> None:
    assert not list(named_kinds(ast.walk(ast.parse(source))))


def test_only_the_package_nodes_names_kinds() -> None:
    found = {
        (str(path.relative_to(ROOT)), form, name): f"{path}:{line}"
        for module, path in PATHS.items()
        if path.parent != ROOT / "nodes"
        for form, name, line in named_kinds(nodes()[module])
    }
    assert [place for key, place in found.items() if key not in OTHER_MEANINGS] == []
    assert OTHER_MEANINGS.keys() <= found.keys(), "an exception that is no longer needed"
