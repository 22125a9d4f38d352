"""Inputs that a Python program gives: paths as they are, and tables as files that are named by their content."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from glob import has_magic
from pathlib import Path
from typing import Any

from nfrun.core.errors import UsageError
from nfrun.core.pipeline import Pipeline
from nfrun.core.text import ellipsize
from nfrun.history.given_tables import remove_old_inputs
from nfrun.history.work_dir import WorkDir
from nfrun.nodes.base import NodeError
from nfrun.nodes.returned_tables import to_table


class GivenInputs:
    """The inputs of a run. `paths` has the file of each.

    A table becomes an Arrow file in the work folder, whose name is the digest of its content: the same table is the
    same input in each run. `read()` returns the pipeline, which may name its work folder; `work` wins over that.
    `columns(name)` returns the types of the columns that an input is known to have, for a list without rows.
    """

    def __init__(
        self,
        inputs: Mapping[str, Any],
        read: Callable[[], Pipeline],
        work: Path | None,
        columns: Callable[[str], Mapping[str, str]],
    ) -> None:
        if not isinstance(inputs, Mapping):
            raise UsageError(f"{ellipsize(repr(inputs), 60)} is no mapping of names to tables or paths", "--input")
        self._tables: dict[Path, Any] = {}
        self.paths: dict[str, str] = {}
        self._work: WorkDir | None = None
        for name, value in inputs.items():
            if isinstance(value, str | os.PathLike):
                self.paths[name] = _path(name, os.fspath(value))
                continue
            self._work = self._work or WorkDir.of_pipeline(read(), work)
            has_rows = not isinstance(value, list | tuple) or len(value) > 0
            table = _table(name, value) if has_rows else _no_rows(columns(name))
            path = self._work.given_input(_digest(table))
            self._tables[path] = table
            self.paths[name] = str(path)

    def write(self) -> None:
        """Write the tables that are in no file yet. Raises OSError."""
        for path, table in self._tables.items():
            if not path.exists():
                from nfrun.tables.ipc import write_file

                assert self._work is not None
                self._work.make()
                write_file(table, path)
            else:
                with suppress(OSError):
                    os.utime(path)  # those that were given longest ago are removed first

    def remove_old(self, budget: int | None) -> None:
        """Remove tables of earlier runs if all take more than the budget, None for the default."""
        if self._work is not None:
            remove_old_inputs(self._work, self._tables, budget)


def _path(name: str, path: str) -> str:
    """Return the path or URI of an input. Raises UsageError if it is a path of one file that is not there."""
    if path and "://" not in path and not has_magic(path) and not os.path.lexists(path):
        raise UsageError(f"'{name}': there is no file '{path}'", "--input")
    return path


def _table(name: str, value: Any) -> Any:
    """Return a value as a table. Raises UsageError."""
    try:
        found = to_table(value)
    except NodeError as error:
        why = str(error).removeprefix("the function returned ")
        what = f"'{name}' is {why}"
        raise UsageError(f"{what} (give a path, a table, or a list of mappings)", "--input") from None
    table = _with_plain_texts(found.read_all() if hasattr(found, "read_all") else found)
    # What pandas notes of its index is no content: rows and frames with the same columns are the same table.
    more = {key: text for key, text in (table.schema.metadata or {}).items() if key != b"pandas"}
    return table.replace_schema_metadata(more or None)


def _with_plain_texts(table: Any) -> Any:
    """Return a table with one type for texts, whatever made it: pandas gives large_string, polars string_view.

    A column whose texts are too long for that (more than 2 GB in a chunk) stays as it is.
    """
    import pyarrow as pa

    for i, field in enumerate(table.schema):
        if field.type in (pa.large_string(), pa.string_view()):
            with suppress(pa.ArrowInvalid):
                table = table.set_column(i, field.with_type(pa.string()), table.column(i).cast(pa.string()))
    return table


def _no_rows(columns: Mapping[str, str]) -> Any:
    """Return a table without rows, with these columns."""
    import pyarrow as pa

    from nfrun.tables.contracts.column_types import arrow_type
    from nfrun.tables.contracts.type_names import OTHERS, parse_type

    types = {name: arrow_type(parse_type(text)[0]) for name, text in columns.items() if name != OTHERS}
    return pa.schema({name: type or pa.null() for name, type in types.items()}.items()).empty_table()


def _digest(table: Any) -> str:
    from nfrun.system.checksums import text_checksum
    from nfrun.tables.digest import Digest
    from nfrun.tables.stored_form import with_stored_types

    stored = with_stored_types(table)
    digest = Digest(stored.schema)
    digest.add(stored)
    return text_checksum(f"{digest.hexdigest()} {digest.schema_digest(stored)}")
