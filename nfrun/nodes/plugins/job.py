"""Defines `Job`: what the `run(job)` of a plug-in gets. This module is for authors of plug-ins.

    from nfrun import NodeError
    from nfrun.nodes.plugins.job import Job

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

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from nfrun.core.values import frozen

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


class Stop(Protocol):
    """Tells an attempt to stop: after a timeout, a failure of another node, or Ctrl-C."""

    @property
    def requested(self) -> bool:
        """Whether the attempt was told to stop. What it returns after that does not count."""

    def calls(self, callback: Callable[[], object]) -> AbstractContextManager[None]:
        """Call `callback` when the attempt is told to stop while inside, at once if it was before.

        It is called on another thread, must be quick and must not raise.
        """


class Job(Protocol):
    """One attempt at one node, or one call of a node with a `map`. May be used from several threads.

    `run` is the id of the run, `attempt` counts from 1, and paths are relative to `folder`, that of the pipeline file.
    `environ` are the variables of the node: those of the process, of `env` in the file and of `env` of the node. `env`
    are the latter two alone: what is sent to a service comes from there, so that no variable of the process is sent by
    chance. Secrets come with them, and nowhere else. `durable` asks that what is written survives a power loss.
    """

    node: NodeView
    run: str
    attempt: int
    folder: Path
    environ: Mapping[str, str]
    env: Mapping[str, str]
    durable: bool

    @property
    def log(self) -> logging.Logger:
        """A logger whose lines are those of the node."""

    @property
    def stop(self) -> Stop:
        """Tells whether the attempt shall stop."""

    def has(self, name: str) -> bool:
        """Return whether there is something to read: an `optional` input may be absent."""

    def table(self, name: str) -> Any:
        """Return an input: a `pyarrow.Table`, which is not copied, or the path of a file or folder.

        With `gather: dict` it is a mapping of these. In a node with a `map`, the input that is cut is the piece.
        """

    def file(self, name: str) -> Path:
        """Return the path of an input: of an Arrow IPC file for a table, else of the file or folder that it is.

        The input that a `map` cuts has none: that is a ValueError.
        """

    def scratch(self) -> Path:
        """Return a folder of this attempt's own, which is removed afterwards."""

    def progress(self, done: float, total: float | None = None) -> None:
        """Report progress in units of the node's own; `total` is None if unknown."""

    def wait(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine on the event loop of the run to its end, and return its result."""
