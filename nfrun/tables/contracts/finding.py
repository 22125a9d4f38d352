"""Defines what a check of a table finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nfrun.core.values import frozen

if TYPE_CHECKING:
    import pyarrow as pa

EVIDENCE_ROWS = 1000  # the first failing rows that are kept


@frozen
class Finding:
    """The finding of a check: whether it holds, before `allow` is looked at.

    `failing` is the number of rows that fail, None for a check that is not about single rows, and `evidence` has the
    first of them. `reason` says why such a check, or one that cannot be made, does not hold.
    """

    holds: bool
    failing: int | None = None
    evidence: pa.Table | None = None
    reason: str = ""
