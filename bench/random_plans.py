"""Makes random plans, for measurements and for tests of the scheduler."""

from __future__ import annotations

import random

from nfrun.core.pipeline import OutputId, Retry
from nfrun.core.plan import Node, Plan, make_plan


def random_plan(seed: int, count: int, *, slots: int = 4, most_needs: int = 3, reach: int = 50) -> Plan:
    """Make a random plan of `count` nodes with estimated durations between 0.05 and 10 s.

    Each node needs up to `most_needs` of the `reach` nodes before it. The same arguments give the same plan.
    """
    draw = random.Random(seed)
    nodes = []
    for i in range(count):
        lowest = max(0, i - reach)
        picks = draw.sample(range(lowest, i), min(draw.randint(0, most_needs), i - lowest))
        needs = tuple(f"n{j}" for j in sorted(picks))
        retry = Retry(max=draw.choice((0, 0, 1, 3)), delay=0.5)
        duration = draw.choice((0.1, 1.0, 10.0)) * draw.uniform(0.5, 1.0)
        cpus = draw.choice((1.0, 1.0, 1.0, 2.0))
        reads = tuple(OutputId(need) for need in needs if draw.random() < 0.8)
        nodes.append(
            Node(f"n{i}", needs, reads=reads, estimated_duration=duration, retry=retry, resources=(("cpu", cpus),))
        )
    retained = [OutputId(f"n{i}") for i in range(count) if draw.random() < 0.1]
    return make_plan(nodes, retained, slots)
