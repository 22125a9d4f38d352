"""Finds files that the script of one node makes and another node names, although neither waits for the other.

In a Makefile the name of a file joins two rules. Here only `inputs` and `needs` do, so the second may read an old file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from glob import has_magic
from pathlib import Path
from typing import NamedTuple

from nfrun.core.pipeline import NodeSpec
from nfrun.nodes.folders import from_base
from nfrun.nodes.registry import kind_of

_MAKES = (">", "tee", "touch", "truncate", "-o", "-O", "--out", "of=")  # without one of these a script makes no file


class Unwaited(NamedTuple):
    """A file that the script of the node `writer` makes, and that the node `reader` names."""

    reader: NodeSpec
    file: str
    writer: NodeSpec


def unwaited_files(nodes: Mapping[str, NodeSpec], folder: Path) -> Iterator[Unwaited]:
    """Yield each such file once for two nodes of the pipeline in `folder`; of the scripts of a matrix, that of
    its first cell counts.

    A file that the reader makes too, as scratch files are, and a word that is no path for sure are left out.
    """
    firsts: dict[str, NodeSpec] = {}
    for spec in nodes.values():
        if spec.kind and spec.body:
            firsts.setdefault(spec.declared, spec)
    made = {name: _made(spec, folder) for name, spec in firsts.items()}
    writers: dict[str, list[str]] = {}
    for name, files in made.items():
        for file in files:
            writers.setdefault(file, []).append(name)
    named = {name: _named(spec, folder) - made[name] for name, spec in firsts.items()} if writers else {}
    readers: dict[str, set[str]] = {}  # those that wait for a node at once, under the names that the file has
    for spec in nodes.values() if any(files & writers.keys() for files in named.values()) else ():
        for upstream in spec.upstream:
            if upstream in nodes:
                readers.setdefault(nodes[upstream].declared, set()).add(spec.declared)

    @cache
    def after(node: str) -> set[str]:
        """Return the nodes that wait for a node."""
        found: set[str] = set()
        level = readers.get(node, set())
        while level:
            found |= level
            level = {reader for name in level for reader in readers.get(name, ())} - found
        return found

    for name, files in named.items():
        for file in files:
            for writer in writers.get(file, ()):
                if name not in after(writer) and writer not in after(name):
                    yield Unwaited(firsts[name], file, firsts[writer])


def _made(spec: NodeSpec, folder: Path) -> set[str]:
    if not kind_of(spec).runs.is_process or not any(sign in spec.body for sign in _MAKES):
        return set()
    words = set(kind_of(spec).outside.named(spec))  # none after a `cd`
    if not words:
        return set()
    from nfrun.nodes.shell import script_commands
    from nfrun.nodes.texts.script_words import made_words

    found = [word for command in script_commands(spec) for word in made_words(command) if word in words]
    return _paths(spec, folder, found)


def _named(spec: NodeSpec, folder: Path) -> set[str]:
    return _paths(spec, folder, [*kind_of(spec).outside.named(spec), *spec.files])


def _paths(spec: NodeSpec, folder: Path, words: list[str]) -> set[str]:
    """Return the words that are paths of files, relative to the folder of the pipeline where they are below it."""
    renamed = from_base(spec)
    paths = (word for word in words if ("/" in word or "." in word) and word[0] not in "-$" and not has_magic(word))
    found = {os.path.normpath(renamed(path)).removeprefix(f"{folder}{os.sep}") for path in paths if path[-1] != "/"}
    return {path for path in found if path not in (".", "..") and not path.startswith("/dev/")}
