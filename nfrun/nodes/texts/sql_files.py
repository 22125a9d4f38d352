"""Finds the files that a SQL text may read, by the names in it. It tokenizes the text; it does not parse SQL.

If unsure, it finds a file too many. Of names that the query computes, such as `'d/' || $p || '.csv'`, what is not
known stands for anything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from nfrun.nodes.base import NamedFiles, texts_in
from nfrun.tables.formats import format_of

# Comments (they may hold quotes), strings in all notations, values, and dotted names, which may name files unquoted.
_TOKEN = re.compile(
    r"""--[^\n]* | /\*.*?\*/
    | [eE]'(?P<escaped>(?:[^'\\]|\\.|'')*)' | '(?P<text>(?:[^']|'')*)' | "(?P<quoted>(?:[^"]|"")*)"
    | \$(?P<tag>(?:[^\W\d]\w*)?)\$(?P<dollars>.*?)\$(?P=tag)\$
    | \$(?P<value>\w+)
    | (?P<name>[^\W\d][\w$]*(?:\.\w+)+) | [^\W\d][\w$]*""",
    re.DOTALL | re.VERBOSE,
)
_QUOTES = {"escaped": "'", "text": "'", "quoted": '"'}  # doubled inside of the string
# What precedes the name of a folder, of a database, and of what is written.
_FOLDER = re.compile(r"\b(?:(?:read_\w+|\w+_scan)\s*\(\s*\[?|(?:im|ex)port\s+database)\s*$", re.IGNORECASE)
_ATTACH = re.compile(r"\battach\s+(?:or\s+replace\s+)?(?:database\s+)?(?:if\s+not\s+exists\s+)?$", re.IGNORECASE)
_WRITTEN = re.compile(r"\b(?:to|export\s+database)\s*$", re.IGNORECASE)
_URI = re.compile("file:(?://(?:localhost)?)?(?=/)")
_SEARCHED = re.compile(r"\bfile_search_path\s*(?:=|\bto\b)\s*'([^']*)'", re.IGNORECASE)
_PLAIN = re.compile(r"""--[^\n]* | /\*.*?\*/ | '(?:[^']|'')*' | "(?:[^"]|"")*" """, re.DOTALL | re.VERBOSE)
_READ = re.compile(r"\b(read_\w+|\w+_scan|glob)\s*\(", re.IGNORECASE)
_SET = re.compile(r"\bset\s+(?:session\s+|global\s+)?variable\s+(\w+)\s*(?:=|\bto\b)", re.IGNORECASE)
# The parts of an expression that gives names of files.
_PART = re.compile(
    r"""[eE]?'(?P<text>(?:[^']|'')*)' | "(?P<quoted>[^"]*)" | \$(?P<tag>\w*)\$(?P<dollars>.*?)\$(?P=tag)\$
    | \$(?P<value>\w+)(?:\s*::\s*\w+)? | (?i:getvariable)\s*\(\s*'(?P<variable>[^']*)'\s*\)
    | (?P<sign>[()\[\],;]) | [^\s|'"$()\[\],;]+""",
    re.DOTALL | re.VERBOSE,
)
_LONGEST = 4096  # bytes of a path


def sql_files(text: str, values: Mapping[str, Any], base: Path) -> NamedFiles:
    """Return the existing files that are named in the text or in the values, by these names.

    A name is a path or a glob pattern, relative to `base`, or else to the working directory. A database counts with its
    log of changes (`.wal`), a folder with all its files where a database is imported or a table is read from it. There
    is an obstacle if the text computes a name of which nothing is known.
    """
    found = NamedFiles()
    computed = list(_computed_names(text, values))
    for function in (function for function, pattern in computed if not pattern):
        found.obstacle = f"nfrun cannot know which files {function} reads: name them under 'files'"
    names = [*_names(text, values), *((name, "read_text(") for _, name in computed)]
    places = [place for found in _SEARCHED.findall(text) for place in found.split(",")]
    names += [(os.path.join(place, name), before) for place in places for name, before in names]  # noqa: PTH118
    for name, before in dict.fromkeys(names):
        if len(name) <= _LONGEST:
            with suppress(OSError, ValueError):
                named = os.path.expanduser(_URI.sub("", name, count=1))  # noqa: PTH111
                found.update(_files(named, base, _FOLDER.search(before) is not None))
                if _ATTACH.search(before):
                    for log in (f"{named}.wal", f"{named}-wal", f"{named}-journal"):  # DuckDB's, and two of SQLite
                        found.update(_files(log, base, False))
                if _WRITTEN.search(before):
                    found.written.add(os.path.normpath(named))
    return found


def files_elsewhere(text: str, values: Mapping[str, Any], base: Path) -> tuple[list[str], list[str]]:
    """Return the names of files in the working directory: those that `base` does not have, and those that it has."""
    only_here: list[str] = []
    in_both: list[str] = []
    for name, _ in dict.fromkeys(_names(text, values)):
        if len(name) <= _LONGEST and not os.path.isabs(name):  # noqa: PTH117
            with suppress(OSError, ValueError):
                if Path(name).is_file():
                    (in_both if (base / name).exists() else only_here).append(name)
    return only_here, in_both


def named_in_sql(text: str, values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paths in strings of the text and in the values, whether there is such a file or not.

    Of patterns, only those for a known format: others may be regular expressions.
    """
    strings = (token for token in _TOKEN.finditer(text) if token.lastgroup in (*_QUOTES, "dollars"))
    for string in (*(_string(token) for token in strings), *(text for _, text in texts_in(dict(values)))):
        if string and len(string) <= _LONGEST and (format_of(string) or not has_magic(string)):
            yield _URI.sub("", string, count=1)


def named_values(text: str) -> Iterator[tuple[str, int]]:
    """Yield the name of each value (`$name`) in the text, and the index of its `$`."""
    return ((token["value"], token.start()) for token in _TOKEN.finditer(text) if token.lastgroup == "value")


def _names(text: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield possible names, and the end of the text before each."""
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind is None:
            continue
        before = text[max(0, token.start() - 80) : token.start()]
        if kind == "value":
            yield from ((name, before) for _, name in texts_in(values.get(token[kind])))
        else:
            string = _string(token)
            yield string, before
            if kind in ("text", "escaped", "dollars") and re.search("['\"$]", string):  # a query in a query
                yield from _names(string, values)


def _string(token: re.Match[str]) -> str:
    kind = str(token.lastgroup)
    quote = _QUOTES.get(kind)
    return token[kind].replace(quote * 2, quote) if quote else token[kind]


def _files(name: str, base: Path, folder: bool) -> Iterator[tuple[str, Path]]:
    for path in (base / name, Path(name)):
        if path.is_file():
            yield name, path
            return
    if not re.search(r"[^\W_]", name) or name.startswith(("/*", "/?", "/[")):
        return  # no file name, or a pattern for all files of the machine
    if folder and (base / name).is_dir():
        name = os.path.join(name, "**")  # noqa: PTH118  (a Path drops a leading ./)
    # DuckDB reads hidden files too. root_dir: brackets in the name of the base folder are not a pattern.
    for match in sorted(glob(name, root_dir=base, recursive=True, include_hidden=True)):  # noqa: PTH207
        if (base / match).is_file():
            yield match, base / match


def _computed_names(text: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the functions that read files, each with the names that it gets: patterns, "" if nothing is known."""
    # The same text without what may hold the signs that are looked for.
    plain = _PLAIN.sub(lambda found: found[0][0] + "_" * (len(found[0]) - 1), text)
    variables: dict[str, list[str]] = {}
    for found in _SET.finditer(plain):
        variables.setdefault(found[1].lower(), []).extend(_argument(text[found.end() :], values, variables))
    for found in _READ.finditer(plain):
        for name in _argument(text[found.end() :], values, variables):
            yield found[1], "" if name.startswith("*") else name


def _argument(text: str, values: Mapping[str, Any], variables: Mapping[str, list[str]]) -> list[str]:
    """Return the values that the expression at the beginning of the text may have, with `*` for unknown parts."""
    found: list[str] = []
    current, depth, is_list = [""], 0, False
    for part in _PART.finditer(text):
        kind, sign = part.lastgroup, part["sign"]
        depth += (sign == "(") - (sign == ")")
        if depth < 0 or sign == ";" or (not depth and sign == "," and not is_list):
            break
        if depth or sign == ")":  # what a function gives
            choices = ["*"]
        elif sign:
            is_list = sign != "]"
            found, current = [*found, *current], [""]
            continue
        elif kind == "value" and isinstance(value := values.get(part["value"]), str | int | list):
            choices = [str(item) for item in (value if isinstance(value, list) else [value])]
        elif kind == "variable":
            choices = variables.get(part["variable"].lower(), ["*"])
        else:
            choices = [part[kind].replace("''", "'")] if kind in ("text", "quoted", "dollars") else ["*"]
        current = [re.sub(r"\*+", "*", before + choice) for before in current for choice in choices]
    return [name for name in (*found, *current) if name]
