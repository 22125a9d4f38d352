"""Finds code that may change objects of other code while its module is imported, such as a registry. Reads trees only.

If unsure, code counts as changing them: running a node too often is better than reusing a stale result.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from nfrun.code.bindings import COMPREHENSIONS, FUNCTIONS
from nfrun.code.symbols import Symbols
from nfrun.code.uses import uses

# Functions and methods that change none of their arguments, and those whose results cannot be changed.
_READING = {"len", "sorted", "list", "tuple", "set", "dict", "frozenset", "sum", "min", "max", "zip", "enumerate"}
_READING |= {"str", "int", "float", "bool", "bytes", "any", "all", "reversed", "isinstance", "repr"}
_READING |= {"get", "keys", "values", "items", "index", "count", "copy", "deepcopy", "join", "joinpath", "split"}
_READING |= {"strip", "format", "lower", "upper", "replace", "startswith", "endswith", "encode", "decode", "union"}
_READING |= {"resolve", "absolute", "with_suffix", "with_name", "exists", "is_file", "is_dir"}
_READING |= {"read_text", "read_bytes"}
_READING |= {"debug", "info", "warning", "error", "exception", "log", "print"}
_CHANGING = {"iadd", "ior", "setitem", "delitem", "heappush", "heappop", "heapify", "insort", "shuffle", "setattr"}
_CONSTANTS = {"getLogger", "compile", "Path", "PurePath", "namedtuple", "TypeVar", "ParamSpec", "NewType", "frozenset"}
_CONSTANTS |= {"tuple", "str", "int", "float", "bool", "bytes", "Decimal", "Fraction", "date", "datetime", "timedelta"}
_CONSTANTS |= {"timezone", "ZoneInfo", "getenv", "attrgetter", "itemgetter", "len", "sum", "min", "max", "range"}
_CONSTANTS |= {"join", "joinpath", "resolve", "absolute", "with_suffix", "with_name", "read_text", "read_bytes"}

_REGISTERING = re.compile(
    "regist|listen|hook|overload|subscri|implement|plugin|exten[ds]|route|(^|[._])(on|task|add)([._]|$)"
)
_DATA = {"numpy", "polars", "pyarrow"}  # their functions and methods return new values

_CONTAINERS = (ast.List, ast.Dict, ast.Set, *COMPREHENSIONS)
_CONDITIONS = (ast.If, ast.While, ast.IfExp, ast.Assert, ast.comprehension)
_OPERANDS = (ast.Compare, ast.BinOp, ast.UnaryOp, ast.FormattedValue, ast.Starred, ast.ExceptHandler, ast.Raise)


def run_on_import(definition: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a definition that may do something on import: decorators, bases, keywords, and calls."""
    left = [definition]
    while left:
        node = left.pop()
        if isinstance(node, (*FUNCTIONS, ast.Lambda)):
            yield from getattr(node, "decorator_list", ())
            left.extend([node.args, *filter(None, [getattr(node, "returns", None)])])  # defaults, annotations
        elif isinstance(node, ast.ClassDef):
            yield from (*node.decorator_list, *node.bases, *node.keywords)
            for part in node.body:
                if isinstance(part, (*FUNCTIONS, ast.ClassDef)) or _binds_names(part):
                    left.append(part)
                else:
                    yield part
        elif isinstance(node, ast.Call):
            yield node
        else:
            left.extend(ast.iter_child_nodes(node))


def changed_names(code: ast.AST) -> Iterator[tuple[str, str | None]]:
    """Yield the names, with attributes, of the objects that code of the module may change or pass to a function.

    With each comes the name of the function that gets it. It is None if the code changes the object itself, and "" if
    the object goes elsewhere.
    """
    outer = {name.partition(".")[0] for name in uses(code, "").names}
    parents = {part: node for node in ast.walk(code) for part in ast.iter_child_nodes(node)}
    for node in parents.keys() | {code}:
        if isinstance(node, ast.Name) and node.id in outer and isinstance(node.ctx, ast.Load):
            found = _change(node, parents)
            if found is not None:
                yield found


def _change(name: ast.Name, parents: Mapping[ast.AST, ast.AST]) -> tuple[str, str | None] | None:
    """Return what `changed_names` yields for a name, None if the code only reads it."""
    part: ast.AST = name
    path, is_item = [name.id], False
    while isinstance(around := parents.get(part), ast.Attribute | ast.Subscript) and around.value is part:
        is_item |= isinstance(around, ast.Subscript)
        if isinstance(around, ast.Attribute) and not is_item:
            path.append(around.attr)
        part = around
    dotted = ".".join(path)
    if around is None or not isinstance(getattr(part, "ctx", None), ast.Load):
        return dotted, None
    match around:
        case ast.Call(func=func) if func is part:
            reads = isinstance(func, ast.Name) or getattr(func, "attr", "") in _READING
            return None if reads else (dotted, "")
        case ast.keyword() if not is_item:
            call = parents.get(around)
            return dotted, _name(call.func) if isinstance(call, ast.Call) else ""
        case ast.Call(func=func) if not is_item:
            callee = _name(func)
            last = callee.rpartition(".")[2]
            return None if last in _READING else (dotted, None if last in _CHANGING else callee)
    only_read = is_item or isinstance(around, (*_OPERANDS, *_CONDITIONS, ast.For, ast.AsyncFor, ast.Subscript))
    return None if only_read else (dotted, "")


def _name(function: ast.AST) -> str:
    return ast.unparse(function) if isinstance(function, ast.Name | ast.Attribute) else "?"


def _binds_names(statement: ast.AST) -> bool:
    targets = getattr(statement, "targets", [getattr(statement, "target", None)])
    return isinstance(statement, ast.Assign | ast.AnnAssign) and all(isinstance(name, ast.Name) for name in targets)


def registers(part: ast.AST) -> bool:
    """Return whether a decorator has a name by which libraries take a function or class to use it later."""
    return bool(_REGISTERING.search(_name(part.func if isinstance(part, ast.Call) else part)))


def keeps(body: ast.AST) -> bool:
    """Return whether a function or class may keep what it gets: a class in its attributes, a function in a default."""
    if isinstance(body, FUNCTIONS):
        return any(map(_is_container, filter(None, [*body.args.defaults, *body.args.kw_defaults])))
    if not isinstance(body, ast.ClassDef):
        return False
    hooks = {"__init_subclass__", "__set_name__"}
    hooked = any(isinstance(part, FUNCTIONS) and part.name in hooks for part in body.body)
    assigned = (part for part in body.body if isinstance(part, ast.Assign | ast.AnnAssign))
    hooked |= any(isinstance(part, ast.Attribute) and _sets_own_class(part) for part in ast.walk(body))
    return hooked or bool(body.keywords) or any(_is_object(part) or _is_container(part) for part in assigned)


def _sets_own_class(target: ast.Attribute) -> bool:
    match target.value:
        case ast.Name("cls" | "mcs") | ast.Call(ast.Name("type")) | ast.Attribute(attr="__class__"):
            return isinstance(target.ctx, ast.Store)
    return False


def is_changeable(body: ast.AST, attribute: str, getter: str | None, symbols: Symbols, *, own: bool) -> bool:
    """Return whether the object of a definition can be changed in a way that `changed_names` found.

    `attribute` is what follows the name, `symbols` are those of the module that has the definition. `own`: the
    function that gets it is code of the project, so that it may keep a list; that of others is taken to read it.
    """
    if isinstance(body, FUNCTIONS):
        return bool(attribute)
    if isinstance(body, ast.ClassDef):
        return bool(attribute) and (getter is None or keeps(body))
    handed_method = attribute.rpartition(".")[2] not in ("", *_READING)
    return _is_object(body, symbols) or (_is_container(body) and (own or handed_method))


def _is_object(body: ast.AST, symbols: Symbols | None = None) -> bool:
    """Return whether this binds something that a call has made and that may be changed."""
    made = (part.func for part in ast.walk(body) if isinstance(part, ast.Call))
    return not isinstance(body, ast.Assign | ast.AnnAssign) or any(
        getattr(func, "attr", getattr(func, "id", "")) not in _CONSTANTS and not _is_of_data(func, symbols)
        for func in made
    )


def _is_of_data(function: ast.expr, symbols: Symbols | None) -> bool:
    """Return whether a function, or a method of what it returns, makes data that others only read."""
    part: ast.AST = function
    while isinstance(part, ast.Attribute | ast.Call | ast.Subscript):
        part = part.func if isinstance(part, ast.Call) else part.value
    bound = symbols.imports.get(part.id, []) if symbols is not None and isinstance(part, ast.Name) else []
    return bool(bound) and all(imported.module.partition(".")[0] in _DATA for imported, _ in bound)


def _is_container(body: ast.AST) -> bool:
    """Return whether this binds a list, mapping or set that stands in the code."""
    left = [body]
    while left:
        node = left.pop()
        if isinstance(node, _CONTAINERS):
            return True
        left.extend([] if isinstance(node, ast.Call) else ast.iter_child_nodes(node))
    return False
