"""Calls the function of a mapped Python node for a piece of its input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nfrun.core.map_spec import MapForm, MapSpec
from nfrun.nodes.base import NodeContext, NodeError
from nfrun.nodes.map_form import check_names
from nfrun.nodes.returned_tables import to_table
from nfrun.nodes.user_function import Loaded, awaited, bound, bound_shared, load

if TYPE_CHECKING:
    import pyarrow as pa

_LARGEST = 2**53  # up to here a float is each whole number


def call_piece(context: NodeContext, piece: pa.Table, inputs: Mapping[str, Any]) -> Any:
    """Return what the function returns for a piece: a table if it takes the table, otherwise values of the rows.

    `inputs` are all others, by name. A function that takes single values is called for each row, and its results are a
    list. The user's code begins with `context.begin()`: an instance of a class is made before that. Raises NodeError,
    and what the function raises.
    """
    map, loaded = _map(context), load(context)
    form = map.form or MapForm()
    with bound(context, loaded, _tables(map, form, piece, inputs)) as function:
        context.begin(imported=loaded.is_new)
        if form.takes_table:
            return _table(awaited(context, function()))
        if not form.per_row:
            return awaited(context, function(**_batches(form, piece)))
        return [_listed(map, awaited(context, function(**row))) for row in _rows(context, loaded, piece, inputs)]


async def call_piece_async(context: NodeContext, piece: pa.Table, inputs: Mapping[str, Any]) -> Any:
    """Return the same as `call_piece`, from a coroutine on the event loop, for an async function."""
    map, loaded = _map(context), load(context)
    form = map.form or MapForm()
    function = await bound_shared(context, loaded, _tables(map, form, piece, inputs))
    context.begin(imported=loaded.is_new)
    if form.takes_table:
        return _table(await _result(function()))
    if not form.per_row:
        return await _result(function(**_batches(form, piece)))
    return [_listed(map, await _result(function(**row))) for row in _rows(context, loaded, piece, inputs)]


def _table(returned: Any) -> Any:
    """Return the table that a function gives for a piece. Raises NodeError if it cannot be joined with others."""
    table = to_table(returned)
    check_names("the table that the function returned", table.schema.names)
    return table


async def _result(returned: Any) -> Any:
    """Return what an async function gives, also if a decorator has made another function of it."""
    from inspect import isawaitable

    return await returned if isawaitable(returned) else returned


def _listed(map: MapSpec, result: Any) -> Any:
    """Return what a function gives for a row; where that is several rows, it may yield them."""
    return list(result) if map.explode and hasattr(result, "__next__") else result


def _map(context: NodeContext) -> MapSpec:
    assert context.node.map is not None
    return context.node.map


def _tables(map: MapSpec, form: MapForm, piece: pa.Table, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the tables for a call. Those in mappings are in mappings of its own, which it may change."""
    given = {name: _own(value) for name, value in inputs.items()}
    return {**given, map.over: piece} if form.takes_table else given


def _rows(context: NodeContext, loaded: Loaded, piece: pa.Table, inputs: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the arguments for each row, until the attempt is told to stop: its values, and copies of mutable ones."""
    form = _map(context).form or MapForm()
    names = form.named_in(piece.column_names)
    # Those that a call could change for the next row. Others are taken by `__init__` of a class.
    given = {**context.node.with_, **inputs}
    own = {name: value for name, value in given.items() if isinstance(value, dict | list) and name not in loaded.init}
    for values in zip(*[piece.column(name).to_pylist() for name in names], strict=True):
        if context.cancel_token.cancelled:
            raise NodeError("stopped")
        yield {**dict(zip(names, values, strict=True)), **_own(own)}


def _own(value: Any) -> Any:
    """Return a copy of nested mappings and lists, with the tables and other values that they have."""
    if isinstance(value, dict):
        return {key: _own(item) for key, item in value.items()}
    return [_own(item) for item in value] if isinstance(value, list) else value


def _batches(form: MapForm, piece: pa.Table) -> dict[str, Any]:
    """Return the columns in the forms that the function takes."""
    return {
        name: _FORMS[form.batches.get(name, "list")](piece.column(name)) for name in form.named_in(piece.column_names)
    }


def _array(column: pa.ChunkedArray) -> Any:
    """Return a column as one array."""
    found = column.combine_chunks()
    if not hasattr(found, "chunks"):
        return found
    import pyarrow as pa

    return found.chunk(0) if found.num_chunks else pa.array([], found.type)


def _numpy(column: pa.ChunkedArray) -> Any:
    """Return a column as a numpy array; lists of a fixed size without nulls have two dimensions."""
    import pyarrow.types as pt

    array = _array(column)
    if pt.is_fixed_size_list(array.type) and not array.null_count:
        flat = array.flatten()
        if not flat.null_count:
            return flat.to_numpy(zero_copy_only=False).reshape(len(array), array.type.list_size)
    if pt.is_integer(array.type) and array.null_count:  # numpy has floats then
        import pyarrow.compute as pc

        ends = pc.min_max(array).as_py()
        if max(abs(ends["min"] or 0), abs(ends["max"] or 0)) > _LARGEST:
            what = "an array of numpy has no nulls beside whole numbers beyond 2**53, which no float is"
            raise NodeError(what, "take a list, a pd.Series or a pa.Array")
    return array.to_numpy(zero_copy_only=False)


def _polars(column: pa.ChunkedArray) -> Any:
    import polars

    return polars.from_arrow(column)


def _pandas(column: pa.ChunkedArray) -> Any:
    import pyarrow as pa

    from nfrun.nodes.data_frames import pandas_frame

    series = pandas_frame(pa.table([column], [""]))[""]
    series.name = None
    return series


_FORMS: Mapping[str, Callable[[Any], Any]] = {
    "list": lambda column: column.to_pylist(),
    "arrow": _array,
    "chunked": lambda column: column,
    "numpy": _numpy,
    "pandas": _pandas,
    "polars": _polars,
}
