"""Takes what a Python program gives: inputs, plain values, and functions."""

from __future__ import annotations

import datetime
import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nfrun.code.function_lookup import PROGRAM
from nfrun.code.module_finder import find_module
from nfrun.core.errors import Diagnostic, NodeError, SourceSpan, UsageError
from nfrun.core.pipeline import Pipeline
from nfrun.core.text import ellipsize
from nfrun.core.values import frozen
from nfrun.history.kept_tables import remove_old_inputs
from nfrun.history.work_dir import WorkDir
from nfrun.nodes.returned_tables import a_, to_table


class GivenInputs:
    """The inputs of a run. `paths` has the file of each.

    A table becomes an Arrow file in the work folder, whose name is the digest of its content: the same table is the
    same input in each run. `read()` returns the pipeline, which may name its work folder; `work` wins over that.
    """

    def __init__(self, inputs: Mapping[str, Any], read: Callable[[], Pipeline], work: Path | None) -> None:
        if not isinstance(inputs, Mapping):
            raise UsageError(f"{ellipsize(repr(inputs), 60)} is no mapping of names to tables or paths", "--input")
        self._tables: dict[Path, Any] = {}
        self.paths: dict[str, str] = {}
        self._work: WorkDir | None = None
        for name, value in inputs.items():
            if isinstance(value, str | os.PathLike):
                self.paths[name] = os.fspath(value)
                continue
            self._work = self._work or WorkDir.of_pipeline(read(), work)
            table = _table(name, value)
            path = self._work.given_input(_digest(table))
            self._tables[path] = table
            self.paths[name] = str(path)

    def write(self) -> None:
        """Write the tables that are in no file yet. Raises OSError."""
        for path, table in self._tables.items():
            if not path.exists():
                from nfrun.tables.ipc import write_file

                assert self._work is not None
                self._work.make()
                write_file(table, path)
            else:
                with suppress(OSError):
                    os.utime(path)  # those that were given longest ago are removed first

    def remove_old(self, budget: int | None) -> None:
        """Remove tables of earlier runs if all take more than the budget, None for the default."""
        if self._work is not None:
            remove_old_inputs(self._work, self._tables, budget)


def _table(name: str, value: Any) -> Any:
    """Return a value as a table. Raises UsageError."""
    if isinstance(value, list | tuple) and not value:
        raise UsageError(f"'{name}' has no rows, so it has no columns: give a table that has them", "--input")
    try:
        found = to_table(value)
    except NodeError as error:
        why = str(error).removeprefix("the function returned ")
        what = f"'{name}' is {why}"
        raise UsageError(f"{what} (give a path, a table, or a list of mappings)", "--input") from None
    table = found.read_all() if hasattr(found, "read_all") else found
    # What pandas notes of its index is no content: rows and frames with the same columns are the same table.
    more = {key: text for key, text in (table.schema.metadata or {}).items() if key != b"pandas"}
    return table.replace_schema_metadata(more or None)


def _digest(table: Any) -> str:
    from nfrun.system.checksums import text_checksum
    from nfrun.tables.digest import Digest
    from nfrun.tables.stored_form import with_stored_types

    stored = with_stored_types(table)
    digest = Digest(stored.schema)
    digest.add(stored)
    return text_checksum(f"{digest.hexdigest()} {digest.schema_digest(stored)}")


class NotPlain(ValueError):
    """A file cannot have a value. The text says what it is; `keys` lead to it from the outer value."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.keys: tuple[str, ...] = ()


def plain_value(value: Any, written: Callable[[Any], Any] = lambda value: value) -> Any:
    """Return a value as a file has it: dicts, lists, texts, numbers, booleans and null.

    Tuples become lists, paths texts, and dates texts as in ISO 8601. `written(value)` returns what a file has for an
    object. Raises NotPlain for other values.
    """
    value = written(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value.encode(errors="ignore").decode() != value:
            raise NotPlain("a text with bytes that are not UTF-8")
        return str(value)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise NotPlain(f"{ellipsize(str(value))}, an integer that does not fit in 64 bits")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotPlain(f"{value}, which is no number that a file can have")
        return float(value)
    if isinstance(value, datetime.date | datetime.time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        if wrong := next((key for key in value if not isinstance(key, str)), None):
            raise NotPlain(f"a mapping with the key {ellipsize(repr(wrong))}, which is no text")
        return {str(key): _inner(str(key), item, written) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [_inner(str(i), item, written) for i, item in enumerate(value)]
    raise NotPlain(f"{ellipsize(repr(value), 60)}, {a_(value)}")


def _inner(key: str, value: Any, written: Callable[[Any], Any]) -> Any:
    try:
        return plain_value(value, written)
    except NotPlain as error:
        error.keys = (key, *error.keys)
        raise


def plain_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of parameters. Raises UsageError."""
    if not isinstance(params, Mapping):
        raise UsageError(f"{ellipsize(repr(params), 60)} is no mapping of names to values", "--param")
    if wrong := [name for name in params if not isinstance(name, str)]:
        raise UsageError(f"{ellipsize(repr(wrong[0]), 60)} is no name of a parameter", "--param")
    try:
        return {name: _inner(name, value, lambda value: value) for name, value in params.items()}
    except NotPlain as error:
        what = f"a file cannot have the value of '{'.'.join(error.keys)}': it is {error}"
        raise UsageError(what, "--param") from None


@frozen
class GivenFunction:
    """A function that no module has by a name. `diagnostic` says why. `name` is that in the notebook, if it has one."""

    function: Callable[..., Any]
    diagnostic: Diagnostic
    name: str = ""

    @property
    def has_changed(self) -> bool:
        """Whether the notebook has another function of this name now: its cell was edited and run again.

        One `def` that runs several times, as in a loop, makes functions of the same code, and each node keeps its own.
        In a script, a name may be given to another function, too.
        """
        found = vars(sys.modules["__main__"]).get(self.name) if self.name else None
        is_of_main = getattr(found, "__module__", None) == "__main__" and isinstance(found, type(self.function))
        old, new = _code_of(self.function), _code_of(found)
        return is_of_main and old is not None and old != new and not Path(old.co_filename).is_file()


class GivenFunctions:
    """The functions of a pipeline in `folder`. `given` are those that no module has, by the names that they get."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.given: dict[str, GivenFunction] = {}

    def written(
        self, function: Callable[..., Any], place: SourceSpan, *, keep: bool = True
    ) -> tuple[str, Diagnostic | None]:
        """Return the text for a function in a file and, if no module has it, why. Such functions are kept if `keep`."""
        if self._has(function):
            return f"{function.__module__}:{function.__qualname__}", None
        shown = getattr(function, "__qualname__", type(function).__name__)
        hint = "put it into a module beside the pipeline, and give it by its name"
        diagnostic = Diagnostic(place, f"'{ellipsize(shown)}' cannot be imported by a name: no module has it", hint)
        if not keep:
            return shown, diagnostic
        for name, found in self.given.items():
            if found.function is function:
                return f"{PROGRAM}:{name}", diagnostic
        name = self._new_name(shown)
        in_main = (
            getattr(function, "__module__", None) == "__main__" and vars(sys.modules["__main__"]).get(shown) is function
        )
        self.given[name] = GivenFunction(function, diagnostic, shown if in_main else "")
        return f"{PROGRAM}:{name}", diagnostic

    def _has(self, function: Callable[..., Any]) -> bool:
        """Return whether a module that the pipeline can import has this function by its name."""
        module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
        if not isinstance(module, str) or module == "__main__":
            return False
        loaded = sys.modules.get(module)
        if not isinstance(name, str) or not name.isidentifier() or getattr(loaded, name, None) is not function:
            return False
        found, file = find_module(module, self._folder), getattr(loaded, "__file__", None)
        return found is not None and not (
            file and found.origin and Path(found.origin).resolve() != Path(file).resolve()
        )

    def _new_name(self, shown: str) -> str:
        base = re.sub(r"\W", "", re.sub(r".*\.", "", shown)) or "function"
        base = base if base.isidentifier() else f"f_{base}"
        number = sum(1 for name in self.given if re.fullmatch(rf"{re.escape(base)}(_\d+)?", name))
        return f"{base}_{number + 1}" if number else base


def _code_of(function: Any) -> Any:
    """Return the code of a function, below its decorators, or that of the calls of a class; None if it has none."""
    called = function.__call__ if isinstance(function, type) else function
    return getattr(inspect.unwrap(called), "__code__", None) if callable(called) else None
