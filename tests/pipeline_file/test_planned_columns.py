"""Columns before a run: those that files have, along the edges of a bound pipeline, and what is remembered of them."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kept_json import kept_in

from nfrun.core.errors import SpecError, one_line
from nfrun.history.cache.remembered_code import restore_checks, save_checks
from nfrun.nodes import sql_check
from nfrun.pipeline_file import columns
from nfrun.pipeline_file.known_checks import KnownChecks
from nfrun.pipeline_file.resolve import resolve

TABLE = pa.table({"id": [1], "name": ["a"], "at": pa.array([0], pa.timestamp("us"))})
HEAD = "nodes:\n  a: {read: a.parquet}\n"

LOOK = "look before it; quote reserved names, and write values as $name"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pq.write_table(TABLE, "a.parquet")


def planned(text: str, known: KnownChecks | None = None, **params: str) -> list[str]:
    """Return the problems that 'nfrun plan' finds, each on one line."""
    Path("p.yaml").write_text(text)
    arguments = {"params_file": None, "environ": {}, "run_id": "r", "known": known}
    try:
        resolve(Path("p.yaml"), given=params, columns=True, **arguments)  # type: ignore[arg-type]
    except SpecError as error:
        return [one_line(found) for found in error.diagnostics]
    return []


LACKS = "which 'a' does not have"
TABLE_IS, NOT_THERE = "the query reads the table", "which is not there"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("b: {sql: select id from a, inputs: a}", ""),
        ("b: {sql: select ID from a, inputs: a}", ""),
        (
            "b: {sql: select idd from a, inputs: a}",
            f"3:19: the query of 'b' reads the column 'idd', {LACKS}: did you mean 'id'?",
        ),
        (
            "b: {sql: 'select * exclude (nam) from a', inputs: a}",
            f"3:31: the query of 'b' reads the column 'nam', {LACKS}: did you mean 'name'?",
        ),
        ("b: {sql: select * from a order by c1, inputs: a}", f"3:37: the query of 'b' reads the column 'c1', {LACKS}"),
        (
            "b: {sql: 'select 1 as idd, a.idd from a', inputs: a}",
            f"3:32: the query of 'b' reads the column 'idd', {LACKS}: did you mean 'id'?",
        ),
        ("b: {sql: \"select 'é', x from a\", inputs: a}", f"3:25: the query of 'b' reads the column 'x', {LACKS}"),
        ("b: {sql: select id from a where id > $x, inputs: a, with: {x: 1}}", ""),
        ("b: {sql: 'from a, read_csv($f)', inputs: a, with: {f: x.csv}}", ""),
        (
            "b: {sql: select 1 as x}\n  c: {sql: select y from b, inputs: b}",
            "4:19: the query of 'c' reads the column 'y', which 'b' does not have",
        ),
        (
            "b: {write: out/, inputs: a, with: {partition: [nam]}}",
            "3:49: 'a' is partitioned by the column 'nam', which it does not have: did you mean 'name'?",
        ),
        (
            "b: {sql: select max(id) as last from a, inputs: a, checks: [{not_null: lst}]}",
            "3:74: a check of 'b' names the column 'lst', which its table does not have: did you mean 'last'?",
        ),
        (
            "b: {sql: 'select id::decimal(9, 2) as s, [name] as l from a', inputs: a}\n"
            "  c: {sql: 'select l, s, id from b', inputs: b}",
            "4:26: the query of 'c' reads the column 'id', which 'b' does not have",
        ),
    ],
)
def test_columns_of_files_travel_along_the_edges(more: str, told: str) -> None:
    assert planned(f"{HEAD}  {more}\n") == ([f"p.yaml:{told}"] if told else [])


def test_a_mistake_is_told_once_and_what_follows_from_it_is_not() -> None:
    text = HEAD + "  b: {sql: select x from a, inputs: a}\n  c: {sql: select y from b, inputs: b}\n"
    assert planned(text) == [f"p.yaml:3:19: the query of 'b' reads the column 'x', {LACKS}"]


def test_several_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = HEAD + "  c: {sql: select y from a, inputs: a}\n  b: {sql: select x from a, inputs: a}\n"
    assert [line[:12] for line in planned(text)] == ["p.yaml:3:19:", "p.yaml:4:19:"]


def test_the_cells_of_a_matrix_have_one_mistake() -> None:
    text = "matrix: {m: [1, 2, 3]}\n" + HEAD
    text += "  b: {matrix: m, sql: 'select x, $m from a', inputs: a, with: {m: '${{ matrix.m }}'}}\n"
    assert planned(text) == [f"p.yaml:4:31: the query of 'b@1' reads the column 'x', {LACKS}"]


def test_columns_of_gathered_cells_are_known() -> None:
    text = "matrix: {m: [1, 2]}\n" + HEAD
    text += "  b: {matrix: m, sql: 'select id, $m as v from a', inputs: a, with: {m: '${{ matrix.m }}'}}\n"
    text += "  c: {sql: 'select m, v, id, QQ from b', inputs: {b: {from: b, gather: concat}}}\n"
    assert planned(text.replace(", QQ", "")) == []
    assert planned(text) == ["p.yaml:5:30: the query of 'c' reads the column 'QQ', which 'b' does not have"]


def test_the_mistake_is_in_the_file_of_the_query() -> None:
    Path("q.sql").write_text("select id,\n  nme\nfrom a")
    assert planned(HEAD + "  b: {sql: q.sql, inputs: a}\n") == [
        f"q.sql:2:3: the query of 'b' reads the column 'nme', {LACKS}: did you mean 'name'?"
    ]


def test_the_mistake_is_in_the_file_of_a_sub_pipeline() -> None:
    Path("sub.yaml").write_text("inputs: {t: {}}\nnodes:\n  b: {sql: select nme from t, inputs: t}\n")
    assert planned(HEAD + "  s: {pipeline: sub.yaml, inputs: {t: a}}\n") == [
        "sub.yaml:3:19: the query of 's/b' reads the column 'nme', which 's/t' does not have: did you mean 'name'?"
    ]


def test_what_follows_from_a_schema_that_is_wrong_is_not_told() -> None:
    Path("sub.yaml").write_text(
        "inputs:\n  t: {schema: {id: int64, nme: string, at: any}}\nnodes:\n  b: {sql: select nme from t, inputs: t}\n"
    )
    assert planned(HEAD + "  s: {pipeline: sub.yaml, inputs: {t: a}}\n") == [
        "sub.yaml:2:32: the schema of 's/t' names the column 'nme', which its table does not have: did you mean 'name'?"
    ]


@pytest.mark.parametrize(
    ("function", "map", "told"),
    [
        ("f", "by: id", ""),
        ("f", "by: idd", "3:67: 'map' of 'b' names the column 'idd'"),
        ("f", "by: [id, ide]", "3:72: 'map' of 'b' names the column 'ide'"),
        ("g", "batch: 2, keep: [idd]", "3:80: 'map' of 'b' names the column 'idd'"),
    ],
)
def test_columns_that_cut_a_table_are_there(function: str, map: str, told: str) -> None:
    Path("steps.py").write_text("def f(table):\n    return table\n\ndef g(name: list[str]):\n    return {'n': name}\n")
    text = f"{HEAD}  b: {{python: steps:{function}, inputs: {{table: a}}, map: {{over: table, {map}}}}}\n"
    assert planned(text) == ([f"p.yaml:{told}, {LACKS}: did you mean 'id'?"] if told else [])


def test_tables_whose_names_differ_in_case_are_told_apart() -> None:
    text = HEAD + "  p: {sql: select id as p from a, inputs: a}\n  q: {sql: select id as q from a, inputs: a}\n"
    for i, (name, column) in enumerate([("X", "p"), ("x", "q"), ("X", "p")]):
        text += f"  b{i}: {{sql: select {column} from {name}, inputs: {{{name}: {column}}}}}\n"
    assert planned(text) == []


@pytest.mark.parametrize("type", [pa.decimal256(40, 2), pa.float16(), pa.dense_union([pa.field("a", pa.int64())])])
def test_nothing_is_known_of_types_that_duckdb_does_not_have(type: Any) -> None:
    schema = pa.schema({"id": pa.int64(), "x": type})
    with pa.ipc.new_file("b.arrow", schema):
        pass
    assert planned("nodes:\n  a: {read: b.arrow}\n  b: {sql: 'select id, y from a', inputs: a}\n") == []


@pytest.mark.parametrize("ending", ["arrow", "ipc"])
@pytest.mark.parametrize("stream", [False, True])
def test_arrow_files_say_their_columns(ending: str, stream: bool) -> None:
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with make(f"b.{ending}", TABLE.schema) as writer:
        writer.write_table(TABLE)
    text = f"nodes:\n  a: {{read: b.{ending}}}\n  b: {{sql: select x from a, inputs: a}}\n"
    assert planned(text) == [f"p.yaml:3:19: the query of 'b' reads the column 'x', {LACKS}"]


@pytest.mark.parametrize(
    ("read", "told"),
    [
        ("{read: a.parquet, with: {columns: [id]}}", "lacks"),
        ("{read: a.parquet, with: {filename: true}}", ""),
        ("{read: a.parquet, with: {columns: [id, name]}}", ""),
        (
            "{read: a.parquet, with: {columns: [id, nam]}}",
            "p.yaml:2:45: 'a.parquet' has no column 'nam'",
        ),
        ("{read: parts/*.parquet}", "lacks"),
        ("{read: mixed/}", ""),
        ("{read: days/}", "lacks"),
        ("{read: a.csv}", "lacks"),
        ("{read: a.jsonl}", ""),
        ("{read: broken.parquet}", ""),
        ("{read: a.parquet, needs: z}\n  z: {run: echo}", ""),
        (
            "{read: 'a.parquet', schema: {id: int64, nome: string, at: timestamp}}",
            "p.yaml:2:52: the schema of 'a' names the column 'nome', which its table does not have",
        ),
        ("{read: 'a.parquet', schema: {id: int64, nome: string, at: timestamp}, continue_on_error: true}", "lacks"),
        ("{read: a.parquet, with: {columns: [id, nam]}, continue_on_error: true}", ""),
        ("{read: a.parquet, continue_on_error: true}", "lacks"),
    ],
)
def test_what_is_known_of_files(read: str, told: str) -> None:
    """Files of which other nodes may write one say nothing. Those that differ have the columns of each."""
    for folder in ("parts", "mixed", "days/day=1"):
        Path(folder).mkdir(parents=True)
        pq.write_table(TABLE, f"{folder}/1.parquet")
        pq.write_table(TABLE, f"{folder}/2.parquet")
    pq.write_table(TABLE.drop_columns("name").append_column("filename", [["x"]]), "mixed/3.parquet")
    Path("broken.parquet").write_text("PAR1 and no more")
    Path("a.csv").write_text("id\n1\n")
    Path("a.jsonl").write_text('{"id": 1}\n')
    text = f"nodes:\n  a: {read}\n  b: {{sql: 'select id, filename from a', inputs: a}}\n"
    lacks = text.count("\n"), f"the query of 'b' reads the column 'filename', {LACKS}"
    expected = [f"p.yaml:{lacks[0]}:24: {lacks[1]}"] if told == "lacks" else [told] if told else []
    if "columns: [id, name]" in read or told.startswith("p.yaml:2:52"):
        text = text.replace(", filename", "")
    assert [line.removesuffix(": did you mean 'name'?") for line in planned(text)] == expected


QUERIES_OF_ANY_TYPES = """
select sum(b), avg(b), max(b) from a
select b + 1, b || 'x', length(b), b::date, b like 'x%', b = 'x', b > 5 from a
select date_trunc('day', b), year(b), b - interval 1 day from a
select round(b, 2), b % 2, not b, coalesce(b, 0), strftime(b, '%Y') from a
select b.x, unnest(b) from a
from a pivot (sum(id) for b in (1, 2))
unpivot a on columns(*)
select columns('b') from a where b between 1 and 2
select * replace (b + 1 as b) from a
""".strip().split("\n")


@pytest.mark.parametrize("query", QUERIES_OF_ANY_TYPES)
def test_a_type_that_is_not_known_is_no_mistake(query: str) -> None:
    """The header of a csv file says nothing of types, and neither does a query over it."""
    Path("a.csv").write_text("id,b\n1,x\n")
    text = "nodes:\n  f: {read: a.csv}\n  a: {sql: select * from f, inputs: f}\n"
    assert planned(f"{text}  c: {{sql: {json.dumps(query)}, inputs: a}}\n") == []


def test_columns_behind_a_type_that_is_not_known_are_known() -> None:
    Path("a.csv").write_text("id,b\n1,x\n")
    text = "nodes:\n  a: {read: a.csv}\n  s: {sql: 'select b + 1 as s, [{k: id}] as l from a', inputs: a}\n"
    text += "  u: {sql: 'select s, unnest(l, recursive := true) from s', inputs: s}\n"
    assert planned(text + "  c: {sql: 'select k, s from u', inputs: u}\n") == []
    assert planned(text + "  c: {sql: 'select k, q from u', inputs: u}\n") == [
        "p.yaml:5:23: the query of 'c' reads the column 'q', which 'u' does not have"
    ]


@pytest.mark.parametrize(
    ("read", "columns", "told"),
    [
        ("a.csv", 'id, name, "a b"', "3:"),
        ("a.csv, with: {delimiter: ';'}", '"id,""a b"",name"', "3:"),
        ("a.csv, with: {columns: [ID]}", "id", "2:37: 'a.csv' has no column 'ID': did you mean 'id'?"),
        ("a.csv, schema: {id: int64, '*': any}", 'name, "a b"', "3:"),
        (
            "a.csv, schema: {id: int64, nam: any, '*': any}",
            "id",
            "2:45: the schema of 'a' names the column 'nam', which",
        ),
        ("'*.csv'", 'name, other, "a b"', "3:"),
        ("both/", "name, id, day", "3:"),
        ("broken/*.csv", "name", ""),
        ("none/*.csv, continue_on_error: true", "name", ""),
    ],
)
def test_what_the_header_of_a_csv_file_says(read: str, columns: str, told: str) -> None:
    for folder in ("both/day=2024-01-01", "broken"):
        Path(folder).mkdir(parents=True)
    Path("a.csv").write_text('id,"a b",name\n1,2024-01-01,x\n')
    Path("b.csv").write_text("id,other\n1,2\n")
    Path("both/day=2024-01-01/x.csv").write_text("name\nx\n")
    pq.write_table(TABLE, "both/day=2024-01-01/y.parquet")
    Path("broken/a.csv").write_bytes(gzip.compress(b"id\n1\n"))
    query = json.dumps(f"select {columns}, zz from a")
    found = planned(f"nodes:\n  a: {{read: {read}}}\n  b: {{sql: {query}, inputs: a}}\n")
    assert [told in line and (told[0] == "2" or "'zz', which 'a' does not" in line) for line in found] == [True] * bool(
        told
    )


@pytest.mark.parametrize(
    ("node", "told"),
    [
        ("sql: select * from q", ""),
        ("sql: 'create temp table t as from Q; from t'", ""),
        ("sql: select * from nope", f"p.yaml:4:26: {TABLE_IS} 'nope', {NOT_THERE}: its inputs: 'q'"),
        ("sql: select * from z", f"p.yaml:4:26: {TABLE_IS} 'z', {NOT_THERE}: its inputs: 'q'"),
        (
            "sql: select * from p",
            f"p.yaml:4:26: {TABLE_IS} 'p', {NOT_THERE}: node 'p' is not among its inputs: add it",
        ),
        (
            "sql: selec * from q",
            'p.yaml:4:12: DuckDB cannot parse this query: syntax error at or near "selec": ' + LOOK,
        ),
        ("sql: select $m from q, with: {n: 1}", "p.yaml:4:19: no 'with' value gives $m: give it: with: {m: …}"),
        ("sql: select 1 as n from q, with: {n: 1}", ""),  # a value that is not used is no error
        (
            "matrix: {i: [1, 2]}, sql: select $i from qq, with: {i: '${{ matrix.i }}'}",
            f"p.yaml:4:48: {TABLE_IS} 'qq', {NOT_THERE}: did you mean 'q'?",
        ),
        ("sql: z.sql", f"z.sql:2:6: {TABLE_IS} 'nope', {NOT_THERE}: its inputs: 'q'"),
    ],
)
def test_queries_over_tables_of_unknown_columns_are_parsed(node: str, told: str) -> None:
    Path("steps.py").write_text("def q(): return {'a': 1}\n")
    Path("z.sql").write_text("select *\nfrom nope")
    text = f"nodes:\n  q: {{python: 'steps:q'}}\n  p: {{sql: select 1 as i}}\n  z: {{{node}, inputs: q}}\n"
    assert planned(text) == ([told] if told else [])


def test_a_query_that_was_in_order_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("steps.py").write_text("def q(): return {'a': 1}\n")
    text, known, parsed = (
        "nodes:\n  q: {python: 'steps:q'}\n  z: {sql: select $n as n from q, inputs: q, WITH}\n",
        KnownChecks(),
        [],
    )
    original = sql_check.check_query
    monkeypatch.setattr(sql_check, "check_query", lambda node, others: parsed.append(node.id) or original(node, others))
    first = text.replace("WITH", "with: {n: 1}")
    assert planned(first, known) == planned(first.replace("n: 1", "n: 2"), known) == []
    assert parsed == ["z"]
    assert len(planned(text.replace("WITH", "with: {m: 1}"), known)) == 1
    assert len(planned(text.replace("WITH", "with: {m: 1}"), known)) == 1, "a mistake is not remembered"
    assert parsed == ["z", "z", "z"]


@pytest.mark.parametrize(
    ("read", "columns", "misspelt", "hint"),
    [
        ("t.log, with: {format: text}", "line", "lin", ": did you mean 'line'?"),
        ("t.log, with: {format: text, filename: true}", "line, filename", "file", ": did you mean 'filename'?"),
        ("'*.log', with: {format: files}", "path, name, size + 1, digest", "text", ""),
        ("t.log, with: {format: bytes}", "octet_length(content)", "line", ""),
        ("logs/, with: {format: text}", "line, day + 1", "size", ""),
    ],
)
def test_texts_and_lists_of_files_always_have_the_same_columns(
    read: str, columns: str, misspelt: str, hint: str
) -> None:
    Path("logs/day=2024-01-01").mkdir(parents=True)
    for name in ("t.log", "logs/day=2024-01-01/u.log"):
        Path(name).write_text("a\n")
    text = f"nodes:\n  a: {{read: {read}}}\n  b: {{sql: 'select {columns} from a', inputs: a}}\n"
    assert planned(text) == []
    (told,) = planned(text.replace("select ", f"select {misspelt}, "))
    assert told == f"p.yaml:3:20: the query of 'b' reads the column '{misspelt}', which 'a' does not have{hint}"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("select id from x", ""),
        ("select name, b from x", ""),
        ("select nam from x", "which none of its inputs has: did you mean 'name'?"),
    ],
)
def test_what_is_read_instead_may_have_other_columns(query: str, told: str) -> None:
    Path("c.csv").write_text("id,b\n1,2\n")
    text = "nodes:\n  a: {read: a.parquet, continue_on_error: true}\n  c: {read: c.csv}\n"
    text += f"  d: {{sql: '{query}', inputs: {{x: {{from: a, else: c}}}}}}\n"
    place = f"p.yaml:4:{20}: the query of 'd' reads the column 'nam', "
    assert planned(text) == ([place + told] if told else [])


def test_cells_whose_columns_differ_have_those_of_all() -> None:
    for cell in ("x", "y"):
        Path(f"{cell}.csv").write_text(f"id,{cell}\n1,2\n")
    text = "matrix: {m: [x, y]}\nnodes:\n  a: {matrix: m, read: '${{ matrix.m }}.csv', continue_on_error: true}\n"
    text += "  b: {sql: 'select m, id, x, y, z from a', inputs: {a: {from: a, gather: concat}}}\n"
    assert planned(text) == ["p.yaml:4:33: the query of 'b' reads the column 'z', which 'a' does not have"]


def test_nodes_that_read_one_file_with_other_options_have_other_columns() -> None:
    text = "nodes:\n  a: {read: a.parquet, with: {columns: [id]}}\n  b: {read: a.parquet}\n"
    assert planned(text + "  c: {sql: 'select b.name from a join b using (id)', inputs: [a, b]}\n") == []


@pytest.mark.parametrize(
    ("check", "told"),
    [
        ("sql: select * from this where id < 0", ""),
        (
            "sql: selec * from this",
            '6:20: DuckDB cannot parse this query: syntax error at or near "selec": ' + LOOK,
        ),
        (
            "sql: select * from this where idd < 0",
            "6:45: a check of 'b' reads the column 'idd', which its table does not have: did you mean 'id'?",
        ),
        ("sql: select * from this where id < $low", "6:50: no 'with' value gives $low: give it: with: {low: …}"),
        (
            "sql: select * from this where id < $low, with: {lw: 1}",
            "6:50: no 'with' value gives $low: did you mean 'lw'?",
        ),
        ("sql: select * from b", "6:34: the query reads the table 'b', which is not there: its inputs: 'this'"),
        (
            "sql: select * from thiss",
            "6:34: the query reads the table 'thiss', which is not there: did you mean 'this'?",
        ),
        (
            "sql: check.sql",
            "check.sql:2:1: a check of 'b' reads the column 'idd', which its table does not have: did you mean 'id'?",
        ),
        ("sql: '-- nothing'", "6:20: the query is empty: it begins with select or from"),
        (
            "sql: create table t as from this",
            "6:20: this check gives no rows: the rows that it gives are the failing ones: end it with a select",
        ),
        ("sql: create temp table t as from this; from t where id < 0", ""),
        ("sql: pivot this on name using sum(id)", ""),
        ("references: {id: a(name)}", ""),
        (
            "references: {id: a(nome)}",
            "6:32: a check of 'b' refers to the column 'nome', which 'a' does not have: did you mean 'name'?",
        ),
        (
            "references: {id: b(idd)}",
            "6:32: a check of 'b' refers to the column 'idd', which 'b' does not have: did you mean 'id'?",
        ),
        (
            "references: {ie: a(id)}",
            "6:27: a check of 'b' names the column 'ie', which its table does not have: it has id, name",
        ),
        (
            "unique: [id, nam]",
            "6:23: a check of 'b' names the column 'nam', which its table does not have: did you mean 'name'?",
        ),
    ],
)
def test_checks_are_looked_at_before_a_run(check: str, told: str) -> None:
    Path("check.sql").write_text("select *, -- idd\nidd from this")
    expected = [told if told.startswith("check.sql") else f"p.yaml:{told}"] if told else []
    assert (
        planned(f"{HEAD}  b:\n    sql: select id, name from a\n    inputs: a\n    checks: [{{{check}}}]\n") == expected
    )


def test_what_is_in_order_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    text, known = HEAD + "  b: {sql: select id from a, inputs: a}\n", KnownChecks()
    assert planned(text, known) == []
    save_checks(known, kept_in(Path("saved.json"))[1])
    known = restore_checks(kept_in(Path("saved.json"))[0])
    calls: list[str] = []
    asked = sql_check.columns_of_query
    monkeypatch.setattr(sql_check, "columns_of_query", lambda node, *more: calls.append(node.id) or asked(node, *more))
    assert planned(text, known) == [] and not calls and not known.is_new
    other = text.replace("select id", "select name")
    assert planned(other, known) == [] and calls == ["b"] and known.is_new
    assert planned(text.replace("inputs: a}", "inputs: a, retries: 3, description: x}"), known) == [] and calls == ["b"]
    pq.write_table(TABLE.drop_columns("id"), "a.parquet")
    assert planned(text, known) == [f"p.yaml:3:19: the query of 'b' reads the column 'id', {LACKS}"]
    assert planned(text, known) != []


def test_a_pipeline_that_is_in_order_imports_neither_pyarrow_nor_duckdb() -> None:
    text, known = (
        HEAD + "  b: {sql: select id from a, inputs: a, checks: [{sql: from this where id < 0}]}\n",
        KnownChecks(),
    )
    assert planned(text, known) == []
    save_checks(known, kept_in(Path("saved.json"))[1])
    code = (
        "import json, sys; from pathlib import Path; from nfrun.pipeline_file.resolve import resolve;"
        "from nfrun.history.cache.remembered_code import restore_checks; "
        "known = restore_checks(lambda: json.load(open('saved.json')));"
        "resolve(Path('p.yaml'), given={}, params_file=None, environ={}, run_id='r', known=known, columns=True);"
        "print(known.is_new, {'pyarrow', 'duckdb'} & {*sys.modules})"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert (found.stdout, found.stderr) == ("False set()\n", "")


def test_no_file_is_read_where_nothing_names_its_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr(columns, "_states", read.extend)
    assert planned(HEAD + "  b: {write: b.csv, inputs: a}\n") == []
    assert read == []
    assert planned(HEAD + "  b: {write: b/, inputs: a, with: {partition: id}}\n") == []
    assert read == [Path("a.parquet").absolute()]


def test_the_ends_of_a_limited_number_of_files_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_MOST_FILES", 2)
    text = HEAD + "".join(f"  a{i}: {{read: a.parquet}}\n" for i in range(3))
    text += "".join(f"  b{i}: {{sql: select x from a{i}, inputs: a{i}}}\n" for i in range(3))
    assert [line[:10] for line in planned(text)] == ["p.yaml:6:2", "p.yaml:7:2"]


def test_queries_are_told_beside_what_is_not_there() -> None:
    text = "nodes:\n  b: {sql: selec 1}\n  c: {read: gone.csv}\n  d: {sql: from nope}\n"
    assert planned(text) == [
        'p.yaml:2:12: DuckDB cannot parse this query: syntax error at or near "selec": ' + LOOK,
        "p.yaml:3:13: there is no file 'gone.csv': a path is relative to the pipeline file",
        f"p.yaml:4:17: {TABLE_IS} 'nope', {NOT_THERE}: the node has no 'inputs'",
    ]


def test_queries_are_told_beside_mistakes_in_the_file_and_in_those_that_it_includes() -> None:
    Path("sub.yaml").write_text("nodes:\n  b: {sql: selec 1}\n  c: {sql: from x, inputs: {x: gone}}\n")
    assert planned("nodes:\n  a: {pipeline: sub.yaml}\n  d: {sql: selec 2}\n  e: {python: steps:f}\n") == [
        'p.yaml:3:12: DuckDB cannot parse this query: syntax error at or near "selec": ' + LOOK,
        "p.yaml:4:15: there is no module 'steps': there is no steps.py beside the pipeline file, and no such module is "
        "installed",
        'sub.yaml:2:12: DuckDB cannot parse this query: syntax error at or near "selec": ' + LOOK,
        "sub.yaml:3:32: node 'c' reads 'gone', which is not defined: there is 'b'",
    ]
