"""Defines the findings of checks of the machine and of work folders: for `nfrun doctor`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nfrun.core.pipeline import NOTHING
from nfrun.core.values import field, frozen

OK = "ok"
NOTE = "note"  # runs are right, but may be slow, or run more than they would have to
PROBLEM = "problem"  # runs may fail, hang or be wrong


@frozen
class HealthCheck:
    """The result of one check. `about` says of what, in one or two words.

    `level` is OK, NOTE or PROBLEM. `text` says what was found, and `advice` what to do, "" if nothing. `facts` has the
    same for programs: JSON values by name.
    """

    about: str
    level: str
    text: str
    advice: str = ""
    facts: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
