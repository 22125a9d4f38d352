"""Reads which axes a pipeline file declares, and which of them each node has.

What shows without the values of parameters and without reading data is checked here; `values.py` finds the values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nfrun.core.pipeline import Axis, has_expression
from nfrun.core.text import ellipsize
from nfrun.core.values import frozen
from nfrun.pipeline_file.findings import Findings, did_you_mean
from nfrun.pipeline_file.matrix.axis_values import check_values, indices, is_literal, key_of, text_of, with_values
from nfrun.pipeline_file.matrix.file_names import capture_names, find_files, pattern_problem
from nfrun.pipeline_file.references import items
from nfrun.pipeline_file.yaml.document import Keys

_SOURCES = ("files", "rows", "of")
_NO_INCLUDE = "combinations that are no product are one axis of mappings: case: [{id: a, …}, {id: b, …}]"


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
    bodies = root.get("nodes")
    bodies = bodies if isinstance(bodies, dict) else {}
    declaring: list[Keys] = [("matrix",)] if isinstance(root.get("matrix"), dict) else []
    named = [name for name, body in bodies.items() if isinstance(body, dict) and "matrix" in body]
    declaring += [("nodes", name, "matrix") for name in named if isinstance(bodies[name]["matrix"], dict)]
    if not declaring and not named:
        return NO_AXES, ()
    axes: dict[str, Axis] = {}
    broken: set[str] = set()
    for path in declaring:
        for name, source in _at(root, path).items():
            if name == "include":
                found.report((*path, name), "a matrix has no 'include'", _NO_INCLUDE, at_key=True)
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
    excluded = [entry for path in declaring for entry in _excluded(found, path, axes, broken)]
    return DeclaredAxes(axes, of_nodes, frozenset(broken), frozenset(unclear)), tuple(excluded)


def _at(root: Any, path: Keys) -> Any:
    for step in path:
        root = root[step]
    return root


def _read_axis(found: Findings, axis: Axis, above: Mapping[str, Axis]) -> Axis:
    """Check the source of an axis. Returns it with its values, if these are known from the file alone."""
    source, path, name = axis.source, axis.path, axis.name
    if isinstance(source, str):
        if not (has_expression(source) and source.strip().startswith("${{") and source.strip().endswith("}}")):
            found.report(path, f"the axis '{name}' must be a list of values", f"write {name}: [{ellipsize(source)}]")
    elif isinstance(source, list):
        before = len(found.diagnostics)
        for step, what, hint in check_values(name, source):
            found.report((*path, *step), what, hint)
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
        elif sources == ["files"] and (wrong := pattern_problem(source["files"])):
            found.report((*path, "files"), *wrong)
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
        return
    values: tuple[Any, ...] = parent.values
    if isinstance(parent.source, dict) and not has_expression(pattern := str(parent.source.get("files", "${{"))):
        if axis.name in ("id", "path", "name", "stem", *capture_names(pattern)):
            return
        values = tuple(find_files(pattern, found.folder))  # only to name one in the message
    for key, value in zip(parent.keys or [value["id"] for value in values], values, strict=True):
        if not isinstance(value, Mapping) or value.get(axis.name) is None:
            found.report(path, *no_entry(parent.name, key, value, axis.name))
            return


def no_entry(axis: str, key: Any, value: Any, entry: str) -> tuple[str, str]:
    """Return the message and hint for a value of an axis that lacks an entry, or has null there."""
    if not isinstance(value, Mapping):
        what = f"'{ellipsize(str(key))}' of the axis '{axis}' is no mapping, so it has no entry '{ellipsize(entry)}'"
        return what, f"write {{id: {ellipsize(str(key))}, {ellipsize(entry)}: …}}"
    if entry in value:
        what = f"'{ellipsize(str(key))}' of the axis '{axis}' has null as its '{ellipsize(entry)}'"
        return what, "give it a value, or leave it out"
    what = f"'{ellipsize(str(key))}' of the axis '{axis}' has no entry '{ellipsize(entry)}'"
    return what, f"it has {ellipsize(', '.join(map(str, value)), 200)}"


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
            elif name in own:
                found.report((*path, *step), f"'{node}' has the axis '{name}' twice", "remove one")
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


def _excluded(found: Findings, path: Keys, axes: Mapping[str, Axis], broken: set[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the entries of `exclude` under the matrix at this path. Rejects axes and values that do not exist."""
    known = {name: indices(axis) for name, axis in axes.items() if axis.values}
    entries_of = _at(found.document.root, path).get("exclude")
    if not isinstance(entries_of, list) or (*path, "exclude") in found.wrong:
        return
    for i, entry in enumerate(entries_of):
        where: Keys = (*path, "exclude", i)
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
