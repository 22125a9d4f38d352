"""Finds the columns of a query from those of its inputs, by DuckDB's binder, without data and without files."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

from nfrun.core.output_types import TABLE
from nfrun.core.pipeline import NodeSpec, has_expression
from nfrun.core.text import closest_match, ellipsize
from nfrun.nodes.base import NodeDiagnostic
from nfrun.nodes.sql_types import arrow_table

# What DuckDB says of a column that is not there.
_UNKNOWN = re.compile(
    r'Referenced column "?([^"\n]+?)"? (?:was )?not found|does not have a column named "([^"]+)"'
    r'|^Column "([^"]+)" (?:in (?:EXCLUDE|REPLACE) list not found|referenced in UNPIVOT|does not exist on'
    r"|was selected but was not found|referenced that exists in the SELECT clause)"
)
# What it says of a function that is not there. It may be one of an extension that another node has loaded.
_NO_FUNCTION = re.compile(r'Function with name (\S+) does not exist!\nDid you mean "(?:main\.)?([^"]+)"')
_ARROW_TYPES = {
    "BOOLEAN": "bool", "TINYINT": "int8", "SMALLINT": "int16", "INTEGER": "int32", "BIGINT": "int64",
    "UTINYINT": "uint8", "USMALLINT": "uint16", "UINTEGER": "uint32", "UBIGINT": "uint64", "FLOAT": "float",
    "HUGEINT": "int64", "DOUBLE": "double", "VARCHAR": "string", "BLOB": "binary", "DATE": "date32",
    "TIMESTAMP": "timestamp[us]",
}  # fmt: skip
_LOCK = threading.Lock()


def columns_of_query(node: NodeSpec, inputs: Mapping[str, Any], subject: str = "") -> tuple[Any, NodeDiagnostic | None]:
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
    with _LOCK:  # several runs of a program may plan at once
        connection, tables = _connection()
        try:
            for name, schema in inputs.items():
                if tables.get(name.lower()) is not schema:  # SQL ignores case
                    connection.register(name, empty_table(schema))
                    tables[name.lower()] = schema
            statements = connection.extract_statements(node.body)
            if len(statements) != 1 or statements[0].type is not duckdb.StatementType.SELECT:
                return None, None
            values = {name: _value(node.with_.get(name)) for name in statements[0].named_parameters}
            schema = _schema(connection.sql(statements[0], params=values), is_known)
            return (lacking_columns(schema) if may_lack else schema), None
        except duckdb.BinderException as error:
            said = _message(error).partition("\n")[0]
            found = _UNKNOWN.search(said)
            if found is None and (not is_known or may_lack or None in values.values()):
                return None, None
            column = next(filter(None, found.groups())) if found is not None else ""
            begin = max(0, node.body.find(statements[0].query))
            place = _place(connection, statements[0], values, column)
            start, length = (begin + place[0], place[1]) if place is not None else (0, 0)
            if found is None:
                what = f"DuckDB refuses {subject}: {ellipsize(said, 200)}"
                return None, NodeDiagnostic((node.kind,), what, start=start, length=length)
            return None, _missing(node, inputs, column, subject, start, length)
        except duckdb.CatalogException as error:
            named = _NO_FUNCTION.search(str(error))
            if named is None or not closest_match(named[1], [named[2]]):
                return None, None
            begin = max(0, node.body.find(statements[0].query))
            start, length = _place(connection, statements[0], values, named[1]) or (-begin, 0)
            what = f"{subject} calls '{named[1]}', which is no function of DuckDB"
            hint = f"did you mean '{named[2]}'?"
            return None, NodeDiagnostic((node.kind,), what, hint, start=begin + start, length=length)
        except Exception:  # such as a type that DuckDB does not know: a run says what is wrong, if anything is
            return None, None


@cache
def _connection() -> tuple[Any, dict[str, Any]]:
    """Return a connection that binds queries, and the schemas of its tables, which have no rows.

    Tables of other queries stay: to make one takes longer than to bind a query. Whether a query reads nothing but its
    inputs is looked at elsewhere.
    """
    from nfrun.nodes.sql_check import planning_connection

    connection = planning_connection().cursor()
    connection.execute("set errors_as_json = true").fetchall()
    return connection, {}


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


def _message(error: Exception) -> str:
    said = str(error).partition(": ")[2]
    if said.startswith("{"):
        return str(json.loads(said).get("exception_message", ""))
    return said


def _place(connection: Any, statement: Any, values: Mapping[str, Any], column: str) -> tuple[int, int] | None:
    """Return the index and the length of a column in the text of a statement, of any word where DuckDB sees the error.

    None if it is not found.
    """
    import duckdb

    text = statement.query
    name = re.escape(column) if column else r"[^\W\d]\w*"
    word = rf'(?<![\w$])"?({name})(?![\w$])'
    try:
        connection.execute(statement, values).fetchall()  # it fails as before, and says where
    except duckdb.Error as error:
        said = str(error).partition(": ")[2]
        position = json.loads(said).get("position") if said.startswith("{") else None
        if position is not None:
            at = len(text.encode()[: int(position)].decode(errors="ignore"))
            if found := re.compile(word, re.IGNORECASE).search(text, at):
                return found.start(1), len(found[1])
    found = re.search(word, text, re.IGNORECASE) if column else None
    return (found.start(1), len(found[1])) if found else None


def _missing(
    node: NodeSpec, inputs: Mapping[str, Any], column: str, subject: str, start: int, length: int
) -> NodeDiagnostic:
    known = [name for schema in inputs.values() for name in schema.names]
    what = f"{subject} reads the column '{ellipsize(column)}'"
    if column.lower() in map(str.lower, known):
        return NodeDiagnostic((node.kind,), f"{what} where it is not there", start=start, length=length)
    tables = [item.output for item in node.inputs if item.type == TABLE]
    without = "none of its inputs has"
    others = [item.alternative for item in node.inputs if item.alternative is not None]
    if len(tables) == 1 and others:
        without = f"neither '{tables[0]}' nor '{others[0]}' has"
    elif len(tables) == 1:
        without = "its table does not have" if tables[0].node == node.id else f"'{tables[0]}' does not have"
    guess = closest_match(column, known)
    hint = f"did you mean '{ellipsize(guess)}'?" if guess else ""
    from nfrun.tables.file_io import SCHEMAS  # few runs need it

    if not hint and any({*schema.names} <= {*known} for schema in SCHEMAS.values()):  # of texts and files: none says it
        hint = f"it has {ellipsize(', '.join(known), 120)}"
    what = f"{what}, which {without}" if known else f"{what}, which is not there"
    return NodeDiagnostic((node.kind,), what, hint, start=start, length=length)
