"""Finds the file system of a path, and says what is special about it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from nfrun.core.values import frozen

# Those of Linux whose files other machines may change. Locks, renames and mapped files there are not those of a disk.
_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|afs|ceph|lustre|gpfs|glusterfs|beegfs|pvfs2|orangefs|davfs\d?|ncpfs|vboxsf|prl_fs|"
    r"virtiofs|fuse(\..+)?"
)
_MEMORY = ("tmpfs", "ramfs")
_LAYERS = ("overlay", "aufs")


@frozen
class Mount:
    """A mounted file system: where, and of which type, "" if unknown."""

    point: str
    type: str

    @property
    def is_network(self) -> bool:
        """Whether other machines, or a program, have its files."""
        return _NETWORK.fullmatch(self.type) is not None

    @property
    def is_memory(self) -> bool:
        """Whether its files are in memory."""
        return self.type in _MEMORY

    @property
    def is_layer(self) -> bool:
        """Whether it is a layer of a container, which goes with it."""
        return self.type in _LAYERS


def mount_of(path: Path, table: Path = Path("/proc/self/mountinfo")) -> Mount:
    """Return the file system of a path. Where the system has no table of mounts, its type is not known."""
    real = os.path.realpath(path)
    found = Mount("/", "")
    with suppress(OSError):
        for line in table.read_text(errors="surrogateescape").splitlines():
            before, _, after = line.partition(" - ")
            fields, type_fields = before.split(), after.split()
            if len(fields) < 6 or not type_fields:
                continue
            point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
            inside = real == point or real.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(found.point):  # a later mount hides an earlier one
                found = Mount(point, type_fields[0])
    return found
