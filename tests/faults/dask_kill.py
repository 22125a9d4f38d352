"""Kills workers, the scheduler and the run itself while a pipeline runs on a real Dask cluster, and freezes workers.

Promised: a lost worker costs the nodes that ran there, and nothing else. A lost scheduler ends the run with 69, and the
next run goes on. What a run that is killed or stopped has on workers ends by itself. Results are those of a local run.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.faults import mixed, rig
from tests.faults.dask_cluster import DaskCluster
from tests.faults.rig import LOG, MARK, Place, Setting, Started, Trial

ABOUT = (__doc__ or "").split("\n")[0]
WORKERS = 3
_GONE_SECONDS = 2.0  # for a run to end whose scheduler is gone
_LEASE_SECONDS = 5.0  # for attempts to end whose run was killed
_GRACE = 1.0
_SLACK = 1.0  # seconds, on a busy machine

MANY = """
name: many
matrix: {i: "${{ 60 | range }}"}  # they last until a worker has joined, also on a busy machine
nodes:
  n:
    matrix: i
    run: 'echo "start $NFRUN_NODE $$ 1 0" >> "$FAULTS_LOG"; sleep 0.7; echo "end $NFRUN_NODE 0" >> "$FAULTS_LOG"'
"""
STUBBORN = """
name: stubborn
nodes:
  a: {run: "trap '' TERM; touch FLAG; while true; do sleep 0.1; done"}
  b: {python: "steps:stubborn", with: {flag: FLAG}}
"""
STUBBORN_STEPS = """
import pathlib, time


def stubborn(flag):
    pathlib.Path(flag + "b").write_text("")
    while True:
        try:
            time.sleep(0.1)
        except BaseException:
            pass
"""
FROZEN = """
name: frozen
nodes:
  a: {run: "touch FLAG; sleep 60", timeout: 3s}
"""
KILLER = """
name: killer
nodes:
  killer: {python: "steps:kill"}
  other: {run: "sleep 0.5; echo n > $NFRUN_OUTPUT", format: csv}
  last: {sql: "select count(*) as n from other", inputs: other}
"""
KILLER_STEPS = """
import os, signal


def kill():
    pid = os.getppid()
    while b"dask" not in open(f"/proc/{pid}/cmdline", "rb").read():
        pid = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
    os.kill(pid, signal.SIGKILL)
    signal.pause()
"""


@dataclass(slots=True)
class Prepared:
    """The cluster of the trials, the log of all its nodes, and the results of an undisturbed local run."""

    folder: Path
    known: mixed.Known
    log: Path
    cluster: DaskCluster | None = None
    clusters: int = 0

    def ready(self) -> DaskCluster:
        """Return a cluster with all its workers."""
        if self.cluster is not None and self.cluster.scheduler.poll() is not None:
            self.cluster.end()
            self.cluster = None
        if self.cluster is None:
            self.clusters += 1
            environ = {LOG: str(self.log), MARK: f"{self.folder}/cluster", "PYTHONPATH": str(rig.ROOT)}
            self.cluster = DaskCluster(self.folder / f"cluster-{self.clusters}", WORKERS, environ)
        cluster = self.cluster
        cluster.workers[:] = [worker for worker in cluster.workers if worker.poll() is None]
        while len(cluster.workers) < WORKERS:
            cluster.join()
        cluster.wait_for_workers(WORKERS)
        return cluster


def prepare(setting: Setting) -> Prepared:
    prepared = Prepared(setting.folder, mixed.know(setting.folder / "known"), setting.folder / "nodes.log")
    atexit.register(lambda: prepared.cluster and prepared.cluster.end())
    return prepared


def one(trial: Trial) -> None:
    kinds = [
        *(kill_worker, kill_worker, kill_scheduler, interrupt, kill_driver, freeze, kill_by_node),
        *(join_and_leave, keep_timeouts),
    ]
    kind = kinds[trial.number % len(kinds)]
    prepared: Prepared = trial.prepared
    prepared.log.unlink(missing_ok=True)
    kind(trial, prepared.ready())
    trial.count(kind.__name__)


def start(place: Place, cluster: DaskCluster, file: str, *more: str) -> Started:
    options = ("--executor", "dask", "--address", cluster.address, "--store", str(place.folder / "store"))
    return place.start("run", file, "--json", "--grace", f"{_GRACE}s", *options, *more)


def kill_worker(trial: Trial, cluster: DaskCluster) -> None:
    """Kill the worker on which most nodes run, in the middle of one."""
    prepared: Prepared = trial.prepared
    place = mixed.make(trial.folder / "p")
    events = trial.folder / "events"
    started = start(place, cluster, mixed.FILE, "-k", "--events", str(events))
    wanted = trial.random.randrange(1, 14)
    await_log(started, prepared.log, lambda log: len(mixed.log_of(log).started) >= wanted)
    finished = {event["node"] for event in rig.events_of(events) if event["event"] == "node_finished"}
    before = len(prepared.log.read_text().splitlines())
    busy = Counter(worker for pid in under_way(prepared.log) if (worker := worker_of(pid, cluster)))
    if not busy:
        trial.count("runs without a busy worker")
    for worker in [worker for worker, _ in busy.most_common(1)]:
        os.kill(worker, signal.SIGKILL)
        trial.count("workers killed")
    ended = started.end()
    rig.clean_words(trial, ended, "a worker was killed")
    trial.check(ended.code == 0, f"a worker was killed: {ended}")
    digests = rig.digests(ended.document)
    trial.check(digests == prepared.known.outputs, f"other digests: {digests}")
    lines = [line.split() for line in prepared.log.read_text().splitlines()]
    started_later = {line[1] for line in lines[before:] if line[0] == "start"}
    trial.check(not started_later & finished, f"ran again: {started_later & finished}")
    starts = Counter(line[1] for line in lines if line[0] == "start" and line[1] not in mixed.EFFECTS)
    again = [node for node, times in starts.items() if times > 1]
    trial.check(len(again) <= len(busy.keys()) * 4, f"ran again: {again}")
    trial.measure("nodes that ran again", len(again))
    most = max(busy.values(), default=0) + 1  # one may have begun between the look and the kill
    trial.check(len(again) <= most, f"{len(again)} nodes ran again, and at most {most} ran on the worker: {again}")


def kill_scheduler(trial: Trial, cluster: DaskCluster) -> None:
    """Kill the scheduler. The next run, on a new one or here, runs the rest only."""
    prepared: Prepared = trial.prepared
    place = mixed.make(trial.folder / "p")
    started = start(place, cluster, mixed.FILE)
    wanted = trial.random.randrange(3, 12)
    await_log(started, prepared.log, lambda log: len(mixed.log_of(log).ended) >= wanted)
    cluster.scheduler.kill()
    began = time.monotonic()
    ended = started.end()
    seconds = time.monotonic() - began
    trial.measure("ms until a run without its scheduler ended", seconds * 1e3)
    trial.check(seconds < _GONE_SECONDS + _SLACK, f"the scheduler was killed: it took {seconds:.1f} s")
    rig.clean_words(trial, ended, "the scheduler was killed")
    trial.check(ended.code == 69, f"the scheduler was killed: {ended}")
    trial.check(
        ended.err.count("nfrun: the Dask scheduler") == 1, f"the scheduler was killed, not one message: {ended}"
    )
    done = ended.document.get("counts", {})
    if trial.random.random() < 0.5:
        again = place.run("run", mixed.FILE, "--json")
    else:
        again = start(place, prepared.ready(), mixed.FILE).end()
    trial.check(again.code == 0, f"after the scheduler was killed: {again}")
    trial.check(rig.digests(again.document) == prepared.known.outputs, "after the scheduler was killed: other digests")
    reused = again.document.get("counts", {}).get("reused", 0)
    trial.check(reused >= max(1, wanted - 3), f"after the scheduler was killed: {reused} reused, {done} before")


def interrupt(trial: Trial, cluster: DaskCluster) -> None:
    """Stop a run whose nodes ignore SIGTERM."""
    place, flags = stubborn(trial)
    started = start(place, cluster, "stubborn.yaml")
    await_flags(started, flags)
    began = time.monotonic()
    started.interrupt(whole_group=True)
    ended = started.end()
    seconds = time.monotonic() - began
    trial.measure("ms from Ctrl-C to the end", seconds * 1e3)
    trial.check(ended.code == 130, f"Ctrl-C: {ended}")
    trial.check(seconds < _GRACE + 1 + _SLACK, f"Ctrl-C: it took {seconds:.1f} s")
    judge_gone(trial, cluster, _LEASE_SECONDS, "Ctrl-C")


def kill_driver(trial: Trial, cluster: DaskCluster) -> None:
    """Kill the run itself, with its nodes that ignore SIGTERM."""
    place, flags = stubborn(trial)
    started = start(place, cluster, "stubborn.yaml")
    await_flags(started, flags)
    started.kill()
    judge_gone(trial, cluster, _LEASE_SECONDS, "the run was killed", hosts=False)
    started.end()


def freeze(trial: Trial, cluster: DaskCluster) -> None:
    """Freeze all workers in the middle of a node with a timeout."""
    place, flag = Place(trial.folder / "p", {MARK: str(trial.folder)}), trial.folder / "flag"
    place.folder.mkdir()
    (place.folder / "frozen.yaml").write_text(FROZEN.replace("FLAG", str(flag)))
    started = start(place, cluster, "frozen.yaml")
    await_flags(started, [flag])
    began = time.monotonic()
    for worker in cluster.workers:
        os.kill(worker.pid, signal.SIGSTOP)
    ended = started.end()
    seconds = time.monotonic() - began
    for worker in cluster.workers:
        os.kill(worker.pid, signal.SIGCONT)
    trial.measure("ms until a run with frozen workers ended", seconds * 1e3)
    trial.check(ended.code == 1, f"frozen: {ended}")
    trial.check(seconds < 3 + _GRACE + 2 + _SLACK, f"frozen: it took {seconds:.1f} s")


def kill_by_node(trial: Trial, cluster: DaskCluster) -> None:
    """Run a node that kills its worker each time."""
    place = Place(trial.folder / "p", {MARK: str(trial.folder)})
    place.folder.mkdir()
    (place.folder / "killer.yaml").write_text(KILLER)
    (place.folder / "steps.py").write_text(KILLER_STEPS)
    cluster.join()
    cluster.join()
    cluster.wait_for_workers(WORKERS + 2)
    ended = start(place, cluster, "killer.yaml", "-k").end()
    died = sum(worker.poll() is not None for worker in cluster.workers)
    trial.measure("workers that a node killed", died)
    trial.check(died <= 4, f"a node killed {died} workers")
    trial.check(ended.code == 1, f"a node kills its worker: {ended}")
    states = {name: node["status"] for name, node in ended.document.get("nodes", {}).items()}
    trial.check(states == {"killer": "failed", "other": "ok", "last": "ok"}, f"a node kills its worker: {states}")
    for worker in cluster.workers[WORKERS:]:
        worker.terminate()
        worker.wait()


def join_and_leave(trial: Trial, cluster: DaskCluster) -> None:
    """Let a worker join during a run, and another one leave."""
    prepared: Prepared = trial.prepared
    place = Place(trial.folder / "p", {MARK: str(trial.folder)})
    place.folder.mkdir()
    (place.folder / "many.yaml").write_text(MANY)
    started = start(place, cluster, "many.yaml")
    await_log(started, prepared.log, lambda log: bool(under_way(log)))
    joined = cluster.join()
    used: set[int | None] = set()

    def look(log: Path) -> bool:
        used.update(worker_of(pid, cluster) for pid in under_way(log))
        return joined.pid in used

    await_log(started, prepared.log, look)
    trial.check(joined.pid in used, "a worker that joined got no node")
    left = cluster.workers[0]
    left.terminate()
    ended = started.end()
    trial.check(ended.code == 0, f"a worker joined, and another one left: {ended}")
    left.wait()


def keep_timeouts(trial: Trial, cluster: DaskCluster) -> None:
    """Run more nodes than there are workers, whose timeouts are shorter than they wait."""
    place = Place(trial.folder / "p", {MARK: str(trial.folder)})
    place.folder.mkdir()
    nodes = "".join(f'  n{i}: {{run: "sleep 1", timeout: 3s}}\n' for i in range(12))
    (place.folder / "short.yaml").write_text(f"name: short\nnodes:\n{nodes}")
    jobs = trial.random.choice(([], ["-j", "1"], ["-j", "12"], ["-j", "50"]))
    ended = start(place, cluster, "short.yaml", *jobs).end()
    trial.check(ended.code == 0, f"nodes with a timeout, {jobs}: {ended}")


# -- helpers -----------------------------------------------------------------------------------------------------------


def stubborn(trial: Trial) -> tuple[Place, list[Path]]:
    place, flag = Place(trial.folder / "p", {MARK: str(trial.folder)}), trial.folder / "flag"
    place.folder.mkdir()
    (place.folder / "stubborn.yaml").write_text(STUBBORN.replace("FLAG", str(flag)))
    (place.folder / "steps.py").write_text(STUBBORN_STEPS)
    return place, [flag, Path(f"{flag}b")]


def await_log(started: Started, log: Path, is_there: Callable[[Path], bool]) -> None:
    until = time.monotonic() + rig.HANG_SECONDS
    while started.process.poll() is None and not is_there(log) and time.monotonic() < until:
        time.sleep(0.005)


def await_flags(started: Started, flags: list[Path]) -> None:
    await_log(started, flags[0], lambda log: all(flag.exists() for flag in flags))


def under_way(log: Path) -> list[int]:
    """Return the processes of the nodes that run now, as the log tells."""
    running: dict[str, int] = {}
    for line in log.read_text().splitlines() if log.exists() else ():
        what, node, *rest = line.split()
        if what == "start":
            running[node] = int(rest[0])
        else:
            running.pop(node, None)
    return [*running.values()]


def worker_of(pid: int, cluster: DaskCluster) -> int | None:
    """Return the worker below which a process runs, None if it is none of the cluster."""
    workers = {worker.pid for worker in cluster.workers}
    while pid > 1 and pid not in workers:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return None
    return pid if pid in workers else None


def below(pids: set[int]) -> dict[int, str]:
    """Return the processes below these, with their commands."""
    parents: dict[int, int] = {}
    for path in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
    found = {pid for pid, parent in parents.items() if parent in pids}
    while new := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= new
    commands = {}
    for pid in found:
        with suppress(OSError):
            commands[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return commands


def judge_gone(trial: Trial, cluster: DaskCluster, seconds: float, told: str, hosts: bool = True) -> None:
    """Check that workers have no processes after some seconds; without `hosts`, no attempts below their hosts."""
    workers = {worker.pid for worker in cluster.workers}
    began = time.monotonic()

    def left() -> dict[int, str]:
        found = below(workers)
        kept = r"resource_tracker" if hosts else r"resource_tracker|cluster\.host|forkserver"
        return {pid: command for pid, command in found.items() if not re.search(kept, command)}

    while (found := left()) and time.monotonic() - began < seconds:
        time.sleep(0.02)
    trial.measure(f"ms until nothing was left: {told}", (time.monotonic() - began) * 1e3)
    trial.check(not found, f"{told}: still there after {seconds} s: {found}")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it may be ignored, also by nfrun
    if importlib.util.find_spec("distributed") is None:
        print("skipped: needs Dask: pip install 'distributed>=2024.1'")
        raise SystemExit(0)
    rig.main(one, about=ABOUT, prepare=prepare, trials=70)
