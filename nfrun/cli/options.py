"""Declares the options of all commands: their flags, help and defaults. `option_values.py` makes values of texts.

An option is one field of a value. `fast_args.py` parses the command line by these declarations, and `typer_app.py`
makes the help of them. Both make the options from texts, other callers make them from values. The checks are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

from nfrun.cli.exit_codes import UsageError
from nfrun.cli.option_values import (
    FOREVER,
    MAX_DAYS,
    NO_CACHE_SIZE,
    parse_address,
    parse_cache_size,
    parse_inputs,
    parse_params,
    parse_path,
    parse_profile,
    parse_seconds,
    parse_selectors,
    parse_slots,
    parse_store,
    parse_wait,
)
from nfrun.core.values import MISSING, field, fields, mutable
from nfrun.engine.executors.registry import CLUSTERS, EXECUTORS
from nfrun.system.units import parse_size
from nfrun.tables.handoffs import HANDOFFS, PERSISTENT_HANDOFFS

_Command = TypeVar("_Command")

_VALUE = re.compile(r"\d+(\.\d+)?[^\W_]*")  # looks like a duration, also if it is none, and is no name of a file


def _option(
    *flags: str,
    kind: Any = str,
    default: Any = None,
    parse: Callable[[Any], Any] | None = None,
    wrong: str = "",
    choices: Collection[str] = (),
    bare: str | None = None,
    **settings: Any,
) -> Any:
    """Declare an option, or an argument if it has no flags.

    `kind` is the type on the command line: a `bool` takes no value, a list may be given more than once. `parse` makes
    the value from that, or takes a value as it is; without it, `kind` does. It raises ValueError with the message, or
    with any text if `wrong` completes the message "'value' is ...". `bare` is the value of an option that is given
    without one. `settings` are those of typer.
    """
    declared = {"flags": flags, "kind": kind, "parse": parse or kind, "wrong": wrong, "choices": choices, "bare": bare}
    return field(default=default, metadata={**declared, "settings": settings})


@dataclass_transform(frozen_default=True)
def _options(cls: type[_Command]) -> type[_Command]:
    """Make a class of values that is frozen for the type checker only, and has the `==` of `Options`."""
    return mutable(cls)


@_options
class Options:  # noqa: PLW1641  (they hold mappings, which have no hash)
    """The options of one command. Texts become values here. Raises UsageError if one is wrong."""

    def __post_init__(self) -> None:
        for option in fields(self):
            value, declared, wrong = getattr(self, option.name), option.metadata, option.metadata["wrong"]
            try:
                if declared["choices"] and value not in (*declared["choices"], option.default):
                    raise ValueError(f"{value!r} is not one of {', '.join(map(repr, declared['choices']))}.")
                if value is not None:
                    setattr(self, option.name, declared["parse"](value))
            except ValueError as error:
                name = (*declared["flags"], declared["settings"].get("metavar"))[0]
                raise UsageError(f"'{value}' is {wrong}" if wrong else str(error), name) from None

    def __eq__(self, other: object) -> bool:
        names = [option.name for option in fields(self)]
        return type(self) is type(other) and all(getattr(self, name) == getattr(other, name) for name in names)


_flag = partial(_option, kind=bool, default=False)
_pipeline = partial(_option, kind=Path, parse=parse_path, metavar="PIPELINE", help="The pipeline file.")
_params = partial(
    _option,
    *("-p", "--param"),
    kind=list[str],
    default=(),
    parse=parse_params,
    metavar="NAME=VALUE",
    help="Set a parameter of the pipeline.",
)
_params_file = partial(
    _option, "--params-file", parse=parse_path, metavar="FILE", help="Parameters from a YAML or JSON file."
)
_slots = partial(
    _option,
    *("-j", "--jobs"),
    default="auto",
    parse=parse_slots,
    wrong="neither auto nor a number from 1 to 10,000",
    metavar="N|auto",
    help="How many nodes run at once. auto, the default: as many as cores, at least 4.",
)
_inputs = partial(
    _option,
    "--input",
    kind=list[str],
    default=(),
    parse=parse_inputs,
    metavar="NAME=FILE",
    help="Read this file for an input of the pipeline.",
)
_profile = partial(
    _option,
    "--profile",
    parse=parse_profile,
    metavar="NAME",
    help="Lay this profile of the file over it. Default: NFRUN_PROFILE.",
)
_work = partial(
    _option,
    "--work",
    parse=partial(parse_path, what="folder"),
    metavar="DIR",
    help="Where runs are kept. Default: .nfrun beside the pipeline file.",
)
_cache_size = partial(
    _option,
    "--cache-size",
    parse=parse_cache_size,
    wrong=NO_CACHE_SIZE,
    metavar="SIZE",
    help="How much the tables of all runs may take on the disk (50GB, 500MiB, 0). Default: NFRUN_CACHE_SIZE, or 10GB "
    "or a tenth of the free space, whichever is less.",
)
_fresh = partial(
    _option, "--fresh", kind=bool, default=False, help="Run all nodes, whatever earlier runs have finished."
)
_selectors = partial(_option, kind=list[str], default=(), parse=parse_selectors, metavar="NODES")
_force = partial(
    _selectors,
    "--force",
    help="Run these nodes, whatever earlier runs have finished, if they are selected. May be given more than once.",
)
_only = partial(
    _selectors,
    "--only",
    help="Select these nodes alone: ids, tag:, kind:, file:, status:, with * and ?. May be given more than once.",
)
_from = partial(_selectors, "--from", help="Select these nodes and what needs them. May be given more than once.")
_until = partial(_selectors, "--until", help="Select these nodes and what they need. May be given more than once.")
_exclude = partial(_selectors, "--exclude", help="Do not select these nodes. May be given more than once.")
_resume = partial(
    _option, "--resume", kind=bool, default=False, help="Reuse what earlier runs have finished. This is the default."
)
_verify = partial(_flag, "--verify", help="Read all files that nodes read, also large ones that seem unchanged.")
_json = partial(_flag, "--json", help="One JSON document on stdout, and nothing else.")
_color = partial(
    _option, "--color", default="auto", choices=("auto", "always", "never"), help="Colours in what is printed."
)


_address = partial(
    _option,
    "--address",
    parse=parse_address,
    metavar="ADDRESS",
    help="With --executor dask: the scheduler (tcp://host:8786, tls://host:8786). Default: NFRUN_ADDRESS, or a cluster "
    "on this machine.",
)
_store = partial(
    _option,
    "--store",
    parse=parse_store,
    metavar="PATH|URI",
    help="With --executor dask: where outputs are, for all workers: a shared folder, or s3://bucket/folder. "
    "Default: NFRUN_STORE.",
)


def with_bare_values(options: type[Options], words: Sequence[str]) -> list[str]:
    """Return the words of a command line with the values of options that are given without one, as in `--wait`.

    The next word is the value of such an option if it begins with a number, or is the value without one.
    """
    bare = {flag: option.metadata["bare"] for option in fields(options) for flag in option.metadata["flags"]}
    found = []
    for word, following in zip(words, [*words, ""][1:], strict=True):
        value = bare.get(word)
        has_value = value is None or following == value or _VALUE.fullmatch(following)
        found.append(word if has_value else f"{word}={value}")
    return found


@_options
class RunOptions(Options):
    """The options of `nfrun run`. `memory` is None for a quarter of the memory, `slots` for those of the profile.

    A `schedule` or a `handoff` that is given is there for comparison. It means `fresh`, unless that is given too, or
    `resume` or `force` says that other nodes are reused.
    """

    pipeline: Path = _pipeline(default=MISSING)
    given: Mapping[str, str] = _params()
    params_file: Path | None = _params_file()
    profile: str | None = _profile()
    inputs: Mapping[str, str] = _inputs()
    slots: int | None = _slots(default=None)
    schedule: str = _option(
        "--schedule",
        choices=("eager", "staged", "sequential"),  # the keys of SCHEDULES, whose import delays the help
        help="When a node starts. eager, the default: when its inputs are there; the others are for comparison. "
        "If it is given, all nodes run.",
    )
    handoff: str = _option(
        "--handoff",
        choices=HANDOFFS,
        help="How tables are handed on. auto, the default: by reference, files behind; mmap: through files only; "
        "memory: no files; json: as text, for comparison. If it is given, all nodes run.",
    )
    memory: int | None = _option(
        "--memory",
        default="auto",
        parse=lambda size: None if size == "auto" else parse_size(str(size)),
        wrong="neither auto nor a size such as 512MB, 1GiB or 2000000000",
        metavar="SIZE|auto",
        help="How much waits to be written at most (2GB, 1GiB). auto: a quarter of the memory.",
    )
    executor: str = _option(
        "--executor",
        default="file",
        choices=("file", *EXECUTORS, "auto"),
        help="Where nodes run. file: as the file says; auto: in processes those that need one or gain by it; dask: on "
        "the workers of a cluster.",
    )
    address: str | None = _address()
    store: str | None = _store()
    keep_going: bool = _flag("-k", "--keep-going", help="After a failure, run what does not depend on it.")
    work: Path | None = _work()
    wait: float = _option(
        "--wait",
        default="0",
        parse=parse_wait,
        wrong=f"not a duration such as 30s, 10m or 2h, at most {MAX_DAYS}d",
        bare=FOREVER,
        metavar="[DURATION]",
        show_default=False,
        help="Wait until another run of the pipeline has ended, for this long at most (10m, 2h).",
    )
    json: bool = _json()
    events: Path | None = _option(
        "--events", parse=parse_path, metavar="FILE", help="Write every event as a line of JSON."
    )
    color: str = _color()
    quiet: bool = _flag("-q", "--quiet", help="Print failures only.")
    verbose: bool = _flag("-v", "--verbose", help="Also show when nodes start, and every node, reused ones too.")
    fresh: bool = _fresh(default=None)
    force: Sequence[str] = _force()
    only: Sequence[str] = _only()
    from_: Sequence[str] = _from()
    until: Sequence[str] = _until()
    exclude: Sequence[str] = _exclude()
    resume: bool = _resume()
    keep: bool = _flag("--keep", help="Remove no tables at the end of this run, however much they take.")
    cache_size: int | None = _cache_size()
    verify: bool = _verify()
    fsync: bool = _flag("--durable", help="Sync files, so that what has finished survives a power loss. Takes longer.")
    grace: float = _option(
        "--grace",
        default="5s",
        parse=parse_seconds,
        wrong=f"not a duration such as 10s, 500ms, 2m or 0, at most {MAX_DAYS}d",
        metavar="DURATION",
        help="How long a node may take to stop before it is killed (10s, 2m, 0).",
    )

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        _refuse_both(self.fresh, self.resume)
        check_cluster_options(self)
        compares = self.schedule is not None or self.handoff is not None
        implied = compares and not self.resume and not self.force
        chosen = {"schedule": self.schedule or "eager", "handoff": self.handoff or "auto"}
        for name, value in {**chosen, "fresh": implied if self.fresh is None else self.fresh}.items():
            setattr(self, name, value)
        for option, needs_files in (
            ("--resume", self.resume),
            ("--force", self.force),
            ("--keep", self.keep),
            ("--durable", self.fsync),
        ):
            if needs_files and self.handoff not in PERSISTENT_HANDOFFS:
                raise UsageError(f"--handoff {self.handoff} leaves no files of tables", option)


def check_cluster_options(options: RunOptions | ValidateOptions) -> None:
    """Raise UsageError if options of clusters are given without one."""
    for option, value in (("--address", options.address), ("--store", options.store)):
        if value is not None and options.executor not in CLUSTERS:
            raise UsageError(f"it is for clusters: give --executor {CLUSTERS[0]}, too", option)


@_options
class PlanOptions(Options):
    """The options of `nfrun plan`."""

    pipeline: Path = _pipeline(default=MISSING)
    slots: int | None = _slots(default=None)
    format: str = _option(
        "--format", default="text", choices=("text", "json", "mermaid", "dot"), help="How to show it."
    )
    given: Mapping[str, str] = _params()
    params_file: Path | None = _params_file()
    profile: str | None = _profile()
    inputs: Mapping[str, str] = _inputs()
    fresh: bool = _fresh(help="Show the plan alone, whatever earlier runs have finished.")
    force: Sequence[str] = _force(help="Show what would run if these nodes did. May be given more than once.")
    only: Sequence[str] = _only()
    from_: Sequence[str] = _from()
    until: Sequence[str] = _until()
    exclude: Sequence[str] = _exclude()
    resume: bool = _resume(help="Show which nodes would run, and why. This is the default.")
    verbose: bool = _flag("-v", "--verbose", help="Show each cell of a matrix.")
    verify: bool = _verify()
    work: Path | None = _work()

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        _refuse_both(self.fresh, self.resume)


def _refuse_both(fresh: bool, resume: bool) -> None:
    if fresh and resume:
        raise UsageError("--fresh runs what --resume reuses: give one of them", "--resume")


@_options
class CleanOptions(Options):
    """The options of `nfrun clean`."""

    pipeline: Path | None = _pipeline(
        help="The pipeline file whose work folder is meant. Left out: .nfrun in the working directory."
    )
    work: Path | None = _work()
    cache_size: int | None = _cache_size()
    all: bool = _flag("--all", help="Remove all runs, or those of PIPELINE, with tables of 'cache: true' nodes too.")
    dry_run: bool = _flag("--dry-run", help="Only list what would be removed.")


@_options
class ValidateOptions(Options):
    """The options of `nfrun validate`."""

    files: list[Path] = _option(
        kind=list[Path],
        default=MISSING,
        parse=lambda files: [*map(parse_path, files)],
        metavar="FILE...",
        help="Pipeline files.",
    )
    strict: bool = _flag("--strict", help="Warnings count as problems.")
    json: bool = _json()
    executor: str | None = _option(
        "--executor", choices=CLUSTERS, help="Also ask the workers of a cluster whether they can run the pipelines."
    )
    address: str | None = _address()
    store: str | None = _store()

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        check_cluster_options(self)
