"""Splits the text of a script into commands and words, and finds the variables that it reads.

It is no shell: if unsure, it finds a word too many. In a word, `*` stands for what is not known, and OWN for a folder
that the script computes from its own path or the working directory, such as `$(dirname "$0")`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence

from nfrun.core.values import field, mutable

OWN = "\0"

_TOKEN = re.compile(
    r"""(?P<comment>(?:(?<=[\s;|&()])|\A)\#[^\n]*) | (?P<redirect>\d*(?:&>>?|>>?\|?|<{1,3}-?|<>)(?:&\d?-?)?)
    | (?P<end>[;|&()\n`]+)
    | (?P<word>(?: [^\s;|&()<>'"\\`$\#] | (?<=\S)\# | \\. | '[^']*' | "(?:[^"\\]|\\.)*"
      | \$\{[^}]*\} | \$\w+ | \$ | ['"] )+)""",
    re.DOTALL | re.VERBOSE,
)
_PIECE = re.compile(r"""'([^']*)' | "((?:[^"\\]|\\.)*)" | \\(.)""", re.DOTALL | re.VERBOSE)
_COMPUTED = re.compile(r"\$\(([^()]*)\)|`([^`]*)`")
_OWN_PATH = re.compile(r"\$(?:0|BASH_SOURCE|PWD)\b|\$\{(?:0|BASH_SOURCE|PWD)\b[^}]*\}")
_VARIABLE = re.compile(r"\$(?:\{[#!]?(\w+)(?::?[-=]([^}]*))?[^}]*\}|(\w+))")
_BRACES = re.compile(r"\{([^{}]*)\}")
_ASSIGNED = re.compile(r"(?<![\w$-])([A-Za-z_]\w*)\+?=(\"[^\"]*\"|'[^']*'|[^\s;&|()]*)")
_LOOP = re.compile(r"\bfor\s+(\w+)\s+in\s+([^\n;]*)")
# `$NAME`, `${NAME…}`, `ENVIRON["NAME"]`, `os.environ.get("NAME")`, `process.env.NAME` and the like.
_READ = re.compile(
    r"""(?<!\\)\$(?: (?P<bare>(?!ENV\{)[A-Za-z_]\w*) | \{[\#!]?(?P<braced>[A-Za-z_]\w*+)(?P<or>:?[-=+?])? )
    | (?: \bprintenv\s+ | \bprocess\.env\. | \b(?:environb?|env|ENV|ENVIRON)[{\[]\s* | \[\s*(?=b?["'])
      | (?:\b[gG]etenv|\.(?:get|fetch|pop|setdefault))\s*\(\s* )
      b?["']?(?P<other>[A-Za-z_]\w*+)(?P<given>["']\s*, | ["']\s*\]\s*=[^=])?""",
    re.ASCII | re.VERBOSE,
)
# Variables that say where and how a process runs, not what it makes, and secrets by their names: results that CI and a
# laptop share shall not depend on these.
_HARMLESS = re.compile(
    r"""NFRUN_\w* | HOME | (?:OLD)?PWD | TMP(?:DIR)? | TEMP | (?:PYTHON)?PATH | USER(?:NAME|PROFILE)? | LOGNAME
    | HOSTNAME | [UG]ID | EUID | P?PID | SHELL | SHLVL | TERM | COLUMNS | LINES | LANG(?:UAGE)? | LC_\w+ | DISPLAY
    | EDITOR | PAGER | (?:NO|FORCE|CLI)_?COLOR | XDG_\w+ | SSH_\w+ | VIRTUAL_ENV | CONDA_\w+ | BASH\w* | IFS
    | OPT(?:ARG|IND) | REPLY | \w+_NUM_THREADS | GITHUB_(?:OUTPUT|ENV|PATH|STEP_SUMMARY|WORKSPACE) | RUNNER_\w+
    | S?RANDOM | SECONDS | EPOCH\w+
    | (?i:\w*(?:token|secret|passw|passphrase|credential|api_?key|access_?key|private_?key|auth(?!or))\w*)""",
    re.VERBOSE,
)
_MOST = 64  # words that one may stand for
_DEEPEST = 5  # quotes in quotes


@mutable
class Command:
    """The words of one command, without quotes, and which of them redirections write to.

    Files that it appends to (`>>`) are left out: they are logs, and what is in them does not matter to the node.
    """

    words: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)


def commands(text: str, variables: Mapping[str, str], *, nested: bool = True) -> Iterator[Command]:
    """Yield the commands in a script and, with `nested`, those that may stand in its quoted texts.

    `variables` have values; so have those that the script sets. Others have those of the environment, or the default
    that the script gives, or stand for anything.
    """
    text, inner = _without_computed(text)
    values: dict[str, list[str]] = {name: [value] for name, value in variables.items()}
    for part in (text, *inner):
        for name, value in _ASSIGNED.findall(part):
            values.setdefault(name, []).append(value.strip("\"'"))
        for name, words in _LOOP.findall(part):
            values.setdefault(name, []).extend(words.split())
    for part in (text, *inner):
        yield from _commands(part, values, _DEEPEST if nested else 0)


def _without_computed(text: str) -> tuple[str, list[str]]:
    """Return the text with OWN or `*` in place of commands in it, and these commands."""
    text = _OWN_PATH.sub(OWN, text)
    inner: list[str] = []
    while found := _COMPUTED.search(text):
        command = found[1] or found[2] or ""
        own = {*re.findall(rf"\b(\w+)=[\"']?{OWN}", text)}  # variables with such a folder
        is_own = OWN in command or re.search(r"\bpwd\b", command) or own & {*re.findall(r"\$\{?(\w+)", command)}
        inner.append(command)
        text = f"{text[: found.start()]}{OWN if is_own else '*'}{text[found.end() :]}"
    return text, inner


def _commands(text: str, values: Mapping[str, Sequence[str]], depth: int) -> Iterator[Command]:
    command, redirect = Command(), ""
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "end":
            yield command
            command, redirect = Command(), ""
        elif token.lastgroup == "redirect":
            redirect = token[0]
        elif token.lastgroup == "word":
            plain = _PIECE.sub(lambda piece: next(filter(None, piece.groups()), ""), token[0])
            if ">>" not in redirect:
                words = _expanded(plain, values)
                command.words += words
                command.written += words if ">" in redirect else ()
            redirect = ""
            if depth and re.search(r"[\s(]", plain) and plain != text:
                yield from _commands(plain, values, depth - 1)
    yield command


def _expanded(word: str, values: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what the word may be with the values of its variables, and with each part of braces (`{a,b}`)."""
    if found := _VARIABLE.search(word):
        name = found[1] or found[3]
        choices: Sequence[str] = values.get(name) or [os.environ.get(name) or found[2] or "*"]
        values = {other: value for other, value in values.items() if other != name}  # it may name itself
    elif found := _BRACES.search(word):
        choices = found[1].split(",") if "," in found[1] else ["*"]
    else:
        return [word]
    before, after = word[: found.start()], word[found.end() :]
    expanded = (each for choice in choices for each in _expanded(f"{before}{choice}{after}", values))
    return [*dict.fromkeys(expanded)][:_MOST]


def made_words(command: Command) -> Iterator[str]:
    """Yield the words of a command that are files which it makes: by redirection, `tee`, `touch`, or after `-o`."""
    yield from command.written
    words = command.words
    if words and re.fullmatch(r"(?:.*/)?(?:tee|touch|truncate)", words[0]):
        yield from words[1:]
    for option, word in zip(words, [*words[1:], ""], strict=False):
        first, is_set, value = option.partition("=")
        if re.fullmatch(r"-o|-O|--out[\w-]*|of", first):
            yield value if is_set else word


def without_comments(text: str) -> str:
    """Return the text of a script with blanks in the place of its comments."""
    return _TOKEN.sub(lambda token: " " * len(token[0]) if token.lastgroup == "comment" else token[0], text)


def reads_of_variables(text: str) -> Iterator[tuple[str, int, bool]]:
    """Yield each variable that a shell, awk, Python or the like would read, also in single quotes.

    With it come the index of its name, and whether the text gives it a value where it has none.
    """
    for read in _READ.finditer(text):
        kind = next(kind for kind in ("bare", "braced", "other") if read[kind])
        yield read[kind], read.start(kind), bool(read["or"] or read["given"])


def read_variables(text: str) -> set[str]:
    """Return the variables that a script reads, also those that it sets itself: the environment may have them too.

    Left out are secrets, by their names, and variables that say nothing about the results.
    """
    return {name for name, _, _ in reads_of_variables(text) if not _HARMLESS.fullmatch(name)}
