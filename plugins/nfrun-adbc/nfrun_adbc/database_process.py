"""Starts a process of its own for a job with a database in a file, and reads the rows that it sends.

SQLite and DuckDB lock a file by locks that belong to the process. A process often has a second copy of them: Python's
module `sqlite3` is one. The two do not see each other's locks, and each loses its own when the other one closes the
file. Rows that were written would be lost without an error.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from nfrun import Job, NodeError
from nfrun_adbc.databases import VARIABLE, file_of, locked, scheme_of

_CHILD = Path(__file__).with_name("database_child.py")
_MOST = 10_000  # bytes of what an unknown error has written


def reader_apart(kind: str, job: Job, table: str = "") -> pa.RecordBatchReader:
    """Run `query` or `write` in a process of its own, and return a reader of the rows that it sends.

    `table` is the name of the input, if there is one. The process ends with the reader, when the job is told to stop,
    and when this process dies. Raises NodeError and OSError, also while rows are read.
    """
    if job.stop.requested:
        raise NodeError("stopped")
    request = {
        "kind": kind,
        "path": sys.path,
        "folder": os.fspath(job.folder.absolute()),
        "uri": job.environ[VARIABLE],
        "values": job.node.values,
        "table": os.fspath(job.file(table).absolute()) if table else None,
    }
    scheme = scheme_of(job.environ[VARIABLE])
    with ExitStack() as opened:
        if table or scheme == "duckdb":  # other nodes of this run wait here, as long as it takes
            opened.enter_context(locked(job, file_of(job.environ[VARIABLE], job.folder)))
        errors = opened.enter_context(tempfile.TemporaryFile())
        process = opened.enter_context(_started(job, errors))
        opened.callback(process.kill)  # does nothing to one that has ended
        opened.enter_context(job.stop.calls(process.kill))
        assert process.stdin is not None and process.stdout is not None
        with suppress(BrokenPipeError):  # it has ended: its error is read below
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        try:
            reader = pa.ipc.open_stream(process.stdout)
        except pa.ArrowInvalid:  # it ended before it sent something
            _check_end(job, process, errors)
            raise
        batches = _batches(job, reader, process, errors, opened.pop_all())
        next(batches)  # so that closing the generator ends the process, too
        return pa.RecordBatchReader.from_batches(reader.schema, batches)


def _started(job: Job, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", _CHILD],
        stdin=subprocess.PIPE,  # open as long as this process lives
        stdout=subprocess.PIPE,
        stderr=errors,
        env=dict(job.environ),
        process_group=0,  # Ctrl-C is for nfrun, which tells the job to stop
    )


def _batches(
    job: Job, reader: Any, process: subprocess.Popen[bytes], errors: IO[bytes], opened: ExitStack
) -> Iterator[Any]:
    """Yield None, and then the batches of the reader. Closes what is `opened` at the end."""
    with opened:
        yield None
        try:
            for batch in reader:
                if job.stop.requested:
                    raise NodeError("stopped")
                yield batch
        except pa.ArrowInvalid:  # it ended amid a batch
            _check_end(job, process, errors)
            raise
        _check_end(job, process, errors)  # a stream that is cut between two batches looks like a whole one


def _check_end(job: Job, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    """Wait for the end of the process. Raises the error that it had."""
    code = process.wait()
    if code == 0:
        return
    if job.stop.requested:
        raise NodeError("stopped")
    errors.seek(0)
    written = errors.read()
    try:
        found = json.loads(written)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with the exit code {code}"
        raise NodeError(f"the process for the database {how}", written[-_MOST:].decode(errors="replace").strip())
    if found["errno"]:
        raise OSError(found["errno"], os.strerror(found["errno"]), found["file"])
    raise NodeError(found["message"], found["details"])
