"""Makes a pipeline file ready for a run: reads and checks it, binds its parameters and secrets, and evaluates its
expressions: paths, values, variables, settings and conditions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import TYPE_CHECKING, Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.contracts import Check, Contract
from nfrun.core.errors import Diagnostic, SpecError
from nfrun.core.pipeline import EXPRESSION_START, NOTHING, UTC, NodeSpec, Pipeline, has_expression
from nfrun.core.text import ellipsize
from nfrun.core.values import field, frozen, mutable, replace
from nfrun.nodes.registry import kind_of
from nfrun.nodes.schemas import shown
from nfrun.pipeline_file.axes import MAX_NODES, Names
from nfrun.pipeline_file.budgets import refused_amounts, with_memory
from nfrun.pipeline_file.cells import MatrixNames, expand_matrix, seen_by_graph
from nfrun.pipeline_file.columns import column_problems
from nfrun.pipeline_file.conditions import of_sections, without_disabled
from nfrun.pipeline_file.contracts import checks_path, is_bound
from nfrun.pipeline_file.expressions import ExpressionError, evaluate, evaluate_all, has_secret
from nfrun.pipeline_file.file_conflicts import file_conflicts
from nfrun.pipeline_file.findings import Findings, each_once, in_file_order
from nfrun.pipeline_file.known_checks import KnownChecks
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.missing import missing
from nfrun.pipeline_file.overlays import VARIABLE
from nfrun.pipeline_file.parameters import bind_params, env_text, read_params_file, value_problem
from nfrun.pipeline_file.references import includes
from nfrun.pipeline_file.schema import check_setting
from nfrun.pipeline_file.settings import fields_of, setting_path
from nfrun.pipeline_file.subpipelines import expand_included
from nfrun.pipeline_file.yaml.document import Document, Keys, items
from nfrun.system.logs.redaction import MASK, Redactor
from nfrun.tables.contracts.check_values import value_problems

if TYPE_CHECKING:
    from nfrun.code.function_lookup import LookupResult
    from nfrun.pipeline_file.built_document import BuiltPipeline


@frozen
class Resolved:
    """A pipeline whose parameters are bound and whose expressions are evaluated.

    `redactor` masks its secrets. `uses_run`: an expression may have read the id of the run. `absent` are the nodes that
    lack a file, if this is no error.
    """

    pipeline: Pipeline
    redactor: Redactor
    uses_run: bool = False
    absent: Sequence[str] = ()


def resolve(
    file: Path,
    *,
    given: Mapping[str, str],
    params_file: Path | None,
    environ: Mapping[str, str],
    run_id: str,
    date: str | None = None,
    to_run: bool = True,
    set_redactor: Callable[[Redactor], None] = lambda redactor: None,
    profile: str | None = None,
    inputs: Mapping[str, str] = NOTHING,
    known: KnownChecks | None = None,
    work: Path | None = None,
    columns: bool = False,
    far: bool = False,
    absent: list[str] | None = None,
    values: Mapping[str, Any] = NOTHING,
    built: BuiltPipeline | None = None,
) -> Resolved:
    """Read, check and bind the pipeline in `file`.

    `given` holds parameters as text, and wins over those in `params_file`. `profile` is laid over the file; if it is
    None, the one that NFRUN_PROFILE in `environ` names. What is `known` to be in order is not checked again, and what
    is found to be is added. Nodes that may run `far` away may take more memory than this machine has. Files need not be
    there if there is a list, `absent`, for the nodes that lack some. `values` has parameters with their types; these
    win. If a pipeline is `built`, no file is read. `bind` describes the others.
    Calls `set_redactor(redactor)` when the file is read, because errors of binding may quote values of secrets. Raises
    SpecError with every problem of the step that found some: reading the pipeline, reading `params_file`, binding,
    looking for what nodes need and, with `columns`, for columns that cannot be there.
    """
    known = known or KnownChecks()
    functions = FunctionLookup(file.absolute().parent, known=known.modules, given=functions_of(built))
    own, profile = None if built is None else built.document, profile or environ.get(VARIABLE, "")
    pipeline, document = read_pipeline(file, functions, profile=profile, given=inputs, known=known, document=own)
    redactor = Redactor(environ[name] for name in secrets_of(pipeline) if name in environ)
    set_redactor(redactor)
    uses_run: list[bool] = []
    pipeline = bind(
        pipeline,
        document,
        given={name: text for name, text in given.items() if name not in values},
        typed={**read_params_file(params_file), **values},
        environ=environ,
        run_id=run_id,
        date=date or "",
        on_run=lambda: uses_run.append(True),
        to_run=to_run,
        work=work,
        files_may_lack=absent is not None,
    )
    pipeline = with_memory(pipeline, far=far)
    _refuse(pipeline, document, missing(pipeline, document, environ, absent), known if columns else None)
    return Resolved(pipeline, redactor, uses_run=bool(uses_run), absent=tuple(absent or ()))


def _refuse(pipeline: Pipeline, document: Document, lacks: Iterable[Diagnostic], known: KnownChecks | None) -> None:
    """Raise SpecError for amounts over a budget, for what nodes lack, and for columns unless `known` is None."""
    if refused := list(dict.fromkeys(refused_amounts(pipeline, document, pipeline.budgets))):
        raise SpecError(refused)
    if problems := [*lacks, *([] if known is None else column_problems(pipeline, document, known))]:
        raise SpecError(in_file_order(pipeline.file, problems))


def functions_of(built: BuiltPipeline | None) -> Mapping[str, LookupResult]:
    """Return what the functions of a built pipeline take that no module has, by their names."""
    if built is None or not built.functions:
        return {}
    from nfrun.code.program_functions import described  # it imports inspect

    return described(built.functions)


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
    for name in pipeline.inputs:
        if name in bound.nodes and not bound.nodes[name].body:
            where = document.key_span("inputs", name)
            diagnostics.append(Diagnostic(where, f"the input '{name}' must be given", f"--input {name}=FILE"))
    bound = without_disabled(bound)
    works = [path for path in (work, pipeline.work and Path(pipeline.folder, pipeline.work)) if path]
    diagnostics += file_conflicts(bound.nodes, Path(pipeline.folder), document, works)
    if diagnostics:
        raise SpecError(each_once(diagnostics))
    return bound


def secrets_of(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the names of the variables with secrets, also of the pipelines in other files."""
    others = [name for other in pipeline.included.values() for name in secrets_of(other)]
    return tuple(dict.fromkeys([*pipeline.secrets, *others]))


@mutable
class NodeBinder(Findings):
    """Evaluates the expressions of the nodes of one pipeline and collects the problems."""

    names: Names = field(kw_only=True)
    functions: FunctionLookup = field(kw_only=True)
    secrets: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    on_run: Callable[[str], object] = lambda text: None
    checked: dict[tuple[Keys, str], dict[str, Any]] = field(default_factory=dict)
    cell: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    cells: MatrixNames = field(default_factory=lambda: MatrixNames({}))

    def node(self, spec: NodeSpec) -> NodeSpec:
        """Return the node with `env`, `with` and a body that is a template evaluated."""
        if not spec.axes:
            return self.evaluated(spec)
        names = self.names
        self.names, self.cell = {**names, "matrix": self.cells.of(spec)}, spec.cell
        bound = self.evaluated(spec)
        self.names = names
        return bound

    def evaluated(self, spec: NodeSpec) -> NodeSpec:
        """Return the node with its expressions evaluated with the names that it sees."""
        kind = kind_of(spec)
        path, before = (spec.section, spec.declared), len(self.diagnostics)
        body, env, redacted = spec.body, spec.env, spec.redacted_env
        if kind.says.is_template and has_expression(body):
            value = self.value(body, (*path, spec.kind))
            if not isinstance(value, str):
                what = f"'{spec.kind}' must be a string, and this is {ellipsize(env_text(value))}"
                self.report((*path, spec.kind), what)
                return spec
            # If the text before the first expression names a folder, the path must stay inside of it.
            folder = body.partition(EXPRESSION_START)[0].rpartition("/")[0]
            if folder and not PurePosixPath(normpath(value)).is_relative_to(normpath(folder)):
                what = f"'{ellipsize(value)}' leads out of the folder '{ellipsize(folder)}'"
                hint = "give the name of something in it, or have the whole path in one expression"
                self.report((*path, spec.kind), what, hint)
            body = value
        if env:
            own = self.document.root[spec.section][spec.declared].get("env", {})
            env, redacted = self.variables(
                env, lambda key: (*path, "env", key) if key in own else ("defaults", "env", key)
            )
        with_ = {key: self.value(value, (*path, "with", key)) for key, value in spec.with_.items()}
        files = tuple(self.files(spec, path)) if spec.files else ()
        settings = self.settings(spec) if spec.unbound else {}
        contracts = {name: self.contract(spec, name, of) for name, of in spec.contracts.items()}
        if contracts != spec.contracts:
            settings["contracts"] = contracts
        if_ = self.condition(spec.if_, (*path, "if")) if isinstance(spec.if_, str) else spec.if_
        if body is spec.body and not env and not with_ and not files and not settings and if_ is spec.if_:
            return spec
        bound = replace(spec, body=body, env=env, with_=with_, redacted_env=redacted, files=files, if_=if_, **settings)
        if body and len(self.diagnostics) == before and (kind.says.is_template or spec.plugin):
            # The loader could not check a file ending, an option or a value that an expression produces.
            for found in kind.says.check(bound, self.functions):
                if found.is_warning:  # `validate` tells it where no expression gives the values
                    continue
                at_key = found.at_key and spec.plugin is not None
                self.report((*path, *found.path), found.message, found.hint, at_key=at_key)
        if spec.plugin and bound.map is not None and kind.maps is not None:  # values may name columns
            bound = replace(bound, map=replace(bound.map, form=kind.maps.form(bound, self.functions)))
        return bound

    def settings(self, spec: NodeSpec) -> dict[str, Any]:
        """Return the fields of a node for the settings with expressions."""
        fields: dict[str, Any] = {"unbound": NOTHING}
        for key, setting in spec.unbound.items():
            node: Keys = (spec.section, spec.declared)
            place_of = partial(setting_path, self.document.root, node)
            path = place_of((key,))
            before = len(self.diagnostics)
            if key == "resources":
                value: Any = {name: self.value(item, place_of((key, name))) for name, item in setting.items()}
            else:
                value = self.value(setting, path)
            if len(self.diagnostics) > before:
                continue
            known = (path, repr(value))
            if known not in self.checked:
                self.checked[known] = self.setting(key, value, place_of)
            fields |= self.checked[known]
        if "map" in fields and spec.map is not None:
            fields["map"] = replace(fields["map"], form=spec.map.form)
        return fields

    def setting(self, key: str, value: Any, place_of: Callable[[Keys], Keys]) -> dict[str, Any]:
        """Return the fields of a node for a setting whose expressions are evaluated. Reports a wrong value."""
        wrong = list(check_setting(key, value))
        for found in wrong:
            self.report(place_of((key, *found.path)), found.message, found.hint)
        return {} if wrong else fields_of({key: value}, lambda steps, what: self.report(place_of(steps), what))

    def contract(self, spec: NodeSpec, output: str, contract: Contract) -> Contract:
        """Return the contract of an output with the values of its checks evaluated."""
        if all(map(is_bound, contract.checks)):
            return contract
        path = checks_path(self.document, spec.declared, output)
        return replace(contract, checks=tuple([self.check(check, (*path, check.index)) for check in contract.checks]))

    def check(self, check: Check, at: Keys) -> Check:
        """Return a check with its values evaluated. Reports wrong values."""
        if is_bound(check):
            return check
        parts = {check.kind: check.value, "allow": check.allow, "with": dict(check.with_)}
        before = len(self.diagnostics)
        found = {key: self.value(part, (*at, key)) for key, part in parts.items()}
        if len(self.diagnostics) > before:
            return check
        check = replace(check, value=found[check.kind], allow=found["allow"], with_=found["with"])
        for steps, what, hint in value_problems(check.kind, check.value):
            self.report((*at, check.kind, *steps), what, hint)
        for wrong in check_setting("checks", [{"allow": check.allow}]) if check.allow != parts["allow"] else ():
            self.report((*at, *wrong.path[1:]), wrong.message, wrong.hint)
        return check

    def condition(self, text: str, path: Keys) -> bool:
        """Return whether the expression under `if` is true. Reports a value that is neither true nor false."""
        before = len(self.diagnostics)
        value = self.value(text, path, seen_by_graph(self.names))
        if len(self.diagnostics) == before and not isinstance(value, bool):
            what = f"'if' must be true or false, and this is {shown(value)}"
            self.report(path, what, "compare it, as in ${{ … != none }}")
        return value is True

    def files(self, spec: NodeSpec, path: Keys) -> Iterator[str]:
        """Yield the names of the files that the node declares; an expression may give a list of them."""
        for step, file in items(self.document.root[spec.section][spec.declared]["files"]):
            value = self.value(file, (*path, "files", *step))
            for name in value if isinstance(value, list) else [value]:
                if isinstance(name, str) and name.strip() and "\0" not in name:
                    yield name
                elif value != "":  # this comes of an expression that has failed
                    what = f"this is no name of a file: {ellipsize(env_text(name)) or 'it is empty'}"
                    self.report((*path, "files", *step), what)

    def variables(
        self, env: Mapping[str, str], path_of: Callable[[str], Keys]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Evaluate variables. Returns their values, and placeholders for the values made of secrets.

        A placeholder has the names of the secrets in place of their values.
        """
        values, redacted = {}, {}
        for key, value in env.items():
            values[key] = self.variable(value, path_of(key), {**self.names, "secrets": self.secrets})
            if self.secrets and has_secret(value):
                # A variable cannot contain a NUL, so no other value equals a placeholder.
                named = {name: f"\0{name}\0" for name in self.secrets}
                redacted[key] = str(self.value(value, path_of(key), {**self.names, "secrets": named}))
        return values, redacted

    def variable(self, value: str, path: Keys, names: Names) -> str:
        """Evaluate one variable and return it as text. Adds a problem if it cannot be a variable's value."""
        found = self.value(value, path, names)
        if found is None or isinstance(found, dict | list):
            what = f"variable '{path[-1]}' must be a string, a number or true or false, not {env_text(found)}"
            self.report(path, ellipsize(what, 200))
        # The operating system accepts no NUL and no lone surrogate.
        if isinstance(found, str) and any(c == "\0" or "\ud800" <= c <= "\udfff" for c in found):
            self.report(path, f"variable '{path[-1]}' has a character that no variable can have")
        return env_text(found)

    def value(self, value: Any, path: Keys, names: Names | None = None) -> Any:
        """Evaluate every string in a nested value. Returns plain lists, mappings and scalars.

        An expression that fails adds a problem and gives "".
        """

        def evaluated(text: str, path: Keys) -> Any:
            if "run" in text:
                self.on_run(text)
            try:
                return evaluate(text, names or self.names)
            except ExpressionError as error:
                self.report(path, str(error), self.hint(str(error)), start=error.start, length=error.length)
                return ""

        return evaluate_all(value, path, evaluated)

    def hint(self, message: str) -> str:
        """Return the hint for an expression that fails: the cell, if it may be that a value lacks an entry."""
        if "matrix" not in self.names or "matrix." not in message:
            return ""
        cell = ", ".join(f"{axis}: {env_text(key)}" for axis, key in self.cell.items())
        return f"for {cell}; what only some values have stands before | default(…)"


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
        run = {"id": self.run_id, "date": self.date, "name": pipeline.name, "folder": pipeline.folder}
        # Expressions do not see secrets in `env`: their results may end up in cache keys and file names.
        secrets = {name: self.environ[name] if self.to_run else MASK for name in pipeline.secrets}
        around = {key: value for key, value in {**self.environ, **env}.items() if key not in redacted_env}
        visible = {key: value for key, value in around.items() if key not in secrets}
        names: Names = {"params": params, "env": visible, "run": run}
        functions = FunctionLookup(Path(pipeline.folder))
        binder = NodeBinder(document, names=names, functions=functions, secrets=secrets, on_run=self.on_run)
        diagnostics = binder.diagnostics
        own, redacted = binder.variables(pipeline.env, lambda key: ("env", key))
        env = {**own, **env}
        redacted = {**{key: value for key, value in redacted.items() if env[key] == own[key]}, **redacted_env}
        visible = {k: v for k, v in {**visible, **env}.items() if k not in secrets and k not in redacted}
        binder.names = {**names, "env": visible}
        if diagnostics and pipeline.axes:
            raise SpecError(diagnostics)
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
        total = len(pipeline.nodes)
        for spec in filter(includes, pipeline.nodes.values()):
            other = pipeline.included[spec.body]
            before = len(binder.diagnostics)
            for name, value in spec.with_.items():
                if problem := value_problem(other.params[name], value, spec.body):
                    binder.report(("nodes", spec.declared, "with", name), *problem)
            of = document.others[other.file]
            binder.diagnostics += _missing_secrets(other, of, self.environ) if self.to_run else ()
            if len(binder.diagnostics) > before:
                continue
            values = {name: param.default for name, param in other.params.items()} | dict(spec.with_)
            try:
                made[spec.id] = self.bound(other, of, values, pipeline.env, pipeline.redacted_env)
            except SpecError as error:
                binder.diagnostics += error.diagnostics
                continue
            total += len(made[spec.id].nodes) - 1
            if total > MAX_NODES:  # to bind all others may take long
                what = f"the pipeline has more than {MAX_NODES:,} nodes with those of other files"
                binder.report(("nodes", spec.declared, spec.kind), what, "make it several pipelines")
                return pipeline
        if binder.diagnostics:
            return pipeline
        env, redacted = dict(pipeline.env), dict(pipeline.redacted_env)
        for id, other in made.items():
            for key, value in other.env.items():
                if env.setdefault(key, value) != value:
                    span = document.others[other.file].span("env", key)
                    what = f"'{key}' has another value in '{ellipsize(id)}' than elsewhere, and a process has one"
                    hint = f"set it in 'env' of {Path(pipeline.file).name}, or in 'env' of nodes"
                    binder.report(("env", key), what, hint, span=span)
            redacted |= {key: text for key, text in other.redacted_env.items() if key not in pipeline.env}
        return expand_included(replace(pipeline, env=env, redacted_env=redacted), made, binder)


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
