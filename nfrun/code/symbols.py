"""Tells what the top of a module defines, and what each definition uses. Pure over syntax trees; knows no files.

Nothing here calls itself for what is nested: code may be nested deeper than Python calls.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias, TypeGuard

# What may lead anywhere in its module, whatever names stand in the source; then what does as an attribute too.
_ANYWHERE = {"getattr", "setattr", "delattr", "globals", "locals", "vars", "eval", "exec", "compile"}
_ANYWHERE |= {"__builtins__", "builtins", "importlib", "runpy", "pkgutil"}
_ANYWHERE_OF = {"__dict__", "__globals__", "__subclasses__", "__import__", "import_module", "modules"}
# What imports or runs what is called as somebody computes: by a name, by an argument that is a name, or in any way.
_BY_NAME = {"import_module", "__import__"}
_LOADERS = {"importlib", "runpy", "pkgutil", "imp"}
_NO_LOADERS = {"importlib.metadata", "importlib.resources"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SILENT = {"kind", "type_comment", "type_ignores", "ctx"}  # fields that change nothing when it runs
_END = object()

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import binds: the whole of `module`, or its `name`. `first`: `import a.b` without `as` binds `a`."""

    module: str
    name: str = ""
    first: bool = False

    @property
    def loads(self) -> tuple[str, ...]:
        """The modules that are imported, the last of them perhaps none."""
        return (self.module, f"{self.module}.{self.name}") if self.name else (self.module,)

    @property
    def is_dynamic(self) -> bool:
        """Whether who has it may reach anything, under whatever name it is imported."""
        return self.module.partition(".")[0] in _ANYWHERE or self.name in _ANYWHERE_OF

    def loads_more(self, rest: str) -> bool:
        """Whether it may, with `rest` after it, load what nobody can see here."""
        module = self.module.partition(".")[0] if self.first else self.module
        path = ".".join(filter(None, (module, self.name, rest))).split(".")
        return path[0] in _LOADERS and ".".join(path[:2]) not in _NO_LOADERS


_Local: TypeAlias = Mapping[str, tuple[Imported, ...]]  # names that are not the module's, and what they may import


@dataclass(frozen=True, slots=True)
class Definition:
    """A statement at the top of a module, the `at`-th.

    `where` says in which branches it is and, unless it gives the same anywhere, after how many that are no definitions.
    """

    body: ast.AST
    at: int
    where: str


@dataclass
class Symbols:
    """The top of a module: pieces and imports by the names that they bind, and the rest, which runs on import.

    `everywhere` are imports that may change the meaning of any name, `loads` all modules that are imported.
    """

    package: str
    definitions: dict[str, list[Definition]] = field(default_factory=dict)
    imports: dict[str, list[tuple[Imported, Definition]]] = field(default_factory=dict)
    everywhere: list[Imported] = field(default_factory=list)
    loads: dict[str, None] = field(default_factory=dict)
    module_body: list[Definition] = field(default_factory=list)


@dataclass
class Uses:
    """What a piece of code uses: names of its module with what follows them ("helpers.clean"); what it imports itself,
    with what follows; modules that it loads; whether it may lead anywhere, and the texts that may say where; `below`
    are packages of which it may load any module, by a name that is computed: "" is any, ".a" one of its own package."""

    names: dict[str, None] = field(default_factory=dict)
    imports: dict[tuple[Imported, str], None] = field(default_factory=dict)
    loads: dict[str, None] = field(default_factory=dict)
    anywhere: bool = False
    texts: dict[str, None] = field(default_factory=dict)
    below: dict[str, None] = field(default_factory=dict)


def symbols_of(tree: ast.Module, package: str) -> Symbols:
    """What the module defines; `package` is the one that its relative imports start from."""
    found = Symbols(package)
    left: list[tuple[ast.AST, str]] = [(statement, "") for statement in reversed(tree.body)]
    at = 0
    while left:
        statement, branch = left.pop()
        at += 1
        piece = Definition(statement, at, branch if _is_still(statement) else f"{branch}#{len(found.module_body)}")
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for name, imported in _imports(statement, package):
                found.loads.update(dict.fromkeys(imported.loads))
                if name == "*" or imported.module == "__future__":
                    found.everywhere.append(imported)
                else:
                    found.imports.setdefault(name, []).append((imported, piece))
        elif isinstance(statement, ast.If) and _is_main(statement.test):
            left.extend((inner, branch) for inner in reversed(statement.orelse))
        elif isinstance(statement, ast.If | ast.Try | ast.TryStar | ast.With):
            left.extend(reversed(list(_branches(statement, branch))))
        elif not isinstance(statement, ast.Pass) and not _is_text(statement):
            if not _is_definition(statement):
                found.module_body.append(piece)
            for name in _bound(statement):
                found.definitions.setdefault(name, []).append(piece)
    if tree.body and _is_text(tree.body[0]):
        found.definitions.setdefault("__doc__", []).append(Definition(tree.body[0].value, 0, ""))
    return found


def all_imports(tree: ast.Module, package: str) -> Iterator[str]:
    """All modules that it may import, wherever in it; also names in them, which may be modules too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for _, imported in _imports(node, package):
                yield from imported.loads


def uses(body: ast.AST, package: str) -> Uses:
    """What a piece uses, without what is local to the functions and comprehensions in it."""
    found = Uses()
    left: list[tuple[ast.AST, _Local]] = [(body, {})]
    calls: dict[ast.AST, ast.Call] = {}  # by what is called
    while left:
        node, local = left.pop()
        left.extend((part, local) for part in _quoted(node))
        if isinstance(node, ast.Attribute | ast.Name):
            left.extend((part, local) for part in _take_name(node, local, found, calls.get(node)))
        elif isinstance(node, (*_FUNCTIONS, ast.Lambda)):
            inside = _inside(node, local, package)
            own = {id(part) for part in _body(node)}
            left.extend((part, inside if id(part) in own else local) for part in ast.iter_child_nodes(node))
        elif isinstance(node, _COMPREHENSIONS):
            targets = (name for part in node.generators for n in ast.walk(part.target) for name, _ in _binds(n))
            inside = {**local, **dict.fromkeys(targets, ())}
            left.extend((part, inside) for part in ast.iter_child_nodes(node))
            left.append((node.generators[0].iter, local))  # which is looked up outside
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for name, imported in _imports(node, package):
                found.loads.update(dict.fromkeys(imported.loads))
                if name not in local:  # bound for the module by a loop or `global`: used by anything
                    found.imports[imported, ""] = None
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.texts[node.value] = None
        else:
            left.extend((part, local) for part in ast.iter_child_nodes(node))
        if isinstance(node, ast.Call):
            calls[node.func] = node
        if isinstance(node, ast.ClassDef):  # what it imports is used as an attribute of it
            bound = (imported for part in _scope(node.body) for _, imported in _binds(part, package))
            found.imports.update(((imported, ""), None) for imported in bound if imported)
    return found


def is_by_name(name: str) -> bool:
    """Whether what is called so, with dots, imports the module that its argument names."""
    return name.rpartition(".")[2] in _BY_NAME


def dump(body: ast.AST) -> str:
    """The code as text: the same for code that differs in comments and layout only. Docstrings are data to some."""
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
            left.extend(reversed(item))
        else:
            text.append(f"{item:#x}" if type(item) is int else repr(item))  # Python refuses long decimal numbers
    return " ".join(text)


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
        inner = [part for part in body.body if isinstance(part, ast.Assign | ast.AnnAssign)]
        hooked = any(isinstance(part, _FUNCTIONS) and part.name in hooks for part in body.body)
        return hooked or bool(body.keywords) or any(may_remember(part) for part in inner)
    match body:
        case ast.Assign(value=ast.Call(ast.Name("getLogger") | ast.Attribute(ast.Name("logging"), "getLogger"))):
            return False  # loggers are in many decorators, and change no result
    kept = (ast.Call, ast.List, ast.Dict, ast.Set, *_COMPREHENSIONS)
    return not _is_definition(body) or any(isinstance(part, kept) for part in ast.walk(body))


# -- the top of a module ----------------------------------------------------------------------------------------------


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
    """Whether it gives the same wherever it stands, as nothing is looked up before it is called."""
    if not isinstance(statement, _FUNCTIONS):
        return False
    parts = [*statement.decorator_list, *statement.args.defaults, *filter(None, statement.args.kw_defaults)]
    return all(isinstance(part, ast.Constant) for part in parts)


def _is_main(test: ast.expr) -> bool:
    match test:
        case ast.Compare(ast.Name("__name__"), [ast.Eq()], [ast.Constant("__main__")]):
            return True
    return False


def _is_text(node: object) -> TypeGuard[ast.Expr]:
    """A constant that nobody takes, as a docstring is."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


# -- names ------------------------------------------------------------------------------------------------------------


def _take_name(node: ast.Attribute | ast.Name, local: _Local, found: Uses, call: ast.Call | None) -> list[ast.AST]:
    """Take a name with its attributes, that `call` calls; returns what they are attributes of if that is no name."""
    path: list[str] = []
    part: ast.expr = node
    while isinstance(part, ast.Attribute):
        path.insert(0, part.attr)
        part = part.value
    head = part.id if isinstance(part, ast.Name) else ""
    found.anywhere |= not _ANYWHERE_OF.isdisjoint({head, *path}) or (head in _ANYWHERE and head not in local)
    rest, bound = ".".join(path), local.get(head, ())
    if is_by_name(rest or head) or any(imported.name in _BY_NAME for imported in bound):
        found.below.update(dict.fromkeys(_named_below(call)))
    elif any(imported.loads_more(rest) for imported in bound) or (head == "exec" and head not in local):
        found.below[""] = None
    if head in local:
        found.imports.update(((imported, rest), None) for imported in bound)
    elif head:
        found.names[".".join([head, *path])] = None
    return [] if head else [part]


def _named_below(call: ast.Call | None) -> list[str]:
    """The package, as in `Uses.below`, of which a call imports a module by its name; none if that is written out."""
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)] if call is not None else []
    if not arguments:
        return [""]
    parts = [part for argument in arguments for part in getattr(argument, "elts", [argument])]
    own = [isinstance(part, ast.Name) and part.id in ("__name__", "__package__") for part in parts]
    text = _beginning(arguments[0])
    known = all(mine or isinstance(part, ast.Constant) for mine, part in zip(own, parts, strict=True))
    if known and not text.startswith(".."):  # which nobody follows up
        return []
    package = text if isinstance(arguments[0], ast.Constant) else text.rpartition(".")[0]
    if text.startswith("."):
        return [f".{package.lstrip('.')}" if text[1:2] != "." and own[1:2] == [True] else ""]
    return [package]


def _beginning(expression: ast.expr) -> str:
    """The text that an expression begins with, as far as it is written out."""
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


def _quoted(node: ast.AST) -> Iterator[ast.expr]:
    """What stands between quotes in its annotation."""
    annotation = getattr(node, "annotation", None) or getattr(node, "returns", None)
    for part in ast.walk(annotation) if annotation is not None else ():
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                yield ast.parse(part.value, mode="eval").body


def _body(function: _Function) -> list[ast.AST]:
    return [*function.body] if isinstance(function.body, list) else [function.body]


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


def _bound(statement: ast.AST) -> dict[str, None]:
    """The names that a statement at the top may bind in the module, also later: a function with `global`."""
    names = dict.fromkeys(name for node in _scope([statement]) for name, _ in _binds(node))
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


def _binds(node: ast.AST, package: str = "") -> Iterator[tuple[str, Imported | None]]:
    """The names that the node itself binds."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id, None
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from _imports(node, package)
    elif isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
        yield node.name, None
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest, None


def _imports(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, Imported]]:
    """The names that an import binds, each with what it is."""
    for alias in node.names:
        if isinstance(node, ast.Import):
            yield alias.asname or alias.name.partition(".")[0], Imported(alias.name, first=not alias.asname)
        else:
            above = package.split(".")[: -(node.level - 1) or None] if node.level else []
            yield alias.asname or alias.name, Imported(".".join(filter(None, [*above, node.module])), alias.name)
