"""Tests of the files by which nfrun calls the code of nodes."""

from __future__ import annotations

from pathlib import Path

from nfrun.code.watch.run_watch import _CALLERS


def test_the_files_that_call_the_code_of_nodes_are_there() -> None:
    assert [file for file in _CALLERS if not Path(file).is_file()] == []
