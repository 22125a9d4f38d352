"""Keeps the digests of functions, and takes over those of an earlier run while no file behind them has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nfrun.code.module_index import ModuleIndex, listing_name

_MOST = 500_000  # digests: more take longer to read than to compute


class KnownDigests:
    """The digests of functions by item of code, and the modules and lists of `index` that were looked up for them.

    A function is a pair, its module and its name. `is_new`: there are digests that were not taken over.
    """

    def __init__(self, index: ModuleIndex) -> None:
        self._index = index
        self._digests: dict[tuple[str, str], Mapping[str, str]] = {}
        self._lookups: dict[tuple[str, str], Sequence[str]] = {}
        self.is_new = False

    def get(self, function: tuple[str, str]) -> Mapping[str, str] | None:
        """Return the digests of a function; None if they are not known."""
        return self._digests.get(function)

    def add(self, function: tuple[str, str], digests: Mapping[str, str], lookups: Sequence[str]) -> Mapping[str, str]:
        """Keep the digests of a function, and return them."""
        self._digests[function], self._lookups[function] = digests, lookups
        self.is_new = True
        return digests

    def lookups(self, module: str, function: str) -> Sequence[str]:
        """Return the modules and lists behind the digests of a function."""
        return self._lookups.get((module, function), ())

    def as_json(self) -> dict[str, object]:
        """Return all digests as JSON, for `restore` in a later run; {} if there are too many."""
        if sum(map(len, self._digests.values())) > _MOST:
            return {}
        groups = dict[tuple[str, ...], int]()  # most functions share their lookups with others
        functions = [
            [*function, digests, groups.setdefault(tuple(self._lookups[function]), len(groups))]
            for function, digests in self._digests.items()
        ]
        states = self._index.states()
        if any(name not in states for names in groups for name in names if name.endswith(listing_name(""))):
            return {}  # a list of modules is too long to be compared
        return {"states": states, "lookups": list(groups), "functions": functions}

    def restore(self, saved: Mapping[str, Any]) -> bool:
        """Take over what `as_json` has returned in an earlier run, before anything is looked up in this one.

        Returns False, and takes over nothing, if any file behind it has changed, appeared or disappeared.
        """
        if not saved or not self._index.find_all(saved["states"]):
            return False
        for module, name, digests, group in saved["functions"]:
            self._digests[module, name] = digests
            self._lookups[module, name] = saved["lookups"][group]
        return True
