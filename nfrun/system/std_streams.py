"""Owns stdout and stderr of the process: results go to stdout, all else to stderr.

Code of nodes and child processes may write to the file descriptors 1 and 2 directly. What they write is kept out of the
results, reaches stderr with control characters escaped, and with secrets redacted.
"""

from __future__ import annotations

import _thread
import codecs
import io
import os
import select
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

from nfrun.core.text import escape_controls
from nfrun.system.pipes import pump, pumping

if TYPE_CHECKING:
    from nfrun.system.logs.redaction import RedactingFilter

_END_SECONDS = 0.2  # for the rest to be written, if the reader of stderr is slow
_LINKS = 8  # that are followed to a descriptor: `/dev/stdout` has two
_BEFORE: dict[int, int] = {}  # by descriptor that leads elsewhere during a run, another that leads where it led


# ------------------------------------------------------------------ the streams of Python


def prepare_std_streams() -> None:
    """Open closed standard streams on /dev/null, let stdout and stderr take any text, and make stderr best-effort."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # it was closed when this process started
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115  (open until the end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names may have characters that the terminal's encoding lacks.
            stream.reconfigure(errors="backslashreplace")
    if type(sys.stderr) is io.TextIOWrapper:  # not a replacement, such as that of a test
        sys.stderr = best_effort_stream(sys.stderr)


def best_effort_stream(stream: TextIO) -> TextIO:
    """Return a stream to the same descriptor that drops what cannot be written, as on a full disk or a closed pipe.

    The given stream stays open; write only to the new one.
    """
    raw = io.BufferedWriter(_BestEffortStream(stream))
    return io.TextIOWrapper(raw, stream.encoding, "backslashreplace", line_buffering=True)


class _BestEffortStream(io.FileIO):
    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream.fileno(), "w", closefd=False)
        self._stream = stream  # kept: collecting it would close the descriptor

    def write(self, data: Any) -> int:
        while True:
            try:
                return os.write(self.fileno(), data)
            except BlockingIOError:  # another process that shares it made it non-blocking
                select.select([], [self], [])
            except OSError:
                return len(data)


def redirect_std_streams(out: int, err: int) -> tuple[TextIO, TextIO]:
    """Lead stdout and stderr to two other descriptors for good, and stdin to nothing. Returns the new text streams.

    Lines are written at their end. Lone surrogates are escaped.
    """
    for target, number in ((out, 1), (err, 2)):
        os.dup2(target, number)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if nothing:  # else stdin was closed
        os.close(nothing)
    os.set_inheritable(0, True)
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stdout, sys.stderr = streams = _line_stream(1), _line_stream(2)
    return streams


def _line_stream(number: int) -> TextIO:
    return open(number, "w", 1, "utf-8", "backslashreplace", closefd=False)


class TextForTerminal:
    """A binary stream for text to stdout, which is a terminal: control characters of the text are escaped.

    Ignores bytes at the end that are no whole character.
    """

    closed = False

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode

    def write(self, data: bytes) -> None:
        sys.stdout.write(escape_controls(self._decode(bytes(data))))

    def flush(self) -> None:
        sys.stdout.flush()


def stdout_for_text() -> IO[bytes]:
    """Return the stream to which the bytes of a text are written: stdout as it is, or escaped on a terminal."""
    return cast("IO[bytes]", TextForTerminal()) if sys.stdout.isatty() else sys.stdout.buffer


def path_for_stdout(path: Path) -> str:
    """Return a path as it is printed on stdout: as it is, for other programs, or escaped on a terminal."""
    return escape_controls(str(path)) if sys.stdout.isatty() else str(path)


def discard_stdout() -> None:
    """Let stdout lead nowhere, after its reader has gone: so the interpreter does not fail on it again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# ------------------------------------------------------------------ messages


class Messages:
    """Writes the messages of nfrun to stderr. In each, secrets are redacted and control characters are escaped."""

    def __init__(self) -> None:
        self.redact: Callable[[str], str] = str

    def set_redactor(self, redact: Callable[[str], str]) -> None:
        """Redact all messages from now on. Call it as soon as the secrets are known."""
        self.redact = redact

    def __call__(self, text: str, end: str = "\n") -> str:
        """Write a message. Returns it as it is shown. It is lost if stderr is closed or its reader has gone."""
        shown = escape_controls(self.redact(text))
        with suppress(OSError, ValueError):
            print(shown, end=end, file=sys.stderr, flush=True)
        return shown

    def warn(self, text: str) -> None:
        """Write a warning."""
        self(f"nfrun: warning: {text}")

    def warn_all(self, texts: Iterable[str]) -> None:
        """Write several warnings."""
        for text in texts:
            self.warn(text)


def write_fd(fd: int, text: str) -> None:
    """Write text to a descriptor at once, past all streams of Python. Ignores errors."""
    data = text.encode()
    with suppress(OSError):
        while data:
            data = data[os.write(fd, data) :]


# ------------------------------------------------------------------ during a run


@contextmanager
def separate_streams(redacting: RedactingFilter | None) -> Iterator[tuple[IO[str], TextIO]]:
    """Keep stdout for results while inside. Everything else that is written to fd 1 or fd 2 reaches stderr, redacted.

    Stdin is empty: what a node reads there is in no key, and may be meant for others, as in `while read` of a shell.
    This includes the output of child processes. Yields two streams: one to stdout, for results alone, and one to stderr
    that is redacted. `sys.stderr` leads to stderr without redaction, for text that has no secrets. Afterwards all
    streams lead where they led before, whatever was raised.

    Streams that the caller has put in place of `sys.stdout` or `sys.stderr` are used as they are: if they have no
    descriptor, only the yielded streams are redacted. `redacting` is None if there are no secrets.
    """
    with ExitStack() as stack:
        nothing = stack.enter_context(open(os.devnull, "rb"))  # noqa: PTH123
        stack.enter_context(_redirected([0], nothing.fileno()))
        results = stack.enter_context(_separate_stdout())
        fallback = stack.enter_context(_redact_stderr(redacting))
        try:
            yield results, fallback
        finally:
            # What nodes have left in these buffers is no result, and may have secrets.
            for stream in (sys.__stdout__, sys.__stderr__):
                with suppress(OSError, ValueError):
                    if stream is not None:
                        stream.flush()


@contextmanager
def _separate_stdout() -> Iterator[IO[str]]:
    stdout = sys.stdout
    if _descriptor(stdout) != 1:  # replaced by the caller, who gets the results
        yield stdout
        return
    stdout.flush()
    results = os.fdopen(os.dup(1), "w", encoding=stdout.encoding, errors="backslashreplace")
    with _redirected([1], 2):
        try:
            yield results
        finally:
            with suppress(BrokenPipeError):  # the reader is gone, as with `| head`
                results.close()


@contextmanager
def _redact_stderr(redacting: RedactingFilter | None) -> Iterator[TextIO]:
    before = out = sys.stderr
    if redacting is None:
        yield before
        return
    with suppress(OSError, ValueError):
        before.flush()
    reading, writing = os.pipe()
    with ExitStack() as stack:
        stack.callback(os.close, reading)
        if _descriptor(before) >= 0:
            plain = stack.enter_context(os.fdopen(os.dup(before.fileno()), "w", encoding=before.encoding))
            out = stack.enter_context(best_effort_stream(plain))

        def write(data: bytes) -> None:
            with suppress(OSError, ValueError):  # the reader is gone; the pipe must still be drained
                out.write(data.decode(errors="backslashreplace"))
                out.flush()

        stack.callback(lambda: write(redacting.end()))
        stack.enter_context(pumping({reading: lambda data: write(redacting.feed(data))}))
        sys.stderr = out
        stack.callback(setattr, sys, "stderr", before)
        if out is not before:
            stack.enter_context(_redirected([1, 2], writing))
        stream = os.fdopen(writing, "w", 1, "utf-8", "backslashreplace")
        try:
            yield stream
        finally:
            with suppress(OSError, ValueError):
                stream.close()


@contextmanager
def _redirected(descriptors: Iterable[int], target: int) -> Iterator[None]:
    """Let the descriptors lead where `target` leads while inside, and afterwards where they led before."""
    with ExitStack() as stack:
        for descriptor in descriptors:
            before = os.dup(descriptor)
            stack.callback(os.close, before)
            stack.callback(os.dup2, before, descriptor)
            if descriptor not in _BEFORE:
                stack.callback(_BEFORE.pop, descriptor)
                _BEFORE[descriptor] = before
            os.dup2(target, descriptor)
        yield


def named_descriptor(path: Path) -> int:
    """Return the descriptor of this process that a path such as `/dev/stdout` names; -1 if it names another file."""
    for _ in range(_LINKS):
        folder = os.path.realpath(path.parent)
        if folder in (f"/proc/{os.getpid()}/fd", "/dev/fd"):
            return int(path.name) if path.name.isdigit() else -1
        path = Path(folder, path.name)
        if not path.is_symlink():
            break
        path = Path(folder, path.readlink())
    return -1


def open_descriptor(descriptor: int) -> IO[bytes]:
    """Open a descriptor for writing: where it led before the streams were separated. Raises OSError."""
    return os.fdopen(os.dup(_BEFORE.get(descriptor, descriptor)), "wb")


def _descriptor(stream: TextIO) -> int:
    """Return the file descriptor of a stream; -1 if it has none."""
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return -1


def _target(fd: int) -> tuple[int, int]:
    """Return what a descriptor leads to; (0, 0) if it is closed."""
    try:
        status = os.fstat(fd)
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


# ------------------------------------------------------------------ bytes that reach fd 2 past the runner's streams


class StrayOutput:
    """Relays to stderr what children and compiled code of the runner write straight to fd 2, escaped.

    They write into a pipe, which the supervisor process reads: the interpreter lock of the run does not block it, and
    it survives a crash of the run. The pipe is made before forking: the runner calls `divert`, the supervisor `relay`
    and `end`, the reaper `close`. They do nothing if `sys.stderr` is not fd 2, or no pipe is available.
    """

    def __init__(self) -> None:
        self._pipe: tuple[int, ...] = ()  # the ends to read from and to write to
        self._done = _thread.allocate_lock()
        self._targets: dict[int, tuple[int, int]] = {}  # where results and messages lead, by descriptor
        with suppress(OSError):
            self._pipe = os.pipe() if _descriptor(sys.stderr) == 2 else ()

    def divert(self) -> None:
        """Redirect fd 2 into the pipe. `sys.stderr` keeps writing to where fd 2 went before."""
        if self._pipe:
            stream = sys.stderr
            sys.stderr = os.fdopen(os.dup(2), "w", 1, stream.encoding, stream.errors)
            os.dup2(self._pipe[1], 2)
            self.close()
            self._targets = {fd: _target(fd) for fd in (1, sys.stderr.fileno())}

    def lost(self) -> tuple[bool, ...]:
        """Return whether results, and messages, of the runner no longer reach stdout and stderr: a node closed them."""
        return tuple(_target(fd) != target for fd, target in self._targets.items())

    def relay(self) -> None:
        """Start a thread that copies the bytes of the pipe to fd 2."""
        if self._pipe:
            os.close(self._pipe[1])
            self._done.acquire()
            _thread.start_new_thread(self._relay, ())

    def end(self) -> None:
        """Wait a moment until everything is written. The writers of the pipe must have ended."""
        if self._done.acquire(timeout=_END_SECONDS):
            self._done.release()

    def close(self) -> None:
        """Close both ends in this process."""
        for end in self._pipe:
            os.close(end)

    def _relay(self) -> None:
        decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode

        def write(data: bytes) -> None:
            # Each step of a progress bar becomes a line: nothing overwrites text on the terminal.
            write_fd(2, escape_controls(decode(data).replace("\r\n", "\n").replace("\r", "\n")))

        pump({self._pipe[0]: write})
        self._done.release()
