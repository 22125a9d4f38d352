"""Finds the nodes that earlier runs of a pipeline finished, and verifies the files of their outputs.

Names and modification times prove nothing: a file is used only if its size and checksum are those in the journal.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.core.pipeline import FOLDER, TABLE
from nfrun.core.values import replace
from nfrun.history.database import (
    WITH_ANY_KEY_AND_PROFILE,
    WITH_DEFINITION,
    WITH_KEY,
    WROTE,
    Database,
    hash_of,
    hash_of_definition,
)
from nfrun.history.journal import FinishedOutput, RecordedNode, reader_digest
from nfrun.system.checksums import file_checksum
from nfrun.system.kept_files import NotKeepable, content_of

if TYPE_CHECKING:
    from nfrun.tables.places.stored_outputs import StoredOutputs


class RunHistory:
    """The finished nodes of all earlier runs of one pipeline, the latest run first.

    `pipeline` is the name that `WorkDir.pipeline_name` gives, and `profile` is the one with which nodes are compared.
    `warn(message)` is called for each file that is damaged or cannot be read. With `keep_bad`, a damaged file is
    renamed to `<name>.bad`. Entries are read when they are first asked for. `checksum(path)` returns that of an output
    that is a file, or in a folder, which may be remembered."""

    def __init__(
        self,
        database: Database,
        pipeline: str,
        *,
        warn: Callable[[str], None],
        keep_bad: bool,
        checksum: Callable[[Path], str] = file_checksum,
        profile: str = "",
    ) -> None:
        self._checksum = checksum
        self._profile = profile
        self._database = database
        self._pipeline = pipeline
        self._warn = warn
        self._keep_bad = keep_bad
        self._last: dict[str, RecordedNode | None] = {}  # result of a node
        self._intact: dict[Path, bool] = {}
        self._in_place: dict[str, bool] = {}  # whether there is an intact output at an address
        self._found: dict[tuple[str, str | None, str], FinishedOutput] = {}  # by node, key and output

    def compared(self, node: str) -> RecordedNode | None:
        """Return the last result of a node with a cache key in a run of this profile, or else in any run."""
        of_profile = self._database.entries(self._pipeline, node, WITH_ANY_KEY_AND_PROFILE, self._profile)
        return next(itertools.chain(of_profile, (end for end in self.of_node(node) if end.key is not None)), None)

    def last(self, node: str) -> RecordedNode | None:
        """Return the latest journal entry of the node, with any cache key or none; None if it has never finished."""
        if node not in self._last:
            self._last[node] = next(self._database.entries(self._pipeline, node), None)
        return self._last[node]

    def of_node(self, node: str) -> Iterator[RecordedNode]:
        """Return all journal entries of the node, with any cache key or none, the latest run first."""
        return self._database.entries(self._pipeline, node)

    def of_key(self, node: str, key: str) -> Iterator[RecordedNode]:
        """Yield the entries of a node with a cache key, the latest run first, and some others.

        Among them are those of runs in which the node wrote files: which of its files are in its key depends on that.
        """
        if (last := self.last(node)) is not None:
            yield last
            found = self._database.entries(self._pipeline, node, WITH_KEY, hash_of(key))
            yield from (entry for entry in found if entry != last)

    def has_definition(self, node: str, definition: Mapping[str, str]) -> bool:
        """Return whether a run finished a node with these key inputs, whatever its inputs and files were."""
        of_definition = self._database.entries(self._pipeline, node, WITH_DEFINITION, hash_of_definition(definition))
        entries = (entry for entry in itertools.chain([self.last(node)], of_definition) if entry is not None)
        return any(definition.items() <= entry.key_inputs.items() for entry in entries)

    def that_wrote(self, node: str) -> Iterator[RecordedNode]:
        """Yield the entries of a node in which it wrote files."""
        return self._database.entries(self._pipeline, node, WROTE)

    def find(self, finished: RecordedNode, output: str) -> FinishedOutput | None:
        """Return an intact output from any run with the same node and key, with its `home`; None if there is none.

        It has the same content and schema. Each file is verified once. Of one in object storage, only the size is.
        """
        wanted = finished.node, finished.key, output
        if wanted in self._found:
            return self._found[wanted]
        expected = finished.output(output)
        for other in self.of_key(finished.node, finished.key) if finished.key else self.of_node(finished.node):
            found = other.output(output) if other.key == finished.key else None
            if found is None or expected is None or reader_digest(found) != reader_digest(expected):
                continue
            path = table_path(other.folder, found)
            if path is not None and self._is_intact(path, found):
                found = replace(found, home=path.parent.name)
            elif not found.stored or not self._is_in_place(found):
                continue
            self._found[wanted] = found
            return found
        return None

    def forget(self, finished: RecordedNode) -> None:
        """Count the outputs of a node as gone that are in a place: one turned out to be so when it was read."""
        for output in finished.outputs:
            found = self._found.pop((finished.node, finished.key, output.id), None)
            if found is not None and found.stored:
                self._in_place[found.stored] = False

    def _is_intact(self, path: Path, output: FinishedOutput) -> bool:
        if path not in self._intact:
            self._intact[path] = self._verify(path, output)
        return self._intact[path]

    def _is_in_place(self, output: FinishedOutput) -> bool:
        if output.stored not in self._in_place:
            self._in_place[output.stored] = self._stored.has(
                output.stored,
                None if output.type == FOLDER else output.size,
                lambda path: is_intact(path, output, self._checksum),
                warn=self._warn,
                removes_damaged=self._keep_bad,
            )
        return self._in_place[output.stored]

    @cached_property
    def _stored(self) -> StoredOutputs:
        from nfrun.tables.places.stored_outputs import StoredOutputs  # most journals name none

        return StoredOutputs()

    def _verify(self, path: Path, output: FinishedOutput) -> bool:
        try:
            if is_intact(path, output, self._checksum):
                return True
        except FileNotFoundError:
            return False  # removed by nfrun when no longer needed, or by the user
        except OSError as error:  # possibly temporary, so leave the file in place
            self._warn(f"{path} cannot be read and is not used: {error.strerror}")
            return False
        kept = ""
        if self._keep_bad:
            bad = path.with_name(f"{path.name}.bad")
            with suppress(OSError):
                path.replace(bad)
                kept = f"; it is kept as {bad.name}"
        self._warn(f"{path} is damaged and is not used{kept}")
        return False


def is_intact(path: Path, output: FinishedOutput, checksum: Callable[[Path], str] = file_checksum) -> bool:
    """Return whether a file or folder has the size and the checksum that the journal has. Raises OSError.

    `checksum(path)` returns that of a file that is no table.
    """
    found = os.lstat(path)
    if output.type != TABLE:
        with suppress(NotKeepable):
            of_file = lambda file: checksum(file) or file_checksum(file)  # noqa: E731  (which tells why there is none)
            return not stat.S_ISLNK(found.st_mode) and _has_content(path, found, output, of_file)
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == output.size and file_checksum(path) == output.checksum


def _has_content(path: Path, found: os.stat_result, output: FinishedOutput, checksum: Callable[[Path], str]) -> bool:
    if stat.S_ISDIR(found.st_mode) != (output.type == FOLDER):
        return False
    if output.type != FOLDER and found.st_size != output.size:
        return False
    return content_of(path, checksum).digest == output.checksum


def table_path(folder: Path | None, output: FinishedOutput) -> Path | None:
    """Return the path of the output's file, None if no run has a file of it. The file may have been removed.

    `folder` is that of the run whose journal names the output. Accepts only plain names from a journal, so that no file
    outside of the folders of runs is touched.
    """
    file, home = output.file, folder
    if home is None or not file or not _is_plain(file):
        return None
    if output.home:
        home = home.with_name(output.home) if _is_plain(output.home) else None
    return None if home is None or os.path.islink(home) else home / file  # noqa: PTH114


def _is_plain(name: str) -> bool:
    return name not in ("", ".", "..") and os.sep not in name
