"""Defines the exit codes, and reports errors as messages without a traceback.

Imports what an error needs only when there is one, to keep start-up fast.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from nfrun.core.errors import (
    Cause,
    ClusterError,
    Diagnostic,
    HandoffError,
    NotRecorded,
    SelectionError,
    SpecError,
    UsageError,
    WorkDirLocked,
    cause_of,
    lacks_memory,
    render_all,
)
from nfrun.system.std_streams import Messages, discard_stdout

if TYPE_CHECKING:
    from nfrun.core.events import RunFinished

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
EXIT_CLUSTER, EXIT_BUG, EXIT_IO, EXIT_LOCKED, EXIT_PERMISSION, EXIT_INTERRUPTED = 69, 70, 74, 75, 77, 130

EXIT_SIGNAL = 128  # plus the number of the signal, as in shells
EXIT_CLOSED_PIPE = EXIT_SIGNAL + 13  # SIGPIPE
# Of a run, by the gravest cause of its failures; of other commands, by that of their error.
EXIT_CODES = {
    Cause.CANCELLED: EXIT_FAILED,
    Cause.NODE: EXIT_FAILED,
    Cause.CHECK: EXIT_FAILED,
    Cause.TIMEOUT: EXIT_FAILED,
    Cause.LOST: EXIT_FAILED,
    Cause.IO: EXIT_IO,
    Cause.PERMISSION: EXIT_PERMISSION,
    Cause.CLUSTER: EXIT_CLUSTER,
    Cause.INTERNAL: EXIT_BUG,
}


@contextmanager
def report_errors(*, as_json: bool = False, github: bool = False) -> Iterator[Messages]:
    """Turn every exception in the `with` block into a message on stderr and SystemExit, except UsageError.

    With `as_json`, also prints a JSON document on stdout. With `github`, GitHub's runner is told, too. Yields the
    messages of the command: set their redactor as soon as the secrets are known. On success, flushes stdout.
    """
    messages = Messages()

    def leave(code: int, message: str, error: str = "", problems: Sequence[Diagnostic] = ()) -> NoReturn:
        shown = messages(message)
        if github:
            from nfrun.cli.github import annotate

            annotate(messages, problems, "error", message.removeprefix("nfrun: "))
        if as_json:
            document = {"status": "failed", "error": error or shown.removeprefix("nfrun: ")}
            with suppress(OSError, ValueError):
                print_json({**document, "problems": [*map(diagnostic_json, problems)]})
        raise SystemExit(code)

    try:
        yield messages
        sys.stdout.flush()  # here, where a full disk can still be reported
    except UsageError:  # which names an option: the parsers tell it
        raise
    except SpecError as error:
        from nfrun.system.logs.redaction import redact_diagnostic

        found = tuple(redact_diagnostic(diagnostic, messages.redact) for diagnostic in error.diagnostics)
        leave(EXIT_USAGE, render_all(found), error.summary, found)
    except BrokenPipeError:
        discard_stdout()  # its reader has exited, as with `| head`: no error, so no message
        raise SystemExit(EXIT_CLOSED_PIPE) from None
    except WorkDirLocked as error:
        leave(EXIT_LOCKED, f"nfrun: {error}\n   run --wait waits until it has ended; --work DIR keeps runs elsewhere")
    except (NotRecorded, SelectionError) as error:
        leave(EXIT_USAGE, f"nfrun: {error}")
    except (ClusterError, HandoffError) as error:
        leave(EXIT_CODES[cause_of(error)], f"nfrun: {error}")
    except PermissionError as error:
        leave(EXIT_CODES[cause_of(error)], f"nfrun: no permission: {error.filename or error}")
    except OSError as error:
        # Not its own text, which has an errno that means nothing to users.
        named = "" if error.filename is None else f"{error.filename}: "
        text = f"{named}{error.strerror}" if error.strerror else error
        leave(EXIT_CODES[cause_of(error)], f"nfrun: {text}")
    except KeyboardInterrupt:
        leave(EXIT_INTERRUPTED, "nfrun: interrupted")
    except Exception as error:
        leave(EXIT_CODES[cause_of(error)], f"nfrun: {_out_of_memory(error) or _bug(error)}")


def _out_of_memory(error: Exception) -> str:
    """Return the message for an error that lacks memory, "" for others."""
    if not lacks_memory(error):
        return ""
    what = f"out of memory: {error}" if str(error) else "out of memory"
    return f"{what}\n   end other programs, or raise the memory limit of this process"


def _bug(error: Exception) -> str:
    where = "(NFRUN_DEBUG=1 shows where)"
    if os.environ.get("NFRUN_DEBUG"):
        import traceback

        where = "".join(traceback.format_exception(error))
    return f"this is a bug in nfrun, please report it: {type(error).__name__}: {error}\n{where}"


def run_exit_code(end: RunFinished, caught: Sequence[int]) -> int:
    """Return the exit code of a run from its end, as the runner returns it, and the caught signals, in order."""
    if end.status == "ok":
        return EXIT_OK
    if caught:
        return EXIT_SIGNAL + caught[0]
    return EXIT_FAILED if end.cause is None else EXIT_CODES[end.cause]


def print_json(document: dict[str, Any]) -> None:
    """Print a JSON document on stdout, indented, with all control characters escaped."""
    import json

    print(json.dumps(document, indent=2).replace("\x7f", "\\u007f"))


def diagnostic_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return a diagnostic as JSON values, in the form that `--json` prints."""
    where = diagnostic.span
    place = {"file": where.file, "line": where.line, "column": where.column}
    return {**place, "message": diagnostic.message, "hint": diagnostic.hint}
