"""Extracts what the top of a module defines and imports. Reads syntax trees only, no files.

Nested code is walked with a list of pending nodes: code may be nested deeper than Python can recurse.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeGuard

from nfrun.code.bindings import FUNCTIONS, Imported, binds, declared, imports_of, scope
from nfrun.core.values import field, frozen, mutable

_SILENT = {"kind", "type_comment", "type_ignores", "ctx"}  # fields that do not change how the code runs
_FIELDS: dict[type[ast.AST], list[str]] = {}  # by class: the other fields, the last one first
_TYPING = {"typing", "typing_extensions"}
_END = object()


@frozen
class Definition:
    """A statement at the top of a module, the `at`-th.

    `where` names the branches around it. If its position matters, it also counts the non-definitions before it.
    """

    body: ast.AST
    at: int
    where: str


@mutable
class Symbols:
    """The top of a module: definitions and imports by the names they bind; `module_body` is the rest, run on import.

    `star_imports` are star and `__future__` imports, which may change the meaning of any name. `loads` are all modules
    that are imported; relative imports start from `package`.
    """

    package: str
    definitions: dict[str, list[Definition]] = field(default_factory=dict)
    imports: dict[str, list[tuple[Imported, Definition]]] = field(default_factory=dict)
    star_imports: list[Imported] = field(default_factory=list)
    loads: dict[str, None] = field(default_factory=dict)
    module_body: list[Definition] = field(default_factory=list)


def symbols_of(tree: ast.Module, package: str) -> Symbols:
    """Collect what the module defines. See `Symbols.package`.

    Left out is code that never runs: under `if __name__ == "__main__"` and `if TYPE_CHECKING`.
    """
    found = Symbols(package)
    left: list[tuple[ast.AST, str]] = [(statement, "") for statement in reversed(tree.body)]
    at = 0
    while left:
        statement, branch = left.pop()
        at += 1
        definition = Definition(statement, at, branch if _is_inert(statement) else f"{branch}#{len(found.module_body)}")
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for name, imported in imports_of(statement, package):
                found.loads.update(dict.fromkeys(imported.loads))
                if name == "*" or imported.module == "__future__":
                    found.star_imports.append(imported)
                else:
                    found.imports.setdefault(name, []).append((imported, definition))
        elif isinstance(statement, ast.If) and (_is_main(statement.test) or _is_for_checkers(statement.test, found)):
            left.extend((inner, branch) for inner in reversed(statement.orelse))
        elif isinstance(statement, ast.If | ast.Try | ast.TryStar | ast.With):
            left.extend(reversed(list(_branches(statement, branch))))
        elif not isinstance(statement, ast.Pass) and not _is_text(statement):
            if not _is_definition(statement):
                found.module_body.append(definition)
            for name in _bound(statement):
                found.definitions.setdefault(name, []).append(definition)
    if tree.body and _is_text(tree.body[0]):
        found.definitions.setdefault("__doc__", []).append(Definition(tree.body[0].value, 0, ""))
    return found


def all_imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Yield all modules that the code may import at any depth; also the imported names, which may be modules too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for _, imported in imports_of(node, package):
                yield from imported.loads


def dump(body: ast.AST) -> str:
    """Return the code as text, without comments and layout. Docstrings stay: some code uses them as data."""
    text: list[str] = []
    left: list[object] = [body]
    while left:
        item = left.pop()
        if item is _END:
            text.append(")")
        elif isinstance(item, ast.AST):
            kind = type(item)
            if kind not in _FIELDS:
                _FIELDS[kind] = [name for name in reversed(item._fields) if name not in _SILENT]
            text.append(f"{kind.__name__}(")
            left.append(_END)
            left += [getattr(item, name, None) for name in _FIELDS[kind]]
        elif isinstance(item, list):
            text.append("list(")
            left.append(_END)
            left.extend(reversed(item))
        else:
            text.append(f"{item:#x}" if type(item) is int else repr(item))  # Python refuses long decimal numbers
    return " ".join(text)


# -- the top of a module ----------------------------------------------------------------------------------------------


def _branches(statement: ast.If | ast.Try | ast.TryStar | ast.With, branch: str) -> Iterator[tuple[ast.AST, str]]:
    """Yield the condition of a statement, and the statements in it, each with its branch."""
    where = f"{branch}{type(statement).__name__}."
    if isinstance(statement, ast.If):
        yield statement.test, where
    elif isinstance(statement, ast.With):
        yield from ((item, where) for item in statement.items)
    else:
        for i, handler in enumerate(statement.handlers):
            if handler.type is not None:
                yield handler.type, where
            yield from ((inner, f"{where}{i}/") for inner in handler.body)
    for name in ("body", "orelse", "finalbody"):
        yield from ((inner, f"{where}{name}/") for inner in getattr(statement, name, ()))


def _is_definition(statement: ast.AST) -> bool:
    if isinstance(statement, ast.Assign):
        parts = [part for target in statement.targets for part in ast.walk(target)]
        plain = ast.Name | ast.Tuple | ast.List | ast.Starred | ast.expr_context
        return all(isinstance(part, plain) for part in parts)
    if isinstance(statement, ast.AnnAssign):
        return isinstance(statement.target, ast.Name)
    return isinstance(statement, (*FUNCTIONS, ast.ClassDef)) or type(statement).__name__ == "TypeAlias"


def _is_inert(statement: ast.AST) -> bool:
    """Return whether the statement has the same effect at any position: it looks up no names before it is called."""
    if not isinstance(statement, FUNCTIONS):
        return False
    parts = [*statement.decorator_list, *statement.args.defaults, *filter(None, statement.args.kw_defaults)]
    return all(isinstance(part, ast.Constant) for part in parts)


def _is_main(test: ast.expr) -> bool:
    match test:
        case ast.Compare(ast.Name("__name__"), [ast.Eq()], [ast.Constant("__main__")]):
            return True
    return False


def _is_for_checkers(test: ast.expr, module: Symbols) -> bool:
    """Return whether this is the constant `TYPE_CHECKING` of `typing`, which is false while code runs."""
    owner = test.value if isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING" else test
    name = owner.id if isinstance(owner, ast.Name) else ""
    bound = [imported for imported, _ in module.imports.get(name, ())]
    attribute = "" if owner is not test else "TYPE_CHECKING"
    known = all(imported.module in _TYPING and imported.name == attribute for imported in bound)
    return bool(bound) and known and name not in module.definitions


def _is_text(node: object) -> TypeGuard[ast.Expr]:
    """Return whether the statement is a lone constant, such as a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _bound(statement: ast.AST) -> dict[str, None]:
    """Return the names that a top-level statement may bind in the module, also later by `global` in a function."""
    names = dict.fromkeys(name for node in scope([statement]) for name, _ in binds(node))
    return names | dict.fromkeys(declared(statement))
