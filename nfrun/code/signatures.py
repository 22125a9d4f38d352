"""Defines what functions and classes take, and the names that a module binds; `names_reader.py` reads them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nfrun.core.pipeline import NOTHING
from nfrun.core.values import field, fields, frozen, mutable

if TYPE_CHECKING:
    import inspect


@frozen
class Signature:
    """The parameters of a function that can be passed by keyword. `where` is the `file:line` of its definition.

    `required` are those of `names` without a default. `positional_only` are the positional-only parameters without a
    default, which cannot be passed by keyword. `annotations` has the texts of annotations by parameter; that of
    `**more` is under `**more`.
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
    """The parameters of a class when it is made (`init`) and when its instances are called (`call`), without `self`.

    Each is None if the source does not show it.
    """

    where: str
    init: Signature | None
    call: Signature | None


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


def to_json(found: Any) -> Any:
    """Return the names of a module as JSON, for `module_from_json`."""
    if isinstance(found, ModuleNames | Signature | ClassSignature):
        return [to_json(getattr(found, each.name)) for each in fields(found)]
    if isinstance(found, Mapping):
        return {name: to_json(value) for name, value in found.items()}
    return [*found] if isinstance(found, set | tuple) else found


def module_from_json(saved: list[Any]) -> ModuleNames:
    """Return the names of a module that `to_json` has returned as JSON."""
    found = ModuleNames(*saved)
    found.functions = {name: _signature(parts) for name, parts in saved[1].items()}
    found.classes = {
        name: ClassSignature(where, _signature(init), _signature(call))
        for name, (where, init, call) in saved[3].items()
    }
    found.decorated, found.imported = set(found.decorated), set(found.imported)
    return found


def _signature(saved: list[Any] | None) -> Signature | None:
    values: list[Any] = [tuple(value) if isinstance(value, list) else value for value in saved or ()]
    return Signature(*values) if values else None


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
