"""The kind `sql`: runs a DuckDB query over the inputs, which DuckDB reads in place as Arrow tables."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import HandoffError, Problem
from nfrun.core.pipeline import TABLE, NodeSpec, form_of
from nfrun.core.values import replace
from nfrun.nodes.base import NodeContext, NodeError, check_gathered, check_makes_tables, output_name, seed_of
from nfrun.nodes.kind import Code, Kind, Outside, Runs, Says
from nfrun.nodes.sql_tables import arrow_table, bind_inputs, with_names
from nfrun.nodes.text_facts import query_facts
from nfrun.system.os_errors import os_error_in

if TYPE_CHECKING:
    from nfrun.nodes.duckdb_instances import DuckDBInstances

START_THERE = "start nfrun in the folder of the pipeline"
INSTALL = "install it with: pip install 'duckdb>=1.5'"
# DuckDB derives this limit from the free disk space. When it is exceeded, DuckDB names it; no system call has failed.
_NO_ROOM = "max_temp_directory_size"
_DRAWS = re.compile("random|sample|uuid", re.IGNORECASE)  # in queries that may draw numbers
_ROWS_READ = 2048  # at once, of results that are not the output
_BROKEN = "database has been invalidated"  # by an error before this one


def check(node: NodeSpec, lookup: FunctionLookup) -> Iterator[Problem]:
    """Check that the node has one output, and that the names of its inputs differ."""
    if len(node.outputs) > 1:
        yield Problem(("outputs",), "a sql node has one output", "leave 'outputs' out", at_key=True)
    yield from check_makes_tables(node)
    yield from check_gathered(node)
    if files := _file_inputs(node):
        from nfrun.nodes.texts.sql_files import named_values

        used = {name for name, _ in named_values(node.body)}
        for name in files:
            if name not in used:
                what = f"'{name}' is a {form_of(files[name])}, and the query does not use its path"
                yield Problem(("inputs", name), what, f"it is ${name}, as in: from read_csv(${name})")
    seen: dict[str, str] = {}
    for item in node.inputs:
        if seen.setdefault(item.name.lower(), item.name) != item.name:
            what = f"'{item.name}' and '{seen[item.name.lower()]}' are one table to SQL, which ignores case"
            yield Problem(("inputs", item.name), what, "rename one", at_key=True)


def examine(node: NodeSpec, others: Collection[str]) -> Iterable[Problem]:
    """Look for mistakes in the syntax of the query, in the names of its tables and in its values."""
    from nfrun.nodes.sql_check import check_query

    return check_query(_with_file_values(node), others)


def _file_inputs(node: NodeSpec) -> dict[str, str]:
    """Return the types of the inputs that are files or folders, by name: their paths are values of the query."""
    return {item.name: item.type for item in node.inputs if item.type != TABLE}


def _with_file_values(node: NodeSpec) -> NodeSpec:
    """Return the node with values in place of the inputs that are files. No path is the same as one of these values."""
    files = _file_inputs(node)
    if not files:
        return node
    tables = tuple(item for item in node.inputs if item.name not in files)
    return replace(node, inputs=tables, with_={**node.with_, **{name: f"\0{name}" for name in files}})


def _columns(node: NodeSpec, inputs: Mapping[str, Any], files: Mapping[str, Path]) -> tuple[Any, Problem | None]:
    from nfrun.nodes.sql_check import columns_of_query

    return columns_of_query(node, inputs)


def run(context: NodeContext) -> Mapping[str, Any]:
    """Run the statements; the result of the last one is the output.

    Each input is a table of its name, each `with` value and the path of each file a parameter `$name`: values are never
    pasted into the query.
    Rows have DuckDB's order unless the query says `order by`, and with one thread it is always the same. Raises
    NodeError with DuckDB's message, and HandoffError for errors of the system, such as a full disk while DuckDB spills
    to it.
    """
    try:
        import duckdb
    except ModuleNotFoundError:
        raise NodeError("a sql node needs DuckDB, which is not installed", INSTALL) from None

    from nfrun.nodes.duckdb_instances import instances_of

    try:
        with _in_folder(context):
            return {output_name(context.node): _result(context, instances_of(context))}
    except duckdb.Error as error:
        first, _, rest = str(error).partition("\n")
        if isinstance(error, duckdb.OutOfMemoryException) and _NO_ROOM in rest:
            raise HandoffError(f"there is no room for what the query cannot hold in memory: {first}") from error
        refused = os_error_in(first) if isinstance(error, duckdb.OperationalError | duckdb.FatalException) else None
        if refused is not None:
            raise HandoffError(f"cannot run the query: {first}", refused) from error
        raise NodeError(first, rest.strip("\n")) from None


@contextmanager
def _in_folder(context: NodeContext) -> Iterator[None]:
    """Let DuckDB find relative names in the folder of the pipeline, as far as the query does not need another.

    DuckDB looks in the working directory first, and some statements look nowhere else. Raises NodeError for a query
    that would read another file than the one beside the pipeline.
    """
    if _is_working_directory(context.folder):
        yield
        return

    from nfrun.nodes.texts.sql_files import files_elsewhere
    from nfrun.system.runtime import thread_directory

    only_here, in_both = files_elsewhere(context.node.body, context.node.with_, context.folder)
    with nullcontext(False) if only_here else thread_directory(context.folder) as moved:
        if in_both and not moved:
            what = f"DuckDB would read {in_both[0]} in the working directory, not the one in the pipeline's folder"
            raise NodeError(what, f"{START_THERE}, or give the query the whole path")
        if "," in str(context.folder) and not moved:
            what = "DuckDB finds no files relative to a folder that has a comma in its name"
            raise NodeError(what, f"{START_THERE}, or rename it")
        yield


def _is_working_directory(folder: Path) -> bool:
    """Return whether the folder is the working directory, or there is none any more."""
    try:
        return os.path.samefile(".", folder)  # noqa: PTH121
    except OSError:
        return True


def _result(context: NodeContext, instances: DuckDBInstances) -> Any:
    """Run the statements on the shared instance if they are queries, else on one of their own.

    A node that says how much memory it takes has an instance of its own with this limit.

    Raises NodeError, `duckdb.Error`.
    """
    import duckdb

    memory = context.node.amounts.get("memory", 0.0)
    folder = "" if "," in str(context.folder) else str(context.folder)  # DuckDB splits at commas
    try:
        with instances.cursor(folder, context.node.timezone) as cursor:
            statements = cursor.extract_statements(context.node.body)
            only_queries = all(statement.type is duckdb.StatementType.SELECT for statement in statements)
            if only_queries and context.node.cpus == 1 and not memory:
                return _table(context, cursor, statements)
    except duckdb.FatalException as error:
        if _BROKEN not in str(error):  # then the query of another node broke the instance
            raise
        return _result(context, instances)
    with instances.own(context.node.cpus, context.scratch(), memory, folder, context.node.timezone) as connection:
        return _table(context, connection, statements)


def _table(context: NodeContext, connection: Any, statements: Sequence[Any]) -> Any:
    """Return the result of the last statement, with the same random numbers each time.

    Raises NodeError, `duckdb.Error`, FormatError if a file that it reads was changed, HandoffError.
    """
    import duckdb

    from nfrun.tables.file_table import check_unchanged

    seed = seed_of(context.node)
    if seed is not None and _DRAWS.search(context.node.body):
        import random

        connection.execute("select setseed(?)", [random.Random(seed).random()]).fetchall()
    scanned = bind_inputs(context, connection)
    try:
        return _executed(context, connection, statements)
    except duckdb.Error as error:
        named = with_names(str(error), scanned)
        raise error if named == str(error) else type(error)(named) from None
    finally:
        for source in scanned:
            check_unchanged(source)


def _executed(context: NodeContext, connection: Any, statements: Sequence[Any]) -> Any:
    """Return the result of the last statement. Raises NodeError, `duckdb.Error`."""
    if not statements:
        raise NodeError("the query is empty")
    paths = {name: str(context.file(name)) for name in _file_inputs(context.node)}
    values = {**context.node.with_, **paths}
    wanted = [{name: values[name] for name in values if name in found.named_parameters} for found in statements]
    with context.cancel_token.on_cancel(connection.interrupt):
        for statement, given in zip(statements[:-1], wanted, strict=False):
            _check_cancelled(context)
            connection.execute(statement, given)
            while connection.fetchmany(_ROWS_READ):  # DuckDB goes on only after the last row of a result
                pass
        _check_cancelled(context)
        # Not execute(): DuckDB converts its result to Arrow row by row.
        result = connection.sql(statements[-1], params=wanted[-1])
        if result is None:
            raise NodeError("the last statement gives no table")
        return arrow_table(result)


def _check_cancelled(context: NodeContext) -> None:
    if context.cancel_token.cancelled:  # an interrupt between two statements has no effect
        raise NodeError("stopped")


def _external_inputs(node: NodeSpec, folder: Path) -> Mapping[str, Path]:
    from nfrun.nodes.texts.sql_files import sql_files

    return sql_files(node.body, _with_file_values(node).with_, folder)


def _named_files(node: NodeSpec) -> Iterator[str]:
    from nfrun.nodes.texts.sql_files import named_in_sql

    return named_in_sql(node.body, node.with_)


SQL = Kind(
    name="sql",
    says=Says(
        check=check,
        examine=examine,
        columns=_columns,
        settings=("timezone",),
        file_ending=".sql",
        synonyms=("query", "duckdb", "select"),
        expression_hint="put it under 'with' and write $name: values are bound, never pasted into a query",
    ),
    runs=Runs(run, reads_source_files=True, shell_names=lambda context, query: {"query": query}),
    outside=Outside(inputs=_external_inputs, named=_named_files),
    code=Code(
        key=lambda node, code: {"timezone": node.timezone},
        packages=("duckdb",),
        needed_modules=("duckdb",),
        facts=query_facts,
    ),
)
