"""Finds the columns of a query from those of its inputs, by DuckDB's binder, without data and without files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nfrun.core.pipeline import NodeSpec
from nfrun.core.text import closest_match, ellipsize
from nfrun.nodes.base import NodeDiagnostic

_UNKNOWN = re.compile(r'Referenced column "([^"]+)" not found|does not have a column named "([^"]+)"')


def columns_of_query(node: NodeSpec, inputs: Mapping[str, Any]) -> tuple[Any, NodeDiagnostic | None]:
    """Return the Arrow schema of the result of a query, None if it is not known, and what the query cannot read.

    `inputs` has the Arrow schemas of all inputs by their names. Values are not known before a run, so nothing but a
    missing column is told.
    """
    try:
        import duckdb
    except ImportError:
        return None, None
    config: dict[str, Any] = {"python_enable_replacements": "false", "enable_external_access": "false", "threads": 1}
    with duckdb.connect(":memory:", config=config) as connection:
        try:
            statements = connection.extract_statements(node.body)
            if len(statements) != 1 or statements[0].type is not duckdb.StatementType.SELECT:
                return None, None
            for name, schema in inputs.items():
                connection.register(name, schema.empty_table())
            values = dict.fromkeys(statements[0].named_parameters)
            result = connection.sql(statements[0], params=values)
            return result.limit(0).to_arrow_table().schema, None
        except duckdb.BinderException as error:
            found = _UNKNOWN.search(str(error))
            return None, _missing(node, inputs, found[1] or found[2]) if found else None
        except duckdb.Error:
            return None, None


def _missing(node: NodeSpec, inputs: Mapping[str, Any], column: str) -> NodeDiagnostic | None:
    place = re.search(rf'(?<![\w$])"?{re.escape(column)}(?![\w$])', node.body, re.IGNORECASE)
    start, length = (place.start(), place.end() - place.start()) if place else (0, 0)
    known = [name for schema in inputs.values() for name in schema.names]
    if column.lower() in map(str.lower, known):
        what = f"the query of '{node.id}' reads the column '{ellipsize(column)}' where it is not there"
        return NodeDiagnostic((node.kind,), what, start=start, length=length)
    without = f"'{node.inputs[0].output}' does not have" if len(inputs) == 1 else "none of its inputs has"
    guess = closest_match(column, known)
    what = f"the query of '{node.id}' reads the column '{ellipsize(column)}', which {without}"
    hint = f"did you mean '{ellipsize(guess)}'?" if guess else ""
    return NodeDiagnostic((node.kind,), what, hint, start=start, length=length)
