"""Reads a YAML file into a `Document`: plain values, and the span of each in the file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nfrun.core.errors import SourceSpan
from nfrun.core.values import field, frozen, replace
from nfrun.pipeline_file.yaml.parser import LENGTH, Offset, Source, parse_source, place_in_scalar
from nfrun.pipeline_file.yaml.text_file import read_text, refuse

Keys = tuple[str | int, ...]  # the steps to a value: keys of mappings and indices of lists


@frozen
class Document:
    """A parsed YAML file. `file` is its name in messages; `root` is a dict, list, str, int, float or bool.

    `moved` has for values of `root` that the file has elsewhere the path there, by the path in `root`.
    `others` are the documents of pipelines that nodes name, by their files. `included` are the places that include the
    file, the nearest first.
    """

    file: str
    root: Any
    _source: Source = field(repr=False, compare=False)
    moved: Mapping[Keys, Keys] = field(default_factory=dict)
    others: Mapping[str, Document] = field(default_factory=dict)
    included: tuple[SourceSpan, ...] = ()

    def span(self, *path: str | int) -> SourceSpan:
        """Return the span of the value at `path`, as in `span("nodes", "join", "inputs", 0)`.

        An empty value (`key:`) has the span of its key. A value given by an alias has the span of the alias; the values
        inside it have theirs at the anchor. A path that does not exist gives the span of its last existing step.
        """
        return self._placed(self._source.span(self._find(path)[1]))

    def key_span(self, *path: str | int) -> SourceSpan:
        """Return the span of the key that the last step of `path` names, of the value if that step is an index."""
        return self._placed(self._source.span(self._find(path)[0]))

    def span_within(self, path: Keys, start: int, length: int) -> SourceSpan:
        """Return the span of `length` characters from the index `start` in the string at `path`.

        If the string is behind an alias, returns the span of the whole value.
        """
        offset, value = self._find(path)[1:]
        written = self._source.text[offset >> 32 : (offset >> 32) + (offset & LENGTH)]
        place = place_in_scalar(written, value, start, length) if isinstance(value, str) else None
        if place is None:
            return self._placed(self._source.span(offset))
        return self._placed(self._source.span(((offset >> 32) + place[0]) << 32 | place[1]))

    def start_of_entry(self, section: str, key: str) -> SourceSpan:
        """Return where the entry `key` of the top-level mapping `section` starts: a span without the line's text."""
        start = self._find((section, key))[0] >> 32
        line, first = self._source.line(start)
        return self._placed(SourceSpan(self.file, line, start - first + 1))

    def _placed(self, span: SourceSpan) -> SourceSpan:
        return replace(span, included=self.included) if self.included else span

    def _find(self, path: Keys) -> tuple[Offset, Offset, Any]:
        """Return the offset of the key, that of the value, and the value."""
        return self._source.find(self.written(path))

    def written(self, path: Keys) -> Keys:
        """Return the path of a value in the file: another one than in `root` if it is moved."""
        for i in range(len(path) if self.moved else 0, 0, -1):
            if path[:i] in self.moved:
                return (*self.moved[path[:i]], *path[i:])
        return path


def entries(value: Any) -> Iterable[tuple[Any, Any]]:
    """Return the keys and values of a mapping, or the indices and items of a list; nothing for other values."""
    return value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()


def parse(text: str, file: str) -> Document:
    """Parse the one YAML document in `text`; `file` is its name in messages.

    Raises SpecError with all problems, in file order. The search ends at the first syntax error, at a second document,
    at nesting or aliases over the limit (MAX_DEPTH, MAX_ALIASED), and after MAX_PROBLEMS.
    """
    source = parse_source(text, file)
    if not source.top or source.top[0] is None:
        refuse(file, "the file is empty", "a pipeline file has at least 'nodes:'")
    return Document(file, source.top[0], source)


def load(path: str | os.PathLike[str], shown: str | None = None) -> Document:
    """Read and parse the YAML file `path`, called `shown` (the path itself if None) in messages.

    Raises SpecError if the file cannot be read, and with all its problems.
    """
    name = os.fspath(path) if shown is None else shown
    return parse(read_text(Path(path), name), name)
