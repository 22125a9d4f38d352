"""Shows what a page has of the content of an output: first rows and columns of a table, a picture, a text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.core.errors import HandoffError

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE = 20_000  # rows of which columns are described
_SLICES = 160  # of a larger table: ten times as many as a histogram has bins, so that each bin gets its share
_FAILING_COLUMNS = 12
# From the most to the least: rows and columns that are shown, and columns that are described.
_LEVELS = ((10, 60, 60), (10, 24, 24), (5, 16, 16), (5, 8, 8), (3, 8, 0))


def table_data(table: pa.Table, room: int, most_rows: int = SAMPLE) -> dict[str, Any]:
    """Return the first rows of a table and what its columns have, in about `room` bytes of JSON or less.

    Of a table with more than `most_rows`, columns are described by a sample of its rows, which `sampled` counts, but
    for their nulls. Raises HandoffError if what is read of it is damaged.
    """
    from nfrun.lookback.page.column_data import columns_of, shown_values

    rows, columns, described = _LEVELS[0]
    table = table.select(range(min(columns, table.num_columns)))
    sample = _validated(sample_of(table, most_rows))
    head = sample if sample.num_rows == table.num_rows else _validated(table.slice(0, rows))
    shown = [shown_values(column.slice(0, rows)) for column in head.columns]
    of_columns = [*columns_of(sample, described)]
    found: dict[str, Any] = {}
    if sample.num_rows < table.num_rows:
        found["sampled"] = sample.num_rows
        for column, of_column in zip(table.columns, of_columns, strict=False):
            of_column["nulls"] = column.null_count  # the file says how many there are in all rows
    for rows, columns, described in _LEVELS:
        found["first_rows"] = [list(row) for row in zip(*(values[:rows] for values in shown[:columns]), strict=True)]
        found["columns"] = of_columns[:described]
        if len(json.dumps(found)) <= room:
            return found if described else {name: value for name, value in found.items() if name != "columns"}
    return {}


def failing_rows(path: Path, most: int) -> list[dict[str, str]]:
    """Return the first rows in the file with rows that failed a check, as texts by column. Raises HandoffError."""
    from nfrun.lookback.page.column_data import shown_values
    from nfrun.tables.ipc import open_file

    table = _validated(open_file(path).slice(0, most))
    names = table.column_names[:_FAILING_COLUMNS]
    columns = [
        ["null" if value is None else str(value) for value in shown_values(table.column(n))] for n in range(len(names))
    ]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def sample_of(table: pa.Table, most_rows: int = SAMPLE) -> pa.Table:
    """Return the table, or of one with more rows slices from its beginning to its end."""
    if table.num_rows <= most_rows:
        return table
    import pyarrow as pa

    length = most_rows // _SLICES
    step = (table.num_rows - length) / (_SLICES - 1)
    return pa.concat_tables([table.slice(int(i * step), length) for i in range(_SLICES)]).combine_chunks()


def _validated(table: pa.Table) -> pa.Table:
    import pyarrow as pa

    try:
        table.validate(full=True)
    except pa.ArrowException as error:
        raise HandoffError(f"its file is damaged: {error}") from error
    return table
