"""Lists the kinds of node. No module outside of `nodes` has such a list, or compares the name of a kind."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from nfrun.nodes.base import Kind, NodeContext
from nfrun.nodes.pipeline import INPUT, PIPELINE
from nfrun.nodes.python import PYTHON
from nfrun.nodes.read import READ
from nfrun.nodes.shell import RUN
from nfrun.nodes.sql import SQL
from nfrun.nodes.use import USE
from nfrun.nodes.write import WRITE

_kinds = {kind.name: kind for kind in (PYTHON, SQL, RUN, READ, WRITE, PIPELINE, USE, INPUT)}
KINDS: Mapping[str, Kind] = MappingProxyType(_kinds)  # by name; also shows kinds that are registered later
BUILT_IN = frozenset(_kinds)  # the kinds that worker processes have too


def written_kinds() -> dict[str, Kind]:
    """Return the kinds that nodes in a file may have, by name."""
    return {name: kind for name, kind in _kinds.items() if kind.is_written}


def owners_of_settings() -> dict[str, Kind]:
    """Return the kind for each key that not all nodes have; the first, if several kinds have it."""
    return {key: kind for kind in reversed(_kinds.values()) for key in kind.settings}


def register(kind: Kind) -> None:
    """Add a kind, before a pipeline is read. Raises ValueError if there is one of this name.

    Its nodes run in threads, whatever executor is chosen: worker processes do not have it.
    """
    if kind.name in _kinds:
        raise ValueError(f"there is a kind '{kind.name}' already")
    _kinds[kind.name] = kind


def unregister(name: str) -> None:
    """Remove a kind. Raises KeyError if there is none of this name."""
    del _kinds[name]


def run_whole(context: NodeContext) -> Mapping[str, Any]:
    """Return the outputs of a node, of a mapped one after all calls, one after the other. Raises what these raise."""
    kind = KINDS[context.node.kind]
    if context.node.map is None:
        return kind.run(context)
    from nfrun.nodes.mapped_run import run_mapped  # few nodes are mapped

    return run_mapped(kind, context)
