"""Carries out `nfrun shell`: runs Python on a node's inputs and values, what its kind offers, and `rerun`.

Nothing here writes into the work folder: what a rerun writes for its node is in a scratch folder that the shell has.
"""

from __future__ import annotations

import gc
import linecache
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

import nfrun
from nfrun.code.source_import import forget_imported
from nfrun.code.watch.process_state import WorkerState
from nfrun.core.errors import error_text
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.core.text import ellipsize
from nfrun.core.values import replace
from nfrun.engine.attempt_context import Importer
from nfrun.lookback.reopen.rerun_context import rerun_context, whole_table
from nfrun.nodes.base import NodeContext, NodeError, output_name, seed_of
from nfrun.nodes.mapped_run import run_whole
from nfrun.nodes.registry import kind_of
from nfrun.reports.format_units import format_count
from nfrun.system.logs.node_logs import STREAMS, Logs
from nfrun.tables.gathered import flattened

_PACKAGE = str(Path(nfrun.__file__).parent)


class NodeShell:
    """The names in a shell about a node, while the `with` block lasts.

    `inputs` are its tables by the names that it has for them, and `environ` the environment of the run with the id
    `run`, which the tables are from. `say` shows a line: what the node logs, and what its script prints. `importer`
    returns what imports the modules of a folder, if not as usual: under the names that they have in a run, so that what
    a run has pickled can be loaded.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        node: NodeSpec,
        run: str,
        environ: Mapping[str, str],
        inputs: Mapping[str, Any],
        say: Callable[[str], object],
        importer: Importer = lambda folder: None,
    ) -> None:
        self._pipeline = pipeline
        self._node = node
        self._run = run
        self._environ = environ
        self._given = {**inputs, **node.with_}
        self._say = say
        self._importer = importer
        self._state = WorkerState()
        self._state.seed = seed_of(node)
        self._reruns = 0
        self.names: dict[str, Any] = {"__name__": "__main__"}

    def __enter__(self) -> NodeShell:
        self._scratch = tempfile.TemporaryDirectory(prefix="nfrun-shell-", ignore_cleanup_errors=True)
        self.names["rerun"] = self.rerun
        self.names |= self._given
        try:
            with self._context(self._node, {}) as context:
                self._offer(context)
        except (Exception, SystemExit) as error:  # the user may mend it and go on
            self._say(f"nfrun: the code of the node cannot be loaded: {type(error).__name__}: {error_text(error)}")
        return self

    def __exit__(self, *error: object) -> None:
        self.names.clear()
        gc.collect()
        self._scratch.cleanup()

    def banner(self, title: str) -> str:
        """Return the names in the shell, for people."""
        lines = [title]
        gathers = {item.name: item.gather for item in self._node.inputs if item.gather and item.gather.form == "dict"}
        for name, value in self._given.items():
            rows = getattr(value, "num_rows", None)
            shown = f" = {ellipsize(repr(value))}" if rows is None else f"  {format_count(rows, 'row')}"
            if name in gathers:
                cells = format_count(len(list(flattened(gathers[name], value))), "cell")
                shown = f"  {cells}, by {', '.join(gathers[name].axes)}"
            lines.append(f"  {name}{shown}")
        own = [name for name in self.names if not name.startswith("__") and name not in self._given]
        lines.append(f"  {', '.join(own)}")
        these = " with these as they are now," if self._given else ","
        return "\n".join([*lines, f"rerun() runs the node{these} with its code read again"])

    def rerun(self, **given: Any) -> Any:
        """Run the node with its inputs and values as they are now. Returns its table, or a dictionary of its tables.

        `given` replaces inputs and values for this call. The code of the node is imported again.
        """
        try:
            forget_imported()
            return self._result(self._node, given)
        except Exception as error:
            _leave_out_ours(error)
            raise

    def query(self, text: str, **given: Any) -> Any:
        """Run another query on the inputs and values as they are now. `given` replaces some for this call."""
        try:
            return self._result(replace(self._node, body=text), given)
        except Exception as error:
            _leave_out_ours(error)
            raise

    def _result(self, node: NodeSpec, given: Mapping[str, Any]) -> Any:
        unknown = [name for name in given if name not in self._given]
        if unknown:
            listed = ", ".join(self._given) or "none"
            raise TypeError(f"the node has no input or value '{unknown[0]}': it has {listed}")
        self._reruns += 1
        with self._context(node, given) as context:
            self._offer(context)
            found = {name: whole_table(value) for name, value in run_whole(context).items()}
        return found.get(output_name(node)) if len(node.outputs) < 2 else found

    def _offer(self, context: NodeContext) -> None:
        """Put what the kind offers into the shell, such as the function as it was just imported."""
        offered = kind_of(self._node).runs.shell_names(context, self.query)
        self.names |= {name: value for name, value in offered.items() if name not in self._given}

    @contextmanager
    def _context(self, node: NodeSpec, given: Mapping[str, Any]) -> Iterator[NodeContext]:
        """Yield what the kind gets for a rerun, with the inputs and values as they stand in the shell."""
        now = {**self._given, **{name: self.names[name] for name in self._given if name in self.names}, **given}
        logs = Logs(lambda node, level, line: self._say(line if level in STREAMS else f"{level}: {line}"))
        self._state.reset()
        context = rerun_context(
            self._pipeline,
            replace(node, with_={name: now[name] for name in node.with_}),
            {item.name: now[item.name] for item in node.inputs if item.name in now},
            Path(self._scratch.name) / f"rerun_{self._reruns}",
            self._run,
            self._environ,
            logs=logs,
            importer=self._importer,
            process_state=self._state,
        )
        try:
            yield context
        finally:
            context.memo.clear()
            logs.close()


def _leave_out_ours(error: Exception) -> None:
    """Leave nfrun's own frames out of the traceback down to the user's code, and add the details as a note."""
    if isinstance(error, NodeError) and error.details:
        error.add_note(error.details)
    found: TracebackType | None = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        found = found.tb_next
    error.__traceback__ = found


_SCRIPT = "<stdin>"


def run_prompt(names: dict[str, Any], banner: str, say: Callable[[str], object]) -> int:
    """Let the user work with `names`, and return the exit code. `say` shows a message; `banner` is for a terminal."""
    try:
        if not sys.stdin.isatty():
            return _run_script(sys.stdin.buffer.read(), names, say)
        say(banner)
        if not _ipython(names):
            _plain_prompt(names)
    except SystemExit as end:
        if end.code is not None and not isinstance(end.code, int):
            say(str(end.code))
            return 1
        return end.code or 0
    return 0


def _run_script(source: bytes, names: dict[str, Any], say: Callable[[str], object]) -> int:
    """Run a script to its end. An error in it is shown with its own traceback, and gives the exit code 1."""
    lines = source.decode(errors="replace").splitlines(keepends=True)
    linecache.cache[_SCRIPT] = (len(source), None, lines, _SCRIPT)  # so that tracebacks show them
    try:
        exec(compile(source, _SCRIPT, "exec"), names)
    except (SystemExit, KeyboardInterrupt, BrokenPipeError):
        raise
    except BaseException as error:
        own = error.__traceback__ and error.__traceback__.tb_next  # without the frame of this function
        say("".join(traceback.format_exception(type(error), error, own)).rstrip("\n"))
        return 1
    return 0


def _ipython(names: dict[str, Any]) -> bool:
    """Start IPython. Returns False if it is not installed."""
    try:
        ipython: Any = import_module("IPython")
    except ImportError:
        return False
    ipython.start_ipython(argv=["--no-banner"], user_ns=names)
    return True


def _plain_prompt(names: dict[str, Any]) -> None:
    import code

    with suppress(ImportError):  # some builds of Python have no readline
        import readline
        import rlcompleter

        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")
    code.interact(banner="", local=names, exitmsg="")
