"""Selects nodes of a pipeline: parses selectors such as `2+fit@lr+,tag:nightly`, and finds the nodes that they name.

Kinds, tags, files and statuses of nodes come in as texts. All errors are ValueErrors with a message for the user.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from posixpath import normpath

from nfrun.core.pipeline import NOTHING
from nfrun.core.text import did_you_mean, ellipsize, shortened
from nfrun.core.values import field, frozen

METHODS = ("tag", "kind", "file", "status")
STATUSES = ("failed", "skipped", "ok")  # what `status:` may name
_TERM = re.compile(r"(?:(?P<up>[0-9]{0,9})\+)?(?P<what>.*?)(?:\+(?P<down>[0-9]{0,9}))?", re.DOTALL)
_ALL = -1  # steps: as many as there are
_MAX_LISTED = 6


@frozen
class Term:
    """One part of a selector. `pattern` is compared with ids, or with what `method` names if it is not "".

    `up` is how many steps of what these nodes need are selected too, and `down` how many of what needs them; -1 is all.
    """

    method: str
    pattern: str
    up: int = 0
    down: int = 0


def parse_selector(text: str) -> tuple[Term, ...]:
    """Return the parts of a selector, all of which a node must match. Raises ValueError."""
    parts = [part.strip() for part in text.split(",")]
    if not any(parts):
        raise ValueError("an empty name is no node")
    if not all(parts):
        raise ValueError(f"'{ellipsize(text)}' has nothing before or after a comma")
    return tuple(map(_term, parts))


def _term(text: str) -> Term:
    found = _TERM.fullmatch(text)
    assert found is not None
    up, down = (0 if steps is None else int(steps or _ALL) for steps in (found["up"], found["down"]))
    method, colon, pattern = found["what"].partition(":")
    if not colon:
        method, pattern = "", found["what"]
    elif method not in METHODS:
        there = "there is tag:, kind:, file: and status:"
        raise ValueError(f"'{ellipsize(text)}' begins with no kind of selector; {there}")
    if not pattern:
        raise ValueError(f"'{ellipsize(text)}' names no {method or 'node'}")
    if not method and "+" in pattern:
        raise ValueError(f"'{ellipsize(text)}' has a '+' where none may be; write N+NODE or NODE+N, N is a number")
    return Term(method, pattern, up, down)


@frozen
class NodeGraph:
    """The nodes of a pipeline, for selectors.

    `upstream` has, of each node, those for which it waits; only names of nodes count. `values` has for each of METHODS
    a function that returns the texts of nodes that it is compared with, by node. Names of files below `folder` are
    relative to it.
    """

    upstream: Mapping[str, Sequence[str]]
    values: Mapping[str, Callable[[], Mapping[str, Collection[str]]]] = field(default_factory=lambda: NOTHING)
    folder: str = ""

    def find(self, selectors: Iterable[str]) -> set[str]:
        """Return the nodes that any of the selectors matches. Raises ValueError if one of them matches none."""
        return {name for selector in selectors for name in self._of_selector(selector)}

    def with_needed(self, names: Iterable[str], steps: int = _ALL) -> set[str]:
        """Return these nodes and what they need, at most so many `steps` away."""
        return _reached(names, self.upstream, steps)

    def with_dependents(self, names: Iterable[str], steps: int = _ALL) -> set[str]:
        """Return these nodes and what needs them, at most so many `steps` away."""
        dependents: dict[str, list[str]] = {name: [] for name in self.upstream}
        for name, needs in self.upstream.items():
            for need in needs:
                if need in dependents:
                    dependents[need].append(name)
        return _reached(names, dependents, steps)

    def _of_selector(self, selector: str) -> set[str]:
        found: set[str] | None = None
        for term in parse_selector(selector):
            matched = self._of_term(term)
            found = matched if found is None else found & matched
        if not found:
            raise ValueError(
                f"no node matches all of '{ellipsize(selector)}'; to select what matches any part, repeat the option"
            )
        return found

    def _of_term(self, term: Term) -> set[str]:
        found = self._named(term.pattern) if not term.method else self._having(term.method, term.pattern)
        needed = self.with_needed(found, term.up) if term.up else found
        dependents = self.with_dependents(found, term.down) if term.down else found
        return needed | dependents

    def _named(self, pattern: str) -> set[str]:
        is_match = _of_id(pattern)
        found = {name for name in self.upstream if is_match(name)}
        if not found:
            shown = list(dict.fromkeys(name.split("@")[0] for name in self.upstream))
            hint = did_you_mean(pattern, shown, _there_is(shown))
            raise ValueError(f"no node matches '{ellipsize(pattern)}'; {hint}")
        return found

    def _having(self, method: str, pattern: str) -> set[str]:
        values = self.values[method]()
        is_match = _of_text(normpath(pattern).removeprefix(f"{self.folder}/") if method == "file" else pattern)
        found = {name for name in self.upstream if any(map(is_match, values.get(name, ())))}
        if not found:
            known = dict.fromkeys(value for name in self.upstream for value in values.get(name, ()))
            hint = did_you_mean(pattern, known, _there_is(list(known)))
            raise ValueError(f"no node has the {method} '{ellipsize(pattern)}'; {hint}")
        return found


def select(
    graph: NodeGraph,
    only: Collection[str] = (),
    from_: Collection[str] = (),
    until: Collection[str] = (),
    exclude: Collection[str] = (),
) -> set[str]:
    """Return the nodes in `only` (all by default) and in `from_` and in `until`, less `exclude`: nodes by name.

    `from_` counts with all that needs it, and `until` with all that it needs; without any, they leave nothing out.
    """
    found = set(only) if only else set(graph.upstream)
    if from_:
        found &= graph.with_dependents(from_)
    if until:
        found &= graph.with_needed(until)
    return found.difference(exclude)


def _reached(names: Iterable[str], edges: Mapping[str, Sequence[str]], steps: int) -> set[str]:
    found = set(names)
    ends = list(found)
    while ends and steps:
        ends = [
            name for name in dict.fromkeys(n for end in ends for n in edges[end]) if name in edges and name not in found
        ]
        found.update(ends)
        steps -= 1
    return found


def _there_is(known: Sequence[str]) -> str:
    return f"there is {shortened([ellipsize(name) for name in known], _MAX_LISTED) or 'none'}"


def _of_text(pattern: str, slash: str = "/", end: str = "") -> Callable[[str], object]:
    """Return what compares texts with a pattern, in which `*` and `?` stand for any characters.

    `slash` is the regular expression for `/`, and `end` that of what may follow.
    """
    regex = (
        fnmatch.translate(pattern.replace("[", "[[]")).removeprefix("(?s:").removesuffix(")\\Z").removesuffix(")\\z")
    )
    return re.compile(f"{regex.replace('/', slash)}{end}", re.DOTALL).fullmatch


def _of_id(pattern: str) -> Callable[[str], object]:
    """Return what compares ids with a pattern: cells may be left out, and a group stands for all that is in it."""
    return _of_text(pattern, "(?:@[^/]*)?/", "(?:[@/].*)?")
