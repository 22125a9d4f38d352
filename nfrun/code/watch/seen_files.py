"""Collects the files that code opens, and decides at the end what they are: inputs, outputs, or neither.

The name of a file is relative to the folder of the pipeline, or absolute outside of it. That of a folder whose content
was listed ends in a slash. That of a pattern ends in two, and in `//**` where `**` stood for folders: its checksum is
that of the files that it finds. That of a folder that was written as a whole ends in `/./`: its checksum is
`layout_checksum`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from nfrun.code.watch.audit_events import Access, Use
from nfrun.core.observation import Observation
from nfrun.core.text import ellipsize
from nfrun.system.checksums import LAYOUT, FileChecksums, layout_checksum, text_checksum
from nfrun.system.file_search import name_below

WORKING_DIRECTORY = "/."  # no path of a file has this form
MOST_FILES = 10_000  # read by an attempt: with more, the node is not reused
MOST_BYTES = 10_000_000_000
MOST_SHOWN = 100  # characters of a name in an obstacle


class RecordedFiles:
    """Takes checksums of files by their recorded names. Thread-safe.

    Names are relative to `folder`. Of the content of folders, the paths count for which `counts(path)` is true. The
    checksum of `WORKING_DIRECTORY` is the path of the working directory when this object was made.
    """

    def __init__(self, folder: Path, counts: Callable[[str], bool], checksums: FileChecksums) -> None:
        self._folder = os.path.abspath(folder)
        self._counts = counts
        self._checksums = checksums
        self._working_directory = ""
        with suppress(OSError):  # it may be gone
            self._working_directory = os.path.relpath(os.path.realpath("."), os.path.realpath(folder))

    def name(self, path: str) -> str:
        """Return the name under which an absolute path is recorded."""
        return "." if path == self._folder else name_below(self._folder, path)

    def checksum(self, name: str, *, recheck: bool = False) -> str:
        """Return the checksum of the file with this name now, "" if it is not there."""
        if name == WORKING_DIRECTORY:
            return self._working_directory
        path = os.path.join(self._folder, name)
        if name.endswith(LAYOUT):
            return layout_checksum(path)
        if name.endswith(("//", "//**")):
            return self._matches(path.removesuffix("**").rstrip("/"), recursive=name.endswith("**"))
        if name.endswith("/"):
            return self._listing(path)
        found = self._checksums.of(path, recheck=recheck)
        # What a link to a folder stands for is the name of the folder.
        return text_checksum(os.readlink(path)) if not found and os.path.islink(path) else found

    def now(self, names: Iterable[str], *, recheck: bool = False) -> dict[str, str]:
        """Return the checksums of these names now. `recheck` as for `FileChecksums.of`."""
        return {name: self.checksum(name, recheck=recheck) for name in names}

    def _listing(self, folder: str) -> str:
        with suppress(OSError):
            names = sorted(name for name in os.listdir(folder) if self._counts(os.path.join(folder, name)))
            return text_checksum("\n".join(names))
        return ""

    def _matches(self, pattern: str, *, recursive: bool) -> str:
        import glob

        paths = glob.glob(pattern, recursive=recursive)
        return text_checksum("\n".join(sorted(self.name(path) for path in paths if self._counts(path.rstrip("/")))))


class SeenFiles:
    """The files that an attempt or a function has opened, and the hosts that it has connected to."""

    def __init__(self, files: RecordedFiles) -> None:
        self._files = files
        self._reads: dict[str, str] = {}  # the checksum when it was opened
        self._writes: dict[str, bool] = {}  # whether it was there before
        self._hosts: dict[str, None] = {}
        self._bytes = 0
        self._obstacle = ""

    def add(self, what: Access | str, checksum: str | None = None) -> str | None:
        """Record an access to a file, or the name of a host. `checksum` is that of the file, if it is known.

        Returns the checksum of a file that is read, "" for a host, and None for a file that does not count as read.
        """
        if isinstance(what, str):
            self._hosts[what] = None
            return ""
        name = self._files.name(what.path)
        if what.is_relative:
            self._reads[WORKING_DIRECTORY] = self._files.checksum(WORKING_DIRECTORY)
        if what.use is Use.UNKNOWN:
            self._obstacle = f"it opens {ellipsize(name, MOST_SHOWN)}, and nfrun cannot know in which folder"
            return None
        if what.use.writes:
            self._write(name, what)
            return None
        name += what.suffix
        if name not in self._reads and name not in self._writes and not self._is_over(what):
            self._reads[name] = self._files.checksum(name) if checksum is None else checksum
        return self._reads.get(name)

    def _write(self, name: str, access: Access) -> None:
        there = os.path.isfile(access.path)
        if access.use is Use.REMOVE and not there:
            if access.suffix:  # a folder gets another name, and with it what was written below it
                below = [other for other in self._writes if other.startswith(f"{name}/")]
                new = self._files.name(access.suffix)
                self._writes.update((f"{new}{other[len(name) :]}", False) for other in below)
            return
        if access.use is Use.BOTH and name not in self._writes:
            self._obstacle = self._obstacle or f"it opens {ellipsize(name, MOST_SHOWN)} to read and to write"
        self._writes.setdefault(name, there)

    def _is_over(self, access: Access) -> bool:
        """Return whether a file is not recorded: it is not a regular file, or there are too many files."""
        if access.use is Use.READ:
            try:
                found = os.stat(access.path)
            except OSError:
                return False  # a missing file counts, too
            if not stat.S_ISREG(found.st_mode):
                return True
            self._bytes += found.st_size
        if len(self._reads) < MOST_FILES and self._bytes <= MOST_BYTES:
            return False
        most = f"{MOST_FILES:,} files" if self._bytes <= MOST_BYTES else f"{MOST_BYTES // 10**9:,} GB"
        self._obstacle = f"its code reads more than {most}, too much to compare"
        return True

    def as_opened(self) -> Observation:
        """Return the files that were read, with their checksums when they were opened, and the hosts."""
        return Observation(dict(self._reads), hosts=tuple(self._hosts), obstacle=self._obstacle)

    def settled(self) -> Observation:
        """Return the files that were read and written, and the hosts. A file that has changed since is an obstacle."""
        reads: dict[str, str] = {}
        obstacle = self._obstacle
        for name, before in list(self._reads.items()):  # a thread of the node may still run
            now = self._files.checksum(name, recheck=True)
            if now == before:
                reads[name] = before
            elif name.endswith(("/", "//**")) and self._wrote_below(name):
                reads[name] = now  # the attempt itself has made the new files
            elif name not in self._writes or before:
                obstacle = obstacle or f"{ellipsize(name, MOST_SHOWN)} changed while it ran"
                if name not in self._writes:
                    reads[name] = before
        written = {name: self._files.checksum(name, recheck=True) for name in list(self._writes)}
        # A file that was made and is gone was only for the attempt.
        writes = {name: checksum for name, checksum in written.items() if checksum or self._writes[name]}
        return Observation(reads, writes, tuple(self._hosts), obstacle=obstacle)

    def _wrote_below(self, name: str) -> bool:
        """Whether it wrote a file that a folder or pattern may find."""
        begin = name.removesuffix("**").rstrip("/").partition("*")[0]
        return any(written.startswith(begin) for written in self._writes)
