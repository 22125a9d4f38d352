"""Finds the results of earlier runs that selected nodes read of nodes that are not selected, before anything runs.

Only a result counts that a run of all nodes would reuse for sure. So nothing is read that is out of date.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from nfrun.core.errors import SelectionError
from nfrun.core.file_source import DIGEST_OF_FILES
from nfrun.core.pipeline import NOTHING, NodeSpec, OutputId, Pipeline
from nfrun.core.plan import Plan, selected_plan
from nfrun.core.values import field, frozen
from nfrun.history.cache.reuse_decision import ReuseDecision
from nfrun.history.journal import FinishedNode
from nfrun.history.run_history import RunHistory
from nfrun.nodes.registry import kind_of


@frozen
class SelectedInputs:
    """What nodes that are not selected give to a run.

    `given` are the journal entries of nodes whose results are used, by node. Those in `sources` are not given: they
    only read files of this machine, and their tables are not kept. They read the files again, which are unchanged.
    """

    given: Mapping[str, FinishedNode] = field(default_factory=lambda: NOTHING)
    sources: Mapping[str, FinishedNode] = field(default_factory=lambda: NOTHING)


def find_selected_inputs(
    pipeline: Pipeline, selected: Collection[str], decisions: Mapping[str, ReuseDecision], history: RunHistory
) -> SelectedInputs:
    """Return what selected nodes, and those that run last, read of nodes that are not selected.

    Raises SelectionError if a selected node that may run needs a result that is not there.
    """
    given: dict[str, FinishedNode] = {}
    sources: dict[str, FinishedNode] = {}
    wrong: list[str] = []
    for reader, name in _needed(pipeline, selected):
        decision, reads = decisions[name], _reads(reader, name)
        if decision.is_sure and decision.hit is not None:
            given[name] = decision.hit
        if reader.id in pipeline.last_nodes or decisions[reader.id].is_sure:
            continue  # the first go without what is not there, the others read nothing
        if not decision.is_sure or decision.hit is None:
            what = f"has no result that is up to date ({decision.reason or 'a table that it reads is made again'})"
            wrong.append(_message(name, reader, what))
        elif _reads_source_files(reader, decision.hit) or any(
            history.find(decision.hit, output) is None for output in reads
        ):
            if kind_of(pipeline.nodes[name]).outside.is_source(pipeline.nodes[name]):
                sources[name] = decision.hit
            else:
                wrong.append(_message(name, reader, "its table is not kept", ", or keep it (cache: true)"))
    if wrong:
        more = f" (and {len(wrong) - 1:,} more)" if len(wrong) > 1 else ""
        raise SelectionError(wrong[0] + more)
    return SelectedInputs({name: end for name, end in given.items() if name not in sources}, sources)


def plan_without_results(pipeline: Pipeline, plan: Plan, selected: Collection[str], why: str) -> Plan:
    """Return the plan of the selected nodes for a run that uses no results of earlier ones.

    Raises SelectionError if one of them needs a node that is not selected. `why` is the reason that it tells.
    """
    for reader, name in _needed(pipeline, selected):
        if reader.id not in pipeline.last_nodes:
            raise SelectionError(_message(name, reader, why))
    return selected_plan(plan, selected)


def _needed(pipeline: Pipeline, selected: Collection[str]) -> Iterator[tuple[NodeSpec, str]]:
    """Yield each selected node, or one that runs last, with each node that it needs and that is not selected."""
    for spec in (*(pipeline.nodes[name] for name in pipeline.nodes if name in selected), *pipeline.last_nodes.values()):
        for name in spec.upstream:
            if name not in selected:
                yield spec, name


def _reads_source_files(reader: NodeSpec, hit: FinishedNode) -> bool:
    """Return whether the reader is a query over the files that were read: it reads them, not the table."""
    of_files = any(output.digest.startswith(DIGEST_OF_FILES) for output in hit.outputs)
    return of_files and kind_of(reader).runs.reads_source_files


def _reads(reader: NodeSpec, name: str) -> list[OutputId]:
    return [output for item in reader.inputs for output in item.outputs if output.node == name]


def _message(name: str, reader: NodeSpec, what: str, more: str = "") -> str:
    return f"'{name}' is not selected, and {what}: select it too (--until {reader.id}){more}"
