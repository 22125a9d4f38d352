"""Finds the files that the code of a node names, and those that libraries read or write unseen by the audit hook.

A name stands for everything that is ever given to it. What is not known of a path is `*`, and `**` if that may have
slashes. Whether there are such files is asked when the node is looked at.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, KeysView, Mapping, Sequence, Set
from functools import lru_cache
from glob import has_magic
from itertools import product
from math import prod
from pathlib import Path, PurePath
from typing import Any

from nfrun.code.facts.code_facts import CodeFact, CodeFacts, Command
from nfrun.code.facts.path_terms import (
    ANY,
    INPUT,
    NO_FILE,
    READ,
    UNKNOWN,
    Findings,
    NativeCall,
    Term,
    text_of,
)
from nfrun.code.facts.unseen_calls import may_be_of
from nfrun.code.fingerprint import Fingerprints
from nfrun.core.values import replace

_MOST = 300  # values of one expression: of more, only the start of their words is known
_MOST_IN_MODULE = 3_000  # texts that a node has of one module, likewise
_ROUNDS = 4  # in which names get values that are made of their own
_LONGEST = 4096  # bytes of a path
_LONGEST_TEXT = 50_000  # letters of a text that is put together
_WORD = re.compile(r"\w{2,30}")
_WRITES = ("written", "appended")  # uses of a file whose name may be any word
_MOVING = ("os.chdir", "os.fchdir", "contextlib.chdir")
_FEW = 12  # words of a text in which one may be the folder of another
_SPLIT = re.compile(r"""(?:[\s;|&<>()\[\]'"=,]|\$\w*\$)+""")
_STRINGS = re.compile(r"""'((?:[^']|'')*)'|"((?:[^"]|"")*)\"""")
_QUOTED = re.compile(r"""(\b(?:from|join)\s+|\b\w+\s*\(\s*\[?\s*)?(?:'([^']*)'|"([^"]*)")""", re.IGNORECASE)
_COPIED = re.compile(r"\bto\s+'([^']*)'", re.IGNORECASE)
_COMPUTED_TABLE = re.compile(rf"\b(?:from|join)\s+{ANY}", re.IGNORECASE)
_TABLE_VALUE = re.compile(r"\b(?:(?:from|join)\s+|read_\w+\s*\(\s*\[?\s*)[?$]", re.IGNORECASE)  # a value of the query
_LOCAL = re.compile(r"^(?:file://|(?:sqlite|duckdb)(?:\+\w+)?:///)(?=.)")
_NO_NAME = re.compile(r"://|[\0\n]|^[./]*$|^:memory:$")
_ANYWHERE = re.compile(r"/?\*|/+(?:proc|sys|dev)(?:/|$)")  # how names begin that tell nothing, or are of the system


class _Values:
    """Looks up the values of terms in the statements that one node reaches."""

    def __init__(self, found: Sequence[Findings], start: str, arguments: Mapping[str, Any]) -> None:
        self._bound: dict[str, list[Term]] = {}
        for terms in found:
            for key, term in terms.bound:
                self._bound.setdefault(key, []).append(term)
        functions = {key for terms in found for key in terms.functions}
        for key, others in {key: others for terms in found for key, others in terms.passed if key in functions}.items():
            self._bound.setdefault(f"{key}#*", []).extend((UNKNOWN, others))
        for key in [key for key in self._bound if key.startswith(f"{start}.")]:
            name = key.removeprefix(f"{start}.")
            if name in arguments:
                self._bound[key] = [text_of(text) for text in texts_in(arguments[name])]
            elif all(term.op == "soft" for term in self._bound[key]):
                self._bound[key] = [NO_FILE if name == "context" else text_of(INPUT)]
        self._is_bound: dict[str, bool] = {}
        self._values: dict[str, KeysView[str]] = {}

    def paths(self) -> Set[str]:
        """Return the names that may have the name of a file as a value."""
        left: list[str] = []
        users: dict[str, list[str]] = {}
        bound = self._bound
        for key, terms in bound.items():
            for term in terms:
                if term.is_path:
                    left.append(key)
                for name in term.names:
                    if name in bound:
                        users.setdefault(name, []).append(key)
        found = set(left)
        while left:
            more = [key for key in users.get(left.pop(), ()) if key not in found]
            found.update(more)
            left += more
        return found

    def solve(self, terms: Iterable[Term]) -> None:
        """Find the values of all names that the terms need."""
        needed: dict[str, Mapping[str, None]] = {}
        order: dict[str, int] = {}  # what is needed comes first, but in circles
        left = [(key, False) for term in terms for key in self._needed(term)]
        while left:
            key, is_done = left.pop()
            if is_done:
                order[key] = len(order)
            elif key not in needed:
                needed[key] = dict.fromkeys(other for term in self._bound[key] for other in self._needed(term))
                left.append((key, True))
                left += [(other, False) for other in needed[key]]
        dirty = {key for key in order if self._is_new(key) and any(order[k] >= order[key] for k in needed[key])}
        for i in range(_ROUNDS):
            changed = set[str]()
            for key in order:
                is_dirty = key in dirty or any(other in changed for other in needed[key])
                if is_dirty and self._is_new(key, i):
                    changed.add(key)
            dirty = {key for key in order if any(other in changed for other in needed[key])}
            if not dirty:
                break

    def _is_new(self, key: str, turn: int = 0) -> bool:
        """Find the values of a name; return whether there are others than before.

        A value that begins as another one of before grows in a circle: what it grows by stands for anything.
        """
        found = _few([text for term in self._bound[key] for text in self.texts(term)])
        before = self._values.get(key)
        if before is not None and turn:
            is_last = turn == _ROUNDS - 1
            lengths = {len(text) for text in before}
            starts = {text: {text[:n] for n in lengths} & before for text in found if text not in before}
            grown = {text for text in starts if starts[text] or is_last}
            if grown:
                begun = sorted({start.partition(ANY)[0] for text in grown for start in starts[text]})
                ends = [end for start in begun if start for end in (f"{start}{ANY}", f"{start.rstrip('/')}/{ANY}")]
                kept = [text for text in starts if is_last or text not in grown]
                found = _few([*before, *kept, *ends, *([ANY] * is_last)])
        self._values[key] = dict.fromkeys(found).keys()
        return before is None or before != self._values[key]

    def _needed(self, term: Term) -> list[str]:
        return [name for name in term.names if self._has(name)]

    def _has(self, key: str) -> bool:
        """Return whether a name has a value, and not only arguments that nothing passes."""
        if key not in self._is_bound:
            self._is_bound[key] = False
            terms = self._bound.get(key, ())
            self._is_bound[key] = any(term.op != "soft" or any(map(self._has, term.keys)) for term in terms)
        return self._is_bound[key]

    def texts(self, term: Term) -> Collection[str]:
        """Return the values that a term may have."""
        op, parts, keys = term.op, term.parts, term.keys
        if op == "text":
            return keys
        if op == "key":
            return self._values.get(keys[0], ()) if self._has(keys[0]) else (ANY,)
        if op == "any":
            return [text for part in parts for text in self.texts(part)]
        if op == "soft":
            return [text for key in keys if self._has(key) for text in self._values.get(key, ())]
        if op == "attr":
            return self._attribute(keys[0], parts[0])
        if op == "read":
            return [READ if all(".sql" in text for text in self.texts(parts[0])) else ANY]
        if op == "edited":  # by a method of texts
            if self._has(keys[0]) or any(text != READ for text in self.texts(parts[0])):
                return self._attribute(keys[0], UNKNOWN)
            return [READ, *(text for part in parts[1:] for text in self.texts(part))]
        if op == "sum":
            return self._joined(parts, "".join)
        if op == "path":
            return self._joined(parts, _path)
        if op == "up":
            found = self.texts(parts[0])
            for _ in parts:
                found = [_path([*PurePath(path).parts[:-1]] or ["."]) for path in found]
            return found
        if op.startswith("with_"):
            cut = r"\.[^./]*$" if op == "with_suffix" else "[^/]*$"
            kept = Term("any", [text_of(re.sub(cut, "", path)) for path in self.texts(parts[0])])
            return self._joined([kept, parts[1], *([UNKNOWN] if op == "with_stem" else ())], "".join)
        if op == "slice" and parts[0].op in ("text", "sum", "path"):  # of a text, not of a list
            folders = dict.fromkeys(text.rpartition("/")[0] for text in self.texts(parts[0]))
            return [ANY, *(f"{folder}/{ANY}" for folder in folders if folder and folder[0] != ANY)]
        found = [text.replace(INPUT, ANY) for text in self.texts(parts[0])]  # an item or a slice
        letters = (text for text in found if parts[0].op != "any" and _WORD.fullmatch(text))  # it may be of a text
        return [*found, *{letter for text in letters for letter in text}]

    def _attribute(self, key: str, owner: Term) -> Collection[str]:
        found = [*(self._values.get(key, ()) if self._has(key) else ()), *self._values.get(".*", ())]
        texts = self.texts(owner)
        if key in (".value", ".path"):  # of an enum, and of an entry of a folder
            return [*found, *(text.replace(INPUT, ANY) for text in texts)]
        # What is not an object of the project may have any attributes.
        is_known = not any(text in (ANY, INPUT) for text in texts) and (found or not texts) and key != ".env"
        return found if is_known or (key.endswith("()") and found) else [*found, ANY]

    def _joined(self, parts: Sequence[Term], join: Any) -> Collection[str]:
        choices = [(ANY,) if part.op == "slice" else self.texts(part) for part in parts]
        if not choices or not choices[0]:
            return ()
        choices = [[text.replace(INPUT, ANY).replace(READ, ANY) for text in texts] or [ANY] for texts in choices]
        while prod(map(len, choices)) > _MOST:
            longest = max(range(len(choices)), key=lambda at: len(choices[at]))
            choices[longest] = [ANY]
        if sum(max(map(len, texts)) for texts in choices) > _LONGEST_TEXT:
            return (ANY, *(text for texts in choices for text in texts if len(text) <= _LONGEST))
        return list(dict.fromkeys(map(join, product(*choices))))


def _few(texts: Collection[str], most: int = _MOST) -> Collection[str]:
    """Return texts without duplicates. If there are too many, return their words up to the first unknown part."""
    found = dict.fromkeys(texts)
    if len(found) > most:
        found = dict.fromkeys([ANY, *(word for text in found for word in _words(text))])
    return [*found] if len(found) <= 2 * most else [ANY]


@lru_cache(100_000)  # much code has the same texts in many names
def _words(text: str) -> list[str]:
    """Return the words of a text that may name files, each up to its first unknown part."""
    words = (word.partition(ANY) for word in _SPLIT.split(text))
    return [f"{known}{hole}" for known, hole, _ in words if "/" in known or "." in known]


def _path(parts: Sequence[str]) -> str:
    found = str(PurePath(*parts))
    return found if "/" in found or found[:1] in (ANY, "~") else f"./{found}"


class NodeFiles:
    """Finds the files that a function may name, read or write, and the calls whose paths are not known.

    `found` is what all statements show that the function `start` ("steps:load") reaches, and `arguments` are the values
    that it is called with.
    """

    def __init__(self, code: Fingerprints, found: Sequence[Findings], start: str, arguments: Mapping[str, Any]) -> None:
        self._code, self._found, self._arguments = code, found, arguments
        self._is_moving = False  # it changes the working directory
        self._values = _Values(found, start, arguments)
        self._files: dict[str, None] = {}
        self._copied: list[str] = []  # what queries write
        self._unknown: dict[CodeFact, None] = {}
        self._unknown_outputs: dict[CodeFact, None] = {}
        self._commands: list[Command] = []
        self._around: dict[str, set[str]] = {}  # by module, its folder, that of the pipeline, and those above them

    def added_to(self, facts: CodeFacts) -> CodeFacts:
        """Return the facts of the function with those about files."""
        self._is_moving = any(fact.what in _MOVING for fact in facts.global_state)
        calls = [call for terms in self._found for call in terms.calls]
        starts_processes = any(call.kind == "processes" for call in calls)
        calls = [call for call in calls if starts_processes or call.kind != "opener"]
        if any(call.method for call in calls):
            libraries = {name for terms in self._found for name in terms.libraries}
            modules = {*libraries, *(name.rpartition(".")[0] for name in libraries)}
            calls = [call for call in calls if not call.method or may_be_of(call.method, modules)]
        paths = self._values.paths()
        uses = [
            (how, module, term)
            for terms in self._found
            for how, module, term in terms.named
            if term.is_path or how in _WRITES or not paths.isdisjoint(term.names)
        ]
        in_calls = [part for call in calls for part in (call.reads, call.writes, *call.words, call.folder) if part]
        self._values.solve([*(term for _, _, term in uses), *in_calls])
        for call in calls:
            self._take(call)
        texts: dict[tuple[str, str], dict[str, None]] = {}  # by use and module
        for how, module, term in uses:
            texts.setdefault((how, module), {}).update((text, None) for text in self._values.texts(term))
        named: dict[str, dict[str, None]] = {"": {}, "whole": {}, "seen": {}, "written": {}, "appended": {}}
        for (how, module), used in texts.items():
            is_written = how in _WRITES
            few = _few(used, _MOST_IN_MODULE)
            names = self._beside(few, module) if is_written else self._names(few, module, is_whole=how == "whole")
            named[how].update((name, None) for name in names)
        named[""].update((name, None) for name in self._names(texts_in(self._arguments), ""))
        # Which of the files of a pattern Python opens is seen when it does.
        named[""].update((name, None) for name in named["seen"] if starts_processes or not has_magic(name))
        appended = named["appended"].keys()
        return replace(
            facts,
            files=list(self._files),
            named=[
                name
                for name in {**named[""], **named["whole"]}
                if name.rstrip("/") not in appended and f"{name}/" not in named["whole"]
            ],
            unknown_files=list(self._unknown),
            written=[*named["written"], *self._copied],
            unknown_outputs=list(self._unknown_outputs),
            commands=self._commands,
            asks_times=any(terms.asks_times for terms in self._found),
        )

    # -- names ---------------------------------------------------------------------------------------------------------

    def _names(self, texts: Iterable[str], module: str, *, is_whole: bool = False) -> Iterator[str]:
        """Yield the names of files in texts, also below the folder of a module; those of folders end in a slash."""
        names: dict[str, None] = {}
        for text in texts:
            is_one = is_whole or (ANY in text and len(names) > _MOST_IN_MODULE)
            names.update((name, None) for name in names_in(text, alone=is_one))
        for path in self._beside(names, module):
            if not path.endswith((".py", ".pyc")) and not self._is_around(path, module):
                yield f"{path.rstrip('/')}/" if is_whole and not has_magic(path) else path

    def _beside(self, texts: Iterable[str], module: str) -> Iterator[str]:
        """Yield the names as they are, and below the folder of the module."""
        base, folder = f"{self._code.folder}/", self._folder_of(module)
        below = "" if folder == self._code.folder else f"{folder}/".removeprefix(base)
        for name in dict.fromkeys(map(_finished, texts)):
            if name and len(name) <= _LONGEST and not _ANYWHERE.match(name) and not _NO_NAME.search(name):
                names = [name, os.path.normpath(name)] if "/../" in name else [name]  # either, as `..` may leave a link
                if below and name[0] != "/":
                    names += [f"{below}{path.removeprefix('./')}" for path in names]
                yield from (path.removeprefix(base) or "." for path in names)

    def _folder_of(self, module: str) -> Path:
        file = self._code.source.file_of(module) if module else None
        return file.parent if file is not None else self._code.folder

    def _is_around(self, path: str, module: str) -> bool:
        """Return whether a path is the folder of the module or of the pipeline, one above it, or all in such a one."""
        if module not in self._around:
            own = (self._code.folder, self._folder_of(module))
            self._around[module] = {str(folder) for each in own for folder in (each, *each.parents)}
        whole = path if path[0] == "/" else f"{self._code.folder}/{path}"
        return os.path.normpath(whole.rstrip("*/")) in self._around[module]

    # -- calls that use files unseen -----------------------------------------------------------------------------------

    def _take(self, call: NativeCall) -> None:
        if call.kind == "command":
            self._take_command(call)
        reads = None if call.reads is None else self._values.texts(call.reads)
        writes = None if call.writes is None else self._values.texts(call.writes)
        if call.kind == "query" and reads is not None:
            queries = [text for text in reads if re.match(r"\s*(?:copy|export)\b", text, re.IGNORECASE)]
            self._copied += self._beside([name for query in queries for name in _COPIED.findall(query)], call.module)
            values = [text for term in call.words for text in self._values.texts(term)]
            values = values if any(map(_TABLE_VALUE.search, reads)) else []
            reads = [name for text in reads if text != READ for name in _in_query(text)] + values
        self._add(reads, call, {} if call.method else self._files, self._unknown)
        self._add(writes, call, {}, self._unknown_outputs)

    def _add(
        self,
        texts: Collection[str] | None,
        call: NativeCall,
        known: dict[str, None],
        unknown: dict[CodeFact, None],
    ) -> None:
        if texts is None:
            return
        if any(text[:1] in (ANY, READ) or (INPUT in text and text != INPUT) for text in texts) or (
            self._is_moving and any(text[:1] not in ("", "/", "~") for text in texts)
        ):
            unknown[call.fact] = None
        known.update((name, None) for name in self._beside(texts, call.module))

    def _take_command(self, call: NativeCall) -> None:
        """Take a command: its words are names, and the scripts among them name files in turn."""
        words = [self._values.texts(term) for term in call.words]
        folders = [_finished(name) for name in self._values.texts(call.folder) if name[:1] != ANY]
        split = [word for texts in words for text in texts for word in re.split(r"[\s;|&<>()'\"=]+", text)]
        self._add(
            [*split, *(str(PurePath(at, word)) for at in folders for word in split)], call, self._files, self._unknown
        )
        if call.fact in self._unknown:
            return
        texts = [text for texts in words for text in texts]
        text = shlex.join(texts) if len(words) > 1 else " ".join(texts)
        places = dict.fromkeys(["", str(self._folder_of(call.module))])
        inner = [str(PurePath(folder, name)) for name in folders for folder in places]
        self._commands.append(Command(_finished(text), list(dict.fromkeys([*places, *inner]))))


def _finished(path: str) -> str:
    """Return a path with `*` for unknown parts."""
    path = re.sub(f"(?<=/){ANY}(?=/|$)", "**", path).replace(ANY, "*")
    return path.removeprefix("./") if len(path) > 2 else path


def _in_query(query: str) -> Iterator[str]:
    """Yield the names of files in a query; one that is not known if the query computes a table."""
    if query[:1] == ANY or _COMPUTED_TABLE.search(query):
        yield ANY
    for match in _QUOTED.finditer(_COPIED.sub("", query)):
        name = match[2] or match[3] or ""
        if match[1] is not None or re.search(rf"^[^*{ANY}]+[./]", name):
            yield name


@lru_cache(maxsize=20_000)
def names_in(text: str, *, alone: bool = False) -> Sequence[str]:
    """Return what may be the name of a file in a text: all of it, a quoted part, or a word, also below another one.

    `alone`: not below another word of the text.
    """
    text = _LOCAL.sub("", text)
    words = [text]
    if _SPLIT.search(text):
        strings = (single.replace("''", "'") or double.replace('""', '"') for single, double in _STRINGS.findall(text))
        words = [*strings, *_SPLIT.split(text)] if "'" in text or '"' in text else [text, *_SPLIT.split(text)]
    names = dict.fromkeys(word for word in words if "." in word or "/" in word)
    near = words if not alone and 1 < len(words) <= _FEW else []
    folders = [word for word in near if re.fullmatch(r"[\w./-]*\w[\w./-]*", word)]
    names.update((f"{folder}/{name}", None) for name in list(names) for folder in folders if name != folder)
    return list(names)


def texts_in(value: Any) -> list[str]:
    """Return all texts and numbers in a value of a pipeline file."""
    if isinstance(value, str | int | float):
        return [str(value)]
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [text for part in inner for text in texts_in(part)]
