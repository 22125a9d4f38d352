"""Finds variables of nfrun that a script reads although its node does not have them: the shell takes them as empty.

It reads the script as text. A name counts wherever a shell, awk, Python or the like would read it, also in single
quotes, as in `bash -c '… $NFRUN_INPUT_x'`. Comments, names with a default and names that the script sets do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from nfrun.core.pipeline import LAST_SECTIONS, NodeSpec
from nfrun.core.text import closest_match, ellipsize
from nfrun.nodes.base import NodeDiagnostic, output_name

_OURS = ("NFRUN_RUN", "NFRUN_NODE", "NFRUN_ATTEMPT")
_AT_THE_END = ("NFRUN_STATUS", "NFRUN_FAILED", "NFRUN_REPORT")  # of nodes under `on_failure` and `finally`
_GIVEN = ("NFRUN_INPUT_", "NFRUN_WITH_", "NFRUN_OUTPUT_")
# `$NAME`, `${NAME…}`, `ENVIRON["NAME"]`, `os.environ['NAME']`, `getenv("NAME")` and the like, without a default.
_READ = re.compile(
    r"""(?<!\\)\$ (?: (?P<bare>NFRUN_\w*) | \{[#!]? (?P<braced>NFRUN_\w*+) (?!:?[-=+?]) )
    | (?: \b(?:environb?|env|ENV|ENVIRON)[{.\[]\s* | \[\s*(?=b?["']) | (?:\b[gG]etenv|\.get|\.fetch)\s*\(\s*
      | \bprintenv\s+ )
      b?["']? (?P<other>NFRUN_\w*+) (?! ["']\s*, | ["']\s*\]\s*=[^=] )""",
    re.ASCII | re.VERBOSE,
)
_SET = re.compile(
    r"(?<![\w${#!])(?<!printenv )(NFRUN_\w+)(?=\+?=|\s+in\b|\s*(?:[;\n]|$))", re.ASCII
)  # by `=`, `for` or `read`


def check_variables(node: NodeSpec) -> Iterator[NodeDiagnostic]:
    """Yield an error for each place where the script of a node reads such a variable."""
    named = node.outputs if node.map is None else filter(None, [output_name(node)])  # failed rows are made by nfrun
    outputs = [f"NFRUN_OUTPUT_{name}" for name in named]
    inputs = [f"NFRUN_INPUT_{item.name}" for item in node.inputs]
    values = [f"NFRUN_WITH_{name}" for name in node.with_]
    known = [*inputs, *values, *outputs, *(["NFRUN_OUTPUT"] if len(outputs) < 2 else [])]
    code = "".join(map(_without_comment, node.body.splitlines(keepends=True)))
    units = [f"NFRUN_{name.upper()}" for name in node.amounts]
    ours = [*_OURS, *units, *(_AT_THE_END if node.section in LAST_SECTIONS else ())]
    has = {*known, *ours, *_SET.findall(code)}
    for found in _READ.finditer(code):
        kind = str(found.lastgroup)
        name = found[kind]
        if name in has or name.endswith("_"):  # more of the name follows, as in `eval`
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
        yield NodeDiagnostic(("run",), message, hint, counts=True, start=found.start(kind), length=len(name))


def _meant(name: str, known: Sequence[str], ours: Sequence[str]) -> str | None:
    """Return the name of those that the node has that is meant, if one is likely."""
    prefix = next((prefix for prefix in _GIVEN if name.startswith(prefix)), "NFRUN_")
    rest = name.removeprefix(prefix)
    for others in ([prefix], _GIVEN):  # of the same sort; then the same name of another sort
        names = {n.removeprefix(p): n for p in others for n in (*known, *ours) if n.startswith(p)}
        guess = rest if rest in names else closest_match(rest, names) if others == [prefix] else None
        if guess and name != "NFRUN_OUTPUT":
            return names[guess]
    return None


def _without_comment(line: str) -> str:
    """Return a line with its comment replaced by spaces. Quotes count from its start, whatever is open before it."""
    quote = ""
    if "#" not in line:
        return line
    for at, letter in enumerate(line):
        if quote or letter in "'\"":
            if letter in (quote or "'\"") and not line[:at].endswith("\\"):
                quote = "" if quote else letter
        elif letter == "#" and (not at or line[at - 1] in " \t;&|("):
            return line[:at] + " " * (len(line.rstrip("\n")) - at) + line[len(line.rstrip("\n")) :]
    return line
