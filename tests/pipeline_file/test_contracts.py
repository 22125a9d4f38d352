"""`schema` and `checks` of nodes and outputs: mistakes in them, told before anything runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from nfrun.core.errors import SpecError, one_line
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.resolve import resolve
from nfrun.tables.contracts.type_names import TypeNameError

CONTRACT = Path(__file__).parents[1] / "contract"
JAFFLE = (CONTRACT / "jaffle.yaml").read_text()
NODE = "nodes:\n  a: {{sql: select 1 as id, {}}}\n  b: {{sql: select 1 as id}}\n"


def problems(folder: Path, text: str, name: str = "p.yaml") -> list[str]:
    """Return the problems of a file, each on one line, without its name."""
    file = folder / name
    file.write_text(text)
    try:
        read_pipeline(str(file))
    except SpecError as error:
        return [one_line(found).replace(str(file), name) for found in error.diagnostics]
    return []


WRONG_JAFFLE = [
    (
        "{not_null: customer_id}",
        "{notnull: customer_id}",
        "jaffle.yaml:11:38: 'notnull' is not a key of an item of 'checks': did you mean 'not_null'?",
    ),
    (
        "customers(customer_id)",
        "customer(customer_id)",
        "jaffle.yaml:31:35: a check of 'orders' refers to 'customer', which is not defined: "
        "did you mean 'customers' (line 20)?",
    ),
    (
        "order_date: date",
        "order_date: datte",
        f"jaffle.yaml:6:92: there is no type 'datte': {TypeNameError.hint}",
    ),
    (
        "checks: [{unique: customer_id}, {not_null: customer_id}]\n  orders",
        "checks: [{references: {customer_id: orders(customer_id)}}]\n  orders",
        "jaffle.yaml:20:3: these nodes need one another in a circle: customers -> orders -> customers: "
        "remove one of these references",
    ),
]


def test_all_mistakes_in_a_list_of_checks_are_told_at_once(tmp_path: Path) -> None:
    checks = "checks: [{rows: -1}, {bogus: 1}, {enum: {id: 5}}, {unique: []}, {references: {id: c(id)}}, {rows: 1}]"
    found = problems(tmp_path, NODE.format(f"{checks}, schema: {{id: 5, x: datte}}"))
    assert [text.split(": ")[1] for text in found] == [
        "'rows' must be a whole number, or {min, max} with min <= max",
        "'bogus' is not a key of an item of 'checks'",
        "each column under 'enum' must have a list of texts, numbers, true or false",
        "'unique' must be a column, or a list of different columns",
        "a check of 'a' refers to 'c', which is not defined",
        "'id' must be a string, not 5",
        "there is no type 'datte'",
    ]


@pytest.mark.parametrize(("before", "after", "told"), WRONG_JAFFLE)
def test_mistakes_in_the_jaffle_shop(tmp_path: Path, before: str, after: str, told: str) -> None:
    (tmp_path / "models").symlink_to(CONTRACT / "models")
    assert before in JAFFLE
    assert problems(tmp_path, JAFFLE.replace(before, after, 1), "jaffle.yaml") == [told]


def test_the_jaffle_shop_has_no_mistakes(tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(CONTRACT / "models")
    assert problems(tmp_path, JAFFLE, "jaffle.yaml") == []


WRONG = {
    "checks: [{tests: id}]": "'tests' is not a key of an item of 'checks': there is rows, unique",
    "checks: [{regex: {id: a}}]": "'regex' is not a key of an item of 'checks': did you mean 'match'?",
    "checks: {unique: id}": "'checks' must be a list, not a mapping: for example checks: [{unique: id}]",
    "checks: [unique]": "an item of 'checks' must be a mapping, not 'unique': write {unique: column}",
    "checks: []": "'checks' is empty: for example checks: [{unique: id}]",
    "checks: [{severity: warn}]": "a check has one of rows, unique, not_null, enum, range, match, references, ",
    "checks: [{unique: id, not_null: id}]": "a check has one of rows, unique, not_null, enum, range, match, "
    "references, fresh, sql, python: make it several checks",
    "checks: [{unique: id, severity: fatal}]": "'severity' must be error, warn or skip, not 'fatal'",
    "checks: [{unique: id, allow: 5 rows}]": "'allow' cannot be '5 rows': write a number of rows, or a share such",
    "checks: [{unique: id, allow: -1}]": "'allow' must be at least 0, not -1",
    "checks: [{rows: 1, allow: 1}]": "'rows' is about the whole table, so there are no failing rows to allow: remove",
    "checks: [{unique: id, with: {a: 1}}]": "a check 'unique' takes no values: only those of sql and python do",
    "checks: [{unique: id, name: a}, {not_null: id, name: a}]": "two checks are called 'a'",
    "checks: [{rows: many}]": "'rows' must be a whole number, or {min, max} with min <= max: for example rows: 5",
    "checks: [{rows: -1}]": "'rows' must be a whole number, or {min, max} with min <= max",
    "checks: [{rows: {min: 5, max: 1}}]": "'rows' must be a whole number, or {min, max} with min <= max",
    "checks: [{rows: {least: 5}}]": "'rows' must be a whole number, or {min, max} with min <= max",
    "checks: [{rows: {}}]": "'rows' must be a whole number, or {min, max} with min <= max",
    "checks: [{unique: [id, id]}]": "'unique' must be a column, or a list of different columns",
    "checks: [{unique: 1}]": "'unique' must be a string or a list, not 1",
    "checks: [{not_null: []}]": "'not_null' must be a column, or a list of different columns: for example",
    "checks: [{enum: [a, b]}]": "'enum' must be a mapping, not a list",
    "checks: [{enum: {id: a}}]": "each column under 'enum' must have a list of texts, numbers, true or false",
    "checks: [{enum: {id: [[1]]}}]": "each column under 'enum' must have a list of texts, numbers, true or false",
    "checks: [{range: {id: 5}}]": "each column under 'range' must have min or max, or both with",
    "checks: [{range: {id: {min: 1, max: a}}}]": "each column under 'range' must have min or max",
    "checks: [{range: {id: {max: true}}}]": "each column under 'range' must have min or max",
    "checks: [{match: {id: '('}}]": "each column under 'match' must have a regular expression of RE2",
    "checks: [{match: {id: 5}}]": "each column under 'match' must have a regular expression of RE2",
    "checks: [{references: {id: b}}]": "each column under 'references' must have a column of a node: write",
    "checks: [{references: {id: b.x(id)}}]": "node 'b' has no output 'x': there is 'b'",
    "checks: [{references: b(id)}]": "'references' must be a mapping, not 'b(id)'",
    "checks: [{fresh: {id: soon}}]": "each column under 'fresh' must have an age, at most a year: write 12h, 1d or 30d",
    "checks: [{fresh: {id: 1w}}]": "each column under 'fresh' must have an age",
    "checks: [{python: checks.balanced}]": "'python' must be a function: write module:function, such as",
    "checks: [{python: 'nowhere:f'}]": "there is no module 'nowhere'",
    "checks: [{python: 'steps:none'}]": "steps.py has no function 'none'",
    "checks: [{python: 'steps:bare'}]": "bare() takes no table: its first argument is the table",
    "checks: [{python: 'steps:check', with: {b: 1}}]": (
        "check() has no argument 'b', which is given as a value: did you mean 'limit'?"
    ),
    "checks: [{python: 'steps:check'}]": "check() needs 'limit', which no input and no 'with' value gives",
    "checks: [{sql: '${{ params.q }}'}]": "an expression is not evaluated here",
    "checks: [{references: {id: '${{ env.A }}(id)'}}]": "an expression is not evaluated here",
    "schema: {id: int}": f"there is no type 'int': {TypeNameError.hint}",
    "schema: {id: 5}": "'id' must be a string, not 5",
    "schema: [id]": "'schema' must be a mapping, not a list: for example schema: {id: int64, name: string?}",
    "schema: {'*': int64}": "'*' admits columns of any type: write \"*\": any",
    "outputs: {x: {schema: {id: any}}}, schema: {id: any}": "'schema' stands at the node and at its output, too: keep",
}


@pytest.mark.parametrize("text", WRONG)
def test_mistakes_in_checks_and_schemas(tmp_path: Path, text: str) -> None:
    (tmp_path / "steps.py").write_text("def bare(): pass\ndef check(table, limit): pass\n")
    (found,) = problems(tmp_path, NODE.format(text))
    assert found.startswith("p.yaml:2:")
    assert found.split(": ", 1)[1].startswith(WRONG[text]), found


def test_each_of_several_outputs_has_its_own_checks(tmp_path: Path) -> None:
    text = "nodes: {a: {run: x, outputs: [x, y], checks: [{rows: 1}]}}"
    assert problems(tmp_path, text) == [
        "p.yaml:1:38: a node with 2 outputs has 'checks' under each of them: outputs: {x: {checks: …}, …}"
    ]
    assert problems(tmp_path, "nodes: {a: {run: x, outputs: {x: {checks: [{rows: 1}]}, y: table}}}") == []


def test_a_file_has_no_schema(tmp_path: Path) -> None:
    text = "nodes: {a: {run: touch $NFRUN_OUTPUT_x, outputs: {x: {type: .pkl, checks: [{rows: 1}]}}}}"
    assert problems(tmp_path, text) == [
        "p.yaml:1:67: 'x' is a file, and only a table has 'checks': check it in a node that reads it"
    ]


def test_the_checks_of_another_pipeline_stand_in_its_file(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("nodes: {a: {sql: select 1}}\noutputs: {a: a}")
    (found,) = problems(tmp_path, "nodes: {o: {pipeline: other.yaml, checks: [{rows: 1}]}}")
    assert found.endswith("a pipeline node has no 'checks': it stands in other.yaml")


def test_a_check_refers_to_a_node_with_its_axes(tmp_path: Path) -> None:
    text = """
matrix: {day: [1, 2]}
nodes:
  a: {matrix: day, sql: select 1 as id}
  b: {matrix: day, sql: select 1 as id, checks: [{references: {id: a(id)}}]}
  c: {sql: select 1 as id, checks: [{references: {id: a(id)}}]}
"""
    assert problems(tmp_path, text) == [
        "p.yaml:6:55: 'a' has the axis 'day', which 'c' does not have: refer to a node that gathers its cells"
    ]
    file = tmp_path / "p.yaml"
    file.write_text(text.replace("  c:", "  x-c:").replace("x-c", "c").rpartition("  c:")[0])
    pipeline = resolve(file, given={}, params_file=None, environ={}, run_id="r", set_redactor=lambda r: None).pipeline
    assert [item.output for item in pipeline.nodes["b@2"].references] == ["a@2"]
    assert pipeline.nodes["b@2"].upstream == ("a@2",)


def test_values_of_checks_may_be_expressions(tmp_path: Path) -> None:
    text = """
params: {low: 1, share: 5%, bad: x}
nodes:
  a: {sql: select 1 as id, checks: [{range: {id: {min: "${{ params.low }}"}}, allow: "${{ params.share }}"}]}
"""
    file = tmp_path / "p.yaml"
    file.write_text(text)
    arguments = {"params_file": None, "environ": {}, "run_id": "r", "set_redactor": lambda r: None}
    (check,) = resolve(file, given={}, **arguments).pipeline.nodes["a"].contracts[""].checks
    assert (check.value, check.allow) == ({"id": {"min": 1}}, "5%")
    with pytest.raises(SpecError) as caught:
        resolve(file, given={"share": "a few"}, **arguments)
    (found,) = caught.value.diagnostics
    assert one_line(found).endswith(
        "'allow' cannot be 'a few': write a number of rows, or a share such as 1%, at most 100%"
    )


def test_an_expression_in_a_check_that_is_null_is_told(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    checks = '[{rows: "${{ none }}"}, {unique: id, allow: "${{ none }}"}]'
    file.write_text(f"nodes:\n  a: {{sql: select 1 as id, checks: {checks}}}\n")
    with pytest.raises(SpecError) as caught:
        resolve(file, given={}, params_file=None, environ={}, run_id="r")
    assert [found.message for found in caught.value.diagnostics] == [
        "'rows' must be a whole number, or {min, max} with min <= max",
        "'allow' is empty",
    ]


def test_mistakes_under_several_outputs_are_all_told(tmp_path: Path) -> None:
    text = """
nodes:
  a:
    run: x
    outputs:
      x: {schema: {a: in64, b: strin}, checks: [{uniqe: a}, {rows: -1}, {unique: 5}]}
      y: {chekcs: []}
      z: 5
  b: {sql: select 1, inputs: a.z}
"""
    assert [line.removeprefix("p.yaml:") for line in problems(tmp_path, text)] == [
        f"6:23: there is no type 'in64': {TypeNameError.hint}",
        f"6:32: there is no type 'strin': {TypeNameError.hint}",
        "6:50: 'uniqe' is not a key of an item of 'checks': did you mean 'unique'?",
        "6:68: 'rows' must be a whole number, or {min, max} with min <= max: for example rows: 5, or rows: {min: 1}",
        "6:82: 'unique' must be a string or a list, not 5",
        "7:11: 'chekcs' is not a key of 'y': did you mean 'checks'?",
        "8:10: 'z' must be a string or a mapping, not 5: for example z: .pkl",
    ]


APART = "read it as another type, such as string, and cast it in a query"
ALL = "write a number of rows, or a share such as 1%, at most 100%"


@pytest.mark.parametrize(
    ("node", "told"),
    [
        ("read: a.csv, schema: {x: list<int64>}", f"2:32: csv cannot be read as list<int64>: {APART}"),
        ("read: a.tsv.gz, schema: {x: list?}", f"2:35: csv cannot be read as list?: {APART}"),
        (
            "read: a.csv, schema: {x: 'decimal64(9, 2)'}",
            f"2:32: csv cannot be read as decimal64(9, 2): {APART}",
        ),
        ("read: a.csv, schema: {x: integer, y: 'decimal128(9, 2)'}", ""),
        ("read: a, with: {format: csv}, schema: {x: float16}", f"2:49: csv cannot be read as float16: {APART}"),
        (
            "read: a.jsonl, outputs: {a: {schema: {x: 'list<duration[s]>'}}}",
            f"2:48: jsonl cannot be read as list<duration[s]>: {APART}",
        ),
        ("read: a.jsonl, schema: {x: 'list<struct<a: int64>>'}", ""),
        ("read: a.parquet, schema: {x: list<int64>}", ""),
        ("read: 'a/*', schema: {x: int64}", ""),
        ("read: 'a/*.txt', schema: {x: int64}", "2:13: the ending of this file does not tell its format: …"),
        ("sql: select 1 as n, checks: [{unique: n, allow: 150%}]", f"2:55: 'allow' cannot be '150%': {ALL}"),
        ("sql: select 1 as n, checks: [{unique: n, allow: 100.1 %}]", f"2:55: 'allow' cannot be '100.1 %': {ALL}"),
        ("sql: select 1 as n, checks: [{unique: n, allow: 100%}]", ""),
    ],
)
def test_what_no_file_and_no_table_can_have(tmp_path: Path, node: str, told: str) -> None:
    found = [re.sub(r"known are .*", "…", line) for line in problems(tmp_path, f"nodes:\n  a: {{{node}}}\n")]
    assert found == ([f"p.yaml:{told}"] if told else [])


def validated(folder: Path, text: str, name: str = "p.yaml") -> list[str]:
    """Return the problems that 'nfrun validate' finds."""
    file = folder / name
    file.write_text(text)
    try:
        read_pipeline(str(file), on_warning=lambda warning: None)
    except SpecError as error:
        return [one_line(found).replace(str(file), name) for found in error.diagnostics]
    return []


def test_a_query_of_the_jaffle_shop_reads_a_column_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(CONTRACT / "models")
    assert validated(tmp_path, JAFFLE, "jaffle.yaml") == []
    text = JAFFLE.replace("user_id as customer_id", "usr_id as customer_id", 1)
    assert validated(tmp_path, text, "jaffle.yaml") == [
        "jaffle.yaml:13:33: the query of 'stg_orders' reads the column 'usr_id', which 'raw_orders' does not have: "
        "did you mean 'user_id'?"
    ]


COLUMNS = """
nodes:
  a: {read: a.csv, schema: {id: int64, name: string, at: timestamp}}
  b: {sql: "select id as key, name from a", inputs: a}
  c: {sql: "select * from b join a using (name)", inputs: [a, b]}
  d:
    sql: QUERY
    inputs: INPUT
    MORE
"""
OF_D = "the query of 'd' reads the column"


@pytest.mark.parametrize(
    ("query", "inputs", "told"),
    [
        ("select key from b", "b", ""),
        ("select KEY, row_number() over () from b", "b", ""),
        ("select id, name from c where key > 1", "c", ""),
        ("select id from b", "b", f"p.yaml:7:17: {OF_D} 'id', which 'b' does not have"),
        ("select b.nam from b", "b", f"p.yaml:7:19: {OF_D} 'nam', which 'b' does not have: did you mean 'name'?"),
        ("select kee from c", "c", f"p.yaml:7:17: {OF_D} 'kee', which 'c' does not have: did you mean 'key'?"),
        ("select x from a join b using (name)", "[a, b]", f"p.yaml:7:17: {OF_D} 'x', which none of its inputs has"),
        ("with t as (select key from b) select name from t", "b", f"p.yaml:7:47: {OF_D} 'name' where it is not there"),
        ("select z from read_csv('z.csv'), b", "b", ""),
        ("select nonsense(key) from b", "b", ""),
    ],
)
def test_columns_travel_along_the_edges(tmp_path: Path, query: str, inputs: str, told: str) -> None:
    text = COLUMNS.replace("QUERY", query).replace("INPUT", inputs).replace("MORE", "retries: 1")
    assert validated(tmp_path, text) == ([told] if told else [])


HIDDEN = """
select sum(paid) as paid from b
select paid paid from b
select paid as "PAID" from b
select max(key) over (order by paid) as paid from b
select first(paid order by key) as paid from b
select count(*) filter (paid > 1) as paid from b
select *, coalesce(paid, 0) as paid from b
select paid + 1 as paid from b where paid > 1
select try_cast(paid as int) as paid from b order by paid
select unnest(paid) as paid from b
select {'p': paid} as paid from b
select [x + paid for x in [1]] as paid from b
select (select sum(paid) as paid from b) as paid from b
with x as (select sum(paid) as paid from b) from x
from b, lateral (select paid as paid) q
select key as paid from b union all select paid as paid from b
select columns(['paid']) from b
select z from (values (paid)) t(z), b
"""


@pytest.mark.parametrize("query", HIDDEN.strip().split("\n"))
def test_a_name_of_the_answer_hides_no_column_that_is_missing(tmp_path: Path, query: str) -> None:
    text = COLUMNS.replace("QUERY", json.dumps(query)).replace("INPUT", "b").replace("MORE", "")
    (told,) = validated(tmp_path, text)
    assert f"{OF_D} 'paid', which 'b' does not have" in told
    column = int(told.split(":")[2]) - 1
    assert text.splitlines()[6][column:].lower().startswith("paid")


@pytest.mark.parametrize(
    "query",
    [
        "select id as paid, paid + 1 as more from a",
        "select id as paid from a where paid > 1 group by paid having paid > 2 order by paid",
        "select id as paid from a qualify row_number() over (order by paid) = 1",
        "select max(id) as id, max(name) as name from a having max(id) > 1",
        "select * replace (id + 1 as id), sum(id) over () as s from a",
        "select id as a, a.name from a",
        "select paid from (select id as paid from a)",
        "select list_transform([1], lambda paid: paid + 1) as paid from a",
        "select x.paid from (select {'paid': id} as x from a)",
        "from (unpivot a on id into name paid value x) select paid, x",
        'from (pivot a on id in (1, 2) using count(*) group by name) select name, "1"',
        "select id, a.at as paid, count(*) from a group by all",
    ],
)
def test_a_name_of_the_answer_that_may_be_read_is_no_mistake(tmp_path: Path, query: str) -> None:
    text = COLUMNS.replace("QUERY", json.dumps(query)).replace("INPUT", "a").replace("MORE", "")
    assert validated(tmp_path, text) == []


REFUSED = "DuckDB refuses the query of 'd':"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (
            "select name from a, b",
            '7:18: {} Ambiguous reference to column name "name"',
        ),
        ("select a.id from a as z", '7:18: {} Referenced table "a" not found!'),
        ("select paid.x as paid from a", '7:18: {} Referenced table "paid" not found!'),
        ("select id from a where sum(id) > 1", "7:34: {} WHERE clause cannot contain aggregates!"),
        ("select sum(id) as s from a where s > 1", "7:18: {} WHERE clause cannot contain aggregates!"),
        ("select id, sum(id) from a", '7:18: {} column "id" must appear in the GROUP BY clause or must be part of'),
        ("select id.x from a", "7:10: {} Cannot extract field 'x' from expression \"id\" because it is not a struct"),
        ("select x.q from (select {'p': id} as x from a)", '7:10: {} Could not find key "q" in struct'),
        ("select columns('paid') from a", '7:18: {} No matching columns found that match regex "paid"'),
        ("select id from a union select id, name from a", "7:10: {} Set operations can only apply to expressions with"),
        ("select sum(name) from a", "7:18: {} No function matches the given name and argument types 'sum(VARCHAR)'"),
        ("select id from a where at > 5", "7:"),
        ("select summ(id) from a", "7:18: {} Scalar Function with name summ does not exist!: did you mean 'sum'?"),
        ("select count(*) from rangee(3)", "7:32: {} Table Function with name rangee does not exist!: did you"),
    ],
)
def test_what_duckdb_refuses_is_found_before_a_run(tmp_path: Path, query: str, told: str) -> None:
    text = COLUMNS.replace("QUERY", json.dumps(query)).replace("INPUT", "[a, b]").replace("MORE", "")
    (found,) = validated(tmp_path, text)
    assert found.startswith(f"p.yaml:{told.format(REFUSED)}"), found


@pytest.mark.parametrize(
    ("read", "query"),
    [
        ("{read: a.csv}", "select name from a, b"),  # nothing is known of its columns
        ("{read: a.csv, schema: {id: any, name: any}}", "select sum(name) + id from a"),  # nor of their types
        ("{read: a.csv, schema: {id: int64, ...: any}}", "select name, sum(name) from a group by all"),
    ],
)
def test_what_duckdb_refuses_of_unknown_columns_is_no_mistake(tmp_path: Path, read: str, query: str) -> None:
    text = COLUMNS.replace("{read: a.csv, schema: {id: int64, name: string, at: timestamp}}", read)
    text = text.replace("QUERY", json.dumps(query)).replace("INPUT", "[a, b]").replace("MORE", "")
    assert validated(tmp_path, text) == []


@pytest.mark.parametrize(
    ("made", "type_", "query"),
    [
        ("select 1 as id", "number", "select id & 1 from a"),  # a number may be an integer
        ("select [1] as id", "list<number>", "select id[1] & 1 from a"),
        ("select 1 as id", "int64", "select h3_cell_to_lat(id) from a"),  # an extension may have it
    ],
)
def test_a_query_over_columns_of_a_schema_that_may_run_is_no_mistake(
    tmp_path: Path, made: str, type_: str, query: str
) -> None:
    nodes = f"nodes:\n  a: {{sql: '{made}', schema: {{id: '{type_}'}}}}\n  b: {{inputs: a, sql: '{query}'}}\n"
    assert validated(tmp_path, nodes) == []


def test_a_value_that_is_not_known_yet_and_columns_that_may_be_absent_are_no_mistakes(tmp_path: Path) -> None:
    values = "nodes: {a: {sql: 'select list_sum($ids) as s', with: {ids: '${{ params.ids }}'}}}\n"
    assert validated(tmp_path, "params: {ids: {type: array}}\n" + values) == []
    text = (
        "nodes:\n  a: {sql: select 1 as id, continue_on_error: true}\n  b: {sql: 'select 1 as id, 2 as x'}\n"
        "  c: {sql: select 2 as x}\n  d: {sql: 'select x from a, c', inputs: {a: {from: a, else: b}, c: c}}\n"
        "  e: {sql: 'select * from a', inputs: {a: {from: a, else: b}}}\n"
        "  f: {sql: 'select x from e, c', inputs: [e, c]}\n"
    )
    assert validated(tmp_path, text) == []


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("checks: [{unique: ky}]", "p.yaml:9:23: a check of 'd' names the column 'ky', which its table does not have"),
        ("schema: {kee: any}", "p.yaml:9:19: the schema of 'd' names the column 'kee', which its table does not have"),
        ("checks: [{unique: key}]", ""),
        ("schema: {key: any}", ""),
    ],
)
def test_what_is_said_of_a_table_fits_the_query_that_makes_it(tmp_path: Path, more: str, told: str) -> None:
    text = COLUMNS.replace("QUERY", "select key from b").replace("INPUT", "b").replace("MORE", more)
    assert validated(tmp_path, text) == ([f"{told}: did you mean 'key'?"] if told else [])


def test_a_check_names_a_column_that_the_schema_does_not_have(tmp_path: Path) -> None:
    text = "nodes: {a: {read: a.csv, schema: {id: int64}, checks: [{range: {ids: {min: 1}}}]}}"
    assert validated(tmp_path, text) == [
        "p.yaml:1:64: a check of 'a' names the column 'ids', which its table does not have: did you mean 'id'?"
    ]
    assert validated(tmp_path, text.replace("int64}", 'int64, "*": any}')) == []
