"""Reads from the source what functions and classes take, without importing them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from nfrun.core.pipeline import NOTHING
from nfrun.core.values import field, frozen

_DATACLASS = ("dataclass", "define", "frozen", "mutable")  # decorators that make `__init__` of the fields

Function = ast.FunctionDef | ast.AsyncFunctionDef


@frozen
class Signature:
    """The parameters of a function that can be passed by keyword. `where` is the `file:line` of its definition.

    `required` are those of `names` without a default. `positional_only` are the positional-only parameters without a
    default, which cannot be passed by keyword. `annotations` has the texts of annotations by parameter.
    """

    where: str
    names: tuple[str, ...]
    required: tuple[str, ...]
    positional_only: tuple[str, ...] = ()
    takes_kwargs: bool = False
    is_async: bool = False
    annotations: Mapping[str, str] = field(default_factory=lambda: NOTHING)


@frozen
class ClassSignature:
    """What a class takes when it is made (`init`) and when its instances are called (`call`), without `self`.

    Each is None if the source does not show it. `is_whole`: there are no base classes that could have more.
    """

    where: str
    init: Signature | None
    call: Signature | None
    is_whole: bool = True


def signature_of(function: Function, file: str, *, is_method: bool = False) -> Signature:
    """Return the signature of a function or, without its first parameter, of a method."""
    arguments = function.args
    plain = [*arguments.posonlyargs, *arguments.args]
    without_default = {a.arg for a in plain[: len(plain) - len(arguments.defaults)]}
    without_default |= {a.arg for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is None}
    own = plain[0].arg if is_method and plain else None
    named = [a for a in (*arguments.args, *arguments.kwonlyargs) if a.arg != own]
    return Signature(
        where=f"{file}:{function.lineno}",
        names=tuple([a.arg for a in named]),
        required=tuple([a.arg for a in named if a.arg in without_default]),
        positional_only=tuple([a.arg for a in arguments.posonlyargs if a.arg in without_default and a.arg != own]),
        takes_kwargs=arguments.kwarg is not None,
        is_async=isinstance(function, ast.AsyncFunctionDef),
        annotations={a.arg: ast.unparse(a.annotation) for a in named if a.annotation is not None},
    )


def class_signature(found: ast.ClassDef, file: str, known: Mapping[str, ClassSignature]) -> ClassSignature:
    """Return what a class takes. `known` are the classes above it in the module, which may be its bases."""
    where = f"{file}:{found.lineno}"
    methods = {item.name: item for item in found.body if isinstance(item, Function)}
    own = {
        name: signature_of(methods[name], file, is_method=True) for name in ("__init__", "__call__") if name in methods
    }
    bases = [known.get(base.id) if isinstance(base, ast.Name) else None for base in found.bases if not _is_object(base)]
    seen = [base for base in bases if base is not None]
    is_whole = len(seen) == len(bases) and all(base.is_whole for base in seen) and not found.keywords
    init, call = own.get("__init__"), own.get("__call__")
    if init is None and any(map(_makes_init, found.decorator_list)):
        init = _fields_signature(found, file)
    for base in seen:
        init, call = init or base.init, call or base.call
    if init is None and is_whole and "__new__" not in methods:
        init = Signature(where, (), ())
    return ClassSignature(where, init, call, is_whole)


def signature_to_json(signature: Signature | None) -> Any:
    """Return a signature as JSON, with the line in the place of the file and line."""
    if signature is None:
        return None
    s = signature
    line = s.where.rpartition(":")[2]
    return [line, s.names, s.required, s.positional_only, s.takes_kwargs, s.is_async, dict(s.annotations)]


def signature_from_json(saved: Any, file: str) -> Signature | None:
    """Return the signature of a function in `file` that `signature_to_json` has returned as JSON."""
    if not saved:
        return None
    line, names, required, positional_only, takes_kwargs, is_async, annotations = saved
    where = f"{file}:{line}"
    return Signature(where, tuple(names), tuple(required), tuple(positional_only), takes_kwargs, is_async, annotations)


def class_to_json(found: ClassSignature) -> Any:
    """Return a class as JSON, as `signature_to_json` does with a function."""
    line = found.where.rpartition(":")[2]
    return [line, signature_to_json(found.init), signature_to_json(found.call), found.is_whole]


def class_from_json(saved: Any, file: str) -> ClassSignature:
    """Return the class in `file` that `class_to_json` has returned as JSON."""
    line, init, call, is_whole = saved
    return ClassSignature(f"{file}:{line}", signature_from_json(init, file), signature_from_json(call, file), is_whole)


def _is_object(base: ast.expr) -> bool:
    return isinstance(base, ast.Name) and base.id == "object"


def _makes_init(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    return name in _DATACLASS


def _fields_signature(found: ast.ClassDef, file: str) -> Signature:
    """Return the signature of the `__init__` that a decorator makes of the annotated names of a class."""
    fields = [
        item
        for item in found.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and "ClassVar" not in ast.unparse(item)
    ]
    names = {item.target.id: item for item in fields if isinstance(item.target, ast.Name)}
    required = tuple([name for name, item in names.items() if item.value is None])
    annotations = {name: ast.unparse(item.annotation) for name, item in names.items()}
    return Signature(f"{file}:{found.lineno}", tuple(names), required, annotations=annotations)
