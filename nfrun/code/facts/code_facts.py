"""Defines the facts that reading the code behind a node shows; `fact_reader.py` finds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

from nfrun.core.pipeline import NOTHING
from nfrun.core.values import field, frozen


@frozen
class CodeFact:
    """A use in the code, such as "random.shuffle", with its place, such as "steps.py:12".

    `is_client`: it is a package that connects without Python's sockets.
    """

    what: str
    where: str
    is_client: bool = False


@frozen
class Command:
    """A command that code starts, as a line for a shell, and the folders in which the names in it may lie."""

    text: str
    folders: Sequence[str]


@frozen
class CodeFacts:
    """What the code behind a node shows without running it.

    `global_state` are uses of process-global state by functions; `warnings` those that only deserve a warning.
    `clocks` ask for the time and do not only measure, `draws` draw what nothing seeds, and `local_time` are uses of
    the local time zone. `network` are hosts in addresses, and clients whose connections nfrun cannot see. `named` are
    the paths and patterns that the code names, relative to the pipeline's folder or the working directory; one that
    ends in a slash is a folder that a library gets, which may look into it. Some calls read files unseen: `files` are
    their paths and patterns, where a folder is all that is in it, and `unknown_files` the calls whose paths cannot be
    put together. `written` is what the code seems to write, and `unknown_outputs` are calls that write unseen.
    `asks_times`: it asks for the times of files. `commands` are those that it starts, if their words are known:
    scripts name files in turn. `assigned` are the variables of modules ("steps:CACHE") that functions assign or
    change, and `read_variables(variables)` returns where the code reads these.
    """

    global_state: Sequence[CodeFact] = ()
    warnings: Sequence[CodeFact] = ()
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
    assigned: Mapping[str, CodeFact] = field(default_factory=dict)
    read_variables: Callable[[Set[str]], Mapping[str, CodeFact]] = lambda variables: {}


NO_FACTS = CodeFacts()
# The fields that are kept as JSON: those of facts, and the others.
_LISTS = ("global_state", "warnings", "clocks", "draws", "local_time", "network", "unknown_files", "unknown_outputs")
_PLAIN = ("files", "named", "written", "asks_times")


@frozen
class SharedVariable:
    """A variable of a module that the code of one node reads, and that of the node `other` assigns or changes."""

    read: CodeFact
    other: str
    assigned: CodeFact

    @property
    def variable(self) -> str:
        """The name of the variable in its module."""
        return self.read.what.rpartition(":")[2]

    def __str__(self) -> str:
        return f"it reads {self.variable} ({self.read.where}), which '{self.other}' assigns ({self.assigned.where})"


def shared_variables(facts: Mapping[str, CodeFacts], folders: Mapping[str, str] = NOTHING) -> dict[str, SharedVariable]:
    """Return, by node, the first variable that the node reads and another node assigns.

    `facts` are those of all nodes, and `folders` the folders of their files: different ones share no modules.
    """
    by_folder: dict[str, dict[str, CodeFacts]] = {}
    for node, found in facts.items():
        by_folder.setdefault(folders.get(node, ""), {})[node] = found
    return {node: shared for inside in by_folder.values() for node, shared in _shared(inside).items()}


def _shared(facts: Mapping[str, CodeFacts]) -> dict[str, SharedVariable]:
    """Return the shared variables of nodes of one folder."""
    writers: dict[str, list[str]] = {}
    for node, found in facts.items():
        for variable in found.assigned:
            writers.setdefault(variable, []).append(node)
    if not writers:
        return {}
    reads = {node: found.read_variables(writers.keys()) for node, found in facts.items()}
    shared: dict[str, SharedVariable] = {}
    for node, found_reads in reads.items():
        for variable, read in found_reads.items():
            others = [other for other in writers[variable] if other != node]
            if others and node not in shared:
                shared[node] = SharedVariable(read, others[0], facts[others[0]].assigned[variable])
    return shared


# -- JSON --------------------------------------------------------------------------------------------------------------


def facts_to_json(facts: CodeFacts) -> list[Any]:
    """Return the facts, but for `read_variables`, for `facts_from_json`."""
    found = [[_to_json(fact) for fact in getattr(facts, name)] for name in _LISTS]
    commands = [[command.text, command.folders] for command in facts.commands]
    kept = [*found, *(getattr(facts, name) for name in _PLAIN), commands, read_to_json(facts.assigned)]
    return kept if any(kept) else []


def facts_from_json(found: list[Any], read_variables: Callable[[Set[str]], Mapping[str, CodeFact]]) -> CodeFacts:
    """Return the facts that `facts_to_json` was given. `read_variables` is theirs."""
    if not found:
        return CodeFacts(read_variables=read_variables)
    *lists, commands, assigned = found
    facts: dict[str, Any] = dict(zip((*_LISTS, *_PLAIN), lists, strict=True))
    facts |= {name: [CodeFact(*fact) for fact in facts[name]] for name in _LISTS}
    facts["commands"] = [Command(*command) for command in commands]
    return CodeFacts(**facts, assigned=read_from_json(assigned), read_variables=read_variables)


def read_to_json(facts: Mapping[str, CodeFact]) -> dict[str, Any]:
    """Return facts by variable as JSON."""
    return {variable: _to_json(fact) for variable, fact in facts.items()}


def read_from_json(found: Mapping[str, Any]) -> Mapping[str, CodeFact]:
    """Return the facts that `read_to_json` was given."""
    return {variable: CodeFact(*fact) for variable, fact in found.items()}


def _to_json(fact: CodeFact) -> list[object]:
    return [fact.what, fact.where, fact.is_client]
