"""Reads the parameters that a pipeline file declares, and checks and binds their values.

A value comes from the command line as text, from a params file (YAML or JSON), or from the parameter's default.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nfrun.core.errors import Diagnostic, Problem, SourceSpan, SpecError
from nfrun.core.pipeline import Param, Pipeline
from nfrun.core.text import ellipsize
from nfrun.core.values import replace
from nfrun.pipeline_file.findings import unknown
from nfrun.pipeline_file.yaml.document import parse
from nfrun.pipeline_file.yaml.text_file import read_text

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


def type_of(value: Any) -> str:
    """Return the JSON Schema type of a value read from a file, such as "integer"."""
    return _TYPES.get(type(value), "array" if isinstance(value, list) else "object")


def has_type(value: Any, type_name: str) -> bool:
    """Whether a value read from a file has the JSON Schema type `type_name`; an integer is also a number."""
    return type_of(value) == type_name or (type_name == "number" and type_of(value) == "integer")


def param_of(name: str, value: Any) -> Param:
    """Return the parameter declared by `value`: the default (short form) or a mapping (long form).

    Reads an invalid mapping as far as possible; the schema and `check_param` report its problems.
    """
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


def check_param(param: Param) -> Iterator[Problem]:
    """Yield the problems of a parameter's long form: its values are held against its type, its default against both."""
    for i, choice in enumerate(param.enum):
        if wrong := value_problem(replace(param, enum=()), choice):
            yield Problem(("enum", i), *wrong)
    if not param.required and (wrong := value_problem(param, param.default)):
        yield Problem(("default",), *wrong)


def value_problem(param: Param, value: Any, of: str = "", given: str = "") -> tuple[str, str] | None:
    """Return the message and the hint for a value that a parameter cannot have, `of` a pipeline in another file.

    `given` is the value as it was given from outside of the file.
    """
    named = f"the parameter '{ellipsize(param.name)}'" + (f" of '{ellipsize(of)}'" if of else "")
    if not has_type(value, param.type):
        return f"{named} must be of type {param.type}, not {given or type_of(value)}", param.help
    if param.enum and value not in param.enum:
        listed = ellipsize(", ".join(map(env_text, param.enum)), 200)
        return f"{named} must be one of {listed}" + (f", not {given}" if given else ""), param.help
    return None


_PAIR = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..")  # one character as two escapes, as JSON has it


def read_params_file(path: Path | None) -> dict[str, Any]:
    """Return the parameters in a JSON file (by its ending) or YAML file, {} if `path` is None. Raises SpecError.

    JSON is YAML but for tabs, pairs of escapes, and line breaks of Unicode, which are part of a text in JSON.
    """
    if path is None:
        return {}
    text = read_text(path, str(path))
    if path.suffix.lower() == ".json":
        text = text.replace("\t", " ").replace("\u2028", "\\L").replace("\u2029", "\\P")
        text = _PAIR.sub(lambda pair: str(json.loads(f'"{pair[0]}"')), text)
    document = parse(text, str(path))
    if not isinstance(document.root, dict):
        raise SpecError([Diagnostic(document.span(), "a file of parameters is a mapping of names to values")])
    return document.root


def env_text(value: Any) -> str:
    """Return a value as the text of an environment variable; null, true and false are in lower case."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def bind_params(
    pipeline: Pipeline, given: Mapping[str, str], typed: Mapping[str, Any], diagnostics: list[Diagnostic]
) -> dict[str, Any]:
    """Return the value of every parameter: from `given` (text, `-p`), else `typed` (a params file), else its default.

    Adds a diagnostic to `diagnostics` for each unknown, missing or invalid parameter.
    """
    values: dict[str, Any] = {}

    def report(what: str, hint: str) -> None:
        diagnostics.append(Diagnostic(SourceSpan(pipeline.file), what, hint))

    for name in dict.fromkeys([*typed, *given]):
        if name not in pipeline.params:
            report(*unknown("parameter", name, pipeline.params))
    for name, param in pipeline.params.items():
        values[name] = param.default
        if name in given:
            values[name] = _from_text(given[name], param.type)
        elif name in typed:
            values[name] = typed[name]
        elif param.required:
            help = f" ({param.help})" if param.help else ""
            report(f"the parameter '{name}' has no value", f"give it with -p {name}=…{help}")
        if name in given or name in typed:
            shown = f"'{ellipsize(given[name])}'" if name in given else ellipsize(env_text(typed[name]))
            if wrong := value_problem(param, values[name], given="nothing" if shown == "null" else shown):
                report(*wrong)
    return values


def default_names(pipeline: Pipeline, environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return what expressions see before parameters are bound: of these, the defaults alone."""
    params = {name: param.default for name, param in pipeline.params.items() if not param.required}
    visible = {key: value for key, value in environ.items() if key not in pipeline.secrets}
    return {"params": params, "env": visible, "run": {"name": pipeline.name, "folder": pipeline.folder}}


def _from_text(given: str, type_name: str) -> Any:
    """Convert text to a value of type `type_name`. Returns None or a value of another type for a text that is none."""
    if type_name == "string":
        return given
    if type_name == "boolean":
        word = given.strip().lower()
        return word in _TRUE if word in _TRUE + _FALSE else None
    try:
        return parse(given, "the command line").root
    except SpecError:
        return None
