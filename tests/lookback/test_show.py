"""Tests of `nfrun show`."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import Here
from kept_runs import Kept, failure, finished, output

from nfrun.core.events import Frame
from nfrun.history.journal import FailedAttempt, NodeTimes, RecordedNode
from nfrun.lookback.run_view import node_json
from nfrun.tables.ipc import write_file

FRAMES = (Frame("steps.py", 21, "score", 'return table["price"]'),)
COUNTS = {"ok": 2, "reused": 1, "failed": 1, "skipped": 1, "cancelled": 1}


pytestmark = pytest.mark.usefixtures("utc")


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A run with nodes of all statuses, and a good one before it."""
    kept = Kept(tmp_path)
    earlier = kept.add(1, "ok")
    nodes = [
        finished("orders", outputs=(output("orders", 1204),), reused=True, home=earlier.name, duration=9.0),
        finished(
            "recent",
            outputs=(output("recent", 1000, file="recent.1.arrow"),),
            key_inputs={"input table": "digest-orders s", "needs orders": "x"},
            duration=0.25,
            started=0.5,
            attempts=2,
            reason="the function recent changed",
            reads={"conf.yaml": "c", "other.yaml": ""},
            wrote={"out/x.csv": "c"},
            obstacle="it connects to db.example",
        ),
        finished("hello", duration=0.1, started=0.1, reason="it gave no output, so it runs for its effect"),
        RecordedNode(
            "score",
            "failed",
            failure=failure(frames=FRAMES, inputs=("recent: 1,000 rows, id: int64",)),
            attempts=3,
            started=0.8,
            duration=1.0,
            reason="it reads 'recent', which runs",
        ),
        RecordedNode("report", "skipped", because="score", reason="it reads 'score', which runs"),
        RecordedNode("late", "cancelled", because="the run stopped after a failure"),
    ]
    kept.add(
        2,
        "failed",
        nodes=nodes,
        counts=COUNTS,
        params={"country": "DE", "token": "***", "limit": 5},
        command=("nfrun", "run", "p.yaml", "-p", "country=a b"),
        versions={"nfrun": "0.12.0", "python": "3.11.7"},
        host="build-3",
    )
    return kept


def shown(here: Here, folder: Path, *words: str) -> str:
    found = here(folder, "show", *words)
    assert (found.returncode, found.stderr) == (0, "")
    return found.stdout.replace(str(folder), "HERE")


def test_a_run_is_shown_with_its_nodes_and_failures(here: Here, tmp_path: Path, kept: Kept) -> None:
    assert (
        shown(here, tmp_path)
        == """\
run 2 of p.yaml: failed, 2 ran, 1 reused, 1 failed, 1 skipped, 1 cancelled, 2.00 s
  started     2023-11-14 22:13:20
  host        build-3
  command     nfrun run p.yaml -p 'country=a b'
  parameters  country=DE, token=***, limit=5
  versions    nfrun 0.12.0, python 3.11.7
  folder      HERE/.nfrun/runs/2-20231114-221320

node    status       time   rows  why it ran
score   failed     1.00 s      -  it reads 'recent', which runs (3 attempts)
hello   ok         100 ms      -  it gave no output, so it runs for its effect
recent  ok         250 ms  1,000  the function recent changed (2 attempts)
late    cancelled       -      -  the run stopped after a failure
report  skipped         -      -  'score' failed
orders  reused          -  1,204

p.yaml: node 'score' failed after 3 attempts: KeyError: 'price'
  steps.py:21 in score
    return table["price"]
  inputs
    recent: 1,000 rows, id: int64
  skipped report
"""
    )


def test_the_journal_is_printed_as_it_was_written(here: Here, tmp_path: Path, kept: Kept) -> None:
    done = here(tmp_path, "show", "--events", "--run", "1")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["started", "ended"]
    done = here(tmp_path, "show", "recent", "--events")
    (line,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (line["event"], line["node"], line["reads"]) == ("finished", "recent", {"conf.yaml": "c", "other.yaml": ""})
    done = here(tmp_path, "show", "recnt", "--events")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("nfrun: the node 'recnt' is not recorded in run ")


def test_a_node_whose_table_was_made_again_is_shown_once(here: Here, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    earlier = kept.add(1)
    again = "its table is made again, as 'c' reads it"
    reused = [finished(name, reused=True, home=earlier.name) for name in "ab"]
    kept.add(
        2,
        "failed",
        nodes=[*reused, finished("a", reason=again), RecordedNode("b", "failed", failure=failure(), reason=again)],
    )
    lines = [line.split()[:2] for line in shown(here, tmp_path).splitlines() if line[:2] in ("a ", "b ")]
    assert lines == [["b", "failed"], ["a", "ok"]]
    assert shown(here, tmp_path, "a").startswith(f"node 'a' in run 2: ran, 0 us\n  why it ran  {again}\n")


def test_all_failures_are_listed(here: Here, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    names = [f"n{number}" for number in range(60)]
    kept.add(1, "failed", nodes=[RecordedNode(n, "failed", failure=failure(f"ValueError: {n}")) for n in names])
    text = shown(here, tmp_path)
    assert re.findall(r"^p.yaml: node '(n\d+)' failed: ValueError: \1$", text, re.MULTILINE) == names
    assert "\n… and 10 more nodes: 'nfrun show --all' lists all\n" in text
    assert len(re.findall(r"^n\d+ +failed", text, re.MULTILINE)) == 50
    assert len(re.findall(r"^n\d+ +failed", shown(here, tmp_path, "--all"), re.MULTILINE)) == 60


def test_a_run_that_was_killed_and_one_under_way_say_so(here: Here, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.add(1, "", nodes=[finished("a")])
    assert "run 1 of p.yaml: was killed, or its folder was copied while it ran, 1 ran\n" in shown(here, tmp_path)
    with kept.running(2, nodes=[finished("a")], at=time.time()):
        assert shown(here, tmp_path, "--run", "2").startswith("run 2 of p.yaml: is under way, 1 ran, ")


def test_a_node_is_shown_with_all_that_is_recorded(here: Here, tmp_path: Path, kept: Kept) -> None:
    run = tmp_path / ".nfrun" / "runs" / "2-20231114-221320"
    kept.log(run, "recent", "stdout", "first attempt\n")
    kept.log(run, "recent", "stdout", "".join(f"line {number}\n" for number in range(12)), attempt=2)
    kept.log(run, "recent", "log", "info: done\n", attempt=2)
    again = "nfrun run p.yaml -p 'country=a b' --keep --force recent"
    assert (
        shown(here, tmp_path, "recent").replace(again, "AGAIN")
        == """\
node 'recent' in run 2: ran, 250 ms
  why it ran  the function recent changed
  started     2023-11-14 22:13:20, 500 ms after the run began
  attempts    2
  read        conf.yaml
              other.yaml (missing)
  wrote       out/x.csv
  not reused  it connects to db.example

inputs
  table = orders: 1,204 rows, 1.2 kB
    a: int64

outputs
  recent: 1,000 rows, 1.2 kB
    a: int64
    the table of 'recent' in run 2 was removed; to make it again: AGAIN

stdout  HERE/.nfrun/runs/2-20231114-221320/logs/recent.2.stdout
"""
        + "".join(f"  line {number}\n" for number in range(2, 12))
        + """
log  HERE/.nfrun/runs/2-20231114-221320/logs/recent.2.log
  info: done
"""
    )


def test_the_first_rows_of_a_table_are_shown(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a reused node, the file is in the run in which it ran. Secrets that are set here are masked."""
    kept = Kept(tmp_path)
    first = kept.add(1)
    table = pa.table({"id": range(30), "token": ["hunter2", "\x1b[31m", *"a" * 28]})
    size = write_file(table, first / "a.1.arrow").size
    made = output("a", 30, file="a.1.arrow", size=size, home=first.name)
    kept.add(2, nodes=[finished("a", outputs=(made,), reused=True, home=first.name)], secrets=("TOKEN",))
    monkeypatch.setenv("TOKEN", "hunter2")
    text = shown(here, tmp_path, "a")
    assert "\na: 30 rows, 2 columns HERE/.nfrun/runs/1-20231114-221320/a.1.arrow\n" in text
    assert re.search(r"^ +0   \*\*\*\n +1   \\x1b\[31m", text, re.MULTILINE)
    assert "\n… and 20 more rows\n" in text
    path = json.loads(shown(here, tmp_path, "a", "--json"))["outputs"]["a"]["path"]
    assert path == "HERE/.nfrun/runs/1-20231114-221320/a.1.arrow"


@pytest.mark.parametrize("fields", [{"file": "../../secret.arrow"}, {"home": ".."}, {"home": "../x"}, {"file": ""}])
def test_a_journal_names_no_file_outside_of_the_runs(here: Here, tmp_path: Path, fields: dict[str, str]) -> None:
    kept = Kept(tmp_path)
    run = kept.add(1, nodes=[finished("a", outputs=(output("a", **{"file": "secret.arrow", **fields}),))])
    for path in (
        kept.work.path / "secret.arrow",
        kept.work.path / "runs" / "secret.arrow",
        run.parent / "secret.arrow",
    ):
        write_file(pa.table({"secret": [1]}), path)
    assert "    the table of 'a' in run 1 was removed; to" in shown(here, tmp_path, "a")


def test_a_table_without_a_file_says_so(here: Here, tmp_path: Path) -> None:
    """Of a node that only reads a local file, no table is written."""
    Kept(tmp_path).add(1, nodes=[finished("a", outputs=(output("a"),))])
    message = "no file of it is kept; 'nfrun open a --run 1' shows it if what its node read is unchanged"
    assert shown(here, tmp_path, "a").endswith(f"    a: int64\n    {message}\n")


def test_a_damaged_table_is_told_apart(here: Here, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    run = kept.add(1, nodes=[finished("a", outputs=(output("a", file="a.1.arrow", size=5),))])
    (run / "a.1.arrow").write_bytes(b"wrong")
    assert "\n    cannot open a.1.arrow: " in shown(here, tmp_path, "a")
    (run / "a.1.arrow").write_bytes(b"longer than it was")
    assert "\n    cannot open a.1.arrow: it has 18 bytes, and was written with 5\n" in shown(here, tmp_path, "a")


def test_a_failed_node_is_shown_with_its_traceback(here: Here, tmp_path: Path, kept: Kept) -> None:
    assert (
        shown(here, tmp_path, "score", "--run", "2")
        == """\
node 'score' in run 2: failed, 1.00 s
  why it ran  it reads 'recent', which runs
  started     2023-11-14 22:13:20, 800 ms after the run began
  attempts    3

p.yaml: node 'score' failed after 3 attempts: KeyError: 'price'
  steps.py:21 in score
    return table["price"]
  inputs
    recent: 1,000 rows, id: int64
"""
    )


def test_nodes_that_did_not_run_say_why(here: Here, tmp_path: Path, kept: Kept) -> None:
    assert (
        shown(here, tmp_path, "report")
        == """\
node 'report' in run 2: was skipped
  why it did not run  'score' failed
"""
    )
    assert (
        shown(here, tmp_path, "late")
        == """\
node 'late' in run 2: was cancelled
  why it did not run  the run stopped after a failure
"""
    )


def test_a_reused_node_shows_the_logs_of_the_run_in_which_it_ran(here: Here, tmp_path: Path, kept: Kept) -> None:
    kept.log(tmp_path / ".nfrun" / "runs" / "1-20231114-221320", "orders", "stderr", "read it\n")
    text = shown(here, tmp_path, "orders")
    assert text.startswith("node 'orders' in run 2: was reused\n  ran in run  1\n")
    assert text.endswith("\nstderr  HERE/.nfrun/runs/1-20231114-221320/logs/orders.1.stderr\n  read it\n")


def test_an_unknown_node_is_an_error_with_the_nearest_name(here: Here, tmp_path: Path, kept: Kept) -> None:
    found = here(tmp_path, "show", "recnt")
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == "nfrun: the node 'recnt' is not recorded in run 2: did you mean 'recent'?\n"
    for run in ("2", "last", "last-ok~1", "1-20231114-221320"):
        message = f"the node '{run}' is not recorded in run 2: did you mean --run {run}?"
        assert here(tmp_path, "show", run).stderr == f"nfrun: {message}\n"
    found = here(tmp_path, "show", "\x1b[31m", "--json")
    message = "the node '\\x1b[31m' is not recorded in run 2: its nodes are hello, late, orders, recent, report, score"
    assert (found.returncode, found.stderr) == (2, f"nfrun: {message}\n")
    assert json.loads(found.stdout) == {"status": "failed", "error": message, "problems": []}


def test_a_node_without_an_end_in_a_killed_run_may_have_been_under_way(here: Here, tmp_path: Path, kept: Kept) -> None:
    kept.add(3, "", nodes=[finished("orders")])
    found = here(tmp_path, "show", "train")
    began = "it was under way, or had not begun (its nodes are orders)"
    message = f"the node 'train' had not ended when run 3 was killed: {began}"
    assert (found.returncode, found.stdout, found.stderr) == (2, "", f"nfrun: {message}\n")


def test_a_node_took_as_long_as_all_its_attempts() -> None:
    tried = (FailedAttempt(0.5, 1.5, 0.2, 0.0, "no"), FailedAttempt(1.7, 1.95, 0.2, 0.0, "no"))
    assert node_json(RecordedNode("a", "ok", duration=2.0, earlier=tried))["took_s"] == 3.25


def test_json_of_a_run_has_all_its_nodes(here: Here, tmp_path: Path, kept: Kept) -> None:
    document = json.loads(shown(here, tmp_path, "--json"))
    assert document["status"] == "failed"
    assert document["counts"] == COUNTS
    assert document["command"] == ["nfrun", "run", "p.yaml", "-p", "country=a b"]
    assert [*document["nodes"]] == ["score", "hello", "recent", "late", "report", "orders"]
    assert document["nodes"]["score"] == {
        "status": "failed",
        "attempts": 3,
        "started_s": 0.8,
        "took_s": 1.0,
        "rows": None,
        "why": "it reads 'recent', which runs",
        "because": None,
        "error": "KeyError: 'price'",
        "failure": {
            "cause": "error",
            "type": "KeyError",
            "message": "'price'",
            "frames": [{"file": "steps.py", "line": 21, "function": "score", "source": 'return table["price"]'}],
            "details": "",
            "inputs": ["recent: 1,000 rows, id: int64"],
            "errno": None,
        },
    }


def test_json_of_a_node_has_its_inputs_and_outputs(here: Here, tmp_path: Path, kept: Kept) -> None:
    document = json.loads(shown(here, tmp_path, "recent", "--json"))
    assert document["run"]["number"] == 2
    assert document["node"] == "recent"
    assert document["inputs"]["table"]["output"] == "orders"
    assert document["outputs"]["recent"]["rows"] == 1000
    assert document["reads"] == {"conf.yaml": "c", "other.yaml": ""}
    assert document["obstacle"] == "it connects to db.example"


def test_nothing_in_the_folder_changes(here: Here, tmp_path: Path, kept: Kept) -> None:
    """Also on a folder that cannot be written."""
    folders = [path for path in (tmp_path, *tmp_path.rglob("*")) if path.is_dir()]
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in tmp_path.rglob("*")}
    for folder in folders:
        folder.chmod(0o500)
    for words in (["runs"], ["show"], ["show", "recent"], ["logs", "recent"]):
        assert here(tmp_path, *words).returncode == 0
    for folder in folders:
        folder.chmod(0o700)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in tmp_path.rglob("*")} == before


def test_a_real_run_with_many_failures_is_shown_as_it_was(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all failures and their frames, why the nodes ran, and the secrets that they print masked."""
    monkeypatch.setenv("TOKEN", "hunter2")
    nodes = "".join(f'  n{i}: {{python: "steps:fail", with: {{n: {i}}}}}\n' for i in range(8))
    (tmp_path / "p.yaml").write_text(f'secrets: [TOKEN]\nenv: {{TOKEN: "${{{{ secrets.TOKEN }}}}"}}\nnodes:\n{nodes}')
    body = "    token = context.env['TOKEN']\n    print(token)\n    raise ValueError(f'{n} {token}')\n"
    (tmp_path / "steps.py").write_text(f"def fail(n, context):\n{body}")
    assert here(tmp_path, "run", "p.yaml", "-q", "-k").returncode == 1
    text = shown(here, tmp_path)
    for i in range(8):
        assert f"node 'n{i}' failed: ValueError: {i} ***\n  steps.py:4 in fail\n" in text
        assert re.search(rf"^n{i} +failed .* it has not finished in any run that is kept$", text, re.MULTILINE)
    assert here(tmp_path, "logs", "n3").stdout == "stdout | ***\n"
    assert "hunter2" not in text + shown(here, tmp_path, "--json") + shown(here, tmp_path, "n3")


def test_what_the_time_of_a_node_was_spent_on(here: Here, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    times = NodeTimes(2.0, 3.5, 0.25, 0.1, 0.2, 0.9)
    tried = (FailedAttempt(0.0, 0.5, 1.0, 0.0, "ValueError: no"),)
    ran = {"started": 0.0, "duration": 1.2, "attempts": 2, "times": times, "earlier": tried}
    kept.add(1, nodes=[finished("a", **ran, memory=12_000_000, worker="tcp://one:1")])
    shown = here(tmp_path, "show", "a").stdout
    assert "  attempts    2\n              500 ms: ValueError: no\n" in shown
    assert (
        "  spent       250 ms queued, 100 ms waiting for inputs, 1.20 s working, 200 ms handing on, 900 ms of CPU\n"
        "  memory      12.0 MB at most\n"
        "  worker      tcp://one:1\n"
    ) in shown
    document = json.loads(here(tmp_path, "show", "a", "--json").stdout)
    assert document["times"]["queued_s"] == 0.25
    assert document["failed_attempts"] == [
        {"started": 0.0, "ended": 0.5, "delay": 1.0, "queued": 0.0, "error": "ValueError: no"}
    ]
    assert (document["memory"], document["worker"]) == (12_000_000, "tcp://one:1")
