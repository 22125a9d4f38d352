"""Tests of which attempts use which threads of a Dask worker. Its client and the worker are simple classes here."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

pytest.importorskip("distributed", reason="needs Dask: pip install 'distributed>=2024.1'")

from nfrun.cluster import dask_channel, dask_worker
from nfrun.cluster.dask_channel import DaskChannel, Order


class Future:
    """The future of a permit."""

    def __init__(self) -> None:
        self.is_released = False
        self.problem: str | None = None

    def release(self) -> None:
        self.is_released = True


class Client:
    """A client whose worker holds each permit as soon as it is asked, if it `grants` permits."""

    id = "client"

    def __init__(self) -> None:
        self.connection_args: dict[str, Any] = {}
        self.futures: list[Future] = []
        self.permits: list[str] = []
        self.sent: list[Any] = []
        self.lost = False
        self.problem: str | None = None
        self.grants = True
        self.channel = DaskChannel(self, "worker", "run", self.call, lambda: setattr(self, "lost", True))

    def submit(self, function: Any, text: str, given: dict[str, Any], **options: Any) -> Future:
        assert options["workers"] == ["worker"]
        self.permits.append(given["permit"])
        self.futures.append(Future())
        if self.grants:
            asyncio.get_running_loop().call_soon(self.channel.hear, [("held", given["permit"])])
        return self.futures[-1]

    async def call(self, function: Any, *given: Any) -> str | None:
        if function is dask_worker.take:
            self.sent += given[1]
        return self.problem

    def orders(self) -> list[tuple[str, int]]:
        """Return the attempts that were sent, each with the number of its permit."""
        return [(m[1], self.permits.index(m[2])) for m in self.sent if m[0] == "order"]


class Ends:
    """What attempts tell: their ends."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.found: list[tuple[str, str | None, str]] = []

    def submit(self, token: str, shares: bool = False) -> None:
        told = self.found
        self.client.channel.submit(
            Order(token, "text", shares, lambda text: None, lambda text, why: told.append((token, text, why)))
        )

    def end(self, token: str) -> None:
        self.client.channel.hear([("ended", token, "end")])


@pytest.fixture(autouse=True)
def _through_the_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(address: str, **options: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr(dask_channel, "_connect", refuse)


def run(trial: Coroutine[Any, Any, None]) -> None:
    asyncio.run(trial)


async def steps() -> None:
    """Let everything that waits on the event loop go on."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_short_attempts_use_a_permit_one_after_the_other() -> None:
    async def trial() -> None:
        client = Client()
        ends = Ends(client)
        ends.submit("a")
        ends.submit("b")
        await steps()
        assert client.orders() == [("a", 0), ("b", 1)]
        ends.end("a")
        ends.submit("c")
        await steps()
        assert client.orders() == [("a", 0), ("b", 1), ("c", 0)]
        assert ends.found == [("a", "end", "")]
        assert len(client.futures) == 2

    run(trial())


def test_a_permit_is_given_back_when_others_may_wait_for_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    async def trial() -> None:
        client = Client()
        ends = Ends(client)
        ends.submit("a")
        await steps()
        ends.end("a")
        assert client.futures[0].is_released
        ends.submit("b")
        await steps()
        assert client.orders() == [("a", 0), ("b", 1)]
        assert ("free", client.permits[0]) in client.sent

    monkeypatch.setattr(dask_channel, "_HOLD_SECONDS", -1.0)
    run(trial())


def test_a_permit_without_an_attempt_is_given_back_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    async def trial() -> None:
        client = Client()
        ends = Ends(client)
        ends.submit("a")
        await steps()
        ends.end("a")
        while not client.futures[0].is_released:
            await asyncio.sleep(0)
        await steps()
        assert client.sent[-1] == ("free", client.permits[0])

    monkeypatch.setattr(dask_channel, "_IDLE_SECONDS", 0.0)
    run(trial())


def test_an_attempt_that_shares_its_thread_uses_a_permit_of_its_own() -> None:
    async def trial() -> None:
        client = Client()
        ends = Ends(client)
        ends.submit("a", shares=True)
        await steps()
        ends.end("a")
        assert client.futures[0].is_released
        ends.submit("b", shares=True)
        await steps()
        assert client.orders() == [("a", 0), ("b", 1)]

    run(trial())


def test_an_attempt_that_waits_for_a_thread_can_be_stopped() -> None:
    async def trial() -> None:
        client = Client()
        client.grants = False
        ends = Ends(client)
        ends.submit("a")
        await steps()
        assert not client.channel.stop("a", kill=False)
        assert ends.found == [("a", None, "")]
        client.channel.hear([("held", client.permits[0])])
        await steps()
        assert client.orders() == []

    run(trial())


def test_an_attempt_under_way_is_stopped_there() -> None:
    async def trial() -> None:
        client = Client()
        ends = Ends(client)
        ends.submit("a")
        await steps()
        assert client.channel.stop("a", kill=True)
        await steps()
        assert client.sent[-1] == ("stop", "a", True)
        assert ends.found == []

    run(trial())


def test_a_permit_that_fails_ends_an_attempt_that_waits_for_it() -> None:
    async def trial() -> None:
        client = Client()
        client.grants = False
        ends = Ends(client)
        ends.submit("a")
        await steps()
        client.futures[0].problem = "no module"
        client.channel.check(lambda future: future.problem)
        assert ends.found == [("a", None, "its worker worker could not make it: no module")]

    run(trial())


def test_a_permit_that_the_worker_gives_up_ends_its_attempt_only() -> None:
    async def trial() -> None:
        client = Client()
        ends = Ends(client)
        ends.submit("a")
        ends.submit("b")
        await steps()
        client.channel.hear([("over", client.permits[0])])
        assert ends.found == [("a", None, "its worker worker has given it up")]
        ends.end("b")
        assert ends.found[1:] == [("b", "end", "")]

    run(trial())


def test_all_attempts_end_with_a_worker_that_is_lost_or_takes_nothing() -> None:
    async def trial(problem: str | None) -> None:
        client = Client()
        ends = Ends(client)
        ends.submit("a")
        await steps()
        client.problem = problem
        ends.submit("b")
        await steps()
        if problem is None:
            client.channel.lose("it has left")
        ends.submit("c")
        why = "it has left" if problem is None else "nothing can be sent to its worker worker: no answer"
        assert ends.found == [("a", None, why), ("b", None, why), ("c", None, why)]
        assert all(future.is_released for future in client.futures)

    run(trial(None))
    run(trial("no answer"))
