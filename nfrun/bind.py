"""Puts values into a pipeline: parameters as they were given, and expressions evaluated. Knows no command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from nfrun.document import Document, parse
from nfrun.errors import Problem, SpecError, Where, near, shorten
from nfrun.expressions import ExpressionError, evaluate, has_expression
from nfrun.read import has_type, text
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
    binder = _Binder(document, problems, names)
    env = {key: text(binder.value(value, ("env", key))) for key, value in pipeline.env.items()}
    binder.names = {**names, "env": {**environ, **env}}
    nodes = {name: binder.node(spec) for name, spec in pipeline.nodes.items()}
    if problems:
        raise SpecError(problems)
    return replace(pipeline, env=env, nodes=nodes)


@dataclass
class _Binder:
    document: Document
    problems: list[Problem]
    names: Mapping[str, Mapping[str, Any]]

    def node(self, spec: NodeSpec) -> NodeSpec:
        path = ("nodes", spec.id)
        body, env = spec.body, spec.env
        if spec.kind in ("read", "write") and has_expression(body):
            value = self.value(body, (*path, spec.kind))
            if not isinstance(value, str):
                self.problem((*path, spec.kind), f"'{spec.kind}' must be a string, and this is {shorten(repr(value))}")
            body = str(value)
        if env:
            env = {key: text(self.value(value, self.env_path(path, key))) for key, value in env.items()}
        with_ = {key: self.value(value, (*path, "with", key)) for key, value in spec.with_.items()}
        if body is spec.body and not env and not with_:
            return spec
        return replace(spec, body=body, env=env, with_=with_)

    def env_path(self, path: tuple[str, str], key: str) -> tuple[str, ...]:
        own = self.document.root["nodes"][path[1]].get("env", {})
        return (*path, "env", key) if key in own else ("defaults", "env", key)

    def value(self, value: Any, path: tuple[str | int, ...]) -> Any:
        """The value as plain lists, mappings and scalars, every string in it evaluated."""
        if isinstance(value, str):
            if not has_expression(value):
                return value
            try:
                return evaluate(value, self.names)
            except ExpressionError as error:
                self.problem(path, str(error))
                return ""
        if isinstance(value, dict):
            return {key: self.value(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, (*path, i)) for i, item in enumerate(value)]
        return value

    def problem(self, path: tuple[str | int, ...], what: str) -> None:
        self.problems.append(Problem(self.document.where(*path), what))


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
            shown = shorten(str(value))
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
        values[name] = value
    return values


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
