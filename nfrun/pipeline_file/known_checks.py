"""Keeps what the checks of a pipeline file have found in order, so that the next run need not check it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nfrun.core.values import field, mutable
from nfrun.system.checksums import text_checksum

_MOST = 200  # contents: those of the files that a pipeline includes, and of some edits


@mutable
class KnownChecks:
    """Contents that were checked and are in order: documents, and what the columns of pipelines depend on.

    `modules` are what modules bind, as `FunctionLookup` keeps it.
    """

    modules: dict[str, Sequence[Any]] = field(default_factory=dict)
    digests: dict[str, None] = field(default_factory=dict)  # the latest last
    saved: Mapping[str, Any] = field(default_factory=lambda: {"digests": [], "modules": {}})  # by an earlier run

    @property
    def is_new(self) -> bool:
        """Whether there is something that no earlier run has saved."""
        return self.as_json() != self.saved

    def has(self, content: str) -> bool:
        """Return whether this content is in order."""
        return text_checksum(content) in self.digests

    def keep(self, content: str) -> None:
        """Keep that this content is in order."""
        self.digests[text_checksum(content)] = None

    def as_json(self) -> dict[str, Any]:
        """Return all as JSON, for `restore` in a later run of the same nfrun and Python."""
        return {"digests": [*self.digests][-_MOST:], "modules": dict(self.modules)}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over what `as_json` has returned."""
        self.saved = saved
        self.digests.update(dict.fromkeys(saved.get("digests", ())))  # an older nfrun has saved others
        self.modules.update(saved["modules"])
