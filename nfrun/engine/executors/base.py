"""Defines what an executor is (`Executor`), and what it gets (`ExecutorContext`).

An executor starts attempts and reports each outcome to a callback. The runner owns the scheduler.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nfrun.core.events import NodeStarted, Outcome
from nfrun.core.pipeline import NOTHING
from nfrun.core.values import field, frozen
from nfrun.engine.attempt import AttemptRunner, RunAttempt
from nfrun.engine.instance_closer import FindUnused

if TYPE_CHECKING:
    from nfrun.tables.store import TableStore

# Takes an outcome and returns the attempt that the calling thread runs next, or None.
OnOutcome = Callable[[Outcome], NodeStarted | None]


class Executor(Protocol):
    """Runs attempts concurrently. Each started attempt gives one outcome, unless `close` is called first.

    `own` has the resources of which its nodes take nothing of what the run has, as it has some on its own.

    `name` is that in the registry. If it `begins_at_once`, the timeout counts from `start`, even if the attempt waits
    for a thread. Another executor calls `AttemptRunner.on_begun` when the work of an attempt begins: the timeout
    counts from then, and not while the attempt waits for a worker or its files.
    """

    name: str
    begins_at_once: bool
    own: Collection[str]

    def capacity(self, now: float) -> float | None:
        """Return the slots that there are now, those in use included. Asked several times a second. Never blocks.

        Nodes that do not fit are not started, but wait. None means as many as the run has; an executor returns it
        always or never.
        """

    def start(self, attempt: NodeStarted) -> None:
        """Start an attempt. Never blocks."""

    def stop(self, node: str, attempt: int, call: int = 0, grace: float = 0.0) -> None:
        """Ask an attempt, or one of its calls, to stop, if it is still running. Never blocks."""

    def close(self, grace: float = 0.0) -> None:
        """End idle workers, and after `grace` seconds kill the attempts that can be killed.

        Does not wait for attempts that cannot be killed, such as Python code on a thread.
        """


@frozen
class Placement:
    """The executor of each node of a run.

    `executors` are the executors by node, without the nodes on threads. The worker process of a node in
    `worker_environ` starts with these variables. The nodes `exposed` run on threads and use state that all nodes of
    the process share: why they are not reused. The tables that the `unshared` nodes return share no memory with
    objects that change later. Only queries, which read files themselves, read what the nodes `in_files` read from
    files. Arrow's thread pool gets `arrow_threads` in worker processes, 0 if it may follow their environment.
    """

    executors: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    worker_environ: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: NOTHING)
    exposed: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    unshared: Set[str] = frozenset()
    arrow_threads: int = 0
    in_files: Set[str] = frozenset()


ON_THREADS = Placement()


@frozen
class ExecutorContext:
    """The settings that the executors of a run share.

    `runner` makes an attempt in this process. `with_cache` wraps what makes an attempt with the lookup of earlier
    results. Outputs that are made elsewhere are files in `folder`, which `store` registers. `slots` is how many nodes
    run at once. An executor whose processes keep instances of classes adds to `finders` what finds the unused ones.
    `on_error(error)` ends the run for an error outside of any node. `on_cluster` makes the executor of a run on a
    cluster.
    """

    runner: AttemptRunner
    with_cache: Callable[[RunAttempt], RunAttempt]
    store: TableStore
    folder: Path
    slots: int
    placement: Placement
    finders: list[FindUnused] = field(default_factory=list)
    on_error: Callable[[Exception], object] = lambda error: None
    on_cluster: MakeExecutor | None = None


MakeExecutor = Callable[[ExecutorContext, OnOutcome], Executor]
