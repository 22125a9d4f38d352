"""Escape sequences in data, prints and names of files never reach a terminal. Pipes and files get bytes as they are."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import forked
import pytest

# A link (OSC 8), a colour (CSI), a C1 control code, DEL, characters that change the direction, and a bare return.
BAD = "\x1b]8;;http://x\x07\x1b[31m\x9b2J\x7f\u202e\u2066\rX"
PIPELINE = """\
params: {p: ""}
nodes:
  n: {read: data.csv}
  m: {sql: "select *, $p as q from n", inputs: n, with: {p: "${{ params.p }}"}}
  s: {run: 'cat bad.txt; cat bad.txt >&2; cp -r site "$NFRUN_OUTPUT"', outputs: {site: folder}}
  t: {run: 'cp bad.txt "$NFRUN_OUTPUT"', outputs: {text: file}}
  bad: {run: 'cat bad.txt >&2; exit 3', continue_on_error: true}
  py: {python: "steps:fail", inputs: n, continue_on_error: true}
outputs: {n: n, m: m}
"""
COMMANDS = [
    *(f"open m --format {form}" for form in ("csv", "jsonl", "text", "path")),
    *("open m", "open n --format csv --rows 1", "open s", "open t", "open t --format path"),
    *(f"logs {node}" for node in ("s", "bad", "py")),
    *("show", "show m", "show bad", "show py", "show --json", "show m --json", "runs", "runs --json"),
    *("diff 1 2", "diff 1 2 --data", "diff 1 2 --json", "report -o -", "report", "doctor", "clean --dry-run --all"),
    *("plan p.yaml", "plan p.yaml -v", "plan p.yaml --json", "validate p.yaml", "run p.yaml -v", "run p.yaml --json"),
    *("run p.yaml --fresh -v", "run p.yaml --fresh --events /dev/stdout"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / BAD.replace("/", "")
    (folder / "site").mkdir(parents=True)
    for name in ("site/" + BAD.replace("/", ""), "bad.txt"):
        (folder / name).write_text(f"{BAD}\n")
    (folder / "data.csv").write_bytes(f'a{BAD},b\n1,"{BAD}"\n2,y\n'.replace("\r", "").encode())
    (folder / "steps.py").write_text(f"def fail(n):\n    print({BAD!r})\n    raise ValueError({BAD!r})\n")
    (folder / "p.yaml").write_text(PIPELINE)
    for value in (BAD, "x"):
        done = nfrun(folder, "run", "p.yaml", "-p", f"p={value}", "-q", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.wait() == 0, done.communicate()
        done.communicate()
    return folder


def nfrun(folder: Path, *words: str, **streams: int) -> subprocess.Popen[bytes]:
    env = {**os.environ, "NO_COLOR": "1", "TERM": "dumb"}
    return forked.Popen(
        [sys.executable, "-m", "nfrun", *words], cwd=folder, env=env, stdin=subprocess.DEVNULL, **streams
    )


def on_terminal(folder: Path, *words: str) -> tuple[int, bytes]:
    """Return the exit code of a command, and all that its terminal got from it."""
    ours, theirs = pty.openpty()
    found = bytearray()

    def read() -> None:
        with suppress(OSError):
            while data := os.read(ours, 65536):
                found.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    process = nfrun(folder, *words, stdout=theirs, stderr=theirs)
    code = process.wait()
    os.close(theirs)
    reader.join()
    os.close(ours)
    return code, bytes(found)


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_of_the_data_acts_on_a_terminal(folder: Path, command: str) -> None:
    code, shown = on_terminal(folder, *command.split())
    text = shown.decode().replace("\r\n", "\n")
    assert code in (0, 1) and shown, text
    found = re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert found is None, (text[max(0, found.start() - 60) : found.end() + 30], found)


def test_a_pipe_and_a_file_get_the_bytes_as_they_are(folder: Path) -> None:
    process = nfrun(
        folder, "open", "m", "--run", "1", "--format", "csv", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, _ = process.communicate()
    assert BAD.replace("\r", "").encode() in out and process.returncode == 0
    assert on_terminal(folder, "open", "m", "--run", "1", "-o", "m.csv")[0] == 0
    assert (folder / "m.csv").read_bytes() == out
