"""Renders a plan before anything runs, as text, JSON, Mermaid or Graphviz. Returns strings.

The text has the nodes stage by stage, with the cells of a matrix on one line.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nfrun.core.map_spec import MapSpec
from nfrun.core.pipeline import LAST_SECTIONS, NodeSpec, OutputId, Pipeline
from nfrun.core.plan import Plan, best_speedup, longest_path
from nfrun.core.text import escape_controls, shortened
from nfrun.core.values import replace
from nfrun.reports.format_units import format_count, format_seconds
from nfrun.reports.run_record import folded, format_path

if TYPE_CHECKING:
    from nfrun.history.cache.reuse_decision import ReuseDecision

_MAX_LEFT_OUT = 12  # names of nodes that do not run
REUSE_FORMATS = ("text", "json")  # those that show what would be reused


def plan_view(
    pipeline: Pipeline,
    plan: Plan,
    format: str,
    recorded: Mapping[str, float],
    decisions: Mapping[str, ReuseDecision] | None = None,
    *,
    verbose: bool = False,
) -> str:
    """Return the plan as `text`, `json`, `mermaid` or `dot`.

    `recorded` has the seconds that nodes took in earlier runs. `decisions` has the reuse decision of each node, which
    the formats in `REUSE_FORMATS` show. Of nodes that are not selected, the text has the names, and JSON says that they
    are not; the other formats leave them out. All formats but JSON show the cells of a matrix as one node; with
    `verbose` the text has a line for each.
    """
    if format == "json":
        return json.dumps(as_json(pipeline, plan, decisions), indent=2)
    left_out = list(dict.fromkeys(pipeline.nodes[name].declared for name in plan.not_selected))
    if plan.not_selected:
        pipeline = replace(
            pipeline, nodes={name: pipeline.nodes[name] for name in pipeline.nodes if name in plan.nodes}
        )
        if decisions is not None:
            decisions = {name: decisions[name] for name in pipeline.nodes}
    text = _text(pipeline, plan, recorded, decisions, left_out, verbose=verbose)
    lines = {"text": text, "mermaid": _mermaid(pipeline), "dot": _dot(pipeline)}
    return "\n".join(lines[format])  # these are generators: only this one runs


def as_json(pipeline: Pipeline, plan: Plan, decisions: Mapping[str, ReuseDecision] | None = None) -> dict[str, object]:
    """Return the plan as JSON values. Its keys are stable: users rely on them."""
    stage_of = {name: i for i, stage in enumerate(plan.stages) for name in stage}
    return {
        "name": pipeline.name,
        "stages": [list(stage) for stage in plan.stages],
        "nodes": {
            name: {
                **_cell_json(spec),
                "kind": spec.kind,
                "stage": stage_of.get(name),
                "inputs": _inputs_json(spec),
                "needs": list(spec.needs),
                "outputs": list(spec.output_ids),
                **({"map": _map_json(spec.map)} if spec.map is not None else {}),
                **({"tags": list(spec.tags)} if spec.tags else {}),
                **({} if name in stage_of else {"not_selected": True}),
                **({} if decisions is None or name not in stage_of else _reuse_json(decisions[name])),
            }
            for name, spec in pipeline.nodes.items()
        }
        | {name: _disabled_json(spec, pipeline.disabled[name]) for name, spec in pipeline.disabled_nodes.items()},
        "edges": [[need, name] for name, spec in pipeline.nodes.items() for need in spec.upstream],
        "longest_path": longest_path(plan)[0],
        **({"resources": written} if (written := _budgets_json(pipeline)) else {}),
        **{
            section: {name: {"kind": spec.kind} for name, spec in nodes.items()}
            for section, nodes in last_sections(pipeline).items()
        },
    }


def _disabled_json(spec: NodeSpec, reason: str) -> dict[str, object]:
    fixed = {"kind": spec.kind, "stage": None, "inputs": _inputs_json(spec), "needs": list(spec.needs)}
    return {**_cell_json(spec), **fixed, "outputs": list(spec.output_ids), "disabled": reason}


def _budgets_json(pipeline: Pipeline) -> dict[str, object]:
    """Return the budgets as the file has them."""
    written = {name: budget for name, budget in pipeline.budgets.items() if budget.text}
    return {name: int(b.amount) if b.is_numbered else b.text for name, b in written.items()}


def _cell_json(spec: NodeSpec) -> dict[str, object]:
    return {"of": spec.of, "matrix": dict(spec.cell)} if spec.of else {}


def _map_json(map: MapSpec) -> dict[str, object]:
    """Return the input that is cut, and what the pieces are: rows of a batch, columns of groups, a number of parts."""
    cut = {"batch": map.rows_per_call, "by": list(map.by), "parts": map.parts}
    return {"over": map.over, **{key: value for key, value in cut.items() if value}}


def _inputs_json(spec: NodeSpec) -> dict[str, object]:
    return {item.name: list(item.gather.cells) if item.gather else item.output for item in spec.inputs}


def _reuse_json(decision: ReuseDecision) -> dict[str, object]:
    checks: dict[str, object] = {"checks": list(decision.checks)} if decision.checks else {}
    if decision.rows is not None:
        checks["rows"] = {"all": decision.rows.rows, "new": decision.rows.rows - decision.rows.reused}
    return {"resume": "reuse" if decision.hit else "run", "why": decision.reason or None, **checks}


def _edges(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    for name, spec in pipeline.nodes.items():
        for need in spec.upstream:
            if need in pipeline.nodes:  # else it is not selected
                yield need, name


def _text(
    pipeline: Pipeline,
    plan: Plan,
    recorded: Mapping[str, float],
    decisions: Mapping[str, ReuseDecision] | None,
    left_out: Sequence[str],
    *,
    verbose: bool,
) -> Iterator[str]:
    counts = {"node": len(plan.nodes), "stage": len(plan.stages), "edge": sum(1 for _ in _edges(pipeline))}
    sizes = ", ".join(format_count(number, thing) for thing, number in counts.items())
    yield f"{escape_controls(pipeline.name)}: {sizes}, at most {max(map(len, plan.stages), default=0)} wide"
    if pipeline.description:
        yield escape_controls(" ".join(pipeline.description.split()))
    yield from PlanRows(pipeline, plan, recorded, decisions, verbose=verbose).lines()
    if left_out:
        yield f"\nnot selected  ({format_count(len(plan.not_selected), 'node')})"
        yield f"  {shortened(left_out, _MAX_LEFT_OUT)}"
    if not plan.nodes:
        return
    if decisions is not None:
        reused = sum(decision.hit is not None for decision in decisions.values())
        why = ": none has finished in any run that is kept" if none_has_finished(decisions) else ""
        yield f"\nnfrun run reuses {reused:,} of {format_count(len(decisions), 'node')}{why}"
    path, longest = longest_path(plan)
    yield f"\nlongest path: {format_path(path, ' -> ')} ({format_count(len(path), 'node')})"
    known = len(recorded.keys() & plan.nodes.keys())
    ratio = best_speedup(plan.work, longest, plan.slots)
    if known:
        basis = f"{format_seconds(plan.work)} of work, {format_seconds(longest)} on the longest path, as recorded"
        basis += "" if known == len(plan.nodes) else f" for {known} of {format_count(len(plan.nodes), 'node')}"
    else:
        basis = "nothing recorded yet: as if every node took the same time"
    workers = format_count(plan.slots, "worker") + (" and no other limits" if pipeline.budgets else "")
    yield f"best possible with {workers}: {ratio:.1f}x faster than one after the other ({basis})"


def _mermaid(pipeline: Pipeline) -> Iterator[str]:
    yield "flowchart LR"
    nodes = _drawn(pipeline)
    # Numbered, because some names, such as 'end', are keywords of Mermaid.
    number = {name: f"n{i}" for i, name in enumerate(nodes)}
    for name, label in nodes.items():
        yield f'  {number[name]}["{name}<br/><small>{label}</small>"]'
    for start, end in _drawn_edges(pipeline):
        yield f"  {number[start]} --> {number[end]}"


def _dot(pipeline: Pipeline) -> Iterator[str]:
    yield "digraph pipeline {"
    yield "  rankdir=LR; node [shape=box];"
    for name, label in _drawn(pipeline).items():
        yield f'  "{name}" [label="{name}\\n{label}"];'
    for start, end in _drawn_edges(pipeline):
        yield f'  "{start}" -> "{end}";'
    yield "}"


def _drawn(pipeline: Pipeline) -> dict[str, str]:
    """Return the kind and the number of cells of each node of the file: people cannot read 200 boxes."""
    cells = Counter(spec.of for spec in pipeline.nodes.values() if spec.of)
    return {
        spec.declared: spec.kind_shown + (f", {format_count(cells[spec.of], 'cell')}" if spec.of else "")
        for spec in pipeline.nodes.values()
    }


def _drawn_edges(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """Return the edges between these, each once."""
    nodes = pipeline.nodes
    return iter(dict.fromkeys((nodes[start].declared, nodes[end].declared) for start, end in _edges(pipeline)))


_IF_UNCHANGED = "; reused after all if its inputs turn out the same"
_MAX_NAME = 30
_MAX_REASONS = 3  # of the cells of a matrix
_MAX_CHECKS = 4  # of a node
_QUOTED = re.compile("'([^']*@[^']*)'")


class PlanRows:
    """The rows of the plan. The cells of a matrix have one in each stage, or with `verbose` one each."""

    def __init__(
        self,
        pipeline: Pipeline,
        plan: Plan,
        recorded: Mapping[str, float],
        decisions: Mapping[str, ReuseDecision] | None,
        *,
        verbose: bool,
    ) -> None:
        self._pipeline = pipeline
        self._recorded = recorded
        self._decisions = decisions
        self._is_first = decisions is not None and none_has_finished(decisions)
        self._verbose = verbose
        self._indent = "" if decisions is None else " " * 7  # of a node about which nothing is decided
        self._stages = [self._groups(stage) for stage in plan.stages]
        names = [name for stage in self._stages for name in stage]
        self._last = last_sections(pipeline)
        names += pipeline.last_nodes
        specs = (*pipeline.nodes.values(), *pipeline.last_nodes.values())
        self._width = min(_MAX_NAME, max(map(len, names), default=0))
        self._kind_width = max([6, *(len(spec.kind_shown) for spec in specs)])
        # By matrix: how many cells it has, and the values of each axis.
        self._cells: dict[str, int] = {}
        self._axes: dict[str, dict[str, set[Any]]] = {}
        for spec in pipeline.nodes.values() if not verbose else ():
            if spec.of:
                self._cells[spec.of] = self._cells.get(spec.of, 0) + 1
                axes = self._axes.setdefault(spec.of, {})
                for axis, value in spec.cell.items():
                    axes.setdefault(axis, set()).add((type(value), value))

    def lines(self) -> Iterator[str]:
        """Yield the lines of all stages, of the nodes that are disabled, and of those that run at the end."""
        for i, groups in enumerate(self._stages):
            yield f"\nstage {i + 1}  ({format_count(sum(map(len, groups.values())), 'node')})"
            for name, specs in groups.items():
                yield self._line(name, specs)
                yield from self._reasons(specs)
                yield from self._new_rows(specs)
        yield from self._disabled_lines()
        for section, nodes in self._last.items():
            yield f"\n{section}  ({format_count(len(nodes), 'node')})"
            for name, spec in nodes.items():
                reads = self._reads(spec, several=False)
                line = f"  {self._indent}{name:<{self._width}}  {spec.kind_shown:<{self._kind_width}}  {reads}"
                yield line.rstrip()

    def _groups(self, stage: Sequence[str]) -> dict[str, list[NodeSpec]]:
        """Return the nodes of a stage by the name to show. A cell that is alone has its own."""
        found: dict[str, list[NodeSpec]] = {}
        for spec in map(self._pipeline.nodes.__getitem__, stage):
            found.setdefault(spec.id if self._verbose else spec.declared, []).append(spec)
        return {specs[0].id if len(specs) == 1 else name: specs for name, specs in found.items()}

    def _line(self, name: str, specs: Sequence[NodeSpec]) -> str:
        spec, several = specs[0], len(specs) > 1
        seconds = [self._recorded[cell.id] for cell in specs if cell.id in self._recorded]
        mean = format_seconds(sum(seconds) / len(seconds)) if seconds else ""
        parts = [
            f"  {self._action(specs)}{name:<{self._width}}  {spec.kind_shown:<{self._kind_width}}",
            self._matrix(specs) if several else "",
            f"map over {spec.map.over} {spec.map.cut_text}" if spec.map is not None else "",
            f"{mean} each" if mean and several else mean,
            self._reads(spec, several),
            f"({escape_controls(' '.join(spec.description.split()))})" if spec.description else "",
        ]
        return "  ".join(filter(None, parts)).rstrip()

    def _action(self, specs: Sequence[NodeSpec]) -> str:
        if self._decisions is None:
            return ""
        return "reuse  " if all(self._decisions[spec.id].hit for spec in specs) else "run    "

    def _matrix(self, specs: Sequence[NodeSpec]) -> str:
        """Return the number of cells, and the lengths of the axes."""
        cells, axes = self._cells[specs[0].of], self._axes[specs[0].of]
        some = f"{len(specs):,} of " if len(specs) < cells else ""
        lengths = " x ".join(f"{axis} ({len(values):,})" for axis, values in axes.items())
        return f"{some}{format_count(cells, 'cell')}: {lengths}"

    def _reads(self, spec: NodeSpec, several: bool) -> str:
        def shown(output: OutputId) -> str:
            reader = self._pipeline.nodes.get(output.node)
            return OutputId(reader.declared, output.name) if several and reader else output

        inputs = [(i.name, shown(i.output), i.output) for i in spec.inputs]
        reads = ", ".join(o if name in (o, output.name) else f"{name}={o}" for name, o, output in inputs)
        needs = ", ".join(dict.fromkeys(shown(OutputId(need)) for need in spec.needs))
        return "  ".join(filter(None, (reads and f"reads {reads}", needs and f"needs {needs}")))

    def _reasons(self, specs: Sequence[NodeSpec]) -> Iterator[str]:
        """Yield why the nodes of a row run: the commonest reasons of cells, each once."""
        if self._decisions is None or self._is_first:
            return
        reasons: dict[str, list[str]] = {}
        for spec in specs:
            if why := _why(self._decisions[spec.id]):
                reasons.setdefault(self._of_matrix(why) if len(specs) > 1 else why, []).append(spec.id)
        ranked = sorted(reasons.items(), key=lambda item: -len(item[1]))
        for why, names in ranked[:_MAX_REASONS]:
            which = "" if len(names) == len(specs) else f"{len(names):,} of {len(specs):,}: "
            if len(names) == 1 and len(specs) > 1:
                which = f"{names[0]}: "
            yield f"         {which}{escape_controls(why)}"
        if len(ranked) > _MAX_REASONS:
            left = sum(len(names) for _, names in ranked[_MAX_REASONS:])
            yield f"         … and {format_count(left, 'more cell')} for other reasons (-v shows each)"

    def _new_rows(self, specs: Sequence[NodeSpec]) -> Iterator[str]:
        """Yield how many rows of mapped nodes are new, where that is known."""
        counts = [self._decisions[spec.id].rows for spec in specs] if self._decisions is not None else []
        known = [each for each in counts if each is not None]
        if known:
            rows, reused = sum(each.rows for each in known), sum(each.reused for each in known)
            yield f"         {rows - reused:,} of {format_count(rows, 'row')} {'is' if rows == 1 else 'are'} new"

    def _of_matrix(self, reason: str) -> str:
        """Return a reason with the names of matrices in place of cells, so that cells can share it."""
        nodes = self._pipeline.nodes
        return _QUOTED.sub(lambda found: f"'{nodes[found[1]].declared}'" if found[1] in nodes else found[0], reason)

    def _disabled_lines(self) -> Iterator[str]:
        reasons: dict[str, list[str]] = {}
        for name, why in self._pipeline.disabled.items():
            reasons.setdefault(why, []).append(name)
        specs = self._pipeline.disabled_nodes.items()
        cells = {} if self._verbose else {name: spec.of for name, spec in specs if spec.of}
        if reasons:
            yield f"\ndisabled  ({format_count(len(self._pipeline.disabled), 'node')})"
        for why, names in reasons.items():
            yield f"  {shortened(folded(names, cells), _MAX_LEFT_OUT)}: {escape_controls(why)}"


def _why(decision: ReuseDecision) -> str:
    """Return why a node runs, or which of its checks are made although it does not; "" if neither."""
    if decision.checks:
        names = shortened([f"'{name}'" for name in decision.checks], _MAX_CHECKS)
        what = f"its check {names} is" if len(decision.checks) == 1 else f"its checks {names} are"
        return f"{what} made on the table that is there"
    return decision.reason and f"{decision.reason}{_IF_UNCHANGED if decision.pending else ''}"


def last_sections(pipeline: Pipeline) -> dict[str, Mapping[str, NodeSpec]]:
    """Return the nodes that run when all others have ended, by section; sections without nodes are left out."""
    sections = zip(LAST_SECTIONS, (pipeline.on_failure, pipeline.finally_), strict=True)
    return {section: nodes for section, nodes in sections if nodes}


def none_has_finished(decisions: Mapping[str, ReuseDecision]) -> bool:
    """Return whether no node has finished in any kept run. The reason is then left out of the rows."""
    from nfrun.history.cache.reuse_decision import NEVER_FINISHED  # not at the top: `plan --fresh` goes without it

    reasons: Iterable[str] = (decision.reason for decision in decisions.values())
    return all(reason == NEVER_FINISHED for reason in reasons)
