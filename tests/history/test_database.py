"""Tests of the database of a work folder: lookups, kept tables, damage, and several or killed writers."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from random_seeds import seeds
from recorded_lines import lines_of
from written_run import write_run

from nfrun.core.errors import HandoffError
from nfrun.core.pipeline import OutputId
from nfrun.history import database_file
from nfrun.history.database import DATABASE, Database, Journal, KeptTable
from nfrun.history.journal import FinishedOutput, RecordedNode, RunHeader
from nfrun.history.kept_tables import remove_unrecorded
from nfrun.history.work_dir import WorkDir
from nfrun.system.mounts import Mount

PIPELINES = ("p.yaml", "q.yaml 0123")
NODES = ("a", "b", "c.d")


class Trial:
    """A work folder that is filled with runs, and its database."""

    def __init__(self, path: Path) -> None:
        self.work = WorkDir(path)
        self.number = 0
        self.told: list[str] = []

    def run(
        self,
        *nodes: RecordedNode,
        pipeline: str = "p.yaml",
        ended: str = "ok",
        unfinished: Sequence[RecordedNode] = (RecordedNode("u", "failed"),),
    ) -> Path:
        """Make a run in which these nodes finished, each with a file that it made itself."""
        self.number += 1
        header = RunHeader(f"20260101-{self.number:06}-abcdef", pipeline, self.number, at=1000.0 + self.number)
        return write_run(self.work, header, nodes, unfinished=unfinished, ended=ended)

    def database(self, *, read_only: bool = False) -> closing[Database]:
        return closing(Database(self.work, None if read_only else self.told.append))

    def answers(self, *, read_only: bool = False) -> list[object]:
        with self.database(read_only=read_only) as found:
            return answers(found)

    @property
    def file(self) -> Path:
        return self.work.path / DATABASE


def finished(node: str, key: str = "k", *, size: int = 8, **more: Any) -> RecordedNode:
    output = FinishedOutput(
        OutputId(node), 1, 8, "n: int64", f"digest {key}", size, "", f"{node}.arrow", shown=node != "c.d"
    )
    return RecordedNode(node, "ok", key, {"text": key}, (output,), {}, **more)


def reused(entry: RecordedNode) -> RecordedNode:
    """Return the line of a node that reuses an entry."""
    assert entry.folder is not None
    home = entry.home or entry.folder.name
    outputs = tuple(replace(output, home=output.home or entry.folder.name) for output in entry.outputs)
    return replace(entry, outputs=outputs, status="reused", home=home)


def entries(found: Database, pipeline: str, node: str) -> list[tuple[str, str | None, str]]:
    listed = found.entries(pipeline, node)
    return [(entry.folder.name, entry.key, entry.home) for entry in listed if entry.folder is not None]


def answers(found: Database) -> list[object]:
    looked_up = [entries(found, pipeline, node) for pipeline in PIPELINES for node in NODES]
    return [looked_up, found.tables()]


def recorded_entries(trial: Trial) -> list[list[tuple[str, str | None, str]]]:
    """Return what all lines say, read one by one, by pipeline and node, the latest first."""
    with trial.database(read_only=True) as known:
        runs = [(run.header.pipeline, known.contents(run.folder.name)) for run in known.runs()]
    return [
        [
            (run.folder.name, entry.key, entry.home)
            for name, run in runs
            for entry in reversed(run.finished)
            if name == pipeline and entry.node == node
        ]
        for pipeline in PIPELINES
        for node in NODES
    ]


def expected_entries(trial: Trial) -> list[object]:
    """Return the entries that are found: of several lines with one entry, the latest counts."""
    found: list[object] = []
    for entries in recorded_entries(trial):
        seen: dict[str, tuple[str, str | None, str]] = {}
        for run, key, home in entries:
            seen.setdefault(home or run, (run, key, home))
        found.append(list(seen.values()))
    return found


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    (tmp_path / "work").mkdir()
    return Trial(tmp_path / "work")


def test_tables_are_listed_with_their_last_use(trial: Trial) -> None:
    first = trial.run(finished("a", duration=2.0), finished("b", size=24, cached=True))
    with trial.database() as found:
        (entry,) = found.entries("p.yaml", "a")
    trial.run(reused(entry), ended="failed")
    killed = trial.run(finished("gone"), ended="", pipeline="q.yaml 0123")
    (killed / "gone.arrow").unlink()
    a = KeptTable(first / "a.arrow", 8, 2.0, 2, is_protected=True)
    b = KeptTable(first / "b.arrow", 24, 0.0, 1, is_protected=True)
    with trial.database() as found:
        assert found.tables() == [a, b]
        assert found.table_bytes() == 40, "until nfrun removes one itself"


def test_shown_are_the_outputs_of_the_last_run_and_of_the_last_good_one(trial: Trial) -> None:
    for ended in ("ok", "ok", "failed", "failed"):
        trial.run(finished("a"), ended=ended)
    with trial.database() as found:
        assert [(table.last_used, table.is_protected) for table in found.tables()] == [
            (4, True),
            (3, False),
            (2, True),
            (1, False),
        ]


def test_when_the_last_good_run_is_removed_the_one_before_counts(trial: Trial) -> None:
    def unshown(entry: RecordedNode) -> RecordedNode:
        return replace(entry, outputs=(replace(entry.outputs[0], shown=False),))

    first = trial.run(finished("a"), unshown(finished("b")))
    with trial.database() as found:
        a, b = (reused(next(found.entries("p.yaml", name))) for name in "ab")
    second = trial.run(a, replace(b, outputs=(replace(b.outputs[0], shown=True),)))
    trial.run(unshown(a), unshown(b), ended="failed")
    with trial.database() as found:
        found.remove([second.name])
        needed = {table.path: table.is_protected for table in found.tables() if table.path.parent == first}
    assert needed == {first / "a.arrow": True, first / "b.arrow": False}


def test_a_table_that_was_made_again_costs_nothing_to_remove(trial: Trial) -> None:
    first, second = (trial.run(finished("a", duration=2.0)) for _ in range(2))
    with trial.database() as found:
        kept = {table.path: (table.seconds, table.is_protected) for table in found.tables()}
        assert kept == {first / "a.arrow": (0.0, False), second / "a.arrow": (2.0, True)}
        busy = {table.path: table.is_protected for table in found.tables(["p.yaml"])}
        assert busy == {first / "a.arrow": True, second / "a.arrow": True}


def test_what_ended_runs_have_written_without_a_line_is_removed_once(trial: Trial) -> None:
    """As where the disk was full while the line was written, or the run was killed."""
    folders = [trial.run(finished("a"), ended=ended) for ended in ("failed", "")]
    under_way = trial.run(finished("b"), ended="", pipeline="q.yaml 0123")
    names = ("b.arrow", "c.1.bin", "c.2.tar.gz", "a.arrow.bad", "d.arrow.partial", "notes.json")
    for folder in (*folders, under_way):
        for name in names:
            (folder / name).write_bytes(b"....")
    with trial.database() as found:
        remove_unrecorded(found, lambda: [under_way.name])
        left = {"a.arrow", "a.arrow.bad", "d.arrow.partial", "notes.json"}
        assert [{path.name for path in folder.iterdir()} for folder in folders] == [left, left]
        assert {path.name for path in under_way.iterdir()} == {*names}
        (folders[0] / "b.arrow").touch()
        remove_unrecorded(found, list)
    assert (folders[0] / "b.arrow").exists(), "somebody has put it back"
    assert {path.name for path in under_way.iterdir()} == left - {"a.arrow"} | {"b.arrow"}


def test_what_unfinished_nodes_of_the_last_run_read_is_protected(trial: Trial) -> None:
    def entry(name: str) -> RecordedNode:
        return replace(finished(name), outputs=(replace(finished(name).outputs[0], shown=False),))

    unfinished = [
        RecordedNode("x", "failed", inputs=("a",)),
        RecordedNode("y", "skipped", inputs=("x", "b")),
        RecordedNode("z", "skipped", inputs=("c",), tolerated=True),
    ]
    folder = trial.run(*map(entry, "abc"), unfinished=unfinished, ended="failed")

    def protected() -> list[str]:
        with trial.database() as found:
            return sorted(table.path.name for table in found.tables() if table.is_protected)

    assert protected() == ["a.arrow", "b.arrow"]
    with trial.database() as found:
        again = [reused(next(found.entries("p.yaml", name))) for name in "abc"]
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
    with trial.database() as found:
        assert {table.path.name: table.seconds for table in found.tables()} == {"x.arrow": 0.5, "y.arrow": 1.5}


def test_entries_come_from_the_latest_run_of_the_pipeline_first(trial: Trial) -> None:
    folders = [trial.run(finished("a", f"k{number}")) for number in range(3)]
    trial.run(finished("a"), pipeline="q.yaml 0123")
    with trial.database() as found:
        listed = entries(found, "p.yaml", "a")
    assert listed == [(folder.name, f"k{number}", "") for number, folder in reversed([*enumerate(folders)])]


def test_a_reused_entry_takes_the_place_of_the_one_that_it_reuses(trial: Trial) -> None:
    trial.run(finished("a"))
    trial.run(finished("a", "other"))
    for number in range(20):
        with trial.database() as found:
            *_, oldest = found.entries("p.yaml", "a")
        assert oldest.key == ("k", "other")[number % 2]
        last = trial.run(reused(oldest))
    with trial.database() as found:
        listed = entries(found, "p.yaml", "a")
        assert [key for _, key, _ in listed] == ["other", "k"]
        assert listed[0][0] == last.name


@pytest.mark.parametrize("read_only", [False, True])
def test_of_two_lines_of_a_node_in_a_run_the_later_comes_first(trial: Trial, read_only: bool) -> None:
    """So it is where a node was reused, and then its table was made again."""
    for number in range(3):
        home = f"{3 * number}-20250101-000000"  # as texts, they are before and after the id of the run
        before = replace(finished("a"), outputs=(replace(finished("a").outputs[0], home=home),), home=home)
        trial.run(replace(before, status="reused"), finished("b"), finished("a"))
    first, second, third = (folder.name for folder in trial.work.run_folders())
    with trial.database(read_only=read_only) as found:
        assert [run + home for run, _, home in entries(found, "p.yaml", "a")] == [
            third,
            f"{third}6-20250101-000000",
            second,
            f"{second}3-20250101-000000",
            first,
            f"{first}0-20250101-000000",
        ]


def not_a_database(file: Path) -> None:
    file.write_bytes(b"hello\n" * 10_000)


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def of_another_version(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("pragma user_version = 99")


def of_somebody_else(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as db:
        db.execute("create table mine (n)")


def without_a_table(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("drop table lines")


def a_link(file: Path) -> None:
    file.rename(file.with_name("other"))
    file.symlink_to("other")


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


DAMAGES = {
    not_a_database: "file is not a database",
    cut: "database disk image is malformed",
    of_another_version: "it is of another version",
    of_somebody_else: "it is of another version",
    without_a_table: "no such table: lines",
    a_link: "it is not an ordinary file",
    a_folder: "it is not an ordinary file",
    a_pipe: "it is not an ordinary file",
}


def states(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """Return what shows a change of a file, by path."""
    found = {path: path.lstat() for path in folder.rglob("*")}
    return {path: (file.st_ino, file.st_size, file.st_mtime_ns) for path, file in found.items()}


@pytest.mark.parametrize(("damage", "why"), DAMAGES.items())
def test_a_damaged_database_is_put_aside(trial: Trial, damage: Callable[[Path], None], why: str) -> None:
    fill(trial, random.Random(1), 12)
    damage(trial.file)
    before, state = states(trial.work.path), trial.file.lstat().st_ino
    with pytest.raises(HandoffError) as error, trial.database(read_only=True) as found:
        found.tables()
        [*found.entries("p.yaml", "a")]
    again = "'nfrun run' keeps it under another name, and makes another"
    assert str(error.value) == f"{trial.file} cannot be used: {why} ({again})"
    assert states(trial.work.path) == before, "who only reads changes nothing"
    with trial.database() as found:
        found.tables()
        assert [*found.entries("p.yaml", "a")] == []
    told = f"{trial.file} is damaged ({why}): it is kept as history.db.bad, and results are made again"
    assert trial.told == [told]
    assert trial.file.with_name("history.db.bad").lstat().st_ino == state
    trial.run(finished("a"))
    assert len(trial.answers()[1]) == 1  # type: ignore[arg-type]
    assert trial.told == [told]


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_database_that_is_gone_is_told_where_runs_have_left_something(trial: Trial, is_empty: bool) -> None:
    trial.run(finished("a"))
    trial.work.make_run_folder("20260101-000009-abcdef")
    trial.file.write_bytes(b"") if is_empty else trial.file.unlink()
    assert trial.answers(read_only=True)[1] == []
    trial.answers()
    what = f"{trial.file} is new, and lacks what 1 run has left: the results are made again"
    assert trial.told == [what]


@pytest.mark.parametrize("seed", seeds(6, 60))
def test_damaged_bytes_give_no_wrong_results(trial: Trial, seed: int) -> None:
    chance = random.Random(seed)
    fill(trial, chance, 6)
    recorded = recorded_entries(trial)  # with a damaged home, an earlier line is found beside the latest
    data = bytearray(trial.file.read_bytes())
    for _ in range(chance.choice((1, 1, 5, 100))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    trial.file.write_bytes(data)
    damaged = bytes(data)
    listed = trial.answers()[0]
    assert isinstance(listed, list)
    for found, right in zip(listed, recorded, strict=True):
        assert {*found} <= {*right}
    for _ in range(2):  # the first one may meet the damage when it writes
        try:
            trial.run(finished("a", "new"))
        except OSError as error:
            assert error.filename == str(trial.file)
    assert "new" in [key for _, key, _ in trial.answers()[0][0]]  # type: ignore[index]
    assert not trial.told or trial.file.with_name("history.db.bad").read_bytes() == damaged


def fill(trial: Trial, chance: random.Random, count: int) -> None:
    """Make runs at random: nodes run or are reused, runs end well, badly or not at all, and some are removed."""
    for _ in range(count):
        pipeline = chance.choice(PIPELINES)
        nodes = []
        for name in chance.sample(NODES, chance.randrange(1, 4)):
            with trial.database() as found:
                before = list(found.entries(pipeline, name))
            if before and chance.random() < 0.6:
                nodes.append(reused(chance.choice(before)))
                if chance.random() < 0.3:  # its table was made again
                    nodes.append(finished(name, f"k{chance.randrange(3)}"))
            else:
                nodes.append(finished(name, f"k{chance.randrange(3)}", cached=chance.random() < 0.2))
        trial.run(*nodes, pipeline=pipeline, ended=chance.choice(("ok", "ok", "failed", "")))
        if chance.random() < 0.15:
            gone = chance.sample(trial.work.run_folders(), 1)
            with trial.database() as found:
                found.remove([folder.name for folder in gone])
            shutil.rmtree(gone[0])


@pytest.mark.parametrize("seed", seeds(2, 6))
def test_entries_are_what_the_lines_say(trial: Trial, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(6):
        fill(trial, chance, 5)
        written = trial.answers()
        assert written[0] == expected_entries(trial)
        assert trial.answers(read_only=True) == written


def test_a_database_in_a_folder_that_is_read_only_is_read_and_stays_as_it_is(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(trial, random.Random(2), 8)
    expected, before = trial.answers(), states(trial.work.path)
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK)
    assert trial.answers(read_only=True) == trial.answers() == expected
    with pytest.raises(OSError) as error:
        trial.run(finished("a"))
    assert (error.value.errno, error.value.filename) == (errno.EROFS, str(trial.file))
    assert {path: state for path, state in states(trial.work.path).items() if path in before} == {
        **before,
        trial.work.path / "runs": states(trial.work.path)[trial.work.path / "runs"],
    }


def test_a_database_without_permission_to_read_is_an_error(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.run(finished("a"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError):
        trial.answers()


def test_who_writes_waits_for_another_one(trial: Trial) -> None:
    trial.run(finished("a", "k1"))
    with closing(sqlite3.connect(trial.file, isolation_level=None, check_same_thread=False)) as other:
        other.execute("begin exclusive")
        timer = threading.Timer(0.3, lambda: other.execute("commit"))
        timer.start()
        trial.run(finished("a", "k2"))
        timer.join()
    assert trial.answers()[0] == expected_entries(trial)


def test_a_full_disk_is_an_error_and_what_was_there_stays(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.run(finished("a", "k1"))
    connect = database_file.connect

    def small(uri: str) -> sqlite3.Connection:
        db = connect(uri)
        db.execute("pragma max_page_count = 1")
        return db

    with monkeypatch.context() as patched:
        patched.setattr(database_file, "connect", small)
        with pytest.raises(OSError) as error:
            trial.run(*(finished("a", f"{i}" * 9_000) for i in range(9)))
    assert (error.value.errno, error.value.strerror) == (errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert trial.answers()[0] == expected_entries(trial)
    assert len(trial.answers()[0][0]) == 1  # type: ignore[index]


def test_on_a_network_file_system_there_is_no_wal(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_file, "mount_of", lambda path: Mount("/", "nfs4"))
    with trial.database() as found:
        journal = Journal(trial.work.make_run_folder("1-20260101-000000"), found)
        journal.add(finished("a"))
        assert [path.name for path in trial.work.path.glob("history*")] == [DATABASE]
        journal.close()


def test_a_durable_run_on_a_network_file_system_stays_durable(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_file, "mount_of", lambda path: Mount("/", "nfs4"))
    with trial.database() as found:
        found.begin_writing(fsync=True)
        read, keep = found.kept("timings", "p.yaml")
        keep({"took": {"a": 1}})
        assert read() == {"took": {"a": 1}}
        assert found._opened().execute("pragma synchronous").fetchone() == (2,)  # full


SAVES = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], str(Path(sys.argv[1]).parent)]
from test_database import Trial, finished
trial = Trial(Path(sys.argv[2]))
trial.number = int(sys.argv[3])
for number in range(25):
    trial.run(finished("a", f"k{number}"), pipeline=sys.argv[4])
"""


def test_several_runs_may_write_at_once(trial: Trial) -> None:
    here = str(Path(__file__).parent)
    words = [(str(1000 * i), pipeline) for i, pipeline in enumerate(PIPELINES)]
    started = [
        subprocess.Popen([sys.executable, "-c", SAVES, here, str(trial.work.path), *more], stderr=subprocess.PIPE)
        for more in words
    ]
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    with trial.database() as found:
        assert len([*found.runs()]) == 50
    assert trial.answers()[0] == expected_entries(trial)
    assert [path.name for path in trial.work.path.glob("history*")] == [DATABASE]


IS_KILLED = """
import os, signal, sys, time
from pathlib import Path
sys.path[:0] = [sys.argv[1], str(Path(sys.argv[1]).parent)]
from test_database import Trial, finished
from nfrun.history.database import Journal
from nfrun.history.journal import RunHeader
run = sys.argv[3]
journal = Journal(Trial(Path(sys.argv[2])).work.make_run_folder(run))
journal.started(RunHeader(run, "p.yaml", 1, at=1.0))
for number in range(10_000):
    journal.add(finished(f"n{number}"))
    print(number, flush=True)
"""


def test_what_a_killed_run_has_written_is_there(trial: Trial, tmp_path: Path) -> None:
    chance = random.Random(5)
    for kill in range(3):
        run = f"{kill + 1}-20260101-000000"
        words = [sys.executable, "-c", IS_KILLED, str(Path(__file__).parent), str(trial.work.path), run]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            told = [int(process.stdout.readline()) for _ in range(chance.randrange(1, 400))]
            process.send_signal(signal.SIGKILL)
            told += [int(line) for line in process.stdout if line.endswith("\n")]
        copy = tmp_path / f"copy{kill}"
        shutil.copytree(trial.work.path, copy)
        for work in (copy, trial.work.path):
            nodes = [line["node"] for line in lines_of(work / "runs" / run) if line["event"] == "finished"]
            assert nodes[: len(told)] == [f"n{number}" for number in told]
    trial.run(finished("a"))
    assert [path.name for path in trial.work.path.glob("history*")] == [DATABASE]


def test_a_pipeline_may_have_a_name_that_is_not_utf8(trial: Trial) -> None:
    name = "p\udcff.yaml"
    trial.run(finished("a"), pipeline=name)
    with trial.database() as database:
        assert [found.node for found in database.entries(name, "a")] == ["a"]


def test_a_run_ends_if_a_question_finds_that_the_database_is_damaged(trial: Trial) -> None:
    folder = trial.work.make_run_folder("1")
    with trial.database() as database:
        journal = Journal(folder, database)
        journal.started(RunHeader("1", "p.yaml", 1, at=1.0))
        with closing(sqlite3.connect(trial.work.path / DATABASE)) as other:
            other.execute("drop table runs")
        assert [*database.runs()] == []
        assert "is damaged" in trial.told[0]
        with pytest.raises(OSError, match="it was damaged"):
            journal.ended("ok")


def test_a_second_damaged_database_does_not_replace_the_first(trial: Trial) -> None:
    for content in (b"one", b"two"):
        trial.file.write_bytes(content * 1_000)
        trial.answers()
    kept = [trial.file.with_name(f"{DATABASE}.bad{number}").read_bytes()[:3] for number in ("", "2")]
    assert kept == [b"one", b"two"]
