"""Reads which names a pipeline file has, quickly and without checking it: for the completion in shells.

A file that is being edited may be wrong anywhere. What cannot be read is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from nfrun.core.pipeline import Param, has_expression
from nfrun.core.values import field, frozen
from nfrun.pipeline_file.parameters import env_text, param_of
from nfrun.pipeline_file.yaml.document import load, mapping


@frozen
class NamesInFile:
    """The names that a pipeline file has.

    `keys` are those of all nodes, the kinds among them. `params` have the values that they may have, and `helps` what
    they are for.
    """

    nodes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    params: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    helps: Mapping[str, str] = field(default_factory=dict)
    profiles: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


def names_in_file(path: Path) -> NamesInFile:
    """Return the names that a pipeline file has. Raises SpecError if it cannot be read, or is no YAML."""
    root = mapping(load(path).root)
    bodies = {name: mapping(body) for name, body in mapping(root.get("nodes")).items()}
    inputs = mapping(root.get("inputs"))
    params = {name: param_of(name, value) for name, value in mapping(root.get("params")).items()}
    tags = [mapping(body).get("tags") or () for body in (root.get("defaults"), *bodies.values())]
    named = [[tag] if isinstance(tag, str) else tag for tag in tags]
    return NamesInFile(
        nodes=(*bodies, *inputs),
        keys=tuple(dict.fromkeys([key for body in bodies.values() for key in body])),
        params={name: tuple(_values(param)) for name, param in params.items()},
        helps={name: param.help for name, param in params.items()},
        profiles=tuple(mapping(root.get("profiles"))),
        inputs=tuple(inputs),
        tags=tuple(dict.fromkeys([tag for tags in named for tag in tags if isinstance(tag, str)])),
    )


def _values(param: Param) -> Iterator[str]:
    """Yield the values that a parameter may have: its `enum`, true and false, or else its default."""
    if param.enum:
        yield from map(env_text, param.enum)
    elif param.type == "boolean":
        yield from ("true", "false")
    elif isinstance(param.default, str | int | float) and not has_expression(str(param.default)):
        yield env_text(param.default)
