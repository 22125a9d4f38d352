"""Routes what nodes print to the logs of their attempts, and gives them an empty stdin."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, TextIO, cast

from nfrun.core.text import escape_controls
from nfrun.system.logs.node_logs import Logs

# The node and number of the attempt that runs in this context, and the logs of its run; None outside of attempts.
current_attempt: ContextVar[tuple[str, int, Logs] | None] = ContextVar("current_attempt", default=None)

_BEFORE_STDIN = 3  # parameters of `subprocess.Popen`


class PrintRouter(io.TextIOBase):
    """Stands in for `sys.stdout` or `sys.stderr` while nodes run.

    Text that an attempt writes goes to its log for `stream`, in the logs of its run; all other text goes to `fallback`.
    Control characters are escaped there, so that no control byte of a node reaches the terminal.
    """

    encoding = "utf-8"

    def __init__(self, stream: str, fallback: TextIO) -> None:
        self._stream = stream
        self._replaced = self.fallback = fallback
        self._escapes = True
        self._over = False
        self._process = os.getpid()

    def install(self, fallback: TextIO | None, *, in_use: bool) -> None:
        """Replace the stream of `sys`. If `fallback` is None, other text goes to the replaced stream, as it is.

        If it is `in_use`, its settings stay: the stream that is found then is one that the program redirects for a
        while, and that must not be put back later.
        """
        if not in_use:
            found = getattr(sys, self._stream)
            self._replaced = self._replaced if found is self else found
            self.fallback, self._escapes = fallback or self._replaced, fallback is not None
            self._over, self._process = False, os.getpid()
        setattr(sys, self._stream, self)

    def remove(self, *, has_detached: bool) -> None:
        """Put the replaced stream back. If `has_detached`, stay, and print to the replaced stream.

        What detached nodes print may contain secrets, and redaction has ended. With a fallback of its own, the process
        is over: then only the main thread prints.
        """
        if has_detached:
            self.fallback, self._over = self._replaced, self._escapes
        elif getattr(sys, self._stream) in (self, None):  # None if a node has set it so
            setattr(sys, self._stream, self._replaced)

    @property
    def buffer(self) -> io.RawIOBase:
        """A binary stream with the same destination, for code that prints bytes."""
        return _Bytes(self)

    def reconfigure(self, **options: object) -> None:
        """Do nothing: there are no options. The method exists because user code may call it."""

    def fileno(self) -> int:
        """Return the fallback's descriptor, for child processes: their output cannot be assigned to a node."""
        return self.fallback.fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Write text to the log of the current attempt, or to the fallback; return its length in characters."""
        # A lone surrogate, as in a file name that is not UTF-8, cannot be encoded.
        self.write_bytes(text.encode(errors="backslashreplace"))
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        """Write bytes to the log of the current attempt, or to the fallback as text."""
        if attempt := self._attempt():
            node, number, logs = attempt
            logs.of(node, number, self._stream).feed(data, at_once=False)
        elif not self._over or threading.current_thread() is threading.main_thread():
            text = data.decode(errors="replace")
            self.fallback.write(escape_controls(text) if self._escapes else text)

    def flush(self) -> None:
        if self._attempt() is None:
            self.fallback.flush()

    def _attempt(self) -> tuple[str, int, Logs] | None:
        """Return the attempt whose log gets the output; None for the fallback.

        It is None in a thread that a node has started, and in a child that it has forked, whose copy of the log is
        never read.
        """
        return current_attempt.get() if os.getpid() == self._process else None

    def close(self) -> None:
        """Do nothing: a node that closes the stream must not close it for others."""


class _Bytes(io.RawIOBase):
    def __init__(self, prints: PrintRouter) -> None:
        self._prints = prints

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        written = bytes(memoryview(data).cast("B"))
        self._prints.write_bytes(written)
        return len(written)


class InputRouter:
    """Stands in for `sys.stdin` while nodes run: attempts find it empty, and the program reads it as before."""

    def __init__(self) -> None:
        self._replaced: Any = sys.stdin

    def install(self, fallback: TextIO | None, *, in_use: bool) -> None:
        """Replace `sys.stdin`. A `fallback` is for prints only."""
        if not in_use and sys.stdin is not self:
            self._replaced = sys.stdin
        sys.stdin = cast("TextIO", self)

    def remove(self, *, has_detached: bool) -> None:
        """Put the replaced stream back, unless code of a node still runs."""
        if sys.stdin in (self, None) and not has_detached:
            sys.stdin = self._replaced

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the stream that is read here."""
        return getattr(_nothing() if current_attempt.get() or self._replaced is None else self._replaced, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.readline, "")


class _Children:
    """Gives the child processes that attempts start an empty stdin, unless they say another one.

    The descriptor 0 is the program's, and what has it may read what the program is to read.
    """

    def __init__(self) -> None:
        self._start: Any = None

    def install(self, fallback: TextIO | None, *, in_use: bool) -> None:
        """Replace how child processes start. With a fallback, all streams of the process are those of the run."""
        if fallback is not None or in_use:
            return
        import subprocess

        start = self._start = subprocess.Popen.__init__

        def with_input(process: Any, *args: Any, **options: Any) -> None:
            if current_attempt.get() and len(args) <= _BEFORE_STDIN and options.get("stdin") is None:
                options["stdin"] = subprocess.DEVNULL
            start(process, *args, **options)

        setattr(subprocess.Popen, "__init__", with_input)  # noqa: B010

    def remove(self, *, has_detached: bool) -> None:
        """Let child processes start as before."""
        if self._start is not None and not has_detached:
            setattr(sys.modules["subprocess"].Popen, "__init__", self._start)  # noqa: B010
            self._start = None


@cache
def _nothing() -> TextIO:
    return open(os.devnull, encoding="utf-8")  # noqa: PTH123  (for ever, as the routers)


# For ever: `print` holds no reference to the stream, and freeing it while a thread prints would crash the process.
_ROUTERS = (
    PrintRouter("stdout", sys.stdout),
    PrintRouter("stderr", sys.stderr),
    InputRouter(),
    _Children(),
)


class _Captures:
    """The captures that need the routers. All is called with the lock held."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0  # threads that are inside of `capture_prints`
        self.detached: list[Callable[[], bool]] = []  # of captures that are over: whether code of their nodes runs

    def in_use(self) -> bool:
        self.detached = [has_detached for has_detached in self.detached if has_detached()]
        return self.inside > 0 or bool(self.detached)


_CAPTURES = _Captures()


@contextmanager
def capture_prints(fallback: TextIO | None = None, has_detached: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Route prints of nodes to the logs of their runs while inside; all other prints go to `fallback`, escaped.

    Several threads may be inside: the first replaces `sys.stdout` and `sys.stderr`, and the last puts them back. If
    `fallback` is None, other prints go to the replaced streams, as they are. If `has_detached()` is true at the end,
    because the code of a node still runs, the streams stay replaced until the next run ends, and what the node prints
    is lost. Other prints go to the earlier streams, but with a `fallback` only those of the main thread.

    Limits: while another thread is inside `contextlib.redirect_stdout`, prints of nodes go where that leads, until the
    next run begins, which ends the redirection. If a run ends meanwhile, the redirection puts the replacement back at
    its end, and it stays until the next run ends. Threads and forked processes that a node starts are no nodes.
    """
    with _CAPTURES.lock:
        in_use = _CAPTURES.in_use()
        for router in _ROUTERS:
            router.install(fallback, in_use=in_use)
        _CAPTURES.inside += 1
    try:
        yield
    finally:
        with _CAPTURES.lock:
            _CAPTURES.inside -= 1
            _CAPTURES.detached.append(has_detached)
            if not _CAPTURES.inside:
                still_runs = _CAPTURES.in_use()
                for router in _ROUTERS:
                    router.remove(has_detached=still_runs)
