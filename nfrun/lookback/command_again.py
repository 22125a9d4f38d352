"""Words the command that runs a pipeline again, from the command line of an earlier run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from nfrun.core.pipeline import WORK_DIR
from nfrun.lookback.run_reference import ListedRun
from nfrun.system.logs.redaction import MASK

# Options that run every node, leave no tables, or only change what is shown.
_LEFT_OUT = ("--fresh", "--json", "-q", "--quiet", "-v", "--verbose", "--github", "--no-github")
_LEFT_OUT_WITH_VALUE = ("--force", "--schedule", "--handoff", "--events", "--junit", "--trace", "--report", "--color")
_SELECTING = ("--only", "--from", "--until", "--exclude")
_WITH_SECRET = ("-p", "--param", "--params-file", "--work", "--input")  # options whose value may be a secret
_WITH_VALUE = (*_LEFT_OUT_WITH_VALUE, *_SELECTING, *_WITH_SECRET, "--cache-size")


def command_again(command: Sequence[str], force: Iterable[str] = (), more: Sequence[str] = ()) -> str:
    """Return a command line that reuses what the run of `command` has finished, and forces the nodes in `force`.

    `more` are words to add. Options whose value has a masked secret are left out, and the text says which to add.
    """
    words: list[str] = []
    secret: list[str] = []
    end = command.index("--") if "--" in command else len(command)
    for group in _groups(command[:end]):
        if _option(group) in _WITH_SECRET and MASK in group[-1]:
            name, is_named, _ = group[-1].partition("=")
            secret.append(" ".join([*group[:-1], f"{name}=…" if is_named else "…"]))
        elif _option(group) not in (*_LEFT_OUT, *_LEFT_OUT_WITH_VALUE):
            words += group
    words += [*more, *(option for node in force for option in ("--force", node))]
    text = shlex.join([*words, *command[end:]])
    return f"{text} (add {' '.join(secret)}: {'a secret' if len(secret) == 1 else 'secrets'})" if secret else text


def command_to_go_on(command: Sequence[str], force: Iterable[str], unfinished: Sequence[str], date: str = "") -> str:
    """Return a command line that goes on from what the run of `command` has finished, and forces what `force` selects.

    `date` is the date of the run, "" if nothing in it has it: on another day the command would be about that day.

    A selection by `status:` would mean this run from now on. In its place the command selects the nodes that this run
    was to run and has not finished, by their statuses `unfinished`.
    """
    by_status = [f"status:{status}" for status in unfinished]
    if any(_option(group) in _SELECTING and "status:" in group[-1] for group in _groups(command)):
        command = [*_without(command, _SELECTING), *(word for selector in by_status for word in ("--only", selector))]
    again = [text for selector in force for text in (by_status if "status:" in selector else [selector])]
    return command_again(command, dict.fromkeys(again), _date_option(command, date))


def command_for_tables(run: ListedRun, nodes: Iterable[str]) -> str:
    """Return the command that makes the tables of these nodes again, and keeps them, without running all others.

    It is the command of the run, with the pipeline file and the work folder as they are named from here now: a run may
    have been started in another directory, and a work folder may be a copy.
    """
    inputs = [word for name, file in run.header.inputs.items() for word in ("--input", f"{name}={file}")]
    words = [*run.header.command] or ["nfrun", "run", run.file, *inputs]
    has_work = any(word.partition("=")[0] == "--work" for word in words)
    work = run.folder.parents[1]
    named = next((at for at, word in enumerate(words) if at > 1 and Path(word).name == run.file), None)
    beside = work.parent / run.file
    more = [*_date_option(words, run.header.date), *([] if "--keep" in words else ["--keep"])]
    if named is not None and beside.is_file() and not (has_work and Path(words[named]).is_file()):
        words[named] = words[named] if _is_same(Path(words[named]), beside) else os.path.relpath(beside)
    if has_work if named is None else not _is_same(Path(words[named]).parent / WORK_DIR, work):
        more += ["--work", os.path.relpath(work)]
    return command_again(_without(words, (*_SELECTING, "--cache-size", "--work")), nodes, more)  # --keep takes no size


def _groups(words: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the options of a command, each with its value, and its other words one by one."""
    left = iter(words)
    return [(word, next(left, "")) if word in _WITH_VALUE else (word,) for word in left]


def _option(group: Sequence[str]) -> str:
    return group[0].partition("=")[0]


def _date_option(words: Sequence[str], date: str) -> list[str]:
    return ["--date", date] if date and all(word.partition("=")[0] != "--date" for word in words) else []


def _without(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """Return the words of a command without these options, such as a selection, which may leave out nodes."""
    return [word for group in _groups(words) if _option(group) not in options for word in group]


def _is_same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)
