"""Checks the files and folders that a Python function returns as outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nfrun.core.errors import HandoffError
from nfrun.core.output_types import FOLDER, ending_of, form_of
from nfrun.core.pipeline import NodeSpec
from nfrun.core.text import ellipsize
from nfrun.nodes.base import NodeError
from nfrun.nodes.returned_tables import a_
from nfrun.system.os_errors import reason


def made_file(value: Any, type: str, name: str, scratch: Path, place: str = "") -> Path:
    """Return the path of the output `name`, which is a file or folder: a path in `scratch`.

    `value` is what the function returned: such a path, or the bytes of a file, which are written there. `place` is how
    the function names such a path, for messages. Raises NodeError for anything else, and HandoffError if the bytes
    cannot be written.
    """
    form = form_of(type)
    place = place or f"context.output('{name}{ending_of(type)}')"
    how = f"make it at {place}, and return that path"
    if isinstance(value, bytes | bytearray | memoryview) and form != FOLDER:
        return _written(value, scratch / f"output_{name}{ending_of(type)}")
    if not isinstance(value, Path):
        what = f"the output '{name}' is a {form}, and the function returned {a_(value)}"
        raise NodeError(what, f"{how}{'' if form == FOLDER else '; or return bytes'}")
    # The last part is not resolved: what a link leads to stays where it is.
    path, folder = value.parent.resolve() / value.name, scratch.resolve()
    if not path.is_relative_to(folder) or path == folder:
        what = f"the function returned {ellipsize(str(value), 200)} as '{name}', which is not below its scratch folder"
        raise NodeError(what, f"{how}. A file that is there already is read by a node: read: {value.name}")
    if path.is_symlink():
        raise NodeError(f"the function returned a link as '{name}': {value.name}", "copy what it leads to")
    if not path.exists():
        raise NodeError(
            f"there is no {form} {ellipsize(str(value), 200)}, which the function returned as '{name}'", how
        )
    if path.is_dir() != (form == FOLDER):
        is_now = "a folder" if path.is_dir() else "a file"
        raise NodeError(f"the output '{name}' is a {form}, and the function returned {is_now}: {value.name}")
    return path


def check_returned(node: NodeSpec, scratch: Callable[[], Path]) -> None:
    """Raise NodeError if the node's one output is a file or folder that lies in `scratch`, and was not returned."""
    if not node.types:
        return
    ((name, type),) = node.types.items()
    if made := sorted(path.name for path in scratch().iterdir()):
        what = f"the output '{name}' is a {form_of(type)}, and the function returned None; it made '{made[0]}'"
        raise NodeError(what, f"return the path, as in: return context.output('{made[0]}')")


def check_apart(paths: Mapping[str, Path]) -> None:
    """Raise NodeError if an output is the same file as another one, or in it: each is moved."""
    for name, path in paths.items():
        for other, around in paths.items():
            if name != other and path.is_relative_to(around):
                what = f"the function returned {path.name} as '{name}', which is {'' if path == around else 'in '}"
                raise NodeError(f"{what}the output '{other}'", "make a copy for one of them")


def _written(data: bytes | bytearray | memoryview, path: Path) -> Path:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise HandoffError(f"cannot write {path.name} ({len(data):,} bytes): {reason(error)}", error) from error
    return path
