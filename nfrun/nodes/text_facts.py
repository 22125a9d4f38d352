"""Finds what the text of a script or a query, and the `with` values of a node, show about its reuse."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.code.facts.code_facts import NO_FACTS, CodeFact, CodeFacts
from nfrun.core.pipeline import NodeSpec
from nfrun.nodes.folders import from_base

if TYPE_CHECKING:
    from nfrun.code.fingerprint import Fingerprints


# One of these is in each text that asks for the time, draws or has local time: to look for it in all takes longer.
_WORDS = re.compile(
    r"\b(?:now|today|age|ls|stat|TZ)\b|date|time|uuid|sample|random|secrets|EPOCH|-[acm]min|-newer|%\(|shuf|sort.*-\w*R|openssl",
    re.IGNORECASE,
)


def query_facts(node: NodeSpec, code: Fingerprints) -> CodeFacts:
    """Return the facts of a query's text and of the values given to it. Threads of DuckDB draw in another order."""
    network, where = _network(node, node.body), _where(node)
    if not _WORDS.search(node.body):
        return CodeFacts(network=network) if network else NO_FACTS
    from nfrun.code.facts.clocks import clocks_in_query, draws_in_query

    asked = [CodeFact(clock, where) for clock in clocks_in_query(node.body)]
    drawn = [CodeFact(what, where) for what in draws_in_query(node.body, seeded=node.cpus == 1)]
    return CodeFacts(network=network, clocks=asked, draws=drawn)


def script_facts(node: NodeSpec, files: Mapping[str, Path]) -> CodeFacts:
    """Return the facts of a script, of the values given to it, and of the scripts among the `files` that it names."""
    network = _network(node, node.body)
    facts = CodeFacts(network=network) if network else NO_FACTS
    if not files and not _WORDS.search(node.body):
        return facts
    return with_script(facts, node, node.body, _where(node), files, prints=True)


def with_script(
    facts: CodeFacts, node: NodeSpec, text: str, where: str, files: Mapping[str, Path], *, prints: bool = False
) -> CodeFacts:
    """Return the facts with what a script that a node starts, and the scripts among the `files`, tell of the time.

    `where` is the place of the text. `prints`: its stdout is a log.
    """
    from nfrun.code.facts.script_clocks import time_in_file, time_in_script, with_time

    found = [time_in_file(path, from_base(node)(name)) for name, path in files.items()]
    return with_time(facts, time_in_script(text, where, prints=prints), *found)


def network_of_values(node: NodeSpec) -> list[CodeFact]:
    """Return the hosts that the `with` values of a node name."""
    return _network(node, "") if node.with_ else []


def _network(node: NodeSpec, text: str) -> list[CodeFact]:
    values = [*map(str, node.with_.values())]  # also those of lists and mappings
    if not text and not any("://" in value for value in values):
        return []
    from nfrun.code.facts.addresses import network_of_text

    return network_of_text(text, values, _where(node, text))


def _where(node: NodeSpec, text: str = "…") -> str:
    where = node.body_file if text and node.body_file else f"{Path(node.source.file).name}:{node.source.line}"
    return from_base(node)(where)
