"""Defines the classes of values: `frozen` and `mutable` make a dataclass in less time than `dataclass`.

A dataclass compiles up to six methods and looks into all annotations when its module is imported. There are a hundred
of them in a run, so this would delay every command by 20 ms. Here only `__init__` is compiled, when the first value is
made: few commands use all.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, MISSING, Field, dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, cast, dataclass_transform

_Value = TypeVar("_Value")
_OF_INSTANCES = ("__dict__", "__weakref__")  # of a class without slots


@dataclass
class _Plain:
    field: int


_PLAIN = fields(_Plain)[0]._field_type  # type: ignore[attr-defined]  # neither of a class nor of `__init__` alone


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[_Value]) -> type[_Value]:
    """Make a dataclass with slots, `==`, a hash and a repr, that is frozen for the type checker only.

    At run time a frozen dataclass sets each field by a call: creating one takes 0.9 us instead of 0.3, several times a
    node.
    """
    made: Any = mutable(cls)
    made._compared_values = staticmethod(attrgetter(*[field.name for field in fields(made) if field.compare]))
    made.__eq__, made.__hash__ = _equal, _hash
    return cast("type[_Value]", made)


@dataclass_transform(field_specifiers=(field,))
def mutable(cls: type[_Value]) -> type[_Value]:
    """Make a dataclass with slots and a repr, whose fields may change. It is equal to itself only."""
    made: Any = _with_slots(cls)

    def __init__(self: Any, *args: Any, **values: Any) -> None:
        if made.__init__ is __init__:
            made.__init__ = _compiled_init(made)
        made.__init__(self, *args, **values)

    made.__init__, made.__repr__ = __init__, _repr
    return cast("type[_Value]", made)


def _with_slots(cls: Any) -> Any:
    """Return the class with slots for its fields, which `dataclasses` finds: those of its base first."""
    inherited: dict[str, Field[Any]] = getattr(cls, "__dataclass_fields__", {})
    own: dict[str, Field[Any]] = {}
    kw_only = False
    for name, kind in vars(cls).get("__annotations__", {}).items():
        if kind is KW_ONLY or kind == "KW_ONLY":
            kw_only = True
            continue
        if "ClassVar" in str(kind):
            continue
        default = vars(cls).get(name, MISSING)
        each: Any = default if isinstance(default, Field) else field(default=default)
        own[name] = each
        each.name, each.type = name, kind
        each.kw_only = kw_only if each.kw_only is MISSING else each.kw_only
        each._field_type = _PLAIN
    body = {name: value for name, value in vars(cls).items() if name not in own and name not in _OF_INSTANCES}
    body["__slots__"] = tuple(name for name in own if name not in inherited)
    body["__dataclass_fields__"] = both = {**inherited, **own}
    body["__match_args__"] = tuple(each.name for each in both.values() if each.init and not each.kw_only)
    made = type(cls)(cls.__name__, cls.__bases__, body)
    made.__qualname__ = cls.__qualname__
    return made


def _compiled_init(cls: Any) -> Any:
    """Return the `__init__` of a class: that of a dataclass with the same fields."""
    body: dict[str, Any] = {each.name: each for each in fields(cls)}
    body["__annotations__"] = {each.name: each.type for each in fields(cls)}
    if hasattr(cls, "__post_init__"):
        body["__post_init__"] = cls.__post_init__
    same = type(cls.__name__, (), {"__doc__": cls.__doc__, "__module__": cls.__module__, **body})
    made: Any = dataclass(repr=False, eq=False, match_args=False)(same)
    return made.__init__


def _equal(self: Any, other: Any) -> Any:
    return self._compared_values(self) == self._compared_values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return int(self._compared_values(self).__hash__())


def _repr(self: Any) -> str:
    shown = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.repr)
    return f"{type(self).__qualname__}({shown})"
