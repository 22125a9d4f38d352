"""Records the plan of a run, and on what it runs, for those who look back at it."""

from __future__ import annotations

import os
from contextlib import suppress

from nfrun.engine.executors.base import Placement
from nfrun.history.run_plan import Circumstances, write_run_plan
from nfrun.session.run_setup import RunSetup
from nfrun.system.runtime import available_memory, cores, process_began


def record_plan(setup: RunSetup, placement: Placement, *, in_program: bool) -> None:
    """Write the plan of a run into its folder. Without room for it the run goes on: no node depends on it."""
    options, system = setup.options, os.uname()
    on = Circumstances(
        began=setup.started.at if in_program else process_began(),
        slots=setup.plan.slots,
        executor=options.executor,
        schedule=options.schedule,
        keep_going=options.keep_going,
        cores=cores(),
        memory=available_memory(),
        platform=f"{system.sysname} {system.release} {system.machine}",
    )
    redact = setup.redactor if setup.redactor else None
    with suppress(OSError):
        write_run_plan(setup.folder, setup.pipeline, setup.plan, on, executors=placement.executors, redact=redact)
