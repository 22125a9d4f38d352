"""Extracts what a statement uses: names, imports, and modules that it may load by a computed name.

Nested code is walked with a list of pending nodes: code may be nested deeper than Python can recurse.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TypeAlias

from nfrun.code.bindings import (
    ANYWHERE_ATTRS,
    COMPREHENSIONS,
    DYNAMIC_ATTRS,
    DYNAMIC_NAMES,
    FUNCTIONS,
    IMPORT_FUNCTIONS,
    Function,
    Imported,
    argument_names,
    binds,
    body_of,
    imports_of,
    parts_of,
    scope,
)
from nfrun.core.values import field, mutable

_QUERIES = {"query", "eval", "sql", "execute", "from_query", "read_sql", "read_sql_query", "evaluate", "sqldf"}
_QUERIES |= {"executemany"}
_TABLES = {"table", "view", "filter"}  # of DuckDB; the texts may be values, not to be taken for queries elsewhere
# Words of a process of Python that runs a module or code by text: in one text, or the first of several.
_STARTS_MODULE = re.compile(r"\bpython[\d.]*\b.*\s-[mc]\b", re.DOTALL)
_PYTHON = re.compile(r"(.*/)?python[\d.]*")

_NAMES = (ast.Attribute, ast.Name)
_IMPORTS = (ast.Import, ast.ImportFrom)
_FUNCTIONS = (*FUNCTIONS, ast.Lambda)
_MAY_QUOTE = (*FUNCTIONS, ast.Call, ast.arg, ast.AnnAssign)  # code in a text

_Local: TypeAlias = Mapping[str, tuple[Imported, ...]]  # local names, and the imports that they may be bound to


@mutable
class Uses:
    """What a statement uses: `names` of its module and `imports` of its own, with attributes ("helpers.clean").

    `loads` are modules that it imports. `is_dynamic`: it may reach anything, and `texts` may name modules. It may load
    any module of `dynamic_packages` by a computed name: "" is any package, ".a" one in its own package.
    """

    names: dict[str, None] = field(default_factory=dict)
    imports: dict[tuple[Imported, str], None] = field(default_factory=dict)
    loads: dict[str, None] = field(default_factory=dict)
    is_dynamic: bool = False
    texts: dict[str, None] = field(default_factory=dict)
    dynamic_packages: dict[str, None] = field(default_factory=dict)


def uses(body: ast.AST, package: str) -> Uses:
    """Collect what a statement uses, without names that are local to functions and comprehensions in it."""
    found = Uses()
    left: list[tuple[ast.AST, _Local]] = [(body, {})]
    calls: dict[ast.AST, ast.Call] = {}  # by the called expression
    while left:
        node, local = left.pop()
        if isinstance(node, _MAY_QUOTE):
            left.extend((part, local) for part in _quoted(node))
        if isinstance(node, _NAMES):
            left.extend((part, local) for part in _take_name(node, local, found, calls.get(node)))
        elif isinstance(node, _FUNCTIONS):
            inside = _inside(node, local, package)
            own = {id(part) for part in body_of(node)}
            left.extend((part, inside if id(part) in own else local) for part in parts_of(node))
        elif isinstance(node, COMPREHENSIONS):
            targets = (name for part in node.generators for n in ast.walk(part.target) for name, _ in binds(n))
            inside = {**local, **dict.fromkeys(targets, ())}
            left.extend((part, inside) for part in parts_of(node))
            left.append((node.generators[0].iter, local))  # evaluated in the outer scope
        elif isinstance(node, _IMPORTS):
            for name, imported in imports_of(node, package):
                found.loads.update(dict.fromkeys(imported.loads))
                if name not in local:  # bound in the module by a loop or `global`: any code may use it
                    found.imports[imported, ""] = None
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found.dynamic_packages[""] = None
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.texts[node.value] = None
        else:
            left += [(part, local) for part in parts_of(node)]
        if isinstance(node, ast.Call):
            calls[node.func] = node
            _take_query(node, local, found)
        if isinstance(node, ast.ClassDef):  # its imports are used as its attributes
            bound = (imported for part in scope(node.body) for _, imported in binds(part, package))
            found.imports.update(((imported, ""), None) for imported in bound if imported)
    has_option = not found.texts.keys().isdisjoint(("-m", "-c"))
    if any(_STARTS_MODULE.search(text) or (has_option and _PYTHON.fullmatch(text)) for text in found.texts):
        found.dynamic_packages[""] = None
    return found


def is_query(name: str) -> bool:
    """Return whether a function or method of this dotted name may look up variables that its argument names."""
    return name.rpartition(".")[2] in _QUERIES


def is_by_name(name: str) -> bool:
    """Return whether the function of this dotted name imports the module that its argument names."""
    return name.rpartition(".")[2] in IMPORT_FUNCTIONS


def _take_name(node: ast.Attribute | ast.Name, local: _Local, found: Uses, call: ast.Call | None) -> list[ast.AST]:
    """Record a name with its attributes, called by `call`. Returns the attributes' owner if that is not a name."""
    path: list[str] = []
    part: ast.expr = node
    while isinstance(part, ast.Attribute):
        path.insert(0, part.attr)
        part = part.value
    head = part.id if isinstance(part, ast.Name) else ""
    found.is_dynamic |= not DYNAMIC_ATTRS.isdisjoint({head, *path}) or (head in DYNAMIC_NAMES and head not in local)
    rest, bound = ".".join(path), local.get(head, ())
    if is_by_name(rest or head) or any(imported.name in IMPORT_FUNCTIONS for imported in bound):
        found.dynamic_packages.update(dict.fromkeys(_named_below(call)))
    elif (
        any(imported.loads_more(rest) for imported in bound)
        or (head in ("exec", "eval") and head not in local and not _is_literal(call))
        or not ANYWHERE_ATTRS.isdisjoint(path)
    ):
        found.dynamic_packages[""] = None
    if head in local:
        found.imports.update(((imported, rest), None) for imported in bound)
    elif head:
        found.names[".".join([head, *path])] = None
    return [] if head else [part]


def _take_query(call: ast.Call, local: _Local, found: Uses) -> None:
    """Record the names in the text of a query, as pandas, polars and DuckDB look them up among the variables."""
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
                found.imports.update(((imported, rest), None) for imported in local.get(head, ()))
                if head not in local:
                    found.names[word] = None


def _is_literal(call: ast.Call | None) -> bool:
    """Return whether the text that a call gets stands in the code, so that all names in it are seen."""
    given = [*call.args, *(keyword.value for keyword in call.keywords)] if call is not None else []
    if len(given) > 1 and isinstance(given[1], ast.Name | ast.JoinedStr):  # relation.query("t", text)
        return False
    return any(isinstance(part, ast.Constant) for part in given[:1])


def _named_below(call: ast.Call | None) -> list[str]:
    """Return the package, as in `Uses.below`, from which a call imports a module by name; [] for a literal name."""
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)] if call is not None else []
    if not arguments:
        return [""]
    parts = [part for argument in arguments for part in getattr(argument, "elts", [argument])]
    own = [isinstance(part, ast.Name) and part.id in ("__name__", "__package__") for part in parts]
    text = _beginning(arguments[0])
    known = all(is_own or isinstance(part, ast.Constant) for is_own, part in zip(own, parts, strict=True))
    if known and not text.startswith(".."):  # ".." is not resolved: any module
        return []
    package = text if isinstance(arguments[0], ast.Constant) else text.rpartition(".")[0]
    if text.startswith("."):
        return [f".{package.lstrip('.')}" if text[1:2] != "." and own[1:2] == [True] else ""]
    return [package]


def _beginning(expression: ast.expr) -> str:
    """Return the literal text that an expression begins with, "" if none."""
    while True:
        match expression:
            case ast.Constant(str() as text):
                return text
            case ast.JoinedStr([first, *_]):
                expression = first
            case ast.BinOp(left, ast.Add()):
                expression = left
            case ast.BinOp(ast.Constant(str() as text), ast.Mod()):
                return text.partition("%")[0]
            case ast.Call(ast.Attribute(ast.Constant(str() as text), "format")):
                return text.partition("{")[0]
            case _:
                return ""


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


def _inside(function: Function, outside: _Local, package: str) -> _Local:
    """Return the local names inside a function, with the imports that they may be bound to."""
    own: dict[str, tuple[Imported, ...]] = dict.fromkeys(argument_names(function), ())
    outer: set[str] = set()  # names that the function itself declares to be the module's
    for node in scope(body_of(function)):
        if isinstance(node, ast.Global):
            outer.update(node.names)
        for name, imported in binds(node, package):
            own[name] = (*own.get(name, ()), *([imported] if imported else ()))
    return {name: bound for name, bound in {**outside, **own}.items() if name not in outer}
