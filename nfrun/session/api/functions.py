"""Finds the names by which functions can be imported, and keeps those that have none."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nfrun.code.function_lookup import PROGRAM
from nfrun.code.module_finder import find_module
from nfrun.core.errors import Diagnostic, SourceSpan
from nfrun.core.text import ellipsize
from nfrun.core.values import frozen
from nfrun.session.api.calls import shown_cell


@frozen
class GivenFunction:
    """A function that no module has by a name. `diagnostic` says why. `name` is that in the notebook, if it has one."""

    function: Callable[..., Any]
    diagnostic: Diagnostic
    name: str = ""

    def now(self) -> Callable[..., Any]:
        """Return the function that its cell has now: another one, if the cell was edited and run again.

        Only cells and lines at a prompt are looked at, as they are there to be run again. One `def` that runs several
        times, as in a loop, makes functions that differ in their defaults, and each node keeps its own.
        """
        found = vars(sys.modules["__main__"]).get(self.name) if self.name else None
        old, new = _code_of(self.function), _code_of(found)
        is_of_main = getattr(found, "__module__", None) == "__main__" and isinstance(found, type(self.function))
        if not is_of_main or old is new or not (shown_cell(old) and shown_cell(new)):
            return self.function
        return found  # type: ignore[return-value]

    def change(self, nodes: str) -> str:
        """Return a text for `nodes` if the function has other code now, "" if not."""
        old, new = _code_of(self.function), _code_of(self.now())
        if old == new:
            return ""
        return (
            f"{nodes} with '{self.name}' as it is now, in {shown_cell(new)}, "
            "not as it was when the pipeline was built: build it again to be rid of this warning"
        )


class GivenFunctions:
    """The functions of a pipeline in `folder`. `given` are those that no module has, by the names that they get."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.given: dict[str, GivenFunction] = {}

    def written(
        self, function: Callable[..., Any], place: SourceSpan, *, keep: bool = True
    ) -> tuple[str, Diagnostic | None]:
        """Return the text for a function in a file and, if no module has it, why. Such functions are kept if `keep`."""
        why = self._why_not(function)
        if not why:
            return f"{function.__module__}:{function.__qualname__}", None
        shown = getattr(function, "__qualname__", type(function).__name__)
        hint = "put it into a module beside the pipeline, and give it by its name"
        diagnostic = Diagnostic(place, f"'{ellipsize(shown)}' cannot be imported by a name: {why}", hint)
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

    def _why_not(self, function: Callable[..., Any]) -> str:
        """Return why a function cannot be imported by a name, "" if it can."""
        module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
        if not isinstance(module, str) or not isinstance(name, str):
            return f"it is an object of the class {type(function).__name__}"
        if name == "<lambda>":
            return "it is a lambda"
        if "<locals>" in name:
            return "it is defined inside of a function"
        if not name.isidentifier():
            return "it is an attribute of a class"
        if module == "__main__":
            return "it is in the script or the notebook that is running"
        loaded = sys.modules.get(module)
        if getattr(loaded, name, None) is not function:
            return f"the module '{module}' has another '{name}'"
        found, file = find_module(module, self._folder), getattr(loaded, "__file__", None)
        if found is None or (file and found.origin and Path(found.origin).resolve() != Path(file).resolve()):
            return f"'{module}' is another module, or none, for a pipeline in {self._folder}"
        return ""

    def _new_name(self, shown: str) -> str:
        base = re.sub(r"\W", "", re.sub(r".*\.", "", shown)) or "function"
        base = base if base.isidentifier() else f"f_{base}"
        number = sum(1 for name in self.given if re.fullmatch(rf"{re.escape(base)}(_\d+)?", name))
        return f"{base}_{number + 1}" if number else base


def _code_of(function: Any) -> Any:
    """Return the code of a function, below its decorators, or that of the calls of a class; None if it has none."""
    called = function.__call__ if isinstance(function, type) else function
    return getattr(inspect.unwrap(called), "__code__", None) if callable(called) else None
