"""Decides whether a stream gets colours, and makes its rich console."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

from nfrun.reports.plain_console import PlainConsole

if TYPE_CHECKING:
    from rich.console import Console


def is_plain(stream: IO[str], color: str) -> bool:
    """Whether lines and tables are printed to the stream without rich: it is no terminal, and gets no colours."""
    encoding = getattr(stream, "encoding", "") or "utf-8"  # rich has lines of ASCII for others
    return not stream.isatty() and color != "always" and encoding.lower().startswith("utf")


def console_on(stream: IO[str], color: str) -> Console | PlainConsole:
    """Return the console of a stream. The first that is not plain imports rich, which takes a while."""
    if is_plain(stream, color):
        return PlainConsole(stream)
    from nfrun.reports.console import console

    return console(stream, colored=is_colored(stream, color))


def is_colored(stream: IO[str], color: str) -> bool:
    """Whether to use colours on a stream. FORCE_COLOR does not turn them on for a pipe."""
    supports_color = stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
    return color == "always" or (color == "auto" and supports_color)
