"""Declares options: what one is, those that several commands have, and how values are made of texts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

from nfrun.core.errors import UsageError
from nfrun.core.pipeline import NOTHING, Pipeline, has_expression
from nfrun.core.selection import parse_selector
from nfrun.core.values import Field, field, fields, mutable
from nfrun.system.runtime import cores
from nfrun.system.units import LONGEST, parse_duration, parse_size

_CACHE_SIZE = "NFRUN_CACHE_SIZE"
NO_CACHE_SIZE = "not a size such as 10GB, 500MiB or 0"
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
    """Return how many bytes kept tables may take: `given`, or that of NFRUN_CACHE_SIZE; None for the default.

    Raises UsageError if the variable is wrong.
    """
    text = environ.get(_CACHE_SIZE, "")
    if given is not None or not text:
        return given
    try:
        return parse_cache_size(text)
    except ValueError:
        raise UsageError(f"'{text}' is {NO_CACHE_SIZE}", _CACHE_SIZE) from None


def parse_address(address: str) -> str:
    """Return the address of a scheduler. Raises ValueError."""
    found = _ADDRESS.fullmatch(address)
    if not found or int(found["port"]) > 65535:
        raise ValueError(f"'{address}' is {NO_ADDRESS}")
    return address


def parse_store(store: str) -> str:
    """Return the address of a place for outputs: a URI, or an absolute path. Raises ValueError."""
    from nfrun.tables.places.base import (
        PlaceError,
        check_address,  # few runs have a store
    )

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


_Command = TypeVar("_Command")

# What options name, beside their choices. `nodes` are those of a file, by selectors; `node` and `output` are recorded.
COMPLETED = ("", "profile", "params", "inputs", "nodes", "node", "output", "run")

# The headings of options in the help of commands that have many.
PARAMETERS, SELECTION = "Parameters and inputs", "Which nodes run"
SHOWN, WORKING, KEPT = "What is shown and written", "How nodes run", "What is kept"
_HEADINGS = (PARAMETERS, SELECTION, SHOWN, WORKING, KEPT)

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
    idle: Mapping[str, str] = NOTHING,
    **settings: Any,
) -> Any:
    """Declare an option, or an argument if it has no flags.

    `kind` is the type on the command line: a `bool` takes no value, a list may be given more than once. `parse` makes
    the value from that, or takes a value as it is; without it, `kind` does. It raises ValueError with the message, or
    with any text if `wrong` completes the message "'value' is ...". `bare` is the value of an option that is given
    without one. `completes` says what it names, for the completion in shells: one of COMPLETED. `group` is the heading
    in the help of a command with many options. `idle` says why it would count for nothing, by the names of the options
    beside which it would: giving both is an error. `settings` are those of typer.
    """
    assert completes in COMPLETED, completes
    declared = {"flags": flags, "kind": kind, "parse": parse or kind, "wrong": wrong, "choices": choices, "bare": bare}
    declared |= {"completes": completes, "group": group, "idle": idle, "settings": settings}
    return field(default=default, metadata=declared)


@dataclass_transform(frozen_default=True)
def command_options(cls: type[_Command]) -> type[_Command]:
    """Make a class of values that is frozen for the type checker only, and has the `==` of `Options`."""
    return mutable(cls)


@command_options
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
        for option in fields(self):
            value = getattr(self, option.name)
            is_given = value is not None and value is not False and value != ()  # 0 is a value
            why = next((why for other, why in option.metadata["idle"].items() if getattr(self, other, False)), "")
            if is_given and why:
                raise UsageError(f"{why}: give one of them", option.metadata["flags"][-1])
        self.check()

    def check(self) -> None:
        """Refuse values that do not go together. Raises UsageError."""

    def __eq__(self, other: object) -> bool:
        names = [option.name for option in fields(self)]
        return type(self) is type(other) and all(getattr(self, name) == getattr(other, name) for name in names)


def in_order_of_help(options: Iterable[Field[Any]]) -> dict[str, Field[Any]]:
    """Return options by name, below the headings of the help."""
    declared = [*options]
    return {one.name: one for group in ("", *_HEADINGS) for one in declared if one.metadata["group"] == group}


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
    wrong=NO_CACHE_SIZE,
    metavar="SIZE",
    idle={"keep": "--keep removes no tables", "all": "--all removes all tables"},
    help="How much the tables of all runs may take on the disk (50GB, 500MiB, 0). Default: NFRUN_CACHE_SIZE, or 10GB "
    "or a tenth of the free space, whichever is less.",
    group=KEPT,
)
fresh_option = partial(
    declare,
    "--fresh",
    kind=bool,
    default=False,
    help="Run all nodes, whatever earlier runs have finished.",
    group=SELECTION,
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
force_option = partial(
    selectors_option,
    "--force",
    help="Run these nodes, whatever earlier runs have finished, if they are selected. Repeatable.",
)
resume_option = partial(
    declare,
    "--resume",
    kind=bool,
    default=False,
    help="Reuse what earlier runs have finished. This is the default.",
    group=SELECTION,
    idle={"fresh": "--fresh runs what --resume reuses"},
)
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
    idle={"no_github": "--no-github turns off what --github turns on"},
)
no_github_option = partial(flag, "--no-github", help="Do not, also where GITHUB_ACTIONS is true.", group=SHOWN)


address_option = partial(
    declare,
    "--address",
    parse=parse_address,
    metavar="ADDRESS",
    help="With --executor dask: the scheduler (tcp://host:8786, tls://host:8786). Default: NFRUN_ADDRESS, or a cluster "
    "on this machine.",
    group=WORKING,
)
store_option = partial(
    declare,
    "--store",
    parse=parse_store,
    metavar="PATH|URI",
    help="With --executor dask: where outputs are, for all workers: a shared folder, or s3://bucket/folder. "
    "Default: NFRUN_STORE.",
    group=WORKING,
)


def plain_words(options: type[Options], words: Sequence[str]) -> list[str]:
    """Return the words of a command line, behind its command, in the forms that parsers of options know."""
    return with_file_first(options, with_bare_values(options, words))


def with_file_first(options: type[Options], words: Sequence[str]) -> list[str]:
    """Return the words with `--pipeline=FILE` in place of a pipeline file that stands first: `nfrun show FILE NODE`.

    What stands behind `--` is no such file: it names a node, an output or a run.
    """
    by_flag = {flag: option for option in fields(options) for flag in option.metadata["flags"]}
    if "--pipeline" not in by_flag:
        return [*words]
    places, before = [], ""
    for at, word in enumerate(words[: words.index("--")] if "--" in words else words):
        takes_value = before in by_flag and by_flag[before].metadata["kind"] is not bool
        if not takes_value and not word.startswith("-"):
            places.append(at)
        before = "" if takes_value else word
    is_output = len(places) == 1 and any(option.metadata["completes"] == "output" for option in fields(options))
    if not places or not _is_file(words[places[0]], may_be_output=is_output):
        return [*words]
    file = f"--pipeline={words[places[0]]}"
    is_known = file in words or ("--pipeline", words[places[0]]) in pairwise(words)
    return [*words[: places[0]], *([] if is_known else [file]), *words[places[0] + 1 :]]


def _is_file(word: str, *, may_be_output: bool) -> bool:
    """Return whether a word is a pipeline file or another path, and so no node and no run.

    Of these only an output, as in `NODE.yaml`, and a cell, as in `NODE@x.yaml`, have dots.
    """
    is_yaml = word.lower().endswith((".yaml", ".yml"))
    if may_be_output or "@" in word:
        return is_yaml and os.path.exists(word)  # noqa: PTH110  (no Path for each command)
    return is_yaml or (("." in word or word.endswith(os.sep)) and os.path.exists(word))  # noqa: PTH110


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
