"""Puts together the names that a query computes for the functions that read files: `'d/' || $p || '.csv'`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

_STRING = r"'(?:[^']|'')*'"
_SKIPPED = re.compile(rf"""--[^\n]* | /\*.*?\*/ | {_STRING} | "(?:[^"]|"")*" """, re.DOTALL | re.VERBOSE)
_READ = re.compile(r"\b(read_\w+|\w+_scan|glob)\s*\(", re.IGNORECASE)
_SET = re.compile(r"\bset\s+(?:session\s+|global\s+)?variable\s+(\w+)\s*(?:=|\bto\b)", re.IGNORECASE)
_VALUE = re.compile(r"\$(\w+)(?:\s*::\s*\w+)?")
_VARIABLE = re.compile(rf"getvariable\s*\(\s*({_STRING})\s*\)", re.IGNORECASE)
_UNKNOWN = "*"


def computed_names(text: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the functions that read files whose names are computed, each with a pattern for these, "" if unknown."""
    # The same text without what may hold the signs that are looked for.
    plain = _SKIPPED.sub(lambda found: found[0][0] + "_" * (len(found[0]) - 1), text)
    variables: dict[str, list[str]] = {}
    for found in _SET.finditer(plain):
        start, end = found.end(), _end(plain, found.end(), ";")
        known = _patterns(text[start:end], plain[start:end], values, variables)
        variables[found[1].lower()] = [*variables.get(found[1].lower(), []), *known]
    for found in _READ.finditer(plain):
        start, end = found.end(), _end(plain, found.end(), ",")
        argument = text[start:end].strip()
        if not re.fullmatch(_STRING, argument) and not re.match(r"e'|\$\$|\"", argument, re.IGNORECASE):
            for pattern in _patterns(text[start:end], plain[start:end], values, variables):
                yield found[1], "" if pattern.startswith(_UNKNOWN) else pattern


def _patterns(
    text: str, plain: str, values: Mapping[str, Any], variables: Mapping[str, Sequence[str]]
) -> Sequence[str]:
    """Return what an expression may give: texts and patterns. `plain` is the text without the insides of strings."""
    inside = re.fullmatch(r"(\s*\[)(.*)\]\s*", plain, re.DOTALL)
    if inside:
        text, plain = text[inside.start(2) : inside.end(2)], inside[2]
        return [pattern for part in _split(text, plain, ",") for pattern in _patterns(*part, values, variables)]
    choices: list[Sequence[str]] = []
    for part in (part.strip() for part, _ in _split(text, plain, "||")):
        if re.fullmatch(_STRING, part):
            choices.append([part[1:-1].replace("''", "'")])
        elif (found := _VALUE.fullmatch(part)) and isinstance(value := values.get(found[1]), str | int | list):
            choices.append([str(item) for item in (value if isinstance(value, list) else [value])])
        elif found := _VARIABLE.fullmatch(part):
            choices.append(variables.get(found[1][1:-1].lower(), [_UNKNOWN]))
        else:
            choices.append([_UNKNOWN])
    return ["".join(chosen) for chosen in product(*choices)]


def _split(text: str, plain: str, separator: str) -> Iterator[tuple[str, str]]:
    start = 0
    while start <= len(plain):
        end = _end(plain, start, separator)
        yield text[start:end], plain[start:end]
        start = end + len(separator)


def _end(plain: str, start: int, separator: str) -> int:
    """Return where an expression ends: before the separator, or the bracket that closes what is around it."""
    depth = 0
    for at in range(start, len(plain)):
        letter = plain[at]
        if depth == 0 and (letter in ")]}" or plain.startswith(separator, at)):
            return at
        depth += (letter in "([{") - (letter in ")]}")
    return len(plain)
