"""Finds code that may keep what it has opened: in a global variable, in a cache, or in an object that it was given."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_MUTATORS = frozenset(
    {
        "append", "appendleft", "extend", "extendleft", "insert", "add", "update", "setdefault", "set", "put",
        "put_nowait", "push", "store", "register",
    }
)  # fmt: skip
_CONTAINERS = frozenset({"list", "dict", "set", "deque", "defaultdict", "OrderedDict", "Counter"})
_FORGETFUL = frozenset(  # what they return keeps nothing when it is called
    {
        "namedtuple", "NamedTuple", "make_dataclass", "Enum", "NewType", "TypeVar", "itemgetter", "attrgetter",
        "methodcaller", "Struct",
    }
)  # fmt: skip


def may_keep(body: ast.AST) -> bool:
    """Return whether a function or class may keep what it has opened, for a later call by another node.

    It may if it has a decorator, `global`, or changes an object that it has not made itself.
    """
    if not isinstance(body, _FUNCTIONS):
        return True
    if body.decorator_list or any(isinstance(part, ast.Global | ast.Nonlocal) for part in ast.walk(body)):
        return True
    own = list(_own_parts(body))
    made = {part.id for part in own if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    made -= {part.arg for part in ast.walk(body.args) if isinstance(part, ast.arg)}
    if any(not isinstance(root, ast.Name) or root.id not in made for root in _changed(own)):
        return True
    return any(may_keep(part) for part in own if isinstance(part, (*_FUNCTIONS, ast.ClassDef)))


def _own_parts(body: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a function, without those of the functions in it: they may change what this one has made."""
    left = list(ast.iter_child_nodes(body))
    while left:
        part = left.pop()
        yield part
        if not isinstance(part, (*_FUNCTIONS, ast.ClassDef)):
            left.extend(ast.iter_child_nodes(part))


def _changed(parts: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield what the changed objects begin with: the name `cache` of `cache.rows["a"] = 1`."""
    for part in parts:
        match part:
            case ast.Attribute(ctx=ast.Store()) | ast.Subscript(ctx=ast.Store()):
                yield _root(part)
            case ast.Call(ast.Attribute(value, method)) if method in _MUTATORS:
                yield _root(value)
            case ast.Call(ast.Name("setattr"), [first, *_]):
                yield _root(first)


def _root(expression: ast.AST) -> ast.AST:
    while isinstance(expression, ast.Attribute | ast.Subscript):
        expression = expression.value
    return expression


def wrapped_names(body: ast.AST) -> Iterator[str]:
    """Yield the names in an assignment that calls something: `load = lru_cache(_load)`."""
    if isinstance(body, ast.Assign | ast.AnnAssign) and body.value is not None:
        for call in ast.walk(body.value):
            if isinstance(call, ast.Call):
                for part in (part for argument in call.args for part in ast.walk(argument)):
                    if isinstance(part, ast.Name | ast.Attribute):
                        yield part.id if isinstance(part, ast.Name) else part.attr


def variables_of(body: ast.AST) -> Iterator[tuple[str, bool]]:
    """Yield the variables that a statement makes by a call or as an empty container, each with whether it is one.

    `read = lru_cache(Path.read_text)` is of the first kind.
    """
    if isinstance(body, ast.Assign | ast.AnnAssign):
        called = ""
        match body.value:
            case ast.List([]) | ast.Dict([]):
                called = "list"
            case ast.Call(ast.Name(called) | ast.Attribute(_, called)) | ast.Call(ast.Call(ast.Name(called))):
                pass
        if called and called not in _FORGETFUL:
            for target in body.targets if isinstance(body, ast.Assign) else [body.target]:
                if isinstance(target, ast.Name):
                    yield target.id, called in _CONTAINERS


def keeps_in_variable(body: ast.AST, variables: Mapping[str, bool]) -> bool:
    """Return whether a function calls such a variable, or gives a container to a function: `heappush(QUEUE, row)`."""
    for part in ast.walk(body):
        match part:
            case ast.Call(ast.Name(name) | ast.Attribute(ast.Name(), name)) if variables.get(name) is False:
                return True
            case ast.Expr(ast.Call(_, [ast.Name(name), *_])) if variables.get(name):
                return True
    return False
