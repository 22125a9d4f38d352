"""Defines `StaticHalf`: what a plug-in says of a kind of node without being run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nfrun.core.output_types import TABLE
from nfrun.core.values import field, frozen


@frozen
class StaticHalf:
    """The contents of the file `<module>.kind.json` of a plug-in about the kind `name`.

    `module` is the one whose `run(job)` does the work, `origin` its file, and `package` the distribution that has it,
    with its version. `version` is that of the kind. `revision` is in the cache keys of its nodes: the author raises it
    when results change. `values` is the JSON Schema of `with`. A node has at least `least` inputs and at most `most`
    (None: any number), each of one of the `forms`. `outputs` maps the names of all that it makes to their types.
    With `columns_in`, a node is called for each row: texts in these values name columns. The values `after` are for
    what follows all calls: no result of a call depends on them. `executors` are those on which a node may run.
    `effects`: it changes something outside of the run. `external`: its outputs depend on something that nfrun cannot
    see, such as a database. `env` are variables that must be set.
    """

    name: str
    module: str
    origin: str
    package: str
    version: str
    revision: int
    description: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    least: int = 0
    most: int | None = None
    forms: tuple[str, ...] = (TABLE,)
    outputs: Mapping[str, str] = field(default_factory=dict)
    maps: bool = False
    columns_in: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    executors: tuple[str, ...] = ()
    effects: bool = False
    external: bool = False
    env: tuple[str, ...] = ()
