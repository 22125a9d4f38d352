"""Finds the nodes for which an opened file or host counts: all nodes whose code may have used its content.

Code may keep what it has opened in a global variable, in a cache, or in an object that it was given: then it counts for
all nodes that reach this code, and not only for those that were running.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from nfrun.code.watch.seen_files import MOST_SHOWN
from nfrun.core.observation import Observation, SharedObservation
from nfrun.core.text import ellipsize
from nfrun.core.values import field, mutable, replace

if TYPE_CHECKING:
    from nfrun.code.reached_code import Statement

_MOST_HOSTS = 3  # that are told
_NOTHING = Observation()


class _Lines(NamedTuple):
    """The lines of a statement, whether it may keep what it opened, and the nodes that reach it."""

    first: int
    last: int
    keeps: bool
    nodes: set[str]


@mutable
class _Module:
    statements: list[_Lines] = field(default_factory=list)
    nodes: set[str] = field(default_factory=set)  # that reach anything in it


class Attribution:
    """Adds to the observation of a node what other attempts opened in code that the node shares. Thread-safe.

    `reached(node)` returns the statements that a node of `nodes` reaches, by module, and `file_of(node, module)` the
    file of such a module. `take()` returns the files and hosts that shared code used since the last call. `folder` is
    that of the pipeline, and `others` are those of its other files. `imported_before` are the modules that the program
    around the run had imported.
    """

    def __init__(
        self,
        nodes: Iterable[str],
        reached: Callable[[str], Sequence[Sequence[Statement]]],
        file_of: Callable[[str, str], Path | None],
        take: Callable[[], Iterable[SharedObservation]],
        folder: Path,
        others: Iterable[Path] = (),
    ) -> None:
        self._names = list(nodes)
        self._reached = reached
        self._file_of = file_of
        self._take = take
        self._inside = tuple([f"{own}/" for own in (folder, *others)])
        self._seen: dict[str, list[SharedObservation]] = {}
        self.imported_before: Collection[ModuleType] = ()
        self._lock = threading.RLock()

    def prepare(self) -> None:
        """Read which code the nodes share, for `shared_with`: while they run, other threads read code."""
        with self._lock:
            self._modules  # noqa: B018

    def shared_with(self, node: str, known: int) -> Sequence[SharedObservation]:
        """Return the uses until now of code that the node shares, without the first `known` ones."""
        with self._lock:
            self._take_new()
            return self._seen.get(node, [])[known:]

    def complete(self, node: str, own: Observation | None) -> Observation:
        """Return the observation of an attempt at the node, with the files opened in code that the node shares."""
        with self._lock:
            self._take_new()
            others = [*self._seen.get(node, ())]
            if self.imported_before and (why := self._shared_with_program(node)):
                own = replace(own or _NOTHING, obstacle=why)
        if own is None and not others:
            return _NOTHING
        own = own or _NOTHING
        reads, writes, hosts, obstacle = dict(own.reads), dict(own.writes), dict.fromkeys(own.hosts), own.obstacle
        for shared in others:
            other, is_own = shared.seen, shared.of_attempt and node in shared.nodes
            for name, checksum in other.reads.items():
                if name not in own.writes and reads.setdefault(name, checksum) != checksum and not is_own:
                    obstacle = obstacle or f"{ellipsize(name, MOST_SHOWN)} changed while it ran"
            writes |= other.writes
            hosts |= dict.fromkeys(other.hosts)
            obstacle = obstacle or other.obstacle
        if hosts and not obstacle:
            told = (ellipsize(host, MOST_SHOWN) for host in list(hosts)[:_MOST_HOSTS])
            obstacle = f"it connects to {', '.join(told)}"
        return Observation(reads, writes, tuple(hosts), obstacle)

    def _take_new(self) -> None:
        for shared in self._take():
            for name in self._concerned(shared):
                self._seen.setdefault(name, []).append(shared)

    def _concerned(self, shared: SharedObservation) -> set[str]:
        """Return the nodes for which the observation counts."""
        if not shared.lines:
            return set(shared.nodes)
        found: set[str] = set()
        is_known = False
        for i, (file, line) in enumerate(shared.lines):
            module = self._modules.get(file)
            if module is None:
                continue
            is_known = True
            on_import = shared.imported and i == len(shared.lines) - 1
            statements = [statement for statement in module.statements if statement.first <= line <= statement.last]
            for statement in statements:
                everyone = on_import or statement.keeps
                found |= statement.nodes if everyone else statement.nodes.intersection(shared.nodes)
            if not statements:
                found |= module.nodes
            if on_import:  # a node that does not reach the module imported it in a way that was not followed
                found.update(node for node in shared.nodes if node not in module.nodes)
        if is_known:
            return found
        # No node is known to reach this code. Outside of the project, it is that of a program beside the run.
        return {*shared.nodes} if any(file.startswith(self._inside) for file, _ in shared.lines) else set()

    def _shared_with_program(self, node: str) -> str:
        """Return why the code of a node may have used older code, or files that were read before the run."""
        for file, module in self._modules.items():
            if node in module.nodes and not file.startswith(self._inside) and file in self._files_before:
                return f"its code uses {ellipsize(file, MOST_SHOWN)}, which the program had imported before the run"
        return ""

    @cached_property
    def _files_before(self) -> set[str]:
        return {getattr(module, "__file__", None) or "" for module in self.imported_before}

    @cached_property
    def _modules(self) -> Mapping[str, _Module]:
        """The modules by file. Found when needed: few runs open files in shared code."""
        groups: dict[int, tuple[Sequence[Statement], list[str]]] = {}
        for node in self._names:
            for group in self._reached(node):
                groups.setdefault(id(group), (group, []))[1].append(node)
        bodies = [statement.definition.body for group, _ in groups.values() for statement in group]
        # It imports `ast`, which a run that reuses everything does not need.
        from nfrun.code.effects import may_keep, uses_one_of, variables_made

        given, made = variables_made(bodies)
        found: dict[str, _Module] = {}
        known: dict[int, _Lines] = {}
        for group, nodes in groups.values():
            for statement in group:
                module = found.setdefault(str(self._file_of(nodes[0], statement.module)), _Module())
                module.nodes.update(nodes)
                body = statement.definition.body
                lines = known.get(id(body))
                if lines is None:
                    keeps = may_keep(body) or getattr(body, "name", None) in given or uses_one_of(body, made)
                    lines = known[id(body)] = _Lines(*_lines(body), keeps, set())
                    module.statements.append(lines)
                lines.nodes.update(nodes)
        return found


def _lines(body: object) -> tuple[int, int]:
    """Return the first line of a statement, that of its first decorator if it has one, and the last."""
    first = [getattr(part, "lineno", 0) for part in (body, *getattr(body, "decorator_list", ()))]
    return min(first), getattr(body, "end_lineno", None) or 0
