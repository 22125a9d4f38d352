"""A pipeline document that a program has built: its values, and where in the program each was given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nfrun.core.errors import SourceSpan
from nfrun.core.values import field, frozen, replace
from nfrun.pipeline_file.yaml.document import Document, Keys
from nfrun.pipeline_file.yaml.parser import Source

CONTROL = "[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # characters that no file has, not even escaped


@frozen
class BuiltDocument(Document):
    """A document without a text. `places` has the call that gave the value at a path, or one that is around it."""

    places: Mapping[Keys, SourceSpan] = field(default_factory=dict)

    def span(self, *path: str | int) -> SourceSpan:
        """Return the place of the call that gave the value at `path`."""
        path = self.written(path)
        found = next((self.places[path[:i]] for i in range(len(path), -1, -1) if path[:i] in self.places), None)
        return found or SourceSpan(self.file)

    def key_span(self, *path: str | int) -> SourceSpan:
        """Return what `span` does: a call has no place for each key."""
        return self.span(*path)

    def span_within(self, path: Keys, start: int, length: int) -> SourceSpan:
        """Return what `span` does."""
        return self.span(*path)

    def start_of_entry(self, section: str, key: str) -> SourceSpan:
        """Return the place of the call that made the entry, without the text of the line."""
        return replace(self.span(section, key), length=1, text="")


@frozen
class BuiltPipeline:
    """A pipeline that a program has built: its document, and those functions of nodes that no module has, by name.

    The document may also be a part of that of a file.
    """

    document: Document
    functions: Mapping[str, Callable[..., Any]]


def built_document(file: str, root: Mapping[str, Any], places: Mapping[Keys, SourceSpan]) -> BuiltDocument:
    """Return a document with these values, as if they stood in `file`, which need not exist."""
    return BuiltDocument(file, root, Source(file, ""), places=places)
