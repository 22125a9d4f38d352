"""Why the system refused something, in words, and whose fault that is. Knows no nodes."""

from __future__ import annotations

import errno
import os

_REFUSALS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM),
)


def reason(error: Exception) -> str:
    """Why, in the system's own words where there are any: Arrow puts others around them, Python a number first."""
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)


def is_out_of_resources(error: BaseException) -> bool:
    """Whether the system has run out of files, processes or memory to start anything: no fault of a node's."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)


def os_error_in(message: str) -> OSError | None:
    """The error that a library reports of which nothing is left but its message; None where the system refused nothing.

    Not of names that are not there, or not of files: whoever chose them is to hear of it.
    """
    found = (number for number in _REFUSALS if os.strerror(number) in message)
    return next((OSError(number, message) for number in found), None)
