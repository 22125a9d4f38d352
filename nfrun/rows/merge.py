"""Writes the results in many small streams of a folder as one, so that the next run opens few files with few records.

Streams never change: the results of some are written to a new one, and then those are removed. A run that has mapped
them keeps its view, and one that lists the folder meanwhile finds the results in one of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from nfrun.core.errors import HandoffError
from nfrun.rows.results import positions_in, read_stream
from nfrun.rows.returned import Computed
from nfrun.rows.row_keys import key_array
from nfrun.rows.stream_files import READS, files_read, streams_in
from nfrun.rows.streams import START, Record, Result, encoded, fits, is_stream, join_results
from nfrun.system.atomic_files import atomic_write
from nfrun.system.os_errors import reason

_MOST_STREAMS = 16  # that are small
_SMALL = 16 << 20  # bytes of a stream
_RECORD_BYTES = 8 << 20  # about as many a new record has
_MOST_SMALL = 2_000  # records that are small
_SMALL_RECORD = 16 << 10  # bytes


def are_scattered(records: Iterable[Record]) -> bool:
    """Return whether many of the records are small."""
    return len([record for record in records if record.body.size < _SMALL_RECORD]) > _MOST_SMALL


def merge_streams(
    folder: Path, has_ended: Callable[[str], bool], own: str = "", *, replaced: bool = False, scattered: bool = False
) -> None:
    """Write adjacent small streams as one if there are many.

    Does so with all streams if results of earlier runs were `replaced`, or if the records are `scattered`. Leaves out
    those for whose names `has_ended` is false, as they are being written, and those of other versions of nfrun. Streams
    stay in the order of their runs, and apart if their calls have read other files. So do those whose names begin with
    `own`, the results of this run: they may still be ruled out. Raises HandoffError.
    """
    try:
        paths, reads = streams_in(folder), files_read(folder)
        small = {path for path in paths if path.stat().st_size <= _SMALL}
        some = paths if replaced or scattered else small if len(small) > _MOST_STREAMS else ()
        chosen = {path for path in some if has_ended(path.name) and is_stream(path)}

        def kind(path: Path) -> tuple[bool, bool, object]:
            return path in chosen, path.name.startswith(own or "-"), _reads_of(path, reads)

        for (is_chosen, *_), group in groupby(paths, kind):
            together = [*group]
            if is_chosen and (len(together) > 1 or scattered):
                _write_as_one(together)
        _remove_reads(folder, chosen, reads)
    except FileNotFoundError:
        pass  # another run does the same, or removes results
    except OSError as error:
        raise HandoffError(f"cannot write to {folder}: {reason(error)}", error) from error


def _write_as_one(paths: Sequence[Path]) -> None:
    """Write the results of some streams in place of the last of them, whose name says what all have read."""
    made = paths[-1]
    # The last run first, as they are read: of two results that of the later run counts.
    records = [each for path in reversed(paths) for each in read_stream(path) if each.is_intact()]
    with atomic_write(made, private=True) as partial, Path(partial).open("wb") as file:
        file.write(START)
        for some in _large_records(records):
            file.write(some)
    for path in paths[:-1]:
        path.unlink()


def _large_records(records: Sequence[Record]) -> Iterator[pa.Buffer]:
    """Yield the records as larger ones, without those all of whose results an earlier one has.

    Results with the same columns are joined. So one that has a result of an earlier one, too, begins anew where others
    have other columns: it would stand before that.
    """
    waiting: list[Result] = []
    start = size = 0
    keys = pa.concat_arrays([record.keys for record in records] or [key_array(b"")])
    firsts = positions_in(keys, keys)
    for record in records:
        start, begin = start + len(record.keys), start
        found = firsts.slice(begin, start - begin)
        if pc.max(found).as_py() < begin:
            continue
        counts = None if record.counts is None else tuple(record.counts.to_pylist())
        result = Result(b"".join(record.keys.to_pylist()), Computed(record.table(), counts), record.seconds)
        if pc.min(found).as_py() < begin and not all(fits(each.computed, result.computed) for each in waiting):
            yield encoded(join_results(waiting))
            waiting, size = [], 0
        waiting.append(result)
        size += record.body.size
        if size >= _RECORD_BYTES:
            yield encoded(join_results(waiting))
            waiting, size = [], 0
    yield encoded(join_results(waiting))


def _reads_of(path: Path, reads: Mapping[str, Mapping[str, str]]) -> list[tuple[str, str]]:
    """Return the files that the calls with the results in a stream have read, and their checksums."""
    found: dict[str, str] = {}
    for name, files in reads.items():
        for file, checksum in files.items() if path.name.startswith(name) else ():
            if found.setdefault(file, checksum) != checksum:
                found[""] = f"'{file}' was changed"
    return sorted(found.items())


def _remove_reads(folder: Path, paths: Iterable[Path], reads: Iterable[str]) -> None:
    """Remove what says which files the calls of some streams have read, if these are gone."""
    names = [path.name for path in paths]
    left = [path.name for path in streams_in(folder)]
    for name in reads:
        if any(each.startswith(name) for each in names) and not any(each.startswith(name) for each in left):
            (folder / f"{name}{READS}").unlink(missing_ok=True)
