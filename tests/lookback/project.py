"""A small project with a pipeline, whose runs the tests of `diff`, `open` and `shell` look back at."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forked
from conftest import Here
from recorded_lines import rewrite_lines

from nfrun.history.database import Database
from nfrun.history.work_dir import WorkDir

STEPS = """
import os
import random
import pyarrow as pa

def numbers(count):
    return pa.table({"n": list(range(count)), "name": ["n%d" % n for n in range(count)]})

def double(table, factor=2):
    return table.set_column(0, "n", pa.array([factor * n for n in table["n"].to_pylist()]))

def split(table):
    return {"low": table.slice(0, 1), "high": table.slice(1)}

async def draw(table, context):
    context.log.info("drawing")
    return {"drawn": random.random(), "rows": table.num_rows, "env": os.environ["GREETING"]}

def count(table):
    return {"rows": table.num_rows}

def fail(table):
    raise ValueError("no \\x1b[31m")
"""
# `drawn` is on a thread, as to start a worker process takes more time than all of the run.
PIPELINE = """\
name: trial
params: {count: 3}
env: {GREETING: hello}
nodes:
  numbers: {python: "steps:numbers", with: {count: "${{ params.count }}"}}
  double: {python: "steps:double", inputs: {table: numbers}, with: {factor: 2}}
  parts: {python: "steps:split", inputs: {table: double}, outputs: [low, high]}
  total: {sql: "select sum(n) * $times as total from double", inputs: double, with: {times: 10}}
  listed: {run: 'echo "in $PWD" ; cat "$NFRUN_INPUT_table" > "$NFRUN_OUTPUT"', inputs: {table: parts.high}, format: csv}
  drawn: {python: "steps:draw", inputs: {table: parts.low}, executor: thread}
  told: {run: "true", needs: [double]}
outputs: {sum: total, listed: listed, drawn: drawn}
"""
SOURCE = """
  data: {read: data.csv}
  count: {python: "steps:count", inputs: {table: data}}
outputs:"""
BROKEN = """
  broken: {python: "steps:fail", inputs: {table: parts.low}}
  after: {python: "steps:double", inputs: {table: broken}}
outputs:"""


@dataclass(frozen=True)
class Project:
    """The project in `folder`. With `here`, `look` and `run` use this process."""

    folder: Path
    here: Here | None = None

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text in a file, which has it."""
        text = (self.folder / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def nfrun(self, *words: str, stdin: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        """Run nfrun in the folder, in a process of its own."""
        command = [sys.executable, "-P", "-m", "nfrun", *words]
        given: dict[str, Any] = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        settings = {"cwd": self.folder, "env": {**os.environ, **env}, "timeout": 60, **given}
        return forked.run(command, check=False, capture_output=True, text=True, **settings)

    def run(self, *words: str, code: int = 0) -> None:
        """Run the pipeline, which ends with this exit code."""
        done = self.look("run", "trial.yaml", "-q", "--keep", *words)
        assert done.returncode == code, done.stderr

    def look(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run nfrun in the folder, in this process if there is `here`."""
        return self.nfrun(*words) if self.here is None else self.here(self.folder, *words)

    def damage(self, number: int, name: str) -> Path:
        """Change a byte in the file of an output, and return its path."""
        file = self.table(number, name)
        file.chmod(0o600)
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        return file

    def files(self) -> dict[str, bytes]:
        """Return all files of the work folder with their content."""
        work = self.folder / ".nfrun"
        return {str(path.relative_to(work)): path.read_bytes() for path in sorted(work.rglob("*")) if path.is_file()}

    def folder_of(self, number: int) -> Path:
        """Return the folder of a run."""
        with closing(Database(WorkDir(self.folder / ".nfrun"))) as database:
            (folder,) = [run.folder for run in database.runs() if run.header.number == number]
        return folder

    def rewrite_journal(self, number: int, rewrite: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
        """Replace the lines of the journal of a run. Lines for which `rewrite` returns None are left out."""
        rewrite_lines(self.folder_of(number), rewrite)

    def table(self, number: int, name: str) -> Path:
        """Return the file of an output in the folder of a run."""
        (found,) = self.folder_of(number).glob(f"{name}.*.arrow")
        return found


def new_project(folder: Path, here: Here | None = None) -> Project:
    """Write the files of the project."""
    project = Project(folder, here)
    project.write("steps.py", STEPS)
    project.write("trial.yaml", PIPELINE)
    return project
