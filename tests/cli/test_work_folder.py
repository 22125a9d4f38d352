"""Several runs in one work folder: numbers, locks, `--wait`, and folders that vanish, are restored or are older."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import forked
import pyarrow as pa
import pytest
from conftest import Here, wait_until

import nfrun
from nfrun.history.database import TIMINGS, Database
from nfrun.history.work_dir import WorkDir
from nfrun.tables.places.host_cache import HostCache

NAP = "nodes:\n  nap: {run: 'echo > ready; while [ ! -e go ]; do sleep 0.01; done'}\n"
ROWS = """\
nodes:
  rows: {run: 'echo n > "$NFRUN_OUTPUT"; echo 1 >> "$NFRUN_OUTPUT"; echo rows >> calls', format: csv, cache: true}
  more: {sql: "select n + 1 as n from rows", inputs: rows}
outputs: {more: more}
"""
RUN_ID = r"[0-9]+-[0-9]{8}-[0-9]{6}"


class Folder:
    """A folder with pipelines, in which nfrun runs."""

    def __init__(self, path: Path, here: Here) -> None:
        self.path, self._here = path, here
        self.processes: list[subprocess.Popen[str]] = []

    def write(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(textwrap.dedent(text))

    def start(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        process = forked.Popen(
            [sys.executable, "-m", "nfrun", *words],
            cwd=self.path,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def nfrun(self, *words: str, code: int = 0, **variables: str) -> tuple[str, str]:
        """Run a command in this process, and return what it printed on stdout and stderr."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            done = self._here(self.path, *words)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout, done.stderr

    def run(self, name: str = "p.yaml", *words: str, code: int = 0) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.nfrun("run", name, "--json", *words, code=code)[0])
        return document

    def holding(self, name: str = "nap.yaml", *words: str) -> subprocess.Popen[str]:
        """Start a run that waits for the file `go`, and return when its node is at work."""
        self.write(name, NAP)
        process = self.start("run", name, *words)
        wait_until((self.path / name).with_name("ready").exists, lambda: process.poll() is None)
        return process

    def go(self) -> None:
        (self.path / "go").touch()

    def runs(self, work: str = ".nfrun") -> list[str]:
        return sorted(path.name for path in (self.path / work / "runs").iterdir())


def ended(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=50)
    assert process.returncode == code, err
    assert "Traceback" not in err
    return out, err


@pytest.fixture
def folder(tmp_path: Path, here: Here) -> Iterator[Folder]:
    found = Folder(tmp_path, here)
    yield found
    for process in found.processes:
        process.kill()
        process.communicate()


# ------------------------------------------------------------------ numbers


def test_run_ids_count_up_within_a_second(folder: Folder) -> None:
    folder.write("p.yaml", ROWS)
    ids = [folder.run()["run"] for _ in range(3)]
    assert [id.partition("-")[0] for id in ids] == ["1", "2", "3"]
    assert all(re.fullmatch(RUN_ID, id) for id in ids)


@pytest.mark.parametrize("lost", ["runs", "history.db"])
def test_a_number_is_not_used_again(folder: Folder, lost: str) -> None:
    folder.write("p.yaml", ROWS)
    folder.run()
    path = folder.path / ".nfrun" / lost
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    assert folder.run()["run"].startswith("2-")
    folder.nfrun("clean", "--all")
    assert folder.run()["run"].startswith("3-")


def test_an_expression_has_the_id_of_the_run(folder: Folder) -> None:
    folder.write("p.yaml", "nodes:\n  a: {run: 'echo $ID $NFRUN_RUN > id', env: {ID: '${{ run.id }}'}}\n")
    for number in (1, 2):
        id = folder.run()["run"]
        assert id.startswith(f"{number}-")
        assert (folder.path / "id").read_text() == f"{id} {id}\n"


def test_a_mistake_uses_up_no_number_and_makes_no_folder(folder: Folder) -> None:
    folder.write("p.yaml", "nodes:\n  a: {run: 'echo', env: {ID: '${{ run.id | first | int + params.x }}'}}\n")
    folder.nfrun("run", "p.yaml", code=2)
    assert not (folder.path / ".nfrun").exists()


# ------------------------------------------------------------------ locks


def test_two_pipelines_run_in_one_folder_at_once(folder: Folder) -> None:
    folder.write("p.yaml", ROWS)
    first = folder.holding()
    assert folder.run()["status"] == "ok"
    assert folder.run("p.yaml", "--resume")["nodes"]["rows"]["status"] == "reused"
    folder.go()
    ended(first)
    assert [id.partition("-")[0] for id in folder.runs()] == ["1", "2", "3"]


def test_a_pipeline_that_runs_is_not_run_again_meanwhile(folder: Folder) -> None:
    first = folder.holding()
    _, err = folder.nfrun("run", "nap.yaml", code=75)
    assert re.fullmatch(
        rf"nfrun: another run is under way in {folder.path}/\.nfrun "
        r"\(pipeline nap\.yaml, run 1-\S+, process \d+, host \S+\)\n"
        r"   run --wait waits until it has ended; --work DIR keeps runs elsewhere\n",
        err,
    )
    _, err = folder.nfrun("run", "nap.yaml", "--wait", "10ms", code=75)
    assert err.endswith("\n   run --wait waits until it has ended; --work DIR keeps runs elsewhere\n")
    folder.nfrun("clean", code=75)
    folder.nfrun("plan", "nap.yaml", "--resume")  # looking is allowed
    folder.go()
    assert folder.run("nap.yaml", "--work", "elsewhere")["run"].startswith("1-")
    ended(first)


def test_pipelines_of_one_name_share_neither_lock_nor_timings(folder: Folder) -> None:
    for name in ("x", "y"):
        folder.write(f"{name}/p.yaml", ROWS.replace("rows", name))
    first = folder.holding("nap/p.yaml", "--work", "w")
    assert folder.run("x/p.yaml", "--work", "w")["nodes"].keys() == {"x", "more"}
    assert folder.run("y/p.yaml", "--work", "w")["nodes"].keys() == {"y", "more"}
    work = WorkDir(folder.path / "w")
    with closing(Database(work)) as database:
        names = [work.name_of_file(folder.path / name / "p.yaml") for name in ("x", "y")]
        timings = [sorted(database.kept(TIMINGS, name)[0]()["took"]) for name in names]
    assert timings == [["more", "x"], ["more", "y"]]
    (folder.path / "nap" / "go").touch()
    folder.go()
    ended(first)


def test_the_end_of_a_run_removes_no_tables_of_a_pipeline_that_runs(folder: Folder) -> None:
    folder.write("p.yaml", ROWS)
    folder.write("steps.py", "def rows():\n    return {'n': 1}\n")
    wait = "nap: {run: 'echo > ready; while [ ! -e go ]; do sleep 0.01; done', needs: more}"
    more = "  more: {sql: 'select * from rows', inputs: rows}\n"
    folder.write("long.yaml", f"nodes:\n  rows: {{python: 'steps:rows'}}\n{more}  {wait}\n")
    first = folder.start("run", "long.yaml")
    wait_until((folder.path / "ready").exists, lambda: first.poll() is None)
    tables = {path.name for path in (folder.path / ".nfrun" / "runs").glob("1-*/*.arrow")}
    assert "rows.1.arrow" in tables
    folder.run("p.yaml", "--cache-size", "0")
    assert {path.name for path in (folder.path / ".nfrun" / "runs").glob("1-*/*.arrow")} >= tables
    folder.go()
    ended(first)
    folder.run("p.yaml", "--cache-size", "0")
    assert not list((folder.path / ".nfrun" / "runs").glob("1-*/rows.1.arrow"))


def test_a_clean_needs_all_runs_to_have_ended(folder: Folder) -> None:
    folder.write("p.yaml", ROWS)
    first = folder.holding()
    folder.run()
    for words in (["clean"], ["clean", "--all"], ["clean", "p.yaml"]):
        _, err = folder.nfrun(*words, code=75)
        assert "(pipeline nap.yaml, run 1-" in err
    assert len(folder.runs()) == 2
    running, other = (folder.path / ".nfrun" / "runs" / run for run in folder.runs())
    assert list(running.glob("scratch/*"))
    assert folder.nfrun("clean", "--dry-run")[0] == "nothing to remove\n"
    assert folder.nfrun("clean", "--all", "--dry-run")[0].splitlines()[:-1] == [str(other)]
    folder.go()
    ended(first)
    folder.nfrun("clean", "--all")


def test_with_all_and_a_pipeline_its_runs_go_and_those_of_others_stay(folder: Folder) -> None:
    for name in ("p.yaml", "q.yaml", "other/p.yaml"):
        folder.write(name, ROWS)
    for name in ("p.yaml", "q.yaml", "p.yaml", "other/p.yaml"):
        folder.run(name, "--work", ".nfrun", "--fresh")
    assert folder.nfrun("clean", "--all", "p.yaml")[0].startswith("removed 2 runs")
    assert [run.partition("-")[0] for run in folder.runs()] == ["2", "4"]
    folder.nfrun("clean", "--all", "other/p.yaml", "--work", ".nfrun")
    assert [run.partition("-")[0] for run in folder.runs()] == ["2"]
    assert folder.run("q.yaml")["nodes"]["more"]["status"] == "reused"
    folder.nfrun("clean", "--all")
    assert folder.runs() == []


@pytest.mark.parametrize(
    "command",
    ["run p.yaml", "plan p.yaml", "runs", "show", "logs rows --pipeline p.yaml", "clean", "run nap.yaml"],
)
def test_what_a_killed_run_left_is_removed_by_the_next_command_of_any_pipeline(folder: Folder, command: str) -> None:
    folder.write("p.yaml", ROWS)
    folder.run()
    first = folder.holding()
    first.kill()
    first.communicate()
    killed = folder.path / ".nfrun" / "runs" / folder.runs()[-1]
    assert (killed / "scratch").is_dir()
    for name in ("scratch/duckdb.7", "scratch/nap.1.x"):  # what DuckDB spilled, and what a script had written
        (killed / name).mkdir(exist_ok=True)
        (killed / name / "data").write_bytes(b"." * 9999)
    (killed / "nap.1.arrow.7f.partial").touch()
    outside = folder.path / "mine"
    outside.mkdir()
    (outside / "data").touch()
    (killed / "scratch" / "link").symlink_to(outside)
    folder.go()
    folder.nfrun(*command.split())
    assert not (killed / "scratch").exists() and not (killed / "nap.1.arrow.7f.partial").exists()
    assert (outside / "data").exists()


@pytest.mark.parametrize("command", ["run p.yaml", "plan p.yaml", "runs", "show", "doctor", "run p.yaml --fresh"])
def test_what_a_run_has_that_is_under_way_stays(folder: Folder, command: str) -> None:
    folder.write("p.yaml", ROWS)
    folder.run()
    first = folder.holding()
    (scratch,) = (folder.path / ".nfrun" / "runs").glob("2-*/scratch")
    (scratch / "duckdb.7").mkdir()
    folder.nfrun(*command.split())
    assert (scratch / "duckdb.7").exists()
    folder.go()
    ended(first)
    assert not scratch.exists()


# ------------------------------------------------------------------ --wait


@pytest.mark.parametrize("words", [["--wait"], ["--wait=2h"]])
def test_a_run_waits_and_says_once_for_which_run(folder: Folder, words: list[str]) -> None:
    first = folder.holding()
    second = folder.start("run", *words, "nap.yaml", "--json")
    assert second.stderr is not None
    line = second.stderr.readline()
    assert re.fullmatch(
        rf"nfrun: waiting, because another run is under way in {folder.path}/\.nfrun "
        r"\(pipeline nap\.yaml, run 1-\S+, process \d+, host \S+\)\n",
        line,
    )
    assert first.poll() is None
    folder.go()
    ended(first)
    out, err = ended(second)
    assert json.loads(out)["run"].startswith("2-")
    assert "waiting" not in err


def test_what_was_edited_meanwhile_is_read_after_the_wait(folder: Folder) -> None:
    first = folder.holding()
    second = folder.start("run", "nap.yaml", "--wait", "--json")
    assert second.stderr is not None
    assert "waiting" in second.stderr.readline()
    folder.write("nap.yaml", ROWS)
    folder.go()
    ended(first)
    assert json.loads(ended(second)[0])["nodes"].keys() == {"rows", "more"}


def test_a_file_that_is_wrong_after_the_wait_is_an_error(folder: Folder) -> None:
    first = folder.holding()
    second = folder.start("run", "nap.yaml", "--wait")
    assert second.stderr is not None
    assert "waiting" in second.stderr.readline()
    folder.write("nap.yaml", "nodes: 1\n")
    folder.go()
    ended(first)
    assert "nap.yaml:1:8: 'nodes' must be" in ended(second, code=2)[1]
    assert len(folder.runs()) == 1


def test_a_wait_that_was_too_short_ends_with_75(folder: Folder) -> None:
    folder.holding()
    for words in (["--wait", "500ms"], ["--wait=0"], ["--wait", "0.3", "-q"]):
        _, err = folder.nfrun("run", "nap.yaml", *words, code=75)
        assert "another run is under way in" in err
        assert ("waiting" in err) is (words[1:] == ["500ms"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_ends_the_wait_at_once(folder: Folder, number: int, code: int) -> None:
    first = folder.holding()
    second = folder.start("run", "nap.yaml", "--wait")
    assert second.stderr is not None
    second.stderr.readline()
    second.send_signal(number)
    _, err = ended(second, code)
    assert err == ("nfrun: interrupted\n" if number == signal.SIGINT else "")
    assert first.poll() is None
    assert len(folder.runs()) == 1


WRONG = [
    ("--wait 10x", "'10x' is not a duration such as 30s, 10m or 2h"),
    ("--wait 1h30m", "'1h30m' is not a duration such as 30s, 10m or 2h"),
    ("--wait=soon", "'soon' is not a duration such as 30s, 10m or 2h"),
    ("--wait=", "'' is not a duration such as 30s, 10m or 2h"),
    ("--wait=-1", "'-1' is not a duration such as 30s, 10m or 2h"),
    ("--wait=nan", "'nan' is not a duration such as 30s, 10m or 2h"),
    ("--wait=1e3", "'1e3' is not a duration such as 30s, 10m or 2h"),
    ("--wait 400d", "'400d' is not a duration such as 30s, 10m or 2h"),
    ("--wait=٣s", "'٣s' is not a duration such as 30s, 10m or 2h"),
    ("--wait soon", "Got unexpected extra argument(s) (soon)"),
    ("--wait -1", "No such option: -1"),
    ("--waits", "No such option: --waits"),
    ("--no-wait", "No such option: --no-wait"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_a_wrong_wait_is_an_error_before_anything_is_done(folder: Folder, words: str, message: str) -> None:
    folder.write("p.yaml", ROWS)
    _, err = folder.nfrun("run", "p.yaml", *words.split(), code=2, TERM="dumb", COLUMNS="200")
    assert message in err
    assert not (folder.path / ".nfrun").exists()


# ------------------------------------------------------------------ folders that vanish


VANISH = {
    # First renamed: else a table may be written while it is removed, so that something of it stays.
    "work folder removed": 'mv "$WORK" gone; rm -rf gone',
    "work folder renamed": 'mv "$WORK" "$WORK.old"',
    "run folder removed": 'rm -rf "$WORK"/runs/*',
    "run folder renamed": 'mv "$WORK"/runs/* elsewhere',
    "history removed": 'rm "$WORK"/history.db*',
    "history copied": 'cd "$WORK"; cp history.db h; mv h history.db',
    "another folder in its place": 'mv "$WORK" "$WORK.old"; cp -r "$WORK.old" "$WORK"',
}


@pytest.mark.parametrize("how", VANISH)
@pytest.mark.parametrize("failing", [False, True])
def test_a_folder_that_vanishes_in_mid_run_is_an_error(folder: Folder, how: str, failing: bool) -> None:
    folder.write(
        "p.yaml",
        f"""\
        nodes:
          rows: {{python: "steps:rows"}}
          vanish: {{run: '{VANISH[how]}{"; exit 3" if failing else ""}', needs: rows, env: {{WORK: .nfrun}}}}
        outputs: {{rows: rows}}
        """,
    )
    folder.write("steps.py", "def rows():\n    return {'n': 1}\n")
    out, err = folder.nfrun("run", "p.yaml", "--json", code=74)
    id = json.loads(out)["run"]
    what = "history.db, the history of runs," if "history" in how else f"runs/{id}, the folder of this run,"
    told = f"{folder.path}/.nfrun/{what} was removed or renamed while the run was under way"
    assert json.loads(out)["status"] == "failed"
    assert json.loads(out)["error"] == told
    assert told in err
    if how == "work folder removed":
        assert not (folder.path / ".nfrun").exists(), "it is not made again"


@pytest.mark.parametrize(
    "late",
    [
        "python: 'steps:rows'",
        "python: 'steps:rows', executor: process",
        "run: 'echo n > $NFRUN_OUTPUT', format: csv",
        "run: 'echo hello'",
        "sql: 'select 1 as n'",
    ],
)
def test_what_runs_after_the_folder_has_vanished_makes_nothing_in_its_place(folder: Folder, late: str) -> None:
    vanish = "vanish: {run: 'mv .nfrun gone; rm -rf gone', needs: rows}"
    nodes = f"nodes:\n  rows: {{python: 'steps:rows'}}\n  {vanish}\n  late: {{{late}, needs: vanish}}\n"
    folder.write("p.yaml", nodes + "outputs: {rows: rows}\n")
    folder.write("steps.py", "def rows():\n    return {'n': 1}\n")
    out, err = folder.nfrun("run", "p.yaml", "--json", code=74)
    told = f"{json.loads(out)['run']}, the folder of this run, was removed or renamed while the run was under way"
    assert json.loads(out)["error"].endswith(told)
    assert told in err
    assert not (folder.path / ".nfrun").exists()


def test_an_output_whose_file_vanishes_in_mid_run_is_an_error(folder: Folder) -> None:
    shown = ROWS.replace("{more: more}", "{more: more, rows: rows}")
    folder.write("p.yaml", shown)
    folder.run()
    remove = "  gone: {run: 'rm .nfrun/runs/*/rows.*', needs: more}\noutputs:"
    folder.write("p.yaml", shown.replace("outputs:", remove))
    out, err = folder.nfrun("run", "p.yaml", "--json", "--resume", code=74)
    told = r"/rows\.1\.arrow, the file of the output 'rows', was removed or renamed while the run was under way"
    assert re.search(told, json.loads(out)["error"])
    assert re.search(told, err)
    assert folder.run("p.yaml", "--resume", code=74)["nodes"]["rows"]["status"] == "ok", "it is made again"


# ------------------------------------------------------------------ folders of CI, of older versions, of others


def test_a_restored_folder_is_understood(folder: Folder) -> None:
    folder.write("a/p.yaml", ROWS)
    folder.run("a/p.yaml")
    shutil.copytree(folder.path / "a", folder.path / "b")  # other inodes
    shutil.rmtree(folder.path / "a")
    for path in (folder.path / "b").rglob("*"):
        os.utime(path, (1, 1))
    (folder.path / "b" / "calls").unlink()
    for lost in ("locks", "lock", ".gitignore"):
        path = folder.path / "b" / ".nfrun" / lost
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = folder.run("b/p.yaml", "--resume")
    assert found["run"].startswith("2-")
    assert found["nodes"]["rows"]["status"] == "reused"
    assert not (folder.path / "b" / "calls").exists()


LOST = [
    "lock",
    "locks",
    "locks/p.yaml.lock",
    "history.db",
    "runs/*/*.arrow",
    "runs/1-*",
]


@pytest.mark.parametrize("lost", LOST)
def test_a_folder_restored_in_part_gives_the_right_result(folder: Folder, lost: str) -> None:
    folder.write("p.yaml", ROWS)
    digest = [folder.run()["outputs"]["more"]["digest"] for _ in range(2)][1]
    for path in (folder.path / ".nfrun").glob(lost):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = folder.runs()
    found = folder.run()
    assert found["outputs"]["more"]["digest"] == digest
    assert Path(found["outputs"]["more"]["path"]).is_file()
    assert found["run"] not in before
    assert found["run"].startswith("3-")


def test_runs_of_nfrun_0_1_are_told_and_made_again(folder: Folder) -> None:
    folder.write("p.yaml", ROWS)
    for id in ("20260101-000001-aaaaaa", "20260101-000000-bbbbbb"):
        run = folder.path / ".nfrun" / "runs" / id
        run.mkdir(parents=True)
        for name in ("journal.jsonl", "rows.1.arrow"):
            (run / name).write_text("of an older version")
    folder.write(".nfrun/lock", '{"run": "20260101-000000-bbbbbb", "number": 2, "pipeline": "p.yaml"}'.ljust(4096))
    _, err = folder.nfrun("run", "p.yaml")
    assert "history.db is new, and lacks what 2 runs have left: the results are made again" in err
    assert any(run.startswith("3-") for run in folder.runs())
    folder.nfrun("clean")
    assert [run.partition("-")[0] for run in folder.runs()] == ["3"]


@pytest.mark.parametrize("name", [".nfrun/locks", ".nfrun/lock", ".nfrun"])
def test_a_folder_in_which_nothing_can_be_locked_is_an_error(folder: Folder, name: str) -> None:
    folder.write("p.yaml", ROWS)
    folder.write(name if name != ".nfrun/lock" else f"{name}/x", "")
    _, err = folder.nfrun("run", "p.yaml", code=74)
    why = "it is a folder, not a file" if name == ".nfrun/lock" else "it is not a folder"
    hint = "remove it, or keep the runs elsewhere with --work DIR"
    assert err == f"nfrun: cannot use {folder.path}/{name}: {why} ({hint})\n"


@pytest.mark.parametrize("name", ["lock", "locks", "locks/p.yaml.lock"])
@pytest.mark.parametrize(
    ("number", "code", "why"),
    [
        (errno.EACCES, 77, "no permission (let this user read and write it, or keep the runs elsewhere"),
        (errno.EROFS, 74, "the file system is read-only (keep the runs elsewhere"),
        (errno.ENOLCK, 74, "No locks available (keep the runs elsewhere"),
    ],
)
def test_a_lock_of_another_user_or_a_read_only_folder_is_an_error(
    folder: Folder, here: Here, monkeypatch: pytest.MonkeyPatch, name: str, number: int, code: int, why: str
) -> None:
    folder.write("p.yaml", ROWS)
    path = folder.path / ".nfrun" / name
    open_file = os.open

    def fail(file: Any, *rest: Any, **more: Any) -> int:
        if str(file) == str(path):
            raise OSError(number, os.strerror(number), str(file))
        return open_file(file, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        done = here(folder.path, "run", "p.yaml")
    assert (done.returncode, done.stderr) == (code, f"nfrun: cannot use {path}: {why} with --work DIR)\n")
    assert folder.run()["status"] == "ok", "nothing is left locked"


@pytest.mark.parametrize("words", [["run", "p.yaml"], ["run", "p.yaml", "--fresh"], ["plan", "p.yaml"], ["clean"]])
def test_a_python_without_sqlite_is_an_error_that_says_what_to_do(
    folder: Folder, here: Here, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    folder.write("p.yaml", ROWS)
    if words[0] == "clean":
        folder.write(".nfrun/lock", "")
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    done = here(folder.path, *words)
    what = "this Python has no module sqlite3, and nfrun needs it to find the results of earlier runs"
    hint = "install it, or build Python again where the headers of SQLite are installed: libsqlite3-dev"
    assert (done.returncode, done.stdout, done.stderr) == (74, "", f"nfrun: {what} ({hint})\n")


@pytest.mark.parametrize(("work", "file"), [(".", "d.txt"), ("data", "data/d.txt")])
def test_files_of_the_user_in_the_work_folder_count(work: str, file: str, tmp_path: Path, here: Here) -> None:
    (tmp_path / "steps.py").write_text(f"def a(): return [{{'x': open('{file}').read()}}]\n")
    (tmp_path / "p.yaml").write_text("nodes: {a: {python: 'steps:a'}}\n")
    (tmp_path / "data").mkdir()
    for text, status in (("1", "1 ran"), ("1", "1 reused"), ("2", "1 ran")):
        (tmp_path / file).write_text(text)
        assert f"p: ok, {status}, " in here(tmp_path, "run", "p.yaml", "--work", work).stderr


# ------------------------------------------------------------------ links


@pytest.mark.parametrize("is_link", [True, False])
def test_clean_leaves_what_links_lead_to_and_the_work_folder_may_be_one(folder: Folder, is_link: bool) -> None:
    folder.write("p.yaml", ROWS)
    folder.write("mine/x", "")
    (folder.path / "disk").mkdir()
    (folder.path / ".nfrun").symlink_to("disk")  # as on another disk
    folder.run()
    if is_link:
        (folder.path / "disk" / "inputs").symlink_to(folder.path / "mine")
    out, err = folder.nfrun("clean", "--all")
    assert out.startswith("removed 1 run") and folder.runs() == [] and (folder.path / ".nfrun").is_symlink()
    told = f"nfrun: warning: {folder.path}/.nfrun/inputs leads out of the work folder: what the link leads to stays\n"
    assert err == told * is_link
    assert (folder.path / "mine" / "x").exists()


# ------------------------------------------------------------------ modes


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_folders_of_the_work_folder_are_for_their_owner_alone(tmp_path: Path, here: Here, umask: int) -> None:
    (tmp_path / "steps.py").write_text("def twice(n: int):\n    return {'n': 2 * n}\n")
    (tmp_path / "p.yaml").write_text(
        "inputs: {rows: {read: none.csv}}\n"
        "nodes:\n"
        "  m: {python: 'steps:twice', inputs: rows, map: {over: rows}}\n"
        "  s: {run: 'mkdir -p $NFRUN_OUTPUT/inner; touch $NFRUN_OUTPUT/a', inputs: m, outputs: {site: folder}}\n"
        "outputs: {m: m}\n"
    )
    work = tmp_path / "work"  # the user's own, with the usual mode
    work.mkdir(0o755)
    store = tmp_path / "store"
    before = os.umask(umask)
    try:
        nfrun.load(tmp_path / "p.yaml").run(inputs={"rows": pa.table({"n": [1, 2]})}, work=work)
        WorkDir(work).store_address(f"file://{store}")
        cache = HostCache(tmp_path / "cache" / "boot" / "a")
        cache.get("data/x", lambda folder: Path(shutil.copy(tmp_path / "p.yaml", folder)))
    finally:
        os.umask(before)
    found = {path: stat.S_IMODE(path.stat().st_mode) for top in (work, tmp_path / "cache") for path in top.rglob("*")}
    kept = [path for path in found if path.name.startswith("s.site.")]
    inner = {path for path in found for top in kept if path.is_relative_to(top)}
    assert {"inputs", "map", "runs", "locks", "store-id"} <= {path.name for path in work.iterdir()}
    assert {mode for path, mode in found.items() if path.is_dir() and path not in inner} == {0o700}
    assert {mode for path, mode in found.items() if path in inner} == {0o555, 0o444}  # in the folder of the run
    assert {mode for path, mode in found.items() if path.parent == work and path.is_file()} == {0o600}
