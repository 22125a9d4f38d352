"""How many threads native libraries have: what the file says counts, and what the environment says does not."""

from __future__ import annotations

from edit import Edit, edited

SCRIPT = "nodes:\n  node: {run: 'echo a > $NFRUN_OUTPUT', format: csv, resources: {cpu: 1}}\n"
QUERY = "nodes:\n  node: {sql: 'select 1 as a', resources: {cpu: 1}}\n"
FUNCTION = "nodes:\n  node: {python: 'steps:f', resources: {cpu: 1}}\n"
STEPS = {"steps.py": "def f(): return {'a': 1}\n"}
MORE = "its number of threads changed"

ROWS: list[Edit] = [
    edited(
        "more threads of a function", {"p.yaml": FUNCTION, **STEPS}, "cpu: 1", "cpu: 2", runs_again=True, reason=MORE
    ),
    edited("more threads of a query", {"p.yaml": QUERY}, "cpu: 1", "cpu: 2", runs_again=True, reason=MORE),
    edited("more threads of a script", {"p.yaml": SCRIPT}, "cpu: 1", "cpu: 2", runs_again=True, reason=MORE),
    edited("less than one slot", {"p.yaml": FUNCTION, **STEPS}, "cpu: 1", "cpu: 0.5", runs_again=False),
    edited("one slot that is not said", {"p.yaml": FUNCTION, **STEPS}, ", resources: {cpu: 1}", "", runs_again=False),
    edited(
        "more slots of a node that reads a file",
        {"p.yaml": "nodes:\n  node: {read: a.csv, resources: {cpu: 1}}\n", "a.csv": "a\n1\n"},
        "cpu: 1",
        "cpu: 2",
        runs_again=False,
    ),
    edited(
        "threads under 'env' of the file",
        {"p.yaml": "env: {OMP_NUM_THREADS: 1}\n" + FUNCTION, **STEPS},
        "THREADS: 1",
        "THREADS: 2",
        runs_again=True,
        reason="the variable OMP_NUM_THREADS changed",
    ),
    Edit(name="threads in the environment", files=STEPS, environ={"OMP_NUM_THREADS": "4"}, runs_again=False),
    Edit(
        name="threads in the environment, by a second run",
        files=STEPS,
        environ={"OMP_NUM_THREADS": "4"},
        runs_again=False,
        by="process",
    ),
]
