"""Tests of queries in parts: they give the rows of the whole query, however many threads there are."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Trial, failed

from nfrun.core.events import NodeStarted, Outcome
from nfrun.nodes import query_parts
from nfrun.nodes.spare_threads import SpareThreads
from nfrun.system.checksums import FileChecksums
from nfrun.tables.file_table import FileTable, open_files

duckdb = pytest.importorskip("duckdb")

ROWS = 10_000
PART = 2048  # rows of a part here, as many as DuckDB handles at a time
DRAWN = random.Random(11)
BIG = pa.table(
    {
        "k": [DRAWN.choice([None, *range(300)]) for _ in range(ROWS)],
        "x": [DRAWN.random() for _ in range(ROWS)],
        "s": [DRAWN.choice(["a", "b", None]) for _ in range(ROWS)],
        "n": range(ROWS),
    }
)
SMALL = pa.table({"k": [*range(120), *range(60), None], "v": [f"v{i}" for i in range(181)]})  # some keys occur twice
BY_ROW = {
    "columns": "select x * 2 as y, upper(s) as s from big",
    "filter": "select * from big where x < 0.5 and s = 'a'",
    "join": "select big.*, v from big join small using (k)",
    "left join": "select n, v from big left join small on small.k = big.k and v > 'v2'",
    "left join of several": "select n, a.v, b.v as w from big left join small a using (k) left join small b using (k)",
    "in": "select n from big where k in (select k from small)",
    "not in": "select n from big where k not in (select k from small where k is not null)",
    "as a mark": "select n, k in (select k from small) as found from big",
    "exists": "select n from big where not exists (from small where small.k = big.k)",
    "one value": "select n from big where n = (select max(k) from small)",
    "grouped beside": "select n, c from big join (select k, count(*) as c from small group by k) using (k)",
    "named query": "with part as (select * from big where x > 0.1) select n, v from part join small using (k)",
    "names in capitals": "SELECT N FROM BIG",
    "no row": "select * from big where sin(x) > 2",
    "words in comments and texts": "select n as age, 'now' as w /* random */ from big -- the local time",
    "value": "select n from big where x < $most",
}
AS_A_WHOLE = {
    "sum": "select sum(n) as n from big",
    "groups": "select k, count(*) as c from big group by k",
    "order": "select n from big order by x",
    "limit": "select n from big limit 3",
    "offset": "select n from big offset 5",
    "distinct": "select distinct s from big",
    "row numbers": "select n, row_number() over () as i from big",
    "window": "select n, sum(n) over (partition by k) as t from big",
    "twice": "select a.n from big a join (select n from big where n < 3) b using (n)",
    "twice by a named query": "with b as (from big) select b.n from b join (select n from b where n < 3) c using (n)",
    "inside": "select n from big where x > (select avg(x) from big)",
    "right join": "select v, n from big right join small using (k)",
    "full join": "select v, n from big full join small using (k)",
    "as the inner table": "select v, (select count(*) from big where big.k = small.k) as c from small",
    "union": "select n from big union all select k from small",
    "union of itself": "select n from big union all select n from big",
    "cross join": "select n, v from big cross join small where n < 3",
    "sample": "select count(*) > 0 as b from big using sample 10 rows",
    "random": "select random() < 2 as b from big",
    "time": "select now() is not null as b, n from big",
    "date": "select current_date is not null as b, n from big",
    "quoted": 'select n, "current_date" is not null as b from big',
    "capitals": "select n, NOW() is not null as b from big",
    "age": "select age(timestamp '2020-01-01') is not null as b, n from big",
    "function of tables": "select n, r from big join range(3) t(r) on r = n",
    "named in a function": "select n from query_table('big')",
    "shadowed": "with big as (select 1 as n) select n from big",
    "column of DuckDB": "select n as file_row_number from big",
    "only the others": "select v from small",
    "described": "from (describe big) select column_name",
    "recursive": "with recursive r(i) as (select 1 union all select i + 1 from r join big on n = i where i < 3) from r",
}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_parts, "SLICE_ROWS", PART)
    monkeypatch.setattr(query_parts, "_PART_ROWS", PART)
    monkeypatch.setattr(query_parts, "_LEAST_BYTES", 0)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Return, for each query, in how many parts it has run; 0 for a whole."""
    found: list[int] = []
    original = query_parts.parts_of

    def noting(*arguments: Any) -> Any:
        made = original(*arguments)
        found.append(len(made))
        return made

    monkeypatch.setattr(query_parts, "parts_of", noting)
    yield found


def attempted(
    trial: Trial, query: str, inputs: dict[str, Any], spare: SpareThreads | None = None, number: int = 1
) -> Outcome:
    refs = {f"from_{name}": trial.store.publish(f"from_{name}", number, table) for name, table in inputs.items()}  # type: ignore[arg-type]
    values = {"most": 0.25} if "$most" in query else {}
    runner = trial.work(trial.spec("sql", query, inputs, with_=values))
    if spare:
        runner.memo[SpareThreads] = spare
    return runner(NodeStarted(0.0, "node", number, refs), trial.stop, trial.wait)


def in_file(folder: Path, table: pa.Table, **options: Any) -> FileTable:
    pq.write_table(table, folder / "big.parquet", **options)
    found = open_files("big.parquet", base=folder, look=FileChecksums().look)
    assert found is not None
    return found


def in_files(folder: Path) -> FileTable:
    """Return the large table in files, of which the first is in two parts, and the last small ones are in one."""
    for i, (first, size) in enumerate([(0, 2 * PART), (2 * PART, PART), (3 * PART, PART), (4 * PART, 1000)]):
        pq.write_table(BIG.slice(first, size), folder / f"big.{i}.parquet", row_group_size=1024)
    pq.write_table(BIG.slice(4 * PART + 1000), folder / "big.4.parquet")
    found = open_files("big.*.parquet", base=folder, look=FileChecksums().look)
    assert found is not None
    return found


@pytest.mark.parametrize("name", BY_ROW)
@pytest.mark.parametrize("kind", ["table", "file", "files"])
def test_parts_give_what_the_whole_gives(
    trial: Trial, name: str, kind: str, parts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def tables() -> dict[str, Any]:
        made = {"table": lambda: BIG, "file": lambda: in_file(trial.folder, BIG, row_group_size=1024)}
        return {"big": made.get(kind, lambda: in_files(trial.folder))(), "small": SMALL}

    alone = trial.table(attempted(trial, BY_ROW[name], tables()))
    helped = trial.table(attempted(trial, BY_ROW[name], tables(), SpareThreads(3), 2))
    with monkeypatch.context() as patch:
        patch.setattr(query_parts, "_PART_ROWS", ROWS)
        whole = trial.table(attempted(trial, BY_ROW[name], tables(), number=3))
    assert parts == [5, 5, 0]
    assert helped.equals(alone)
    order = [(column, "ascending") for column in whole.column_names]
    assert alone.sort_by(order).equals(whole.sort_by(order))
    if "join" not in BY_ROW[name]:  # DuckDB orders the rows of several matches within those that it handles at a time
        assert alone.equals(whole)


@pytest.mark.parametrize("name", AS_A_WHOLE)
def test_other_queries_run_as_a_whole(trial: Trial, name: str, parts: list[int]) -> None:
    outcome = attempted(trial, AS_A_WHOLE[name], {"big": BIG, "small": SMALL}, SpareThreads(3))
    assert outcome.failure is None
    assert parts == [0]


def test_a_query_over_tables_of_about_one_size_runs_as_a_whole(trial: Trial, parts: list[int]) -> None:
    """Each part would read all of the other table."""
    query = "select n, y from big join other using (n)"
    other = pa.table({"n": range(ROWS // 2), "y": range(ROWS // 2)})
    assert trial.table(attempted(trial, query, {"big": BIG, "other": other})).num_rows == ROWS // 2
    assert parts == [0]


def test_a_table_with_as_many_rows_as_a_part_is_not_mistaken_for_it(trial: Trial, parts: list[int]) -> None:
    other = pa.table({"n": range(PART), "y": range(PART)})
    query = "select n, y from other join big using (n) where y < 10"
    assert trial.table(attempted(trial, query, {"big": BIG, "other": other})).num_rows == 10
    assert parts == [0]


@pytest.mark.parametrize(
    ("sizes", "cut"),
    [
        ([ROWS], 5),
        ([ROWS, ROWS], 10),
        ([100] * 30, 2),  # 21 files, and 9
        ([100, ROWS, 100], 7),
        ([0, 5000, 0, 10, 0], 4),
        ([0, 0], 0),
        ([PART // 2] * 4, 2),
        ([PART, PART], 2),
    ],
)
def test_several_files_are_read_in_parts_in_their_order(
    trial: Trial, sizes: list[int], cut: int, parts: list[int]
) -> None:
    for i, size in enumerate(sizes):
        pq.write_table(BIG.slice(0, size), trial.folder / f"{i:02}.parquet", row_group_size=PART)
    found = open_files("*.parquet", base=trial.folder, look=FileChecksums().look)
    outcome = attempted(trial, "select n, s from big where n >= 0", {"big": found}, SpareThreads(3))
    whole = pa.concat_tables([BIG.slice(0, size) for size in sizes]).select(["n", "s"])
    assert trial.table(outcome).combine_chunks().equals(whole.combine_chunks())
    assert parts == [cut]


def test_many_files_are_read_as_a_whole(trial: Trial, parts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_parts, "_MOST_FILES", 4)
    assert trial.table(attempted(trial, "select n from big", {"big": in_files(trial.folder)})).num_rows == ROWS
    assert parts == [0]


def test_a_folder_of_partitions_is_read_as_a_whole(trial: Trial, parts: list[int]) -> None:
    """A query may leave out most partitions, and would read the others in many parts."""
    for i in range(2):
        (trial.folder / f"day={i}").mkdir()
        pq.write_table(BIG, trial.folder / f"day={i}" / "x.parquet", row_group_size=PART)
    found = open_files("./", base=trial.folder, look=FileChecksums().look)
    assert trial.table(attempted(trial, "select n from big where day = 1", {"big": found})).num_rows == ROWS
    assert parts == [0]


def test_a_part_has_whole_row_groups(trial: Trial, parts: list[int]) -> None:
    files = in_file(trial.folder, BIG, row_group_size=3000)
    assert trial.table(attempted(trial, "select n from big", {"big": files}))["n"].to_pylist() == list(range(ROWS))
    assert parts == [4]


def test_a_column_with_the_name_that_duckdb_gives_row_numbers(trial: Trial) -> None:
    files = in_file(trial.folder, BIG.rename_columns(["k", "x", "s", "file_row_number"]), row_group_size=PART)
    table = trial.table(attempted(trial, "select * from big", {"big": files}))
    assert table["file_row_number"].to_pylist() == list(range(ROWS))


@pytest.mark.parametrize("threads", [0, 3])
def test_the_first_part_with_an_error_is_reported(trial: Trial, threads: int, parts: list[int]) -> None:
    query = "select (case when n in (3000, 9000) then 'row ' || n else '1' end)::int as i from big"
    failure = failed(attempted(trial, query, {"big": BIG}, SpareThreads(threads)))
    assert "'row 3000'" in failure.message
    assert parts == [5]


def test_a_stopped_query_begins_no_other_part(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    original = query_parts.QueryInput.bind

    def bind(item: Any, connection: Any) -> None:
        begun.append(item.value.num_rows)
        original(item, connection)
        if len(begun) == 4:  # the whole input, two of its parts for their plans, and the first part
            trial.stop.cancel()

    monkeypatch.setattr(query_parts.QueryInput, "bind", bind)
    assert failed(attempted(trial, "select n from big", {"big": BIG})).message == "stopped"
    assert begun == [ROWS, PART, ROWS % PART, PART]


def test_a_thread_is_given_back_when_nodes_need_its_slot(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """The helper runs one part, and leaves the others to the thread of the node when another node has begun."""
    in_use, by_helper = 1.0, threading.Event()
    spare, threads = SpareThreads(2, lambda: in_use), []
    original = query_parts._PartedRun._run_part

    def run_part(run: Any, number: int, connection: Any) -> None:
        nonlocal in_use
        threads.append(threading.current_thread().name)
        if threads[-1] == "nfrun-query":
            in_use = 2.0
            by_helper.set()
        else:
            assert by_helper.wait(60)
        original(run, number, connection)

    monkeypatch.setattr(query_parts._PartedRun, "_run_part", run_part)
    table = trial.table(attempted(trial, "select n from big", {"big": BIG}, spare))
    assert table["n"].to_pylist() == list(range(ROWS))
    assert (len(threads), threads.count("nfrun-query")) == (5, 1)
    assert spare.may_keep()


def test_spare_threads_are_those_of_slots_without_a_node() -> None:
    in_use = 1.0
    spare = SpareThreads(3, lambda: in_use)
    assert [spare.take(), spare.take(), spare.take()] == [True, True, False]
    assert spare.may_keep()
    in_use = 2.0
    assert not spare.may_keep()
    spare.give_back()
    assert spare.may_keep()
    assert not spare.take()
    assert not SpareThreads().take()


def test_all_functions_that_may_differ_from_part_to_part_are_known() -> None:
    query = """
        select distinct function_name from duckdb_functions() where function_type in ('scalar', 'macro')
        and (stability = 'VOLATILE' or (stability = 'CONSISTENT_WITHIN_QUERY' and len(parameters) = 0))
    """
    names = [name for (name,) in duckdb.connect(":memory:").execute(query).fetchall()]
    assert "random" in names
    assert [name for name in names if not query_parts.UNSTEADY.search(name)] == []
