"""The part of the kind `read` that hands on a file or a folder as it is: `outputs: {ref: folder}`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from glob import has_magic
from pathlib import Path

from nfrun.core.errors import HandoffError
from nfrun.core.output_types import FOLDER, TABLE, ending_of, form_of
from nfrun.core.pipeline import NodeSpec, has_expression
from nfrun.core.text import ellipsize
from nfrun.nodes.base import NodeDiagnostic, NodeError, output_name
from nfrun.nodes.file_names import describe_missing
from nfrun.system.checksums import text_checksum
from nfrun.system.kept_files import NotKeepable, layout_of
from nfrun.system.os_errors import reason
from nfrun.tables.local_files import local_source


def check_file(node: NodeSpec) -> Iterator[NodeDiagnostic]:
    """Check a node that hands on a file or a folder: no options, one path, and the ending of its type."""
    for name in node.with_:
        what = f"a {_form(node)} is handed on as it is: there is nothing to set"
        yield NodeDiagnostic(("with", name), what, "remove it", at_key=True)
    ending = ending_of(node.type_of(output_name(node)))
    if has_expression(node.body):
        return
    if local_source(node.body) is None:
        what = f"a {_form(node)} is handed on from this machine only"
        yield NodeDiagnostic(("read",), what, "fetch it in a 'run' node, which has it as its output")
    elif ending and not node.body.endswith(ending):
        what = f"'{ellipsize(node.body)}' does not end in {ending}, and its output does"
        yield NodeDiagnostic(("read",), what, f"outputs: {{{output_name(node)}: {_ending_in(node.body) or 'file'}}}")


def _ending_in(path: str) -> str:
    suffix = Path(path).suffix
    return suffix if suffix[1:].isalnum() else ""


def missing_file(
    node: NodeSpec, source: str, folder: Path, may_appear: Callable[[str], bool]
) -> Iterator[NodeDiagnostic]:
    """Yield the problems of the path of a node that hands on a file or a folder."""
    path, form = folder / source, _form(node)
    if not path.exists():
        if has_magic(source):
            what = f"'{ellipsize(source)}' is a pattern, and one {form} is handed on"
            yield NodeDiagnostic(("read",), what, "name it; several files are a folder, or an axis: {files: PATTERN}")
        elif not may_appear(source):
            what, hint = describe_missing(source, folder)
            yield NodeDiagnostic(("read",), ellipsize(what, 200), hint)
    elif path.is_dir() != (form == FOLDER):
        is_now, other = ("folder", FOLDER) if path.is_dir() else ("file", "file")
        what = f"'{ellipsize(source)}' is a {is_now}, and the output '{output_name(node)}' is a {form}"
        yield NodeDiagnostic(("read",), what, f"outputs: {{{output_name(node)}: {other}}}")


def found_file(node: NodeSpec, folder: Path) -> Path:
    """Return the path of the file or folder that a node hands on. Raises NodeError, HandoffError."""
    source, form = local_source(node.body) or "", _form(node)
    path = folder.absolute() / source
    try:
        is_folder = os.path.isdir(path)  # noqa: PTH112
        path.stat()
    except FileNotFoundError:
        what, hint = describe_missing(source, folder)
        raise NodeError(what, hint) from None
    except OSError as error:
        raise HandoffError(f"cannot read {source}: {reason(error)}", error) from error
    if is_folder != (form == FOLDER):
        raise NodeError(f"{source} is a {'folder' if is_folder else 'file'}, and the output is a {form}")
    return path


def source_path(node: NodeSpec, folder: Path) -> Path | None:
    """Return the path of the file or folder that a node hands on, None if it reads a table."""
    return (folder / (local_source(node.body) or "")).absolute() if node.types else None


def files_in(node: NodeSpec, folder: Path) -> Mapping[str, Path]:
    """Return the file that a node hands on, or all files in its folder, by the names to show."""
    source = local_source(node.body) or node.body
    path = folder / source
    if not path.is_dir():
        return {source: path}
    found = {}
    for above, _, names in os.walk(path):
        for name in names:
            inner = os.path.join(above, name)  # noqa: PTH118
            shown = os.path.join(source, os.path.relpath(inner, path))  # noqa: PTH118
            found[shown] = Path(inner)
    return dict(sorted(found.items()))


def layout(node: NodeSpec, folder: Path) -> str:
    """Return a digest of the names, links and executable bits in the folder that a node hands on."""
    with suppress(OSError, NotKeepable):
        return text_checksum(json.dumps(layout_of(folder / (local_source(node.body) or ""))))
    return ""


def _form(node: NodeSpec) -> str:
    return form_of(next(iter(node.types.values()), TABLE))
