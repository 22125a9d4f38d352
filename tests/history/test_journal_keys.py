"""Tests of the JSON keys of journal lines, which `nfrun show --events` prints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from recorded_lines import lines_of

from nfrun.core.errors import Cause
from nfrun.core.events import Failure, Frame
from nfrun.history.database import Journal, read_journal
from nfrun.history.journal import FinishedOutput, RecordedNode, RunHeader, contents_of
from nfrun.history.work_dir import WorkDir

LINES = (
    '{"event": "started", "run": "r", "pipeline": "p.yaml", "number": 3, "at": 9.5, "command": ["nfrun"],'
    ' "params": {"n": 1}, "versions": {"python": "3"}, "host": "h"}',
    '{"event": "finished", "node": "a", "status": "ok", "key": "k", "key_inputs": {"text": "t"},'
    ' "outputs": [{"id": "a", "rows": 2, "bytes": 16, "schema": "x: int64",'
    ' "digest": "d", "size": 512, "checksum": "c", "file": "a.1.arrow", "schema_digest": "s",'
    ' "home": "q", "shown": true}], "wrote": {"out.csv": "w"}, "duration": 1.5, "cached": true,'
    ' "reads": {"in.csv": "r"}, "obstacle": "o", "started": 0.5, "attempts": 2, "reason": "why"}',
    '{"event": "unfinished", "node": "b", "status": "failed", "duration": 0.25, "started": 0.5, "attempts": 1,'
    ' "reason": "why", "failure": {"cause": "error", "type": "T",'
    ' "message": "m", "frames": [{"file": "s.py", "line": 1, "function": "f", "source": "x"}], "details": "d",'
    ' "inputs": ["i"]}, "inputs": ["a", "c.x"]}',
    '{"event": "ended", "status": "failed", "at": 10.5, "duration": 0.75, "counts": {"ok": 1, "failed": 1}}',
)
HEADER = RunHeader("r", "p.yaml", 3, 9.5, ("nfrun",), {"n": 1}, {"python": "3"}, "h")
OUTPUT = FinishedOutput("a", 2, 16, "x: int64", "d", 512, "c", "a.1.arrow", "s", "q", True)
NODE = RecordedNode(
    *("a", "ok", "k", {"text": "t"}, (OUTPUT,), {"out.csv": "w"}, 1.5),
    cached=True,
    reads={"in.csv": "r"},
    obstacle="o",
    started=0.5,
    attempts=2,
    reason="why",
)
FAILURE = Failure(Cause.NODE, "T", "m", (Frame("s.py", 1, "f", "x"),), "d", ("i",))
UNFINISHED = RecordedNode(
    "b", "failed", failure=FAILURE, attempts=1, started=0.5, duration=0.25, reason="why", inputs=("a", "c.x")
)


def test_a_journal_is_written_with_these_keys(tmp_path: Path) -> None:
    folder = WorkDir(tmp_path).make_run_folder(HEADER.run)
    journal = Journal(folder)
    journal.started(HEADER)
    journal.add(NODE)
    journal.add(UNFINISHED)
    journal.ended("failed", at=10.5, duration=0.75, counts={"ok": 1, "failed": 1})
    journal.close()
    written = lines_of(folder)
    expected = [json.loads(line) for line in LINES]
    assert [list(line) for line in written] == [list(line) for line in expected]
    assert written == expected


def test_a_journal_with_these_keys_is_read(tmp_path: Path) -> None:
    found = contents_of(tmp_path, map(json.loads, LINES))
    assert (found.started, found.ended, found.unfinished) == (HEADER, "failed", (UNFINISHED,))
    (node,) = found.finished
    assert (node.key_inputs, node.duration, node.outputs) == ({"text": "t"}, 1.5, (OUTPUT,))
    assert (node.reads, node.obstacle) == ({"in.csv": "r"}, "o")


def test_only_lines_of_cells_have_a_matrix(tmp_path: Path) -> None:
    cell = {"model": "lr", "fold": 0}
    nodes = (replace(NODE, of="a", cell=cell), NODE)
    unfinished = (replace(UNFINISHED, of="b", cell=cell), UNFINISHED)
    folder = WorkDir(tmp_path).make_run_folder(HEADER.run)
    journal = Journal(folder)
    journal.started(HEADER)
    for node in nodes:
        journal.add(node)
    journal.add(*unfinished)
    journal.close()
    lines = lines_of(folder)[1:]
    assert [(line.get("of"), line.get("cell")) for line in lines] == [
        ("a", cell), (None, None), ("b", cell), (None, None)
    ]  # fmt: skip
    found = read_journal(folder)
    assert [(node.of, node.cell) for node in found.finished] == [("a", cell), ("", {})]
    assert found.unfinished == unfinished
