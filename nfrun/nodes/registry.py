"""Lists the kinds of node. No module outside of `nodes` has such a list, or compares the name of a kind."""

from __future__ import annotations

from nfrun.core.pipeline import NodeSpec
from nfrun.nodes.kind import Kind
from nfrun.nodes.pipeline import INPUT, PIPELINE
from nfrun.nodes.python import PYTHON
from nfrun.nodes.read import READ
from nfrun.nodes.shell import RUN
from nfrun.nodes.sql import SQL
from nfrun.nodes.use import USE, kind_of_plugin
from nfrun.nodes.write import WRITE

KINDS = {kind.name: kind for kind in (PYTHON, SQL, RUN, READ, WRITE, PIPELINE, USE, INPUT)}


def kind_of(spec: NodeSpec) -> Kind:
    """Return the kind of a node. That of a plug-in is made from its settings and its schema.

    Making it takes some 20 us. All plug-ins have the `maps` of the kind `use`, which calls for pieces take from there.
    """
    return KINDS[spec.kind] if spec.plugin is None else kind_of_plugin(spec.plugin)


def written_kinds() -> dict[str, Kind]:
    """Return the kinds that nodes in a file may have, by name."""
    return {name: kind for name, kind in KINDS.items() if kind.says.in_files}


def owners_of_settings() -> dict[str, Kind]:
    """Return the kind for each key that not all nodes have; the first, if several kinds have it."""
    return {key: kind for kind in reversed(KINDS.values()) for key in kind.says.settings}
