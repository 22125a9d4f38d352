"""Makes the `Job` that the `run(job)` of a plug-in gets."""

from __future__ import annotations

import copy
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.core.static_half import StaticHalf
from nfrun.nodes.base import CancelToken, NodeContext
from nfrun.nodes.plugins.job import NodeView

if TYPE_CHECKING:
    import logging


class NodeJob:
    """The `Job` of an attempt, or of a call for a piece: then `inputs` has all, and `over` is the one that is cut."""

    def __init__(
        self, context: NodeContext, half: StaticHalf, inputs: Mapping[str, Any] | None = None, over: str = ""
    ) -> None:
        node = context.node
        self._context, self._inputs, self._over = context, inputs, over
        values, names = copy.deepcopy(dict(node.with_)), [item.name for item in node.inputs]
        self.node = NodeView(node.id, half.name, values, names, dict(half.outputs), node.cpus)
        self.run, self.attempt, self.folder = context.run, context.attempt, context.folder
        self.environ: Mapping[str, str] = dict(context.environ)
        self.env: Mapping[str, str] = dict(context.named_environ)
        self.durable = context.fsync
        self.stop = NodeStop(context.cancel_token)

    @cached_property
    def log(self) -> logging.Logger:
        from nfrun.nodes.python_context import node_logger  # it imports logging

        return node_logger(self._context)

    def has(self, name: str) -> bool:
        if self._inputs is not None:
            return name in self._inputs
        return name in self.node.inputs and self._context.has_input(name)

    def table(self, name: str) -> Any:
        return self._inputs[name] if self._inputs is not None else self._context.table(name)

    def file(self, name: str) -> Path:
        if name == self._over:
            raise ValueError(f"'{name}' is cut by the map of '{self.node.id}': a piece has no file")
        return self._context.file(name)

    def scratch(self) -> Path:
        return self._context.scratch()

    def progress(self, done: float, total: float | None = None) -> None:
        self._context.progress(float(done), None if total is None else float(total))

    def wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._context.run_coroutine(coroutine)


class NodeStop:
    """The `Stop` of an attempt."""

    def __init__(self, token: CancelToken) -> None:
        self._token = token

    @property
    def requested(self) -> bool:
        return self._token.cancelled

    def calls(self, callback: Callable[[], object]) -> AbstractContextManager[None]:
        return self._token.on_cancel(callback)
