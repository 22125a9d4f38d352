"""Defines what the scheduler knows of a mapped node: the pieces of its input, and the numbers of rows."""

from __future__ import annotations

from typing import Protocol

from nfrun.core.values import field, frozen

# A piece by its place among those to compute, and then by 0 or 1 for each time that it was halved: `(3,)`, `(3, 0)`.
PiecePath = tuple[int, ...]


@frozen
class MapCounts:
    """The rows of a mapped input: all of them, those with results of earlier runs, those that failed; and the calls.

    `busy` are the seconds of all calls together. `different` is how many different rows are without a result, where
    a plan knows that: rows that are equal are computed once.
    """

    rows: int
    reused: int = 0
    failed: int = 0
    calls: int = 0
    busy: float = field(default=0.0, compare=False)
    different: int | None = None

    def as_json(self) -> dict[str, int]:
        """Return the numbers of rows and calls as JSON values."""
        return {name: getattr(self, name) for name in ("rows", "reused", "failed", "calls")}


class Pieces(Protocol):
    """The pieces of a mapped input that are to be computed."""

    @property
    def count(self) -> int:
        """How many there are before any is halved."""

    def rows_of(self, piece: PiecePath) -> int:
        """Return how many rows of the input get their result from this piece."""

    def can_halve(self, piece: PiecePath) -> bool:
        """Return whether the piece may be computed as two halves."""


@frozen
class OpenedMap:
    """A mapped input that is cut into pieces. `reused` of its `rows` have results of earlier runs.

    With `on_loop` the function is a coroutine, whose calls occupy no threads.
    """

    pieces: Pieces
    rows: int
    reused: int = 0
    on_loop: bool = False


@frozen
class FailedCall:
    """A piece whose last call failed: the type of the error, its message, and the number of calls for its rows."""

    piece: PiecePath
    type: str
    message: str
    attempts: int
