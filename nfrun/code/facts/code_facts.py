"""Defines the facts that reading the code behind a node shows; `fact_reader.py` finds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from nfrun.core.pipeline import NOTHING
from nfrun.core.values import fields, frozen


class CodeFact(NamedTuple):
    """A use in the code, such as "random.shuffle", with its place, such as "steps.py:12".

    `is_client`: it is a package that connects without Python's sockets.
    """

    what: str
    where: str
    is_client: bool = False


class Command(NamedTuple):
    """A command that code starts, as a line for a shell, and the folders in which the names in it may lie."""

    text: str
    folders: Sequence[str]


@frozen
class CodeFacts:
    """Facts about the code behind a node, read without running it.

    `global_state` are uses of process-global state by functions. `clocks` ask for the time and do not only measure,
    `draws` draw what nothing seeds, and `local_time` are uses of the local time zone. `network` are hosts in addresses,
    and clients whose connections nfrun cannot see. `named` are the paths and patterns that the code names, relative to
    the pipeline's folder or the working directory; one that ends in a slash is a folder that a library gets, which may
    look into it. Some calls read files unseen: `files` are
    their paths and patterns, where a folder is all that is in it, and `unknown_files` the calls whose paths cannot be
    put together. `written` is what the code seems to write, and `unknown_outputs` are calls that write unseen.
    `asks_times`: it asks for the times of files. `commands` are those that it starts, if their words are known:
    scripts name files in turn. `assigned` are the variables of modules ("steps:CACHE") that functions assign or
    change, and `read` those that they read.
    """

    global_state: Sequence[CodeFact] = ()
    clocks: Sequence[CodeFact] = ()
    draws: Sequence[CodeFact] = ()
    local_time: Sequence[CodeFact] = ()
    network: Sequence[CodeFact] = ()
    unknown_files: Sequence[CodeFact] = ()
    unknown_outputs: Sequence[CodeFact] = ()
    files: Sequence[str] = ()
    named: Sequence[str] = ()
    written: Sequence[str] = ()
    asks_times: bool = False
    commands: Sequence[Command] = ()
    assigned: Sequence[CodeFact] = ()
    read: Sequence[CodeFact] = ()


NO_FACTS = CodeFacts()
# Fields that are not plain JSON, with the class of their items.
_FACTS = (
    *("global_state", "clocks", "draws", "local_time", "network", "unknown_files", "unknown_outputs"),
    *("assigned", "read"),
)
_KINDS: Mapping[str, Callable[..., Any]] = {**dict.fromkeys(_FACTS, CodeFact), "commands": Command}


def shared_variables(facts: Mapping[str, CodeFacts], folders: Mapping[str, str] = NOTHING) -> dict[str, str]:
    """Return, by node, the first variable that the node reads and another node assigns or changes, with the places.

    `facts` are those of all nodes, and `folders` the folders of their files: different ones share no modules.
    """
    writers: dict[tuple[str, str], dict[str, CodeFact]] = {}  # by folder and variable, and by node
    for node, found in facts.items():
        for fact in found.assigned:
            writers.setdefault((folders.get(node, ""), fact.what), {})[node] = fact
    shared: dict[str, str] = {}
    for node, found in facts.items():
        for read in found.read if writers else ():
            others = writers.get((folders.get(node, ""), read.what), {})
            other = next((other for other in others if other != node), None)
            if other is not None and node not in shared:
                what, where = f"{read.what.rpartition(':')[2]} ({read.where})", others[other].where
                shared[node] = f"it reads {what}, which '{other}' assigns ({where})"
    return shared


# -- JSON --------------------------------------------------------------------------------------------------------------


def facts_to_json(facts: CodeFacts) -> dict[str, Any]:
    """Return the facts that there are as JSON, for `facts_from_json`."""
    return {each.name: value for each in fields(facts) if (value := getattr(facts, each.name))}


def facts_from_json(saved: Mapping[str, Any]) -> CodeFacts:
    """Return the facts that `facts_to_json` was given."""
    found = dict(saved)
    for name, value in saved.items():
        if name in _KINDS:
            found[name] = [_KINDS[name](*part) for part in value]
    return CodeFacts(**found)
