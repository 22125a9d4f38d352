"""The plan of a pipeline: which nodes would run, and why."""

from __future__ import annotations

from typing import Any

from nfrun.session.planning import Planned


class Plan:
    """What a run would do. `str` shows it as `nfrun plan` does; `warnings` are those of that command."""

    def __init__(self, planned: Planned, warnings: tuple[str, ...]) -> None:
        self._planned = planned
        self.warnings = warnings

    @property
    def runs(self) -> tuple[str, ...]:
        """The ids of the nodes that would run, in the order of the file. All of them if no reason was looked for."""
        planned = self._planned
        decisions = planned.decisions or {}
        names = [name for name in planned.pipeline.nodes if name in planned.plan.nodes]
        return tuple(name for name in names if name not in decisions or not decisions[name].hit)

    def to_dict(self) -> dict[str, Any]:
        """Return the document of `nfrun plan --format json`."""
        from nfrun.reports.plan_view import as_json

        return dict(as_json(self._planned.pipeline, self._planned.plan, self._planned.decisions))

    def __str__(self) -> str:
        from nfrun.reports.plan_view import plan_view

        planned = self._planned
        return plan_view(planned.pipeline, planned.plan, "text", planned.recorded, planned.decisions)

    def __repr__(self) -> str:
        count, runs = len(self._planned.plan.nodes), len(self.runs)
        return f"<plan of {self._planned.pipeline.name}: {runs} of {count} nodes would run>"

    def _repr_html_(self) -> str:
        from nfrun.session.api.html import plan_html

        return plan_html(self._planned)
