"""Tells from an annotation how a mapped function takes a column: one value at a time, or a batch of them."""

from __future__ import annotations

import ast
from collections.abc import Sequence

VALUE = "value"
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


def form_of(text: str) -> str:
    """Return `value` or the form of batches for an annotation, "" if it tells neither."""
    try:
        return _of_annotation(ast.parse(text, mode="eval").body)
    except SyntaxError:
        return ""


def _of_annotation(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return VALUE if node.value is None else form_of(node.value) if isinstance(node.value, str) else ""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _of_union([node.left, node.right])
    if isinstance(node, ast.Subscript):
        name = _last(node.value)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name in ("Optional", "Union"):
            return _of_union(parts)
        if name == "Annotated":
            return _of_annotation(parts[0])
        return _of_annotation(node.value)
    text, last = ast.unparse(node), _last(node)
    return _BATCHES.get(text) or _BATCHES.get(last, "") or (VALUE if last in _VALUES else "")


def _last(node: ast.expr) -> str:
    """Return the name behind the last dot of an expression."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _of_union(parts: Sequence[ast.expr]) -> str:
    """Return what all parts are that are not None, "" if they differ."""
    kinds = {_of_annotation(part) for part in parts if not (isinstance(part, ast.Constant) and part.value is None)}
    return kinds.pop() if len(kinds) == 1 else ""
