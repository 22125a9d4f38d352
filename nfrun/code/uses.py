"""Extracts what a statement uses: names, imports, and whether it may load modules by a computed name.

Nested code is walked with a list of pending nodes: code may be nested deeper than Python can recurse.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Set
from contextlib import suppress
from types import CodeType
from typing import Any

from nfrun.code.bindings import (
    ANYWHERE_ATTRS,
    DYNAMIC_ATTRS,
    DYNAMIC_NAMES,
    FUNCTIONS,
    IMPORT_FUNCTIONS,
    Imported,
    binds,
    imports_of,
    parts_of,
    scope,
)
from nfrun.code.names_reader import ignored_warnings
from nfrun.core.values import field, mutable

_QUERIES = {"query", "eval", "sql", "execute", "from_query", "read_sql", "read_sql_query", "evaluate", "sqldf"}
_QUERIES |= {"executemany"}
_TABLES = {"table", "view", "filter"}  # of DuckDB; the texts may be values, not to be taken for queries elsewhere
# Words of a process of Python that runs a module or code by text: in one text, or the first of several.
_STARTS_MODULE = re.compile(r"\bpython[\d.]*\b.*\s-[mc]\b", re.DOTALL)
_PYTHON = re.compile(r"(.*/)?python[\d.]*")

_NAMES = (ast.Attribute, ast.Name)
_IMPORTS = (ast.Import, ast.ImportFrom)
_COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")  # names of code
_OPTIMIZED = 1  # the flag of code of functions, not of classes; the import of `inspect` takes long
_MAY_QUOTE = (*FUNCTIONS, ast.Call, ast.arg, ast.AnnAssign)  # code in a text


@mutable
class Uses:
    """What a statement uses: `names` of its module and `imports` of its own, with attributes ("helpers.clean").

    `loads` are modules that it imports. `is_dynamic`: it may reach anything in its module, and `texts` may name
    modules. `loads_any`: it may load any module, by a computed name.
    """

    names: dict[str, None] = field(default_factory=dict)
    imports: dict[tuple[Imported, str], None] = field(default_factory=dict)
    loads: dict[str, None] = field(default_factory=dict)
    is_dynamic: bool = False
    texts: dict[str, None] = field(default_factory=dict)
    loads_any: bool = False


def uses(body: ast.AST, package: str) -> Uses:
    """Collect what a statement uses, without names that are local to functions and comprehensions in it."""
    found = Uses()
    quoted_names, in_queries = set[str](), set[str]()
    imported_here: dict[str, list[Imported]] = {}
    read: list[tuple[str, str, ast.Call | None]] = []  # names, with their attributes and the call of each
    left: list[ast.AST] = [body]
    calls: dict[ast.AST, ast.Call] = {}  # by the called expression
    while left:
        node = left.pop()
        if isinstance(node, _MAY_QUOTE):
            quoted = [*_quoted(node)]
            quoted_names.update(part.id for each in quoted for part in ast.walk(each) if isinstance(part, ast.Name))
            left += quoted
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
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.texts[node.value] = None
        else:
            left += parts_of(node)
        if isinstance(node, ast.Call):
            calls[node.func] = node
            named = [*_named_in_query(node, found)]
            in_queries.update(name for name, _, _ in named)
            read += named
        if isinstance(node, ast.ClassDef):  # its imports are used as its attributes
            bound = (imported for part in scope(node.body) for _, imported in binds(part, package))
            found.imports.update(((imported, ""), None) for imported in bound if imported)
    local = _local_names(body, in_queries) - quoted_names  # an annotation means those of the module
    for name, bound_here in imported_here.items():
        if name not in local:  # bound in the module by a loop or `global`: any code may use it
            found.imports.update(((imported, ""), None) for imported in bound_here)
    for name, rest, call in read:
        _take_name(name, rest, call, imported_here.get(name, []), found, local)
    has_option = not found.texts.keys().isdisjoint(("-m", "-c"))
    if any(_STARTS_MODULE.search(text) or (has_option and _PYTHON.fullmatch(text)) for text in found.texts):
        found.loads_any = True
    return found


def is_query(name: str) -> bool:
    """Return whether a function or method of this dotted name may look up variables that its argument names."""
    return name.rpartition(".")[2] in _QUERIES


def is_by_name(name: str) -> bool:
    """Return whether the function of this dotted name imports the module that its argument names."""
    return name.rpartition(".")[2] in IMPORT_FUNCTIONS


def _local_names(body: ast.AST, in_queries: Set[str]) -> Set[str]:
    """Return the names that functions and comprehensions bind, as Python's compiler sees it; none of the module.

    The compiler does not see the names `in_queries`. They are local if the whole statement is one function that binds
    them: of several functions, nobody knows which has the query.
    """
    place: dict[str, Any] = {"lineno": 1, "col_offset": 0, "end_lineno": 1, "end_col_offset": 0}
    statement = body.value if isinstance(body, ast.keyword) else body
    if isinstance(statement, ast.withitem):
        statement = ast.With([statement], [ast.Pass(**place)], **place)
    elif isinstance(statement, ast.expr):
        statement = ast.Expr(statement, **place)
    tree = statement if isinstance(statement, ast.Module) else ast.Module([statement], [])  # type: ignore[list-item]
    local, outer, own = set[str](), set[str](), list[set[str]]()
    with suppress(SyntaxError, TypeError, ValueError, RecursionError, MemoryError), ignored_warnings():
        left = [compile(tree, "", "exec", dont_inherit=True, optimize=0)]
        while left:
            code = left.pop()
            local.update(code.co_varnames, code.co_cellvars)
            outer.update(code.co_names)
            if code.co_flags & _OPTIMIZED and code.co_name not in _COMPREHENSIONS:
                own.append({*code.co_varnames, *code.co_cellvars})
            left += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    if (
        in_queries and len(own) == 1 and isinstance(body, FUNCTIONS)
    ):  # from Python 3.12 on, with those of comprehensions
        targets = (part.target for part in ast.walk(body) if isinstance(part, ast.comprehension))
        in_queries = in_queries - own[0].difference(getattr(n, "id", "") for each in targets for n in ast.walk(each))
    return local - outer - in_queries


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
    found.is_dynamic |= not DYNAMIC_ATTRS.isdisjoint({head, *path}) or (head in DYNAMIC_NAMES and head not in local)
    if is_by_name(rest or head) or any(imported.name in IMPORT_FUNCTIONS for imported in bound):
        found.loads_any |= not _is_named(call)
    found.loads_any |= (
        any(imported.loads_more(rest) for imported in bound if not is_by_name(rest))
        or (head in ("exec", "eval") and head not in local and not _is_literal(call))
        or not ANYWHERE_ATTRS.isdisjoint(path)
    )
    found.imports.update(((imported, rest), None) for imported in bound)
    if head and head not in local:
        found.names[".".join(filter(None, [head, rest]))] = None


def _named_in_query(call: ast.Call, found: Uses) -> Iterator[tuple[str, str, None]]:
    """Yield the names in the text of a query, as pandas, polars and DuckDB look them up among the variables."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    if not given or not (is_query(name) or name in _TABLES):
        return
    found.is_dynamic |= is_query(name) and not _is_literal(call)
    for argument in given:
        parts = ast.walk(argument) if is_query(name) else [argument]
        for text in (part.value for part in parts if isinstance(part, ast.Constant)):
            for word in re.findall(r"[^\W\d][\w.]*", text) if isinstance(text, str) else ():
                head, _, rest = word.partition(".")
                yield head, rest, None


def _is_literal(call: ast.Call | None) -> bool:
    """Return whether the text that a call gets stands in the code, so that all names in it are seen."""
    given = [*call.args, *(keyword.value for keyword in call.keywords)] if call is not None else []
    if len(given) > 1 and isinstance(given[1], ast.Name | ast.JoinedStr):  # relation.query("t", text)
        return False
    return any(isinstance(part, ast.Constant) for part in given[:1])


def _is_named(call: ast.Call | None) -> bool:
    """Return whether a call names the module that it imports, if it is relative, then from its own package."""
    given = [*call.args, *(keyword.value for keyword in call.keywords)] if call is not None else []
    parts = [part for argument in given for part in getattr(argument, "elts", [argument])]
    text = getattr(given[0], "value", "") if given else ".."
    own = ("__name__", "__package__")
    known = all(isinstance(part, ast.Constant) or getattr(part, "id", "") in own for part in parts)
    return known and isinstance(text, str) and not text.startswith("..")


def _quoted(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the code in string annotations of the node, and in a text that it hands to `eval` or `exec`."""
    match node:
        case ast.Call(ast.Name("eval" | "exec"), [ast.Constant(str() as text), *_]):
            with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                yield ast.parse(text.strip())
    annotation = getattr(node, "annotation", None) or getattr(node, "returns", None)
    for part in ast.walk(annotation) if annotation is not None else ():
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                yield ast.parse(part.value, mode="eval").body
