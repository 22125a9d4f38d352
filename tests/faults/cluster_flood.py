"""Makes nodes on a real Dask cluster print huge amounts, and runs two pipelines at once whose modules have one name.

Promised: three nodes that print 100 MB each let the scheduler grow by at most 50 MB, and the processes of workers by at
most 20 MB, compared with the same nodes printing 1 kB; the log files are those of a local run. Each of two runs sees
its own modules.
"""

from __future__ import annotations

import atexit
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.faults import rig
from tests.faults.dask_cluster import DaskCluster
from tests.faults.flood import SCRIPTS, STEPS
from tests.faults.processes import carrying, most_memory
from tests.faults.rig import MARK, Place, Setting, Started, Trial

ABOUT = (__doc__ or "").split("\n")[0]
WORKERS = 3
MOST_OF_SCHEDULER = 50 << 20
MOST_OF_OTHERS = 20 << 20
LITTLE = 1_000
FILE = "flood.yaml"
KINDS = list(SCRIPTS)


@dataclass(slots=True)
class Prepared:
    """The cluster of the trials, and how many bytes a node prints."""

    cluster: DaskCluster
    mark: str
    size: int


def prepare(setting: Setting) -> Prepared:
    mark = f"{setting.folder}/cluster"
    cluster = DaskCluster(setting.folder / "cluster", WORKERS, {MARK: mark, "PYTHONPATH": str(rig.ROOT)})
    atexit.register(cluster.end)
    return Prepared(cluster, mark, int(setting.options["size"]))


def one(trial: Trial) -> None:
    prepared: Prepared = trial.prepared
    flood(trial, prepared)
    both(trial, prepared)


def start(place: Place, cluster: DaskCluster, file: str, *more: str) -> Started:
    store = str(place.folder / "store")
    return place.start(
        "run", file, "--json", "--executor", "dask", "--address", cluster.address, "--store", store, *more
    )


def flood(trial: Trial, prepared: Prepared) -> None:
    """Compare the memory of all processes of the cluster after little and after much output."""
    cluster = prepared.cluster
    few = printing(trial.folder / "little", LITTLE)
    trial.check(start(few, cluster, FILE).end().code == 0, "little output")
    little = memory_of(cluster, prepared)
    much = printing(trial.folder / "much", prepared.size)
    ended = start(much, cluster, FILE).end(rig.HANG_SECONDS + 3 * prepared.size / (1 << 20))
    trial.check(ended.code == 0, f"much output: {ended}")
    rig.clean_words(trial, ended, "much output")
    grown = [b - a for a, b in zip(little, memory_of(cluster, prepared), strict=False)]
    trial.measure("MB that the scheduler has grown", grown[0] / 1e6)
    trial.measure("MB that another process of the cluster has grown", max(grown[1:]) / 1e6)
    trial.check(grown[0] <= MOST_OF_SCHEDULER, f"the scheduler has grown by {grown[0]} bytes")
    trial.check(max(grown[1:]) <= MOST_OF_OTHERS, f"processes of the cluster have grown by {grown[1:]} bytes")
    here = printing(trial.folder / "here", prepared.size)
    trial.check(here.run("run", FILE, "--json").code == 0, "much output of a local run")
    for kind in ("no newline", "lines"):  # binary data are random
        trial.check(logs_of(here, kind) == logs_of(much, kind), f"other log files: {kind}")


def printing(folder: Path, size: int) -> Place:
    """Make a pipeline whose nodes print so many bytes each, two as functions and one as a script."""
    folder.mkdir()
    (folder / "steps.py").write_text(STEPS)
    (folder / "script.sh").write_text(SCRIPTS["lines"].replace("SIZE", str(size)) + "\n")
    lines = [
        f'  {kind.replace(" ", "_")}: {{python: "steps:flood", with: {{kind: {kind}, size: {size}}}}}'
        for kind in KINDS
        if kind != "lines"
    ]
    (folder / FILE).write_text("\n".join(["nodes:", "  lines: {run: . ./script.sh}", *lines]) + "\n")
    return Place(folder, {MARK: str(folder)})


def memory_of(cluster: DaskCluster, prepared: Prepared) -> list[int]:
    """Return the peak memory of the scheduler, and of the workers and hosts that are there, the largest first."""
    scheduler = cluster.scheduler.pid
    others = [most_memory(pid) for pid in carrying(MARK, prepared.mark) if pid != scheduler]
    return [most_memory(scheduler), *sorted(others, reverse=True)[:WORKERS]]


def logs_of(place: Place, kind: str) -> list[bytes]:
    found = sorted(place.folder.glob(f".nfrun/runs/*/logs/{kind.replace(' ', '_')}.*"))
    return [path.read_bytes() for path in found]


def both(trial: Trial, prepared: Prepared) -> None:
    """Run two pipelines at once, with modules of one name."""
    places = [module(trial.folder / name, name) for name in ("first", "second")]
    started = [start(place, prepared.cluster, "p.yaml") for place in places]
    for place, run in zip(places, started, strict=True):
        ended = run.end()
        trial.check(ended.code == 0, f"two runs at once: {ended}")
        found = words((place.folder / "out").iterdir())
        trial.check(found == {place.folder.name}, f"{place.folder.name} sees the modules of {found}")


def module(folder: Path, name: str) -> Place:
    folder.mkdir()
    (folder / "steps.py").write_text(
        "import time\nimport own\n\n\ndef name(k):\n    time.sleep(0.2)\n    return {'name': own.NAME}\n"
    )
    (folder / "own.py").write_text(f"NAME = {name!r}\n")
    (folder / "p.yaml").write_text(
        "matrix: {k: [1, 2, 3, 4, 5, 6]}\nnodes:\n"
        '  name: {matrix: k, python: "steps:name", with: {k: "${{ matrix.k }}"}}\n'
        '  save: {matrix: k, write: "out/${{ matrix.k }}.csv", inputs: name}\n'
    )
    return Place(folder, {MARK: str(folder)})


def words(files: Iterable[Path]) -> set[str]:
    return {path.read_text().split()[-1].strip('"') for path in files}


if __name__ == "__main__":
    if find_spec("distributed") is None:
        sys.exit(print("skipped: distributed is not installed"))
    rig.main(one, about=ABOUT, prepare=prepare, trials=1, options={"size": (1e8, "how many bytes a node prints")})
