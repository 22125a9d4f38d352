"""Finds what the text of a script or a query shows about its reuse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.core.pipeline import NodeSpec
from nfrun.facts.code_facts import NO_FACTS, CodeFacts

if TYPE_CHECKING:
    from nfrun.code.fingerprint import Fingerprints


def text_facts(node: NodeSpec, code: Fingerprints) -> CodeFacts:
    """Return what the text of a script or a query, and the values given to it, show."""
    from nfrun.facts.addresses import network_of_text

    where = f"{Path(node.source.file).name}:{node.source.line}"
    values = [value for value in node.with_.values() if isinstance(value, str)]
    network = network_of_text(node.body, values, where)
    return CodeFacts(network=network) if network else NO_FACTS
