"""Extracts what a statement uses: names, imports, and whether it may load modules by a computed name.

Nested code is walked with a list of pending nodes: code may be nested deeper than Python can recurse.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Set
from contextlib import suppress
from types import CodeType
from typing import Any

from nfrun.code.bindings import (
    ANYWHERE_ATTRS,
    DYNAMIC_ATTRS,
    DYNAMIC_NAMES,
    IMPORT_FUNCTIONS,
    Imported,
    binds,
    finds_packages,
    imports_of,
    last_name,
    parts_of,
    scope,
)
from nfrun.code.names_reader import ignored_warnings
from nfrun.core.values import field, mutable

# Functions and methods that look up what a text names: variables, which are tables, or anything, in an expression.
QUERIES = {"sql", "execute", "executemany", "from_query", "read_sql", "read_sql_query", "sqldf"}
EXPRESSIONS = {"query", "eval", "evaluate"}
# Words of a process of Python that runs a module or code by text: in one text, or the first of several.
_STARTS_MODULE = re.compile(r"\bpython[\d.]*\b.*\s-[mc]\b", re.DOTALL)
_PYTHON = re.compile(r"(.*/)?python[\d.]*")
_WORD = re.compile(r"[^\W\d][\w.]*")

_NAMES = (ast.Attribute, ast.Name)
_IMPORTS = (ast.Import, ast.ImportFrom)


@mutable
class Uses:
    """The names that a statement uses: `names` of its module and own `imports`, with attributes ("helpers.clean").

    `loads` are modules that it imports. `words` stand in its texts, and may name variables, classes and imports, as
    in an annotation; if it `is_query`, functions too. `queries` are functions that get a computed text, in which they
    look for names. `is_dynamic`: it may reach anything in its module, and `texts` may name modules. `loads_any`: it may
    load any module, by a computed name.
    """

    names: dict[str, None] = field(default_factory=dict)
    imports: dict[tuple[Imported, str], None] = field(default_factory=dict)
    loads: dict[str, None] = field(default_factory=dict)
    words: dict[str, None] = field(default_factory=dict)
    is_query: bool = False
    queries: dict[str, None] = field(default_factory=dict)
    is_dynamic: bool = False
    texts: dict[str, None] = field(default_factory=dict)
    loads_any: bool = False


def uses(body: ast.AST, package: str) -> Uses:
    """Collect what a statement uses, without names that are local to functions and comprehensions in it."""
    found = Uses()
    imported_here: dict[str, list[Imported]] = {}
    read: list[tuple[str, str, ast.Call | None]] = []  # names, with their attributes and the call of each
    left: list[ast.AST] = [body]
    computed: list[ast.expr] = []  # functions that get a computed query
    calls: dict[ast.AST, ast.Call] = {}  # by the called expression
    while left:
        node = left.pop()
        if isinstance(node, _NAMES):
            name, rest, owner = _path(node)
            read.append((name, rest, calls.get(node)))
            left += owner
        elif isinstance(node, _IMPORTS):
            for name, imported in imports_of(node, package):
                found.loads.update(dict.fromkeys(imported.loads))
                imported_here.setdefault(name, []).append(imported)
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found.loads_any = True
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # a docstring
            found.texts.update({node.value.value: None} if isinstance(node.value.value, str) else {})
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                found.texts[node.value] = None
                found.words.update(dict.fromkeys(_WORD.findall(node.value)))
        else:
            left += parts_of(node)
        if isinstance(node, ast.Call):
            calls[node.func] = node
            if last_name(node.func) in QUERIES | EXPRESSIONS and _given(node):
                found.is_query = True
                computed += [] if _is_literal(node) else [node.func]
        if isinstance(node, ast.ClassDef):  # its imports are used as its attributes
            bound = (imported for part in scope(node.body) for _, imported in binds(part, package))
            found.imports.update(((imported, ""), None) for imported in bound if imported)
    local = _local_names(body)
    for name, bound_here in imported_here.items():
        if name not in local:  # bound in the module by a loop or `global`: any code may use it
            found.imports.update(((imported, ""), None) for imported in bound_here)
    for name, rest, call in read:
        _take_name(name, rest, call, imported_here.get(name, []), found, local)
    for function in computed:
        head, rest, _ = _path(function) if isinstance(function, _NAMES) else ("", "", [])
        is_known = head and head not in local
        found.queries[".".join(filter(None, [head, rest])) if is_known else f".{last_name(function)}"] = None
    for word in found.words:
        head, _, rest = word.partition(".")
        found.imports.update(((imported, rest), None) for imported in imported_here.get(head, ()))
    has_option = not found.texts.keys().isdisjoint(("-m", "-c"))
    if any(_STARTS_MODULE.search(text) or (has_option and _PYTHON.fullmatch(text)) for text in found.texts):
        found.loads_any = True
    return found


def is_by_name(name: str) -> bool:
    """Return whether the function of this dotted name imports the module that its argument names."""
    return name.rpartition(".")[2] in IMPORT_FUNCTIONS


def _local_names(body: ast.AST) -> Set[str]:
    """Return the names that functions and comprehensions bind, as Python's compiler sees it; none of the module."""
    place: dict[str, Any] = {"lineno": 1, "col_offset": 0, "end_lineno": 1, "end_col_offset": 0}
    statement = body.value if isinstance(body, ast.keyword) else body
    if isinstance(statement, ast.withitem):
        statement = ast.With([statement], [ast.Pass(**place)], **place)
    elif isinstance(statement, ast.expr):
        statement = ast.Expr(statement, **place)
    tree = statement if isinstance(statement, ast.Module) else ast.Module([statement], [])  # type: ignore[list-item]
    local, outer = set[str](), set[str]()
    with suppress(SyntaxError, TypeError, ValueError, RecursionError, MemoryError), ignored_warnings():
        left = [compile(tree, "", "exec", dont_inherit=True, optimize=0)]
        while left:
            code = left.pop()
            local.update(code.co_varnames, code.co_cellvars)
            outer.update(code.co_names)
            left += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return local - outer


def _path(node: ast.Attribute | ast.Name) -> tuple[str, str, list[ast.AST]]:
    """Return a name, "" if there is none, its attributes, and the attributes' owner if that is not a name."""
    path: list[str] = []
    part: ast.expr = node
    while isinstance(part, ast.Attribute):
        path.insert(0, part.attr)
        part = part.value
    return (part.id, ".".join(path), []) if isinstance(part, ast.Name) else ("", ".".join(path), [part])


def _take_name(
    head: str, rest: str, call: ast.Call | None, bound: list[Imported], found: Uses, local: Set[str]
) -> None:
    """Record a name with its attributes, called by `call`; `bound` are the imports of the statement that bind it."""
    path = rest.split(".")
    is_dynamic = head in DYNAMIC_NAMES and head not in local and not finds_packages(f"{head}.{rest}")
    found.is_dynamic |= is_dynamic or not DYNAMIC_ATTRS.isdisjoint({head, *path})
    if is_by_name(rest or head) or any(imported.name in IMPORT_FUNCTIONS for imported in bound):
        found.loads_any |= not _names_module(call)
    found.loads_any |= (
        any(imported.loads_more(rest) for imported in bound if not is_by_name(rest))
        or (head in ("exec", "eval") and head not in local and not _is_literal(call))
        or not ANYWHERE_ATTRS.isdisjoint(path)
    )
    found.imports.update(((imported, rest), None) for imported in bound)
    if head and head not in local:
        found.names[".".join(filter(None, [head, rest]))] = None


def _given(call: ast.Call | None) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)] if call is not None else []


def _is_literal(call: ast.Call | None) -> bool:
    """Return whether the text that a call gets stands in the code, so that all names in it are seen."""
    given = _given(call)
    if len(given) > 1 and isinstance(given[1], ast.Name | ast.JoinedStr):  # relation.query("t", text)
        return False
    return any(isinstance(part, ast.Constant) or _has_literal_names(part) for part in given[:1])


def _has_literal_names(text: ast.expr) -> bool:
    """Return whether what is computed in an f-string stands inside of quotes, where it can name no variable."""
    if not isinstance(text, ast.JoinedStr):
        return False
    parts = (str(part.value) if isinstance(part, ast.Constant) else "\0" for part in text.values)
    return "\0" not in re.sub("'[^']*'", "", "".join(parts))


def _names_module(call: ast.Call | None) -> bool:
    """Return whether a call names the module that it imports, if it is relative, then from its own package."""
    given = _given(call)
    parts = [part for argument in given for part in getattr(argument, "elts", [argument])]
    text = getattr(given[0], "value", "") if given else ".."
    own = ("__name__", "__package__")
    known = all(isinstance(part, ast.Constant) or getattr(part, "id", "") in own for part in parts)
    return known and isinstance(text, str) and not text.startswith("..")
