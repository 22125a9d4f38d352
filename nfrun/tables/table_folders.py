"""Writes a table as a folder of files: one file, or one for each partition.

The new files are written to a folder beside the one that they go to. They are put in place by renaming, when all are
there. So an error leaves the folder as it was, and so does a kill, but between the renames of two partitions.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePath
from urllib.parse import unquote

import pyarrow as pa

from nfrun.core.text import ellipsize
from nfrun.core.values import frozen
from nfrun.system.atomic_folders import put_in_place, staged_folder, sync_folder
from nfrun.tables.file_io import selected_columns, write_table
from nfrun.tables.formats import FormatError, is_hidden
from nfrun.tables.partitions import column_of, folder_name, texts_of, with_plain_columns

MOST_PARTITIONS = 10_000


@frozen
class WrittenFile:
    """A file in the folder: its path there, its number of rows, and its size in bytes."""

    path: str
    rows: int
    bytes: int


def write_folder(
    table: pa.Table,
    target: Path,
    *,
    format: str = "parquet",
    partition: Sequence[str] = (),
    replace: Sequence[str] = (),
    fsync: bool = False,
) -> list[WrittenFile]:
    """Write the table to `target` in the place of the folder that is there. Returns the files, sorted by their paths.

    Each partition is a file `part-0.<format>` in a folder such as `country=DE`, with its rows in the order of the table
    and without the columns that its path holds. `replace` has the first of the columns to partition by: then only the
    folders of the values that the table has in these are replaced, one after the other. With `fsync` all survives a
    power loss.

    Raises FormatError if the table cannot be partitioned so or the format cannot hold it, and OSError.
    """
    table = table.combine_chunks()  # the bytes of a Parquet file depend on the chunks
    table = with_plain_columns(table) if partition else table
    rows = _rows_by_folder(table, partition) if partition else None
    target = Path(os.path.realpath(target)) if replace else target  # a link to the folder of partitions stays
    with staged_folder(target) as stage:
        files = []
        for folder in rows if rows is not None else ("",):
            try:
                part = table if rows is None else table.take(rows[folder]).drop_columns(list(partition))
            except pa.ArrowNotImplementedError as error:
                what = f"the table has a column that cannot be partitioned: {ellipsize(str(error), 200)}"
                raise FormatError(what) from error
            path = PurePath(folder, f"part-0.{format}")
            files.append(WrittenFile(str(path), part.num_rows, write_table(part, stage / path)))
        if fsync:
            sync_folder(stage)
        if not replace:
            put_in_place(stage, target, fsync=fsync)
        else:
            _check_layout(target, rows or (), partition, replace)
            target.mkdir(exist_ok=True)
            for folder in dict.fromkeys(replaced_folder(folder, replace) for folder in rows or ()):
                put_in_place(stage / folder, target / folder, fsync=fsync)
    return files


def replaced_folder(folder: str, replace: Sequence[str]) -> str:
    """Return the folder that is replaced with the partition in `folder`: `day=…` of `day=…/country=…`."""
    return str(PurePath(*PurePath(folder).parts[: len(replace)]))


def _rows_by_folder(table: pa.Table, partition: Sequence[str]) -> Mapping[str, pa.Array]:
    """Return the indices of the rows of each partition in their order, by its folder. Raises FormatError."""
    import pyarrow.compute as pc

    _check_columns(table, partition)
    levels = []
    for column in partition:
        texts = texts_of(table.column(column), column)
        values = (*texts.dictionary.to_pylist(), None)
        names = pa.array([folder_name(column, value) for value in values], pa.large_string())
        levels.append(names.take(pc.fill_null(texts.indices, len(names) - 1)))
    folders = pc.binary_join_element_wise(*levels, pa.scalar("/", pa.large_string())).dictionary_encode()
    if len(folders.dictionary) > MOST_PARTITIONS:
        what = f"{len(folders.dictionary):,} partitions, and at most {MOST_PARTITIONS:,} are written"
        raise FormatError(f"by {', '.join(partition)} the table has {what}: partition it by columns with fewer values")
    order, found, start = pc.sort_indices(folders.indices), {}, 0  # which is stable
    counts = {pair["values"]: pair["counts"] for pair in pc.value_counts(folders.indices).to_pylist()}
    for index, name in enumerate(folders.dictionary.to_pylist()):
        found[name] = order.slice(start, counts[index])
        start += counts[index]
    return dict(sorted(found.items()))


def _check_columns(table: pa.Table, partition: Sequence[str]) -> None:
    names = table.schema.names
    if len(selected_columns(names, partition, "the table", " to partition by")) == len(names):
        raise FormatError("the table has no columns but those that it is partitioned by: leave one out of 'partition'")


def _check_layout(target: Path, folders: Collection[str], partition: Sequence[str], replace: Sequence[str]) -> None:
    """Raise FormatError if the partitions would come to lie beside anything but partitions by the same columns."""
    above: dict[PurePath, set[str]] = {}
    for path in map(PurePath, folders):
        for level, name in enumerate(path.parts):
            above.setdefault(PurePath(*path.parts[:level]), set()).add(name)
    for folder, ours in above.items():
        path, column = target / folder, partition[len(folder.parts)]
        stays = {unquote(name): name for name in ours} if len(folder.parts) < len(replace) else {}
        for name in sorted(inner.name for inner in path.iterdir()) if path.is_dir() else ():
            if column_of(name) != column and not is_hidden(name):
                what = f"the folder holds '{folder / name}', which is no partition by '{column}'"
            elif (own := stays.get(unquote(name), name)) != name:  # Spark writes `%20`, for example
                what = f"the folder holds '{folder / name}', another name of '{own}', whose rows would be there twice"
            else:
                continue
            raise FormatError(f"{what}: write the whole folder with mode: replace")
