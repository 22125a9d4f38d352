"""Converts what a Python function returns to a table."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nfrun.core.text import ellipsize
from nfrun.nodes.base import NodeError


def to_table(value: Any) -> Any:
    """Convert the result of a function to a `pyarrow.Table`; a `RecordBatchReader` is returned as it is.

    Takes anything with `__arrow_c_stream__` or `__arrow_c_array__` (pyarrow, polars, pandas, duckdb), a list of
    mappings (rows; a key that a row lacks is null) and a mapping of scalars (one row). Raises NodeError otherwise.
    Of a pandas index, levels with a name become columns.
    """
    import pyarrow as pa

    if isinstance(value, pa.Table | pa.RecordBatchReader):
        return value
    if type(value).__name__ == "Series" and hasattr(value, "to_frame"):
        what = "the function returned a Series, which is one column and not a table"
        raise NodeError(
            what, "return a DataFrame: to_frame() makes one of it, and reset_index() of pandas keeps the index"
        )
    try:
        if isinstance(value, getattr(sys.modules.get("pandas"), "DataFrame", ())):
            return _frame_table(value)
        if isinstance(value, getattr(sys.modules.get("polars"), "DataFrame", ())):
            return _polars_table(value)
        if hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__"):
            return pa.table(value)
        if isinstance(value, Mapping):
            return pa.Table.from_pylist([_row(value)])
        if isinstance(value, list | tuple) and all(isinstance(row, Mapping) for row in value):
            keys = dict.fromkeys(str(key) for row in value for key in row)
            rows = [{str(key): item for key, item in row.items()} for row in value]
            return pa.table({key: [row.get(key) for row in rows] for key in keys})
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        said = "; ".join(map(str, error.args))  # pandas columns that cannot be converted have two texts
        raise NodeError(f"the function returned {a_(value)} that does not make a table: {said}") from None
    if isinstance(value, Path | bytes):
        what = f"the function returned {a_(value)}, and the output is a table"
        raise NodeError(what, "say that it is a file: outputs: {name: file}, or an ending such as {name: .pkl}")
    raise NodeError(
        f"the function returned {a_(value)}, which is not a table",
        "return an Arrow table (pyarrow, polars, pandas, duckdb), a list of mappings, a mapping of scalars, or None",
    )


def lost_index(value: Any) -> str:
    """Return the first labels of a pandas index that its table lacks, "" if none: whole numbers only count the rows."""
    index: Any = None
    if isinstance(value, getattr(sys.modules.get("pandas"), "DataFrame", ())):
        index = _index_of(value)
    if index is None or not len(index):
        return ""
    for i, name in enumerate(index.names):
        labels = index.get_level_values(i)
        if name is None and getattr(labels.dtype, "kind", "O") not in "iu":
            return ", ".join(ellipsize(str(label), 20) for label in labels[:3]) + (", …" if len(labels) > 3 else "")
    return ""


def _index_of(frame: Any) -> Any:
    return frame.index


def _polars_table(frame: Any) -> Any:
    """Return a data frame of polars as an Arrow table. Raises NodeError for one that polars cannot convert.

    Where polars panics, as for null lists of decimals, its Arrow stream would end the process: this can be caught.
    """
    import polars

    try:
        return frame.to_arrow(compat_level=polars.CompatLevel.newest())
    except polars.exceptions.PanicException as error:
        schema = ", ".join(f"{name}: {type_}" for name, type_ in frame.schema.items())
        what = f"polars cannot make an Arrow table of this data frame ({ellipsize(schema, 200)}): {error}"
        raise NodeError(what, "cast the column to another type, or return another table") from None


def _frame_table(frame: Any) -> Any:
    """Convert a DataFrame. Levels of its index become columns if they have a name that no column has."""
    import pyarrow as pa

    taken, dropped = {str(name) for name in frame.columns}, []
    for i, name in enumerate(frame.index.names):
        if name is None or str(name) in taken:
            dropped.append(i)
        taken.add(str(name))
    kept = [i for i in range(frame.index.nlevels) if i not in dropped]
    levels = [(frame.index.names[i], frame.index.get_level_values(i).dtype) for i in kept]
    for name, dtype in (*zip(frame.columns, frame.dtypes, strict=True), *levels):
        _check_column(name, dtype)
    if not kept:
        return pa.Table.from_pandas(frame, preserve_index=False)
    return pa.Table.from_pandas(frame.droplevel(dropped), preserve_index=True)


def _check_column(name: object, dtype: Any) -> None:
    """Raise NodeError for values that an Arrow table would have as other ones: months as their number since 1970."""
    kind = type(getattr(getattr(dtype, "categories", None), "dtype", dtype)).__name__
    if kind == "PeriodDtype":
        what = f"the column '{name}' of the data frame has periods, which tables do not have"
        raise NodeError(what, "make texts of them (.astype(str)), or timestamps (.dt.to_timestamp())")
    if kind == "IntervalDtype" and hasattr(dtype, "categories"):
        what = f"the column '{name}' of the data frame has categories of intervals, which tables do not have"
        raise NodeError(what, "make texts of them: .astype(str)")


def _row(value: Mapping[Any, Any]) -> dict[str, Any]:
    for key, item in value.items():
        if isinstance(item, list | tuple | Mapping | set) or hasattr(item, "__arrow_c_array__"):
            raise NodeError(
                f"the function returned a mapping whose '{key}' is {a_(item)}",
                "a mapping makes one row and holds scalars (null, a boolean, a number, a string, bytes, a date or a "
                "time); for columns return pyarrow.table(...)",
            )
    return {str(key): item for key, item in value.items()}


def a_(value: Any) -> str:
    """Return the name of the type of a value, with its article."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"
