"""Defines the types of outputs: `table`, `file`, `folder`, or an ending such as `.pkl`: a file whose path ends so."""

from __future__ import annotations

TABLE, FILE, FOLDER = "table", "file", "folder"


def form_of(type: str) -> str:
    """Return what an output of this type is: `table`, `file` or `folder`."""
    return FILE if type.startswith(".") else type


def ending_of(type: str) -> str:
    """Return the ending of the path of an output of this type, "" if it has none."""
    return type if type.startswith(".") else ""
