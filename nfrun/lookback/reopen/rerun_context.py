"""Makes one attempt at a node outside of a run: what its kind gets when the user, or a command, runs it again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from nfrun.core.pipeline import Gather, NodeSpec
from nfrun.core.values import field, mutable
from nfrun.nodes.base import GRACE_SECONDS, CancelToken, NodeError
from nfrun.nodes.returned_tables import to_table
from nfrun.system.checksums import FileChecksums, FileLook
from nfrun.system.logs.node_logs import Logs, StreamLog
from nfrun.tables.gathered import flattened, put_together


@mutable
class RerunContext:
    """One attempt at a node outside of a run, as its kind sees it: a `NodeContext` whose inputs are given.

    Inputs are tables or what makes one, or paths of files. Files are made in `run_scratch`. `on_begin` is called when
    the user's code begins.
    """

    node: NodeSpec
    folder: Path
    run: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    logs: Logs = field(default_factory=Logs)
    run_scratch: Path = Path(os.devnull)  # in which no file can be made
    on_begin: Callable[[], object] = lambda: None
    attempt: int = 1
    grace: float = GRACE_SECONDS
    granted: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    memo: dict[Any, Any] = field(default_factory=dict)
    wrote: dict[str, str] = field(default_factory=dict)
    cancel_token: CancelToken = field(default_factory=CancelToken)
    fsync: bool = False
    memory_share: float = 1.0
    may_share_memory: bool = True
    stays_in_files: bool = True  # who needs the table of a `FileTable` loads it
    import_module: Callable[[str], Any] | None = None

    @property
    def named_environ(self) -> Mapping[str, str]:
        """Return the variables of the node: the shell adds those of the file."""
        return self.node.env

    def has_input(self, name: str) -> bool:
        """Return whether the shell has the input: an optional one may be absent."""
        return name in self.inputs

    def table(self, name: str) -> Any:
        """Return an input as it stands in the shell now: a `pyarrow.Table`, or a mapping of these. Raises NodeError."""
        if name not in self.inputs:
            raise NodeError(f"the node has no input '{name}'")
        value, gather = self.inputs[name], self._gather(name)
        if gather is None:
            return _as_given(value)
        return put_together(gather, {output: _as_given(cell) for output, cell in flattened(gather, value)})

    def file(self, name: str) -> Path:
        """Write an input into the scratch folder. Returns the path of the Arrow file, or of the folder of the cells."""
        from nfrun.tables.ipc import write_file

        gather, value = self._gather(name), self.table(name)
        if isinstance(value, Path):
            return value
        if gather is None:
            path = self.scratch() / f"input_{name}.arrow"
            write_file(value, path)
            return path
        path = self.scratch() / f"input_{name}"
        path.mkdir()
        for output, cell in flattened(gather, value):
            name = output.cell(self.node.id)
            if isinstance(cell, Path):
                (path / f"{name}{''.join(cell.suffixes[-1:])}").symlink_to(cell)
            else:
                write_file(cell, path / f"{name}.arrow")
        return path

    def files(self, name: str) -> None:
        """Return that there are no files behind an input: the shell has its table."""

    def look(self, path: Path) -> FileLook:
        """Return the checksum of a file, and its state."""
        return FileChecksums().look(path)

    def _gather(self, name: str) -> Gather | None:
        """Return how the cells of an input are gathered, if they are a mapping."""
        gather = next((item.gather for item in self.node.inputs if item.name == name), None)
        return gather if gather and gather.form == "dict" else None

    def scratch(self) -> Path:
        """Return the scratch folder of this rerun, which stays until the shell ends."""
        self.run_scratch.mkdir(parents=True, exist_ok=True)
        return self.run_scratch

    def begin(self, *, imported: bool = False) -> None:
        """Seed the random generators, as a run does when the user's code begins."""
        self.on_begin()

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end and return its result."""
        return asyncio.run(coroutine)

    def log(self, level: str, line: str) -> None:
        """Show a line that the node logs."""
        self.logs.log(self.node.id, self.attempt, level, line)

    def stream_log(self, stream: str) -> StreamLog:
        """Return the log that shows what a script prints."""
        return self.logs.of(self.node.id, self.attempt, stream)

    def progress(self, done: float, total: float | None = None) -> None:
        """Ignore progress: only reports of a run show it."""


def _as_given(value: Any) -> Any:
    return value if isinstance(value, Path) else whole_table(to_table(value))


def whole_table(value: Any) -> Any:
    """Return the table of a reader, and other tables as they are."""
    return value.read_all() if hasattr(value, "read_all") else value
