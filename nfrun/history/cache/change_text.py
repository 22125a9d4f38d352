"""Describes in words what changed of a node between two runs: its key inputs, and the files that its code read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nfrun.code.watch.seen_files import WORKING_DIRECTORY
from nfrun.core.text import shortened
from nfrun.history.cache.cache_key import KeyInputs
from nfrun.history.journal import RecordedNode

_SHOWN = {"package": "", "interpreter": "Python"}  # key inputs whose values are for people
_ITEMS = {
    "*": "the module {}",
    "**": "which modules there are below {}",
    "import": "what runs when {} is imported",
}
_WORDS = {
    "scheme": "how nfrun runs it",
    "node": "its name",
    "kind": "its kind",
    "text": "its text",
    "outputs": "the names of its outputs",
    "format": "its format",
    "map": "its 'map'",
    "schema": "its 'schema'",
    "order": "the order of its inputs or values",
    "code": "the function {}",
    "package": "the package {}",
    "interpreter": "the version of Python",
    "value": "the value '{}'",
    "setting": "the setting '{}'",
    "variable": "the variable {}",
    "cpus": "its number of threads",
    "zone": "the local time zone",
    "timezone": "the time zone of its queries",
    "cells": "the list of cells of the input '{}'",
    "input": "the input '{}'",
    "needs": "what '{}' depends on",
    "file": "the file {}",
}


def entry_changes(before: RecordedNode, now: RecordedNode) -> str:
    """Describe in words what changed between two journal entries of a node: key inputs, and files that it read."""
    if before.key is None or now.key is None:
        return "its code or inputs changed while it ran"
    both = ({**entry.key_inputs, **files_as_inputs(entry.reads, entry.reads)} for entry in (before, now))
    return changes(*both)


def changes(before: KeyInputs, now: KeyInputs) -> str:
    """Describe the difference between two sets of key inputs in words."""
    other = [part for part in now if part in before and before[part] != now[part]]
    shown = [part for part in other if part.partition(" ")[0] in _SHOWN]
    kinds = (
        ([part for part in other if part not in shown], "changed", "changed"),
        ([part for part in now if part not in before], "is new", "are new"),
        ([part for part in before if part not in now], "is gone", "are gone"),
    )
    parts = [_describe(key_inputs, one, several) for key_inputs, one, several in kinds]
    parts += [f"{part.partition(' ')[2] or _SHOWN[part]} {before[part]} -> {now[part]}" for part in shown[:4]]
    parts += [f"{len(shown) - 4} more packages changed"] if len(shown) > 4 else []
    return ", ".join(filter(None, parts))


def files_as_inputs(files: Mapping[str, str], names: Iterable[str]) -> KeyInputs:
    """Return the recorded files that exist as key inputs, for `changes` to describe."""
    return {f"file {name}": files[name] for name in names if files[name]}


def _describe(key_inputs: Iterable[str], one: str, several: str) -> str:
    words = [_describe_one(*part.partition(" ")[::2]) for part in key_inputs]
    return f"{shortened(words, 4)} {one if len(words) == 1 else several}" if words else ""


def _describe_one(part: str, name: str) -> str:
    """Describe a key input in words. `code/fingerprint.py` lists the names of items of code."""
    if part == "file" and name == WORKING_DIRECTORY:
        return "the working directory"
    if part == "file" and name.endswith(("/", "//**")):  # see `watch/seen_files.py`
        where = name.removesuffix("**").rstrip("/")
        return f"the list of files {'that match' if name.endswith(('//', '//**')) else 'in'} {where}"
    module, _, item = name.partition(":")
    if part == "code" and item in _ITEMS:
        return _ITEMS[item].format(module or "the folder")
    if part == "code" and item != item.lower():
        return f"the definition {name}"  # a class or a constant, judging by its capitals
    return _WORDS[part].format(name) if part in _WORDS else f"its {part} {name}".rstrip()
