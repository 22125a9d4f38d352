"""Writes and reads the plan of a run: what its nodes are and read, what they wait for, and on what it ran.

It is one file in the folder of the run, written once before the first node starts, so that what is known of a run that
was killed does not end with its journal. Runs of an older nfrun have none, and neither has one whose disk was full.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nfrun.core.budgets import Budget
from nfrun.core.pipeline import LAST_SECTIONS, NO_RETRY, NOTHING, NodeSpec, OutputId, Pipeline, Retry
from nfrun.core.plan import Node, Plan
from nfrun.core.values import asdict, field, frozen
from nfrun.system.atomic_files import read_regular_file

PLAN = "plan.json"
_VERSION = 2
_SECOND = 1_000_000  # estimated durations are in whole microseconds
_ONE_CPU = (("cpu", 1.0),)
_CLOSING = ")]}, "
_PIPELINE_FILES = (".yaml", ".yml")
_LONGEST_TEXT = 4_000_000  # characters of a pipeline file whose text is kept
_NUMBER = (int, float)
_ON = {
    **dict.fromkeys(("slots", "cores", "memory"), int),
    **dict.fromkeys(("executor", "schedule", "platform"), str),
    "began": _NUMBER,
    "keep_going": bool,
}
_BUDGET = {"amount": _NUMBER, "text": str, "is_size": bool, "per": _NUMBER}
_RETRY = {"max": int, **dict.fromkeys(("delay", "backoff", "max_delay", "jitter"), _NUMBER)}
_NODE = {
    **dict.fromkeys(("id", "kind", "of", "section", "executor", "disabled"), str),
    **dict.fromkeys(("file", "line"), int),
    **dict.fromkeys(("references", "outputs", "needs", "takes"), list),
    **dict.fromkeys(("inputs", "cell", "retry"), dict),
    **dict.fromkeys(("estimated", "timeout"), _NUMBER),
    **dict.fromkeys(("continue_on_error", "is_mapped", "is_async"), bool),
}
_NOT_READ = (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError)


@frozen
class Circumstances:
    """On what a run ran, and how. `cores` and `memory`, in bytes, are those that the process may use.

    `began` is when the command began, in seconds since 1970; of a run that a program made, when this was called.
    `executor` and `schedule` are those of the options.
    """

    began: float = 0.0
    slots: int = 0
    executor: str = ""
    schedule: str = ""
    keep_going: bool = False
    cores: int = 0
    memory: int = 0
    platform: str = ""


@frozen
class PlannedNode:
    """A node of the plan of a run.

    `inputs` has what it may read, by the names of its inputs, and `references` what its checks refer to. `needs` are
    the nodes that it waits for without reading anything of them. `file` and `line` are its place in a pipeline file.
    `executor` is "" for threads. `estimated` is in seconds. `takes` is what it takes of the budgets. `section` is the
    key of the file under which it stands. With `is_async`, the calls of a mapped one are made on the event loop.
    `disabled` says why it does not run, "" if it may. The other fields are as in `NodeSpec`.
    """

    id: str
    kind: str
    file: str = ""
    line: int = 0
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: NOTHING)
    references: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    of: str = ""
    cell: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    section: str = "nodes"
    executor: str = ""
    estimated: float = 1.0
    takes: tuple[tuple[str, float], ...] = _ONE_CPU
    retry: Retry = NO_RETRY
    timeout: float | None = None
    continue_on_error: bool = False
    is_mapped: bool = False
    is_async: bool = False
    disabled: str = ""

    @property
    def runs_last(self) -> bool:
        """Whether it is one of those that run when all others have ended."""
        return self.section in LAST_SECTIONS

    @property
    def output_ids(self) -> tuple[OutputId, ...]:
        """The ids of its outputs."""
        return tuple([OutputId(self.id, name) for name in self.outputs or ("",)])


@frozen
class RunPlan:
    """The plan of a run. `texts` are those of the pipeline files, by the names that nodes have them under; of a
    program that made nodes, they have the lines of these alone."""

    on: Circumstances
    nodes: Mapping[str, PlannedNode]
    budgets: Mapping[str, Budget]
    texts: Mapping[str, str]


def write_run_plan(
    folder: Path,
    pipeline: Pipeline,
    plan: Plan,
    on: Circumstances,
    *,
    executors: Mapping[str, str],
    redact: Any = None,
) -> None:
    """Write the plan of a run into its folder. The texts of pipeline files go through `redact`. Raises OSError.

    `executors` are those of nodes that do not run on threads.
    """
    specs = (*pipeline.nodes.values(), *pipeline.last_nodes.values(), *pipeline.disabled_nodes.values())
    files: dict[str, int] = {}
    more: dict[int, dict[str, Any]] = {}
    for index, spec in enumerate(specs):
        if found := _more_of(spec, plan.nodes.get(spec.id)):
            more[index] = found
        if file := files.setdefault(spec.source.file, len(files)):
            more.setdefault(index, {})["file"] = file
    places = {spec.id: index for index, spec in enumerate(specs)} if executors or pipeline.disabled else {}
    for name, given in (("executor", executors), ("disabled", pipeline.disabled)):
        for id, value in given.items():
            if id in places:
                more.setdefault(places[id], {})[name] = value
    estimated = {name: int(node.estimated_duration * _SECOND) for name, node in plan.nodes.items()}
    document = {
        "version": _VERSION,
        "on": asdict(on),
        "budgets": {name: asdict(budget) for name, budget in plan.budgets.items()},
        "ids": [spec.id for spec in specs],
        "kinds": [spec.kind_shown for spec in specs],
        "lines": [spec.source.line for spec in specs],
        "estimated": [estimated.get(spec.id, _SECOND) for spec in specs],
        "more": more,
        "files": list(files),
        "texts": [_text_of(file, redact, _kept_lines(pipeline, file)) for file in files],
    }
    with open(folder / PLAN, "xb", opener=_private) as out:
        out.write(json.dumps(document, separators=(",", ":")).encode())


def _private(path: str, flags: int) -> int:
    """Open a new file that others cannot read, as they cannot read the journal."""
    return os.open(path, flags, 0o600)


def _more_of(spec: NodeSpec, node: Node | None) -> dict[str, Any]:
    """Return what a node has that not all nodes have. An input that reads one output is that, others are lists."""
    found: dict[str, Any] = {}
    if spec.inputs:
        found["inputs"] = {
            item.name: item.output if item.gather is None and item.alternative is None else item.outputs
            for item in spec.inputs
        }
    if spec.references:
        found["references"] = [output for item in spec.references for output in item.outputs]
    if spec.outputs:
        found["outputs"] = spec.outputs
    if spec.needs:
        found["needs"] = spec.needs
    if spec.of:
        found |= {"of": spec.of, "cell": spec.cell}
    if spec.section != "nodes":
        found["section"] = spec.section
    if spec.map is not None:
        found["is_mapped"] = True
        if spec.map.form is not None and spec.map.form.is_async:
            found["is_async"] = True
    if node is None:
        return found
    if node.resources != _ONE_CPU:
        found["takes"] = node.resources
    if node.retry is not NO_RETRY and node.retry != NO_RETRY:
        found["retry"] = asdict(node.retry)
    if node.timeout is not None:
        found["timeout"] = node.timeout
    if node.continue_on_error:
        found["continue_on_error"] = True
    return found


def _kept_lines(pipeline: Pipeline, file: str) -> list[int] | None:
    """Return the lines with nodes of a file that is no pipeline file, but a program that made nodes; None for others.

    Of a program, no more is kept than is shown.
    """
    path = Path(file)
    if path.suffix.lower() in _PIPELINE_FILES or path.name == Path(pipeline.file).name:
        return None
    specs = [*pipeline.nodes.values(), *pipeline.last_nodes.values(), *pipeline.disabled_nodes.values()]
    return [spec.source.line for spec in specs if spec.source.file == file]


def _text_of(file: str, redact: Any, kept: list[int] | None) -> str:
    with suppress(OSError, ValueError):
        text = Path(file).read_text(encoding="utf-8")
        if len(text) <= _LONGEST_TEXT:
            if kept is not None:
                lines = text.split("\n")
                shown = {index for line in kept for index in definition_lines(lines, line)}
                text = "\n".join([line if index in shown else "" for index, line in enumerate(lines)])
            return str(redact(text)) if redact else text
    return ""


def definition_lines(lines: Sequence[str], line: int) -> range:
    """Return the indexes of the lines of a node whose first `line`, from 1, is given.

    They go to the next line that is not indented more, without the comments and empty lines before it, and with it if
    it only closes brackets.
    """
    if not 0 < line <= len(lines):
        return range(0)
    indent, end = _indent(lines[line - 1]), line
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > indent):
        end += 1
    if end < len(lines) and lines[end].strip() and not lines[end].strip(_CLOSING):
        return range(line - 1, end + 1)
    while end > line and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return range(line - 1, end)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def read_run_plan(folder: Path) -> RunPlan | None:
    """Return the plan of a run, None where its folder has none that can be read."""
    try:
        found = json.loads(read_regular_file(folder / PLAN))
        if found["version"] != _VERSION:
            return None
        files, texts = _texts(found["files"]), _texts(found["texts"])
        columns = zip(found["ids"], found["kinds"], found["lines"], found["estimated"], strict=True)
        more: dict[str, dict[str, Any]] = found["more"]
        nodes = {
            id: _node_of({"id": id, "kind": kind, "line": line, "estimated": seconds, **more.get(str(i), {})}, files)
            for i, (id, kind, line, seconds) in enumerate(columns)
        }
        budgets = {name: Budget(**_checked(budget, _BUDGET)) for name, budget in found["budgets"].items()}
        return RunPlan(
            Circumstances(**_checked(found["on"], _ON)), nodes, budgets, dict(zip(files, texts, strict=True))
        )
    except _NOT_READ:
        return None


def read_node_names(folder: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the nodes of a run by id: the matrix of which each is a cell, "" for none, and the names of its outputs.

    Reads less than `read_run_plan`. Empty where the folder has no plan that can be read.
    """
    try:
        found = json.loads(read_regular_file(folder / PLAN))
        if found["version"] != _VERSION:
            return {}
        more: dict[str, dict[str, Any]] = found["more"]
        parts = ((id, more.get(str(i), {})) for i, id in enumerate(_texts(found["ids"])))
        return {id: (str(part.get("of", "")), _texts(part.get("outputs", []))) for id, part in parts}
    except _NOT_READ:
        return {}


def _checked(found: dict[str, Any], types: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping whose values have the types of its fields. Raises TypeError, LookupError, AttributeError."""
    for name, value in found.items():
        if not isinstance(value, types[name]):
            raise TypeError(name)
    return found


def _texts(found: list[str]) -> tuple[str, ...]:
    """Return a list of texts. Raises TypeError."""
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise TypeError("texts")
    return tuple(found)


def _node_of(line: dict[str, Any], files: Sequence[str]) -> PlannedNode:
    """Return the node in a line. Raises one of _NOT_READ where a value is none of its field."""
    _checked(line, _NODE)
    line["file"] = files[line.get("file", 0)]
    for name in ("references", "outputs", "needs"):
        if name in line:
            line[name] = _texts(line[name])
    if "inputs" in line:
        line["inputs"] = {
            name: (outputs,) if isinstance(outputs, str) else _texts(outputs)
            for name, outputs in line["inputs"].items()
        }
    if "estimated" in line:
        line["estimated"] /= _SECOND
    if "takes" in line:
        line["takes"] = tuple([(str(name), float(amount)) for name, amount in line["takes"]])
    if "retry" in line:
        line["retry"] = Retry(**_checked(line["retry"], _RETRY))
    return PlannedNode(**line)
