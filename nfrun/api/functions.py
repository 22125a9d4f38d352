"""Finds the names by which functions can be imported, and keeps those that have none."""

from __future__ import annotations

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


@frozen
class GivenFunction:
    """A function that no module has by a name. `diagnostic` says why."""

    function: Callable[..., Any]
    diagnostic: Diagnostic


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
        self.given[name] = GivenFunction(function, diagnostic)
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
