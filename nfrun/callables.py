"""Finds `module:function` and its arguments by reading the source. Imports nothing, so no user code runs."""

from __future__ import annotations

import ast
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from nfrun.errors import near, shorten


@dataclass(frozen=True, slots=True)
class Signature:
    """The arguments that a function takes by keyword; `where` is `file:line` of its definition."""

    where: str
    names: tuple[str, ...]
    required: tuple[str, ...]
    positional_only: tuple[str, ...] = ()
    takes_rest: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What reading told: `problem` and `hint` if it cannot work; a signature where one can be seen, else None."""

    problem: str = ""
    hint: str = ""
    signature: Signature | None = None


@dataclass
class Library:
    """Reads each module once. `folder` is searched before the places where Python looks."""

    folder: Path
    _modules: dict[str, ast.Module | Found] = field(default_factory=dict)
    _sources: dict[str, str] = field(default_factory=dict)

    def find(self, module: str, function: str) -> Found:
        """What can be said of `module:function` without importing anything."""
        if module not in self._modules:
            self._modules[module] = self._read(module)
        tree = self._modules[module]
        if isinstance(tree, Found):
            return tree
        return _look_up(tree, function, self._shown(self._sources[module]))

    def _read(self, module: str) -> ast.Module | Found:
        spec = find_module(module, self.folder)
        if spec is None:
            return self._no_module(module)
        if spec.origin is None or not spec.origin.endswith(".py"):
            return Found()  # compiled, built in or a bare folder: left to the run
        self._sources[module] = spec.origin
        try:
            with tokenize.open(spec.origin) as file:
                return ast.parse(file.read(), spec.origin)
        except SyntaxError as error:
            line = f":{error.lineno}:{error.offset}" if error.lineno else ""
            return Found(f"{self._shown(spec.origin)}{line}: {error.msg}", f"the module '{module}' cannot be read")
        except (OSError, UnicodeDecodeError, ValueError, RecursionError, MemoryError) as error:
            return Found(f"the module '{module}' cannot be read: {shorten(str(error), 200)}")

    def _no_module(self, module: str) -> Found:
        beside = sorted(path.stem for path in self.folder.glob("*.py"))
        guess = near(module, beside)
        hint = (
            f"did you mean '{guess}'?" if guess else f"there is no {module.split('.')[0]}.py beside the pipeline file"
        )
        return Found(f"there is no module '{module}'", hint)

    def _shown(self, origin: str) -> str:
        path = Path(origin)
        return str(path.relative_to(self.folder)) if path.is_relative_to(self.folder) else path.name


def find_module(module: str, folder: Path) -> ModuleSpec | None:
    """Where `import module` finds it when `folder` comes first, or None. Imports no parent package either.

    `importlib.util.find_spec` imports the parents of a dotted name; asking the path finder step by step does not.
    """
    places: list[str] | None = [str(folder), *sys.path]
    spec: ModuleSpec | None = None
    parts = module.split(".")
    if parts[0] in sys.builtin_module_names:
        return ModuleSpec(module, None, origin="built-in")
    for i in range(len(parts)):
        if places is None:
            return None
        try:
            spec = PathFinder.find_spec(".".join(parts[: i + 1]), places)
        except (ImportError, ValueError, OSError):
            return None
        if spec is None:
            return None
        places = list(spec.submodule_search_locations) if spec.submodule_search_locations is not None else None
    return spec


def _look_up(tree: ast.Module, function: str, file: str) -> Found:
    functions: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
    names: list[str] = []
    unclear = False
    for statement in _statements(tree.body):
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            names.append(statement.name)
            if statement.name == function:
                functions.append(statement)
        else:
            bound = list(_bound(statement))
            names.extend(bound)
            # A star import or a module-level __getattr__ may provide any name.
            unclear = unclear or function in bound or "*" in bound
    if unclear or "__getattr__" in names:
        return Found()
    if not functions:
        guess = near(function, (name for name in names if not name.startswith("_")))
        return Found(f"{file} has no function '{function}'", f"did you mean '{guess}'?" if guess else "")
    if len(functions) > 1 or functions[0].decorator_list:
        return Found()  # which one counts, or what a decorator made of it, is only known at the run
    return Found(signature=_signature(functions[0], file))


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, with those inside `if`, `try`, `with` and loops, but not inside definitions."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for name in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(statement, name, []))
        for handler in getattr(statement, "handlers", []):
            yield from _statements(handler.body)
        for case in getattr(statement, "cases", []):
            yield from _statements(case.body)


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement other than a function definition binds in the module."""
    if isinstance(statement, ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        for alias in statement.names:
            yield alias.asname or alias.name.split(".")[0]
    else:
        targets = [getattr(statement, "target", None), *getattr(statement, "targets", [])]
        for target in targets:
            if isinstance(target, ast.AST):
                yield from (name.id for name in ast.walk(target) if isinstance(name, ast.Name))


def _signature(function: ast.FunctionDef | ast.AsyncFunctionDef, file: str) -> Signature:
    arguments = function.args
    plain = [*arguments.posonlyargs, *arguments.args]
    without_default = {a.arg for a in plain[: len(plain) - len(arguments.defaults)]}
    without_default |= {a.arg for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is None}
    names = [a.arg for a in (*arguments.args, *arguments.kwonlyargs)]
    return Signature(
        where=f"{file}:{function.lineno}",
        names=tuple(names),
        required=tuple(name for name in names if name in without_default),
        positional_only=tuple(a.arg for a in arguments.posonlyargs if a.arg in without_default),
        takes_rest=arguments.kwarg is not None,
    )
