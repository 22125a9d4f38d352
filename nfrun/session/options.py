"""Declares the options of commands: what an option is, and those of a run, a plan, `nfrun validate` and `nfrun bench`.

An option is one field of a value. `cli/fast_args.py` parses the command line by these declarations, and
`cli/typer_app.py` makes the help of them. Both make the options from texts, Python programs make them from values. The
checks are the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from nfrun.core.errors import UsageError
from nfrun.core.pipeline import Pipeline, has_expression
from nfrun.core.selection import parse_selector
from nfrun.core.values import KW_ONLY, MISSING, field, fields, frozen, replace
from nfrun.engine.executors.registry import CLUSTERS, EXECUTORS
from nfrun.system.runtime import cores
from nfrun.system.units import LONGEST, parse_duration, parse_size
from nfrun.tables.handoffs import HANDOFFS, PERSISTENT_HANDOFFS

_Given = TypeVar("_Given")

_NO_CACHE_SIZE = "not a size such as 10GB, 500MiB or 0"
NO_ADDRESS = "not the address of a scheduler, such as tcp://host:8786 or tls://host:8786"
FOREVER = "forever"
MAX_DAYS = f"{LONGEST / 86400:.0f}"
_ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss)://([\w.-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d{1,5})", re.ASCII)


def parse_params(given: Mapping[str, str] | Iterable[str]) -> Mapping[str, str]:
    """Return the values of parameters by name, from texts such as `month=3`. Raises ValueError."""
    if isinstance(given, Mapping):
        for name, value in given.items():
            if not isinstance(value, str):
                raise ValueError(f"the value of '{name}' is not a text: {value!r}")
        return given
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"'{text}' is not NAME=VALUE")
        if text.encode(errors="ignore").decode() != text:  # the argument has bytes that are not UTF-8
            raise ValueError(f"'{text}' is not UTF-8")
        if name.strip() in pairs:
            raise ValueError(f"'{name.strip()}' is given twice: leave one out")
        pairs[name.strip()] = value
    return pairs


def parse_inputs(given: Mapping[str, str] | Iterable[str]) -> Mapping[str, str]:
    """Return the files of inputs by name, from texts such as `orders=a.csv`: absolute paths, or URIs.

    Raises ValueError.
    """
    files = parse_params(given)
    for name, file in files.items():
        if not file.strip():
            raise ValueError(f"the input '{name}' has no file")
        if has_expression(file):
            raise ValueError(f"'{file}' is no name of a file")
    return {name: file if "://" in file else os.path.abspath(file) for name, file in files.items()}  # noqa: PTH100


def parse_selectors(selectors: str | Iterable[str]) -> tuple[str, ...]:
    """Return the selectors of nodes without repetitions. Raises ValueError if one cannot be understood."""
    found = tuple(dict.fromkeys([selectors] if isinstance(selectors, str) else selectors))
    for selector in found:
        parse_selector(selector)
    return found


def parse_number(number: str | int, most: int) -> int:
    """Return a number from 1 to `most`. Raises ValueError for other texts."""
    text = str(number)
    if not (text.isascii() and text.isdecimal()) or len(text) > 20 or not 1 <= int(text) <= most:
        raise ValueError(number)
    return int(text)


def parse_slots(slots: str | int) -> int:
    """Return how many nodes run at once. Raises ValueError."""
    # At least 4, because nodes also wait for disks and services.
    return parse_number(max(4, cores()) if slots == "auto" else slots, 10_000)


def slots_of(given: int | None, pipeline: Pipeline) -> int:
    """Return how many nodes run at once: `given`, or what the profile says, or as many as there are cores."""
    return given or pipeline.jobs or parse_slots("auto")


def parse_date(date: object) -> str:
    """Return a date as in 2026-01-31. Raises ValueError."""
    from datetime import date as dates

    return dates.fromisoformat(str(date)).isoformat()


def parse_profile(name: str) -> str:
    """Return the name of a profile. Raises ValueError if it is empty."""
    if not name.strip():
        raise ValueError("an empty name is no profile")
    return name


def parse_cache_size(size: str | int) -> int:
    """Return the bytes of a size, which may be 0. Raises ValueError."""
    return 0 if str(size).strip() == "0" else parse_size(str(size))


def cache_budget(given: int | None, environ: Mapping[str, str]) -> int | None:
    """Return how many bytes kept tables may take, None for the default. Raises UsageError."""
    return given_or_set(given, "NFRUN_CACHE_SIZE", parse_cache_size, environ, _NO_CACHE_SIZE)


def given_or_set(
    given: _Given | None, variable: str, parse: Callable[[str], _Given], environ: Mapping[str, str], wrong: str = ""
) -> _Given | None:
    """Return what an option gives, or else a variable of the environment, None if neither does. Raises UsageError."""
    if given is not None or not environ.get(variable):
        return given
    try:
        return parse(environ[variable])
    except ValueError as error:
        raise UsageError(f"'{environ[variable]}' is {wrong}" if wrong else str(error), variable) from None


def parse_address(address: str) -> str:
    """Return the address of a scheduler. Raises ValueError."""
    found = _ADDRESS.fullmatch(address)
    if not found or int(found["port"]) > 65535:
        raise ValueError(f"'{address}' is {NO_ADDRESS}")
    return address


def parse_store(store: str) -> str:
    """Return the address of a place for outputs: a URI, or an absolute path. Raises ValueError."""
    from nfrun.tables.places.base import PlaceError, check_address  # few runs have a store

    try:
        check_address(store)
    except PlaceError as error:
        raise ValueError(str(error)) from None
    return store if "://" in store else os.path.abspath(os.path.expanduser(store))  # noqa: PTH100, PTH111


def parse_wait(wait: str | float) -> float:
    """Return the seconds of a duration; infinity for `forever`. Raises ValueError."""
    return inf if wait in (FOREVER, inf) else parse_seconds(wait)


def parse_seconds(duration: str | float) -> float:
    """Return the seconds of a duration, which may be given as a number. Raises ValueError."""
    return parse_duration(duration if isinstance(duration, str) else f"{duration:.9f}")


def parse_path(path: str | Path, what: str = "file") -> Path:
    """Return the path of a file or a folder. Raises ValueError if it is empty."""
    if path == "":  # as from an unset variable; an empty Path is the working directory
        raise ValueError(f"an empty name is no {what}")
    return Path(path)


def tells_github(options: object, environ: Mapping[str, str]) -> bool:
    """Return whether a command tells GitHub's runner what it finds; always False for one without these options."""
    shown = getattr(options, "shown", options)
    found: tuple[bool | None, bool | None] = getattr(shown, "github", None), getattr(shown, "no_github", None)
    return bool(found[0]) or (found[1] is False and environ.get("GITHUB_ACTIONS") == "true")


# What options name, beside their choices. `nodes` are those of a file, by selectors; `node` and `output` are recorded.
COMPLETED = ("", "profile", "params", "inputs", "nodes", "node", "output", "run")

# The headings of options in the help of commands that have many.
PARAMETERS, SELECTION = "Parameters and inputs", "Which nodes run"
SHOWN, WORKING, KEPT = "What is shown and written", "How nodes run", "What is kept"

_VALUE = re.compile(r"\d+(\.\d+)?[^\W_]*")  # looks like a duration, also if it is none, and is no name of a file


def declare(
    *flags: str,
    kind: Any = str,
    default: Any = None,
    parse: Callable[[Any], Any] | None = None,
    wrong: str = "",
    choices: Collection[str] = (),
    bare: str | None = None,
    completes: str = "",
    group: str = "",
    **settings: Any,
) -> Any:
    """Declare an option, or an argument if it has no flags.

    `kind` is the type on the command line: a `bool` takes no value, a list may be given more than once. `parse` makes
    the value from that, or takes a value as it is; without it, `kind` does. It raises ValueError with the message, or
    with any text if `wrong` completes the message "'value' is ...". `bare` is the value of an option that is given
    without one. `completes` says what it names, for the completion in shells: one of COMPLETED. `group` is the heading
    in the help. `settings` are those of typer.
    """
    assert completes in COMPLETED, completes
    declared = {"flags": flags, "kind": kind, "parse": parse or kind, "wrong": wrong, "choices": choices, "bare": bare}
    declared |= {"completes": completes, "group": group, "settings": settings}
    return field(default=default, metadata=declared)


@frozen
class Options:
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
        self.check()

    def check(self) -> None:
        """Refuse values that do not go together. Raises UsageError."""


flag = partial(declare, kind=bool, default=False)
pipeline_option = partial(declare, kind=Path, parse=parse_path, metavar="PIPELINE", help="The pipeline file.")
params_option = partial(
    declare,
    *("-p", "--param"),
    kind=list[str],
    default=(),
    parse=parse_params,
    completes="params",
    metavar="NAME=VALUE",
    help="Set a parameter of the pipeline.",
    group=PARAMETERS,
)
slots_option = partial(
    declare,
    *("-j", "--jobs"),
    default="auto",
    parse=parse_slots,
    wrong="neither auto nor a number from 1 to 10,000",
    metavar="N|auto",
    help="How many nodes run at once. auto, the default: as many as cores, at least 4.",
    group=WORKING,
)
work_option = partial(
    declare,
    "--work",
    parse=partial(parse_path, what="folder"),
    metavar="DIR",
    help="Where runs are kept. Default: .nfrun beside the pipeline file.",
    group=KEPT,
)
cache_size_option = partial(
    declare,
    "--cache-size",
    parse=parse_cache_size,
    wrong=_NO_CACHE_SIZE,
    metavar="SIZE",
    help="How much the tables of all runs may take on the disk (50GB, 500MiB, 0). Default: NFRUN_CACHE_SIZE, or 10GB "
    "or a tenth of the free space, whichever is less.",
    group=KEPT,
)
selectors_option = partial(
    declare,
    kind=list[str],
    default=(),
    parse=parse_selectors,
    completes="nodes",
    metavar="NODES",
    group=SELECTION,
)
file_option = partial(declare, parse=parse_path, metavar="FILE", group=SHOWN)
json_option = partial(flag, "--json", help="One JSON document on stdout, and nothing else.", group=SHOWN)
color_option = partial(
    declare,
    "--color",
    default="auto",
    choices=("auto", "always", "never"),
    help="Colours in what is printed.",
    group=SHOWN,
)
github_option = partial(
    flag,
    "--github",
    help="Tell GitHub's runner what is found. This is the default where GITHUB_ACTIONS is true.",
    group=SHOWN,
)
no_github_option = partial(flag, "--no-github", help="Do not, also where GITHUB_ACTIONS is true.", group=SHOWN)


def plain_words(options: type[Options], words: Sequence[str]) -> list[str]:
    """Return the words of a command line, behind its command, in the forms that parsers of options know."""
    return with_file_first(options, with_bare_values(options, words))


def with_file_first(options: type[Options], words: Sequence[str]) -> list[str]:
    """Return the words with `--pipeline=FILE` in place of a pipeline file that stands first: `nfrun show FILE NODE`.

    What stands behind `--` is no such file: it names a node, an output or a run.
    """
    by_flag = {flag: option for option in fields(options) for flag in option.metadata["flags"]}
    is_value = False
    for at, word in enumerate(words if "--pipeline" in by_flag else ()):
        if not is_value and not word.startswith("-"):
            # A cell, as in NODE@x.yaml, may end so, too.
            is_file = word.lower().endswith((".yaml", ".yml")) and ("@" not in word or Path(word).exists())
            return [*words[:at], f"--pipeline={word}", *words[at + 1 :]] if is_file else [*words]
        if word == "--":
            break
        is_value = word in by_flag and by_flag[word].metadata["kind"] is not bool
    return [*words]


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


@frozen
class What(Options):
    """Says what runs: a pipeline file with its work folder, values of parameters and inputs, and selected nodes.

    `force`, `fresh`, `resume` and `verify` say which results of earlier runs stand for nodes. `fresh` is None if it is
    not given.
    """

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
    force: Sequence[str] = selectors_option(
        "--force", help="Run these nodes, whatever earlier runs have finished, if they are selected. Repeatable."
    )
    fresh: bool | None = flag(
        "--fresh", default=None, help="Run all nodes, whatever earlier runs have finished.", group=SELECTION
    )
    resume: bool = flag("--resume", help="Reuse what earlier runs have finished. This is the default.", group=SELECTION)
    verify: bool = flag(
        "--verify", help="Read all files that nodes read, also large ones that seem unchanged.", group=SELECTION
    )
    work: Path | None = work_option()


@frozen
class Kept(Options):
    """Says what stays of a run, and of those before."""

    keep: bool = flag("--keep", help="Remove no tables at the end of this run, however much they take.", group=KEPT)
    cache_size: int | None = cache_size_option()
    fsync: bool = flag(
        "--durable", help="Sync files, so that what has finished survives a power loss. Takes longer.", group=KEPT
    )


@frozen
class Shown(Options):
    """Says what people and other programs see of a run."""

    json: bool = json_option()
    quiet: bool = flag("-q", "--quiet", help="Print failures only.", group=SHOWN)
    verbose: bool = flag(
        "-v", "--verbose", help="Also show when nodes start, and every node, reused ones too.", group=SHOWN
    )
    color: str = color_option()
    report: Path | None = file_option("--report", help="Write a page about the run, for browsers: one HTML file.")
    events: Path | None = file_option("--events", help="Write every event as a line of JSON.")
    junit: Path | None = file_option("--junit", help="Write nodes and checks as test cases for CI systems.")
    trace: Path | None = file_option("--trace", help="Write when what ran, for ui.perfetto.dev.")
    github: bool = github_option()
    no_github: bool = no_github_option()


@frozen
class ClusterOptions(Options):
    """The options of commands that may use a cluster, which have an `executor`."""

    _: KW_ONLY
    address: str | None = declare(
        "--address",
        parse=parse_address,
        metavar="ADDRESS",
        help="With --executor dask: the scheduler (tcp://host:8786, tls://host:8786). Default: NFRUN_ADDRESS, or a "
        "cluster on this machine.",
        group=WORKING,
    )
    store: str | None = declare(
        "--store",
        parse=parse_store,
        metavar="PATH|URI",
        help="With --executor dask: where outputs are, for all workers: a shared folder, or s3://bucket/folder. "
        "Default: NFRUN_STORE.",
        group=WORKING,
    )

    def check(self) -> None:
        """Refuse the options of clusters in a run without one."""
        for option, value in (("--address", self.address), ("--store", self.store)):
            if value is not None and getattr(self, "executor", None) not in CLUSTERS:
                raise UsageError(f"it is for clusters: give --executor {CLUSTERS[0]}, too", option)


@frozen
class Where(ClusterOptions):
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


_PARTS: Mapping[str, type[Options]] = {"what": What, "kept": Kept, "shown": Shown, "where": Where}


class RunOptions(Options):  # noqa: PLW1641  (as of `Options`)
    """The options of `nfrun run` as four values, each for those who need it. Made of the options of all by name.

    A `schedule` or a `handoff` that is given is there for comparison. It means `fresh`, unless that is given too, or
    `resume` or `force` says that other nodes are reused.
    """

    __dataclass_fields__: ClassVar = {option.name: option for part in _PARTS.values() for option in fields(part)}
    what: What
    kept: Kept
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
        implied = compares and not self.what.resume and not self.what.force
        self.what = replace(self.what, fresh=implied if self.what.fresh is None else self.what.fresh)
        schedule, handoff = self.where.schedule or "eager", self.where.handoff or "auto"
        self.where = replace(self.where, schedule=schedule, handoff=handoff)
        for option, needs_files in (
            ("--resume", self.what.resume),
            ("--force", self.what.force),
            ("--keep", self.kept.keep),
            ("--durable", self.kept.fsync),
            ("--report", self.shown.report),
            ("--trace", self.shown.trace),
        ):
            if needs_files and handoff not in PERSISTENT_HANDOFFS:
                raise UsageError(f"--handoff {handoff} leaves no files of tables", option)


@frozen
class PlanOptions(What):
    """The options of `nfrun plan`. `slots` is None for those of the profile."""

    json: bool = json_option()
    slots: int | None = slots_option(default=None)
    format: str = declare(
        "--format", default="text", choices=("text", "json", "mermaid", "dot"), help="How to show it.", group=SHOWN
    )
    verbose: bool = flag("-v", "--verbose", help="Show each cell of a matrix.", group=SHOWN)

    def check(self) -> None:
        """Take `--json` and `--format json` for the same."""
        if self.json and self.format not in ("text", "json"):
            raise UsageError(f"it means --format json, and --format {self.format} is given: give one of them", "--json")
        if self.json or self.format == "json":
            for name, value in {"json": True, "format": "json"}.items():
                setattr(self, name, value)


@frozen
class ValidateOptions(ClusterOptions):
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
    github: bool = github_option()
    no_github: bool = no_github_option()


@frozen
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
    yes: bool = flag("-y", "--yes", help="Run a pipeline, too, that writes or runs scripts.")
    color: str = color_option()
