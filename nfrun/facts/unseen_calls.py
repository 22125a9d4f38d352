"""Lists the functions of libraries that read or write files without Python's `open`: no audit hook sees which."""

from __future__ import annotations

import ast
import re

_READERS = re.compile(
    r"pyarrow\.(?:memory_map|OSFile|input_stream|csv\.\w+|json\.\w+|orc\.\w+|feather\.read_\w+|dataset\.(?:parquet_)?dataset"
    r"|parquet\.(?:read_\w+|ParquetFile|ParquetDataset)|ipc\.open_\w+|fs\.LocalFileSystem\(\)\.open_input_\w+)"
    r"|pandas\.read_(?:parquet|feather|orc|hdf)|geopandas\.read_\w+|pyogrio\.read_\w+|h5py\.File|cv2\.imread"
    r"|polars\.(?:read|scan)_(?!database|clipboard)\w+|onnxruntime\.InferenceSession"
    r"|duckdb\.(?:connect|read_\w+|from_parquet|from_csv_auto|connect\(\)\.(?:read_\w+|from_parquet|from_csv_auto))"
)
_QUERIES = re.compile(r"duckdb\.(?:connect\(\)\.|connect\(\)\.cursor\(\)\.)?(?:sql|query|execute|from_query)")
_WRITING_METHODS = (
    "(?:write|sink)_(?:csv|parquet|ipc|ipc_stream|ndjson|json|avro|excel|delta)|to_(?:parquet|feather|orc|hdf)"
)
_UNSEEN_WRITERS = re.compile(
    r"pyarrow\.(?:output_stream|\w+Writer|csv\.(?:write_csv|CSVWriter)|feather\.write_feather|dataset\.write_dataset"
    r"|(?:parquet|orc)\.(?:write_\w+|\w+Writer)|ipc\.(?:new_\w+|\w+Writer)|fs\.LocalFileSystem\(\)\.open_\w*output_stream)"
    rf"|.*\.(?:{_WRITING_METHODS})"
)
_MODULES = re.compile(r"polars|pandas|geopandas|duckdb|pyarrow\.\w+")
_COMMANDS = re.compile(
    r"subprocess\.(?:run|call|check_call|check_output|Popen|getoutput|getstatusoutput)|os\.(?:system|popen)"
    r"|os\.(?:spawn|posix_spawn)\w*|asyncio\.create_subprocess_(?:exec|shell)"
)
_LOOKERS = re.compile(
    r"os\.path\.(?:exists|lexists|isfile|getsize|getmtime)|os\.(?:stat|lstat|access|readlink)"
    r"|\.(?:exists|is_file|stat|lstat|readlink)"
)
# Processes that are not forked. In those that are, the audit hook sees what is opened.
_PROCESSES = re.compile(r"(?:multiprocessing|multiprocess)\.(?:get_context|set_start_method)|joblib\.Parallel|loky\..*")
# What the audit hook sees in this process, but not in processes that are not forked.
_OPENERS = re.compile(
    r"open|io\.open|(?:gzip|bz2|lzma)\.open|numpy\.(?:load|loadtxt|genfromtxt|fromfile|memmap)|pandas\.read_\w+"
    r"|\.(?:open|read_text|read_bytes|write_text|write_bytes)"
)
_WRITERS = re.compile(
    r"(?:write|sink)_\w+|to_(?:parquet|csv|feather|orc|json|ndjson|excel|pickle|hdf|stata|html|markdown|latex|xml)"
    r"|save\w*|dump|write"
)
WORDS = (
    r"parquet|feather|memory_map|OSFile|input_stream|read_\w+|scan_\w+|ParquetFile|ParquetDataset|open_\w+|dataset|duckdb"
    r"|subprocess|system|popen|posix_spawn\w*|spawn\w+|h5py|imread|InferenceSession|create_subprocess_\w+"
    rf"|{_WRITING_METHODS}|write_\w*(?:table|dataset|feather)|output_stream|new_(?:file|stream)|\w+Writer|open_\w*output_stream|getattr"
    r"|exists|lexists|isfile|getsize|getmtime|stat|lstat|access|readlink|is_file|get_context|set_start_method|Parallel|loky"
)  # one of these is in every call, if no import gives it another name


def is_suspect(name: str) -> bool:
    """Return whether a use of what is imported may be such a call."""
    return (
        re.fullmatch(r"(?:pyarrow\..*|subprocess|duckdb|h5py)(?:\..*)?", name) is not None or kind_of_call(name) != ""
    )


def kind_of_call(name: str) -> str:
    """Return how a function uses files unseen: "reader", "writer", "query", "command", or "" if it does not.

    A "looker" asks whether a file is there, or for its size, and "processes" starts processes that are not forked.
    `name` is what `Names.of` returns.
    """
    if _UNSEEN_WRITERS.fullmatch(name):
        return "writer"
    if _READERS.fullmatch(name):
        return "reader"
    if _QUERIES.fullmatch(name):
        return "query"
    if _LOOKERS.fullmatch(name):
        return "looker"
    if _PROCESSES.fullmatch(name):
        return "processes"
    return "command" if _COMMANDS.fullmatch(name) else ""


def is_opener(name: str) -> bool:
    """Return whether a function opens a file so that the audit hook sees it, but not in all child processes."""
    return _OPENERS.fullmatch(name) is not None


def may_be_reader(module: str, name: ast.expr) -> bool:
    """Return whether an attribute of a module, which `getattr` looks up by a computed name, may read files unseen."""
    if not _MODULES.fullmatch(module):
        return False
    if isinstance(name, ast.JoinedStr) and isinstance(first := name.values[0], ast.Constant):
        return re.match("read_|scan_|open_|from_|s?q", str(first.value)) is not None
    return not isinstance(name, ast.Constant) or kind_of_call(f"{module}.{name.value!s}") != ""


def is_writer(name: str) -> bool:
    """Return whether a function or method of this name writes the file that one of its first arguments names."""
    return _WRITERS.fullmatch(name) is not None
