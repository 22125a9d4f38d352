"""Understands a command line that is written plainly, and leaves every other to typer. Says nothing itself.

Typer takes as long to import, pydantic with it, as all the rest of a run does to start, and most command lines name a
file and a few options. What typer is for is left to it: help, mistakes and unusual forms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from typing import Any

from nfrun.cli import commands

SHORT = {"-p": "--param", "-j": "--jobs", "-k": "--keep-going", "-q": "--quiet", "-v": "--verbose"}
# With the fewest and the most files that they take. Their options are the keyword arguments of the functions.
COMMANDS: dict[str, tuple[Callable[..., int], int, float]] = {
    "run": (commands.run, 1, 1),
    "plan": (commands.plan, 1, 1),
    "validate": (commands.validate, 1, float("inf")),
    "clean": (commands.clean, 0, 1),
    "schema": (commands.schema, 0, 0),
}


def parse_plain(words: Sequence[str]) -> Callable[[], int] | None:
    """The call that these words ask for; None if they may mean anything else, or are wrong."""
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
    """Raises ValueError for what is not one of the choices."""
    if isinstance(default, tuple):
        return (*before, text)
    return type(default)(text) if isinstance(default, Enum) else text
