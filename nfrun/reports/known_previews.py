"""Remembers what a run has shown of its tables, so that a later run shows the same tables without opening them.

Opening a table imports Arrow, which takes a third of the time of a short run that reuses everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import chain
from typing import Any

from nfrun import __version__
from nfrun.core.events import Event, OutputRef
from nfrun.core.file_source import DIGEST_OF_FILES
from nfrun.core.values import KW_ONLY, asdict, field, mutable
from nfrun.reports.table_preview import Preview, preview_of

_MOST = 100  # outputs of a pipeline: a run shows six
_LONGEST = 1_000  # characters of a cell: tables with longer ones are opened each time


@mutable
class KnownPreviews:
    """Returns what is shown of outputs, and keeps it when it is closed as a reporter.

    `read()` returns what earlier runs have kept, as JSON values, and `write(found)` keeps it, or raises OSError. `refs`
    has the references of the outputs, and `table(id)` opens one; it returns None if it cannot. A preview counts for a
    table of the same content and schema. One with a text that `redact` changes is not kept.
    """

    read: Callable[[], dict[str, Any]]
    write: Callable[[dict[str, Any]], object]
    _: KW_ONLY
    refs: Mapping[str, OutputRef]
    table: Callable[[str], Any]
    redact: Callable[[str], str]
    _saved: dict[str, Any] | None = None
    _shown: dict[str, Any] = field(default_factory=dict)

    name = "of previews"
    event_types = ()

    def event(self, event: Event) -> None:
        """Do nothing: it needs no events."""

    def of(self, id: str) -> Preview | None:
        """Return what is shown of an output, None if it cannot be opened."""
        if self._saved is None:
            self._saved = self.read()
        content = _content(self.refs[id])
        found = self._saved.get(id, {})
        if content and found.get("content") == content:
            self._shown[id] = found
            return Preview(**found["preview"])
        table = self.table(id)
        if table is None:
            return None
        preview = preview_of(table)
        if content and self._may_be_kept(preview):
            self._shown[id] = {"content": content, "preview": asdict(preview)}
        return preview

    def close(self) -> None:
        """Keep what was shown, if anything of it is new."""
        saved = self._saved or {}
        if not self._shown.items() <= saved.items():
            others = [(id, found) for id, found in saved.items() if id not in self._shown]
            with suppress(OSError):  # the next run opens the tables again
                self.write(dict([*others, *self._shown.items()][-_MOST:]))

    def _may_be_kept(self, preview: Preview) -> bool:
        texts = [text for text in chain(preview.names, *preview.cells) if isinstance(text, str)]
        values = [str(value) for value in chain(*preview.cells) if isinstance(value, float)]
        return all(len(text) <= _LONGEST and self.redact(text) == text for text in (*texts, *values))


def _content(ref: OutputRef) -> list[str]:
    """Return what the preview of an output depends on; [] where its table has no digest of its own."""
    digest = ref.digest or ""
    if not digest or (ref.path is None and ref.stored is None) or digest.startswith(DIGEST_OF_FILES):
        return []
    return [__version__, digest, ref.schema_digest or "", ref.schema]
