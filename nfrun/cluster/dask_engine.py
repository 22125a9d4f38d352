"""Carries attempts to the workers of a Dask cluster: `DaskEngine`. Only runs with `--executor dask` import it.

An attempt is a task of Dask, see `dask_worker.make`. Dask chooses its worker, and executes it again if that is lost:
the first execution that begins is the attempt, and with a second one the attempt is lost. All that is sent goes through
the scheduler, which gets builtin functions and texts only: it needs no nfrun.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Mapping, Sequence
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
    """An attempt under way: its callbacks, its task, and its execution once that has begun."""

    on_begin: Callable[[str, tuple[int, ...]], object]
    on_message: Heard
    on_end: Ended
    future: Any = None
    worker: str = ""
    execution: str = ""


class DaskEngine:
    """An `Engine` over a Dask cluster. `run` is the name of the run that its hosts know.

    Raises ClusterError if no scheduler answers at `address`. Without an address it starts a cluster on this machine,
    whose worker has what `here` says of `PER_WORKER`.
    """

    name = "dask"

    def __init__(self, address: str, run: str, here: Mapping[str, float]) -> None:
        self._run = run
        self.on_gone: Callable[[str], object] = lambda why: None
        self._attempts: dict[str, _Attempt] = {}  # by token
        self._workers: dict[str, RemoteWorker] = {}
        self._spelling: dict[str, str] = {}  # of resources, as workers declare them
        self._used: set[str] = set()  # workers that may have a host of the run
        self._closed = threading.Event()
        self._silence = _Silence()
        try:
            cluster: Any = None if address else _local_cluster(here)
            self._cluster, self.address = cluster, str(address or cluster.scheduler_address)
            self._client = _connect(self.address, self._cluster)
        except ClusterError:
            self._silence.end()
            raise
        self._client.subscribe_topic(self._client.id, self._hear)
        try:
            self._wait(self._look(), _ANSWER_SECONDS)
        except Exception as error:
            self.close()
            raise ClusterError(f"the Dask scheduler at {self.address} does not answer: {_text(error)}") from None
        threading.Thread(target=self._watch, name="nfrun-dask", daemon=True).start()

    def workers(self) -> Sequence[RemoteWorker]:
        return list(self._workers.values())

    def submit(
        self,
        token: str,
        name: str,
        needs: Mapping[str, float],
        on_begin: Callable[[str, tuple[int, ...]], object],
        on_message: Heard,
        on_end: Ended,
    ) -> None:
        self._do(self._submit, token, name, needs, _Attempt(on_begin, on_message, on_end))

    def tell(self, token: str, order: str) -> None:
        self._do(lambda: self._start(self._give(token, order)))

    def forget(self, token: str) -> None:
        self._do(self._end, token, None, "")

    def stop(self, token: str, kill: bool) -> None:
        self._do(self._stop, token, kill)

    def ask(self, worker: str, question: str, seconds: float) -> str:
        self._used.add(worker)
        answers: Mapping[str, Any] = {}
        with suppress(Exception):
            answers = self._wait(self._call(dask_worker.ask, [worker], seconds, question), seconds + 1)
            self._wait(self._look(), seconds)
        answer = str(answers.get(worker, ""))
        return answer if answer and (worker in self._workers or answer.startswith("{")) else ""

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

    def _submit(self, token: str, name: str, needs: Mapping[str, float], own: _Attempt) -> None:
        """Submit the task of an attempt. It has names only: Dask shows what a task has."""
        key = f"{name}-{token}"  # Dask takes tasks whose keys begin alike for a group
        gpu = needs.get("gpu", 0.0)
        given = {"topic": self._client.id, "run": self._run, "key": key, "token": token, "gpu": gpu}
        resources = {self._spelling.get(each, each): amount for each, amount in needs.items()}
        try:
            own.future = self._client.submit(
                *(eval, dask_worker.TASK, given), key=key, resources=resources, retries=0, pure=False
            )
        except Exception as error:  # the connection is about to be lost
            own.on_end(None, f"it could not be sent to the cluster: {_text(error)}")
            return
        self._attempts[token] = own

    def _hear(self, event: tuple[float, Any]) -> None:
        """Take what a worker tells of an execution."""
        _, found = event
        if isinstance(found, Mapping):
            return  # what Dask itself tells of the client
        worker, execution, token, kind, given = found
        if (own := self._attempts.get(token)) is None:
            return
        if kind == dask_worker.MESSAGE:
            own.on_message(given)
        elif kind == dask_worker.ENDED:
            self._end(token, given, "")
        elif not own.execution:
            own.worker, own.execution = worker, execution
            self._used.add(worker)
            own.on_begin(worker, tuple(given))
        else:  # Dask executes tasks again whose worker has left
            self._end(token, None, _left(own.worker))

    async def _give(self, token: str, order: str) -> None:
        """Send the order of an attempt."""
        if (own := self._attempts.get(token)) is not None:
            answers = await self._call(dask_worker.give, [own.worker], None, own.execution, order)
            if (problem := answers.get(own.worker, "it cannot be reached")) is not None:
                self._end(token, None, f"nothing can be sent to its worker {own.worker}: {problem}")

    def _stop(self, token: str, kill: bool) -> None:
        if (own := self._attempts.get(token)) is None:
            return
        if own.execution:
            self._start(self._call(dask_worker.stop, [own.worker], None, self._run, token, kill))
        else:  # its task waits for a worker
            self._end(token, None, "")

    def _end(self, token: str, text: str | None, why: str) -> None:
        """End an attempt, and release its task."""
        if (own := self._attempts.pop(token, None)) is not None:
            own.on_end(text, why)
            own.future.release()

    async def _look(self) -> None:
        """Look which workers there are, and end attempts whose worker has left, or whose task has failed."""
        threads: Mapping[str, int] = await self._client.scheduler.ncores()
        if threads.keys() != self._workers.keys():
            found = (await self._client.scheduler.identity())["workers"]
            self._workers = {address: _worker(address, found[address]) for address in threads if address in found}
            declared = [name for worker in found.values() for name in worker.get("resources") or ()]
            self._spelling.update({name.lower(): name for name in declared})
        for token, own in list(self._attempts.items()):
            if own.execution and own.worker not in self._workers:
                self._end(token, None, _left(own.worker))
            elif (problem := _problem(own.future)) is not None:
                self._end(token, None, f"{own.worker or 'the cluster'} could not make it: {problem}")

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


def _local_cluster(here: Mapping[str, float]) -> Any:
    """Start a cluster with one worker on this machine. Attempts are processes of their own, whatever its threads."""
    try:
        return _LocalCluster(
            n_workers=1,
            processes=False,
            protocol="tcp://",
            threads_per_worker=int(here["cpu"]),
            resources=here,
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
    """Raise OSError if no process listens: Dask tries again and again. Raises ClusterError without certificates."""
    host, _, port = address.partition("://")[2].rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    security: Any = import_module("distributed.security").Security()
    if address.startswith("tls://") and security.get_connection_args("client").get("ssl_context") is None:
        raise ClusterError(
            f"{address} needs certificates, and Dask has none: set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, "
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY"
        )


def _worker(address: str, identity: Mapping[str, Any]) -> RemoteWorker:
    declared = {str(name).lower(): float(amount) for name, amount in (identity.get("resources") or {}).items()}
    return RemoteWorker(
        address, identity["nthreads"], {name: declared[name] for name in PER_WORKER if name in declared}
    )


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
    """Silences Dask's log: nfrun reports each error once, in its own words."""

    def __init__(self) -> None:
        names = [name for name in logging.root.manager.loggerDict if f"{name}.".startswith("distributed.")]
        self._levels = {log: log.level for log in map(logging.getLogger, names) if log.level != logging.NOTSET}
        for log in self._levels:
            log.setLevel(logging.CRITICAL + 1)

    def end(self) -> None:
        for log, level in self._levels.items():
            log.setLevel(level)
