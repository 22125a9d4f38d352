"""Lists the kinds of node. No module outside of `nodes` has such a list, or compares the name of a kind."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from nfrun.core.pipeline import NodeSpec
from nfrun.nodes.kind import Kind
from nfrun.nodes.pipeline import INPUT, PIPELINE
from nfrun.nodes.python import PYTHON
from nfrun.nodes.read import READ
from nfrun.nodes.shell import RUN
from nfrun.nodes.sql import SQL
from nfrun.nodes.use import USE, kind_of_plugin
from nfrun.nodes.write import WRITE

_kinds = {kind.name: kind for kind in (PYTHON, SQL, RUN, READ, WRITE, PIPELINE, USE, INPUT)}
KINDS: Mapping[str, Kind] = MappingProxyType(_kinds)  # by name; also shows kinds that are registered later
BUILT_IN = frozenset(_kinds)  # the kinds that worker processes have too


def kind_of(spec: NodeSpec) -> Kind:
    """Return the kind of a node; of a plug-in, what its static half says.

    That takes some 20 us. All plug-ins have the `maps` of the kind `use`, which calls for pieces take from there.
    """
    return KINDS[spec.kind] if spec.plugin is None else kind_of_plugin(spec.plugin)


def written_kinds() -> dict[str, Kind]:
    """Return the kinds that nodes in a file may have, by name."""
    return {name: kind for name, kind in _kinds.items() if kind.says.schema is not None}


def owners_of_settings() -> dict[str, Kind]:
    """Return the kind for each key that not all nodes have; the first, if several kinds have it."""
    return {key: kind for kind in reversed(_kinds.values()) for key in kind.says.settings}


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
