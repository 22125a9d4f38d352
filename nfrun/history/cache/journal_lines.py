"""Makes the journal entries of outputs, and of results that are those of an earlier run."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from nfrun.core.contracts import CheckResult
from nfrun.core.events import OutputRef
from nfrun.core.output_types import TABLE, file_name
from nfrun.core.pipeline import NodeSpec
from nfrun.core.values import replace
from nfrun.history.journal import FinishedNode, FinishedOutput
from nfrun.system.checksums import file_checksum


def reused_node(used: FinishedNode, spec: NodeSpec, started: float, checks: tuple[CheckResult, ...]) -> FinishedNode:
    """Return the entry of a node with the result of an earlier run, whose entry is `used`."""
    return replace(
        used,
        reused=True,
        cached=spec.cache is True,
        started=started,
        reason="",
        home=used.home or (used.folder.name if used.folder is not None else ""),
        of=spec.of,
        cell=spec.cell,
        checks=checks,
        times=(),
        failed=(),
        memory=0,
        worker="",
    )


def finished_output(ref: OutputRef, folder: Path, shown: Collection[str]) -> FinishedOutput:
    """Return the entry of an output. `folder` is that of the run, and `shown` are the outputs that it shows.

    Raises OSError if the file of the output cannot be read.
    """
    file = None if ref.path is None else ref.path.rpartition(os.sep)[2]
    if ref.type != TABLE and Path(ref.path or "") != folder / file_name(ref.id, ref.attempt, ref.type):
        file = None  # it is a source of the user's, or the output of another node
    # There is none if the store could not read the file: this raises that error.
    checksum = (ref.checksum or "") if file is None or ref.is_remote else ref.checksum or file_checksum(ref.path or "")
    return FinishedOutput(
        ref.id,
        ref.rows,
        ref.bytes,
        ref.schema,
        ref.digest or "",
        ref.size or 0,
        checksum,
        file,
        ref.schema_digest or "",
        shown=ref.id in shown,
        type=ref.type,
        stored=(ref.stored or "") if ref.is_remote else "",
    )
