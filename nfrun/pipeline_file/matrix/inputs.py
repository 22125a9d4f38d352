"""Checks what nodes read along their axes, and says for each input which axes are gathered.

A node and what it reads are matched by axis: on the axes that both have, a cell reads the cell with the same values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from nfrun.core.output_types import TABLE
from nfrun.core.pipeline import Axis, Gather, Input, NodeSpec, has_expression
from nfrun.core.text import ellipsize
from nfrun.core.values import replace
from nfrun.pipeline_file.expressions import ExpressionError, evaluate
from nfrun.pipeline_file.findings import Findings, did_you_mean
from nfrun.pipeline_file.matrix.axes import DeclaredAxes, value_problem, with_followers
from nfrun.pipeline_file.matrix.axis_values import indices, key_of, text_of
from nfrun.pipeline_file.references import input_path
from nfrun.pipeline_file.yaml.document import Keys


def match_inputs(
    found: Findings, nodes: dict[str, NodeSpec], declared: DeclaredAxes, defaults: Mapping[str, Any]
) -> None:
    """Check the inputs of all nodes against the axes, and replace them by inputs that say which axes they gather.

    `defaults` are those of the parameters, for values in hints.
    """
    matcher = _Matcher(found, nodes, declared, defaults)
    for name, spec in list(nodes.items()):
        if any(i.gather or i.where or declared.of_nodes.get(i.output.node) for i in spec.inputs):
            if name in declared.unclear:
                continue
            inputs = tuple([matcher.input(spec, item) for item in spec.inputs])
            if inputs != spec.inputs:
                nodes[name] = replace(spec, inputs=inputs)
        for item in spec.inputs:
            matcher.alternative(spec, item)


_LONG_FORM = frozenset({"where", "gather", "columns", "optional", "else"})  # beside `from`


class _Matcher:
    """Checks single inputs of the nodes of one file."""

    def __init__(
        self, found: Findings, nodes: Mapping[str, NodeSpec], declared: DeclaredAxes, defaults: Mapping[str, Any]
    ) -> None:
        self.nodes = nodes
        self.found, self.declared, self.defaults = found, declared, defaults
        self.known = {name: indices(axis) for name, axis in declared.axes.items() if axis.values}

    def input(self, spec: NodeSpec, item: Input) -> Input:
        """Check one input. Returns it with the axes that it gathers."""
        producer = item.output.node
        if producer in self.declared.unclear:
            return item
        own, seen = self.declared.of_nodes.get(producer, ()), self.declared.seen_by(spec.id)
        has = with_followers(self.declared.axes, own, self.declared.broken)
        wrong = [axis for axis, value in item.where.items() if self.wrong_where(spec, item, axis, value, has, seen)]
        if wrong:
            return item
        pinned = [axis for axis, value in item.where.items() if not isinstance(value, list)]
        left = [axis for axis in own if axis not in seen and axis not in pinned]
        if item.gather is None:
            path = input_path(self.found, spec, item, "columns")
            value = self.found.document.root["nodes"][spec.id]["inputs"]
            if isinstance(value, dict) and isinstance(value[item.name], dict) and "columns" in value[item.name]:
                self.found.report(path, "only 'gather: concat' has 'columns'", "remove it", at_key=True)
            if left:
                self.found.report(input_path(self.found, spec, item, "from"), *self.not_gathered(spec, item, left))
            return item
        if not left:
            what = f"there is nothing to gather: '{ellipsize(producer)}' has no axis that '{spec.id}' does not have"
            self.found.report(input_path(self.found, spec, item, "gather"), what, "remove 'gather'")
            return item
        return self.gathered(spec, item, left, has)

    def gathered(self, spec: NodeSpec, item: Input, left: list[str], has: Sequence[str]) -> Input:
        """Return an input with the axes that it gathers and its columns."""
        assert item.gather
        form = item.gather.form
        body = self.found.document.root["nodes"][spec.id]["inputs"][item.name]
        columns = body.get("columns")
        if columns is None:
            return replace(
                item, gather=Gather(form, tuple(left), {}, dict.fromkeys(left if form == "concat" else (), ""))
            )
        path = input_path(self.found, spec, item, "columns")
        if form != "concat":
            self.found.report(path, "only 'gather: concat' has 'columns'", "remove it", at_key=True)
        named = [axis for axis in has if axis in columns]
        for i, axis in enumerate(columns if path not in self.found.wrong else ()):
            if axis not in has:
                hint = did_you_mean(axis if isinstance(axis, str) else "", left, f"there is {', '.join(left)}")
                what = f"'{ellipsize(item.output.node)}' has no axis '{ellipsize(str(axis))}'"
                self.found.report((*path, i), what, hint)
            elif axis in columns[:i]:
                self.found.report((*path, i), f"the axis '{axis}' is there twice", "remove one")
        axes = [axis for axis in has if axis in left or axis in named]
        return replace(item, gather=Gather(form, tuple(axes), {}, dict.fromkeys(named, "")))

    def wrong_where(
        self, spec: NodeSpec, item: Input, axis: str, value: Any, has: Sequence[str], seen: Sequence[str]
    ) -> bool:
        """Report what is wrong with one entry of `where`. Returns whether something is."""
        path, name = input_path(self.found, spec, item, "where", axis), item.output.node
        values = value if isinstance(value, list) else [value]
        known = self.known.get(axis) if axis not in self.declared.broken else None
        if axis not in has:
            hint = did_you_mean(axis, has, f"it has {', '.join(has)}" if has else "it has none: remove this")
            self.found.report(path, f"'{ellipsize(name)}' has no axis '{ellipsize(axis)}'", hint, at_key=True)
        elif not values:
            self.found.report(path, f"no value of '{axis}' is left", "name at least one")
        elif axis in seen and isinstance(value, list):
            what = f"each cell of '{spec.id}' reads its own '{axis}', so a list leaves out nothing"
            self.found.report(path, what, f"pin one value: where: {{{axis}: {_shown(value[0])}}}")
        elif item.gather is None and (isinstance(value, list) or axis not in self.declared.of_nodes.get(name, ())):
            what = f"several cells of '{ellipsize(name)}' may be left"
            self.found.report(path, what, f"gather them: {{from: {item.output}, where: …, gather: {self.way(item)}}}")
        else:
            for i, each in enumerate(values):
                if wrong := value_problem(self.declared.axes[axis], each, known):
                    self.found.report((*path, i) if isinstance(value, list) else path, *wrong)
        return path in self.found.bad

    def alternative(self, spec: NodeSpec, item: Input) -> None:
        """Check that what is read instead has no axes that the node lacks."""
        other = item.alternative
        if other is None or spec.id in self.declared.unclear or other.node in self.declared.unclear:
            return
        seen = self.declared.seen_by(spec.id)
        left = [axis for axis in self.declared.of_nodes.get(other.node, ()) if axis not in seen]
        if left:
            what = f"{_has(other.node, left)}, which '{spec.id}' does not have"
            self.found.report(input_path(self.found, spec, item, "else"), what, "name a node without it")

    def not_gathered(self, spec: NodeSpec, item: Input, left: list[str]) -> tuple[str, str]:
        """Return the message and hint for an input with axes that the reader lacks."""
        what = f"{_has(item.output.node, left)}, which '{spec.id}' does not have"
        pins = [f"{axis}: {_shown(value)}" for axis, value in item.where.items()]
        where = f", where: {{{', '.join(pins)}}}" if pins else ""
        pins += [f"{axis}: {self.first_value(self.declared.axes[axis])}" for axis in left]
        gather = f"gather: {{from: {item.output}{where}, gather: {self.way(item)}}}"
        return what, f"{gather}, or pin: {{from: {item.output}, where: {{{', '.join(pins)}}}}}"

    def way(self, item: Input) -> str:
        """Return how cells of an input may be gathered: only tables can be put together."""
        producer = self.nodes.get(item.output.node)
        return "concat" if producer is None or producer.type_of(item.output.name) == TABLE else "dict"

    def first_value(self, axis: Axis) -> str:
        """Return the first value of an axis for an example, as far as the defaults of the parameters tell it."""
        values: Any = axis.values
        if isinstance(axis.source, str) and has_expression(axis.source):
            with suppress(ExpressionError):
                values = evaluate(axis.source, {"params": self.defaults})
        return _shown(values[0]) if isinstance(values, list | tuple) and values else "…"


def long_form_inside_out(value: Any) -> Iterator[tuple[Keys, str, str]]:
    """Yield the problem of `inputs: {from: …, gather: …}`: the long form in the place of the mapping around it."""
    if (
        isinstance(value, dict)
        and "from" in value
        and value.keys() & {"where", "gather", "columns", "optional", "else"}
    ):
        source = value["from"]
        name = ellipsize(str(source))
        form = ", ".join(f"{key}: {ellipsize(str(item))}" for key, item in value.items() if isinstance(item, str))
        yield (
            ("from",),
            "the long form of a reference stands under the name of an input",
            f"inputs: {{{name}: {{{form}}}}}",
        )


def _has(node: str, axes: Sequence[str]) -> str:
    *most, last = [f"'{axis}'" for axis in axes]
    listed = f"{', '.join(most)} and {last}" if most else last
    return f"'{ellipsize(node)}' has the {'axes' if most else 'axis'} {listed}"


def _shown(value: Any) -> str:
    return ellipsize(text_of(key_of(value)))
