"""Carries out `nfrun bench`: runs the variants in turns, each in a process of its own, and prints the results.

`reports/bench_stats.py` defines the variants and computes the statistics; `reports/bench_table.py` formats them.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NoReturn

import nfrun
from nfrun import __version__
from nfrun.cli.exit_codes import EXIT_FAILED, EXIT_OK, EXIT_SIGNAL, EXIT_USAGE, print_json
from nfrun.core.pipeline import Pipeline
from nfrun.core.text import ellipsize, shortened
from nfrun.core.values import mutable
from nfrun.nodes.registry import kind_of
from nfrun.pipeline_file.resolve import resolve
from nfrun.reports.bench_stats import VARIANTS, Comparison, Document, Variant, compare, interleave
from nfrun.reports.format_units import format_seconds
from nfrun.reports.last_line import GO_ON
from nfrun.reports.summary import KEEP_GOING
from nfrun.session.options import BenchOptions, parse_slots
from nfrun.system.native_threads import default_thread_variables
from nfrun.system.processes.process_tree import describe_exit
from nfrun.system.processes.signals import SIGNALS, cancel_on_signals
from nfrun.system.runtime import cores
from nfrun.system.std_streams import Messages

_SO = "; nothing is compared"  # the end of a message when a run has failed
_END_SECONDS = 5.0  # for the run that is under way to end, once a signal has stopped the comparison
# Runs `nfrun` after importing what Arrow imports at first use, including pandas where it is installed. Otherwise the
# first node or handoff would pay for the import, and which one that is differs between variants. The variables are
# those that the run sets itself, before such imports.
_CHILD_CODE = """
import os
variables = {variables!r}
os.environ.update(variables)
import pyarrow.compute
pyarrow.array([""])
for name in variables:
    del os.environ[name]
from nfrun.__main__ import main
main(guarded=False)
"""


class BenchStopped(Exception):
    """The comparison was stopped. The text says why; `code` is the exit code of the command."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def _interrupt(why: str) -> NoReturn:
    number = next(number for number, name in SIGNALS.items() if name == why)
    raise BenchStopped(f"stopped by {why}{_SO}", EXIT_SIGNAL + number)


def _run_child(command: Sequence[str], out: IO[bytes], err: IO[bytes]) -> int:
    """Run a command to its end and return its exit code, negative for a signal. Raises OSError.

    If a signal stops nfrun meanwhile, the child is stopped too, and waited for, so that no node is left behind.
    """
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err) as process:
        try:
            return process.wait()
        except BenchStopped:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)
            raise
        finally:
            process.kill()


def bench(options: BenchOptions, messages: Messages) -> int:
    """Compare the variants, print the results and return the exit code.

    Secrets are redacted in `messages` as soon as they are known. Raises SpecError and OSError before anything runs.
    """
    files = [options.pipeline] if options.pipeline else [_bundled(name) for name in ("blog-5", "blog-20")]
    # Read and bound once here, to find errors before anything runs.
    pipelines = [
        resolve(
            file,
            given=options.given,
            params_file=None,
            environ=os.environ,
            run_id="bench",
            set_redactor=messages.set_redactor,
        ).pipeline
        for file in files
    ]
    measured_on = machine()
    try:
        for pipeline in pipelines:
            _confirm(pipeline, options)
        found: list[Comparison] = []
        with (
            cancel_on_signals(_interrupt),
            tempfile.TemporaryDirectory(prefix="nfrun-bench-") as folder,
        ):
            for pipeline in pipelines:
                work = Path(folder) / str(len(found))
                work.mkdir()
                found.append(_BenchRuns(pipeline, options, work, messages).compared())
    except BenchStopped as stopped:
        shown = messages(f"nfrun: {stopped}")
        if options.json:
            print_json({"status": "failed", "error": shown.removeprefix("nfrun: ")})
        return stopped.code
    if options.json:
        print_json({"status": "ok", "machine": measured_on, "repeat": options.repeat, "pipelines": found})
    else:
        from nfrun.reports.bench_table import blog_rows, print_comparison, rows
        from nfrun.reports.printing import printer_on

        table = rows(found[0]) if options.pipeline else blog_rows(*found)
        print_comparison(printer_on(sys.stdout, options.color), found, table, measured_on)
    return EXIT_OK


@mutable
class _BenchRuns:
    """Makes the runs of one pipeline. They share the work folder `work`, so that later runs have recorded durations."""

    pipeline: Pipeline
    options: BenchOptions
    work: Path
    messages: Messages

    def compared(self) -> Comparison:
        """Run all variants and compare them. Raises BenchStopped."""
        runs: dict[str, list[Document]] = {variant.name: [] for variant in VARIANTS}
        for turn, variant in interleave(self.options.repeat):
            head = f"{ellipsize(self.pipeline.name)}: {variant.name}, {turn} of {self.options.repeat}: "
            self.messages(head, end="")
            document = self.one(variant)
            self.messages(format_seconds(document["wall_s"]))
            runs[variant.name].append(document)
        return compare(self.pipeline.name, self.pipeline.file, self.slots, runs)

    @property
    def slots(self) -> int:
        """The number of nodes that run at once."""
        return self.options.slots or (parse_slots("auto") if self.options.pipeline else len(self.pipeline.nodes))

    def one(self, variant: Variant) -> Document:
        """Run the pipeline once and return its JSON document. Raises BenchStopped.

        The output goes to files, because a process left in the background could hold a pipe open.
        """
        which = f"'{variant.name}' of {self.pipeline.file}"
        out, err = self.work / "stdout", self.work / "stderr"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            try:
                code = _run_child(self.command(variant), stdout, stderr)
            except BenchStopped:
                self.messages("")  # ends the progress line
                raise
        shutil.rmtree(self.work / "runs", ignore_errors=True)
        if code:
            self.messages("")
            text = err.read_text(encoding="utf-8", errors="backslashreplace")
            # `bench` has no such option, and leaves nothing to go on from.
            lines = text.replace(KEEP_GOING, "").splitlines(keepends=True)
            self.messages("".join(line for line in lines if not line.startswith(GO_ON)), end="")
            raise BenchStopped(f"{which} {describe_exit(code)}{_SO}", EXIT_FAILED)
        try:
            document: Document = json.loads(out.read_bytes())
        except ValueError:  # a node has ended the process
            self.messages("")
            raise BenchStopped(f"{which} ended without a result{_SO}", EXIT_FAILED) from None
        return document

    def command(self, variant: Variant) -> list[str]:
        """Return the command line of a run."""
        code = _CHILD_CODE.format(variables=default_thread_variables(self.pipeline, os.environ))
        given = [f"--param={name}={value}" for name, value in self.options.given.items()]
        # -P: don't import modules from the working directory in place of ours.
        return [
            *(sys.executable, "-P", "-c", code, "run", "--json", "--quiet", "--jobs", str(self.slots)),
            *("--schedule", variant.schedule, "--handoff", variant.handoff, "--work", str(self.work), *given),
            self.pipeline.file if not self.pipeline.file.startswith("-") else f"./{self.pipeline.file}",
        ]


def machine() -> dict[str, Any]:
    """Return the cores, CPU, system, versions and load average of this machine.

    `load` is the load average over the last minute. Does not import pyarrow, because the peak memory of a child process
    is never less than that of its parent.
    """
    from importlib.metadata import version

    return {
        "cores": cores(),
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "nfrun": __version__,
        "python": platform.python_version(),
        "pyarrow": version("pyarrow"),
        "load": round(os.getloadavg()[0], 2),
    }


def _cpu() -> str:
    """Return the model of the CPU, empty if the system does not name it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return " ".join(value.split())
    return "" if platform.processor() == platform.machine() else platform.processor()


def _bundled(name: str) -> Path:
    """Return the file of a bundled pipeline: it is in the package in a wheel, and beside it in a checkout."""
    here = Path(nfrun.__file__).parent
    for folder in (here, here.parent):
        path = folder / "pipelines" / "bench" / f"{name}.yaml"
        if path.is_file():
            return path
    raise FileNotFoundError(f"pipelines/bench/{name}.yaml is missing from this installation of nfrun")


def _confirm(pipeline: Pipeline, options: BenchOptions) -> None:
    """Raise BenchStopped for a pipeline with side effects, which would be run repeatedly, unless `--yes` is given."""
    specs = {**pipeline.nodes, **pipeline.last_nodes}
    nodes = [name for name, spec in specs.items() if kind_of(spec).runs.has_side_effects]
    if not nodes or options.yes:
        return
    listed = shortened([f"'{name}'" for name in nodes], 3)
    times = f"{len(VARIANTS) * options.repeat} times"
    what = f"{pipeline.file} writes files, runs scripts or has other effects ({listed})"
    what += f", and this executes all of it {times}"
    raise BenchStopped(f"{what}; pass --yes if it may", EXIT_USAGE)
