"""Describes functions that a program gives as objects, because no module has them: lambdas, cells of a notebook.

They are called where they are, in this process, so nodes with one are never reused and never in another process.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

from nfrun.code.function_lookup import PROGRAM, LookupResult
from nfrun.code.signatures import ClassSignature, Signature, signature_of

Functions = Mapping[str, Callable[..., Any]]  # by the names that `PROGRAM:name` has them by


def described(functions: Functions) -> dict[str, LookupResult]:
    """Return the signatures that the source of functions would show, by their names."""
    found: dict[str, LookupResult] = {}
    for name, function in functions.items():
        if isinstance(function, type):
            call = getattr(function, "__call__", None)  # noqa: B004
            class_ = ClassSignature(_where(function), _signature(function), _signature(call, skip_first=True))
            found[name] = LookupResult(class_=class_)
        else:
            signature = _signature(function)
            found[name] = LookupResult(signature=signature, likely=signature)
    return found


def program_module(functions: Functions) -> ModuleType:
    """Return a module with the functions, which nothing imports by its name."""
    module = ModuleType(PROGRAM)
    vars(module).update(functions)
    return module


def _signature(function: Any, *, skip_first: bool = False) -> Signature | None:
    try:
        parameters = [*signature_of(function).parameters.values()][int(skip_first) :]
    except (TypeError, ValueError):
        return None
    written = _written_annotations(function)
    by_name = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    by_place = [p for p in parameters if p.kind == p.POSITIONAL_ONLY and p.default is p.empty]
    return Signature(
        _where(function),
        names=tuple(p.name for p in by_name),
        required=tuple(p.name for p in by_name if p.default is p.empty),
        positional_only=tuple(p.name for p in by_place),
        takes_kwargs=any(p.kind == p.VAR_KEYWORD for p in parameters),
        is_async=inspect.iscoroutinefunction(function),
        annotations={
            p.name: written.get(p.name) or _annotation_text(p.annotation)
            for p in parameters
            if p.annotation is not p.empty and p.kind != p.VAR_POSITIONAL
        },
    )


def _written_annotations(function: Any) -> dict[str, str]:
    """Return the annotations as the source has them, where it is there: `pa.Array`, not `pyarrow.lib.Array`."""
    with suppress(OSError, TypeError, SyntaxError):
        # From Python 3.13 on, a file that is shorter by now gives no text.
        tree = next(iter(ast.parse(textwrap.dedent(inspect.getsource(function))).body), None)
        if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
            named = [*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs]
            return {each.arg: ast.unparse(each.annotation) for each in named if each.annotation is not None}
    return {}


def _annotation_text(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _where(function: Any) -> str:
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else "the program"
