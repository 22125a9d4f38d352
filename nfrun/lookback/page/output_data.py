"""Shows the content of an output of a recorded run as far as it is still kept: rows of tables, pictures, texts."""

from __future__ import annotations

import base64
import re
from codecs import getincrementaldecoder
from functools import partial
from pathlib import Path
from typing import Any

from nfrun.core.errors import HandoffError, NotRecorded
from nfrun.core.output_types import TABLE, form_of
from nfrun.history.journal import FinishedOutput
from nfrun.history.run_history import is_intact
from nfrun.history.work_dir import WorkDir
from nfrun.lookback.command_again import command_for_tables
from nfrun.lookback.reopen.current_pipeline import bound_pipeline
from nfrun.lookback.reopen.first_rows import find_output, open_table
from nfrun.lookback.reopen.opened_tables import RunTables
from nfrun.lookback.run_list import ListedRun
from nfrun.reports.format_units import format_size
from nfrun.system.logs.redaction import CUT

_MOST_PICTURE, _MOST_TEXT = 400_000, 20_000  # bytes of a file
_MOST_FILES = 20  # of a folder
_FEW_NODES = 300
_LARGEST_CHECKED, _MOST_CHECKED = 64_000_000, 256_000_000  # bytes of one file, and of all, that are read to check them
_STRANGE = 0.3  # share of bytes that are no UTF-8, from which on a file is no text
_UNDECODED = re.compile("[\udc80-\udcff]")  # as `surrogateescape` has bytes that are no UTF-8
_MOST_SOURCES, _LARGEST_SOURCE = 12, 8_000_000  # files of users that are read again, and the bytes of one
_PICTURES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
}
_BEGINS = {
    "image/png": (b"\x89PNG\r\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF8",),
    "image/webp": (b"WEBP",),
    "image/svg+xml": (b"<svg", b"<!DOCTYPE svg"),
}
_BEGINNING = 1_000  # bytes in which these are
_TEXTS = {".html": "text/html", ".htm": "text/html", ".md": "text/markdown", ".json": "application/json"}


class OutputContents:
    """Shows what the outputs of a run hold."""

    def __init__(self, work: WorkDir, run: ListedRun, nodes: int) -> None:
        """Take the number of nodes in the pipeline of the run: a large one is not read again for its sources."""
        self._run = run
        self._tables = RunTables(work, run, partial(bound_pipeline, None, work, run))
        self._unchecked = _MOST_CHECKED
        self._sources = _MOST_SOURCES if nodes <= _FEW_NODES else 0

    def of(self, output: FinishedOutput, room: int) -> dict[str, Any]:
        """Return what is shown of the content of an output in about `room` bytes of JSON, or why it is `gone`."""
        try:
            is_source = output.type == TABLE and output.file is None and not output.stored
            is_checked = is_source or bool(output.stored) or self._check(output)
            unchecked = {} if is_checked else {"unchecked": True}
            if output.type != TABLE:
                return {"kept": True, **unchecked, **_of_path(find_output(self._run, output), room)}
            table = self._source(output) if is_source else open_table(self._run, output)
            from nfrun.lookback.page.table_data import table_data  # it imports pyarrow

            source = {"from_source": True} if is_source else {}
            return {"kept": True, **source, **unchecked, **table_data(table, room)}
        except (NotRecorded, HandoffError) as error:
            return {"kept": False, "gone": str(error)}
        except OSError as error:
            return {"kept": False, "gone": f"it cannot be read: {error.strerror or error}"}

    def is_kept(self, output: FinishedOutput) -> bool:
        """Return whether there is a file of an output, without opening it."""
        try:
            return not output.stored and find_output(self._run, output).exists()
        except (NotRecorded, HandoffError, OSError):
            return False

    def _check(self, output: FinishedOutput) -> bool:
        """Return whether the file of an output is as it was written, False for a large one, which is not read for that.

        Raises HandoffError if it is damaged, NotRecorded if it is gone, and OSError.
        """
        path = find_output(self._run, output)
        if not output.checksum or output.size > min(_LARGEST_CHECKED, self._unchecked):
            return False
        self._unchecked -= output.size
        if not is_intact(path, output):
            again = command_for_tables(self._run, [output.id.node])
            raise HandoffError(f"its {form_of(output.type)} is damaged and is not shown; to make it again: {again}")
        return True

    def _source(self, output: FinishedOutput) -> Any:
        """Read the files again of which an output is the table: nfrun has written no other.

        Raises NotRecorded if they are not as they were, or if they are large or many.
        """
        if output.bytes > _LARGEST_SOURCE or self._sources <= 0:
            find_output(self._run, output)  # says that no file of it is kept
        self._sources -= 1
        return self._tables.tables([output.id])[output.id]


def _of_path(path: Path, room: int) -> dict[str, Any]:
    """Return the picture or the text in a file, the files in a folder; of other files why they are not shown."""
    if path.is_dir():
        names = sorted(str(each.relative_to(path)) for each in path.rglob("*") if each.is_file())
        return {"files": names[:_MOST_FILES], "more_files": max(0, len(names) - _MOST_FILES)}
    ending = path.suffix.lower()
    if ending in _PICTURES:
        data = path.read_bytes()
        if len(data) > _MOST_PICTURE:
            return {"not_shown": f"It is not shown: it has {format_size(len(data))}."}
        if not any(begin in data[:_BEGINNING] for begin in _BEGINS[_PICTURES[ending]]):
            return {"not_shown": f"It is not shown: it is no {ending[1:].upper()} picture."}
        return {"media": {"type": _PICTURES[ending], "data": base64.b64encode(data).decode(), "cut": False}}
    most = max(1_000, min(_MOST_TEXT, room))
    with path.open("rb") as file:
        data = file.read(most + 1)
    text = _text(data[:most], is_cut=len(data) > most)
    if text is None:
        return {"not_shown": "It is not shown: it is no text in UTF-8."}
    is_cut = len(data) > most  # the mark lets a redactor mask the part of a secret before it
    return {"media": {"type": _TEXTS.get(ending, "text/plain"), "data": text + CUT * is_cut, "cut": is_cut}}


def _text(data: bytes, *, is_cut: bool) -> str | None:
    """Return bytes as text, without a part of a character where it is cut; None if they are no text.

    Of a text in another encoding than UTF-8, bytes that cannot be decoded are shown as escapes.
    """
    if b"\0" in data:
        return None
    text = getincrementaldecoder("utf-8")("surrogateescape").decode(data, final=not is_cut)
    strange = len(_UNDECODED.findall(text))
    if strange > len(data) * _STRANGE:
        return None
    return _UNDECODED.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text) if strange else text
