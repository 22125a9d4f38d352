"""The kind `run`: a shell script with files at its borders, in a process group of its own. Knows no formats itself."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nfrun.callables import Library
from nfrun.formats import FormatError
from nfrun.kinds.kind import Job, Mistake, NodeError
from nfrun.spec import NodeSpec

# What is left of a script that was told to end is killed after these seconds.
TERM_SECONDS = 2.0
_TAIL = 4096  # bytes of stderr shown in an error
_LOGGED = 1 << 18  # bytes at the end of stdout and stderr that are logged
_GIVEN = ("NFRUN_INPUT_", "NFRUN_OUTPUT", "NFRUN_WITH_")


def check(node: NodeSpec, library: Library) -> Iterator[Mistake]:
    """Nothing more to see before the run: `with` values arrive as text, and the script is the shell's to judge."""
    yield from ()


def run(job: Job) -> Mapping[str, Any]:
    """Run the script in the pipeline's folder and read what it wrote.

    Raises NodeError, with the end of stderr, if it exits with another status than 0 or is ended by a signal.
    """
    from nfrun.files import read_table

    node, scratch = job.node, job.scratch()
    outputs = {name: scratch / f"output{name and '_' + name}.{node.format}" for name in node.outputs or ("",)}
    outer = {name: value for name, value in job.environ.items() if not name.startswith(_GIVEN)}  # nfrun inside nfrun
    environ = {**outer, **_values(job), **_input_files(job, scratch)}
    for name, path in outputs.items():
        environ[f"NFRUN_OUTPUT_{name}" if name else "NFRUN_OUTPUT"] = str(path)
    if len(node.outputs) == 1:
        environ["NFRUN_OUTPUT"] = str(outputs[node.outputs[0]])
    _execute(job, environ, scratch)
    tables = {}
    for name, path in outputs.items():
        variable = f"NFRUN_OUTPUT_{name}" if name else "NFRUN_OUTPUT"
        if not path.exists():
            continue
        if not path.is_file():  # to read a pipe would be to wait for ever
            raise NodeError(f"${variable} is not an ordinary file")
        try:
            tables[name] = read_table(path.name, base=scratch, format=node.format)
        except FormatError as error:
            raise NodeError(f"what the script wrote to ${variable} is not {node.format}", str(error)) from None
    return tables


def _execute(job: Job, environ: Mapping[str, str], scratch: Path) -> None:
    if job.stop.requested:
        raise NodeError("stopped")
    # Files, not pipes: a child left in the background that holds a pipe open would keep us waiting for ever.
    out, err = scratch / "stdout", scratch / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        try:
            process = subprocess.Popen(
                [*_shell(), job.node.body],
                cwd=job.folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise NodeError(f"the script cannot be started: {error}") from None
    # Told to end, then made to: the timer is called off once the script is gone and its number free for others.
    kill = threading.Timer(TERM_SECONDS, _signal, (process, signal.SIGKILL))
    kill.daemon = True

    def stop() -> None:
        _signal(process, signal.SIGTERM)
        kill.start()

    with job.stop.calling(stop, lambda: _signal(process, signal.SIGKILL)):
        _await_end(process)
    kill.cancel()
    for path, level in ((out, "stdout"), (err, "stderr")):
        for line in io.StringIO(_tail(path, _LOGGED), newline="\n"):
            job.log(level, line.rstrip("\r\n").rpartition("\r")[2])  # what stays of a progress bar
    status = process.returncode
    if status:
        raise NodeError(_ending(status), _tail(err, _TAIL))


def _await_end(process: subprocess.Popen[bytes]) -> None:
    """Wait for the script, then end whatever it left in its group.

    Where the system can, the script is not yet reaped when its group is signalled: nothing else can have its number.
    """
    if hasattr(os, "waitid"):  # not on macOS before Python 3.13
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    else:
        process.wait()
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _shell() -> list[str]:
    """bash that stops at the first failing command, also inside of a pipe; where there is no bash, sh."""
    bash = shutil.which("bash")
    return [bash, "--noprofile", "--norc", "-eo", "pipefail", "-c"] if bash else ["/bin/sh", "-ec"]


def _input_files(job: Job, scratch: Path) -> dict[str, str]:
    from nfrun.files import write_table

    files = {}
    for item in job.node.inputs:
        if job.node.format == "arrow":
            path = job.file(item.name)
        else:
            path = scratch / f"input_{item.name}.{job.node.format}"
            write_table(job.table(item.name), path)
        files[f"NFRUN_INPUT_{item.name}"] = str(path)
    return files


def _values(job: Job) -> dict[str, str]:
    values = {"NFRUN_RUN": job.run, "NFRUN_NODE": job.node.id, "NFRUN_ATTEMPT": str(job.attempt)}
    for name, value in job.node.with_.items():
        text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
        values[f"NFRUN_WITH_{name}"] = text
    return values


def _tail(path: Path, most: int) -> str:
    """The end of a text, of at most so many bytes, and whole lines where it has been cut."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - most))
        text = file.read(most).decode(errors="replace")
    if size <= most:
        return text
    _, _, whole = text.partition("\n")
    return "…" + (whole or text)


def _ending(status: int) -> str:
    if status < 0:
        try:
            return f"the script was ended by {signal.Signals(-status).name}"
        except ValueError:
            return f"the script was ended by signal {-status}"
    hint = {126: " (not executable)", 127: " (command not found)"}.get(status, "")
    return f"the script exited with status {status}{hint}"
