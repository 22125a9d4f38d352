"""What a node can be. To add a kind: one file here, one line in this table, one key in the schema."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import cast

from nfrun.nodes.base import Kind

_MODULES = {
    "python": "nfrun.nodes.python",
    "sql": "nfrun.nodes.sql",
    "run": "nfrun.nodes.shell",
    "read": "nfrun.nodes.read",
    "write": "nfrun.nodes.write",
}


@cache
def kind_of(key: str) -> Kind:
    """The kind that this key of a node stands for. Raises KeyError if there is none.

    Its module is imported when it is first asked for, which is while the file is read and before nodes run.
    """
    return cast("Kind", import_module(_MODULES[key]))
