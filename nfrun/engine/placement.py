"""Decides on which executor each node runs, from the option, the file and the statistics of earlier runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from nfrun.code.fingerprint import Fingerprints, FolderCode
from nfrun.core.events import GIL_WAIT_SECONDS
from nfrun.core.pipeline import NOTHING, NodeSpec, Pipeline
from nfrun.engine.executors.base import Placement
from nfrun.engine.executors.registry import CLUSTERS, DEFAULT_EXECUTOR, WORKER_PROCESSES
from nfrun.engine.node_stats import NodeStats
from nfrun.nodes.registry import kind_of
from nfrun.system.native_threads import arrow_threads, thread_variables

_GIL_WAIT_SHARE = 0.2  # of a node's duration: from this GIL wait on, a process is worth it


def place_nodes(
    pipeline: Pipeline,
    requested: str,
    recorded: NodeStats,
    code: FolderCode,
    reused: Collection[str] = (),
    added_variables: Mapping[str, str] = NOTHING,
    retained: Collection[str] = (),
) -> Placement:
    """Decide where the nodes run that are not `reused`.

    `requested` is the executor for all nodes, `auto`, or `file`: then each node's own `executor` counts, and `auto` if
    it has none. If it is a cluster, nodes that are about files of this machine, queries of such files, and nodes with
    `executor: thread` stay here.
    Nodes that are processes of their own or hand on what they read, and nodes of registered kinds, are never in worker
    processes. A node with its own number of threads is in one, unless it shall run on a thread.
    `added_variables` are those that nfrun adds to the environment of all nodes: they shall not make the thread pool of
    Arrow smaller. `retained` are the outputs whose tables the run keeps.
    """
    executors: dict[str, str] = {}
    worker_environ: dict[str, Mapping[str, str]] = {}
    exposed: dict[str, str] = {}
    may_share: dict[tuple[str, str, str], bool] = {}  # by kind, folder and body: many nodes may have the same function
    unshared: set[str] = set()
    for name, spec in pipeline.nodes.items():
        if name in reused:
            continue
        kind, its_code = kind_of(spec), code.of(spec.folder)
        made_by = spec.kind, spec.folder, spec.body
        if made_by not in may_share:
            may_share[made_by] = kind.code.may_share_memory(spec, its_code)
        if not may_share[made_by]:
            unshared.add(name)
        executor = _executor_of(spec, requested, recorded, its_code, has_zone="TZ" in pipeline.env)
        if executor in CLUSTERS and _queries_local_files(spec, pipeline):
            executor = DEFAULT_EXECUTOR
        if executor != DEFAULT_EXECUTOR:
            executors[name] = executor
        if (executor in WORKER_PROCESSES or executor in CLUSTERS) and _has_own_threads(spec):
            worker_environ[name] = thread_variables(spec.cpus, pipeline.env)
        used = kind.code.facts(spec, its_code).global_state if executor == DEFAULT_EXECUTOR else ()
        if used and not calls_on_loop(spec):
            exposed[name] = f"it uses {used[0].what} ({used[0].where}) on a thread, where all nodes share it"
    in_pool = arrow_threads(added_variables)
    in_files = _in_files(pipeline, reused, retained, executors)
    return Placement(executors, worker_environ, exposed, unshared, in_pool, in_files)


def _executor_of(spec: NodeSpec, requested: str, recorded: NodeStats, code: Fingerprints, *, has_zone: bool) -> str:
    """Return the executor of a node, see `place_nodes`. `has_zone`: the file has a time zone for all processes."""
    kind = kind_of(spec)
    if requested in CLUSTERS:
        stays = kind.outside.stays_here(spec) or spec.executor == DEFAULT_EXECUTOR
        return requested if not (stays or kind.outside.hands_on) else DEFAULT_EXECUTOR
    own = kind.runs.executors
    may_leave = not kind.outside.hands_on and not kind.runs.is_process  # a worker would write a copy
    in_worker = may_leave and any(name != DEFAULT_EXECUTOR for name in own)
    if DEFAULT_EXECUTOR not in own:
        return WORKER_PROCESSES[0]
    executor = (spec.executor if requested == "file" else requested) or "auto"
    if executor == "auto" and calls_on_loop(spec):
        return DEFAULT_EXECUTOR
    if executor == "auto":
        needs_process = in_worker and (
            _has_own_threads(spec)
            or bool(kind.code.facts(spec, code).global_state)
            or gains_from_process(spec.id, recorded)
            or (has_zone and bool(kind.code.facts(spec, code).local_time))  # threads of a program have another one
        )
        return WORKER_PROCESSES[0] if needs_process else DEFAULT_EXECUTOR
    return DEFAULT_EXECUTOR if executor in WORKER_PROCESSES and not in_worker else executor


def _queries_local_files(spec: NodeSpec, pipeline: Pipeline) -> bool:
    """Whether a node reads files of this machine itself, in place of the tables of the nodes that stand for them.

    On a worker it would get the tables, whose rows a query may give in another order.
    """
    if not kind_of(spec).runs.reads_source_files:
        return False
    left = [output.node for item in spec.inputs for output in item.outputs]
    while left:
        found = pipeline.nodes.get(left.pop())
        if found is not None and kind_of(found).outside.is_source(found):
            return True
        if found is not None and kind_of(found).outside.hands_on:
            left += [output.node for item in found.inputs for output in item.outputs]
    return False


def _has_own_threads(spec: NodeSpec) -> bool:
    """Whether native libraries have another number of threads in the node than in others."""
    return spec.cpus > 1 and kind_of(spec).runs.calls_code


def _in_files(
    pipeline: Pipeline, reused: Collection[str], retained: Collection[str], executors: Mapping[str, str]
) -> set[str]:
    """Return the nodes that read local files, for nothing but nodes that can read these files themselves."""
    found = {
        name
        for name, spec in pipeline.nodes.items()
        if kind_of(spec).outside.is_source(spec) and not spec.cache and not set(spec.output_ids) & set(retained)
    }
    for name, spec in (*pipeline.nodes.items(), *pipeline.last_nodes.items()):
        for item in spec.inputs if name not in reused else ():
            if not kind_of(spec).runs.reads_source_files or item.gather or executors.get(name) in CLUSTERS:
                found.difference_update(output.node for output in item.outputs)
    return found


def calls_on_loop(spec: NodeSpec) -> bool:
    """Whether the calls of a mapped node are coroutines: many of them wait on one event loop, which no process has."""
    return spec.map is not None and spec.map.form is not None and spec.map.form.is_async


def gains_from_process(name: str, recorded: NodeStats) -> bool:
    """Whether the node would be faster in a process, because its thread waited for the GIL.

    The wait must be at least `GIL_WAIT_SECONDS` and 20 % of the duration. A node that was not faster in a process,
    where its inputs and outputs are files, stays on a thread.
    """
    duration, gil_wait = recorded.thread.get(name, 0.0), recorded.gil_waits.get(name, 0.0)
    waits = gil_wait >= GIL_WAIT_SECONDS and gil_wait >= _GIL_WAIT_SHARE * duration
    return waits and recorded.process.get(name, 0.0) < duration
