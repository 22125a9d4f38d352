"""Defines the types of outputs: `table`, `file`, `folder`, or an ending such as `.pkl`: a file whose path ends so."""

from __future__ import annotations

from nfrun.core.text import file_stem

TABLE, FILE, FOLDER = "table", "file", "folder"


def form_of(type: str) -> str:
    """Return what an output of this type is: `table`, `file` or `folder`."""
    return FILE if type.startswith(".") else type


def ending_of(type: str) -> str:
    """Return the ending of the path of an output of this type, "" if it has none."""
    return type if type.startswith(".") else ""


def file_name(output: str, attempt: int, type: str) -> str:
    """Return the name of the file or folder of an output in the folder of its run. That of a table is an Arrow file."""
    return f"{file_stem(output)}.{attempt}{'.arrow' if type == TABLE else ending_of(type)}"
