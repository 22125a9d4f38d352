"""Says which types columns of csv and jsonl are read as: those that Arrow's readers make of text."""

from __future__ import annotations

from nfrun.tables.contracts.type_names import NESTED, TypeName

_TAKEN_APART = "a string, and take it apart in a query"
_INSTEAD = {  # by format and type: what it is read as
    "csv": {
        **{"halffloat": "float", "float16": "float", "string_view": "string", "binary_view": "binary"},
        **{"decimal32": "decimal128", "decimal64": "decimal128", "decimal256": "decimal128"},
        **dict.fromkeys((*NESTED, "month_day_nano_interval"), _TAKEN_APART),
    },
    "jsonl": {
        **{"halffloat": "float", "float16": "float", "duration": "int64", "fixed_size_binary": "binary"},
        **dict.fromkeys(("large_list", "list_view", "large_list_view", "fixed_size_list"), "list"),
        **{"map": "struct", "dictionary": "string", "month_day_nano_interval": "string"},
    },
}


def instead_of(type_: TypeName, format: str) -> str:
    """Return as what text of this format is read if not as this type, "" if it is read as it."""
    if type_.name == "dictionary" and format == "csv":
        (_, values), (_, indices) = type_.inner
        return "" if indices.name == "int32" else f"dictionary<values={values.name}, indices=int32>"
    instead = _INSTEAD.get(format, {}).get(type_.name, "")
    return instead or next(filter(None, (instead_of(inner, format) for _, inner in type_.inner)), "")
