"""Defines `Job`: what the `run(job)` of a plug-in gets. Authors of plug-ins import it from `nfrun`.

    from nfrun import Job, NodeError

    def run(job: Job) -> dict[str, object]:
        table = job.table("rows")
        ...
        return {"rows": table}

`run` returns a value for each output of the static half: a table (anything with `__arrow_c_stream__`, a
`pyarrow.RecordBatchReader` that is read as it comes, or a list of mappings), or for a file or folder the path below
`scratch()` where it was made, or `bytes`. It raises `nfrun.NodeError` for what the user has done wrong; any other error
is shown with its traceback.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nfrun.core.pipeline import StaticHalf, has_expression
from nfrun.core.values import frozen
from nfrun.nodes.base import CancelToken, NodeContext, texts_in
from nfrun.nodes.python_context import node_logger

if TYPE_CHECKING:
    import logging

Result = TypeVar("Result")


@frozen
class NodeView:
    """A node as its plug-in sees it.

    `values` are those under `with`, evaluated: a copy that may be changed. `inputs` are the names of its inputs, and
    `outputs` maps what it makes to the types: `table`, `file`, `folder`, or the ending of a file. `cpus` is how many
    threads it should use.
    """

    id: str
    kind: str
    values: dict[str, Any]
    inputs: Sequence[str]
    outputs: Mapping[str, str]
    cpus: int = 1


class Stop:
    """Tells an attempt to stop: after a timeout, a failure of another node, or Ctrl-C."""

    def __init__(self, token: CancelToken) -> None:
        self._token = token

    @property
    def requested(self) -> bool:
        """Whether the attempt was told to stop. What it returns after that does not count."""
        return self._token.cancelled

    def calls(self, callback: Callable[[], object]) -> AbstractContextManager[None]:
        """Call `callback` when the attempt is told to stop while inside, at once if it was before.

        It is called on another thread, must be quick and must not raise.
        """
        return self._token.on_cancel(callback)


class Job:
    """One attempt at one node, or one call of a node with a `map`. May be used from several threads.

    `run` is the id of the run, `attempt` counts from 1, and paths are relative to `folder`, that of the pipeline file.
    `environ` are the variables of the node: those of the process, of `env` in the file and of `env` of the node. `env`
    are the latter two alone: what is sent to a service comes from there, so that no variable of the process is sent by
    chance. Secrets come with them, and nowhere else. `durable` asks that what is written survives a power loss.
    """

    def __init__(
        self, context: NodeContext, half: StaticHalf, inputs: Mapping[str, Any] | None = None, over: str = ""
    ) -> None:
        """nfrun makes it. For a call for a piece, `inputs` has all inputs, and `over` is the one that is cut."""
        node = context.node
        self._context, self._inputs, self._over = context, inputs, over
        values, names = copy.deepcopy(dict(node.with_)), [item.name for item in node.inputs]
        self.node = NodeView(node.id, half.name, values, names, dict(half.outputs), node.cpus)
        self.run, self.attempt, self.folder = context.run, context.attempt, context.folder
        self.environ: Mapping[str, str] = dict(context.environ)
        self.env: Mapping[str, str] = dict(context.named_environ)
        self.durable = context.fsync
        self.stop = Stop(context.cancel_token)

    @cached_property
    def log(self) -> logging.Logger:
        """A logger whose lines are those of the node."""
        return node_logger(self._context)

    def has(self, name: str) -> bool:
        """Return whether there is something to read: an `optional` input may be absent."""
        if self._inputs is not None:
            return name in self._inputs
        return name in self.node.inputs and self._context.has_input(name)

    def table(self, name: str) -> Any:
        """Return an input: a `pyarrow.Table`, which is not copied, or the path of a file or folder.

        With `gather: dict` it is a mapping of these. In a node with a `map`, the input that is cut is the piece.
        """
        return self._inputs[name] if self._inputs is not None else self._context.table(name)

    def file(self, name: str) -> Path:
        """Return the path of an input: of an Arrow IPC file for a table, else of the file or folder that it is.

        The input that a `map` cuts has none: that is a ValueError.
        """
        if name == self._over:
            raise ValueError(f"'{name}' is cut by the map of '{self.node.id}': a piece has no file")
        return self._context.file(name)

    def scratch(self) -> Path:
        """Return a folder of this attempt's own, which is removed afterwards."""
        return self._context.scratch()

    def progress(self, done: float, total: float | None = None) -> None:
        """Report progress in units of the node's own; `total` is None if unknown."""
        self._context.progress(float(done), None if total is None else float(total))

    def wait(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine on the event loop of the run to its end, and return its result."""
        found: Result = self._context.run_coroutine(coroutine)
        return found


# Texts that name columns as `{name}`: the values of a node whose plug-in is called for each row. `{{name}}` stands for
# `{name}`. All other braces are text, so that JSON can stand in a prompt.
_COLUMN = re.compile(r"\{\{([A-Za-z_]\w*)\}\}|\{([A-Za-z_]\w*)\}")


def named_columns(value: Any) -> dict[str, tuple[tuple[str | int, ...], int]]:
    """Return the columns that the texts of a value name, each with the path of the first text and the index in it.

    Texts with expressions count once these are evaluated.
    """
    found: dict[str, tuple[tuple[str | int, ...], int]] = {}
    for path, text in texts_in(value):
        for match in _COLUMN.finditer(text) if not has_expression(text) else ():
            if match[2]:
                found.setdefault(match[2], (path, match.start()))
    return found


def filled_in(value: Any, row: Mapping[str, Any]) -> Any:
    """Return a copy of a value with the columns of a row in its texts: texts as they are, all else as JSON.

    Raises ValueError for a column that is null, and KeyError for one that is not there.
    """
    if isinstance(value, str):
        return _COLUMN.sub(lambda match: f"{{{match[1]}}}" if match[1] else _as_text(match[2], row[match[2]]), value)
    if isinstance(value, dict):
        return {key: filled_in(item, row) for key, item in value.items()}
    return [filled_in(item, row) for item in value] if isinstance(value, list) else value


def _as_text(name: str, value: Any) -> str:
    if value is None:
        raise ValueError(f"the column '{name}' is null")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
