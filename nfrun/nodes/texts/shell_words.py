"""Splits a shell script into commands and words. It never fails: what it does not understand is a word too.

It is no shell: if unsure, it finds a word too many. Quoted texts with blanks are split again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product

from nfrun.core.values import field, mutable

_TOKEN = re.compile(
    r"""(?P<comment>(?:(?<=[\s;|&()])|\A)\#[^\n]*) | (?P<blank>[ \t\r]+ | \\\n)
    | (?P<redirect>\d*(?:&>>?|>>?\|?|<{1,3}-?|<>)(?:&\d?-?)?) | (?P<end>[;|&()\n`]+)
    | (?P<word>(?: [^\s;|&()<>'"\\`$\#] | (?<=\S)\# | \\. | '[^']*' | "(?:[^"\\]|\\.)*"
      | \$\{[^}]*\} | \$\w+ | \$ | ['"] )+) | .""",
    re.DOTALL | re.VERBOSE,
)
_PIECE = re.compile(r"""'([^']*)' | "((?:[^"\\]|\\.)*)" | \\(.)""", re.DOTALL | re.VERBOSE)
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?-([^}]*))?[^}]*\}|(\w+))")
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_HEREDOC = re.compile(r"<<-?[ \t]*(['\"]?)(\w+)\1[^\n]*\n(.*?)^[ \t]*\2[ \t]*$", re.DOTALL | re.MULTILINE)
_ARGUMENT = r"""(?:--\s+)?(?:"([^"]*)"|'([^']*)'|([^\s"'();&|`]+))\s*"""
_PWD = r"(?:>\s*/dev/null\s*(?:2>&1\s*)?)?(?:&&|;)\s*pwd(?:\s+-[LP])?\s*"
# Texts that stand for a path, and that path, made of the groups of _ARGUMENT.
_PATHS = [
    (re.compile(rf"(?:\$\(|`)\s*{command}(?:\)|`)"), path)
    for command, path in (
        (rf"dirname\s+{_ARGUMENT}", r"\1\2\3/.."),
        (rf"(?:readlink\s+-\w+|realpath)\s+{_ARGUMENT}", r"\1\2\3"),
        (rf"cd\s+{_ARGUMENT}{_PWD}", r"\1\2\3"),
        (r"pwd(?:\s+-[LP])?\s*", "$PWD"),
    )
] + [(re.compile(r"\$\{(0|BASH_SOURCE)(?:\[0\])?%/\*\}"), r"${\1}/..")]
_MOST_BRACES = 64
_DEEPEST = 5  # quotes in quotes


@mutable
class Command:
    """The words of one command, without quotes, and which of them redirections write to.

    Files that it appends to (`>>`) are left out: they are logs, and what is in them does not matter to the node.
    """

    words: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)


def commands(text: str, variables: Mapping[str, str], depth: int = 0) -> Iterator[Command]:
    """Yield the commands in a script, and those that may stand in its quoted texts.

    `variables` have values; so have those that the script sets itself. Any other stands for anything: `*`. What
    computes a path from another, such as `$(dirname "$0")`, stands for that path.
    """
    text = _with_paths(text)
    known = dict(variables)
    command, redirect = Command(), ""
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "end":
            yield command
            command, redirect = Command(), ""
        elif token.lastgroup == "redirect":
            redirect = token[0]
        elif token.lastgroup == "word":
            plain = _PIECE.sub(lambda piece: next(filter(None, piece.groups()), ""), token[0])
            name, is_set, value = plain.partition("=")
            for word in _expanded(plain, known) if ">>" not in redirect else ():
                command.words.append(word)
                if ">" in redirect:
                    command.written.append(word)
            if is_set and name.isidentifier():
                known[name] = next(_expanded(value, known), "")
            redirect = ""
            if depth < _DEEPEST and re.search(r"[\s`(]", plain) and plain != text:
                yield from commands(plain, known, depth + 1)
    yield command


def here_documents(text: str) -> list[str]:
    """Return the texts that a script hands to commands as their input (`<<EOF`)."""
    return [found[3] for found in _HEREDOC.finditer(text)] if "<<" in text else []


def _with_paths(text: str) -> str:
    """Replace what computes a path from another by that path, from the inside out."""
    for _ in range(_DEEPEST):
        before = text
        for computed, path in _PATHS:
            text = computed.sub(path, text)
        if text == before:
            break
    return text


def _expanded(word: str, variables: Mapping[str, str]) -> Iterator[str]:
    """Yield the word with its variables replaced and its braces (`{a,b}`) expanded."""

    def value_of(found: re.Match[str]) -> str:
        name = found[1] or found[3]
        return variables.get(name, found[2] or "*")

    parts = _BRACES.split(_VARIABLE.sub(value_of, word))
    choices = [part.split(",") if i % 2 else [part] for i, part in enumerate(parts)]
    for number, chosen in enumerate(product(*choices)):
        if number == _MOST_BRACES:
            break
        yield "".join(chosen)
