"""Whole runs that read CSV: the output with bad rows, the warning about a header, and what scripts write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Here

REJECTED = '"filename","line","reason","text"\n'
BAD = '"t.csv",3,"1 field, and the header has 2","3"\n'
PIPELINE = """\
nodes:
  t: {read: t.csv, with: {bad_rows: aside}}
  bad: {sql: "select count(*) as bad from r", inputs: {r: t.rejected}}
  n: {sql: "select count(*) as n from t", inputs: t}
outputs: {bad: bad, n: n, rejected: t.rejected}
"""


def opened(here: Here, folder: Path, output: str) -> str:
    done = here(folder, "open", output, "--format", "csv")
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def test_the_output_with_bad_rows_is_always_there(tmp_path: Path, here: Here) -> None:
    (tmp_path / "p.yaml").write_text(PIPELINE)
    for rows, rejected, bad in (("1,2\n3\n4,5\n", REJECTED + BAD, 1), ("1,2\n4,5\n", REJECTED, 0)):
        (tmp_path / "t.csv").write_text(f"a,b\n{rows}")
        assert here(tmp_path, "validate", "p.yaml").returncode == 0
        assert "t.rejected" in here(tmp_path, "plan", "p.yaml").stdout
        assert here(tmp_path, "run", "p.yaml", "-q").returncode == 0
        assert opened(here, tmp_path, "t.rejected") == rejected
        assert opened(here, tmp_path, "bad") == f'"bad"\n{bad}\n'
        assert opened(here, tmp_path, "t") == '"a","b"\n1,2\n4,5\n', "the node's own table has its name"
        again = json.loads(here(tmp_path, "run", "p.yaml", "--json").stdout)
        assert {node["status"] for node in again["nodes"].values()} == {"reused"}


def test_the_bad_rows_of_cells_are_gathered(tmp_path: Path, here: Here) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3\n")
    (tmp_path / "u.csv").write_text("a,b\n4,5\n")
    (tmp_path / "p.yaml").write_text("""\
matrix: {file: [t, u]}
nodes:
  t: {matrix: file, read: "${{ matrix.file }}.csv", with: {bad_rows: aside}, outputs: [rows]}
  bad: {sql: "select line from r", inputs: {r: {from: t.rejected, gather: concat}}}
  all: {sql: "select a from t order by a", inputs: {t: {from: t, gather: concat}}}
""")
    assert here(tmp_path, "run", "p.yaml", "-q").returncode == 0
    assert (opened(here, tmp_path, "bad"), opened(here, tmp_path, "all")) == ('"line"\n3\n', '"a"\n1\n4\n')


def test_without_the_option_there_is_no_such_output(tmp_path: Path, here: Here) -> None:
    (tmp_path / "p.yaml").write_text(PIPELINE.replace("aside", "skip"))
    (tmp_path / "t.csv").write_text("a\n1\n")
    done = here(tmp_path, "validate", "p.yaml")
    assert "p.yaml:3:59: node 't' has no output 'rejected'" in done.stderr


def test_a_first_row_of_data_is_a_warning(tmp_path: Path, here: Here) -> None:
    (tmp_path / "p.yaml").write_text("nodes:\n  t: {read: t.csv}\n")
    (tmp_path / "t.csv").write_text("1,x\n2,y\n")
    done = here(tmp_path, "run", "p.yaml")
    assert done.returncode == 0
    assert "the first row looks like data, not like the names of columns: '1'" in done.stderr


@pytest.mark.parametrize("map", ["", ", map: {over: a, parts: 3}"])
def test_null_and_empty_and_large_numbers_go_through_scripts(tmp_path: Path, here: Here, map: str) -> None:
    texts, keys = 'x\\nu\\n\\n""\\n', "18446744073709551616 18446744073709551617 5"
    (tmp_path / "p.yaml").write_text(f"""\
nodes:
  a: {{run: 'printf ''{texts}'' > $NFRUN_OUTPUT', format: csv}}
  b: {{run: 'cat $NFRUN_INPUT_a > $NFRUN_OUTPUT', format: csv, inputs: a{map}}}
  c: {{run: 'printf "%s\\n" k {keys} > $NFRUN_OUTPUT', format: csv}}
  d: {{run: 'cat $NFRUN_INPUT_a > $NFRUN_OUTPUT', format: csv, inputs: {{a: c}}{map}}}
outputs: {{b: b, d: d}}
""")
    done = here(tmp_path, "run", "p.yaml", "-q")
    assert done.returncode == 0, done.stderr
    assert opened(here, tmp_path, "b") == '"x"\n"u"\n\n""\n'
    assert opened(here, tmp_path, "d") == '"k"\n' + keys.replace(" ", "\n") + "\n"


def test_a_script_that_writes_a_quote_without_its_end(tmp_path: Path, here: Here) -> None:
    text = 'x,y\\n1,"u\\n2,v\\n'
    (tmp_path / "p.yaml").write_text(f"nodes:\n  a: {{run: 'printf ''{text}'' > $NFRUN_OUTPUT', format: csv}}\n")
    done = here(tmp_path, "run", "p.yaml", "-q")
    assert done.returncode == 1
    assert "output.csv cannot be read as csv: the row on line 2 has a quote that is not closed" in done.stderr
