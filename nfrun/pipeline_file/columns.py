"""Follows columns along the edges before a run, through queries, to what names them, and looks at the queries.

They are known from schemas in the file, and before a run also from the ends of Parquet and Arrow files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nfrun.core.contracts import Check
from nfrun.core.errors import Diagnostic, Problem
from nfrun.core.pipeline import TABLE, Gather, Input, NodeSpec, OutputId, Pipeline
from nfrun.core.plan import make_stages
from nfrun.core.text import did_you_mean, ellipsize, shortened
from nfrun.core.values import replace
from nfrun.nodes.arguments import missing_columns
from nfrun.nodes.folders import folder_of
from nfrun.nodes.registry import KINDS, kind_of
from nfrun.nodes.user_checks import query_columns, query_problems
from nfrun.pipeline_file.contracts import checks_path, is_bound
from nfrun.pipeline_file.findings import Findings, each_once, in_file_order, span_in_text
from nfrun.pipeline_file.known_checks import KnownChecks
from nfrun.pipeline_file.yaml.document import Document, Keys
from nfrun.tables.contracts.check_values import reference_of
from nfrun.tables.contracts.type_names import OTHERS, parse_type

_Files = Mapping[str, Mapping[str, Path]]  # by node, the files that say which columns its table has, by their names
_MOST_LISTED = 8  # columns, in a hint
_MOST_FILES = 200  # whose ends are read before a run: every run asks whether they have changed


def check_columns(found: Findings, nodes: Mapping[str, NodeSpec]) -> None:
    """Report queries of checks that are wrong, and columns that cannot be there, in a file with these nodes.

    Columns are not looked at in a file with mistakes.
    """
    is_right = not found.diagnostics
    for spec in nodes.values():
        for diagnostic, path, query in _query_problems(spec, found):
            _report(found, path, query, diagnostic)
    if is_right and _has_columns(nodes):
        _Columns(nodes, lambda spec: found, {}).check()


def column_problems(pipeline: Pipeline, document: Document, known: KnownChecks) -> list[Diagnostic]:
    """Return the same problems of a pipeline that is bound, each once. The ends of files say which columns are there.

    What is `known` to be in order is not checked again: while neither the nodes nor the files have changed, this
    imports neither pyarrow nor DuckDB.
    """
    nodes = pipeline.nodes
    kinds = [KINDS[kind] for kind in {spec.kind for spec in nodes.values()}]
    if not any(kind.says.columns for kind in kinds) and not any(spec.contracts for spec in nodes.values()):
        return []
    files = _footers(nodes, Path(pipeline.folder))
    if not files and not _has_columns(nodes) and not any(kind.says.examine for kind in kinds):
        return []
    of_files = [(nodes[name].with_, _states(found.values())) for name, found in files.items()]
    content = repr([*map(_content, nodes.values()), *of_files])
    if known.has(content):
        return []
    others = {pipeline.file: Findings(document)}

    def findings(spec: NodeSpec) -> Findings:
        file = spec.source.file
        if file not in others:
            others[file] = Findings(document.of_file(file))
        return others[file]

    names: dict[str, list[str]] = {}
    for spec in nodes.values():
        names.setdefault(spec.source.file, []).append(spec.local_name)
    seen: set[object] = set()
    for spec in nodes.values():
        wrong = [*_query_problems(spec, findings(spec))]
        examine, place = kind_of(spec).says.examine, (spec.source.file, spec.section, spec.local_name)
        if examine is not None and place not in seen:  # other cells have the same query
            seen.add(place)
            wrong += [(one, (*place[1:], *one.path), spec.body) for one in examine(spec, names[spec.source.file])]
        for diagnostic, path, query in wrong:
            if not diagnostic.is_warning:
                _report(findings(spec), path, query, diagnostic)
    _Columns(nodes, findings, files).check()
    problems = each_once([found for one in others.values() for found in one.diagnostics])
    if not problems:
        known.keep(content)
    return in_file_order(pipeline.file, problems)


def _footers(nodes: Mapping[str, NodeSpec], base: Path) -> _Files:
    """Return the files that say which columns the tables of nodes have, where columns of these are named."""
    kinds = {spec.kind: kind_of(spec) for spec in nodes.values()}
    using = (
        spec
        for spec in nodes.values()
        if spec.map or (kinds[spec.kind].says.columns and kinds[spec.kind].says.uses_columns(spec))
    )
    named = {output for spec in using for item in spec.inputs for output in item.outputs}
    files: dict[str, Mapping[str, Path]] = {}
    left = _MOST_FILES
    for name, spec in nodes.items():
        is_wanted = spec.contracts or spec.with_.get("columns") or not named.isdisjoint(spec.output_ids)
        found = kind_of(spec).says.footers(spec, folder_of(spec, base)) if is_wanted else {}
        left -= len(found)
        if left < 0:
            break
        if found:
            files[name] = found
    return files


def _has_columns(nodes: Mapping[str, NodeSpec]) -> bool:
    """Return whether columns may be known of a node without files: of its schema, or of a query that reads no table."""
    return any(
        spec.contracts or (not spec.inputs and kind_of(spec).says.columns and not kind_of(spec).outside.is_source(spec))
        for spec in nodes.values()
        if spec.kind
    )


def _content(spec: NodeSpec) -> object:
    """Return all of a node that matters for columns; nothing of a node that knows of none."""
    kind = kind_of(spec)
    if kind.says.columns is None and not spec.contracts and spec.map is None:
        return None
    used = [*spec.with_], spec.with_.get("columns"), spec.with_.get("partition")
    return spec.id, spec.kind, spec.body, spec.inputs, spec.contracts, spec.map, used


def _states(files: Iterable[Path]) -> object:
    """Return what tells that files have not changed. Where it does not, a run says what the query lacks."""
    found: list[object] = []
    for file in files:
        with suppress(OSError):
            state = os.stat(file)  # noqa: PTH116
            found.append((str(file), state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    return found


class _Columns:
    """Finds the columns of the outputs of nodes, and reports what names others.

    `findings` returns where the problems of a node are collected.
    """

    def __init__(self, nodes: Mapping[str, NodeSpec], findings: Callable[[NodeSpec], Findings], files: _Files) -> None:
        self._nodes, self._findings, self._files = nodes, findings, files
        self._known: dict[OutputId, Any] = {}  # the Arrow schema of an output
        self._gathered: dict[object, Any] = {}
        # By what a node does with which schemas: cells of a matrix do the same.
        self._made: dict[object, tuple[Any, Problem | None]] = {}

    def check(self) -> None:
        for stage in make_stages({name: spec.upstream for name, spec in self._nodes.items()}):
            for name in stage:
                self._add_declared(self._nodes[name])
                self._add_result(self._nodes[name])
                self._check_map(self._nodes[name])
        for spec in self._nodes.values():  # a check may refer to a node of the same stage
            if spec.contracts:
                self._check_contracts(spec, self._findings(spec))

    def _add_declared(self, spec: NodeSpec) -> None:
        """Add the columns of schemas. A name of several types is unknown but where texts are read."""
        for name, contract in spec.contracts.items():
            if contract.columns and OTHERS not in contract.columns:
                import pyarrow as pa

                from nfrun.tables.contracts.column_types import arrow_type

                is_read = kind_of(spec).outside.is_source(spec)
                names = {column: parse_type(text)[0] for column, text in contract.columns.items()}
                types = {
                    column: arrow_type(type_) if is_read or type_.is_one_type else pa.null()
                    for column, type_ in names.items()
                }
                if all(type_ is not None for type_ in types.values()):
                    self._known[OutputId(spec.id, name)] = pa.schema(list(types.items()))

    def _add_result(self, spec: NodeSpec) -> None:
        find = kind_of(spec).says.columns
        inputs = {item.name: self._schema_of(item) for item in spec.inputs if item.type == TABLE}
        if find is None or any(schema is None for schema in inputs.values()):
            return
        files = self._files.get(spec.id, {})
        options = repr((spec.with_, files, spec.contracts)) if files else ""
        key = spec.kind, spec.body, options, *((name, id(schema)) for name, schema in inputs.items())
        if key not in self._made:
            self._made[key] = find(spec, inputs, files)
        schema, wrong = self._made[key]
        found = self._findings(spec)
        if wrong is not None:
            _report(found, (spec.section, spec.local_name, *wrong.path), spec.body, wrong)
        elif schema is not None:
            output = spec.output_ids[0]
            contract = spec.contracts.get(output.name)
            before = len(found.diagnostics)
            for column in contract.columns if contract is not None else ():
                if column != OTHERS:
                    path = (*checks_path(found.document, spec.local_name, output.name, "schema"), column)
                    what = f"the schema of '{spec.id}' names the column '{ellipsize(column)}'"
                    _check_name(found, what, "its table", column, schema.names, path)
            if len(found.diagnostics) == before:  # otherwise readers may read what the schema names
                declared: Any = self._known.get(output)
                for i, column in enumerate(schema if declared is not None else ()):
                    if str(column.type) == "null" and column.name in declared.names:
                        schema = schema.set(i, declared.field(column.name))
                self._known[output] = schema

    def _check_map(self, spec: NodeSpec) -> None:
        """Report columns that the input which is cut does not have, and that `map` or the function names."""
        of_input = next((item for item in spec.inputs if spec.map and item.name == spec.map.over), None)
        schema = self._schema_of(of_input) if of_input else None
        if spec.map is None or of_input is None or schema is None or "map" in spec.unbound:
            return
        found, path = self._findings(spec), (spec.section, spec.local_name, "map")
        for key, names in (("by", spec.map.by), ("keep", spec.map.keep or ())):
            written = found.document.root[spec.section][spec.local_name]["map"]
            is_list = isinstance(written, dict) and isinstance(written.get(key), list)
            for i, column in enumerate(names):
                what = f"'map' of '{spec.id}' names the column '{ellipsize(column)}'"
                where = (*path, key, i) if is_list else (*path, key)
                _check_name(found, what, f"'{of_input.output}'", column, schema.names, where)
        for wrong in missing_columns(spec, schema.names):
            at: Keys = (spec.section, spec.local_name, *wrong.path)
            if spec.plugin is None:
                _report(found, at, spec.body, wrong)
            else:
                found.report(at, wrong.message, wrong.hint)

    def _schema_of(self, item: Input) -> Any:
        """Return the columns that what is read under an input may have, None if they are not known."""
        read = self._known.get(item.output) if item.gather is None else self._schema_of_cells(item.gather)
        return read if item.alternative is None else self._merged([read, self._known.get(item.alternative)])

    def _schema_of_cells(self, gather: Gather) -> Any:
        """Return the columns of the table of all cells, None if they are not known."""
        schema = self._merged([self._known.get(output) for output in gather.cells])
        key = id(schema), tuple(gather.columns.items())
        if schema is not None and key not in self._gathered:
            import pyarrow as pa

            axes = [pa.field(axis, pa.type_for_alias(type_)) for axis, type_ in gather.columns.items()]
            self._gathered[key] = pa.schema([*axes, *schema], schema.metadata)
        return self._gathered.get(key)

    def _merged(self, schemas: Sequence[Any]) -> Any:
        """Return the columns that a table with one of these schemas may have, None if one of them is not known."""
        different = list({id(schema): schema for schema in schemas}.values())
        if len(different) < 2 or None in different:
            return different[0] if len(different) == 1 else None
        key = tuple(map(id, different))
        if key not in self._gathered:
            from nfrun.tables.footers import lacking_columns, merged_schema

            schema = merged_schema(different)
            self._gathered[key] = None if schema is None else lacking_columns(schema)
        return self._gathered[key]

    def _check_contracts(self, spec: NodeSpec, found: Findings) -> None:
        for name, contract in spec.contracts.items():
            schema = self._known.get(OutputId(spec.id, name))
            for check in contract.checks:
                path = (*checks_path(found.document, spec.local_name, name), check.index, check.kind)
                if schema is not None:
                    what = f"a check of '{spec.id}' names the column"
                    for column in _named(check):
                        _check_name(found, f"{what} '{ellipsize(column)}'", "its table", column, schema.names, path)
                    if check.kind in KINDS and is_bound(check) and (wrong := query_columns(check, spec, schema)):
                        _report(found, path, check.value, wrong)
                if check.kind == "references" and is_bound(check):
                    referred = {item.name: item.output for item in spec.references}
                    for column, text in check.value.items():
                        other = referred.get(check.input_name(name, column), OutputId(spec.id, name))
                        theirs, named = self._known.get(other), reference_of(text)[1]
                        if theirs is not None:
                            what = f"a check of '{spec.id}' refers to the column '{ellipsize(named)}'"
                            _check_name(found, what, f"'{other}'", named, theirs.names, (*path, column))


def _query_problems(spec: NodeSpec, known: Findings) -> Iterator[tuple[Problem, Keys, str]]:
    """Yield what is wrong with the queries of a node's checks but for columns, each with its path and the query."""
    for name, contract in spec.contracts.items():
        for check in contract.checks:
            if check.kind in KINDS and isinstance(check.value, str):
                path = (*checks_path(known.document, spec.local_name, name), check.index)
                for found in query_problems(check, spec) if (*path, check.kind) not in known.wrong else ():
                    yield found, (*path, *found.path), check.value


def _report(found: Findings, path: Keys, query: str, wrong: Problem) -> None:
    """Report a problem of a query, in the file that has its text if it is one of its own."""
    value: Any = found.document.root
    for step in path:
        value = value[step]
    span = None
    if wrong.length and isinstance(value, str) and value != query:
        span = span_in_text(query, value.strip(), found.document.file, wrong.start, wrong.length)
    found.add(replace(wrong, path=path), span=span)


def _check_name(found: Findings, what: str, table: str, column: str, names: Sequence[str], path: Keys) -> None:
    if column not in names:
        hint = did_you_mean(column, names, f"it has {shortened([*names], _MOST_LISTED)}")
        found.report(path, f"{what}, which {table} does not have", hint)


def _named(check: Check) -> Iterator[str]:
    """Yield the columns that a built-in check names."""
    if check.kind in ("unique", "not_null"):
        yield from [check.value] if isinstance(check.value, str) else check.value
    elif check.kind in ("enum", "range", "match", "references", "fresh") and isinstance(check.value, dict):
        yield from check.value
