"""Runs a pipeline as a Python program does: with the options of the command, and with all that a test looks at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any

from nfrun.core.errors import Cause
from nfrun.core.events import Event, RunFinished
from nfrun.core.values import frozen
from nfrun.engine.event_dispatch import Reporter
from nfrun.reports.run_record import RunRecord
from nfrun.session.options import RunOptions
from nfrun.session.run import Around, Run
from nfrun.session.run_setup import run_in_program, set_up_run
from nfrun.system.std_streams import Messages


@frozen
class RunResult:
    """What a `Run` has at its end, with `tables`: the outputs of the pipeline by name, None for those that it lacks."""

    end: RunFinished
    record: RunRecord
    detached: int
    stopped_reporters: Mapping[str, Cause]
    tables: Mapping[str, Any]


class _Tables:
    """A reporter that opens the outputs of the pipeline at the end of the run, before the store drops them."""

    event_types = ()

    def __init__(self, run: Run, outputs: Mapping[str, str], found: dict[str, Any]) -> None:
        self._run, self._outputs, self._found = run, outputs, found

    def event(self, event: Event) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Open the outputs."""
        self._found.update({name: self._run.table(output) for name, output in self._outputs.items()})


def run_pipeline(options: RunOptions, reporters: Iterable[Reporter] = (), around: Around = nullcontext) -> RunResult:
    """Run a pipeline file, on any thread, beside other runs in this process. Raises what `set_up_run` raises."""
    tables: dict[str, Any] = {}
    with set_up_run(options, Messages()) as run:

        def build_reporters(run: Run) -> Iterator[Reporter]:
            yield from reporters
            yield _Tables(run, run.pipeline.outputs, tables)

        run_in_program(run, build_reporters, around)
        return RunResult(run.end, run.record, run.detached, run.stopped_reporters, tables)
