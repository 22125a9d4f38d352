"""What is believed of earlier runs, on folders as they leave them and as others may."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from nfrun.cache.history import RunHistory
from nfrun.cache.journal import FinishedNode, FinishedOutput, Journal, RunHeader
from nfrun.cache.work_dir import JOURNAL, WorkDir
from nfrun.system.checksums import file_checksum

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
    ) -> Path:
        """A run in which the node 'a' gave these outputs; None is one whose file that run did not need."""
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
        # Numbers go down on purpose where names go up: a name is no more than a label.
        journal.started(RunHeader(NAMES[number], pipeline, 10 - number))
        journal.finished(FinishedNode("a", key, {"text": str(number)}, tuple(outputs), {}))
        if ended:
            journal.ended(ended)
        journal.close()
        return folder

    def past(self, *, keep_bad: bool = True, pipeline: str = "p.yaml") -> RunHistory:
        return RunHistory(self.work, pipeline, warn=self.warnings.append, keep_bad=keep_bad)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_the_latest_comes_first_by_number_and_not_by_name(trial: Trial) -> None:
    folders = [trial.run(number, {"a": b"data"}) for number in range(3)]
    past = trial.past()
    assert [end.folder for end in past.with_key("k")] == folders
    assert [end.folder for end in past.of_node("a")] == folders
    assert past.with_key("other") == past.of_node("b") == []


def test_other_pipelines_in_the_folder_are_of_no_use(trial: Trial) -> None:
    trial.run(0, {"a": b"data"}, pipeline="q.yaml")
    assert trial.past().with_key("k") == []
    assert len(trial.past(pipeline="q.yaml").with_key("k")) == 1


def test_what_finished_without_a_key_is_an_end_that_nobody_finds(trial: Trial) -> None:
    trial.run(0, {"a": b"data"}, key=None)
    assert len(trial.past().of_node("a")) == 1


def test_a_file_as_it_was_written_is_used(trial: Trial) -> None:
    folder = trial.run(0, {"a": b"data"})
    past = trial.past()
    assert past.find_file(past.with_key("k")[0], "a") == folder / "a.1.arrow"
    assert past.find_file(past.with_key("k")[0], "b") is None
    assert trial.warnings == []


def test_another_run_under_the_same_key_serves_as_well(trial: Trial) -> None:
    trial.run(0, {"a": None})
    folder = trial.run(1, {"a": b"data"})
    past = trial.past()
    assert past.find_file(past.with_key("k")[0], "a") == folder / "a.1.arrow"


def test_what_is_gone_is_no_damage(trial: Trial) -> None:
    folder = trial.run(0, {"a": b"data"})
    (folder / "a.1.arrow").unlink()
    past = trial.past()
    assert past.find_file(past.with_key("k")[0], "a") is None
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
def test_what_is_damaged_is_told_once_kept_and_not_used(trial: Trial, damage: object) -> None:
    path = trial.run(0, {"a": b"data"}) / "a.1.arrow"
    damage(path)  # type: ignore[operator]
    past = trial.past()
    for _ in range(2):
        assert past.find_file(past.with_key("k")[0], "a") is None
    assert trial.warnings == [f"{path} is damaged and is not used; it is kept as a.1.arrow.bad"]
    assert not os.path.lexists(path)
    assert os.path.lexists(f"{path}.bad")


def test_who_only_looks_leaves_damage_where_it_is(trial: Trial) -> None:
    path = trial.run(0, {"a": b"data"}) / "a.1.arrow"
    flipped(path)
    past = trial.past(keep_bad=False)
    assert past.find_file(past.with_key("k")[0], "a") is None
    assert trial.warnings == [f"{path} is damaged and is not used"]
    assert path.exists()


def test_a_damaged_file_does_not_hide_a_sound_one(trial: Trial) -> None:
    flipped(trial.run(0, {"a": b"data"}) / "a.1.arrow")
    folder = trial.run(1, {"a": b"data"})
    past = trial.past()
    assert past.find_file(past.with_key("k")[0], "a") == folder / "a.1.arrow"
    assert len(trial.warnings) == 1


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "..", ".", "", "sub/a.1.arrow"])
def test_no_journal_leads_out_of_its_folder(trial: Trial, name: str) -> None:
    folder = trial.work.make_run_folder(NAMES[0])
    journal = Journal(folder)
    journal.started(RunHeader(NAMES[0], "p.yaml", 1))
    journal.finished(FinishedNode("a", "k", {}, (FinishedOutput("a", 1, 8, "", "d", 4, "", name),), {}))
    journal.close()
    past = trial.past()
    assert past.find_file(past.with_key("k")[0], "a") is None
    assert past.leftovers(past.with_key("k")[0]) == []


@pytest.mark.parametrize("ended", ["failed", "cancelled", ""])
def test_what_a_run_left_that_did_not_end_well_can_be_tidied(trial: Trial, ended: str) -> None:
    folder = trial.run(0, {"a": b"data", "b": None}, ended=ended)
    trial.run(1, {"a": b"data"})
    past = trial.past()
    bad, good = past.with_key("k")
    assert past.leftovers(bad) == [folder / "a.1.arrow"]
    assert past.leftovers(good) == []


def test_a_journal_without_its_first_line_tells_nothing(trial: Trial) -> None:
    path = trial.run(0, {"a": b"data"}) / JOURNAL
    path.write_bytes(path.read_bytes().partition(b"\n")[2])
    assert trial.past().of_node("a") == []


def test_what_cannot_be_read_now_stays_for_another_time(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = trial.run(0, {"a": b"data"})

    def refuse(path: Path) -> str:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    with monkeypatch.context() as patched:
        patched.setattr("nfrun.cache.history.file_checksum", refuse)
        past = trial.past()
        assert past.find_file(past.with_key("k")[0], "a") is None
    assert trial.warnings == [f"{folder}/a.1.arrow cannot be read and is not used: Too many open files"]
    past = trial.past()
    assert past.find_file(past.with_key("k")[0], "a") == folder / "a.1.arrow"
