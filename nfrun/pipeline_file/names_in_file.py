"""Reads which names a pipeline file has, quickly and without checking it: for the completion in shells.

A file that is being edited may be wrong anywhere. What cannot be read is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from nfrun.core.pipeline import LAST_SECTIONS, Param, has_expression
from nfrun.core.values import field, frozen
from nfrun.pipeline_file.parameters import env_text, param_of
from nfrun.pipeline_file.yaml.document import load

_MOST_CELLS = 10_000  # of a node


@frozen
class NamesInFile:
    """The names that a pipeline file has.

    `nodes` have their cells, empty where the file alone does not tell them. `bodies` are those of the nodes. `params`
    have the values that they may have, and `helps` what they are for. `last_nodes` run at the end of every run.
    """

    nodes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    bodies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    last_nodes: tuple[str, ...] = ()
    params: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    helps: Mapping[str, str] = field(default_factory=dict)
    profiles: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


def names_in_file(path: Path) -> NamesInFile:
    """Return the names that a pipeline file has. Raises SpecError if it cannot be read, or is no YAML."""
    root = _mapping(load(path).root)
    bodies = {name: _mapping(body) for name, body in _mapping(root.get("nodes")).items()}
    inputs = _mapping(root.get("inputs"))
    params = {name: param_of(name, value) for name, value in _mapping(root.get("params")).items()}
    tags = [_mapping(body).get("tags") or () for body in (root.get("defaults"), *bodies.values())]
    named = [[tag] if isinstance(tag, str) else tag for tag in tags]
    has_matrix = any("matrix" in each for each in (root, *bodies.values()))
    cells = _cells(root, bodies) if has_matrix else dict.fromkeys(bodies, ())
    return NamesInFile(
        nodes=cells | dict.fromkeys(inputs, ()),
        bodies=bodies,
        last_nodes=tuple([name for section in LAST_SECTIONS for name in _mapping(root.get(section))]),
        params={name: tuple(_values(param)) for name, param in params.items()},
        helps={name: param.help for name, param in params.items()},
        profiles=tuple(_mapping(root.get("profiles"))),
        inputs=tuple(inputs),
        tags=tuple(dict.fromkeys([tag for tags in named for tag in tags if isinstance(tag, str)])),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _values(param: Param) -> Iterator[str]:
    """Yield the values that a parameter may have: its `enum`, true and false, or else its default."""
    if param.enum:
        yield from map(env_text, param.enum)
    elif param.type == "boolean":
        yield from ("true", "false")
    elif isinstance(param.default, str | int | float) and not has_expression(str(param.default)):
        yield env_text(param.default)


def _cells(root: Mapping[str, Any], bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, Sequence[str]]:
    """Return the ids of the cells of each node, the last axis varying fastest; () where the file does not tell them."""
    from nfrun.pipeline_file.axes import id_of, key_of  # a shell waits for the names: few files have a matrix

    axes: dict[str, tuple[str, ...]] = {}
    for matrix in (root.get("matrix"), *(body.get("matrix") for body in bodies.values())):
        for name, source in _mapping(matrix).items():
            keys = [key_of(value) for value in (source if isinstance(source, list) else [])]
            known = all(isinstance(key, str | int | float) and not has_expression(str(key)) for key in keys)
            axes.setdefault(name, tuple(map(id_of, keys)) if known else ())
    cells: dict[str, Sequence[str]] = dict.fromkeys(bodies, ())
    for node, body in bodies.items() if "exclude" not in axes else ():  # what is excluded takes a matrix as a whole
        matrix = body.get("matrix")
        named = [matrix] if isinstance(matrix, str) else [*matrix] if isinstance(matrix, list | dict) else []
        own = [axes[name] for name in axes if name in named]
        if own and len(own) == len(named) and prod(map(len, own)) <= _MOST_CELLS:
            cells[node] = ["@".join([node, *ids]) for ids in product(*own)]
    return cells
