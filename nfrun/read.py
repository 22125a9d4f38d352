"""From a YAML file to a `Pipeline`, with every mistake in it found at once. Runs and imports nothing of the user's."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from nfrun.callables import Library
from nfrun.document import Document, load
from nfrun.errors import Problem, SpecError, Where, near, shorten
from nfrun.expressions import OPEN, Flaw, check, has_expression
from nfrun.kinds import KINDS
from nfrun.plan import find_cycles
from nfrun.schema import check_schema
from nfrun.spec import KIND_KEYS, NEVER, Input, NodeSpec, Param, Pipeline, Retry

Keys = tuple[str | int, ...]

RUN_NAMES = ("id", "name", "folder")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])", re.IGNORECASE)
_MOST_PROBLEMS = 1000  # of one sort; more than that is one mistake made by a program
_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def read_pipeline(path: str | os.PathLike[str]) -> tuple[Pipeline, Document]:
    """The pipeline in the file, with its expressions not yet evaluated, and the document it came from.

    Raises SpecError with every problem of the file.
    """
    shown = os.fspath(path)
    document = load(path, shown)
    reader = _Reader(document, Path(path).absolute().parent)
    pipeline = reader.read()
    if reader.problems or pipeline is None:
        raise SpecError(reader.problems)
    return pipeline, document


def seconds(value: str | float) -> float:
    """A duration of the file in seconds: a number of seconds, or a number with ms, s, m, h or d."""
    if isinstance(value, str):
        number = value.rstrip("smhd")
        return float(number) * _UNITS[value[len(number) :]]
    return float(value)


def type_of(value: Any) -> str:
    """The JSON Schema type of a value of the file."""
    return _JSON_TYPES.get(type(value), "array" if isinstance(value, list) else "object")


def has_type(value: Any, wanted: str) -> bool:
    """Whether a value of the file may stand for a parameter of this type; a whole number is a number too."""
    return type_of(value) == wanted or (wanted == "number" and type_of(value) == "integer")


def strings(value: Any, path: Keys = ()) -> Iterator[tuple[Keys, str]]:
    """Every string in a nested value, with its path. No recursion problem: documents are at most 64 deep."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from strings(item, (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from strings(item, (*path, i))


@dataclass
class _Reader:
    """Reads one document. Collects problems and goes on; a value with a problem is left out of what follows."""

    document: Document
    folder: Path
    problems: list[Problem] = field(default_factory=list)
    bad: set[Keys] = field(default_factory=set)

    def read(self) -> Pipeline | None:
        for path, problem in islice(check_schema(self.document), _MOST_PROBLEMS):
            self.problems.append(problem)
            self.spoil(path)
        root = self.document.root
        if not isinstance(root, dict) or not isinstance(root.get("nodes"), dict):
            return None
        self.names(root["nodes"])
        params = {name: self.param(name, value) for name, value in self.mapping(root, "params").items()}
        defaults = self.mapping(root, "defaults")
        nodes = {
            name: self.node(name, body, defaults) for name, body in root["nodes"].items() if isinstance(body, dict)
        }
        self.references(nodes)
        self.cycles(nodes)
        self.expressions(root, params)
        self.kinds(nodes)
        name = root.get("name")
        return Pipeline(
            file=self.document.file,
            folder=str(self.folder),
            name=self.printable(name) if isinstance(name, str) else Path(self.document.file).stem,
            description=str(root.get("description", "")),
            params=params,
            env={key: text(value) for key, value in self.mapping(root, "env").items()},
            nodes=nodes,
            outputs=self.outputs(root, nodes),
        )

    def problem(self, path: Keys, what: str, hint: str = "", *, at_key: bool = False) -> None:
        where = self.document.where_key(*path) if at_key else self.document.where(*path)
        self.problems.append(Problem(where, what, hint))
        self.spoil(path)

    def spoil(self, path: Keys) -> None:
        """Remember that there is a problem here, and so within everything around it."""
        self.bad.update(path[:i] for i in range(1, len(path) + 1))

    def mapping(self, value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """The mapping under a key, empty where there is none or it is not one (the schema has said so)."""
        found = value.get(key)
        return found if isinstance(found, dict) else {}

    def printable(self, name: str) -> str:
        if not name.isprintable() or not name.strip():
            self.problem(("name",), "a pipeline's name is printable text on one line")
        return name

    # -- names and parameters --------------------------------------------------------------------------------------

    def names(self, nodes: Mapping[str, Any]) -> None:
        seen: dict[str, str] = {}
        for name in nodes:
            first = seen.setdefault(name.lower(), name)
            if first != name:
                line = self.document.where_key("nodes", first).line
                what = f"'{shorten(name)}' differs from '{shorten(first)}' (line {line}) only in case"
                self.problem(("nodes", name), what, "files would clash on some systems: rename one", at_key=True)
            if _DEVICES.fullmatch(name):
                self.problem(("nodes", name), f"'{name}' is the name of a device on Windows", "rename it", at_key=True)

    def param(self, name: str, value: Any) -> Param:
        path: Keys = ("params", name)
        if not isinstance(value, dict):
            return Param(name, type_of(value), value)
        default = value.get("default")
        choices = value.get("enum")
        wanted = value.get("type") or type_of(default if "default" in value else (choices or [""])[0])
        if "default" in value and not has_type(default, wanted) and (*path, "type") not in self.bad:
            what = f"the default of '{name}' must be of type {wanted}, and is of type {type_of(default)}"
            self.problem((*path, "default"), what)
        if isinstance(choices, list):
            for i, choice in enumerate(choices):
                if not has_type(choice, wanted):
                    what = f"'{name}' is of type {wanted}, and this value of type {type_of(choice)}"
                    self.problem((*path, "enum", i), what)
            if "default" in value and default not in choices:
                self.problem((*path, "default"), f"the default of '{name}' is not one of its 'enum'")
        return Param(
            name=name,
            type=str(wanted),
            default=default,
            required="default" not in value,
            enum=tuple(choices) if isinstance(choices, list) else (),
            help=str(value.get("help", "")),
        )

    # -- nodes -----------------------------------------------------------------------------------------------------

    def node(self, name: str, body: Mapping[str, Any], defaults: Mapping[str, Any]) -> NodeSpec:
        path: Keys = ("nodes", name)
        kinds = [key for key in KIND_KEYS if key in body]
        if len(kinds) != 1:
            listed = ", ".join(KIND_KEYS)
            what = f"node '{shorten(name)}' has {len(kinds)} kinds: {', '.join(kinds)}" if kinds else ""
            self.problem(path, what or f"node '{shorten(name)}' has no kind", f"give it one of {listed}", at_key=True)
        kind = kinds[0] if len(kinds) == 1 else ""
        merged = {key: value for key, value in defaults.items() if ("defaults", key) not in self.bad}
        merged |= {key: value for key, value in body.items() if (*path, key) not in self.bad}
        with_ = self.mapping(merged, "with")
        outputs = tuple(merged.get("outputs", ()))
        if kind != "run":
            self.shell_only(path, body, kind)
        inputs = tuple(self.inputs(path, merged.get("inputs", [])))
        given = {i.name for i in inputs}
        for key in with_:
            if key in given:
                self.problem((*path, "with", key), f"'{key}' is both an input and a value", at_key=True)
        needs = merged.get("needs", [])
        return NodeSpec(
            id=name,
            kind=kind,
            body=str(merged.get(kind, "")),
            inputs=inputs,
            with_=with_,
            outputs=outputs,
            needs=(needs,) if isinstance(needs, str) else tuple(needs),
            env={
                key: text(value)
                for part in (defaults, body)
                for key, value in self.mapping(part, "env").items()
                if isinstance(value, str | int | float)
            },
            format=merged.get("format", "arrow"),
            retry=_retry(merged.get("retries", 0)),
            timeout=seconds(merged["timeout"]) if "timeout" in merged else None,
            cpu=float(self.mapping(merged, "resources").get("cpu", 1.0)),
            description=str(merged.get("description", "")),
        )

    def shell_only(self, path: Keys, body: Mapping[str, Any], kind: str) -> None:
        if "format" in body:
            what = "'format' is what a shell script reads and writes; only a 'run' node has it"
            self.problem((*path, "format"), what, at_key=True)
        if "env" in body and kind:
            what = "'env' of a node reaches only a 'run' node: the others share one process"
            self.problem((*path, "env"), what, "put it under 'env' of the file", at_key=True)

    def inputs(self, path: Keys, value: Any) -> Iterator[Input]:
        path = (*path, "inputs")
        items: list[tuple[Keys, str | None, Any]] = []
        if isinstance(value, str):
            items = [(path, None, value)]
        elif isinstance(value, list):
            items = [((*path, i), None, ref) for i, ref in enumerate(value)]
        elif isinstance(value, dict):
            items = [((*path, name), name, ref) for name, ref in value.items()]
        seen: set[str] = set()
        for where, given, ref in items:
            if where in self.bad and where != path:
                continue
            node, _, output = ref.partition(".")
            name = given or output or node
            if name in seen:
                hint = f"give them names: {{name: {ref}}}"
                self.problem(where, f"two inputs are called '{name}'", hint)
            elif not name.isidentifier():
                hint = f"give it one: {{{re.sub(r'[^A-Za-z0-9_]', '_', name)}: {ref}}}"
                self.problem(where, f"'{shorten(name)}' cannot be the name of an input", hint)
            seen.add(name)
            yield Input(name, node, ref)

    # -- what nodes say of one another -----------------------------------------------------------------------------

    def references(self, nodes: dict[str, NodeSpec]) -> None:
        """Check every reference, and give the one that names a lone output by its node that output's id."""
        for name, spec in list(nodes.items()):
            value = self.document.root["nodes"][name].get("inputs")
            inputs = []
            for i, item in enumerate(spec.inputs):
                step = () if isinstance(value, str) else (i,) if isinstance(value, list) else (item.name,)
                output = self.reference(name, item.output, nodes, ("nodes", name, "inputs", *step))
                if output:
                    inputs.append(Input(item.name, item.node, output))
            needs = []
            value = self.document.root["nodes"][name].get("needs")
            for i, need in enumerate(spec.needs):
                path: Keys = ("nodes", name, "needs", *(() if isinstance(value, str) else (i,)))
                if need == name:
                    self.problem(path, f"node '{name}' needs itself")
                elif need not in self.document.root["nodes"]:
                    self.problem(
                        path, f"node '{name}' needs '{shorten(need)}', which is not defined", self.meant(need, nodes)
                    )
                elif need in nodes:
                    needs.append(need)
            # Only what holds, so that the search for cycles goes on with the rest. A copy costs 10 us.
            if (tuple(inputs), tuple(needs)) != (spec.inputs, spec.needs):
                nodes[name] = replace(spec, inputs=tuple(inputs), needs=tuple(needs))

    def reference(self, name: str, ref: str, nodes: Mapping[str, NodeSpec], path: Keys) -> str | None:
        node, _, output = ref.partition(".")
        reader = f"node '{shorten(name)}' reads" if name else "'outputs' shows"
        if node == name:
            self.problem(path, f"node '{name}' reads itself")
            return None
        if node not in self.document.root["nodes"]:
            self.problem(path, f"{reader} '{shorten(ref)}', which is not defined", self.meant(ref, nodes))
            return None
        if node not in nodes or ("nodes", node, "outputs") in self.bad:
            return None
        named = nodes[node].outputs
        if not output and len(named) > 1:
            listed = " or ".join(f"'{node}.{n}'" for n in named[:5])
            self.problem(path, f"node '{node}' has {len(named)} outputs", f"say which: {listed}")
            return None
        if output and output not in named:
            guess = near(output, named)
            hint = f"did you mean '{node}.{guess}'?" if guess else f"there is {', '.join(named) or f'{node!r} itself'}"
            self.problem(path, f"node '{node}' has no output '{shorten(output)}'", hint)
            return None
        return f"{node}.{named[0]}" if named and not output else ref

    def meant(self, ref: str, nodes: Mapping[str, NodeSpec]) -> str:
        """The hint for a reference to something that does not exist."""
        wanted = ref.partition(".")[0]
        for spec in nodes.values():
            if wanted in spec.outputs:
                return f"did you mean '{spec.id}.{wanted}'?"
        guess = near(wanted, self.document.root["nodes"])
        return f"did you mean '{guess}' (line {self.document.where_key('nodes', guess).line})?" if guess else ""

    def cycles(self, nodes: Mapping[str, NodeSpec]) -> None:
        for cycle in find_cycles({name: spec.upstream for name, spec in nodes.items()}):
            shown = [*cycle[:5], "…", *cycle[-2:]] if len(cycle) > 10 else cycle
            count = f" ({len(cycle)} nodes)" if len(cycle) > 10 else ""
            circle = " -> ".join([*shown, cycle[0]])
            what = f"these nodes need one another in a circle{count}: {circle}"
            self.problem(("nodes", cycle[0]), what, "take one of these references out", at_key=True)

    def outputs(self, root: Mapping[str, Any], nodes: Mapping[str, NodeSpec]) -> dict[str, str]:
        if "outputs" in root:
            found = {}
            for name, ref in self.mapping(root, "outputs").items():
                if ("outputs", name) not in self.bad and isinstance(ref, str):
                    found[name] = self.reference("", ref, nodes, ("outputs", name)) or ref
            return found
        read = {item.output for spec in nodes.values() for item in spec.inputs}
        return {id: id for spec in nodes.values() for id in spec.output_ids if id not in read}

    # -- expressions and kinds -------------------------------------------------------------------------------------

    def expressions(self, root: Mapping[str, Any], params: Mapping[str, Param]) -> None:
        names = {"params": list(params), "env": None, "run": RUN_NAMES}
        for path, value in strings(root):
            if not has_expression(value):
                continue
            if not _may_hold_expressions(path):
                self.problem(path, "an expression is not evaluated here", _instead(path))
                continue
            for flaw in check(value, names):
                where = self.inside(path, flaw)
                self.problems.append(Problem(where, flaw.what, flaw.hint))
                self.spoil(path)

    def inside(self, path: Keys, flaw: Flaw) -> Where:
        """The place of a flaw within a string, where the string stands in the file as it is."""
        where = self.document.where(*path)
        for quote in (0, 1):
            start = where.column - 1 + quote + flaw.start
            if where.text[start : start + 3] == OPEN:
                return Where(where.file, where.line, start + 1, flaw.length, where.text)
        return where

    def kinds(self, nodes: Mapping[str, NodeSpec]) -> None:
        library = Library(self.folder)
        for name, spec in nodes.items():
            path: Keys = ("nodes", name)
            touched = any((*path, key) in self.bad for key in (spec.kind, "inputs", "with", "outputs"))
            if spec.kind and not touched:
                for mistake in KINDS[spec.kind].check(spec, library):
                    where: Keys = (*path, *self.as_written(path, spec, mistake.path))
                    self.problem(where, mistake.what, mistake.hint, at_key=mistake.at_key)

    def as_written(self, path: Keys, spec: NodeSpec, inner: Keys) -> Keys:
        """An input's path by its name becomes its path in the list it stands in."""
        value = self.document.root["nodes"][path[1]].get("inputs")
        if len(inner) == 2 and inner[0] == "inputs" and not isinstance(value, dict):
            if isinstance(value, list):
                return ("inputs", [i.name for i in spec.inputs].index(str(inner[1])))
            return ("inputs",)
        return inner


def text(value: Any) -> str:
    """A scalar of the file as an environment variable: true and false in lower case."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _retry(value: Any) -> Retry:
    if isinstance(value, int):
        return Retry(max=value) if value else NEVER
    if not isinstance(value, dict):
        return NEVER
    settings: dict[str, Any] = {key: seconds(v) if key.endswith("delay") else v for key, v in value.items()}
    return Retry(**settings)


def _may_hold_expressions(path: Keys) -> bool:
    if path[0] == "env" or path[:2] == ("defaults", "env"):
        return True
    return path[0] == "nodes" and len(path) > 2 and path[2] in ("with", "env", "read", "write")


def _instead(path: Keys) -> str:
    key = path[2] if path[0] == "nodes" and len(path) > 2 else path[0]
    return {
        "sql": "put it under 'with' and write $name: values are bound, never pasted into a query",
        "run": "put it under 'with' and write \"$NFRUN_WITH_name\": values are never pasted into a script",
        "python": "which function runs is fixed; put values under 'with'",
        "inputs": "what a node reads is fixed; put values under 'with'",
        "needs": "what a node needs is fixed",
    }.get(str(key), "expressions stand in 'with', 'env', 'read' and 'write'")
