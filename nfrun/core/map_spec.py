"""Defines how a node is called once for each piece of one of its inputs, and what the scheduler knows of the pieces."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from nfrun.core.values import field, frozen

DEFAULT_BATCH = 64  # rows
FAIL, COLLECT = "fail", "collect"
ERRORS = "errors"  # the output with the failed rows of a node that collects them

NO_BATCHES: Mapping[str, str] = {}
_JUDGED_FROM = 20  # rows: with fewer, one failure is a large share
_ROUNDING = 1e-6  # rows: 29 % of 100 are 28.999999999999996
# A piece by its place among those to compute, and then by 0 or 1 for each time that it was halved: `(3,)`, `(3, 0)`.
PiecePath = tuple[int, ...]


@frozen
class MapForm:
    """The parameters of the function of a mapped node, as its source shows them.

    It takes the table of a piece, or columns of it: `columns` must be there, and `optional` are given where the input
    has them, as their arguments have defaults. `per_row`: it is called for each row with single values. Otherwise it is
    called once for a piece, and `batches` says in what form it takes each column: `list`, `arrow`, `chunked`, `numpy`,
    `pandas` or `polars`. `is_async` is a function whose calls are awaited.
    """

    takes_table: bool = True
    columns: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    per_row: bool = False
    batches: Mapping[str, str] = field(default_factory=lambda: NO_BATCHES)
    is_async: bool = False

    def named_in(self, names: Collection[str]) -> tuple[str, ...]:
        """Return the columns that the function gets from a table with columns of these names."""
        return (*self.columns, *[name for name in self.optional if name in names])


@frozen
class MapSpec:
    """The settings of a node under `map`.

    `over` is the name of the input that is cut. A piece has `batch` rows; or, where `batch` is 0, it is one group of
    rows that agree in the columns `by`; or one of `parts` pieces: with `by` each has whole groups, without it they are
    slices of about equal length. `keep` are the columns of the input that stay beside the new ones, None for all. With
    `explode` a function gives a list of rows for each row. `on_error` is `fail` or `collect`. `max_failed` is how many
    rows may fail where they are collected: a number (int), or a share of the rows (float). `reuse` is whether results
    of earlier calls are used. `form` is what the function takes, None if the source does not show it.
    """

    over: str
    batch: int = DEFAULT_BATCH
    by: tuple[str, ...] = ()
    parts: int = 0
    keep: tuple[str, ...] | None = None
    explode: bool = False
    on_error: str = FAIL
    max_failed: int | float = 0.1
    reuse: bool = True
    form: MapForm | None = None

    @property
    def is_row_wise(self) -> bool:
        """Whether the function takes columns: what it gives for a row depends on that row and on no other."""
        return self.form is not None and not self.form.takes_table

    @property
    def rows_per_call(self) -> int:
        """The number of rows of a call, 0 for groups and parts. An async function that takes one row gets one."""
        return 1 if self.form is not None and self.form.per_row and self.form.is_async else self.batch

    @property
    def collects(self) -> bool:
        """Whether failed rows are handed on in an output of their own, and the node goes on without them."""
        return self.on_error == COLLECT

    @property
    def cut_text(self) -> str:
        """The cuts of the input, as a text for people: `by 64`, `by doc_id`, `by doc_id in 16 parts`, `in 16 parts`."""
        steps = [f"by {self.rows_per_call or ', '.join(self.by)}"] if self.batch or self.by else []
        return " ".join([*steps, *([f"in {self.parts} parts"] if self.parts else [])])

    def is_past(self, failed: int, rows: int) -> bool:
        """Return whether more rows have failed than may, of all `rows` of the input. A share counts from 20 rows on."""
        if isinstance(self.max_failed, int):
            return failed > self.max_failed
        return rows >= _JUDGED_FROM and failed > self.max_failed * rows + _ROUNDING


@frozen
class KeptRows:
    """The place of the results of a mapped node's calls, and which of them are used.

    `folder` is the path of the folder. `run` begins the names of the files that this run writes, and sorts behind those
    of earlier runs. Without `use_kept`, no earlier result is used, otherwise none in files whose names begin with one
    of `outdated`. Files whose names sort before `ended` are no longer written.
    """

    folder: str
    run: str
    use_kept: bool = True
    outdated: tuple[str, ...] = ()
    ended: str = ""


@frozen
class MapCounts:
    """The rows of a mapped input: all of them, those with results of earlier runs, those that failed; and the calls.

    `busy` are the seconds of all calls together.
    """

    rows: int
    reused: int = 0
    failed: int = 0
    calls: int = 0
    busy: float = field(default=0.0, compare=False)

    def as_json(self) -> dict[str, int]:
        """Return the numbers of rows and calls as JSON values."""
        return {name: getattr(self, name) for name in ("rows", "reused", "failed", "calls")}


class Pieces(Protocol):
    """The pieces of a mapped input that are to be computed."""

    @property
    def count(self) -> int:
        """The number of pieces before any is halved."""

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
