"""Makes the record of a run for tests that have a plan and no pipeline file."""

from __future__ import annotations

from nfrun.core.errors import SourceSpan
from nfrun.core.pipeline import NodeSpec, OutputId, Pipeline
from nfrun.core.plan import Plan
from nfrun.core.values import replace
from nfrun.reports.run_record import RunRecord


def record_of_plan(plan: Plan, name: str = "p", **outputs: str) -> RunRecord:
    """Return a record for a pipeline `name` with the nodes of the plan, and these outputs by their shown names."""
    place = SourceSpan("p.yaml", 4, 3)
    nodes = {id: NodeSpec(id, "python", "steps:go", (), {}, (), (), {}, source=place) for id in plan.nodes}
    shown = {output: OutputId(id) for output, id in outputs.items()}
    return RunRecord(plan, Pipeline("p.yaml", "", name, "", {}, {}, nodes, shown))


def with_outputs(record: RunRecord, **outputs: str) -> RunRecord:
    """Give the pipeline of a record these outputs by their shown names."""
    record.pipeline = replace(record.pipeline, outputs={name: OutputId(id) for name, id in outputs.items()})
    return record
