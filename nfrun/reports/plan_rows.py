"""Lays out the nodes of a plan, stage by stage, with the cells of a matrix on one line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from nfrun.core.pipeline import LAST_SECTIONS, NodeSpec, OutputId, Pipeline
from nfrun.core.plan import Plan
from nfrun.core.text import escape_controls, shortened
from nfrun.reports.format_units import format_count, format_seconds

if TYPE_CHECKING:
    from nfrun.history.cache.reuse_decision import ReuseDecision

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
        self._disabled_groups = self._disabled()
        self._last = last_sections(pipeline)
        names += [*(name for name, _ in self._disabled_groups), *pipeline.last_nodes]
        specs = (*pipeline.nodes.values(), *pipeline.disabled_nodes.values(), *pipeline.last_nodes.values())
        self._width = min(_MAX_NAME, max(map(len, names), default=0))
        self._kind_width = max([6, *(len(spec.kind_shown) for spec in specs)])
        # By matrix: how many cells it has, and the values of each axis.
        self._cells: dict[str, int] = {}
        self._axes: dict[str, dict[str, set[Any]]] = {}
        self._disabled_cells = Counter(spec.of for spec in pipeline.disabled_nodes.values())
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
        """Return the number of cells, the lengths of the axes, and the number of excluded cells."""
        of = specs[0].of
        disabled = self._disabled_cells[of]
        cells, lengths = self._cells[of], {axis: len(values) for axis, values in self._axes[of].items()}
        excluded = prod(lengths.values()) - cells - disabled
        count = (
            f"{len(specs):,} of {format_count(cells, 'cell')}" if len(specs) < cells else format_count(cells, "cell")
        )
        axes = " x ".join(f"{axis} ({length:,})" for axis, length in lengths.items())
        less = [f"{n:,} {what}" for n, what in ((excluded, "excluded"), (disabled, "disabled")) if n > 0]
        return f"{count}: {', '.join([axes, *less])}"

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
            different = sum(each.rows - each.reused if each.different is None else each.different for each in known)
            once = (
                f", {different:,} of them different (equal rows are computed once)" if different < rows - reused else ""
            )
            yield f"         {rows - reused:,} of {format_count(rows, 'row')} {'is' if rows == 1 else 'are'} new{once}"

    def _of_matrix(self, reason: str) -> str:
        """Return a reason with the names of matrices in place of cells, so that cells can share it."""
        nodes = self._pipeline.nodes
        return _QUOTED.sub(lambda found: f"'{nodes[found[1]].declared}'" if found[1] in nodes else found[0], reason)

    def _disabled(self) -> dict[tuple[str, str], list[NodeSpec]]:
        """Return the disabled nodes by the name to show and the reason."""
        found: dict[tuple[str, str], list[NodeSpec]] = {}
        for name, spec in self._pipeline.disabled_nodes.items():
            shown = spec.id if self._verbose else spec.declared
            found.setdefault((shown, self._pipeline.disabled[name]), []).append(spec)
        return {(specs[0].id if len(specs) == 1 else name, why): specs for (name, why), specs in found.items()}

    def _disabled_lines(self) -> Iterator[str]:
        if self._disabled_groups:
            yield f"\ndisabled  ({format_count(len(self._pipeline.disabled_nodes), 'node')})"
        for (name, why), specs in self._disabled_groups.items():
            cells = f"  {format_count(len(specs), 'cell')}" if len(specs) > 1 else ""
            head = f"  {self._indent}{name:<{self._width}}  {specs[0].kind_shown:<{self._kind_width}}"
            yield f"{head}{cells}  {escape_controls(why)}"


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
