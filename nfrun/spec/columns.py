"""Follows columns along the edges before a run: those that schemas declare, through queries, to what names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nfrun.contracts.type_names import OTHERS, parse_type
from nfrun.core.contracts import Check
from nfrun.core.pipeline import NodeSpec, OutputId
from nfrun.core.plan import make_stages
from nfrun.core.text import closest_match, ellipsize
from nfrun.nodes.registry import KINDS
from nfrun.spec.body_files import span_in_body
from nfrun.spec.contracts import checks_path
from nfrun.spec.findings import Findings
from nfrun.yaml.document import Keys


def check_columns(found: Findings, nodes: Mapping[str, NodeSpec]) -> None:
    """Report columns that queries and checks name and that cannot be there. Does nothing in a file with mistakes.

    The columns of an output are known if its schema is complete, or if it is that of a query over such tables.
    """
    if found.diagnostics or not any(spec.contracts for spec in nodes.values()):
        return
    known: dict[OutputId, Any] = {}
    for stage in make_stages({name: spec.upstream for name, spec in nodes.items()}):
        for name in stage:
            spec = nodes[name]
            _add_declared(spec, known)
            if KINDS[spec.kind].columns is not None:
                _add_result(found, spec, known)
            _check_contracts(found, spec, known)


def _add_declared(spec: NodeSpec, known: dict[OutputId, Any]) -> None:
    for name, contract in spec.contracts.items():
        if contract.columns and OTHERS not in contract.columns:
            import pyarrow as pa

            from nfrun.contracts.column_types import arrow_type

            types = {column: arrow_type(parse_type(text)[0]) for column, text in contract.columns.items()}
            if all(type_ is not None for type_ in types.values()):
                known[OutputId(spec.id, name)] = pa.schema(list(types.items()))


def _add_result(found: Findings, spec: NodeSpec, known: dict[OutputId, Any]) -> None:
    inputs = {item.name: known.get(item.output) for item in spec.inputs if item.is_plain}
    if len(inputs) < len(spec.inputs) or not inputs or any(schema is None for schema in inputs.values()):
        return
    find = KINDS[spec.kind].columns
    schema, wrong = find(spec, inputs) if find is not None else (None, None)
    if wrong is not None:
        at, length = wrong.start, wrong.length
        span = span_in_body(spec, found.document.file, at, length) if spec.body_file and length else None
        where = (spec.section, spec.id, *wrong.path)
        found.report(where, wrong.message, wrong.hint, start=at, length=length, span=span)
    elif schema is not None:
        output = spec.output_ids[0]
        contract = spec.contracts.get(output.name)
        for column in contract.columns if contract is not None else ():
            if column != OTHERS:
                path = (*checks_path(found.document, spec.id, output.name, "schema"), column)
                _check_name(found, f"the schema of '{spec.id}'", column, schema.names, path)
        known.setdefault(output, schema)


def _check_contracts(found: Findings, spec: NodeSpec, known: Mapping[OutputId, Any]) -> None:
    for name, contract in spec.contracts.items():
        schema = known.get(OutputId(spec.id, name))
        if schema is None:
            continue
        for check in contract.checks:
            path = (*checks_path(found.document, spec.id, name), check.index, check.kind)
            for column in _named(check):
                _check_name(found, f"a check of '{spec.id}'", column, schema.names, path)


def _check_name(found: Findings, what: str, column: str, names: Sequence[str], path: Keys) -> None:
    if column not in names:
        guess = closest_match(column, names)
        hint = f"did you mean '{ellipsize(guess)}'?" if guess else ""
        found.report(path, f"{what} names the column '{ellipsize(column)}', which its table does not have", hint)


def _named(check: Check) -> Iterator[str]:
    """Yield the columns that a built-in check names."""
    if check.kind in ("unique", "not_null"):
        yield from [check.value] if isinstance(check.value, str) else check.value
    elif check.kind in ("enum", "range", "match", "references", "fresh") and isinstance(check.value, dict):
        yield from check.value
