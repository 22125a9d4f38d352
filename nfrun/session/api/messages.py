"""Collects the messages of a run in a Python program, and logs them."""

from __future__ import annotations

import logging

from nfrun.core.text import escape_controls
from nfrun.system.std_streams import Messages

_LOGGER = "nfrun"


class ProgramMessages(Messages):
    """Logs messages with the logger `nfrun`, as warnings. Secrets are redacted. `warnings` has those so far."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []

    def __call__(self, text: str, end: str = "\n") -> str:
        """Log a message. Returns it as it is shown."""
        shown = escape_controls(self.redact(text)).removeprefix("nfrun: ")
        logging.getLogger(_LOGGER).warning("%s", shown)
        return shown

    def warn(self, text: str) -> None:
        """Log a warning and keep it."""
        self.warnings.append(self(f"nfrun: warning: {text}").removeprefix("warning: "))
