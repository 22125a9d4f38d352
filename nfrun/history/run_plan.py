"""Writes and reads the plan of a run: what its nodes are and read, what they wait for, and on what it ran.

It is in the history before the first node starts, so that it is known of a run that was killed. Runs of an older nfrun
have none, and neither has one whose disk was full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from nfrun.core.budgets import Budget
from nfrun.core.pipeline import LAST_SECTIONS, NO_RETRY, NOTHING, NodeSpec, OutputId, Pipeline, Retry
from nfrun.core.plan import Node, Plan
from nfrun.core.values import field, frozen
from nfrun.history.database import PLANS, Database
from nfrun.history.json_values import value_of
from nfrun.history.work_dir import WorkDir

_ONE_CPU = (("cpu", 1.0),)
_CLOSING = ")]}, "
_LONGEST_TEXT = 4_000_000  # characters of a file of which definitions are kept


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
    """The plan of a run. `texts` are the lines with the definitions of nodes, by their places: `p.yaml:3`."""

    on: Circumstances
    nodes: Mapping[str, PlannedNode]
    budgets: Mapping[str, Budget]
    texts: Mapping[str, str]


def write_run_plan(
    database: Database,
    run: str,
    pipeline: Pipeline,
    plan: Plan,
    on: Circumstances,
    *,
    executors: Mapping[str, str],
    redact: Callable[[str], str] = str,
) -> None:
    """Write the plan of the run with this id. The texts of definitions go through `redact`.

    `executors` are those of nodes that do not run on threads.
    """
    specs = (*pipeline.nodes.values(), *pipeline.last_nodes.values(), *pipeline.disabled_nodes.values())
    nodes = [
        _planned(spec, plan.nodes.get(spec.id), executors.get(spec.id, ""), pipeline.disabled.get(spec.id, ""))
        for spec in specs
    ]
    found = RunPlan(on, {node.id: node for node in nodes}, dict(plan.budgets), _texts_of(specs, redact))
    database.kept(PLANS, run)[1](found)


def _planned(spec: NodeSpec, node: Node | None, executor: str, disabled: str) -> PlannedNode:
    more: dict[str, Any] = {}
    if node is not None:
        names = ("retry", "timeout", "continue_on_error")
        more = {"estimated": node.estimated_duration, "takes": node.resources}
        more |= {name: getattr(node, name) for name in names}
    return PlannedNode(
        spec.id,
        spec.kind_shown,
        spec.source.file,
        spec.source.line,
        {item.name: item.outputs for item in spec.inputs},
        tuple([output for item in spec.references for output in item.outputs]),
        tuple(spec.outputs),
        tuple(spec.needs),
        spec.of,
        spec.cell,
        spec.section,
        executor,
        is_mapped=spec.map is not None,
        is_async=spec.map is not None and spec.map.form is not None and spec.map.form.is_async,
        disabled=disabled,
        **more,
    )


def _texts_of(specs: Iterable[NodeSpec], redact: Callable[[str], str]) -> dict[str, str]:
    """Return the lines with the definitions of nodes, by their places. Of files, no more is kept than is shown."""
    lines_of: dict[str, list[str]] = {}
    found: dict[str, str] = {}
    for spec in specs:
        file, line = spec.source.file, spec.source.line
        if file not in lines_of:
            lines_of[file] = redact(_read(file)).split("\n")
        if (place := f"{file}:{line}") not in found:
            found[place] = "\n".join(lines_of[file][index] for index in _definition_lines(lines_of[file], line))
    return found


def _read(file: str) -> str:
    with suppress(OSError, ValueError):
        text = Path(file).read_text(encoding="utf-8")
        return text if len(text) <= _LONGEST_TEXT else ""
    return ""


def _definition_lines(lines: Sequence[str], line: int) -> range:
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
    """Return the plan of the run with this folder, None where the history has none."""
    with closing(Database(WorkDir(folder.parent.parent))) as database:
        found = database.kept(PLANS, folder.name)[0]()
    return value_of(RunPlan, found) if found else None
