"""Finds the values of the axes of a pipeline: evaluates their expressions, lists files, and reads tables."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from glob import has_magic
from pathlib import Path
from typing import Any

from nfrun.core.pipeline import Axis, Pipeline
from nfrun.core.text import closest_match, ellipsize
from nfrun.core.values import frozen, replace
from nfrun.pipeline_file.expressions import ExpressionError, evaluate, evaluate_all
from nfrun.pipeline_file.matrix.axes import no_entry
from nfrun.pipeline_file.matrix.axis_values import MAX_NODES, OWN_ID, check_values, key_of, shown, text_of, with_values
from nfrun.pipeline_file.matrix.file_names import find_files, hint_for, pattern_problem
from nfrun.pipeline_file.parameters import env_text
from nfrun.pipeline_file.settings import is_evaluated
from nfrun.pipeline_file.yaml.document import Keys

Names = Mapping[str, Mapping[str, Any]]


@frozen
class ValueProblem:
    """Why the values of an axis are not known. `path` is that in the document.

    `missing` is the name of a file that is missing, of which `validate` only warns. With a `length`, the problem is at
    that many characters of the value, from the index `start` on.
    """

    path: Keys
    message: str
    hint: str = ""
    missing: str = ""
    start: int = 0
    length: int = 0


def find_values(
    pipeline: Pipeline, names: Names, *, reads_data: bool = True
) -> tuple[dict[str, Axis], list[ValueProblem]]:
    """Return the axes of the pipeline with their values, and the problems of those that have none.

    `names` are those that expressions see, `run` without its id. Without `reads_data`, axes over the rows of a file
    have no values.
    """
    found: dict[str, Axis] = {}
    problems: list[ValueProblem] = []
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

    def __init__(self, *problems: ValueProblem) -> None:
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
                raise _Unknown(
                    ValueProblem(axis.path, what, "3 | range is [0, 1, 2]" if isinstance(values, int) else "")
                )
            return self.checked(values, axis.path if isinstance(source, str) else None)
        key = "files" if "files" in source else "rows"
        path = (*axis.path, key)
        named = self.evaluated(source[key], path)
        if not isinstance(named, str) or not named.strip() or "\0" in named:
            what = f"this is no name of a file: {ellipsize(env_text(named)) or 'it is empty'}"
            raise _Unknown(ValueProblem(path, what))
        return self.checked(list(self.files(named, path) if key == "files" else self.rows(named, path)), path)

    def evaluated(self, value: Any, path: Keys) -> Any:
        """Return a nested value with its expressions evaluated. Raises _Unknown."""

        def evaluated(text: str, path: Keys) -> Any:
            try:
                return evaluate(text, self.names)
            except ExpressionError as error:
                raise _Unknown(ValueProblem(path, str(error), start=error.start, length=error.length)) from None

        return evaluate_all(value, path, evaluated)

    def checked(self, values: list[Any], path: Keys | None) -> Axis:
        """Return the axis with these values. Their problems are at `path`, or each at its value. Raises _Unknown."""
        if not values:
            what = f"the axis '{self.axis.name}' has no values"
            raise _Unknown(ValueProblem(path or self.axis.path, what, "its expression gives an empty list"))
        if len(values) > MAX_NODES:  # to look at each takes long
            what = f"the axis '{self.axis.name}' has {len(values):,} values, and at most {MAX_NODES:,}"
            raise _Unknown(ValueProblem(path or self.axis.path, what))
        wrong = list(check_values(self.axis.name, values))
        if wrong:
            told = [(s, what, self.own_id(values, s) if hint is OWN_ID else hint) for s, what, hint in wrong[:3]]
            raise _Unknown(*[ValueProblem(path or (*self.axis.path, *s), what, hint) for s, what, hint in told])
        return with_values(self.axis, values)

    def own_id(self, values: list[Any], step: Keys) -> str:
        """Return the hint for a value whose id another one has: what they are, and where their ids come from."""
        second = int(step[0])
        id = text_of(key_of(values[second])).lower()
        first = next(i for i, value in enumerate(values) if text_of(key_of(value)).lower() == id)
        source = self.axis.source if isinstance(self.axis.source, dict) else {}
        if "files" in source:
            files = " and ".join(ellipsize(values[i]["path"]) for i in (first, second))
            return f"{files}: write {{name}} for the part of the path that differs"
        if "rows" in source:
            return f"rows {first + 1} and {second + 1}: say which column names each row: id: …"
        return OWN_ID

    def files(self, pattern: str, path: Keys) -> Iterator[dict[str, Any]]:
        """Yield the files that match the pattern. Raises _Unknown if there are none."""
        if wrong := pattern_problem(pattern):
            raise _Unknown(ValueProblem(path, *wrong))
        files = list(find_files(pattern, self.folder))
        if not files:
            what = f"no file matches '{ellipsize(pattern, 200)}'"
            raise _Unknown(ValueProblem(path, what, hint_for(pattern, self.folder), missing=pattern))
        return iter(files)

    def rows(self, file: str, path: Keys) -> Iterator[dict[str, Any]]:
        """Yield the rows of a table, each with its id. Raises _Unknown."""
        name = self.axis.name
        if not (self.folder / file).is_file():
            what = f"the axis '{name}' has no values: there is no file '{ellipsize(file, 200)}'"
            hint = "this is one file; files that match a pattern are {files: …}" if has_magic(file) else ""
            if (self.folder / file).is_dir():
                hint = f"it is a folder; its files are {{files: '{ellipsize(file.rstrip('/'))}/*'}}"
            raise _Unknown(ValueProblem(path, what, hint, missing=file))
        if not self.reads_data:
            raise _Unknown
        from nfrun.tables.file_io import read_table
        from nfrun.tables.formats import FormatError

        try:
            table = read_table(file, base=self.folder)
        except (FormatError, OSError) as error:
            what = f"the axis '{name}' has no values: {ellipsize(str(error), 300)}"
            raise _Unknown(ValueProblem(path, what)) from None
        column = self.evaluated(self.axis.source.get("id", "id"), (*self.axis.path, "id"))
        if column not in table.column_names:
            guess = closest_match(str(column), table.column_names)
            listed = f"it has {ellipsize(', '.join(table.column_names), 200)}"
            hint = f"did you mean '{guess}'?" if guess and "id" in self.axis.source else f"{listed}; say which: id: …"
            where = (*self.axis.path, "id") if "id" in self.axis.source else path
            raise _Unknown(ValueProblem(where, f"'{ellipsize(file)}' has no column '{ellipsize(str(column))}'", hint))
        if table.column_names.count(column) > 1:
            raise _Unknown(ValueProblem(path, f"'{ellipsize(file)}' has the column '{ellipsize(column)}' twice"))
        if not table.num_rows:
            raise _Unknown(ValueProblem(path, f"the axis '{name}' has no values: '{ellipsize(file)}' has no rows"))
        for number, row in enumerate(table.to_pylist(), 1):
            values = {key: _plain(value) for key, value in row.items()}
            if not isinstance(id := values[column], str | int) or isinstance(id, bool) or id == "":
                what = f"the 'id' in row {number} of '{ellipsize(file)}' is {shown(id)}"
                raise _Unknown(ValueProblem(path, what, "an id is a string or a whole number"))
            yield {**values, "id": id}

    def followed(self, above: Mapping[str, Axis]) -> Axis:
        """Return an axis that follows another one with its values. Raises _Unknown."""
        name, parent, path = self.axis.name, above[self.axis.of], (*self.axis.path, "of")
        if not parent.values:
            raise _Unknown
        entries: list[Any] = []
        for key, value in zip(parent.keys, parent.values, strict=True):
            if not isinstance(value, Mapping) or value.get(name) is None:
                raise _Unknown(ValueProblem(path, *no_entry(parent.name, key, value, name)))
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
