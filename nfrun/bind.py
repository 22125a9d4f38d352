"""Puts values into a pipeline: parameters as they were given, and expressions evaluated. Knows no command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nfrun.callables import Library
from nfrun.document import Document, parse
from nfrun.errors import Problem, SpecError, Where, near, shorten
from nfrun.expressions import OPEN, ExpressionError, evaluate, has_expression
from nfrun.kinds import kind_of
from nfrun.params import has_type
from nfrun.read import text
from nfrun.spec import NodeSpec, Pipeline

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def bind(
    pipeline: Pipeline,
    document: Document,
    *,
    given: Mapping[str, str],
    typed: Mapping[str, Any],
    environ: Mapping[str, str],
    run_id: str,
) -> Pipeline:
    """The pipeline with nothing left to evaluate.

    `given` are parameters as text (`-p`), which win over `typed` ones (a file); `environ` is the environment that `env`
    of the file is laid over. Raises SpecError with every problem.
    """
    problems: list[Problem] = []
    params = _params(pipeline, given, typed, problems)
    if problems:
        raise SpecError(problems)
    run = {"id": run_id, "name": pipeline.name, "folder": pipeline.folder}
    names: dict[str, Mapping[str, Any]] = {"params": params, "env": environ, "run": run}
    binder = _Binder(document, problems, names, Library(Path(pipeline.folder)))
    env = {key: binder.variable(value, ("env", key)) for key, value in pipeline.env.items()}
    binder.names = {**names, "env": {**environ, **env}}
    nodes = {name: binder.node(spec) for name, spec in pipeline.nodes.items()}
    if problems:
        raise SpecError(list(dict.fromkeys(problems)))  # a default is evaluated at every node
    return replace(pipeline, env=env, nodes=nodes)


@dataclass
class _Binder:
    document: Document
    problems: list[Problem]
    names: Mapping[str, Mapping[str, Any]]
    library: Library

    def node(self, spec: NodeSpec) -> NodeSpec:
        path, before = ("nodes", spec.id), len(self.problems)
        body, env = spec.body, spec.env
        if spec.kind in ("read", "write") and has_expression(body):
            value = self.value(body, (*path, spec.kind))
            if not isinstance(value, str):
                what = f"'{spec.kind}' must be a string, and this is {shorten(text(value))}"
                self.problem(self.document.where(*path, spec.kind), what)
                return spec
            body = value
        if env:
            env = {key: self.variable(value, self.env_path(path, key)) for key, value in env.items()}
        with_ = {key: self.value(value, (*path, "with", key)) for key, value in spec.with_.items()}
        if body is spec.body and not env and not with_:
            return spec
        bound = replace(spec, body=body, env=env, with_=with_)
        if spec.kind in ("read", "write") and len(self.problems) == before:
            # What reading the file could not see: an ending, or an option, that an expression has made.
            for found in kind_of(spec.kind).check(bound, self.library):
                self.problem(self.document.where(*path, *found.path), found.what, found.hint)
        return bound

    def env_path(self, path: tuple[str, str], key: str) -> tuple[str, ...]:
        own = self.document.root["nodes"][path[1]].get("env", {})
        return (*path, "env", key) if key in own else ("defaults", "env", key)

    def variable(self, value: str, path: tuple[str, ...]) -> str:
        found = self.value(value, path)
        if found is None or isinstance(found, dict | list):
            what = f"variable '{path[-1]}' must be a string, a number or true or false, not {text(found)}"
            self.problem(self.document.where(*path), shorten(what, 200))
        if isinstance(found, str) and not _is_text(found):
            self.problem(self.document.where(*path), f"variable '{path[-1]}' has a character that no variable can have")
        return text(found)

    def value(self, value: Any, path: tuple[str | int, ...]) -> Any:
        """The value as plain lists, mappings and scalars, every string in it evaluated."""
        if isinstance(value, str):
            if not has_expression(value):
                return value
            try:
                return evaluate(value, self.names)
            except ExpressionError as error:
                nth = value.count(OPEN, 0, error.start)
                where = self.document.where_within(path, OPEN, nth, error.length)
                self.problem(where, str(error))
                return ""
        if isinstance(value, dict):
            return {key: self.value(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, (*path, i)) for i, item in enumerate(value)]
        return value

    def problem(self, where: Where, what: str, hint: str = "") -> None:
        self.problems.append(Problem(where, what, hint))


def _is_text(value: str) -> bool:
    """Whether the system takes it: it has no NUL, and no half of a character."""
    return not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value)


def _params(
    pipeline: Pipeline, given: Mapping[str, str], typed: Mapping[str, Any], problems: list[Problem]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in dict.fromkeys([*typed, *given]):
        if name not in pipeline.params:
            guess = near(name, pipeline.params)
            known = ", ".join(pipeline.params) or "none"
            hint = f"did you mean '{guess}'?" if guess else f"its parameters: {known}"
            problems.append(Problem(Where(pipeline.file), f"the pipeline has no parameter '{shorten(name)}'", hint))
    for name, param in pipeline.params.items():
        if name in given:
            value, wrong = _from_text(given[name], param.type)
            shown = f"'{shorten(given[name])}'"
        elif name in typed:
            value, wrong = typed[name], not has_type(typed[name], param.type)
            shown = "nothing" if value is None else shorten(text(value))
        elif param.required:
            hint = f"give it with -p {name}=…" + (f" ({param.help})" if param.help else "")
            problems.append(Problem(Where(pipeline.file), f"the parameter '{name}' has no value", hint))
            continue
        else:
            value, wrong, shown = param.default, False, ""
        if wrong:
            what = f"the parameter '{name}' must be of type {param.type}, not {shown}"
            problems.append(Problem(Where(pipeline.file), what, param.help))
        elif param.enum and value not in param.enum:
            listed = ", ".join(text(choice) for choice in param.enum)
            what = f"the parameter '{name}' must be one of {listed}, not {shown}"
            problems.append(Problem(Where(pipeline.file), what, param.help))
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
