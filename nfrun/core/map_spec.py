"""Defines `MapSpec`: how a node is called once for each piece of one of its inputs."""

from __future__ import annotations

from nfrun.core.values import frozen

DEFAULT_BATCH = 64  # rows
MOST_PARTS = 10_000
FAIL, COLLECT = "fail", "collect"
ERRORS = "errors"  # the output with the failed rows of a node that collects them

_JUDGED_FROM = 20  # rows: with fewer, one failure is a large share


@frozen
class MapSpec:
    """What a node has under `map`.

    `over` is the name of the input that is cut. A piece has `batch` rows; or, where `batch` is 0, it is one group of
    rows that agree in the columns `by`; or one of `parts` pieces: with `by` each has whole groups, without it they are
    slices of about equal length. `keep` are the columns of the input that stay beside the new ones, None for all. With
    `explode` a function gives a list of rows for each row. `on_error` is `fail` or `collect`. `max_failed` is how many
    rows may fail where they are collected: a number (int), or a share of the rows (float). `reuse` is whether results
    of earlier calls are used.
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

    @property
    def collects(self) -> bool:
        """Whether failed rows are handed on in an output of their own, and the node goes on without them."""
        return self.on_error == COLLECT

    @property
    def pieces(self) -> str:
        """What the pieces are, as a text for people: `by 64`, `by doc_id`, `by doc_id in 16 parts`, `in 16 parts`."""
        steps = [f"by {self.batch or ', '.join(self.by)}"] if self.batch or self.by else []
        return " ".join([*steps, *([f"in {self.parts} parts"] if self.parts else [])])

    def is_past(self, failed: int, ended: int) -> bool:
        """Return whether more rows have failed than may, of those whose call has ended; both are numbers of rows.

        A share is judged from 20 rows on.
        """
        if isinstance(self.max_failed, int):
            return failed > self.max_failed
        return ended >= _JUDGED_FROM and failed > self.max_failed * ended
