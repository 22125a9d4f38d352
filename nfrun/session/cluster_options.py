"""Checks the options of clusters, and finds the scheduler and the place for outputs that they name.

This is before a run begins: nothing here imports Arrow, unless the cluster is one of this machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from nfrun.core.errors import UsageError
from nfrun.history.work_dir import WorkDir
from nfrun.session.options import ValidateOptions, Where, given_or_set, parse_address, parse_store

STORE = "store"  # the folder for outputs in the work folder, if nothing else is said


def check_cluster(options: Where | ValidateOptions, handoff: str = "") -> None:
    """Check what can be checked of a cluster before a run. Raises UsageError."""
    if find_spec("distributed") is None:
        raise UsageError("Dask is not installed: install it with: pip install 'distributed>=2024.1'", "--executor")
    if handoff == "json":
        raise UsageError("--handoff json is there to compare on one machine, and not for a cluster", "--handoff")
    cluster_store(options.store, os.environ, cluster_address(options.address, os.environ), Path())


def store_of_run(where: Where, work: WorkDir) -> str:
    """Return the address of the place into which workers of a cluster put outputs.

    Raises UsageError, PlaceError and OSError.
    """
    from nfrun.tables.places.base import path_of
    from nfrun.tables.places.folder import open_place

    default = work.path / STORE
    store = cluster_store(where.store, os.environ, cluster_address(where.address, os.environ), default)
    place = open_place(work.store_address(store))
    path = Path(os.path.realpath(path_of(place.uri) or "/"))
    if path.is_relative_to(os.path.realpath(work.path)) and not path.is_relative_to(os.path.realpath(default)):
        what = f"the store {store} is in the work folder {work.path}, where nfrun keeps other files"
        raise UsageError(f"{what}: name a folder outside of it", "--store")
    return place.uri


def cluster_address(given: str | None, environ: Mapping[str, str]) -> str:
    """Return the address of the scheduler, "" for none. Raises UsageError."""
    return given_or_set(given, "NFRUN_ADDRESS", parse_address, environ) or ""


def cluster_store(given: str | None, environ: Mapping[str, str], address: str, default: Path) -> str:
    """Return the address of the place for outputs: `given`, or that of NFRUN_STORE.

    Without either it is the folder `default` for workers on this machine. For others, raises UsageError.
    """
    if (store := given_or_set(given, "NFRUN_STORE", parse_store, environ)) is not None:
        return store
    from nfrun.cluster.base import is_local  # few runs have a cluster

    if is_local(address):
        return str(default)
    what = f"the workers of {address} and this machine need a place for outputs that all of them see"
    raise UsageError(f"{what}: a shared folder, or s3://bucket/folder (or set NFRUN_STORE)", "--store")
