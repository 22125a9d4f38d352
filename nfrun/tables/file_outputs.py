"""Takes outputs that are files or folders into the folder of a run, and describes them as `OutputRef`."""

from __future__ import annotations

import os
from pathlib import Path

from nfrun.core.errors import HandoffError
from nfrun.core.events import OutputRef
from nfrun.core.output_types import file_name, form_of
from nfrun.core.pipeline import OutputId
from nfrun.core.values import replace
from nfrun.system.kept_files import Content, NotKeepable, content_of, keep
from nfrun.system.os_errors import reason
from nfrun.tables.formats import FormatError


def described_file(
    output: OutputId, attempt: int, path: Path, type: str, content: Content, *, has_own_name: bool
) -> OutputRef:
    """Return the reference of an output that is the file or folder at `path`.

    What its readers see beside the content is the ending of the path, and whether the file can be executed. If it
    `has_own_name`, which nfrun has not given to it, they see this name, too.
    """
    seen = f"{type}{' program' if content.is_executable else ''}{f' {path.name}' if has_own_name else ''}"
    size = content.size
    digest = f"xxh3_128:{content.digest}"  # as those of tables
    return OutputRef(output, 0, size, "", str(path), digest, attempt, size, content.digest, seen, type=type)


def hand_on(output: OutputId, attempt: int, path: Path, type: str, *, has_own_name: bool = True) -> OutputRef:
    """Return the reference of an output that is a file or folder which stays where it is.

    Raises FormatError if it cannot be handed on, and HandoffError if it cannot be read.
    """
    try:
        return described_file(output, attempt, path, type, content_of(path), has_own_name=has_own_name)
    except NotKeepable as error:
        raise FormatError(f"the {form_of(type)} '{output}' cannot be handed on: {error}") from None
    except OSError as error:
        raise HandoffError(f"cannot read {error.filename or path}: {reason(error)}", error) from error


def file_output(
    folder: Path, output: OutputId, attempt: int, path: Path, type: str, *, moved: bool, fsync: bool = False
) -> OutputRef:
    """Return the reference of an output that is a file or folder, and move it to the `folder` of the run, read-only.

    Unless it is `moved`, it stays where it is. Its digest is computed at once. Raises FormatError if it cannot be
    handed on, and HandoffError if it cannot be read or moved.
    """
    is_kept = path.is_relative_to(folder.parent)  # by this run or an earlier one
    made = hand_on(output, attempt, path, type, has_own_name=not moved and not is_kept)
    if not moved:
        return made
    final = f"{folder!s}{os.sep}{file_name(output, attempt, type)}"
    try:
        keep(path, Path(final), fsync=fsync)
    except OSError as error:
        what = f"cannot keep the output '{output}' ({made.bytes:,} bytes)"
        raise HandoffError(f"{what}: {reason(error)}", error) from error
    return replace(made, path=final)
