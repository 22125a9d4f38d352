"""Puts many small segments of a folder together, so that the next run opens few files with few records.

Segments never change: the rows of some are copied to a new one, and then those are removed. A run that has mapped them
keeps its view, and one that lists the folder meanwhile finds the rows in one of the two.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import groupby
from pathlib import Path

import pyarrow as pa

from nfrun.core.errors import HandoffError
from nfrun.rows.read_files import ENDING as READS
from nfrun.rows.read_files import files_read, write_reads
from nfrun.rows.recorder import Result, join_results
from nfrun.rows.results import positions_in
from nfrun.rows.returned import Computed
from nfrun.rows.row_keys import key_array
from nfrun.rows.segment_files import ENDING, HEADER, START, is_segment, segment_totals, segments_in
from nfrun.rows.segments import Record, encoded, read_segment
from nfrun.system.atomic_files import atomic_write
from nfrun.system.os_errors import reason

_SMALL = 16 << 20  # bytes of a segment
_MOST_SMALL = 32
_RECORD_BYTES = 8 << 20  # about as many a new record has
_RECORDS = 2_000  # a segment with more of them, that are small on average, is written again
_SMALL_RECORD = 16 << 10  # bytes


def compact(folder: Path) -> None:
    """Put adjacent small segments together, if there are many, and each segment with many small records anew.

    Leaves out segments that are being written. Segments stay in the order of their runs, and apart if their calls have
    read other files. Raises HandoffError.
    """
    try:
        reads = files_read(folder)
        sizes = [(path, path.stat().st_size) for path in segments_in(folder) if is_segment(path)]
        small = [path for path, size in sizes if size <= _SMALL]
        chosen = set(small) if len(small) > _MOST_SMALL else set()
        chosen.update(path for path, size in sizes if path not in chosen and _has_small_records(path, size))
        with ExitStack() as locks:
            free = {path for path in chosen if _lock(path, locks)}
            for (is_free, found), group in groupby(
                (path for path, _ in sizes), lambda path: (path in free, _reads_of(path, reads))
            ):
                paths = [*group]
                if is_free and (len(paths) > 1 or _has_small_records(paths[0], paths[0].stat().st_size)):
                    _put_together(paths, dict(found))
    except FileNotFoundError:
        pass  # another run does the same, or removes results
    except OSError as error:
        raise HandoffError(f"cannot write to {folder}: {reason(error)}", error) from error


def remove_replaced(folder: Path, prefix: str) -> None:
    """Remove older segments all of whose results have been made again, in the segments that begin with `prefix`.

    Leaves out segments that are being written. Ignores errors: they are only left over.
    """
    with suppress(OSError, HandoffError):
        paths = segments_in(folder)
        new = _keys(path for path in paths if path.name.startswith(prefix))
        for path in paths:
            if path.name < prefix and not positions_in(_keys([path]), new).null_count:
                with ExitStack() as locks:
                    if _lock(path, locks):
                        path.unlink()


def _put_together(paths: Sequence[Path], reads: dict[str, str]) -> None:
    """Write the results of some segments to a new one, and remove them."""
    folder, run = paths[0].parent, paths[-1].name.split("-")[0]
    work = f"{run}-{os.urandom(6).hex()}"
    if reads:
        write_reads(folder / f"{work}{READS}", reads)
    made = folder / f"{work}-{os.urandom(6).hex()}{ENDING}"
    with atomic_write(made, private=True) as partial, Path(partial).open("wb") as file:
        file.write(START)
        # The last run first, as they are read: of two results that of the later run counts.
        for record in _large_records(each for path in reversed(paths) for each in read_segment(path)):
            file.write(record)
    for path in paths:
        path.unlink()
    left = segments_in(folder)
    for name in files_read(folder):
        is_old = any(path.name.startswith(name) for path in paths)
        if is_old and not any(path.name.startswith(name) for path in left):
            (folder / f"{name}{READS}").unlink(missing_ok=True)


def _large_records(records: Iterable[Record]) -> Iterator[bytes]:
    waiting: list[Result] = []
    size = 0
    for record in records:
        if not record.is_intact():
            continue
        counts = None if record.counts is None else tuple(record.counts.to_pylist())
        waiting.append(Result(b"".join(record.keys.to_pylist()), Computed(record.table(), counts), record.seconds))
        size += record.body.size
        if size >= _RECORD_BYTES:
            yield from _encoded(waiting)
            waiting, size = [], 0
    yield from _encoded(waiting)


def _encoded(results: Sequence[Result]) -> Iterator[bytes]:
    for result in join_results(results):
        yield encoded(result.keys, result.computed.counts, result.computed.table, result.seconds)


def _has_small_records(path: Path, size: int) -> bool:
    """Return whether a segment has many records, most of them small."""
    records = segment_totals(path)[0] if size > _RECORDS * HEADER.size else 0
    return records > _RECORDS and size < records * _SMALL_RECORD


def _keys(paths: Iterable[Path]) -> pa.FixedSizeBinaryArray:
    keys = [record.keys for path in paths for record in read_segment(path)]
    return pa.concat_arrays(keys or [key_array(b"")])


def _lock(path: Path, locks: ExitStack) -> bool:
    """Lock a segment that nobody writes until `locks` is closed. Returns False if somebody does, or it is gone."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    locks.callback(os.close, file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return path.exists()


def _reads_of(path: Path, reads: Mapping[str, Mapping[str, str]]) -> list[tuple[str, str]]:
    """Return the files that the calls with the results in a segment have read, and their checksums."""
    found: dict[str, str] = {}
    for name, files in reads.items():
        for file, checksum in files.items() if path.name.startswith(name) else ():
            if found.setdefault(file, checksum) != checksum:
                found[""] = f"'{file}' was changed"
    return sorted(found.items())
