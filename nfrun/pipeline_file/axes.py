"""Reads which axes a pipeline file declares and which of them each node has, and finds the values of axes.

What shows without the values of parameters and without reading data is checked while the file is read. Once parameters
are bound, expressions are evaluated, files are listed and tables are read.
"""

from __future__ import annotations

import datetime
import fnmatch
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from glob import glob
from pathlib import Path, PurePosixPath
from typing import Any

from nfrun.core.errors import Problem
from nfrun.core.pipeline import Axis, Pipeline, has_expression
from nfrun.core.text import did_you_mean, ellipsize
from nfrun.core.values import frozen, replace
from nfrun.nodes.base import is_evaluated
from nfrun.nodes.schemas import shown
from nfrun.pipeline_file.expressions import ExpressionError, evaluate, evaluate_all
from nfrun.pipeline_file.findings import Findings
from nfrun.pipeline_file.parameters import env_text
from nfrun.pipeline_file.schema import check_setting
from nfrun.pipeline_file.yaml.document import Keys, items, mapping

_SOURCES = ("files", "rows", "of")


@frozen
class DeclaredAxes:
    """The axes of a file, in the order in which they are declared, and those of its nodes in the same order.

    `broken` are axes with a mistake, and `unclear` nodes that name an axis that does not exist.
    """

    axes: Mapping[str, Axis]
    of_nodes: Mapping[str, tuple[str, ...]]
    broken: frozenset[str] = frozenset()
    unclear: frozenset[str] = frozenset()

    def seen_by(self, node: str) -> tuple[str, ...]:
        """Return the axes that a node has, and those that follow from them."""
        return with_followers(self.axes, self.of_nodes.get(node, ()), self.broken)


NO_AXES = DeclaredAxes({}, {})


def with_followers(
    axes: Mapping[str, Axis], own: tuple[str, ...], broken: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Return these axes and all that follow from them, in the order in which axes are declared."""
    if not own:
        return ()
    seen = set(own)
    for name, axis in axes.items():  # an axis stands below the one that it follows
        if axis.of in seen and name not in broken:
            seen.add(name)
    return tuple([name for name in axes if name in seen])


def read_axes(found: Findings) -> tuple[DeclaredAxes, tuple[Mapping[str, Any], ...]]:
    """Return the axes of the document in `found` and the entries of `exclude`, and report what is wrong with them."""
    root = found.document.root
    bodies = mapping(root.get("nodes"))
    named = [name for name, body in bodies.items() if isinstance(body, dict) and "matrix" in body]
    declaring: dict[Keys, Mapping[str, Any]] = {("matrix",): mapping(root.get("matrix"))}
    declaring |= {("nodes", name, "matrix"): mapping(bodies[name]["matrix"]) for name in named}
    if not any(declaring.values()) and not named:
        return NO_AXES, ()
    axes: dict[str, Axis] = {}
    broken: set[str] = set()
    for path, matrix in declaring.items():
        for name, source in matrix.items():
            if name == "include":
                found.report((*path, name), "a matrix has no 'include'", "make one axis of mappings", at_key=True)
            elif name in axes:
                line = found.document.key_span(*axes[name].path).line
                what = f"the axis '{name}' is declared already in line {line}"
                found.report((*path, name), what, f"name it here: matrix: {name}", at_key=True)
            elif name != "exclude":
                of = source.get("of") if isinstance(source, dict) else None
                axis = Axis(name, source, (*path, name), of=of if isinstance(of, str) else "")
                before = len(found.diagnostics)
                if twin := next((other for other in axes if other.lower() == name.lower()), ""):
                    what = f"the axes '{twin}' and '{name}' differ only in case"
                    found.report((*path, name), what, "columns would clash: rename one", at_key=True)
                wrong = (*path, name) in found.bad
                axes[name] = axis if wrong else _read_axis(found, axis, axes)
                if wrong or len(found.diagnostics) > before:
                    broken.add(name)
    of_nodes, unclear = _node_axes(found, bodies, named, axes, broken)
    entries = {(*path, "exclude"): matrix.get("exclude") for path, matrix in declaring.items()}
    excluded = [entry for path, given in entries.items() for entry in _excluded(found, path, given, axes, broken)]
    return DeclaredAxes(axes, of_nodes, frozenset(broken), frozenset(unclear)), tuple(excluded)


def _read_axis(found: Findings, axis: Axis, above: Mapping[str, Axis]) -> Axis:
    """Check the source of an axis. Returns it with its values, if these are known from the file alone."""
    source, path, name = axis.source, axis.path, axis.name
    if isinstance(source, str):
        if not (has_expression(source) and source.strip().startswith("${{") and source.strip().endswith("}}")):
            found.report(path, f"the axis '{name}' must be a list of values", f"write {name}: [{ellipsize(source)}]")
    elif isinstance(source, list):
        before = len(found.diagnostics)
        for wrong in same_ids(name, source):
            found.add(wrong, path)
        if len(found.diagnostics) == before and is_literal(source):
            return with_values(axis, source)
    else:
        sources = [key for key in _SOURCES if key in source]
        if len(sources) != 1:
            what = f"the axis '{name}' " + (f"has {' and '.join(sources)}" if sources else "has no values")
            found.report(path, what, f"give it a list, or one of {', '.join(_SOURCES)}")
        elif "id" in source and sources != ["rows"]:
            found.report((*path, "id"), "'id' names a column of 'rows'", "remove it", at_key=True)
        elif sources == ["of"]:
            _check_of(found, axis, above)
        elif sources == ["files"] and (braces := pattern_problem(source["files"])):
            found.report((*path, "files"), *braces)
    return axis


def _check_of(found: Findings, axis: Axis, above: Mapping[str, Axis]) -> None:
    """Check that an axis follows from one above it whose values have an entry of its name."""
    path, parent = (*axis.path, "of"), above.get(axis.of)
    if has_expression(axis.of):
        return  # reported where expressions are checked
    if parent is None:
        there = f"there is {', '.join(above)}" if above else "it follows from an axis that is declared before it"
        what = f"there is no axis '{ellipsize(axis.of)}' above this one"
        found.report(path, what, did_you_mean(axis.of, above, there))


def _node_axes(
    found: Findings, bodies: Mapping[str, Any], named: list[str], axes: Mapping[str, Axis], broken: set[str]
) -> tuple[dict[str, tuple[str, ...]], set[str]]:
    """Return the axes of each node in the order in which axes are declared, and the nodes that name unknown axes."""
    of_nodes: dict[str, tuple[str, ...]] = {}
    unclear: set[str] = set()
    position = {name: i for i, name in enumerate(axes)}
    for node in named:
        matrix, path = bodies[node]["matrix"], ("nodes", node, "matrix")
        if path in found.wrong:
            unclear.add(node)
            continue
        own = [str(name) for name in matrix if name in axes] if isinstance(matrix, dict) else []
        for step, name in () if isinstance(matrix, dict) else items(matrix):
            if (*path, *step) in found.wrong:
                unclear.add(node)
            elif name not in axes:
                unclear.add(node)
                if "matrix" not in found.document.root and any(len(key) == 1 for key in found.bad):
                    continue  # an unknown key at the top of the file may be a misspelt 'matrix'
                found.report((*path, *step), f"there is no axis '{ellipsize(name)}'", _hint(name, axes))
            else:
                own.append(name)
        for name in own:
            above = () if name in broken else _parents(axes, name)
            if parent := next((other for other in own if other in above), None):
                what = f"'{name}' follows from '{parent}'"
                found.report(path, what, f"leave it out: a cell of '{parent}' is in one of '{name}'")
        of_nodes[node] = tuple(sorted(own, key=position.__getitem__))
    return of_nodes, unclear


def _parents(axes: Mapping[str, Axis], name: str) -> list[str]:
    parents: list[str] = []
    while (name := axes[name].of) and name in axes and name not in parents:
        parents.append(name)
    return parents


def _hint(name: str, axes: Mapping[str, Axis]) -> str:
    there = f"there is {', '.join(axes)}" if axes else "declare it at the top of the file: matrix: {name: [a, b]}"
    return did_you_mean(name, axes, there)


def _excluded(
    found: Findings, path: Keys, entries: Any, axes: Mapping[str, Axis], broken: set[str]
) -> Iterator[Mapping[str, Any]]:
    """Yield the entries of `exclude` at this path. Rejects axes and values that do not exist."""
    known = {name: indices(axis) for name, axis in axes.items() if axis.values}
    for i, entry in enumerate(entries if isinstance(entries, list) and path not in found.wrong else ()):
        where: Keys = (*path, i)
        if where in found.bad or not isinstance(entry, dict):
            continue
        for name, value in entry.items():
            if name not in axes:
                found.report((*where, name), f"there is no axis '{ellipsize(name)}'", _hint(name, axes), at_key=True)
            elif wrong := value_problem(axes[name], value, known.get(name) if name not in broken else None):
                found.report((*where, name), *wrong)
        yield entry


def value_problem(axis: Axis, value: Any, known: Mapping[str, int] | None) -> tuple[str, str] | None:
    """Return what is wrong with a value that a file names on an axis; `known` has the indices of those there are."""
    key = key_of(value)
    if isinstance(key, str) and has_expression(key):
        return None  # reported where expressions are checked
    if not isinstance(key, str | int | float):
        return f"a value of the axis '{axis.name}' is named by its value or id", f"write {axis.name}: …"
    if known is None or (text := text_of(key)) in known:
        return None
    hint = did_you_mean(text, known, f"there is {ellipsize(', '.join(known), 200)}")
    return f"the axis '{axis.name}' has no value '{ellipsize(text)}'", hint


Names = Mapping[str, Mapping[str, Any]]


def find_values(pipeline: Pipeline, names: Names, *, reads_data: bool = True) -> tuple[dict[str, Axis], list[Problem]]:
    """Return the axes of the pipeline with their values, and the problems of those that have none.

    `names` are those that expressions see, `run` without its id. Without `reads_data`, axes over the rows of a file
    have no values. A problem is about the file that is missing, if that is why; then `validate` only warns.
    """
    found: dict[str, Axis] = {}
    problems: list[Problem] = []
    for name, axis in pipeline.axes.items():
        finder = _Finder(axis, names, Path(pipeline.folder), reads_data)
        try:
            found[name] = finder.followed(found) if axis.of else finder.found()
        except _Unknown as unknown:
            problems += unknown.problems
            found[name] = axis
    return found, problems


class _Unknown(Exception):
    """The values of an axis are not known. There are no problems if another axis has one, or no data are read."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__()
        self.problems = problems


class _Finder:
    """Finds the values of one axis."""

    def __init__(self, axis: Axis, names: Names, folder: Path, reads_data: bool) -> None:
        self.axis, self.names, self.folder, self.reads_data = axis, names, folder, reads_data

    def found(self) -> Axis:
        """Return the axis with its values. Raises _Unknown."""
        axis, source = self.axis, self.axis.source
        if axis.values and is_evaluated(source):
            return axis
        if not isinstance(source, dict):
            values = self.evaluated(source, axis.path)
            if not isinstance(values, list):
                what = f"the axis '{axis.name}' must be a list of values, and this is {shown(values)}"
                raise _Unknown(Problem(axis.path, what, "3 | range is [0, 1, 2]" if isinstance(values, int) else ""))
            return self.checked(values, axis.path if isinstance(source, str) else None)
        key = "files" if "files" in source else "rows"
        path = (*axis.path, key)
        named = self.evaluated(source[key], path)
        if not isinstance(named, str) or not named.strip() or "\0" in named:
            what = f"this is no name of a file: {ellipsize(env_text(named)) or 'it is empty'}"
            raise _Unknown(Problem(path, what))
        return self.checked(list(self.files(named, path) if key == "files" else self.rows(named, path)), path)

    def evaluated(self, value: Any, path: Keys) -> Any:
        """Return a nested value with its expressions evaluated. Raises _Unknown."""

        def evaluated(text: str, path: Keys) -> Any:
            try:
                return evaluate(text, self.names)
            except ExpressionError as error:
                raise _Unknown(Problem(path, str(error), start=error.start, length=error.length)) from None

        return evaluate_all(value, path, evaluated)

    def checked(self, values: list[Any], path: Keys | None) -> Axis:
        """Return the axis with these values. Their problems are at `path`, or each at its value. Raises _Unknown."""
        if not values:
            what = f"the axis '{self.axis.name}' has no values"
            raise _Unknown(Problem(path or self.axis.path, what, "its expression gives an empty list"))
        if len(values) > MAX_NODES:  # to look at each takes long
            what = f"the axis '{self.axis.name}' has {len(values):,} values, and at most {MAX_NODES:,}"
            raise _Unknown(Problem(path or self.axis.path, what))
        found = [replace(each, path=each.path[1:]) for each in check_setting("matrix", {self.axis.name: values})]
        if wrong := (found or list(same_ids(self.axis.name, values)))[:_MOST_TOLD]:
            raise _Unknown(*[replace(each, path=path or (*self.axis.path, *each.path)) for each in wrong])
        return with_values(self.axis, values)

    def files(self, pattern: str, path: Keys) -> Iterator[dict[str, Any]]:
        """Yield the files that match the pattern. Raises _Unknown if there are none."""
        if wrong := pattern_problem(pattern):
            raise _Unknown(Problem(path, *wrong))
        files = list(find_files(pattern, self.folder))
        if not files:
            what = f"no file matches '{ellipsize(pattern, 200)}'"
            hint = "a pattern is relative to the pipeline file"
            raise _Unknown(Problem(path, what, hint, about=pattern))
        return iter(files)

    def rows(self, file: str, path: Keys) -> Iterator[dict[str, Any]]:
        """Yield the rows of a table, each with its id. Raises _Unknown."""
        name = self.axis.name
        if not (self.folder / file).is_file():
            what = f"the axis '{name}' has no values: there is no file '{ellipsize(file, 200)}'"
            raise _Unknown(Problem(path, what, "those that match a pattern are {files: …}", about=file))
        if not self.reads_data:
            raise _Unknown
        from nfrun.tables.file_io import read_table
        from nfrun.tables.formats import FormatError

        try:
            table = read_table(file, base=self.folder)
        except (FormatError, OSError) as error:
            what = f"the axis '{name}' has no values: {ellipsize(str(error), 300)}"
            raise _Unknown(Problem(path, what)) from None
        column = self.evaluated(self.axis.source.get("id", "id"), (*self.axis.path, "id"))
        if column not in table.column_names:
            hint = f"it has {ellipsize(', '.join(table.column_names), 200)}; say which: id: …"
            where = (*self.axis.path, "id") if "id" in self.axis.source else path
            raise _Unknown(Problem(where, f"'{ellipsize(file)}' has no column '{ellipsize(str(column))}'", hint))
        if table.column_names.count(column) > 1 or not table.num_rows:
            what = f"the axis '{name}' has no values: '{ellipsize(file)}' has no rows, or '{ellipsize(column)}' twice"
            raise _Unknown(Problem(path, what))
        for number, row in enumerate(table.to_pylist(), 1):
            values = {key: _plain(value) for key, value in row.items()}
            if not isinstance(id := values[column], str | int) or isinstance(id, bool) or id == "":
                what = f"the 'id' in row {number} of '{ellipsize(file)}' is {shown(id)}"
                raise _Unknown(Problem(path, what, "an id is a string or a whole number"))
            yield {**values, "id": id}

    def followed(self, above: Mapping[str, Axis]) -> Axis:
        """Return an axis that follows another one with its values. Raises _Unknown."""
        name, parent, path = self.axis.name, above[self.axis.of], (*self.axis.path, "of")
        if not parent.values:
            raise _Unknown
        entries: list[Any] = []
        for key, value in zip(parent.keys, parent.values, strict=True):
            if not isinstance(value, Mapping) or value.get(name) is None:
                what = f"'{ellipsize(str(key))}' of the axis '{parent.name}' has no '{name}'"
                raise _Unknown(Problem(path, what, f"write {{id: {ellipsize(str(key))}, {name}: …}}"))
            entries.append(value[name])
        different: dict[str, Any] = {}
        for entry in entries:
            different.setdefault(repr(key_of(entry)), entry)
        index = {text: i for i, text in enumerate(different)}
        return replace(
            self.checked(list(different.values()), path),
            follows=tuple([index[repr(key_of(entry))] for entry in entries]),
        )


def _plain(value: Any) -> Any:
    """Return a value of a table as data that YAML can express."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else str(value)


_MOST_TOLD = 3  # values of an axis
MAX_ID = 200  # characters of the id of a node
MAX_NODES = 100_000  # of a pipeline
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,39}")
_KEPT = 33  # characters of a text that is shortened, before "-" and the checksum
_DIGITS = 6


def key_of(value: Any) -> Any:
    """Return what stands for a value of an axis outside of expressions: the id of a mapping, otherwise the value."""
    return value.get("id") if isinstance(value, Mapping) else value


def text_of(key: Any) -> str:
    """Return a key as text: a string as it is, anything else as in JSON."""
    if type(key) is int:
        return str(key)  # json.dumps takes 20 times as long
    return key if isinstance(key, str) else json.dumps(key)


def id_of(key: Any) -> str:
    """Return the text for a value of an axis in the ids of cells: at most 40 letters, digits, `.`, `_` and `-`.

    A text that has other characters or is longer is cleaned and shortened, and ends with digits of its checksum.
    """
    text = text_of(key)
    if _PLAIN.fullmatch(text) and not text.endswith("."):
        return text
    clean = re.sub("[^A-Za-z0-9._-]+", "_", text).lstrip(".")[:_KEPT] or "_"
    import hashlib  # few pipelines have such cells

    return f"{clean}-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:_DIGITS]}"


OWN_ID = "remove one, or give it an id that differs in more than case: {id: …, …}"


def with_values(axis: Axis, values: Sequence[Any]) -> Axis:
    """Return the axis with these values, which are right."""
    keys = [key_of(value) for value in values]
    return replace(axis, values=tuple(values), keys=tuple(keys), ids=tuple([id_of(key) for key in keys]))


def same_ids(name: str, values: Sequence[Any]) -> Iterator[Problem]:
    """Yield the values of the axis that have the id of one before them."""
    seen: dict[str, str] = {}
    for i, value in enumerate(values):
        key = key_of(value)
        if isinstance(key, str) and has_expression(key):
            continue  # not known yet
        text, id = text_of(key), id_of(key).lower()
        if first := seen.get(id):
            both = f"'{ellipsize(first)}' and '{ellipsize(text)}'"
            what = f"the values {both} of the axis '{ellipsize(name)}' have one id"
            yield Problem((i, "id") if isinstance(value, Mapping) else (i,), what, OWN_ID)
        seen.setdefault(id, text)


def is_literal(source: Any) -> bool:
    """Whether the values are known from the file alone: a list without expressions in what names the cells."""
    return isinstance(source, list) and not any(
        isinstance(key := key_of(value), str) and has_expression(key) for value in source
    )


def indices(axis: Axis) -> dict[str, int]:
    """Return the index of each value of an axis by the texts that a file may name it by: the value, or its id."""
    by_id = {id: i for i, id in enumerate(axis.ids)}
    return {**by_id, **{text_of(key): i for i, key in enumerate(axis.keys)}}


_ENTRIES = ("id", "path", "name", "stem")  # what each value has beside the `{name}`s
_PART = re.compile(r"\{([^{}]*)\}|(\*\*/)|(\*\*)|(\*)|(\?)|(\[!?\]?[^\]]*\])")


def capture_names(pattern: str) -> list[str]:
    """Return the names in braces, each once."""
    return list(dict.fromkeys(found[1] for found in _PART.finditer(pattern) if found[1] is not None))


def pattern_problem(pattern: str) -> tuple[str, str] | None:
    """Return what is wrong with the braces of a pattern, as message and hint."""
    pattern = re.sub(r"\$\{\{.*?\}\}", "", pattern)
    is_wrong = [not (name.isidentifier() and name.isascii()) or name in _ENTRIES for name in capture_names(pattern)]
    if any(is_wrong) or not {*"{}"}.isdisjoint(_PART.sub("", pattern)):
        hint = f"write {{name}}, with letters, digits and _, but none of {', '.join(_ENTRIES)}"
        return "this pattern has a brace that is not closed, or a name that cannot be", hint
    return None


def find_files(pattern: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield `{id, path, name, stem, <each name>}` of each file that matches, in order of the paths.

    Hidden files match only what begins with a dot, as in `read`. Paths are relative to `folder`, as the pattern is.
    """
    plain = re.sub(r"\{[^{}]*\}", "*", pattern)
    names, matches = capture_names(pattern), re.compile(_as_regex(pattern), re.DOTALL).fullmatch
    for path in sorted(glob(plain, root_dir=folder, recursive=True)):  # noqa: PTH207  Path.glob finds hidden files
        match = matches(path)
        if match and (folder / path).is_file():
            file, captured = PurePosixPath(path), match.groupdict()
            id = "-".join([captured[key] for key in names]) if names else file.stem
            yield {"id": id, "path": path, "name": file.name, "stem": file.stem, **captured}


def _as_regex(pattern: str) -> str:
    """Return a regular expression for the paths that a pattern matches, with a group for each `{name}`."""
    regex, end = "", 0
    seen: set[str] = set()
    for found in _PART.finditer(pattern):
        regex += re.escape(pattern[end : found.start()])
        name, deep, deepest, some, _, chars = found.groups()
        if name is not None:
            regex += f"(?P={name})" if name in seen else f"(?P<{name}>[^/]*)"
            seen.add(name)
        elif chars:
            regex += fnmatch.translate(chars).removeprefix("(?s:").removesuffix(")\\Z").removesuffix(")\\z")
        else:
            regex += "(?:.*/)?" if deep else ".*" if deepest else "[^/]*" if some else "[^/]"
        end = found.end()
    return regex + re.escape(pattern[end:])
