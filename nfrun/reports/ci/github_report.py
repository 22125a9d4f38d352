"""Tells GitHub's runner of a run, and keeps what a step prints from being taken for a command.

The runner takes a line for a command if it begins with `::name`, after spaces, or has `##[name]` anywhere in it.
`GitHubLines` prints what a node printed in a group of its own. `GitHubReport` writes annotations at file and line, and
adds the summary of the step.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from nfrun.core.contracts import CheckResult, failed_checks
from nfrun.core.errors import Cause, Diagnostic, SourceSpan
from nfrun.core.events import Event, Failure, NodeCancelled, NodeFailed, NodeFinished, NodeLogged, NodeRetrying
from nfrun.core.text import ellipsize, escape_controls, shortened
from nfrun.core.values import field, frozen
from nfrun.reports.line_reporter import LineReporter, NoEvents
from nfrun.reports.progress.plain_lines import PlainLines
from nfrun.reports.run_record import NodeRecord, RunRecord, alike_failures
from nfrun.reports.summary import check_text, failure_text

# What a node may tell the runner: messages, and what to mask. The others would change the environment, the outputs or
# the log of the step, and data that a node prints must not do that.
_OF_NODES = re.compile(r"::(debug|notice|warning|error|add-mask)( [^:]*)?::", re.IGNORECASE)
_LIKE_COMMAND = re.compile(r"((?:^|\r)\s*)::", re.MULTILINE)
_OLD_COMMAND = "##["
_MOST_SHOWN = 10  # annotations of one level that GitHub shows of a step
_MOST_MESSAGE = 4_000  # characters


@frozen
class Annotation:
    """A message of a `level` (error, warning or notice). `file` is relative to the workspace, "" if it is elsewhere."""

    level: str
    title: str
    message: str
    file: str = ""
    line: int = 0
    column: int = 0

    @property
    def command(self) -> str:
        """The line for the runner."""
        message = escape_controls(self.message)
        message = message if len(message) <= _MOST_MESSAGE else f"{message[:_MOST_MESSAGE]}…"
        places = {"file": self.file, "line": self.line, "col": self.column} if self.file else {}
        return command(
            self.level, message, **{name: value for name, value in places.items() if value}, title=self.title
        )


def command(name: str, message: str, **properties: Any) -> str:
    """Return the line of a command."""
    shown = ",".join(f"{key}={_escaped_property(str(value))}" for key, value in properties.items())
    return f"::{name}{' ' if shown else ''}{shown}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped_property(text: str) -> str:
    return _escaped(escape_controls(text)).replace(":", "%3A").replace(",", "%2C")


def annotation_lines(found: Iterable[Annotation]) -> list[str]:
    """Return the lines of annotations: of each level as many as GitHub shows, the last of which counts the others."""
    levels: dict[str, list[Annotation]] = {}
    for annotation in found:
        levels.setdefault(annotation.level, []).append(annotation)
    lines = []
    for level, all_of_level in levels.items():
        shown = all_of_level if len(all_of_level) <= _MOST_SHOWN else all_of_level[: _MOST_SHOWN - 1]
        lines += [annotation.command for annotation in shown]
        if more := len(all_of_level) - len(shown):
            lines.append(command(level, f"{more:,} more: the log has all of them, and the summary of the job"))
    return lines


def line_of_node(text: str) -> str:
    """Return a line that a node has printed as the runner may see it: as a command only if nodes may give it."""
    if _OF_NODES.match(text.lstrip()):
        return text.lstrip()
    return harmless(text)


def harmless(text: str) -> str:
    """Return text of which the runner takes no line for a command."""
    return _LIKE_COMMAND.sub(r"\1| ::", text).replace(_OLD_COMMAND, "## [")


class HarmlessStream:
    """A text stream of which the runner takes no line for a command. `as_json`: what is written is a JSON document."""

    def __init__(self, stream: IO[str], *, as_json: bool = False) -> None:
        self._stream = stream
        self._as_json = as_json
        self._begins_line = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text, given in whole lines or in parts of them."""
        if self._as_json:
            shown = text.replace(_OLD_COMMAND, "##\\u005b")  # it can only be in a string
        else:
            shown = harmless(text) if self._begins_line else harmless(f".{text}")[1:]
            self._begins_line = text.endswith("\n") if text else self._begins_line
        return self._stream.write(shown)


_ENDS = NodeFinished | NodeFailed | NodeRetrying | NodeCancelled  # of an attempt
_MOST_SECONDS = 60.0  # that a line of a node waits


@frozen
class _Printed:
    """The lines that a node has printed, the first of them at `since`, in seconds since the start of the run."""

    since: float
    lines: list[str] = field(default_factory=list)


class GitHubLines(PlainLines):
    """Plain lines, but what an attempt prints comes when it has ended, in a group under the line that says so.

    So the lines of nodes that run at once are not mixed. Those of a node that runs on come after a minute, so that a
    job that is killed loses no more. They have no prefix, so that a `::warning` of a node reaches the runner.
    """

    def __init__(
        self,
        record: RunRecord,
        stream: IO[str],
        *,
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(record, stream, verbose=verbose, clock=clock)
        self._printed: dict[str, _Printed] = {}  # by node

    def event(self, event: Event) -> None:
        """Keep what a node prints, and add it with the line that ends the attempt."""
        if isinstance(event, NodeLogged):
            text = escape_controls(event.text).replace("\n", "\\n")
            self._printed.setdefault(event.node, _Printed(event.at)).lines.append(line_of_node(text))
        elif isinstance(event, _ENDS) and event.node in self._printed:
            self._add_group(event.node, event.at, self._line(event) or f"{event.node} cancelled")
        else:
            super().event(event)

    def tick(self) -> None:
        """Write what nodes have printed that run on, and how far they are."""
        now = self._clock() - self._began
        for node in [node for node, printed in self._printed.items() if now - printed.since >= _MOST_SECONDS]:
            self._add_group(node, now, f"{node} runs on")
        super().tick()

    def close(self) -> None:
        """Write what is left."""
        for node in list(self._printed):
            self._add_group(node, self._record.at, f"{node} has not ended")
        super().close()

    def _add_group(self, node: str, at: float, title: str) -> None:
        self.add(f"::group::{harmless(f'{at:.3f} s  {title}')}")
        for line in self._printed.pop(node).lines:
            self.add(line)
        self.add("::endgroup::")

    def _add(self, at: float, line: str) -> None:
        super()._add(at, harmless(line))


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


class GitHubReport(NoEvents, LineReporter):
    """A reporter that writes annotations to a stream when the run has ended, and adds a page to the summary.

    `add_summary()` does the latter, and may raise OSError: then a warning says that it is missing.
    """

    name = "for GitHub"

    def __init__(
        self,
        record: RunRecord,
        stream: IO[str],
        workspace: Workspace,
        add_summary: Callable[[], object],
    ) -> None:
        super().__init__(stream)
        self._record = record
        self._workspace = workspace
        self._add_summary = add_summary

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
        record = self._record
        end = record.end
        if end is None or end.error or end.status == "cancelled":
            what = "the run did not end" if end is None else end.error or "the run was cancelled"
            level = "warning" if end is not None and not end.error else "error"
            yield Annotation(level, record.pipeline.name, what)
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
        span = self._record.pipeline.spec_of(name).source
        file, line, column = self._place_of(failure, span)
        text = failure_text(name, node, str(span), (), others).strip("\n")
        also = f" and {shortened(others, _MOST_LISTED)}" if others else ""
        yield Annotation(level, f"{self._record.pipeline.name}: node '{name}'{also} failed", text, file, line, column)

    def _place_of(self, failure: Failure, span: SourceSpan) -> tuple[str, int, int]:
        """Return the innermost line of the user's code in the workspace, else where the node stands in its file."""
        for frame in reversed(failure.frames):
            file = self._workspace.path_of(frame.file, self._record.pipeline.folder)
            if file and not _INSTALLED.search(file):
                return file, frame.line, 0
        return self._workspace.path_of(span.file), span.line, span.column

    def _of_check(self, name: str, check: CheckResult, level: str) -> Annotation:
        span = self._record.pipeline.spec_of(name).source
        title = f"{self._record.pipeline.name}: the check '{check.name}' of node '{name}' does not hold"
        text = check_text(str(span), name, check)
        return Annotation(level, title, text, self._workspace.path_of(span.file), span.line, span.column)


def diagnostic_annotations(found: Iterable[Diagnostic], level: str, workspace: Workspace) -> Iterator[Annotation]:
    """Yield an annotation of this level for each mistake in a pipeline file."""
    for diagnostic in found:
        span = diagnostic.span
        text = "\n".join(filter(None, (f"{span}: {diagnostic.message}", diagnostic.hint)))
        title = ellipsize(diagnostic.message, _MOST_TITLE)
        yield Annotation(level, title, text, workspace.path_of(span.file), span.line, span.column)
