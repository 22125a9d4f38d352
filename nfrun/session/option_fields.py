"""Declares options: what one is, those that several commands have, and how values are made of texts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

from nfrun.core.errors import UsageError
from nfrun.core.values import field, fields, mutable
from nfrun.session.option_values import (
    NO_CACHE_SIZE,
    parse_address,
    parse_cache_size,
    parse_params,
    parse_path,
    parse_selectors,
    parse_slots,
    parse_store,
)

_Command = TypeVar("_Command")

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
    in the help of a command with many options. `settings` are those of typer.
    """
    assert completes in COMPLETED, completes
    declared = {"flags": flags, "kind": kind, "parse": parse or kind, "wrong": wrong, "choices": choices, "bare": bare}
    return field(default=default, metadata={**declared, "completes": completes, "group": group, "settings": settings})


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

    def __eq__(self, other: object) -> bool:
        names = [option.name for option in fields(self)]
        return type(self) is type(other) and all(getattr(self, name) == getattr(other, name) for name in names)


def refuse_idle(*options: tuple[str, bool, str]) -> None:
    """Raise UsageError for an option that would count for nothing: its flag, whether that is so, and why."""
    for option, is_idle, why in options:
        if is_idle:
            raise UsageError(f"{why}: give one of them", option)


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
