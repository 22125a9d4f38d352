"""Gives each attempt context variables of its own: the settings of decimal and of numpy are such variables.

What it sets of the interpreter, such as the limit of recursion, is put back behind it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")


class _Imported(dict[ContextVar[Any], Any]):
    """The variables that the imports of the user's modules have set, in the memo of a run."""


def run_apart(memo: Mapping[Any, Any], function: Callable[[], T]) -> T:
    """Call the function in a new context that has only the variables that imports have set."""
    imported: _Imported | None = memo.get(_Imported)
    return Context().run(function) if imported is None else Context().run(_with, imported, function)


def with_settings_kept(memo: dict[Any, Any], function: Callable[[], T]) -> T:
    """Call the function, and put back what it has set of the interpreter: nfrun's own code may fail with it.

    A higher limit of recursion stays: a module sets it once, when it is imported, for all of its functions. The
    settings of all threads become those at the first attempt: another one may have changed them meanwhile.
    """
    first = memo.setdefault(with_settings_kept, (sys.getrecursionlimit(), threading.gettrace(), threading.getprofile()))
    tracing, profiling = sys.gettrace(), sys.getprofile()
    try:
        return function()
    finally:
        if sys.getrecursionlimit() < first[0]:
            sys.setrecursionlimit(first[0])
        if sys.gettrace() is not tracing:
            sys.settrace(tracing)
        if sys.getprofile() is not profiling:
            sys.setprofile(profiling)
        if (threading.gettrace(), threading.getprofile()) != first[1:]:
            threading.settrace(first[1])
            threading.setprofile(first[2])


def new_context(memo: Mapping[Any, Any]) -> Context:
    """Return a new context that has only the variables that imports have set."""
    found, imported = Context(), memo.get(_Imported)
    if imported is not None:
        found.run(_set, imported)
    return found


def keep_imported(memo: dict[Any, Any], but: ContextVar[Any]) -> None:
    """Keep the variables of this context for all later attempts. Call this after an import, before the user's code.

    Only the first attempt imports a module, and the others must compute with the same settings.
    """
    found = {variable: _copy(value) for variable, value in copy_context().items() if variable is not but}
    if found := {variable: value for variable, value in found.items() if not _is_default(value)}:
        memo[_Imported] = _Imported({**memo.get(_Imported, {}), **found})


def _with(values: _Imported, function: Callable[[], T]) -> T:
    _set(values)
    return function()


def _set(values: _Imported) -> None:
    for variable, value in values.items():
        variable.set(_copy(value))


def _is_decimal(value: Any) -> bool:
    return (type(value).__module__, type(value).__name__) == ("decimal", "Context")


def _copy(value: Any) -> Any:
    """Copy a context of decimal, which changes in place."""
    return value.copy() if _is_decimal(value) else value


def _is_default(value: Any) -> bool:
    if not _is_decimal(value):
        return False
    import decimal

    value.clear_flags()  # of the copy
    return repr(value) == repr(decimal.DefaultContext)
