"""What planning says of files and folders in the wrong place: the place, what is wrong, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.core.errors import SpecError
from nfrun.pipeline_file.resolve import resolve

BASE = """\
matrix: {i: [0, 1]}
nodes:
  f: {run: x, outputs: {f: .csv}}
  d: {run: x, outputs: {d: folder}}
  t: {run: x}
  c: {run: x, matrix: i, outputs: {c: file}}
"""
STEPS = "def one(f=None): return f\n"

WRONG = {
    # sql
    "sql: select 1, outputs: {a: .csv}": (
        "7:35: a sql node makes tables, and 'a' is a file (read the table in a python or run node, and make it there)"
    ),
    "sql: select * from f, inputs: f": (
        "7:37: 'f' is a file, and the query does not use its path (it is $f, as in: from read_csv($f))"
    ),
    'sql: "from glob($other)", inputs: {d: d}': (
        "7:45: 'd' is a folder, and the query does not use its path (it is $d, as in: from read_csv($d))"
    ),
    'sql: "from read_csv($c)", inputs: {c: {from: c, gather: dict}}': (
        "7:63: 'gather: dict' is not for sql nodes (one table is gathered by 'concat')"
    ),
    'sql: "from c", inputs: {c: {from: c, gather: concat}}': (
        "7:52: 'c.c' is a file, and only tables are put together (gather: dict)"
    ),
    # write
    "write: out/f.pkl/, inputs: f": (
        "7:14: 'f' is a file, and this is the path of a folder (name the file: write: out/f.pkl/f.csv)"
    ),
    "write: out/site, inputs: d": (
        "7:14: 'd' is a folder, and this is the path of a file (a folder takes the place of another: write: out/site/)"
    ),
    "write: ./, inputs: d": (
        "7:14: what is written takes the place of a folder, and the pipeline file is in this one "
        "(name another one: write: out/site/)"
    ),
    "write: a.csv, inputs: t, outputs: {a: file}": (
        "7:45: a write node makes tables, and 'a' is a file (read the table in a python or run node, and make it there)"
    ),
    "write: a.bin, inputs: t": (
        "7:14: the ending of this file does not tell its format (known are .arrow .feather .ipc .csv .tsv .jsonl "
        ".ndjson .parquet .pq)"
    ),
    # read
    "read: data/a.txt, outputs: {a: .csv}": (
        "7:13: 'data/a.txt' does not end in .csv, and its output does (outputs: {a: .txt})"
    ),
    "read: data, outputs: {a: file}": "7:13: 'data' is a folder, and the output 'a' is a file (outputs: {a: folder})",
    "read: data/a.txt, outputs: {a: folder}": (
        "7:13: 'data/a.txt' is a file, and the output 'a' is a folder (outputs: {a: file})"
    ),
    "read: data/b.txt, outputs: {a: file}": "7:13: there is no file 'data/b.txt' (did you mean 'data/a.txt'?)",
    'read: "data/*.txt", outputs: {a: file}': (
        "7:13: 'data/*.txt' is a pattern, and one file is handed on "
        "(name it; several files are a folder, or an axis: {files: PATTERN})"
    ),
    "read: s3://b/a.pkl, outputs: {a: file}": (
        "7:13: a file is handed on from this machine only (fetch it in a 'run' node, which has it as its output)"
    ),
    "read: data/a.txt, outputs: {a: file}, with: {format: csv}": (
        "7:52: a file is handed on as it is: there is nothing to set (remove it)"
    ),
    "read: data/a.txt, outputs: {a: file, b: file}": "7:25: a read node has one output (leave 'outputs' out)",
    # references
    "run: x, inputs: {a: {from: f, else: t}}": (
        "7:43: 't' is a table, and 'f.f' is a file (both must be tables, files or folders)"
    ),
    "run: x, inputs: {a: {from: d, else: f}}": (
        "7:43: 'f.f' is a file, and 'd.d' is a folder (both must be tables, files or folders)"
    ),
    "run: x, inputs: f.g": "7:23: node 'f' has no output 'g' (there is 'f.f')",
    "run: 'x > $NFRUN_OUTPUT_b', outputs: {a: .pkl}": (
        "7:18: the script reads $NFRUN_OUTPUT_b, which is not set for this node "
        "(there is $NFRUN_OUTPUT_a, $NFRUN_OUTPUT; 'inputs', 'with' and 'outputs' give more)"
    ),
}


@pytest.mark.parametrize("node", WRONG)
def test_a_file_in_the_wrong_place_is_told_when_planning(tmp_path: Path, node: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("a")
    (tmp_path / "steps.py").write_text(STEPS)
    path = tmp_path / "p.yaml"
    path.write_text(f"{BASE}  n: {{{node}}}\n")
    with pytest.raises(SpecError) as caught:
        resolve(path, given={}, params_file=None, environ={}, run_id="run")
    told = [
        f"{d.span.line}:{d.span.column}: {d.message}" + (f" ({d.hint})" if d.hint else "")
        for d in caught.value.diagnostics
    ]
    assert told == [WRONG[node]]


@pytest.mark.parametrize(
    "node",
    [
        'sql: "from read_csv($f)", inputs: f',
        "write: out/site/, inputs: d",
        "write: out/f.anything, inputs: f",
        "read: data, outputs: {a: folder}",
        "read: data/, outputs: {a: folder}",
        "python: 'steps:one', inputs: {f: {from: c, gather: dict}}",
        "run: x, inputs: {c: {from: c, gather: dict}}",
        "run: x, inputs: {a: {from: f, else: c}}, matrix: i",
    ],
)
def test_files_in_the_right_place(tmp_path: Path, node: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "steps.py").write_text(STEPS)
    path = tmp_path / "p.yaml"
    path.write_text(f"{BASE}  n: {{{node}}}\n")
    found = resolve(path, given={}, params_file=None, environ={}, run_id="run")
    assert "n" in {node.partition("@")[0] for node in found.pipeline.nodes}
