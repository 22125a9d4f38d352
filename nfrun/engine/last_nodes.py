"""Plans the nodes of `on_failure` and `finally`, which run when all others have ended, with the status of the run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Protocol

from nfrun.core.events import AllNodesEnded, Event, RunFinished
from nfrun.core.pipeline import NOTHING, Pipeline
from nfrun.core.plan import Plan, last_plan


class EndReport(Protocol):
    """The reporter that writes the document of the run to `path` when all nodes have ended, and sets `written`."""

    path: Path
    written: threading.Event

    def event(self, event: Event) -> None:
        """Take an event."""


class LastNodes:
    """The last nodes of a run. `variables` are environment variables for them, which are known when they start.

    They wait for the report for `grace` seconds at most.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        plan: Plan,
        emit: Callable[[Event], object],
        report: EndReport | None,
        grace: float,
    ) -> None:
        self._pipeline, self._plan, self._emit = pipeline, plan, emit
        self._report, self._grace = report, grace
        self.variables: dict[str, str] = {}

    def plans(self, end: RunFinished, failed: Collection[str], longest: Callable[[], float | None]) -> Iterator[Plan]:
        """Yield the plans that run one after the other, for a run that ended like this.

        `failed` are the nodes that failed. `longest()` returns the seconds that a node may take, None before a signal.
        """
        is_failure = end.status == "failed" and longest() is None
        on_failure = self._pipeline.on_failure if is_failure else NOTHING
        if not on_failure and not self._pipeline.finally_:
            return
        self.variables |= {
            "NFRUN_STATUS": end.status,
            "NFRUN_FAILED": " ".join(name for name in self._plan.nodes if name in failed),
        }
        self._emit(AllNodesEnded(end.at, end))
        if self._report is not None and self._report.written.wait(self._grace):  # not if the disk hangs
            self.variables["NFRUN_REPORT"] = str(self._report.path)
        for specs in (on_failure, self._pipeline.finally_):
            if specs:
                yield last_plan(specs.values(), self._plan, longest())
