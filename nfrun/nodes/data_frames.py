"""Gives functions their input tables as data frames where annotations say so, and says how where they would need it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from nfrun.code.signatures import signature_of

_FRAME = re.compile(r"(?:Optional\[)?(?:(?P<pandas>pd|pandas)|pl|polars)\.(?:\w+\.)*DataFrame\]?(?: \| None)?")
_REST = "**"  # the key for the inputs that no other parameter takes
_OF_ARROW = re.compile(r"pyarrow\.lib\.(?:Table|ChunkedArray)\b")


def frames_of(function: Callable[..., Any]) -> dict[str, str]:
    """Return the parameters of a function that are annotated as data frames, each with its library.

    Where `**rest` is annotated so, all others are there too, with "".
    """
    import inspect

    try:
        parameters = inspect.signature(function, eval_str=True).parameters
    except Exception:  # a name that only type checkers import; the text of the annotation is left
        try:
            parameters = signature_of(function).parameters
        except (TypeError, ValueError):
            return {}
    found = {}
    for name, parameter in parameters.items():
        annotation = parameter.annotation
        text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        if match := _FRAME.fullmatch(text.replace("typing.", "")):
            key = _REST if parameter.kind is parameter.VAR_KEYWORD else name
            found[key] = "pandas" if match["pandas"] else "polars"
    return {**dict.fromkeys(parameters, ""), **found} if _REST in found else found


def as_frames(arguments: Mapping[str, Any], libraries: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments, with data frames of these libraries in place of tables. The function may change them."""
    rest = libraries.get(_REST, "")
    return {name: _frame(value, libraries.get(name, rest)) for name, value in arguments.items()}


def taking_tables(function: Callable[..., Any], libraries: Mapping[str, str]) -> Callable[..., Any]:
    """Return the function, made to take tables for its data frames too."""
    import functools

    @functools.wraps(function)
    def call(*positional: Any, **named: Any) -> Any:
        given = signature_of(function).bind(*positional, **named)
        given.arguments = as_frames(given.arguments, libraries)
        return function(*given.args, **given.kwargs)

    return call


def explain_tables(error: Exception, arguments: Mapping[str, Any], libraries: Mapping[str, str]) -> None:
    """Add a note to an error of a function that has taken an Arrow table for a data frame."""
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
        return value.to_pandas()
    import polars

    return polars.from_arrow(value)


def _is_table(value: Any) -> bool:
    return hasattr(value, "to_pandas") and type(value).__module__ == "pyarrow.lib"
