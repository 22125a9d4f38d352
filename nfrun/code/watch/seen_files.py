"""Collects the files that code opens, and decides at the end what they are: inputs, outputs, or neither."""

from __future__ import annotations

import os
import stat

from nfrun.code.watch.file_access import Access, Use
from nfrun.code.watch.recorded_files import WORKING_DIRECTORY, RecordedFiles
from nfrun.core.observation import Observation
from nfrun.core.text import ellipsize

MOST_FILES = 10_000  # read by an attempt: with more, the node is not reused
MOST_BYTES = 10_000_000_000
MOST_SHOWN = 100  # characters of a name in an obstacle


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
