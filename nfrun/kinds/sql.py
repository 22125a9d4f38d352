"""The kind `sql`: one DuckDB query over the inputs, read in place as Arrow. Knows no files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from nfrun.callables import Library
from nfrun.kinds.kind import Job, Mistake, NodeError
from nfrun.spec import NodeSpec

INSTALL = "install it with: pip install 'nfrun[sql]'"


def check(node: NodeSpec, library: Library) -> Iterator[Mistake]:
    """DuckDB must be there, and a query gives one output. What is wrong in the query is left to DuckDB."""
    if find_spec("duckdb") is None:
        yield Mistake(("sql",), "a sql node needs DuckDB, which is not installed", INSTALL, at_key=True)
    if len(node.outputs) > 1:
        yield Mistake(("outputs",), "a sql node has one output", at_key=True)


def run(job: Job) -> Mapping[str, Any]:
    """Run the statements; the result of the last one is the output.

    Each input is a table of its name, each `with` value a parameter `$name`: data is never pasted into the query. The
    order of rows is DuckDB's unless the query says `order by`.
    """
    try:
        import duckdb
    except ImportError:
        raise NodeError("a sql node needs DuckDB, which is not installed", INSTALL) from None

    # Without this a table missing in the query would be looked up among the Python variables of our own frames.
    connection = duckdb.connect(":memory:", config={"python_enable_replacements": "false"})
    try:
        for item in job.node.inputs:
            connection.register(item.name, job.table(item.name))
        with job.stop.calling(connection.interrupt):
            result = None
            for statement in connection.extract_statements(job.node.body):
                wanted = {name: value for name, value in job.node.with_.items() if name in statement.named_parameters}
                result = connection.execute(statement, wanted)
            if result is None:
                raise NodeError("the query is empty")
            name = job.node.outputs[0] if job.node.outputs else ""
            return {name: result.to_arrow_table()}
    except duckdb.Error as error:
        first, _, rest = str(error).partition("\n")
        raise NodeError(first, rest.strip("\n")) from None
    finally:
        connection.close()
