"""Checks queries before a run: syntax, tables and values with DuckDB's parser, columns with its binder.

The binder gets tables without rows, as far as the columns of the inputs are known. Where some of the statements are no
queries, tables are not looked for: the statements may make them.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from nfrun.core.errors import Problem
from nfrun.core.pipeline import TABLE, NodeSpec, has_expression
from nfrun.core.text import closest_match, did_you_mean, ellipsize
from nfrun.nodes.sql_tables import KNOWN_TYPES, arrow_table
from nfrun.nodes.texts.sql_files import named_values

_SERIALIZE = "select json_serialize_sql($1::varchar, skip_null := true, skip_empty := true, skip_default := true)"
_NAME = re.compile(r"[^\W\d][\w$]*")
_WORD = re.compile(r"\w+|\S")
_LOOK = "look before it; quote reserved names, and write values as $name"
# What DuckDB says of some columns that are not there; of others it gives the name.
_UNKNOWN = re.compile(r'(?:^Column|does not have a column named) "([^"]+)"')
# By the types of DuckDB. "string" comes last of those that are texts.
_ARROW_TYPES = {"HUGEINT": "int64", **{known: arrow for arrow, known in reversed(KNOWN_TYPES.items())}}


def check_query(node: NodeSpec, others: Collection[str]) -> Iterator[Problem]:
    """Yield the errors in the query of a node, and a warning for each value that it does not use.

    `others` are the names of all nodes. Yields nothing if DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError:
        return
    try:
        statements = _connection().extract_statements(node.body)
    except duckdb.Error as error:
        yield _syntax_error(node, error)
        return
    if not statements:
        yield Problem(("sql",), "the query is empty", "it begins with select or from")
        return
    yield from _check_values(node, {name for statement in statements for name in statement.named_parameters})
    if all(statement.type is duckdb.StatementType.SELECT for statement in statements):
        yield from _check_tables(node, [statement.query for statement in statements], others)


def ends_with_query(text: str) -> bool:
    """Return whether the last of some statements that can be parsed gives rows; True if DuckDB is not installed."""
    try:
        import duckdb
    except ImportError:
        return True
    last = _connection().extract_statements(text)[-1]
    is_query = last.expected_result_type == [duckdb.ExpectedResultType.QUERY_RESULT]
    return is_query or last.type is duckdb.StatementType.MULTI or "returning" in last.query.lower()


def _connection() -> Any:
    """Return this thread's connection that parses and binds queries. It reads no files, and loads no extensions.

    Its tables are those of inputs, and have no rows. Those of other queries stay: to make one takes longer than to bind
    a query. Whether a query reads nothing but its inputs is looked at elsewhere.
    """
    if not hasattr(_of_thread, "connection"):
        connection = _planning_instance().cursor()
        connection.execute("set errors_as_json = true").fetchall()  # the next statement waits for the end of this one
        _of_thread.connection, _of_thread.schemas = connection, {}
    return _of_thread.connection


_of_thread = threading.local()  # a connection refuses calls of a second thread while it is busy


@cache
def _planning_instance() -> Any:
    import duckdb

    config: dict[str, Any] = {"python_enable_replacements": "false", "enable_external_access": "false", "threads": 1}
    config |= {"memory_limit": "256MB", "temp_directory": ""}  # it has no rows
    return duckdb.connect(":memory:", config=config)


# -- syntax ----------------------------------------------------------------------------------------------------------


def _syntax_error(node: NodeSpec, error: Exception) -> Problem:
    """Return the diagnostic for an error of DuckDB's parser, at the word that it is about."""
    said = _said(error)
    message = f"DuckDB cannot parse this query: {ellipsize(_first_line(said), 200)}"
    at = _index(node.body, said)
    word = None if at is None else _WORD.search(node.body, at)
    start, length = (0, 0) if word is None else (word.start(), len(word[0]))
    return Problem(("sql",), message, _LOOK, start=start, length=length)


# -- values ----------------------------------------------------------------------------------------------------------


def _check_values(node: NodeSpec, used: set[str]) -> Iterator[Problem]:
    """Compare the parameters of the statements with the values. If all of them are given, warn of those not used."""
    places = dict(reversed([*named_values(node.body)]))
    for name in sorted(used - node.with_.keys(), key=lambda name: places.get(name, 0)):
        start, length = (places[name], len(name) + 1) if name in places else (0, 0)
        if name.isdecimal():
            what, hint = f"the query has a value without a name (${name})", "write $name, and give it under 'with'"
        else:
            what = f"no 'with' value gives ${ellipsize(name)}"
            hint = did_you_mean(name, node.with_, f"give it: with: {{{name}: …}}")
        yield Problem(("sql",), what, hint, counts=True, start=start, length=length)
    for name in node.with_ if used <= node.with_.keys() else ():
        if name not in used and name not in places:  # DuckDB does not name all
            what = f"the query does not use the value '{name}'"
            hint = f"write ${name} in the query, or remove the value"
            yield Problem(("with", name), what, hint, at_key=True, is_warning=True)


# -- tables ----------------------------------------------------------------------------------------------------------


def _check_tables(node: NodeSpec, queries: Sequence[str], others: Collection[str]) -> Iterator[Problem]:
    """Yield an error for each table that is neither an input nor made by the query nor known to DuckDB."""
    known = {item.name.lower(): item.name for item in node.inputs}
    used: dict[str, tuple[str, int | None]] = {}
    begin = 0
    for text in queries:
        begin = max(begin, node.body.find(text, begin))
        for kind, name, part in _names(_parsed(text)):
            if kind == "cte":
                known.setdefault(name.lower(), name)
            elif name.lower() not in used:
                at = _index(text, {"position": part.get("query_location")})
                used[name.lower()] = name, None if at is None else begin + at
        begin += len(text)
    for name, place in used.values():
        if name.lower() in known or not _NAME.fullmatch(name) or name.lower() in _built_in():
            continue
        node_of_name = next((other for other in others if other.lower() == name.lower() and other != node.id), None)
        if node_of_name:
            hint = f"node '{node_of_name}' is not among its inputs: add it"
        else:
            inputs = ", ".join(f"'{item.name}'" for item in node.inputs)
            hint = f"its inputs: {ellipsize(inputs, 100)}" if inputs else "the node has no 'inputs'"
            hint = did_you_mean(name, known.values(), hint)
        what = f"the query reads the table '{ellipsize(name)}', which is not there"
        start, length = (0, 0) if place is None else (place, len(name))
        yield Problem(("sql",), what, hint, counts=True, start=start, length=length)


def _parsed(text: str) -> Any:
    """Return the syntax tree of queries as JSON values, None if the text is something else or nested too deeply."""
    import duckdb

    try:
        found = json.loads(_connection().execute(_SERIALIZE, [text]).fetchall()[0][0])
    except (duckdb.Error, RecursionError):
        return None
    return None if found["error"] else found


def _names(tree: Any) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the unqualified names of tables ("table") and of common table expressions ("cte"), with their nodes."""
    left = [tree]
    while left:
        part = left.pop()
        if isinstance(part, list):
            left += reversed(part)
        elif isinstance(part, dict):
            left += reversed(part.values())
            name = part.get("table_name")
            if part.get("type") == "BASE_TABLE" and name and not (part.get("schema_name") or part.get("catalog_name")):
                yield "table", str(name), part
            if isinstance(part.get("cte_map"), dict):
                yield from (("cte", str(entry["key"]), part) for entry in part["cte_map"].get("map", ()))
            if name := part.get("cte_name") or part.get("ctename"):
                yield "cte", str(name), part


@cache
def _built_in() -> frozenset[str]:
    """Return the names of the views that DuckDB itself has, such as `sqlite_master`, in lower case."""
    with _planning_instance().cursor() as cursor:
        return frozenset(name.lower() for (name,) in cursor.execute("select view_name from duckdb_views()").fetchall())


def _index(text: str, said: Mapping[str, Any]) -> int | None:
    """Return the index of the character at the position in bytes that DuckDB gives, None if it gives none."""
    position = said.get("position")
    return None if position is None else len(text.encode()[: int(position)].decode(errors="ignore"))


def columns_of_query(node: NodeSpec, inputs: Mapping[str, Any], subject: str = "") -> tuple[Any, Problem | None]:
    """Return the Arrow schema of the result of a query, None if it is not known, and what the query cannot read.

    `inputs` has the Arrow schemas of all inputs that are tables, by their names, with the type null for one that is not
    known: DuckDB lets it stand for any other one. If columns, types and values are known, whatever DuckDB refuses is
    told, else nothing but a missing column; `subject` says in the message what reads it.
    """
    try:
        import duckdb
    except ImportError:
        return None, None
    import pyarrow as pa

    from nfrun.tables.footers import lacking_columns, may_lack_columns
    from nfrun.tables.plain_arrays import empty_table

    subject = subject or f"the query of '{node.id}'"
    is_known = all(pa.null() not in schema.types for schema in inputs.values())
    may_lack = any(map(may_lack_columns, inputs.values()))
    connection, known = _connection(), _of_thread.schemas
    try:
        for name, schema in inputs.items():
            if known.get(name.lower()) is not schema:  # SQL ignores case
                connection.register(name, empty_table(schema))
                known[name.lower()] = schema
        statements = connection.extract_statements(node.body)
        if len(statements) != 1 or statements[0].type is not duckdb.StatementType.SELECT:
            return None, None
        values = {name: _value(node.with_.get(name)) for name in statements[0].named_parameters}
        schema = _schema(connection.sql(statements[0], params=values), is_known)
        return (lacking_columns(schema) if may_lack else schema), None
    except (duckdb.BinderException, duckdb.CatalogException):
        return None, _refusal(node, inputs, statements[0], values, subject, is_known and not may_lack)
    except Exception:  # such as a type that DuckDB does not know: a run says what is wrong, if anything is
        return None, None


def _value(value: Any) -> Any:
    """Return a value of a query, None while it is not known."""
    return None if isinstance(value, str) and has_expression(value) else value


def _schema(result: Any, is_known: bool) -> Any:
    """Return the Arrow schema of a relation. That of plain types is found without running it on no rows.

    If not all types of what it reads are known, neither are those of its columns, but for nested ones: queries may take
    parts of these.
    """
    import pyarrow as pa

    if not is_known:
        found = arrow_table(result.limit(0)).schema
        return pa.schema([(field.name, field.type if pa.types.is_nested(field.type) else pa.null()) for field in found])
    types = [_ARROW_TYPES.get(str(type_)) for type_ in result.types]
    if None in types:
        return arrow_table(result.limit(0)).schema
    fields = zip(result.columns, types, strict=True)
    return pa.schema([(name, pa.type_for_alias(type_)) for name, type_ in fields])


def _said(error: Exception) -> Mapping[str, Any]:
    """Return what DuckDB says of a query: the parts of its message in JSON."""
    said = str(error).partition(": ")[2]
    try:
        return dict(json.loads(said))
    except ValueError:
        return {"exception_message": said or str(error)}


def _first_line(said: Mapping[str, Any]) -> str:
    return str(said.get("exception_message", "")).partition("\n")[0]


def _refusal(
    node: NodeSpec, inputs: Mapping[str, Any], statement: Any, values: Mapping[str, Any], subject: str, is_known: bool
) -> Problem | None:
    """Return what DuckDB refuses of a query, None if a run may know more. `is_known`: all that the query reads is."""
    import duckdb

    said: Mapping[str, Any] = {}
    try:
        _connection().execute(statement, values).fetchall()  # it fails as before, and says where
    except duckdb.Error as error:
        said = _said(error)
    line, name = _first_line(said), str(said.get("name", ""))
    found = _UNKNOWN.search(line)
    column = name if said.get("error_subtype") == "COLUMN_NOT_FOUND" else found[1] if found is not None else ""
    word = re.escape(column or name) or r"[^\W\d]\w*"
    at = _index(statement.query, said)
    place = re.compile(rf'(?<![\w$])"?({word})(?![\w$])', re.IGNORECASE).search(statement.query, at or 0)
    if at is None and not column:
        place = None
    begin = max(0, node.body.find(statement.query))
    start, length = (begin + place.start(1), len(place[1])) if place is not None else (0, 0)
    if column:
        return _missing(node, inputs, column, subject, start, length)
    hint = ""
    if said.get("exception_type") == "Catalog":  # a function may be one of an extension that another node has loaded
        guess = closest_match(name, str(said.get("candidates", "")).split(","))
        is_known, hint = bool(guess) and str(said.get("type")).endswith("Function"), f"did you mean '{guess}'?"
    if not is_known or None in values.values():
        return None
    what = f"DuckDB refuses {subject}: {ellipsize(line, 200)}"
    return Problem((node.kind,), what, hint, start=start, length=length)


def _missing(node: NodeSpec, inputs: Mapping[str, Any], column: str, subject: str, start: int, length: int) -> Problem:
    known = [name for schema in inputs.values() for name in schema.names]
    what = f"{subject} reads the column '{ellipsize(column)}'"
    if column.lower() in map(str.lower, known):
        return Problem((node.kind,), f"{what} where it is not there", start=start, length=length)
    tables = [item.output for item in node.inputs if item.type == TABLE]
    without = "none of its inputs has"
    if len(tables) == 1 and not any(item.alternative for item in node.inputs):
        without = "its table does not have" if tables[0].node == node.id else f"'{tables[0]}' does not have"
    what = f"{what}, which {without}" if known else f"{what}, which is not there"
    return Problem((node.kind,), what, did_you_mean(column, known), start=start, length=length)
