"""Renders a plan before anything runs, as text, JSON, Mermaid or Graphviz. Returns strings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from nfrun.core.pipeline import LAST_SECTIONS, NodeSpec, Pipeline
from nfrun.core.plan import Plan, best_speedup, longest_path
from nfrun.core.text import escape_controls
from nfrun.reports.format_units import format_count, format_seconds

if TYPE_CHECKING:
    from nfrun.cache.reuse_decision import ReuseDecision

REUSE_FORMATS = ("text", "json")  # those that show what would be reused
_IF_UNCHANGED = "; reused after all if its inputs turn out the same"


def plan_view(
    pipeline: Pipeline,
    plan: Plan,
    format: str,
    recorded: Mapping[str, float],
    decisions: Mapping[str, ReuseDecision] | None = None,
) -> str:
    """Return the plan as `text`, `json`, `mermaid` or `dot`.

    `recorded` has the seconds that nodes took in earlier runs. `decisions` has the reuse decision of each node, which
    the formats in `REUSE_FORMATS` show.
    """
    if format == "json":
        return json.dumps(as_json(pipeline, plan, decisions), indent=2)
    lines = {"text": _text(pipeline, plan, recorded, decisions), "mermaid": _mermaid(pipeline), "dot": _dot(pipeline)}
    return "\n".join(lines[format])  # these are generators: only this one runs


def as_json(pipeline: Pipeline, plan: Plan, decisions: Mapping[str, ReuseDecision] | None = None) -> dict[str, object]:
    """Return the plan as JSON values. Its keys are stable: users rely on them."""
    stage_of = {name: i for i, stage in enumerate(plan.stages) for name in stage}
    return {
        "name": pipeline.name,
        "stages": [list(stage) for stage in plan.stages],
        "nodes": {
            name: {
                "kind": spec.kind,
                "stage": stage_of[name],
                "inputs": {item.name: item.output for item in spec.inputs},
                "needs": list(spec.needs),
                "outputs": list(spec.output_ids),
                **({} if decisions is None else _reuse_json(decisions[name])),
            }
            for name, spec in pipeline.nodes.items()
        }
        | {name: _disabled_json(spec, pipeline.disabled[name]) for name, spec in pipeline.disabled_nodes.items()},
        "edges": [list(edge) for edge in _edges(pipeline)],
        "longest_path": longest_path(plan)[0],
        **{
            section: {name: {"kind": spec.kind} for name, spec in nodes.items()}
            for section, nodes in _last_sections(pipeline).items()
        },
    }


def _last_sections(pipeline: Pipeline) -> dict[str, Mapping[str, NodeSpec]]:
    """Return the nodes that run when all others have ended, by section; sections without nodes are left out."""
    sections = zip(LAST_SECTIONS, (pipeline.on_failure, pipeline.finally_), strict=True)
    return {section: nodes for section, nodes in sections if nodes}


def _disabled_json(spec: NodeSpec, reason: str) -> dict[str, object]:
    inputs = {item.name: item.output for item in spec.inputs}
    fixed = {"kind": spec.kind, "stage": None, "inputs": inputs, "needs": list(spec.needs)}
    return {**fixed, "outputs": list(spec.output_ids), "disabled": reason}


def _reuse_json(decision: ReuseDecision) -> dict[str, object]:
    return {"resume": "reuse" if decision.hit else "run", "why": decision.reason or None}


def _edges(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    for name, spec in pipeline.nodes.items():
        for need in spec.upstream:
            yield need, name


def _text(
    pipeline: Pipeline, plan: Plan, recorded: Mapping[str, float], decisions: Mapping[str, ReuseDecision] | None
) -> Iterator[str]:
    edges = sum(len(spec.upstream) for spec in pipeline.nodes.values())
    counts = {"node": len(plan.nodes), "stage": len(plan.stages), "edge": edges}
    sizes = ", ".join(format_count(number, thing) for thing, number in counts.items())
    yield f"{escape_controls(pipeline.name)}: {sizes}, at most {max(map(len, plan.stages), default=0)} wide"
    if pipeline.description:
        yield escape_controls(" ".join(pipeline.description.split()))
    is_first = decisions is not None and _none_has_finished(decisions)
    width = min(30, max(map(len, [*plan.nodes, *pipeline.disabled, *pipeline.last_nodes])))
    kind_width = max([6, *(len(spec.kind) for spec in pipeline.nodes.values())])
    for i, stage in enumerate(plan.stages):
        yield f"\nstage {i + 1}  ({format_count(len(stage), 'node')})"
        for name in stage:
            spec = pipeline.nodes[name]
            duration = f"  {format_seconds(recorded[name])}" if name in recorded else ""
            description = f"  ({escape_controls(' '.join(spec.description.split()))})" if spec.description else ""
            decision = decisions[name] if decisions is not None else None
            action = "" if decision is None else "reuse  " if decision.hit else "run    "
            yield f"  {action}{name:<{width}}  {spec.kind:<{kind_width}}{duration}{_reads(spec)}{description}".rstrip()
            if decision is not None and decision.reason and not is_first:
                yield f"         {escape_controls(decision.reason)}{_IF_UNCHANGED if decision.pending else ''}"
    if pipeline.disabled:
        yield f"\ndisabled  ({format_count(len(pipeline.disabled), 'node')})"
        for name, reason in pipeline.disabled.items():
            kind = pipeline.disabled_nodes[name].kind
            yield f"  {'' if decisions is None else ' ' * 7}{name:<{width}}  {kind:<{kind_width}}  {reason}"
    for section, nodes in _last_sections(pipeline).items():
        yield f"\n{section}  ({format_count(len(nodes), 'node')})"
        for name, spec in nodes.items():
            place = "" if decisions is None else " " * 7
            yield f"  {place}{name:<{width}}  {spec.kind:<{kind_width}}{_reads(spec)}".rstrip()
    if not plan.nodes:
        return
    if decisions is not None:
        reused = sum(decision.hit is not None for decision in decisions.values())
        why = ": none has finished in any run that is kept" if is_first else ""
        yield f"\nnfrun run reuses {reused:,} of {format_count(len(decisions), 'node')}{why}"
    path, longest = longest_path(plan)
    shown = [*path[:5], "…", *path[-3:]] if len(path) > 10 else path
    yield f"\nlongest path: {' -> '.join(shown)} ({format_count(len(path), 'node')})"
    known = len(recorded.keys() & plan.nodes.keys())
    ratio = best_speedup(plan.work, longest, plan.slots)
    if known:
        basis = f"{format_seconds(plan.work)} of work, {format_seconds(longest)} on the longest path, as recorded"
        basis += "" if known == len(plan.nodes) else f" for {known} of {format_count(len(plan.nodes), 'node')}"
    else:
        basis = "nothing recorded yet: as if every node took the same time"
    workers = format_count(plan.slots, "worker")
    yield f"best possible with {workers}: {ratio:.1f}x faster than one after the other ({basis})"


def _none_has_finished(decisions: Mapping[str, ReuseDecision]) -> bool:
    from nfrun.cache.reuse_decision import NEVER_FINISHED  # not at the top: `plan --fresh` goes without it

    return all(decision.reason == NEVER_FINISHED for decision in decisions.values())


def _reads(spec: NodeSpec) -> str:
    reads = ", ".join(i.output if i.name in (i.output, i.output.name) else f"{i.name}={i.output}" for i in spec.inputs)
    needs = ", ".join(spec.needs)
    return (f"  reads {reads}" if reads else "") + (f"  needs {needs}" if needs else "")


def _mermaid(pipeline: Pipeline) -> Iterator[str]:
    # Numbered, because some names, such as 'end', are keywords of Mermaid.
    number = {name: f"n{i}" for i, name in enumerate(pipeline.nodes)}
    yield "flowchart LR"
    for name, spec in pipeline.nodes.items():
        yield f'  {number[name]}["{name}<br/><small>{spec.kind}</small>"]'
    for start, end in _edges(pipeline):
        yield f"  {number[start]} --> {number[end]}"


def _dot(pipeline: Pipeline) -> Iterator[str]:
    yield "digraph pipeline {"
    yield "  rankdir=LR; node [shape=box];"
    for name, spec in pipeline.nodes.items():
        yield f'  "{name}" [label="{name}\\n{spec.kind}"];'
    for start, end in _edges(pipeline):
        yield f'  "{start}" -> "{end}";'
    yield "}"
