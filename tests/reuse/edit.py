"""Defines a row of the tables in `edits_*.py`: a small project, a change, and which nodes run again after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

PIPELINE = 'nodes:\n  node: {python: "steps:f"}\n'


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A change to a project, and the nodes that it makes run again: True for all, False for none.

    `files` are the texts by path, relative to the pipeline's folder. `p.yaml` is the pipeline, by default one node that
    is called `node` and calls `steps:f`. The folders `../site-packages` and `../src` are on `sys.path`.

    The change is made of new texts in `edit` (None removes the file), of variables in `environ` (None removes), of
    `options_after` in place of `options` (fields of `RunOptions`, such as `given`), and of `act`, which gets the
    folder.

    `by` says how the change is looked at. `plan` asks before a second run what would run, and so does `main`, but there
    the first run has the process to itself: modules have their own names in it. `run` runs again. `command` does both
    runs with the command line in the folder, and `process` too, each in a process of its own.
    """

    name: str
    files: Mapping[str, str]
    edit: Mapping[str, str | None] = field(default_factory=dict)
    runs_again: frozenset[str] | bool
    environ: Mapping[str, str | None] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    options_after: Mapping[str, Any] | None = None
    act: Callable[[Path], object] = lambda folder: None
    by: Literal["plan", "main", "run", "command", "process"] = "plan"
    reason: str = ""  # a part of the reason that `plan --resume` gives for a node, if it matters


def edited(
    name: str, files: Mapping[str, str] | str, old: str, new: str, *, runs_again: frozenset[str] | bool, **more: Any
) -> Edit:
    """Return the row that replaces a text wherever it stands in the files. A lone text is that of `steps.py`."""
    files = {"steps.py": files} if isinstance(files, str) else files
    edit = {file: text.replace(old, new) for file, text in files.items() if old in text}
    assert edit, f"{name}: '{old}' stands nowhere"
    return Edit(name=name, files=files, edit=edit, runs_again=runs_again, **more)


def edits(table: str, old: str, new: str, *, runs_again: bool, **more: Any) -> Iterator[Edit]:
    """Yield the rows of a table of texts. All replace `old` by `new`, unless a row names others after its name.

    A row is separated by an empty line, and begins with its name. Then come `steps.py` and, after a line with the name
    of each, other files.
    """
    for row in table.strip().split("\n\n"):
        head, _, rest = f"{row}\n".partition("\n")
        name, *replaced = (part.encode().decode("unicode_escape") for part in head.removeprefix("## ").split(" | "))
        files = {file: text for file, _, text in (part.partition("\n") for part in f"steps.py\n{rest}".split("-- "))}
        name = name if runs_again else f"not {name}"
        yield edited(name, files, *(replaced or (old, new)), runs_again=runs_again, **more)
