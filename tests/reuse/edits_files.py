"""Edits of files that nodes name: scripts, what scripts name in turn, `files:`, files of queries, and effects."""

from __future__ import annotations

import os

from edit import Edit

ECHO = 'run: "echo n > $NFRUN_OUTPUT", format: csv'

DECLARED = {
    "p.yaml": """\
nodes:
  model: {python: "steps:f", files: [train.py, conf/*.yaml, models]}
  other: {python: "steps:f"}
""",
    "steps.py": "def f(): return {'a': 1}",
    "train.py": "1",
    "conf/a.yaml": "1",
    "models/net.onnx": "1",
    "unrelated.txt": "1",
}
MODEL = frozenset({"model"})

ROWS: list[Edit] = [
    Edit(
        name="a declared file",
        files=DECLARED,
        edit={"train.py": "2"},
        runs_again=MODEL,
        reason="the file train.py changed",
    ),
    Edit(
        name="a declared file, by the command", files=DECLARED, edit={"train.py": "2"}, runs_again=MODEL, by="command"
    ),
    Edit(name="a file of a declared pattern", files=DECLARED, edit={"conf/a.yaml": "2"}, runs_again=MODEL),
    Edit(
        name="one more file of a declared pattern",
        files=DECLARED,
        edit={"conf/b.yaml": "2"},
        runs_again=MODEL,
        reason="the file conf/b.yaml is new",
    ),
    Edit(name="a file in a declared folder", files=DECLARED, edit={"models/net.onnx": "2"}, runs_again=MODEL),
    Edit(name="one more file in a declared folder", files=DECLARED, edit={"models/deep/b.bin": "2"}, runs_again=MODEL),
    Edit(
        name="a declared file whose name a parameter has",
        files={
            **DECLARED,
            "p.yaml": "params: {x: a}\nnodes:\n  a: {python: 'steps:f', files: 'conf/${{ params.x }}.yaml'}\n",
        },
        edit={"conf/a.yaml": "2"},
        runs_again=True,
    ),
    Edit(
        name="a file that nobody names",
        files=DECLARED,
        edit={"unrelated.txt": "2", "conf/a.txt": "3"},
        runs_again=False,
    ),
    Edit(name="a hidden folder in a declared one", files=DECLARED, edit={"models/.cache/x": "2"}, runs_again=False),
    Edit(
        name="the times of declared files",
        files=DECLARED,
        act=lambda folder: [os.utime(path, (1, 1)) for path in folder.rglob("*.*")],
        runs_again=False,
    ),
    Edit(
        name="a declared file that is written again with the same content",
        files=DECLARED,
        edit={"train.py": "1"},
        runs_again=False,
    ),
    Edit(
        name="nothing, where a script gave no output",
        files={
            "p.yaml": f"nodes:\n  effect: {{run: 'true'}}\n  after: {{{ECHO}, needs: effect}}\n  other: {{{ECHO}}}\n"
        },
        runs_again=frozenset({"effect", "after"}),
        reason="it gave no output, so it runs for its effect",
    ),
    Edit(
        name="nothing, where a function returned None",
        files={"steps.py": "def f(): pass"},
        runs_again=True,
        by="run",
    ),
    Edit(
        name="nothing, where a cached script gave no output",
        files={"p.yaml": "nodes:\n  effect: {run: 'true', cache: true}\n"},
        runs_again=False,
    ),
]
