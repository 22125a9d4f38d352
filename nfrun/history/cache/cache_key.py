"""Computes the cache key of a node from its key inputs: everything that its outputs depend on.

Reads source code and never runs it. Not in the key: how often and where a node may run, the environment that nfrun was
started in, and the files that code opens while it runs, which are in the journal beside the key. Installed packages
count by their versions.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun import __version__
from nfrun.code.facts.code_facts import CodeFacts, shared_variables
from nfrun.code.fingerprint import FolderCode
from nfrun.core.map_spec import MapSpec
from nfrun.core.pipeline import Gather, Input, NodeSpec, OutputId, Pipeline
from nfrun.history.journal import RecordedNode
from nfrun.nodes.registry import kind_of
from nfrun.system.checksums import text_checksum
from nfrun.system.time_zone import local_zone

if TYPE_CHECKING:
    from nfrun.code.reached_code import Statement

KeyInputs = Mapping[str, str]  # values, mostly digests, by name: "text", "code steps:clean", "input extract", …

_PACKAGE = "package "  # the beginning of the names of key inputs that are versions of packages
ABSENT = "absent"  # in place of the digest of an input without which the node runs, or of a node that it needs
FOR_EFFECT = "it runs for its effect"  # why a node runs
_SCHEME = "5"  # raise this when a new nfrun gives other outputs for the same definition


class CacheKeys:
    """Computes the key inputs of the nodes of a bound pipeline, in which no expressions are left.

    Has no lock. First, one thread calls `definition` and `facts` for every node, which read all code. From then on, any
    thread may call these and `key_inputs`. Only one thread may call `is_current` and `refresh`. `code` reads the code.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.code = FolderCode(Path(pipeline.folder))
        self._distributions = self.code.of("").distributions
        self._definitions: dict[str, KeyInputs] = {}
        self._facts: dict[str, CodeFacts] = {}
        self._shared: Mapping[str, str] | None = None

    def definition(self, node: str) -> KeyInputs:
        """Return the key inputs that come from the pipeline file and the code, by name."""
        found = self._definitions.get(node)
        if found is None:
            found = self._definitions[node] = self._define(self._pipeline.nodes[node])
        return found

    def key_inputs(self, node: str, *, inputs: Mapping[OutputId, str], needs: Mapping[str, str]) -> KeyInputs:
        """Return the key inputs of a node without its files (see `with_files`).

        `inputs` are reader digests by output (see `reader_digest`), without those that are absent. `needs` are
        dependency digests by node (see `dependency_digest`), ABSENT for a node that is.
        """
        return {
            **self.definition(node),
            **{f"input {item.name}": input_digest(item, inputs) for item in self._pipeline.nodes[node].inputs},
            **{f"needs {name}": needs[name] for name in self._pipeline.nodes[node].needs},
        }

    def obstacle(self, node: str) -> str:
        """Return why the node is never reused without `cache: true`, "" if nothing is against it.

        The first call reads all code.
        """
        spec, facts = self._pipeline.nodes[node], self.facts(node)
        if spec.cache:
            return ""
        own = kind_of(spec).runs.obstacle
        return own or _time(facts) or self._shared_by(node) or _unseen_hosts(facts) or _unknown_files(spec, facts)

    def calls_obstacle(self, node: str) -> str:
        """Return why the results of a mapped node's calls are never reused without `cache: true`, "" if they are.

        Connections do not stand against it: the calls that are saved are what it is for. Where there are some, neither
        does the time.
        """
        spec = self._pipeline.nodes[node]
        if spec.cache:
            return ""
        facts = self.facts(node)
        own = FOR_EFFECT if kind_of(spec).runs.for_effect else "" if facts.network else _time(facts)
        return own or self._shared_by(node) or _unknown_files(spec, facts)

    def _shared_by(self, node: str) -> str:
        """Return which module-level variable the node reads that another one's code assigns, "" if there is none."""
        if self._shared is None:
            nodes = self._pipeline.nodes
            folders = {name: spec.folder for name, spec in nodes.items()}
            self._shared = shared_variables({name: self.facts(name) for name in nodes}, folders)
        return self._shared.get(node, "")

    def versions(self) -> dict[str, str]:
        """Return the versions of nfrun, Python and pyarrow, and of all packages in key inputs, by name."""
        python, pyarrow = "{}.{}.{}".format(*sys.version_info), self._distributions.version("pyarrow")
        packages = {
            part.removeprefix(_PACKAGE): version
            for node in self._pipeline.nodes
            for part, version in self.definition(node).items()
            if part.startswith(_PACKAGE)
        }
        return {"nfrun": __version__, "python": python, "pyarrow": pyarrow or "", **packages}

    def facts(self, node: str) -> CodeFacts:
        """Return the facts that the code or the text of the node shows without being run."""
        if node not in self._facts:
            spec = self._pipeline.nodes[node]
            self._facts[node] = kind_of(spec).code.facts(spec, self.code.of(spec.folder))
        return self._facts[node]

    def reached(self, node: str) -> Sequence[Sequence[Statement]]:
        """Return the statements of the project's code that the node reaches, by module."""
        spec = self._pipeline.nodes[node]
        return kind_of(spec).code.reached(spec, self.code.of(spec.folder))

    def file_of(self, node: str, module: str) -> Path | None:
        """Return the file of a module that the node reaches; None if it has no file or is not of the project."""
        return self.code.of(self._pipeline.nodes[node].folder).source.file_of(module)

    def is_current(self, node: str) -> bool:
        """Return whether the code behind the node's definition is unchanged, checked once after each `refresh`."""
        spec = self._pipeline.nodes[node]
        return kind_of(spec).code.is_current(spec, self.code.of(spec.folder))

    def refresh(self) -> None:
        """Make the next `is_current` calls read the source files again."""
        self.code.refresh()

    def _define(self, spec: NodeSpec) -> KeyInputs:
        kind = kind_of(spec)
        key_inputs = {"scheme": _SCHEME, "node": spec.id, "kind": spec.kind, "text": text_checksum(spec.body)}
        if spec.folder:  # files of these names are others there
            key_inputs["folder"] = spec.folder
        key_inputs["outputs"] = ",".join(
            [f"{name}: {spec.types[name]}" if name in spec.types else name for name in spec.outputs]
        )
        key_inputs |= kind.code.key(spec, self.code.of(spec.folder))
        for name in self._pipeline.secrets:  # a new one gives the same results
            key_inputs.pop(f"variable {name}", None)
        key_inputs |= {f"value {name}": text_checksum(_canonical(value)) for name, value in spec.with_.items()}
        key_inputs |= {f"setting {name}": text_checksum(_canonical(value)) for name, value in spec.settings.items()}
        packages = (*spec.packages, *kind.code.packages)
        key_inputs |= {f"{_PACKAGE}{name}": self._distributions.version(name) or "" for name in packages}
        if spec.map is not None:
            key_inputs["map"] = _map_digest(spec.map)
            columns = [contract.columns for contract in spec.contracts.values() if contract.columns]
            if columns:  # a result without rows gets them
                key_inputs["schema"] = text_checksum(_canonical(columns))
        for item in spec.inputs:
            if item.gather:
                key_inputs[f"cells {item.name}"] = _cells_digest(item.gather, spec.id)
        if kind.code.uses_environment:
            env = {**self._pipeline.env, **self._pipeline.redacted_env, **spec.env, **spec.redacted_env}
            if spec.plugin is not None and spec.map is None:  # such as which database it is about
                named = [name for name in spec.plugin.env if name not in self._pipeline.secrets]
                env = {**{name: os.environ.get(name, "") for name in named}, **env}
            key_inputs |= {f"variable {name}": text_checksum(value) for name, value in env.items()}
            key_inputs["cpus"] = str(spec.cpus)
            if self.facts(spec.id).local_time:
                key_inputs["zone"] = local_zone({**os.environ, **env})
        return key_inputs


def with_files(key_inputs: KeyInputs, files: Mapping[str, str], wrote: Collection[str] = ()) -> KeyInputs:
    """Return key inputs with the checksums of the files that a node names. What it `wrote` is its output, no input."""
    return {**key_inputs, **{f"file {name}": checksum for name, checksum in files.items() if name not in wrote}}


def dependency_digest(finished: RecordedNode) -> str:
    """Return the digest for nodes that need this one: of its cache key, and the files that it read and wrote."""
    if not finished.reads and not finished.wrote:
        return finished.key or ""
    return text_checksum(json.dumps([finished.key, sorted(finished.reads.items()), sorted(finished.wrote.items())]))


def _time(facts: CodeFacts) -> str:
    for fact in facts.clocks:
        return f"it asks for the time, {fact.what} ({fact.where}): give it the date as a value, ${{{{ run.date }}}}"
    for fact in facts.draws:
        return f"it draws what nfrun cannot seed: {fact.what} ({fact.where})"
    return ""


def _unseen_hosts(facts: CodeFacts) -> str:
    for fact in facts.network:
        if fact.is_client:
            return f"it uses {fact.what}, whose connections nfrun cannot see ({fact.where})"
        host = f"{fact.what}…" if fact.what.endswith("://") else fact.what
        return f"it may connect to {host} (the address is in {fact.where})"
    return ""


def _unknown_files(spec: NodeSpec, facts: CodeFacts) -> str:
    for fact in facts.unknown_files if not spec.files else ():
        return f"nfrun cannot know which files {fact.what} reads ({fact.where}): name them under 'files'"
    for fact in facts.unknown_outputs:
        return f"nfrun cannot know which files {fact.what} writes ({fact.where})"
    return ""


def input_digest(item: Input, digests: Mapping[OutputId, str]) -> str:
    """Return the digest of an input of a node; of a gathered input, the digest of each cell that is there."""
    if item.is_plain:
        return digests.get(item.output, ABSENT)
    read = item.read(digests.__contains__)
    gather = item.gathered(read)
    if gather is None:
        return digests[read[0]] if read else ABSENT
    return text_checksum(_canonical([digests.get(output) for output in gather.cells]))


def _map_digest(map: MapSpec) -> str:
    """Return a digest of what changes the table of a mapped node: of a batch only where the function sees all of it."""
    parts = [map.over, map.by, map.parts, 0 if map.is_row_wise else map.batch]
    return text_checksum(_canonical([*parts, map.keep, map.explode, map.on_error]))


def _cells_digest(gather: Gather, reader: str) -> str:
    """Return the number of cells, and a digest of their order and of what the node `reader` can see of their values."""
    if gather.form == "dict":
        seen: Any = [[output.cell(reader), values] for output, values in gather.cells.items()]
    else:
        columns = [(axis, *gather.column(axis)) for axis in gather.columns]
        seen = [[axis, kind, list(values.values())] for axis, kind, values in columns]
    return f"{len(gather.cells)} {text_checksum(_canonical([gather.form, seen]))}"


def cache_key(key_inputs: KeyInputs) -> str:
    """Return the cache key, 32 hex digits. It does not depend on the order of the key inputs."""
    return text_checksum(json.dumps(sorted(key_inputs.items())))


def _canonical(value: Any) -> str:
    """Return the value as JSON. 1, 1.0, true and "1" differ, and so do mappings in another order: nodes see both."""
    return json.dumps(value, ensure_ascii=False)
