"""Tests of the end of a run whose nodes left threads, processes or exit hooks in the process of the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import forked
import pytest

STEPS = """
import atexit
import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

never = threading.Event()

def at_exit():
    Path("at exit").touch()

def thread():
    threading.Thread(target=never.wait, daemon=False).start()

def busy_pool():
    ThreadPoolExecutor().submit(never.wait)

def idle_pool():
    atexit.register(at_exit)
    ThreadPoolExecutor().submit(int).result()

def process():
    child = multiprocessing.get_context("fork").Process(target=signal.pause)
    child.start()
    Path("pid").write_text(str(child.pid))

def hook():
    atexit.register(at_exit)

def endless_hook():
    def wait():
        os.write(2, b"at exit\\n")
        never.wait()
    atexit.register(wait)

def worker():
    return {"folder": multiprocessing.current_process()._config["tempdir"]}

def hang():
    never.wait()

def killed():
    os.kill(os.getpid(), signal.SIGKILL)

def interrupted():
    supervisor = int(Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1])
    for _ in range(2):
        os.kill(supervisor, signal.SIGINT)
    never.wait()

def fail():
    thread()
    raise LookupError
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "steps.py").write_text(STEPS)
    return tmp_path


def started(folder: Path, step: str, *words: str) -> subprocess.Popen[str]:
    (folder / "p.yaml").write_text(f"nodes: {{a: {{python: 'steps:{step}'}}}}\n")
    command = [sys.executable, "-m", "nfrun", *(words or ("run", "-q")), "p.yaml"]
    return forked.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the process; return its exit code and stderr. Kills it if it hangs."""
    try:
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    return process.returncode, err


@pytest.mark.parametrize("step", ["thread", "busy_pool", "process"])
def test_the_run_does_not_wait_for_leftover_threads_and_processes(folder: Path, step: str) -> None:
    assert ended(started(folder, step)) == (0, "")


def test_a_leftover_process_is_killed_at_the_end_of_the_run(folder: Path) -> None:
    assert ended(started(folder, "process")) == (0, "")
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder / "pid").read_text()), 0)


def test_a_leftover_thread_does_not_change_the_exit_code(folder: Path) -> None:
    code, err = ended(started(folder, "fail"))
    assert (code, "Traceback" in err) == (1, False)


@pytest.mark.parametrize("step", ["hook", "idle_pool"])
def test_exit_hooks_run(folder: Path, step: str) -> None:
    assert ended(started(folder, step)) == (0, "")
    assert (folder / "at exit").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_hanging_exit_hook(folder: Path, number: signal.Signals) -> None:
    process = started(folder, "endless_hook")
    assert process.stderr is not None
    assert process.stderr.readline() == "at exit\n"
    process.send_signal(number)
    assert ended(process) == (0, "")


def test_a_hanging_exit_hook_is_abandoned_after_a_time(folder: Path) -> None:
    program = (
        "import atexit, threading\nfrom nfrun.system.processes import process_exit\n"
        "process_exit._HOOKS_SECONDS = 0.01\natexit.register(threading.Event().wait)\n"
        "print('told', end='')\nprocess_exit.leave_process(3)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (3, "told", "")


def test_bench_does_not_wait_for_leftover_threads(folder: Path) -> None:
    process = started(folder, "thread", "bench", "--repeat", "1", "--json")
    code, err = ended(process)
    assert code == 0, err


@pytest.mark.parametrize(
    ("then", "code"),
    [
        ("python: 'steps:hook'", 0),
        ("python: 'steps:hang', timeout: 100ms", 1),
        ("python: 'steps:killed'", 137),
        ("python: 'steps:interrupted'", 130),
    ],
)
def test_no_folder_with_sockets_stays_however_the_run_ends(folder: Path, then: str, code: int) -> None:
    worker, last = "{python: 'steps:worker', executor: process}", f"{{{then}, executor: thread, needs: worker}}"
    (folder / "p.yaml").write_text(f"nodes: {{worker: {worker}, last: {last}}}\noutputs: {{worker: worker}}\n")
    temporary = tempfile.mkdtemp(dir="/tmp")  # not below `folder`: the path of a socket must be short
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml", "--grace", "100ms"]
    environ = {**os.environ, "TMPDIR": temporary}
    done = forked.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == code, done.stderr
    Path(temporary).rmdir()  # it is empty
    if code < 2:
        assert f"{temporary}/pymp-" in done.stdout + done.stderr, "there was one"
