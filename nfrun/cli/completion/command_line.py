"""Splits the line that a shell completes, and finds out which option or argument stands at the cursor."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nfrun.cli.commands import find_command
from nfrun.core.values import Field, field, fields, frozen
from nfrun.session.option_fields import with_file_first

SHELL_FLAGS = ("--install-completion", "--show-completion")
_BLANKS = " \t\n"
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


@frozen
class Line:
    """A command line up to the cursor: its words without quotes, the program being the first.

    `current` is the word at the cursor, of which the shell replaces what stands behind its first `kept` characters.
    """

    words: tuple[str, ...]
    current: str
    kept: int = 0


@frozen
class Place:
    """What stands at the cursor: `text` is a value of `option`, or if that is None a `what`.

    `what` is `command`, `flag`, `shell` or "" for nothing that can be completed. `before` is how many characters of the
    word stand before the text. `given` has the words that options of the command have, by the names of their fields.
    """

    text: str
    what: str = ""
    before: int = 0
    command: str = ""
    option: Field[Any] | None = None
    given: Mapping[str, Sequence[str]] = field(default_factory=dict)


def split_line(line: str, breaks: str = "") -> Line:
    """Split the line up to the cursor as a shell does; a quote that is still open ends with it.

    `breaks` are the characters that part words for bash's completion, as in its variable COMP_WORDBREAKS.
    """
    words: list[str] = []
    word, quote, kept = None, "", 0
    characters = iter(line)
    for character in characters:
        if quote:
            if character == quote:
                quote = ""
            elif character == "\\" and quote == '"':
                word = (word or "") + next(characters, "")
            else:
                word = (word or "") + character
        elif character in _BLANKS:
            if word is not None:
                words.append(word)
            word, kept = None, 0
        else:
            word = word or ""
            if character in "'\"":
                quote, kept = character, len(word)
            elif character == "\\":
                word += next(characters, "")
            else:
                word += character
                if character in breaks:  # bash takes two of them for the first character of what it replaces
                    kept = len(word) - (character in "@$")
    while len(words) > 1 and _ASSIGNMENT.match(words[0]):
        del words[0]
    return Line(tuple(words), word or "", kept)


def place_of(words: Sequence[str], current: str) -> Place:
    """Return what stands at the cursor, from the words before it, without the program, and the word there."""
    if not words or words == ["help"]:
        return Place(current, "flag" if current.startswith("-") else "command")
    command = find_command(words[0])
    if command is None:
        return Place(current, "shell" if words[-1] in SHELL_FLAGS else "")
    declared = fields(command[1])
    by_flag = {flag: option for option in declared for flag in option.metadata["flags"]}
    arguments = [option for option in declared if not option.metadata["flags"]]
    given: dict[str, list[str]] = {}
    waiting: Field[Any] | None = None  # the option whose value comes next
    for word in with_file_first(command[1], [*words[1:], current or "next"])[:-1]:
        if waiting is not None and not (_is_bare(waiting) and word.startswith("-")):
            given.setdefault(waiting.name, []).append(word)
            waiting = None
            continue
        waiting = None
        option, value = _flag_of(word, by_flag)
        if option is None and not word.startswith("-"):
            option, value = _argument(arguments, given), word
        if option is None:
            continue
        if value is None and option.metadata["kind"] is not bool:
            waiting = option
        else:
            given.setdefault(option.name, []).append(value or "")
    if waiting is not None and not current.startswith("-"):
        return Place(current, "", 0, words[0], waiting, given)
    option, value = _flag_of(current, by_flag)
    if option is not None and value is not None:
        return Place(value, "", len(current) - len(value), words[0], option, given)
    if current.startswith("-"):
        return Place(current, "flag", 0, words[0], None, given)
    option = _argument(arguments, given)
    if not arguments and "pipeline" not in given:  # a pipeline file may stand first
        option = by_flag.get("--pipeline")
    return Place(current, "" if option else "flag", 0, words[0], option, given)


def _is_bare(option: Field[Any]) -> bool:
    return option.metadata["bare"] is not None


def _flag_of(word: str, by_flag: Mapping[str, Field[Any]]) -> tuple[Field[Any] | None, str | None]:
    """Return the option that a word names, and the value that stands in the same word, None if there is none."""
    if word.startswith("--"):
        flag, equals, value = word.partition("=")
        return by_flag.get(flag), value if equals else None
    option = by_flag.get(word[:2]) if word.startswith("-") else None
    if option is None or option.metadata["kind"] is bool:
        return option, None
    return option, word[2:] or None


def _argument(arguments: Sequence[Field[Any]], given: Mapping[str, Sequence[str]]) -> Field[Any] | None:
    """Return the argument that the next word is, None if all are given."""
    from pathlib import Path

    return next((one for one in arguments if one.name not in given or one.metadata["kind"] == list[Path]), None)
