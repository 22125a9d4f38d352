"""State that nodes share: what a worker made is reused, and what used it on a thread is not."""

from __future__ import annotations

from edit import Edit

DRAWS = "import random\ndef f(): return {'a': random.random()}"
ON_A_THREAD = 'nodes:\n  node: {python: "steps:f", executor: thread}\n'
ON_THREAD = "it uses random.random (steps.py:2) on a thread, where all nodes share it"

ROWS = [
    Edit(name="a node that draws in a worker", files={"steps.py": DRAWS}, runs_again=False),
    Edit(
        name="a node that draws on a thread",
        files={"steps.py": DRAWS, "p.yaml": ON_A_THREAD},
        runs_again=True,
        reason=ON_THREAD,
    ),
    Edit(
        name="a node that draws on a thread with 'cache: true'",
        files={"steps.py": DRAWS, "p.yaml": ON_A_THREAD.replace("}", ", cache: true}")},
        runs_again=False,
    ),
    Edit(
        name="where a node runs",
        files={"steps.py": "def f(): return {'a': 1}", "p.yaml": ON_A_THREAD},
        edit={"p.yaml": ON_A_THREAD.replace("thread", "process")},
        runs_again=False,
    ),
]
