"""Renders a plan before anything runs, as text, JSON, Mermaid or Graphviz. Returns strings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from nfrun.core.map_spec import MapSpec
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.core.plan import Plan, best_speedup, least_times, longest_path
from nfrun.core.text import escape_controls, shortened
from nfrun.core.values import replace
from nfrun.reports.format_units import format_count, format_seconds
from nfrun.reports.plan_rows import PlanRows, last_sections, none_has_finished

if TYPE_CHECKING:
    from nfrun.history.cache.reuse_decision import ReuseDecision

_MAX_LEFT_OUT = 12  # names of nodes that are not selected
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
    shown = [*path[:5], "…", *path[-3:]] if len(path) > 10 else path
    yield f"\nlongest path: {' -> '.join(shown)} ({format_count(len(path), 'node')})"
    known = len(recorded.keys() & plan.nodes.keys())
    limits = least_times(plan, is_recorded=known > 0)
    bounds = {name: least for name, least in limits.items() if least > max(longest, plan.work / plan.slots) + 1e-9}
    ratio = best_speedup(plan.work, max([longest, *bounds.values()]), plan.slots)
    if known:
        basis = f"{format_seconds(plan.work)} of work, {format_seconds(longest)} on the longest path, as recorded"
        basis += "" if known == len(plan.nodes) else f" for {known} of {format_count(len(plan.nodes), 'node')}"
    else:
        basis = "nothing recorded yet: as if every node took the same time"
    workers = format_count(plan.slots, "worker")
    yield f"best possible with {workers}: {ratio:.1f}x faster than one after the other ({basis})"
    for name, least in bounds.items():
        time = format_seconds(least) if known else f"the time of {least:.3g} nodes"
        yield f"limited by '{name}', of which there is {pipeline.budgets[name].text or 'the memory'}: at least {time}"


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
