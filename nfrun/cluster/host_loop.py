"""Reads the frames that come to a host, and answers them: makes attempts, stops them, and answers questions."""

from __future__ import annotations

import json
import platform
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path

from nfrun.cluster import frames
from nfrun.cluster.frames import Frame, read_frame, write_frame
from nfrun.cluster.host_attempts import HostRun
from nfrun.cluster.wire import Answer, Ended, HostConfig, RemoteOrder, Told, WireError, from_text, to_text
from nfrun.core.errors import HandoffError
from nfrun.core.events import nfrun_failure
from nfrun.nodes.base import CancelToken
from nfrun.system.threads import start_thread

_PACKAGES = ("pyarrow", "pandas", "polars")  # that give other digests in other versions


class HostLoop:
    """Serves the frames of one host, whose folder is `folder`. Once it `is_ending`, no attempt tells its end.

    `memory` are the bytes that an attempt may use, 0 for all of the machine.
    """

    def __init__(self, out: Connection, folder: Path, memory: int) -> None:
        self._out = out
        self._folder, self._memory = folder, memory
        self._writing = threading.Lock()
        self._setting_up = threading.Lock()
        self._run: HostRun | None = None
        self.is_ending = False
        self._tokens: dict[str, CancelToken] = {}

    def serve(self, pipe: Connection) -> None:
        """Serve until the end of the frames, or until one of them says so. Raises nothing that a run can cause."""
        gracefully = False
        while not gracefully and (frame := read_frame(pipe)) is not None:
            if frame.kind == frames.ORDER:
                self._tokens[frame.name] = token = CancelToken()
                self._start(self._make, frame, token)
            elif frame.kind == frames.ASK:
                self._start(self._answer, frame)
            elif frame.kind in (frames.STOP, frames.KILL) and (found := self._tokens.get(frame.name)) is not None:
                # On a thread of its own: callbacks may wait for a lock.
                self._start(found.kill if frame.kind == frames.KILL else found.cancel)
            gracefully = frame.kind == frames.END
        self.is_ending = True
        messages = self._run.close(at_once=not gracefully) if self._run is not None else []
        self._write(Frame(frames.CLOSED, text=json.dumps(messages)))

    def _start(self, do: Callable[..., object], *arguments: object) -> None:
        try:
            start_thread(do, "nfrun-host-attempt", *arguments)
        except HandoffError:  # no more threads: the others end first
            do(*arguments)

    def _make(self, frame: Frame, cancel_token: CancelToken) -> None:
        try:
            remote: RemoteOrder = from_text(frame.text)
            told: Mapping[str, str] = {}
            try:
                run = self._run_of(remote.config)
                told = run.told
                ended = run.make(remote, cancel_token, self._send)
            except Exception as error:
                ended = Ended(frame.name, remote.order.start.outcome(nfrun_failure(error)))
            text = to_text(ended)
            for ours, theirs in told.items():
                text = text.replace(_quoted(ours), _quoted(theirs))
        except WireError as error:
            text = to_text(Ended(frame.name, lost=str(error)))
        del self._tokens[frame.name]
        if not self.is_ending:
            self._write(Frame(frames.ENDED, frame.name, text))

    def _run_of(self, config: HostConfig) -> HostRun:
        with self._setting_up:
            if self._run is None:
                self._run = HostRun(config, self._folder, self._memory)
            return self._run

    def _answer(self, frame: Frame) -> None:
        """Say whether this host can make the attempts of a run."""
        try:
            self._run_of(from_text(frame.text))
            text = to_text(Answer({"python": platform.python_version(), **_versions()}))
        except (WireError, HandoffError, OSError) as error:
            text = str(error)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
        self._write(Frame(frames.ANSWER, frame.name, text))

    def _send(self, message: Told) -> None:
        self._write(Frame(frames.MESSAGE, message.token, to_text(message)))

    def _write(self, frame: Frame) -> None:
        with self._writing, suppress(OSError):  # nobody reads any more: then the other pipe ends, too
            write_frame(self._out, frame)


def _quoted(path: str) -> str:
    """Return a path as it stands in JSON."""
    return json.dumps(path)[1:-1]


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
