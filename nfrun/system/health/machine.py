"""Checks cores, memory, limits on processes, and what Python and libraries read from the environment."""

from __future__ import annotations

import importlib.util
import os
import re
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from nfrun.core.health import NOTE, OK, PROBLEM, HealthCheck
from nfrun.core.text import format_count, format_seconds, format_size, shortened
from nfrun.system.cgroups import cpu_quota, memory_kills, memory_left, processes_left
from nfrun.system.native_threads import given_thread_variables
from nfrun.system.processes.exit_status import describe_exit
from nfrun.system.processes.prctl import find_prctl
from nfrun.system.runtime import allowed_cores, available_memory, cores, is_busy

_LITTLE_MEMORY = 1_000_000_000
_FEW_FILES = 1024
_FEW_PROCESSES = 64
_MOST_LISTED = 4
_IMPORT_SECONDS = 60.0
_TAKEN = re.compile(r"^imported (\S+) ([0-9.e-]+)$", re.MULTILINE)
_IMPORTER = """
import importlib, sys, time
for name in sys.argv[1:]:
    began = time.perf_counter()
    importlib.import_module(name)
    print(f"\\nimported {name} {time.perf_counter() - began}", flush=True)
"""
_SLOW_IMPORT = 3.0


def check_cores(slots: int) -> HealthCheck:
    """Check how many cores there are for this process, beside all that runs. `slots` is how many nodes run at once."""
    machine, allowed, quota = os.cpu_count() or 1, allowed_cores(), cpu_quota()
    load = os.getloadavg()[0]
    of = f" of {machine}" if machine != cores() else ""
    why = []
    if allowed < machine:
        why.append(f"this process may run on {allowed} (taskset, Slurm or a container's cpuset)")
    if quota is not None and quota < allowed:
        why.append(f"its control group may use the time of {quota:g} (docker --cpus, a CPU limit of Kubernetes)")
    text = f"{format_count(cores(), 'core')}{of}, {format_count(slots, 'node')} at once; the load is {load:.1f}"
    text = "; ".join([text, *why])
    facts = {"cores": cores(), "machine": machine, "allowed": allowed, "quota": quota, "load": round(load, 2)}
    if is_busy():
        advice = "other programs use the cores, and nodes wait for them: look with 'top'"
        return HealthCheck("cores", NOTE, text, advice, facts)
    return HealthCheck("cores", OK, text, "", facts)


def check_memory(meminfo: Path = Path("/proc/meminfo")) -> HealthCheck:
    """Check how much memory there is, and whether the system has ended processes for lack of it."""
    total, kills = available_memory(), memory_kills()
    free = min([left for left in (_free_memory(meminfo), memory_left()) if left is not None], default=None)
    facts = {"bytes": total, "free": free, "kills": kills}
    text = format_size(total)
    if free is not None:
        text += f", {format_size(free)} free"
    if kills:
        text += f"; the system has ended a process here because memory ran out ({kills:,} so far)"
        advice = "give the container more memory, or let fewer nodes run at once: -j, 'resources: {memory: …}'"
        return HealthCheck("memory", NOTE, text, advice, facts)
    if free is not None and free < _LITTLE_MEMORY:
        advice = "end other programs, or let fewer nodes run at once: -j, 'resources: {memory: …}'"
        return HealthCheck("memory", NOTE, text, advice, facts)
    return HealthCheck("memory", OK, text, "", facts)


def _free_memory(meminfo: Path) -> int | None:
    """Return how much memory programs can still have without swapping; None where the system does not tell."""
    with suppress(OSError, ValueError, LookupError):
        found = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(found["MemAvailable"].split()[0]) * 1024
    return None


def check_limits() -> HealthCheck:
    """Check how many files and processes there may be."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    left = processes_left()
    endless = files == resource.RLIM_INFINITY
    text = f"{'any number of' if endless else f'{files:,}'} open files"
    text += "" if left is None else f", {left:,} more processes and threads"
    facts = {"files": None if endless else files, "processes": left}
    if left is not None and left < _FEW_PROCESSES:
        advice = "raise the limit of the container on processes (docker --pids-limit): workers and threads need them"
        return HealthCheck("limits", PROBLEM, text, advice, facts)
    if not endless and files < _FEW_FILES:
        advice = f"'ulimit -n {_FEW_FILES if most == resource.RLIM_INFINITY else min(most, _FEW_FILES)}' allows more"
        return HealthCheck("limits", NOTE, text, advice, facts)
    return HealthCheck("limits", OK, text, "", facts)


def check_processes() -> HealthCheck:
    """Check whether the processes of a run can be kept together, so that none outlives it."""
    if not sys.platform.startswith("linux"):
        text, advice = "this is not Linux: children of nodes that leave their process group outlive a killed run", ""
        return HealthCheck("processes", NOTE, text, advice, {"kept_together": False})
    prctl = find_prctl()
    if prctl is None:
        text = "the system call prctl is not to be had: children of nodes may outlive a killed run"
        return HealthCheck("processes", NOTE, text, "allow it, as in the seccomp profile", {"kept_together": False})
    return HealthCheck("processes", OK, "none outlives its run", "", {"kept_together": True})


def check_imports(packages: Sequence[str]) -> HealthCheck:
    """Import packages in a Python of their own, one after the other, and say how long each takes."""
    end, told, wrong = _import(packages)
    taken = {name: float(seconds) for name, seconds in _TAKEN.findall(told)}  # packages may print, too
    text = ", ".join(f"{name} in {format_seconds(seconds)}" for name, seconds in taken.items())
    facts = {"seconds": {name: round(seconds, 4) for name, seconds in taken.items()}}
    if len(taken) < len(packages):
        broken = packages[len(taken)]
        advice = f"install it again: {sys.executable} -m pip install --force-reinstall {broken}"
        text = f"{broken} cannot be imported: {(wrong.strip().splitlines() or [end])[-1]}"
        return HealthCheck("imports", PROBLEM, text, advice, facts)
    if sum(taken.values()) < _SLOW_IMPORT or is_busy():
        return HealthCheck("imports", OK, text, "", facts)
    advice = "each start takes that long: is Python on a network file system, or does a virus scanner read it?"
    return HealthCheck("imports", NOTE, text, advice, facts)


def _import(packages: Sequence[str]) -> tuple[str, str, str]:
    """Import packages in a new Python. Returns how it ended, and what it printed on stdout and stderr."""
    command = [sys.executable, "-P", "-c", _IMPORTER, *packages]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_IMPORT_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        return f"it takes more than {_IMPORT_SECONDS:g} s", (error.stdout or b"").decode(errors="replace"), ""
    return describe_exit(done.returncode), done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def check_threads(environ: Mapping[str, str]) -> HealthCheck:
    """Check whether variables let native libraries start more threads than cores, in every node at once."""
    given = given_thread_variables(environ)
    many = {name: value for name, value in given.items() if _number(value) > 1}
    if not many:
        text = "native libraries start one thread for each node that asks for no more"
        return HealthCheck("threads", OK, text, "", {"variables": given})
    shown = shortened([f"{name}={value}" for name, value in many.items()], _MOST_LISTED)
    advice = f"unset {'it' if len(many) == 1 else 'them'}: a node that needs more says 'resources: {{cpu: N}}'"
    text = f"{shown}: so many native threads in each of the nodes that run at once"
    return HealthCheck("threads", NOTE, text, advice, {"variables": given})


def _number(text: str) -> int:
    """Return the number in a variable of a library, which may have one for each level: `4,2`. 0 if it is none."""
    first = text.partition(",")[0].strip()
    return int(first) if first.isascii() and first.isdecimal() else 0


def check_bytecode() -> HealthCheck:
    """Check whether Python can keep what it has compiled: without that, each start takes several times as long."""
    import nfrun.core

    compiled = importlib.util.cache_from_source(nfrun.core.__file__)
    there = os.path.exists(compiled)  # noqa: PTH110
    facts = {"written": not sys.dont_write_bytecode, "there": there}
    if there:
        return HealthCheck("bytecode", OK, "modules are compiled once", "", facts)
    compile_all = f"{sys.executable} -m compileall -q {_site()}"
    if sys.dont_write_bytecode:
        text = "PYTHONDONTWRITEBYTECODE is set, and nothing is compiled: each start compiles all modules again"
        return HealthCheck("bytecode", NOTE, text, f"compile them once: {compile_all}", facts)
    text = f"Python cannot keep compiled modules in {_site()}: each start compiles them again"
    advice = f"as a user who may write there: {compile_all}; or set PYTHONPYCACHEPREFIX"
    return HealthCheck("bytecode", NOTE, text, advice, facts)


def _site() -> Path:
    import nfrun

    return Path(nfrun.__file__).parent.parent
