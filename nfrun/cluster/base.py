"""Defines what an engine is that carries attempts to the workers of a cluster, and what a run needs of a cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from nfrun.cluster.wire import HostConfig
from nfrun.core.pipeline import NOTHING
from nfrun.core.values import field, frozen
from nfrun.tables.places.folder import Place

# Resources of which workers have some of their own, if they declare it. All others are budgets of the run.
PER_WORKER = ("cpu", "memory", "gpu")


@frozen
class RemoteWorker:
    """A worker of the cluster: its address, how many tasks it runs at once, and what it declares of `PER_WORKER`."""

    address: str
    threads: int
    resources: Mapping[str, float] = field(default_factory=lambda: NOTHING)


class Engine(Protocol):
    """Carries attempts to workers, which it chooses. Thread-safe. `name` is that of the executor.

    No method but `ask` and `close` blocks, and these have time limits. When the cluster is gone, the engine calls
    `on_gone(why)` once, which is set after it is made; from then on no attempt ends.
    """

    name: str
    on_gone: Callable[[str], object]

    def workers(self) -> Sequence[RemoteWorker]:
        """Return the workers of the cluster, as far as is known."""

    def submit(
        self,
        token: str,
        name: str,
        needs: Mapping[str, float],
        on_begin: Callable[[str, tuple[int, ...]], object],
        on_message: Callable[[str], object],
        on_end: Callable[[str | None, str], object],
    ) -> None:
        """Queue an attempt for a worker that has what it `needs`. People see it by its `name`.

        `on_begin` is called when its turn has come, with the address of the worker and its units of `gpu`. Then the
        attempt waits for its order. An attempt begins at most once. `on_message` gets the messages of the host, as
        texts. Then `on_end` is called once: with the text of the host's `Ended`, or with None and why it is lost.
        """

    def tell(self, token: str, order: str) -> None:
        """Send its order to an attempt that has begun."""

    def forget(self, token: str) -> None:
        """End an attempt that gets no order."""

    def stop(self, token: str, kill: bool) -> None:
        """Stop an attempt, if it is under way: with SIGTERM, or with SIGKILL if `kill`."""

    def ask(self, worker: str, question: str, seconds: float) -> str:
        """Return the `Answer` of a worker to a `HostConfig`, or why it cannot be used; "" if it does not answer."""

    def close(self, seconds: float = 2.0) -> Sequence[str]:
        """End the hosts of the run, for which it waits so long, and the connection. Returns what they tell of errors.

        Attempts that are under way end by themselves.
        """


@frozen
class Cluster:
    """Holds what a run uses on a cluster: the engine, what its hosts share, and the place for outputs.

    If it `uses_all`, its nodes there take all threads of the workers, and none of `-j`. `warn` and `tell` print
    messages. If it `has_secrets`, workers get nothing to whom it would travel in the open. `made_on` gets the address
    of the worker of each attempt, by its node and number.
    """

    engine: Engine
    config: HostConfig
    place: Place
    uses_all: bool = True
    warn: Callable[[str], object] = lambda message: None
    has_secrets: bool = False
    tell: Callable[[str], object] = lambda message: None
    made_on: dict[tuple[str, int], str] = field(default_factory=dict)


def is_local(address: str) -> bool:
    """Return whether an address is on this machine, as far as can be told; "" is that of a cluster of the run's own."""
    host = address.partition("://")[2].rpartition(":")[0].strip("[]")
    return not address or host in ("localhost", "::1") or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host))


def is_private(address: str) -> bool:
    """Return whether messages to an address are encrypted or stay on this machine."""
    return address.startswith("tls://") or is_local(address)
