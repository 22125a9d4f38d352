"""Decides which nodes need not run, as what they would give is there from an earlier run; says why the others do.

Looks at everything before anything runs. What depends on a node that runs can only be decided once that has finished.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nfrun.cache.cache_key import CacheKeys, KeyInputs, cache_key, reader_digest
from nfrun.cache.history import RunHistory
from nfrun.cache.journal import FinishedNode
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.core.plan import Plan

FileChecksums = Callable[[NodeSpec], Mapping[str, str] | None]


@dataclass(frozen=True, slots=True)
class ReuseDecision:
    """What becomes of a node.

    `finished` is the earlier end of it that is reused, with the files of the outputs that somebody needs in `files`.
    Without one it runs, because of `why`; `open` if it is reused after all where its inputs turn out as they were.
    """

    reason: str
    hit: FinishedNode | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    pending: bool = False


def reusable(pipeline: Pipeline, *, resume: bool) -> frozenset[str]:
    """The nodes that may be reused: all but those that say `cache: false`, or only those that say `cache: true`."""
    return frozenset(
        name for name, spec in pipeline.nodes.items() if (spec.cache if spec.cache is not None else resume)
    )


def decide_reuse(
    pipeline: Pipeline,
    plan: Plan,
    keys: CacheKeys,
    history: RunHistory,
    *,
    allowed: Collection[str],
    sources: FileChecksums,
    wrote: FileChecksums,
) -> dict[str, ReuseDecision]:
    """What becomes of every node, in the order of the stages.

    `may` are the nodes that may be reused. `sources(node)` and `wrote(node)` are checksums of the files that it reads
    and has written, None where that cannot be known.
    """
    return _ReuseDecider(pipeline, plan, keys, history, frozenset(allowed), sources, wrote).decide()


class _ReuseDecider:
    def __init__(
        self,
        pipeline: Pipeline,
        plan: Plan,
        keys: CacheKeys,
        history: RunHistory,
        allowed: frozenset[str],
        sources: FileChecksums,
        wrote: FileChecksums,
    ) -> None:
        self._nodes = pipeline.nodes
        self._shown = pipeline.outputs
        self._order = [name for stage in plan.stages for name in stage]
        self._keys = keys
        self._history = history
        self._allowed = allowed
        self._sources = sources
        self._wrote = wrote
        self._read = {item.output for spec in self._nodes.values() for item in spec.inputs}
        self._dependents: dict[str, list[str]] = {name: [] for name in self._nodes}
        for name, spec in self._nodes.items():
            for need in spec.upstream:
                self._dependents[need].append(name)
        self._match: dict[str, FinishedNode] = {}
        self._same: dict[str, str] = {}
        self._reasons: dict[str, str] = {}  # of those that run
        self._pending: set[str] = set()
        self._files: dict[str, dict[str, Path]] = {}

    def decide(self) -> dict[str, ReuseDecision]:
        for name in self._order:
            why = self._look_up(name)
            if why:
                self._reasons[name] = why
        self._spread()
        return {name: self._decision(name) for name in self._order}

    def _decision(self, name: str) -> ReuseDecision:
        if name in self._reasons:
            # What it needs without reading it has no content that could turn out the same.
            ordered = any(need in self._reasons for need in self._nodes[name].needs)
            return ReuseDecision(self._reasons[name], pending=name in self._pending and not ordered)
        return ReuseDecision("", self._match[name], self._files.get(name, {}))

    # -- what was there ----------------------------------------------------------------------------------------------

    def _look_up(self, name: str) -> str:
        """Find what the node gave earlier; returns why there is nothing."""
        spec = self._nodes[name]
        if name not in self._allowed:
            return "it has 'cache: false'" if spec.cache is False else "it is not cached"
        definition = self._keys.definition(name)
        ends = self._ends(name)
        if ends and not any(definition.items() <= end.key_inputs.items() for end in ends):
            before = {part: value for part, value in ends[0].key_inputs.items() if part.partition(" ")[0] not in _GIVEN}
            return changes(before, definition)
        runs = next((need for need in spec.upstream if need not in self._match), None)
        if runs is not None:
            return self._after(name, runs)
        files = self._sources(spec)
        if files is None:
            return "nobody can know whether what it reads has changed"
        inputs = {item.output: self._same.get(item.output, "") for item in spec.inputs}
        needs = {need: self._match[need].key or "" for need in spec.needs}
        key_inputs = self._keys.key_inputs(name, inputs=inputs, needs=needs, files=files)
        for found in self._history.with_key(cache_key(key_inputs)):
            if self._serves(spec, found):
                self._match[name] = found
                self._same.update((output.id, reader_digest(output)) for output in found.outputs)
                return ""
        return self._what_changed(name, key_inputs)

    def _ends(self, name: str) -> list[FinishedNode]:
        """Its ends that are known by a key: of others nobody can say what they depended on."""
        return [end for end in self._history.of_node(name) if end.key is not None]

    def _serves(self, spec: NodeSpec, found: FinishedNode) -> bool:
        """Whether it gave all that is read of it, and what it wrote is still there."""
        given = {output.id for output in found.outputs}
        if any(output in self._read and output not in given for output in spec.output_ids):
            return False
        return not found.wrote or self._wrote(spec) == found.wrote

    def _what_changed(self, name: str, key_inputs: KeyInputs) -> str:
        ends = self._ends(name)
        if not ends and self._history.of_node(name):
            return "what it depends on changed while it ran"
        if not ends:
            return "it has not finished in any run that is kept"
        last = ends[0]
        if last.key == cache_key(key_inputs):
            return "what it wrote is gone or has changed" if last.wrote else "it did not give all that is read of it"
        return changes(last.key_inputs, key_inputs)

    # -- what runs because of another --------------------------------------------------------------------------------

    def _spread(self) -> None:
        """What runs needs its inputs, which may have to be made again; what comes after it may turn out otherwise."""
        for output in self._shown.values():
            self._need(output, "the run shows it")
        left = [name for name in self._order if name in self._reasons]
        while left:
            name = left.pop()
            for item in self._nodes[name].inputs:
                if self._need(item.output, f"'{name}' reads it"):
                    left.append(item.node)
            for dependent in self._dependents[name]:
                if dependent not in self._reasons:
                    self._reasons[dependent] = self._after(dependent, name)
                    left.append(dependent)

    def _after(self, name: str, runs: str) -> str:
        if runs in self._nodes[name].needs:
            return f"it needs '{runs}', which runs"
        self._pending.add(name)
        return f"it reads '{runs}', which runs"

    def _need(self, output: str, who: str) -> bool:
        """Somebody needs the data; returns whether its node now has to run for it, and did not before."""
        name = output.partition(".")[0]
        if name in self._reasons or output in self._files.get(name, {}):
            return False
        if self._match[name].output(output) is None:
            return False  # it gave nothing then, nor would it now
        path = self._history.find_file(self._match[name], output)
        if path is None:
            self._reasons[name] = f"what it gave is no longer there, and {who}"
            return True
        self._files.setdefault(name, {})[output] = path
        return False


def changes(before: KeyInputs, now: KeyInputs) -> str:
    """What is different between two sets of parts of a key, in words."""
    kinds = (
        ([part for part in now if part in before and before[part] != now[part]], "changed", "changed"),
        ([part for part in now if part not in before], "is new", "are new"),
        ([part for part in before if part not in now], "is gone", "are gone"),
    )
    return ", ".join(filter(None, (_told(key_inputs, one, several) for key_inputs, one, several in kinds)))


def _told(key_inputs: Iterable[str], one: str, several: str) -> str:
    words = [_word(*part.partition(" ")[::2]) for part in key_inputs if part.partition(" ")[0] in _WORDS]
    more = f" and {len(words) - 4} more" if len(words) > 4 else ""
    return f"{', '.join(words[:4])}{more} {one if len(words) == 1 else several}" if words else ""


def _word(kind: str, name: str) -> str:
    """A part of a key in words; see `fingerprint` for the names of pieces of code."""
    module, _, piece = name.partition(":")
    if kind == "code" and piece == "*":
        return f"the module {module}"
    if kind == "code" and piece == "**":
        return f"which modules there are below {module or 'the folder'}"
    if kind == "code" and piece == "import":
        return f"what runs when {module} is imported"
    if kind == "code" and piece != piece.lower():
        return f"the definition {name}"  # by its name a class or a constant
    return _WORDS[kind].format(name)


_GIVEN = ("input", "needs", "file")  # parts that are not of the definition
_WORDS = {
    "scheme": "how nfrun runs it",
    "node": "its name",
    "kind": "its kind",
    "text": "its text",
    "outputs": "the names of its outputs",
    "format": "its format",
    "order": "the order of its inputs or values",
    "code": "the function {}",
    "value": "the value '{}'",
    "variable": "the variable {}",
    "input": "the input '{}'",
    "needs": "what '{}' depends on",
    "file": "the file {}",
}
