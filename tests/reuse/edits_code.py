"""Edits of a node's code: what must run the node again, and what must not."""

from __future__ import annotations

from edit import Edit, edited

ROWS: list[Edit] = [
    edited(
        "the function itself",
        "def f(): return {'a': 1}",
        "1",
        "2",
        runs_again=True,
        reason="the function steps:f changed",
    ),
    edited("a comment", "def f(): return {'a': 1}  # one", "# one", "# two", runs_again=False),
    edited(
        "a comment, by the command", "def f(): return {'a': 1}  # one", "# one", "# two", runs_again=False, by="command"
    ),
    edited(
        "a comment, by a second run", "def f(): return {'a': 1}  # one", "# one", "# two", runs_again=False, by="run"
    ),
]
