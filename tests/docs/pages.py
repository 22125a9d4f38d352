"""Runs a page of the documentation as a script: its files and commands, from top to bottom, in one fresh folder.

CONTRIBUTING.md has the convention for pages, under "Examples in the documentation". `python -m tests.docs.pages
docs/map.md` writes into a page what its commands print now, where it shows something else.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import forked

from tests.docs.page_outputs import difference_of, open_output, read_output

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("README.md", "docs/**/*.md", "pipelines/*/README.md")
    for path in ROOT.glob(pattern)
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>not run|slow): (?P<why>[^>]*?) -->\n+)?"
    r"(?:`(?P<caption>[^`\n]+)`:\n)?"
    r"(?P<indent> *)(?:(?P<fence>```+)|<!-- (?=(?:sh|console|python|file)\b))(?P<info>[^\n]*)\n(?P<text>.*?)"
    r"^ *(?(fence)(?P=fence)|-->)$",
    re.MULTILINE | re.DOTALL,
)
_SLOW_PAGE = re.compile(r"^<!-- slow page: (.*?) -->$", re.MULTILINE)
_IN_A_CLONE = "<!-- in a clone -->"
_CLONED = ("nfrun", "pipelines", "plugins", "schemas", "pyproject.toml", "README.md", "LICENSE")
_STAGES = re.compile(r"\n+ stage   nodes.*?\n\n(critical path.*?\n\n)?", re.DOTALL)
# What tells in the output of a command that it may have failed.
_FAILURE = re.compile(r"failed|error|nfrun: |^\S+:\d+:\d+: |problem", re.IGNORECASE | re.MULTILINE)
_NOT_GIVEN = ("NFRUN", "PYTEST", "CI", "GITHUB", "COLUMNS", "LINES", "FORCE_COLOR")
_HERE = "/home/you/project"  # how pages show their folder


class Block(NamedTuple):
    """A block of code. `kind` is its language, `title` the file that it is, `why` the reason of its `mark`."""

    kind: str
    title: str | None
    text: str
    mark: str | None
    why: str | None
    line: int


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page, also those in comments, in their order. `page` is a path in the repository."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        kind, _, rest = match["info"].strip().partition(" ")
        title = match["caption"] or next(iter(re.findall(r'title="([^"]+)"', rest)), None)
        code = textwrap.dedent(match["text"])
        why = match["why"] and " ".join(match["why"].split())
        line = text.count("\n", 0, match.start("info")) + 1
        found.append(Block(kind, title, code, match["mark"], why, line))
    return found


def is_slow(page: str) -> bool:
    """Whether all of a page is for the slow tests: a comment says `slow page` and why."""
    return bool(_SLOW_PAGE.search((ROOT / page).read_text(encoding="utf-8")))


def write_files(page: str, folder: Path) -> None:
    """Write the files of a page into a folder, for tests of their own. The last one of a name wins."""
    for block in blocks(page):
        if block.title:
            _write(folder / block.title, block.text)


def run_page(page: str, folder: Path, *, slow: bool) -> None:
    """Run a page in an empty folder. Raises an AssertionError with the line of the page if it is not true.

    Without `slow`, blocks that are marked as slow are left out, and nfrun is forked. With it, processes are as the
    reader starts them.
    """
    with _Script(page, folder, slow=slow) as script:
        script.run_all()


class _Script:
    """A page that is being run: its folder, its environment, and the names of its Python code."""

    def __init__(self, page: str, folder: Path, *, slow: bool) -> None:
        self.page, self.folder, self.slow = page, folder, slow
        self.cwd = folder
        self.names: dict[str, Any] = {"__name__": "example", "__file__": str(folder / "example.py")}
        self.ran = ""  # all commands and programs so far
        self.pipelines: dict[str, Block] = {}
        self.line = 0
        bin = Path(sys.executable).parent
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_GIVEN)}
        self.environ.update(PATH=f"{bin}{os.pathsep}{os.environ['PATH']}", CHECKOUT=str(ROOT))
        home = folder.parent / f"{folder.name}.home"  # commands may write there
        home.mkdir()
        self.environ.update(TERM="xterm", NO_COLOR="1", SHELL="/bin/bash", HOME=str(home))
        if slow:  # numpy and pandas are there for those who read the page
            self.environ.pop("PYTHONPATH", None)
        text = (ROOT / page).read_text(encoding="utf-8")
        if not page.startswith("docs/") or _IN_A_CLONE in text:
            _clone(folder)
            if not slow:
                (folder / ".venv").symlink_to(sys.prefix)

    def __enter__(self) -> _Script:
        self.stack = ExitStack()
        before, paths, modules = Path.cwd(), [*sys.path], set(sys.modules)
        self.stack.callback(lambda: [sys.modules.pop(name) for name in self._own_modules(set(sys.modules) - modules)])
        self.stack.callback(lambda: sys.path.__setitem__(slice(None), paths))
        self.stack.callback(os.chdir, before)
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def _own_modules(self, names: set[str]) -> list[str]:
        """The modules that were imported from the folder of the page."""
        return [n for n in names if str(self.folder) in str(getattr(sys.modules.get(n), "__file__", ""))]

    def run_all(self) -> None:
        for block in blocks(self.page):
            if block.mark != "not run" and (self.slow or block.mark != "slow"):
                self.run(block)
        for title, block in self.pipelines.items():
            assert Path(title).name in self.ran, f"{self.page}:{block.line}: no command of the page has '{title}'"

    def run(self, block: Block) -> None:
        self.line = block.line
        if block.title:
            _write(self.cwd / block.title, block.text)
            if block.kind == "yaml" and re.search(r"^nodes:", block.text, re.MULTILINE):
                self.pipelines[block.title] = block
        elif block.kind == "sh":
            for command in _commands(block.text):
                code, shown = self.call(command)
                assert code == 0, f"{self.place}: exit code {code} of\n{command}\n{shown}"
        elif block.kind == "console":
            for command, expected in session(block.text):
                code, shown = self.call(command, on_terminal=True)
                self.compare(command, expected, shown)
                if expected.strip() or not isinstance(self, _Written):
                    fails = bool(_FAILURE.search(expected))
                    assert bool(code) <= fails and code != 70, f"{self.place}: exit code {code} of\n{command}"
        elif block.kind == "python":
            self.ran += block.text
            self.compare(block.text, _printed(block.text), self.execute(block.text))
        else:
            raise AssertionError(f"{self.place}: a block of '{block.kind}' needs a title, or a comment 'not run: why'")

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    def call(self, command: str, *, on_terminal: bool = False) -> tuple[int, str]:
        """Run a command in a shell whose folder and variables stay for the next one. Returns its code and output."""
        self.ran += command
        # The environment of the tests stays as it is.
        assert self.slow or not re.search(r"-m venv|pip install", command), (
            f"{self.place}: say 'slow: installs packages'"
        )
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "cwd": self.cwd, "env": self.environ}
        streams["start_new_session"] = True  # so that what it leaves running can be ended with the page
        kept = self.folder.parent / f"{self.folder.name}.shell"
        words = _plain_words(command)
        start = subprocess.Popen
        if not self.slow and words and words[0] in ("nfrun", ".venv/bin/nfrun"):
            start, arguments = forked.Popen, [sys.executable, "-m", "nfrun", *words[1:]]
        else:
            then = f"code=$?; {{ pwd; env -0; }} > {shlex.quote(str(kept))}; exit $code"
            arguments = ["bash", "-c", f'eval "$1"; {then}', "bash", command]
        with (
            open_output(on_terminal) as (theirs, ours),
            start(arguments, stdout=theirs, stderr=theirs, **streams) as process,
        ):
            os.close(theirs)
            shown = read_output(ours, process.pid)
        if _has_members(process.pid):
            self.stack.callback(_end_group, process.pid)
        if kept.exists():
            cwd, _, variables = kept.read_text(encoding="utf-8").partition("\n")
            self.cwd = Path(cwd)
            self.environ = dict(entry.split("=", 1) for entry in variables.split("\0") if entry)  # type: ignore[misc]
            kept.unlink()
        return process.returncode, shown

    def execute(self, code: str) -> str:
        """Run Python code with the names of the code before it, and return what it prints."""
        os.chdir(self.cwd)
        sys.path[:0] = [place for place in (str(self.cwd),) if place not in sys.path]
        file = self.cwd / "example.py"
        file.write_text("")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, str(file), "exec"), self.names)
        return printed.getvalue()

    def compare(self, code: str, expected: str, shown: str) -> None:
        shown = shown.replace(str(self.folder.resolve()), _HERE).replace(str(self.folder), _HERE)
        if difference := difference_of(expected, shown):
            raise AssertionError(f"{self.place}: not what the page shows:\n{code}\n{difference}\n\nall of it:\n{shown}")


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _end_group(group: int) -> None:
    """End what a command of a page has left running, such as a server."""
    if _has_members(group):
        os.killpg(group, signal.SIGKILL)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _clone(folder: Path) -> None:
    """Copy what a clone has, without what runs and builds leave in it."""
    ignore = shutil.ignore_patterns(".*", "__pycache__", "out", "*.egg-info")
    for name in _CLONED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, folder / name)


def _commands(text: str) -> list[str]:
    """The lines of a script if each is a command of plain words, and else the script as a whole."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return lines if all(map(_plain_words, lines)) else [f"set -e\n{text}\nset +e"]


def _plain_words(command: str) -> list[str] | None:
    """The words of a command that needs no shell; None for others."""
    if re.search(r"[|&;<>()$`\\*?~{}\n]", re.sub(r"'[^'\n]*'", "", command)):
        return None
    return shlex.split(command, comments=True)


def session(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a session, each with the output below it. Lines that begin with `>` continue a command."""
    for example in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, rest = example.partition("\n")
        while rest.startswith("> "):
            line, _, rest = rest.partition("\n")
            command += "\n" + line[2:]
        yield command, rest


def _printed(code: str) -> str:
    """What the comments behind and below calls of `print` say that they print."""
    found = re.findall(r"^ *print\(.*\)(?:  # (.*)|\n *# (.*))$", code, re.MULTILINE)
    return "\n".join(behind or below for behind, below in found)


class _Written(_Script):
    """Writes into a page what its commands print, where that is not what they print now.

    The table of stages is left out: few pages are about it.
    """

    position = 0

    def compare(self, code: str, expected: str, shown: str) -> None:
        file = ROOT / self.page
        text = file.read_text(encoding="utf-8")
        command = "$ " + code.replace("\n", "\n> ") + "\n"
        if (at := text.find(f"{command}{expected}", self.position)) < 0:
            super().compare(code, expected, shown)
        self.position = at + len(command)
        try:
            super().compare(code, expected, shown)
        except AssertionError:
            shown = "".join(f"{line.rstrip()}\n" for line in shown.replace(str(self.folder), _HERE).splitlines())
            shown = _STAGES.sub("\n…\n", shown)
            rest = text[self.position :].removeprefix(expected)
            file.write_text(text[: self.position] + shown.strip("\n") + "\n" + rest, encoding="utf-8")


if __name__ == "__main__":
    import tempfile

    import conftest

    os.environ["PYTHONPATH"] = str(conftest.STUBS)
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as place, _Written(name, Path(place).resolve(), slow=is_slow(name)) as page:
            page.run_all()
