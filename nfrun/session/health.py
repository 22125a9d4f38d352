"""Puts together what `nfrun doctor` checks: Python and its packages, the machine, a work folder, and reuse in it."""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path

import nfrun
from nfrun import __version__
from nfrun.core.errors import SpecError, UsageError
from nfrun.core.health import NOTE, OK, PROBLEM, HealthCheck
from nfrun.core.text import closest_match, format_count
from nfrun.session.option_fields import cache_budget, parse_slots

# What nodes use if it is there, and what lacks without it.
_OPTIONAL = {"duckdb": "'sql' nodes cannot run", "numpy": "", "pandas": "", "polars": "", "distributed": ""}
_REQUIREMENT = re.compile(r"([\w.-]+)\s*(?:\[[^]]*\])?\s*>=\s*([\d.]+)")
_VARIABLES = ("NFRUN_ADDRESS", "NFRUN_CACHE_SIZE", "NFRUN_DEBUG", "NFRUN_PROFILE", "NFRUN_STORE")
_PREFIX = "NFRUN_"
_OF_NODES = re.compile("NFRUN_(INPUT|OUTPUT|WITH|NODE|RUN|ATTEMPT|REPORT|STATUS|FAILED|PRELOAD)(_.*)?")
_CLOCK_SECONDS = 60.0  # by which a run may seem to begin in the future


def check_health(folder: Path, work: Path, pipeline: Path | None) -> Iterator[HealthCheck]:
    """Check everything that may make runs of pipelines in a folder slow, fail, or run what need not run.

    `work` is their work folder, which need not exist. With `pipeline`, its file, only its own runs are looked at for
    reuse. Raises OSError.
    """
    from nfrun.engine.executors.health import check_workers
    from nfrun.system import health as machine

    yield check_versions()
    yield from check_plugins()
    yield check_variables(os.environ)
    yield machine.check_bytecode()
    yield machine.check_imports([name for name in ("pyarrow", "duckdb") if find_spec(name)])
    yield machine.check_cores(parse_slots("auto"))
    yield machine.check_threads(os.environ)
    yield machine.check_memory()
    yield machine.check_limits()
    yield machine.check_processes()
    yield machine.check_temporary(os.environ)
    yield check_workers()
    there = next(path for path in (work, *work.parents) if path.is_dir())
    yield from machine.check_disk(there, "the work folder")
    yield from _check_work(folder, work, pipeline)


def _check_work(folder: Path, work: Path, pipeline: Path | None) -> Iterator[HealthCheck]:
    from nfrun.history.health import check_reuse, check_unseen, check_work_dir
    from nfrun.history.work_dir import WorkDir
    from nfrun.pipeline_file.schema import check_modeline

    there = WorkDir(work)
    if not there.is_used() and (work.is_dir() or not work.exists()):
        advice = "name a pipeline file, or --work DIR, if runs are kept elsewhere"
        yield HealthCheck("work folder", OK, f"{work}: no run was kept there yet", advice)
    else:
        checks = check_work_dir(there, _budget())
        yield from checks
        if all(check.about != "work folder" for check in checks):
            yield check_clock(there)
            yield from check_reuse(there, there.name_of_file(pipeline.absolute()) if pipeline else None)
    yield check_unseen(folder)
    if pipeline is not None:
        yield _check_file(pipeline)
        yield check_modeline(pipeline)


def _check_file(pipeline: Path) -> HealthCheck:
    from nfrun.pipeline_file.loader import read_pipeline

    try:
        found, _ = read_pipeline(pipeline)
    except SpecError as error:
        text = f"{pipeline.name} has {format_count(len(error.diagnostics), 'mistake')}: no run of it starts"
        return HealthCheck("pipeline file", PROBLEM, text, f"nfrun validate {shlex.quote(str(pipeline))}")
    return HealthCheck("pipeline file", OK, f"{pipeline.name}: {format_count(len(found.nodes), 'node')}")


def _budget() -> int | None:
    try:
        return cache_budget(None, os.environ)
    except UsageError:
        return None  # `check_variables` says so


def check_versions() -> HealthCheck:
    """Check whether the packages are there that nfrun requires."""
    found, missing, old = {"nfrun": __version__, "python": platform.python_version()}, [], []
    for line in _requirements():
        match = _REQUIREMENT.match(line)
        if match is None or ";" in line:  # of an extra
            continue
        name, least = match.groups()
        there = _version(name)
        if not there:
            missing.append(f"{name}>={least}")
        elif _numbers(there) < _numbers(least):
            old.append(f"{name}>={least}")
        found |= {name: there} if there and name == "pyarrow" else {}
    found |= {name: there for name in _OPTIONAL if (there := _version(name))}
    shown = [f"{name} {number}" for name, number in found.items() if name not in ("nfrun", "python")]
    text = f"nfrun {__version__}, Python {platform.python_version()} ({sys.executable}), {', '.join(shown)}"
    if missing or old:
        what = [f"{', '.join(names)} {words}" for names, words in ((missing, "is missing"), (old, "is older")) if names]
        names = " ".join(f"'{name}'" for name in (*missing, *old))
        advice = f"install what nfrun requires: {sys.executable} -m pip install {names}"
        return HealthCheck("versions", PROBLEM, f"{text}; {'; '.join(what)}", advice, {"versions": found})
    if not _version("nfrun"):
        where = Path(nfrun.__file__).parent.parent
        text += f"; nfrun is not installed, but found in {where}, so that what it requires cannot be checked"
        advice = f"{sys.executable} -m pip install {shlex.quote(str(where))}"
        return HealthCheck("versions", NOTE, text, advice, {"versions": found})
    lacks = [f"without {name} {why}" for name, why in _OPTIONAL.items() if why and name not in found]
    if lacks:
        advice = f"{sys.executable} -m pip install duckdb"
        return HealthCheck("versions", NOTE, f"{text}; {', '.join(lacks)}", advice, {"versions": found})
    return HealthCheck("versions", OK, text, "", {"versions": found})


def _requirements() -> Sequence[str]:
    """Return what nfrun requires; nothing where it is not installed, but found on a path."""
    try:
        return requires("nfrun") or ()
    except PackageNotFoundError:
        return ()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)[:3]]


def check_plugins() -> Iterator[HealthCheck]:
    """Check whether the kinds of node that installed packages have can be used. Yields nothing if there are none."""
    from nfrun.nodes.plugins import PluginError, installed_kinds, read_kind

    names = []
    for name, entries in installed_kinds().items():
        try:
            names.append(read_kind(name, entries).name)
        except PluginError as error:
            yield HealthCheck("plug-ins", PROBLEM, str(error), error.hint, {"kind": name})
    if names:
        yield HealthCheck("plug-ins", OK, ", ".join(names), "", {"kinds": names})


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
        close = closest_match(wrong.removeprefix(_PREFIX), [name.removeprefix(_PREFIX) for name in _VARIABLES])
        advice = f"did you mean {_PREFIX}{close}?" if close else f"there is {', '.join(_VARIABLES)}"
        return HealthCheck("variables", NOTE, f"{wrong} is set, and nfrun does not read it", advice, facts)
    return HealthCheck("variables", OK, text or "none of nfrun is set", "", facts)


def check_clock(work: object) -> HealthCheck:
    """Check whether the clock has been set back since the last run of a work folder."""
    from nfrun.history.work_dir import WorkDir
    from nfrun.lookback.run_reference import list_runs

    assert isinstance(work, WorkDir)
    newest = next((run.at for run in list_runs(work) if run.at is not None), None)
    ahead = 0.0 if newest is None else newest - time.time()
    if ahead > _CLOCK_SECONDS:
        text = f"the last run began {ahead / 60:,.0f} minutes after now: the clock was set back"
        advice = "set it by NTP: results are right, but files with times after now are read again in each run"
        return HealthCheck("clock of runs", NOTE, text, advice, {"ahead": round(ahead)})
    return HealthCheck("clock of runs", OK, "the last run began before now", "", {"ahead": round(min(ahead, 0.0))})
