"""Tells whether code changes objects that it has not made, such as a registry or a cache. Reads trees only.

An import may change objects of other code: then its code counts for all who use these. A function may keep what it has
opened: then the file counts for all who call it. If unsure, code counts as changing them: running a node too often is
better than reusing a stale result.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Set

from nfrun.code.bindings import FUNCTIONS, Symbols, argument_names, last_name

# Methods that change their object or keep what they are given, those that only remove, and functions that change their
# first argument.
MUTATORS = {"append", "appendleft", "extend", "extendleft", "insert", "add", "update", "setdefault", "set", "put"}
MUTATORS |= {"put_nowait", "push", "store", "register"}
REMOVERS = {"pop", "popleft", "popitem", "remove", "discard", "clear", "sort", "reverse", "rotate", "subtract"}
REMOVERS |= {"move_to_end", "difference_update", "intersection_update", "symmetric_difference_update"}
REMOVERS |= {"__setitem__", "__delitem__", "__iadd__", "__ior__", "get_nowait"}
CHANGERS = {"iadd", "ior", "setitem", "delitem", "heappush", "heappop", "heapify", "heapreplace", "heappushpop"}
CHANGERS |= {"heapify_max", "heappush_max", "heappop_max", "heapreplace_max", "heappushpop_max", "_heapify_max"}
CHANGERS |= {"_heappop_max", "_heapreplace_max", "iconcat", "imul", "iand", "isub", "ixor", "insort", "insort_left"}
CHANGERS |= {"insort_right", "shuffle", "setattr", "delattr", "next"}
# Methods and functions that change nothing, whatever object they are given.
_READING = {"len", "sorted", "list", "tuple", "set", "dict", "frozenset", "sum", "min", "max", "zip", "enumerate"}
_READING |= {"str", "int", "float", "bool", "bytes", "any", "all", "reversed", "isinstance", "repr"}
_READING |= {"get", "keys", "values", "items", "index", "count", "copy", "deepcopy", "join", "joinpath", "split"}
_READING |= {"strip", "format", "lower", "upper", "replace", "startswith", "endswith", "encode", "decode", "union"}
_READING |= {"resolve", "absolute", "with_suffix", "with_name", "exists", "is_file", "is_dir"}
_READING |= {"read_text", "read_bytes", "debug", "info", "warning", "error", "exception", "log", "print"}
# Functions whose results cannot be changed, and packages whose functions return data that others only read.
_CONSTANTS = {"getLogger", "compile", "Path", "PurePath", "namedtuple", "TypeVar", "ParamSpec", "NewType", "frozenset"}
_CONSTANTS |= {"tuple", "str", "int", "float", "bool", "bytes", "Decimal", "Fraction", "date", "datetime", "timedelta"}
_CONSTANTS |= {"timezone", "ZoneInfo", "getenv", "attrgetter", "itemgetter", "len", "sum", "min", "max", "range"}
_CONSTANTS |= {"join", "joinpath", "resolve", "absolute", "with_suffix", "with_name", "read_text", "read_bytes"}
_DATA = {"numpy", "polars", "pyarrow"}
_SCOPES = (*FUNCTIONS, ast.ClassDef)
_REGISTERING = re.compile(
    "regist|listen|hook|overload|subscri|implement|plugin|exten[ds]|route|(^|[._])(on|task|add)([._]|$)"
)
_MAKING = {"__init__", "__post_init__", "__new__"}  # methods whose first argument is new
DEFINING = {"__init_subclass__", "__set_name__"}  # methods that run when another class is defined


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


def registers(part: ast.AST) -> bool:
    """Return whether a decorator or call has a name by which libraries take a function or class to use it later."""
    function = part.func if isinstance(part, ast.Call) else part
    return isinstance(function, ast.Name | ast.Attribute) and bool(_REGISTERING.search(ast.unparse(function)))


def only_reads(part: ast.AST) -> bool:
    """Return whether this is a call of a function or method that changes nothing, as are all calls in it."""
    calls = [call for call in ast.walk(part) if isinstance(call, ast.Call)]
    return part in calls and all(last_name(call.func) in _READING for call in calls)


def makes_new(call: ast.Call, symbols: Symbols) -> bool:
    """Return whether a function of a library computes something of its arguments, and changes nothing."""
    return last_name(call.func) in _READING | _CONSTANTS or _is_of_data(call.func, symbols)


def has_collection(body: ast.AST) -> bool:
    """Return whether a definition binds a list, mapping or set that is written down, also in a class."""
    parts = body.body if isinstance(body, ast.ClassDef) else [body]
    return any(_is_new(getattr(part, "value", None)) for part in parts)


def may_change(body: ast.AST, symbols: Symbols) -> bool:
    """Return whether others see a change if code on import uses this definition: it changes or is such an object.

    `symbols` are those of the module that has the definition.
    """
    if isinstance(body, ast.ClassDef) and body.keywords:
        return True
    return changes(body) if isinstance(body, _SCOPES) else _is_object(body, symbols)


def changes(code: ast.AST, made: Set[str] = frozenset()) -> bool:
    """Return whether code may change an object other than lists, mappings and sets that it has made itself.

    `made` are the names of those that the code around it has made. A variable may have another one from elsewhere.
    """
    if isinstance(code, FUNCTIONS) and code.name in DEFINING:
        return True
    own = list(_own_parts(code))
    binding = [part for part in own if isinstance(part, ast.Assign | ast.AnnAssign) and _is_new(part.value)]
    new = {id(target) for part in binding for target in getattr(part, "targets", [getattr(part, "target", None)])}
    names = [part for part in own if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)]
    here = made | ({name.id for name in names} - {name.id for name in names if id(name) not in new})
    itself = argument_names(code)[:1] if isinstance(code, FUNCTIONS) and code.name in _MAKING else []
    for part in own:
        match part:
            case ast.Global():
                return True
            case ast.Attribute(ast.Name(name), _, ast.Store()) if name in itself:
                continue
        if any(_name_of(root) not in here for root in _changed(part, MUTATORS | REMOVERS)):
            return True
    return any(changes(part, here) for part in own if isinstance(part, _SCOPES))


def may_keep(body: ast.AST) -> bool:
    """Return whether a function or class may keep what it has opened, for a later call by another node.

    It may if it has a decorator, `global` or a class in it, or puts something into an object of another name than those
    that it binds.
    """
    if not isinstance(body, FUNCTIONS) or body.decorator_list:
        return True
    own = list(_own_parts(body))
    bound = {part.id for part in own if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    bound -= {*argument_names(body)}
    if any(isinstance(part, ast.Global | ast.Nonlocal) for part in own):
        return True
    if any(_name_of(root) not in bound for part in own for root in _changed(part, MUTATORS)):
        return True
    return any(may_keep(part) for part in own if isinstance(part, _SCOPES))


def variables_made(bodies: Iterable[ast.AST]) -> tuple[set[str], set[str]]:
    """Return the names that calls in assignments get (`load = lru_cache(_load)`), and the variables that these bind."""
    given, made = set[str](), set[str]()
    for body in bodies:
        value = body.value if isinstance(body, ast.Assign | ast.AnnAssign) else None
        calls = [part for part in ast.walk(value) if isinstance(part, ast.Call)] if value is not None else []
        given |= {last_name(part) for call in calls for argument in call.args for part in ast.walk(argument)} - {""}
        if calls or (isinstance(value, ast.List | ast.Dict) and not any(ast.iter_child_nodes(value))):
            targets = body.targets if isinstance(body, ast.Assign) else [getattr(body, "target", None)]
            made |= {target.id for target in targets if isinstance(target, ast.Name)}
    return given, made


def uses_one_of(body: ast.AST, made: Set[str]) -> bool:
    """Return whether a function calls such a variable, or gives one to a function that may keep something in it.

    `read = lru_cache(Path.read_text)` is of the first kind, and `heappush(QUEUE, row)` of the second.
    """
    for part in ast.walk(body):
        match part:
            case ast.Call(ast.Name(name) | ast.Attribute(ast.Name(), name)) if name in made:
                return True
            case ast.Expr(ast.Call(_, [ast.Name(name), *_])) if name in made:
                return True
    return False


def _own_parts(code: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of code, without those of the functions and classes in it."""
    left = list(ast.iter_child_nodes(code)) if isinstance(code, (*FUNCTIONS, ast.ClassDef)) else [code]
    while left:
        part = left.pop()
        yield part
        if not isinstance(part, (*FUNCTIONS, ast.ClassDef)):
            left.extend(ast.iter_child_nodes(part))


def _is_new(value: ast.expr | None) -> bool:
    return isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)


def _changed(part: ast.AST, methods: Set[str]) -> Iterator[ast.AST]:
    """Yield what the object begins with that a part of code changes: the name `cache` of `cache.rows["a"] = 1`."""
    match part:
        case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
            yield _root(part)
        case ast.Attribute(value, method) if method in methods:  # also one that is handed on
            yield _root(value)
        case ast.Call(function, [first, *_]) if last_name(function) in CHANGERS:
            yield _root(first)


def _root(expression: ast.AST) -> ast.AST:
    while isinstance(expression, ast.Attribute | ast.Subscript):
        expression = expression.value
    return expression


def _name_of(root: ast.AST) -> str:
    return root.id if isinstance(root, ast.Name) else ""


def _binds_names(statement: ast.AST) -> bool:
    targets = getattr(statement, "targets", [getattr(statement, "target", None)])
    return isinstance(statement, ast.Assign | ast.AnnAssign) and all(isinstance(name, ast.Name) for name in targets)


def _is_object(body: ast.AST, symbols: Symbols) -> bool:
    """Return whether this binds something that a call has made and that may be changed, or a method of such a thing."""
    if not isinstance(body, ast.Assign | ast.AnnAssign):
        return True
    made = [part.func for part in ast.walk(body) if isinstance(part, ast.Call)]
    is_made = any(last_name(function) not in _CONSTANTS and not _is_of_data(function, symbols) for function in made)
    return is_made or any(isinstance(part, ast.Attribute) and part.attr in MUTATORS for part in ast.walk(body))


def _is_of_data(function: ast.expr, symbols: Symbols) -> bool:
    """Return whether a function, or a method of its result, makes data that others only read."""
    part: ast.AST = function
    while isinstance(part, ast.Attribute | ast.Call | ast.Subscript):
        part = part.func if isinstance(part, ast.Call) else part.value
    bound = symbols.imports.get(part.id, []) if isinstance(part, ast.Name) else []
    return bool(bound) and all(imported.module.partition(".")[0] in _DATA for imported, _ in bound)
