"""Lists the handoffs, which are the ways to pass tables from node to node, and imports their stores on demand."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from nfrun.tables.store import TableStore

DEFAULT_HANDOFF = "auto"
PERSISTENT_HANDOFFS = ("auto", "mmap")  # those that leave files, which a later run can reuse
_OTHER_STORES = {"json": ("nfrun.tables.json_store", "JsonStore")}
HANDOFFS = (*PERSISTENT_HANDOFFS, "memory", *_OTHER_STORES)


def store_class(handoff: str) -> type[TableStore]:
    """Import the class of the store that passes tables by this handoff."""
    module, name = _OTHER_STORES.get(handoff, ("nfrun.tables.store", "TableStore"))
    return cast("type[TableStore]", getattr(import_module(module), name))
