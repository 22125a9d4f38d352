"""Puts values into a pipeline: parameters as they were given, and expressions evaluated. Knows no command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import Diagnostic, SourceSpan, SpecError
from nfrun.core.pipeline import EXPRESSION_START, NodeSpec, Pipeline, has_expression
from nfrun.core.text import ellipsize
from nfrun.logs.redaction import MASK
from nfrun.nodes.registry import kind_of
from nfrun.spec.expressions import ExpressionError, evaluate, has_secret
from nfrun.spec.parameters import bind_params, env_text
from nfrun.spec.yaml_document import Document

Names = Mapping[str, Mapping[str, Any]]


def bind(
    pipeline: Pipeline,
    document: Document,
    *,
    given: Mapping[str, str],
    typed: Mapping[str, Any],
    environ: Mapping[str, str],
    run_id: str,
    to_run: bool = True,
) -> Pipeline:
    """The pipeline with nothing left to evaluate.

    `given` are parameters as text (`-p`), which win over `typed` ones (a file); `environ` is the environment that `env`
    of the file is laid over. Unless it is `to_run`, secrets need no value there, nor is theirs used. Raises SpecError
    with every problem.
    """
    problems: list[Diagnostic] = []
    params = bind_params(pipeline, given, typed, problems)
    if to_run:
        problems += _without_value(pipeline, document, environ)
    if problems:
        raise SpecError(problems)
    run = {"id": run_id, "name": pipeline.name, "folder": pipeline.folder}
    # Expressions see no secret in `env`: what they make may go anywhere, into keys and into file names.
    secrets = {name: environ[name] if to_run else MASK for name in pipeline.secrets}
    seen = {key: value for key, value in environ.items() if key not in secrets}
    names: Names = {"params": params, "env": seen, "run": run}
    binder = _Binder(document, problems, names, FunctionLookup(Path(pipeline.folder)), secrets)
    env, hidden = binder.variables(pipeline.env, lambda key: ("env", key))
    seen = {key: value for key, value in {**seen, **env}.items() if key not in secrets and key not in hidden}
    binder.names = {**names, "env": seen}
    nodes = {name: binder.node(spec) for name, spec in pipeline.nodes.items()}
    if problems:
        raise SpecError(list(dict.fromkeys(problems)))  # a default is evaluated at every node
    return replace(pipeline, env=env, nodes=nodes, redacted_env=hidden)


@dataclass
class _Binder:
    document: Document
    problems: list[Diagnostic]
    names: Names
    library: FunctionLookup
    secrets: Mapping[str, str]

    def node(self, spec: NodeSpec) -> NodeSpec:
        path, before = ("nodes", spec.id), len(self.problems)
        body, env, hidden = spec.body, spec.env, spec.redacted_env
        if spec.kind in ("read", "write") and has_expression(body):
            value = self.value(body, (*path, spec.kind))
            if not isinstance(value, str):
                what = f"'{spec.kind}' must be a string, and this is {ellipsize(env_text(value))}"
                self.problem(self.document.span(*path, spec.kind), what)
                return spec
            if problem := _astray(spec, value):
                self.problem(self.document.span(*path, spec.kind), *problem)
            body = value
        if env:
            env, hidden = self.variables(env, lambda key: self.env_path(path, key))
        with_ = {key: self.value(value, (*path, "with", key)) for key, value in spec.with_.items()}
        if body is spec.body and not env and not with_:
            return spec
        bound = replace(spec, body=body, env=env, with_=with_, redacted_env=hidden)
        if spec.kind in ("read", "write") and len(self.problems) == before:
            # What reading the file could not see: an ending, or an option, that an expression has made.
            for found in kind_of(spec.kind).check(bound, self.library):
                self.problem(self.document.span(*path, *found.path), found.message, found.hint)
        return bound

    def env_path(self, path: tuple[str, str], key: str) -> tuple[str, ...]:
        own = self.document.root["nodes"][path[1]].get("env", {})
        return (*path, "env", key) if key in own else ("defaults", "env", key)

    def variables(
        self, env: Mapping[str, str], path_of: Callable[[str], tuple[str, ...]]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """The values of variables, and what stands for those that are made of secrets."""
        values, hidden = {}, {}
        for key, value in env.items():
            if self.secrets and has_secret(value):
                # No variable can have a NUL: nothing but a secret is written like that.
                named = {name: f"\0{name}\0" for name in self.secrets}
                values[key] = self.variable(value, path_of(key), {**self.names, "secrets": self.secrets})
                hidden[key] = str(self.value(value, path_of(key), {**self.names, "secrets": named}))
            else:
                values[key] = self.variable(value, path_of(key), self.names)
        return values, hidden

    def variable(self, value: str, path: tuple[str, ...], names: Names) -> str:
        found = self.value(value, path, names)
        if found is None or isinstance(found, dict | list):
            what = f"variable '{path[-1]}' must be a string, a number or true or false, not {env_text(found)}"
            self.problem(self.document.span(*path), ellipsize(what, 200))
        if isinstance(found, str) and not _is_text(found):
            self.problem(self.document.span(*path), f"variable '{path[-1]}' has a character that no variable can have")
        return env_text(found)

    def value(self, value: Any, path: tuple[str | int, ...], names: Names | None = None) -> Any:
        """The value as plain lists, mappings and scalars, every string in it evaluated."""
        if isinstance(value, str):
            if not has_expression(value):
                return value
            try:
                return evaluate(value, names or self.names)
            except ExpressionError as error:
                nth = value.count(EXPRESSION_START, 0, error.start)
                where = self.document.span_within(path, EXPRESSION_START, nth, error.length)
                self.problem(where, str(error))
                return ""
        if isinstance(value, dict):
            return {key: self.value(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, (*path, i)) for i, item in enumerate(value)]
        return value

    def problem(self, where: SourceSpan, what: str, hint: str = "") -> None:
        self.problems.append(Diagnostic(where, what, hint))


def _without_value(pipeline: Pipeline, document: Document, environ: Mapping[str, str]) -> Iterator[Diagnostic]:
    for i, name in enumerate(pipeline.secrets):
        if not environ.get(name, "").strip():
            what = f"the secret '{name}' is {'empty' if name in environ else 'not set'}"
            yield Diagnostic(document.span("secrets", i), what, f"give it a value: export {name}=…")


def _astray(spec: NodeSpec, path: str) -> tuple[str, str] | None:
    """What is wrong with a path that expressions have made, and what to do; None if nothing is.

    Where the file names a folder and leaves only the rest to expressions, they must not lead out of it.
    """
    if spec.kind == "write" and any(c < " " or c == "\x7f" for c in path):
        return f"'{ellipsize(path)}' has a control character", "no file should have such a name"
    folder = spec.body.partition(EXPRESSION_START)[0].rpartition("/")[0]
    if folder and not PurePosixPath(normpath(path)).is_relative_to(normpath(folder)):
        hint = "give the name of something in it, or have the whole path in one expression"
        return f"'{ellipsize(path)}' leads out of the folder '{ellipsize(folder)}'", hint
    return None


def _is_text(value: str) -> bool:
    """Whether the system takes it: it has no NUL, and no half of a character."""
    return not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value)
