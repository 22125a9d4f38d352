"""Lists the kinds of node and imports their modules on demand."""

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
    """Return the kind of this key, such as `sql`. Raises KeyError if there is none.

    The first call imports its module: that happens while the file is read, before nodes run.
    """
    return cast("Kind", import_module(_MODULES[key]))
