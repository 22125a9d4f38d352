"""Tells what the top of a module defines, and what each definition uses. Pure over syntax trees; knows no files."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias, TypeGuard

# What may lead anywhere in its module, whatever names stand in the source; then what does as an attribute.
_ANYWHERE = {"getattr", "setattr", "delattr", "globals", "locals", "vars", "eval", "exec", "compile"}
_ANYWHERE |= {"__import__", "__builtins__", "builtins", "importlib", "runpy", "pkgutil"}
_ANYWHERE_OF = {"__dict__", "__globals__", "__subclasses__", "__import__", "import_module", "modules"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SILENT = frozenset({"kind", "type_comment", "type_ignores", "ctx"})  # fields that change nothing when it runs


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import binds: the whole of `module`, or its `name`. `first`: `import a.b` without `as` binds `a`."""

    module: str
    name: str = ""
    first: bool = False


_Local: TypeAlias = Mapping[
    str, tuple[Imported, ...]
]  # the names that are not the module's, and what is imported as them
_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True, slots=True)
class Piece:
    """A statement at the top of a module, the `at`-th.

    `where` says in which branches it is and, unless it gives the same anywhere, after how many that are no definitions.
    """

    body: ast.AST
    at: int
    where: str


@dataclass
class Uses:
    """What a piece of code uses: names of its module with what follows them ("helpers.clean"); what it imports itself,
    with what follows; modules that it loads; whether it may lead anywhere, and the texts that may say where."""

    names: dict[str, None] = field(default_factory=dict)
    imports: dict[tuple[Imported, str], None] = field(default_factory=dict)
    loads: dict[str, None] = field(default_factory=dict)
    anywhere: bool = False
    texts: dict[str, None] = field(default_factory=dict)


@dataclass
class Definitions:
    """The top of a module: pieces and imports by the names that they bind, and the rest, which runs on import."""

    package: str
    pieces: dict[str, list[Piece]] = field(default_factory=dict)
    imports: dict[str, list[tuple[Imported, Piece]]] = field(default_factory=dict)
    stars: dict[str, None] = field(default_factory=dict)
    loads: dict[str, None] = field(default_factory=dict)
    rest: list[Piece] = field(default_factory=list)
    future: list[str] = field(default_factory=list)


def definitions(tree: ast.Module, package: str) -> Definitions:
    """What the module defines; `package` is the one that its relative imports start from."""
    found = Definitions(package)
    left: list[tuple[ast.AST, str]] = [(statement, "") for statement in reversed(tree.body)]
    at = 0
    while left:
        statement, branch = left.pop()
        at += 1
        piece = Piece(statement, at, branch if _is_still(statement) else f"{branch}#{len(found.rest)}")
        if isinstance(statement, ast.Import | ast.ImportFrom):
            _take_import(statement, piece, found)
        elif isinstance(statement, ast.If) and _is_main(statement.test):
            left.extend((inner, branch) for inner in reversed(statement.orelse))
        elif isinstance(statement, ast.If | ast.Try | ast.TryStar | ast.With):
            left.extend(reversed(list(_branches(statement, branch))))
        elif not isinstance(statement, ast.Pass) and not _is_text(statement):
            if not _is_definition(statement):
                found.rest.append(piece)
            for name in _bound(statement, package):
                found.pieces.setdefault(name, []).append(piece)
    if tree.body and _is_text(tree.body[0]):
        found.pieces.setdefault("__doc__", []).append(Piece(tree.body[0].value, 0, ""))
    return found


def imports(tree: ast.Module, package: str) -> Iterator[str]:
    """All modules that it may import, wherever in it; also names in them, which may be modules too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield from _loaded(node, alias, package)


def uses(body: ast.AST, package: str) -> Uses:
    """What a piece uses. Not by recursion: code may be nested deeper than Python calls."""
    found = Uses()
    left: list[tuple[ast.AST, _Local]] = [(body, {})]
    while left:
        node, local = left.pop()
        if isinstance(node, (*_FUNCTIONS, ast.Lambda)):
            left.extend((part, _inside(node, local, package)) for part in _body(node))
            outside = [node.args, *getattr(node, "decorator_list", ()), *getattr(node, "type_params", ())]
            returns = getattr(node, "returns", None)
            left.extend((part, local) for part in (*outside, *([returns] if returns else ()), *_quoted(returns)))
        elif isinstance(node, _COMPREHENSIONS):
            targets = [
                name
                for part in node.generators
                for inside in ast.walk(part.target)
                for name, _ in _binds(inside, package)
            ]
            inner = {**local, **dict.fromkeys(targets, ())}
            first = node.generators[0].iter
            left.append((first, local))
            left.extend((part, inner) for part in ast.iter_child_nodes(node) if not isinstance(part, ast.comprehension))
            for part in node.generators:
                left.extend((e, inner) for e in (part.target, part.iter, *part.ifs) if e is not first)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                found.loads.update(dict.fromkeys(_loaded(node, alias, package)))
                if _name(node, alias) not in local:  # bound for the module by a loop or `global`: used by anything
                    found.imports[_imported(node, alias, package), ""] = None
        elif isinstance(node, ast.Attribute | ast.Name):
            _take_name(node, local, left, found)
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str) and node.value.replace(".", "_").isidentifier():
                found.texts[node.value] = None
        else:
            left.extend((part, local) for part in ast.iter_child_nodes(node))
            if isinstance(node, ast.arg | ast.AnnAssign):
                left.extend((part, local) for part in _quoted(node.annotation))
            elif isinstance(node, ast.ClassDef):  # what it imports is used as an attribute of it
                bound = [imported for part in _scope(node.body) for _, imported in _binds(part, package)]
                found.imports.update(((imported, ""), None) for imported in bound if imported)
    return found


def dump(body: ast.AST) -> str:
    """The code as text: the same for code that differs in comments, layout and docstrings only. Not by recursion."""
    text: list[str] = []
    left: list[object] = [body]
    while left:
        item = left.pop()
        if item is _END:
            text.append(")")
        elif isinstance(item, ast.AST):
            text.append(f"{type(item).__name__}(")
            left.append(_END)
            left.extend(getattr(item, name, None) for name in reversed(item._fields) if name not in _SILENT)
        elif isinstance(item, list):
            text.append("list(")
            left.append(_END)
            left.extend(part for part in reversed(item) if not _is_text(part))
        else:
            text.append(f"{item:#x}" if type(item) is int else repr(item))  # Python refuses long decimal numbers
    return " ".join(text)


_END = object()


def _take_name(node: ast.Attribute | ast.Name, local: _Local, left: list[tuple[ast.AST, _Local]], found: Uses) -> None:
    path: list[str] = []
    part: ast.expr = node
    while isinstance(part, ast.Attribute):
        path.append(part.attr)
        part = part.value
    path.reverse()
    found.anywhere = found.anywhere or not _ANYWHERE_OF.isdisjoint(path)
    if not isinstance(part, ast.Name):
        left.append((part, local))
    elif part.id not in local:
        found.names[".".join([part.id, *path])] = None
        found.anywhere = found.anywhere or part.id in _ANYWHERE
    else:
        for imported in local[part.id]:
            found.imports[imported, ".".join(path)] = None


def told_on_import(body: ast.AST) -> list[ast.AST]:
    """What learns of a definition on import, though nobody has used it yet: its decorators and bases."""
    if not isinstance(body, (*_FUNCTIONS, ast.ClassDef)):
        return []
    return [*body.decorator_list, *getattr(body, "bases", ()), *getattr(body, "keywords", ())]


def may_remember(body: ast.AST) -> bool:
    """Whether the piece may keep what it is told: a function with `global`, a list, an object of some class."""
    if isinstance(body, _FUNCTIONS):
        return any(_declared(body))
    if isinstance(body, ast.ClassDef):
        hooks = {"__init_subclass__", "__set_name__"}
        named = any(isinstance(part, _FUNCTIONS) and part.name in hooks for part in body.body)
        values = (part for part in body.body if isinstance(part, ast.Assign | ast.AnnAssign))
        return named or bool(body.keywords) or any(may_remember(part) for part in values)
    if not isinstance(body, ast.Assign | ast.AnnAssign):
        return True
    match body.value:
        case ast.Call(ast.Name("getLogger") | ast.Attribute(ast.Name("logging"), "getLogger")):
            return False  # loggers are in many decorators, and change no result
    kept = ast.Call | ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
    return body.value is not None and any(isinstance(part, kept) for part in ast.walk(body.value))


def leads_anywhere(imported: Imported) -> bool:
    """Whether what is imported may lead anywhere, under whatever name."""
    return imported.module.partition(".")[0] in _ANYWHERE or imported.name in _ANYWHERE_OF


def _take_import(statement: ast.Import | ast.ImportFrom, piece: Piece, found: Definitions) -> None:
    for alias in statement.names:
        found.loads.update(dict.fromkeys(_loaded(statement, alias, found.package)))
        imported = _imported(statement, alias, found.package)
        if imported.module == "__future__":
            found.future.append(imported.name)
        elif imported.name == "*":
            found.stars[imported.module] = None
        else:
            found.imports.setdefault(_name(statement, alias), []).append((imported, piece))


def _branches(statement: ast.If | ast.Try | ast.TryStar | ast.With, branch: str) -> Iterator[tuple[ast.AST, str]]:
    """What a statement decides by, and the statements in it, each with the branch that it is in."""
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
    return isinstance(statement, (*_FUNCTIONS, ast.ClassDef)) or type(statement).__name__ == "TypeAlias"


def _is_still(statement: ast.AST) -> bool:
    """Whether it gives the same wherever it stands, as nothing is looked up when it runs."""
    if isinstance(statement, _FUNCTIONS):
        parts = [*statement.decorator_list, *statement.args.defaults, *statement.args.kw_defaults]
    elif isinstance(statement, ast.Assign | ast.AnnAssign):
        parts = [statement.value]
    else:
        return False
    return not any(isinstance(node, ast.Name) for part in parts if part for node in ast.walk(part))


def _is_main(test: ast.expr) -> bool:
    match test:
        case ast.Compare(ast.Name("__name__"), [ast.Eq()], [ast.Constant("__main__")]):
            return True
    return False


def _is_text(node: object) -> TypeGuard[ast.Expr]:
    """A constant that nobody takes, as a docstring is."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _body(function: _Function) -> list[ast.AST]:
    return [*function.body] if isinstance(function.body, list) else [function.body]


def _quoted(annotation: ast.expr | None) -> Iterator[ast.expr]:
    """What stands between quotes in an annotation."""
    for part in ast.walk(annotation) if annotation is not None else ():
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                yield ast.parse(part.value, mode="eval").body


# -- which names are bound where --------------------------------------------------------------------------------------


def _inside(function: _Function, outside: _Local, package: str) -> _Local:
    """The local names in a function, with what they may be by its own imports."""
    arguments = function.args
    plain = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    own: dict[str, tuple[Imported, ...]] = {a.arg: () for a in (*plain, arguments.vararg, arguments.kwarg) if a}
    for node in _scope(_body(function)):
        for name, imported in _binds(node, package):
            own[name] = (*own.get(name, ()), *([imported] if imported else ()))
    declared = set(_declared(function))
    return {name: bound for name, bound in {**outside, **own}.items() if name not in declared}


def _bound(statement: ast.AST, package: str) -> dict[str, None]:
    """The names that a statement at the top may bind in the module, also later: a function with `global`."""
    names = dict.fromkeys(name for node in _scope([statement]) for name, _ in _binds(node, package))
    return names | dict.fromkeys(_declared(statement))


def _declared(body: ast.AST) -> Iterator[str]:
    return (name for node in ast.walk(body) if isinstance(node, ast.Global) for name in node.names)


def _scope(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes whose names are bound where the body stands, without the insides of functions and classes."""
    left = list(body)
    while left:
        node = left.pop()
        yield node
        if isinstance(node, ast.comprehension):
            left.extend((node.iter, *node.ifs))
        elif not isinstance(node, (*_FUNCTIONS, ast.Lambda, ast.ClassDef)):
            left.extend(ast.iter_child_nodes(node))


def _binds(node: ast.AST, package: str) -> Iterator[tuple[str, Imported | None]]:
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id, None
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from ((_name(node, alias), _imported(node, alias, package)) for alias in node.names)
    elif isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
        yield node.name, None
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest, None


# -- imports ----------------------------------------------------------------------------------------------------------


def _name(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> str:
    return alias.asname or (alias.name.partition(".")[0] if isinstance(node, ast.Import) else alias.name)


def _imported(node: ast.Import | ast.ImportFrom, alias: ast.alias, package: str) -> Imported:
    if isinstance(node, ast.Import):
        return Imported(alias.name, first=not alias.asname)
    return Imported(_base(node, package), alias.name)


def _loaded(node: ast.Import | ast.ImportFrom, alias: ast.alias, package: str) -> tuple[str, ...]:
    if isinstance(node, ast.Import):
        return (alias.name,)
    base = _base(node, package)
    return (base,) if alias.name == "*" else (base, f"{base}.{alias.name}")


def _base(node: ast.ImportFrom, package: str) -> str:
    """The module that `from … import` names; empty where it goes up further than there are packages."""
    parts = package.split(".")
    if not node.level:
        return node.module or ""
    if node.level > len(parts) or not package:
        return ""
    return ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
