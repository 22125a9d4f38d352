"""Finds the files that code reads or writes unseen: what it calls of libraries and processes, and with which paths."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, TypeGuard

from nfrun.code.facts.class_attributes import ClassAttributes
from nfrun.code.facts.code_facts import CodeFact, CodeFacts, Command
from nfrun.code.facts.names import Names, Place
from nfrun.code.facts.path_values import INPUT, Paths, PathValues, texts_in
from nfrun.code.facts.statement_reader import Findings, UnseenCall
from nfrun.code.fingerprint import Fingerprints
from nfrun.code.reached_code import Statement
from nfrun.core.values import replace

_PATH_ARGUMENTS = {
    "source",
    "path",
    "paths",
    "path_or_paths",
    "path_or_buf",
    "where",
    "file",
    "io",
    "input_file",
    "database",
    "output_file",
    "sink",
    "dest",
    "base_dir",
    "root_path",
    "target",
    "workbook",
    "file_name",
}
_COMMAND_ARGUMENTS = {"args", "query", "cmd", "command", "program", "path_or_model"}
_QUOTED = re.compile(r"""(\b(?:from|join)\s+|\b\w+\s*\(\s*\[?\s*)?(?:'([^']*)'|"([^"]*)")""", re.IGNORECASE)
_COPIED = re.compile(r"\bto\s+'([^']*)'", re.IGNORECASE)
_COMPUTED_TABLE = re.compile(r"\b(?:from|join)\s+\*", re.IGNORECASE)
_NO_FILE = re.compile(r"://|[\0\n]|^[./]*$|^:memory:$")
_MOVES = ("os.chdir", "os.fchdir", "contextlib.chdir")
_LONGEST = 4096  # bytes of a path


def with_unseen_files(
    code: Fingerprints,
    names: Names,
    statements: Sequence[Statement],
    found: Sequence[Findings],
    start: str,
    arguments: Mapping[str, Any],
    facts: CodeFacts,
) -> CodeFacts:
    """Add the files to `facts` that a function may read or write unseen, and the calls whose paths are not known.

    Files are paths, folders and patterns, relative to the pipeline's folder; some of them may not exist. `found` is
    what all `statements` show that the function reaches, and `arguments` are the values that it is called with.
    """
    paths = _path_values(code, names, statements, found, start, arguments)
    files: dict[str, None] = {}
    is_moving = any(fact.what in _MOVES for findings in found for fact in findings.global_state)
    outputs: dict[str, None] = {}
    unknown: dict[CodeFact, None] = {}
    unknown_outputs: dict[CodeFact, None] = {}
    looked_at: dict[str, None] = {}
    calls_unseen = [unseen for findings in found for unseen in findings.unseen if not _forks(unseen)]
    starts_processes = any(unseen.kind == "processes" for unseen in calls_unseen)
    if starts_processes:
        calls_unseen += [opened for findings in found for opened in findings.opened]
    for unseen in calls_unseen:
        if unseen.kind == "looker":
            known_paths = (path for path in _opened(unseen, paths) or () if "*" not in path and INPUT not in path)
            looked_at.update((name, None) for name in _beside(list(known_paths), code, unseen.place.module))
        if unseen.kind in ("looker", "processes"):
            continue
        uses = (_named(unseen, paths), files, unknown), (_named_outputs(unseen, paths), outputs, unknown_outputs)
        for named, known, calls_without in uses:
            if not _is_known(named) or (is_moving and any(name[:1] not in ("", "/", "~") for name in named)):
                calls_without[unseen.fact] = None
            known.update((name, None) for name in _beside(named or (), code, unseen.place.module))
    written = {*outputs, *(name for findings in found for name in _written(findings, paths, code))}
    commands = [_command(unseen, paths, code) for unseen in calls_unseen if unseen.kind == "command"]
    if starts_processes:
        outputs.update(dict.fromkeys(written))
    texts = [(text, module) for findings in found for text, module in findings.texts]
    texts += ((text, "") for text in texts_in(arguments))
    for text, module in texts if any(unseen.kind != "looker" for unseen in calls_unseen) else ():
        files.update((name, None) for name in _beside([text], code, module) if name not in written)
    return replace(
        facts,
        files=list(files),
        looked_at=list(looked_at),
        unknown_files=list(unknown),
        written=list(outputs),
        unknown_outputs=list(unknown_outputs),
        commands=[command for command in commands if command is not None],
    )


def _path_values(
    code: Fingerprints,
    names: Names,
    statements: Sequence[Statement],
    found: Sequence[Findings],
    start: str,
    arguments: Mapping[str, Any],
) -> PathValues:
    calls: dict[str, list[tuple[ast.Call, Place]]] = {}
    for findings in found:
        for name, call, place in findings.calls:
            calls.setdefault(name, []).append((call, place))
    values = {name for findings in found for name in findings.values}
    return PathValues(
        code,
        names,
        start,
        arguments,
        lambda name: None if name in values else calls.get(name, ()),
        ClassAttributes(code, names, statements).values,
    )


def _is_known(named: Paths) -> TypeGuard[list[str]]:
    return named is not None and not any(name[:1] == "*" or INPUT in name for name in named if name != INPUT)


def _written(findings: Findings, values: PathValues, code: Fingerprints) -> Iterator[str]:
    """Yield the files that calls write: texts that name them are no inputs."""
    for call, place in findings.writes:
        for argument in (
            *call.args[:2],
            *(keyword.value for keyword in call.keywords if keyword.arg in _PATH_ARGUMENTS),
        ):
            yield from _beside(values.of(argument, place) or (), code, place.module)


def _beside(names: Sequence[str], code: Fingerprints, module: str) -> Iterator[str]:
    """Yield the names as they are, below the folder of the module, and below the working directory."""
    file = code.file_of(module) if module else None
    folders = {code.folder, Path.cwd(), file.parent if file is not None else code.folder} - {code.folder}
    for name in names:
        if name and len(name) <= _LONGEST and not name.startswith("*") and not _NO_FILE.search(name):
            paths = [name] if PurePath(name).is_absolute() else [name, *(str(folder / name) for folder in folders)]
            yield from (path.removeprefix(f"{code.folder}/") for path in paths)


def _named(unseen: UnseenCall, values: PathValues) -> Paths:
    """Return the paths that a call reads, None if some cannot be put together."""
    call, place = unseen.call, unseen.place
    if unseen.kind == "writer":
        return []
    if call is None:
        return None
    if unseen.kind == "opener":
        return [] if _opens_to_write(unseen, call) else _opened(unseen, values)
    accepted = _PATH_ARGUMENTS if unseen.kind == "reader" else _COMMAND_ARGUMENTS
    if unseen.kind == "command":
        return _words(_command_parts(unseen, call), call, values, place)
    arguments = call.args[:1] or [keyword.value for keyword in call.keywords if keyword.arg in accepted]
    if not arguments:
        return [] if unseen.fact.what == "duckdb.connect" else None
    if _is_opened_to_write(call):
        return []
    found = values.of(arguments[0], place)
    return found if unseen.kind == "reader" or found is None else _in_queries(found)


def _named_outputs(unseen: UnseenCall, values: PathValues) -> Paths:
    """Return the paths that a call writes, None if some cannot be put together."""
    call = unseen.call
    if call is None:
        return None if unseen.kind == "writer" else []
    if unseen.kind == "opener":
        return _opened(unseen, values) if _opens_to_write(unseen, call) else []
    if unseen.kind == "query":
        queries = [text for argument in call.args[:1] for text in values.of(argument, unseen.place) or ()]
        copying = (query for query in queries if re.match(r"\s*(?:copy|export)\b", query, re.IGNORECASE))
        return [name for query in copying for name in _COPIED.findall(query)]
    if unseen.kind != "writer" and not (unseen.kind == "reader" and _is_opened_to_write(call)):
        return []
    is_second = re.match(r"pyarrow\..*\.write_", unseen.fact.what)  # the first argument is the table
    named = [keyword.value for keyword in call.keywords if keyword.arg in _PATH_ARGUMENTS]
    arguments = (call.args[1:2] if is_second else call.args[:1]) or named
    return values.of(arguments[0], unseen.place) if arguments else []


def _opened(unseen: UnseenCall, values: PathValues) -> Paths:
    """Return the paths in the call of a function that takes one first, or of a method of a path."""
    call = unseen.call
    if call is None:
        return None
    if unseen.fact.what.startswith(".") and isinstance(call.func, ast.Attribute):
        return values.of(call.func.value, unseen.place)
    first = call.args[:1] or [keyword.value for keyword in call.keywords if keyword.arg in _PATH_ARGUMENTS]
    return values.of(first[0], unseen.place) if first else None


def _forks(unseen: UnseenCall) -> bool:
    match unseen.call:
        case ast.Call(args=[ast.Constant("fork"), *_]):
            return unseen.kind == "processes"
    return False


def _opens_to_write(unseen: UnseenCall, call: ast.Call) -> bool:
    what = unseen.fact.what
    modes = call.args[0 if what == ".open" else 1 :][:1] if what.endswith("open") else []
    modes += [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    writes = any(isinstance(mode, ast.Constant) and str(mode.value)[:1] in ("w", "a", "x") for mode in modes)
    return writes or what.startswith(".write_")


def _is_opened_to_write(call: ast.Call) -> bool:
    modes = (*call.args[1:], *(keyword.value for keyword in call.keywords if keyword.arg == "mode"))
    return any(isinstance(mode, ast.Constant) and str(mode.value)[:1] == "w" for mode in modes)


def _in_queries(queries: Sequence[str]) -> Paths:
    found = []
    for query in queries:
        if _COMPUTED_TABLE.search(query):
            return None
        for match in _QUOTED.finditer(_COPIED.sub("", query)):
            name = match[2] or match[3] or ""
            if match[1] is not None or re.search(r"^[^*]+[./]", name):
                found.append(name)
    return found


def _command_parts(unseen: UnseenCall, call: ast.Call) -> list[ast.expr]:
    """Return the expressions of the words of a command, one if it is a line for a shell."""
    arguments = call.args[:1] or [keyword.value for keyword in call.keywords if keyword.arg in _COMMAND_ARGUMENTS]
    parts = call.args if "exec" in unseen.fact.what or "spawn" in unseen.fact.what else arguments
    return [value for part in parts for value in _elements(part)]


def _words(parts: Sequence[ast.expr], call: ast.Call, values: PathValues, place: Place) -> Paths:
    """Return the words of a command, as they are and as paths below the folders that it may run in."""
    found: list[str] = []
    for part in parts:
        texts = values.of(part, place)
        if texts is None:
            return None
        found += [word for text in texts for word in re.split(r"[\s;|&<>()'\"=]+", text)]
    folders = _folders(call, values, place)
    return found + [str(PurePath(folder, word)) for folder in folders for word in found] if parts else None


def _folders(call: ast.Call, values: PathValues, place: Place) -> Sequence[str]:
    """Return the folders that the call of a command names with `cwd`."""
    folders = [values.of(keyword.value, place) for keyword in call.keywords if keyword.arg == "cwd"]
    return folders[0] or () if folders else ()


def _command(unseen: UnseenCall, values: PathValues, code: Fingerprints) -> Command | None:
    """Return the command that a call starts, None if some of its words cannot be put together."""
    call, place = unseen.call, unseen.place
    parts = _command_parts(unseen, call) if call is not None else []
    found = [values.of(part, place) for part in parts]
    if call is None or not found or any(texts is None for texts in found):
        return None
    words = [text for texts in found for text in texts or (["python3"] if texts is found[0] else [])]  # sys.executable
    text = shlex.join(words) if len(found) > 1 else " ".join(words)
    file = code.file_of(place.module)
    folders = ("", str(Path.cwd()), *((str(file.parent),) if file is not None else ()))
    inner = [str(PurePath(folder, name)) for name in _folders(call, values, place) for folder in folders]
    return Command(text, list(dict.fromkeys((*folders, *inner))))


def _elements(node: ast.expr) -> Iterator[ast.expr]:
    """Yield the parts of lists that are put together. Not recursive: a sum may be long."""
    left = [node]
    while left:
        match part := left.pop():
            case ast.List(parts) | ast.Tuple(parts):
                left.extend(reversed(parts))
            case ast.BinOp(first, ast.Add(), second) if isinstance(second, ast.List) or isinstance(first, ast.List):
                left.extend((second, first))
            case ast.Starred(value):
                yield value
            case _:
                yield part
