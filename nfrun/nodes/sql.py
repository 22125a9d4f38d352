"""The kind `sql`: one DuckDB query over the inputs, read in place as Arrow. Knows no files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import HandoffError
from nfrun.core.pipeline import NodeSpec
from nfrun.nodes.base import NodeContext, NodeDiagnostic, NodeError
from nfrun.system.os_errors import os_error_in

INSTALL = "install it with: pip install 'nfrun[sql]'"
# The limit that DuckDB takes from the room there is, and names when it has used it up: no system call has failed then.
_NO_ROOM = "max_temp_directory_size"


def check(node: NodeSpec, library: FunctionLookup) -> Iterator[NodeDiagnostic]:
    """DuckDB must be there, and a query gives one output. What is wrong in the query is left to DuckDB."""
    if find_spec("duckdb") is None:
        yield NodeDiagnostic(("sql",), "a sql node needs DuckDB, which is not installed", INSTALL, at_key=True)
    if len(node.outputs) > 1:
        yield NodeDiagnostic(("outputs",), "a sql node has one output", "leave 'outputs' out", at_key=True)
    seen: dict[str, str] = {}
    for item in node.inputs:
        if seen.setdefault(item.name.lower(), item.name) != item.name:
            what = f"'{item.name}' and '{seen[item.name.lower()]}' are one table to SQL, which ignores case"
            yield NodeDiagnostic(("inputs", item.name), what, "rename one", at_key=True)


def run(job: NodeContext) -> Mapping[str, Any]:
    """Run the statements; the result of the last one is the output.

    Each input is a table of its name, each `with` value a parameter `$name`: data is never pasted into the query. The
    order of rows is DuckDB's unless the query says `order by`. Raises NodeError with what DuckDB says, and HandoffError
    where it is the system that refuses: what does not fit into memory finds no room on the disk, for instance.
    """
    try:
        import duckdb
    except ImportError:
        raise NodeError("a sql node needs DuckDB, which is not installed", INSTALL) from None

    config: dict[str, Any] = {
        # Without this a table missing in the query would be looked up among the Python variables of our own frames.
        "python_enable_replacements": "false",
        "file_search_path": str(job.folder),  # for read_csv('…') and the like, as with all paths in the file
        "temp_directory": str(job.scratch()),  # else what does not fit into memory goes to the working directory
    }
    try:
        with duckdb.connect(":memory:", config=config) as connection:
            return {job.node.outputs[0] if job.node.outputs else "": _table(job, connection)}
    except duckdb.Error as error:
        first, _, rest = str(error).partition("\n")
        if isinstance(error, duckdb.OutOfMemoryException) and _NO_ROOM in rest:
            raise HandoffError(f"there is no room for what the query cannot hold in memory: {first}") from error
        refused = os_error_in(first) if isinstance(error, duckdb.OperationalError | duckdb.FatalException) else None
        if refused is not None:
            raise HandoffError(f"cannot run the query: {first}") from refused
        raise NodeError(first, rest.strip("\n")) from None


def _table(job: NodeContext, connection: Any) -> Any:
    """What the last statement gives. Raises NodeError, `duckdb.Error`."""
    for item in job.node.inputs:
        connection.register(item.name, job.table(item.name))
    with job.cancel_token.on_cancel(connection.interrupt):
        statements = connection.extract_statements(job.node.body)
        if not statements:
            raise NodeError("the query is empty")
        for statement in statements:
            if job.cancel_token.cancelled:  # an interrupt between two statements has no effect
                raise NodeError("stopped")
            wanted = {name: value for name, value in job.node.with_.items() if name in statement.named_parameters}
            if statement is not statements[-1]:
                connection.execute(statement, wanted)
        # Not execute() here: its result is copied row by row on its way to Arrow.
        result = connection.sql(statement, params=wanted)
        if result is None:
            raise NodeError("the last statement gives no table")
        return result.to_arrow_table()
