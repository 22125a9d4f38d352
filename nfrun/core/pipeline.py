"""What a pipeline file says, checked and typed. Knows neither YAML nor how any of it is carried out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

EXPRESSION_START = "${{"

_NOTHING: Mapping[str, str] = {}  # one for all nodes that hide nothing
KIND_KEYS = ("python", "sql", "run", "read", "write")


@dataclass(frozen=True, slots=True)
class Retry:
    """What to do when an attempt fails.

    Up to `max` further attempts. Before the n-th of them passes `delay * backoff ** (n - 1)` seconds, at most
    `max_delay`, shortened by a random share of up to `jitter` (0 to 1), so that nodes that failed together do not come
    back together.
    """

    max: int = 0
    delay: float = 1.0
    backoff: float = 2.0
    max_delay: float = 60.0
    jitter: float = 0.5


NO_RETRY = Retry()


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of the pipeline. `type` is a JSON Schema type; `required` if it has no default."""

    name: str
    type: str
    default: Any
    required: bool = False
    enum: tuple[Any, ...] = ()
    help: str = ""


@dataclass(frozen=True, slots=True)
class Input:
    """`name` is what the node calls it; `node` gives it; `output` is its id, `node` or `node.output`."""

    name: str
    node: str
    output: str


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node as the file has it, `defaults` merged in.

    `body` is the text under the kind's key. `with_` and `env` hold expressions until they are bound. `outputs` are the
    names under `outputs:`; none means one output without a name, whose id is the node's. `timeout` is in seconds,
    `cpu` in slots; `executor` is empty where the file leaves it to the run. `cache` says whether what it gave under the
    same key is reused: in every run (True), in none (False), or in those that resume (None). `hidden` is as in
    `Pipeline`, for the node's own `env`.
    """

    id: str
    kind: str
    body: str
    inputs: tuple[Input, ...]
    with_: Mapping[str, Any]
    outputs: tuple[str, ...]
    needs: tuple[str, ...]
    env: Mapping[str, str]
    format: str = "arrow"
    retry: Retry = NO_RETRY
    timeout: float | None = None
    executor: str = ""
    cache: bool | None = None
    cpu: float = 1.0
    description: str = ""
    redacted_env: Mapping[str, str] = field(default_factory=lambda: _NOTHING)

    @property
    def output_ids(self) -> tuple[str, ...]:
        """The ids of all its outputs."""
        return tuple([f"{self.id}.{name}" for name in self.outputs]) if self.outputs else (self.id,)

    @property
    def upstream(self) -> tuple[str, ...]:
        """Every node it waits for, each once: those it reads, then those it merely needs."""
        return tuple(dict.fromkeys([*(i.node for i in self.inputs), *self.needs]))


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A whole pipeline file. `folder` is what its paths are relative to; `outputs` maps shown names to output ids.

    `secrets` are the names of environment variables. `hidden` has the variables of `env` that are made of secrets, each
    with what stands for its value wherever something is derived from it: the names of those secrets, not their values.
    """

    file: str
    folder: str
    name: str
    description: str
    params: Mapping[str, Param]
    env: Mapping[str, str]
    nodes: Mapping[str, NodeSpec]
    outputs: Mapping[str, str]
    secrets: tuple[str, ...] = ()
    redacted_env: Mapping[str, str] = field(default_factory=lambda: _NOTHING)

    def with_nodes(self, nodes: Mapping[str, NodeSpec]) -> Pipeline:
        """The same pipeline with these nodes instead."""
        return replace(self, nodes=nodes)


def has_expression(text: str) -> bool:
    """Whether there is anything to evaluate in the text."""
    return EXPRESSION_START in text
