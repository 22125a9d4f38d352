"""Finds the names that statements and the top of a module bind, and the imports behind them. Reads syntax trees only.

Nested code is walked with a list of pending nodes: code may be nested deeper than Python can recurse.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import TypeAlias, TypeGuard

from nfrun.core.values import field, frozen, mutable

# Names that may reach anything in a module, whatever the source names. Those in the second set also as attributes.
DYNAMIC_NAMES = {"getattr", "setattr", "delattr", "globals", "locals", "vars", "eval", "exec", "compile"}
DYNAMIC_NAMES |= {"__builtins__", "builtins", "importlib", "runpy", "pkgutil"}
DYNAMIC_ATTRS = {"__dict__", "__globals__", "f_globals", "f_locals", "__import__", "import_module", "modules"}
# Attributes that may reach any module that some code has loaded.
ANYWHERE_ATTRS = {"__subclasses__", "f_back"}
# Functions that import the module that an argument names. What loads or finds modules in any way, and exceptions to it.
IMPORT_FUNCTIONS = {"import_module", "__import__"}
_LOADERS = {"importlib", "importlib.metadata.entry_points", "importlib.metadata.EntryPoint", "pkg_resources", "imp"}
_LOADERS |= {"runpy", "pkgutil", "pydoc", "gc"}
_LOADERS |= {"sys.modules", "sys.path", "sys.meta_path", "sys.path_hooks", "sys.executable", "inspect.stack"}
_LOADERS |= {"pickle", "_pickle", "cloudpickle", "dill", "shelve", "joblib.load", "pandas.read_pickle", "torch.load"}
_LOADERS |= {"hydra", "stevedore", "lazy_loader", "django.utils.module_loading", "werkzeug.utils.import_string"}
_LOADERS |= {"yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.UnsafeLoader", "yaml.Loader", "yaml.full_load"}
_LOADERS |= {"timeit", "code", "codeop", "trace", "cProfile", "profile"}
# These look up a package that a text names.
_FINDERS = {"importlib.metadata", "importlib.resources", "pkgutil.get_data"}
_NO_LOADERS = {*_FINDERS, "timeit.default_timer", "pickle.PickleError"}
_NO_LOADERS |= {f"{module}.{name}" for module in ("pickle", "cloudpickle", "dill") for name in ("dump", "dumps")}
_NO_LOADERS |= {"pickle.HIGHEST_PROTOCOL", "pickle.DEFAULT_PROTOCOL", "pickle.PicklingError"}
_NO_LOADERS |= {f"gc.{name}" for name in ("collect", "enable", "disable", "isenabled", "freeze", "unfreeze")}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

_NO_PARTS = {"ctx", "op", "ops", "kind", "type_comment", "id", "attr", "arg", "names", "level", "module", "conversion"}
_PARTS: dict[type[ast.AST], tuple[str, ...]] = {ast.Constant: ()}  # by class: the fields that may hold nodes
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")  # the fields that hold statements
_SCOPES = (*FUNCTIONS, ast.Lambda, ast.ClassDef)
_NAMED = (*FUNCTIONS, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
_IMPORTS = (ast.Import, ast.ImportFrom)
_BINDING = {*_NAMED, *_IMPORTS, ast.Global, ast.MatchMapping, ast.comprehension}
_BINDING |= {ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr, ast.withitem}  # these bind by the names in them

_SILENT = {"kind", "type_comment", "type_ignores", "ctx"}  # fields that do not change how the code runs
_FIELDS: dict[type[ast.AST], list[str]] = {}  # by class: the other fields, the last one first
_END = object()

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@frozen
class Imported:
    """A name bound by an import: `module`, or its attribute `name`. `first`: `import a.b` without `as` binds `a`."""

    module: str
    name: str = ""
    first: bool = False

    @property
    def loads(self) -> tuple[str, ...]:
        """The modules that the import loads; the last one may be an attribute instead of a module."""
        return (self.module, f"{self.module}.{self.name}") if self.name else (self.module,)

    def is_dynamic(self, rest: str) -> bool:
        """Return whether code that uses the import, with the attributes `rest`, may reach anything."""
        is_dynamic = self.module.partition(".")[0] in DYNAMIC_NAMES or self.name in DYNAMIC_ATTRS
        return is_dynamic and not self.finds(rest)

    def finds(self, rest: str) -> bool:
        """Return whether the import, with the attributes `rest`, only looks up packages that texts name."""
        return finds_packages(self._path(rest))

    def loads_more(self, rest: str) -> bool:
        """Return whether the import, with the attributes `rest`, may load modules that the source does not name."""
        return _loader(self._path(rest)) in _LOADERS

    def _path(self, rest: str) -> str:
        module = self.module.partition(".")[0] if self.first else self.module
        return ".".join(filter(None, (module, self.name, rest)))


def finds_packages(path: str) -> bool:
    """Return whether a name with its attributes, such as "pkgutil.get_data", only looks up packages."""
    return _loader(path) in _FINDERS


def _loader(path: str) -> str:
    """Return the part of a dotted name that tells whether it loads modules, "" if none does."""
    while path and path not in _LOADERS and path not in _NO_LOADERS:
        path = path.rpartition(".")[0]
    return path


def parts_of(node: ast.AST) -> list[ast.AST]:
    """Return the nodes directly in this one, but for operators and the like.

    Takes half of the time of `ast.iter_child_nodes`. Reading code is most of the work of a run that reuses everything.
    """
    kind = type(node)
    if (names := _PARTS.get(kind)) is None:
        names = _PARTS[kind] = tuple([name for name in node._fields if name not in _NO_PARTS])
    found: list[ast.AST] = []
    for name in names:
        part = getattr(node, name, None)
        if isinstance(part, list):
            found += [item for item in part if isinstance(item, ast.AST)]
        elif isinstance(part, ast.AST):
            found.append(part)
    return found


def declared(body: ast.AST) -> Iterator[str]:
    """Yield the names that functions in the body declare as global."""
    left = [body]
    while left:
        node = left.pop()
        if isinstance(node, ast.Global):
            yield from node.names
        for name in _BLOCKS:
            part = getattr(node, name, None)
            if isinstance(part, list):
                left += part


def argument_names(function: Function) -> list[str]:
    """Return the names of all arguments of a function."""
    found = function.args
    plain = (*found.posonlyargs, *found.args, *found.kwonlyargs, found.vararg, found.kwarg)
    return [argument.arg for argument in plain if argument]


def last_name(expression: ast.AST) -> str:
    """Return the name of an attribute or variable, "" for any other expression."""
    return str(getattr(expression, "attr", "") or getattr(expression, "id", ""))


def body_of(function: Function) -> list[ast.AST]:
    """Return the statements of a function, or the expression of a lambda."""
    return [*function.body] if isinstance(function.body, list) else [function.body]


def scope(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes of the body that bind names in its scope, without the bodies of functions and classes."""
    left = list(body)
    while left:
        node = left.pop()
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                yield node
            continue
        if type(node) in _BINDING:
            yield node
        if isinstance(node, ast.comprehension):
            left.extend((node.iter, *node.ifs))
        elif not isinstance(node, _SCOPES):
            left += parts_of(node)


def binds(node: ast.AST, package: str = "") -> Iterator[tuple[str, Imported | None]]:
    """Yield the names that the node itself binds, with the import if it is one."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id, None
    elif isinstance(node, _IMPORTS):
        yield from imports_of(node, package)
    elif isinstance(node, _NAMED) and node.name:
        yield node.name, None
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest, None


def imports_of(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, Imported]]:
    """Yield the names that an import binds, each with its import."""
    for alias in node.names:
        if isinstance(node, ast.Import):
            yield alias.asname or alias.name.partition(".")[0], Imported(alias.name, first=not alias.asname)
        else:
            above = package.split(".")[: -(node.level - 1) or None] if node.level else []
            yield alias.asname or alias.name, Imported(".".join(filter(None, [*above, node.module])), alias.name)


# -- the top of a module -----------------------------------------------------------------------------------------------


@frozen
class Definition:
    """A statement at the top of a module, the `at`-th.

    `where` names the branches around it, and counts the statements before it that define nothing.
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
        definition = Definition(statement, at, f"{branch}#{len(found.module_body)}")
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


def _is_main(test: ast.expr) -> bool:
    match test:
        case ast.Compare(ast.Name("__name__"), [ast.Eq()], [ast.Constant("__main__")]):
            return True
    return False


def _is_for_checkers(test: ast.expr, module: Symbols) -> bool:
    """Return whether this is the constant `TYPE_CHECKING` of `typing`, which is false while code runs."""
    return last_name(test) == "TYPE_CHECKING" and "TYPE_CHECKING" not in module.definitions


def _is_text(node: object) -> TypeGuard[ast.Expr]:
    """Return whether the statement is a lone constant, such as a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _bound(statement: ast.AST) -> dict[str, None]:
    """Return the names that a top-level statement may bind in the module, also later by `global` in a function."""
    names = dict.fromkeys(name for node in scope([statement]) for name, _ in binds(node))
    return names | dict.fromkeys(declared(statement))
