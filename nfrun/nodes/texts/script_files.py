"""Finds the files that a script could name, and those that its own scripts name or import in turn. Runs nothing.

A word or a quoted text counts if there is such a file, folder or pattern in the pipeline's folder, beside the script,
or in a folder that any of the texts names. If unsure, it finds a file too many. It misses names that are computed as a
whole.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from glob import has_magic
from pathlib import Path

from nfrun.code.names_reader import parse
from nfrun.code.watch.counted_files import CountedFiles
from nfrun.nodes.base import NamedFiles
from nfrun.nodes.texts.script_words import OWN, Command, commands, made_words, read_variables
from nfrun.system.file_search import find_files, name_below

MOST_FILES = 1_000
_LONGEST = 4_096  # bytes of a path
_LARGEST = 4_000_000  # bytes of a script that is read for names; of a file without an ending, a tenth
_CODE = re.compile(r"\.(?:py|(?:ba|z|k|)sh|pl|rb|jl|[rR]|js|mjs|ts|awk|sed|mk|[ch](?:c|h|pp|xx)?|cuh?)")
_COPIERS = re.compile(r"(?:.*/)?(?:cp|mv|ln|install|rsync)")  # these write the file that their last word names
_CHMOD = re.compile(r"\b(?:chmod|chown|chgrp|setfacl|setfattr|ln)\b")
_SPLIT = re.compile(r"[\s=:,@\[\]{}]+")
_IMPORT = re.compile(r"(?:\bfrom\s+([.\w]+)\s+)?\bimport\s+([\w.][\w., ]*)|-m\s+([\w.]+)")
_PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[-+#0]*\d*(?:\.\d+)?[sdifr]|\{\w*[^{}]*\}")  # of `%` and `format`
_MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
_PACKAGE = ("__init__.py", "__main__.py")
_PATHS = re.compile(r"(?:PYTHON)?PATH=")  # lists of folders of which not all counts
_OURS = re.compile(r"NFRUN_(?:INPUT|OUTPUT)")


class _TooManyFiles(Exception):
    """A script names more than MOST_FILES files."""


def script_files(
    text: str, variables: Mapping[str, str], folder: Path, places: Iterable[str] = (), what: str = "its script"
) -> NamedFiles:
    """Return the files that the text of a script names, with an obstacle if there are too many.

    `variables` are those of its environment that are known; their values may name files too. `places` are other folders
    that it may start in, and `what` is the text for the obstacle. Names are relative to the folder of the pipeline, and
    absolute outside of it.
    """
    search = _Search(folder, variables)
    try:
        for place in places:
            search.enter(place)
        search.search(text)
    except _TooManyFiles:
        return NamedFiles(obstacle=f"{what} names more than {MOST_FILES:,} files: name them under 'files'")
    return search.found


class _Search:
    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = os.path.abspath(folder)
        self.variables = variables
        self.found = NamedFiles()
        self.left: list[str] = []  # files that were not read yet
        self.places = [self.folder]  # where names are looked for

    @cached_property
    def counts(self) -> Callable[[str], bool]:  # only made for scripts that name files
        return CountedFiles(Path(self.folder), [Path(self.folder, ".nfrun")]).counts

    def search(self, text: str) -> None:
        for place in (self.variables.get("PATH") or os.environ.get("PATH", "")).split(":"):
            if place and (not place.startswith("/") or place.startswith(f"{self.folder}/")):
                self.enter(place)  # with tools of the project
        for name, value in self.variables.items():
            for word in value.split(":"):
                self.enter(word)
            if not _PATHS.match(f"{name}="):
                self.text(value, self.places)
        self.found.variables.update(read_variables(text))
        self.text(text, self.places)
        while self.left:
            self.follow(self.left.pop())

    def follow(self, path: str) -> None:
        """Read a file, and look for the names in it if it is code."""
        ending = os.path.splitext(path)[1]
        try:
            if os.stat(path).st_size > (_LARGEST if ending else _LARGEST // 10) or not _CODE.fullmatch(ending or ".sh"):
                return
            content = Path(path).read_bytes()
        except OSError:
            return
        self.found.variables.update(read_variables(content.decode(errors="surrogateescape")))
        above = [folder for folder in map(str, Path(path).parents) if folder.startswith(self.folder)]
        beside = [os.path.dirname(path), *above]
        if ending in (".py", ""):
            with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                return self.python(parse(content), beside)
        self.text(re.sub(rb"#(\s*include)", rb"\1", content).decode(errors="surrogateescape"), beside)

    def text(self, text: str, beside: Iterable[str]) -> None:
        """Look for the names in a shell script or code of another language. `beside` are the folders around it."""
        found = [command for command in commands(text, self.variables) if command.words[:2] != ["tee", "-a"]]  # a log
        words = dict.fromkeys(word for command in found for word in command.words if not _OURS.search(word))
        places = list(dict.fromkeys([*beside, *self.places]))
        words |= dict.fromkeys(_MAKEFILES) if "make" in words else {}  # which it reads without being told
        for word in words:
            for part in (word, *_SPLIT.split(word)):
                self.enter(re.sub(r"^-[A-Z]", "", part.replace(OWN, ".")))
        for word in words:
            for each in {word, _PLACEHOLDER.sub("*", word)} if not _PATHS.match(word) else ():
                self.name(each, [*places, *self.places])
        for package, names, whole in _IMPORT.findall(text):
            for name in _SPLIT.split(names):
                self.module(f"{package}.{name}" if package else name, [*places, *self.places])
            if whole:
                self.module(whole, [*places, *self.places], whole=True)
        for command in found:
            self.found.written.update(map(os.path.normpath, _written(command)))
        self.found.has_chmod |= _CHMOD.search(text) is not None

    def python(self, tree: ast.Module, beside: list[str]) -> None:
        """Look for the files that a Python script names, and for its imports."""
        left: list[ast.AST] = [tree]
        while left:
            node = left.pop()
            if isinstance(node, ast.Call) and _appends(node):
                continue  # to a log: what is in it does not matter to the script
            text = _text(node)
            # Not the parts of a text: the file is `data/x.csv`, and not the folder `data`.
            left.extend(part for part in ast.iter_child_nodes(node) if not (text and _text(part)))
            places = list(dict.fromkeys([*self.places, *beside]))
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self.module(alias.name, [*beside, *self.places])
            elif isinstance(node, ast.ImportFrom):
                above = beside[node.level - 1 : node.level] if node.level else [*beside, *self.places]
                for name in ("", *(alias.name for alias in node.names)):
                    self.module(f"{node.module or ''}.{name}", above)
            for each in {text, _PLACEHOLDER.sub("*", text)} if text else ():
                self.name(each, places)
                if " " in text.strip():  # may be a command
                    for command in commands(each, self.variables):
                        for word in command.words:
                            self.name(word, places, folders=False)
                elif text.replace(".", "_").isidentifier():  # as in import_module("helpers")
                    self.module(text, places)

    def enter(self, word: str) -> None:
        """Look for names in a folder, too, if the word is one."""
        if len(word) <= _LONGEST and "*" not in word and re.search(r"\w|\.\.", word):
            for place in list(self.places):
                with suppress(ValueError):
                    folder = f"/{os.path.normpath(os.path.join(place, word)).lstrip('/')}"
                    if folder in self.places or not os.path.isdir(folder):
                        continue
                    if folder != "/" and self.counts(os.path.join(os.path.realpath(folder), "x")):
                        self.places.append(folder)

    def name(self, word: str, places: Iterable[str], *, folders: bool = True) -> None:
        """Add the files that a word names: as a whole, or in a part, such as `--config=conf.yaml`."""
        for name in dict.fromkeys((word, *_SPLIT.split(word))):
            if len(name) <= _LONGEST and re.search(r"\w", name) and name[0] != "-" and "\n" not in name:
                rest = re.sub(rf"^[*{OWN}]+/", "", name)  # in a folder that the script computes
                for place in dict.fromkeys(places):
                    with suppress(OSError, ValueError):
                        for each in {rest, name} if OWN not in name[:1] else {rest}:
                            self.find(each.replace(OWN, "*"), place, folders)

    def find(self, name: str, place: str, folders: bool) -> None:
        folders = folders and not name.endswith("/..")  # where a script is: what it reads there has a name too
        name = os.path.normpath(name) if "/.." in name else name  # what is before `..` may be a file
        path = os.path.join(place, os.path.expanduser(name))
        if os.path.isfile(path):
            self.add(path)
        elif not os.path.normpath(path).startswith(f"{self.folder}/"):
            return  # folders are looked into only below that of the pipeline
        elif (folders and os.path.isdir(path)) or (has_magic(name) and re.search(r"[^\W_]", name)):
            paths = find_files(name, Path(place)).values()
            if len(paths) > MOST_FILES:
                raise _TooManyFiles
            for each in paths:
                self.add(str(each), by_pattern=True)

    def add(self, path: str, *, by_pattern: bool = False) -> None:
        path = os.path.normpath(path)
        name = name_below(self.folder, path)
        if name not in self.found and self.counts(path):
            self.found[name] = Path(path)
            self.left.append(path)
            if by_pattern:
                self.found.by_pattern.add(name)
            if len(self.found) > MOST_FILES:
                raise _TooManyFiles
        elif not by_pattern:
            self.found.by_pattern.discard(name)

    def module(self, module: str, places: Iterable[str], *, whole: bool = False) -> None:
        """Add the files of a module and of the packages around it; with `whole`, all modules of its first package."""
        steps = [step for step in module.split(".") if step]
        for place in dict.fromkeys(places):
            if whole and steps and os.path.isdir(os.path.join(place, steps[0])):
                for inner in find_files("**/*.py", Path(place, steps[0])).values():
                    self.add(str(inner), by_pattern=True)
            for length in range(len(steps) + 1):
                path = os.path.join(place, *steps[:length])
                for file in (f"{path}.py",) * (length > 0) + tuple(os.path.join(path, name) for name in _PACKAGE):
                    if os.path.isfile(file):
                        self.add(file)


def _written(command: Command) -> Iterator[str]:
    """Yield the words of a command that it seems to write to."""
    yield from made_words(command)
    words = command.words
    if words[:1] == ["sed"] and any(word.startswith("-i") for word in words):
        yield from words[1:]
    elif words and _COPIERS.fullmatch(words[0]):
        yield words[-1]
        yield from (os.path.join(words[-1], word.rpartition("/")[2]) for word in words[1:-1])


def _appends(call: ast.Call) -> bool:
    """Return whether a call opens a file to append to it, such as `open("x.log", "a")`."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    is_method = isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") not in (
        "io",
        "codecs",
        "gzip",
    )
    first = 0 if is_method else 1  # the mode is the second argument of functions
    modes = [*call.args[first : first + 1], *(word.value for word in call.keywords if word.arg == "mode")]
    is_append = any(isinstance(mode, ast.Constant) and mode.value in ("a", "at", "ab") for mode in modes)
    return (name == "open" and is_append) or name in ("FileHandler", "basicConfig")  # of `logging`


def _text(node: ast.AST) -> str:
    """Return the text that an expression has as its value, with `*` for computed parts; "" if it is no text."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) or "*" for part in parts)
        case ast.BinOp(left=left, op=ast.Add() | ast.Mod(), right=right):
            first, second = _text(left), _text(right)
            return f"{first or '*'}{second or '*'}" if first or second else ""
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _joined([left, right])
        case ast.Call(func=ast.Attribute(attr="join" | "joinpath") | ast.Name(id="join" | "Path" | "PurePath")):
            return _joined(node.args)
        case ast.Call(func=ast.Attribute(attr="Path" | "PurePath")):
            return _joined(node.args)
    return ""


def _joined(parts: list[ast.expr]) -> str:
    """Return a path. What is computed at its beginning, such as the script's folder, is left out."""
    texts = [_text(part) for part in parts]
    while texts and not texts[0]:
        del texts[0]
    return "/".join(text.rstrip("/") or "*" for text in texts)
