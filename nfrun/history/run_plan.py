"""Writes and reads the plan of a run: what its nodes are and read, what they wait for, and on what it ran.

It is in the history before the first node starts, so that it is known of a run that was killed. Runs of an older nfrun
have none, and neither has one whose disk was full.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

from nfrun.core.pipeline import LAST_SECTIONS, NOTHING, OutputId, Pipeline
from nfrun.core.plan import Plan
from nfrun.core.values import field, frozen
from nfrun.history.database import PLANS, Database
from nfrun.history.json_values import value_of
from nfrun.history.work_dir import WorkDir

_CPU = "cpu"  # the resource that slots are
_CLOSING = ")]}, "


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
    cores: int = 0
    memory: int = 0
    platform: str = ""


@frozen
class PlannedNode:
    """A node of the plan of a run.

    `inputs` has what it may read, by the names of its inputs, and `references` what its checks refer to. `needs` are
    the nodes that it waits for without reading anything of them. `file` and `line` are its place in a pipeline file.
    `executor` is "" for threads. `resources` are the budgets of which it takes something besides slots, and `has_rate`
    says whether one of them is a rate. `section` is the key of the file under which it stands. `disabled` says why it
    does not run, "" if it may. The other fields are as in `NodeSpec`.
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
    resources: tuple[str, ...] = ()
    has_rate: bool = False
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
    """The plan of a run. `texts` are the lines of nodes in their files, by their places as `place_of` returns them."""

    on: Circumstances
    nodes: Mapping[str, PlannedNode]
    texts: Mapping[str, str]


def place_of(node: PlannedNode) -> str:
    """Return the place of a node: the pipeline file, and the line."""
    return f"{node.file}:{node.line}"


def write_run_plan(
    database: Database,
    run: str,
    pipeline: Pipeline,
    plan: Plan,
    on: Circumstances,
    *,
    executors: Mapping[str, str],
    redact: Any = None,
) -> None:
    """Write the plan of the run with this id. The texts of nodes go through `redact`.

    `executors` are those of nodes that do not run on threads.
    """
    specs = (*pipeline.nodes.values(), *pipeline.last_nodes.values(), *pipeline.disabled_nodes.values())
    rates = {name for name, budget in plan.budgets.items() if budget.per}
    nodes: dict[str, PlannedNode] = {}
    texts: dict[str, str] = {}
    lines_of = cache(_lines_of)
    for spec in specs:
        resources = plan.nodes[spec.id].resources if spec.id in plan.nodes else ()
        takes = tuple([name for name, _ in resources if name != _CPU])
        node = nodes[spec.id] = PlannedNode(
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
            executors.get(spec.id, ""),
            takes,
            not rates.isdisjoint(takes),
            pipeline.disabled.get(spec.id, ""),
        )
        if (place := place_of(node)) not in texts:
            text = _definition(lines_of(node.file), node.line, spec.local_name)
            texts[place] = redact(text) if redact else text
    database.kept(PLANS, run)[1](RunPlan(on, nodes, texts))


def _lines_of(file: str) -> list[str]:
    with suppress(OSError, ValueError):
        return Path(file).read_text(encoding="utf-8").split("\n")
    return []


def _definition(lines: Sequence[str], line: int, name: str) -> str:
    """Return the lines of a node without their indent, "" if they do not have its name: the file was being changed."""
    found = [lines[index] for index in _definition_lines(lines, line)]
    if not any(name in text for text in found):
        return ""
    return "\n".join([text[_indent(found[0]) :] for text in found])


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
