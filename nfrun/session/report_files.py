"""The files about a run that its options name: what they may overwrite, and how they are written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from errno import EACCES
from pathlib import Path
from typing import IO

from nfrun.core.errors import UsageError
from nfrun.core.pipeline import WORK_DIR
from nfrun.session.options import Shown, What
from nfrun.system.atomic_files import atomic_write, make_folders
from nfrun.system.std_streams import named_descriptor, open_descriptor

# By the name of the option: how each such file begins, and what a file that begins otherwise lacks.
_FILES = {
    "events": (rb'\{"event"', "events"),
    "junit": (rb"(?:<\?xml[^>]*\?>\s*)?<testsuite", "test cases"),
    "trace": (rb'\{"traceEvents"', "trace"),
    "report": (rb"<!doctype html><!-- a run of nfrun", "page of a run"),
}
_BEGIN = 300  # bytes that are looked at


def check_report_files(shown: Shown, what: What) -> None:
    """Raise UsageError if a report would overwrite a file that is no such report, such as the pipeline file.

    Raises OSError if a file that is there cannot be read.
    """
    work, given = what.work or what.pipeline.parent / WORK_DIR, [*_given(shown)]
    taken = {what.pipeline.resolve(): "the pipeline file", work.resolve(): "the work folder"} if given else {}
    for name, path in given:
        check_report_file(path, name, f"--{name}", taken)
        if _is_stream(path):  # which may take several
            continue
        taken[path.resolve()] = f"the file of --{name}"


def check_report_file(path: Path, kind: str, option: str, taken: Mapping[Path, str]) -> None:
    """Raise UsageError if a report of a kind, such as `junit`, must not be written to `path`.

    `taken` says what other files are. Raises OSError if a file that is there cannot be read.
    """
    pattern, what = _FILES[kind]
    if str(path) == "-":
        raise UsageError("it writes a file, and not to stdout: name one", option)
    if (descriptor := named_descriptor(path)) >= 0:
        with suppress(OSError):
            os.fstat(descriptor)
            return
        raise UsageError(f"'{path}' is not open: name another file", option)
    if (file := path.resolve()) in taken:
        raise UsageError(f"'{path}' is {taken[file]}: name another file", option)
    if path.is_dir():
        raise UsageError(f"'{path}' is a folder: name a file", option)
    if (above := next(folder for folder in path.parents if folder.exists())) and not above.is_dir():
        raise UsageError(f"'{above}' is no folder: name another file", option)
    if path.is_file():
        with path.open("rb") as opened:
            begin = opened.read(_BEGIN)
        if begin and not re.match(pattern, begin):
            found = f"'{path}' is there and has no {what} in it"
            raise UsageError(f"{found}: name another file", option)


def remove_test_cases(shown: Shown) -> None:
    """Remove the test cases of an earlier run: if this run does not begin, they would be taken for its own."""
    if shown.junit is not None and not _is_stream(shown.junit):
        shown.junit.resolve().unlink(missing_ok=True)


def make_report_folders(shown: Shown) -> None:
    """Make the folders of the files that are written at the end. Raises OSError, also if one cannot be written."""
    for name, path in _given(shown):
        if name == "events":  # it is opened at once
            continue
        if named_descriptor(path) >= 0:
            continue
        make_folders(path.parent)
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise PermissionError(EACCES, os.strerror(EACCES), str(path))


def _given(shown: Shown) -> Iterator[tuple[str, Path]]:
    for name in _FILES:
        path: Path | None = getattr(shown, name)
        if path is not None:
            yield name, path


def _is_stream(path: Path) -> bool:
    """Return whether a path names a device, a pipe or a descriptor of this process, such as `/dev/stdout`."""
    return named_descriptor(path) >= 0 or (path.exists() and not path.is_file())


def write_report(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file, all of it or nothing. Raises OSError with its name. A device or a pipe is written as it is."""
    try:
        if _is_stream(path):
            with open_descriptor(fd) if (fd := named_descriptor(path)) >= 0 else path.open("wb") as file:
                write(file)
        else:
            with atomic_write(path.resolve()) as partial, Path(partial).open("wb") as file:
                write(file)
    except OSError as error:  # its name is that of a temporary file, or it has none
        error.filename = str(path)
        raise
