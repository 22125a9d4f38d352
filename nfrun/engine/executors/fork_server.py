"""Starts worker processes by a fork server, or as a new Python where a worker has variables of its own from its start.

The fork server is a process without threads that has imported what workers need: forking a process that has threads may
hang, and starting a new Python takes twenty times as long.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, context, forkserver, popen_forkserver, process, reduction, spawn, util
from typing import Any

from nfrun.system.processes.process_exit import use_temp_folder

_STARTING = threading.Lock()  # of the fork server: its start changes `os.environ` for a moment
_PRELOAD = "nfrun.engine.executors.preload"

NO_VARIABLES: Mapping[str, str] = {}

# The pipe for orders and replies, the writing ends for stdout and stderr, and a config.
ServeArguments = tuple[connection.Connection, Sequence[connection.Connection], Any]
# Runs in the worker with these arguments.
Serve = Callable[[connection.Connection, Sequence[connection.Connection], Any], None]


def start_server(preload: Sequence[str], variables: Mapping[str, str] = NO_VARIABLES) -> None:
    """Start the fork server in the background, unless this process has one.

    It imports `preload`, then `preload.py`. It keeps the present environment variables and `variables`, which these
    imports read; each worker sets those of its run.
    """
    # Python's hashes of texts, and with them the order of sets, are the same in all workers of all runs.
    changed = {**variables, "PYTHONSAFEPATH": "1", "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "0")}
    multiprocessing.get_context("forkserver").set_forkserver_preload([*preload, _PRELOAD])
    use_temp_folder()
    with _STARTING, suppress(Exception), _changed_environ(changed):  # starting the first worker reports the error
        forkserver.ensure_running()


def _forget_server() -> None:
    """In a forked child: have no fork server. That of the parent cannot be asked, nor waited for."""
    _STARTING._at_fork_reinit()  # type: ignore[attr-defined]  # another thread may have held it
    _server._lock = threading.Lock()
    if _server._forkserver_alive_fd is not None:
        os.close(_server._forkserver_alive_fd)
    _server._forkserver_address = _server._forkserver_alive_fd = _server._forkserver_pid = None
    _process.current_process()._config.pop("tempdir", None)  # the parent removes it at its end


os.register_at_fork(after_in_child=_forget_server)


@contextmanager
def _changed_environ(changed: Mapping[str, str]) -> Iterator[None]:
    """Change variables for a Python that starts inside, and let no SIGINT interrupt its start."""
    before = {name: os.environ.get(name) for name in changed}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


# Names of the standard library that its type stubs don't have.
_server: Any = forkserver._forkserver
_util: Any = util
_process: Any = process


class _Popen(popen_forkserver.Popen):
    """Starts a process by the fork server as the standard library does, but without the program's main module.

    No worker needs that module. To import it again would run all of a program that has no `if __name__ == "__main__"`.
    """

    _fds: list[int]

    def _launch(self, process_obj: process.BaseProcess) -> None:
        data = spawn.get_preparation_data(process_obj.name)
        data = {key: value for key, value in data.items() if not key.startswith("init_main")}
        buffer = io.BytesIO()
        context.set_spawning_popen(self)
        try:
            reduction.dump(data, buffer)
            reduction.dump(process_obj, buffer)
        finally:
            context.set_spawning_popen(None)
        self.sentinel, written = forkserver.connect_to_new_process(self._fds)
        parent = os.dup(written)  # the process notices by it when this one ends
        self.finalizer = _util.Finalize(self, _util.close_fds, (parent, self.sentinel))
        with os.fdopen(written, "wb") as file:
            file.write(buffer.getbuffer())
        self.pid = forkserver.read_signed(self.sentinel)


class _Process(context.ForkServerProcess):
    # What a node starts there is forked, as on a thread, so that nfrun sees what it opens.
    _start_method = None  # type: ignore[assignment]

    def start(self) -> None:
        """Start the process, also in a daemon process, as those of `multiprocessing.Pool` are: it ends with it."""
        config, own = _process.current_process()._config, self._config  # type: ignore[attr-defined]
        is_daemon = config.pop("daemon", None)
        own.pop("daemon", None)
        try:
            super().start()
        finally:
            if is_daemon:
                config["daemon"] = is_daemon

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> _Popen:
        return _Popen(process_obj)


def make_process(serve: Serve, arguments: ServeArguments, environ: Mapping[str, str]) -> context.ForkServerProcess:
    """Return a process, not started yet, that runs `serve` with these arguments.

    With `environ`, it becomes a new Python that has these variables from its start, since some libraries read them when
    they are imported.
    """
    if not environ:
        return _Process(target=serve, args=arguments, name="nfrun-worker")
    return _Process(target=_restart, args=(serve, arguments, environ), name="nfrun-worker")


def _restart(serve: Serve, arguments: ServeArguments, environ: Mapping[str, str]) -> None:
    """Become a new Python that runs `serve`. It keeps the process id, by which the fork server knows it."""
    pipe, streams, config = arguments
    parent = process.parent_process()
    numbers = [pipe.fileno(), *(stream.fileno() for stream in streams), parent.sentinel if parent else -1]
    with tempfile.TemporaryFile() as file:
        pickle.dump((serve, config), file)
        file.flush()
        for number in (file.fileno(), *numbers):
            os.set_inheritable(number, True)
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import resume; resume({file.fileno()}, {numbers})"
        )
        command = [sys.executable, *_util._args_from_interpreter_flags(), "-P", "-c", code]
        os.execve(sys.executable, command, {**os.environ, **environ})


def resume(file: int, numbers: Sequence[int]) -> None:
    """Run `serve` in the new Python. The arguments are numbers of open files."""
    with os.fdopen(file, "rb") as config_file:
        config_file.seek(0)
        serve, config = pickle.load(config_file)
    for number in numbers:
        os.set_inheritable(number, False)
    *pipes, sentinel = numbers
    _process._parent_process = _process._ParentProcess("nfrun", os.getppid(), sentinel)
    pipe, *streams = (connection.Connection(number) for number in pipes)
    serve(pipe, streams, config)
