"""Defines the classes of values: `frozen` and `mutable` make from a class what `dataclass` makes, in less time.

`field`, `fields`, `replace` and `asdict` are those of `dataclasses`, whose functions take these values too. The module
`dataclasses` itself imports `inspect`, which imports `ast`, and compiles up to six methods of each class. There are a
hundred classes in a run, so it would delay every command by 40 ms. Here only `__init__` is compiled, and only for a
class with many values: of most classes, a command makes none or a few.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, cast, dataclass_transform

if TYPE_CHECKING:
    from dataclasses import KW_ONLY, MISSING, Field, asdict, field, fields, replace

__all__ = ["KW_ONLY", "MISSING", "Field", "asdict", "field", "fields", "frozen", "is_value", "mutable", "replace"]

_Value = TypeVar("_Value")
_FEW = 50  # values of a class: to compile `__init__` takes as long as to make so many without it
_OF_INSTANCES = ("__dict__", "__weakref__")  # of a class without slots
_NOTHING: Mapping[str, Any] = {}

if not TYPE_CHECKING:

    class _Missing:
        def __repr__(self) -> str:
            return "MISSING"

    MISSING = _Missing()

    class KW_ONLY:
        """The annotation before the fields that are given by name only."""

    class Field:
        """A field of a value, with those attributes of `dataclasses.Field` that are used here."""

        __slots__ = ("compare", "default", "default_factory", "init", "kw_only", "metadata", "name", "repr", "type")

        def __init__(self, default, default_factory, init, repr, compare, metadata=_NOTHING, kw_only=False) -> None:
            self.name = self.type = ""
            self.default, self.default_factory = default, default_factory
            self.init, self.repr, self.compare = init, repr, compare
            self.metadata, self.kw_only = metadata, kw_only

        @property
        def _field_type(self):
            """The mark that the functions of `dataclasses` look for: a field that is neither ClassVar nor InitVar."""
            from dataclasses import _FIELD

            return _FIELD

    def field(*, default=MISSING, default_factory=MISSING, init=True, repr=True, compare=True, **more):
        """Declare a field. `more` may have `kw_only` and `metadata`."""
        return Field(default, default_factory, init, repr, compare, **more)

    def fields(value):
        """Return the fields of a value, or of a class of values."""
        return tuple(value.__dataclass_fields__.values())

    def replace(value, /, **changes):
        """Return a copy of a value with other fields."""
        kind = type(value)
        return kind(**{**dict(zip(kind._given_names, kind._given_values(value), strict=True)), **changes})

    def asdict(value):
        """Return a value as a dict, and so the values in its fields, in lists, tuples and mappings."""
        if is_value(value):
            return {each.name: asdict(getattr(value, each.name)) for each in fields(value)}
        if isinstance(value, list | tuple):
            return type(value)([asdict(item) for item in value])
        if isinstance(value, Mapping):
            return {key: asdict(item) for key, item in value.items()}
        return value


def is_value(found: object) -> bool:
    """Return whether this is a value of such a class."""
    return hasattr(type(found), "__dataclass_fields__")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[_Value]) -> type[_Value]:
    """Make a class of values with slots, `==`, a hash and a repr, that is frozen for the type checker only.

    At run time a frozen dataclass sets each field by a call: creating one takes 0.9 us instead of 0.3, several times a
    node.
    """
    made: Any = mutable(cls)
    made._compared_values = staticmethod(values_of(*[field.name for field in fields(made) if field.compare]))
    made.__eq__, made.__hash__ = _equal, _hash
    return cast("type[_Value]", made)


@dataclass_transform(field_specifiers=(field,))
def mutable(cls: type[_Value]) -> type[_Value]:
    """Make a class of values with slots and a repr, whose fields may change. A value is equal to itself only."""
    made: Any = _with_slots(cls)

    count = 0

    def __init__(self: Any, *args: Any, **values: Any) -> None:
        nonlocal count
        count += 1
        if count > _FEW or not _is_set(self, args, values):
            if made.__init__ is __init__:
                made.__init__ = _compiled_init(made)
            made.__init__(self, *args, **values)

    made.__init__, made.__repr__ = __init__, _repr
    return cast("type[_Value]", made)


def _with_slots(cls: Any) -> Any:
    """Return the class with slots for its fields: those of its base first."""
    body = {name: value for name, value in vars(cls).items() if name not in _OF_INSTANCES}
    inherited: dict[str, Field[Any]] = getattr(cls, "__dataclass_fields__", {})
    own: dict[str, Field[Any]] = {}
    kw_only = False
    for name, kind in cls.__annotations__.items():  # its own: Python 3.14 has them in no `__dict__` before
        if "KW_ONLY" in str(kind):
            kw_only = True
        elif "ClassVar" not in str(kind):
            default = body.pop(name, MISSING)
            each: Any = default if isinstance(default, Field) else field(default=default)
            each.name, each.type, each.kw_only = name, kind, each.kw_only or kw_only
            own[name] = each
    body["__slots__"] = tuple(name for name in own if name not in inherited)
    if any(isinstance(value, cached_property) for value in body.values()):
        body["__slots__"] += ("__dict__",)
    body["__dataclass_fields__"] = both = {**inherited, **own}
    body["__match_args__"] = tuple(each.name for each in both.values() if each.init and not each.kw_only)
    body["_given_names"] = given = tuple(each.name for each in both.values() if each.init)
    body["_given_values"] = staticmethod(values_of(*given))
    made = type(cls)(cls.__name__, cls.__bases__, body)
    made.__qualname__ = cls.__qualname__
    return made


def values_of(*names: str) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that returns these attributes of an object, whatever their number."""
    if len(names) == 1:
        (name,) = names
        return lambda found: (getattr(found, name),)
    return attrgetter(*names) if names else lambda found: ()


def _is_set(self: Any, args: tuple[Any, ...], values: Mapping[str, Any]) -> bool:
    """Set the fields of a new value as its compiled `__init__` does. Returns False if the arguments are wrong."""
    given = {**dict(zip(self.__match_args__, args, strict=False)), **values}
    if len(given) < len(args) + len(values) or not given.keys() <= set(self._given_names):
        return False
    for each in fields(self):
        if each.name in given:
            setattr(self, each.name, given[each.name])
        elif each.default_factory is not MISSING:
            setattr(self, each.name, each.default_factory())
        elif each.default is not MISSING:
            setattr(self, each.name, each.default)
        elif each.init:
            return False
    if hasattr(self, "__post_init__"):
        self.__post_init__()
    return True


def _compiled_init(cls: Any) -> Callable[..., None]:
    """Return the `__init__` of a class: it takes the fields in their order, those by name only at the end."""
    by_place: list[str] = ["self"]
    by_name: list[str] = []
    lines: list[str] = []
    names: dict[str, Any] = {"_missing": MISSING}
    for each in fields(cls):
        value, default = each.name, f"_default_{each.name}"
        if each.default_factory is not MISSING:
            names[default] = each.default_factory
            value = f"{default}() if {each.name} is _missing else {each.name}" if each.init else f"{default}()"
        elif each.default is not MISSING:
            names[default] = each.default
            value = each.name if each.init else default
        elif not each.init:
            continue
        lines.append(f"self.{each.name} = {value}")
        if each.init:
            given = "" if default not in names else " = _missing" if "if" in value.split() else f" = {default}"
            (by_name if each.kw_only else by_place).append(each.name + given)
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    parameters = ", ".join([*by_place, *["*"] * bool(by_name), *by_name])
    exec(f"def __init__({parameters}):\n " + "\n ".join(lines or ["pass"]), names)
    made: Callable[..., None] = names["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


def _equal(self: Any, other: Any) -> Any:
    return self._compared_values(self) == self._compared_values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return int(self._compared_values(self).__hash__())


def _repr(self: Any) -> str:
    shown = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.repr)
    return f"{type(self).__qualname__}({shown})"
