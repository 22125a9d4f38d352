"""Lists the functions of libraries that read or write files without Python's `open`: no audit hook sees which."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Mapping
from functools import lru_cache

from nfrun.code.facts.names import pattern_of

_DUCKDB_READERS = r"read_\w+ from_parquet from_csv_auto"
# By how they use files: functions and classes by module, as in `pattern_of`.
_UNSEEN: Mapping[str, Mapping[str, str]] = {
    "writer": {
        "pyarrow": r"output_stream \w+Writer",
        "pyarrow.csv": "write_csv CSVWriter",
        "pyarrow.dataset": "write_dataset",
        "pyarrow.feather": "write_feather",
        "pyarrow.fs.LocalFileSystem()": r"open_\w*output_stream",
        "pyarrow.ipc": r"new_file new_stream \w+Writer",
        "pyarrow.orc": "write_table ORCWriter",
        "pyarrow.parquet": "write_table write_to_dataset write_metadata ParquetWriter",
        "*": """(?:write|sink)_(?:csv|parquet|ipc|ipc_stream|ndjson|json|avro|excel|delta)
            to_(?:parquet|feather|orc|hdf)""",
    },
    "reader": {
        "pyarrow": "memory_map OSFile input_stream",
        "pyarrow.csv": "read_csv open_csv",
        "pyarrow.dataset": r"dataset parquet_dataset FileSystemDatasetFactory FileSystemDataset\.from_paths",
        "pyarrow.feather": r"read_\w+",
        **dict.fromkeys(("pyarrow.fs", "pyarrow.fs.LocalFileSystem()"), r"open_input_\w+ copy_files"),
        "pyarrow.ipc": r"open_\w+",
        "pyarrow.json": "read_json open_json",
        "pyarrow.orc": r"read_\w+ ORCFile",
        "pyarrow.parquet": r"read_\w+ ParquetFile ParquetDataset",
        "pandas": "read_parquet read_feather read_orc read_hdf",
        "polars": r"(?:read|scan)_(?!database|clipboard)\w+",
        "duckdb": rf"connect {_DUCKDB_READERS}",
        "duckdb.connect()": _DUCKDB_READERS,
        "geopandas": r"read_\w+",
        "pyogrio": r"read_\w+",
        "h5py": "File",
        "cv2": "imread",
        "onnxruntime": "InferenceSession",
    },
    "query": {
        "polars": "sql",
        "polars.SQLContext": "execute",
        **dict.fromkeys(("duckdb", "duckdb.connect()", "duckdb.connect().cursor()"), "sql query execute from_query"),
    },
    # Not those that fork: in forked processes, the audit hook sees what is opened.
    "processes": {
        "multiprocessing": "get_context set_start_method",
        "multiprocess": "get_context set_start_method",
        "joblib": "Parallel",
        "loky": ".*",
    },
    "command": {
        "subprocess": "run call check_call check_output Popen getoutput getstatusoutput",
        "os": r"system popen spawn\w+ posix_spawn\w*",
        "asyncio": "create_subprocess_exec create_subprocess_shell",
    },
}
_KIND = re.compile("|".join(f"(?P<{kind}>{pattern_of(calls)})" for kind, calls in _UNSEEN.items()))
_METHODS = re.compile(
    "|".join(f"(?P<{kind}>{'|'.join(_UNSEEN[kind].values()).replace(' ', '|')})" for kind in ("query", "reader"))
)
# What the audit hook sees in this process, but not in processes that are not forked.
_OPENERS = re.compile(
    pattern_of(
        {
            "builtins": "open",
            "": "open read_text read_bytes write_text write_bytes",
            **dict.fromkeys(("io", "gzip", "bz2", "lzma"), "open"),
            "numpy": "load loadtxt genfromtxt fromfile memmap",
            "pandas": r"read_\w+",
        }
    )
)
_WRITERS = re.compile(
    r"(?:write|sink)_\w+|to_(?:parquet|csv|feather|orc|json|ndjson|excel|pickle|hdf|stata|html|markdown|latex|xml)"
    r"|save\w*|dump|write|export\w*|store\w*"
)
_LOOKED_UP = re.compile(r"polars|pandas|geopandas|duckdb|pyarrow\.\w+")


@lru_cache(maxsize=10_000)
def kind_of_call(name: str) -> str:
    """Return how a function uses files unseen: "reader", "writer", "query", "command", or "" if it does not.

    "processes" starts processes that are not forked. `name` is what `Names.of` returns.
    """
    found = _KIND.fullmatch(name)
    return str(found.lastgroup) if found else ""


def kind_of_method(method: str) -> str:
    """Return the kind that a method has of an object that was handed on, if `may_be_of` says so; "" if it has none."""
    found = _METHODS.fullmatch(method)
    return str(found.lastgroup) if found else ""


def may_be_of(method: str, modules: Collection[str]) -> bool:
    """Return whether an object from one of these modules of libraries has such a method, which reads files unseen."""
    return any(kind_of_call(f"{module}.{method}") in ("query", "reader") for module in modules)


@lru_cache(maxsize=10_000)
def kind_of_use(name: str) -> str:
    """Return the kind of a call, or "opener" if the audit hook sees what it opens, but not in all child processes."""
    return kind_of_call(name) or ("opener" if _OPENERS.fullmatch(name) else "")


def may_be_reader(module: str, name: ast.expr) -> bool:
    """Return whether an attribute of a module, which `getattr` looks up by a computed name, may read files unseen."""
    if not _LOOKED_UP.fullmatch(module):
        return False
    if isinstance(name, ast.JoinedStr) and isinstance(first := name.values[0], ast.Constant):
        return re.match("read_|scan_|open_|from_|s?q", str(first.value)) is not None
    return not isinstance(name, ast.Constant) or kind_of_call(f"{module}.{name.value!s}") != ""


def is_writer(name: str) -> bool:
    """Return whether a function or method of this name writes the file that one of its first arguments names."""
    return _WRITERS.fullmatch(name) is not None
