"""Asks one worker of a cluster, before any node runs, whether it can run a pipeline: `preflight`.

What it says that it lacks refuses the run, as the others are likely to lack the same. Each host checks itself when it
gets its first order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from nfrun.cluster.base import Cluster
from nfrun.cluster.wire import Answer, WireError, from_text, to_text
from nfrun.core.errors import ClusterError

ANSWER_SECONDS = 30.0


def preflight(cluster: Cluster, versions: Mapping[str, str], problems: Iterable[str]) -> list[str]:
    """Return warnings. Raises ClusterError with all problems, one a line. With `problems` known before, asks none.

    `versions` are those of this process, by the names of `Answer.versions`. Without workers nobody is asked: some may
    join, and a worker that does not answer is one that the run may do without.
    """
    found, workers = list(problems), cluster.engine.workers()
    if not found and workers:
        who = f"worker {workers[0].address}"
        text = cluster.engine.ask(workers[0].address, to_text(cluster.config), ANSWER_SECONDS)
        if not text:
            return [f"{who} does not answer: the run begins without knowing whether workers can make its nodes"]
        try:
            answer = from_text(text) if text.startswith("{") else text
        except WireError as error:
            answer = str(error)
        if isinstance(answer, Answer):
            return [*_warnings(who, answer.versions, versions)]
        if "No module named 'nfrun" in text:
            answer = "it has no nfrun: install it there"
        found = [f"{who}: {line}" for line in str(getattr(answer, "lost", answer)).splitlines()]
    if found:
        raise ClusterError("\n   ".join(["the cluster cannot run this pipeline:", *found]))
    return []


def _warnings(who: str, theirs: Mapping[str, str], versions: Mapping[str, str]) -> Iterator[str]:
    """Yield where results may differ from those of this machine: other minor versions of Python, or major of Arrow."""
    for name, parts in (("python", 2), ("pyarrow", 1)):
        ours, other = versions[name], theirs.get(name, "")
        if other.split(".")[:parts] != ours.split(".")[:parts]:
            yield f"{who} has {name} {other}, and this machine {ours}: results may differ"
