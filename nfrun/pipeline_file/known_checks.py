"""Keeps what the checks of a pipeline file have found in order, so that the next run need not check it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nfrun.code.function_lookup import KnownModules
from nfrun.core.values import field, mutable
from nfrun.system.checksums import text_checksum

_MOST = 200  # contents: those of the files that a pipeline includes, and of some edits


@mutable
class KnownChecks:
    """Contents that were checked and are in order: documents, and what the columns of pipelines depend on.

    `modules` are what modules bind. `is_new`: a content is among them that was not taken over from an earlier run.
    """

    modules: KnownModules = field(default_factory=KnownModules)
    digests: dict[str, None] = field(default_factory=dict)  # the latest last
    is_new: bool = False

    def has(self, content: str) -> bool:
        """Return whether this content is in order."""
        return text_checksum(content) in self.digests

    def keep(self, content: str) -> None:
        """Keep that this content is in order."""
        self.digests[text_checksum(content)] = None
        self.is_new = True

    def as_json(self) -> dict[str, Any]:
        """Return all as JSON, for `restore` in a later run of the same nfrun and Python."""
        return {"digests": [*self.digests][-_MOST:], "modules": self.modules.as_json()}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over what `as_json` has returned."""
        self.digests.update(dict.fromkeys(saved.get("digests", ())))  # an older nfrun has saved others
        self.modules.restore(saved["modules"])
