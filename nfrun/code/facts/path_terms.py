"""Defines terms, which stand for the values of an expression as paths, and what functions of libraries do with paths.

Names are looked up by keys: "steps:D" is a name at the top of a module, "steps:load.path" a name in a function, ".path"
an attribute of any object. For a function "steps:load", or ".load" for a method of any object, "steps:load#0" and
"steps:load#path" are what calls pass, "steps:load#*" what may be passed as any argument, and "steps:load()" is what it
returns. "#path" is passed to a method by that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from nfrun.code.facts.code_facts import NO_FACTS, CodeFact, CodeFacts
from nfrun.code.facts.names import pattern_of
from nfrun.core.pipeline import NOTHING
from nfrun.core.values import field, mutable

_PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[-+ #0-9.]*[a-z]|\{[^{}]*\}")
ANY = "\1"  # what is not known
READ = "\2"  # the text of a file with a query, whose names are taken from there
_PATHS = ("path", "up", "with_name", "with_stem", "with_suffix")  # operations that add a dot or a slash
INPUT = "\0"  # an input of the node: a table has no path, but what is read from it may be one


class Term:
    """The possible values of an expression: texts, put together of `parts` as `op` says, or found by `keys`.

    `names` are all keys in the term. `is_path`: a value may be the name of a file, whatever its keys stand for.
    """

    __slots__ = ("is_path", "keys", "names", "op", "parts")

    def __init__(self, op: str, parts: Sequence[Term] = (), keys: tuple[str, ...] = ()) -> None:
        self.op, self.parts, self.keys = op, parts, keys
        self.names: Sequence[str] = ()
        if op == "text":
            self.is_path = "." in keys[0] or "/" in keys[0]
            return
        self.names = (*keys, ".*") if op in ("attr", "edited") else keys
        self.is_path = op in _PATHS
        if parts:
            names = self.names = [*self.names]
            for part in parts:
                names += part.names
                self.is_path = self.is_path or part.is_path


def text_of(value: str) -> Term:
    """Return the term of a constant."""
    return Term("text", (), (value,))


def any_of(parts: Iterable[Term]) -> Term:
    """Return the term of a name that has one of several values, or all of them."""
    found = [part for part in parts if part is not NO_FILE]
    return found[0] if len(found) == 1 else Term("any", found) if found else NO_FILE


NO_FILE = Term("any")  # such as a number, a buffer, or a file that is open
UNKNOWN = text_of(ANY)


def sum_of(parts: Sequence[Term]) -> Term:
    """Return the term of a text that is put together; of constants, that is a constant."""
    if all(part.op == "text" for part in parts):
        return text_of("".join(part.keys[0] for part in parts))
    return Term("sum", parts)


def filled(form: str, arguments: Sequence[Term], named: Mapping[str | None, Term] = NOTHING) -> Term:
    """Return the term of a text with placeholders of `%` or `format`, which are filled where they are plain."""
    places = _PLACEHOLDER.findall(form)
    is_plain = len(places) == len(arguments) and all(place in ("%s", "%d", "{}") for place in places)
    first, *rest = [text_of(text) for text in _PLACEHOLDER.split(form)]
    values = arguments if is_plain else [named.get(place[1:-1], UNKNOWN) for place in places]
    return sum_of([first, *(part for pair in zip(values, rest, strict=True) for part in pair)])


# -- statements --------------------------------------------------------------------------------------------------------


@mutable
class NativeCall:
    """A call that uses files unseen. `kind` is that of `kind_of_call`, or "opener" for what only new processes hide.

    `method` is the name of a reader's method if its object was handed on: of which library, other code may show.
    `reads` and `writes` are the terms of the paths, None where nothing is read or written. `words` are the terms of a
    command, or the values of a query, and `folder` is that of the folder that a command runs in.
    """

    kind: str
    fact: CodeFact
    module: str
    reads: Term | None = None
    writes: Term | None = None
    words: Sequence[Term] = ()
    folder: Term = NO_FILE
    method: str = ""


@mutable
class Findings:
    """Facts about one statement. `function` is its name if it is a function, such as "steps:load".

    `bound` are the values of keys, and `functions` the keys of functions. `named` are terms of texts and paths, each
    with how it is used and its module: "whole" is what a library gets, which may look into a folder, "seen" what Python
    opens at once, "written" and "appended" what the code seems to write. `passed` are keys of what may be functions,
    handed on as values together with other values. `asks_times`: it asks for the times of files.

    `libraries` are names of libraries that it uses, such as "duckdb.connect". `global_state`, `network`,
    `assigned` and `read` are as in `CodeFacts`, and `time` has its clocks, draws and local time. `used`
    are names of the project's modules that it uses, and `decorating` those of its decorators.
    """

    function: str = ""
    bound: list[tuple[str, Term]] = field(default_factory=list)
    functions: set[str] = field(default_factory=set)
    named: list[tuple[str, str, Term]] = field(default_factory=list)
    passed: list[tuple[str, Term]] = field(default_factory=list)
    calls: list[NativeCall] = field(default_factory=list)
    asks_times: bool = False
    libraries: set[str] = field(default_factory=set)
    global_state: list[CodeFact] = field(default_factory=list)
    network: list[CodeFact] = field(default_factory=list)
    time: CodeFacts = NO_FACTS
    assigned: dict[str, CodeFact] = field(default_factory=dict)
    read: dict[str, CodeFact] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    decorating: set[str] = field(default_factory=set)


# -- libraries ---------------------------------------------------------------------------------------------------------

# What functions of libraries do with paths, by names as in `pattern_of`.
_ROLES = {
    "same": {  # they return some of their arguments
        "builtins": "str sorted list tuple set dict frozenset iter reversed enumerate zip map filter max min next",
        "os": "fspath fsdecode fsencode",
        "os.path": "abspath realpath normpath expanduser expandvars",
        "shlex": "quote split",
        "glob": "i?glob",
        "itertools": "chain product islice",
    },
    "path": {"pathlib": "(?:Pure)?(?:Posix)?Path", "os.path": "join", "pyarrow.fs": "SubTreeFileSystem"},
    "up": {"os.path": "dirname"},
    "here": {"pathlib.Path": "cwd", "os": "getcwd"},
    "listed": {"os": "listdir scandir walk fwalk"},
    "field": {"dataclasses": "field", "attrs": "field", "attr": "ib"},
    "resource": {"pkgutil": "get_data", "importlib.resources": r"\w+"},
    "no file": {  # what they return has no path
        "builtins": "open bytes bytearray",
        **dict.fromkeys(("gzip", "bz2", "lzma"), "open"),
        **dict.fromkeys(("io", "tempfile", "urllib", "requests", "httpx", "pyarrow.Table"), ".*"),
        "pyarrow": "BufferReader py_buffer memory_map OSFile input_stream table array",
        "os": "devnull stat lstat",
        "os.path": "get[mca]time getsize",
        "sys": r"std\w+",
        "shutil": "which",
    },
    "log": {"*": r"\w*FileHandler", "logging": "basicConfig"},
    "told": {"builtins": "print", "warnings": "warn", "logging": r"\w+", "*": "s?echo"},  # to people
}
_ROLE = re.compile("|".join(f"(?P<{role.replace(' ', '_')}>{pattern_of(names)})" for role, names in _ROLES.items()))
_METHOD_ROLES = {
    "same": "resolve absolute expanduser as_posix __str__ __fspath__ items values keys copy encode",
    "edited": "format format_map replace strip rstrip split splitlines",
    "no_file": "open getvalue getbuffer read read_bytes read_text to_pybytes to_arrow tobytes stat lstat",
    "below": "joinpath glob rglob iterdir walk",
    "with": "with_suffix with_name with_stem",
    "told": "debug info warning warn error exception critical log",
}
METHODS = {method: role for role, methods in _METHOD_ROLES.items() for method in methods.split()}


@lru_cache(maxsize=10_000)
def role_of(name: str) -> str:
    """Return what a function of a library does with paths, "" if that is not known."""
    found = _ROLE.fullmatch(name)
    return str(found.lastgroup) if found else ""
