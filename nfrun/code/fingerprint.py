"""Computes digests of the project code that a function may reach. Reads sources; imports and runs nothing.

Digests are keyed by item of code: "module:name" is a definition, "module:*" a whole module, "module:import" the code
that runs on its import, and "module:**" the list of modules below it (":**" for the project). A module whose code
cannot be followed counts as a whole: running a node too often is better than reusing a stale result. Not followed:
code of installed packages, and changes that other nodes make to the same modules while they run.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.code.distributions import Distributions
from nfrun.code.module_index import ModuleIndex, listing_name
from nfrun.system.checksums import file_checksum
from nfrun.system.file_search import inner_folder

if TYPE_CHECKING:
    from nfrun.code.reached_code import ReachedCode

_MOST = 500_000  # digests that are kept: more take longer to read than to compute


class KnownCode:
    """Digests and facts of functions: a later run does not read unchanged code again.

    `functions` has, by module and name of a function, its digests by item of code, and the modules and lists of `index`
    that were looked up for them. `facts` are the facts of functions as JSON, with their arguments ("steps:clean {}").
    `is_new`: something was added since `restore`.
    """

    def __init__(self, index: ModuleIndex) -> None:
        self._index = index
        self.functions: dict[tuple[str, str], tuple[Mapping[str, str], Sequence[str]]] = {}
        self.facts: dict[str, Mapping[str, Any]] = {}
        self.is_new = False

    def as_json(self) -> dict[str, object]:
        """Return all as JSON, for `restore` in a later run; {} if there are too many."""
        if sum(len(digests) for digests, _ in self.functions.values()) > _MOST:
            return {}
        groups = dict[tuple[str, ...], int]()  # most functions share their lookups with others
        functions = [
            [*function, digests, groups.setdefault(tuple(lookups), len(groups))]
            for function, (digests, lookups) in self.functions.items()
        ]
        states = self._index.states()
        if any(name not in states for names in groups for name in names if name.endswith(listing_name(""))):
            return {}  # a list of modules is too long to be compared
        return {"states": states, "lookups": list(groups), "functions": functions, "facts": self.facts}

    def restore(self, saved: Mapping[str, Any]) -> bool:
        """Take over what `as_json` has returned in an earlier run, before anything is looked up in this one.

        Returns False, and takes over nothing, if any file behind it has changed, appeared or disappeared.
        """
        if not saved or not self._index.find_all(saved["states"]):
            return False
        for module, name, digests, group in saved["functions"]:
            self.functions[module, name] = digests, saved["lookups"][group]
        self.facts.update(saved["facts"])
        return True


class Fingerprints:
    """Computes fingerprints of functions, and reads each module once.

    `folder` is that of the nodes; it is searched before `sys.path`. Messages name files relative to `base`, the folder
    of the pipeline. Has no lock. `memo` holds what other modules have computed from the same code, and `distributions`
    has the versions of installed packages.
    """

    def __init__(self, folder: Path, base: Path | None = None) -> None:
        self.folder, self.base = folder, base or folder
        self._index = ModuleIndex(folder)
        self.distributions = Distributions()
        self.memo: dict[object, Any] = {}
        self.known = KnownCode(self._index)

    @cached_property
    def source(self) -> ReachedCode:
        """The modules of the project, and the code in them that functions reach."""
        from nfrun.code.reached_code import ReachedCode  # a run whose code is as before does not need it

        return ReachedCode(self._index)

    def of(self, module: str, function: str) -> Mapping[str, str]:
        """Return the digests (32 hex digits) of the function and of all project code that it may reach, by item.

        The result is cached. Files that cannot be read or parsed raise no error; they count as a whole.
        """
        start = module, function
        if start not in self.known.functions:
            self.known.functions[start] = self.source.digests(start)
            self.known.is_new = True
        return self.known.functions[start][0]

    def packages(self, module: str, function: str) -> Mapping[str, str]:
        """Return the versions of the installed distributions that are imported by the code that the function may reach.

        A module that no distribution has installed counts by its name, with the checksum of its file as its version.
        """
        self.of(module, function)
        found: dict[str, str] = {}
        for name in self.known.functions[module, function][1]:
            file, top = self._index.installed.get(name), name.partition(".")[0]
            if file is not None and top not in sys.stdlib_module_names:
                owner, version = self.distributions.owner(name, file) or (top, file_checksum(file))
                found[owner] = version
        return found

    def is_current(self, module: str, function: str) -> bool:
        """Return whether no file behind the result of `of` has changed, appeared or disappeared.

        True if `of` was not called for the function. Each file is checked once after each `refresh`.
        """
        _, lookups = self.known.functions.get((module, function), ({}, ()))
        return self._index.are_unchanged(lookups)

    def refresh(self) -> None:
        """Make the next `is_current` calls read the files again."""
        self._index.refresh()


class FolderCode:
    """The fingerprints of the code in each folder, by its path relative to `base`, the folder of the pipeline.

    Modules of one name in the folders of a pipeline do not meet. `known` are those that were asked for.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self.known = {"": Fingerprints(base)}

    def of(self, folder: str) -> Fingerprints:
        """Return the fingerprints of the code that nodes in `folder` reach, "" for the folder of the pipeline."""
        if folder not in self.known:
            self.known[folder] = Fingerprints(inner_folder(self._base, folder), self._base)
        return self.known[folder]

    def refresh(self) -> None:
        """Make the next `is_current` calls read the files again."""
        for code in self.known.values():
            code.refresh()
