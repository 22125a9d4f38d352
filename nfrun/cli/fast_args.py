"""Parses plain command lines without typer, and leaves all others to it.

Importing typer, which imports pydantic, takes as long as all the rest of a run's start, and most command lines have
only a file and a few options. Typer handles help, errors and unusual forms (see `typer_app.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from typing import Any

from nfrun.cli import commands

SHORT = {"-p": "--param", "-j": "--jobs", "-k": "--keep-going", "-q": "--quiet", "-v": "--verbose"}
# name: (function, fewest files, most files). The options of a command are the keyword arguments of its function.
COMMANDS: dict[str, tuple[Callable[..., int], int, float]] = {
    "run": (commands.run, 1, 1),
    "plan": (commands.plan, 1, 1),
    "validate": (commands.validate, 1, float("inf")),
    "clean": (commands.clean, 0, 1),
    "schema": (commands.schema, 0, 0),
}


def parse_plain(words: Sequence[str]) -> Callable[[], int] | None:
    """Parse command-line words into a call of a command. Returns None if they are ambiguous or wrong."""
    if not words or words[0] not in COMMANDS:
        return None
    command, fewest, most = COMMANDS[words[0]]
    defaults = {f"--{name.replace('_', '-')}": (name, value) for name, value in _defaults(command).items()}
    files: list[str] = []
    given: dict[str, Any] = {}
    left = iter(words[1:])
    for word in left:
        if not word.startswith("-"):
            files.append(word)
            continue
        option, equals, value = word.partition("=")
        if not word.startswith("--"):
            option, equals, value = word[:2], word[2:], word[2:]
        name, default = defaults.get(SHORT.get(option, option), ("", None))
        if not name or (name in given and not isinstance(default, tuple)):
            return None
        if isinstance(default, bool):
            if equals:
                return None
            given[name] = True
            continue
        if not equals:
            value = next(left, "")
        if not value or (value.startswith("-") and not equals):
            return None
        try:
            given[name] = _value(value, default, given.get(name, ()))
        except ValueError:
            return None
    return partial(command, *files, **given) if fewest <= len(files) <= most and all(files) else None


def _defaults(command: Callable[..., int]) -> dict[str, Any]:
    return getattr(command, "__kwdefaults__", None) or {}


def _value(text: str, default: Any, before: tuple[str, ...]) -> Any:
    """Convert an option's text to the type of its default. Raises ValueError if it is not one of the choices."""
    if isinstance(default, tuple):
        return (*before, text)
    return type(default)(text) if isinstance(default, Enum) else text
