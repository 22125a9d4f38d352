"""Tests of `nfrun run` on terminals: who gets the live view, lines, colours and results, and what is left of them."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import forked
import pexpect
import pytest

STEPS = """
import pyarrow as pa

def numbers():
    return pa.table({"n": [1, 2, 3]})

def fail(n):
    raise LookupError("no column 'price'")
"""
TWO = """
name: two
nodes:
  n: {python: "steps:numbers"}
  twice: {run: 'read line < gate; cat "$NFRUN_INPUT_n" > "$NFRUN_OUTPUT"', inputs: [n], format: csv}
"""
STYLES = re.compile(r"\x1b\[[0-9;]*m")
MOVES = re.compile(r"\x1b\[(\?25[lh]|[0-9]*[AJ])|\r(?!\n)")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "two.yaml").write_text(TWO)
    os.mkfifo(tmp_path / "gate")
    gate = os.open(tmp_path / "gate", os.O_RDWR)  # so that writing into it does not wait for its reader
    yield tmp_path
    os.close(gate)


def environ(**given: str) -> dict[str, str]:
    dropped = ("CI", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "PYTHONIOENCODING")
    return {**{key: value for key, value in os.environ.items() if key not in dropped}, "TERM": "xterm", **given}


class Screen:
    """A terminal. `text` has all that was written to it so far."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        self.text = ""
        self._seen = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):
            while data := os.read(self.ours, 65536):
                with self._seen:
                    self.text += data.decode()
                    self._seen.notify()

    def wait_for(self, text: str) -> None:
        with self._seen:
            assert self._seen.wait_for(lambda: text in self.text, 30), self.text

    def close(self) -> None:
        os.close(self.theirs)
        self._reader.join()
        os.close(self.ours)


@contextmanager
def screen() -> Iterator[Screen]:
    made = Screen()
    try:
        yield made
    finally:
        made.close()


def run(
    folder: Path, *options: str, out: int, err: int, seen: Screen | None = None, **env: str
) -> tuple[int, str, str]:
    """Run two.yaml, let it go on as soon as the view shows that the second node runs, and return what pipes got."""
    command = [sys.executable, "-m", "nfrun", "run", "two.yaml", *options]
    with forked.Popen(
        command, cwd=folder, env=environ(**env), stdin=subprocess.DEVNULL, stdout=out, stderr=err, text=True
    ) as process:
        try:
            if seen is not None:
                seen.wait_for("  1/")
            (folder / "gate").write_text("\n")
            printed = process.communicate(timeout=30)
        finally:
            process.kill()
    return process.returncode, printed[0] or "", printed[1] or ""


def test_only_stderr_is_a_terminal(folder: Path) -> None:
    with screen() as terminal:
        code, out, _ = run(folder, out=subprocess.PIPE, err=terminal.theirs, seen=terminal)
    assert (code, STYLES.search(out), out.splitlines()[1].split(": ")[0]) == (0, None, "twice")
    assert "\x1b[1mtwo\x1b[0m  1/2 nodes  \x1b[36m1 running\x1b[0m" in terminal.text
    assert "\x1b[32m✓\x1b[0m n " in terminal.text
    assert "twice: 3 rows" not in terminal.text


def test_only_stdout_is_a_terminal(folder: Path) -> None:
    with screen() as terminal:
        code, _, err = run(folder, out=terminal.theirs, err=subprocess.PIPE)
    assert (code, STYLES.search(err)) == (0, None)
    assert re.search(r"^ +[0-9.]+ s  n finished in .*, 3 rows$", err, re.M)
    assert "\x1b[1m\r\ntwice: 3 rows" in terminal.text.replace("\r\n\x1b[1m", "\x1b[1m\r\n")
    assert not MOVES.search(terminal.text)


def test_with_json_the_document_is_all_on_stdout(folder: Path) -> None:
    with screen() as terminal:
        code, out, _ = run(folder, "--json", out=subprocess.PIPE, err=terminal.theirs, seen=terminal)
    assert (code, json.loads(out)["status"]) == (0, "ok")
    assert "✓" in terminal.text


def test_with_quiet_a_good_run_writes_nothing(folder: Path) -> None:
    with screen() as terminal:
        code, out, _ = run(folder, "-q", out=subprocess.PIPE, err=terminal.theirs)
    assert (code, out, terminal.text) == (0, "", "")


@pytest.mark.parametrize(
    ("options", "env", "colored"),
    [
        ((), {}, True),
        ((), {"NO_COLOR": "1"}, False),
        ((), {"NO_COLOR": ""}, True),
        (("--color", "never"), {}, False),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
    ],
)
def test_colours_of_the_live_view(folder: Path, options: tuple[str, ...], env: dict[str, str], colored: bool) -> None:
    with screen() as terminal:
        code, _, _ = run(folder, *options, out=subprocess.DEVNULL, err=terminal.theirs, seen=terminal, **env)
    assert code == 0
    assert bool(STYLES.search(terminal.text)) is colored
    assert "✓" in STYLES.sub("", terminal.text)
    assert "1/2 nodes  1 running" in STYLES.sub("", terminal.text)


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"CI": "true"}])
def test_dumb_terminals_and_ci_get_lines(folder: Path, env: dict[str, str]) -> None:
    with screen() as terminal:
        code, _, _ = run(folder, "--color", "never", out=subprocess.DEVNULL, err=terminal.theirs, **env)
    assert code == 0
    assert "n finished in" in terminal.text
    assert "\x1b" not in terminal.text


def test_force_color_changes_nothing_in_a_pipe(folder: Path) -> None:
    code, out, err = run(folder, out=subprocess.PIPE, err=subprocess.PIPE, FORCE_COLOR="1")
    assert (code, STYLES.search(out + err)) == (0, None)


def test_a_terminal_without_utf_8_gets_plain_lines(folder: Path) -> None:
    with screen() as terminal:
        code, _, _ = run(folder, out=subprocess.DEVNULL, err=terminal.theirs, PYTHONIOENCODING="ascii", NO_COLOR="1")
    assert (code, terminal.text.isascii(), MOVES.search(terminal.text)) == (0, True, None)
    assert " s  n finished in " in terminal.text


def test_a_terminal_may_change_its_size_while_the_view_is_shown(folder: Path) -> None:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "nfrun", "run", "two.yaml", "--color", "never"],
        cwd=str(folder),
        env=environ(),
        encoding="utf-8",
        timeout=30,
        dimensions=(24, 120),
    )
    child.expect("stage 2        0/1  ╌{24}  twice\r")
    child.setwinsize(24, 40)
    child.expect("stage 2        0/1  ╌{6}\r")
    (folder / "gate").write_text("\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_the_cursor_is_shown_again_after_kill_9(folder: Path) -> None:
    command = [sys.executable, "-m", "nfrun", "run", "two.yaml"]
    given = {"cwd": folder, "env": environ(), "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    with screen() as terminal, forked.Popen(command, stderr=terminal.theirs, **given) as process:
        terminal.wait_for("\x1b[?25l")
        process.kill()
        terminal.wait_for("\x1b[?25h")


def test_lines_stay_and_the_view_goes(folder: Path) -> None:
    (folder / "two.yaml").write_text(TWO + '  bad: {python: "steps:fail", inputs: {n: n}, needs: twice}\n')
    with screen() as terminal:
        code, _, _ = run(folder, out=subprocess.DEVNULL, err=terminal.theirs, seen=terminal, NO_COLOR="1")
    assert code == 1
    end = terminal.text.split("\x1b[?25h")[0].split("\x1b[J")[-1]
    assert "nodes" not in end  # nothing of the view
    shown = MOVES.sub("\n", terminal.text)
    assert re.search(r"^✓ n +[0-9.]+ [mu]?s  3 rows\r$", shown, re.M)
    assert re.search(r"^✗ bad +[0-9.]+ [mu]?s  LookupError: no column 'price'\r$", shown, re.M)
    assert shown.count("✓ n ") == 1
