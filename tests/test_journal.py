"""What a run leaves in its work folder."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from nfrun.events import Failure, NodeFailed, NodeFinished, RunFinished
from nfrun.journal import Timings, TimingsFile, WorkFolder, new_run_id
from nfrun.spec import Pipeline

NONE = Timings({}, {}, {}, {})


def record(work: WorkFolder, pipeline: str, **seconds: float) -> None:
    work.write_timings(pipeline, work.timings(pipeline).with_run(seconds, {}, ()))


def pipeline(folder: Path) -> Pipeline:
    return Pipeline(str(folder / "p.yaml"), str(folder), "p", "", {}, {}, {}, {})


def test_run_ids_sort_and_differ() -> None:
    ids = [new_run_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{6}", run_id) for run_id in ids)


def test_the_folder_is_beside_the_file_or_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert WorkFolder.beside(pipeline(tmp_path), None).path == tmp_path / ".nfrun"
    assert WorkFolder.beside(pipeline(tmp_path / "a"), Path("w")).path == tmp_path / "w"


def test_a_run_has_a_folder_of_its_own_that_git_and_others_do_not_see(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path / "x" / "work")
    assert work.run_folder("r1") == tmp_path / "x" / "work" / "runs" / "r1"
    assert work.run_folder("r2").is_dir()
    assert (work.path / ".gitignore").read_text() == "*\n"
    assert stat.S_IMODE(work.path.stat().st_mode) == 0o700
    with pytest.raises(FileExistsError):
        work.run_folder("r1")


def test_a_folder_of_the_users_is_not_hidden_from_git(tmp_path: Path) -> None:
    WorkFolder(tmp_path).run_folder("r1")
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]


def test_timings_are_kept_beside_older_ones(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path)
    assert work.timings("some/p.yaml") == NONE
    record(work, "some/p.yaml", a=1.23456789, b=2)
    record(work, "some/p.yaml", b=3)
    assert work.timings("p.yaml").took == {"a": 1.234567, "b": 2.5}, "up by half: beside others a node takes longer"
    record(work, "some/p.yaml", b=1)
    assert work.timings("p.yaml").took == {"a": 1.234567, "b": 1.0}, "down at once"
    assert work.timings("q.yaml") == NONE
    assert [p.name for p in (tmp_path / "timings").iterdir()] == ["p.yaml.json"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("[1]", {}),
        ("{", {}),
        ("[" * 100_000, {}),
        ("\xff", {}),
        ('{"a": 1.5}', {}),
        ('{"took": [1], "thread": {}, "locked": {}, "process": {}}', {}),
        ('{"took": {"a": "x"}, "thread": {}, "locked": {}, "process": {}}', {}),
        (
            '{"took": {"a": 1000000, "d": -1, "e": NaN, "f": Infinity, "h": 1%s}, "thread": {}, "locked": {}, '
            '"process": {}}' % ("0" * 400),
            {"a": 1.0},
        ),
    ],
)  # fmt: skip
def test_timings_that_are_damaged_are_left_out(tmp_path: Path, text: str, found: dict[str, float]) -> None:
    (tmp_path / "timings").mkdir()
    (tmp_path / "timings" / "p.yaml.json").write_bytes(text.encode("latin-1"))
    assert WorkFolder(tmp_path).timings("p.yaml").took == found


def test_what_waited_for_the_lock_is_remembered_by_where_it_ran() -> None:
    first = NONE.with_run({"a": 2.0, "b": 2.0}, {"a": 1.0}, ())
    assert first == Timings({"a": 2.0, "b": 2.0}, {"a": 2.0}, {"a": 1.0}, {})
    second = first.with_run({"a": 1.1}, {}, {"a"})
    assert (second.thread, second.locked, second.process) == ({"a": 2.0}, {"a": 1.0}, {"a": 1.1})
    third = second.with_run({"a": 1.0}, {}, ())
    assert (third.thread, third.locked, third.process) == ({"a": 1.0}, {"a": 0.0}, {"a": 1.1}), "alone it does not wait"


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "timings" / "p.yaml.json").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        WorkFolder(tmp_path).write_timings("p.yaml", NONE)
    assert [p.name for p in (tmp_path / "timings").iterdir()] == ["p.yaml.json"]


def test_the_seconds_of_a_run_are_written_at_its_end(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path)
    listener = TimingsFile(work, "p.yaml", NONE)
    listener.event(NodeFinished(1.0, "a", 1, took=0.5, locked=0.04))
    listener.event(NodeFinished(1.0, "c", 1, took=0.5, locked=0.06))
    listener.event(NodeFailed(1.0, "b", 1, Failure("error", "", "no"), took=0.7))
    assert work.timings("p.yaml").took == {}
    listener.event(RunFinished(2.0, "failed"))
    listener.close()
    assert work.timings("p.yaml") == Timings({"a": 0.5, "c": 0.5}, {"c": 0.5}, {"c": 0.06}, {})


def test_a_run_without_a_good_end_writes_nothing_and_a_full_disk_is_no_matter(tmp_path: Path) -> None:
    listener = TimingsFile(WorkFolder(tmp_path), "p.yaml", NONE)
    listener.event(RunFinished(2.0, "failed"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "timings").write_text("in the way")
    listener.event(NodeFinished(1.0, "a", 1, took=0.5))
    listener.event(RunFinished(2.0, "ok"))
    assert json.dumps([p.name for p in tmp_path.iterdir()]) == '["timings"]'
