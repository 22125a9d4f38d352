"""Runs a query over parts of its largest input, on as many threads as are idle, where that gives the same rows.

It does where each row of the result comes from one row of that input, in the order of these. DuckDB's own threads would
return the rows in another order each time. Whether a query runs in parts, and in which, depends on the query and its
inputs only: so the result does not depend on how many threads there were.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from typing import Any

from nfrun.core.errors import HandoffError
from nfrun.core.file_source import SourceFile
from nfrun.core.values import frozen
from nfrun.nodes.spare_threads import SpareThreads
from nfrun.nodes.sql_tables import ROW_NUMBER, SLICE_ROWS, QueryInput, Scan
from nfrun.system.threads import start_thread

_PART_ROWS = 4 * SLICE_ROWS  # at least; each part costs some milliseconds
_MOST_PARTS = 64
_MOST_OTHERS = 0.25  # rows that a part is joined with, for each of its own: each part reads them anew
_LEAST_BYTES = 1 << 20  # of files of which the ends are read to see how many rows they have
_MOST_FILES = 500  # of which the ends are read, which takes some 0.1 ms each
# Functions that may give something else for parts than for the whole: they draw numbers, or tell the time or something
# of the connection. Some are written without brackets, like columns.
UNSTEADY = re.compile(
    r"random|uuid|current|^local|transaction|txid|nextval|currval|setval|setseed|sleep|write_log|vector_type"
    r"|^(?:now|today|age|stats|error)$",
    re.IGNORECASE,
)
_JOINS = ("INNER", "LEFT", "SEMI", "ANTI", "MARK", "SINGLE")  # those that give rows of their left side only, in order


@frozen
class _Part:
    """Some of the rows of an input: their number, and the input with only these."""

    rows: int
    input: QueryInput


def parts_of(connection: Any, inputs: Sequence[QueryInput], query: str, values: Mapping[str, Any]) -> Sequence[_Part]:
    """Return the parts of the largest input for which the query gives the parts of its result, in order.

    None if the query must run over all at once. Raises `duckdb.Error`.
    """
    cut = [(item, _cut(item)) for item in inputs]
    largest, parts = max(cut, key=lambda found: sum(part.rows for part in found[1]), default=(None, ()))
    if largest is None or len(parts) < 2 or ROW_NUMBER in query.lower():
        return ()
    text = connection.execute("select json_serialize_sql(?)", [query]).fetchall()[0][0]
    if not _may_be_by_row(json.loads(text), {item.name.lower() for item in inputs}, largest.name.lower()):
        return ()
    others = {item.value.num_rows for item in inputs if item is not largest and not isinstance(item.value, Scan)}
    planned: set[int] = set()
    for part in parts:
        if isinstance(largest.value, Scan) or part.rows not in planned:  # a plan for tables depends on their rows only
            planned.add(part.rows)
            part.input.bind(connection)
            plan = connection.execute(f"explain (format json) {query}", values).fetchall()[0][1]
            if part.rows in others or not _is_by_row(json.loads(plan)[0], part, _MOST_OTHERS * parts[0].rows):
                largest.bind(connection)
                return ()
    return parts


def run_parts(
    connection: Any,
    parts: Sequence[_Part],
    inputs: Sequence[QueryInput],
    run: Callable[[Any], Any],
    new_cursor: Callable[[], AbstractContextManager[Any]],
    spare: SpareThreads,
) -> Any:
    """Run a query over the parts of one of its inputs and return the table.

    `run(connection)` runs it over what is bound there. `new_cursor` opens another connection for a thread. Raises what
    these raise.
    """
    import pyarrow as pa

    others = [item for item in inputs if item.name != parts[0].input.name]
    # A part whose whole numbers are too large has decimals in place of int64, and then all have.
    tables = _PartedRun(parts, others, run, new_cursor, spare).go(connection)
    return pa.concat_tables(tables, promote_options="permissive")


class _PartedRun:
    """Runs a query over the parts in turn, on this thread and on those that are idle meanwhile."""

    def __init__(
        self,
        parts: Sequence[_Part],
        others: Sequence[QueryInput],
        run: Callable[[Any], Any],
        new_cursor: Callable[[], AbstractContextManager[Any]],
        spare: SpareThreads,
    ) -> None:
        self._parts, self._others, self._run = parts, others, run
        self._new_cursor, self._spare = new_cursor, spare
        self._lock = threading.Lock()
        self._taken = 0  # parts
        self._results: dict[int, Any] = {}
        self._errors: dict[int, BaseException] = {}

    def go(self, connection: Any) -> list[Any]:
        """Return the result of each part. Raises the error of the first part that has one."""
        helpers = []
        while (number := self._take()) is not None:
            while self._taken < len(self._parts) and self._spare.take():
                try:
                    helpers.append(start_thread(self._help, "nfrun-query"))
                except HandoffError:  # no more threads
                    self._spare.give_back()
                    break
            self._run_part(number, connection)
        for helper in helpers:
            helper.join()
        if self._errors:
            raise self._errors[min(self._errors)]
        return [self._results[number] for number in range(len(self._parts))]

    def _help(self) -> None:
        try:
            with self._new_cursor() as cursor:
                for other in self._others:
                    other.bind(cursor)
                while self._spare.may_keep() and (number := self._take()) is not None:
                    self._run_part(number, cursor)
        except BaseException as error:
            self._errors[len(self._parts)] = error
        finally:
            self._spare.give_back()

    def _take(self) -> int | None:
        """Return the number of the next part; None if all are taken, or one has failed."""
        with self._lock:
            if self._errors or self._taken == len(self._parts):
                return None
            self._taken += 1
            return self._taken - 1

    def _run_part(self, number: int, connection: Any) -> None:
        try:
            self._parts[number].input.bind(connection)
            self._results[number] = self._run(connection)
        except BaseException as error:
            self._errors[number] = error


def _cut(item: QueryInput) -> list[_Part]:
    """Return the rows of an input in parts; none if it has few."""
    if isinstance(item.value, Scan):
        return _cut_file(item.name, item.value)
    rows = item.value.num_rows
    if rows < 2 * _PART_ROWS:
        return []
    step = -(-max(_PART_ROWS, rows / _MOST_PARTS) // SLICE_ROWS) * SLICE_ROWS
    starts = range(0, rows, int(step))
    slices = [item.value.slice(start, starts.step) for start in starts]
    return [_Part(part.num_rows, QueryInput(item.name, part)) for part in slices]


def _cut_file(name: str, scan: Scan) -> list[_Part]:
    """Return parts of whole files, and of whole row groups of large files: no group is read twice.

    None of partitions: a query may leave out most of them, and would read the others in many parts.
    """
    from nfrun.tables.footers import row_groups, source_schema

    source = scan.source
    if (
        source.partitions
        or len(source.files) > _MOST_FILES
        or sum(file.state[2] for file in source.files) < _LEAST_BYTES
    ):
        return []
    if ROW_NUMBER in map(str.lower, source_schema(source).names):  # DuckDB refuses to add it
        return []
    groups = row_groups(source)
    least = max(_PART_ROWS, sum(map(sum, groups)) / _MOST_PARTS)
    cuts = _file_cuts(source.files, groups, least)
    return [_Part(count, QueryInput(name, scan.only(files, rows))) for files, count, rows in cuts]


def _file_cuts(
    files: Sequence[SourceFile], groups: Sequence[Sequence[int]], least: float
) -> Iterator[tuple[list[SourceFile], int, range | None]]:
    """Yield some files, how many rows are meant, and which of the only file: None for all. Mostly, there are `least`.

    `groups` has the rows of the row groups of each file.
    """
    small: list[SourceFile] = []  # files that are read whole, one after the other
    of_small = 0
    for file, of_file in zip(files, groups, strict=False):
        total = sum(of_file)
        if of_small and (total >= least or of_small >= least):
            yield small, of_small, None
            small, of_small = [], 0
        if total < least:
            small, of_small = [*small, file], of_small + total
            continue
        start = end = 0
        for rows in of_file:
            end += rows
            if end - start >= least or end == total:
                yield [file], end - start, None if end - start == total else range(start, end)
                start = end
    if of_small:
        yield small, of_small, None


def _may_be_by_row(parsed: Mapping[str, Any], names: Set[str], largest: str) -> bool:
    """Return whether a query, in DuckDB's JSON, may give rows for each row of the largest input.

    It reads nothing but inputs of these `names`, in lower case, and the largest once. It sorts and groups nothing.
    """
    used: Counter[str] = Counter()
    own: set[str] = set()  # names that the query gives to queries inside of it
    node = parsed.get("statements", [{}])[0].get("node", {})
    if node.get("modifiers", True) or node.get("group_expressions", True):
        return False
    for value in _objects(parsed):
        kind = value.get("type")
        called = value.get("function_name") or (value["column_names"][-1] if kind == "COLUMN_REF" else "")
        if kind == "TABLE_FUNCTION" or UNSTEADY.search(called):
            return False
        if kind == "BASE_TABLE":
            used[value["table_name"].lower()] += 1
        own |= {entry["key"].lower() for entry in value.get("cte_map", {}).get("map", ())}
    reads_only_these = not names & own and used.keys() <= names | own
    return reads_only_these and used[largest] == 1 and all(used[name] <= 1 for name in own)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects in a JSON value."""
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _objects(inner)


def _is_by_row(plan: Mapping[str, Any], part: _Part, most_others: float) -> bool:
    """Return whether a plan of DuckDB gives rows for each row of the part, in their order.

    It must not read more than `most_others` rows of other tables.
    """
    others = 0
    while plan["name"] in ("PROJECTION", "FILTER", "HASH_JOIN"):
        if plan["name"] == "HASH_JOIN":
            if plan["extra_info"].get("Join Type") not in _JOINS:
                return False
            others += sum(
                _estimated(found) for found in _objects(plan["children"][1]) if not found.get("children", [0])
            )
        plan = plan["children"][0]
    if others > most_others:
        return False
    if isinstance(part.input.value, Scan):
        return plan["name"] == "READ_PARQUET" and ROW_NUMBER in str(plan["extra_info"].get("Filters", ""))
    return plan["name"] == "PYTHON_ARROW_SCAN" and _estimated(plan) == part.rows


def _estimated(plan: Mapping[str, Any]) -> int:
    return int(plan["extra_info"].get("Estimated Cardinality", 0))
