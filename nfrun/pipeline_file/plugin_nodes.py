"""Gives the nodes of plug-ins what the static halves of these say, and reports what is wrong with that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nfrun.core.map_spec import ERRORS
from nfrun.core.output_types import TABLE, form_of
from nfrun.core.pipeline import NodeSpec
from nfrun.core.static_half import StaticHalf
from nfrun.core.text import did_you_mean, ellipsize
from nfrun.core.values import replace
from nfrun.nodes.use import USE
from nfrun.pipeline_file.findings import Findings
from nfrun.pipeline_file.yaml.document import Keys


def with_plugins(found: Findings, nodes: dict[str, NodeSpec]) -> None:
    """Add to each node of a plug-in its static half, and the outputs and types that this has. The body is the name."""
    known: dict[str, StaticHalf] = {}
    for name, spec in nodes.items():
        path: Keys = (spec.section, name)
        if spec.kind != USE.name or (*path, spec.kind) in found.bad or not spec.body:
            continue
        from nfrun.nodes.plugins import PluginError, find_kind  # it imports importlib.metadata

        try:
            half = known[spec.body] = known.get(spec.body) or find_kind(spec.body)
        except PluginError as error:
            found.report((*path, spec.kind), str(error), error.hint)
            continue
        nodes[name] = _with_outputs(found, path, replace(spec, body=half.name, plugin=half), half)


def _with_outputs(found: Findings, path: Keys, spec: NodeSpec, half: StaticHalf) -> NodeSpec:
    """Return the node with the outputs of its plug-in, as far as the file names some only those."""
    own = [name for name in spec.outputs if name and not (spec.map and spec.map.collects and name == ERRORS)]
    given = found.document.root[spec.section][spec.id].get("outputs", [])
    wrong = list(_problems(given, own, half))
    for inner, what, hint in wrong:
        found.report((*path, "outputs", *inner), what, hint, at_key=bool(inner) and isinstance(given, dict))
    if wrong:
        return spec
    rest = spec.outputs[len(own) :] if own else spec.outputs[1:]  # of failed rows
    if not own and (len(half.outputs) > 1 or any(type != TABLE for type in half.outputs.values())):
        own = list(half.outputs)
    types = {name: half.outputs[name] for name in own if half.outputs[name] != TABLE}
    outputs = (*own, *rest) if own else spec.outputs
    return replace(spec, outputs=outputs, types=types or spec.types)


def _problems(
    given: Mapping[str, Any] | list[str], own: list[str], half: StaticHalf
) -> Iterator[tuple[Keys, str, str]]:
    for i, name in enumerate(own):
        step: Keys = (name,) if isinstance(given, dict) else (i,)
        if name not in half.outputs:
            hint = did_you_mean(name, half.outputs, f"it makes {', '.join(half.outputs) or 'none'}")
            yield step, f"'{half.name}' has no output '{ellipsize(name)}'", hint
            continue
        form = given[name] if isinstance(given, dict) else None
        type = form.get("type") if isinstance(form, dict) else form
        if isinstance(type, str) and form_of(type) != form_of(half.outputs[name]):
            what = f"the output '{name}' of '{half.name}' is a {form_of(half.outputs[name])}"
            yield step, what, f"write {name}: {half.outputs[name]}"
