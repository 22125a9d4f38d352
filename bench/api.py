"""Measures runs of Python programs, `nfrun.load(FILE).run()`, against the command line: `python -m bench api`.

Each is a whole process. What a node takes is the difference between 1,000 nodes and 10, so that the imports, which are
not the same, do not count. The nodes do nothing.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from bench.measure import Line, Sample, interleaved, versus
from bench.startup import fresh

_MANY, _FEW = 1_000, 10
_PROGRAM = "import sys, nfrun; nfrun.load(sys.argv[1]).run().check()"


def measure(folder: Path, repeat: int) -> Iterator[Line]:
    """Measure first runs and reused ones, by a program and by the command line, in turns."""
    ways = {"api": ("-c", _PROGRAM), "cli": ("-m", "nfrun", "run", "-q")}
    files = {(way, count): _write(folder / f"{way}-{count}", count) for way in ways for count in (_MANY, _FEW)}
    for what, is_first in (("first run", True), ("all reused", False)):
        variants: Mapping[str, Callable[[], Sample]] = {
            f"{way} {count}": partial(_run, ways[way], file, is_first) for (way, count), file in files.items()
        }
        interleaved(variants, 1)
        found = interleaved(variants, max(repeat, 5))
        of_nodes = {
            way: [_less(many, few) for many, few in zip(found[f"{way} {_MANY}"], found[f"{way} {_FEW}"], strict=True)]
            for way in ("api", "cli")
        }
        bar = "<= 1.0" if is_first else ""
        yield versus(
            f"a no-op node, {what}: program / command", of_nodes["api"], of_nodes["cli"], bar, each=_MANY - _FEW
        )
        yield versus(f"{_FEW} nodes, {what}: program / command", found[f"api {_FEW}"], found[f"cli {_FEW}"])


def _write(folder: Path, count: int) -> Path:
    folder.mkdir()
    (folder / "steps.py").write_text("def nothing():\n    return {'n': 1}\n", encoding="utf-8")
    nodes = "".join(f'  n{i}: {{python: "steps:nothing"}}\n' for i in range(count))
    (folder / "nodes.yaml").write_text(f"nodes:\n{nodes}outputs: {{n0: n0}}\n", encoding="utf-8")
    return folder / "nodes.yaml"


def _run(command: tuple[str, ...], file: Path, is_first: bool) -> Sample:
    if is_first:
        shutil.rmtree(file.parent / ".nfrun", ignore_errors=True)
    return fresh([sys.executable, *command, str(file)], os.environ)


def _less(many: Sample, few: Sample) -> Sample:
    return Sample(many.cpu - few.cpu, many.wall - few.wall)
