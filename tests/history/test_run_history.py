"""Tests of `RunHistory` on work folders that are intact, damaged or manipulated."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from recorded_lines import rewrite_lines

from nfrun.history import database
from nfrun.history.database import Database, Journal
from nfrun.history.journal import FinishedOutput, RecordedNode, RunHeader
from nfrun.history.run_history import RunHistory, table_path
from nfrun.history.work_dir import WorkDir
from nfrun.system.checksums import bytes_checksum, file_checksum

NAMES = [f"20260101-00000{i}-abcdef" for i in range(3)]


class Trial:
    def __init__(self, path: Path) -> None:
        self.work = WorkDir(path)
        self.warnings: list[str] = []

    def run(
        self,
        number: int,
        data: dict[str, bytes | None],
        *,
        key: str | None = "k",
        pipeline: str = "p.yaml",
        ended: str = "ok",
        parts: Mapping[str, str] | None = None,
        wrote: Mapping[str, str] = {},
    ) -> Path:
        """Make a run in which the node 'a' gave these outputs. None stands for an output without a file."""
        folder = self.work.make_run_folder(NAMES[number])
        outputs = []
        for name, content in data.items():
            path = folder / f"{name}.1.arrow"
            path.write_bytes(content or b"")
            checksum, size = file_checksum(path), path.stat().st_size
            outputs.append(FinishedOutput(name, 1, 8, "n: int64", f"digest of {name}", size, checksum, path.name))
            if content is None:
                path.unlink()
                outputs[-1] = FinishedOutput(name, 1, 8, "n: int64", f"digest of {name}", 9, "", None)
        journal = Journal(folder)
        journal.started(RunHeader(NAMES[number], pipeline, number))
        journal.add(RecordedNode("a", "ok", key, parts or {"text": str(number)}, tuple(outputs), wrote))
        if ended:
            journal.ended(ended)
        journal.close()
        return folder

    def history(self, *, keep_bad: bool = True, pipeline: str = "p.yaml") -> RunHistory:
        return RunHistory(Database(self.work), pipeline, warn=self.warnings.append, keep_bad=keep_bad)


def found(history: RunHistory, output: str) -> Path | None:
    """Return the file of an output of the node 'a' that the last run with it left, or one with the same content."""
    entry = next(history.of_node("a"))
    place = history.find(entry, output)
    return None if place is None else table_path(entry.folder, place)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_the_latest_comes_first(trial: Trial) -> None:
    folders = [trial.run(number, {"a": b"data"}) for number in range(3)]
    history = trial.history()
    assert [end.folder for end in history.of_node("a")] == folders[::-1]
    assert list(history.of_node("b")) == []


def test_runs_of_other_pipelines_are_ignored(trial: Trial) -> None:
    trial.run(0, {"a": b"data"}, pipeline="q.yaml")
    assert list(trial.history().of_node("a")) == []
    assert len([*trial.history(pipeline="q.yaml").of_node("a")]) == 1


def test_a_node_finished_without_a_key_is_found_by_name_only(trial: Trial) -> None:
    trial.run(0, {"a": b"data"}, key=None)
    assert len([*trial.history().of_node("a")]) == 1


def test_entries_are_found_by_key_and_by_definition_without_reading_all_others(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, key in enumerate("xyz"):
        trial.run(number, {"a": b"data"}, key=key)
    read: list[str] = []
    read_node = database.node_of
    monkeypatch.setattr(database, "node_of", lambda line, run: read.append(run.name) or read_node(line, run))
    history = trial.history()
    assert [end.key for end in history.of_key("a", "x")] == ["z", "x"], "the latest one comes with it"
    assert [end.key for end in history.of_key("a", "w")] == ["z"]
    assert read == [NAMES[2], NAMES[0]]
    assert [history.has_definition("a", {"text": text}) for text in ("0", "2", "3")] == [True, True, False]
    assert read == [NAMES[2], NAMES[0], NAMES[0]]
    assert [*history.that_wrote("a")] == []


def test_entries_of_runs_that_wrote_files_are_found_with_each_key(trial: Trial) -> None:
    """Which of the files that a node names are in its key depends on those that it wrote."""
    for number, key in enumerate("xyz"):
        trial.run(number, {}, key=key, wrote={"out.csv": "1"} if key == "y" else {})
    history = trial.history()
    assert [end.key for end in history.of_key("a", "x")] == ["z", "y", "x"]
    assert [end.key for end in history.that_wrote("a")] == ["y"]


def test_inputs_and_files_are_no_part_of_a_definition(trial: Trial) -> None:
    trial.run(0, {}, parts={"text": "new"})
    trial.run(1, {}, parts={"text": "old", "input t": "1", "needs b": "2", "file a.csv": "3"})
    history = trial.history()
    assert history.has_definition("a", {"text": "old"})
    assert not history.has_definition("a", {"text": "older"})


def test_an_unchanged_file_is_used(trial: Trial) -> None:
    folder = trial.run(0, {"a": b"data"})
    history = trial.history()
    assert found(history, "a") == folder / "a.1.arrow"
    assert found(history, "b") is None
    assert trial.warnings == []


def test_the_file_of_another_run_with_the_same_key_is_used(trial: Trial) -> None:
    folder = trial.run(0, {"a": b"data"})
    trial.run(1, {"a": None})
    history = trial.history()
    assert found(history, "a") == folder / "a.1.arrow"


def test_a_missing_file_gives_no_warning(trial: Trial) -> None:
    folder = trial.run(0, {"a": b"data"})
    (folder / "a.1.arrow").unlink()
    history = trial.history()
    assert found(history, "a") is None
    assert trial.warnings == []


def flipped(path: Path) -> None:
    path.write_bytes(b"dat\0")


def cut(path: Path) -> None:
    path.write_bytes(b"dat")


def grown(path: Path) -> None:
    path.write_bytes(b"data and more")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_link(path: Path) -> None:
    other = path.with_name("other")
    path.rename(other)
    path.symlink_to(other)


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("damage", [flipped, cut, grown, a_folder, a_link, a_pipe])
def test_a_damaged_file_is_warned_about_once_and_renamed_and_not_used(trial: Trial, damage: object) -> None:
    path = trial.run(0, {"a": b"data"}) / "a.1.arrow"
    damage(path)  # type: ignore[operator]
    history = trial.history()
    for _ in range(2):
        assert found(history, "a") is None
    assert trial.warnings == [f"{path} is damaged and is not used; it is kept as a.1.arrow.bad"]
    assert not os.path.lexists(path)
    assert os.path.lexists(f"{path}.bad")


def test_without_keep_bad_a_damaged_file_is_not_renamed(trial: Trial) -> None:
    path = trial.run(0, {"a": b"data"}) / "a.1.arrow"
    flipped(path)
    history = trial.history(keep_bad=False)
    assert found(history, "a") is None
    assert trial.warnings == [f"{path} is damaged and is not used"]
    assert path.exists()


def test_a_damaged_file_does_not_hide_a_sound_one(trial: Trial) -> None:
    folder = trial.run(0, {"a": b"data"})
    flipped(trial.run(1, {"a": b"data"}) / "a.1.arrow")
    history = trial.history()
    assert found(history, "a") == folder / "a.1.arrow"
    assert len(trial.warnings) == 1


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "..", ".", "", "sub/a.1.arrow"])
def test_file_names_in_a_journal_cannot_leave_the_folder(trial: Trial, name: str) -> None:
    folder = trial.work.make_run_folder(NAMES[0])
    journal = Journal(folder)
    journal.started(RunHeader(NAMES[0], "p.yaml", 1))
    journal.add(RecordedNode("a", "ok", "k", {}, (FinishedOutput("a", 1, 8, "", "d", 4, "", name),), {}))
    journal.close()
    history = trial.history()
    assert found(history, "a") is None


@pytest.mark.parametrize("home", ["..", "/tmp", ".", "20260101-000000-aaaaaa/..", "link"])
def test_runs_named_in_a_journal_cannot_lead_out_of_the_work_folder(trial: Trial, home: str) -> None:
    (trial.work.path.parent / "a.1.arrow").write_bytes(b"data")
    folder = trial.work.make_run_folder(NAMES[0])
    (folder.parent / "a.1.arrow").write_bytes(b"data")
    (folder.parent / "link").symlink_to(trial.work.path.parent)
    journal = Journal(folder)
    journal.started(RunHeader(NAMES[0], "p.yaml", 1))
    output = FinishedOutput("a", 1, 8, "", "d", 4, bytes_checksum(b"data"), "a.1.arrow", home=home)
    journal.add(RecordedNode("a", "ok", "k", {}, (output,), {}))
    journal.close()
    history = trial.history()
    assert found(history, "a") is None


def test_a_reused_output_is_found_in_the_run_that_made_it(trial: Trial) -> None:
    first = trial.run(0, {"a": b"data"})
    (entry,) = trial.history().of_node("a")
    second = trial.work.make_run_folder(NAMES[1])
    journal = Journal(second)
    journal.started(RunHeader(NAMES[1], "p.yaml", 2))
    outputs = tuple(replace(output, home=first.name) for output in entry.outputs)
    journal.add(replace(entry, outputs=outputs, status="reused"))
    journal.close()
    rewrite_lines(first, lambda line: None)
    history = trial.history()
    assert found(history, "a") == first / "a.1.arrow"


def test_a_journal_without_its_first_line_is_ignored(trial: Trial) -> None:
    folder = trial.work.make_run_folder(NAMES[0])
    journal = Journal(folder)
    journal.add(RecordedNode("a", "ok", "k", {}, (), {}))
    journal.close()
    assert list(trial.history().of_node("a")) == []


def test_an_unreadable_file_is_skipped_and_tried_again_later(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = trial.run(0, {"a": b"data"})

    def refuse(path: Path) -> str:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    with monkeypatch.context() as patched:
        patched.setattr("nfrun.history.run_history.file_checksum", refuse)
        history = trial.history()
        assert found(history, "a") is None
    assert trial.warnings == [f"{folder}/a.1.arrow cannot be read and is not used: Too many open files"]
    history = trial.history()
    assert found(history, "a") == folder / "a.1.arrow"
