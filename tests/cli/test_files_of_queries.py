"""The pipeline of `docs/sql.md`: what counts of the files that its queries read, and in which order rows come."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nfrun.core.pipeline import OutputId
from nfrun.session.options import RunOptions
from tests.docs.pages import write_files
from tests.program_runs import RunResult, run_pipeline

pytest.importorskip("duckdb")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_files("docs/sql.md", tmp_path)
    write_sales(tmp_path, 900)
    return tmp_path


def write_sales(folder: Path, highest: int) -> None:
    rows = {"country": ["FR", "DE", "FR"], "price": [100, 99, highest], "note": ["", "x", "y"]}
    pq.write_table(pa.table(rows), folder / "sales.parquet")


def run(folder: Path) -> RunResult:
    done = run_pipeline(RunOptions(folder / "sales.yaml"))
    assert done.end.status == "ok", {name: node.failure for name, node in done.record.nodes.items()}
    return done


def test_an_output_of_files_counts_by_these(folder: Path) -> None:
    done = run(folder)
    assert [table.to_pylist() for table in done.tables.values()] == [[{"best": "France"}]]
    sales = done.record.refs[OutputId("sales")]
    assert sales.digest is not None
    assert sales.digest.startswith("files:")
    assert (sales.rows, sales.bytes) == (3, (folder / "sales.parquet").stat().st_size)
    assert {node.status for node in run(folder).record.nodes.values()} == {"reused"}


def test_what_reads_the_files_runs_again_if_these_have_changed(folder: Path) -> None:
    run(folder)
    write_sales(folder, 90)
    record = run(folder).record
    assert {node.status for node in record.nodes.values()} == {"ok"}  # `countries` too: a query reads its table
    assert run(folder).record.nodes["large"].status == "reused"


@pytest.mark.parametrize("setting", ["", ", cache: true", ", executor: process"])
@pytest.mark.parametrize("others", ["", "  other: {python: 'steps:other', inputs: {table: sales}}\n"])
def test_a_query_gives_the_same_rows_whoever_else_reads_the_files(folder: Path, setting: str, others: str) -> None:
    """The order of the groups depends on how DuckDB gets its input."""
    rows = {"n": [i * 7919 % 1009 for i in range(300_000)]}
    pq.write_table(pa.table(rows), folder / "sales.parquet", row_group_size=50_000)
    (folder / "steps.py").write_text("def other(table):\n    return table.slice(0, 1)\n")

    def digests(query: str, setting: str, others: str) -> dict[str, str | None]:
        nodes = f"  sales: {{read: sales.parquet{setting}}}\n  q: {{sql: '{query}', inputs: sales}}\n{others}"
        (folder / "sales.yaml").write_text(f"nodes:\n{nodes}outputs: {{q: q}}\n")
        done = run(folder)
        assert done.record.nodes["q"].status == "ok"
        return {name: done.record.refs[OutputId(name)].digest for name in ("sales", "q")}

    first = "select n % 500 as k, count(*) as c from sales group by k"
    expected = digests(first, "", "")
    assert digests(f"{first} --", setting, others) == expected
    assert digests(f"{first} -- when the table of sales may be there", setting, others) == expected
