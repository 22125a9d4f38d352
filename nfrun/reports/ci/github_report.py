"""Tells GitHub what went wrong in a run: annotations at file and line, and the summary of the step."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from nfrun.core.contracts import CheckResult, failed_checks
from nfrun.core.errors import Cause, Diagnostic, SourceSpan
from nfrun.core.events import Event, Failure
from nfrun.core.pipeline import Pipeline
from nfrun.core.text import ellipsize, shortened
from nfrun.reports.ci.github_commands import Annotation, annotation_lines
from nfrun.reports.line_reporter import LineReporter
from nfrun.reports.run_record import NodeRecord, RunRecord, alike_failures
from nfrun.reports.summary import failure_text

_INSTALLED = re.compile(r"(^|/)(\.[^/]*|site-packages)/")  # in virtual environments, which may be in the workspace
_LEVELS = ("error", "warning", "notice")
_MOST_LISTED = 6  # names of nodes
_MOST_TITLE = 100  # characters


class Workspace:
    """The folder of the checked-out repository, in which GitHub shows annotations.

    Paths are made absolute from the working directory as it is when this is made: nodes may change it. `folder` is ""
    if there is none; then no file is in it.
    """

    def __init__(self, folder: str) -> None:
        self._here = Path.cwd()
        self._folder = Path(folder).resolve() if folder else None

    def path_of(self, file: str, base: str = "") -> str:
        """Return a file relative to the workspace, "" if it is not in it. `base` is what its name is relative to."""
        if not file or self._folder is None:
            return ""
        path = (self._here / base / file).resolve()
        return path.relative_to(self._folder).as_posix() if path.is_relative_to(self._folder) and path.is_file() else ""


class GitHubReport(LineReporter):
    """A reporter that writes annotations to a stream when the run has ended, and adds a page to the summary.

    `add_summary()` does the latter, and may raise OSError: then a warning says that it is missing.
    """

    name = "for GitHub"
    event_types = ()

    def __init__(
        self,
        record: RunRecord,
        pipeline: Pipeline,
        stream: IO[str],
        workspace: Workspace,
        add_summary: Callable[[], object],
    ) -> None:
        super().__init__(stream)
        self._record = record
        self._pipeline = pipeline
        self._workspace = workspace
        self._add_summary = add_summary

    def event(self, event: Event) -> None:
        """Do nothing: the record keeps the state of the run."""

    def close(self) -> None:
        """Write the annotations, and add the summary."""
        found = sorted(self.annotations(), key=lambda annotation: _LEVELS.index(annotation.level))
        try:
            self._add_summary()
        except OSError as error:
            what = f"the summary of the step is not written: {error.filename or ''}: {error.strerror or error}"
            errors = sum(annotation.level == "error" for annotation in found)
            found.insert(errors, Annotation("warning", "nfrun", what))
        for line in annotation_lines(found):
            self.add(line)
        super().close()

    def annotations(self) -> Iterator[Annotation]:
        """Yield what went wrong, the gravest first: the run, nodes, checks."""
        record, pipeline = self._record, self._pipeline
        end = record.end
        if end is None or end.error or end.status == "cancelled":
            what = "the run did not end" if end is None else end.error or "the run was cancelled"
            level = "warning" if end is not None and not end.error else "error"
            yield Annotation(level, pipeline.name, what)
        failed = record.named("failed")
        for name, *others in alike_failures(failed, record):
            yield from self._of_node(name, record.nodes[name], others)
        for name in record.names:
            for check in record.nodes[name].checks:
                if not check.ok and check.severity != "error":
                    yield self._of_check(name, check, "warning" if check.severity == "warn" else "notice")

    def _of_node(self, name: str, node: NodeRecord, others: Sequence[str]) -> Iterator[Annotation]:
        failure = node.failure
        checks = failed_checks(node.checks)
        level = "warning" if node.tolerated else "error"
        if failure is None or (failure.cause is Cause.CHECK and checks):
            for check in checks:
                yield self._of_check(name, check, level)
            return
        span = self._pipeline.spec_of(name).source
        file, line, column = self._place_of(failure, span)
        text = failure_text(name, node, str(span), (), others).strip("\n")
        also = f" and {shortened(others, _MOST_LISTED)}" if others else ""
        yield Annotation(level, f"{self._pipeline.name}: node '{name}'{also} failed", text, file, line, column)

    def _place_of(self, failure: Failure, span: SourceSpan) -> tuple[str, int, int]:
        """Return the innermost line of the user's code in the workspace, else where the node stands in its file."""
        for frame in reversed(failure.frames):
            file = self._workspace.path_of(frame.file, self._pipeline.folder)
            if file and not _INSTALLED.search(file):
                return file, frame.line, 0
        return self._workspace.path_of(span.file), span.line, span.column

    def _of_check(self, name: str, check: CheckResult, level: str) -> Annotation:
        span = self._pipeline.spec_of(name).source
        title = f"{self._pipeline.name}: the check '{check.name}' of node '{name}' does not hold"
        text = f"{span}: the check '{check.name}' of node '{name}': {check.text}"
        rows = [f"the first failing rows are in {check.path}"] if check.path else []
        file = self._workspace.path_of(span.file)
        return Annotation(level, title, "\n".join([text, *rows]), file, span.line, span.column)


def diagnostic_annotations(found: Iterable[Diagnostic], level: str, workspace: Workspace) -> Iterator[Annotation]:
    """Yield an annotation of this level for each mistake in a pipeline file."""
    for diagnostic in found:
        span = diagnostic.span
        text = "\n".join(filter(None, (f"{span}: {diagnostic.message}", diagnostic.hint)))
        title = ellipsize(diagnostic.message, _MOST_TITLE)
        yield Annotation(level, title, text, workspace.path_of(span.file), span.line, span.column)
