"""State that nodes share: what a worker made is reused, and what ran on a thread while it changed is not."""

from __future__ import annotations

from edit import Edit

DRAWS = "import random\ndef f(): return {'a': random.random()}"
ON_A_THREAD = 'nodes:\n  node: {python: "steps:f", executor: thread}\n'
PACKAGE = "import os, random\ndef draw(): return random.random()\ndef move(): os.chdir('..')\n"
CHANGED = "it ran on a thread while %s changed"

ROWS = [
    Edit(name="a node that draws in a worker", files={"steps.py": DRAWS}, runs_again=False),
    Edit(
        name="a node that draws on a thread",
        files={"steps.py": DRAWS, "p.yaml": ON_A_THREAD},
        runs_again=True,
        reason=CHANGED % "random's generator",
    ),
    Edit(
        name="a node that draws on a thread with 'cache: true'",
        files={"steps.py": DRAWS, "p.yaml": ON_A_THREAD.replace("}", ", cache: true}")},
        runs_again=False,
    ),
    Edit(
        name="a package that draws",
        files={
            "steps.py": "import drawing\ndef f(): return {'a': drawing.draw()}",
            "../site-packages/drawing.py": PACKAGE,
        },
        runs_again=True,
        reason=CHANGED % "random's generator",
    ),
    Edit(
        name="a package that does not draw",
        files={
            "steps.py": "import drawing\ndef f(): return {'a': drawing.__name__}",
            "../site-packages/drawing.py": PACKAGE,
        },
        runs_again=False,
    ),
    Edit(
        name="where a node runs",
        files={"steps.py": "def f(): return {'a': 1}", "p.yaml": ON_A_THREAD},
        edit={"p.yaml": ON_A_THREAD.replace("thread", "process")},
        runs_again=False,
    ),
]
