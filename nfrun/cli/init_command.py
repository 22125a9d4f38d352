"""Carries out `nfrun init`: makes a project from a template, which is a folder in `nfrun/templates`.

A project has the files of its template as they are, and the JSON Schema of pipeline files for editors.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import nfrun
from nfrun.cli.exit_codes import EXIT_OK
from nfrun.core.errors import UsageError
from nfrun.core.pipeline import WORK_DIR
from nfrun.core.text import escape_controls, on_one_line, shortened
from nfrun.core.values import frozen
from nfrun.session.options import Options, declare, parse_path
from nfrun.system.atomic_files import atomic_write, name_errors

if TYPE_CHECKING:
    from nfrun.system.std_streams import Messages

TEMPLATES: Mapping[str, str] = {
    "etl": "csv files, checked, joined by SQL, and written as Parquet and as a folder by month",
    "ml": "models x folds with scikit-learn; the best model is fitted to all rows and saved",
    "evals": "prompts x models against an API like that of OpenAI; a stand-in for it runs here",
    "empty": "one node: a Python function",
}
_SCHEMA = "pipeline.schema.json"
_MOST_LISTED = 5


@frozen
class InitOptions(Options):
    """The options of `nfrun init`. Without a template, the templates are listed."""

    template: str | None = declare(
        choices=TEMPLATES, metavar="TEMPLATE", help=f"{', '.join(TEMPLATES)}. Left out: list them, and make nothing."
    )
    folder: Path = declare(
        default=".",
        parse=partial(parse_path, what="folder"),
        metavar="DIR",
        help="The folder of the project. It is made if it is missing. Left out: the working directory.",
    )


def init(options: InitOptions, messages: Messages) -> int:
    """Make a project from a template, or list the templates.

    Raises UsageError before anything is made, and OSError.
    """
    if options.template is None:
        told = _overview()
    else:
        files = _project_files(options.template)
        _check(options.folder, files, options.template)
        real = Path(os.path.realpath(options.folder))
        _make(files, real)
        told = _made(options.folder if options.folder.exists() else real, files)
    print(escape_controls("\n".join(told)))
    return EXIT_OK


def _project_files(template: str) -> dict[Path, bytes]:
    """Return the contents of the files of a new project, by their paths in it."""
    from nfrun.nodes.schemas import document_schema

    folder = Path(nfrun.__file__).parent / "templates" / template
    ignored = {line.rstrip("/") for line in (folder / ".gitignore").read_text().split()}  # left by trials, by pip
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    files = {name: path.read_bytes() for name, path in found.items() if not ignored.intersection(name.parts)}
    return dict(sorted({**files, Path(_SCHEMA): document_schema("pipeline").encode()}.items()))


def _check(folder: Path, files: Iterable[Path], template: str) -> None:
    """Raise UsageError if the project cannot be made in this folder without overwriting anything."""
    above = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not above.is_dir():
        raise UsageError(f"'{on_one_line(str(above))}' is not a folder", "DIR")
    if WORK_DIR in Path(os.path.realpath(folder)).parts:
        raise UsageError(f"'{on_one_line(str(folder))}' is in a work folder, from which nfrun removes files", "DIR")
    taken = list(dict.fromkeys(name for file in files if (name := _taken(folder, file))))
    if taken:
        are = "is" if len(taken) == 1 else "are"
        where = "here" if folder == Path() else f"in '{on_one_line(str(folder))}'"
        what = f"{shortened(taken, _MOST_LISTED)} {are} {where} already, and nothing is overwritten"
        raise UsageError(f"{what}: name a new folder, such as 'nfrun init {template} my-{template}'", "DIR")


def _taken(folder: Path, file: Path) -> str:
    """Return the path that is in the way of a new file, or of a folder above it; "" if there is none."""
    *above, own = reversed([file, *file.parents][:-1])
    in_place = [*(name for name in above if not (folder / name).is_dir()), own]
    return next((str(name) for name in in_place if os.path.lexists(folder / name)), "")


def _make(files: Mapping[Path, bytes], folder: Path) -> None:
    """Write new files into a folder, each whole or not at all. Raises OSError: those that were written stay."""
    for name, content in files.items():
        with name_errors(folder / name), atomic_write(folder / name) as partial:
            Path(partial).write_bytes(content)


# ------------------------------------------------------------------ what is told


def _overview() -> list[str]:
    width = max(map(len, TEMPLATES))
    return [
        "nfrun init TEMPLATE [DIR] makes a project that runs at once. The templates are",
        "",
        *(f"  {name.ljust(width)}  {what}" for name, what in TEMPLATES.items()),
        "",
        "'nfrun init etl shop' makes the folder 'shop' with a pipeline, its data, a test, a workflow for GitHub and a",
        "README. Without 'shop' it makes them here. Files that are there already are never overwritten.",
    ]


def _made(folder: Path, files: Mapping[Path, bytes]) -> list[str]:
    """Return the lines that name the new files and the next commands."""
    is_here = folder.samefile(".")
    python = _own("python", _quoted(sys.executable))
    pipeline = next(name for name in files if name.suffix == ".yaml" and len(name.parts) == 1)
    missing = _missing_packages(files[Path("requirements.txt")].decode())
    has_pip = find_spec("pip") or not shutil.which("uv")
    install = f"{python} -m pip install" if has_pip else f"uv pip install -p {python}"
    commands = [
        *([] if is_here else [f"cd {_quoted(folder)}"]),
        *([f"{install} -r requirements.txt"] if missing else []),
        f"{_own('nfrun', f'{python} -m nfrun')} run {pipeline}",
        f"{python} -m pytest",
    ]
    return [
        f"made {len(files)} files {'here' if is_here else f'in {_quoted(folder)}'}",
        *(f"  {name}" for name in files),
        *([f"it needs packages that are not installed here: {', '.join(missing)}"] if missing else []),
        "next (README.md says more):",
        *(f"  {line}" for line in commands),
    ]


def _missing_packages(requirements: str) -> list[str]:
    """Return the packages of a requirements file that are not installed in this environment."""
    from importlib.metadata import PackageNotFoundError, version

    missing = []
    for name in re.findall(r"^[\w.-]+", requirements, re.MULTILINE):
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    return missing


def _own(program: str, otherwise: str) -> str:
    """Return what starts a program of this environment from a shell: its name if that finds it, or else its path."""
    own, found = Path(sys.executable).with_name(program), shutil.which(program)
    if found and Path(found).absolute() == own:
        return program
    return _quoted(own) if own.is_file() else otherwise


def _quoted(path: str | Path) -> str:
    """Return a path as a word for a shell."""
    return shlex.quote(f"./{path}" if str(path).startswith("-") else str(path))


INIT_COMMAND: tuple[Callable[[InitOptions, Messages], int], type[InitOptions], str] = (
    init,
    InitOptions,
    "Make a new project that runs at once, from a template.",
)
