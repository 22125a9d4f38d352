"""Tests of the index of journals: whatever happened to it, its answers are those of the journals."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from random_seeds import seeds
from written_run import write_run

from nfrun.core.pipeline import OutputId, Pipeline
from nfrun.history import run_index
from nfrun.history.index_tables import IndexedTable
from nfrun.history.journal import (
    FinishedNode,
    FinishedOutput,
    Journal,
    RunHeader,
    UnfinishedNode,
    read_journal,
    with_checksum,
)
from nfrun.history.kept_tables import kept_tables, may_be_over_budget, remove_over_budget
from nfrun.history.run_index import CHECKSUM, INDEX, RunIndex
from nfrun.history.work_dir import JOURNAL, WorkDir

PIPELINES = ("p.yaml", "q.yaml 0123")
NODES = ("a", "b", "c.d")


class Trial:
    """A work folder that is filled with runs, and its index."""

    def __init__(self, path: Path) -> None:
        self.work = WorkDir(path)
        self.number = 0

    def run(
        self,
        *nodes: FinishedNode,
        pipeline: str = "p.yaml",
        ended: str = "ok",
        number: int | None = None,
        save: bool = True,
        unfinished: Sequence[UnfinishedNode] = (UnfinishedNode("u", "failed"),),
    ) -> Path:
        """Make a run in which these nodes finished, each with a file that it made itself."""
        self.number += 1
        number = self.number if number is None else number
        header = RunHeader(f"20260101-{self.number:06}-abcdef", pipeline, number, at=1000.0 + number)
        folder = write_run(self.work, header, nodes, unfinished=unfinished, ended=ended)
        if save:
            with self.index() as index:
                index.save()
        return folder

    def index(self, *, read_only: bool = False) -> closing[RunIndex]:
        return closing(RunIndex(self.work, read_only=read_only))

    def answers(self, *, read_only: bool = False) -> list[object]:
        with self.index(read_only=read_only) as index:
            return answers(index)

    @property
    def file(self) -> Path:
        return self.work.path / INDEX


def finished(node: str, key: str = "k", *, size: int = 8, **more: Any) -> FinishedNode:
    output = FinishedOutput(
        OutputId(node), 1, 8, "n: int64", f"digest {key}", size, "", f"{node}.arrow", shown=node != "c.d"
    )
    return FinishedNode(node, key, {"text": key}, (output,), {}, **more)


def reused(entry: FinishedNode) -> FinishedNode:
    """Return the line of a node that reuses an entry of the index."""
    assert entry.folder is not None
    home = entry.home or entry.folder.name
    outputs = tuple(replace(output, home=output.home or entry.folder.name) for output in entry.outputs)
    return replace(entry, outputs=outputs, reused=True, home=home)


def entries(index: RunIndex, pipeline: str, node: str) -> list[tuple[str, str | None, str]]:
    found = index.entries(pipeline, node)
    return [(entry.folder.name, entry.key, entry.home) for entry in found if entry.folder is not None]


def answers(index: RunIndex) -> list[object]:
    looked_up = [entries(index, pipeline, node) for pipeline in PIPELINES for node in NODES]
    return [looked_up, index.tables()]


def expected_entries(work: WorkDir) -> list[object]:
    """Return what the journals say, read one by one: of several lines with one entry, the latest counts."""
    runs = [run for folder in work.run_folders() if (run := read_journal(folder)).started is not None]
    runs.sort(key=lambda run: (run.started.number, run.started.run), reverse=True)  # type: ignore[union-attr]
    found: list[object] = []
    for pipeline in PIPELINES:
        for node in NODES:
            seen: dict[str, tuple[str, str | None, str]] = {}
            for run in runs:
                for entry in reversed(run.finished):
                    if run.started is not None and run.started.pipeline == pipeline and entry.node == node:
                        seen.setdefault(entry.home or run.folder.name, (run.folder.name, entry.key, entry.home))
            found.append(list(seen.values()))
    return found


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path / "work")


def test_tables_are_listed_with_their_last_use(trial: Trial) -> None:
    first = trial.run(finished("a", duration=2.0), finished("b", size=24, cached=True))
    with trial.index() as index:
        (entry,) = index.entries("p.yaml", "a")
    trial.run(reused(entry), ended="failed")
    killed = trial.run(finished("gone"), ended="", pipeline="q.yaml 0123")
    (killed / "gone.arrow").unlink()
    content = "digest k "
    a = IndexedTable(first.name, "a.arrow", "p.yaml", "a", "k", content, 8, 2.0, 2, cached=False, needed=True)
    b = IndexedTable(first.name, "b.arrow", "p.yaml", "b", "k", content, 24, 0.0, 1, cached=True, needed=True)
    with trial.index() as index:
        assert index.tables() == [(first / "a.arrow", a), (first / "b.arrow", b)]
        assert index.table_bytes() == 32


def test_shown_are_the_outputs_of_the_last_run_and_of_the_last_good_one(trial: Trial) -> None:
    for ended in ("ok", "ok", "failed", "failed"):
        trial.run(finished("a"), ended=ended)
    with trial.index() as index:
        assert [(table.number, table.needed) for _, table in index.tables()] == [
            (4, True),
            (3, False),
            (2, True),
            (1, False),
        ]


def test_when_the_last_good_run_is_removed_the_one_before_counts(trial: Trial) -> None:
    def unshown(entry: FinishedNode) -> FinishedNode:
        return replace(entry, outputs=(replace(entry.outputs[0], shown=False),))

    first = trial.run(finished("a"), unshown(finished("b")))
    with trial.index() as index:
        a, b = (reused(next(index.entries("p.yaml", name))) for name in "ab")
    second = trial.run(a, replace(b, outputs=(replace(b.outputs[0], shown=True),)))
    trial.run(unshown(a), unshown(b), ended="failed")
    shutil.rmtree(second)
    with trial.index() as index:
        found = {path: table.needed for path, table in index.tables() if path.parent == first}
    assert found == {first / "a.arrow": True, first / "b.arrow": False}


def test_a_table_that_was_made_again_and_one_without_a_line_cost_nothing_to_remove(trial: Trial) -> None:
    first, second = (trial.run(finished("a", duration=2.0)) for _ in range(2))
    killed = trial.run(finished("b", duration=3.0), ended="", pipeline="q.yaml 0123", save=False)
    (killed / "orphan.arrow").write_bytes(b"....")
    with trial.index() as index:
        found = {table.path: (table.seconds, table.is_protected) for table in kept_tables(index)}
        assert found == {
            first / "a.arrow": (0.0, False),
            second / "a.arrow": (2.0, True),
            killed / "b.arrow": (3.0, True),
            killed / "orphan.arrow": (0.0, False),
        }
        busy = {table.path: table.is_protected for table in kept_tables(index, ["q.yaml 0123"])}
        assert busy[killed / "orphan.arrow"]


def test_a_table_that_comes_back_is_listed_and_counts_again_once_it_is_reused(trial: Trial) -> None:
    first = trial.run(finished("a"), finished("b"))
    with trial.index() as index:
        a = next(index.entries("p.yaml", "a"))
        (first / "a.arrow").rename(first / "away")
        assert [path.name for path, _ in index.tables()] == ["b.arrow"]
        assert index.table_bytes() == 8
        trial.run(reused(a))
    with trial.index() as index:
        assert index.table_bytes() == 8
    (first / "away").rename(first / "a.arrow")
    trial.run(reused(a))
    with trial.index() as index:
        assert index.table_bytes() == 16
        (first / "b.arrow").rename(first / "away")
        index.tables()
        (first / "away").rename(first / "b.arrow")
        assert [path.name for path, _ in index.tables()] == ["a.arrow", "b.arrow"]
        assert index.table_bytes() == 16


def test_an_index_that_is_damaged_while_it_is_open_is_not_taken_for_whole(trial: Trial) -> None:
    folder = trial.run(finished("a"))
    with trial.index() as index:
        index.table_bytes()
        data = trial.file.read_bytes()
        trial.file.write_bytes(data.replace(b"digest k", b"digest j"))
        (folder / "a.arrow").unlink()
        before = (trial.work.path / CHECKSUM).read_bytes()
        assert index.tables() == []
        assert (trial.work.path / CHECKSUM).read_bytes() == before


@pytest.mark.parametrize("ended", ["failed", ""])
def test_a_table_without_a_line_counts_and_its_folder_is_listed_once(
    trial: Trial, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the disk was full while the journal was written, or the run was killed."""
    folder = trial.run(finished("a", duration=1.0), ended=ended, save=False)
    (folder / "b.arrow").write_bytes(b"." * 24)
    (folder / "c.arrow.partial").write_bytes(b"." * 24)
    with trial.index() as index:
        assert index.table_bytes() == 32
        assert not may_be_over_budget(trial.work.path, index, 32)
        assert may_be_over_budget(trial.work.path, index, 31)
    trial.run(finished("a", "k2"))

    def refuse(folder: Path) -> None:
        raise AssertionError(f"{folder} is listed")

    with monkeypatch.context() as patched:
        patched.setattr(run_index, "names_in", refuse)
        with trial.index() as index:
            assert not may_be_over_budget(trial.work.path, index, 40)
    with trial.index() as index:
        assert remove_over_budget(trial.work.path, kept_tables(index), 16) == (16, 16)
    assert not (folder / "b.arrow").exists()


def test_what_a_run_writes_without_a_line_before_it_is_killed_counts(trial: Trial) -> None:
    spec = Pipeline("p.yaml", str(trial.work.path.parent), "p", "", {}, {}, {}, {})
    with trial.work.start_run(spec) as start:
        folder = trial.work.make_run_folder(start.run)
        journal = Journal(folder)
        journal.started(RunHeader(start.run, "p.yaml", start.number))
        (folder / "a.arrow").write_bytes(b"." * 8)
        trial.run(finished("b"), pipeline="q.yaml 0123")
        with trial.index() as index:
            assert index.table_bytes() == 16
        (folder / "c.arrow").write_bytes(b"." * 8)
        journal.finished(finished("a"))
        with trial.index() as index:
            assert index.table_bytes() == 24
        (folder / "d.arrow").write_bytes(b"." * 8)
        journal.close()
    with trial.index(read_only=True) as index:
        assert sorted(path.name for path, _ in index.tables()) == ["a.arrow", "b.arrow", "c.arrow", "d.arrow"]
    with trial.index() as index:
        assert index.table_bytes() == 32


def test_what_unfinished_nodes_of_the_last_run_read_is_protected(trial: Trial) -> None:
    def entry(name: str) -> FinishedNode:
        return replace(finished(name), outputs=(replace(finished(name).outputs[0], shown=False),))

    unfinished = [
        UnfinishedNode("x", "failed", inputs=("a",)),
        UnfinishedNode("y", "skipped", inputs=("x", "b")),
        UnfinishedNode("z", "skipped", inputs=("c",), tolerated=True),
    ]
    folder = trial.run(*map(entry, "abc"), unfinished=unfinished, ended="failed")

    def protected() -> list[str]:
        with trial.index() as index:
            return sorted(table.path.name for table in kept_tables(index) if table.is_protected)

    assert protected() == ["a.arrow", "b.arrow"]
    with trial.index() as index:
        again = [reused(next(index.entries("p.yaml", name))) for name in "abc"]
    trial.run(finished("q"), pipeline="q.yaml 0123")
    trial.run(*again, unfinished=unfinished[:1], ended="failed")
    assert protected() == ["a.arrow", "q.arrow"]
    trial.run(*again, unfinished=[])
    assert protected() == ["q.arrow"]
    assert (folder / "a.arrow").exists()


def test_the_time_of_a_node_is_shared_out_by_the_sizes_of_its_tables(trial: Trial) -> None:
    outputs = [
        replace(finished("a").outputs[0], id=OutputId("a", name), file=f"{name}.arrow", size=size)
        for name, size in (("x", 8), ("y", 24))
    ]
    trial.run(replace(finished("a"), outputs=tuple(outputs), duration=2.0))
    with trial.index() as index:
        assert {table.output: table.seconds for _, table in index.tables()} == {"a.x": 0.5, "a.y": 1.5}


def test_entries_come_from_the_latest_run_of_the_pipeline_first(trial: Trial) -> None:
    folders = [trial.run(finished("a", f"k{number}")) for number in range(3)]
    trial.run(finished("a"), pipeline="q.yaml 0123")
    with trial.index() as index:
        found = entries(index, "p.yaml", "a")
    assert found == [(folder.name, f"k{number}", "") for number, folder in reversed([*enumerate(folders)])]


def test_a_reused_entry_takes_the_place_of_the_one_that_it_reuses(trial: Trial) -> None:
    trial.run(finished("a"))
    trial.run(finished("a", "other"))
    for number in range(20):
        with trial.index() as index:
            *_, oldest = index.entries("p.yaml", "a")
        assert oldest.key == ("k", "other")[number % 2]
        last = trial.run(reused(oldest), save=number % 3 == 0)
    with trial.index() as index:
        found = entries(index, "p.yaml", "a")
        assert [key for _, key, _ in found] == ["other", "k"]
        assert found[0][0] == last.name
    with closing(sqlite3.connect(trial.file)) as db:
        assert db.execute("select count(*) from entries").fetchone() == (2,)


@pytest.mark.parametrize("read_only", [False, True])
def test_of_two_lines_of_a_node_in_a_run_the_later_comes_first(trial: Trial, read_only: bool) -> None:
    """So it is where a node was reused, and then its table was made again."""
    for number in range(3):
        home = f"{3 * number}-20250101-000000"  # as texts, they are before and after the id of the run
        before = replace(finished("a"), outputs=(replace(finished("a").outputs[0], home=home),), home=home)
        trial.run(replace(before, reused=True), finished("b"), finished("a"))
    first, second, third = (folder.name for folder in trial.work.run_folders())
    with trial.index(read_only=read_only) as index:
        assert [run + home for run, _, home in entries(index, "p.yaml", "a")] == [
            third,
            f"{third}6-20250101-000000",
            second,
            f"{second}3-20250101-000000",
            first,
            f"{first}0-20250101-000000",
        ]


def test_only_the_lines_that_are_asked_for_are_read(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        trial.run(finished("a", f"k{number}"), finished("b"))
    read: list[int] = []
    pread = os.pread

    def counted(file: int, size: int, at: int) -> bytes:
        read.extend([size] if size > 32 else [])  # a checksum has that
        return pread(file, size, at)

    def refuse(path: Path) -> bytes:
        raise AssertionError(f"{path} is read")

    monkeypatch.setattr("nfrun.history.run_index.os.pread", counted)
    monkeypatch.setattr("nfrun.history.run_index.read_regular_file", refuse)
    with trial.index() as index:
        found = index.entries("p.yaml", "a")
        assert [next(found).key, next(found).key] == ["k19", "k18"]
    assert len(read) == 2


def no_index(file: Path) -> None:
    file.unlink()


def not_a_database(file: Path) -> None:
    file.write_bytes(b"hello\n" * 10_000)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def of_another_version(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("pragma user_version = 99")


def without_a_table(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("drop table entries")


def a_link(file: Path) -> None:
    file.rename(file.with_name("other"))
    file.symlink_to("other")


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


DAMAGES = [no_index, not_a_database, empty, cut, of_another_version, without_a_table, a_link, a_folder, a_pipe]


def states(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """Return what shows a change of a file, by path."""
    found = {path: path.lstat() for path in folder.rglob("*")}
    return {path: (file.st_ino, file.st_size, file.st_mtime_ns) for path, file in found.items()}


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_index_is_made_anew(trial: Trial, damage: Callable[[Path], None], read_only: bool) -> None:
    fill(trial, random.Random(1), 12)
    expected = trial.answers()
    damage(trial.file)
    before = states(trial.work.path)
    assert trial.answers(read_only=read_only) == expected
    if read_only:
        assert states(trial.work.path) == before
    assert trial.answers() == expected


def test_a_database_of_somebody_else_is_kept_under_another_name(trial: Trial) -> None:
    trial.run(finished("a"), save=False)
    with closing(sqlite3.connect(trial.file)) as db:
        db.execute("create table mine (n)")
    with trial.index() as index:
        assert len(entries(index, "p.yaml", "a")) == 1
    with closing(sqlite3.connect(trial.file.with_name("index.db.bad"))) as db:
        assert db.execute("select * from mine").fetchall() == []


def fill(trial: Trial, chance: random.Random, count: int) -> None:
    """Make runs at random: nodes run or are reused, runs end well, badly or not at all, and some are removed."""
    for _ in range(count):
        pipeline = chance.choice(PIPELINES)
        nodes = []
        for name in chance.sample(NODES, chance.randrange(1, 4)):
            with trial.index() as index:
                before = list(index.entries(pipeline, name))
            if before and chance.random() < 0.6:
                nodes.append(reused(chance.choice(before)))
                if chance.random() < 0.3:  # its table was made again
                    nodes.append(finished(name, f"k{chance.randrange(3)}"))
            else:
                nodes.append(finished(name, f"k{chance.randrange(3)}", cached=chance.random() < 0.2))
        ended, save = chance.choice(("ok", "ok", "failed", "")), chance.random() < 0.7
        folder = trial.run(*nodes, pipeline=pipeline, ended=ended, save=save)
        if not ended and chance.random() < 0.5:  # as a kill leaves it
            os.truncate(folder / JOURNAL, chance.randrange((folder / JOURNAL).stat().st_size))
        if chance.random() < 0.15:
            shutil.rmtree(chance.choice(trial.work.run_folders()))


@pytest.mark.parametrize("seed", seeds(2, 6))
def test_the_index_gives_what_the_journals_say(trial: Trial, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(6):
        fill(trial, chance, 5)
        written = trial.answers()
        assert written[0] == expected_entries(trial.work)
        trial.file.unlink(missing_ok=True)
        assert trial.answers(read_only=True) == written
        if chance.random() < 0.5:
            assert trial.answers() == written


@pytest.mark.parametrize("seed", seeds(2, 8))
def test_damaged_bytes_of_journals_lose_their_lines_only(trial: Trial, seed: int) -> None:
    chance = random.Random(seed)
    fill(trial, chance, 10)
    for folder in chance.sample(trial.work.run_folders(), 4):
        data = bytearray((folder / JOURNAL).read_bytes())
        inner = [at for at in range(data.find(b"\n") + 1, len(data)) if data[at] != 10]
        if inner:  # what the first line says is in the index
            data[chance.choice(inner)] ^= 1 << chance.randrange(3)
            (folder / JOURNAL).write_bytes(data)
    assert trial.answers()[0] == expected_entries(trial.work)


def test_a_folder_merged_from_two_has_the_runs_of_both(trial: Trial, tmp_path: Path) -> None:
    other = Trial(tmp_path / "other")
    other.number = 100
    for each in (trial, other):
        fill(each, random.Random(each.number), 8)
    for number, folder in enumerate(other.work.run_folders()):
        target = trial.work.path / "runs" / folder.name
        shutil.copytree(folder, target)
        if number % 2:  # with the number of a run that is here
            lines = (target / JOURNAL).read_bytes().split(b"\n")
            header = json.loads(lines[0])
            del header["check"]
            line = with_checksum(json.dumps({**header, "number": number}))
            (target / JOURNAL).write_bytes(line + b"\n".join(lines[1:]))
    merged = trial.answers()
    assert merged[0] == expected_entries(trial.work)
    trial.file.unlink()
    assert trial.answers() == merged


def test_a_locked_index_is_left_alone_and_brought_up_to_date_later(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nfrun.history.run_index._BUSY_SECONDS", 0)
    trial.run(finished("a", "k1"))
    with closing(sqlite3.connect(trial.file, isolation_level=None)) as other:
        other.execute("begin exclusive")
        trial.run(finished("a", "k2"))
        before = trial.file.read_bytes()
        assert trial.answers()[0] == expected_entries(trial.work)
        assert trial.file.read_bytes() == before
    assert trial.answers()[0] == expected_entries(trial.work)
    assert trial.file.read_bytes() != before


def test_a_full_disk_is_no_error(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.run(finished("a", "k1"))
    before = trial.file.read_bytes()

    def full(db: sqlite3.Connection, *_: object, **__: object) -> None:
        db.execute("pragma max_page_count = 1")
        db.execute("create table much as select randomblob(100000)")

    with monkeypatch.context() as patched:
        patched.setattr("nfrun.history.run_index.add_run", full)
        trial.run(finished("a", "k2"))
    assert trial.file.read_bytes() == before
    assert trial.answers()[0] == expected_entries(trial.work)


def test_an_index_without_write_permission_is_read_and_a_stale_one_copied(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial.run(finished("a", "k1"))
    trial.run(finished("a", "k2"), save=False)
    before = trial.file.read_bytes()
    assert trial.answers(read_only=True)[0] == expected_entries(trial.work)
    assert trial.file.read_bytes() == before
    assert sorted(path.name for path in trial.work.path.iterdir()) == [INDEX, CHECKSUM, "runs"]


def test_a_run_that_ends_while_another_waits_for_the_index_stays_in_it(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial.run(finished("a"))
    original = run_index.open_checksum

    def after_another_run(path: Path, *, read_only: bool) -> AbstractContextManager[int]:
        monkeypatch.setattr(run_index, "open_checksum", original)
        trial.run(finished("b"), pipeline="q.yaml 0123")
        return original(path, read_only=read_only)

    monkeypatch.setattr(run_index, "open_checksum", after_another_run)
    with trial.index() as index:
        index.save()
    with closing(sqlite3.connect(trial.file)) as db:
        assert db.execute("select count(*) from runs").fetchone() == (2,)


def test_tables_of_a_run_that_ended_meanwhile_are_not_taken_for_gone(trial: Trial) -> None:
    trial.run(finished("a"))
    with trial.index() as index:
        index.tables()
        later = trial.run(finished("b"), pipeline="q.yaml 0123")
        index.tables()
    with trial.index() as index:
        assert later / "b.arrow" in {path for path, _ in index.tables()}


SAVES = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], str(Path(sys.argv[1]).parent)]
from test_run_index import Trial, finished
trial = Trial(Path(sys.argv[2]))
trial.number = int(sys.argv[3])
for number in range(25):
    trial.run(finished("a", f"k{number}"), pipeline=sys.argv[4])
"""


def test_runs_may_end_at_once(trial: Trial) -> None:
    here = str(Path(__file__).parent)
    words = [(str(1000 * i), pipeline) for i, pipeline in enumerate(PIPELINES)]
    started = [
        subprocess.Popen([sys.executable, "-c", SAVES, here, str(trial.work.path), *more], stderr=subprocess.PIPE)
        for more in words
    ]
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    with closing(sqlite3.connect(trial.file)) as db:
        assert db.execute("select count(*) from runs").fetchone() == (50,)
    assert trial.answers()[0] == expected_entries(trial.work)


@pytest.mark.parametrize("seed", seeds(4, 20))
def test_an_index_with_damaged_bytes_is_made_anew(trial: Trial, seed: int) -> None:
    chance = random.Random(seed)
    fill(trial, chance, 6)
    expected = trial.answers()
    data = bytearray(trial.file.read_bytes())
    for _ in range(chance.choice((1, 1, 5, 100))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    trial.file.write_bytes(data)
    assert trial.answers(read_only=True) == expected
    assert trial.answers() == expected
    assert trial.file.read_bytes() != bytes(data)


def test_an_index_of_half_of_the_runs_is_completed(trial: Trial) -> None:
    fill(trial, random.Random(3), 6)
    half = {path.name: path.read_bytes() for path in trial.work.path.iterdir() if path.is_file()}
    fill(trial, random.Random(4), 6)
    expected = trial.answers()
    for name, data in half.items():
        (trial.work.path / name).write_bytes(data)
    assert trial.answers(read_only=True) == expected
    assert trial.answers() == expected
