"""Makes a pipeline file ready for a run: reads and checks it, and binds its parameters and secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import Diagnostic, SpecError
from nfrun.core.pipeline import NOTHING, Pipeline
from nfrun.core.values import frozen
from nfrun.pipeline_file.binder import bind, expand, secrets_of
from nfrun.pipeline_file.budgets import refused_amounts, with_memory
from nfrun.pipeline_file.columns import column_problems
from nfrun.pipeline_file.findings import in_file_order
from nfrun.pipeline_file.known_checks import KnownChecks
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.missing import missing
from nfrun.pipeline_file.overlays import VARIABLE
from nfrun.pipeline_file.parameters import read_params_file
from nfrun.system.logs.redaction import Redactor

if TYPE_CHECKING:
    from nfrun.code.function_lookup import LookupResult
    from nfrun.pipeline_file.built_document import BuiltPipeline
    from nfrun.pipeline_file.yaml.document import Document


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
    given: Mapping[str, str] | None,
    params_file: Path | None,
    environ: Mapping[str, str],
    run_id: str,
    date: str | None = None,
    to_run: bool = True,
    set_redactor: Callable[[Redactor], None] = lambda redactor: None,
    on_read: Callable[[Pipeline], object] = lambda pipeline: None,
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

    `given` holds parameters as text, and wins over those in `params_file`. If it is None, nothing is bound, and the
    expressions stay as they are; the matrix is expanded with the defaults of the parameters. `profile` is laid over the
    file; if it is None, the one that NFRUN_PROFILE in `environ` names. What is `known` to be in order is not checked
    again, and what is found to be is added. Nodes that may run `far` away may take more memory than this machine has.
    Files need not be there if there is a list, `absent`, for the nodes that lack some. `values` has parameters with
    their types; these win. If a pipeline is `built`, no file is read. `bind` in `binder.py` describes the others.
    Calls `on_read(pipeline)` when the file is read, and then `set_redactor(redactor)`, because errors of binding may
    quote values of secrets. Raises SpecError with every problem of the step that found some: reading the pipeline,
    reading `params_file`, binding, looking for what nodes need and, with `columns`, for columns that cannot be there.
    """
    known = known or KnownChecks()
    functions = FunctionLookup(file.absolute().parent, known=known.modules, given=functions_of(built))
    own, profile = None if built is None else built.document, profile or environ.get(VARIABLE, "")
    pipeline, document = read_pipeline(file, functions, profile=profile, given=inputs, known=known, document=own)
    on_read(pipeline)
    redactor = Redactor(environ[name] for name in secrets_of(pipeline) if name in environ)
    set_redactor(redactor)
    uses_run: list[bool] = []
    if given is not None:
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
    else:
        pipeline = expand(pipeline, document, environ)
    pipeline = with_memory(pipeline, far=far)
    _refuse(pipeline, document, missing(pipeline, document, functions, environ, absent), known if columns else None)
    return Resolved(pipeline, redactor, uses_run=bool(uses_run), absent=tuple(absent or ()))


def _refuse(pipeline: Pipeline, document: Document, lacks: Iterable[Diagnostic], known: KnownChecks | None) -> None:
    """Raise SpecError for amounts over a budget, for what nodes lack, and for columns unless `known` is None."""
    if refused := list(dict.fromkeys(refused_amounts(pipeline, document, pipeline.budgets))):
        raise SpecError(refused)
    unknown = [] if known is None else column_problems(pipeline, document, known)
    if problems := [*lacks, *unknown]:
        raise SpecError(in_file_order(pipeline.file, problems))


def functions_of(built: BuiltPipeline | None) -> Mapping[str, LookupResult]:
    """Return what the functions of a built pipeline take that no module has, by their names."""
    if built is None or not built.functions:
        return {}
    from nfrun.code.program_functions import described  # it imports inspect

    return described(built.functions)
