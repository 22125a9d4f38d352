"""Decides whether a command tells GitHub's runner what it finds, and where the runner looks for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

from nfrun.core.errors import Diagnostic
from nfrun.engine.event_dispatch import Reporter
from nfrun.reports.ci.github_report import (
    Annotation,
    GitHubReport,
    Workspace,
    annotation_lines,
    diagnostic_annotations,
)
from nfrun.reports.ci.github_summary import summary_of
from nfrun.session.run import Run

if TYPE_CHECKING:
    from nfrun.system.std_streams import Messages

_MOST_BYTES = 1 << 20  # of the summary of a step, whatever wrote it


def github_report(run: Run, stream: IO[str], command: Callable[[], str]) -> Reporter:
    """Return the reporter of annotations and of the summary. `command()` returns the command that goes on."""
    workspace = _workspace()
    file = os.environ.get("GITHUB_STEP_SUMMARY", "")
    add = partial(_add_summary, file, run, command, workspace) if file else lambda: None
    return GitHubReport(run.record, stream, workspace, add)


def annotate(messages: Messages, problems: Iterable[Diagnostic], level: str, otherwise: str = "") -> None:
    """Write an annotation for each problem, or one with the text `otherwise` if there is none."""
    without = [Annotation(level, "nfrun", otherwise)] if otherwise else []
    for line in annotation_lines([*diagnostic_annotations(problems, level, _workspace())] or without):
        messages(line)


def _workspace() -> Workspace:
    return Workspace(os.environ.get("GITHUB_WORKSPACE", ""))


def _add_summary(file: str, run: Run, command: Callable[[], str], workspace: Workspace) -> None:
    """Add the page of a run to the file of the step's summary. Raises OSError."""
    try:
        with Path(file).open("ab") as opened:
            room = _MOST_BYTES - opened.tell()
            links = _links(run, workspace)
            text = summary_of(run.record, run.started.run, command(), links, room)
            opened.write(text.encode(errors="backslashreplace"))
    except OSError as error:
        error.filename = file
        raise


def _links(run: Run, workspace: Workspace) -> dict[str, str]:
    """Return the address on GitHub of the place of each node that failed."""
    known = [os.environ.get(name, "") for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_SHA")]
    if not all(known):
        return {}
    server, repository, commit = known
    spans = {name: run.pipeline.spec_of(name).source for name in run.record.failed}
    paths = {name: workspace.path_of(span.file) for name, span in spans.items()}
    root = f"{server}/{quote(repository)}/blob/{quote(commit)}"
    return {name: f"{root}/{quote(path)}#L{spans[name].line}" for name, path in paths.items() if path}
