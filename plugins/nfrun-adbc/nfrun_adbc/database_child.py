"""The program that `database_process` starts: makes one query or writes one table, and sends rows to stdout.

A line of JSON comes on stdin. stdin is closed when whoever has started this program is dead: then it ends at once, and
the database undoes its transaction. An error is written to stderr, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class _NoStop:
    """Takes the place of `job.stop`: this process is killed instead."""

    requested = False

    def calls(self, callback: Callable[[], object]) -> AbstractContextManager[None]:
        return nullcontext()


def main() -> int:
    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.path[:] = request["path"]
    try:
        _run(request)
    except Exception as error:
        sys.stderr.write(json.dumps(_told(error)))
        sys.stderr.flush()
        return 1
    return 0


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)


def _run(request: dict[str, Any]) -> None:
    import pyarrow as pa

    from nfrun_adbc.query import read_rows
    from nfrun_adbc.write import write_rows

    def table(name: str) -> pa.Table:
        return pa.ipc.open_file(pa.memory_map(request["table"])).read_all()

    job: Any = SimpleNamespace(
        node=SimpleNamespace(values=request["values"], inputs=["table"]),
        folder=Path(request["folder"]),
        environ={"ADBC_URI": request["uri"]},
        stop=_NoStop(),
        table=table,
    )
    if request["kind"] == "write":
        write_rows(job)
        rows = pa.table({}).to_reader()
    else:
        rows = read_rows(job)
    with os.fdopen(1, "wb", closefd=False) as stdout, pa.ipc.new_stream(stdout, rows.schema) as writer:
        for batch in rows:
            writer.write_batch(batch)
            stdout.flush()


def _told(error: Exception) -> dict[str, Any]:
    from nfrun import NodeError

    if isinstance(error, NodeError):
        return {"errno": 0, "message": str(error), "details": error.details}
    if isinstance(error, OSError) and error.errno:
        return {"errno": error.errno, "file": error.filename}
    return {"errno": 0, "message": f"{type(error).__name__}: {error}", "details": traceback.format_exc()}


if __name__ == "__main__":
    code = main()
    os._exit(code)  # the thread waits for its stdin for ever
