"""Collects the problems of a pipeline file while `loader.py` and `references.py` read it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nfrun.core.errors import Diagnostic, SourceSpan
from nfrun.core.pipeline import OutputId
from nfrun.core.values import field, mutable
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

    def report(
        self,
        path: Keys,
        what: str,
        hint: str = "",
        *,
        at_key: bool = False,
        start: int = 0,
        length: int = 0,
        is_warning: bool = False,
        span: SourceSpan | None = None,
    ) -> None:
        """Add a problem with the value at `path`, its key if `at_key`, or `length` characters of it from `start` on.

        A `span` is where it stands in another file.
        """
        where = self.document.key_span(*path) if at_key else self.document.span(*path)
        if span is not None:
            where = span
        elif length:
            where = self.document.span_within(path, start, length)
        if is_warning:
            self.warnings.append(Diagnostic(where, what, hint))
        else:
            self.diagnostics.append(Diagnostic(where, what, hint))
            self.mark_wrong(path)

    def mark_wrong(self, path: Keys) -> None:
        """Mark the path as wrong, and it and the paths above it as bad."""
        self.wrong.add(path)
        self.bad.update(path[:i] for i in range(1, len(path) + 1))


def in_file_order(file: str, found: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return problems, each once: those in the file first, each file from top to bottom.

    A problem in an anchor is found at every alias too, one in a default at every node.
    """
    return sorted(dict.fromkeys(found), key=lambda each: (each.span.file != file, each.span.line, each.span.column))
