"""Makes the checks that run code of the user: `sql` and `python`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.contracts import Check
from nfrun.core.errors import Problem
from nfrun.core.pipeline import Input, NodeSpec, OutputId
from nfrun.core.text import ellipsize
from nfrun.core.values import replace
from nfrun.nodes.arguments import check_arguments
from nfrun.nodes.base import NodeContext, NodeError
from nfrun.nodes.python import PYTHON, call_check
from nfrun.nodes.returned_tables import a_, to_table
from nfrun.nodes.sql import SQL, examine
from nfrun.tables.contracts.finding import EVIDENCE_ROWS, Finding

THIS = "this"  # the name of the table in queries


def node_of(check: Check, node: NodeSpec) -> NodeSpec:
    """Return a node that makes the check of a node: its code and its files count in the key of the check."""
    inputs = (Input(THIS, OutputId(node.id)),) if check.kind == SQL.name else ()
    return NodeSpec(
        id=node.id,
        kind=check.kind,
        body=check.value,
        inputs=inputs,
        with_=check.with_,
        outputs=(),
        needs=(),
        env={},
        folder=node.folder,
        source=node.source,
        timezone=node.timezone,
    )


def check_problems(check: Check, lookup: FunctionLookup) -> Iterator[Problem]:
    """Yield what reading the code of a check shows: there is no such function, or it does not take these values."""
    if check.kind != PYTHON.name:
        return
    module, _, function = check.value.partition(":")
    found = lookup.find(module, function)
    if found.message:
        yield Problem((check.kind,), found.message, found.hint)
    if found.signature is not None:
        names = (*found.signature.positional_only, *found.signature.names)
        if not names:
            yield Problem((check.kind,), f"{function}() takes no table", "its first argument is the table")
            return
        required = tuple([name for name in found.signature.required if name != names[0]])
        called = replace(found.signature, names=names[1:], required=required, positional_only=())
        yield from check_arguments((), function, called, dict.fromkeys(check.with_))


def query_problems(check: Check, node: NodeSpec) -> Iterator[Problem]:
    """Yield the problems of the query of a check, except for its columns."""
    if check.kind != SQL.name:
        return
    wrong = [*examine(node_of(check, node), ())]
    yield from wrong
    if all(found.is_warning for found in wrong):
        from nfrun.nodes.sql_check import ends_with_query

        if not ends_with_query(check.value):
            hint = "the rows that it gives are the failing ones: end it with a select"
            yield Problem((SQL.name,), "this check gives no rows", hint)


def query_columns(check: Check, node: NodeSpec, schema: Any) -> Problem | None:
    """Return which column the query of a check reads that the table with this schema does not have."""
    if check.kind != SQL.name:
        return None
    from nfrun.nodes.sql_check import columns_of_query

    return columns_of_query(node_of(check, node), {THIS: schema}, f"a check of '{node.id}'")[1]


def make_user_check(check: Check, table: Any, context: NodeContext) -> Finding:
    """Make the check on a table. Raises what a node of its kind raises."""
    checked = _CheckContext(context, check, table)
    return _by_query(checked) if check.kind == SQL.name else _by_function(checked, table)


class _CheckContext:
    """The context of a node whose only input is the table that is checked, and else that of the attempt."""

    def __init__(self, context: NodeContext, check: Check, table: Any) -> None:
        self._context, self._table = context, table
        self.node = replace(node_of(check, context.node), amounts=context.node.amounts, cpu=context.node.cpu)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def table(self, name: str) -> Any:
        return self._table

    def files(self, name: str) -> None:
        return None


def _by_query(context: Any) -> Finding:
    """The rows that the query gives fail."""
    failing = SQL.runs.run(context)[""]
    return _rows(failing)


def _by_function(context: Any, table: Any) -> Finding:
    """Call the function. It holds with None or true; false, a text or the rows that fail say that it does not."""
    result = call_check(context, table)
    if result is None or result is True:
        return Finding(True)
    if result is False:
        return Finding(False, reason="it returned false")
    if isinstance(result, str):
        return Finding(False, reason=ellipsize(result.strip(), 500) or "it returned an empty text")
    if type(result).__name__ in ("bool", "bool_"):  # of numpy
        return Finding(bool(result), reason="" if result else "it returned false")
    try:
        found = to_table(result)
    except NodeError as error:
        what = f"its function returned {a_(result)}"
        hint = "return None, true or false, a text that says why, or a table of the failing rows"
        raise NodeError(what, hint) from error
    return _rows(found.read_all() if hasattr(found, "read_all") else found)


def _rows(failing: Any) -> Finding:
    if not failing.num_rows:
        return Finding(True, 0)
    return Finding(False, failing.num_rows, failing.slice(0, EVIDENCE_ROWS))
