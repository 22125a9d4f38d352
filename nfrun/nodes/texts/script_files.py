"""Finds the files that a script names, and those that its own scripts name or import in turn, or C files include.

It runs nothing. If unsure, it finds a file too many. It misses names that are computed as a whole.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from glob import has_magic
from itertools import product
from pathlib import Path

from nfrun.code.watch.counted_files import CountedFiles
from nfrun.nodes.base import NamedFiles
from nfrun.nodes.texts.python_scripts import ScriptNames, names_in_python
from nfrun.nodes.texts.shell_words import Command, commands, here_documents
from nfrun.system.file_search import find_files, name_below

MOST_FILES = 1_000
_LONGEST = 4_096  # bytes of a path
_LARGEST = 4_000_000  # bytes of a script that is read for names
_SHELL_ENDINGS = (".sh", ".bash", ".zsh", ".ksh")
_SHELL = re.compile(r"(?:ba|z|da|k|)sh|source|\.")
_PYTHON = re.compile(r"(?:python|pypy)[\d.]*w?")
_WRITERS = re.compile(r"tee|touch|truncate")  # these commands write the files that they name
_COPIERS = re.compile(r"cp|mv|ln|install|rsync")  # these commands write the file that their last word names
_TOUCHERS = re.compile(r"chmod|chown|chgrp|setfacl|setfattr|ln")  # these change the times of what they name
_OUTPUT = re.compile(r"-o|-O|--out[\w-]*|of")
_READ_UNNAMED = {"make": ("GNUmakefile", "makefile", "Makefile")}  # what commands read without being told
_SPLIT = re.compile(r"[=:,@\[\]{}]")
_C = (".c", ".h", ".cc", ".hh", ".cpp", ".hpp", ".cxx", ".hxx", ".cu", ".cuh")
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.MULTILINE)
_PACKAGE = ("__init__.py", "__main__.py")
_OWN = re.compile(r"\$\{?NFRUN_(?:INPUT|OUTPUT)")


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
        search.enter(*places)
        search.search(text)
    except _TooManyFiles:
        return NamedFiles(obstacle=f"{what} names more than {MOST_FILES:,} files: name them under 'files'")
    return search.found


class _Search:
    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = os.path.abspath(folder)
        self.variables = {**variables, "PWD": "."}
        self.found = NamedFiles()
        self.left: list[tuple[str, str]] = []  # scripts that were not read yet, each with its language, "" if unknown
        self.headers: list[str] = []  # folders that `-I` names
        self.places = [self.folder]  # where names are looked for: where the script starts, and where it changes to

    @cached_property
    def counts(self) -> Callable[[str], bool]:  # only made for scripts that name files
        return CountedFiles(Path(self.folder), [Path(self.folder, ".nfrun")]).counts

    def search(self, text: str) -> None:
        self.enter(*self.variables.get("PYTHONPATH", "").split(":"))
        self.shell(text, None)
        for name, value in self.variables.items():
            if name != "PYTHONPATH":
                self.shell(value, None)
        for document in here_documents(text):
            if names := names_in_python(document):
                self.python(names, None)
        while self.left:
            self.follow(*self.left.pop())

    def shell(self, text: str, script: str | None) -> None:
        """Look for the names in a shell script. `script` is its file, None for the node's own text."""
        beside = [os.path.dirname(script)] if script else []
        own_name = script or "./sh"  # in the folder of the pipeline
        for command in commands(text, {**self.variables, "0": own_name, "BASH_SOURCE": own_name}):
            if command.words[:2] == ["tee", "-a"]:
                continue  # a log
            language = ""
            for previous, word in zip(["", *command.words], command.words, strict=False):
                if previous in ("cd", "pushd", "-C"):
                    self.enter(word)
                elif previous == "-I" or word.startswith("-I"):
                    self.headers.append(os.path.join(self.folder, word.removeprefix("-I")))
                elif word.startswith("PYTHONPATH="):
                    self.enter(*word.removeprefix("PYTHONPATH=").split(":"))
                    continue
                name = word.rpartition("/")[2]
                if language == "python" and previous == "-m":
                    self._module(word, self.places, whole=True)
                elif language == "python" and previous == "-c" and (names := names_in_python(word)):
                    self.python(names, None)
                language = "python" if _PYTHON.fullmatch(name) else "shell" if _SHELL.fullmatch(word) else language
                self._name(word, [*self.places, *beside], language)
            for word in _READ_UNNAMED.get(command.words[0].rpartition("/")[2], ()) if command.words else ():
                self._name(word, self.places, "shell")
            self.found.written.update(map(os.path.normpath, _written(command)))
            if any(_TOUCHERS.fullmatch(word.rpartition("/")[2]) for word in command.words):
                self.found.touched.update(map(os.path.normpath, filter(None, command.words)))

    def python(self, names: ScriptNames, script: str | None) -> None:
        """Look for what a Python script names. `script` is its file, None for code in the node's own text."""
        beside = [os.path.dirname(script)] if script else []
        places = list(dict.fromkeys([*self.places, *beside]))
        for text in names.texts:
            self._name(text, places, "")
            if " " in text.strip():  # may be a command
                for command in commands(text, self.variables):
                    for word in command.words:
                        self._name(word, places, "", folders=False)
        for module in names.modules:
            dots = len(module) - len(module.lstrip("."))
            above = [str(Path(script).parents[dots - 1])] if dots and script else [*beside, *self.places]
            self._module(module[dots:], above)

    def follow(self, path: str, language: str) -> None:
        """Read a file, and look for the names in it if it is a script."""
        try:
            if os.stat(path).st_size > _LARGEST:
                return
            content = Path(path).read_bytes()
        except OSError:
            return
        first = content.partition(b"\n")[0].decode("latin-1") if content.startswith(b"#!") else ""
        names = names_in_python(content) if path.endswith(".py") or "python" in first or language == "python" else None
        if names:
            self.python(names, path)
        elif path.endswith((*_SHELL_ENDINGS, ".py")) or re.search(r"sh\b", first) or language == "shell":
            self.shell(content.decode(errors="surrogateescape"), path)
        elif path.endswith(_C):
            for name in _INCLUDE.findall(content.decode(errors="surrogateescape")):
                for place in (os.path.dirname(path), *self.places, *self.headers):
                    if os.path.isfile(file := os.path.join(place, name)):
                        self._add(file, "")

    def enter(self, *words: str) -> None:
        for place, word in product(list(self.places), words):
            folder = os.path.normpath(os.path.join(place, word))
            if os.path.isdir(folder) and folder not in self.places:
                self.places.append(folder)

    def _name(self, word: str, places: Iterable[str], language: str, *, folders: bool = True) -> None:
        """Add the files that a word names: as a whole, or in a part, such as `--config=conf.yaml`."""
        if _OWN.search(word):
            return
        for name in dict.fromkeys((word, *_SPLIT.split(word))) if _SPLIT.search(word) else (word,):
            if len(name) <= _LONGEST and re.search(r"\w", name) and name[0] != "-" and "\n" not in name:
                for place in places:
                    with suppress(OSError, ValueError):
                        self._find(name, place, language, folders)

    def _find(self, name: str, place: str, language: str, folders: bool) -> None:
        folders = folders and not name.endswith("/..")  # where a script is: what it reads there has a name too
        name = os.path.normpath(name) if "/.." in name else name  # what is before `..` may be a file
        path = os.path.join(place, os.path.expanduser(name))
        if os.path.isfile(path):
            self._add(path, language)
        elif not os.path.normpath(path).startswith(f"{self.folder}/"):
            return  # folders are looked into only below that of the pipeline
        elif os.path.isdir(path):
            if folders:
                self._add_all(find_files(path, Path(place)).values(), language)
        elif has_magic(name) and re.search(r"[^\W_]", name):
            self._add_all(find_files(name, Path(place)).values(), language)

    def _add_all(self, paths: Collection[Path], language: str) -> None:
        if len(paths) > MOST_FILES:
            raise _TooManyFiles
        for path in paths:
            self._add(str(path), language, by_pattern=True)

    def _add(self, path: str, language: str, *, by_pattern: bool = False) -> None:
        path = os.path.normpath(path)
        name = name_below(self.folder, path)
        if name not in self.found and self.counts(path):
            self.found[name] = Path(path)
            self.left.append((path, language))
            if by_pattern:
                self.found.by_pattern.add(name)
            if len(self.found) > MOST_FILES:
                raise _TooManyFiles
        elif not by_pattern:
            self.found.by_pattern.discard(name)

    def _module(self, module: str, places: Iterable[str], *, whole: bool = False) -> None:
        """Add the files of a module and of the packages around it; with `whole`, all modules of its first package."""
        steps = [step for step in module.split(".") if step]
        for place in places:
            if whole and steps and os.path.isdir(package := os.path.join(place, steps[0])):
                self._add_all(find_files("**/*.py", Path(package)).values(), "python")
            for length in range(len(steps) + 1):
                path = os.path.join(place, *steps[:length])
                for file in (f"{path}.py",) * (length > 0) + tuple(os.path.join(path, name) for name in _PACKAGE):
                    if os.path.isfile(file):
                        self._add(file, "python")


def _written(command: Command) -> Iterator[str]:
    """Yield the words of a command that it seems to write to."""
    yield from made_words(command)
    words = command.words
    name = words[0].rpartition("/")[2] if words else ""
    if name == "sed" and any(word.startswith("-i") for word in words):
        yield from words[1:]
    elif _COPIERS.fullmatch(name):
        yield words[-1]
        yield from (os.path.join(words[-1], word.rpartition("/")[2]) for word in words[1:-1])


def made_words(command: Command) -> Iterator[str]:
    """Yield the words of a command that are files which it makes: by redirection, `tee`, `touch`, or after `-o`."""
    yield from command.written
    words = command.words
    if words and _WRITERS.fullmatch(words[0].rpartition("/")[2]):
        yield from words[1:]
    for option, word in zip(words, [*words[1:], ""], strict=False):
        first, is_set, value = option.partition("=")
        if _OUTPUT.fullmatch(first):
            yield value if is_set else word
