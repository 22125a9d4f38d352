"""Plans a pipeline: reads it, selects nodes, and finds out which of them would run, and why."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from nfrun.core import plan as core
from nfrun.core.errors import one_line
from nfrun.core.pipeline import Pipeline
from nfrun.engine.node_stats import node_stats
from nfrun.history.database import TIMINGS, Database
from nfrun.history.work_dir import WorkDir
from nfrun.pipeline_file.missing import warnings_of
from nfrun.reports.plan_view import REUSE_FORMATS, as_json, plan_view
from nfrun.session.options import PlanOptions, slots_of
from nfrun.session.run_setup import NO_DATE, known_checks, resolve_options
from nfrun.session.selection import selection_of
from nfrun.system.std_streams import Messages

if TYPE_CHECKING:
    from nfrun.history.cache.reuse_decision import ReuseDecision
    from nfrun.session.run import Program


class Plan:
    """The plan of a run. `str` shows it as `nfrun plan` does; `warnings` are those of that command."""

    def __init__(
        self,
        pipeline: Pipeline,
        plan: core.Plan,
        recorded: Mapping[str, float],
        decisions: Mapping[str, ReuseDecision] | None,
    ) -> None:
        """Take the plan of the selected nodes, and the seconds that nodes took in earlier runs.

        `decisions` says which nodes would run, and why. It is None where that is not asked for.
        """
        self._pipeline, self._plan, self._recorded, self.decisions = pipeline, plan, recorded, decisions
        self.warnings: tuple[str, ...] = ()

    @property
    def runs(self) -> tuple[str, ...]:
        """The ids of the nodes that would run, in the order of the file. All of them if no reason was looked for."""
        names, decisions = [name for name in self._pipeline.nodes if name in self._plan.nodes], self.decisions or {}
        return tuple(name for name in names if name not in decisions or not decisions[name].hit)

    def text(self, format: str = "text", *, verbose: bool = False) -> str:
        """Return the plan in one of the formats of `nfrun plan`."""
        return plan_view(self._pipeline, self._plan, format, self._recorded, self.decisions, verbose=verbose)

    def to_dict(self) -> dict[str, Any]:
        """Return the document of `nfrun plan --format json`."""
        return dict(as_json(self._pipeline, self._plan, self.decisions))

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<plan of {self._pipeline.name}: {len(self.runs)} of {len(self._plan.nodes)} nodes would run>"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(str(self))}</pre>"


def plan_pipeline(options: PlanOptions, messages: Messages, program: Program | None = None) -> Plan:
    """Plan a pipeline, and find out which nodes would run if `options.format` shows it. Nothing runs or is written.

    What killed runs left in the work folder is removed. `program` is what only a program gives. Secrets are redacted
    in `messages` as soon as they are known. Raises SpecError, UsageError, SelectionError and OSError.
    """
    known = known_checks(options.pipeline, options.work)
    more: Any = {"given": options.given, "run_id": "plan", "to_run": False}
    pipeline = resolve_options(options, messages, known, program, **more).pipeline
    shows_reuse = not options.fresh and options.format in REUSE_FORMATS
    work = WorkDir.of_pipeline(pipeline, options.work)
    work.remove_left()
    selection = selection_of(options, pipeline, work)
    messages.warn_all(map(one_line, warnings_of(pipeline)))
    if options.date and not pipeline.date and shows_reuse:
        messages.warn(NO_DATE)
    with closing(Database(work)) as database:
        recorded = node_stats(database.kept(TIMINGS, work.pipeline_name(pipeline))[0]()).durations
        plan = core.plan_of(pipeline, slots=slots_of(options.slots, pipeline), estimated_durations=recorded)
        decisions = None
        if shows_reuse:
            from nfrun.history.cache.run_cache import forecast

            more = {"force": selection.force, "verify": options.verify, "selected": selection.nodes}
            decisions = forecast(pipeline, plan, database, messages.warn, **more)
    if selection.nodes is not None:
        plan = core.selected_plan(plan, selection.nodes)
    return Plan(pipeline, plan, recorded, decisions)
