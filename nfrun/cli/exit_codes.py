"""Defines the exit codes, and reports errors as messages without a traceback.

Imports what an error needs only when there is one, to keep start-up fast.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from nfrun.core.errors import Cause, Diagnostic, HandoffError, SpecError, WorkDirLocked, cause_of, render_all
from nfrun.core.text import escape_controls

if TYPE_CHECKING:
    from nfrun.core.events import RunFinished
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
EXIT_SIGNAL = 128  # plus the number of the signal, as in shells
# Of a run, by the gravest cause of its failures; of other commands, by that of their error.
EXIT_CODES = {
    Cause.CANCELLED: EXIT_FAILED,
    Cause.NODE: EXIT_FAILED,
    Cause.TIMEOUT: EXIT_FAILED,
    Cause.LOST: EXIT_FAILED,
    Cause.IO: EXIT_IO,
    Cause.PERMISSION: EXIT_PERMISSION,
    Cause.INTERNAL: EXIT_BUG,
}


class UsageError(Exception):
    """An option has an invalid value, such as `-j 0`. `option` is its name. Raised before anything is done."""

    def __init__(self, what: str, option: str) -> None:
        super().__init__(what)
        self.option = option


@contextmanager
def report_errors(*, as_json: bool = False) -> Iterator[Callable[[Redactor], None]]:
    """Turn every exception in the `with` block into a message on stderr and SystemExit, except UsageError.

    With `as_json`, also prints a JSON document on stdout. Yields a function that sets the redactor of all messages;
    call it as soon as the secrets are known. On success, flushes stdout.
    """
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
        sys.stdout.flush()  # here, where a full disk can still be reported
    except UsageError:
        raise
    except SpecError as error:
        found = error.diagnostics
        if redactors:
            from nfrun.logs.event_redaction import redact_diagnostic

            found = tuple(redact_diagnostic(diagnostic, redactors[-1]) for diagnostic in found)
        if as_json:
            documents = [diagnostic_json(diagnostic) for diagnostic in found]
            print_json({"status": "failed", "error": str(error), "problems": documents})
        leave(EXIT_USAGE, render_all(found))
    except BrokenPipeError:
        # The reader of our output has exited, as with `| head`. Don't let the interpreter fail on it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_IO) from None
    except WorkDirLocked as error:
        hint = "wait until it has ended; another run can be kept elsewhere with --work DIR"
        leave(EXIT_LOCKED, f"nfrun: {escape_controls(str(error))}\n   {hint}")
    except PermissionError as error:
        leave(EXIT_PERMISSION, f"nfrun: no permission: {escape_controls(str(error.filename or error))}")
    except HandoffError as error:
        leave(EXIT_CODES[cause_of(error)], f"nfrun: {escape_controls(str(error))}")
    except OSError as error:
        # Not its own text, which has an errno that means nothing to users.
        named = "" if error.filename is None else f"{error.filename}: "
        leave(EXIT_IO, f"nfrun: {escape_controls(f'{named}{error.strerror}' if error.strerror else str(error))}")
    except KeyboardInterrupt:
        leave(EXIT_INTERRUPTED, "nfrun: interrupted")
    except Exception as error:
        text, where = f"{type(error).__name__}: {error}", "(NFRUN_DEBUG=1 shows where)"
        if os.environ.get("NFRUN_DEBUG"):
            import traceback

            where = escape_controls(traceback.format_exc())  # `leave` redacts it like every message
        leave(EXIT_BUG, f"nfrun: this is a bug in nfrun, please report it: {escape_controls(text)}\n{where}")


def run_exit_code(end: RunFinished, caught: Sequence[int]) -> int:
    """Return the exit code of a run from its end, as the runner returns it, and the caught signals, in order."""
    if end.status == "ok":
        return EXIT_OK
    if caught:
        return EXIT_SIGNAL + caught[0]
    return EXIT_FAILED if end.cause is None else EXIT_CODES[end.cause]


def print_json(document: dict[str, Any]) -> None:
    """Print a JSON document on stdout, indented."""
    import json

    print(json.dumps(document, indent=2))


def diagnostic_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return a diagnostic as JSON values, in the form that `--json` prints."""
    where = diagnostic.span
    place = {"file": where.file, "line": where.line, "column": where.column}
    return {**place, "message": diagnostic.message, "hint": diagnostic.hint}
