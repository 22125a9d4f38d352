"""Checks of queries by DuckDB's parser: exact messages and places, and queries that are right."""

from __future__ import annotations

import builtins
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nfrun.core.errors import Diagnostic, SpecError, one_line, render
from nfrun.pipeline_file.loader import read_pipeline

HEAD = "nodes:\n  flights: {read: f.csv}\n  users: {read: u.csv}\n"
NODE = "  q:\n    inputs: [flights, users]\n    with: {low: 1, high: 2}\n    sql: "


def found_in(folder: Path, text: str) -> tuple[list[str], list[str]]:
    """The errors, rendered, and the warnings."""
    warnings: list[Diagnostic] = []
    (folder / "p.yaml").write_text(text)
    errors: list[str] = []
    try:
        read_pipeline(folder / "p.yaml", on_warning=warnings.append)
    except SpecError as error:
        errors = [render(diagnostic).replace(f"{folder}/", "") for diagnostic in error.diagnostics]
    return errors, [one_line(warning).replace(f"{folder}/", "") for warning in warnings]


def errors_in(folder: Path, query: str, keys: str = "inputs: [flights, users]") -> list[str]:
    """The errors of a query in a block scalar; its first line is line 7 of the file."""
    lines = "".join(f"      {line}\n" if line else "\n" for line in query.split("\n"))
    return found_in(folder, f"{HEAD}  q:\n    {keys}\n    sql: |\n{lines}")[0]


WRONG = {
    "a misspelt keyword": (
        "selct * from flights",
        """p.yaml:7:7: DuckDB cannot parse this query: syntax error at or near "selct"
    7 |       selct * from flights
      |       ^^^^^ look before it; quote reserved names, and write values as $name""",
    ),
    "a misspelt keyword before a table": (
        "select * form flights",
        """p.yaml:7:21: DuckDB cannot parse this query: syntax error at or near "flights"
    7 |       select * form flights
      |                     ^^^^^^^ look before it; quote reserved names, and write values as $name""",
    ),
    "a reserved word as a column": (
        "select order from flights",
        """p.yaml:7:20: DuckDB cannot parse this query: syntax error at or near "from"
    7 |       select order from flights
      |                    ^^^^ look before it; quote reserved names, and write values as $name""",
    ),
    "an open bracket": (
        "select (1 + 2\nfrom flights",
        """p.yaml:8:7: DuckDB cannot parse this query: syntax error at or near "from"
    8 |       from flights
      |       ^^^^ look before it; quote reserved names, and write values as $name""",
    ),
    "an early end": (
        "select * from flights where",
        """p.yaml:7:29: DuckDB cannot parse this query: syntax error at or near "where"
    7 |       select * from flights where
      |                             ^^^^^ look before it; quote reserved names, and write values as $name""",
    ),
    "an open quote": (
        "select 'a from flights",
        """p.yaml:7:14: DuckDB cannot parse this query: unterminated string literal
    7 |       select 'a from flights
      |              ^ look before it; quote reserved names, and write values as $name""",
    ),
    "a value in another notation": (
        "select * from flights\n\nwhere x > :low",
        """p.yaml:9:17: DuckDB cannot parse this query: syntax error at or near ":"
    9 |       where x > :low
      |                 ^ look before it; quote reserved names, and write values as $name""",
    ),
    "a value as in a shell": (
        "select * from flights where x > ${low}",
        """p.yaml:7:39: DuckDB cannot parse this query: syntax error at or near "{"
    7 |       select * from flights where x > ${low}
      |                                       ^ look before it; quote reserved names, and write values as $name""",
    ),
    "a table as in dbt": (
        "select * from {{ ref('flights') }}",
        """p.yaml:7:21: DuckDB cannot parse this query: syntax error at or near "{"
    7 |       select * from {{ ref('flights') }}
      |                     ^ look before it; quote reserved names, and write values as $name""",
    ),
    "a comment of another language": (
        "select 1 # one",
        """p.yaml:7:16: DuckDB cannot parse this query: syntax error at or near "#"
    7 |       select 1 # one
      |                ^ look before it; quote reserved names, and write values as $name""",
    ),
    "beyond ASCII": (
        "select 'é', 'ü' fro x y z",
        """p.yaml:7:27: DuckDB cannot parse this query: syntax error at or near "x"
    7 |       select 'é', 'ü' fro x y z
      |                           ^ look before it; quote reserved names, and write values as $name""",
    ),
    "only a comment": (
        "-- nothing",
        """p.yaml:6:10: the query is empty
    6 |     sql: |
      |          ^ it begins with select or from""",
    ),
    "an unknown table": (
        "select *\nfrom flihgts join users using (id)",
        """p.yaml:8:12: the query reads the table 'flihgts', which is not there
    8 |       from flihgts join users using (id)
      |            ^^^^^^^ did you mean 'flights'?""",
    ),
    "an unknown table, unlike all others": (
        "select * from (select é, 1 from weather) é",
        """p.yaml:7:39: the query reads the table 'weather', which is not there
    7 |       select * from (select é, 1 from weather) é
      |                                       ^^^^^^^ its inputs: 'flights', 'users'""",
    ),
    "a misspelt temporary table": (
        "with late as (from flights) from laet",
        """p.yaml:7:40: the query reads the table 'laet', which is not there
    7 |       with late as (from flights) from laet
      |                                        ^^^^ did you mean 'late'?""",
    ),
    "a value that is not given": (
        "-- $no\nselect * from flights where x = '$no' and y = $low",
        """p.yaml:8:53: no 'with' value gives $low
    8 |       select * from flights where x = '$no' and y = $low
      |                                                     ^^^^ give it: with: {low: …}""",
    ),
    "a value without a name": (
        "select * from flights where x = $1",
        """p.yaml:7:39: the query has a value without a name ($1)
    7 |       select * from flights where x = $1
      |                                       ^^ write $name, and give it under 'with'""",
    ),
    "a value by position": (
        "select * from flights where x = ?",
        """p.yaml:6:10: the query has a value without a name ($1)
    6 |     sql: |
      |          ^ write $name, and give it under 'with'""",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_queries(tmp_path: Path, name: str) -> None:
    query, message = WRONG[name]
    assert errors_in(tmp_path, query) == [message]


@pytest.mark.parametrize(
    "query",
    [
        'select flights.at, position, user, "at" from flights',
        "select '12:30:00'::time, 'a@b.c', '%s', '{{ x }}', $$ :x $$ from flights",
        "select {'at': 1}, [1, 2][1:2], @delay, delay % 2 from flights -- at: ? :x $y",
        "select delay as at, 1 as end from flights",
    ],
)
def test_words_and_signs_that_mean_something_else_are_no_mistakes(tmp_path: Path, query: str) -> None:
    assert errors_in(tmp_path, query) == []


def test_a_file_is_no_table(tmp_path: Path) -> None:
    text = 'nodes:\n  f: {run: x, outputs: {f: .csv}}\n  q: {sql: "from f", inputs: f}\n'
    (found,) = found_in(tmp_path, text)[0]  # it is one mistake
    assert found.endswith("^ it is $f, as in: from read_csv($f)")


def test_a_node_that_is_not_among_the_inputs(tmp_path: Path) -> None:
    (found,) = errors_in(tmp_path, "from flights, Users", "inputs: flights")
    assert found.endswith("^^^^^ node 'users' is not among its inputs: add it")
    (found,) = errors_in(tmp_path, "from nothing", "needs: flights")
    assert found.endswith("^^^^^^^ the node has no 'inputs'")


def test_values(tmp_path: Path) -> None:
    errors, warnings = found_in(tmp_path, f"{HEAD}{NODE}select $low, $hihg from flights, users\n")
    assert errors == [
        "p.yaml:7:23: no 'with' value gives $hihg\n"
        "    7 |     sql: select $low, $hihg from flights, users\n"
        "      |                       ^^^^^ did you mean 'high'?"
    ]
    assert warnings == []  # first the values are to be given
    errors, warnings = found_in(tmp_path, f"{HEAD}{NODE}select $low from flights, users\n")
    assert errors == []
    what = "the query does not use the value 'high': write $high in the query, or remove the value"
    assert warnings == [f"p.yaml:6:20: {what}"]
    assert found_in(tmp_path, f"{HEAD}{NODE}set variable x = $low; select $high from flights, users\n") == ([], [])


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("select * from flihgts", "7:24"),
        ("'select ''it'' from flihgts'", "7:30"),
        (r'"select \"a\" from\nflihgts"', "7:30"),
        (r'"\x73elect \u00e9 from flihgts"', "7:33"),
        ('"select\n\n      a \\\n      from flihgts"', "10:12"),
        ("select a\n      from flihgts", "8:12"),
        (">\n      select a\n      from\n        flihgts\n\n      where b", "10:9"),
        (">-  # from flihgts\n      select a from flihgts", "8:21"),
        ("|+\n\n      select a\n\n\n        from flihgts\n\n", "12:14"),
        ("|2\n      select a from flihgts", "8:21"),
        ("&q select a from flihgts\n  r: {sql: *q, inputs: flights}", "7:27"),
        ("|\n      -- it's \"one\"\n      select 'a;b'; select a from flihgts", "9:35"),
    ],
)
def test_the_place_in_every_style_of_yaml(tmp_path: Path, written: str, place: str) -> None:
    keys = NODE.replace("    with: {low: 1, high: 2}\n", "    timeout: 5\n")
    errors, _ = found_in(tmp_path, f"{HEAD}{keys}{written}\n")
    assert errors[0].startswith(f"p.yaml:{place}: the query reads the table 'flihgts', which is not there\n")


def test_flow_style(tmp_path: Path) -> None:
    errors, _ = found_in(tmp_path, HEAD + "  q: {sql: 'select 1, from flights where', inputs: flights}\n")
    assert [error.partition(": ")[0] for error in errors] == ["p.yaml:4:36"]


def test_a_wrong_input_is_not_reported_twice(tmp_path: Path) -> None:
    errors, _ = found_in(tmp_path, HEAD + "  q: {sql: from flihgts, inputs: [flihgts]}\n")
    assert [error.partition("\n")[0] for error in errors] == [
        "p.yaml:4:35: node 'q' reads 'flihgts', which is not defined"
    ]


@pytest.mark.parametrize(
    "query",
    [
        "with a as (" * 3000 + "select 1" + ") from a" * 3000,
        "select * from " + "(select * from " * 900 + "flights" + ")" * 900,
        "select case " * 2000,
        "select " + "(" * 5000 + "1" + ")" * 5000,
        "select '" + "x" * 1_000_000 + "'",
    ],
    ids=["with", "from", "case", "brackets", "long"],
)
def test_queries_that_are_long_or_nested_deeply(tmp_path: Path, query: str) -> None:
    errors = errors_in(tmp_path, query)
    assert all("DuckDB cannot parse this query: " in error for error in errors)


def test_nothing_is_found_without_duckdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def without_duckdb(name: str, *arguments: Any) -> Any:
        if name == "duckdb":
            raise ModuleNotFoundError(name)
        return load(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_duckdb)
    assert errors_in(tmp_path, "selct 1") == []


def test_only_validate_looks_for_errors_in_queries(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(HEAD + "  q: {sql: selct 1}\n")
    assert len(read_pipeline(tmp_path / "p.yaml")[0].nodes) == 3


RIGHT = [
    "select * from flights, users",
    "from flights",
    "select * from FLIGHTS join Users using (id)",
    'select * from "flights" as "order"',
    "with a as (select * from flights) select * from a",
    "with a as (from flights), b as (from a) select * from b, a",
    "with recursive t(n) as (values (1) union all select n + 1 from t where n < 5) select * from t",
    "with a as materialized (from flights) from a",
    "select * from (select * from users) u where exists (select 1 from flights f where f.id = u.id)",
    "select * from flights f, lateral (select f.x + 1 as y) l",
    "select unnest([1, 2]) as n",
    "select * from flights, unnest(flights.tags) t(tag)",
    "pivot flights on carrier using sum(delay) group by day",
    "pivot flights on carrier in ('UA', 'AA') using sum(delay)",
    "select * from flights pivot (sum(delay) for carrier in ('UA', 'AA'))",
    "unpivot flights on a, b into name k value v",
    "from 'file.csv'",
    "select * from 'data/*.parquet' where x > 1",
    'select * from "data/x y.csv"',
    "select * from data.csv",
    "select * from read_parquet(['a.parquet', 'b.parquet'], union_by_name = true)",
    "select * from read_csv('a.csv', columns = {'a': 'int'}) r",
    "select * from glob('data/*')",
    "select * from range(10) r(i), generate_series(1, 3) g(j)",
    "create macro add(a, b) as a + b; select add(x, 1) from flights",
    "create macro late(m) as table select * from flights where delay > m; select * from late(5)",
    "create temp table t as select * from flights; insert into t select * from users; select * from t",
    "create table t (a int); insert into t values (1); from t",
    "create or replace view v as from flights; select * from v limit 3",
    "set threads = 1; select 1; select 2 as b",
    "values (1, 'a'), (2, 'b')",
    "select s.a.b, {'x': 1}.x, s['a'] from (select {'a': {'b': 1}} as s)",
    "select [x + 1 for x in [1, 2] if x > 1], list_transform([1], lambda y: y * 2)",
    "select a.* exclude (id) replace (x + 1 as x), columns('d.*') from flights a",
    "select * from flights qualify row_number() over (partition by a order by b) = 1",
    "select a, sum(b) filter (where c > 1) from flights group by all having sum(b) > 1 order by all",
    "select * from flights tablesample 10%",
    "select * from flights asof join users using (id, day)",
    "select * from flights positional join users",
    "select * from flights union all by name select * from users",
    "select * from information_schema.tables",
    "select * from duckdb_tables, sqlite_master, pg_catalog.pg_class",
    "attach 'other.db' as other (read_only); select * from other.things, other.main.more",
    "attach 'other.db' as other; use other; select * from things",
    "install spatial; load spatial; select * from shapes",
    "describe flights",
    "summarize flights",
    "show tables",
    "select $$a 'text' with ; and from nowhere$$, $t$ $x $t$, e'it\\'s'",
    "/* from nothing */ select 1 -- from nothing",
    "select * from query_table('flights'), query('select 1')",
    "select x::int, cast(y as date), try_cast(z as double), date '2024-01-01', interval 3 days from flights",
    "copy (select * from flights) to 'out.csv'; select 1",
    "explain select * from flights",
    "delete from t using users where t.id = users.id; update t set a = 1 from flights; select 1",
    "prepare p as select $1; execute p(5)",
    "set variable n = 5; select getvariable('n') as n",
    "select * from flights where x like '%$5%' and y ~ '^a$'",
    "select count(*), from flights,",
]


@pytest.mark.parametrize("query", RIGHT)
def test_no_false_alarms(tmp_path: Path, query: str) -> None:
    assert errors_in(tmp_path, query) == []


def test_values_that_are_used(tmp_path: Path) -> None:
    pivot = "pivot flights on carrier using sum(delay * $low + $high)"
    for query in (
        pivot,
        "select $low, $high",
        "from read_csv($low) where $high::int > 1",
        "select 1; select $low = $high",
    ):
        assert found_in(tmp_path, f"{HEAD}{NODE}{query}\n") == ([], [])


def test_queries_are_checked_on_several_threads_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def check(number: int) -> list[list[str]]:
        folder = tmp_path / str(number)
        folder.mkdir()
        together.wait(30)
        return [errors_in(folder, query) for _ in range(10) for query in ("select 1 as n", "selct 1")]

    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(check, range(4)):
            assert [len(errors) for errors in found] == [0, 1] * 10
            assert all("DuckDB cannot parse this query: syntax error" in error for (error,) in found[1::2])
