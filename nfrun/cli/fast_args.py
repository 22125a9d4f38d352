"""Parses plain command lines without typer, and leaves all others to it.

Importing typer, which imports pydantic, takes as long as all the rest of a run's start, and most command lines have
only a file and a few options. Typer handles help, errors and unusual forms (see `typer_app.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nfrun.cli.commands import execute, find_command, version
from nfrun.core.values import MISSING, fields
from nfrun.session.options import plain_words


def parse_plain(words: Sequence[str]) -> Callable[[], int] | None:
    """Parse command-line words into a call of a command. Returns None if they are ambiguous or wrong.

    The call raises UsageError if the value of an option is wrong.
    """
    if [*words] == ["--version"]:
        return version
    command = find_command(words[0]) if words else None
    if command is None:
        return None
    declared = command[1]
    options = fields(declared)
    by_flag = {flag: (option.name, option.metadata["kind"]) for option in options for flag in option.metadata["flags"]}
    files: list[str] = []
    given: dict[str, Any] = {}
    left = iter(plain_words(declared, words[1:]))
    for word in left:
        if not word.startswith("-"):
            files.append(word)
            continue
        flag, equals, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
        name, kind = by_flag.get(flag, ("", str))
        takes_value = kind is not bool
        if takes_value and not equals:
            value = next(left, "")
        is_missing = takes_value and (not value or (value.startswith("-") and not equals))
        if name == "" or is_missing or (equals and not takes_value):
            return None
        given[name] = [*given.get(name, ()), value] if kind == list[str] else value if takes_value else True
    for option in options:
        if not option.metadata["flags"] and all(files) and files:
            given[option.name], files = (files, []) if option.metadata["kind"] == list[Path] else (files[0], files[1:])
    is_complete = all(option.name in given for option in options if option.default is MISSING)
    return partial(execute, words[0], given) if is_complete and not files else None
