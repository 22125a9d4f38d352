"""Opens the cluster on which a run places nodes: its workers, the place for outputs, and the code that travels."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.cluster.base import PER_WORKER, Cluster, Engine, is_private
from nfrun.cluster.code_archive import CodeFiles, find_code
from nfrun.cluster.preflight import preflight
from nfrun.cluster.wire import HostConfig, to_text
from nfrun.code.fingerprint import FolderCode
from nfrun.core.contracts import EVIDENCE
from nfrun.core.pipeline import WORK_DIR, NodeSpec, Pipeline
from nfrun.core.values import replace
from nfrun.engine.executors.base import Placement
from nfrun.engine.executors.registry import CLUSTERS
from nfrun.engine.node_stats import NodeStats
from nfrun.engine.placement import place_nodes
from nfrun.history.work_dir import LOGS, is_ours
from nfrun.nodes.folders import folder_of, folders_of
from nfrun.nodes.registry import kind_of
from nfrun.session.cluster_options import STORE, check_cluster, cluster_address, cluster_store
from nfrun.session.options import ValidateOptions, slots_of
from nfrun.system.atomic_files import remove
from nfrun.system.native_threads import given_thread_variables
from nfrun.system.runtime import available_memory, cores
from nfrun.system.time_zone import zone_variable
from nfrun.tables.places.folder import Place, open_place

if TYPE_CHECKING:
    from nfrun.session.run import Run


@contextmanager
def open_cluster(run: Run, placement: Placement) -> Iterator[Cluster | None]:
    """Connect to the cluster, ask its workers, and put the code there. None if no node is placed on it.

    Raises ClusterError and PlaceError.
    """
    where, pipeline = run.where, run.pipeline
    placed = [spec for name, spec in pipeline.nodes.items() if placement.executors.get(name) in CLUSTERS]
    if not placed:
        yield None
        return
    place = open_place(run.started.store)
    address = cluster_address(where.address, os.environ)
    config, secret = _config(run, placement, place, _modules(placed)), _with_secrets(run, placed)
    with closing(_engine(address, config.run, slots_of(where.slots, pipeline), pipeline)) as engine:
        cluster = Cluster(
            engine,
            _with_code(config, _code(pipeline, run.work.path, place), pipeline, place),
            place,
            uses_all=where.slots is None and pipeline.jobs is None,
            warn=run.messages.warn,
            has_secrets=bool(secret),
            tell=run.messages,
        )
        run.messages.warn_all(_ask_a_worker(cluster, address, secret))
        yield cluster


def validate_on_cluster(options: ValidateOptions, pipelines: Sequence[Pipeline]) -> tuple[str, list[str]]:
    """Ask the workers whether they can run the pipelines. Returns a line about them, and warnings.

    Raises UsageError, ClusterError and PlaceError.
    """
    check_cluster(options)
    address = cluster_address(options.address, os.environ)
    files = [one for pipeline in pipelines for one in (pipeline, *_included(pipeline))]
    place = open_place(cluster_store(options.store, os.environ, address, Path(files[0].folder, WORK_DIR, STORE)))
    placed: list[NodeSpec] = []
    for one in files:
        code = _code(one, Path(one.folder, WORK_DIR), place)  # which refuses what is too large
        executors = place_nodes(one, CLUSTERS[0], NodeStats({}, {}, {}, {}), FolderCode(Path(one.folder))).executors
        placed += [spec for name, spec in one.nodes.items() if executors.get(name) in CLUSTERS]
    run = f"validate-{os.urandom(6).hex()}"
    with closing(_engine(address, run, cores(), files[0])) as engine:
        config = HostConfig(
            run, run, replace(_shared(one), env={}, redacted_env={}), place.uri, modules=_modules(placed)
        )
        # A run looks for secrets itself, by their values.
        warnings = _ask_a_worker(Cluster(engine, _with_code(config, code, one, place), place), address, ())
        workers = engine.workers()
    threads = sum(worker.threads for worker in workers)
    many = "" if len(workers) == 1 else "s"
    return f"{address or 'a cluster on this machine'}: ok, {len(workers)} worker{many}, {threads} threads", warnings


def _included(pipeline: Pipeline) -> Iterator[Pipeline]:
    for other in pipeline.included.values():
        yield other
        yield from _included(other)


def _engine(address: str, run: str, slots: int, pipeline: Pipeline) -> Engine:
    """Connect to a cluster. One of the run's own has what this machine has, and what the file says that it has."""
    from nfrun.cluster.dask_engine import DaskEngine  # it imports Dask

    here = {name: budget.amount for name, budget in pipeline.budgets.items() if name in PER_WORKER}
    return DaskEngine(address, run, {"memory": available_memory(), **here, "cpu": slots})


def _ask_a_worker(cluster: Cluster, address: str, secret: Iterable[str]) -> list[str]:
    """Ask a worker whether it can run the nodes that are placed on the cluster. Returns warnings.

    `secret` are the parts of the pipeline with secrets that travel. Raises ClusterError.
    """
    versions = {"python": platform.python_version(), "pyarrow": version("pyarrow")}
    told = _told_in_the_open(secret, [address, *(worker.address for worker in cluster.engine.workers())])
    return preflight(cluster, versions, told)


def _config(run: Run, placement: Placement, place: Place, modules: tuple[str, ...]) -> HostConfig:
    pipeline = run.pipeline
    return HostConfig(
        run=f"{run.started.run}-{os.urandom(6).hex()}",
        run_id=run.started.run,
        pipeline=_shared(pipeline),
        store=place.uri,
        environ={
            **zone_variable(os.environ),
            **given_thread_variables(os.environ),
            **run.thread_variables,
            **pipeline.env,
        },
        started=run.started.at,
        folders=folders_of(pipeline.nodes.values()),
        fsync=run.kept.fsync,
        arrow_on_all_cores=placement.arrow_threads > 0,
        grace=run.where.grace,
        logs=str(run.folder / LOGS),
        evidence=str(run.folder / EVIDENCE),
        modules=modules,
    )


def _shared(pipeline: Pipeline) -> Pipeline:
    """Return what attempts need of the pipeline beside their node. It travels with each of them."""
    return Pipeline(
        pipeline.file,
        pipeline.folder,
        pipeline.name,
        description="",
        params={},
        env=pipeline.env,
        nodes={},
        outputs=pipeline.outputs if pipeline.names_outputs else {},
        redacted_env=pipeline.redacted_env,
        names_outputs=pipeline.names_outputs,
        budgets=pipeline.budgets,
    )


def _with_code(config: HostConfig, code: CodeFiles, pipeline: Pipeline, place: Place) -> HostConfig:
    """Put the archive with the code into the store, unless it is there. Raises ClusterError and PlaceError."""
    folder = place.fresh_folder()
    try:
        name = code.pack(folder / "code.zip")
        if place.size(name) is None:
            place.put(folder / "code.zip", name)
    finally:
        remove(folder, ignore_errors=True)
    return replace(config, code=name, base=os.path.relpath(_base(pipeline), code.root), root=str(code.root))


def _base(pipeline: Pipeline) -> Path:
    return Path(pipeline.folder).absolute()


def _code(pipeline: Pipeline, work: Path, place: Place) -> CodeFiles:
    """Return the files that travel to workers. Raises ClusterError."""
    base = _base(pipeline)
    folders = [base, *dict.fromkeys(folder_of(spec, base) for spec in pipeline.nodes.values() if spec.folder)]
    # The store has folders of other work folders, too, unless it is around the project.
    around = [path.parent for path in place.kept if not base.is_relative_to(path.parent)]
    return find_code(folders, [work, *place.kept, *around], is_left_out=is_ours)


def _modules(placed: list[NodeSpec]) -> tuple[str, ...]:
    """Return the installed modules without which the nodes cannot run."""
    return tuple(dict.fromkeys(module for spec in placed for module in kind_of(spec).code.needed_modules))


def _with_secrets(run: Run, placed: list[NodeSpec]) -> list[str]:
    """Return the parts of the pipeline that hold secrets and are sent to workers."""
    found = ["'env' of the file"] if run.pipeline.redacted_env else []
    for spec in placed:
        text = to_text(spec)
        if spec.redacted_env or run.redactor(text) != text:
            found.append(f"node '{spec.id}'")
    return found


def _told_in_the_open(secret: Iterable[str], addresses: Iterable[str]) -> tuple[str, ...]:
    """Return a problem for each part with secrets, if an address is on another machine and not encrypted."""
    far = next((address for address in addresses if not is_private(address)), "")
    why = f"and {far} sends what it gets as plain text: use TLS (tls://)"
    return tuple(f"{who} has a secret, {why}" for who in secret) if far else ()
