"""A law of columns before a run: a query that DuckDB runs is no mistake, whatever the types that it reads are."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from random_seeds import seeds

from nfrun.core.pipeline import Input, NodeSpec, OutputId
from nfrun.nodes.sql_check import columns_of_query

TYPES = (pa.int64(), pa.float64(), pa.string(), pa.date32(), pa.timestamp("us"), pa.bool_(), pa.time64("us"))
CONNECTION = duckdb.connect(config={"threads": 1})
EXPRESSIONS = """
{c} | sum({c}) | max({c}) | count({c}) | {c} + 1 | {c} || 'x' | length({c}) | {c}::date | date_trunc('day', {c})
{c} - interval 1 day | round({c}, 1) | coalesce({c}, 0) | strftime({c}, '%Y') | list({c}) | year({c})
struct_pack(k := {c}, j := 1) | [{{'k': {c}}}] | {{'s': {{'k': {c}}}}} | upper({c}) | {c} > 5 | first({c})
histogram({c}) | string_split({c}, ',') | map {{'a': {c}}} | unnest([{c}]) | row({c}, 1) | to_json({c})
row_number() over (order by {c}) | lag({c}) over () | try_cast({c} as int) | quantile_cont({c}, 0.5) | {c} in (1, 2)
json_object('k', {c}) | case when {c} is null then 1 end
"""
BEHIND = """
select * from b | select x, y from b | select x.k from b | select y.k, x from b | select unnest(x) from b
select x.* from b | select unnest(x, recursive := true) from b | select x.s.k from b | select x[1].k from b
select k from (select unnest(x, recursive := true) from b) | select j from (select unnest(x) from b)
select key, value from (select unnest(map_entries(x), recursive := true) from b) | select * exclude (x) from b
select e.k from (select unnest(x) as e from b) | select * replace (1 as y) from b | unpivot b on x, y
select x, count(*) from b group by all | select b.x from b join a on true | select columns('x|y') from b
from b pivot (count(*) for x in (1, 2)) | select x + y as z, z * 2 as w from b | select * from b natural join a
select y from b qualify row_number() over (partition by x order by y) = 1
"""


def parts(text: str) -> list[str]:
    return [part.strip() for line in text.strip().split("\n") for part in line.split(" | ")]


def query(text: str, *inputs: str) -> NodeSpec:
    read = tuple(Input(name, OutputId(name)) for name in inputs)
    return NodeSpec(id="n", kind="sql", body=text, inputs=read, with_={}, outputs=(), needs=(), env={})


def are_bound(first: str, second: str, table: pa.Table) -> bool:
    """Return whether DuckDB runs a query over the table `a`, and the second one over its answer `b`."""
    with CONNECTION.cursor() as connection, suppress(duckdb.Error):
        connection.register("a", table)
        connection.register("b", connection.sql(first).to_arrow_table())
        connection.sql(second).to_arrow_table()
        return True
    return False


@pytest.mark.parametrize("seed", seeds(1, 60))
def test_no_query_that_is_right_is_a_mistake(seed: int) -> None:
    chance, unknown = random.Random(seed), pa.schema({"p": pa.null(), "q": pa.null()})
    for _ in range(20):
        types: Any = {column: chance.choice(TYPES) for column in unknown.names}
        of_x, of_y = (chance.choice(parts(EXPRESSIONS)).format(c=chance.choice("pq")) for _ in "xy")
        first = f"select {of_x} as x, {of_y} as y from a{chance.choice(['', ' group by all'])}"
        second = chance.choice(parts(BEHIND))
        answer, wrong = columns_of_query(query(first, "a"), {"a": unknown})
        if wrong is None and answer is not None:
            _, wrong = columns_of_query(query(second, "a", "b"), {"a": unknown, "b": answer})
        table = pa.schema(types).empty_table()
        if wrong is not None:
            assert not are_bound(first, second, table), (first, second, types, wrong.message)
        answer, wrong = columns_of_query(query(first, "a"), {"a": table.schema})
        if wrong is None and answer is not None:
            _, wrong = columns_of_query(query(second, "a", "b"), {"a": table.schema, "b": answer})
        assert (wrong is None) == are_bound(first, second, table), (first, second, types, wrong)
