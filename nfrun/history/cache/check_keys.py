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
from nfrun.core.values import frozen, replace
from nfrun.history.cache.cache_key import ABSENT
from nfrun.history.journal import RecordedNode
from nfrun.nodes.registry import KINDS
from nfrun.nodes.user_checks import node_of
from nfrun.system.checksums import text_checksum


@frozen
class _Key:
    """The key of a check. `is_always` made: also where it is as then. `is_own`: its code is the user's."""

    output: OutputId
    name: str
    text: str
    is_always: bool = False
    is_own: bool = False
    is_age: bool = False


def with_keys(
    results: tuple[CheckResult, ...],
    spec: NodeSpec,
    code: Fingerprints,
    digests: Mapping[OutputId, str],
    *,
    read_more: bool = False,
) -> tuple[CheckResult, ...]:
    """Return results with their keys. `digests` are reader digests of the outputs that the node's checks refer to.

    With `read_more`, code of the checks has read files or used hosts, which are in no key. A check that is always made
    has a key only if it does not hold: `refusal` compares these.
    """
    keys: dict[tuple[str, str], str] = {}
    good = {(result.output, result.name) for result in results if result.ok}
    for key in _keys(spec, code, digests):
        is_made_again = key.is_always or (read_more and key.is_own)
        of = key.output, key.name
        keys[of] = "" if is_made_again and of in good else key.text
    return tuple([replace(result, key=keys.get((result.output, result.name), "")) for result in results])


def recorded_results(
    spec: NodeSpec, finished: RecordedNode, code: Fingerprints, digests: Mapping[OutputId, str]
) -> tuple[CheckResult, ...] | None:
    """Return the results of all checks of a node, if its journal entry has them; None if one is to be made again."""
    recorded = {(result.output, result.key): result for result in finished.checks if result.key}
    results = []
    for key in _keys(spec, code, digests):
        result = None if key.is_always else recorded.get((key.output, key.text))
        if result is None:
            return None
        path = result.path if result.path and os.path.exists(result.path) else None  # noqa: PTH110
        results.append(replace(result, name=key.name, path=path))
    return tuple(results)


def checks_to_make(
    spec: NodeSpec,
    finished: RecordedNode,
    code: Fingerprints,
    digests: Mapping[OutputId, str],
    *,
    is_selected: bool = True,
) -> tuple[str, ...]:
    """Return the names of checks whose results the journal entry of a node lacks; () if it has all.

    A result of `fresh` counts whenever it was made if the node is not selected: then its age is no change.
    """
    recorded = {(result.output, result.key) for result in finished.checks if result.key}
    made = {(result.output, result.name) for result in finished.checks} if not is_selected else ()
    lacking = [k for k in _keys(spec, code, digests) if k.is_always or (k.output, k.text) not in recorded]
    return tuple([key.name for key in lacking if not (key.is_age and (key.output, key.name) in made)])


def refusal(spec: NodeSpec, finished: RecordedNode, code: Fingerprints, digests: Mapping[OutputId, str]) -> str:
    """Return why a result cannot be used whose checks failed: one is as it was then. "" if all are others now."""
    failed = failed_checks(finished.checks)
    now = {(key.output, key.text) for key in _keys(spec, code, digests)} if failed else set()
    name = next((result.name for result in failed if (result.output, result.key) in now), "")
    return f"its check '{name}' failed" if name else ""


def _keys(spec: NodeSpec, code: Fingerprints, digests: Mapping[OutputId, str]) -> Iterator[_Key]:
    for name, contract in spec.contracts.items():
        output = OutputId(spec.id, name)
        if contract.columns:
            yield _Key(output, SCHEMA, text_checksum(json.dumps([SCHEMA, sorted(contract.columns.items())])))
        for check in contract.checks:
            is_own, is_age = check.kind not in BUILT_IN_CHECKS, check.kind == "fresh"
            parts = [check.kind, check.value, check.allow, check.severity, dict(check.with_)]
            if check.kind == "references":
                inputs = {item.name: item for item in spec.references}
                names = [check.input_name(name, column) for column in check.value]
                parts.append([digests.get(inputs[known].output, ABSENT) for known in names if known in inputs])
            elif is_own:
                parts.append(_code_inputs(spec, check, code))
            is_always = is_age or (is_own and parts[-1] is None)
            yield _Key(
                output, check.name, text_checksum(json.dumps(parts, ensure_ascii=False)), is_always, is_own, is_age
            )


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
