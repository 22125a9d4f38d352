"""Reads `schema` and `checks` of nodes and their outputs, and reports what is wrong with them.

A value that holds an expression is checked once it is evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.contracts import CHECKS, OF_TABLES, Check, Contract, default_name
from nfrun.core.pipeline import NOTHING, form_of
from nfrun.core.text import ellipsize
from nfrun.core.values import replace
from nfrun.nodes.base import is_evaluated
from nfrun.nodes.registry import KINDS
from nfrun.nodes.user_checks import check_problems
from nfrun.pipeline_file.findings import Findings
from nfrun.pipeline_file.yaml.document import Document, Keys, entries, mapping
from nfrun.tables.contracts.check_values import value_problems
from nfrun.tables.contracts.type_names import OTHERS, TypeNameError, parse_type

KEYS = ("schema", "checks")


def without_problems(found: Findings, path: Keys, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a node that have no problem.

    Of outputs, columns and checks, those beside one that has a problem stay, so that all mistakes are told at once. An
    output that has one stays as a table of which nothing is said: it may be read.
    """
    kept: dict[str, Any] = {}
    for key, value in body.items():
        at = (*path, key)
        if at not in (found.wrong if key in KEYS else found.bad):
            kept[key] = value
        elif key == "outputs" and isinstance(value, dict) and at not in found.wrong:
            kept[key] = {
                name: form
                if (*at, name) not in found.bad
                else without_problems(found, (*at, name), form)
                if isinstance(form, dict) and (*at, name) not in found.wrong
                else {}
                for name, form in value.items()
            }
    return kept


def read_contracts(
    found: Findings,
    path: Keys,
    body: Mapping[str, Any],
    outputs: tuple[str, ...],
    types: Mapping[str, str],
    functions: FunctionLookup,
) -> Mapping[str, Contract]:
    """Return the contracts of a node by the names of its outputs.

    `outputs` are these names, and `types` has the types of those that are no tables.
    """
    if not any(key in body for key in KEYS) and not isinstance(body.get("outputs"), dict):
        return NOTHING
    if any(key in KINDS and KINDS[key].runs.is_expanded for key in body):
        return NOTHING  # `read_included` reports them
    contracts: dict[str, Contract] = {}
    own = {key: body[key] for key in KEYS if key in body}
    if own and len(outputs) > 1:
        key = next(iter(own))
        what = f"a node with {len(outputs)} outputs has '{key}' under each of them"
        found.report((*path, key), what, f"outputs: {{{outputs[0]}: {{{key}: …}}, …}}", at_key=True)
    elif own:
        contracts[outputs[0] if outputs else ""] = _contract(found, path, own, functions)
    given = mapping(body.get("outputs"))
    for name, value in given.items():
        if isinstance(value, dict) and any(key in value for key in KEYS):
            if name in contracts:
                key = next(key for key in KEYS if key in value)
                what = f"'{key}' stands at the node and at its output, too"
                found.report((*path, "outputs", name, key), what, "keep one", at_key=True)
            contracts[name] = _contract(found, (*path, "outputs", name), value, functions)
    for name in [name for name in contracts if types.get(name)]:
        at: Keys = (*path, "outputs", name)
        key = next((key for key in KEYS if key in own), "") or next(key for key in KEYS if key in given[name])
        what = f"'{name}' is a {form_of(types[name])}, and only a table has '{key}'"
        found.report((*path, key) if key in own else (*at, key), what, "check it in a node that reads it", at_key=True)
        del contracts[name]
    return {name: contract for name, contract in contracts.items() if contract.columns or contract.checks}


def _contract(found: Findings, path: Keys, body: Mapping[str, Any], functions: FunctionLookup) -> Contract:
    columns = _columns(found, (*path, "schema"), mapping(body.get("schema")))
    return Contract(dict(columns), tuple(_checks(found, (*path, "checks"), body.get("checks"), functions)))


def _columns(found: Findings, path: Keys, columns: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, text in columns.items():
        where = (*path, name)
        if where in found.bad or not isinstance(text, str):
            continue
        if name == OTHERS and text.strip() not in ("any", "any?"):
            found.report(where, f"'{OTHERS}' admits columns of any type", f'write "{OTHERS}": any')
            continue
        try:
            parse_type(text)
        except TypeNameError as error:
            found.report(where, str(error), error.hint)
        else:
            yield name, text


def _checks(found: Findings, path: Keys, checks: Any, functions: FunctionLookup) -> Iterator[Check]:
    names: dict[str, int] = {}
    for i, entry in entries(checks):
        where = (*path, i)
        if where in found.bad or not isinstance(entry, dict):
            continue
        kinds = [key for key in entry if key in CHECKS]
        if len(kinds) != 1:
            what = f"a check has one of {', '.join(CHECKS)}"
            second = (*where, kinds[1]) if kinds else where
            found.report(second, what, "make it several checks" if kinds else "", at_key=bool(kinds))
            continue
        kind = kinds[0]
        name = str(entry.get("name") or default_name(kind, entry[kind]))
        how = entry.get("severity", "error"), entry.get("allow", 0), entry.get("with") or {}
        check = Check(kind, entry[kind], name, *how, i)
        wrong = len(found.diagnostics)
        if "allow" in entry and kind in OF_TABLES:
            what = f"'{kind}' is about the whole table, so there are no failing rows to allow"
            found.report((*where, "allow"), what, "remove 'allow'", at_key=True)
        if "with" in entry and kind not in KINDS:
            what = f"a check '{kind}' takes no values"
            found.report((*where, "with"), what, "only those of sql and python do: remove 'with'", at_key=True)
        if is_evaluated(check.value):
            for steps, what, hint in value_problems(check.kind, check.value):
                found.report((*where, check.kind, *steps), what, hint)
            if len(found.diagnostics) == wrong:
                for each in check_problems(check, functions):
                    found.add(each, where)
        if check.name in names:
            if "name" in entry:
                what = f"two checks are called '{ellipsize(check.name)}'"
                found.report((*where, "name"), what, "their failing rows have a file by this name: rename one")
            names[check.name] += 1
            check = replace(check, name=f"{check.name} ({names[check.name]})")
        names.setdefault(check.name, 1)
        if len(found.diagnostics) == wrong:
            yield check


def is_bound(check: Check) -> bool:
    """Return whether there are no expressions left in a check."""
    return all(is_evaluated(value) for value in (check.value, check.allow, dict(check.with_)))


def checks_path(document: Document, node: str, output: str, key: str = "checks") -> Keys:
    """Return the path of the checks, or of the schema, of an output: under it, or at the node."""
    outputs = document.root["nodes"][node].get("outputs")
    form = outputs.get(output) if isinstance(outputs, dict) else None
    if isinstance(form, dict) and key in form:
        return ("nodes", node, "outputs", output, key)
    return ("nodes", node, key)
