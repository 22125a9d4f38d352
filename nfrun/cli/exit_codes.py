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
    from nfrun.core.errors import Diagnostic
    from nfrun.core.events import Failure, RunFinished
    from nfrun.logs.redaction import Redactor

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_BUG, EXIT_IO, EXIT_LOCKED, EXIT_PERMISSION, EXIT_INTERRUPTED = (
    0,
    1,
    2,
    70,
    74,
    75,
    77,
    130,
)
EXIT_SIGNAL = 128  # and the number of the signal, as shells have it


class UsageError(Exception):
    """An option that was given what it does not take, such as `-j 0`. The text says what; nothing was done yet."""

    def __init__(self, what: str, option: str) -> None:
        super().__init__(what)
        self.option = option


@contextmanager
def report_errors(*, as_json: bool = False) -> Iterator[Callable[[Redactor], None]]:
    """Whatever goes wrong inside becomes a message on stderr and SystemExit; nobody sees a traceback of ours.

    With `as_json` it is a document on stdout too. Yields what is to be given the redactor of all
    messages, once there is one.
    """
    from nfrun.core.errors import HandoffError, SpecError, WorkDirLocked, render_all
    from nfrun.core.text import escape_controls

    redactors: list[Redactor] = []

    def leave(code: int, message: str) -> NoReturn:
        shown = redactors[-1](message) if redactors else message
        if as_json and code != EXIT_USAGE:
            with suppress(OSError, ValueError):
                print_json({"status": "failed", "error": shown.removeprefix("nfrun: "), "problems": []})
        print(shown, file=sys.stderr)
        raise SystemExit(code)

    try:
        yield redactors.append
        sys.stdout.flush()  # here, where a full disk can still be told
    except UsageError:
        raise
    except SpecError as error:
        found = error.diagnostics
        if redactors:
            from nfrun.logs.event_redaction import redact_diagnostic

            found = tuple(redact_diagnostic(problem, redactors[-1]) for problem in found)
        if as_json:
            problems = [diagnostic_json(problem) for problem in found]
            print_json({"status": "failed", "error": str(error), "problems": problems})
        leave(EXIT_USAGE, render_all(found))
    except BrokenPipeError:
        # Whoever read our output has gone, as with `| head`. The interpreter must not fail on it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_IO) from None
    except WorkDirLocked as error:
        hint = "wait until it has ended; another run can be kept elsewhere with --work DIR"
        leave(EXIT_LOCKED, f"nfrun: {escape_controls(str(error))}\n   {hint}")
    except PermissionError as error:
        leave(EXIT_PERMISSION, f"nfrun: no permission: {escape_controls(str(error.filename or error))}")
    except HandoffError as error:
        leave(EXIT_IO, f"nfrun: {escape_controls(str(error))}")
    except OSError as error:
        # Not its own text, which has a number in it that tells nobody anything.
        named = "" if error.filename is None else f"{error.filename}: "
        leave(EXIT_IO, f"nfrun: {escape_controls(f'{named}{error.strerror}' if error.strerror else str(error))}")
    except KeyboardInterrupt:
        leave(EXIT_INTERRUPTED, "nfrun: interrupted")
    except Exception as error:
        text, where = f"{type(error).__name__}: {error}", "(NFRUN_DEBUG=1 shows where)"
        if os.environ.get("NFRUN_DEBUG"):
            import traceback

            where = escape_controls(traceback.format_exc())  # as all that is told without what is secret
        leave(EXIT_BUG, f"nfrun: this is a bug in nfrun, please report it: {escape_controls(text)}\n{where}")


def run_exit_code(end: RunFinished, failures: Iterable[Failure], caught: Sequence[int]) -> int:
    """The exit code of a run: how it ended, what its nodes failed of, and which signals were caught meanwhile."""
    if end.status == "ok":
        return EXIT_OK
    if caught:
        return EXIT_SIGNAL + caught[0]
    io = [failure.type for failure in failures if failure.kind == "io"]
    if "PermissionError" in io:
        return EXIT_PERMISSION
    return io_exit_code(end.error) if end.error else EXIT_IO if io else EXIT_FAILED


def io_exit_code(error: str) -> int:
    """The exit code for what could not be written, whose message ends with the system's own words."""
    return EXIT_PERMISSION if is_denied(error) else EXIT_IO


def print_json(document: dict[str, Any]) -> None:
    """A document on stdout."""
    import json

    print(json.dumps(document, indent=2))


def diagnostic_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """A problem as `--json` has it."""
    where = diagnostic.span
    place = {"file": where.file, "line": where.line, "column": where.column}
    return {**place, "message": diagnostic.message, "hint": diagnostic.hint}


def is_denied(message: str) -> bool:
    """Whether a message that ends with the system's own words is a matter of permission."""
    return message.endswith((os.strerror(errno.EACCES), os.strerror(errno.EPERM)))
