"""An output of a node and its Arrow file: how large it is, where it lies, how it is written. Knows no store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.core.errors import HandoffError
from nfrun.core.events import OutputRef
from nfrun.system.os_errors import reason
from nfrun.tables.ipc import has_dictionary, schema_line, write_file

if TYPE_CHECKING:
    import pyarrow as pa


def output_path(folder: Path, output: str, attempt: int) -> str:
    """The path of an output's file in the folder of its run."""
    return f"{folder}{os.sep}{output}.{attempt}.arrow"


def write_output(
    path: Path, output: str, attempt: int, value: pa.Table | pa.RecordBatchReader, *, fsync: bool = False
) -> OutputRef:
    """Write an output to its file. Raises HandoffError, and whatever a reader that is given raises."""
    import pyarrow as pa

    if isinstance(value, pa.RecordBatchReader) and any(has_dictionary(column.type) for column in value.schema):
        value = value.read_all()
    came = value.nbytes if isinstance(value, pa.Table) else 0  # in bytes, as far as is known when writing fails
    theirs: list[Exception] = []

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal came
        try:
            for batch in value:
                came += batch.nbytes
                yield batch
        except Exception as error:  # the node's own, whatever its type; not ours to explain
            theirs.append(error)
            raise

    source = value if isinstance(value, pa.Table) else pa.RecordBatchReader.from_batches(value.schema, batches())
    try:
        written = write_file(source, path, fsync=fsync)
    except BaseException as error:
        if theirs:
            raise theirs.pop() from None  # popped: the error knows this frame, and in a circle tables stay alive
        if isinstance(error, OSError | pa.ArrowException):
            raise HandoffError(failed_write(error, output, came)) from error
        raise
    schema = schema_line(value.schema)
    return OutputRef(
        output,
        written.rows,
        written.bytes,
        schema,
        str(path),
        written.digest,
        attempt,
        written.size,
        written.checksum,
        written.schema_digest,
    )


def failed_write(error: Exception, output: str, size: int) -> str:
    """Why an output could not be written, in words."""
    return f"cannot write the output '{output}' ({size:,} bytes): {reason(error)}"
