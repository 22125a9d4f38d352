"""Reads the names that a module binds, and what its functions and classes take. Imports nothing, so no user code runs.

Only a run in which the file of a module is new imports this.
"""

from __future__ import annotations

import ast
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from nfrun.code.bindings import symbols_of
from nfrun.code.signatures import ClassSignature, ModuleNames, Signature

_DYNAMIC_CALLS = ("globals", "vars", "exec", "setattr")
_TREES: dict[str, tuple[bytes, ast.Module]] = {}  # of files that were checked, with their sources
_FILTERING = threading.Lock()  # the warnings of this process

Function = ast.FunctionDef | ast.AsyncFunctionDef


def read_names(data: bytes, origin: str, file: str, package: str) -> ModuleNames:
    """Return the names that the source of a module binds. `origin` is its path, and `file` its name for people.

    `package` is the package whose modules it imports by relative names.

    Raises SyntaxError, UnicodeDecodeError, ValueError, RecursionError and MemoryError.
    """
    with ignored_warnings():
        tree = ast.parse(data, origin)
        compile(tree, origin, "exec", dont_inherit=True)  # runs nothing, finds more errors than a parser
        _TREES[origin] = data, tree
        return _module(tree, file, package)


@contextmanager
def ignored_warnings() -> Iterator[None]:
    """Ignore warnings of the parser while inside, e.g. about invalid escapes in a string: the run shows them.

    One thread at a time, since the filters belong to the process: two would put back the filters of each other.
    """
    with _FILTERING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def parse(text: bytes, origin: str = "") -> ast.Module:
    """Return the syntax tree of a source. Raises SyntaxError, ValueError, RecursionError and MemoryError.

    That of `read_names` is used once, as it takes a lot of memory.
    """
    data, tree = _TREES.pop(origin, (b"", None))
    if tree is not None and data == text:
        return tree
    with ignored_warnings():
        return ast.parse(text)


def _module(tree: ast.Module, file: str, package: str) -> ModuleNames:
    """Collect the names that a module binds."""
    symbols = symbols_of(tree, package)
    module = ModuleNames(file)
    for name, definitions in symbols.definitions.items():
        for body in (definition.body for definition in definitions):
            if isinstance(body, Function):
                module.functions[name] = None if name in module.functions else signature_of(body, file)
                module.decorated |= {name} if body.decorator_list else set()
            elif isinstance(body, ast.ClassDef):
                module.classes[name] = class_signature(body, file)
            if not isinstance(body, Function) and name != "__doc__":
                module.others[name] = None
    for name, bound in symbols.imports.items():
        for imported, _ in bound:
            module.others[name] = None
            if imported.name:
                module.from_others[name] = imported.module, imported.name
            else:
                module.imported.add(name)
    bodies = [definition.body for found in (*symbols.definitions.values(), symbols.module_body) for definition in found]
    code = [part for body in bodies if not isinstance(body, (Function, ast.ClassDef)) for part in ast.walk(body)]
    module.dynamic = (
        "__getattr__" in module.functions
        or any(star.name == "*" for star in symbols.star_imports)
        or any(isinstance(part, ast.Name) and part.id in _DYNAMIC_CALLS for part in code)
    )
    return module


def signature_of(function: Function, file: str, *, is_method: bool = False) -> Signature:
    """Return the signature of a function or, without its first parameter, of a method."""
    arguments = function.args
    plain = [*arguments.posonlyargs, *arguments.args]
    without_default = {a.arg for a in plain[: len(plain) - len(arguments.defaults)]}
    without_default |= {a.arg for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is None}
    own = plain[0].arg if is_method and plain else None
    named = [a for a in (*arguments.args, *arguments.kwonlyargs) if a.arg != own]
    annotated = [(a.arg, a) for a in named]
    if arguments.kwarg is not None:
        annotated.append((f"**{arguments.kwarg.arg}", arguments.kwarg))
    return Signature(
        where=f"{file}:{function.lineno}",
        names=tuple([a.arg for a in named]),
        required=tuple([a.arg for a in named if a.arg in without_default]),
        positional_only=tuple([a.arg for a in arguments.posonlyargs if a.arg in without_default and a.arg != own]),
        takes_kwargs=arguments.kwarg is not None,
        is_async=isinstance(function, ast.AsyncFunctionDef),
        annotations={name: ast.unparse(a.annotation) for name, a in annotated if a.annotation is not None},
    )


def class_signature(found: ast.ClassDef, file: str) -> ClassSignature:
    """Return what a class takes, as far as its own body shows it: only the run sees bases and decorators."""
    where = f"{file}:{found.lineno}"
    methods = {item.name: item for item in found.body if isinstance(item, Function)}
    init, call = (
        signature_of(methods[name], file, is_method=not _is_static(methods[name])) if name in methods else None
        for name in ("__init__", "__call__")
    )
    is_whole = not found.keywords and all(isinstance(base, ast.Name) and base.id == "object" for base in found.bases)
    if init is None and is_whole and "__new__" not in methods and not found.decorator_list:
        init = Signature(where, (), ())
    return ClassSignature(where, init, call)


def _is_static(method: Function) -> bool:
    return any(isinstance(found, ast.Name) and found.id == "staticmethod" for found in method.decorator_list)
