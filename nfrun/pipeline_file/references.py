"""Resolves the references between nodes: reads their text, checks that what they name exists, and finds cycles.

Says of each input whether it is a table, a file or a folder and which axes it gathers, and rejects what cannot be put
together or given. A node and what it reads are matched by axis, as in `cells.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from nfrun.core.pipeline import NOTHING, TABLE, Gather, Input, NodeSpec, OutputId, Pipeline, form_of
from nfrun.core.plan import find_cycles
from nfrun.core.text import closest_match, did_you_mean, ellipsize
from nfrun.core.values import replace
from nfrun.nodes.base import is_evaluated
from nfrun.nodes.registry import kind_of
from nfrun.pipeline_file.axes import DeclaredAxes, indices, key_of, text_of, value_problem, with_followers
from nfrun.pipeline_file.conditions import unread_outputs
from nfrun.pipeline_file.contracts import checks_path
from nfrun.pipeline_file.findings import Findings
from nfrun.pipeline_file.suggestions import FILE_HINTS, looks_like_file
from nfrun.pipeline_file.yaml.document import Keys, items, mapping
from nfrun.tables.contracts.check_values import reference_of

_MAX_HINTS = 50  # later problems are not shown, and a closest match among 10,000 names takes 20 ms


def parse_reference(text: str) -> OutputId:
    """Return the output that a reference in a pipeline file names: `node`, or `node.output`.

    Only this function splits at a dot: the schema allows none in the names of nodes, while their ids may have some.
    """
    node, _, name = text.partition(".")
    return OutputId(node, name)


def input_refs(value: Any) -> Iterator[tuple[Keys, str, OutputId]]:
    """Yield the steps, input name and reference of each input or need; skips values that are none.

    An input is a string, or a mapping with `from`: the steps lead to the string or the mapping.
    """
    for step, item in items(value):
        text = item.get("from") if isinstance(item, dict) else item
        if isinstance(text, str):
            ref = parse_reference(text)
            yield step, str(step[0]) if isinstance(value, dict) else ref.name or ref.node, ref


def includes(spec: NodeSpec) -> bool:
    """Whether nodes of another file take the place of this one."""
    return bool(spec.kind) and kind_of(spec).runs.is_expanded


def long_input(name: str, ref: OutputId, form: Mapping[str, Any]) -> Input:
    """Return the input that a mapping with `from` describes."""
    return Input(
        name,
        ref,
        alternative=parse_reference(form["else"]) if "else" in form else None,
        optional=form.get("optional", False),
        gather=Gather(form["gather"], (), {}) if "gather" in form else None,
        where=form.get("where", NOTHING),
    )


class References:
    """Resolves what the nodes of a file read and wait for, once it is known which outputs and axes each of them has.

    `included` are the pipelines that nodes name, by their bodies.
    """

    def __init__(
        self,
        found: Findings,
        nodes: Mapping[str, NodeSpec],
        declared: DeclaredAxes,
        included: Mapping[str, Pipeline],
    ) -> None:
        self.found, self.nodes, self.declared, self.included = found, nodes, declared, included
        self.root = found.document.root
        self.known = {name: indices(axis) for name, axis in declared.axes.items() if axis.values}
        self.plain = {
            name
            for name, spec in nodes.items()
            if not spec.outputs and not includes(spec) and name not in declared.of_nodes
        }

    def resolve(self, nodes: dict[str, NodeSpec]) -> None:
        """Check all that these nodes read and wait for. Names of nodes with one named output become that output's id.

        Inputs get the types of what they read, and the axes that they gather. Only valid references are kept, so that
        cycles can be searched.
        """
        for name, spec in list(nodes.items()):
            # Most nodes end here. The full check of every reference of 100,000 nodes takes a second.
            is_usual = spec.section == "nodes" and not (spec.needs or spec.contracts or includes(spec))
            if is_usual and all(
                item.output in self.plain and item.output != name and item.is_plain and not item.where
                for item in spec.inputs
            ):
                continue
            inputs = tuple([read for item in spec.inputs if (read := self.input(spec, item)) is not None])
            needs, references = tuple(self.needs(spec)), tuple(self.checked(spec))
            if (inputs, needs, references) != (spec.inputs, spec.needs, spec.references):  # a copy takes 10 us
                nodes[name] = replace(spec, inputs=inputs, needs=needs, references=references)

    def input(self, spec: NodeSpec, item: Input) -> Input | None:
        """Return an input with all that is known of what it reads, None if there is no such output."""
        at = partial(input_path, self.found, spec, item)
        output = self.resolved(spec.id, item.output, at("from"))
        other = item.alternative and self.resolved(spec.id, item.alternative, at("else"))
        if other and other == output and not item.where:
            self.found.report(at("else"), f"'{ellipsize(other)}' is what is absent then", "name another node")
        if not output:
            return None
        if spec.section != "nodes":
            if output.node in self.nodes and self.nodes[output.node].axes:
                what = f"'{output.node}' is a node for each of its cells, and a node under '{spec.section}' reads one"
                self.found.report(at(), what, "gather them in a node, and read that")
                return None
            return replace(item, output=output, optional=True, type=self.type_of(output))
        item = self.matched(spec, replace(item, output=output, alternative=other, type=self.type_of(output)))
        if other and (left := self.left(spec, other.node)):
            what = f"{_has(other.node, left)}, which '{spec.id}' does not have"
            self.found.report(at("else"), what, "name a node without it")
        if item.gather and item.gather.form == "concat" and item.type != TABLE:
            what = f"'{output}' is a {form_of(item.type)}, and only tables are put together"
            self.found.report(at("gather"), what, "gather: dict")
        if other and (form := form_of(self.type_of(other))) != form_of(item.type):
            what = f"'{other}' is a {form}, and '{output}' is a {form_of(item.type)}"
            self.found.report(at("else"), what, "both must be tables, files or folders")
        if includes(spec) and spec.body in self.included:
            self.given(spec, item, self.included[spec.body])
        return item

    def type_of(self, output: OutputId) -> str:
        """Return the type of an output, that of a table if there is no such node."""
        return self.nodes[output.node].type_of(output.name) if output.node in self.nodes else TABLE

    def given(self, spec: NodeSpec, item: Input, other: Pipeline) -> None:
        """Check that a node gives another pipeline a table, a file or a folder as that expects it."""
        own = other.nodes.get(item.name) if item.name in other.inputs else None
        expected = form_of(own.type_of(own.outputs[0])) if own and own.outputs else TABLE
        if own is not None and form_of(item.type) != expected:
            what = f"'{ellipsize(spec.body)}' reads its input '{item.name}' as a {expected}"
            what += f", and '{item.output}' is a {form_of(item.type)}"
            hint = f"in {ellipsize(spec.body)}: inputs: {{{item.name}: {{outputs: {{{item.name}: {item.type}}}}}}}"
            self.found.report(input_path(self.found, spec, item), what, hint)

    def needs(self, spec: NodeSpec) -> Iterator[str]:
        """Yield the nodes that a node waits for."""
        name, bodies = spec.id, self.root["nodes"]
        for step, need in items(bodies[name].get("needs") if spec.needs else []):
            path = ("nodes", name, "needs", *step)
            if path in self.found.wrong:
                continue
            if need == name:
                self.found.report(path, f"node '{name}' needs itself", "remove it")
            elif need not in bodies:
                what = f"node '{ellipsize(name)}' needs '{ellipsize(need)}', which is not defined"
                self.found.report(path, what, self.hint_for(OutputId(need), name, outputs=False))
            elif need in self.nodes:
                yield need

    def checked(self, spec: NodeSpec) -> Iterator[Input]:
        """Yield the outputs that the checks of a node refer to. A node may refer to itself."""
        for output, check in [(output, check) for output, of in spec.contracts.items() for check in of.checks]:
            if check.kind != "references" or not is_evaluated(check.value):
                continue
            for column, text in check.value.items():
                path = (*checks_path(self.found.document, spec.id, output), check.index, check.kind, column)
                ref = parse_reference(reference_of(text)[0])
                if ref.node == spec.id:
                    continue
                if ref.node not in self.root["nodes"]:
                    what = f"a check of '{ellipsize(spec.id)}' refers to '{ellipsize(ref)}', which is not defined"
                    self.found.report(path, what, self.hint_for(ref, spec.id))
                    continue
                referred = self.resolved(spec.id, ref, path)
                if left := self.left(spec, ref.node):
                    what = f"{_has(ref.node, left[:1])}, which '{ellipsize(spec.id)}' does not have"
                    self.found.report(path, what, "refer to a node that gathers its cells")
                elif referred is not None:
                    yield Input(check.input_name(output, column), referred, optional=True)

    def left(self, spec: NodeSpec, producer: str) -> list[str]:
        """Return the axes of another node that a node does not have, none if the axes of one are not clear."""
        if not self.declared.unclear.isdisjoint((spec.id, producer)):
            return []
        seen = self.declared.seen_by(spec.id)
        return [axis for axis in self.declared.of_nodes.get(producer, ()) if axis not in seen]

    def matched(self, spec: NodeSpec, item: Input) -> Input:
        """Check an input against the axes. Returns it with the axes that it gathers."""
        producer = item.output.node
        own, seen = self.declared.of_nodes.get(producer, ()), self.declared.seen_by(spec.id)
        given = self.root["nodes"][spec.id]["inputs"]
        long = mapping(mapping(given).get(item.name))
        if not (own or long) or not self.declared.unclear.isdisjoint((spec.id, producer)):
            return item
        has = with_followers(self.declared.axes, own, self.declared.broken)
        wrong = [axis for axis, value in item.where.items() if self.wrong_where(spec, item, axis, value, has, seen)]
        if wrong:
            return item
        pinned = [axis for axis, value in item.where.items() if not isinstance(value, list)]
        left = [axis for axis in own if axis not in seen and axis not in pinned]
        if item.gather is not None and not left:
            what = f"there is nothing to gather: '{ellipsize(producer)}' has no axis that '{spec.id}' does not have"
            self.found.report(input_path(self.found, spec, item, "gather"), what, "remove 'gather'")
            return item
        path = input_path(self.found, spec, item, "columns")
        form = item.gather.form if item.gather is not None else ""
        if form != "concat" and "columns" in long:
            self.found.report(path, "only 'gather: concat' has 'columns'", "remove it", at_key=True)
        if item.gather is None:
            if left:
                self.found.report(input_path(self.found, spec, item, "from"), *self.not_gathered(spec, item, left))
            return item
        columns = long.get("columns", left if form == "concat" else ())
        for i, axis in enumerate(columns if "columns" in long and path not in self.found.wrong else ()):
            if axis not in has:
                hint = did_you_mean(axis if isinstance(axis, str) else "", left, f"there is {', '.join(left)}")
                what = f"'{ellipsize(producer)}' has no axis '{ellipsize(str(axis))}'"
                self.found.report((*path, i), what, hint)
        named = [axis for axis in has if axis in columns]
        axes = tuple([axis for axis in has if axis in left or axis in named])
        return replace(item, gather=Gather(form, axes, {}, dict.fromkeys(named, "")))

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
            self.found.report(path, what, f"gather them: {{from: {item.output}, where: …, gather: concat}}")
        else:
            for i, each in enumerate(values):
                if wrong := value_problem(self.declared.axes[axis], each, known):
                    self.found.report((*path, i) if isinstance(value, list) else path, *wrong)
        return path in self.found.bad

    def resolved(self, name: str, ref: OutputId, path: Keys) -> OutputId | None:
        """Return the output that node `name` ("" for the file's `outputs`) refers to, None if there is none."""
        found, nodes, node = self.found, self.nodes, ref.node
        reader = f"node '{ellipsize(name)}' reads" if name else "'outputs' shows"
        if node == name:
            found.report(path, f"node '{name}' reads itself", "a node reads the outputs of others")
            return None
        if node not in self.root["nodes"]:
            if ("inputs",) in found.wrong:
                return ref  # the names of the inputs are not known
            found.report(path, f"{reader} '{ellipsize(ref)}', which is not defined", self.hint_for(ref, name))
            return None
        wrong = ("nodes", node, "outputs") in found.bad or ("nodes", node, "map") in found.bad
        if node not in nodes or node in found.unclear or wrong or not nodes[node].kind:
            return ref  # the problem of that node is reported already, so accept the input
        named = nodes[node].outputs
        other = f"'{nodes[node].body}'" if includes(nodes[node]) else f"node '{node}'"
        if includes(nodes[node]) and not named:
            found.report(path, f"{other} has no outputs", "name in it what others may read: outputs: {name: node}")
            return None
        if OutputId(node, ref.name or named[0] if named else "") in found.of_cells:
            found.report(path, f"{other} has this output for each of its cells", "gather them there, and show that")
            return None
        has_added = nodes[node].map is not None or kind_of(nodes[node]).says.added_outputs(nodes[node].with_)
        if not ref.name and len(named) > 1 and not has_added:
            listed = " or ".join(f"'{node}.{n}'" for n in named[:5])
            found.report(path, f"node '{node}' has {len(named)} outputs", f"say which: {listed}")
            return None
        if ref.name and ref.name not in named:
            there = f"there is {_listed(OutputId(node, n) for n in named or ('',))}"
            found.report(path, f"{other} has no output '{ellipsize(ref.name)}'", there)
            return None
        return OutputId(node, named[0]) if named and not ref.name else ref

    def hint_for(self, ref: OutputId, name: str, *, outputs: bool = True) -> str:
        """Return the hint for a reference from node `name` to an unknown node; outputs are suggested, too."""
        found, nodes = self.found, self.nodes if outputs else {}
        for spec in nodes.values():
            if ref.node in spec.outputs:
                return f"did you mean '{spec.id}.{ref.node}'?"
        if name and ref.name and looks_like_file(str(ref)) and ref.node not in nodes:
            return FILE_HINTS["inputs"]
        known = [other for other in self.root["nodes"] if other != name]
        guess = closest_match(ref.node, known) if len(found.diagnostics) < _MAX_HINTS else None
        if guess:
            full_name = OutputId(guess, ref.name) if guess in nodes and ref.name in nodes[guess].outputs else guess
            return f"did you mean '{ellipsize(full_name)}' (line {found.document.key_span('nodes', guess).line})?"
        return f"there is {_listed(known)}" if 0 < len(known) <= 10 else ""

    def shown(self) -> dict[str, OutputId]:
        """Return shown name -> output: those under `outputs`, or without that key all that no node reads."""
        if "outputs" not in self.root:
            return unread_outputs(self.nodes)
        found = {}
        for name, text in mapping(self.root["outputs"]).items():
            if ("outputs", name) not in self.found.bad and "nodes" in self.root:
                ref = parse_reference(text)
                found[name] = self.resolved("", ref, ("outputs", name)) or ref
        return found

    def not_gathered(self, spec: NodeSpec, item: Input, left: list[str]) -> tuple[str, str]:
        """Return the message and hint for an input with axes that the reader lacks."""
        pins = ", ".join([f"{axis}: …" for axis in (*item.where, *left)])
        way = "concat" if item.type == TABLE else "dict"
        gather = f"gather: {{from: {item.output}, gather: {way}}}"
        what = f"{_has(item.output.node, left)}, which '{spec.id}' does not have"
        return what, f"{gather}, or pin: {{from: {item.output}, where: {{{pins}}}}}"


def report_cycles(found: Findings, nodes: Mapping[str, NodeSpec]) -> None:
    """Report each circle of nodes that need one another, at one of them."""
    for cycle in find_cycles({name: spec.upstream for name, spec in nodes.items()}):
        what = f"these nodes need one another in a circle: {ellipsize(' -> '.join([*cycle, cycle[0]]), 200)}"
        found.report(("nodes", cycle[0]), what, "remove one of these references", at_key=True)


def _has(node: str, axes: Sequence[str]) -> str:
    *most, last = [f"'{axis}'" for axis in axes]
    listed = f"{', '.join(most)} and {last}" if most else last
    return f"'{ellipsize(node)}' has the {'axes' if most else 'axis'} {listed}"


def _shown(value: Any) -> str:
    return ellipsize(text_of(key_of(value)))


def _listed(names: Any) -> str:
    return ", ".join(f"'{ellipsize(name)}'" for name in names)


def input_path(found: Findings, spec: NodeSpec, item: Input, *inner: str | int) -> Keys:
    """Return the path of a value of an input in the long form, or that of the input in its short form."""
    value = found.document.root[spec.section][spec.id]["inputs"]
    if isinstance(value, dict):
        long = isinstance(value.get(item.name), dict)
        return (spec.section, spec.id, "inputs", item.name, *(inner if long else ()))
    step = next(step for step, name, _ in input_refs(value) if name == item.name)
    return (spec.section, spec.id, "inputs", *step)
