"""Binds the parameters of a pipeline and of those that it includes, and evaluates their expressions.

`loader.py` reads and checks the file first; `node_binder.py` evaluates the expressions of each node.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import Diagnostic, SourceSpan, SpecError
from nfrun.core.pipeline import NOTHING, UTC, NodeSpec, Pipeline
from nfrun.core.text import ellipsize
from nfrun.core.values import frozen, replace
from nfrun.pipeline_file.conditions import of_sections, without_disabled
from nfrun.pipeline_file.file_conflicts import file_conflicts
from nfrun.pipeline_file.matrix.expansion import MatrixNames, expand_matrix
from nfrun.pipeline_file.node_binder import Names, NodeBinder
from nfrun.pipeline_file.parameters import bind_params, default_names, value_problem
from nfrun.pipeline_file.references import includes
from nfrun.pipeline_file.subpipelines import check_count, expand_included, too_many_included
from nfrun.pipeline_file.yaml.document import Document
from nfrun.system.logs.redaction import MASK


def bind(
    pipeline: Pipeline,
    document: Document,
    *,
    given: Mapping[str, str],
    typed: Mapping[str, Any],
    environ: Mapping[str, str],
    run_id: str,
    date: str = "",
    on_run: Callable[[], object] = lambda: None,
    to_run: bool = True,
    work: Path | None = None,
    files_may_lack: bool = False,
) -> Pipeline:
    """Return the pipeline with its parameters bound and all expressions evaluated.

    `given` holds parameters as text (`-p`) and wins over `typed`, the values of a params file. The file's `env` is laid
    over `environ`. `on_run` is called if expressions may read `run_id` or `date`, the date of the run, "" for today;
    the result has a date only if they may. With `to_run=False`, secrets need no value in `environ`, and each has the
    value MASK. `work` is the work folder, if one was given, and `files_may_lack` is that of `expand_matrix`. Raises
    SpecError with all problems; if parameters or secrets have one, expressions are not evaluated.
    """
    diagnostics: list[Diagnostic] = []
    params = bind_params(pipeline, given, typed, diagnostics)
    if to_run:
        diagnostics += _missing_secrets(pipeline, document, environ)
    if diagnostics:
        raise SpecError(diagnostics)
    date = date or date_in(pipeline.timezone)
    texts: list[str] = []
    binder = _Run(environ, run_id, date, texts.append, to_run)
    bound = binder.bound(pipeline, document, params, files_may_lack=files_may_lack)
    if texts:
        on_run()
    bound = replace(bound, date=date if any("date" in text for text in texts) else "")
    by_name = {spec.declared: spec for spec in bound.nodes.values()}

    def span(section: str | int, node: str | int, *path: str | int) -> SourceSpan:
        """Return the span of a value of a node of any file of the pipeline."""
        spec = by_name[str(node)]
        return document.others.get(spec.source.file, document).span(section, spec.local_name, *path)

    for name in pipeline.inputs:
        if name in bound.nodes and not bound.nodes[name].body:
            where = document.key_span("inputs", name)
            diagnostics.append(Diagnostic(where, f"the input '{name}' must be given", f"--input {name}=FILE"))
    bound = without_disabled(bound)
    works = [path for path in (work, pipeline.work and Path(pipeline.folder, pipeline.work)) if path]
    for path, what, hint in file_conflicts(bound.nodes, Path(pipeline.folder), span, works):
        diagnostics.append(Diagnostic(span(*path), what, hint))
    if diagnostics:
        raise SpecError(each_once(diagnostics))
    return bound


def expand(pipeline: Pipeline, document: Document, environ: Mapping[str, str]) -> Pipeline:
    """Return the pipeline with its cells and the nodes of other pipelines, as far as defaults tell them, not bound."""
    names = default_names(pipeline, environ)
    check_count(pipeline, document, names)
    pipeline = expand_matrix(pipeline, document, names)
    other = {
        body: expand(included, document.others[included.file], environ) for body, included in pipeline.included.items()
    }
    made = {spec.id: other[spec.body] for spec in pipeline.nodes.values() if includes(spec)}
    return expand_included(pipeline, made, lambda spec, what, hint: None)


def secrets_of(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the names of the variables with secrets, also of the pipelines in other files."""
    others = [name for other in pipeline.included.values() for name in secrets_of(other)]
    return tuple(dict.fromkeys([*pipeline.secrets, *others]))


def each_once(diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    """Return one problem for each place: a default is evaluated for each node, and others for each cell."""
    first = {found.span: found for found in reversed(diagnostics)}
    return list(reversed(first.values()))


@frozen
class _Run:
    """The values that all files of a pipeline are bound with."""

    environ: Mapping[str, str]
    run_id: str
    date: str
    on_run: Callable[[str], object]
    to_run: bool

    def bound(
        self,
        pipeline: Pipeline,
        document: Document,
        params: Mapping[str, Any],
        env: Mapping[str, str] = NOTHING,
        redacted_env: Mapping[str, str] = NOTHING,
        *,
        files_may_lack: bool = False,
    ) -> Pipeline:
        """Return the pipeline of one file with its expressions evaluated, and the nodes of others in it.

        `env` is that of the including file, which wins. Raises SpecError.
        """
        diagnostics: list[Diagnostic] = []
        run = {"id": self.run_id, "date": self.date, "name": pipeline.name, "folder": pipeline.folder}
        # Expressions do not see secrets in `env`: their results may end up in cache keys and file names.
        secrets = {name: self.environ[name] if self.to_run else MASK for name in pipeline.secrets}
        around = {key: value for key, value in {**self.environ, **env}.items() if key not in redacted_env}
        visible = {key: value for key, value in around.items() if key not in secrets}
        names: Names = {"params": params, "env": visible, "run": run}
        functions = FunctionLookup(Path(pipeline.folder))
        binder = NodeBinder(document, diagnostics, names, functions, secrets, self.on_run)
        own, redacted = binder.variables(pipeline.env, lambda key: ("env", key))
        env = {**own, **env}
        redacted = {**{key: value for key, value in redacted.items() if env[key] == own[key]}, **redacted_env}
        visible = {k: v for k, v in {**visible, **env}.items() if k not in secrets and k not in redacted}
        binder.names = {**names, "env": visible}
        if diagnostics and pipeline.axes:
            raise SpecError(diagnostics)
        check_count(pipeline, document, binder.names)
        pipeline = expand_matrix(pipeline, document, binder.names, files_may_lack=files_may_lack)
        binder.cells = MatrixNames(pipeline.axes)
        nodes = {name: binder.node(spec) for name, spec in pipeline.nodes.items()}
        last = of_sections(pipeline, binder.node)
        bound = replace(pipeline, env=env, nodes=nodes, redacted_env=redacted, values=params, **last)
        if pipeline.included and not diagnostics:
            bound = self.with_included(bound, document, binder)
        if diagnostics:
            raise SpecError(each_once(diagnostics))
        return bound

    def with_included(self, pipeline: Pipeline, document: Document, binder: NodeBinder) -> Pipeline:
        """Return the pipeline with the nodes of those that its nodes name, each bound with the values given to it."""
        made: dict[str, Pipeline] = {}
        including = list(filter(includes, pipeline.nodes.values()))
        if wrong := too_many_included(
            pipeline, document, ((s, _values(pipeline.included[s.body], s)) for s in including)
        ):
            binder.diagnostics.append(wrong)
            return pipeline
        for spec in including:
            other = pipeline.included[spec.body]
            before = len(binder.diagnostics)
            for name, value in spec.with_.items():
                if problem := value_problem(other.params[name], value, spec.body):
                    binder.report(document.span("nodes", spec.declared, "with", name), *problem)
            of = document.others[other.file]
            binder.diagnostics += _missing_secrets(other, of, self.environ) if self.to_run else ()
            if len(binder.diagnostics) > before:
                continue
            try:
                made[spec.id] = self.bound(other, of, _values(other, spec), pipeline.env, pipeline.redacted_env)
            except SpecError as error:
                binder.diagnostics += error.diagnostics
        if binder.diagnostics:
            return pipeline
        env, redacted = dict(pipeline.env), dict(pipeline.redacted_env)
        for id, other in made.items():
            for key, value in other.env.items():
                if env.setdefault(key, value) != value:
                    of = document.others[other.file]
                    what = f"'{key}' has another value in '{ellipsize(id)}' than elsewhere, and a process has one"
                    hint = f"set it in 'env' of {Path(pipeline.file).name}, or in 'env' of nodes"
                    binder.report(of.span("env", key), what, hint)
            redacted |= {key: text for key, text in other.redacted_env.items() if key not in pipeline.env}

        def report(spec: NodeSpec, what: str, hint: str) -> None:
            binder.report(document.span("nodes", spec.declared, spec.kind), what, hint)

        return expand_included(replace(pipeline, env=env, redacted_env=redacted), made, report)


def _values(other: Pipeline, spec: NodeSpec) -> dict[str, Any]:
    """Return the values of the parameters of a pipeline that a node includes."""
    return {name: param.default for name, param in other.params.items()} | dict(spec.with_)


def _missing_secrets(pipeline: Pipeline, document: Document, environ: Mapping[str, str]) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each secret that is unset or blank in `environ`."""
    for i, name in enumerate(pipeline.secrets):
        if not environ.get(name, "").strip():
            what = f"the secret '{name}' is {'empty' if name in environ else 'not set'}"
            yield Diagnostic(document.span("secrets", i), what, f"give it a value: export {name}=…")


def date_in(timezone: str) -> str:
    """Return the date of today in a time zone, such as 2026-01-31."""
    if timezone == UTC:
        return time.strftime("%Y-%m-%d", time.gmtime())
    from datetime import datetime
    from zoneinfo import ZoneInfo

    return datetime.now(ZoneInfo(timezone)).date().isoformat()
