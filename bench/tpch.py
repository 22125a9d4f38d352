"""Measures the 22 queries of TPC-H over Parquet files: as a pipeline of `read` and `sql`, and as one DuckDB script.

The tables are made by `tpchgen-cli`, at the scale factor of the variable TPCH_SCALE (default 1: 350 MB of files), or
are in the folder that TPCH_DATA names. The answers of both must be equal.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from bench.measure import Line, interleaved
from bench.whole_processes import Usage, usage_lines, usage_of

QUERIES = Path(__file__).parent / "tpch_queries"
TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Compare a first run of the pipeline with the script, in fresh processes, in turns. Raises AssertionError."""
    data = tables(folder)
    if data is None:
        return
    pipeline, work = write_pipeline(folder, data), folder / "work"

    def nfrun() -> Usage:
        subprocess.run(["rm", "-rf", str(work)], check=True)
        return usage_of("-m", "nfrun", "run", str(pipeline), "-q", "-j", "2", "--work", str(work), "--json")

    def script() -> Usage:
        return usage_of("-m", "bench.tpch", str(data), str(folder / "answers"), folder=QUERIES.parents[1])

    found = interleaved({"nfrun": nfrun, "script": script}, repeat)
    ours, theirs = found["nfrun"], found["script"]
    check_answers(pipeline, work, folder / "answers")
    yield from usage_lines("TPC-H, 8 read and 22 sql: nfrun / one DuckDB script", ours, theirs, 1.25)


def tables(folder: Path) -> Path | None:
    """Return the folder with the tables, which are made if TPCH_DATA names none. None without the generator."""
    if given := os.environ.get("TPCH_DATA"):
        return Path(given).absolute()
    generator = Path(sys.executable).with_name("tpchgen-cli")
    if not generator.exists():
        print("left out, since tpchgen-cli is not installed: TPC-H")
        return None
    scale = os.environ.get("TPCH_SCALE", "1")
    data = folder / "tpch"
    command = [str(generator), "parquet", "--scale-factor", scale, "--output-dir", str(data)]
    subprocess.run(command, check=True, capture_output=True)
    return data


def write_pipeline(folder: Path, data: Path, queries: Collection[str] = ()) -> Path:
    """Write the pipeline: a `read` node for each table and a `sql` node for each query, which reads what it names.

    Without `queries`, all 22 are asked.
    """
    lines = ["name: tpch", "nodes:"]
    lines += [f"  {table}: {{read: {json.dumps(f'{data}/{table}.parquet')}}}" for table in TABLES]
    for query in sorted(path for path in QUERIES.glob("*.sql") if path.stem in queries or not queries):
        words = query.read_text(encoding="utf-8").replace(",", " ").split()
        read = [table for table in TABLES if table in words]
        lines.append(f"  {query.stem}: {{sql: {query}, inputs: [{', '.join(read)}]}}")
    pipeline = folder / "tpch.yaml"
    pipeline.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return pipeline


def check_answers(pipeline: Path, work: Path, answers: Path) -> None:
    """Compare the answers of the pipeline with those of the script. Raises AssertionError where they differ."""
    import pyarrow as pa

    for query in sorted(QUERIES.glob("*.sql")):
        ours = open_answer(pipeline, work, query.stem)
        with pa.OSFile(str(answers / f"{query.stem}.arrow")) as file:
            theirs = pa.ipc.open_file(file).read_all()
        assert ours.num_rows, query.stem
        assert ours.equals(theirs), f"{query.stem} differs: {ours.slice(0, 3)} {theirs.slice(0, 3)}"


def open_answer(pipeline: Path, work: Path, query: str) -> Any:
    """Return the answer to a query in the last run of the pipeline, as an Arrow table."""
    import pyarrow as pa

    command = ["-m", "nfrun", "open", query, "--format", "arrow", "--pipeline", str(pipeline), "--work", str(work)]
    opened = subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return pa.ipc.open_file(opened.stdout).read_all()


def _script(data: Path, answers: Path) -> None:
    """Run all queries on one connection, as a script without nfrun would, and write each answer to an Arrow file."""
    import duckdb
    import pyarrow as pa

    answers.mkdir(exist_ok=True)
    connection = duckdb.connect()
    for table in TABLES:
        connection.execute(f"create view {table} as from read_parquet('{data}/{table}.parquet')")
    for query in sorted(QUERIES.glob("*.sql")):
        answer = connection.sql(query.read_text(encoding="utf-8")).to_arrow_table()
        with pa.ipc.new_file(str(answers / f"{query.stem}.arrow"), answer.schema) as writer:
            writer.write_table(answer)


if __name__ == "__main__":
    _script(Path(sys.argv[1]), Path(sys.argv[2]))
