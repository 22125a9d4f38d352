"""How a command ends: the exit codes, whatever went wrong told as a message and no traceback, and the process left.

Knows no command. Imports what it needs for an error when there is one.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from nfrun.core.errors import Problem
    from nfrun.core.events import Failure, RunFinished
    from nfrun.logs.redaction import Redactor

OK, FAILED, WRONG, BUG, IO_ERROR, HELD, NO_PERMISSION, INTERRUPTED = 0, 1, 2, 70, 74, 75, 77, 130
SIGNALLED = 128  # and the number of the signal, as shells have it
_LEFT_SECONDS = 0.5  # for what nodes have left running to end by itself, as idle pools of threads do at exit
_HOOKS_SECONDS = 5.0  # for what libraries have to do at exit


class Misuse(Exception):
    """An option that was given what it does not take, such as `-j 0`. The text says what; nothing was done yet."""

    def __init__(self, what: str, option: str) -> None:
        super().__init__(what)
        self.option = option


@contextmanager
def telling_errors(*, as_json: bool = False) -> Iterator[Callable[[Redactor], None]]:
    """Whatever goes wrong inside becomes a message on stderr and SystemExit; nobody sees a traceback of ours.

    With `as_json` it is a document on stdout too. Yields what is to be given the redactor of all
    messages, once there is one.
    """
    from nfrun.core.errors import FolderHeld, HandoffError, SpecError, render_all
    from nfrun.core.text import escape

    redactors: list[Redactor] = []

    def leave(code: int, message: str) -> NoReturn:
        shown = redactors[-1](message) if redactors else message
        if as_json and code != WRONG:
            with suppress(OSError, ValueError):
                print_json({"status": "failed", "error": shown.removeprefix("nfrun: "), "problems": []})
        print(shown, file=sys.stderr)
        raise SystemExit(code)

    try:
        yield redactors.append
        sys.stdout.flush()  # here, where a full disk can still be told
    except Misuse:
        raise
    except SpecError as error:
        found = error.problems
        if redactors:
            from nfrun.logs.event_redaction import redacted_problem

            found = tuple(redacted_problem(problem, redactors[-1]) for problem in found)
        if as_json:
            problems = [problem_document(problem) for problem in found]
            print_json({"status": "failed", "error": str(error), "problems": problems})
        leave(WRONG, render_all(found))
    except BrokenPipeError:
        # Whoever read our output has gone, as with `| head`. The interpreter must not fail on it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(IO_ERROR) from None
    except FolderHeld as error:
        hint = "wait until it has ended; another run can be kept elsewhere with --work DIR"
        leave(HELD, f"nfrun: {escape(str(error))}\n   {hint}")
    except PermissionError as error:
        leave(NO_PERMISSION, f"nfrun: no permission: {escape(str(error.filename or error))}")
    except HandoffError as error:
        leave(IO_ERROR, f"nfrun: {escape(str(error))}")
    except OSError as error:
        # Not its own text, which has a number in it that tells nobody anything.
        named = "" if error.filename is None else f"{error.filename}: "
        leave(IO_ERROR, f"nfrun: {escape(f'{named}{error.strerror}' if error.strerror else str(error))}")
    except KeyboardInterrupt:
        leave(INTERRUPTED, "nfrun: interrupted")
    except Exception as error:
        text, where = f"{type(error).__name__}: {error}", "(NFRUN_DEBUG=1 shows where)"
        if os.environ.get("NFRUN_DEBUG"):
            import traceback

            where = escape(traceback.format_exc())  # as all that is told without what is secret
        leave(BUG, f"nfrun: this is a bug in nfrun, please report it: {escape(text)}\n{where}")


def run_code(end: RunFinished, failures: Iterable[Failure], caught: Sequence[int]) -> int:
    """The exit code of a run: how it ended, what its nodes failed of, and which signals were caught meanwhile."""
    if end.status == "ok":
        return OK
    if caught:
        return SIGNALLED + caught[0]
    io = [failure.type for failure in failures if failure.kind == "io"]
    if "PermissionError" in io:
        return NO_PERMISSION
    return io_code(end.error) if end.error else IO_ERROR if io else FAILED


def io_code(error: str) -> int:
    """The exit code for what could not be written, whose message ends with the system's own words."""
    return NO_PERMISSION if is_denied(error) else IO_ERROR


def leave_process(code: int) -> NoReturn:
    """End this process, in which nodes have run: soon and with this exit code, whatever they have left running in it.

    What libraries want to do at exit they can, unless it takes too long, or a signal comes.
    """
    import signal
    import threading

    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)
    try:
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        # Not left to the handlers: the main thread may be where it calls none.
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        seconds = _LEFT_SECONDS if _has_left() else _HOOKS_SECONDS
        threading.Thread(target=_leave_later, args=[code, seconds, reading], name="nfrun-leave", daemon=True).start()
    except (OSError, RuntimeError):  # too many files or threads
        _leave_now(code)
    sys.exit(code)


def _has_left() -> bool:
    """Whether there are threads or processes that Python waits for at exit."""
    import threading

    pools = getattr(sys.modules.get("concurrent.futures.thread"), "_threads_queues", ())  # also of daemonic ones
    return bool(pools or _children()) or sum(not thread.daemon for thread in threading.enumerate()) > 1


def _children() -> Sequence[Any]:
    module = sys.modules.get("multiprocessing.process")
    return module.active_children() if module else ()


def _leave_later(code: int, seconds: float, signals: int) -> None:
    import select

    poll = select.poll()
    poll.register(signals, select.POLLIN)
    poll.poll(seconds * 1e3)
    _leave_now(code)


def _leave_now(code: int) -> NoReturn:
    for child in _children():
        with suppress(Exception):  # the main thread may be waiting for it, too
            child.kill()
    os._exit(code)


def print_json(document: dict[str, Any]) -> None:
    """A document on stdout."""
    import json

    print(json.dumps(document, indent=2))


def problem_document(problem: Problem) -> dict[str, Any]:
    """A problem as `--json` has it."""
    where = problem.where
    place = {"file": where.file, "line": where.line, "column": where.column}
    return {**place, "message": problem.what, "hint": problem.hint}


def is_denied(message: str) -> bool:
    """Whether a message that ends with the system's own words is a matter of permission."""
    return message.endswith((os.strerror(errno.EACCES), os.strerror(errno.EPERM)))
