"""Collects the problems of a pipeline file while `loader.py` and `references.py` read it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from nfrun.core.errors import Diagnostic, Problem, SourceSpan
from nfrun.core.pipeline import OutputId
from nfrun.core.text import did_you_mean, ellipsize
from nfrun.core.values import field, mutable, replace
from nfrun.pipeline_file.yaml.document import Document, Keys


@mutable
class Findings:
    """The problems found in a document so far. Checks go on after a problem, without the values that have one.

    `warnings` prevent nothing. `wrong` holds the paths of problems, `bad` these and all paths above them. `unclear`
    holds the nodes with an unknown key: a key that seems to be missing there may only be misspelt. `of_cells` are the
    outputs of sub-pipelines that are there for each cell of a node.
    """

    document: Document
    diagnostics: list[Diagnostic] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)
    wrong: set[Keys] = field(default_factory=set)
    bad: set[Keys] = field(default_factory=set)
    unclear: set[str] = field(default_factory=set)
    of_cells: set[OutputId] = field(default_factory=set)

    @property
    def folder(self) -> Path:
        """The folder that paths in the file are relative to."""
        return Path(self.document.file).absolute().parent

    def report(self, path: Keys, what: str, hint: str = "", *, span: SourceSpan | None = None, **how: Any) -> None:
        """Add a problem with the value at `path`. `how` are more fields of it, such as `at_key`."""
        self.add(Problem(path, what, hint, **how), span=span)

    def add(self, problem: Problem, at: Keys = (), span: SourceSpan | None = None) -> None:
        """Add a problem, whose path begins `at` a path of the document. A `span` is where it stands in another file."""
        found = self.document.told(problem, at)
        if span:
            found = replace(found, span=replace(span, included=span.included or found.span.included))
        (self.warnings if problem.is_warning else self.diagnostics).append(found)
        if not problem.is_warning:
            self.mark_wrong((*at, *problem.path))

    def mark_wrong(self, path: Keys) -> None:
        """Mark the path as wrong, and it and the paths above it as bad."""
        self.wrong.add(path)
        self.bad.update(path[:i] for i in range(1, len(path) + 1))


def span_in_text(text: str, file: str, pipeline_file: str, start: int, length: int) -> SourceSpan:
    """Return the span of characters, from the index `start` on, of a text that is in a `file` of its own."""
    begin = text.rfind("\n", 0, start) + 1
    line = text[begin:].partition("\n")[0].rstrip("\r")
    shown = os.path.join(os.path.dirname(pipeline_file), file)  # noqa: PTH118, PTH120  (the name as it is given)
    return SourceSpan(shown, text.count("\n", 0, start) + 1, start - begin + 1, length, line)


def unknown(thing: str, name: str, known: Collection[str], of: str = "the pipeline") -> tuple[str, str]:
    """Return the message and the hint for the name of an input or a parameter that there is not."""
    there = f"its {thing}s: {', '.join(known) or 'none'}"
    return f"{of} has no {thing} '{ellipsize(name)}'", did_you_mean(name, known, there)


def each_once(diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    """Return the first problem at each place: a default is evaluated for each node, and others for each cell."""
    first = {found.span: found for found in reversed(diagnostics)}
    return list(reversed(first.values()))


def in_file_order(file: str, found: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return problems, each once: those in the file first, each file from top to bottom.

    A problem in an anchor is found at every alias too, one in a default at every node.
    """
    return sorted(dict.fromkeys(found), key=lambda each: (each.span.file != file, each.span.line, each.span.column))
