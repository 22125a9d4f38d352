"""What a pipeline file says of a parameter, and which values it takes. Knows no expressions and no command line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nfrun.core.pipeline import Param
from nfrun.core.text import near, shorten

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


def type_of(value: Any) -> str:
    """The JSON Schema type of a value of the file."""
    return _TYPES.get(type(value), "array" if isinstance(value, list) else "object")


def has_type(value: Any, wanted: str) -> bool:
    """Whether a value of the file may stand for a parameter of this type; a whole number is a number too."""
    return type_of(value) == wanted or (wanted == "number" and type_of(value) == "integer")


def param_of(name: str, value: Any) -> Param:
    """The parameter under this name, from its short form (the default) or its long one, as far as it can be read."""
    if not isinstance(value, dict):
        return Param(name, type_of(value), value)
    choices = value.get("enum")
    choices = tuple(choices) if isinstance(choices, list) else ()
    default = value.get("default")
    example = default if "default" in value else choices[0] if choices else None
    return Param(
        name=name,
        type=str(value.get("type") or ("string" if example is None else type_of(example))),
        default=default,
        required="default" not in value,
        enum=choices,
        help=str(value.get("help", "")),
    )


def check_param(param: Param) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """What is wrong with the long form of a parameter: path in it, what, and hint."""
    name = shorten(param.name)
    for i, choice in enumerate(param.enum):
        if not has_type(choice, param.type):
            what = f"'{name}' is of type {param.type}, and this value of type {type_of(choice)}"
            yield ("enum", i), what, ""
    if param.required:
        return
    if not has_type(param.default, param.type):
        what = f"the default of '{name}' must be of type {param.type}, and is of type {type_of(param.default)}"
        yield ("default",), what, _hint(param)
    elif param.enum and param.default not in param.enum:
        guess = near(str(param.default), map(str, param.enum))
        hint = (
            f"did you mean '{shorten(guess)}'?"
            if guess
            else f"there is {shorten(', '.join(map(str, param.enum)), 100)}"
        )
        yield ("default",), f"the default of '{name}' is not one of its 'enum'", hint


def _hint(param: Param) -> str:
    default = param.default
    if param.type == "integer" and isinstance(default, float) and default.is_integer():
        return f"write {int(default)}, or type: number"
    if param.type == "string" and isinstance(default, bool | int | float):
        return "put it in quotes"
    if param.type == "boolean" and isinstance(default, str):
        return "write true or false"
    if param.type in ("integer", "number") and isinstance(default, str):
        return "write a number, without quotes, or type: string"
    return ""
