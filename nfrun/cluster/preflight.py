"""Asks all workers of a cluster, before any node runs, whether they can run a pipeline: `preflight`.

What a worker says that it lacks refuses the run. One that dies, freezes or gives no answer meanwhile is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from nfrun.cluster.base import PER_WORKER, Cluster, shown_amount
from nfrun.cluster.wire import Answer, Ended, Question, WireError, from_text, to_text
from nfrun.core.errors import ClusterError
from nfrun.core.pipeline import NodeSpec
from nfrun.core.text import shortened
from nfrun.core.values import replace
from nfrun.system.native_threads import given_thread_variables

ANSWER_SECONDS = 30.0
_NAMED = 3  # workers, in a message
_NO_ANSWER = "its answer is none"
_NOT_OURS = ("it has no nfrun", "a message has version")  # what workers say that have none, or another one


def preflight(
    cluster: Cluster,
    modules: Iterable[str],
    nodes: Iterable[NodeSpec],
    versions: Mapping[str, str],
    problems: Iterable[str] = (),
) -> list[str]:
    """Return warnings. Raises ClusterError with all problems, one a line, and PlaceError.

    The code imports these `modules`, and the `nodes` take of `PER_WORKER`. `versions` are those of this process, by the
    names of `Answer.versions`. `problems` are known before.
    """
    nonce = f"data/nonce-{os.urandom(6).hex()}.txt"
    place, folder = cluster.place, cluster.place.fresh_folder()
    (folder / "nonce").write_text(nonce)
    place.put(folder / "nonce", nonce)
    with suppress(OSError):
        folder.rmdir()
    # Without variables: they may be secret, and nobody knows the workers yet. A host imports Arrow, which may import
    # numpy, before it answers: from then on, the number of threads does not change any more.
    pipeline = replace(cluster.config.pipeline, env={}, redacted_env={})
    config = replace(cluster.config, environ=given_thread_variables(cluster.config.environ), pipeline=pipeline)
    question = Question(config, tuple(modules), nonce=nonce)
    answers = {worker: _answer(text) for worker, text in cluster.engine.ask(to_text(question), ANSWER_SECONDS).items()}
    found = {worker: answer for worker, answer in answers.items() if isinstance(answer, Answer)}
    unusable = {worker: [why] for worker, why in answers.items() if isinstance(why, str)}
    left_out = {worker: why for worker, why in unusable.items() if found and not why[0].startswith(_NOT_OURS)}
    cluster.engine.leave_out(left_out.keys())
    unusable = {worker: why for worker, why in unusable.items() if worker not in left_out}
    asked = len(answers) - len(left_out)
    try:
        found_problems = [
            *_together("{who} cannot be used: {what}", unusable, asked),
            *_of_answers(found, versions["nfrun"], asked),
            *_of_resources(cluster, nodes),
            *problems,
        ]
    finally:
        with suppress(OSError):
            place.remove([nonce])
    if found_problems:
        raise ClusterError("\n   ".join(["the cluster cannot run this pipeline:", *found_problems]))
    told = _together("{who} {is_} left out: {what}", left_out, len(answers))
    return [*told, *_warnings(found, versions, asked)]


def _answer(text: str) -> Answer | str:
    if not text.startswith("{"):
        return f"{_NOT_OURS[0]}: install it there" if "No module named 'nfrun" in text else text or _NO_ANSWER
    try:
        found = from_text(text)
    except WireError as error:
        return str(error)
    if isinstance(found, Ended):  # its host has ended
        return found.lost or _NO_ANSWER
    return found if isinstance(found, Answer) else _NO_ANSWER


def _of_answers(answers: Mapping[str, Answer], nfrun: str, count: int) -> Iterator[str]:
    versions = {worker: answer.versions["nfrun"] for worker, answer in answers.items()}
    other = {worker: [f"nfrun {theirs}"] for worker, theirs in versions.items() if theirs != nfrun}
    yield from _together(f"{{who}} {{has}} {{what}}, and this machine {nfrun}", other, count)
    missing = {worker: answer.missing for worker, answer in answers.items()}
    yield from _together("{who} {has} no module '{what}': install it there", missing, count)
    unseen = {worker: [answer.store_problem] for worker, answer in answers.items() if answer.store_problem}
    yield from _together("{who} {does} not see the store: {what}", unseen, count)


def _of_resources(cluster: Cluster, nodes: Iterable[NodeSpec]) -> Iterator[str]:
    workers = cluster.engine.workers()
    for name in PER_WORKER[1:]:
        most = max((worker.resources.get(name, 0.0) for worker in workers), default=0.0)
        lacking = {spec.id: spec.amounts[name] for spec in nodes if spec.amounts.get(name, 0.0) > most}
        if lacking:
            first = next(iter(lacking))
            others = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
            has = f"has more than {shown_amount(name, most)}" if most else "says that it has any"
            yield f"node '{first}'{others} takes {shown_amount(name, lacking[first])} of '{name}', and no worker {has}"


def _warnings(answers: Mapping[str, Answer], versions: Mapping[str, str], count: int) -> Iterator[str]:
    """Yield where results may differ from those of this machine: other minor versions of Python, or major of Arrow."""
    for name, parts in (("python", 2), ("pyarrow", 1)):
        ours = versions[name]
        other = {
            worker: [f"{name} {theirs}"]
            for worker, answer in answers.items()
            if (theirs := answer.versions.get(name, "")).split(".")[:parts] != ours.split(".")[:parts]
        }
        yield from _together(f"{{who}} {{has}} {{what}}, and this machine {ours}: results may differ", other, count)


def _together(line: str, found: Mapping[str, Iterable[str]], count: int) -> Iterator[str]:
    """Yield a line for each text, with the workers that it is about."""
    by_text: dict[str, list[str]] = {}
    for worker, texts in found.items():
        for text in texts:
            by_text.setdefault(text, []).append(worker)
    for text, workers in by_text.items():
        many = len(workers) > 1
        who = f"{len(workers)} workers ({shortened(workers, _NAMED)})" if many else f"worker {workers[0]}"
        who = f"all {count} workers" if many and count == len(workers) else who
        verbs = {"has": "have", "does": "do", "is_": "are"} if many else {"has": "has", "does": "does", "is_": "is"}
        yield line.format(who=who, what=text, **verbs)
