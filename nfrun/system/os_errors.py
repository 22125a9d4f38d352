"""Classifies errors of the operating system and puts them into words."""

from __future__ import annotations

import errno
import os

from nfrun.core.errors import HandoffError

_NO_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
_REFUSALS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM),
)


def reason(error: Exception) -> str:
    """Return the system's text for an error, such as `No space left on device`, or else the error's own text."""
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)


def is_out_of_resources(error: BaseException) -> bool:
    """Return whether the system is out of files, processes or memory, so that nothing can be started."""
    return isinstance(error, OSError | HandoffError) and error.errno in _NO_RESOURCES


def os_error_in(message: str) -> OSError | None:
    """Return the OSError whose text is in the message of a library, such as DuckDB; None if there is none.

    Looks for errors such as a full disk or a missing permission, not for missing files: those are the user's mistake.
    """
    found = (number for number in _REFUSALS if os.strerror(number) in message)
    return next((OSError(number, message) for number in found), None)
