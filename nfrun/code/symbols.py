"""Extracts what the top of a module defines, and what each definition uses. Reads syntax trees only, no files.

Nested code is walked with a list of pending nodes: code may be nested deeper than Python can recurse.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias, TypeGuard

# Names that may reach anything in a module, whatever the source names. Those in the second set also as attributes.
_DYNAMIC_NAMES = {"getattr", "setattr", "delattr", "globals", "locals", "vars", "eval", "exec", "compile"}
_DYNAMIC_NAMES |= {"__builtins__", "builtins", "importlib", "runpy", "pkgutil"}
_DYNAMIC_ATTRS = {"__dict__", "__globals__", "__subclasses__", "__import__", "import_module", "modules"}
# Functions that import the module that an argument names; modules that load others in any way; exceptions to these.
_IMPORT_FUNCTIONS = {"import_module", "__import__"}
_LOADERS = {"importlib", "runpy", "pkgutil", "imp"}
_NO_LOADERS = {"importlib.metadata", "importlib.resources"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SILENT = {"kind", "type_comment", "type_ignores", "ctx"}  # fields that do not change how the code runs
_END = object()

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import binds: `module` itself, or its attribute `name`. `first`: `import a.b` without `as` binds `a`."""

    module: str
    name: str = ""
    first: bool = False

    @property
    def loads(self) -> tuple[str, ...]:
        """The modules that the import loads; the last one may be an attribute instead of a module."""
        return (self.module, f"{self.module}.{self.name}") if self.name else (self.module,)

    @property
    def is_dynamic(self) -> bool:
        """Whether code that uses the import may reach anything, whatever alias it has."""
        return self.module.partition(".")[0] in _DYNAMIC_NAMES or self.name in _DYNAMIC_ATTRS

    def loads_more(self, rest: str) -> bool:
        """Return whether it may, with the attributes `rest`, load modules that the source does not name."""
        module = self.module.partition(".")[0] if self.first else self.module
        path = ".".join(filter(None, (module, self.name, rest))).split(".")
        return path[0] in _LOADERS and ".".join(path[:2]) not in _NO_LOADERS


_Local: TypeAlias = Mapping[str, tuple[Imported, ...]]  # local names, and the imports that they may be bound to


@dataclass(frozen=True, slots=True)
class Definition:
    """A statement at the top of a module, the `at`-th.

    `where` names the branches around it. If its position matters, it also counts the non-definitions before it.
    """

    body: ast.AST
    at: int
    where: str


@dataclass
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


@dataclass
class Uses:
    """What a piece of code uses: `names` of its module and `imports` of its own, with attributes ("helpers.clean").

    `loads` are modules that it imports. `is_dynamic`: it may reach anything, and `texts` may name modules. It may load
    any module of `dynamic_packages` by a computed name: "" is any package, ".a" one in its own package.
    """

    names: dict[str, None] = field(default_factory=dict)
    imports: dict[tuple[Imported, str], None] = field(default_factory=dict)
    loads: dict[str, None] = field(default_factory=dict)
    is_dynamic: bool = False
    texts: dict[str, None] = field(default_factory=dict)
    dynamic_packages: dict[str, None] = field(default_factory=dict)


def symbols_of(tree: ast.Module, package: str) -> Symbols:
    """Collect what the module defines, but for code under `if __name__ == "__main__"`. See `Symbols.package`."""
    found = Symbols(package)
    left: list[tuple[ast.AST, str]] = [(statement, "") for statement in reversed(tree.body)]
    at = 0
    while left:
        statement, branch = left.pop()
        at += 1
        definition = Definition(statement, at, branch if _is_inert(statement) else f"{branch}#{len(found.module_body)}")
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for name, imported in _imports(statement, package):
                found.loads.update(dict.fromkeys(imported.loads))
                if name == "*" or imported.module == "__future__":
                    found.star_imports.append(imported)
                else:
                    found.imports.setdefault(name, []).append((imported, definition))
        elif isinstance(statement, ast.If) and _is_main(statement.test):
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
            for _, imported in _imports(node, package):
                yield from imported.loads


def uses(body: ast.AST, package: str) -> Uses:
    """Collect what a piece of code uses, without names that are local to functions and comprehensions in it."""
    found = Uses()
    left: list[tuple[ast.AST, _Local]] = [(body, {})]
    calls: dict[ast.AST, ast.Call] = {}  # by the called expression
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
            left.append((node.generators[0].iter, local))  # evaluated in the outer scope
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for name, imported in _imports(node, package):
                found.loads.update(dict.fromkeys(imported.loads))
                if name not in local:  # bound in the module by a loop or `global`: any code may use it
                    found.imports[imported, ""] = None
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.texts[node.value] = None
        else:
            left.extend((part, local) for part in ast.iter_child_nodes(node))
        if isinstance(node, ast.Call):
            calls[node.func] = node
        if isinstance(node, ast.ClassDef):  # its imports are used as its attributes
            bound = (imported for part in _scope(node.body) for _, imported in _binds(part, package))
            found.imports.update(((imported, ""), None) for imported in bound if imported)
    return found


def is_by_name(name: str) -> bool:
    """Return whether the function of this dotted name imports the module that its argument names."""
    return name.rpartition(".")[2] in _IMPORT_FUNCTIONS


def dump(body: ast.AST) -> str:
    """Return the code as text, without comments and layout. Docstrings stay: some code uses them as data."""
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


def import_time_receivers(body: ast.AST) -> list[ast.AST]:
    """Return the expressions that receive a definition on import, before its first use: decorators, bases, keywords."""
    if not isinstance(body, (*_FUNCTIONS, ast.ClassDef)):
        return []
    return [*body.decorator_list, *getattr(body, "bases", ()), *getattr(body, "keywords", ())]


def may_keep_arguments(body: ast.AST) -> bool:
    """Return whether the code may keep references to its arguments: a function with `global`, a list, an object."""
    if isinstance(body, _FUNCTIONS):
        return any(_declared(body))
    if isinstance(body, ast.ClassDef):
        hooks = {"__init_subclass__", "__set_name__"}
        inner = [part for part in body.body if isinstance(part, ast.Assign | ast.AnnAssign)]
        hooked = any(isinstance(part, _FUNCTIONS) and part.name in hooks for part in body.body)
        return hooked or bool(body.keywords) or any(may_keep_arguments(part) for part in inner)
    match body:
        case ast.Assign(value=ast.Call(ast.Name("getLogger") | ast.Attribute(ast.Name("logging"), "getLogger"))):
            return False  # many decorators use loggers, which change no result
    kept = (ast.Call, ast.List, ast.Dict, ast.Set, *_COMPREHENSIONS)
    return not _is_definition(body) or any(isinstance(part, kept) for part in ast.walk(body))


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
    return isinstance(statement, (*_FUNCTIONS, ast.ClassDef)) or type(statement).__name__ == "TypeAlias"


def _is_inert(statement: ast.AST) -> bool:
    """Return whether the statement has the same effect at any position: it looks up no names before it is called."""
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
    """Return whether the statement is a lone constant, such as a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


# -- names ------------------------------------------------------------------------------------------------------------


def _take_name(node: ast.Attribute | ast.Name, local: _Local, found: Uses, call: ast.Call | None) -> list[ast.AST]:
    """Record a name with its attributes, called by `call`. Returns the attributes' owner if that is not a name."""
    path: list[str] = []
    part: ast.expr = node
    while isinstance(part, ast.Attribute):
        path.insert(0, part.attr)
        part = part.value
    head = part.id if isinstance(part, ast.Name) else ""
    found.is_dynamic |= not _DYNAMIC_ATTRS.isdisjoint({head, *path}) or (head in _DYNAMIC_NAMES and head not in local)
    rest, bound = ".".join(path), local.get(head, ())
    if is_by_name(rest or head) or any(imported.name in _IMPORT_FUNCTIONS for imported in bound):
        found.dynamic_packages.update(dict.fromkeys(_named_below(call)))
    elif any(imported.loads_more(rest) for imported in bound) or (head == "exec" and head not in local):
        found.dynamic_packages[""] = None
    if head in local:
        found.imports.update(((imported, rest), None) for imported in bound)
    elif head:
        found.names[".".join([head, *path])] = None
    return [] if head else [part]


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


def _quoted(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the expressions in string annotations of the node."""
    annotation = getattr(node, "annotation", None) or getattr(node, "returns", None)
    for part in ast.walk(annotation) if annotation is not None else ():
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                yield ast.parse(part.value, mode="eval").body


def _body(function: _Function) -> list[ast.AST]:
    return [*function.body] if isinstance(function.body, list) else [function.body]


def _inside(function: _Function, outside: _Local, package: str) -> _Local:
    """Return the local names inside a function, with the imports that they may be bound to."""
    arguments = function.args
    plain = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    own: dict[str, tuple[Imported, ...]] = {a.arg: () for a in (*plain, arguments.vararg, arguments.kwarg) if a}
    for node in _scope(_body(function)):
        for name, imported in _binds(node, package):
            own[name] = (*own.get(name, ()), *([imported] if imported else ()))
    declared = set(_declared(function))
    return {name: bound for name, bound in {**outside, **own}.items() if name not in declared}


def _bound(statement: ast.AST) -> dict[str, None]:
    """Return the names that a top-level statement may bind in the module, also later by `global` in a function."""
    names = dict.fromkeys(name for node in _scope([statement]) for name, _ in _binds(node))
    return names | dict.fromkeys(_declared(statement))


def _declared(body: ast.AST) -> Iterator[str]:
    return (name for node in ast.walk(body) if isinstance(node, ast.Global) for name in node.names)


def _scope(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes of the body that bind names in its scope, without the bodies of functions and classes."""
    left = list(body)
    while left:
        node = left.pop()
        yield node
        if isinstance(node, ast.comprehension):
            left.extend((node.iter, *node.ifs))
        elif not isinstance(node, (*_FUNCTIONS, ast.Lambda, ast.ClassDef)):
            left.extend(ast.iter_child_nodes(node))


def _binds(node: ast.AST, package: str = "") -> Iterator[tuple[str, Imported | None]]:
    """Yield the names that the node itself binds, with the import if it is one."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id, None
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from _imports(node, package)
    elif isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
        yield node.name, None
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest, None


def _imports(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, Imported]]:
    """Yield the names that an import binds, each with its import."""
    for alias in node.names:
        if isinstance(node, ast.Import):
            yield alias.asname or alias.name.partition(".")[0], Imported(alias.name, first=not alias.asname)
        else:
            above = package.split(".")[: -(node.level - 1) or None] if node.level else []
            yield alias.asname or alias.name, Imported(".".join(filter(None, [*above, node.module])), alias.name)
