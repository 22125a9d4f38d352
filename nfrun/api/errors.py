"""The errors of the Python API: those of nfrun, with the names that Python programs know, and without secrets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nfrun.api.messages import ProgramMessages
from nfrun.core.errors import Error, SpecError, UsageError
from nfrun.core.pipeline import NOTHING
from nfrun.core.text import shortened
from nfrun.core.values import fields


class RunFailed(Error):
    """Raised by `Result.check`: a run did not end well. `result` is what `run` has returned."""

    def __init__(self, message: str, result: Any) -> None:
        super().__init__(message)
        self.result = result


@contextmanager
def errors_for_programs(options: Any = None, names: Mapping[str, str] = NOTHING) -> Iterator[ProgramMessages]:
    """Raise SpecError without secrets, and UsageError with the argument's name. Yields the messages of the call.

    `options` is the class of the options, and `names` has for arguments the fields of it, if these are called
    otherwise.
    """
    messages = ProgramMessages()
    try:
        yield messages
    except SpecError as error:
        from nfrun.logs.event_redaction import redact_diagnostic

        raise SpecError([redact_diagnostic(found, messages.redact) for found in error.diagnostics]) from None
    except UsageError as error:
        argument = _argument(error.option, options, {field: name for name, field in names.items()})
        raise UsageError(f"{argument}: {error}", argument) from None


def _argument(option: str, options: Any, names: Mapping[str, str]) -> str:
    for found in fields(options) if options is not None else ():
        if option in found.metadata["flags"]:
            return names.get(found.name, found.name)
    return option


def only_here(executor: str, functions: Iterable[str]) -> UsageError:
    """Return the error for functions that cannot be called on this executor, as no other process can import them."""
    listed = shortened([f"'{name}'" for name in functions], 4)
    what = f"no other process can import {listed}: put such functions into a module, or leave out executor={executor!r}"
    return UsageError(what, "--executor")
