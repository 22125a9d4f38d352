"""The errors and messages of the Python API: with the names that Python programs know, and without secrets."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nfrun.core.errors import Error, HandoffError, SelectionError, SpecError, UsageError
from nfrun.core.pipeline import NOTHING
from nfrun.core.text import escape_controls
from nfrun.core.values import fields, replace
from nfrun.system.std_streams import Messages

_LOGGER = "nfrun"


class RunFailed(Error):
    """Raised by `Result.check`: a run did not end well. `result` is what `run` has returned."""

    def __init__(self, message: str, result: Any) -> None:
        super().__init__(message)
        self.result = result


@contextmanager
def errors_for_programs(options: Any = None, names: Mapping[str, str] = NOTHING) -> Iterator[ProgramMessages]:
    """Raise errors of nfrun with the words of Python for options, and SpecError without secrets.

    `options` is the class of the options, and `names` has for arguments the fields of it, if these are called
    otherwise. Yields the messages of the call.
    """
    __tracebackhide__ = True  # pytest shows the line of the program
    messages = ProgramMessages()
    try:
        yield messages
    except SpecError as error:
        from nfrun.system.logs.redaction import redact_diagnostic

        found = [redact_diagnostic(diagnostic, messages.redact) for diagnostic in error.diagnostics]
        words = [replace(d, message=_in_python(d.message, names), hint=_in_python(d.hint, names)) for d in found]
        raise SpecError(words) from None
    except UsageError as error:
        argument = _argument(error.option, options, names)
        raise UsageError(f"{argument}: {_in_python(str(error), names)}", argument) from None
    except SelectionError as error:
        raise SelectionError(_in_python(str(error), names)) from None
    except HandoffError as error:
        error.args = (_in_python(str(error), names),)
        raise


def _in_python(text: str, names: Mapping[str, str]) -> str:
    """Return a message with the names of arguments in the place of options: `until save` for `--until save`."""
    if "-" not in text:
        return text
    from nfrun.session.options import RunOptions  # here, as few messages have an option

    return re.sub(r"--[a-z-]+|\B-p\b", lambda found: _argument(found[0], RunOptions, names), text)


def _argument(option: str, options: Any, names: Mapping[str, str]) -> str:
    """Return the name of the argument for an option, the option itself if there is none."""
    by_field = {field: name for name, field in names.items()}
    for found in fields(options) if options is not None else ():
        if option in found.metadata["flags"]:
            return by_field.get(found.name, found.name)
    return option


class ProgramMessages(Messages):
    """Logs messages with the logger `nfrun`, as warnings. Secrets are redacted. `warnings` has those so far."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []

    def __call__(self, text: str, end: str = "\n") -> str:
        """Log a message. Returns it as it is shown."""
        shown = escape_controls(self.redact(text)).removeprefix("nfrun: ")
        logging.getLogger(_LOGGER).warning("%s", shown)
        return shown

    def warn(self, text: str) -> None:
        """Log a warning and keep it."""
        self.warnings.append(self(f"nfrun: warning: {text}").removeprefix("warning: "))
