"""Reads the sources of `read` nodes again: nfrun keeps no tables of them, as their files are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nfrun.core.pipeline import OutputId, Pipeline
from nfrun.history.journal import FinishedOutput
from nfrun.history.run_history import reader_digest
from nfrun.lookback.reopen.rerun_context import RerunContext
from nfrun.nodes.base import NodeError
from nfrun.nodes.folders import folder_of
from nfrun.nodes.registry import kind_of
from nfrun.tables.formats import FormatError
from nfrun.tables.output_files import hand_on


def has_source(pipeline: Pipeline, output: OutputId) -> bool:
    """Return whether the node of an output only reads files of this machine, which are its source."""
    spec = pipeline.nodes.get(output.node)
    return spec is not None and kind_of(spec).outside.is_source(spec)


def read_source(pipeline: Pipeline, output: FinishedOutput) -> Any | None:
    """Return the table of an output whose node has a source, or the path of its source, if that is a file.

    None if the source has another content now.
    """
    from nfrun.tables.file_table import FileTable  # it imports pyarrow

    spec = pipeline.nodes[output.id.node]
    try:
        value = kind_of(spec).runs.run(RerunContext(spec, folder_of(spec, Path(pipeline.folder))))[output.id.name]
        if isinstance(value, FileTable):
            value.load()
        if isinstance(value, Path):
            ref = hand_on(output.id, 1, value, output.type)
            return value if reader_digest(ref) == reader_digest(output) else None
    except (NodeError, FormatError):  # a file is gone, or is no table any more
        return None
    return if_content_of(value, output)


def if_content_of(value: Any, output: FinishedOutput) -> Any | None:
    """Return the table of a value if it has the content that an output had, else None."""
    from nfrun.tables.output_files import hashed, in_memory

    stored = in_memory(output.id, 1, value, None)
    ref = stored.ref if stored.ref.digest else hashed(stored.ref, stored.table)
    return stored.table if reader_digest(ref) == reader_digest(output) else None
