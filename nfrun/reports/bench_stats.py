"""Defines the variants that `nfrun bench` compares, and computes its statistics from the JSON documents of runs.

`cli/bench.py` makes the runs; `bench_table.py` prints the results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from statistics import median
from typing import Any

from nfrun.core.plan import best_speedup
from nfrun.core.values import frozen

Document = Mapping[str, Any]  # the output of `nfrun run --json`
Comparison = Mapping[str, Any]  # what `compare` returns


@frozen
class Variant:
    """One way to run a pipeline: the values of `--schedule` and `--handoff`."""

    name: str
    schedule: str
    handoff: str
    description: str


VARIANTS = (
    Variant("before", "sequential", "json", "one node at a time, JSON text between nodes"),
    Variant("stages", "staged", "mmap", "every stage waits for the one before, Arrow files between nodes"),
    Variant("now", "eager", "auto", "every node starts when its inputs are there, Arrow tables by reference"),
)


def interleave(repeat: int) -> Iterator[tuple[int, Variant]]:
    """Return the runs to make, as (round, variant), in the order A B C A B C.

    Rounds count from 1. With this order a slow moment of the machine affects all variants.
    """
    return product(range(1, repeat + 1), VARIANTS)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median, minimum and maximum of values, rounded to 6 decimal places."""
    return {"median": round(median(values), 6), "min": round(min(values), 6), "max": round(max(values), 6)}


def _handoff(run: Document) -> float:
    nodes = run["nodes"].values()
    return sum(float(node["handoff_s"]) for node in nodes) / len(nodes)


# What is measured of a run: its seconds without the start of the process, the peak memory of the process, and the
# seconds for which a node and its readers waited for its outputs to be handed on, as the mean over the nodes.
MEASURES: Mapping[str, Callable[[Document], float]] = {
    "wall_s": lambda run: float(run["wall_s"]),
    "peak_rss_bytes": lambda run: float(run["peak_rss_bytes"]),
    "handoff_per_node_s": _handoff,
}


def ratio(before: float, now: float) -> float:
    """Return `before / now`: 1 if both are 0, infinity if only `now` is 0."""
    if now:
        return before / now
    return float("inf") if before else 1.0


def compare(name: str, file: str, slots: int, runs: Mapping[str, Sequence[Document]]) -> dict[str, Any]:
    """Compare the runs of a pipeline, by variant name, at least one run of each. `slots` nodes ran at once.

    The result are JSON values, in seconds and bytes. Its keys are stable: users rely on them. `variants` has the
    measures of each by their names in MEASURES. `speedup` says how much faster the last variant is than the first, and
    `ceiling` the best that any order of the nodes can reach. `work_s` are the seconds of work of all nodes, and
    `longest_path_s` of those on the longest path, as medians of the runs with one node at a time. `outputs` is their
    number. `differing` has a message for each output that was not the same in all runs.
    """
    one_at_a_time = runs[VARIANTS[0].name]
    digests = {
        variant: [{output: str(ref["digest"]) for output, ref in run["outputs"].items()} for run in documents]
        for variant, documents in runs.items()
    }
    variants: dict[str, dict[str, Any]] = {
        variant.name: {"schedule": variant.schedule, "handoff": variant.handoff}
        | {name: spread([measure(run) for run in runs[variant.name]]) for name, measure in MEASURES.items()}
        for variant in VARIANTS
    }
    before, now = (variants[VARIANTS[i].name]["wall_s"]["median"] for i in (0, -1))
    work, longest = (median(run[key] for run in one_at_a_time) for key in ("sequential_s", "critical_path_s"))
    outputs = len({output for found in digests.values() for run in found for output in run})
    found = differing(digests)
    return {
        "name": name,
        "file": file,
        "nodes": len(one_at_a_time[0]["nodes"]),
        "slots": slots,
        "runs": sum(map(len, runs.values())),
        "variants": variants,
        "speedup": round(ratio(before, now), 3),
        "work_s": work,
        "longest_path_s": longest,
        "ceiling": round(best_speedup(work, longest, slots), 3),
        "outputs": outputs,
        "identical": not found if outputs else None,
        "differing": found,
    }


def differing(digests: Mapping[str, Sequence[Mapping[str, str]]]) -> dict[str, str]:
    """Find the outputs whose digests are not the same in all runs.

    `digests` has the digest of each output, by variant and run. Returns a message for each differing output.
    """
    messages: dict[str, str] = {}
    for output in sorted({output for runs in digests.values() for run in runs for output in run}):
        found = {variant: [run.get(output) for run in runs] for variant, runs in digests.items()}
        if len({one for each in found.values() for one in each}) == 1:
            continue
        unsteady = [variant for variant, each in found.items() if len(set(each)) > 1]
        if unsteady:
            messages[output] = f"differs from run to run of '{unsteady[0]}': something in it is not deterministic"
        elif any(len(each) > 1 for each in found.values()):
            messages[output] = "is the same in all runs of a variant, but not in all variants"
        else:
            messages[output] = "is not the same in all variants; --repeat 2 shows whether it is deterministic"
    return messages
