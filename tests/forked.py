"""Starts the command `nfrun` as a fork of a process that has imported it.

A process of its own spends 0.3 s on imports, and a fork 0.03 s. A fork has streams, signals, a process group and an
end of its own. It does not show what a command imports, nor how Python starts: for these, tests use `subprocess`.
"""

from __future__ import annotations

import atexit
import gc
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

# Variables that Python or libraries read once. A fork follows PYTHONPATH nevertheless.
AT_START = ("PYTHON", "LC_", "LANG", "LD_", "ARROW", "MALLOC", "OMP_")
_BYTES = 4  # of a number in a message
# What most runs import of others, although nfrun imports it in functions only.
_LATER = ("dateutil.relativedelta", "duckdb", "jsonschema_rs", "resource", "sqlite3", "typer._adapters")


class Popen(subprocess.Popen[Any]):
    """Takes what `subprocess.Popen` takes. Forks for commands that run nfrun in the usual environment.

    These are `python -m nfrun` and `python -c` with code that calls `nfrun.__main__.main`. All others are executed.
    """

    _end: socket.socket | None = None  # gets the status of the fork when it has ended

    def _execute_child(  # type: ignore[override]
        self,
        args: Any,
        executable: Any,
        preexec_fn: Any,
        close_fds: bool,
        pass_fds: Sequence[int],
        cwd: Any,
        env: Mapping[str, str] | None,
        startupinfo: Any,
        creationflags: int,
        shell: bool,
        *streams_and_rest: Any,
    ) -> None:
        p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, *rest = streams_and_rest
        *_, new_session, group = rest
        environ = dict(os.environ if env is None else env)
        program = None if shell else _program([*args])
        is_usual = not preexec_fn and not pass_fds and executable is None
        if program is None or not is_usual or _at_start(environ) != _at_start(_environ()):
            given = (executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags, shell)
            super()._execute_child(args, *given, *streams_and_rest)  # type: ignore[misc]
            return
        order = {"args": [*map(str, args)], "program": program, "cwd": str(cwd or "."), "environ": environ}
        order["new_session"] = new_session
        fds = [own if fd == -1 else fd for own, fd in enumerate((p2cread, c2pwrite, errwrite))]
        self._end, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(_server(), [b"x"], [*fds, theirs.fileno()])
        message = json.dumps({**order, "folder": str(Path.cwd()), "group": group}).encode()
        self._end.sendall(len(message).to_bytes(_BYTES, "big") + message)
        self.pid = int.from_bytes(_receive(self._end, _BYTES), "big")
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]

    def _internal_poll(self, _deadstate: Any = None, *more: Any) -> int | None:
        if self._end is None:
            return super()._internal_poll(_deadstate, *more)  # type: ignore[misc, no-any-return]
        if self.returncode is None:
            ended, status = self._try_wait(os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self._end is None:
            return super()._try_wait(wait_flags)  # type: ignore[misc, no-any-return]
        self._end.setblocking(not wait_flags)
        try:
            status = int.from_bytes(_receive(self._end, _BYTES), "big")
        except BlockingIOError:
            return 0, 0
        self._end.close()
        return self.pid, status


def run(
    command: Sequence[str], *, check: bool = False, timeout: float | None = None, **settings: Any
) -> subprocess.CompletedProcess[Any]:
    """Do what `subprocess.run` does, with a `Popen` of this module."""
    if settings.pop("capture_output", False):
        settings.update(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    given = settings.pop("input", None)
    if given is not None:
        settings["stdin"] = subprocess.PIPE
    with Popen(command, **settings) as process:
        try:
            out, err = process.communicate(given, timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(command, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


@cache
def _environ() -> dict[str, str]:
    return dict(os.environ)


def keep_environ() -> None:
    """Let forks be made where the environment has the same variables for the start of Python as it has now."""
    _environ.cache_clear()
    _environ()


def left_in_environ() -> dict[str, str | None]:
    """Return the former values of the variables for the start of Python that have changed: with them, none forks."""
    before, now = _at_start(_environ()), _at_start(os.environ)
    return {name: before.get(name) for name in {**before, **now} if before.get(name) != now.get(name)}


def _at_start(environ: Mapping[str, str]) -> dict[str, str]:
    names = [name for name in environ if name.startswith(AT_START) and name != "PYTHONPATH"]
    return {name: environ[name] for name in names}


def _program(command: Sequence[Any]) -> tuple[str, list[str]] | None:
    """Return the code of a command that runs nfrun, "" for that of the package, and its `sys.argv`. None for others."""
    python, *words = map(str, command)
    words = words[1:] if words[:1] == ["-P"] else words
    if python != sys.executable:
        return None
    if words[:2] == ["-m", "nfrun"]:
        return "", ["-m", *words[2:]]
    if words[:1] == ["-c"] and "from nfrun.__main__ import main" in words[1]:
        return words[1], ["-c", *words[2:]]
    return None


def _receive(end: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = end.recv(size - len(found))
        if not part:
            raise EOFError("the process that forks has ended")
        found += part
    return found


@cache
def _server() -> socket.socket:
    """Start the process that forks, and return the socket that takes orders. It ends when that is closed."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env=_environ(),
        )
    atexit.register(process.wait)
    atexit.register(ours.close)  # before the wait
    return ours


def _serve(orders: socket.socket) -> str:
    """Fork for each order, until there are no more. Returns in the forks only, the code of the program."""
    sys.path.pop(0)  # the folder of this file
    _import_nfrun()
    gc.collect()
    gc.freeze()
    ended, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    running: dict[int, socket.socket] = {}  # by process id, who gets the status of the fork
    sources: list[socket.socket | int] = [ended, orders]
    while running or orders in sources:
        for source in select.select(sources, (), ())[0]:
            if source == ended:
                os.read(ended, 1 << 16)
                _report_ended(running)
                continue
            message, fds, _, _ = socket.recv_fds(orders, 1, 4)
            if not message:
                sources.remove(orders)
                continue
            end = socket.socket(fileno=fds.pop())
            order = json.loads(_receive(end, int.from_bytes(_receive(end, _BYTES), "big")))
            if not (pid := os.fork()):
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for file in (ended, writing):
                    os.close(file)
                for other in (orders, *running.values()):
                    other.close()
                return _become(order, fds, end)
            running[pid] = end
            for fd in fds:
                os.close(fd)
    os._exit(0)


def _report_ended(running: dict[int, socket.socket]) -> None:
    """Report the status of each fork that has ended, and forget it."""
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            with running.pop(found[0]) as end, suppress(OSError):  # the test may be over
                end.sendall(found[1].to_bytes(_BYTES, "big"))


def _import_nfrun() -> None:
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401

    import nfrun

    for name in _LATER:
        with suppress(ImportError):  # of what need not be installed
            __import__(name)
    for module in pkgutil.walk_packages(nfrun.__path__, "nfrun."):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):  # of what need not be installed
                __import__(module.name)


def _become(order: dict[str, Any], fds: Sequence[int], end: socket.socket) -> str:
    """Let all be as `order` says, in a fork. Returns the code of its program."""
    if order["new_session"]:
        os.setsid()
    if order["group"] >= 0:
        os.setpgid(0, order["group"])
    for target, fd in enumerate(fds):
        os.dup2(fd, target)
        os.close(fd)
    os.chdir(order["folder"])
    os.chdir(order["cwd"])
    mine = _python_path()
    os.environ.clear()
    os.environ.update(order["environ"])
    sys.path[:] = [*_python_path(), *(place for place in sys.path if place not in mine)]
    time.tzset()
    _renew_streams()
    code, sys.argv = order["program"]
    sys.orig_argv = order["args"]
    end.sendall(os.getpid().to_bytes(_BYTES, "big"))
    end.close()
    return str(code)


def _python_path() -> list[str]:
    return [*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]


def _renew_streams() -> None:
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        binary = open(fd, "wb" if fd else "rb", closefd=False)  # noqa: SIM115
        is_line_buffered = fd == 2 or os.isatty(fd)
        stream = io.TextIOWrapper(binary, old.encoding, old.errors, line_buffering=is_line_buffered)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _main() -> NoReturn:
    code = _serve(socket.socket(fileno=int(sys.argv[1])))
    status: object = 0
    try:
        if code:
            sys.modules["__main__"] = ModuleType("__main__")
            exec(code, vars(sys.modules["__main__"]))
        else:
            runpy.run_module("nfrun", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
    if not isinstance(status, int):
        sys.exit(str(status))
    _leave(status)


def _leave(code: int) -> NoReturn:
    """Exit as Python does, but without taking down the modules: that takes longer than most commands."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(code)
    os._exit(code)


if __name__ == "__main__":
    _main()
