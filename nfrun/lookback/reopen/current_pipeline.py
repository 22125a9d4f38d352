"""Reads the pipeline file of a run as it is now, with the parameters that the run had."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from nfrun.core.errors import NotRecorded, SpecError
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.core.text import ellipsize
from nfrun.history.work_dir import WorkDir
from nfrun.lookback.recorded_run import hint_of, which_cell
from nfrun.lookback.run_reference import ListedRun
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.resolve import bind, secrets_of
from nfrun.system.logs.redaction import Redactor


def pipeline_file(given: Path | None, work: WorkDir, run: ListedRun) -> Path:
    """Return the pipeline file: the one that is given, or the one beside the work folder that has the run's name."""
    file = given or work.path.parent / run.file
    if given is None and not file.is_file():
        what = f"the pipeline file {ellipsize(run.file)} is not beside {work.path}"
        raise NotRecorded(f"{what}: name it with --pipeline FILE")
    return file


def bound_pipeline(given: Path | None, work: WorkDir, run: ListedRun) -> Pipeline | None:
    """Return the pipeline with the parameters that the run had; None if there is no such file, or it is not valid."""
    with suppress(NotRecorded, SpecError):
        return bind_as_in(run, pipeline_file(given, work, run), given={}, environ=os.environ, to_run=False)
    return None


def bind_as_in(
    run: ListedRun,
    file: Path,
    *,
    given: Mapping[str, str],
    environ: Mapping[str, str],
    to_run: bool = True,
    set_redactor: Callable[[Redactor], None] = lambda redactor: None,
) -> Pipeline:
    """Read the file and bind it with the parameters and inputs that the run had. Those in `given` win over these.

    Calls `set_redactor` as soon as the secrets are known. With `to_run=False` these need no values. Raises SpecError.
    """
    pipeline, document = read_pipeline(file, profile=run.header.profile)
    if inputs := {name: path for name, path in run.header.inputs.items() if name in pipeline.inputs}:
        files = {name: path if "://" in path else os.path.join(pipeline.folder, path) for name, path in inputs.items()}  # noqa: PTH118
        pipeline, document = read_pipeline(file, profile=run.header.profile, given=files)
    set_redactor(Redactor(environ[name] for name in secrets_of(pipeline) if name in environ))
    typed = {name: value for name, value in run.header.params.items() if name in pipeline.params}
    return bind(
        pipeline,
        document,
        given=given,
        typed=typed,
        environ=environ,
        run_id=run.id,
        date=run.header.date,
        to_run=to_run,
    )


def node_of(pipeline: Pipeline, name: str) -> NodeSpec:
    """Return a node of the pipeline file. Raises NotRecorded if there is none of this name."""
    found = pipeline.nodes.get(name)
    if found is None:
        if which := which_cell(name, {id: spec.of for id, spec in pipeline.nodes.items()}):
            raise NotRecorded(which)
        raise NotRecorded(f"{pipeline.file} has no node '{ellipsize(name)}': {hint_of(name, pipeline.nodes)}")
    return found
