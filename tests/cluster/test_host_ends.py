"""Tests of how attempts and hosts end: stopped, killed, wanted no more; what they print until then; and questions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from hosts import Trial

import nfrun
from nfrun.cluster import host_attempts, hosted
from nfrun.cluster.host_attempts import Room, SentLogs
from nfrun.cluster.wire import (
    Answer,
    HostConfig,
    Told,
    from_text,
    to_text,
)
from nfrun.core.errors import Cause
from nfrun.core.events import NodeStarted
from nfrun.core.values import replace
from nfrun.engine.attempt_context import CANCELLED
from nfrun.engine.executors.worker import WorkerConfig
from nfrun.system.logs.node_logs import KEEP_BYTES, LOG, STREAMS, Logs
from nfrun.system.runtime import available_memory
from tests.faults.processes import carrying, command, kill

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt orphans")

MARK = "NFRUN_TEST_HOST"
FILES = {
    "steps.py": """
        import os, pathlib, subprocess, time

        def wait(flag):
            pathlib.Path(flag).write_text("")
            while True: time.sleep(0.01)
        def stubborn(flag):
            while True:
                try: wait(flag)
                except BaseException: pass
        def daemon(flag):
            subprocess.Popen(["sleep", "1000"], start_new_session=True)
            wait(flag)
        def quick(): return {"n": 1}
        def reads():
            with open("own.py") as file: return {"text": file.read()}
        def flood():
            for _ in range(1600): print("x" * 65_535)
        def mine():
            import own
            return {"own": own.NAME}
        """,
    "own.py": "NAME = 'first'",
}
STUBBORN = "trap '' TERM; touch \"$NFRUN_WITH_flag\"; setsid sleep 1000 & while true; do sleep 0.01; done"
FEW = 5_000  # bytes that are kept of a stream, in place of a million
START = NodeStarted(0.0, "node", 1)
SECONDS = 30.0  # for what takes a moment


@pytest.fixture
def trial(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    trial = Trial(tmp_path / "run", f"{request.node.name} of {os.getpid()}", FILES)
    monkeypatch.setenv(MARK, trial.name)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    yield trial
    hosted.end(trial.name)
    kill(ours := marked(trial))
    assert not ours, "nothing of it is left"
    assert not [*tmp_path.glob("nfrun-host-*"), *tmp_path.glob("pymp-*")], "no temporary folder is left"


def marked(trial: Trial) -> list[int]:
    """Return the processes that belong to the hosts of a trial."""
    return carrying(MARK, trial.name)


def until(is_so: Callable[[], object], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"not within {SECONDS:g} s: {what}"
        threading.Event().wait(0.005)


def hosts(trial: Trial) -> list[int]:
    """Return the two processes of each host: first the one that waits."""
    return sorted(pid for pid in marked(trial) if "nfrun.cluster.host " in command(pid))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """A run whose host stays for several tests: to start one takes longer than these."""
    with pytest.MonkeyPatch.context() as patch:
        trial = Trial(tmp_path_factory.mktemp("shared"), f"test_host_ends of {os.getpid()}", FILES)
        patch.setenv(MARK, trial.name)
        trial.run("python", "steps:quick")
    yield trial
    hosted.end(trial.name)
    kill(ours := marked(trial))
    assert not ours, "nothing of it is left"


@pytest.mark.parametrize("body", ["steps:wait", "steps:stubborn", STUBBORN], ids=["python", "stubborn", "script"])
@pytest.mark.parametrize("at_once", [False, True])
def test_an_attempt_that_is_stopped_ends_and_leaves_nothing(
    shared: Trial, tmp_path: Path, body: str, at_once: bool
) -> None:
    flag = tmp_path / "flag"
    kind = "python" if ":" in body and len(body) < 20 else "run"
    order = shared.order(kind, body, with_={"flag": str(flag)})
    wait = shared.begin(order)
    until(flag.exists, "it runs")
    hosted.stop(shared.name, order.token, at_once)
    outcome = wait().outcome
    assert outcome is not None
    assert outcome.failure == CANCELLED if kind == "python" else outcome.failure is not None
    if kind == "python":
        assert shared.table(shared.run("python", "steps:quick")) == [{"n": 1}], "the host goes on"


def test_an_attempt_that_is_stopped_before_it_comes_does_not_run(shared: Trial, tmp_path: Path) -> None:
    order = shared.order("python", "steps:wait", with_={"flag": str(tmp_path / "flag")})
    hosted.stop(shared.name, order.token, False)
    ended = shared.make(order)
    assert ended.outcome is not None
    assert ended.outcome.failure == CANCELLED


def test_an_attempt_that_nobody_wants_is_killed(shared: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosted, "LEASE_SECONDS", 0.1)
    flag = tmp_path / "flag"
    order = shared.order("run", STUBBORN, with_={"flag": str(flag)})
    wait = shared.begin(order, lambda: not flag.exists())
    outcome = wait().outcome
    assert outcome is not None
    assert outcome.failure is not None
    assert shared.table(shared.run("python", "steps:quick")) == [{"n": 1}], "the host goes on"


@pytest.mark.parametrize("which", [0, 1], ids=["first", "second"])
def test_a_host_that_is_killed_loses_its_attempts_and_leaves_nothing(trial: Trial, which: int) -> None:
    flags = [trial.folder / "1", trial.folder / "2"]
    bodies = [("python", "steps:daemon"), ("run", STUBBORN)]
    waits = [
        trial.begin(trial.order(kind, body, with_={"flag": str(flag)}))
        for flag, (kind, body) in zip(flags, bodies, strict=True)
    ]

    def orphans() -> set[int]:
        return {pid for pid in marked(trial) if command(pid).startswith("sleep 1000")}

    until(lambda: all(flag.exists() for flag in flags) and len(orphans()) == 2, "they run")
    assert len(marked(trial)) > 4
    os.kill(hosts(trial)[which], signal.SIGKILL)
    for wait in waits:
        ended = wait()
        if ended.outcome is None:
            assert ended.lost.startswith(f"its host on {os.uname().nodename} was killed by SIGKILL")
        else:  # it has still told that its worker process was killed
            assert ended.outcome.failure is not None
            assert ended.outcome.failure.cause is Cause.LOST
    orphaned = orphans() if which == 0 else set()
    until(lambda: not set(marked(trial)) - orphaned, "all have ended")
    kill([*orphaned])
    assert trial.table(trial.run("python", "steps:quick")) == [{"n": 1}], "the next attempt has another"


def test_files_count_also_where_the_temporary_folder_is_behind_a_link(
    trial: Trial, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("t")  # the path of a socket must be short
    (folder / "link").symlink_to(folder, target_is_directory=True)
    monkeypatch.setenv("TMPDIR", str(folder / "link"))
    seen = trial.run("python", "steps:reads").observation
    assert seen is not None
    assert "own.py" in seen.reads


@pytest.fixture
def config_of(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> Callable[[HostConfig, int], WorkerConfig]:
    """Return what tells the config that the worker processes of a host get."""
    made: list[WorkerConfig] = []
    pool: Any = SimpleNamespace(close=lambda: None, has_instances=lambda: False)

    def make_pool(serve: object, make_config: Callable[[Mapping[str, str]], WorkerConfig], ahead: int) -> Any:
        made.append(make_config({}))
        return pool

    def config_of(config: HostConfig, memory: int) -> WorkerConfig:
        folder = trial.folder / "host"
        folder.mkdir()
        host_attempts.HostRun(config, folder, memory).close(at_once=True)
        return made[0]

    monkeypatch.setattr(host_attempts, "WorkerPool", make_pool)
    monkeypatch.setattr(host_attempts, "start_server", lambda *given: None)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(trial.folder)
    return config_of


@pytest.mark.parametrize(("memory", "share"), [(0, 1.0), (1 << 30, None), (1 << 60, 1.0)])
def test_queries_share_the_memory_of_an_attempt(
    trial: Trial, memory: int, share: float | None, config_of: Callable[[HostConfig, int], WorkerConfig]
) -> None:
    found = config_of(trial.config, memory).memory_share
    assert found == (share if share is not None else memory / available_memory())


@pytest.mark.parametrize(("on_all", "threads"), [(True, 7), (False, 0)])
def test_arrow_has_a_thread_for_each_core_of_the_host_and_not_of_the_machine_of_the_run(
    trial: Trial,
    on_all: bool,
    threads: int,
    config_of: Callable[[HostConfig, int], WorkerConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host_attempts, "cores", lambda: 7)
    assert config_of(replace(trial.config, arrow_on_all_cores=on_all), 0).arrow_threads == threads


def test_a_host_without_attempts_ends(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.run("python", "steps:quick")
    assert hosts(trial)
    monkeypatch.setattr(hosted, "IDLE_SECONDS", 0.0)
    until(lambda: not marked(trial), "all have ended")
    monkeypatch.undo()
    assert trial.table(trial.run("python", "steps:quick")) == [{"n": 1}]


ENGINE_WORKER = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from hosts import Trial
from test_host_ends import FILES, STUBBORN
trial = Trial(Path(sys.argv[1]) / "other", sys.argv[2], FILES)
trial.begin(trial.order("run", STUBBORN, with_={{"flag": sys.argv[1] + "/1"}}))
trial.make(trial.order("python", "steps:daemon", with_={{"flag": sys.argv[1] + "/2"}}))
"""


def test_with_the_process_that_has_started_it_a_host_ends(trial: Trial, tmp_path: Path) -> None:
    program = ENGINE_WORKER.format(path=[str(Path(__file__).parent), str(Path(__file__).parents[3])])
    worker = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), trial.name])
    until(lambda: (tmp_path / "1").exists() and (tmp_path / "2").exists(), "its attempts run")
    assert len(marked(trial)) > 4
    worker.kill()
    worker.wait()
    until(lambda: not marked(trial), "all have ended")


def test_two_runs_with_modules_of_one_name_see_their_own(trial: Trial, tmp_path: Path) -> None:
    other = Trial(tmp_path / "other", f"other {trial.name}", {**FILES, "own.py": "NAME = 'second'"})
    waits = [each.begin(each.order("python", "steps:mine")) for each in (trial, other) for _ in range(2)]
    outcomes = [wait().outcome for wait in waits]
    rows = [each.table(o) for each, o in zip([trial, trial, other, other], outcomes, strict=True) if o is not None]
    assert rows == [[{"own": "first"}]] * 2 + [[{"own": "second"}]] * 2
    hosted.end(other.name)


def test_of_a_flood_of_prints_the_beginning_and_the_end_are_sent(shared: Trial, tmp_path: Path) -> None:
    shared.run("python", "steps:flood")
    sizes = [len(data) for _, data in shared.told("printed")]
    assert sum(sizes) == 2 * KEEP_BYTES
    assert max(sizes) <= 1 << 14
    assert [size for _, size in shared.told("skipped")] == [1600 * 65_536 - 2 * KEEP_BYTES]


# -- logs, without a host ----------------------------------------------------------------------------------------------


def replayed(logs: Logs, messages: list[Told]) -> None:
    """Carry out messages, as a run does."""
    for message in messages:
        if message.what == "logged":
            for level, line in message.given:
                logs.log("n", 1, level, line)
        else:
            stream, given = message.given
            log = logs.of("n", 1, stream)
            log.feed(given) if message.what == "printed" else log.skip(given)
    logs.end("n", 1)


@pytest.mark.parametrize("size", [0, 10, FEW, FEW + 1, 2 * FEW, 2 * FEW + 700, 50 * FEW])
def test_what_was_sent_gives_the_log_files_and_lines_of_a_local_run(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("nfrun.system.logs.node_logs", "nfrun.cluster.host_attempts"):
        monkeypatch.setattr(f"{module}.KEEP_BYTES", FEW)
    rooms = {stream: Room(FEW) for stream in (*STREAMS, LOG)}
    text = "".join(f"line {i}\n" for i in range(size // 6))[:size].encode()
    lines: dict[str, list[tuple[str, str, str]]] = {"local": [], "sent": []}
    files = {}
    for name in lines:
        (tmp_path / name).mkdir()
        logs = Logs(lambda *line, name=name: lines[name].append(line), tmp_path / name)  # type: ignore[misc]
        messages: list[Told] = []
        target = logs if name == "local" else SentLogs(messages.append, "t", None, rooms, FEW)
        for start in range(0, len(text), 300):
            target.of("n", 1, "stdout").feed(text[start : start + 300])
            for line in text[start : start + 300].decode().splitlines():
                target.log("n", 1, "info", line)
        tail = target.of("n", 1, "stdout").tail(4096)
        target.end("n", 1)
        replayed(logs, messages)
        files[name] = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}, tail
    assert files["sent"] == files["local"]
    for wanted in ("stdout", "info"):
        local, sent = ([line for _, level, line in lines[name] if level == wanted] for name in ("local", "sent"))
        if size > FEW and wanted == "stdout":  # a run also shows the rest of the chunk in which the room ended
            assert sent.pop().startswith("… the rest of ")
        assert sent == (local if size <= FEW else local[: len(sent)])
        assert sum(map(len, sent)) >= min(size, FEW) // 2


def test_calls_of_a_mapped_node_share_the_room(tmp_path: Path) -> None:
    sent: list[Told] = []
    rooms: dict[str, Room] = {}
    for call in range(4):
        logs = SentLogs(sent.append, str(call), None, rooms, 100)
        logs.of("n", 1, "stdout").feed(b"x" * (KEEP_BYTES // 2))
        logs.end("n", 1)
    assert sum(len(message.given[1]) for message in sent if message.what == "printed") == KEEP_BYTES + 2 * 100
    skipped = [message for message in sent if message.what == "skipped"]
    assert skipped == [Told(str(call), "skipped", ("stdout", KEEP_BYTES // 2 - 100)) for call in (2, 3)]


# -- questions ---------------------------------------------------------------------------------------------------------


def test_a_question_is_answered_by_the_host_that_makes_the_attempts(trial: Trial) -> None:
    answer = from_text(hosted.ask(to_text(replace(trial.config, modules=("json", "os.path")))))
    assert isinstance(answer, Answer)
    assert answer.versions["pyarrow"] == pa.__version__
    asked = hosts(trial)
    trial.run("python", "steps:quick")
    assert hosts(trial) == asked


def test_what_a_machine_lacks_is_told_when_it_is_asked_and_at_its_first_order(trial: Trial) -> None:
    modules = "json", "nowhere", "json.nothing", "no.where"
    trial.config = replace(trial.config, modules=modules, version="0.0")
    host = os.uname().nodename
    told = [f"{host} has no module '{name}': install it there" for name in modules[1:]]
    told.append(f"{host} has nfrun {nfrun.__version__}, and the machine of the run 0.0")
    assert hosted.ask(to_text(trial.config)).splitlines() == told
    failure = trial.run("python", "steps:quick").failure
    assert failure is not None
    assert (failure.cause, failure.message.splitlines()) == (Cause.IO, told)


def test_a_store_that_the_worker_does_not_see_is_told(trial: Trial) -> None:
    text = hosted.ask(to_text(replace(trial.config, code="code/other.zip")))
    assert text == f"{trial.folder}/store/code/other.zip is not there any more"


def test_a_question_to_a_host_that_cannot_start_has_no_answer(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere")
    text = hosted.ask(to_text(trial.config))
    assert text.startswith(f"its host on {os.uname().nodename} exited with status 1: ")
    assert "No such file or directory: '/nowhere/nfrun-host-" in text
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert hosted.ask(to_text(trial.config)).startswith("no host could be started: [Errno 2] No such file")
    ended = trial.make(trial.order("python", "steps:quick"))
    assert ended.lost.startswith(f"no host could be started on {os.uname().nodename}: [Errno 2] No such file")
