"""Nodes that run when all others have ended, `on_failure` and `finally`, in whole runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import forked
import pytest
from conftest import wait_until

STEPS = """
import json, time

def report(context):
    json.dump({"report": context.report, "env": {k: v for k, v in context.env.items() if k.startswith("NFRUN_")}},
              open("report.json", "w"))

def hang():
    open("hangs", "w").write("x")
    while True:
        time.sleep(0.1)

def usual(context):
    return {"report": str(context.report)}
"""


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "steps.py").write_text(STEPS)

    def start(self, text: str, *options: str) -> subprocess.Popen[str]:
        (self.path / "p.yaml").write_text(text)
        command = [sys.executable, "-m", "nfrun", "run", "p.yaml", *options]
        pipe = subprocess.PIPE
        return forked.Popen(command, cwd=self.path, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)

    def run(self, text: str, *options: str) -> tuple[int, str]:
        process = self.start(text, *options)
        out, err = process.communicate(timeout=120)
        return process.returncode, out + err

    def await_file(self, process: subprocess.Popen[str], name: str) -> None:
        wait_until((self.path / name).exists, lambda: process.poll() is None)

    def text(self, name: str) -> str:
        return (self.path / name).read_text() if (self.path / name).exists() else "-"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


SLOW = "nodes:\n  a: {run: 'touch began; sleep 60 & wait'}\n"
END = """
on_failure:
  tell: {run: 'echo "$NFRUN_STATUS:$NFRUN_FAILED" > tell'}
finally:
  stop: {run: 'echo "$NFRUN_STATUS:$NFRUN_FAILED" > stop'}
"""


@pytest.mark.parametrize(
    ("node", "code", "tell", "stop"),
    [
        ("run: 'true'", 0, "-", "ok:\n"),
        ("run: 'false'", 1, "failed:a\n", "failed:a\n"),
        ("run: 'false', continue_on_error: true", 0, "-", "ok:\n"),
        ("run: 'sleep 60', timeout: 50ms", 1, "failed:a\n", "failed:a\n"),
    ],
)
def test_they_get_how_the_run_ended(folder: Folder, node: str, code: int, tell: str, stop: str) -> None:
    assert folder.run(f"nodes:\n  a: {{{node}}}\n{END}")[0] == code
    assert (folder.text("tell"), folder.text("stop")) == (tell, stop)


def test_all_that_failed_is_named_with_keep_going(folder: Folder) -> None:
    folder.run(f"nodes:\n  a: {{run: 'false'}}\n  b: {{run: 'true'}}\n  c: {{run: 'false'}}\n{END}", "-k")
    assert folder.text("stop") == "failed:a c\n"


def test_one_that_fails_makes_a_good_run_fail(folder: Folder) -> None:
    code, told = folder.run(
        "nodes:\n  a: {run: 'true'}\nfinally:\n  stop: {run: 'exit 3'}\n  other: {run: 'touch ran'}\n"
    )
    assert code == 1
    assert "p.yaml:4:3: node 'stop' failed: the script exited with status 3\n" in told
    assert "p: failed, 2 ran, 1 failed, " in told
    assert (folder.path / "ran").exists()
    code, _ = folder.run("nodes:\n  a: {run: 'true'}\nfinally:\n  stop: {run: 'exit 3', continue_on_error: true}\n")
    assert code == 0


def test_one_that_fails_does_not_hide_the_cause_of_the_run(folder: Folder) -> None:
    code, told = folder.run("nodes:\n  a: {run: 'false'}\nfinally:\n  stop: {run: 'exit 3'}\n")
    assert code == 1
    assert "node 'a' failed" in told and "node 'stop' failed" in told


def test_a_python_node_gets_the_document_of_the_run(folder: Folder) -> None:
    text = "nodes:\n  a: {python: 'steps:usual'}\nfinally:\n  end: {python: 'steps:report'}\n"
    assert folder.run(text)[0] == 0
    found = json.loads(folder.text("report.json"))
    assert found["report"]["nodes"]["a"]["status"] == "ok"
    assert (found["report"]["status"], found["report"]["error"]) == ("ok", None)
    assert found["env"]["NFRUN_STATUS"] == "ok"
    assert found["report"]["outputs"]["a"]["rows"] == 1
    assert "None" in folder.run("nodes:\n  a: {python: 'steps:usual'}\n")[1], "there is none in other nodes"


def test_inputs_are_there_as_far_as_their_nodes_have_finished(folder: Folder) -> None:
    text = """
nodes:
  a: {sql: select 1 as n}
  b: {run: 'false', needs: a}
  c: {sql: select * from a, inputs: a}
finally:
  end: {run: 'echo "${NFRUN_INPUT_a:+a} ${NFRUN_INPUT_b:+b}" > end', inputs: {a: a, b: b}}
"""
    folder.run(text)
    assert folder.text("end") == "a \n"
    folder.run(text)
    assert folder.text("end") == "a \n", "the table of a reused node, too"


def test_they_run_in_every_run_and_only_once_in_each(folder: Folder) -> None:
    text = "nodes:\n  a: {sql: select 1 as n}\nfinally:\n  stop: {run: 'echo x >> stop'}\n"
    folder.run(text)
    folder.run(text)
    folder.run(text, "--handoff", "memory")
    assert folder.text("stop") == "x\nx\nx\n"
    code, told = folder.run(text, "--force", "stop")
    assert (code, "stop" in told) == (2, True)
    assert folder.text("stop") == "x\nx\nx\n", "nothing runs after a wrong option"


def test_they_are_in_the_journal_the_logs_and_the_events(folder: Folder) -> None:
    folder.run("nodes:\n  a: {sql: select 1 as n}\nfinally:\n  stop: {run: 'echo bye'}\n", "--events", "e.jsonl")
    events = [json.loads(line) for line in folder.text("e.jsonl").splitlines()]
    names = [event["event"] for event in events if event.get("node") != "a"]
    assert names[names.index("all_nodes_ended") :] == [
        *("all_nodes_ended", "node_started", "node_logged", "node_finished", "run_finished")
    ]
    done = forked.run(
        [sys.executable, "-m", "nfrun", "show", "--json"], cwd=folder.path, capture_output=True, text=True, check=True
    )
    node = json.loads(done.stdout)["nodes"]["stop"]
    assert (node["status"], node["why"]) == ("ok", "it runs when all other nodes have ended")
    logs = forked.run(
        [sys.executable, "-m", "nfrun", "logs", "stop"], cwd=folder.path, capture_output=True, text=True, check=True
    )
    assert "bye" in logs.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_a_signal_finally_runs_and_on_failure_does_not(folder: Folder, number: signal.Signals) -> None:
    process = folder.start(SLOW + END)
    folder.await_file(process, "began")
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert (folder.text("tell"), folder.text("stop")) == ("-", "cancelled:\n")


def test_after_a_signal_finally_runs_beside_a_node_that_hangs(folder: Folder) -> None:
    process = folder.start(f"nodes:\n  a: {{python: 'steps:hang'}}\n{END}", "--grace", "200ms")
    folder.await_file(process, "hangs")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert (process.returncode, folder.text("stop")) == (143, "cancelled:\n")


def test_a_second_signal_ends_finally(folder: Folder) -> None:
    text = f"{SLOW}finally:\n  stop: {{run: 'touch stopping; sleep 60; touch stopped'}}\n"
    process = folder.start(text, "--grace", "1h")
    folder.await_file(process, "began")
    process.send_signal(signal.SIGTERM)
    folder.await_file(process, "stopping")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert not (folder.path / "stopped").exists()


def test_after_a_signal_finally_has_the_grace_once_more(folder: Folder) -> None:
    text = f"{SLOW}finally:\n  stop: {{run: 'sleep 60; touch stopped'}}\n"
    process = folder.start(text, "--grace", "300ms")
    folder.await_file(process, "began")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "node 'stop' failed: Timeout: took longer than the grace period of 0.3 s" in err
    assert not (folder.path / "stopped").exists()


def test_a_signal_while_finally_runs_leaves_a_good_run_good(folder: Folder) -> None:
    script = "kill -TERM $PPID; echo done > stop"
    assert folder.run(f"nodes:\n  a: {{run: 'true'}}\nfinally:\n  stop: {{run: '{script}'}}\n")[0] == 0
    assert folder.text("stop") == "done\n"


def test_nothing_runs_if_the_run_could_not_start(folder: Folder) -> None:
    assert folder.run(f"nodes:\n  a: {{python: 'nothing:here'}}\n{END}")[0] == 2
    assert (folder.text("tell"), folder.text("stop")) == ("-", "-")


def test_a_condition_leaves_out_nodes_of_these_sections(folder: Folder) -> None:
    node = "stop: {run: 'touch stop', if: '${{ params.go }}'}"
    text = f"params: {{go: false}}\nnodes:\n  a: {{run: 'true'}}\nfinally:\n  {node}\n"
    folder.run(text)
    assert folder.text("stop") == "-"
    folder.run(text, "-p", "go=true")
    assert folder.text("stop") == ""
