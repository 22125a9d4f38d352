"""Starts a real Dask cluster on this machine: `dask scheduler` and `dask worker` on free ports of 127.0.0.1."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_START_SECONDS = 60.0
_END_SECONDS = 1.0
# Workers tell their state less often than Dask lets them: an idle cluster leaves the processor to what is tested.
_SETTINGS = {"DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False", "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "100ms"}


class DaskCluster:
    """A scheduler and its workers, each in a folder of its own below `folder`.

    `environ` is that of all processes, by default that of this one without variables of nfrun and pytest.
    """

    def __init__(
        self, folder: Path, workers: int = 3, environ: Mapping[str, str] | None = None, options: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self._file = folder / "scheduler.json"
        given = {name: value for name, value in os.environ.items() if not name.startswith(("NFRUN_", "PYTEST_"))}
        self._environ = {**given, **_SETTINGS, **(environ or {})}
        self.workers: list[subprocess.Popen[bytes]] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._options = options
        folder.mkdir(parents=True, exist_ok=True)
        self.scheduler = self._start("scheduler", "--scheduler-file", str(self._file), "--no-dashboard", "--port", "0")
        self._wait(lambda: self._file.exists() and self._file.read_text().rstrip().endswith("}"))
        self.address = str(json.loads(self._file.read_text())["address"])
        for _ in range(workers):
            self.join()
        self.wait_for_workers(workers)

    def join(self, *options: str) -> subprocess.Popen[bytes]:
        """Start another worker with one thread. It may join later."""
        given = ("--nthreads", "1", "--no-nanny", "--no-dashboard", *self._options, *options)
        self.workers.append(self._start("worker", self.address, *given))
        return self.workers[-1]

    def wait_for_workers(self, count: int) -> None:
        """Wait until there are so many workers."""
        self._wait(lambda: len(self.addresses()) == count)

    def end(self) -> None:
        """End all processes, the workers first."""
        for process in reversed(self._processes):
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGCONT)
                    process.terminate()
        for process in reversed(self._processes):
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __enter__(self) -> DaskCluster:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def addresses(self) -> Mapping[str, int]:
        """Return the workers that the scheduler knows: their threads, by address."""
        from distributed import rpc

        async def ask() -> Any:
            async with rpc(self.address) as scheduler:
                return await scheduler.ncores()

        found: Mapping[str, int] = asyncio.run(ask())
        return found

    def _start(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        folder = self.folder / f"{what}-{len(self._processes)}"
        folder.mkdir()
        host = (
            ("--host", "127.0.0.1")
            if what == "scheduler"
            else ("--host", "127.0.0.1", "--local-directory", str(folder))
        )
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "dask", what, *options, *host],
                cwd=folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def _wait(self, is_done: Any) -> None:
        until = time.monotonic() + _START_SECONDS
        while not is_done():
            ended = [process for process in (self.scheduler, *self.workers) if process.poll() is not None]
            if ended or time.monotonic() > until:
                raise RuntimeError(f"the Dask cluster in {self.folder} does not start: see the logs there")
            time.sleep(0.05)
