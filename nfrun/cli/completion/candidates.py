"""Finds the names that may stand at the cursor of a command line.

They come from the pipeline file on the line and from the plans of recorded runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.cli.completion.command_line import Place
from nfrun.core.errors import NotRecorded, SpecError
from nfrun.core.values import fields, frozen

if TYPE_CHECKING:
    from nfrun.history.work_dir import WorkDir
    from nfrun.lookback.run_list import ListedRun
    from nfrun.pipeline_file.names_in_file import NamesInFile

_MOST_RUNS = 30
_SAFE = re.compile(r"[\w@%+=:,./~-]+", re.ASCII)  # no shell gives any of these a meaning inside of a word
_PARTS = re.compile("[@/]")
_OPEN_ENDS = ("=", ":", "@", "/")  # what ends so goes on
_STEPS = re.compile(r"\d*\+")  # in a selector, before a node

Candidate = tuple[str, str]  # a text, and what it is


@frozen
class Candidates:
    """What may stand at the cursor.

    `files` is `files`, `pipelines` or `folders` if the shell looks for these itself. `before` is how many characters of
    the word at the cursor stand before the `text` that is completed. `goes_on`: more follows without a blank.
    """

    found: Sequence[Candidate] = ()
    files: str = ""
    before: int = 0
    text: str = ""

    @property
    def goes_on(self) -> bool:
        """Whether more follows all of them without a blank."""
        return bool(self.found) and all(text.endswith(_OPEN_ENDS) for text, _ in self.found)


def candidates_at(place: Place) -> Candidates:
    """Return what may stand at a place of a command line. Raises OSError, SpecError and NotRecorded."""
    option = place.option
    if option is None:
        known = _WORDS.get(place.what)
        return _beginning(place, place.text, known(place) if known else ())
    if choices := option.metadata["choices"]:
        helps = choices if isinstance(choices, Mapping) else {}
        return _beginning(place, place.text, ((choice, helps.get(choice, "")) for choice in choices))
    is_first = not option.metadata["flags"] and "pipeline" not in place.given  # where a pipeline file may stand
    try:
        found = _FINDERS[option.metadata["completes"]](place)
    except NotRecorded:
        if not (is_first and place.text):
            raise
        found = Candidates()
    return found if found.found or found.files or not is_first else _files("pipelines")(place)


def _beginning(place: Place, text: str, known: Iterable[Candidate]) -> Candidates:
    """Return those that begin with the end `text` of what stands at the cursor, and are safe in any shell."""
    found = {one: help for one, help in known if one.startswith(text) and _SAFE.fullmatch(one)}
    return Candidates([*found.items()], "", place.before + len(place.text) - len(text), text)


def _shells(place: Place) -> Iterable[Candidate]:
    from nfrun.cli.completion.shell_scripts import SCRIPTS

    return [(shell, "") for shell in SCRIPTS]


def _commands(place: Place) -> Iterable[Candidate]:
    from nfrun.cli.commands import all_commands

    return [(name, help) for name, (_, _, help) in all_commands().items()]


def _flags(place: Place) -> Iterable[Candidate]:
    from nfrun.cli.commands import find_command

    command = find_command(place.command)
    for option in fields(command[1]) if command else ():
        if option.name not in place.given or option.metadata["kind"] == list[str]:
            for flag in option.metadata["flags"]:
                # A short one is offered where a single dash is asked for: its long form says more.
                if flag.startswith("--") or place.text == "-":
                    yield flag, option.metadata["settings"].get("help", "")
    yield "--help", "Show the options and leave."
    if command is None:
        for flag, help in ROOT_FLAGS.items():
            yield flag, help


_WORDS: Mapping[str, Callable[[Place], Iterable[Candidate]]] = {"command": _commands, "flag": _flags, "shell": _shells}

ROOT_FLAGS = {
    "--version": "Show the version and leave.",
    "--install-completion": "Let the shell complete commands, options and names.",
    "--show-completion": "Print what --install-completion installs.",
}


def _files(what: str) -> Callable[[Place], Candidates]:
    return lambda place: Candidates((), what, place.before, place.text)


def _first(place: Place, name: str) -> Path | None:
    """Return the file or folder that an option has on the line, where `~` and `$NAME` stand as they were typed."""
    given = place.given.get(name)
    return Path(os.path.expandvars(given[0])).expanduser() if given else None


def _names(place: Place) -> NamesInFile:
    from nfrun.pipeline_file.names_in_file import NamesInFile, names_in_file

    pipeline = _first(place, "pipeline")
    return NamesInFile() if pipeline is None else names_in_file(pipeline)


def _profiles(place: Place) -> Candidates:
    return _beginning(place, place.text, ((name, "") for name in _names(place).profiles))


def _params(place: Place) -> Candidates:
    names = _names(place)
    name, equals, text = place.text.partition("=")
    if equals:
        return _beginning(place, text, ((value, "") for value in names.params.get(name, ())))
    return _beginning(place, name, ((f"{param}=", names.helps[param]) for param in names.params))


def _inputs(place: Place) -> Candidates:
    _, equals, text = place.text.partition("=")
    if equals:
        return Candidates((), "files", place.before + len(place.text) - len(text), text)
    return _beginning(place, place.text, ((f"{name}=", "") for name in _names(place).inputs))


def _selectors(place: Place) -> Candidates:
    """Return the nodes and methods that the last part of a selector may go on with, as in `tag:nightly,2+fit`."""
    text = place.text.rpartition(",")[2]
    if steps := _STEPS.match(text):
        text = text[steps.end() :]
    method, colon, rest = text.partition(":")
    if colon:
        return _with_method(place, method, rest)
    nodes = _nodes_of_file(place)
    whole = dict.fromkeys([_PARTS.split(name)[0] for name in nodes])
    methods = () if place.text.endswith("+") else _METHODS.items()
    return _beginning(place, text, [*_stepwise([*whole, *nodes], text, whole), *methods])


_METHODS = {
    "tag:": "nodes with this tag",
    "kind:": "of this kind",
    "file:": "that read or write",
    "status:": "as they ended",
}


def _with_method(place: Place, method: str, text: str) -> Candidates:
    from nfrun.core.selection import STATUSES

    known: Iterable[str] = ()
    if method == "status":
        known = STATUSES
    elif method == "tag":
        known = _names(place).tags
    elif method == "kind":
        from nfrun.nodes.registry import KINDS

        known = dict.fromkeys([key for body in _names(place).bodies.values() for key in body if key in KINDS])
    elif method == "file":
        return Candidates((), "files", place.before + len(place.text) - len(text), text)
    return _beginning(place, text, ((one, "") for one in known))


def _nodes_of_file(place: Place) -> list[str]:
    """Return the nodes of a pipeline file with their cells. Those that it does not tell are those of its last run."""
    names = None
    with suppress(SpecError):  # while it is edited
        names = _names(place)
    found = [cell for name, cells in names.nodes.items() for cell in cells or (name,)] if names else []
    told = {name for name, cells in names.nodes.items() if cells} if names else set()
    for node in _nodes_of_last_run(place):
        first = _PARTS.split(node)[0]
        if names is None or (first in names.nodes and first not in told and node != first):
            found.append(node)
    return found


def _nodes_of_last_run(place: Place) -> list[str]:
    from nfrun.history.run_plan import read_node_names

    with suppress(NotRecorded, SpecError, OSError):
        for run in _runs(place):
            return [*read_node_names(run.folder)]
    return []


def _stepwise(names: Iterable[str], text: str, whole: Iterable[str] = ()) -> Iterator[Candidate]:
    """Yield ids as far as their next `@` or `/` behind the text, as shells do with folders, and those in `whole`."""
    for name in names:
        if name.startswith(text):
            part = _PARTS.search(name, len(text))
            if part is None or name in whole:
                yield name, ""
            else:
                yield name[: part.end()], "the cells" if part[0] == "@" else "the nodes in it"


def _runs(place: Place) -> Iterator[ListedRun]:
    """Yield the runs that a command line is about, the newest first. Raises NotRecorded, SpecError and OSError."""
    from nfrun.lookback.run_list import list_runs
    from nfrun.lookback.work_folder import locate_work

    work: WorkDir
    work, pipeline = locate_work(_first(place, "pipeline"), _first(place, "work"))
    return list_runs(work, pipeline)


def _run_names(place: Place) -> Candidates:
    import time
    from itertools import islice

    known: list[Candidate] = [("last", "the last run that has ended"), ("last-ok", "the last that ended well")]
    with suppress(NotRecorded):
        for run in islice(_runs(place), _MOST_RUNS):
            at = "" if run.at is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(run.at))
            known.append((str(run.number), " ".join(filter(None, (run.file, run.status, at)))))
    return _beginning(place, place.text, known)


def _recorded(place: Place) -> Mapping[str, tuple[str, tuple[str, ...]]]:
    """Return the nodes of the run that the line names, with their matrices and outputs."""
    from nfrun.history.run_plan import read_node_names
    from nfrun.lookback.run_reference import find_run
    from nfrun.lookback.work_folder import locate_work

    given = place.given.get("run")
    run = find_run(*locate_work(_first(place, "pipeline"), _first(place, "work")), given[0] if given else None)
    return read_node_names(run.folder)


def _recorded_nodes(place: Place) -> Candidates:
    nodes = _recorded(place)
    matrices = dict.fromkeys([of for of, _ in nodes.values() if of] if place.command == "show" else ())
    return _beginning(place, place.text, _stepwise([*matrices, *nodes], place.text, matrices))


def _recorded_outputs(place: Place) -> Candidates:
    outputs = [
        f"{node}.{name}" if name else node for node, (_, names) in _recorded(place).items() for name in names or ("",)
    ]
    return _beginning(place, place.text, _stepwise(outputs, place.text))


_FINDERS: Mapping[str, Callable[[Place], Candidates]] = {
    "": lambda place: Candidates(),
    "pipeline file": _files("pipelines"),
    "file": _files("files"),
    "folder": _files("folders"),
    "profile": _profiles,
    "params": _params,
    "inputs": _inputs,
    "nodes": _selectors,
    "node": _recorded_nodes,
    "output": _recorded_outputs,
    "run": _run_names,
}
