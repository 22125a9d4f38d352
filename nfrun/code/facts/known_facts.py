"""Keeps the facts of functions as JSON, and takes over those of an earlier run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nfrun.code.facts.code_facts import CodeFacts, facts_from_json, facts_to_json
from nfrun.code.fingerprint import Fingerprints
from nfrun.core.pipeline import NOTHING


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
        self._facts: dict[str, Mapping[str, Any]] = {}  # by function and arguments ("steps:clean {}")
        self.is_new = False

    def of(self, module: str, function: str, arguments: Mapping[str, Any] = NOTHING) -> CodeFacts:
        """Return the facts of all project code that the function may reach; `arguments` are the values it is given."""
        name = f"{module}:{function} {json.dumps(dict(arguments), default=repr)}"
        if name not in self._facts:
            from nfrun.code.facts.fact_reader import facts_of  # importing it takes a tenth of the time of a short run

            self._facts[name] = facts_to_json(facts_of(self._code).of(module, function, arguments))
            self.is_new = True
        return facts_from_json(self._facts[name])

    def as_json(self) -> Mapping[str, Any]:
        """Return the facts as JSON, for `restore` in a later run."""
        return self._facts

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over the facts that `as_json` has returned in a run with the same code."""
        self._facts = dict(saved)
