"""Declares the options of a run, of a plan, of `nfrun validate` and of `nfrun bench`: their flags, help and defaults.

An option is one field of a value. `cli/fast_args.py` parses the command line by these declarations, and
`cli/typer_app.py` makes the help of them. Both make the options from texts, Python programs make them from values. The
checks are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from nfrun.core.errors import UsageError
from nfrun.core.values import MISSING, fields, replace
from nfrun.engine.executors.registry import CLUSTERS, EXECUTORS
from nfrun.session.option_fields import (
    FOREVER,
    KEPT,
    MAX_DAYS,
    PARAMETERS,
    SELECTION,
    SHOWN,
    WORKING,
    Options,
    address_option,
    cache_size_option,
    color_option,
    command_options,
    declare,
    flag,
    force_option,
    fresh_option,
    github_option,
    in_order_of_help,
    json_option,
    no_github_option,
    params_option,
    parse_date,
    parse_inputs,
    parse_number,
    parse_path,
    parse_profile,
    parse_seconds,
    parse_slots,
    parse_wait,
    pipeline_option,
    resume_option,
    selectors_option,
    slots_option,
    store_option,
    work_option,
)
from nfrun.system.units import parse_size
from nfrun.tables.handoffs import HANDOFFS, PERSISTENT_HANDOFFS

verify_option = partial(
    flag, "--verify", help="Read all files that nodes read, also large ones that seem unchanged.", group=SELECTION
)


def _file_option(name: str, help_text: str) -> Any:
    """Declare an option with the path of a file that a run writes."""
    return declare(name, parse=parse_path, metavar="FILE", help=help_text, group=SHOWN)


@command_options
class What(Options):
    """Says what runs: a pipeline file with its work folder, values of parameters and inputs, and selected nodes."""

    pipeline: Path = pipeline_option(default=MISSING)
    given: Mapping[str, str] = params_option()
    params_file: Path | None = declare(
        "--params-file",
        parse=parse_path,
        metavar="FILE",
        help="Parameters from a YAML or JSON file.",
        group=PARAMETERS,
    )
    profile: str | None = declare(
        "--profile",
        parse=parse_profile,
        completes="profile",
        metavar="NAME",
        help="Use this profile of the file. Default: NFRUN_PROFILE.",
        group=PARAMETERS,
    )
    date: str | None = declare(
        "--date",
        parse=parse_date,
        wrong="not a date such as 2026-01-31",
        metavar="DATE",
        help="The date that ${{ run.date }} gives, for a run of another day (2026-01-31). Default: today, in the time "
        "zone of the file.",
        group=PARAMETERS,
    )
    inputs: Mapping[str, str] = declare(
        "--input",
        kind=list[str],
        default=(),
        parse=parse_inputs,
        completes="inputs",
        metavar="NAME=FILE",
        help="Read this file for an input of the pipeline.",
        group=PARAMETERS,
    )
    only: Sequence[str] = selectors_option(
        "--only", help="Select these nodes alone: ids, or tag:, kind:, file:, status:, with * and ?. Repeatable."
    )
    from_: Sequence[str] = selectors_option("--from", help="Select these nodes and what needs them. Repeatable.")
    until: Sequence[str] = selectors_option("--until", help="Select these nodes and what they need. Repeatable.")
    exclude: Sequence[str] = selectors_option("--exclude", help="Do not select these nodes. Repeatable.")
    work: Path | None = work_option()


@command_options
class Reuse(Options):
    """Says which results of earlier runs are reused, and what is kept. `fresh` is None if it is not given."""

    force: Sequence[str] = force_option()
    fresh: bool = fresh_option(default=None)
    resume: bool = resume_option()
    verify: bool = verify_option()
    keep: bool = flag("--keep", help="Remove no tables at the end of this run, however much they take.", group=KEPT)
    cache_size: int | None = cache_size_option()
    fsync: bool = flag(
        "--durable", help="Sync files, so that what has finished survives a power loss. Takes longer.", group=KEPT
    )


@command_options
class Shown(Options):
    """Says what people and other programs see of a run."""

    json: bool = json_option()
    quiet: bool = flag("-q", "--quiet", help="Print failures only.", group=SHOWN)
    verbose: bool = flag(
        *("-v", "--verbose"),
        help="Also show when nodes start, and every node, reused ones too.",
        group=SHOWN,
        idle={"quiet": "--quiet prints failures only"},
    )
    color: str = color_option()
    report: Path | None = _file_option("--report", "Write a page about the run, for browsers: one HTML file.")
    events: Path | None = _file_option("--events", "Write every event as a line of JSON.")
    junit: Path | None = _file_option("--junit", "Write nodes and checks as test cases for CI systems.")
    trace: Path | None = _file_option("--trace", "Write when what ran, for ui.perfetto.dev.")
    github: bool = github_option()
    no_github: bool = no_github_option()


@command_options
class Where(Options):
    """Says where nodes run, and how. `slots` is None for those of the profile, `memory` for a quarter of the memory.

    `schedule` and `handoff` are None if they are not given.
    """

    slots: int | None = slots_option(default=None)
    keep_going: bool = flag(
        "-k", "--keep-going", help="After a failure, run what does not depend on it.", group=SELECTION
    )
    executor: str = declare(
        "--executor",
        default="file",
        choices=("file", *EXECUTORS, "auto"),
        help="Where nodes run. file: as the file says; auto: in processes those that need one or gain by it; dask: on "
        "the workers of a cluster.",
        group=WORKING,
    )
    memory: int | None = declare(
        "--memory",
        default="auto",
        parse=lambda size: None if size == "auto" else parse_size(str(size)),
        wrong="neither auto nor a size such as 512MB, 1GiB or 2000000000",
        metavar="SIZE|auto",
        help="How much memory may be taken by tables that wait to be written (2GB, 1GiB). auto: a quarter of it.",
        group=WORKING,
    )
    grace: float = declare(
        "--grace",
        default="5s",
        parse=parse_seconds,
        wrong=f"not a duration such as 10s, 500ms, 2m or 0, at most {MAX_DAYS}d",
        metavar="DURATION",
        help="How long a node may take to stop before it is killed (10s, 2m, 0).",
        group=WORKING,
    )
    wait: float = declare(
        "--wait",
        default="0",
        parse=parse_wait,
        wrong=f"not a duration such as 30s, 10m or 2h, at most {MAX_DAYS}d",
        bare=FOREVER,
        metavar="[DURATION]",
        show_default=False,
        help="Wait until another run of the pipeline has ended, for this long at most (10m, 2h).",
        group=WORKING,
    )
    address: str | None = address_option()
    store: str | None = store_option()
    schedule: str = declare(
        "--schedule",
        choices=("eager", "staged", "sequential"),  # the keys of SCHEDULES, whose import delays the help
        help="When a node starts. eager, the default: when its inputs are there; the others are for comparison. "
        "If it is given, all nodes run.",
        group=WORKING,
    )
    handoff: str = declare(
        "--handoff",
        choices=HANDOFFS,
        help="How tables are handed on. auto, the default: by reference, files behind; mmap: through files only; "
        "memory: no files; json: as text, for comparison. If it is given, all nodes run.",
        group=WORKING,
    )

    def check(self) -> None:
        """Refuse what is for clusters without one."""
        _check_cluster(self.executor, self.address, self.store)


_PARTS: Mapping[str, type[Options]] = {"what": What, "reuse": Reuse, "shown": Shown, "where": Where}


class RunOptions(Options):  # noqa: PLW1641  (as of `Options`)
    """The options of `nfrun run` as four values, each for those who need it. Made of the options of all by name.

    A `schedule` or a `handoff` that is given is there for comparison. It means `fresh`, unless that is given too, or
    `resume` or `force` says that other nodes are reused.
    """

    __dataclass_fields__: ClassVar = in_order_of_help(option for part in _PARTS.values() for option in fields(part))
    what: What
    reuse: Reuse
    shown: Shown
    where: Where

    def __init__(self, pipeline: Any = MISSING, **given: Any) -> None:
        given |= {} if pipeline is MISSING else {"pipeline": pipeline}
        for name, part in _PARTS.items():
            own = {option.name for option in fields(part)} & given.keys()
            setattr(self, name, part(**{option: given.pop(option) for option in own}))
        if given:
            raise TypeError(f"there is no option {', '.join(given)}")
        self._combine()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(getattr(self, name) == getattr(other, name) for name in _PARTS)

    def _combine(self) -> None:
        """Set what options of one part mean for another. Raises UsageError."""
        compares = self.where.schedule is not None or self.where.handoff is not None
        implied = compares and not self.reuse.resume and not self.reuse.force
        reuse = self.reuse = replace(self.reuse, fresh=implied if self.reuse.fresh is None else self.reuse.fresh)
        schedule, handoff = self.where.schedule or "eager", self.where.handoff or "auto"
        self.where = replace(self.where, schedule=schedule, handoff=handoff)
        for option, needs_files in (
            ("--resume", reuse.resume),
            ("--force", reuse.force),
            ("--keep", reuse.keep),
            ("--durable", reuse.fsync),
            ("--report", self.shown.report),
            ("--trace", self.shown.trace),
        ):
            if needs_files and handoff not in PERSISTENT_HANDOFFS:
                raise UsageError(f"--handoff {handoff} leaves no files of tables", option)


def _check_cluster(executor: str | None, address: str | None, store: str | None) -> None:
    """Raise UsageError if options of clusters are given without one."""
    for option, value in (("--address", address), ("--store", store)):
        if value is not None and executor not in CLUSTERS:
            raise UsageError(f"it is for clusters: give --executor {CLUSTERS[0]}, too", option)


_PLAN_ALONE = {"fresh": "--fresh shows the plan alone"}


@command_options
class PlanOptions(What):
    """The options of `nfrun plan`. `slots` is None for those of the profile."""

    force: Sequence[str] = force_option(help="Show what would run if these nodes did. Repeatable.", idle=_PLAN_ALONE)
    fresh: bool = fresh_option(help="Show the plan alone, whatever earlier runs have finished.")
    resume: bool = resume_option(help="Show which nodes would run, and why. This is the default.")
    verify: bool = verify_option(idle=_PLAN_ALONE)
    json: bool = json_option()
    slots: int | None = slots_option(default=None)
    format: str = declare(
        "--format", default="text", choices=("text", "json", "mermaid", "dot"), help="How to show it.", group=SHOWN
    )
    verbose: bool = flag("-v", "--verbose", help="Show each cell of a matrix.", group=SHOWN)

    def check(self) -> None:
        """Refuse options of a form that is not shown, and take `--json` and `--format json` for the same."""
        if self.verbose and self.format in ("mermaid", "dot"):
            raise UsageError(f"--format {self.format} has no rows: give one of them", "--verbose")
        if self.json and self.format not in ("text", "json"):
            raise UsageError(f"it means --format json, and --format {self.format} is given: give one of them", "--json")
        if self.json or self.format == "json":
            for name, value in {"json": True, "format": "json"}.items():
                setattr(self, name, value)


PlanOptions.__dataclass_fields__ = in_order_of_help(fields(PlanOptions))


@command_options
class ValidateOptions(Options):
    """The options of `nfrun validate`."""

    files: list[Path] = declare(
        kind=list[Path],
        default=MISSING,
        parse=lambda files: [*map(parse_path, files)],
        metavar="FILE",
        help="Pipeline files.",
    )
    strict: bool = flag("--strict", help="Warnings count as problems.")
    json: bool = json_option()
    executor: str | None = declare(
        "--executor", choices=CLUSTERS, help="Also ask the workers of a cluster whether they can run the pipelines."
    )
    address: str | None = address_option()
    store: str | None = store_option()
    github: bool = github_option()
    no_github: bool = no_github_option()

    def check(self) -> None:
        """Refuse what is for clusters without one."""
        _check_cluster(self.executor, self.address, self.store)


@command_options
class BenchOptions(Options):
    """The options of `nfrun bench`.

    If `pipeline` is None, the two bundled pipelines are compared. `slots` is how many nodes run at once; None means as
    `nfrun run` has it, or for the bundled pipelines the number of nodes, because their nodes only wait.
    """

    pipeline: Path | None = pipeline_option(
        help="The pipeline file. Left out: two that come with nfrun, of 5 and of 20 nodes."
    )
    given: Mapping[str, str] = params_option()
    slots: int | None = slots_option(
        parse=lambda slots: None if slots == "auto" else parse_slots(slots),
        help="How many nodes run at once. auto: as `nfrun run` has it; all nodes of the two that come with nfrun.",
    )
    repeat: int = declare(
        "--repeat",
        default="3",
        parse=partial(parse_number, most=1_000),
        wrong="not a number from 1 to 1,000",
        metavar="N",
        help="How often each variant is run.",
    )
    json: bool = json_option()
    yes: bool = flag("-y", "--yes", help="Do not ask before a pipeline that writes or runs scripts.")
    color: str = color_option()
