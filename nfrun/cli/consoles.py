"""Decides whether a stream gets colours, and makes its rich console."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console_on(stream: IO[str], color: str) -> Console:
    """Return the rich console of a stream. The first call imports rich, which takes a while."""
    from nfrun.reports.console import console

    return console(stream, colored=is_colored(stream, color))


def is_colored(stream: IO[str], color: str) -> bool:
    """Whether to use colours on a stream. FORCE_COLOR does not turn them on for a pipe."""
    supports_color = stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
    return color == "always" or (color == "auto" and supports_color)
