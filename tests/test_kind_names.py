"""No module outside of `nfrun/nodes` compares or lists the names of kinds: what it asks a kind is in `Kind`.

Other things have these names, too: `run` is a command, and `python` a version. So a name counts where it stands beside
the kind or the body of something, and three in one list are a list of kinds.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence

import pytest
from test_layers import PATHS, ROOT, nodes

from nfrun.nodes.registry import KINDS

_MANY = 3  # names of kinds in one list, which are there for what they are


def names_in(part: ast.AST, constants: Mapping[str, ast.AST]) -> set[str]:
    """The names of kinds in a text, in a list, or in a constant of the module that has these."""
    found = {node.value for node in ast.walk(part) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    for node in ast.walk(part):
        if isinstance(node, ast.Name) and node.id in constants:
            found |= names_in(constants[node.id], {})
    return found & {*KINDS}


def is_of_kind(part: ast.AST) -> bool:
    """Whether an expression has the kind or the body of something: `spec.kind`, `kind`, `body`, `kind_of(node)`."""
    words = (getattr(node, "attr", getattr(node, "id", "")) for node in ast.walk(part))
    return any(re.search(r"(?:^|_)(?:kinds?|body)(?:_|$)", word) for word in words)


def named_kinds(nodes: Sequence[ast.AST]) -> Iterator[tuple[str, str, int]]:
    """What a module does for kinds that it names: the form, the names and the line."""
    constants = {
        target.id: node.value
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and not isinstance(node.value, ast.Constant | ast.Name | ast.Attribute)
    }
    for node in nodes:
        asked: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            form, asked = "comparison", [node.left, *node.comparators]
        elif isinstance(node, ast.Subscript):
            form, asked = "table", [node.value, node.slice]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            form, asked = "table", [node.func.value, *node.args]
        elif isinstance(node, ast.Match):
            form, asked = "pattern", [node.subject, *(case.pattern for case in node.cases)]
        elif isinstance(node, ast.Set | ast.List | ast.Tuple | ast.Dict) and len(names_in(node, {})) >= _MANY:
            form, asked = "list", [ast.Name("kinds"), node]
        elif isinstance(node, ast.MatchClass) and "kind" in node.kwd_attrs:
            form, asked = "pattern", [ast.Name("kind"), *node.kwd_patterns]
        if not any(map(is_of_kind, asked)):
            continue
        for part in asked:
            if not is_of_kind(part):
                yield from ((form, name, getattr(node, "lineno", 0)) for name in sorted(names_in(part, constants)))


@pytest.mark.parametrize(
    ("source", "form"),
    [
        ("spec.kind == 'sql'", "comparison"),
        ("'sql' != spec.kind", "comparison"),
        ("'sql' in body", "comparison"),
        ("kind in ('sql', 'other')", "comparison"),
        ("spec.kind in ['sql']", "comparison"),
        ("spec.kind in {'sql'}", "comparison"),
        ("NAMES = ('sql', *others)\nspec.kind in NAMES", "comparison"),
        ("NAMES = frozenset(['other', 'sql'])\nkind_of(node).name in NAMES", "comparison"),
        ("{'sql': 1}.get(spec.kind)", "table"),
        ("WORDS = {**others, 'sql': 1}\nWORDS[spec.kind]", "table"),
        ("body['sql']", "table"),
        ("match spec.kind:\n  case 'sql': pass", "pattern"),
        ("match spec.kind:\n  case 'other' | 'sql': pass", "pattern"),
        ("match spec:\n  case Spec(kind='sql'): pass", "pattern"),
    ],
)
def test_each_form_is_found(source: str, form: str) -> None:
    assert [(found, name) for found, name, _ in named_kinds([*ast.walk(ast.parse(source))])] == [(form, "sql")]


def test_a_list_of_kinds_is_found() -> None:
    found = named_kinds([*ast.walk(ast.parse("NAMES = ('sql', 'python', 'read')"))])
    assert [(form, name) for form, name, _ in found] == [("list", "python"), ("list", "read"), ("list", "sql")]


@pytest.mark.parametrize(
    "source",
    [
        "print('sql')",
        "{'a': 'sql'}",
        "x == 'sql'",
        "spec.kind == 'a sql node'",
        "x = 'sql'",
        "NAMES = ('run', 'python')",
    ],
)
def test_other_texts_are_no_names_of_kinds(source: str) -> None:
    assert not list(named_kinds([*ast.walk(ast.parse(source))]))


def test_only_the_package_nodes_names_kinds() -> None:
    found = [
        (str(path.relative_to(ROOT)), line, form, name)
        for module, path in PATHS.items()
        if ROOT / "nodes" not in path.parents
        for form, name, line in named_kinds(nodes()[module])
    ]
    assert found == []
