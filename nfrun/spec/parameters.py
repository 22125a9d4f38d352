"""What a pipeline file says of a parameter, and which values it takes. Knows no expressions and no command line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nfrun.core.errors import Diagnostic, SourceSpan, SpecError
from nfrun.core.pipeline import Param, Pipeline
from nfrun.core.text import closest_match, ellipsize
from nfrun.spec.text_file import read_text, refuse
from nfrun.spec.yaml_document import load, parse

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")

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
    name = ellipsize(param.name)
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
        guess = closest_match(str(param.default), map(str, param.enum))
        hint = (
            f"did you mean '{ellipsize(guess)}'?"
            if guess
            else f"there is {ellipsize(', '.join(map(str, param.enum)), 100)}"
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


def params_file(path: Path | None) -> dict[str, Any]:
    """The parameters in the file, none without one. Raises SpecError."""
    if path is None:
        return {}
    if path.suffix.lower() == ".json":
        root, where = _json(path), SourceSpan(str(path))
    else:
        document = load(path)
        root, where = document.root, document.span()
    if not isinstance(root, dict):
        what = "a file of parameters is a mapping of names to values"
        raise SpecError([Diagnostic(where, what)])
    return root


def _json(path: Path) -> Any:
    """What a file of JSON says, which is not all YAML: `\\ud83d\\ude00` is one character there. Raises SpecError."""
    import json

    name = str(path)
    text = read_text(path, name)
    try:
        root = json.loads(text, object_pairs_hook=_once, parse_constant=_number, parse_float=_number, parse_int=_number)
        json.dumps(root, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        lines = text.split("\n")  # as the error counts them
        where = SourceSpan(name, error.lineno, error.colno, 1, lines[error.lineno - 1].rstrip("\r"))
        raise SpecError([Diagnostic(where, f"this is not JSON: {error.msg}")]) from None
    except UnicodeEncodeError:
        refuse(name, "this file has bytes or escapes that are not text", "save it as UTF-8")
    except RecursionError:
        refuse(name, "this file is nested too deeply", "")
    except ValueError as error:
        refuse(name, str(error), "")
    return root


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in found if keys.count(key) > 1)
        raise ValueError(f"the key '{ellipsize(twice)}' is there more than once")
    return found


def _number(text: str) -> int | float:
    """Raises ValueError for what is none, and for what fits neither 64 bits nor a float."""
    if text.lstrip("-").isdecimal():
        if len(text) <= 20 and -(2**63) <= (whole := int(text)) < 2**63:
            return whole
    elif math.isfinite(number := float(text)):
        return number
    raise ValueError(f"{ellipsize(text)} is no number that a parameter can have")


def env_text(value: Any) -> str:
    """A scalar of the file as an environment variable: true and false in lower case."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def bind_params(
    pipeline: Pipeline, given: Mapping[str, str], typed: Mapping[str, Any], problems: list[Diagnostic]
) -> dict[str, Any]:
    """The value of every parameter: from `given` (texts of `-p`), else `typed` (a file's values), else its default.

    Whatever is wrong is added to `problems`.
    """
    values: dict[str, Any] = {}
    for name in dict.fromkeys([*typed, *given]):
        if name not in pipeline.params:
            guess = closest_match(name, pipeline.params)
            known = ", ".join(pipeline.params) or "none"
            hint = f"did you mean '{guess}'?" if guess else f"its parameters: {known}"
            problems.append(
                Diagnostic(SourceSpan(pipeline.file), f"the pipeline has no parameter '{ellipsize(name)}'", hint)
            )
    for name, param in pipeline.params.items():
        if name in given:
            value, wrong = _from_text(given[name], param.type)
            shown = f"'{ellipsize(given[name])}'"
        elif name in typed:
            value, wrong = typed[name], not has_type(typed[name], param.type)
            shown = "nothing" if value is None else ellipsize(env_text(value))
        elif param.required:
            hint = f"give it with -p {name}=…" + (f" ({param.help})" if param.help else "")
            problems.append(Diagnostic(SourceSpan(pipeline.file), f"the parameter '{name}' has no value", hint))
            continue
        else:
            value, wrong, shown = param.default, False, ""
        if wrong:
            what = f"the parameter '{name}' must be of type {param.type}, not {shown}"
            problems.append(Diagnostic(SourceSpan(pipeline.file), what, param.help))
        elif param.enum and value not in param.enum:
            listed = ", ".join(env_text(choice) for choice in param.enum)
            what = f"the parameter '{name}' must be one of {listed}, not {shown}"
            problems.append(Diagnostic(SourceSpan(pipeline.file), what, param.help))
        values[name] = _plain(value)
    return values


def _plain(value: Any) -> Any:
    """The value without the places in its file."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _from_text(given: str, wanted: str) -> tuple[Any, bool]:
    """The value of that type that the text stands for, and whether there is none."""
    if wanted == "string":
        return given, False
    if wanted == "boolean":
        word = given.strip().lower()
        return word in _TRUE, word not in _TRUE + _FALSE
    try:
        value = parse(given, "the command line").root
    except SpecError:
        return None, True
    return value, not has_type(value, wanted)
