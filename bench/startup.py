"""Measures start-up: `nfrun` in a fresh process, against the imports that any such program needs.

CPU time is that of the whole process, user and system, as the system reports it at its end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from bench import blog
from bench.measure import Line, Sample, interleaved, versus

# Arrow imports pandas, where it is installed, to make a table from Python values: 200 ms that are not nfrun's.
_NO_PANDAS = "raise ImportError('hidden from the benchmark')\n"
_BARE_TYPER = (
    "import typer\n\ndef main(name: str) -> None:\n    print(name)\n\nif __name__ == '__main__':\n    typer.run(main)\n"
)
_WIDE = 10_000  # nodes
_PIPELINES = Path(__file__).parents[1] / "pipelines"


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure all commands, interleaved. The wall time of a pipeline is what it takes beyond its longest path."""
    pipeline = blog.write(folder, "blog-5")
    _, longest, _ = blog.bounds("blog-5")
    (folder / "hidden").mkdir()
    (folder / "hidden" / "pandas.py").write_text(_NO_PANDAS, encoding="utf-8")
    (folder / "bare.py").write_text(_BARE_TYPER, encoding="utf-8")
    environ = {**os.environ, "PYTHONPATH": str(folder / "hidden")}
    python, script = sys.executable, str(Path(sys.executable).with_name("nfrun"))
    commands: dict[str, Sequence[str]] = {
        "python": (python, "-c", "pass"),
        "imports": (python, "-c", "import pyarrow, typer, yaml"),
        "bare typer --help": (python, str(folder / "bare.py"), "--help"),
        "nfrun --help": (script, "--help"),
        "nfrun --version": (script, "--version"),
        "python -m nfrun --help": (python, "-m", "nfrun", "--help"),
        "nfrun run blog-5.yaml": (script, "run", str(pipeline), "--fresh"),
        "nfrun run blog-5.yaml --json": (script, "run", str(pipeline), "--fresh", "--json"),
        "nfrun validate hello.yaml": (script, "validate", str(_PIPELINES / "hello.yaml")),
        "nfrun plan flights.yaml": (script, "plan", str(_PIPELINES / "flights" / "flights.yaml")),
    }
    wide = folder / "wide.yaml"
    wide.write_text("nodes:\n" + "".join(f"  node_{i:05}: {{sql: select 1 as x}}\n" for i in range(_WIDE)))
    # What shells ask at each press of Tab.
    lines = {
        "Tab: a command": "nfrun r",
        "Tab: a node of flights": f"nfrun run {_PIPELINES / 'flights' / 'flights.yaml'} --only by_",
        f"Tab: a node of {_WIDE:,}": f"nfrun run {wide} --only node_",
    }
    variants: dict[str, Callable[[], Sample]] = {
        name: partial(fresh, command, environ, longest if "blog-5" in name else 0.0)
        for name, command in commands.items()
    }
    for name, line in lines.items():
        words = line.split()
        asked = {"_NFRUN_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
        variants[name] = partial(fresh, [script], {**environ, **asked})
    interleaved(variants, 1)  # a warm-up round, which compiles the bytecode
    found = interleaved(variants, max(repeat, 3))
    for ours, theirs, bar, by in (
        ("imports", "python", "", "cpu"),
        ("nfrun --help", "bare typer --help", "<= 1.3", "cpu"),
        ("python -m nfrun --help", "bare typer --help", "<= 1.3", "cpu"),
        ("nfrun run blog-5.yaml", "imports", "<= 1.5", "wall"),
        ("nfrun run blog-5.yaml --json", "imports", "<= 1.5", "wall"),
        ("nfrun validate hello.yaml", "imports", "", "cpu"),
        ("nfrun plan flights.yaml", "imports", "", "cpu"),
        ("nfrun --version", "python", "", "cpu"),
        *((name, "python", "", "cpu") for name in lines),
    ):
        yield versus(f"{ours} / {theirs}", found[ours], found[theirs], bar, by=by)


def fresh(command: Sequence[str], environ: Mapping[str, str], less: float = 0.0) -> Sample:
    """Run a command with its stdout in a pipe. Subtracts `less` from the wall seconds. Raises CalledProcessError."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Sample(used.ru_utime + used.ru_stime, wall - less)


def without_numpy(folder: Path) -> dict[str, str]:
    """Return the environment of processes that find neither numpy nor pandas, which Arrow imports where it finds them.

    Modules that hide them are written to the folder.
    """
    for name in ("numpy", "pandas"):
        (folder / f"{name}.py").write_text(_NO_PANDAS, encoding="utf-8")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(Path(__file__).parents[1])])}
