"""Measures nodes that do nothing on a real Dask cluster of this machine, against the same queue written in plain Dask.

The scheduler and two workers are processes of their own. The clocks run from the first node to the end of the last, in
turns on the same cluster: nfrun's workers have started their hosts, and Dask's are warm.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from bench.measure import Line, Sample, clocked, interleaved, run_here, versus
from bench.noop import layers
from tests.faults.dask_cluster import DaskCluster

NODES, WORKERS = 1_000, 2
_STEPS = "def nothing():\n    return None\n"


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Yield the rows of no-op nodes on a cluster; none without Dask."""
    if importlib.util.find_spec("distributed") is None:
        return
    from distributed import Client

    make_client: Callable[..., Any] = Client
    needs = layers(NODES)
    pipeline = _pipeline(folder / "pipeline", needs)
    with DaskCluster(folder / "cluster", WORKERS) as cluster:
        client = make_client(cluster.address, set_as_default=False)
        options = {"executor": "dask", "address": cluster.address, "store": str(folder / "store"), "fresh": True}
        variants: Mapping[str, Callable[[], Sample]] = {
            "nfrun": partial(_nfrun, pipeline, options),
            "queue": lambda: clocked(lambda: ready_queue(client, needs)),
            "graph": lambda: clocked(lambda: whole_graph(client, needs)),
        }
        interleaved(variants, 1)
        found = interleaved(variants, repeat)
        with suppress(Exception):
            client.close(timeout=1)
    what = f"cluster, {NODES:,} no-op nodes"
    yield versus(f"{what}: nfrun / ready queue in Dask", found["nfrun"], found["queue"], each=NODES, by="wall")
    yield versus(f"{what}: nfrun / whole graph in Dask", found["nfrun"], found["graph"], each=NODES, by="wall")


def _nfrun(pipeline: Path, options: Mapping[str, Any]) -> Sample:
    """Run nfrun, and return the time by its own clock."""
    document = run_here(pipeline, **options)
    return Sample(document["wall_s"], document["wall_s"])


def _pipeline(folder: Path, needs: Mapping[str, tuple[str, ...]]) -> Path:
    folder.mkdir(parents=True)
    lines = [f'  {name}: {{python: "steps:nothing", needs: [{", ".join(before)}]}}' for name, before in needs.items()]
    (folder / "steps.py").write_text(_STEPS)
    (folder / "noop.yaml").write_text("\n".join(["name: noop", "nodes:", *lines, ""]))
    return folder / "noop.yaml"


def _nothing(*before: object) -> None:
    return None


def ready_queue(client: Any, needs: Mapping[str, tuple[str, ...]]) -> None:
    """Submit each node when those before it have ended, as nfrun does, and let go of its future then."""
    missing = {name: len(before) for name, before in needs.items()}
    after: dict[str, list[str]] = {name: [] for name in needs}
    for name, before in needs.items():
        for other in before:
            after[other].append(name)
    ended: SimpleQueue[tuple[str, Any]] = SimpleQueue()

    def submit(name: str) -> None:
        future = client.submit(_nothing, key=f"queue-{name}", pure=False)
        future.add_done_callback(lambda future: ended.put((name, future)))

    for name in [name for name, count in missing.items() if not count]:
        submit(name)
    for _ in needs:
        name, future = ended.get()
        future.release()
        for other in after[name]:
            missing[other] -= 1
            if not missing[other]:
                submit(other)


def whole_graph(client: Any, needs: Mapping[str, tuple[str, ...]]) -> None:
    """Submit all nodes at once, and let Dask order them."""
    graph = {f"graph-{name}": (_nothing, *(f"graph-{other}" for other in before)) for name, before in needs.items()}
    client.get(graph, list(graph), sync=True)
