"""Defines `Context`, what a Python function receives in a parameter called `context`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.core.pipeline import LAST_SECTIONS
from nfrun.core.values import frozen
from nfrun.nodes.base import NodeContext

if TYPE_CHECKING:
    import logging


@frozen
class Context:
    """The object that a function receives in a parameter called `context`.

    `run` is the id of the run, `node` that of the node; `attempt` counts from 1. `env` is the environment. `log` is a
    logger whose lines appear in the run's reports.
    """

    run: str
    node: str
    attempt: int
    env: Mapping[str, str]
    log: logging.Logger
    _node_context: NodeContext

    @property
    def scratch(self) -> Path:
        """A folder of this attempt's own, removed when it ends. Raises HandoffError."""
        return self._node_context.scratch()

    def output(self, name: str) -> Path:
        """Return a path in the scratch folder for a file or folder that the function makes and returns.

        `name` is a name, or a path below the scratch folder, whose folders are made. Raises ValueError for another one,
        and HandoffError.
        """
        path = Path(name)
        if path.is_absolute() or not path.parts or ".." in path.parts:
            raise ValueError(f"'{name}' is no path below the scratch folder")
        found = self.scratch / path
        found.parent.mkdir(parents=True, exist_ok=True)
        return found

    @property
    def report(self) -> Any:
        """The document of the run, as `--json` prints it, in a node under `on_failure` or `finally`; None in others.

        It is None there too if it could not be written.
        """
        path = self._node_context.environ.get("NFRUN_REPORT")
        if path is None or self._node_context.node.section not in LAST_SECTIONS:
            return None
        return json.loads(Path(path).read_text(encoding="utf-8"))

    @property
    def cpus(self) -> int:
        """The number of threads that the node should use: the `cpu` of its `resources`, 1 by default."""
        return self._node_context.node.cpus

    @property
    def granted(self) -> Mapping[str, tuple[int, ...]]:
        """The numbers of the units that the attempt holds, by budget: `{"gpu": (0,)}`."""
        return self._node_context.granted

    @property
    def stopped(self) -> bool:
        """Whether the attempt was told to stop. A long loop that checks this ends sooner."""
        return self._node_context.cancel_token.cancelled

    def progress(self, done: float, total: float | None = None) -> None:
        """Report progress, in units of the node's own. Raises ValueError or TypeError unless the numbers are finite."""
        if not math.isfinite(done) or not math.isfinite(total or 0):
            raise ValueError("progress is told in finite numbers")
        self._node_context.progress(float(done), None if total is None else float(total))


def own_context(context: NodeContext) -> Context:
    """Return the context for the function of an attempt."""
    return Context(context.run, context.node.id, context.attempt, context.environ, node_logger(context), context)


def node_logger(context: NodeContext) -> logging.Logger:
    """Return the logger whose lines are those of the node."""
    import logging

    class Forward(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                lines = self.format(record).split("\n")
            except Exception:  # the arguments do not fit the text: logging never ends a program
                self.handleError(record)
                return
            for line in lines:
                context.log(record.levelname.lower(), line)

    # Not from getLogger: that keeps every logger for ever, and parent loggers would print the line a second time.
    logger = logging.Logger(f"nfrun.{context.node.id}")
    logger.addHandler(Forward())
    return logger
