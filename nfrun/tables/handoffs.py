"""Lists the handoffs, which are the ways to pass tables from node to node, and makes their stores on demand.

A run that reuses everything needs no table, and so imports no Arrow.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from nfrun.tables.store import TableStore

DEFAULT_HANDOFF = "auto"
PERSISTENT_HANDOFFS = ("auto", "mmap")  # those that leave files, which a later run can reuse
_OTHER_STORES = {"json": ("nfrun.tables.json_store", "JsonStore")}
_WITHOUT_TABLES = {"commit": None, "release": None, "discard": None, "flushed": True, "close": None}  # what they return
HANDOFFS = (*PERSISTENT_HANDOFFS, "memory", *_OTHER_STORES)


def store_class(handoff: str) -> type[TableStore]:
    """Import the class of the store that passes tables by this handoff."""
    module, name = _OTHER_STORES.get(handoff, ("nfrun.tables.store", "TableStore"))
    return cast("type[TableStore]", getattr(import_module(module), name))


class LateStore:
    """Stands for a `TableStore`, which `make` makes when a table is handed on or read first.

    Until then it holds no tables, so there are none to commit, release or write.
    """

    def __init__(self, make: Callable[[], TableStore], *, fsync: bool) -> None:
        self.fsync = fsync
        self._make = make
        self._made: TableStore | None = None
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the store. It is made now if a store without tables does not do."""
        with self._lock:
            if self._made is None and name in _WITHOUT_TABLES:
                return lambda *_, **__: _WITHOUT_TABLES[name]
            self._made = self._made or self._make()
        return getattr(self._made, name)
