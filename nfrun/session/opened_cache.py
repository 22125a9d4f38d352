"""Opens the cache of a run, and finds out which nodes take part in the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nfrun.core.errors import ClusterError, SelectionError, SpecError
from nfrun.core.plan import SCHEDULES, Plan
from nfrun.core.text import shortened
from nfrun.history.cache.run_cache import RunCache
from nfrun.history.cache.selected_inputs import plan_without_results
from nfrun.session.run_setup import RunSetup
from nfrun.tables.handoffs import PERSISTENT_HANDOFFS


@contextmanager
def open_cache(setup: RunSetup) -> Iterator[RunCache | None]:
    """Open the cache of the run; None if its handoff leaves no files for a later run.

    Raises OSError and SelectionError.
    """
    options = setup.options
    if options.handoff not in PERSISTENT_HANDOFFS:
        if ignored := [name for name, spec in setup.pipeline.nodes.items() if spec.cache]:
            what = "node '{}' says" if len(ignored) == 1 else "nodes {} say"
            what = what.format(shortened(ignored, 4))
            setup.messages.warn(f"{what} 'cache: true', but --handoff {options.handoff} keeps nothing")
        yield None
        return
    with _without_folder(setup.folder):
        cache = RunCache(
            setup.pipeline,
            setup.plan,
            setup.work,
            setup.folder,
            setup.started,
            fresh=options.fresh,
            force=setup.selection.force,
            keep=options.keep,
            budget=setup.budget,
            fsync=options.fsync,
            verify=options.verify,
            warn=setup.messages.warn,
            redact=setup.redactor,
            selected=setup.selection.nodes,
        )
    try:
        yield cache
    except _refusals():  # before any node runs
        cache.forget()
        raise
    finally:
        cache.close()


def plan_of_run(setup: RunSetup, cache: RunCache | None) -> Plan:
    """Return the plan of the nodes that take part in the run. Raises SelectionError."""
    options, plan, selected = setup.options, cache.plan if cache else setup.plan, setup.selection.nodes
    if cache is None and selected is not None:
        why = f"--handoff {options.handoff} uses no results of earlier runs"
        with _without_folder(setup.folder):
            plan = plan_without_results(setup.pipeline, plan, selected, why)
    return SCHEDULES[options.schedule](plan)


def _refusals() -> tuple[type[Exception], ...]:
    """Return the errors by which a run is refused: by a cluster, its place, or what this machine lacks for a node."""
    from nfrun.tables.places.base import PlaceError  # few runs have a place

    return ClusterError, PlaceError, SpecError


@contextmanager
def _without_folder(folder: Path) -> Iterator[None]:
    """Remove the folder of a run, which is empty, if the selected nodes cannot run."""
    try:
        yield
    except SelectionError:
        with suppress(OSError):
            folder.rmdir()
        raise
