"""Edits of files that nodes name: scripts, what scripts name in turn, `files:`, files of queries, and effects."""

from __future__ import annotations

from edit import Edit

ECHO = 'run: "echo n > $NFRUN_OUTPUT", format: csv'

ROWS: list[Edit] = [
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
