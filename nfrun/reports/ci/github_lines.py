"""Prints the lines of a run for the log of a GitHub step: what a node printed stands in a group of its own."""

from __future__ import annotations

from typing import IO

from nfrun.core.events import Event, NodeCancelled, NodeFailed, NodeFinished, NodeLogged, NodeRetrying
from nfrun.core.text import escape_controls
from nfrun.reports.ci.github_commands import harmless, line_of_node
from nfrun.reports.progress.plain_lines import PlainLines
from nfrun.reports.run_record import RunRecord

_ENDS = NodeFinished | NodeFailed | NodeRetrying | NodeCancelled  # of an attempt


class GitHubLines(PlainLines):
    """Plain lines, but what an attempt prints comes when it has ended, in a group under the line that says so.

    So the lines of nodes that run at once are not mixed. They have no prefix: a `::warning` of a node reaches the
    runner (see `line_of_node`).
    """

    def __init__(self, record: RunRecord, stream: IO[str], name: str, *, verbose: bool = False) -> None:
        super().__init__(record, stream, name, verbose=verbose)
        self._printed: dict[str, list[str]] = {}  # by node

    def event(self, event: Event) -> None:
        """Keep what a node prints, and add it with the line that ends the attempt."""
        if isinstance(event, NodeLogged):
            self._printed.setdefault(event.node, []).append(
                line_of_node(escape_controls(event.text).replace("\n", "\\n"))
            )
            return
        if isinstance(event, _ENDS) and (printed := self._printed.pop(event.node, None)) is not None:
            self._add_group(event.at, self._line(event) or f"{event.node} cancelled", printed)
            return
        super().event(event)

    def close(self) -> None:
        """Write what is left."""
        for node, printed in self._printed.items():
            self._add_group(self._record.at, f"{node} has not ended", printed)
        super().close()

    def _add_group(self, at: float, title: str, printed: list[str]) -> None:
        for line in (f"::group::{harmless(f'{at:.3f} s  {title}')}", *printed, "::endgroup::"):
            self.add(line)

    def _add(self, at: float, line: str) -> None:
        super()._add(at, harmless(line))
