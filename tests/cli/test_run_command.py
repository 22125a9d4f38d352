"""Tests of `nfrun run`: output streams, exit codes, JSON, events and signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import forked
import pexpect
import pyarrow as pa
import pytest
from conftest import Here, wait_until, without_time

STEPS = '''
import asyncio
import os
import time
import pyarrow as pa

def numbers(count=3):
    print(f"making {count}")
    return pa.table({"n": range(count)})

def double(table):
    return pa.table({"n": [2 * n for n in table["n"].to_pylist()]})

async def wait(**inputs):
    await asyncio.sleep(0)
    return {"waited": True}

def fail(table):
    """Fails."""
    raise LookupError("no column 'price'")

def hang(**inputs):
    print("hanging", flush=True)
    while True:
        time.sleep(1)
'''

TWO = """\
name: two
params: {count: 3}
nodes:
  numbers:
    python: steps:numbers
    with: {count: "${{ params.count }}"}
  double:
    python: steps:double
    inputs: {table: numbers}
"""

FAILING = """\
nodes:
  numbers: {python: "steps:numbers"}
  bad: {python: "steps:fail", inputs: {table: numbers}}
  after: {python: "steps:double", inputs: {table: bad}}
  other: {python: "steps:wait", inputs: [numbers]}
  last: {python: "steps:wait", inputs: [other]}
"""


class Folder:
    """A folder with pipelines in which nfrun runs."""

    def __init__(self, path: Path, here: Here) -> None:
        self.path, self._here = path, here
        (path / "steps.py").write_text(STEPS, encoding="utf-8")
        (path / "two.yaml").write_text(TWO, encoding="utf-8")
        (path / "failing.yaml").write_text(FAILING, encoding="utf-8")
        self.env = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}

    def here(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run nfrun in this process."""
        return self._here(self.path, *arguments)

    def nfrun(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return forked.run(
            [sys.executable, "-m", "nfrun", *arguments],
            cwd=self.path,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )

    def document(self, *arguments: str) -> dict[str, Any]:
        """Run a pipeline in this process, and return its document."""
        done = self.here("run", *arguments, "--json")
        document: dict[str, Any] = json.loads(done.stdout)
        return document


@pytest.fixture
def folder(tmp_path: Path, here: Here) -> Folder:
    return Folder(tmp_path, here)


def test_results_go_to_stdout_and_everything_else_to_stderr(folder: Folder) -> None:
    done = folder.nfrun("run", "two.yaml")
    assert done.returncode == 0
    head, *rest = done.stdout.strip().splitlines()
    assert head.startswith("double: 3 rows, 1 column ")
    assert head.endswith("double.1.arrow")
    assert [line.strip() for line in rest if line.strip()] == ["n", "─", "0", "2", "4"]
    assert "two: 2 nodes, up to" in done.stderr
    assert "numbers | making 3" in done.stderr
    assert "double finished in" in done.stderr
    assert "critical path" in done.stderr
    assert "sequential" not in done.stderr, "there was too little work to compare"
    assert "\x1b" not in done.stdout + done.stderr


def test_a_pipe_gets_colour_only_with_color_always(folder: Folder) -> None:
    assert "\x1b" not in "".join(folder.nfrun("run", "two.yaml", FORCE_COLOR="1").stdout)
    assert "\x1b[" in folder.nfrun("run", "two.yaml", "--color", "always").stdout


def test_quiet_prints_nothing_unless_something_fails(folder: Folder) -> None:
    done = folder.here("run", "two.yaml", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "failing.yaml:3:3: node 'bad' failed" in folder.here("run", "failing.yaml", "-q").stderr


def test_the_json_document_is_all_of_stdout(folder: Folder) -> None:
    document = json.loads(folder.nfrun("run", "two.yaml", "-p", "count=5", "--json").stdout)
    assert document["status"] == "ok"
    assert document["name"] == "two"
    assert [stage["nodes"] for stage in document["stages"]] == [["numbers"], ["double"]]
    assert {"wall_s", "busy_s", "index"} <= document["stages"][0].keys()
    assert document["critical_path"] == ["numbers", "double"]
    assert document["sequential_s"] >= document["critical_path_s"] > 0
    assert document["wall_s"] > 0
    assert document["peak_rss_bytes"] > 1_000_000
    node = document["nodes"]["double"]
    assert (node["status"], node["stage"], node["attempts"], node["rows"], node["error"]) == ("ok", 1, 1, 5, None)
    assert {"started_s", "took_s", "queued_s", "handoff_s", "bytes"} <= node.keys()
    output = document["outputs"]["double"]
    assert output["rows"] == 5
    assert output["digest"].startswith("xxh3_128:")
    with pa.memory_map(output["path"]) as file:
        assert pa.ipc.open_file(file).read_all().to_pydict() == {"n": [0, 2, 4, 6, 8]}


def test_without_room_for_tables_only_the_outputs_of_the_pipeline_are_left_on_disk(folder: Folder) -> None:
    document = folder.document("two.yaml", "--cache-size", "0")
    run = folder.path / ".nfrun" / "runs" / document["run"]
    assert sorted(path.name for path in run.iterdir()) == ["double.1.arrow", "logs"]
    assert (run / "double.1.arrow").stat().st_mode & 0o777 == 0o444
    assert (folder.path / ".nfrun").stat().st_mode & 0o777 == 0o700
    assert (folder.path / ".nfrun" / ".gitignore").read_text() == "*\n"


def test_work_sets_the_work_folder(folder: Folder) -> None:
    document = folder.document("two.yaml", "--work", "elsewhere/work")
    assert (folder.path / "elsewhere" / "work" / "runs" / document["run"]).is_dir()
    assert not (folder.path / ".nfrun").exists()


def test_handoff_memory_writes_no_file_and_gives_the_same_digest(folder: Folder) -> None:
    written, in_memory = folder.document("two.yaml"), folder.document("two.yaml", "--handoff", "memory")
    assert in_memory["outputs"]["double"]["path"] is None
    assert in_memory["outputs"]["double"]["digest"] == written["outputs"]["double"]["digest"]
    assert [path.name for path in (folder.path / ".nfrun" / "runs" / in_memory["run"]).iterdir()] == ["logs"]


def test_prints_of_nodes_are_in_log_files_with_a_mark_where_bytes_are_left_out(folder: Folder) -> None:
    script = r"head -c 3000000 /dev/zero; printf \\033[1m\ [red]\\n >&2; exit 1"
    (folder.path / "p.yaml").write_text(f"nodes:\n  loud: {{run: '{script}'}}\n  quiet: {{run: 'true'}}\n")
    done = folder.nfrun("run", "p.yaml", "--json", "-k")
    document = json.loads(done.stdout)
    logs = folder.path / ".nfrun" / "runs" / document["run"] / "logs"
    assert document["nodes"]["loud"]["logs"] == {
        "stdout": str(logs / "loud.1.stdout"),
        "stderr": str(logs / "loud.1.stderr"),
    }
    assert document["nodes"]["quiet"]["logs"] == {}
    left_out = "\n… 902,848 bytes left out …\n".encode()
    assert (logs / "loud.1.stdout").read_bytes() == bytes(1 << 20) + left_out + bytes(1 << 20)
    assert (logs / "loud.1.stderr").read_bytes() == b"\x1b[1m [red]\n"
    assert {path.stat().st_mode & 0o777 for path in logs.iterdir()} == {0o600}
    assert logs.stat().st_mode & 0o777 == 0o700
    where = f"… the rest of 3,000,000 bytes is in {logs / 'loud.1.stdout'}, without 902,848 bytes in the middle"
    assert f"loud | {where}\n" in done.stderr
    assert "loud | \\x1b[1m [red]\n" in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("how", ["sleep 1000", "setsid sleep 1000"])
def test_a_background_process_with_open_streams_does_not_hang_the_run(folder: Folder, how: str) -> None:
    (folder.path / "p.yaml").write_text(f"nodes: {{a: {{run: '{how} & echo $! > pid; echo begun'}}}}\n")
    try:
        done = folder.nfrun("run", "p.yaml")
        assert done.returncode == 0
        assert "a | begun\n" in done.stderr
    finally:
        with suppress(ProcessLookupError):
            os.kill(int((folder.path / "pid").read_text()), signal.SIGKILL)


_PRINTING = """\
import sys
def lines(count):
    for _ in range(count // 1000):
        print("x" * 999)
def endless(count):
    for _ in range(count // 1000):
        sys.stdout.write("x" * 1000)
def binary(count):
    for _ in range(count // 1000):
        sys.stdout.buffer.write(bytes(range(250)) * 4)
"""


def test_nodes_that_print_a_lot_do_not_make_the_run_grow(folder: Folder) -> None:
    (folder.path / "printing.py").write_text(_PRINTING)
    count = "with: {count: '${{ params.count }}'}"
    nodes = ["script: {run: 'head -c $NFRUN_WITH_count /dev/zero', " + count + "}"]
    for executor in ("thread", "process"):
        nodes += [
            f"{what}_{executor}: {{python: 'printing:{what}', {count}, executor: {executor}}}"
            for what in ("lines", "endless", "binary")
        ]
    (folder.path / "p.yaml").write_text(f"params: {{count: 0}}\nnodes: {{{', '.join(nodes)}}}\n")
    # One node at a time: the log ends in memory take some megabytes per node.
    words = ("run", "p.yaml", "--json", "-j", "1", "-p")
    little, much = (json.loads(folder.nfrun(*words, f"count={count}").stdout) for count in (0, 30_000_000))
    assert {node["status"] for node in much["nodes"].values()} == {"ok"}
    # The ends of the logs take 14 to 21 MB; the nodes print 210.
    assert much["peak_rss_bytes"] - little["peak_rss_bytes"] < 40_000_000


def test_every_event_is_a_line_of_json(folder: Folder) -> None:
    assert folder.here("run", "two.yaml", "-q", "--events", "events.jsonl").returncode == 0
    lines = [json.loads(line) for line in (folder.path / "events.jsonl").read_text().splitlines()]
    names = [line["event"] for line in lines]
    assert names[0] == "run_started"
    assert names[-1] == "run_finished"
    assert sorted(names[1:-1]) == [
        *("node_finished", "node_finished", "node_logged", "node_started", "node_started"),
        *("output_published", "output_published", "output_released"),
    ]
    assert [line["output"] for line in lines if line["event"] == "output_published"] == ["numbers", "double"]
    assert [line["output"] for line in lines if line["event"] == "output_released"] == ["numbers"]
    for node, told in (("numbers", "started logged finished"), ("double", "started finished")):
        about = [line for line in lines if node in (line.get("node"), line.get("output"))]
        *first, _ = about if node == "double" else about[:-1]
        assert [line["event"].partition("_")[2] for line in first] == told.split()
        assert all(a["at"] <= b["at"] for a, b in pairwise(first))
    (logged,) = [line for line in lines if line["event"] == "node_logged"]
    assert (logged["node"], logged["level"], logged["text"]) == ("numbers", "stdout", "making 3")


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        *((text, text) for text in ("0", "", "-5", "512M", "1 parsec", "1e9", "50%", "1,000", "0.1", "unlimited")),
        ("\x1b[31m1GB", "\\x1b[31m1GB"),
    ],
)
def test_an_invalid_memory_size_is_a_usage_error(folder: Folder, here: Here, size: str, shown: str) -> None:
    done = here(folder.path, "run", "two.yaml", "--memory", size)
    message = f"Invalid value for --memory: '{shown}' is neither auto nor a size such as 512MB, 1GiB or 2000000000"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == f"Error: {message}"


def test_a_failure_is_printed_last_with_frames_and_inputs(folder: Folder) -> None:
    done = folder.here("run", "failing.yaml", "-j", "1", "--schedule", "sequential")
    assert done.returncode == 1
    assert (
        without_time(done.stderr[done.stderr.index("not finished") :])
        == """\
not finished after the failure: other, last; -k runs what does not depend on it

failing.yaml:3:3: node 'bad' failed: LookupError: no column 'price'
  steps.py:20 in fail
    raise LookupError("no column 'price'")
  inputs
    table: 3 rows, n: int64
  skipped after
failing: failed, 1 ran, 1 failed, 1 skipped, 2 cancelled, TIME
to go on from here: nfrun run failing.yaml -j 1
"""
    )


def test_after_a_failure_no_node_starts_without_keep_going(folder: Folder) -> None:
    stopped = folder.document("failing.yaml", "-j", "1", "--schedule", "sequential")
    assert {name: node["status"] for name, node in stopped["nodes"].items()} == {
        "numbers": "ok",
        "bad": "failed",
        "after": "skipped",
        "other": "cancelled",
        "last": "cancelled",
    }
    going = folder.document("failing.yaml", "-k", "--fresh")
    assert {name: node["status"] for name, node in going["nodes"].items()} == {
        "numbers": "ok",
        "bad": "failed",
        "after": "skipped",
        "other": "ok",
        "last": "ok",
    }
    assert going["status"] == stopped["status"] == "failed"
    assert going["nodes"]["after"]["because"] == "bad"


def test_a_module_that_fails_to_import_shows_the_users_own_lines(folder: Folder) -> None:
    (folder.path / "broken.py").write_text("import steps\n\nsteps.nothing()\n\ndef go():\n    pass\n")
    (folder.path / "p.yaml").write_text("nodes: {a: {python: 'broken:go'}}\n")
    done = folder.here("run", "p.yaml", "-q")
    assert done.returncode == 1
    assert without_time(done.stderr) == (
        "\np.yaml:1:9: node 'a' failed: AttributeError: module 'steps' has no attribute 'nothing'\n"
        "  broken.py:3 in <module>\n"
        "    steps.nothing()\n"
        "p: failed, 1 failed, TIME\n"
    )


def test_control_bytes_of_nodes_and_tables_never_reach_the_terminal(folder: Folder) -> None:
    (folder.path / "evil.py").write_text(
        "def go():\n    print('\\x1b[2J [bold]x[/bold]')\n    return [{'a': '\\x1b]0;x\\x07', '[red]': '\\u202e'}]\n"
        "def bad(a):\n    raise ValueError('\\x1b[31m')\n"
    )
    (folder.path / "p.yaml").write_text(
        "nodes: {a: {python: 'evil:go'}, b: {python: 'evil:bad', inputs: a}}\noutputs: {a: a}\n"
    )
    done = folder.nfrun("run", "p.yaml")
    printed = done.stdout + done.stderr
    assert "\x1b" not in printed
    assert "\x07" not in printed
    assert "\u202e" not in printed
    assert "\\x1b[2J [bold]x[/bold]" in done.stderr
    assert "[red]" in done.stdout
    assert "\\u202e" in done.stdout


def test_parameters_from_a_file_and_from_the_command_line(folder: Folder, here: Here) -> None:
    (folder.path / "params.yaml").write_text("count: 7\n")
    assert folder.document("two.yaml", "--params-file", "params.yaml")["nodes"]["double"]["rows"] == 7
    both = folder.document("two.yaml", "--params-file", "params.yaml", "-p", "count=2")
    assert both["nodes"]["double"]["rows"] == 2
    wrong = here(folder.path, "run", "two.yaml", "-p", "count=many")
    assert wrong.returncode == 2
    assert wrong.stderr == "two.yaml: the parameter 'count' must be of type integer, not 'many'\n"
    unknown = here(folder.path, "run", "two.yaml", "-p", "cuont=1")
    assert unknown.returncode == 2
    assert unknown.stderr == "two.yaml: the pipeline has no parameter 'cuont'\n   did you mean 'count'?\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["two.yaml", "-j", "0"], "'0' is neither auto nor a number from 1 to 10,000"),
        (["two.yaml", "-j", "٤"], "'٤' is neither auto nor a number from 1 to 10,000"),
        (["two.yaml", "-p", "count"], "'count' is not NAME=VALUE"),
        (["two.yaml", "--schedule", "fast"], "'fast' is not one of"),
        (["nope.yaml"], "nope.yaml: there is no such file\n"),
        (["."], ".: this is a folder, not a file\n   name a file in it\n"),
    ],
)
def test_usage_errors(folder: Folder, here: Here, arguments: list[str], message: str) -> None:
    done = here(folder.path, "run", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_an_invalid_file_is_reported_as_json_too(folder: Folder, here: Here) -> None:
    (folder.path / "p.yaml").write_text("nodes: {a: {rn: echo}}\n")
    done = here(folder.path, "run", "p.yaml", "--json")
    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert document["status"] == "failed"
    assert document["problems"] == [
        {
            "file": "p.yaml",
            "line": 1,
            "column": 13,
            "message": "'rn' is not a key of a node",
            "hint": "did you mean 'run'?",
        }
    ]
    assert "p.yaml:1:13: 'rn' is not a key of a node" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize(
    "command",
    [
        "schema > /dev/full",
        "--version > /dev/full",
        "--help > /dev/full",
        "run --help > /dev/full",
        "run two.yaml --json > /dev/full",
        "run two.yaml --events /dev/full",
    ],
)
def test_unwritable_results_are_an_error(folder: Folder, command: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m nfrun {command}"],
        cwd=folder.path,
        env=folder.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 74
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("redirections", [">&-", "2>&-", "<&-", ">&- 2>&-"])
def test_a_run_works_with_closed_streams(folder: Folder, redirections: str) -> None:
    command = f"{sys.executable} -m nfrun run two.yaml {redirections}"
    done = subprocess.run(["sh", "-c", command], cwd=folder.path, env=folder.env, capture_output=True, check=False)
    assert done.returncode == 0


def test_an_events_file_that_cannot_be_made_is_an_io_error(folder: Folder) -> None:
    done = folder.here("run", "two.yaml", "--events", "no/such/folder/events")
    assert done.returncode == 74
    assert done.stderr == "nfrun: no/such/folder/events: No such file or directory\n"


def test_output_into_a_closed_pipe_is_no_error(folder: Folder) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = forked.run(
        [sys.executable, "-m", "nfrun", "run", "two.yaml"],
        cwd=folder.path,
        env=folder.env,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 0
    assert "double finished in" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.parametrize(
    ("number", "code", "why"),
    [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM"), (signal.SIGHUP, 129, "SIGHUP")],
)
def test_a_signal_ends_a_script_and_its_children_at_once(
    folder: Folder, number: signal.Signals, code: int, why: str
) -> None:
    (folder.path / "p.yaml").write_text("nodes: {a: {run: 'sleep 300 & echo $! > pid; echo started >&2; wait'}}\n")
    process = _started(folder, "p.yaml")
    child = int(_content(process, folder.path / "pid"))
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert f"a told to stop: {why}" in err
    assert "p: cancelled, 1 cancelled, " in err
    assert _is_gone(child)


def test_after_ctrl_c_a_stuck_node_is_left_after_the_grace(folder: Folder) -> None:
    (folder.path / "p.yaml").write_text("nodes: {a: {python: 'steps:hang'}}\n")
    process = _started(folder, "p.yaml", "--grace", "100ms")
    _read_until(process, "hanging")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "p: cancelled, 1 cancelled, " in err


def test_a_second_ctrl_c_leaves_a_stuck_node_at_once(folder: Folder) -> None:
    (folder.path / "p.yaml").write_text("nodes: {a: {python: 'steps:hang'}}\n")
    process = _started(folder, "p.yaml", "--grace", "1h")
    _read_until(process, "hanging")
    process.send_signal(signal.SIGINT)
    _read_until(process, "told to stop")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130


DAEMON = "setsid sh -c 'echo $$ > pid; exec sleep 300' & until [ -s pid ]; do :; done"
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt orphans")


@linux
@pytest.mark.parametrize(("end", "code"), [("exit 0", 0), ("exit 1", 1)])
def test_a_daemon_ends_with_the_run(folder: Folder, end: str, code: int) -> None:
    (folder.path / "p.yaml").write_text(json.dumps({"nodes": {"a": {"run": f"{DAEMON}; {end}"}}}))
    done = folder.nfrun("run", "p.yaml")
    assert done.returncode == code
    assert _is_gone(int((folder.path / "pid").read_text()))


@linux
def test_a_daemon_ends_with_a_run_that_is_killed(folder: Folder) -> None:
    (folder.path / "p.yaml").write_text(json.dumps({"nodes": {"a": {"run": f"{DAEMON}; sleep 300"}}}))
    process = _started(folder, "p.yaml")
    daemon = int(_content(process, folder.path / "pid"))
    process.kill()
    process.communicate(timeout=60)  # the reaper closes the streams when it is done
    assert _is_gone(daemon)


@linux
def test_a_killed_run_says_that_the_next_goes_on(folder: Folder) -> None:
    text = "def die():\n    import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    (folder.path / "die.py").write_text(text)
    (folder.path / "p.yaml").write_text("nodes: {a: {python: 'die:die'}}\n")
    done = folder.nfrun("run", "p.yaml", "-q")
    assert done.returncode == 137
    assert done.stderr == (
        "nfrun: the run was killed by SIGKILL; the system does that when memory runs out; "
        "'nfrun run' goes on from what had finished\n"
    )
    (folder.path / "die.py").write_text("def die(): return {'n': 1}\n")
    assert folder.nfrun("run", "p.yaml", "-q").returncode == 0


STUBBORN = "trap '' TERM; echo listening >&2; while :; do sleep 300; done"


def test_with_a_grace_of_zero_ctrl_c_ends_the_run_at_once(folder: Folder) -> None:
    (folder.path / "p.yaml").write_text(f'nodes: {{a: {{run: "{STUBBORN}"}}, b: {{python: "steps:hang"}}}}\n')
    process = _started(folder, "p.yaml", "--grace", "0")
    _read_until(process, "hanging")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "p: cancelled, 2 cancelled, " in err


def test_the_grace_applies_after_a_timeout_too(folder: Folder) -> None:
    (folder.path / "p.yaml").write_text(f'nodes: {{a: {{run: "{STUBBORN}", timeout: 1ms}}}}\n')
    done = folder.nfrun("run", "p.yaml", "--grace=1ms", "-q")
    assert (done.returncode, without_time(done.stderr)) == (
        1,
        "\np.yaml:1:9: node 'a' failed: Timeout: took longer than its timeout of 0.001 s\np: failed, 1 failed, TIME\n",
    )


@pytest.mark.parametrize("wrong", ["-1", "soon", "1w", "", "1e3", "367d", "0x1", "١"])
def test_an_invalid_grace_is_a_usage_error(folder: Folder, here: Here, wrong: str) -> None:
    done = here(folder.path, "run", "two.yaml", f"--grace={wrong}")
    assert done.returncode == 2
    assert f"Invalid value for --grace: '{wrong}' is not a duration such as 10s, 500ms, 2m or 0" in done.stderr


def _started(folder: Folder, *arguments: str) -> subprocess.Popen[str]:
    return forked.Popen(
        [sys.executable, "-m", "nfrun", "run", *arguments],
        cwd=folder.path,
        env=folder.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    if not any(text in line for line in process.stderr):
        pytest.fail(f"it ended without saying {text!r}")


def _content(process: subprocess.Popen[str], path: Path) -> str:
    """Wait until the file has content and return it."""
    wait_until(lambda: path.exists() and path.read_text().strip(), lambda: process.poll() is None)
    return path.read_text()


def _is_gone(pid: int) -> bool:
    """Whether the process has ended; a zombie counts as ended."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip() == "" or done.stdout.strip().startswith("Z")


def test_on_a_terminal_the_view_is_live_and_leaves_lines_and_results(folder: Folder) -> None:
    (folder.path / "p.yaml").write_text("nodes: {a: {run: 'until [ -e go ]; do :; done; echo seen >&2'}}\n")
    env = {**folder.env, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    env.pop("CI", None)
    child = pexpect.spawn(
        sys.executable, ["-m", "nfrun", "run", "p.yaml"], cwd=str(folder.path), env=env, encoding="utf-8", timeout=30
    )
    child.expect("0/1 nodes .*1 running")
    child.expect("stage 1")
    child.expect_exact("▸\x1b[0m a  ")
    (folder.path / "go").touch()
    child.expect("a \\| seen")
    child.expect_exact("✓\x1b[0m a  ")
    child.expect("handoff")
    child.expect("p: ok, 1 ran, ")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_ctrl_c_on_a_terminal_counts_once(folder: Folder) -> None:
    script = "trap 'until [ -e go ]; do :; done; touch said; exit 1' TERM; touch listening; while :; do :; done"
    (folder.path / "p.yaml").write_text(json.dumps({"nodes": {"a": {"run": script}, "b": {"python": "steps:hang"}}}))
    env = {**folder.env, "TERM": "dumb"}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "nfrun", "run", "p.yaml", "--grace", "1h"],
        cwd=str(folder.path),
        env=env,
        encoding="utf-8",
        timeout=60,
    )
    child.expect("b \\| hanging")
    wait_until((folder.path / "listening").exists, child.isalive)
    child.sendintr()
    child.expect("a told to stop: Ctrl-C")
    assert not (folder.path / "said").exists()
    (folder.path / "go").touch()
    wait_until((folder.path / "said").exists, child.isalive)
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert (child.exitstatus, child.signalstatus) == (130, None)


def test_an_events_file_overwrites_only_events(folder: Folder, here: Here) -> None:
    before = (folder.path / "steps.py").read_text()
    done = here(folder.path, "run", "two.yaml", "--events", "steps.py")
    assert done.returncode == 2
    what = "'steps.py' is there and has no events in it: name another file"
    assert f"Invalid value for --events: {what}" in done.stderr
    assert (folder.path / "steps.py").read_text() == before
    (folder.path / "mine.json").write_text('{"other": 1, "data": [{"event": 5}]}')
    assert here(folder.path, "run", "two.yaml", "--events", "mine.json").returncode == 2
    (folder.path / "events").touch()
    for _ in range(2):  # an empty file, or one with the events of an earlier run
        assert folder.here("run", "two.yaml", "--events", "events").returncode == 0
    lines = (folder.path / "events").read_text().splitlines()
    assert sum(json.loads(line)["event"] == "run_started" for line in lines) == 1


def test_parameters_from_a_json_file(folder: Folder) -> None:
    (folder.path / "json.yaml").write_text(
        "params: {text: '', count: 1}\nnodes:\n  a: {run: 'printf %s \"$NFRUN_WITH_text\" > text', "
        "with: {text: '${{ params.text }}'}}\n"
    )
    (folder.path / "p.json").write_text('{\t"text": "\\ud83d\\ude00",\n\t"count": 3\n}')
    done = folder.here("run", "json.yaml", "--params-file", "p.json")
    assert done.returncode == 0, done.stderr
    assert (folder.path / "text").read_text(encoding="utf-8") == "\U0001f600"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"count": 1,\n "x" 2}', "p.json:1:1: { } or [ ] is not closed here, or a text in it needs quotes"),
        ("", "p.json: the file is empty"),
        ('{"count": NaN}', "two.yaml: the parameter 'count' must be of type integer, not NaN"),
        ('{"count": 1e999}', "p.json:1:11: this number is not finite, or does not fit in 64 bits"),
        ('{"count": 9223372036854775808}', "p.json:1:11: this number is not finite, or does not fit in 64 bits"),
        ('{"count": 1, "count": 2}', "p.json:1:14: 'count' is already defined in line 1"),
        ('{"count": "\\ud83d"}', "p.json:1:14: this is not YAML: found invalid Unicode character escape code"),
        ("[" * 100_000, "p.json:1:1001: nesting deeper than 64 levels"),
        ("[1]", "p.json:1:1: a file of parameters is a mapping of names to values"),
    ],
)
def test_errors_in_a_json_parameters_file(folder: Folder, here: Here, text: str, expected: str) -> None:
    (folder.path / "p.json").write_text(text)
    done = here(folder.path, "run", "two.yaml", "--params-file", "p.json")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, expected)


CLEANS_UP = """
trap 'sleep 0.3; echo saved > saved; exit 0' TERM
echo up
while :; do sleep 0.05; done
"""


@pytest.mark.parametrize("executor", ["run", "process"])
@pytest.mark.parametrize("ending", ["timeout", "ctrl-c"])
def test_children_of_a_node_have_the_grace_too(folder: Folder, executor: str, ending: str) -> None:
    (folder.path / "clean_up.sh").write_text(CLEANS_UP)
    # The outer shell has no trap and ends at once.
    node = "run: 'bash clean_up.sh; true'" if executor == "run" else "python: 'steps:f', executor: process"
    limit = ", timeout: 2s" if ending == "timeout" else ""
    steps = "import subprocess, time\ndef f():\n    subprocess.Popen(['bash', 'clean_up.sh'])\n    time.sleep(60)\n"
    (folder.path / "steps.py").write_text(steps)
    (folder.path / "p.yaml").write_text(f"nodes:\n  a: {{{node}{limit}}}\n")
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml"]
    with forked.Popen(command, cwd=folder.path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if ending == "ctrl-c" and line.endswith("| up\n"):
                process.send_signal(signal.SIGINT)
    assert process.returncode == (1 if ending == "timeout" else 130)
    assert (folder.path / "saved").read_text() == "saved\n"
