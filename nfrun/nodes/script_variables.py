"""Finds variables of nfrun that a script reads although its node does not have them: the shell takes them as empty.

It reads the script as text. A name counts wherever a shell, awk, Python or the like would read it, also in single
quotes, as in `bash -c '… $NFRUN_INPUT_x'`. Comments, names with a default and names that the script sets do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from nfrun.core.errors import Problem
from nfrun.core.pipeline import LAST_SECTIONS, NodeSpec
from nfrun.core.text import closest_match, ellipsize
from nfrun.nodes.texts.script_words import reads_of_variables, without_comments

_OURS = ("NFRUN_RUN", "NFRUN_NODE", "NFRUN_ATTEMPT")
_AT_THE_END = ("NFRUN_STATUS", "NFRUN_FAILED", "NFRUN_REPORT")  # of nodes under `on_failure` and `finally`
_GIVEN = ("NFRUN_INPUT_", "NFRUN_WITH_", "NFRUN_OUTPUT_")
_SET = re.compile(
    r"(?<![\w${#!])(?<!printenv )(NFRUN_\w+)(?=\+?=|\s+in\b|\s*(?:[;\n]|$))", re.ASCII
)  # by `=`, `for` or `read`


def check_variables(node: NodeSpec) -> Iterator[Problem]:
    """Yield an error for each place where the script of a node reads such a variable."""
    outputs = [f"NFRUN_OUTPUT_{name}" for name in node.own_outputs]
    inputs = [f"NFRUN_INPUT_{item.name}" for item in node.inputs]
    values = [f"NFRUN_WITH_{name}" for name in node.with_]
    known = [*inputs, *values, *outputs, *(["NFRUN_OUTPUT"] if len(outputs) < 2 else [])]
    code = without_comments(node.body)
    units = [f"NFRUN_{name.upper()}" for name in node.amounts]
    ours = [*_OURS, *units, *(_AT_THE_END if node.section in LAST_SECTIONS else ())]
    has = {*known, *ours, *_SET.findall(code)}
    for name, start, has_default in reads_of_variables(code):
        # If it ends so, more of the name follows, as in `eval`.
        if has_default or name in has or not name.startswith("NFRUN_") or name.endswith("_"):
            continue
        guess = _meant(name, known, ours)
        if not guess and not name.startswith(("NFRUN_INPUT", "NFRUN_WITH", "NFRUN_OUTPUT", *_AT_THE_END)):
            continue  # a variable of the user's
        message = f"the script reads ${ellipsize(name)}, which is not set for this node"
        hint = f"did you mean ${guess}?" if guess else f"there is {ellipsize(', '.join(f'${n}' for n in known), 200)}"
        if name.startswith("NFRUN_INPUT_") and not guess and node.section not in LAST_SECTIONS:  # those have no inputs
            rest = ellipsize(name.removeprefix("NFRUN_INPUT_"))
            hint = f"to read a node '{rest}': inputs: {rest}" if not inputs else f"{hint}; or add '{rest}' to 'inputs'"
        if name in _AT_THE_END:
            hint = f"nodes under {' and '.join(LAST_SECTIONS)} have it"
        yield Problem(("run",), message, hint, counts=True, start=start, length=len(name))


def _meant(name: str, known: Sequence[str], ours: Sequence[str]) -> str | None:
    """Return the variable of the same sort that is meant, if one is likely."""
    prefix = next((prefix for prefix in _GIVEN if name.startswith(prefix)), "NFRUN_")
    names = {n.removeprefix(prefix): n for n in (*known, *ours) if n.startswith(prefix)}
    return names.get(closest_match(name.removeprefix(prefix), names) or "") if name != "NFRUN_OUTPUT" else None
