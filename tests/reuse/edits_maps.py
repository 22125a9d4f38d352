"""Edits of nodes with a `map`, and of the classes that nodes call."""

from __future__ import annotations

from typing import Any

from edit import Edit, edited

STEPS = """\
from base import Base
def rows(): return [{'a': i, 'b': i % 2} for i in range(5)]
def table(rows): return rows
def value(a: int): return a
def kept(a: int): return a
class Model(Base):
    def __init__(self, size=1): self.size = size
    def __call__(self, rows): return rows
    def close(self): self.size = 0
"""
BASE = "class Base:\n    def helper(self): return 1\n"


def row(name: str, node: str, old: str, new: str, *, runs_again: bool, **more: Any) -> Edit:
    body, _, settings = node.partition(" ")
    nodes = f'nodes:\n  rows: {{python: "steps:rows"}}\n  node: {{python: "steps:{body}", inputs: rows{settings}}}\n'
    files = {"p.yaml": nodes, "steps.py": STEPS, "base.py": BASE}
    return edited(name, files, old, new, runs_again=frozenset({"node"}) if runs_again else False, **more)


ROWS: list[Edit] = [
    row("a map where there was none", "table ", "inputs: rows", "inputs: rows, map: rows", runs_again=True,
        reason="its 'map' is new"),
    row("the batch of a function of the table", "table , map: {over: rows, batch: 2}", "batch: 2", "batch: 3",
        runs_again=True, reason="its 'map' changed"),
    row("not the batch of a function of columns", "value , map: {over: rows, batch: 2}", "batch: 2", "batch: 3",
        runs_again=False),
    row("not the batch that is usual", "table , map: {over: rows, batch: 64}", "{over: rows, batch: 64}", "rows",
        runs_again=False),
    row("the columns of groups", "table , map: {over: rows, by: a}", "by: a", "by: [a, b]", runs_again=True),
    row("the number of parts", "table , map: {over: rows, parts: 2}", "parts: 2", "parts: 3", runs_again=True),
    row("the columns that stay", "value , map: {over: rows, keep: a}", "keep: a", "keep: b", runs_again=True),
    row("what an error does", "value , map: rows", "map: rows", "map: {over: rows, on_error: collect}",
        runs_again=True),
    row("not how many rows may fail", "value , map: {over: rows, on_error: collect, max_failed: 3}", "failed: 3",
        "failed: 4", runs_again=False),
    row("not whether calls are reused", "value , map: {over: rows, reuse: false}", "false", "true", runs_again=False),
    row("the function of a map", "value , map: rows", "int): return a\ndef kept", "int): return a + 1\ndef kept",
        runs_again=True, reason="the function steps:value changed"),
    row("not another function", "value , map: rows", "kept(a: int): return a", "kept(a: int): return 0",
        runs_again=False),
    row("__init__ of a class", "Model ", "self.size = size", "self.size = size + 1", runs_again=True,
        reason="the definition steps:Model changed"),
    row("__call__ of a class", "Model , map: rows", "self, rows): return rows", "self, rows): return rows.slice(0, 1)",
        runs_again=True),
    row("close() of a class", "Model , map: rows", "self.size = 0", "self.size = 1", runs_again=True),
    row("the base of a class", "Model , map: rows", "return 1", "return 2", runs_again=True),
]  # fmt: skip
