"""Cells of a matrix that are switched off or fail: what gathers them goes on, and what is reused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import forked
import pyarrow as pa

FILE = r"""
params: {bad: b}
matrix: {k: [a, b, c]}
nodes:
  one:
    matrix: k
    run: 'test $NFRUN_WITH_k != $NFRUN_WITH_bad && echo "{\"x\": \"$NFRUN_WITH_k\"}" > $NFRUN_OUTPUT'
    with: {k: "${{ matrix.k }}", bad: "${{ params.bad }}"}
    format: jsonl
    continue_on_error: true
  judged: {matrix: k, if: "${{ matrix.k != 'c' }}", sql: "select x || '!' as x from one", inputs: one}
  scored: {matrix: k, sql: select * from j, inputs: {j: {from: judged, else: one}}}
  all: {sql: select * from s order by x, inputs: {s: {from: scored, gather: concat}}}
  count: {python: "steps:count", inputs: {s: {from: scored, gather: dict}}}
outputs: {all: all, count: count, scored: scored}
"""


def run(folder: Path, *arguments: str) -> tuple[dict[str, list[str]], dict[str, Any], str]:
    """Run the pipeline well. Returns the nodes by status, the rows of its tables by name, and what was said."""
    (folder / "p.yaml").write_text(FILE)
    (folder / "steps.py").write_text("def count(s):\n    return {'keys': ','.join(s)}\n")
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml", "--json", *arguments]
    done = forked.run(command, cwd=folder, capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    nodes: dict[str, list[str]] = {}
    for name, node in document["nodes"].items():
        nodes.setdefault(node["status"], []).append(name)
    files = {name: output["path"] for name, output in document["outputs"].items()}
    tables = {name: pa.ipc.open_file(pa.memory_map(file)).read_all().to_pylist() for name, file in files.items()}
    return nodes, tables, done.stderr


def test_what_gathers_goes_on_without_cells_that_are_absent(tmp_path: Path) -> None:
    nodes, tables, told = run(tmp_path)
    assert {status: nodes[status] for status in ("failed", "skipped", "disabled")} == {
        "failed": ["one@b"],
        "skipped": ["judged@b", "scored@b"],
        "disabled": ["judged@c"],
    }
    assert tables["all"] == [{"k": "a", "x": "a!"}, {"k": "c", "x": "c"}]
    assert tables["count"] == [{"keys": "a,c"}]
    assert "scored@b" not in tables
    assert "node 'one@b' failed (tolerated)" in told
    nodes, _, _ = run(tmp_path)
    assert nodes["failed"] == ["one@b"], "it runs again"
    assert {"all", "count", "scored@a"} <= set(nodes["reused"]), "they get what they got before"
    nodes, tables, _ = run(tmp_path, "-p", "bad=none")
    assert tables["count"] == [{"keys": "a,b,c"}], "a cell that is there again"
    assert [row["x"] for row in tables["all"]] == ["a!", "b!", "c"]
    assert {"judged@a", "scored@a", "scored@c"} == set(nodes["reused"])


def test_what_gathers_is_absent_if_all_cells_are(tmp_path: Path) -> None:
    text = FILE.replace("test $NFRUN_WITH_k != $NFRUN_WITH_bad", "false")
    (tmp_path / "p.yaml").write_text(text)
    (tmp_path / "steps.py").write_text("def count(s): pass\n")
    done = forked.run(
        [sys.executable, "-m", "nfrun", "run", "p.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "the output 'all' is absent: node 'all' was skipped\n" in done.stderr
    assert "p: ok, 3 failed (tolerated), 7 skipped, " in done.stderr
