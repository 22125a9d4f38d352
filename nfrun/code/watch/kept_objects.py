"""Tells whether code may keep what it has opened, by its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Set

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_MUTATORS = frozenset(
    {
        "append", "appendleft", "extend", "extendleft", "insert", "add", "update", "setdefault", "set", "put",
        "put_nowait", "push", "store", "register",
    }
)  # fmt: skip


def variables_made(bodies: Iterable[ast.AST]) -> tuple[set[str], set[str]]:
    """Return the names that calls in assignments get (`load = lru_cache(_load)`), and the variables that these bind."""
    given, made = set[str](), set[str]()
    for body in bodies:
        value = body.value if isinstance(body, ast.Assign | ast.AnnAssign) else None
        calls = [part for part in ast.walk(value) if isinstance(part, ast.Call)] if value is not None else []
        inside = [part for call in calls for argument in call.args for part in ast.walk(argument)]
        given |= {name for part in inside if (name := getattr(part, "attr", getattr(part, "id", "")))}
        if calls or (isinstance(value, ast.List | ast.Dict) and not any(ast.iter_child_nodes(value))):
            targets = body.targets if isinstance(body, ast.Assign) else [getattr(body, "target", None)]
            made |= {target.id for target in targets if isinstance(target, ast.Name)}
    return given, made


def uses(body: ast.AST, made: Set[str]) -> bool:
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
