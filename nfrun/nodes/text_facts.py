"""Finds what the text of a script or a query, and the `with` values of a node, show about its reuse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.core.pipeline import NodeSpec
from nfrun.facts.code_facts import NO_FACTS, CodeFact, CodeFacts
from nfrun.nodes.folders import from_base

if TYPE_CHECKING:
    from nfrun.code.fingerprint import Fingerprints


def text_facts(node: NodeSpec, code: Fingerprints) -> CodeFacts:
    """Return what the text of a script or a query, and the values given to it, show."""
    network = _network(node, node.body)
    return CodeFacts(network=network) if network else NO_FACTS


def network_of_values(node: NodeSpec) -> list[CodeFact]:
    """Return the hosts that the `with` values of a node name."""
    return _network(node, "") if node.with_ else []


def _network(node: NodeSpec, text: str) -> list[CodeFact]:
    values = [*map(str, node.with_.values())]  # also those of lists and mappings
    if not text and not any("://" in value for value in values):
        return []
    from nfrun.facts.addresses import network_of_text

    where = node.body_file if text and node.body_file else f"{Path(node.source.file).name}:{node.source.line}"
    where = from_base(node)(where)
    return network_of_text(text, values, where)
