"""Prints the first rows of a table, as the summary of a run and the commands that look back show them.

`KnownPreviews` remembers what a run has shown, so that a later run shows the same tables without opening them.
Opening a table imports Arrow, which takes a third of the time of a short run that reuses everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from nfrun import __version__
from nfrun.core.events import OutputRef
from nfrun.core.file_source import DIGEST_OF_FILES
from nfrun.core.pipeline import form_of
from nfrun.core.text import ellipsize, escape_controls
from nfrun.core.values import KW_ONLY, asdict, field, frozen, mutable
from nfrun.reports.format_units import format_count, format_size
from nfrun.reports.line_reporter import NoEvents
from nfrun.reports.printing import Printer
from nfrun.tables.python_values import values_of

if TYPE_CHECKING:
    import pyarrow as pa

_MAX_COLUMNS = 12
_MIN_CELL, _OMITTED_CELL = 8, 12  # characters of a column, and of the one that counts the omitted columns
_WIDEST_CELL = 80
_EXACT = 2**53  # whole numbers below it are exact as floats, so they are shown in full: they may be keys
_MAX_ROWS, _FIRST_ROWS = 25, 10  # a table with more rows than the first is cut to the second


@frozen
class Preview:
    """The part of a table that is shown: its size, and the first rows of its first columns, without their layout.

    `cells` has the values of each column, as floats, texts and None. `types` are the names of Arrow's types.
    """

    rows: int
    columns: int
    names: Sequence[str]
    types: Sequence[str]
    cells: Sequence[Sequence[float | str | None]]


def preview_of(data: pa.Table, rows: int | None = None, *, wide: bool = False) -> Preview:
    """Return the first rows of the first columns of a table, or with `wide` of all.

    If `rows` is None, these are all of up to 25 rows, and otherwise 10.
    """
    if rows is None:
        rows = data.num_rows if data.num_rows <= _MAX_ROWS else _FIRST_ROWS
    head, columns = data.slice(0, rows), data.num_columns if wide else _MAX_COLUMNS
    names = data.schema.names[:columns]
    cells = [[_cell(value) for value in values_of(head.column(i))] for i in range(len(names))]
    return Preview(data.num_rows, data.num_columns, names, list(map(str, data.schema.types[:columns])), cells)


def print_preview(
    out: Printer,
    name: str,
    preview: Preview,
    path: str | None,
    redact: Callable[[str], str] = str,
    *,
    wide: bool = False,
) -> None:
    """Print the name of a table, its size, its path and its first rows. Texts go through `redact(text)`.

    With `wide`, all columns of the preview are shown, however wide the terminal is.
    """
    head = f"\n{escape_controls(name)}: {format_count(preview.rows, 'row')}, {format_count(preview.columns, 'column')}"
    out.print_line(head, "bold", also=escape_controls(path) if path else "")
    if not preview.columns:
        return
    table = out.new_table()
    if wide:
        out.width = max(out.width, (_WIDEST_CELL + _MIN_CELL) * preview.columns)
    names = preview.names if wide else preview.names[: _fitting(preview.columns, out.width)]
    for column, kind in zip(names, preview.types, strict=False):
        numeric = kind.startswith(("int", "uint", "float", "double", "decimal", "half"))
        table.add_column(ellipsize(redact(column), 40), justify="right" if numeric else "left", overflow="fold")
    columns = [[cell_text(value, redact) for value in column] for column in preview.cells[: len(names)]]
    shown = len(columns[0])
    if len(names) < preview.columns:
        table.add_column(f"… {preview.columns - len(names)} more")
        columns.append([""] * shown)
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    out.print(table)
    if shown < preview.rows:
        out.print_line(f"… and {format_count(preview.rows - shown, 'more row')}", "dim")


def print_file(out: Printer, name: str, type: str, size: int, path: str | None) -> None:
    """Print the name of an output that is a file or folder, its size, and its path."""
    head = f"\n{escape_controls(name)}: {form_of(type)}, {format_size(size)}"
    out.print_line(head, "bold", also=escape_controls(path) if path else "")


def cell_text(value: object, redact: Callable[[str], str] = str) -> str:
    """Return a value as the text of a cell; null is empty."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return ellipsize(redact(str(value)), _WIDEST_CELL)
    shown = f"{value:.0f}" if value.is_integer() and abs(value) < _EXACT else f"{value:.10g}"
    # A secret value may have more digits than are shown, so the full text is checked too.
    return next((masked for text in (shown, str(value)) if (masked := redact(text)) != text), shown)


def _fitting(columns: int, width: int) -> int:
    """Return how many columns are shown. If some are left out, a column that counts them takes its place."""
    most = min(_MAX_COLUMNS, max(1, width // _MIN_CELL))
    return most if columns <= most else min(_MAX_COLUMNS, max(1, (width - _OMITTED_CELL) // _MIN_CELL))


def _cell(value: object) -> float | str | None:
    return value if value is None or isinstance(value, float) else str(value)


_MOST = 100  # outputs of a pipeline: a run shows six
_LONGEST = 1_000  # characters of a cell: tables with longer ones are opened each time


@mutable
class KnownPreviews(NoEvents):
    """Returns what is shown of outputs, and keeps it when it is closed as a reporter.

    `read()` returns what earlier runs have kept, as JSON values, and `write(found)` keeps it. `refs`
    has the references of the outputs, and `table(id)` opens one; it returns None if it cannot. A preview counts for a
    table of the same content and schema. One with a text that `redact` changes is not kept.
    """

    read: Callable[[], dict[str, Any]]
    write: Callable[[dict[str, Any]], object]
    _: KW_ONLY
    refs: Mapping[str, OutputRef]
    table: Callable[[str], Any]
    redact: Callable[[str], str]
    _saved: dict[str, Any] | None = None
    _shown: dict[str, Any] = field(default_factory=dict)

    name = "of previews"

    def of(self, id: str) -> Preview | None:
        """Return what is shown of an output, None if it cannot be opened."""
        if self._saved is None:
            self._saved = self.read()
        content = _content(self.refs[id])
        found = self._saved.get(id, {})
        if content and found.get("content") == content:
            self._shown[id] = found
            return Preview(**found["preview"])
        table = self.table(id)
        if table is None:
            return None
        preview = preview_of(table)
        if content and self._may_be_kept(preview):
            self._shown[id] = {"content": content, "preview": asdict(preview)}
        return preview

    def close(self) -> None:
        """Keep what was shown, if anything of it is new."""
        saved = self._saved or {}
        if not self._shown.items() <= saved.items():
            others = [(id, found) for id, found in saved.items() if id not in self._shown]
            self.write(dict([*others, *self._shown.items()][-_MOST:]))

    def _may_be_kept(self, preview: Preview) -> bool:
        texts = [text for text in chain(preview.names, *preview.cells) if isinstance(text, str)]
        values = [str(value) for value in chain(*preview.cells) if isinstance(value, float)]
        return all(len(text) <= _LONGEST and self.redact(text) == text for text in (*texts, *values))


def _content(ref: OutputRef) -> list[str]:
    """Return what the preview of an output depends on; [] where its table has no digest of its own."""
    digest = ref.digest or ""
    if not digest or (ref.path is None and ref.stored is None) or digest.startswith(DIGEST_OF_FILES):
        return []
    return [__version__, digest, ref.schema_digest or "", ref.schema]
