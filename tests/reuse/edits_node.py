"""Edits of the pipeline file, and changes of parameters, variables and options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from edit import Edit, edited

STEPS = """\
import os
def f(**values): return {'a': str(values), 'b': 2}
def g(t, **values): return t
def h(**values): return {'a': 7}
def split(): return {'x': {'a': 1}, 'y': {'a': 2}}
"""
ONE = 'nodes:\n  node: {python: "steps:f"%s}\n'
SCRIPT = 'nodes:\n  node: {run: "echo n > $NFRUN_OUTPUT; echo $V >> $NFRUN_OUTPUT", format: csv%s}\n'
TWO = ONE + '  next: {python: "steps:g", inputs: {t: node}}\n'
PARAMS = "params: {p: 1, q: 3}\n" + ONE % ', with: {v: "${{ params.p }}"}'
SPLIT = 'nodes:\n  s: {python: "steps:split", outputs: [x, y]}\n  node: {python: "steps:g", inputs: {t: s.x}}\n'


def row(name: str, pipeline: str, old: str, new: str, *, runs_again: frozenset[str] | bool, **more: Any) -> Edit:
    files = {"p.yaml": pipeline, "steps.py": STEPS, **more.pop("files", {})}
    return edited(name, files, old, new, runs_again=runs_again, **more)


def change(name: str, pipeline: str, *, runs_again: frozenset[str] | bool, **more: Any) -> Edit:
    """Return the row of a change that is none of the files."""
    files = {"p.yaml": pipeline, "steps.py": STEPS, **more.pop("files", {})}
    return Edit(name=name, files=files, runs_again=runs_again, **more)


def touch(folder: Path) -> None:
    for path in folder.rglob("*"):
        os.utime(path, (0, 0))


BUDGET = "resources: {gpu: 2}\n" + ONE % ", resources: {gpu: 1}"
AXIS = """\
matrix: {m: [{id: a, c: 1}, {id: b, c: 2}]}
nodes:
  node: {matrix: m, python: "steps:f", with: {v: "${{ matrix.m.c }}"}}
"""
NODE, NEXT = frozenset({"node"}), frozenset({"next"})
BOTH = NODE | NEXT

QUERY = {"a.sql": "select 1 as n", "b/b.sql": "select 1 as n"}
IN_FILE = "nodes:\n  node: {sql: a.sql}\n"

ROWS: list[Edit] = [
    # queries in files
    row("the query in a file", IN_FILE, "1 as n", "2 as n", files=QUERY, runs_again=True, reason="its text changed"),
    row("not the file of a query", IN_FILE, "sql: a.sql", "sql: b/b.sql", files=QUERY, runs_again=False),
    row("not a query that moves into a file", IN_FILE.replace("a.sql", "select 1 as n"), "sql: select 1 as n",
        "sql: b/b.sql", files=QUERY, runs_again=False),
    # values
    row("a value", ONE % ", with: {v: 1}", "v: 1", "v: 2", runs_again=True, reason="the value 'v' changed"),
    row("an integer and a float", ONE % ", with: {v: 1}", "v: 1", "v: 1.0", runs_again=True),
    row("an integer and a text", ONE % ", with: {v: 1}", "v: 1", "v: '1'", runs_again=True),
    row("an integer and a truth", ONE % ", with: {v: 1}", "v: 1", "v: true", runs_again=True),
    row("nothing and a text", ONE % ", with: {v: null}", "null", "''", runs_again=True),
    row("a value more", ONE % ", with: {v: 1}", "v: 1", "v: 1, w: 2", runs_again=True, reason="the value 'w' is new"),
    row("a value less", ONE % ", with: {v: 1, w: 2}", ", w: 2", "", runs_again=True, reason="the value 'w' is gone"),
    row("the order of values", ONE % ", with: {v: 1, w: 2}", "v: 1, w: 2", "w: 2, v: 1", runs_again=True),
    row("a value in a mapping", ONE % ", with: {v: {w: 1}}", "w: 1", "w: 2", runs_again=True),
    row("the order in a mapping", ONE % ", with: {v: {w: 1, x: 2}}", "w: 1, x: 2", "x: 2, w: 1", runs_again=True),
    row("an item of a list", ONE % ", with: {v: [1, 2]}", "[1, 2]", "[1, 3]", runs_again=True),
    row("the value of an anchor", "params: {z: &z 1}\n" + ONE % ", with: {v: *z}", "&z 1", "&z 2", runs_again=True),
    row("a value where its text stays", "params: {p: 1}\n" + ONE % ", with: {v: '${{ params.p }}'}", "p: 1", "p: 2",
        runs_again=True),
    row("a part of an expression", PARAMS, "params.p }", "params.p + 1 }", runs_again=True),
    change("a parameter that is given", PARAMS, options_after={"given": {"p": "2"}}, runs_again=True),
    change("a parameter that is given, by the command", PARAMS, options_after={"given": {"p": "2"}}, runs_again=True,
           by="command"),
    change("a variable in an expression", ONE % ", with: {v: \"${{ env.MADE_UP_V | default('1') }}\"}",
           environ={"MADE_UP_V": "2"}, runs_again=True),
    # variables
    row("a node's variable", SCRIPT % ", env: {V: 1}", "V: 1", "V: 2", runs_again=True,
        reason="the variable V changed"),
    row("a variable of the file", "env: {V: 1}\n" + SCRIPT % "", "V: 1", "V: 2", runs_again=True),
    row("a function's variable", "env: {V: 1}\n" + ONE % "", "V: 1", "V: 2", runs_again=True),
    row("a default variable", "defaults: {env: {V: 1}}\n" + SCRIPT % "", "V: 1", "V: 2", runs_again=True),
    row("a variable less", SCRIPT % ", env: {V: 1, W: 2}", ", W: 2", "", runs_again=True),
    change("a variable of the file that comes from outside", "env: {V: \"${{ env.MADE_UP_V | default('1') }}\"}\n"
           + SCRIPT % "", environ={"MADE_UP_V": "2"}, runs_again=True),
    # what runs and what it gives
    row("another function", ONE % "", "steps:f", "steps:h", runs_again=True),
    row("a script", SCRIPT % "", "echo n", "echo m", runs_again=True, reason="its text changed"),
    row("a query", "nodes: {node: {sql: select 1 as a}}", "1", "2", runs_again=True, reason="its text changed"),
    row("a query's value", "nodes: {node: {sql: select $v as a, with: {v: 1}}}", "v: 1", "v: 2", runs_again=True),
    row("a kind", "nodes: {node: {sql: select 7 as a}}", "{sql: select 7 as a}", '{python: "steps:h"}',
        runs_again=True),
    row("a format", SCRIPT % "", "csv", "jsonl", runs_again=True, reason="its format changed",
        files={"steps.py": "", "x": ""}),
    row("a format that is a default", "defaults: {format: csv}\n" + SCRIPT.replace(", format: csv", "") % "", "csv",
        "parquet", runs_again=True),
    row("the names of outputs", SPLIT, "[x, y]", "[y, x]", runs_again=True,
        reason="the names of its outputs changed"),
    row("which output is read", SPLIT, "s.x", "s.y", runs_again=NODE),
    row("the name of an input", TWO % "", "{t: node}", "{u: node}", runs_again=NEXT,
        files={"steps.py": STEPS.replace("g(t, **values): return t", "g(**values): return {'a': str([*values])}")}),
    row("a node's name", ONE % "", "node:", "other:", runs_again=frozenset({"other"})),
    row("a node that it needs more", ONE % "" + '  other: {python: "steps:h"}\n', "f\"}", 'f", needs: other}',
        runs_again=NODE),
    row("a node that it needs", ONE % ", needs: other" + '  other: {python: "steps:h", with: {v: 1}}\n', "v: 1", "v: 2",
        runs_again=frozenset({"node", "other"})),
    row("a node that it reads", TWO % ", with: {v: 1}", "v: 1", "v: 2", runs_again=BOTH, by="run"),
    row("a node that it reads and that gives the same", TWO.replace("steps:f", "steps:h") % ", with: {v: 1}", "v: 1",
        "v: 2", runs_again=NODE, by="run"),
    row("the file that is read", "nodes: {node: {read: x.csv}}", "x.csv", "y.csv", runs_again=True,
        files={"x.csv": "a\n1\n", "y.csv": "a\n1\n"}),
    row("the content of the file that is read", "nodes: {node: {read: x.csv}}", "1", "2", runs_again=True,
        files={"x.csv": "a\n1\n"}, reason="the file x.csv changed"),
    row("never reused", ONE % "", '"}', '", cache: false}', runs_again=True, reason="it has 'cache: false'"),
    # what must not run a node again
    row("not a comment", ONE % "" + "# 3\n", "3", "4", runs_again=False),
    row("not the layout", ONE % "", '{python: "steps:f"}', "\n    python: steps:f", runs_again=False),
    row("not the quotes", ONE % ", with: {v: x}", "v: x", "v: 'x'", runs_again=False),
    row("not how a number is written", ONE % ", with: {v: 1000.0}", "1000.0", "1.0e+3", runs_again=False),
    row("not a value that moves into an anchor", "params: {z: &z 1}\n" + ONE % ", with: {v: 1}", "v: 1", "v: *z",
        runs_again=False),
    row("not a description", ONE % ", description: x", "x", "y", runs_again=False, files={"steps.py": STEPS}),
    row("not the file's description", "description: made up\n" + ONE % "", "made up", "other", runs_again=False),
    row("not retries", ONE % "", '"}', '", retries: 2}', runs_again=False),
    row("not a timeout", ONE % "", '"}', '", timeout: 60}', runs_again=False),
    row("not an executor", ONE % "", '"}', '", executor: process}', runs_again=False),
    row("not tags", ONE % "", '"}', '", tags: [nightly]}', runs_again=False),
    row("not a condition that is true", ONE % "", '"}', '", if: true}', runs_again=False),
    row("not that it may fail", ONE % "", '"}', '", continue_on_error: true}', runs_again=False),
    row("not a budget", BUDGET, "{gpu: 2}", "{gpu: 4}", runs_again=False),
    row("not what it takes of a budget", BUDGET, "{gpu: 1}", "{gpu: 2}", runs_again=False),
    row("a value in front of an axis", AXIS, "[{id: a", "[{id: z, c: 3}, {id: a", runs_again=frozenset({"node@z"})),
    row("not the order of an axis", AXIS, "{id: a, c: 1}, {id: b, c: 2}", "{id: b, c: 2}, {id: a, c: 1}",
        runs_again=False),
    row("not what a cell does not use of its value", AXIS, "c: 1}", "c: 1, d: 5}", runs_again=False),
    row("what a cell uses of its value", AXIS, "c: 1}", "c: 5}", runs_again=frozenset({"node@a"})),
    row("not 'cache: true'", ONE % "", '"}', '", cache: true}', runs_again=False),
    row("not what is shown", TWO % "" + "outputs: {a: next}\n", "{a: next}", "{b: next}", runs_again=False),
    row("not another node", ONE % "" + '  other: {python: "steps:h", with: {v: 1}}\n', "v: 1", "v: 2",
        runs_again=frozenset({"other"})),
    row("not a new node", ONE % "", "nodes:\n", 'nodes:\n  other: {python: "steps:h"}\n',
        runs_again=frozenset({"other"})),
    row("not the order of nodes", 'nodes:\n  a: {python: "steps:f"}\n  b: {python: "steps:h"}\n',
        '  a: {python: "steps:f"}\n  b: {python: "steps:h"}\n', '  b: {python: "steps:h"}\n  a: {python: "steps:f"}\n',
        runs_again=False),
    row("not a parameter that it does not use", PARAMS, "q: 3", "q: 4", runs_again=False),
    row("not an expression of the same value", PARAMS, "params.p }", "params.p * 1 }", runs_again=False),
    row("not a variable that the node sets itself", "env: {V: 1}\n" + SCRIPT % ", env: {V: 3}", "V: 1", "V: 2",
        runs_again=False),
    row("not a secret that it does not use", "secrets: [PATH]\n" + ONE % "", "PATH", "HOME", runs_again=False),
    row("not a file that nothing reads", ONE % "", "old", "new", runs_again=False, files={"notes.txt": "old"}),
    change("not a parameter with its default", PARAMS, options_after={"given": {"p": "1"}}, runs_again=False),
    change("not a variable that the file does not name", ONE % "", environ={"MADE_UP_V": "2"}, runs_again=False),
    change("not the number of slots", TWO % "", options_after={"slots": 3}, runs_again=False, by="run"),
    change("not the schedule", TWO % "", options_after={"schedule": "staged"}, runs_again=False, by="run"),
    change("not time stamps", TWO % "", act=touch, runs_again=False),
    change("not time stamps, of a file that is read", "nodes: {node: {read: x.csv}}", act=touch, runs_again=False,
           files={"x.csv": "a\n1\n"}),
    change("nothing", TWO % "", runs_again=False, by="run"),
]  # fmt: skip
