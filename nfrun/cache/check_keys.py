"""Computes the keys of checks: a check is made again where its key is another one, although its node is reused.

A key covers the check, the code that it reaches and what it compares columns with. The table itself is that of the
journal entry which has the result.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from nfrun.code.fingerprint import Fingerprints
from nfrun.core.contracts import BUILT_IN_CHECKS, SCHEMA, Check, CheckResult, failed_checks
from nfrun.core.pipeline import NodeSpec, OutputId
from nfrun.core.values import replace
from nfrun.history.journal import FinishedNode
from nfrun.nodes.registry import KINDS
from nfrun.nodes.user_checks import node_of
from nfrun.system.checksums import text_checksum

ABSENT = "absent"


def with_keys(
    results: tuple[CheckResult, ...],
    spec: NodeSpec,
    code: Fingerprints,
    digests: Mapping[OutputId, str],
    *,
    read_more: bool = False,
) -> tuple[CheckResult, ...]:
    """Return results with their keys. `digests` are reader digests of what the node's checks refer to.

    With `read_more`, code of the checks has read files or used hosts, which are in no key.
    """
    keys = {(output, name): key for output, name, key in _keys(spec, code, digests, read_more=read_more)}
    return tuple(replace(result, key=keys.get((result.output, result.name), "")) for result in results)


def recorded_results(
    spec: NodeSpec, finished: FinishedNode, code: Fingerprints, digests: Mapping[OutputId, str]
) -> tuple[CheckResult, ...] | None:
    """Return the results of all checks of a node, if its journal entry has them; None if one is to be made again."""
    recorded = {(result.output, result.key): result for result in finished.checks if result.key}
    results = []
    for output, name, key in _keys(spec, code, digests):
        result = recorded.get((output, key))
        if result is None:
            return None
        path = result.path if result.path and os.path.exists(result.path) else None  # noqa: PTH110
        results.append(replace(result, name=name, path=path))
    return tuple(results)


def checks_to_make(
    spec: NodeSpec, finished: FinishedNode, code: Fingerprints, digests: Mapping[OutputId, str]
) -> tuple[str, ...]:
    """Return the names of checks whose results the journal entry of a node lacks; () if it has all."""
    recorded = {(result.output, result.key) for result in finished.checks if result.key}
    return tuple([name for output, name, key in _keys(spec, code, digests) if (output, key) not in recorded])


def refusal(spec: NodeSpec, finished: FinishedNode, code: Fingerprints, digests: Mapping[OutputId, str]) -> str:
    """Return why a result cannot be used whose checks failed: one of them is as it was then. "" if all are others now.

    Of one that is made each time, nothing shows whether it is another one.
    """
    failed = failed_checks(finished.checks)
    now = {(output, key) for output, _, key in _keys(spec, code, digests)} if failed else set()
    same = (result.name for result in failed if not result.key or (result.output, result.key) in now)
    name = next(same, "")
    return f"its check '{name}' failed" if name else ""


def has_new_checks(spec: NodeSpec, finished: FinishedNode, code: Fingerprints, digests: Mapping[OutputId, str]) -> bool:
    """Return whether a node has a check whose result its journal entry lacks.

    A result of `fresh` counts whenever it was made: where the node is not selected, its age is no change.
    """
    recorded = {(result.output, result.key) for result in finished.checks if result.key}
    made = {(result.output, result.name) for result in finished.checks}
    ages = {
        (OutputId(spec.id, output), check.name)
        for output, contract in spec.contracts.items()
        for check in contract.checks
        if check.kind == "fresh"
    }
    return any(
        (output, key) not in recorded and (output, name) not in (ages & made)
        for output, name, key in _keys(spec, code, digests)
    )


def _keys(
    spec: NodeSpec, code: Fingerprints, digests: Mapping[OutputId, str], *, read_more: bool = False
) -> Iterator[tuple[str, str, str]]:
    """Yield the output, the name and the key of each check; the key is "" for one that is always made."""
    for name, contract in spec.contracts.items():
        output = OutputId(spec.id, name)
        if contract.columns:
            yield output, SCHEMA, text_checksum(json.dumps([SCHEMA, sorted(contract.columns.items())]))
        for check in contract.checks:
            is_unsure = read_more and check.kind not in BUILT_IN_CHECKS
            yield output, check.name, "" if is_unsure else _key(spec, name, check, code, digests)


def _key(spec: NodeSpec, output: str, check: Check, code: Fingerprints, digests: Mapping[OutputId, str]) -> str:
    if check.kind == "fresh":
        return ""
    parts = [check.kind, check.value, check.allow, check.severity, dict(check.with_)]
    if check.kind == "references":
        inputs = {item.name: item for item in spec.references}
        names = [check.input_name(output, column) for column in check.value]
        referred = [inputs[name].output for name in names if name in inputs]
        parts.append([digests.get(other, ABSENT) for other in referred])
    elif check.kind not in BUILT_IN_CHECKS:
        code_inputs = _code_inputs(spec, check, code)
        if code_inputs is None:
            return ""
        parts.append(code_inputs)
    return text_checksum(json.dumps(parts, ensure_ascii=False))


def read_check_code(spec: NodeSpec, code: Fingerprints) -> None:
    """Read the code of a node's checks before the run, as it may change until they are made."""
    for contract in spec.contracts.values():
        for check in contract.checks:
            if check.kind not in BUILT_IN_CHECKS:
                _code_inputs(spec, check, code)


def _code_inputs(spec: NodeSpec, check: Check, code: Fingerprints) -> list[tuple[str, str]] | None:
    """Return the key inputs of the code of a check; None if it reads more than the table, which is not compared.

    The result is cached.
    """
    known = f"check {json.dumps([check.kind, check.value, dict(check.with_)])}"
    if known not in code.memo:
        kind, node = KINDS[check.kind], node_of(check, spec)
        facts = kind.code_facts(node, code)
        reads_unseen = (facts.files, facts.unknown_files, facts.looked_at, facts.commands, facts.network)
        reads_more = any(reads_unseen) or kind.external_inputs(node, Path(code.folder))
        versions = {f"package {name}": code.distributions.version(name) or "" for name in kind.packages}
        code.memo[known] = None if reads_more else sorted({**kind.key_inputs(node, code), **versions}.items())
    found: list[tuple[str, str]] | None = code.memo[known]
    return found
