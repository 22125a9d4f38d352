"""Finds what the text of a script or a query, and the `with` values of a node, show about its reuse."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.core.pipeline import NodeSpec
from nfrun.core.values import replace
from nfrun.facts.code_facts import NO_FACTS, CodeFact, CodeFacts
from nfrun.nodes.folders import from_base

if TYPE_CHECKING:
    from nfrun.code.fingerprint import Fingerprints


def query_facts(node: NodeSpec, code: Fingerprints) -> CodeFacts:
    """Return what the text of a query, and the values given to it, show."""
    from nfrun.facts.clocks import clocks_in_query, draws_in_query

    network, where = _network(node, node.body), _where(node)
    asked = [CodeFact(clock, where) for clock in clocks_in_query(node.body)]
    drawn = [CodeFact(what, where) for what in draws_in_query(node.body)]
    return CodeFacts(network=network, clocks=asked, draws=drawn) if network or asked or drawn else NO_FACTS


def script_facts(node: NodeSpec, files: Mapping[str, Path]) -> CodeFacts:
    """Return what a script, the values given to it, and the scripts among the `files` that it names show."""
    from nfrun.facts.script_clocks import time_in_script, time_in_source, with_time

    found = time_in_script(node.body, _where(node))
    for name, path in files.items():
        if path.suffix in (".py", ".sh", ".bash"):
            with suppress(OSError, UnicodeDecodeError):
                read = time_in_source if path.suffix == ".py" else time_in_script
                found = with_time(found, read(path.read_text("utf-8"), from_base(node)(name)))
    return replace(found, network=_network(node, node.body))


def network_of_values(node: NodeSpec) -> list[CodeFact]:
    """Return the hosts that the `with` values of a node name."""
    return _network(node, "") if node.with_ else []


def _network(node: NodeSpec, text: str) -> list[CodeFact]:
    values = [*map(str, node.with_.values())]  # also those of lists and mappings
    if not text and not any("://" in value for value in values):
        return []
    from nfrun.facts.addresses import network_of_text

    return network_of_text(text, values, _where(node, text))


def _where(node: NodeSpec, text: str = "…") -> str:
    where = node.body_file if text and node.body_file else f"{Path(node.source.file).name}:{node.source.line}"
    return from_base(node)(where)
