"""Finds `module:function` and its arguments by reading the source. Imports nothing, so no user code runs."""

from __future__ import annotations

import ast
import io
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nfrun.code.known_modules import KnownModules
from nfrun.code.missing_imports import missing_at_import, shown_file
from nfrun.code.module_finder import OURS, find_module
from nfrun.code.signatures import (
    ClassSignature,
    Signature,
    class_from_json,
    class_signature,
    class_to_json,
    signature_from_json,
    signature_of,
    signature_to_json,
)
from nfrun.core.text import closest_match, ellipsize
from nfrun.core.values import field, frozen, mutable
from nfrun.system.checksums import bytes_checksum

_DYNAMIC_CALLS = ("globals", "vars", "exec", "setattr")
_FILTERING = threading.Lock()  # the warnings of this process


@frozen
class LookupResult:
    """The result of a lookup: a `message` and a `hint` if the call cannot work, a `signature` if the source shows one.

    `class_` is what a class takes, if the name is that of one. `likely` is the signature in the source, also where a
    decorator may change it. All are empty if only the run can tell. `unreadable` is set if the module itself is at
    fault, whatever the function.
    """

    message: str = ""
    hint: str = ""
    signature: Signature | None = None
    unreadable: bool = False
    class_: ClassSignature | None = None
    likely: Signature | None = None


@mutable
class _Module:
    """The names that a module binds at its top: its functions, its `classes` and all `others`, with the classes.

    A function has no signature if several definitions give the name. Of those in `decorated` the run may show another.
    `imported` are those of `others` that `import` statements bind: most are modules, so no hint names them.
    `dynamic`: any other name may exist, because of a star import, a module-level `__getattr__`, `globals()`, `vars()`,
    `setattr()` or `exec()`.
    """

    file: str
    functions: dict[str, Signature | None] = field(default_factory=dict)
    decorated: set[str] = field(default_factory=set)
    classes: dict[str, ClassSignature] = field(default_factory=dict)
    others: dict[str, None] = field(default_factory=dict)
    imported: set[str] = field(default_factory=set)
    dynamic: bool = False


@mutable
class FunctionLookup:
    """Looks up functions, and reads each module once. `folder` is searched before `sys.path`.

    Messages name files relative to `base`, the folder of the pipeline, if that is another one. What is `known` of
    modules is not read again while their files are the same.
    """

    folder: Path
    base: Path | None = None
    known: KnownModules = field(default_factory=KnownModules)
    _modules: dict[str, _Module | LookupResult] = field(default_factory=dict)
    _found: dict[tuple[str, str], LookupResult] = field(default_factory=dict)
    _loaded: set[str | tuple[str, str]] = field(default_factory=set)  # modules, and what they lack
    _others: dict[Path, FunctionLookup] = field(default_factory=dict)  # by folder

    def beside(self, folder: Path) -> FunctionLookup:
        """Return the lookup in another folder of the same pipeline."""
        if folder == self.folder:
            return self
        if folder not in self._others:
            self._others[self.folder] = self
            self._others[folder] = FunctionLookup(folder, self.base or self.folder, self.known, _others=self._others)
        return self._others[folder]

    def find(self, module: str, function: str) -> LookupResult:
        """Look up `module:function` without importing anything. Problems are returned, not raised.

        If a module cannot be read, only its first lookup returns the problem: it is one mistake, however many nodes
        use the module.
        """
        key = module, function
        if key not in self._found:
            if module not in self._modules:
                self._modules[module] = self._read(module)
            read = self._modules[module]
            if isinstance(read, LookupResult):
                self._modules[module] = LookupResult() if read.unreadable else read
                return read
            self._found[key] = _look_up(read, function)
        return self._found[key]

    def missing_imports(self, module: str) -> Iterator[tuple[str, str]]:
        """Yield the packages that are not installed and without which a module cannot be loaded, with `file:line`.

        Each place is yielded once: it is one mistake, however many modules lead to it.
        """
        if module not in self._loaded:
            self._loaded.add(module)
            for missing in missing_at_import(module, self.folder, _parse, self.base):
                if missing not in self._loaded:
                    self._loaded.add(missing)
                    yield missing

    def _read(self, module: str) -> _Module | LookupResult:
        spec = find_module(module, self.folder)
        if spec is None:
            return self._no_module(module)
        first = module.split(".")[0]
        in_folder = any((self.folder / name).exists() for name in (f"{first}.py", f"{first}/__init__.py"))
        if in_folder and (first in sys.stdlib_module_names or first in OURS):
            what = f"the module '{first}' beside the pipeline file has the name of one that is in use already"
            return LookupResult(what, "rename the file", unreadable=True)
        if spec.origin is None and spec.submodule_search_locations is not None:
            return self._bare_folder(module, list(spec.submodule_search_locations))
        if spec.origin is None or not spec.origin.endswith(".py"):
            return LookupResult()  # compiled or built-in: checked by the run
        try:
            data = Path(spec.origin).read_bytes()
            checksum = bytes_checksum(data)
            if (binds := self.known.get(spec.origin, checksum)) is not None:
                return _from_json(binds, self._shown(spec.origin))
            with ignored_warnings():
                source = _decoded(data)
                compile(source, spec.origin, "exec", dont_inherit=True)  # runs nothing, finds more errors than a parser
                found = _module(ast.parse(source, spec.origin), self._shown(spec.origin))
            self.known.add(spec.origin, checksum, _to_json(found))
            return found
        except SyntaxError as error:
            line = f":{error.lineno}:{error.offset}" if error.lineno else ""
            fault = error.msg.replace(f" for {spec.origin!r}", "")
            hint = f"the module '{module}' cannot be read"
            return LookupResult(f"{self._shown(spec.origin)}{line}: {fault}", hint, unreadable=True)
        except (OSError, UnicodeDecodeError, ValueError, RecursionError, MemoryError) as error:
            why = str(error.strerror if isinstance(error, OSError) else error)
            return LookupResult(
                f"the module '{ellipsize(module)}' cannot be read: {ellipsize(why, 200)}", unreadable=True
            )

    def _no_module(self, module: str) -> LookupResult:
        first, *inner = module.split(".")
        package = find_module(first, self.folder) if inner else None
        places = [self.folder] if package is None else map(Path, package.submodule_search_locations or ())
        before = "" if package is None else f"{first}."
        known = [f"{before}{name}" for name in _modules_in(places)]
        guess = closest_match(module, known) or (first if package and not known else None)
        if guess:
            hint = f"did you mean '{guess}'?"
        elif package is None:
            hint = f"there is no {ellipsize(first)}.py beside the pipeline file, and no such module is installed"
        else:
            hint = f"there is {ellipsize(', '.join(known), 100)}"
        return LookupResult(f"there is no module '{ellipsize(module)}'", hint)

    def _bare_folder(self, module: str, places: list[str]) -> LookupResult:
        known = [f"{module}.{name}" for name in _modules_in(map(Path, places))]
        hint = f"a module in it: {ellipsize(', '.join(known), 100)}" if known else "there is no module in it"
        return LookupResult(f"'{ellipsize(module)}' is a folder without an __init__.py, and has no functions", hint)

    def _shown(self, origin: str) -> str:
        return shown_file(Path(origin), self.base or self.folder)


@contextmanager
def ignored_warnings() -> Iterator[None]:
    """Ignore warnings of the parser while inside, e.g. about invalid escapes in a string: the run shows them.

    One thread at a time, since the filters belong to the process: two would put back the filters of each other.
    """
    with _FILTERING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _decoded(data: bytes) -> str:
    """Return the text of a source file, in the encoding that it names."""
    import tokenize

    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return io.TextIOWrapper(io.BytesIO(data), encoding).read()


def _parse(text: bytes) -> ast.Module:
    with ignored_warnings():
        return ast.parse(text)


def _modules_in(folders: Iterable[Path]) -> list[str]:
    """Return the sorted names of the modules and packages in the folders."""
    inside = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    names = [path.stem for path in inside if path.suffix == ".py" or (path / "__init__.py").is_file()]
    return sorted(name for name in names if name.isidentifier() and not name.startswith("__"))


def _module(tree: ast.Module, file: str) -> _Module:
    """Collect the names that a module binds, in one pass."""
    module = _Module(file)
    for statement in _statements(tree.body):
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            is_clear = statement.name not in module.functions
            module.functions[statement.name] = signature_of(statement, file) if is_clear else None
            if statement.decorator_list:
                module.decorated.add(statement.name)
            module.dynamic = module.dynamic or statement.name == "__getattr__"
        else:
            if isinstance(statement, ast.ClassDef):
                module.classes[statement.name] = class_signature(statement, file, module.classes)
            if isinstance(statement, ast.Import):
                module.imported.update(_bound(statement))
            module.others.update(dict.fromkeys(_bound(statement)))
            module.dynamic = module.dynamic or any(name.id in _DYNAMIC_CALLS for name in _names_in(statement))
    module.dynamic = module.dynamic or "*" in module.others
    return module


def _look_up(module: _Module, function: str) -> LookupResult:
    likely = module.functions.get(function)
    if module.dynamic or function in module.others:
        class_ = None if function in module.functions else module.classes.get(function)
        return LookupResult(class_=class_, likely=likely)
    if function not in module.functions:
        names = (*module.functions, *(name for name in module.others if name not in module.imported))
        public = [name for name in names if not name.startswith("_")]
        guess = closest_match(function, public)
        hint = (
            f"did you mean '{guess}'?" if guess else f"there is {ellipsize(', '.join(public), 100)}" if public else ""
        )
        return LookupResult(f"{module.file} has no function '{ellipsize(function)}'", hint)
    return LookupResult(signature=None if function in module.decorated else likely, likely=likely)


def _to_json(module: _Module) -> list[Any]:
    functions = {name: signature_to_json(found) for name, found in module.functions.items()}
    classes = {name: class_to_json(found) for name, found in module.classes.items()}
    return [functions, [*module.decorated], classes, [*module.others], [*module.imported], module.dynamic]


def _from_json(saved: list[Any], file: str) -> _Module:
    functions, decorated, classes, others, imported, dynamic = saved
    return _Module(
        file,
        {name: signature_from_json(parts, file) for name, parts in functions.items()},
        set(decorated),
        {name: class_from_json(parts, file) for name, parts in classes.items()},
        dict.fromkeys(others),
        set(imported),
        dynamic,
    )


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, with those inside `if`, `try`, `with` and loops, but not inside definitions."""
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
    """Yield the names that a statement other than a function definition binds in the module."""
    if isinstance(statement, ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        for alias in statement.names:
            yield alias.asname or alias.name.split(".")[0]
    else:
        yield from (name.id for name in _names_in(statement) if isinstance(name.ctx, ast.Store))


def _names_in(statement: ast.stmt) -> Iterator[ast.Name]:
    """Yield the names in a statement, without those in statements nested in it."""
    for part in ast.iter_child_nodes(statement):
        if not isinstance(part, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from (name for name in ast.walk(part) if isinstance(name, ast.Name))
