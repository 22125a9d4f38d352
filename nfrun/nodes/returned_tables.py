"""Converts what a Python function returns to a table, and checks the files and folders that it returns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nfrun.core.errors import HandoffError
from nfrun.core.pipeline import FOLDER, NodeSpec, ending_of, form_of
from nfrun.core.text import ellipsize
from nfrun.nodes.base import NodeError
from nfrun.system.os_errors import reason


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
    is_frame = isinstance(value, getattr(sys.modules.get("pandas"), "DataFrame", ()))
    index: Any = getattr(value, "index", None) if is_frame else None
    if index is None or not len(index):
        return ""
    for i, name in enumerate(index.names):
        labels = index.get_level_values(i)
        if name is None and getattr(labels.dtype, "kind", "O") not in "iu":
            return ", ".join(ellipsize(str(label), 20) for label in labels[:3]) + (", …" if len(labels) > 3 else "")
    return ""


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


def made_file(value: Any, type: str, name: str, scratch: Path, place: str = "") -> Path:
    """Return the path of the output `name`, which is a file or folder: a path in `scratch`.

    `value` is what the function returned: such a path, or the bytes of a file, which are written there. `place` is how
    the function names such a path, for messages. Raises NodeError for anything else, and HandoffError if the bytes
    cannot be written.
    """
    form = form_of(type)
    place = place or f"context.output('{name}{ending_of(type)}')"
    how = f"make it at {place}, and return that path"
    if isinstance(value, bytes | bytearray | memoryview) and form != FOLDER:
        return _written(value, scratch / f"output_{name}{ending_of(type)}")
    if not isinstance(value, Path):
        what = f"the output '{name}' is a {form}, and the function returned {a_(value)}"
        raise NodeError(what, f"{how}{'' if form == FOLDER else '; or return bytes'}")
    # The last part is not resolved: what a link leads to stays where it is.
    path, folder = value.parent.resolve() / value.name, scratch.resolve()
    if not path.is_relative_to(folder) or path == folder:
        what = f"the function returned {ellipsize(str(value), 200)} as '{name}', which is not below its scratch folder"
        raise NodeError(what, f"{how}. A file that is there already is read by a node: read: {value.name}")
    if path.is_symlink():
        raise NodeError(f"the function returned a link as '{name}': {value.name}", "copy what it leads to")
    if not path.exists():
        raise NodeError(
            f"there is no {form} {ellipsize(str(value), 200)}, which the function returned as '{name}'", how
        )
    if path.is_dir() != (form == FOLDER):
        is_now = "a folder" if path.is_dir() else "a file"
        raise NodeError(f"the output '{name}' is a {form}, and the function returned {is_now}: {value.name}")
    return path


def check_returned(node: NodeSpec, scratch: Callable[[], Path]) -> None:
    """Raise NodeError if the node's one output is a file or folder that lies in `scratch`, and was not returned."""
    if not node.types:
        return
    ((name, type),) = node.types.items()
    if made := sorted(path.name for path in scratch().iterdir()):
        what = f"the output '{name}' is a {form_of(type)}, and the function returned None; it made '{made[0]}'"
        raise NodeError(what, f"return the path, as in: return context.output('{made[0]}')")


def check_apart(paths: Mapping[str, Path]) -> None:
    """Raise NodeError if an output is the same file as another one, or in it: each is moved."""
    for name, path in paths.items():
        for other, around in paths.items():
            if name != other and path.is_relative_to(around):
                what = f"the function returned {path.name} as '{name}', which is {'' if path == around else 'in '}"
                raise NodeError(f"{what}the output '{other}'", "make a copy for one of them")


def _written(data: bytes | bytearray | memoryview, path: Path) -> Path:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise HandoffError(f"cannot write {path.name} ({len(data):,} bytes): {reason(error)}", error) from error
    return path
