"""What a node can be. To add a kind: one file here, one line in this table, one key in the schema."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from nfrun.kinds.kind import Kind

_MODULES = {"python": "python", "sql": "sql", "run": "shell", "read": "read", "write": "write"}


class _Kinds(dict[str, Kind]):
    """Imports the module of a kind when it is first asked for, which is while the file is read and before nodes run."""

    def __missing__(self, name: str) -> Kind:
        kind = self[name] = cast("Kind", import_module(f"nfrun.kinds.{_MODULES[name]}"))
        return kind


KINDS: Mapping[str, Kind] = _Kinds()
