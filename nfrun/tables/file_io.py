"""Reads and writes tables as Parquet, CSV, JSON lines and Arrow files, and reads lines of texts and rows about files.

A round trip through `arrow` keeps everything. `parquet` changes a few units and encodings: dates in ms become days,
times in s become ms, dictionaries of other types than strings and bytes become plain. `jsonl` and `csv` keep what text
can express.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.types as pt

from nfrun.core.text import closest_match, ellipsize
from nfrun.core.values import frozen
from nfrun.system.atomic_files import atomic_write
from nfrun.system.checksums import bytes_checksum, stream_checksum
from nfrun.tables.csv_files import csv_options, read_csv
from nfrun.tables.csv_options import CsvOptions
from nfrun.tables.csv_source import CsvSource, Rejected
from nfrun.tables.formats import (
    COMPRESSIONS,
    ENDINGS,
    FILE_FORMATS,
    READ_OPTIONS,
    TEXT_FORMATS,
    FormatError,
    delimiter_of,
    endings,
    format_of,
    local_source,
    resolve_files,
)
from nfrun.tables.json_values import encode_line, in_range, is_bytes, json_form, json_values
from nfrun.tables.partitions import Partitions, partitions_of
from nfrun.tables.plain_arrays import held_type, is_text
from nfrun.tables.stored_form import with_plain_words
from nfrun.tables.text_files import FILE_NAME, NO_TYPES, Types, check_doubles, read_jsonl, with_file_name

_NO_TEXT = (
    b"PAR1",
    b"ARROW1",
    b"\xff\xff\xff\xff",
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
)  # begins Parquet, Arrow, gzip, zstd
_ARROW_FILE = b"ARROW1"  # the beginning of a file that is no stream
_BATCH = 65536  # rows converted to JSON at a time
_ROW = [("path", pa.string()), ("name", pa.string()), ("size", pa.int64()), ("digest", pa.string())]
SCHEMAS = {
    "text": pa.schema([("line", pa.string())]),
    "files": pa.schema(_ROW),
    "bytes": pa.schema([*_ROW, ("content", pa.large_binary())]),
}


def read_table(
    source: str,
    *,
    base: Path,
    columns: Sequence[str] | None = None,
    format: str | None = None,
    filename: bool = False,
    types: Types = NO_TYPES,
    rejected: list[Rejected] | None = None,
    **csv: Any,
) -> pa.Table:
    """Return the table in the file or files of `source`, read into memory and fully validated.

    `source` is a path relative to `base`, a glob (sorted; `**` works; hidden files do not match), a folder with `/` at
    its end (see `partitions_of` for the columns that its paths hold), or a URI of one file.
    Several files are concatenated: types are widened to fit (int and float give float), missing columns are null.
    `format` overrides the file's extension. `columns` selects and orders. `csv` are fields of `CsvOptions`. Bad rows
    that are put aside go to `rejected`.

    The format `text` is a row with `line` for each line of a text, `files` a row for each file, with `path`, `name`,
    `size` and `digest`, and `bytes` such a row with `content`. With `filename` there is a last column of this name,
    with the file of each row as `source` names it.

    csv: see `read_csv`. `types` are those of columns in csv and jsonl; those of the others are inferred from all rows.
    jsonl: an empty file is a table without other columns than these.

    Raises FormatError, and OSError for errors of the system (permission, disk). Does not memory-map: if another program
    truncates a mapped file, SIGBUS kills this process.
    """
    if format is not None and format not in READ_OPTIONS["format"]:
        raise FormatError(f"unknown format '{format}': known are {', '.join(READ_OPTIONS['format'])}")
    options, is_set = csv_options(csv, source), {"columns": columns, **csv}
    if filename:  # the schema of a node may have the column that is added
        types = {name: type_ for name, type_ in types.items() if name != FILE_NAME}
    parts, files = [], input_files(source, base)
    partitions = partitions_of(local_source(source) or "", [file.name for file in files], types)
    in_files = None if columns is None else [name for name in columns if name not in partitions.types]
    types = {name: type_ for name, type_ in types.items() if name not in partitions.types}
    for file in files:
        kind = format or format_of(file.path)
        if kind is None:
            raise FormatError(_unknown(file.name))
        for option, value in is_set.items():
            if value is not None and kind not in READ_OPTIONS[option]:
                kinds = ", ".join(READ_OPTIONS[option])
                raise FormatError(f"{file.name} is read as {kind}, which has no {option}: that is for {kinds}")
        part = partitions.add_to(_read_file(file, kind, in_files, options, types, rejected), file.name)
        parts.append((file.name, with_file_name(part, file.name) if filename else part))
    if columns is not None and filename:
        columns = [*columns, FILE_NAME]
    table = parts[0][1] if len(parts) == 1 else _join(source, parts)
    return table if columns is None else table.select(selected_columns(table.schema.names, columns, _shown(source)))


def read_parquet(files: Sequence[InputFile], columns: Sequence[str] | None, partitions: Partitions) -> pa.Table:
    """Return the table in Parquet files that all have the same columns, as `read_table` does."""
    in_files = None if columns is None else [name for name in columns if name not in partitions.types]
    read = partial(_read_file, kind="parquet", columns=in_files, options=CsvOptions(), types=NO_TYPES)
    parts = [partitions.add_to(read(file), file.name) for file in files]
    table = parts[0] if len(parts) == 1 else pa.concat_tables(parts)
    return table if columns is None else table.select(selected_columns(table.schema.names, columns, files[0].name))


def parquet_shape(file: InputFile) -> tuple[pa.Schema, int]:
    """Return the schema and the number of rows of a Parquet file. Reads only the end of the file.

    Raises FormatError, OSError.
    """
    from pyarrow.parquet import ParquetFile

    with _reasons(f"{file.name} cannot be read as parquet"):
        _check_beginning(file, "parquet")
        with file.open() as source, ParquetFile(source) as parquet:
            parquet.schema_arrow.names  # noqa: B018  (raises where a name is not UTF-8)
            return parquet.schema_arrow, parquet.metadata.num_rows


def arrow_schema(file: InputFile) -> pa.Schema:
    """Return the schema of an Arrow file or stream. Raises FormatError, OSError."""
    with _reasons(f"{file.name} cannot be read as arrow"):
        _check_beginning(file, "arrow")
        with file.open() as source:
            is_file = source.read(len(_ARROW_FILE)) == _ARROW_FILE
            source.seek(0)
            with (pa.ipc.open_file if is_file else pa.ipc.open_stream)(source) as reader:
                return reader.schema


def csv_header(file: InputFile, options: CsvOptions) -> Sequence[str]:
    """Return the names of the columns of a CSV file, as `read_table` does. Raises FormatError, OSError."""
    with _reasons(f"{file.name} cannot be read as csv"):
        _check_beginning(file, "csv")
        return _csv_source(file, options).names


def _csv_source(file: InputFile, options: CsvOptions) -> CsvSource:
    delimiter = options.delimiter or delimiter_of(file.path)
    return CsvSource(partial(_stream, file, options.encoding), options, delimiter, file.name)


def write_table(table: pa.Table, path: Path, *, fsync: bool = False) -> int:
    """Write the table to `path` atomically, and return the file's size in bytes.

    The extension gives the format; .gz, .bz2 and .zst after csv and jsonl compress. Makes missing folders. Readers of
    an existing file keep the old content, and what a link leads to stays; of several writers the last one wins. With
    `fsync` the file and its name survive a power loss.

    csv: null is an empty field, text is quoted; nested values become JSON, bytes base64, durations a number of their
    unit. jsonl: times are ISO 8601, decimals text, bytes base64, maps lists of {"key", "value"}, NaN null.

    Raises FormatError if the format cannot hold the table, and OSError for errors of the system.
    """
    kind = format_of(path.name)
    if kind is None:
        raise FormatError(_unknown(path.name))
    if path.exists() and not path.is_file() and not (path.is_symlink() and path.is_dir()):
        # The rename would replace /dev/null or a pipe with a file, for all programs.
        raise FormatError(f"{path.name} is {'a folder' if path.is_dir() else 'not an ordinary file'}: not replaced")
    compression = COMPRESSIONS.get(endings(path.name)[1]) if kind in ("csv", "jsonl") else None
    with atomic_write(path, fsync=fsync) as partial:
        with (
            _reasons(f"{path.name} cannot be written as {kind}"),
            pa.OSFile(os.fsencode(partial), "wb") as file,
            pa.CompressedOutputStream(file, compression) if compression else nullcontext(file) as sink,
        ):
            write_as(kind, table, sink, path)
        return os.stat(partial).st_size  # noqa: PTH116


def write_stream(table: pa.Table, format: str, stream: IO[bytes]) -> None:
    """Write the table to a stream, such as stdout, in the form that `write_table` gives it.

    Raises FormatError if the format cannot hold the table, and OSError for errors of the system.
    """
    with _reasons(f"the table cannot be written as {format}"):
        write_as(format, table, pa.PythonFile(stream, "w"), Path(f"table.{format}"))


# ------------------------------------------------------------------ which files


@frozen
class InputFile:
    """A file to read."""

    name: str  # for messages
    path: str
    filesystem: Any = None  # None: the local one

    def open(self) -> Any:
        return self.filesystem.open_input_file(self.path) if self.filesystem else pa.OSFile(os.fsencode(self.path))


def input_files(source: str, base: Path) -> list[InputFile]:
    """Return the files that `source` names, see `read_table`. Raises FormatError, OSError."""
    here = resolve_files(source, base)
    if here is not None:
        return [InputFile(name, str(path)) for name, path in here.items()]
    if source.lower().startswith(("http:", "https:")):
        raise FormatError(f"{_shown(source)} cannot be read from here: fetch it in a `run` node, such as with curl")
    from pyarrow.fs import FileSystem

    with _reasons(f"{_shown(source)} cannot be opened"):
        filesystem, path = FileSystem.from_uri(source)
    return [InputFile(_shown(source), path, filesystem)]


def _shown(source: str) -> str:
    """Return the URI without a user name and password: error messages are kept in logs."""
    return re.sub("://[^/@]*@", "://", source)


def _unknown(name: str) -> str:
    return f"{name} has an ending that says no format: known are {' '.join(ENDINGS)}; .gz .bz2 .zst after csv and jsonl"


# ------------------------------------------------------------------ reading


@contextmanager
def _reasons(what: str) -> Iterator[None]:
    """Turn Arrow's errors about the content into a FormatError that begins with `what`; let system errors pass."""
    try:
        yield
    except FormatError:
        raise
    except (pa.ArrowException, ValueError, OverflowError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise FormatError(f"{what}: {ellipsize(str(error).strip(), 240)}") from error


def _read_file(
    file: InputFile,
    kind: str,
    columns: Sequence[str] | None,
    options: CsvOptions,
    types: Types,
    rejected: list[Rejected] | None = None,
) -> pa.Table:
    """Return the table of the file: all its columns, or at least those of `columns` that it has."""
    with _reasons(f"{file.name} cannot be read as {kind}"):
        try:
            if kind == "text":
                return read_lines(file.name, partial(_stream, file))
            if kind in FILE_FORMATS:
                return read_row(file.name, file.open, with_content=kind == "bytes")
            _check_beginning(file, kind)
            if kind == "csv":
                table = read_csv(_csv_source(file, options), columns, types, rejected)
            elif kind == "jsonl":
                table = read_jsonl(partial(_stream, file), types)
            else:
                table = {"arrow": _read_arrow, "parquet": _read_parquet}[kind](file, columns)
        except FileNotFoundError as error:
            raise FormatError(f"no such file: {file.name}") from error
        table.validate(full=True)  # Arrow's readers trust offsets and UTF-8: bad ones may crash a later reader
        table.schema.names  # noqa: B018  (raises where a name is not UTF-8)
    return table


def _check_beginning(file: InputFile, kind: str) -> None:
    """Raise ValueError if a file is empty, or is read as text and begins like a binary one, OSError."""
    with file.open() as head:
        size, start = head.size(), head.read(8)
    if not size and kind != "jsonl":
        raise ValueError("the file is empty")
    if kind in TEXT_FORMATS and start.startswith(_NO_TEXT) and not endings(file.path)[1]:
        raise ValueError("it is no text, and begins like a file of Parquet, Arrow, gzip or zstd")


def _read_arrow(file: InputFile, columns: Sequence[str] | None) -> pa.Table:
    with file.open() as source:
        if source.read(len(_ARROW_FILE)) != _ARROW_FILE:
            source.seek(0)
            with pa.ipc.open_stream(source.read_buffer()) as stream:
                return stream.read_all()
        with pa.ipc.open_file(source) as reader:
            names = reader.schema.names
        if columns is None or not set(columns) <= set(names):  # the message about a missing one lists them
            source.seek(0)
            with pa.ipc.open_file(source.read_buffer()) as reader:
                return reader.read_all()
        wanted = [i for i, name in enumerate(names) if name in columns]
        with pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=wanted)) as reader:
            return reader.read_all()


def _read_parquet(file: InputFile, columns: Sequence[str] | None) -> pa.Table:
    from pyarrow.parquet import ParquetFile

    with file.open() as source, ParquetFile(source) as parquet:
        # Read all columns if one is missing: the message lists them. (ParquetFile would leave it out silently.)
        known = columns is not None and set(columns) <= set(parquet.schema_arrow.names)
        return parquet.read(columns=list(columns or ()) if known else None)


def _stream(file: InputFile, encoding: str = "") -> Any:
    compression = COMPRESSIONS.get(endings(file.path)[1])
    stream = pa.CompressedInputStream(file.open(), compression) if compression else file.open()
    return pa.transcoding_input_stream(stream, encoding, "utf-8") if encoding else stream


def _join(source: str, parts: Sequence[tuple[str, pa.Table]]) -> pa.Table:
    """Concatenate the tables. Raises FormatError with the column and the two files if types do not fit."""
    # By column: the first file with a type other than null, and the type widened so far.
    seen: dict[str, tuple[str, pa.Field]] = {}
    for name, table in parts:
        for field in table.schema:
            other, known = seen.get(field.name, (name, field))
            both = [pa.schema([known]), pa.schema([field])]
            try:
                wider = pa.unify_schemas(both, promote_options="permissive").field(0)
                if pt.is_floating(wider.type) and (pt.is_decimal(known.type) or pt.is_decimal(field.type)):
                    check_doubles([part.column(field.name) for _, part in parts if field.name in part.schema.names])
            except pa.ArrowException as error:
                what = f"column '{field.name}' is {known.type} in the one and {field.type} in the other"
                raise FormatError(f"{other} and {name} do not fit together: {what}") from error
            seen[field.name] = (name if pt.is_null(known.type) else other, wider)
    with _reasons(f"the files of {source} do not fit together"):
        return pa.concat_tables([table for _, table in parts], promote_options="permissive")


def selected_columns(names: Sequence[str], columns: Sequence[str], source: str, purpose: str = "") -> list[str]:
    """Return the columns. Raises FormatError if the table has none or several of a name.

    In the message, `source` stands for the table, and `purpose` behind the name of the column.
    """
    for column in columns:
        if column not in names:
            meant = closest_match(column, names)
            hint = f"did you mean '{meant}'?" if meant else f"it has {ellipsize(', '.join(names), 120) or 'none'}"
            raise FormatError(f"{source} has no column '{column}'{purpose}: {hint}")
        if names.count(column) > 1:
            raise FormatError(f"{source} has {names.count(column)} columns named '{column}'")
    return list(columns)


# ------------------------------------------------------------------ writing


def _write_arrow(table: pa.Table, file: Any, path: Path) -> None:
    # The file format allows one dictionary per column, but each chunk may have its own.
    table = table.unify_dictionaries()
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _write_parquet(table: pa.Table, file: Any, path: Path) -> None:
    from pyarrow.parquet import write_table as write

    columns = [_with_zone(column) for column in table.columns]
    write(pa.table(columns, table.schema.names) if columns else table, file)


def _write_csv(table: pa.Table, file: Any, path: Path) -> None:
    from pyarrow import csv

    if not table.num_columns:
        raise ValueError("it has no columns")
    columns = [_csv_text(column) for column in table.columns]
    if len(columns) == 1 and columns[0].null_count and not is_text(held_type(columns[0].type)):
        # A null in the only column is a blank line, which some readers skip. Only among texts is "" another value.
        columns = [columns[0].cast(pa.large_string()).fill_null("")]
    delimiter = "\t" if endings(path.name)[0] == ".tsv" else ","
    csv.write_csv(pa.table(columns, table.schema.names), file, csv.WriteOptions(delimiter=delimiter))


def _write_jsonl(table: pa.Table, file: Any, path: Path) -> None:
    names = table.schema.names
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"it has several columns named '{twice}'")
    forms = [json_form(kind) for kind in table.schema.types]
    for batch in table.to_batches(max_chunksize=_BATCH):
        values = [json_values(array, form) for array, form in zip(batch.columns, forms, strict=True)]
        rows = (dict(zip(names, row, strict=True)) for row in zip(*values, strict=True))
        file.write("".join([encode_line(row) + "\n" for row in rows]).encode())


# By format. A writer gets the table, the open file and its path, whose ending says more about the format.
_WRITERS: Mapping[str, Callable[[pa.Table, Any, Path], None]] = {
    "arrow": _write_arrow,
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}


def write_as(format: str, table: pa.Table, file: Any, path: Path) -> None:
    """Write the table into an open file. Raises ValueError and `ArrowException` if the format cannot hold it, OSError.

    `path` says more about the format by its ending. The message names the column, if it is one by itself.
    """
    table = with_plain_words(table)
    try:
        _WRITERS[format](table, file, path)
    except (pa.ArrowException, ValueError):
        for i, field in enumerate(table.schema):
            try:
                _WRITERS[format](table.select([i]), pa.MockOutputStream(), path)
            except (pa.ArrowException, ValueError) as error:
                said, type_ = str(error).rstrip("."), ellipsize(str(field.type))
                what = f"its column '{ellipsize(field.name)}'{'' if type_ in said else f' ({type_})'}: {said}"
                raise ValueError(f'{what}; make a text of it, as with "{field.name}"::varchar in a query') from error
        raise


def _csv_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the column in a form that pyarrow can write to csv: as it is, or as text."""
    kind = column.type.value_type if pt.is_dictionary(column.type) else column.type
    if pt.is_string_view(kind):
        return column.cast(pa.large_string())
    if pt.is_date(kind) or pt.is_timestamp(kind):
        import pyarrow.compute as pc

        times = pc.dictionary_decode(column) if pt.is_dictionary(column.type) else column
        for value in pc.min_max(times).values():
            in_range(value.cast(pa.string()).as_py() or "")
    if not (pt.is_nested(kind) or pt.is_interval(kind) or is_bytes(kind) or isinstance(kind, pa.BaseExtensionType)):
        return column
    form = json_form(kind)
    encode = encode_line if pt.is_nested(kind) else str
    chunks = [[None if v is None else encode(v) for v in json_values(chunk, form)] for chunk in column.chunks]
    return pa.chunked_array([pa.array(chunk, pa.large_string()) for chunk in chunks], pa.large_string())


def _with_zone(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the column without a dictionary of times: readers of Parquet would give them another zone."""
    import pyarrow.compute as pc

    kind = column.type
    return pc.dictionary_decode(column) if pt.is_dictionary(kind) and pt.is_timestamp(kind.value_type) else column


# ------------------------------------------------------------------ files that are no tables


def read_lines(name: str, open_file: Callable[[], Any]) -> pa.Table:
    """Return a table with the column `line`: the lines of a text in UTF-8, without their ends.

    `open_file()` returns the text as a stream. Raises FormatError.
    """
    with open_file() as stream:
        data = stream.read()
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        what = f"{name} is no text in UTF-8: see its line {number:,}"
        raise FormatError(f"{what} ('format: bytes' reads any file)") from error
    if not lines[-1]:
        lines.pop()  # what is behind the last end of a line
    return pa.table({"line": [line.removesuffix("\r") for line in lines]}, schema=SCHEMAS["text"])


def read_row(name: str, open_file: Callable[[], Any], *, with_content: bool) -> pa.Table:
    """Return one row with `path`, `name`, `size` and `digest` of a file, and its bytes as `content` if asked for."""
    with open_file() as stream:
        data = stream.read() if with_content else None
        size, digest = (len(data), bytes_checksum(data)) if data is not None else stream_checksum(stream)
    row = {"path": [name], "name": [name.rpartition("/")[2]], "size": [size], "digest": [digest], "content": [data]}
    schema = SCHEMAS["bytes" if with_content else "files"]
    return pa.table({column: row[column] for column in schema.names}, schema=schema)
