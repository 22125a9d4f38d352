"""Gives functions their input tables as data frames where annotations say so, and says how where they would need it.

Import it where a function takes a data frame, or fails: few do.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any

from nfrun.code.signatures import signature_of
from nfrun.core.text import ellipsize
from nfrun.nodes.base import NodeError

_FRAME = re.compile(r"(?:Optional\[)?(?:(?P<pandas>pd|pandas)|pl|polars)\.(?:\w+\.)*DataFrame\]?(?: \| None)?")
_NAME = re.compile(r"(?<![\w.])[^\W\d]\w*")
_REST = "**"  # the key for the inputs that no other parameter takes
_OF_ARROW = re.compile(r"pyarrow\.lib\.(?:Table|ChunkedArray)\b")


def frames_of(function: Callable[..., Any], parameters: Mapping[str, Parameter]) -> dict[str, str]:
    """Return the parameters of a function that are annotated as data frames, each with its library.

    Where `**rest` is annotated so, all others are there too, with "".
    """
    found, imported = {}, _imported(function)
    for name, parameter in parameters.items():
        written = parameter.annotation
        text = written if isinstance(written, str) else inspect.formatannotation(written)
        text = _NAME.sub(lambda name: imported.get(name[0], name[0]), text.replace("typing.", ""))
        if match := _FRAME.fullmatch(text.strip("'")):
            key = _REST if parameter.kind is parameter.VAR_KEYWORD else name
            found[key] = "pandas" if match["pandas"] else "polars"
    return {**dict.fromkeys(parameters, ""), **found} if _REST in found else found


def _imported(function: Callable[..., Any]) -> Mapping[str, str]:
    """Return the objects of pandas and polars in the module of a function, by their names there."""
    made: Any = vars(function).get("__init__") if isinstance(function, type) else function
    libraries = {name: sys.modules[name] for name in ("pandas", "polars") if name in sys.modules}
    known: dict[int, str] = {id(module): name for name, module in libraries.items()}
    for name, module in libraries.items():
        if hasattr(module, "DataFrame"):  # another thread may be importing it
            known[id(module.DataFrame)] = f"{name}.DataFrame"
    names = getattr(inspect.unwrap(made), "__globals__", {}) if made else {}
    return {name: known[id(value)] for name, value in dict(names).items() if id(value) in known}


def as_frames(arguments: Mapping[str, Any], libraries: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments, with data frames of these libraries in place of tables. The function may change them."""
    rest = libraries.get(_REST, "")
    return {name: _frame(value, libraries.get(name, rest)) for name, value in arguments.items()}


def taking_tables(function: Callable[..., Any], libraries: Mapping[str, str]) -> Callable[..., Any]:
    """Return the function, made to take tables for its data frames too."""

    @functools.wraps(function)
    def call(*positional: Any, **named: Any) -> Any:
        given = signature_of(function).bind(*positional, **named)
        given.arguments = as_frames(given.arguments, libraries)
        return function(*given.args, **given.kwargs)

    return call


def explain_tables(error: Exception, arguments: Mapping[str, Any], libraries: Mapping[str, str]) -> None:
    """Add a note to an error of a function that has taken an Arrow table for a data frame, or dates for timestamps."""
    if "Can only use .dt accessor" in str(error):
        error.add_note("a column of dates has dates of Python: pd.to_datetime(column) makes timestamps of them")
    if not _OF_ARROW.search(str(error)):
        return
    for name, value in arguments.items():
        if not libraries.get(name, libraries.get(_REST)) and _is_table(value):
            error.add_note(
                f"'{name}' is an Arrow table: for a data frame write '{name}: pd.DataFrame' (or pl.DataFrame)"
            )
            return


def _frame(value: Any, library: str) -> Any:
    """Return a table as a data frame of a library, and any other value as it is."""
    if not library or not _is_table(value):
        return value
    if library == "pandas":
        return pandas_frame(value)
    return _polars_frame(value)


def _polars_frame(table: Any) -> Any:
    """Return an Arrow table as a data frame of polars. Raises NodeError for one that polars cannot have."""
    import polars

    try:
        return polars.from_arrow(table)
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException) as error:
        columns = ellipsize(", ".join(f"{field.name}: {field.type}" for field in table.schema), 200)
        what = f"polars cannot take this table ({columns}): {error}"
        raise NodeError(what, "make a text of the column before, or take the table: pa.Table") from None


def pandas_frame(table: Any) -> Any:
    """Return an Arrow table as a data frame of pandas that keeps the types of whole numbers and times.

    pandas would make floats of whole numbers in a column that has nulls: such a column gets a nullable type, as does
    one of truths. Lists, structs and maps with such numbers inside, or with times in a zone, are objects of Python.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.types as pt

    names = table.column_names
    if len(set(names)) < len(names):  # a type is said by the name of its column
        frame = pandas_frame(table.rename_columns([*map(str, range(len(names)))]).replace_schema_metadata(None))
        return frame.set_axis(names, axis="columns")
    nullable: dict[str, Any] = {}
    nested = set()
    for i, field in enumerate(table.schema):
        column = table.column(i)
        if (
            isinstance(field.type, pa.BaseExtensionType)
            and pt.is_integer(field.type.storage_type)
            and column.null_count
        ):
            table = table.set_column(i, field.name, column := column.cast(field.type.storage_type))
        if pt.is_nested(column.type):
            nested |= {column.type} if any(map(_would_change, column.chunks)) else set()
        elif column.null_count and (pt.is_integer(column.type) or pt.is_boolean(column.type)):
            name = "boolean" if pt.is_boolean(column.type) else str(column.type).title().replace("Ui", "UI")
            nullable[field.name] = column.type, pd.api.types.pandas_dtype(name)
    if not nullable and not nested:
        return table.to_pandas()
    known = table.schema.pandas_metadata or {"index_columns": [], "columns": []}
    of_index = dict(nullable[name] for name in known["index_columns"] if isinstance(name, str) and name in nullable)
    described = {column["field_name"]: column for column in known["columns"]}
    for name, (_, dtype) in nullable.items():  # pandas reads the type of a column here
        made = {"name": name, "field_name": name, "pandas_type": "int64", "metadata": None}
        described[name] = {**described.get(name, made), "numpy_type": str(dtype)}
    metadata = json.dumps({**known, "columns": [*described.values()]})
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"pandas": metadata})
    types = {**of_index, **{type_: pd.ArrowDtype(type_) for type_ in nested}}
    frame = table.to_pandas(types_mapper=types.get)
    for i, dtype in enumerate(frame.dtypes):
        if isinstance(dtype, pd.ArrowDtype) and dtype.pyarrow_dtype in nested:
            column = pa.chunked_array(frame.iloc[:, i].array.__arrow_array__())
            if "time64[ns]" in str(column.type):
                column.to_pandas()  # it refuses times of nanoseconds, which `to_pylist` would cut
            frame.isetitem(i, pd.Series(column.to_pylist(), frame.index, object))
    return frame


def _would_change(array: Any) -> bool:
    """Return whether a nested array has nulls among whole numbers inside, or times in a zone."""
    import pyarrow.types as pt

    kind = array.type
    if pt.is_struct(kind):
        return any(_would_change(array.field(i)) for i in range(kind.num_fields))
    if pt.is_map(kind):
        return _would_change(array.keys) or _would_change(array.items)
    if hasattr(array, "values") and pt.is_nested(kind):
        return _would_change(array.values)
    return bool(pt.is_integer(kind) and array.null_count) or (pt.is_timestamp(kind) and kind.tz is not None)


def _is_table(value: Any) -> bool:
    return hasattr(value, "to_pandas") and type(value).__module__ == "pyarrow.lib"
