"""Keeps what the checks of a pipeline file have found in order, so that the next run need not check it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nfrun.code.known_modules import KnownModules
from nfrun.core.values import field, mutable
from nfrun.system.checksums import text_checksum

_MOST = 100  # documents: those of the files that a pipeline includes, and of some edits


@mutable
class KnownChecks:
    """Documents that the schema has accepted, pipelines whose columns are in order, and what modules bind.

    `is_new`: a document or a pipeline is among them that was not taken over from an earlier run.
    """

    modules: KnownModules = field(default_factory=KnownModules)
    documents: dict[str, None] = field(default_factory=dict)  # digests, the latest last
    columns: dict[str, None] = field(default_factory=dict)  # the same of pipelines
    is_new: bool = False

    def accepted(self, schema: str, root: Any) -> bool:
        """Return whether this schema has accepted the content of a document."""
        return _digest(schema, root) in self.documents

    def accept(self, schema: str, root: Any) -> None:
        """Keep that this schema has accepted the content of a document."""
        self.documents[_digest(schema, root)] = None
        self.is_new = True

    def has_columns(self, content: str) -> bool:
        """Return whether the columns of a pipeline are in order. `content` is what they depend on."""
        return text_checksum(content) in self.columns

    def keep_columns(self, content: str) -> None:
        """Keep that the columns of a pipeline are in order."""
        self.columns[text_checksum(content)] = None
        self.is_new = True

    def as_json(self) -> dict[str, Any]:
        """Return all as JSON, for `restore` in a later run of the same nfrun and Python."""
        documents, columns = [*self.documents][-_MOST:], [*self.columns][-_MOST:]
        return {"documents": documents, "columns": columns, "modules": self.modules.as_json()}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over what `as_json` has returned."""
        self.documents.update(dict.fromkeys(saved["documents"]))
        self.columns.update(dict.fromkeys(saved.get("columns", ())))  # an older nfrun has saved none
        self.modules.restore(saved["modules"])


def _digest(schema: str, root: Any) -> str:
    # The content and not the text of the file: it is what the schema is about. JSON would not tell all values apart.
    return text_checksum(f"{schema} {root!r}")
