"""Returns the facts of functions, also those that an earlier run has found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nfrun.code.facts.code_facts import CodeFacts, facts_from_json, facts_to_json
from nfrun.code.fingerprint import Fingerprints
from nfrun.core.pipeline import NOTHING


def facts_of(code: Fingerprints, module: str, function: str, arguments: Mapping[str, Any] = NOTHING) -> CodeFacts:
    """Return the facts of all project code that a function may reach; `arguments` are the values it is given."""
    name = f"{module}:{function} {json.dumps(dict(arguments), default=repr)}"
    known = code.known.facts
    if name not in known:
        from nfrun.code.facts.fact_reader import FactReader  # importing it takes a tenth of the time of a short run

        if FactReader not in code.memo:
            code.memo[FactReader] = FactReader(code)
        known[name] = facts_to_json(code.memo[FactReader].of(module, function, arguments))
        code.known.is_new = True
    return facts_from_json(known[name])
