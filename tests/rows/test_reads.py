"""The files that calls have read, beside their results."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.core.errors import HandoffError
from nfrun.rows.stream_files import ReadFiles, files_read


def test_what_calls_read_is_there_as_soon_as_it_is_known(tmp_path: Path) -> None:
    reads = ReadFiles(tmp_path / "s" / "1-a.reads")
    reads.add({})
    assert files_read(tmp_path / "s") == {}
    reads.add({"x": "1"})
    assert files_read(tmp_path / "s") == {"1-a": {"x": "1"}}
    reads.add({"y": "2"})
    reads.add({"x": "1"})
    assert files_read(tmp_path / "s") == {"1-a": {"x": "1", "y": "2"}}


def test_a_file_that_changes_while_calls_are_made_and_an_obstacle_rule_out_all_results(tmp_path: Path) -> None:
    changed, obstacle = ReadFiles(tmp_path / "1-a.reads"), ReadFiles(tmp_path / "1-b.reads")
    changed.add({"x": "1"})
    changed.add({"x": "2"})
    obstacle.add({}, "it changed the locale")
    assert files_read(tmp_path) == {"1-a": {"x": "1", "": "'x' was changed"}, "1-b": {"": "it changed the locale"}}


@pytest.mark.parametrize("text", ["", "\n", "{\n", '{"x": "1"}', '{"x": "1"}\n{"y', "[]\n", "7\n", "\x00\n"])
def test_a_damaged_file_rules_out_all_results(text: str, tmp_path: Path) -> None:
    (tmp_path / "1-a.reads").write_text(text)
    assert files_read(tmp_path) == {"1-a": {"": "damaged"}}  # no file has the name ""


def test_errors_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "s").touch()
    with pytest.raises(HandoffError, match=rf"^cannot write {tmp_path}/s/1-a.reads: File exists$"):
        ReadFiles(tmp_path / "s" / "1-a.reads").add({"x": "1"})
