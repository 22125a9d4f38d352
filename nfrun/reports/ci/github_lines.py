"""Prints the lines of a run for the log of a GitHub step: what a node printed stands in a group of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import IO

from nfrun.core.events import Event, NodeCancelled, NodeFailed, NodeFinished, NodeLogged, NodeRetrying
from nfrun.core.text import escape_controls
from nfrun.core.values import field, frozen
from nfrun.reports.ci.github_commands import harmless, line_of_node
from nfrun.reports.progress.plain_lines import PlainLines
from nfrun.reports.run_record import RunRecord

_ENDS = NodeFinished | NodeFailed | NodeRetrying | NodeCancelled  # of an attempt
_MOST_SECONDS = 60.0  # that a line of a node waits


@frozen
class _Printed:
    """What a node has printed, the first of it at `since`, in seconds since the start of the run."""

    since: float
    lines: list[str] = field(default_factory=list)


class GitHubLines(PlainLines):
    """Plain lines, but what an attempt prints comes when it has ended, in a group under the line that says so.

    So the lines of nodes that run at once are not mixed. Those of a node that runs on come after a minute, so that a
    job that is killed loses no more. They have no prefix, so that a `::warning` of a node reaches the runner.
    """

    def __init__(
        self,
        record: RunRecord,
        stream: IO[str],
        name: str,
        *,
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(record, stream, name, verbose=verbose, clock=clock)
        self._printed: dict[str, _Printed] = {}  # by node

    def event(self, event: Event) -> None:
        """Keep what a node prints, and add it with the line that ends the attempt."""
        if isinstance(event, NodeLogged):
            text = escape_controls(event.text).replace("\n", "\\n")
            self._printed.setdefault(event.node, _Printed(event.at)).lines.append(line_of_node(text))
        elif isinstance(event, _ENDS) and event.node in self._printed:
            self._add_group(event.node, event.at, self._line(event) or f"{event.node} cancelled")
        else:
            super().event(event)

    def tick(self) -> None:
        """Write what nodes have printed that run on, and how far they are."""
        now = self._clock() - self._began
        for node in [node for node, printed in self._printed.items() if now - printed.since >= _MOST_SECONDS]:
            self._add_group(node, now, f"{node} runs on")
        super().tick()

    def close(self) -> None:
        """Write what is left."""
        for node in list(self._printed):
            self._add_group(node, self._record.at, f"{node} has not ended")
        super().close()

    def _add_group(self, node: str, at: float, title: str) -> None:
        self.add(f"::group::{harmless(f'{at:.3f} s  {title}')}")
        for line in self._printed.pop(node).lines:
            self.add(line)
        self.add("::endgroup::")

    def _add(self, at: float, line: str) -> None:
        super()._add(at, harmless(line))
