"""Carries attempts to the workers of a Dask cluster: `DaskEngine`. Only runs with `--executor dask` import it.

An attempt is a task of Dask, see `dask_worker.make`. It is bound to one worker, so that Dask never runs it elsewhere.
All that is sent goes through the scheduler, which gets builtin functions and texts only: it needs no nfrun.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
import warnings
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import Any

import distributed

from nfrun.cluster import dask_worker
from nfrun.cluster.base import PER_WORKER, RemoteWorker
from nfrun.core.errors import ClusterError
from nfrun.core.values import mutable

_CONNECT_SECONDS = 10.0
_LOOK_SECONDS = 0.5  # between two looks at the workers
_STATUS_SECONDS = 0.1  # between two looks at the connection
_ANSWER_SECONDS = 30.0  # for the scheduler to answer
_CLOSE_SECONDS = 2.0

Heard = Callable[[str], object]
Ended = Callable[[str | None, str], object]


@mutable
class _Attempt:
    """An attempt under way: its worker, whom to tell what is heard of it, its task, and whether that has begun."""

    worker: str
    on_message: Heard
    on_end: Ended
    future: Any = None
    has_begun: bool = False


class DaskEngine:
    """An `Engine` over a Dask cluster. `run` is the name of the run that its hosts know.

    Raises ClusterError if no scheduler answers at `address`. Without an address it starts a cluster with so many
    `slots` on this machine.
    """

    name = "dask"

    def __init__(self, address: str, run: str, slots: int) -> None:
        self._run = run
        self.on_gone: Callable[[str], object] = lambda why: None
        self._attempts: dict[str, _Attempt] = {}  # by token
        self._workers: dict[str, RemoteWorker] = {}
        self._left_out: set[str] = set()
        self._used: set[str] = set()  # workers that may have a host of the run
        self._closed = threading.Event()
        self._silence = _Silence()
        try:
            cluster: Any = None if address else _local_cluster(slots)
            self._cluster, self.address = cluster, str(address or cluster.scheduler_address)
            self._client = _connect(self.address, self._cluster)
        except ClusterError:
            self._silence.end()
            raise
        self._client.subscribe_topic(self._client.id, self._hear)
        try:
            self._await_workers()
        except Exception as error:
            self.close()
            if isinstance(error, ClusterError):
                raise
            raise ClusterError(f"the Dask scheduler at {self.address} does not answer: {_text(error)}") from None
        threading.Thread(target=self._watch, name="nfrun-dask", daemon=True).start()

    def workers(self) -> Sequence[RemoteWorker]:
        return [worker for address, worker in self._workers.items() if address not in self._left_out]

    def submit(self, token: str, worker: str, order: str, shares: bool, on_message: Heard, on_end: Ended) -> None:
        self._do(self._submit, token, order, shares, _Attempt(worker, on_message, on_end))

    def stop(self, token: str, kill: bool) -> None:
        self._do(self._stop, token, kill)

    def ask(self, question: str, seconds: float) -> Mapping[str, str]:
        asked = list(self._workers)
        self._used.update(asked)
        answers: dict[str, Any] = {}

        async def ask(worker: str) -> None:
            answers.update(await self._call(dask_worker.ask, [worker], seconds, question))

        async def ask_all() -> None:
            await asyncio.gather(*map(ask, asked))
            with suppress(Exception):
                await self._look()  # which of them have left meanwhile

        with suppress(Exception):
            self._wait(ask_all(), seconds + 1)
        found = {worker: str(answers.get(worker, "it does not answer")) for worker in asked}
        for worker in found.keys() - self._workers.keys():
            if not found[worker].startswith("{"):
                found[worker] = "it has left the cluster"
        return found

    def leave_out(self, workers: Collection[str]) -> None:
        self._left_out.update(workers)
        self._used.difference_update(workers)  # their hosts end by themselves

    def close(self, seconds: float = _CLOSE_SECONDS) -> Sequence[str]:
        if self._closed.is_set():
            return ()
        self._closed.set()
        told: list[str] = []
        if self._client.status == "running" and self._used:
            with suppress(Exception):
                ended = self._wait(self._call(dask_worker.end, list(self._used), seconds, self._run), seconds)
                told += [message for messages in ended.values() if isinstance(messages, list) for message in messages]
        for each in filter(None, (self._client, self._cluster)):
            with suppress(Exception):
                each.close(timeout=_CLOSE_SECONDS)
        self._silence.end()
        return told

    # -- on the event loop of the client -----------------------------------------------------------------------------

    def _submit(self, token: str, order: str, shares: bool, own: _Attempt) -> None:
        """Submit the task of an attempt, and send its order beside it: Dask shows what a task has."""
        if own.worker not in self._workers:
            own.on_end(None, _left(own.worker))
            return
        given = {"topic": self._client.id, "run": self._run, "token": token, "shares": shares}
        try:
            own.future = self._client.submit(
                *(eval, dask_worker.TASK, given),
                key=dask_worker.KEY + token,
                workers=[own.worker],
                allow_other_workers=False,
                pure=False,
            )
        except Exception as error:  # the connection is about to be lost
            own.on_end(None, f"it could not be sent to {own.worker}: {_text(error)}")
            return
        self._used.add(own.worker)
        self._attempts[token] = own
        self._start(self._give(token, order, own.worker))

    def _hear(self, event: tuple[float, Any]) -> None:
        """Take what a worker tells of an attempt."""
        _, found = event
        if isinstance(found, Mapping):
            return  # what Dask itself tells of the client
        worker, token, kind, text = found
        if (own := self._attempts.get(token)) is None:
            return
        if kind == dask_worker.MESSAGE:
            own.on_message(text)
        elif kind == dask_worker.ENDED:
            self._end(token, text, "")
        elif not own.has_begun:
            own.has_begun = True
        else:  # Dask makes tasks again whose worker has left, and another has its address now
            self._end(token, None, _left(worker))

    async def _give(self, token: str, order: str, worker: str) -> None:
        """Send the order of an attempt."""
        answers = await self._call(dask_worker.give, [worker], None, self._run, token, order)
        if (problem := answers.get(worker, "it cannot be reached")) is not None:
            self._end(token, None, f"nothing can be sent to its worker {worker}: {problem}")

    def _stop(self, token: str, kill: bool) -> None:
        if (attempt := self._attempts.get(token)) is None:
            return
        self._start(self._call(dask_worker.stop, [attempt.worker], None, self._run, token, kill))
        if not attempt.has_begun:  # its task waits for a thread
            self._end(token, None, "")

    def _end(self, token: str, text: str | None, why: str) -> None:
        """Tell the end of an attempt, once, and let go of its task."""
        if (attempt := self._attempts.pop(token, None)) is not None:
            attempt.on_end(text, why)
            attempt.future.release()

    async def _look(self) -> None:
        """Look which workers there are, and end attempts whose worker has left, or whose task has failed."""
        threads: Mapping[str, int] = await self._client.scheduler.ncores()
        if threads.keys() - self._workers.keys():
            identity = await self._client.scheduler.identity()
            found = identity["workers"]
        else:
            found = {}
        workers = {}
        for address, count in threads.items():
            if address in found:
                workers[address] = _worker(address, count, found[address])
            elif address in self._workers:
                workers[address] = self._workers[address]
        self._workers = workers
        self._left_out &= workers.keys()
        for token, attempt in list(self._attempts.items()):
            if attempt.worker not in workers:
                self._end(token, None, _left(attempt.worker))
            elif (problem := _problem(attempt.future)) is not None:
                self._end(token, None, f"its worker {attempt.worker} could not make it: {problem}")

    async def _call(
        self, function: Callable[..., Coroutine[Any, Any, Any]], workers: list[str], seconds: float | None, *given: Any
    ) -> Mapping[str, Any]:
        """Call a function on workers, and return what it returned, or the error. An empty mapping after the time."""
        try:
            call: Any = self._client.run(function, *given, workers=workers, on_error="return")
            found: Mapping[str, Any] = await asyncio.wait_for(call, seconds)
        except Exception:  # the attempt ends by its lease, and the host when it has been idle
            return {}
        return {
            address: _text(answer) if isinstance(answer, Exception) else answer for address, answer in found.items()
        }

    def _await_workers(self) -> None:
        until = time.monotonic() + _CONNECT_SECONDS
        self._wait(self._look(), _ANSWER_SECONDS)
        while not self._workers:
            if time.monotonic() > until:
                raise ClusterError(f"the Dask cluster at {self.address} has no workers: start some with 'dask worker'")
            time.sleep(_LOOK_SECONDS)
            self._wait(self._look(), _ANSWER_SECONDS)

    # -- on other threads --------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Look at the connection and at the workers until the end of the run."""
        looked, look = time.monotonic(), None
        while not self._closed.wait(_STATUS_SECONDS):
            if self._client.status != "running":
                self._tell_gone("the connection to it is lost")
                return
            now = time.monotonic()
            has_answered = look is None or (look.done() and look.exception() is None)
            if not has_answered and now - looked > _ANSWER_SECONDS:
                self._tell_gone("it does not answer")
                return
            if (look is None or look.done()) and now - looked >= _LOOK_SECONDS:
                looked, look = now, self._start(self._look())

    def _tell_gone(self, why: str) -> None:
        if not self._closed.is_set():
            self.on_gone(f"the Dask scheduler at {self.address} is gone: {why}")

    def _do(self, do: Callable[..., object], *given: Any) -> None:
        """Do something on the event loop of the client."""
        self._client.loop.asyncio_loop.call_soon_threadsafe(do, *given)

    def _start(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._client.loop.asyncio_loop)

    def _wait(self, coroutine: Coroutine[Any, Any, Any], seconds: float) -> Any:
        return self._start(coroutine).result(seconds)


# Dask has no types for what follows.
# A client that could not connect is given up: to close it takes 20 s, and fails in its `__del__`.
_Client: Callable[..., Any] = type("Client", (distributed.Client,), {"__del__": lambda self: None})
_LocalCluster: Callable[..., Any] = distributed.LocalCluster


def _local_cluster(slots: int) -> Any:
    """Start a cluster with one worker on this machine. Attempts are processes of their own, whatever its threads."""
    try:
        return _LocalCluster(
            n_workers=1,
            processes=False,
            protocol="tcp://",
            threads_per_worker=slots,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
    except Exception as error:
        raise ClusterError(f"no Dask cluster could be started on this machine: {_text(error)}") from None


def _connect(address: str, cluster: Any) -> Any:
    """Return a client. Raises ClusterError if that takes longer than it should."""
    found: SimpleQueue[Any] = SimpleQueue()

    def connect() -> None:
        try:
            if cluster is None:
                _check_address(address)
            with warnings.catch_warnings():  # of other packages on workers: the preflight tells of those that count
                warnings.simplefilter("ignore")
                found.put(_Client(cluster or address, timeout=_CONNECT_SECONDS, set_as_default=False, name="nfrun"))
        except ClusterError as error:
            found.put(error)
        except MemoryError:  # what answers gives an absurd length
            found.put(ClusterError(f"what answers at {address} is no Dask scheduler"))
        except Exception as error:
            found.put(ClusterError(f"no Dask scheduler answers at {address}: {_text(error)}"))

    # On a thread: what answers, but is no scheduler, keeps Dask waiting for longer than its time limit.
    threading.Thread(target=connect, name="nfrun-connect", daemon=True).start()
    try:
        client = found.get(timeout=_CONNECT_SECONDS + 1)
    except Empty:
        client = ClusterError(f"no Dask scheduler answers at {address} within {_CONNECT_SECONDS:g} s")
    if isinstance(client, ClusterError):
        if cluster is not None:
            cluster.close(timeout=_CLOSE_SECONDS)
        raise client
    return client


def _check_address(address: str) -> None:
    """Raise OSError if nobody listens there: Dask tries again and again. Raises ClusterError without certificates."""
    host, _, port = address.partition("://")[2].rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    security: Any = import_module("distributed.security").Security()
    if address.startswith("tls://") and security.get_connection_args("client").get("ssl_context") is None:
        raise ClusterError(
            f"{address} needs certificates, and Dask has none: set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, "
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY"
        )


def _worker(address: str, threads: int, identity: Mapping[str, Any]) -> RemoteWorker:
    declared = {str(name).lower(): amount for name, amount in (identity.get("resources") or {}).items()}
    resources = {name: float(declared[name]) for name in PER_WORKER if name in declared}
    if "memory" not in resources and identity.get("memory_limit"):
        resources["memory"] = float(identity["memory_limit"])
    slots = resources.pop("cpu", float(threads))
    return RemoteWorker(address, slots, resources)


def _left(worker: str) -> str:
    return f"its worker {worker} has left the cluster"


def _problem(future: Any) -> str | None:
    """Return why the task of an attempt under way has failed, None if it has not."""
    if future.status == "pending":
        return None
    error = future._state.exception if future.status == "error" else None
    return _text(error) if error is not None else f"its task is {future.status}"


def _text(error: Any) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class _Silence:
    """Dask logs nothing meanwhile: what goes wrong is told once, in nfrun's words."""

    def __init__(self) -> None:
        names = [name for name in logging.root.manager.loggerDict if f"{name}.".startswith("distributed.")]
        self._levels = {log: log.level for log in map(logging.getLogger, names) if log.level != logging.NOTSET}
        for log in self._levels:
            log.setLevel(logging.CRITICAL + 1)

    def end(self) -> None:
        for log, level in self._levels.items():
            log.setLevel(level)
