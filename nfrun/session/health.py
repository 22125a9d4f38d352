"""Puts together what `nfrun doctor` checks: Python and its packages, the machine, a work folder, and reuse in it."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from nfrun import __version__
from nfrun.core.errors import UsageError
from nfrun.core.health import NOTE, OK, PROBLEM, HealthCheck
from nfrun.session.options import cache_budget, parse_slots

_PACKAGES = ("pyarrow", "duckdb", "numpy", "pandas", "polars", "distributed")
_VARIABLES = ("NFRUN_ADDRESS", "NFRUN_CACHE_SIZE", "NFRUN_DEBUG", "NFRUN_PROFILE", "NFRUN_STORE")
_PREFIX = "NFRUN_"
_OF_NODES = re.compile("NFRUN_(INPUT|OUTPUT|WITH|NODE|RUN|ATTEMPT|REPORT|STATUS|FAILED)(_.*)?")


def check_health(folder: Path, work: Path, pipeline: Path | None) -> Iterator[HealthCheck]:
    """Check everything that may make runs of pipelines in a folder slow, fail, or run what need not run.

    `work` is their work folder, which need not exist. With `pipeline`, its file, only its own runs are looked at for
    reuse. Raises OSError.
    """
    from nfrun.system import health as machine

    yield check_versions()
    yield check_variables(os.environ)
    yield machine.check_bytecode()
    yield machine.check_cores(parse_slots("auto"))
    yield machine.check_threads(os.environ)
    yield machine.check_memory()
    yield machine.check_limits()
    there = next(path for path in (work, *work.parents) if path.is_dir())
    yield machine.check_disk(there, "the work folder")
    yield from _check_work(folder, work, pipeline)


def _check_work(folder: Path, work: Path, pipeline: Path | None) -> Iterator[HealthCheck]:
    from nfrun.history.health import check_reuse, check_unseen, check_work_dir
    from nfrun.history.work_dir import WorkDir

    there = WorkDir(work)
    if not there.is_used() and (work.is_dir() or not work.exists()):
        advice = "name a pipeline file, or --work DIR, if runs are kept elsewhere"
        yield HealthCheck("work folder", OK, f"{work}: no run was kept there yet", advice)
    else:
        checks = check_work_dir(there, _budget())
        yield from checks
        if all(check.about != "work folder" for check in checks):
            yield from check_reuse(there, there.name_of_file(pipeline.absolute()) if pipeline else None)
    yield check_unseen(folder)


def _budget() -> int | None:
    try:
        return cache_budget(None, os.environ)
    except UsageError:
        return None  # `check_variables` says so


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def check_versions() -> HealthCheck:
    """Say which versions there are of nfrun, Python and packages that nodes use, and what lacks without one of them."""
    found = {name: there for name in _PACKAGES if (there := _version(name))}
    shown = "".join(f", {name} {number}" for name, number in found.items())
    text = f"nfrun {__version__}, Python {platform.python_version()} ({sys.executable}){shown}"
    facts = {"versions": {"nfrun": __version__, "python": platform.python_version(), **found}}
    if "duckdb" not in found:
        advice = f"{sys.executable} -m pip install duckdb"
        return HealthCheck("versions", NOTE, f"{text}; without duckdb 'sql' nodes cannot run", advice, facts)
    return HealthCheck("versions", OK, text, "", facts)


def check_variables(environ: Mapping[str, str]) -> HealthCheck:
    """Check the variables that nfrun reads, also those that only look like one."""
    given = [name for name in environ if name.startswith(_PREFIX) and not _OF_NODES.fullmatch(name)]
    text = ", ".join(f"{name}={environ[name]}" if name == "NFRUN_CACHE_SIZE" else name for name in given)
    facts = {"variables": given}
    try:
        cache_budget(None, environ)
    except UsageError as error:
        return HealthCheck("variables", PROBLEM, f"NFRUN_CACHE_SIZE: {error}", "mend it or unset it", facts)
    if wrong := next((name for name in given if name not in _VARIABLES), ""):
        advice = f"there is {', '.join(_VARIABLES)}"
        return HealthCheck("variables", NOTE, f"{wrong} is set, and nfrun does not read it", advice, facts)
    return HealthCheck("variables", OK, text or "none of nfrun is set", "", facts)
