"""The checksums of files that nodes read: content counts, and a change during the run is noticed."""

from __future__ import annotations

import fcntl
import mmap
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nfrun.core.pipeline import NodeSpec
from nfrun.nodes.external_files import ExternalInputs
from nfrun.system.checksums import FileChecksums


def read_node(body: str) -> NodeSpec:
    return NodeSpec("r", "read", body, (), {}, (), (), {})


def test_a_file_counts_by_its_content_and_not_by_its_times(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    before = ExternalInputs(tmp_path).snapshot(read_node("x.csv"))
    os.utime(tmp_path / "x.csv", (1, 1))
    external_inputs = ExternalInputs(tmp_path)
    assert external_inputs.snapshot(read_node("x.csv")) == before
    assert external_inputs.recheck(read_node("x.csv")) == before


def change(path: Path, text: str) -> None:
    """Write a file until it has another time than before: the clock of the system may be as slow as 100 Hz."""
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:
        path.write_text(text)


@pytest.mark.parametrize("files", [(), ("x.csv",), ("many",)])
def test_an_edit_that_is_taken_back_is_noticed(tmp_path: Path, files: tuple[str, ...]) -> None:
    (tmp_path / "x.csv").write_text("1")
    edited = tmp_path / "x.csv"
    if files == ("many",):
        (tmp_path / "many").mkdir()
        for number in range(1_001):
            (tmp_path / f"many/{number}").touch()
        edited = tmp_path / "many/1"
    spec, inputs = script("cat x.csv", files=files), ExternalInputs(tmp_path)
    before, text = inputs.snapshot(spec), edited.read_text()
    assert inputs.recheck(spec) == before
    times = edited.stat()
    change(edited, "2")
    change(edited, text)
    os.utime(edited, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert inputs.recheck(spec) is None
    assert ExternalInputs(tmp_path).snapshot(spec) == before, "later runs compare the content"


@pytest.mark.parametrize(
    "body",
    ["chmod +x x.sh; ./x.sh", "sudo /bin/chmod -R +x . && d/x.sh", "cd d; chmod +x *.sh; ./x.sh", "ln d/x.sh y; ./y",
     "chmod +x d; d/x.sh", "for x in d/*.sh; do chmod +x $x; $x; done"],
)  # fmt: skip
def test_a_script_that_changes_the_times_of_its_files_itself_is_reused(tmp_path: Path, body: str) -> None:
    (tmp_path / "d").mkdir()
    for name in ("x.sh", "d/x.sh", "z.csv"):
        (tmp_path / name).write_text("echo")
    spec, inputs = script(body + "; cat z.csv"), ExternalInputs(tmp_path)
    before = inputs.snapshot(spec)
    for name in ("x.sh", "d/x.sh"):
        changed = (tmp_path / name).stat().st_ctime_ns
        while (tmp_path / name).stat().st_ctime_ns == changed:
            (tmp_path / name).chmod(0o755)
    assert inputs.recheck(spec) == before
    change(tmp_path / ("x.sh" if "x.sh" in (before or {}) else "d/x.sh"), "ls")
    assert inputs.recheck(spec) is None


def test_a_script_that_writes_a_file_as_it_was_is_reused(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.csv", "d.csv"):
        (tmp_path / name).write_text("1")
    spec = script("sort a.csv > b.csv; python x.py c.csv d.csv", files=("b.csv",))
    inputs = ExternalInputs(tmp_path)
    inputs.written_files = Written("c.csv")
    before = inputs.snapshot(spec)
    for name in ("b.csv", "c.csv"):
        change(tmp_path / name, "1")
    assert inputs.recheck(spec, inputs.written(spec)) == before
    change(tmp_path / "d.csv", "1")
    assert inputs.recheck(spec, inputs.written(spec)) is None, "nobody knows who wrote it"


def test_a_file_that_changed_since_the_snapshot_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    external_inputs = ExternalInputs(tmp_path)
    assert external_inputs.snapshot(read_node("x.csv")) is not None
    (tmp_path / "x.csv").write_text("n\n2\n")
    assert external_inputs.recheck(read_node("x.csv")) is None


def test_a_change_that_keeps_the_times_of_the_file_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    external_inputs = ExternalInputs(tmp_path)
    with (tmp_path / "x.csv").open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[2:3] = b"2"
        assert external_inputs.snapshot(read_node("x.csv")) is not None
        mapped[2:3] = b"3"  # the page is dirty already, so the times of the file do not change
        assert external_inputs.recheck(read_node("x.csv")) is None


def test_a_file_is_read_once_for_all_its_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    (tmp_path / "link.csv").symlink_to("x.csv")
    hashed: list[Any] = []
    monkeypatch.setattr("nfrun.system.checksums._checksum", lambda path: hashed.append(path) or "c")
    monkeypatch.setattr("nfrun.system.checksums._FRESH_NANOSECONDS", 0)
    external_inputs = ExternalInputs(tmp_path)
    nodes = [read_node("x.csv"), replace(read_node("link.csv"), id="s")]
    for node in nodes:
        assert list((external_inputs.snapshot(node) or {}).values()) == ["c"]
    for node in nodes:
        assert list((external_inputs.recheck(node) or {}).values()) == ["c"]
    assert len(hashed) == 1
    os.utime(tmp_path / "x.csv", (1, 1))
    for node in nodes:
        assert external_inputs.recheck(node) is None
    assert len(hashed) == 2


def test_a_file_that_had_just_been_written_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    hashed: list[Any] = []
    monkeypatch.setattr("nfrun.system.checksums._checksum", lambda path: hashed.append(path) or "c")
    monkeypatch.setattr("nfrun.system.checksums._FRESH_NANOSECONDS", 10**18)
    external_inputs = ExternalInputs(tmp_path)
    assert external_inputs.snapshot(read_node("x.csv")) == external_inputs.recheck(read_node("x.csv")) == {"x.csv": "c"}
    assert len(hashed) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="there are no leases")
def test_a_change_through_a_mapping_that_was_open_before_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    monkeypatch.setattr("nfrun.system.checksums._FRESH_NANOSECONDS", 0)
    external_inputs = ExternalInputs(tmp_path)
    with (tmp_path / "x.csv").open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    mapped[2:3] = b"2"
    assert external_inputs.snapshot(read_node("x.csv")) is not None
    before = (tmp_path / "x.csv").stat()
    mapped[2:3] = b"3"
    now = (tmp_path / "x.csv").stat()
    assert (now.st_mtime_ns, now.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)
    assert external_inputs.recheck(read_node("x.csv")) is None


@pytest.mark.skipif(sys.platform != "linux", reason="there are no leases")
def test_a_file_is_read_again_where_no_lease_shows_that_nobody_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    hashed: list[Any] = []
    monkeypatch.setattr("nfrun.system.checksums._checksum", lambda path: hashed.append(path) or "c")
    monkeypatch.setattr("nfrun.system.checksums._FRESH_NANOSECONDS", 0)
    checksums = FileChecksums()
    with monkeypatch.context() as refused:
        refused.delattr("fcntl.F_SETLEASE")
        checksums.of(tmp_path / "x.csv")
    for _ in range(2):  # the first of these readings has a lease
        assert checksums.of(tmp_path / "x.csv", recheck=True) == "c"
        assert len(hashed) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="there are no leases")
def test_whoever_opens_a_file_during_the_lease_does_not_end_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    real, opened = fcntl.fcntl, list[bool]()

    def during(file: int, command: int, value: int) -> int:
        done = real(file, command, value)
        if (command, value) == (fcntl.F_SETLEASE, fcntl.F_RDLCK):
            with pytest.raises(BlockingIOError):  # the lease is broken, of which this process is told by a signal
                os.open(tmp_path / "x.csv", os.O_WRONLY | os.O_NONBLOCK)
            opened.append(True)
        return done

    monkeypatch.setattr("fcntl.fcntl", during)
    monkeypatch.setattr("nfrun.system.checksums._FRESH_NANOSECONDS", 0)
    assert FileChecksums().of(tmp_path / "x.csv")
    assert opened == [True]
    os.close(os.open(tmp_path / "x.csv", os.O_WRONLY | os.O_NONBLOCK))  # the lease has been given back


def test_threads_that_ask_for_one_file_wait_for_one_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "xy":
        (tmp_path / f"{name}.csv").write_text("n\n1\n")
    go_on, reading, hashed = threading.Event(), threading.Event(), list[str]()

    names = {path.stat().st_ino: path.name for path in tmp_path.glob("*.csv")}

    def checksum(file: int) -> str:
        name = names[os.fstat(file).st_ino]
        hashed.append(name)
        if name == "x.csv":
            reading.set()
            assert go_on.wait(10)
        return name

    monkeypatch.setattr("nfrun.system.checksums._checksum", checksum)
    checksums, found = FileChecksums(), list[str]()
    threads = [threading.Thread(target=lambda: found.append(checksums.of(tmp_path / "x.csv"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert reading.wait(10)
    assert checksums.of(tmp_path / "y.csv") == "y.csv"  # does not wait for the other file
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert (found, hashed) == (["x.csv"] * 3, ["x.csv", "y.csv"])


def test_all_files_of_a_pattern_count_and_one_more_is_a_change(tmp_path: Path) -> None:
    for name in ("1.csv", "2.csv"):
        (tmp_path / name).write_text("n\n1\n")
    external_inputs = ExternalInputs(tmp_path)
    assert set(external_inputs.snapshot(read_node("*.csv")) or {}) == {"1.csv", "2.csv"}
    (tmp_path / "3.csv").write_text("n\n1\n")
    assert external_inputs.recheck(read_node("*.csv")) is None


def test_remote_files_without_a_version_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("nfrun.nodes.external_files._version_of", asked.append)
    external_inputs = ExternalInputs(tmp_path)
    assert external_inputs.snapshot(read_node("s3://bucket/x.csv")) is None
    assert external_inputs.recheck(read_node("s3://bucket/x.csv")) is None
    assert asked == ["s3://bucket/x.csv"] * 2


def test_a_named_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.csv")
    assert ExternalInputs(tmp_path).snapshot(read_node("x.csv")) == {"x.csv": ""}


def test_sql_and_run_nodes_have_the_files_that_their_text_names(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    sql = NodeSpec("q", "sql", "select * from 'x.csv' where a <> 'y.csv'", (), {}, (), (), {})
    external_inputs = ExternalInputs(tmp_path)
    assert set(external_inputs.snapshot(sql) or {}) == {"x.csv"}
    assert external_inputs.recheck(sql) == external_inputs.snapshot(sql)
    (tmp_path / "y.csv").write_text("n\n1\n")
    assert external_inputs.recheck(sql) is None, "it may have been read"
    run = NodeSpec("r", "run", "cat 'x.csv'", (), {}, (), (), {})
    assert set(external_inputs.recheck(run) or {}) == {"x.csv"}


def test_many_declared_files_have_one_checksum(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(1_001):
        (tmp_path / f"many/{number}").touch()
    spec = replace(read_node(""), kind="run", body="true", files=("many",))
    before = ExternalInputs(tmp_path).snapshot(spec) or {}
    assert list(before) == ["many"]
    (tmp_path / "many/1").write_text("2")
    after = ExternalInputs(tmp_path).snapshot(spec) or {}
    assert (list(after), after == before) == (["many"], False)


class Written:
    """Files that nodes have written before: this node, and others for which it does not wait."""

    def __init__(self, *own: str, others: tuple[str, ...] = ()) -> None:
        self.own, self.others = set(own), set(others)

    def by_node(self, node: str) -> set[str]:
        return self.own

    def by_others(self, spec: NodeSpec) -> set[str]:
        return self.others


def script(body: str, **more: Any) -> NodeSpec:
    return NodeSpec("s", "run", body, (), {}, (), (), {}, **more)


def test_a_file_that_appears_while_a_script_runs_is_written_by_it(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("open('model.bin', 'w')")
    spec, inputs = script("python train.py && cp model.bin copy.bin"), ExternalInputs(tmp_path)
    assert set(inputs.snapshot(spec) or {}) == {"train.py"}
    for name in ("model.bin", "copy.bin", "unrelated.bin"):
        (tmp_path / name).write_text("1")
    wrote = inputs.written(spec)
    assert set(wrote) == {"model.bin", "copy.bin"}
    assert set(inputs.recheck(spec, wrote) or {}) == {"train.py"}


def test_a_file_that_changes_while_a_script_runs_may_have_been_edited(tmp_path: Path) -> None:
    for name in ("train.py", "in.csv", "out.csv", "state.json"):
        (tmp_path / name).write_text("1")
    spec, inputs = script("python train.py in.csv state.json > out.csv"), ExternalInputs(tmp_path)
    assert set(inputs.snapshot(spec) or {}) == {"train.py", "in.csv", "out.csv", "state.json"}
    (tmp_path / "out.csv").write_text("2")
    (tmp_path / "state.json").write_text("2")
    assert set(inputs.written(spec)) == {"out.csv"}, "nobody knows who changed the other one"
    assert inputs.recheck(spec, {"out.csv"}) is None
    inputs.written_files = Written("state.json")
    wrote = inputs.written(spec)
    assert set(wrote) == {"out.csv", "state.json"}, "the node has written it before"
    assert set(inputs.recheck(spec, wrote) or {}) == {"train.py", "in.csv"}
    (tmp_path / "train.py").write_text("2")
    assert set(inputs.written(spec)) == {"out.csv", "state.json"}
    assert inputs.recheck(spec, wrote) is None


def test_a_declared_file_is_an_input_also_if_the_script_writes_it(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("1")
    spec, inputs = script("x > state.json", files=("state.json",)), ExternalInputs(tmp_path)
    assert set(inputs.snapshot(spec) or {}) == {"state.json"}
    (tmp_path / "state.json").write_text("2")
    assert inputs.written(spec) == {}
    assert inputs.recheck(spec) is None


def test_what_other_nodes_write_is_left_out_of_patterns_alone(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("1")
    inputs = ExternalInputs(tmp_path)
    inputs.written_files = Written(others=("b.csv",))
    assert set(inputs.snapshot(script("cat *.csv")) or {}) == {"a.csv"}
    assert set(inputs.snapshot(replace(script("cat b.csv *.csv"), id="t")) or {}) == {"a.csv", "b.csv"}


def test_a_script_that_names_too_many_files_is_not_reused_unless_it_declares_them(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(1_001):
        (tmp_path / f"many/{number}").touch()
    inputs, spec = ExternalInputs(tmp_path), script("cat many/*")
    assert inputs.snapshot(spec) is None
    assert inputs.obstacle(spec) == "its script names more than 1,000 files: name them under 'files'"
    declared = replace(spec, id="t", files=("many",))
    assert list(inputs.snapshot(declared) or {}) == ["many"]
    assert inputs.obstacle(declared) == ""
    assert inputs.snapshot(replace(spec, id="u", cache=True)) == {}


def test_a_snapshot_is_taken_again_when_the_node_starts(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1")
    inputs, spec = ExternalInputs(tmp_path), script("cat x.csv")
    before = inputs.snapshot(spec)
    (tmp_path / "x.csv").write_text("2")  # by a node before it
    assert inputs.snapshot(spec) == before
    now = inputs.snapshot(spec, anew=True)
    assert now != before
    assert inputs.written(spec) == {}
    assert inputs.recheck(spec) == now
