"""Describes files that hold the table of an output where they are, so that it is read when somebody needs it."""

from __future__ import annotations

from nfrun.core.values import frozen

DIGEST_OF_FILES = "files:"  # the beginning of the digest of an output that is identified by the content of files


@frozen
class SourceFile:
    """One of the files: the `name` to show, its absolute `path`, its checksum, and its state at that time.

    The state has device, inode, size, mtime and ctime. `partition` has the texts of the `partitions` of the source,
    which folders on its path name (`country=DE`); None: null.
    """

    name: str
    path: str
    checksum: str
    state: tuple[int, ...]
    partition: tuple[str | None, ...] = ()


@frozen
class FileSource:
    """Parquet files, all with the same columns. The table has their rows in this order.

    `columns` are those that the table has, in their order; None for all. `schema` is that of the table, in the form of
    Arrow's IPC. `partitions` are the columns that are not in the files, but in the names of their folders.
    """

    files: tuple[SourceFile, ...]
    columns: tuple[str, ...] | None
    schema: bytes
    partitions: tuple[str, ...] = ()
