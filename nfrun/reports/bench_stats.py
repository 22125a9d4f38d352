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


@frozen
class Spread:
    """The median, minimum and maximum of measured values."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(median(values), min(values), max(values))

    def as_json(self) -> dict[str, float]:
        """Return the spread as JSON values, rounded to 6 decimal places."""
        return {"median": round(self.median, 6), "min": round(self.min, 6), "max": round(self.max, 6)}


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


@frozen
class Comparison:
    """A pipeline measured under all variants.

    `variants` has the measures of each by their names in MEASURES. `work` is the seconds of work of all nodes, and
    `longest` of the nodes on the longest path. Both are medians of the runs with one node at a time. `outputs` is the
    number of outputs. `differing` maps each output that was not the same in all runs to a message that says where it
    differs.
    """

    name: str
    file: str
    nodes: int
    slots: int
    runs: int
    variants: Mapping[str, Mapping[str, Spread]]
    work: float
    longest: float
    outputs: int
    differing: Mapping[str, str]

    @property
    def speedup(self) -> float:
        """The factor by which the last variant is faster than the first, by the median wall time."""
        before, now = (self.variants[VARIANTS[i].name]["wall_s"].median for i in (0, -1))
        return ratio(before, now)

    @property
    def ceiling(self) -> float:
        """The best possible speedup over one node at a time, whatever the order of the nodes (see `best_speedup`)."""
        return best_speedup(self.work, self.longest, self.slots)


def ratio(before: float, now: float) -> float:
    """Return `before / now`: 1 if both are 0, infinity if only `now` is 0."""
    if now:
        return before / now
    return float("inf") if before else 1.0


def compare(name: str, file: str, slots: int, runs: Mapping[str, Sequence[Document]]) -> Comparison:
    """Compare the runs of a pipeline, by variant name, at least one run of each. `slots` nodes ran at once."""
    one_at_a_time = runs[VARIANTS[0].name]
    digests = {
        variant: [{output: str(ref["digest"]) for output, ref in run["outputs"].items()} for run in documents]
        for variant, documents in runs.items()
    }
    return Comparison(
        name=name,
        file=file,
        nodes=len(one_at_a_time[0]["nodes"]),
        slots=slots,
        runs=sum(map(len, runs.values())),
        variants={
            variant: {name: Spread.of([measure(run) for run in documents]) for name, measure in MEASURES.items()}
            for variant, documents in runs.items()
        },
        work=median(run["sequential_s"] for run in one_at_a_time),
        longest=median(run["critical_path_s"] for run in one_at_a_time),
        outputs=len({output for found in digests.values() for run in found for output in run}),
        differing=differing(digests),
    )


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


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as JSON values, in seconds and bytes. Its keys are stable: users rely on them."""
    return {
        "name": comparison.name,
        "file": comparison.file,
        "nodes": comparison.nodes,
        "slots": comparison.slots,
        "variants": {
            variant.name: {
                "schedule": variant.schedule,
                "handoff": variant.handoff,
                **{name: spread.as_json() for name, spread in comparison.variants[variant.name].items()},
            }
            for variant in VARIANTS
        },
        "speedup": round(comparison.speedup, 3),
        "work_s": comparison.work,
        "longest_path_s": comparison.longest,
        "ceiling": round(comparison.ceiling, 3),
        "identical": not comparison.differing if comparison.outputs else None,
        "differing": dict(comparison.differing),
    }
