"""Finds what may stand at the cursor of a command line, for the completion of typer.

The names come from the pipeline file on the line and from the plans of recorded runs. Shells insert what is offered
into the line, and zsh evaluates it. So only names are offered in which no shell gives any character a meaning.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from nfrun.core.errors import NotRecorded, SpecError
from nfrun.core.text import ellipsize
from nfrun.core.values import Field
from nfrun.system.std_streams import Messages

if TYPE_CHECKING:
    from nfrun.history.run_plan import PlannedNode
    from nfrun.lookback.run_reference import ListedRun
    from nfrun.pipeline_file.names_in_file import NamesInFile

VARIABLE = "_NFRUN_COMPLETE"  # the functions of typer for shells set it
_MOST_RUNS = 30
_MOST_HELP = 80  # characters
_SAFE = re.compile(r"[\w@%+:,./][\w@%+=:,./~-]*", re.ASCII)
_UNSAFE_IN_HELP = re.compile(r"[^\w .,:/+=@-]")
_LAST_SELECTOR = re.compile(r"(.*,)?(\d*\+)?")  # what stands before the last selector of a list, with its steps
_BREAKS = "=:@"  # bash parts words at these, too

Candidate = tuple[str, str]  # a text, and what it is


def completer(option: Field[Any]) -> Callable[[Any, str], list[Candidate]] | None:
    """Return the function by which typer completes an option; None where the shell completes names of files."""
    choices, find = option.metadata["choices"], _FINDERS.get(option.metadata["completes"])
    if choices:
        helps = choices if isinstance(choices, Mapping) else dict.fromkeys(choices, "")
        return lambda ctx, incomplete: _offered(helps.items(), incomplete)
    if find is None:
        return None

    def complete(ctx: Any, incomplete: str) -> list[Candidate]:
        try:
            return _offered(find(ctx, incomplete), incomplete)
        except (NotRecorded, SpecError, OSError) as error:
            _tell(error)
            return []

    return complete


def _offered(known: Iterable[Candidate], incomplete: str) -> list[Candidate]:
    found = {name: help for name, help in known if name.startswith(incomplete) and _SAFE.fullmatch(name)}
    return [(name, help_for_shells(help)) for name, help in found.items()]


def help_for_shells(help: str) -> str:
    """Return what a candidate is, on one line and without characters that a shell or rich may take for more."""
    return ellipsize(" ".join(_UNSAFE_IN_HELP.sub(" ", help).split()), _MOST_HELP)


def answer_shell(app: Callable[..., object], environ: MutableMapping[str, str]) -> NoReturn:
    """Let typer answer the shell whose question is in the environment. Whatever goes wrong, it just answers less."""
    kept = _join_words(environ) if environ[VARIABLE] == "complete_bash" else 0
    environ["COLUMNS"] = "1000"  # typer wraps the helps at it, and fish takes each line for a candidate
    answer, code = io.StringIO(), 1
    with redirect_stdout(answer):
        try:
            app(prog_name="nfrun")
        except SystemExit as end:
            code = int(end.code or 0)  # fish asks by it whether there is anything
        except (Exception, KeyboardInterrupt) as error:
            _tell(error)
    for line in answer.getvalue().splitlines():
        print(line[kept:])
    sys.exit(code)


def _tell(error: BaseException) -> None:
    if os.environ.get("NFRUN_DEBUG"):  # otherwise the shell would show it in the middle of the line
        Messages()(f"{type(error).__name__}: {error}")


def _join_words(environ: MutableMapping[str, str]) -> int:
    """Join the words of the line that bash has parted at `=`, `:` and `@`.

    Returns how many characters of the word at the cursor bash does not replace.
    """
    words: list[str] = []
    parts: list[str] = []  # of the last word
    for part in environ["COMP_WORDS"].split("\n")[: int(environ["COMP_CWORD"]) + 1]:
        if words and part and (not part.strip(_BREAKS) or words[-1][-1:] in [*_BREAKS]):
            words[-1] += part
            parts.append(part)
        else:
            words.append(part)
            parts = [part]
    environ["COMP_WORDS"], environ["COMP_CWORD"] = "\n".join(words), str(len(words) - 1)
    if len(parts) == 1:
        return 0
    last = words[-1]
    value = last.partition("=")[2] if last.startswith("--") else last
    return max(value.rfind("=") + 1, value.rfind(":") + 1, value.rfind("@"), 0)  # it replaces an `@`


# ------------------------------------------------------------------ names


def _path(ctx: Any, name: str) -> Path | None:
    """Return the file or folder that an option has on the line, where `~` and `$NAME` stand as they were typed."""
    given = ctx.params.get(name)
    return None if given is None else Path(os.path.expandvars(given)).expanduser()


def _names(ctx: Any) -> NamesInFile:
    from nfrun.pipeline_file.names_in_file import NamesInFile, names_in_file

    pipeline = _path(ctx, "pipeline")
    return NamesInFile() if pipeline is None else names_in_file(pipeline)


def _profiles(ctx: Any, incomplete: str) -> Iterator[Candidate]:
    return ((name, "") for name in _names(ctx).profiles)


def _params(ctx: Any, incomplete: str) -> Iterator[Candidate]:
    names = _names(ctx)
    return ((f"{name}={value}", names.helps[name]) for name, known in names.params.items() for value in known or ("",))


def _inputs(ctx: Any, incomplete: str) -> Iterator[Candidate]:
    return ((f"{name}=", "") for name in _names(ctx).inputs)


def _selectors(ctx: Any, incomplete: str) -> Iterator[Candidate]:
    """Yield what the last part of a selector may go on with, as in `tag:nightly,2+fit`."""
    from nfrun.core.selection import STATUSES
    from nfrun.nodes.registry import KINDS

    before = _LAST_SELECTOR.match(incomplete)
    head = before[0] if before else ""
    with suppress(SpecError):  # while the file is edited
        names = _names(ctx)
        yield from ((f"{head}{node}", "") for node in names.nodes)
        yield from ((f"{head}tag:{tag}", "nodes with this tag") for tag in names.tags)
        yield from ((f"{head}kind:{kind}", "nodes of this kind") for kind in names.keys if kind in KINDS)
    yield from ((f"{head}status:{status}", "as they ended") for status in STATUSES)


def _runs(ctx: Any) -> Iterator[ListedRun]:
    """Yield the runs that a command line is about, the newest first. Raises NotRecorded, SpecError and OSError."""
    from nfrun.lookback.run_reference import list_runs, locate_work

    return list_runs(*locate_work(_path(ctx, "pipeline"), _path(ctx, "work")))


def _run_names(ctx: Any, incomplete: str) -> Iterator[Candidate]:
    import time
    from itertools import islice

    yield from (("last", "the last run that has ended"), ("last-ok", "the last that ended well"))
    with suppress(NotRecorded):
        for run in islice(_runs(ctx), _MOST_RUNS):
            at = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.at))
            yield str(run.number), " ".join(filter(None, (run.file, run.status, at)))


def _recorded(ctx: Any) -> Mapping[str, PlannedNode]:
    """Return the nodes of the run that the line names."""
    from nfrun.history.run_plan import read_run_plan
    from nfrun.lookback.run_reference import find_run, locate_work

    work = locate_work(_path(ctx, "pipeline"), _path(ctx, "work"))
    plan = read_run_plan(find_run(*work, ctx.params.get("run")).folder)
    return plan.nodes if plan is not None else {}


def _recorded_nodes(ctx: Any, incomplete: str) -> Iterator[Candidate]:
    folds = ctx.info_name == "show"  # which shows a matrix, too
    for node, planned in _recorded(ctx).items():
        yield (planned.of if folds and planned.of and not incomplete.startswith(f"{planned.of}@") else node), ""


def _recorded_outputs(ctx: Any, incomplete: str) -> Iterator[Candidate]:
    for planned in _recorded(ctx).values():
        yield from ((output, "") for output in planned.output_ids)


_FINDERS: Mapping[str, Callable[[Any, str], Iterator[Candidate]]] = {
    "profile": _profiles,
    "params": _params,
    "inputs": _inputs,
    "nodes": _selectors,
    "node": _recorded_nodes,
    "output": _recorded_outputs,
    "run": _run_names,
}
