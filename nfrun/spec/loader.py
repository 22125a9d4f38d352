"""Reads a pipeline file into a `Pipeline` and reports every problem in the file at once.

The user's Python code is read as source, never imported or run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import Diagnostic, SpecError
from nfrun.core.pipeline import NO_RETRY, Input, NodeSpec, Param, Pipeline, Retry
from nfrun.core.plan import find_cycles
from nfrun.core.text import closest_match, ellipsize
from nfrun.nodes.base import Kind
from nfrun.nodes.registry import KINDS
from nfrun.spec.expression_checks import check_expressions
from nfrun.spec.parameters import check_param, env_text, param_of
from nfrun.spec.schema import check_schema
from nfrun.spec.suggestions import SETTINGS, means_kind, node_keys
from nfrun.spec.yaml_document import Document, load
from nfrun.system.runtime import gc_paused
from nfrun.system.units import LONGEST, to_seconds

Keys = tuple[str | int, ...]

_MAX_HINTS = 50  # later problems are not shown, and a closest match among 10,000 names takes 20 ms
_DEVICES = frozenset(["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))])


def read_pipeline(path: str | os.PathLike[str]) -> tuple[Pipeline, Document]:
    """Return the pipeline in the file, its expressions not yet evaluated, and the YAML document.

    Raises SpecError with every problem of the file, in file order.
    """
    shown = os.fspath(path)
    with gc_paused():
        document = load(path, shown)
        reader = _Reader(document, Path(path).absolute().parent)
        pipeline = reader.read()
    if reader.diagnostics or pipeline is None:
        # Drop duplicates: a problem in an anchor is found at every alias too, one in a default at every node.
        raise SpecError(sorted(dict.fromkeys(reader.diagnostics), key=lambda p: (p.span.line, p.span.column)))
    return pipeline, document


@dataclass
class _Reader:
    """Builds the pipeline of one document. Collects the problems and goes on without the values that have one.

    `wrong` holds the paths of problems, `bad` these and all paths above them. `unclear` holds the nodes with an unknown
    key: a key that seems to be missing there may only be misspelt. `owners` maps settings of single kinds to the kind.
    """

    document: Document
    folder: Path
    diagnostics: list[Diagnostic] = field(default_factory=list)
    wrong: set[Keys] = field(default_factory=set)
    bad: set[Keys] = field(default_factory=set)
    unclear: set[str] = field(default_factory=set)
    owners: Mapping[str, Kind] = field(default_factory=lambda: {key: k for k in KINDS.values() for key in k.settings})

    def read(self) -> Pipeline | None:
        """Return the pipeline, None if the document is not a mapping."""
        root = self.document.root
        self.schema_and_expressions()
        if not isinstance(root, dict):
            return None
        bodies = self.mapping(root, "nodes")
        self.names(bodies)
        params = {name: self.param(name, value) for name, value in self.mapping(root, "params").items()}
        defaults = self.mapping(root, "defaults")
        nodes = {name: self.node(name, body, defaults) for name, body in bodies.items() if isinstance(body, dict)}
        self.references(nodes)
        self.cycles(nodes)
        self.kinds(nodes)
        name = root.get("name")
        return Pipeline(
            file=self.document.file,
            folder=str(self.folder),
            name=self.printable(name) if isinstance(name, str) else Path(self.document.file).stem,
            description=str(root.get("description", "")),
            params=params,
            env={key: env_text(value) for key, value in self.mapping(root, "env").items()},
            nodes=nodes,
            outputs=self.outputs(root, nodes),
            secrets=tuple(name for _, name in _items(root.get("secrets"))),
        )

    def report(self, path: Keys, what: str, hint: str = "", *, at_key: bool = False) -> None:
        """Add a problem with the value at `path`, or with its key if `at_key`."""
        where = self.document.key_span(*path) if at_key else self.document.span(*path)
        self.diagnostics.append(Diagnostic(where, what, hint))
        self.mark_wrong(path)

    def mark_wrong(self, path: Keys) -> None:
        """Marks the path as wrong, and it and the paths above it as bad."""
        self.wrong.add(path)
        self.bad.update(path[:i] for i in range(1, len(path) + 1))

    def mapping(self, value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """Return the mapping under `key`, {} if there is none or it is not a mapping (then a schema problem)."""
        found = value.get(key)
        return found if isinstance(found, dict) else {}

    def printable(self, name: str) -> str:
        if ("name",) not in self.bad and not name.isprintable():
            self.report(("name",), "a pipeline's name is printable text on one line")
        return name

    def schema_and_expressions(self) -> None:
        """Add the problems that the schema and the expression checks find; at one path only the expression's."""
        broken = dict(check_schema(self.document))
        for path, diagnostic in [*check_expressions(self.document, broken), *broken.items()]:
            if path not in self.wrong or path not in broken:
                self.diagnostics.append(diagnostic)
            self.mark_wrong(path)
            if len(path) == 3 and path[0] == "nodes" and path[2] not in node_keys():
                self.unclear.add(str(path[1]))

    def names(self, nodes: Mapping[str, Any]) -> None:
        """Reject node names that differ only in case, and names of Windows devices."""
        seen: dict[str, str] = {}
        for name in nodes:
            lower = name.lower()
            first = seen.setdefault(lower, name)
            if first != name:
                line = self.document.key_span("nodes", first).line
                what = f"'{ellipsize(name)}' differs from '{ellipsize(first)}' (line {line}) only in case"
                self.report(("nodes", name), what, "files would clash on some systems: rename one", at_key=True)
            if lower in _DEVICES:
                self.report(("nodes", name), f"'{name}' is the name of a device on Windows", "rename it", at_key=True)

    def param(self, name: str, value: Any) -> Param:
        param = param_of(name, value)
        path: Keys = ("params", name)
        if isinstance(value, dict) and path not in self.bad:
            for inner, what, hint in check_param(param):
                self.report((*path, *inner), what, hint)
        return param

    # -- nodes -----------------------------------------------------------------------------------------------------

    def node(self, name: str, body: Mapping[str, Any], defaults: Mapping[str, Any]) -> NodeSpec:
        """Return the node with `defaults` merged in, without the values that have a problem."""
        path: Keys = ("nodes", name)
        kind = self.kind(name, body)
        merged = {**defaults, **body}
        if self.bad:
            merged = {key: value for key, value in defaults.items() if ("defaults", key) not in self.bad}
            merged |= {key: value for key, value in body.items() if (*path, key) not in self.bad}
        with_ = self.mapping(merged, "with")
        if kind:
            self.misplaced_settings(path, kind, body)
        inputs = tuple(self.inputs(path, body.get("inputs", [])))
        given = {i.name for i in inputs}
        for key in with_:
            if key in given:
                self.report((*path, "with", key), f"'{key}' is both an input and a value", "rename one", at_key=True)
        needs = [] if (*path, "needs") in self.wrong else _items(body.get("needs"))
        return NodeSpec(
            id=name,
            kind=kind,
            body=str(merged.get(kind, "")),
            inputs=inputs,
            with_=with_,
            outputs=self.output_names(path, merged.get("outputs", [])),
            needs=tuple(need for step, need in needs if (*path, "needs", *step) not in self.wrong),
            env={
                key: env_text(value)
                for part in (defaults, body)
                for key, value in self.mapping(part, "env").items()
                if isinstance(value, str | int | float)
            },
            format=merged.get("format", "arrow"),
            retry=self.retry(path, merged.get("retries", 0)),
            timeout=self.seconds((*path, "timeout"), merged["timeout"]) if "timeout" in merged else None,
            executor=merged.get("executor", ""),
            cache=merged.get("cache"),
            cpu=float(self.mapping(merged, "resources").get("cpu", 1.0)),
            description=str(merged.get("description", "")),
            settings={key: merged[key] for key in self.owners if key in merged and key not in SETTINGS},
        )

    def kind(self, name: str, body: Mapping[str, Any]) -> str:
        """Return the kind key of a node, "" if it has none or several."""
        kinds = [key for key in body if key in KINDS]
        if len(kinds) > 1:
            what = f"node '{ellipsize(name)}' has {len(kinds)} kinds: {', '.join(kinds)}"
            self.report(("nodes", name, kinds[1]), what, "a node is one of them; make it several nodes", at_key=True)
        elif not kinds and not any(means_kind(key) for key in body if key not in node_keys()):
            hint = f"give it one of {', '.join(KINDS)}"
            self.report(("nodes", name), f"node '{ellipsize(name)}' has no kind", hint, at_key=True)
        return kinds[0] if len(kinds) == 1 else ""

    def seconds(self, path: Keys, value: str | float) -> float:
        """Convert a duration to seconds. Rejects one longer than a year."""
        found = to_seconds(value)
        if found > LONGEST:
            inside = self.document.root["nodes"][path[1]]
            self.report(path if path[2] in inside else ("defaults", *path[2:]), f"'{path[-1]}' is longer than a year")
        return found

    def retry(self, path: Keys, value: Any) -> Retry:
        if not isinstance(value, dict):
            return Retry(max=int(value)) if value else NO_RETRY
        settings: dict[str, Any] = {"max": int(value["max"])}
        for key, setting in value.items():
            if key.endswith("delay"):
                settings[key] = self.seconds((*path, "retries", key), setting)
            elif key != "max":
                settings[key] = float(setting)
        return Retry(**settings)

    def misplaced_settings(self, path: Keys, kind: str, body: Mapping[str, Any]) -> None:
        """Reject the settings that only nodes of other kinds have."""
        for key, owner in self.owners.items():
            if key in body and key not in KINDS[kind].settings:
                usual = (f"only a '{owner.name}' node has '{key}'", "remove it")
                what, hint = owner.misplaced_settings.get(key, usual)
                self.report((*path, key), what, KINDS[kind].setting_hints.get(key, hint), at_key=True)

    def output_names(self, path: Keys, names: list[str]) -> tuple[str, ...]:
        seen: dict[str, str] = {}
        for i, name in enumerate(names):
            if seen.setdefault(name.lower(), name) != name:
                what = f"'{name}' differs from '{seen[name.lower()]}' only in case"
                self.report((*path, "outputs", i), what, "files would clash on some systems: rename one")
        return tuple(names)

    def inputs(self, path: Keys, value: Any) -> Iterator[Input]:
        """Yield the inputs of a node. Rejects duplicate names, and names that are no identifiers."""
        seen: set[str] = set()
        for step, name, ref in _input_refs(value):
            where: Keys = (*path, "inputs", *step)
            if where in self.wrong:
                continue
            if name in seen:
                hint = f"name them: inputs: {{{name}: {ref}, other: …}}"
                self.report(where, f"two inputs are called '{name}'", hint)
            elif not name.isidentifier():
                hint = f"name it: inputs: {{{re.sub(r'[^A-Za-z0-9_]', '_', name)}: {ref}}}"
                self.report(where, f"'{ellipsize(name)}' cannot be the name of an input", hint)
            seen.add(name)
            yield Input(name, ref.partition(".")[0], ref)

    # -- references between nodes ----------------------------------------------------------------------------------

    def references(self, nodes: dict[str, NodeSpec]) -> None:
        """Check every reference. Replaces the name of a node that has one named output by that output's id."""
        bodies = self.document.root.get("nodes")
        one = {name for name, spec in nodes.items() if not spec.outputs}
        for name, spec in list(nodes.items()):
            # Most nodes end here. The full check of every reference of 100,000 nodes takes a second.
            if all(item.output in one and item.output != name for item in spec.inputs) and not spec.needs:
                continue
            inputs = []
            steps = {given: step for step, given, _ in _input_refs(bodies[name].get("inputs"))} if spec.inputs else {}
            for item in spec.inputs:
                path: Keys = ("nodes", name, "inputs", *steps[item.name])
                output = self.reference(name, item.output, nodes, path)
                if output:
                    inputs.append(Input(item.name, item.node, output))
            needs = []
            for step, need in _items(bodies[name].get("needs") if spec.needs else []):
                path = ("nodes", name, "needs", *step)
                if path in self.wrong:
                    continue
                if need == name:
                    self.report(path, f"node '{name}' needs itself", "remove it")
                elif need not in bodies:
                    what = f"node '{ellipsize(name)}' needs '{ellipsize(need)}', which is not defined"
                    self.report(path, what, self.ref_hint(need, name, {}))
                elif need in nodes:
                    needs.append(need)
            # Keep only valid references, so that cycles can be searched. Copy only if needed: a copy takes 10 us.
            if (tuple(inputs), tuple(needs)) != (spec.inputs, spec.needs):
                nodes[name] = replace(spec, inputs=tuple(inputs), needs=tuple(needs))

    def reference(self, name: str, ref: str, nodes: Mapping[str, NodeSpec], path: Keys) -> str | None:
        """Return the output id that node `name` ("" for the file's `outputs`) refers to, None if there is none."""
        node, _, output = ref.partition(".")
        reader = f"node '{ellipsize(name)}' reads" if name else "'outputs' shows"
        if node == name:
            self.report(path, f"node '{name}' reads itself", "a node reads the outputs of others")
            return None
        if node not in self.document.root["nodes"]:
            self.report(path, f"{reader} '{ellipsize(ref)}', which is not defined", self.ref_hint(ref, name, nodes))
            return None
        if node not in nodes or node in self.unclear or ("nodes", node, "outputs") in self.bad:
            return ref  # the problem of that node is reported already, so accept the input
        named = nodes[node].outputs
        if not output and len(named) > 1:
            listed = " or ".join(f"'{node}.{n}'" for n in named[:5])
            self.report(path, f"node '{node}' has {len(named)} outputs", f"say which: {listed}")
            return None
        if output and output not in named:
            guess = closest_match(output, named)
            hint = f"did you mean '{node}.{guess or named[0]}'?" if named and (guess or len(named) == 1) else ""
            hint = hint or (f"there is {_listed(f'{node}.{n}' for n in named)}" if named else f"did you mean '{node}'?")
            self.report(path, f"node '{node}' has no output '{ellipsize(output)}'", hint)
            return None
        return f"{node}.{named[0]}" if named and not output else ref

    def ref_hint(self, ref: str, name: str, nodes: Mapping[str, NodeSpec]) -> str:
        """Return the hint for a reference from node `name` to an unknown node; outputs of `nodes` are suggested."""
        wanted, _, output = ref.partition(".")
        for spec in nodes.values():
            if wanted in spec.outputs:
                return f"did you mean '{spec.id}.{wanted}'?"
        known = [other for other in self.document.root["nodes"] if other != name]
        guess = closest_match(wanted, known) if len(self.diagnostics) < _MAX_HINTS else None
        if guess:
            full_name = f"{guess}.{output}" if guess in nodes and output in nodes[guess].outputs else guess
            return f"did you mean '{ellipsize(full_name)}' (line {self.document.key_span('nodes', guess).line})?"
        return f"there is {_listed(known)}" if 0 < len(known) <= 10 else ""

    def cycles(self, nodes: Mapping[str, NodeSpec]) -> None:
        for cycle in find_cycles({name: spec.upstream for name, spec in nodes.items()}):
            shown = [*cycle[:5], "…", *cycle[-2:]] if len(cycle) > 10 else cycle
            count = f" ({len(cycle):,} nodes)" if len(cycle) > 10 else ""
            circle = " -> ".join([*shown, cycle[0]])
            body = self.document.root["nodes"][cycle[0]]
            paths = [
                ("nodes", cycle[0], key, *step)
                for key in ("inputs", "needs")
                for step, _, ref in _input_refs(body.get(key))
                if ref.partition(".")[0] == cycle[1]
            ]
            what = f"these nodes need one another in a circle{count}: {circle}"
            self.report(paths[0], what, "remove one of these references")

    def outputs(self, root: Mapping[str, Any], nodes: Mapping[str, NodeSpec]) -> dict[str, str]:
        """Return shown name -> output id: those under `outputs`, or without that key all that no node reads."""
        if "outputs" in root:
            found = {}
            for name, ref in self.mapping(root, "outputs").items():
                if ("outputs", name) not in self.bad and "nodes" in root:
                    found[name] = self.reference("", ref, nodes, ("outputs", name)) or ref
            return found
        read = {item.output for spec in nodes.values() for item in spec.inputs}
        return {id: id for spec in nodes.values() for id in spec.output_ids if id not in read}

    def kinds(self, nodes: Mapping[str, NodeSpec]) -> None:
        """Run the checks of each node's kind, and reject nodes that write the same file."""
        functions = FunctionLookup(self.folder)
        writers: dict[str, str] = {}
        for name, spec in nodes.items():
            path: Keys = ("nodes", name)
            if not spec.kind or (*path, spec.kind) in self.bad:
                continue
            wrong = [key for key in ("inputs", "with", "outputs") if (*path, key) in self.bad]
            for diagnostic in KINDS[spec.kind].check(spec, functions):
                # The kind does not see values that have a problem, so it may miss one of them.
                if diagnostic.path[0] in wrong or (diagnostic.counts and (wrong or name in self.unclear)):
                    continue
                where: Keys = (*path, *self.as_written(spec, diagnostic.path))
                named = diagnostic.at_key and len(where) == len(path) + len(diagnostic.path)
                self.report(where, diagnostic.message, diagnostic.hint, at_key=named)
            for file in KINDS[spec.kind].external_outputs(spec, self.folder):
                if (first := writers.setdefault(os.path.normpath(file), name)) != name:
                    line = self.document.key_span("nodes", first).line
                    self.report((*path, spec.kind), f"node '{first}' (line {line}) writes this file too", "rename one")

    def as_written(self, spec: NodeSpec, inner: Keys) -> Keys:
        """Convert the path of an input by its name to its path in the file, where inputs may be a string or list."""
        value = self.document.root["nodes"][spec.id].get("inputs")
        if len(inner) < 2 or inner[0] != "inputs" or isinstance(value, dict):
            return inner
        return next(("inputs", *step) for step, name, _ in _input_refs(value) if name == inner[1])


def _items(value: Any) -> Iterator[tuple[Keys, Any]]:
    """Yield the items of a string, list or mapping (such as `inputs`), each with the steps that lead to it."""
    if isinstance(value, str):
        yield (), value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield (key,), item
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield (i,), item


def _input_refs(value: Any) -> Iterator[tuple[Keys, str, str]]:
    """Yield the steps, input name and reference of each string under `inputs`; skips other values."""
    for step, ref in _items(value):
        if isinstance(ref, str):
            node, _, output = ref.partition(".")
            yield step, str(step[0]) if isinstance(value, dict) else output or node, ref


def _listed(names: Any) -> str:
    return ", ".join(f"'{ellipsize(name)}'" for name in names)
