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
from nfrun.history.journal import RecordedNode
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

    With `read_more`, code of the checks has read files or used hosts, which are in no key. A check that does not hold
    has a key also where it is always made: `refusal` compares these.
    """
    good = {(output, name): key for output, name, key in _keys(spec, code, digests, read_more=read_more)}
    failed = {(output, name): key for output, name, key in _keys(spec, code, digests, of_all=True)}
    keys = [(good if result.ok else failed).get((result.output, result.name), "") for result in results]
    return tuple([replace(result, key=key) for result, key in zip(results, keys, strict=True)])


def recorded_results(
    spec: NodeSpec, finished: RecordedNode, code: Fingerprints, digests: Mapping[OutputId, str]
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
    spec: NodeSpec, finished: RecordedNode, code: Fingerprints, digests: Mapping[OutputId, str]
) -> tuple[str, ...]:
    """Return the names of checks whose results the journal entry of a node lacks; () if it has all."""
    recorded = {(result.output, result.key) for result in finished.checks if result.key}
    return tuple([name for output, name, key in _keys(spec, code, digests) if (output, key) not in recorded])


def refusal(spec: NodeSpec, finished: RecordedNode, code: Fingerprints, digests: Mapping[OutputId, str]) -> str:
    """Return why a result cannot be used whose checks failed: one is as it was then. "" if all are others now."""
    failed = failed_checks(finished.checks)
    now = {(output, key) for output, _, key in _keys(spec, code, digests, of_all=True)} if failed else set()
    name = next((result.name for result in failed if (result.output, result.key) in now), "")
    return f"its check '{name}' failed" if name else ""


def has_new_checks(spec: NodeSpec, finished: RecordedNode, code: Fingerprints, digests: Mapping[OutputId, str]) -> bool:
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
    spec: NodeSpec,
    code: Fingerprints,
    digests: Mapping[OutputId, str],
    *,
    read_more: bool = False,
    of_all: bool = False,
) -> Iterator[tuple[str, str, str]]:
    """Yield the output, name and key of each check. The key is "" for one that is always made, unless `of_all`."""
    for name, contract in spec.contracts.items():
        output = OutputId(spec.id, name)
        if contract.columns:
            yield output, SCHEMA, text_checksum(json.dumps([SCHEMA, sorted(contract.columns.items())]))
        for check in contract.checks:
            is_unsure = read_more and check.kind not in BUILT_IN_CHECKS
            key = "" if is_unsure else _key(spec, name, check, code, digests)
            yield output, check.name, _key(spec, name, check, code, digests, always=True) if of_all and not key else key


def _key(
    spec: NodeSpec,
    output: str,
    check: Check,
    code: Fingerprints,
    digests: Mapping[OutputId, str],
    *,
    always: bool = False,
) -> str:
    """Return the key of a check, "" for one that is always made. If it is `always` made, it has another key, too."""
    if check.kind == "fresh" and not always:
        return ""
    parts = [check.kind, check.value, check.allow, check.severity, dict(check.with_)]
    if check.kind == "references":
        inputs = {item.name: item for item in spec.references}
        names = [check.input_name(output, column) for column in check.value]
        referred = [inputs[name].output for name in names if name in inputs]
        parts.append([digests.get(other, ABSENT) for other in referred])
    elif check.kind not in BUILT_IN_CHECKS:
        code_inputs = _code_inputs(spec, check, code)
        if code_inputs is None and not always:
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
    known = f"check {json.dumps([check.kind, check.value, dict(check.with_), spec.timezone])}"
    if known not in code.memo:
        kind, node = KINDS[check.kind], node_of(check, spec)
        facts = kind.code.facts(node, code)
        reads_unseen = (facts.files, facts.unknown_files, facts.named, facts.commands, facts.network)
        other = (facts.clocks, facts.draws, facts.local_time)
        reads_more = any(reads_unseen) or any(other) or kind.outside.inputs(node, Path(code.folder))
        versions = {f"package {name}": code.distributions.version(name) or "" for name in kind.code.packages}
        code.memo[known] = None if reads_more else sorted({**kind.code.key(node, code), **versions}.items())
    found: list[tuple[str, str]] | None = code.memo[known]
    return found
