"""Compares what a node gives to its function or class with what that takes, as the source shows it.

The function of a mapped node takes the table of a piece or columns of it: values of one row, or batches, as their
annotations tell.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from nfrun.code.function_lookup import FunctionLookup, LookupResult
from nfrun.code.signatures import ClassSignature, Signature
from nfrun.core.errors import Problem
from nfrun.core.map_spec import MapForm
from nfrun.core.pipeline import Input, NodeSpec, OutputId
from nfrun.core.text import closest_match, ellipsize
from nfrun.core.values import frozen
from nfrun.nodes.base import NodeError

if TYPE_CHECKING:
    import ast

_ANY = ("Any", "typing.Any", "object")  # annotations that admit a table, too
_VALUE = "value"
Given = Mapping[str, OutputId | None]  # what a node gives: names of inputs with their outputs, of values with None


def given_by(node: NodeSpec) -> dict[str, OutputId | None]:
    """Return the names of the values and the inputs of a node."""
    given: dict[str, OutputId | None] = dict.fromkeys(node.with_)
    return given | {item.name: item.output for item in node.inputs}


def check_arguments(
    inputs: Sequence[Input], function: str, signature: Signature, given: Given, columns: Collection[str] = ()
) -> Iterator[Problem]:
    """Compare what is given with a signature, whose parameters in `columns` get columns of a mapped input.

    What is missing is told once all that is given is known: most often a name is misspelled.
    """
    place = f"{function}({ellipsize(', '.join(signature.names), 80)}) is at {signature.where}"
    for item in inputs:
        if item.optional and item.name in given and item.name in signature.required:
            what, hint = f"{function}() cannot do without '{item.name}'", f"give it a default: {item.name}=None"
            yield Problem(("inputs", item.name, "optional"), what, hint, at_key=True)
    missing = [name for name in signature.required if name not in (*given, *columns, "context")]
    taken = (*signature.names, *signature.positional_only)
    unknown = [name for name in given if name not in taken and not signature.takes_kwargs]
    free = [name for name in signature.names if name not in (*given, *columns)]
    for name in unknown:
        ref = given[name]
        guess = closest_match(name, free) or (missing[0] if len(missing) == len(unknown) == 1 else None)
        hint = f"did you mean '{guess}'?" if guess else place
        if guess and ref and name in (ref.node, ref.name):  # the input has no name of its own
            hint = f"name it: inputs: {{{guess}: {ref}}}"
        what = f"{function}() has no argument '{name}', which is given as {'an input' if ref else 'a value'}"
        yield Problem(("inputs" if ref else "with", name), what, hint, at_key=True)
    if missing and not unknown:
        what = f"{function}() needs {ellipsize(listed(missing), 100)}, which no input and no 'with' value gives"
        yield Problem(("python",), what, place, counts=True)


def check_class(
    node: NodeSpec, name: str, found: ClassSignature, columns: Collection[str] = (), over: str = ""
) -> Iterator[Problem]:
    """Check a class and, as far as its signatures are known, what the node gives to it and to its calls.

    Parameters of a call in `columns` get columns of the mapped input `over`, which is not given as a whole then.
    """
    if found.init is None:
        return
    own, of_call = split_given(given_by(node), found.init)
    if columns:
        del of_call[over]
    yield from check_arguments(node.inputs, f"{name}.__init__", found.init, own)
    if found.call is not None:
        yield from check_arguments(node.inputs, f"{name}.__call__", found.call, of_call, columns)


def split_given(given: Given, init: Signature) -> tuple[dict[str, OutputId | None], dict[str, OutputId | None]]:
    """Return the arguments of `__init__`, which are those that it names, and those of a call, which are the rest."""
    own = {name: ref for name, ref in given.items() if name in init.names}
    return own, {name: ref for name, ref in given.items() if name not in own}


def listed(names: Collection[str]) -> str:
    """Return names in quotes, with commas between them."""
    return ", ".join([f"'{name}'" for name in names])


@frozen
class _Call:
    """A call for a piece: its name, what it takes, what the node gives to it, and the columns it takes."""

    name: str
    signature: Signature
    given: Given
    columns: tuple[str, ...]


def map_form(node: NodeSpec, lookup: FunctionLookup) -> MapForm | None:
    """Return the form of a mapped node's function: what it takes for a piece; None if its source does not show it."""
    module, _, name = node.body.partition(":")
    call = _call_of(node, lookup.defined(module, name))
    if call is None:
        return None
    signature, kinds = call.signature, {name: _kind_of(call, name) for name in call.columns}
    is_per_row, usual = _VALUE in kinds.values(), next(filter(None, kinds.values()), "list")
    return MapForm(
        takes_table=not call.columns,
        columns=tuple([name for name in call.columns if name in signature.required]),
        optional=tuple([name for name in call.columns if name not in signature.required]),
        per_row=is_per_row,
        batches={} if is_per_row else {name: kind or usual for name, kind in kinds.items()},
        is_async=signature.is_async,
    )


def check_map_form(node: NodeSpec, found: LookupResult) -> Iterator[Problem]:
    """Check that the function can be called for the pieces of the input, and with the other arguments of the node."""
    assert node.map is not None
    call = _call_of(node, found)
    if found.class_ is not None and found.class_.init and node.map.over in found.class_.init.names:
        what = f"'{node.map.over}' is cut into pieces, and {_name(node)}.__init__() takes it as a whole"
        yield Problem(("python",), what, "take the pieces in __call__")
    elif found.class_ is not None:
        yield from check_class(node, _name(node), found.class_, call.columns if call else (), node.map.over)
    elif call is not None:
        yield from check_arguments(node.inputs, call.name, call.signature, call.given, call.columns)
    if call is not None:
        yield from _check_columns(node, call)
        yield from _check_settings(node, call)
    elif not found.message:
        what = f"the source does not show what '{node.body}' takes"
        yield Problem(("python",), what, "define it with def or class: def f(text: str): …")


def check_columns(node: NodeSpec, names: Sequence[str]) -> None:
    """Raise NodeError if the mapped input, with columns of these names, lacks one, or has two of one name."""
    assert node.map is not None
    check_names(f"'{node.map.over}'", names, "rename one of them in the node before")
    for column in (*node.map.by, *(node.map.keep or ())):
        if column not in names:
            what = f"'map' of '{node.id}' names the column '{ellipsize(column)}', which '{node.map.over}' does not have"
            raise NodeError(what, _instead(column, names))
    for found in missing_columns(node, names):
        raise NodeError(found.message, found.hint)


def check_names(table: str, names: Sequence[str], hint: str = "rename one of them") -> None:
    """Raise NodeError if two columns of a `table` have one name."""
    if len({*names}) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        what = f"{table} has two columns called '{ellipsize(twice)}', and a map joins columns by name"
        raise NodeError(what, hint)


def missing_columns(node: NodeSpec, names: Sequence[str]) -> Iterator[Problem]:
    """Yield an error for each column that the function takes and that the mapped input does not have."""
    assert node.map is not None
    form = node.map.form or MapForm()
    for column in form.columns if form.named_in(names) else form.optional:
        if column not in names and node.plugin is not None:
            from nfrun.nodes.use import missing_in_texts  # few nodes are of plug-ins

            what, path, start = missing_in_texts(node, node.plugin, column)
            yield Problem(path, what, _instead(column, names), start=start, length=len(column) + 2)
        elif column not in names:
            what = f"{_name(node)}() takes the column '{ellipsize(column)}', which '{node.map.over}' does not have"
            yield Problem((node.kind,), what, _instead(column, names))


def _instead(column: str, names: Sequence[str]) -> str:
    guess = closest_match(column, names)
    there = f"there is {ellipsize(', '.join(names), 100)}" if names else "it has no columns"
    return f"did you mean '{ellipsize(guess)}'?" if guess else there


def _name(node: NodeSpec) -> str:
    return node.body.partition(":")[2]


def _call_of(node: NodeSpec, found: LookupResult) -> _Call | None:
    """Return the function that is called for a piece, None if the source does not show it."""
    assert node.map is not None
    given, name, over = given_by(node), _name(node), node.map.over
    signature = found.likely
    if found.class_ is not None:
        signature, name = found.class_.call, f"{name}.__call__"
        given = split_given(given, found.class_.init)[1] if found.class_.init else given
    if signature is None:
        return None
    free = [name for name in signature.names if name not in given and name != "context"]
    for stray in [name for name in given if name not in signature.names and name != over]:
        if guess := closest_match(stray, free):  # it is misspelled, and no column
            free.remove(guess)
    if over in signature.names or (signature.takes_kwargs and not free):
        return _Call(name, signature, given, ())
    return _Call(name, signature, {key: ref for key, ref in given.items() if key != over}, tuple(free))


def _check_columns(node: NodeSpec, call: _Call) -> Iterator[Problem]:
    """Check that the annotations tell whether the function takes values of one row or batches of columns."""
    assert node.map is not None
    over, known = node.map.over, call.signature.annotations
    if not call.columns and over not in call.signature.names and not call.signature.takes_kwargs:
        what = f"{call.name}() takes neither '{over}' nor columns of it"
        hint = f"name an argument '{over}' for the table of a piece, or like a column: text: str for each row"
        yield Problem(("python",), what, hint)
    elif not call.columns and known.get(over, _ANY[0]) not in _ANY and _kind_of(call, over):
        what = f"{call.name}() takes '{over}: {ellipsize(known[over])}', and it is given a table"
        hint = "if it means a column of this name, call the input otherwise: inputs: {rows: …}, map: rows"
        yield Problem(("python",), what, hint)
    kinds = {name: _kind_of(call, name) for name in call.columns if name in known}
    unclear = [name for name, kind in kinds.items() if not kind] or ([] if kinds else [*call.columns])
    batches = [name for name, kind in kinds.items() if kind != _VALUE]
    if unclear or (batches and len(batches) < len(kinds)):
        name = (unclear or batches)[0]
        what = f"the annotation of '{name}' does not tell a value from a batch of them"
        if not unclear:
            what = f"{call.name}() takes '{name}' of a batch, and another column of one row"
        hint = f"annotate all alike: {name}: str for the value of a row; list[str], pa.Array or np.ndarray for a batch"
        yield Problem(("python",), what, f"{hint}; '{over}' is the table of a piece")


def _check_settings(node: NodeSpec, call: _Call) -> Iterator[Problem]:
    """Check that the entries of `map` fit a function of columns, or one of the table."""
    map = node.map
    assert map is not None
    of_table, of_columns = {"by": map.by, "parts": map.parts}, {"explode": map.explode, "keep": map.keep is not None}
    for key in [key for key, value in (of_table if call.columns else of_columns).items() if value]:
        takes = listed(call.columns) or f"the table '{map.over}'"
        what = f"'{key}' is for functions of {'the table' if call.columns else 'columns'}, and {call.name}() takes"
        yield Problem(("map", key), f"{what} {takes}", "remove it", at_key=True)


def _kind_of(call: _Call, column: str) -> str:
    """Return `value` or the form of batches for the annotation of a column, "" if it tells neither."""
    text = call.signature.annotations.get(column)
    if text is None:
        others = [text for name, text in call.signature.annotations.items() if not _is_of_others(name)]
        return _VALUE if any(_form_of(other) == _VALUE for other in others) else ""
    return _form_of(text)


def _is_of_others(name: str) -> bool:
    """Return whether an annotation is that of all arguments that have no name of their own: `**more`."""
    return name.startswith("**")


# How a mapped function takes a column, by its annotation: one value at a time, or a batch of them.
_VALUES = frozenset(
    (
        *("str", "int", "float", "bool", "bytes", "dict", "Mapping", "Any", "object", "Literal", "None"),
        *("date", "datetime", "time", "timedelta", "Decimal", "UUID"),
    )
)
_LISTS = frozenset(("list", "List", "Sequence", "Iterable", "Collection"))
# By the last parts of an annotation, the form in which a batch of a column is given.
_BATCHES = {
    **dict.fromkeys(_LISTS, "list"),
    "pa.Array": "arrow",
    "pyarrow.Array": "arrow",
    "pa.ChunkedArray": "chunked",
    "pyarrow.ChunkedArray": "chunked",
    "np.ndarray": "numpy",
    "numpy.ndarray": "numpy",
    "ndarray": "numpy",
    "NDArray": "numpy",
    "npt.NDArray": "numpy",
    "pd.Series": "pandas",
    "pandas.Series": "pandas",
    "pl.Series": "polars",
    "polars.Series": "polars",
}


def _form_of(text: str) -> str:
    """Return `value` or the form of batches for an annotation, "" if it tells neither."""
    import ast  # only mapped nodes need it

    try:
        return _of_annotation(ast.parse(text, mode="eval").body)
    except SyntaxError:
        return ""


def _of_annotation(node: ast.expr) -> str:
    import ast

    if isinstance(node, ast.Constant):
        return _VALUE if node.value is None else _form_of(node.value) if isinstance(node.value, str) else ""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _of_union([node.left, node.right])
    if isinstance(node, ast.Subscript):
        name = ast.unparse(node.value).rpartition(".")[2]
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name in ("Optional", "Union"):
            return _of_union(parts)
        return _of_annotation(parts[0] if name == "Annotated" else node.value)
    text = ast.unparse(node)
    last = text.rpartition(".")[2]
    return _BATCHES.get(text) or _BATCHES.get(last, "") or (_VALUE if last in _VALUES else "")


def _of_union(parts: Sequence[ast.expr]) -> str:
    """Return the value of all parts that are not None, "" if they differ."""
    import ast

    kinds = {_of_annotation(part) for part in parts if not (isinstance(part, ast.Constant) and part.value is None)}
    return kinds.pop() if len(kinds) == 1 else ""
