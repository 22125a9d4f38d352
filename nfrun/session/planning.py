"""Plans a pipeline: reads it, selects nodes, and finds out which of them would run, and why."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from nfrun.core.errors import one_line
from nfrun.core.pipeline import Pipeline
from nfrun.core.plan import Plan, plan_of, selected_plan
from nfrun.core.values import frozen
from nfrun.engine.node_stats import node_stats
from nfrun.history.database import TIMINGS, Database
from nfrun.history.work_dir import WorkDir
from nfrun.pipeline_file.missing import warnings_of
from nfrun.reports.plan_view import REUSE_FORMATS, plan_view
from nfrun.session.options import PlanOptions, slots_of
from nfrun.session.run_setup import NO_DATE, known_checks, resolve_options
from nfrun.session.selection import selection_of
from nfrun.system.std_streams import Messages

if TYPE_CHECKING:
    from nfrun.history.cache.reuse_decision import ReuseDecision
    from nfrun.session.run import Program


@frozen
class Planned:
    """A planned pipeline: its plan, of the selected nodes, and the seconds that nodes took in earlier runs.

    `decisions` says which nodes would run, and why. It is None where that is not asked for, or not known.
    """

    pipeline: Pipeline
    plan: Plan
    recorded: Mapping[str, float]
    decisions: Mapping[str, ReuseDecision] | None

    def text(self, format: str = "text", *, verbose: bool = False) -> str:
        """Return the plan as `nfrun plan` shows it."""
        return plan_view(self.pipeline, self.plan, format, self.recorded, self.decisions, verbose=verbose)


def plan_pipeline(options: PlanOptions, messages: Messages, program: Program | None = None) -> Planned:
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
        plan = plan_of(pipeline, slots=slots_of(options.slots, pipeline), estimated_durations=recorded)
        decisions = None
        if shows_reuse:
            from nfrun.history.cache.run_cache import forecast

            more = {"force": selection.force, "verify": options.verify, "selected": selection.nodes}
            decisions = forecast(pipeline, plan, database, messages.warn, **more)
    if selection.nodes is not None:
        plan = selected_plan(plan, selection.nodes)
    return Planned(pipeline, plan, recorded, decisions)
