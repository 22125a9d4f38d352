"""Keeps the facts of functions as JSON, and takes over those of an earlier run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from functools import partial
from typing import TYPE_CHECKING, Any

from nfrun.code.facts.code_facts import (
    CodeFact,
    CodeFacts,
    facts_from_json,
    facts_to_json,
    read_from_json,
    read_to_json,
)
from nfrun.code.fingerprint import Fingerprints
from nfrun.core.pipeline import NOTHING
from nfrun.core.values import replace

if TYPE_CHECKING:
    from nfrun.code.facts.fact_reader import FactReader


def known_facts(code: Fingerprints) -> KnownFacts:
    """Return the known facts of this code, which are kept with it."""
    if "known facts" not in code.memo:
        code.memo["known facts"] = KnownFacts(code)
    known: KnownFacts = code.memo["known facts"]
    return known


class KnownFacts:
    """Returns facts of functions, and reads code only for those that it does not know.

    `is_new` is whether it has read any code.
    """

    def __init__(self, code: Fingerprints) -> None:
        self._code = code
        self._facts: dict[str, list[Any]] = {}  # by function and arguments ("steps:clean {}")
        self._variables: list[str] = []
        self._read: dict[str, dict[str, Any]] = {}  # by function, those of `_variables` that it reads
        self.is_new = False

    def of(self, module: str, function: str, arguments: Mapping[str, Any] = NOTHING) -> CodeFacts:
        """Return the facts of all project code that the function may reach; `arguments` are the values it is given."""
        name = f"{module}:{function} {json.dumps(dict(arguments), default=repr)}"
        read_variables = partial(self._read_variables, module, function)
        if name in self._facts:
            return facts_from_json(self._facts[name], read_variables)
        facts = replace(self._reader().of(module, function, arguments), read_variables=read_variables)
        self._facts[name] = facts_to_json(facts)
        self.is_new = True
        return facts

    def as_json(self) -> list[object]:
        """Return the facts as JSON, for `restore` in a later run."""
        return [self._facts, self._variables, self._read]

    def restore(self, saved: list[Any]) -> None:
        """Take over the facts that `as_json` has returned in a run with the same code."""
        self._facts, self._variables, self._read = saved

    def _read_variables(self, module: str, function: str, variables: Set[str]) -> Mapping[str, CodeFact]:
        """Return where the code reads some of the variables, which are the same for all functions of a pipeline."""
        if self._variables != sorted(variables):
            self._variables, self._read = sorted(variables), {}
        name = f"{module}:{function}"
        if name not in self._read:
            self._read[name] = read_to_json(self._reader().of(module, function).read_variables(variables))
            self.is_new = True
        return read_from_json(self._read[name])

    def _reader(self) -> FactReader:
        from nfrun.code.facts.fact_reader import facts_of  # importing it takes a tenth of the time of a short run

        return facts_of(self._code)
