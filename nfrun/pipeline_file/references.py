"""Resolves the references between nodes: reads their text, checks that what they name exists, and finds cycles.

Says of each input whether it is a table, a file or a folder, and rejects what cannot be put together or given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nfrun.core.output_types import TABLE, form_of
from nfrun.core.pipeline import NOTHING, Gather, Input, NodeSpec, OutputId, Pipeline
from nfrun.core.plan import find_cycles
from nfrun.core.text import closest_match, ellipsize
from nfrun.core.values import replace
from nfrun.nodes.registry import kind_of
from nfrun.pipeline_file.conditions import unread_outputs
from nfrun.pipeline_file.findings import Findings
from nfrun.pipeline_file.suggestions import FILE_HINTS, looks_like_file
from nfrun.pipeline_file.yaml.document import Keys, entries

_MAX_HINTS = 50  # later problems are not shown, and a closest match among 10,000 names takes 20 ms


def parse_reference(text: str) -> OutputId:
    """Return the output that a reference in a pipeline file names: `node`, or `node.output`.

    Only this function splits at a dot: the schema allows none in the names of nodes, while their ids may have some.
    """
    node, _, name = text.partition(".")
    return OutputId(node, name)


def items(value: Any) -> Iterator[tuple[Keys, Any]]:
    """Yield the items of a string, list or mapping (such as `inputs`), each with the steps that lead to it."""
    if isinstance(value, str):
        yield (), value
    for key, item in entries(value):
        yield (key,), item


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


def resolve_references(found: Findings, nodes: dict[str, NodeSpec]) -> None:
    """Check every reference. Replaces the name of a node that has one named output by that output's id."""
    bodies = found.document.root.get("nodes")
    one = {name for name, spec in nodes.items() if not spec.outputs and not includes(spec)}
    for name, spec in list(nodes.items()):
        # Most nodes end here. The full check of every reference of 100,000 nodes takes a second.
        if not spec.needs and all(
            item.output in one and item.output != name and item.alternative is None for item in spec.inputs
        ):
            continue
        inputs = []
        given = bodies[name].get("inputs")
        steps = {item: step for step, item, _ in input_refs(given)} if spec.inputs else {}
        for item in spec.inputs:
            path: Keys = ("nodes", name, "inputs", *steps[item.name])
            long = isinstance(given, dict) and isinstance(given[item.name], dict)
            output = resolved(found, name, item.output, nodes, (*path, "from") if long else path)
            other = item.alternative and resolved(found, name, item.alternative, nodes, (*path, "else"))
            if other and other == output and not item.where:
                found.report((*path, "else"), f"'{ellipsize(other)}' is what is absent then", "name another node")
            if output:
                inputs.append(item)
                if (output, other) != (item.output, item.alternative):
                    inputs[-1] = replace(item, output=output, alternative=other)
        needs = []
        for step, need in items(bodies[name].get("needs") if spec.needs else []):
            path = ("nodes", name, "needs", *step)
            if path in found.wrong:
                continue
            if need == name:
                found.report(path, f"node '{name}' needs itself", "remove it")
            elif need not in bodies:
                what = f"node '{ellipsize(name)}' needs '{ellipsize(need)}', which is not defined"
                found.report(path, what, hint_for(found, OutputId(need), name, {}))
            elif need in nodes:
                needs.append(need)
        # Keep only valid references, so that cycles can be searched. Copy only if needed: a copy takes 10 us.
        if (tuple(inputs), tuple(needs)) != (spec.inputs, spec.needs):
            nodes[name] = replace(spec, inputs=tuple(inputs), needs=tuple(needs))


def resolve_last_references(found: Findings, last: dict[str, NodeSpec], nodes: Mapping[str, NodeSpec]) -> None:
    """Check what nodes read that run when all others have ended. All of it is optional."""
    for name, spec in last.items():
        inputs = []
        for item in spec.inputs:
            path = input_path(found, spec, item)
            output = resolved(found, name, item.output, nodes, path)
            if output and output.node in nodes and nodes[output.node].axes:
                what = f"'{output.node}' is a node for each of its cells, and a node under '{spec.section}' reads one"
                found.report(path, what, "gather them in a node, and read that")
            elif output:
                inputs.append(replace(item, output=output, optional=True))
        last[name] = replace(spec, inputs=tuple(inputs))


def report_cycles(found: Findings, nodes: Mapping[str, NodeSpec]) -> None:
    """Report each circle of nodes that need one another, at one of its references."""
    for cycle in find_cycles({name: spec.upstream for name, spec in nodes.items()}):
        shown = [*cycle[:5], "…", *cycle[-2:]] if len(cycle) > 10 else cycle
        count = f" ({len(cycle):,} nodes)" if len(cycle) > 10 else ""
        circle = " -> ".join([*shown, cycle[0]])
        body, inputs = found.document.root["nodes"][cycle[0]], nodes[cycle[0]].inputs
        meant = {item.name for item in inputs if cycle[1] in [output.node for output in item.outputs]}
        paths = [
            ("nodes", cycle[0], key, *step)
            for key in ("inputs", "needs")
            for step, name, ref in input_refs(body.get(key))
            if ref.node == cycle[1] or (key == "inputs" and name in meant)
        ]
        if not paths:  # a check refers to the next node
            found.report(("nodes", cycle[0]), f"nodes need one another in a circle{count}: {circle}", at_key=True)
            continue
        what = f"these nodes need one another in a circle{count}: {circle}"
        found.report(paths[0], what, "remove one of these references")


def shown_outputs(found: Findings, nodes: Mapping[str, NodeSpec]) -> dict[str, OutputId]:
    """Return shown name -> output: those under `outputs`, or without that key all that no node reads."""
    root = found.document.root
    if "outputs" in root:
        shown = {}
        for name, text in root["outputs"].items() if isinstance(root["outputs"], dict) else ():
            if ("outputs", name) not in found.bad and "nodes" in root:
                ref = parse_reference(text)
                shown[name] = resolved(found, "", ref, nodes, ("outputs", name)) or ref
        return shown
    return unread_outputs(nodes)


def resolved(found: Findings, name: str, ref: OutputId, nodes: Mapping[str, NodeSpec], path: Keys) -> OutputId | None:
    """Return the output that node `name` ("" for the file's `outputs`) refers to, None if there is none."""
    node = ref.node
    reader = f"node '{ellipsize(name)}' reads" if name else "'outputs' shows"
    if node == name:
        found.report(path, f"node '{name}' reads itself", "a node reads the outputs of others")
        return None
    if node not in found.document.root["nodes"]:
        if ("inputs",) in found.wrong:
            return ref  # the names of the inputs are not known
        found.report(path, f"{reader} '{ellipsize(ref)}', which is not defined", hint_for(found, ref, name, nodes))
        return None
    wrong = ("nodes", node, "outputs") in found.bad or ("nodes", node, "map") in found.bad
    if node not in nodes or node in found.unclear or wrong:
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
        guess = closest_match(ref.name, named)
        hint = f"did you mean '{node}.{guess or named[0]}'?" if named and (guess or len(named) == 1) else ""
        hint = hint or (f"there is {_listed(OutputId(node, n) for n in named)}" if named else f"did you mean '{node}'?")
        found.report(path, f"{other} has no output '{ellipsize(ref.name)}'", hint)
        return None
    return OutputId(node, named[0]) if named and not ref.name else ref


def hint_for(found: Findings, ref: OutputId, name: str, nodes: Mapping[str, NodeSpec]) -> str:
    """Return the hint for a reference from node `name` to an unknown node; outputs of `nodes` are suggested."""
    for spec in nodes.values():
        if ref.node in spec.outputs:
            return f"did you mean '{spec.id}.{ref.node}'?"
    if name and ref.name and looks_like_file(str(ref)) and ref.node not in nodes:
        return FILE_HINTS["inputs"]
    known = [other for other in found.document.root["nodes"] if other != name]
    guess = closest_match(ref.node, known) if len(found.diagnostics) < _MAX_HINTS else None
    if guess:
        full_name = OutputId(guess, ref.name) if guess in nodes and ref.name in nodes[guess].outputs else guess
        return f"did you mean '{ellipsize(full_name)}' (line {found.document.key_span('nodes', guess).line})?"
    return f"there is {_listed(known)}" if 0 < len(known) <= 10 else ""


def _listed(names: Any) -> str:
    return ", ".join(f"'{ellipsize(name)}'" for name in names)


def type_inputs(
    found: Findings,
    nodes: dict[str, NodeSpec],
    included: Mapping[str, Pipeline],
    made_by: Mapping[str, NodeSpec] | None = None,
) -> None:
    """Give the inputs of nodes their types: those of the outputs that they read, of the nodes `made_by` if given.

    `included` are the pipelines that nodes name, by their bodies.
    """
    makers = nodes if made_by is None else made_by
    if not any(spec.types for spec in makers.values()) and not any(
        other.nodes[name].types for other in included.values() for name in other.inputs
    ):
        return

    def type_of(output: OutputId) -> str:
        return makers[output.node].type_of(output.name) if output.node in makers else TABLE

    for name, spec in nodes.items():
        inputs = tuple(
            [item if (kind := type_of(item.output)) == item.type else replace(item, type=kind) for item in spec.inputs]
        )
        if inputs != spec.inputs:
            nodes[name] = replace(spec, inputs=inputs)
        for item in inputs:
            if item.gather and item.gather.form == "concat" and item.type != TABLE:
                what = f"'{item.output}' is a {form_of(item.type)}, and only tables are put together"
                found.report(input_path(found, spec, item, "gather"), what, "gather: dict")
            if item.alternative and form_of(type_of(item.alternative)) != form_of(item.type):
                what = f"'{item.alternative}' is a {form_of(type_of(item.alternative))}"
                what += f", and '{item.output}' is a {form_of(item.type)}"
                found.report(input_path(found, spec, item, "else"), what, "both must be tables, files or folders")
        if includes(spec) and spec.body in included:
            _check_given(found, nodes[name], included[spec.body])


def _check_given(found: Findings, spec: NodeSpec, other: Pipeline) -> None:
    """Check that a node gives another pipeline tables, files and folders as that expects them."""
    for item in spec.inputs:
        own = other.nodes.get(item.name) if item.name in other.inputs else None
        expected = form_of(own.type_of(own.outputs[0])) if own and own.outputs else TABLE
        if own is not None and form_of(item.type) != expected:
            what = f"'{ellipsize(spec.body)}' reads its input '{item.name}' as a {expected}"
            what += f", and '{item.output}' is a {form_of(item.type)}"
            hint = f"in {ellipsize(spec.body)}: inputs: {{{item.name}: {{outputs: {{{item.name}: {item.type}}}}}}}"
            found.report(input_path(found, spec, item), what, hint)


def input_path(found: Findings, spec: NodeSpec, item: Input, *inner: str | int) -> Keys:
    """Return the path of a value of an input in the long form, or that of the input in its short form."""
    value = found.document.root[spec.section][spec.id]["inputs"]
    if isinstance(value, dict):
        long = isinstance(value.get(item.name), dict)
        return (spec.section, spec.id, "inputs", item.name, *(inner if long else ()))
    step = next(step for step, name, _ in input_refs(value) if name == item.name)
    return (spec.section, spec.id, "inputs", *step)
