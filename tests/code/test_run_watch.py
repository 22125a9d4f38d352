"""Tests of what a `RunWatch` sees of attempts."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nfrun.code.watch import seen_files
from nfrun.code.watch.run_watch import RunWatch
from nfrun.code.watch.seen_files import WORKING_DIRECTORY
from nfrun.core.events import NodeFinished, NodeStarted
from nfrun.core.observation import Observation
from nfrun.history.database import read_journal
from nfrun.session.options import RunOptions
from nfrun.system.checksums import bytes_checksum
from nfrun.system.logs.node_logs import Logs
from nfrun.system.logs.print_capture import current_attempt
from tests.program_runs import run_pipeline

ONE = bytes_checksum(b"1")


class Trial:
    """A project in a folder, whose functions are called as attempts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.watch = RunWatch(folder, folder / ".nfrun")
        (folder / "a.csv").write_text("1")

    def module(self, text: str) -> Any:
        """Return a module of the project with these functions."""
        module = ModuleType("steps")
        exec(compile(text, str(self.folder / "steps.py"), "exec"), vars(module))
        return module

    def attempt(self, call: Callable[[], object], node: str = "a") -> Observation | None:
        """Return what is seen of an attempt that makes this call, without the working directory."""
        mark = (node, 1, Logs())
        token = current_attempt.set(mark)
        self.watch.running[mark] = None
        try:
            # On a thread: on the main thread, the script `pytest` counts as code of the project that is being imported.
            with self.watch.watching(), ThreadPoolExecutor(1) as pool:
                pool.submit(copy_context().run, call).result()
            found = self.watch.end(mark)
            return found and replace(found, reads=_files(found))
        finally:
            del self.watch.running[mark]
            current_attempt.reset(token)


def _files(seen: Observation) -> dict[str, str]:
    return {name: checksum for name, checksum in seen.reads.items() if name != WORKING_DIRECTORY}


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield


def test_nothing_is_seen_of_an_attempt_that_opens_nothing(trial: Trial) -> None:
    steps = trial.module("def f(): return 1")
    assert trial.attempt(steps.f) is None
    assert trial.watch.take() == []


def test_a_file_is_named_relative_to_the_folder_and_has_its_checksum(trial: Trial) -> None:
    steps = trial.module("def f(): return open('a.csv').read()")
    assert trial.attempt(steps.f) == Observation({"a.csv": ONE})


def test_a_file_outside_has_its_absolute_path(trial: Trial, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other") / "b.csv"
    other.write_text("1")
    steps = trial.module(f"def f(): return open({str(other)!r}).read()")
    assert trial.attempt(steps.f) == Observation({str(other): ONE})


def test_paths_as_bytes_and_path_objects_and_with_dots_are_one_file(trial: Trial) -> None:
    (trial.folder / "sub").mkdir()
    steps = trial.module(
        "from pathlib import Path\ndef f():\n    open(b'a.csv')\n    open(Path('a.csv'))\n    open('./sub/../a.csv')"
    )
    assert trial.attempt(steps.f) == Observation({"a.csv": ONE})


def test_dots_after_a_link_are_followed(trial: Trial, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "in").mkdir()
    (other / "a.csv").write_text("1")
    (trial.folder / "link").symlink_to(other / "in")
    steps = trial.module("def f(): return open('link/../a.csv').read()")
    assert trial.attempt(steps.f) == Observation({str(other / "a.csv"): ONE})


@pytest.mark.parametrize("call", ["open(chr(0))", "open(None)", "open('')", "open(object())", "open(10**6)"])
def test_wrong_arguments_raise_what_they_always_raise(trial: Trial, call: str) -> None:
    steps = trial.module(f"def f(): return {call}")
    with pytest.raises((OSError, TypeError, ValueError)) as expected:
        steps.f()
    with pytest.raises(expected.type) as found:
        trial.attempt(steps.f)
    assert str(found.value).partition(" object at ")[0] == str(expected.value).partition(" object at ")[0]


def test_an_error_of_the_watch_is_no_error_of_the_node(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen_files.SeenFiles, "add", lambda *args: 1 / 0)
    steps = trial.module("def f(): return open('a.csv').read()")
    found = trial.attempt(steps.f)
    assert found is not None
    assert found.obstacle == "nfrun could not see what it opened (ZeroDivisionError: division by zero)"
    assert trial.attempt(lambda: None) == found, "what others do later may rest on it"


def test_too_many_files_are_an_obstacle(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen_files, "MOST_FILES", 3)  # one is the working directory
    steps = trial.module("def f():\n    for name in '123': open(name, 'w').close()\ndef g():\n"
                         "    for name in '123': open(name).close()")  # fmt: skip
    steps.f()
    found = trial.attempt(steps.g)
    assert found is not None
    assert (len(found.reads), found.obstacle) == (2, "its code reads more than 3 files, too much to compare")


def test_too_many_bytes_are_an_obstacle_and_are_not_read(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen_files, "MOST_BYTES", 3 * 10**9)
    with (trial.folder / "large").open("wb") as file:
        file.truncate(3 * 10**9 + 1)
    steps = trial.module("def f(): open('large').close()")
    found = trial.attempt(steps.f)
    assert found == Observation(obstacle="its code reads more than 3 GB, too much to compare")


def test_a_file_that_changes_after_it_was_opened_is_an_obstacle(trial: Trial) -> None:
    steps = trial.module("def f(change):\n    open('a.csv').read()\n    change()")
    found = trial.attempt(lambda: steps.f(lambda: os.system("printf 2 > a.csv")))
    assert found == Observation({"a.csv": ONE}, obstacle="a.csv changed while it ran")


def test_an_obstacle_is_one_line_without_control_characters(trial: Trial) -> None:
    (trial.folder / "x\x1b[31m\n.db").touch()
    steps = trial.module(r"def f(): open('x\x1b[31m\n.db', 'r+').close()")
    found = trial.attempt(steps.f)
    assert found is not None
    assert found.obstacle == r"it opens x\x1b[31m\n.db to read and to write"


def test_pipes_and_folders_are_no_files(trial: Trial) -> None:
    os.mkfifo(trial.folder / "pipe")
    steps = trial.module("import os\ndef f():\n    os.close(os.open('pipe', os.O_RDONLY | os.O_NONBLOCK))\n"
                         "    os.close(os.open('.', os.O_RDONLY))")  # fmt: skip
    assert trial.attempt(steps.f) in (None, Observation())


def test_a_removed_file_that_was_there_counts_as_written(trial: Trial) -> None:
    steps = trial.module("import os\ndef f(): os.remove('a.csv')")
    assert trial.attempt(steps.f) == Observation(writes={"a.csv": ""})


def test_code_that_keeps_nothing_is_seen_with_its_lines(trial: Trial) -> None:
    steps = trial.module("\n\ndef f(): return g()\n\ndef g(): return open('a.csv').read()")
    trial.attempt(steps.f)
    (shared,) = trial.watch.take()
    file = str(trial.folder / "steps.py")
    assert (shared.lines[:2], shared.imported, shared.nodes) == (((file, 5), (file, 3)), False, ("a",))
    assert (shared.of_attempt, _files(shared.seen)) == (True, {"a.csv": ONE})


def test_a_thread_of_a_node_is_seen_by_its_code(trial: Trial) -> None:
    steps = trial.module("def f(): open('a.csv').read()")

    def call() -> None:
        thread = threading.Thread(target=steps.f)
        thread.start()
        thread.join()

    assert trial.attempt(call) is None
    (shared,) = trial.watch.take()
    assert (shared.of_attempt, shared.nodes, _files(shared.seen)) == (False, ("a",), {"a.csv": ONE})


def test_nothing_is_seen_without_a_run(trial: Trial) -> None:
    steps = trial.module("def f(): return open('a.csv').read()")
    trial.attempt(lambda: None)
    steps.f()
    assert (trial.watch.seen, trial.watch.take()) == ({}, [])


def test_what_a_forked_child_opens_counts_for_the_attempt(trial: Trial) -> None:
    steps = trial.module("import os\ndef f():\n    child = os.fork()\n    if not child:\n"
                         "        open('a.csv').read()\n        os._exit(0)\n    os.waitpid(child, 0)")  # fmt: skip
    assert trial.attempt(steps.f) == Observation({"a.csv": ONE})


def test_the_hook_is_installed_by_the_first_run_only() -> None:
    """Importing it, as every command does that plans a run, installs none."""
    code = (
        "import sys\ninstalled = []\nsys.addaudithook = installed.append\n"
        "import nfrun.session.run, nfrun.cli.commands, nfrun.code.watch.audit_events as hook\n"
        "assert not installed\n"
        "for _ in range(2):\n    with hook.listening(print): pass\n"
        "assert len(installed) == 1"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0


def test_an_attempt_of_another_run_is_not_seen(trial: Trial) -> None:
    steps = trial.module("def f(): open('a.csv').read()")
    other = RunWatch(trial.folder, trial.folder / ".nfrun")
    other.running["b", 1, Logs()] = None
    with other.watching():
        assert trial.attempt(steps.f) == Observation({"a.csv": ONE})
    assert (other.seen, other.take()) == ({}, [])


def test_a_reporter_of_the_program_is_not_seen(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text("def f(): return {'n': 1}")
    (tmp_path / "p.yaml").write_text('nodes:\n  a: {python: "steps:f"}\n')

    class Reporter:
        name = "of the test"
        event_types = (NodeStarted, NodeFinished)

        def event(self, event: object) -> None:
            (tmp_path / "progress.txt").write_text(str(event))
            (tmp_path / "p.yaml").read_text()

        def close(self) -> None:
            pass

    run_pipeline(RunOptions(tmp_path / "p.yaml"), [Reporter()])
    (journal,) = (tmp_path / ".nfrun/runs").iterdir()
    (finished,) = read_journal(journal).finished
    assert (finished.reads, finished.wrote) == ({}, {})
