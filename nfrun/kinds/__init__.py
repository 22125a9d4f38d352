"""What a node can be. To add a kind: one file here, one line in this table, one key in the schema."""

from __future__ import annotations

from collections.abc import Mapping

from nfrun.kinds import python, read, shell, sql, write
from nfrun.kinds.kind import Kind

KINDS: Mapping[str, Kind] = {
    "python": python,
    "sql": sql,
    "run": shell,
    "read": read,
    "write": write,
}
