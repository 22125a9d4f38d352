"""Pipelines of Python programs: what a file or a builder has, planned and run by the functions of the command line."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import Diagnostic, UsageError, one_line
from nfrun.core.pipeline import NOTHING
from nfrun.core.text import shortened
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.resolve import functions_of
from nfrun.pipeline_file.validate import validate_file
from nfrun.session.api.errors import ProgramMessages, errors_for_programs
from nfrun.session.api.given import GivenInputs, plain_params
from nfrun.session.api.results import Result
from nfrun.session.options import PlanOptions, RunOptions
from nfrun.session.run import Program, Run
from nfrun.session.run_setup import known_checks, run_in_program, set_up_run
from nfrun.system.processes.signals import INTERRUPT, cancel_on_signals
from nfrun.system.runtime import gc_paused

if TYPE_CHECKING:
    from nfrun.core.pipeline import Pipeline
    from nfrun.pipeline_file.built_document import BuiltPipeline
    from nfrun.session.planning import Plan


Selectors: TypeAlias = "str | Collection[str]"
PathLike: TypeAlias = "str | os.PathLike[str]"
_NO_OPTIONS = ("self", "inputs", "params", "progress")  # arguments that are no options as they are
_FIELDS = {"params": "given", "jobs": "slots", "durable": "fsync"}  # the fields of options that are called otherwise


class RunnablePipeline(ABC):
    """Plans and runs a pipeline: that of a file, or one that a program builds.

    Nothing is global: several threads may plan and run pipelines at once, also the same one with other work folders.
    """

    def plan(
        self,
        *,
        params: Mapping[str, Any] = NOTHING,
        params_file: PathLike | None = None,
        inputs: Mapping[str, Any] = NOTHING,
        jobs: int | str | None = None,
        profile: str | None = None,
        date: str | None = None,
        only: Selectors = (),
        from_: Selectors = (),
        until: Selectors = (),
        exclude: Selectors = (),
        force: Selectors = (),
        fresh: bool = False,
        verify: bool = False,
        work: PathLike | None = None,
    ) -> Plan:
        """Find out which nodes would run now, and why, without running anything.

        The arguments are those of `run`. With `fresh` no reason is looked for. Raises what `run` raises.
        """
        given = {**locals(), "format": "json"}
        __tracebackhide__ = True
        from nfrun.session.planning import plan_pipeline

        with errors_for_programs(PlanOptions, _FIELDS) as messages:
            options, program, _ = self._taken(PlanOptions, given, messages)
            plan = plan_pipeline(options, messages, program)
            plan.warnings = tuple(messages.warnings)
            return plan

    def run(
        self,
        *,
        params: Mapping[str, Any] = NOTHING,
        params_file: PathLike | None = None,
        inputs: Mapping[str, Any] = NOTHING,
        jobs: int | str | None = None,
        profile: str | None = None,
        date: str | None = None,
        only: Selectors = (),
        from_: Selectors = (),
        until: Selectors = (),
        exclude: Selectors = (),
        force: Selectors = (),
        fresh: bool = False,
        keep_going: bool = False,
        executor: str = "file",
        address: str | None = None,
        store: str | None = None,
        work: PathLike | None = None,
        wait: float | str = 0,
        memory: int | str = "auto",
        cache_size: int | str | None = None,
        keep: bool = False,
        verify: bool = False,
        durable: bool = False,
        grace: float | str = "5s",
        report: PathLike | None = None,
        progress: bool | None = None,
    ) -> Result:
        """Run the pipeline, or what has changed in it, and return the result. A failed node raises nothing here.

        `params` are values by name, which win over those in `params_file`. `inputs` gives inputs of the pipeline: a
        path or URI, a table (pyarrow, polars, pandas, DuckDB), or rows, a list of mappings. The other arguments are the
        options of `nfrun run` with these names: selectors are a text or several; `wait` and `grace` are seconds, or a
        duration such as "10m"; sizes are bytes, or a text such as "2GB"; `report` is a file for a page of the run.
        `progress` shows what is under way: on stderr, or below the cell of a notebook; None does so in a notebook only.

        Ctrl-C, if this is the main thread, cancels the run: it returns with the status `cancelled`, and `check()`
        raises KeyboardInterrupt. A second one does not wait for the nodes. Signals are as before when it returns.

        Raises nfrun.Error: SpecError if the pipeline, its parameters or inputs are wrong, UsageError if an argument is,
        WorkDirLocked if another run of the pipeline is under way, SelectionError if selected nodes lack results of
        others, ClusterError if a cluster refuses the run, HandoffError if the work folder is unusable. And OSError.
        """
        given = {**locals()}
        __tracebackhide__ = True
        with errors_for_programs(RunOptions, _FIELDS) as messages, ExitStack() as preparing:
            options, program, files = self._taken(RunOptions, given, messages)
            _check_executor(options.where.executor, program)
            preparing.enter_context(gc_paused())  # until nodes run
            with set_up_run(options, messages, program=program) as run:
                files.write()  # again, if somebody has removed them before the lock was held
                result = _run(run, messages, progress, preparing.close)
                files.remove_old(run.budget)
                return result

    def check(self) -> tuple[str, ...]:
        """Look for all mistakes that can be found without running anything, as `nfrun validate` does.

        Returns the warnings. Raises SpecError with all problems. `load`, `plan` and `run` look for less.
        """
        found: list[Diagnostic] = []
        with errors_for_programs():
            validate_file(self._file(), found.append, built=self._built())
        return tuple(map(one_line, found))

    @abstractmethod
    def _file(self) -> Path:
        """Return the path of the file, which need not exist for a built pipeline."""

    @abstractmethod
    def _built(self) -> BuiltPipeline | None:
        """Return what the program has built, None for a file."""

    def _read(self, profile: str = "") -> Pipeline:
        """Read and check the pipeline. Raises SpecError."""
        built, file = self._built(), self._file()
        known = known_checks(file, None)  # of runs in the usual work folder
        functions = FunctionLookup(file.absolute().parent, known=known.modules, given=functions_of(built))
        document = None if built is None else built.document
        return read_pipeline(file, functions, profile=profile, known=known, document=document)[0]

    def _taken(
        self, kind: Any, given: Mapping[str, Any], messages: ProgramMessages
    ) -> tuple[Any, Program, GivenInputs]:
        """Return the options of a kind that the arguments of a call make, what only a program gives, and its inputs."""
        work = Path(given["work"]) if given["work"] is not None else None
        files = GivenInputs(given["inputs"], lambda: self._read(given["profile"] or ""), work)
        files.write()
        for name in ("only", "from_", "until", "exclude", "force"):
            _check_selectors(name, given[name])
        named = {name: value for name, value in given.items() if name not in _NO_OPTIONS and value is not None}
        fields = {_FIELDS.get(name, name): value for name, value in named.items()}
        options = kind(pipeline=self._file(), inputs=files.paths, **fields)
        program = Program(plain_params(given["params"]), self._built())
        return options, program, files


class LoadedPipeline(RunnablePipeline):
    """A pipeline file. Each plan and run reads it again, so edits of the file count."""

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        self._absolute = self.path.absolute()  # the program may change its working directory

    def __repr__(self) -> str:
        return f"nfrun.load({str(self.path)!r})"

    def _file(self) -> Path:
        return self.path if self.path.absolute() == self._absolute else self._absolute

    def _built(self) -> BuiltPipeline | None:
        return None


def load(path: PathLike) -> LoadedPipeline:
    """Return the pipeline in a YAML file, checked. Nothing runs. Raises SpecError, with all problems of the file."""
    found = LoadedPipeline(path)
    with errors_for_programs():
        found._read()
    return found


def _check_selectors(name: str, given: Any) -> None:
    """Raise UsageError if these are no selectors, or an empty list: it would select all nodes, as without it."""
    if isinstance(given, str) or given == ():
        return
    if not isinstance(given, Collection) or not all(isinstance(each, str) for each in given):
        raise UsageError(f"{given!r} is neither a selector nor a list of them", f"--{name.rstrip('_')}")
    if not given:
        raise UsageError("it selects no node: leave it out, or name nodes", f"--{name.rstrip('_')}")


def _check_executor(executor: str, program: Program) -> None:
    """Raise UsageError for functions that cannot be called on this executor: no other process can import them."""
    functions = program.built.functions if program.built else {}
    if functions and executor not in ("file", "thread", "auto"):
        listed = shortened([f"'{name}'" for name in functions], 4)
        what = f"no other process can import {listed}: put such functions into a module"
        raise UsageError(f"{what}, or leave out executor={executor!r}", "--executor")


def _run(run: Run, messages: ProgramMessages, progress: bool | None, on_prepared: Callable[[], object]) -> Result:
    """Carry out a run that is set up. Calls `on_prepared` when nodes begin to run."""
    from nfrun.session.api.progress import progress_reporters

    caught: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()

    @contextmanager
    def around(run: Run) -> Iterator[None]:
        on_prepared()
        with ExitStack() as stack:
            signals = stack.enter_context(cancel_on_signals(run.cancel, INTERRUPT)) if is_main else []
            yield
        caught.extend(signals)

    run_in_program(run, partial(progress_reporters, progress), around)
    return Result(run, tuple(messages.warnings), interrupted=bool(caught))
