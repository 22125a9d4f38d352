"""Why the system refused something, in words, and whose fault that is. Knows no nodes."""

from __future__ import annotations

import errno
import os

from nfrun.errors import HandoffError


def reason(error: Exception) -> str:
    """Why, in the system's own words where there are any: Arrow puts others around them, Python a number first."""
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)


def is_short_of(error: BaseException) -> bool:
    """Whether the system has run out of files, processes or memory to start anything: no fault of a node's."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)


def is_denied(message: str) -> bool:
    """Whether a message that ends with the system's own words is a matter of permission."""
    return message.endswith((os.strerror(errno.EACCES), os.strerror(errno.EPERM)))


def refusal(error: HandoffError) -> str:
    """The type of a failure with this error: the exit code depends on whether it was a matter of permission."""
    return "PermissionError" if isinstance(error.__cause__, PermissionError) else ""
