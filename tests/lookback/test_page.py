"""The examples of docs/looking-back.md are run, one after the other, in a folder with the files that the page shows."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from conftest import Here

PAGE = Path(__file__).parents[2] / "docs" / "looking-back.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\S+)\n")
# What differs from run to run.
_VARIES = (
    (r"today \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "WHEN"),
    (r"\d+-\d{8}-\d{6}", "ID"),
    (r"[\d.]+ (us|ms|s)\b", "TIME"),
    (r"/\S*/(?=\.nfrun|steps\.py)", "/HERE/"),
    (r"(?<=host  )\s*\S+", "HOST"),
    (r"(?<=versions  ).*", "VERSIONS"),
    (r"─+", "-"),
    (r"[ \t]+", " "),
)


def comparable(text: str) -> list[str]:
    """The lines of an output without what differs from run to run: times, ids, paths, and the widths of columns."""
    for pattern, name in _VARIES:
        text = re.sub(pattern, name, text)
    lines = map(str.strip, text.splitlines())
    return [line for line in lines if line and line.count("TIME") < 2]  # which nodes took longer is left to chance


def in_own_process(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run nfrun with a file as its standard input."""
    command = command.replace("nfrun", f"{shlex.quote(sys.executable)} -P -m nfrun", 1)
    return subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, timeout=60, check=True)


def test_the_examples_of_the_page_are_true(here: Here, tmp_path: Path) -> None:
    commands = 0
    for kind, text in _BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if file := _FILE.match(text):
            (tmp_path / file[1]).write_text(text)
        elif kind == "console":
            for example in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, expected = example.partition("\n")
                program, *words = shlex.split(command)
                if program == "nfrun":
                    found = in_own_process(tmp_path, command) if "<" in words else here(tmp_path, *words)
                    assert comparable(found.stdout + found.stderr) == comparable(expected), command
                    commands += 1
                else:
                    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    assert commands > 5
