"""Defines what functions and classes take, and the names that a module binds; `names_reader.py` reads them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nfrun.core.pipeline import NOTHING
from nfrun.core.values import field, frozen, mutable

if TYPE_CHECKING:
    import inspect


@frozen
class Signature:
    """The parameters of a function that can be passed by keyword. `where` is the `file:line` of its definition.

    `required` are those of `names` without a default. `positional_only` are the positional-only parameters without a
    default, which cannot be passed by keyword. `annotations` has the texts of annotations by parameter; that of
    `**more` is under `**more`. `unreturned` is the variable that it sets at its end, if it returns nothing.
    """

    where: str
    names: tuple[str, ...]
    required: tuple[str, ...]
    positional_only: tuple[str, ...] = ()
    takes_kwargs: bool = False
    is_async: bool = False
    annotations: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    unreturned: str = ""


@frozen
class ClassSignature:
    """What a class takes when it is made (`init`) and when its instances are called (`call`), without `self`.

    Each is None if the source does not show it. `is_whole`: there are no base classes that could have more.
    """

    where: str
    init: Signature | None
    call: Signature | None
    is_whole: bool = True


@mutable
class ModuleNames:
    """The names that a module binds at its top: its functions, its `classes` and all `others`, with the classes.

    A function has no signature if several definitions give the name. Of those in `decorated` the run may show another.
    `imported` are those of `others` that `import` statements bind: most are modules, so no hint names them.
    `from_others` has for what `from … import` binds the module and the name in it.
    `dynamic`: any other name may exist, because of a star import, a module-level `__getattr__`, `globals()`, `vars()`,
    `setattr()` or `exec()`.
    """

    file: str
    functions: dict[str, Signature | None] = field(default_factory=dict)
    decorated: set[str] = field(default_factory=set)
    classes: dict[str, ClassSignature] = field(default_factory=dict)
    others: dict[str, None] = field(default_factory=dict)
    imported: set[str] = field(default_factory=set)
    from_others: dict[str, tuple[str, str]] = field(default_factory=dict)
    dynamic: bool = False


def signature_to_json(signature: Signature | None) -> Any:
    """Return a signature as JSON, with the line in the place of the file and line."""
    if signature is None:
        return None
    s = signature
    line = s.where.rpartition(":")[2]
    return [line, s.names, s.required, s.positional_only, s.takes_kwargs, s.is_async, dict(s.annotations), s.unreturned]


def signature_from_json(saved: Any, file: str) -> Signature | None:
    """Return the signature of a function in `file` that `signature_to_json` has returned as JSON."""
    if not saved:
        return None
    line, names, required, positional_only, takes_kwargs, is_async, *more = saved
    where = f"{file}:{line}"
    return Signature(where, tuple(names), tuple(required), tuple(positional_only), takes_kwargs, is_async, *more)


def class_to_json(found: ClassSignature) -> Any:
    """Return a class as JSON, as `signature_to_json` does with a function."""
    line = found.where.rpartition(":")[2]
    return [line, signature_to_json(found.init), signature_to_json(found.call), found.is_whole]


def class_from_json(saved: Any, file: str) -> ClassSignature:
    """Return the class in `file` that `class_to_json` has returned as JSON."""
    line, init, call, is_whole = saved
    return ClassSignature(f"{file}:{line}", signature_from_json(init, file), signature_from_json(call, file), is_whole)


def module_to_json(module: ModuleNames) -> list[Any]:
    """Return the names of a module as JSON."""
    functions = {name: signature_to_json(found) for name, found in module.functions.items()}
    classes = {name: class_to_json(found) for name, found in module.classes.items()}
    imported = [[*module.imported], module.from_others]
    return [functions, [*module.decorated], classes, [*module.others], *imported, module.dynamic]


def module_from_json(saved: list[Any], file: str) -> ModuleNames:
    """Return the names of the module in `file` that `module_to_json` has returned as JSON."""
    functions, decorated, classes, others, imported, from_others, dynamic = saved
    return ModuleNames(
        file,
        {name: signature_from_json(parts, file) for name, parts in functions.items()},
        set(decorated),
        {name: class_from_json(parts, file) for name, parts in classes.items()},
        dict.fromkeys(others),
        set(imported),
        {name: (module, inner) for name, (module, inner) in from_others.items()},
        dynamic,
    )


def signature_of(function: Any) -> inspect.Signature:
    """Return the signature of a function, without computing its annotations. Raises TypeError or ValueError.

    From Python 3.14 on, annotations are computed when they are read: a name that only type checkers import would fail
    here, so they are texts there.
    """
    import inspect

    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.STRING)
    return inspect.signature(function)
