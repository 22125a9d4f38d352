"""Runs a pipeline file: `run_pipeline` is a function for any Python program, `run_prepared` for one that prepares it.

`run_setup.py` prepares the run before, `opened_cache.py` opens its cache, and `prepared_run.py` puts it together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from nfrun.code.folder_code import FolderCode
from nfrun.code.module_space import FolderModules
from nfrun.core.values import replace
from nfrun.engine.attempt_context import Importer
from nfrun.engine.event_dispatch import Reporter
from nfrun.engine.executors.registry import CLUSTERS
from nfrun.engine.placement import place_nodes
from nfrun.engine.runner import Run
from nfrun.history.cache.run_cache import RunCache
from nfrun.nodes.folders import folders_of
from nfrun.pipeline_file.budgets import with_memory_here
from nfrun.session.opened_cache import open_cache, plan_of_run
from nfrun.session.options import RunOptions
from nfrun.session.prepared_run import Around, BuildReporters, Caller, PreparedRun, RunResult
from nfrun.session.run_setup import RunSetup, set_up_run
from nfrun.system.std_streams import Messages

if TYPE_CHECKING:
    from nfrun.cluster.base import Cluster
    from nfrun.engine.executors.base import Placement
    from nfrun.session.run_page import RunPage


def run_pipeline(options: RunOptions, reporters: Iterable[Reporter] = (), around: Around = nullcontext) -> RunResult:
    """Run a pipeline file, on any thread, beside other runs in this process, and return its result.

    Events go to the `reporters` and to the file of `options.events`. The options `json`, `color`, `quiet` and `verbose`
    are those of the command's reports: they do nothing here. Nodes run inside of `around(run)`: a program can keep
    `run`, and call its `cancel` from any thread. On the main thread, `lambda run: cancel_on_signals(run.cancel)`
    cancels the run on Ctrl-C. A node that fails is no error of this function. Raises UsageError, SpecError,
    SelectionError, WorkDirLocked, HandoffError and OSError.

    Nothing of the process changes for good, but for an audit hook, which Python cannot remove: it does nothing while no
    run is under way. While runs are under way, and until a print after the end of detached
    nodes, `sys.stdout` and `sys.stderr` route what nodes print to the logs of their runs (see `capture_prints`, also
    for its limits). The user's modules are in `sys.modules` under other names (see `ModuleSpace`, also for its limits).
    Python nodes on threads see the `env` of the file only in `context.env`; scripts and worker processes have it in
    their environment. The fork server of the workers stays until the process ends. No worker imports the main module of
    the program, which may be a notebook or have no `if __name__ == "__main__"`. Nodes that use state that all nodes of
    a process share run in workers, unless the file or `options.executor` says `thread`: what the program has seeded
    does not reach them.
    """
    with set_up_run(options, Messages()) as setup:
        return run_in_program(setup, lambda *parts: reporters, around)


def run_in_program(
    setup: RunSetup, build_reporters: BuildReporters, around: Around, *, takes_tables: bool = True
) -> RunResult:
    """Run a prepared pipeline as `run_pipeline` does, and return its result. The other arguments are of `Caller`."""
    from nfrun.system.logs.print_capture import capture_prints

    @contextmanager
    def capturing(run: Run) -> Iterator[None]:
        with capture_prints(has_detached=lambda: run.detached > 0), around(run):
            yield

    return run_prepared(setup, Caller(build_reporters, capturing, in_program=True, takes_tables=takes_tables))


def run_prepared(setup: RunSetup, caller: Caller) -> RunResult:
    """Run a prepared pipeline for a caller, and return its result."""
    page = _page(setup)
    base, folders = Path(setup.pipeline.folder), folders_of(setup.pipeline.nodes.values())
    with FolderModules(base, folders, shares_process=caller.in_program) as modules, open_cache(setup) as cache:
        if cache is not None and caller.in_program:
            cache.is_in_program()
        setup = replace(setup, plan=plan_of_run(setup, cache))
        placement = _placement(setup, cache)
        setup = _with_memory_here(setup, placement)
        with _cluster(setup, placement) as cluster:
            result = PreparedRun(setup, caller, _importer(setup, modules), cache, placement, cluster).go()
    cause = page and page.write()
    return (
        replace(result, stopped_reporters={**result.stopped_reporters, page.name: cause}) if page and cause else result
    )


def _page(setup: RunSetup) -> RunPage | None:
    if setup.options.report is None:
        return None
    from nfrun.session.run_page import RunPage

    return RunPage(setup, setup.options.report)


def _importer(setup: RunSetup, modules: FolderModules) -> Importer:
    """Return what imports modules for the nodes in a folder: also that of the functions which a program gives."""
    functions = setup.program and setup.program.built and setup.program.built.functions
    if not functions:
        return modules.importer
    from nfrun.code.program_functions import program_module

    given = program_module(functions)

    def importer(folder: str) -> Callable[[str], ModuleType] | None:
        load = modules.importer(folder) or import_module
        return (lambda name: given if name == given.__name__ else load(name)) if not folder else load

    return importer


def _placement(setup: RunSetup, cache: RunCache | None) -> Placement:
    """Return where the nodes run."""
    options, pipeline = setup.options, setup.pipeline
    code, reused = (cache.code, cache.reused_nodes) if cache else (FolderCode(Path(pipeline.folder)), ())
    variables, retained = setup.thread_variables, setup.plan.retained
    return place_nodes(pipeline, options.executor, setup.recorded, code, reused, variables, retained)


def _with_memory_here(setup: RunSetup, placement: Placement) -> RunSetup:
    """Let nodes that are on no cluster take of the memory of this machine. Raises SpecError if one takes more."""
    if setup.options.executor not in CLUSTERS:
        return setup
    here = [name for name in setup.plan.nodes if placement.executors.get(name) not in CLUSTERS]
    pipeline, plan = with_memory_here(setup.pipeline, here), setup.plan
    amounts = {name: budget.amount for name, budget in pipeline.budgets.items() if name in plan.budget}
    plan = replace(plan, budget={**plan.budget, **amounts}, budgets=pipeline.budgets)
    return replace(setup, pipeline=pipeline, plan=plan)


@contextmanager
def _cluster(setup: RunSetup, placement: Placement) -> Iterator[Cluster | None]:
    if setup.options.executor not in CLUSTERS:
        yield None
        return
    from nfrun.session.cluster_run import open_cluster

    with open_cluster(setup, placement) as cluster:
        yield cluster
