"""Checks the outputs of an attempt against their contracts, and keeps the first failing rows as evidence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nfrun.core.contracts import BUILT_IN_CHECKS, SCHEMA, Check, CheckResult, Contract, failed_checks, row_text
from nfrun.core.errors import Cause, HandoffError, NodeError, error_text
from nfrun.core.events import Failure, OutputRef
from nfrun.core.pipeline import Input, NodeSpec, OutputId
from nfrun.core.text import ellipsize, file_stem
from nfrun.nodes.registry import KINDS

if TYPE_CHECKING:
    import pyarrow as pa

    from nfrun.engine.attempt_context import AttemptContext
    from nfrun.tables.contracts.finding import Finding

_SHOWN_ROWS, _SHOWN_COLUMNS = 5, 8
_LONGEST_NAME = 80
_NO_NAME = re.compile(r"[^\w.,=-]+")


class OutputChecks:
    """Makes the checks of an attempt. `given` has the outputs that the attempt may open.

    The failing rows are written into the folder for evidence, and places in code are told relative to that of the
    pipeline.
    """

    def __init__(self, context: AttemptContext, given: Mapping[str, OutputRef]) -> None:
        self._context, self._settings, self._given = context, context.settings, given
        self._files: set[str] = set()

    def make(self, outputs: Mapping[str, OutputRef]) -> tuple[CheckResult, ...]:
        """Return the results of all checks of these outputs. Raises NodeError for an output that is not there."""
        node = self._context.node
        results: list[CheckResult] = []
        for name, contract in node.contracts.items():
            ref = outputs.get(OutputId(node.id, name))
            if ref is None:
                of = f" of '{name}'" if name else ""
                raise NodeError(f"it handed on no table, and its 'schema' and 'checks'{of} are about one")
            results += self._of_output(ref, name, contract)
        return tuple(results)

    def _of_output(self, ref: OutputRef, name: str, contract: Contract) -> Iterator[CheckResult]:
        if contract.columns:
            problems = self._schema_problems(ref, contract.columns)
            yield CheckResult(SCHEMA, ref.id, "error", not problems, None, ref.rows, reason="; ".join(problems))
            if problems:
                return
        table = self._settings.store.open(ref) if contract.checks else None
        for check in contract.checks:
            yield self._result(check, ref, table, self._finding(check, name, table))

    def _schema_problems(self, ref: OutputRef, columns: Mapping[str, str]) -> list[str]:
        """Return what in an output is against its schema. A table that is in files is not made if these say it."""
        from nfrun.tables.contracts.built_in import columns_without_nulls, problems_of_columns, schema_problems

        if ref.files is not None:
            from nfrun.tables.footers import null_counts, source_schema

            files = self._settings.store.files(ref)
            if (counts := null_counts(files, columns_without_nulls(columns))) is not None:
                return list(problems_of_columns(columns, source_schema(files), counts.__getitem__))
        return list(schema_problems(columns, self._settings.store.open(ref)))

    def _finding(self, check: Check, name: str, table: pa.Table) -> Finding:
        from nfrun.tables.contracts.built_in import make_check
        from nfrun.tables.contracts.finding import Finding

        if check.kind in BUILT_IN_CHECKS:
            return make_check(check, table, self._others(check, name, table), self._settings.started)
        from nfrun.nodes.user_checks import make_user_check

        try:
            return make_user_check(check, table, self._context)
        except HandoffError:
            raise
        except BaseException as error:  # also SystemExit and the like, as of a node
            if self._context.cancel_token.cancelled:
                raise
            return Finding(False, reason=" ".join(self._told(check, error).split()))

    def _told(self, check: Check, error: BaseException) -> str:
        """Return what an error of a check says, and where in the user's code it was raised."""
        text, is_code = error_text(error), KINDS[check.kind].runs.calls_code
        if isinstance(error, NodeError):
            return f"{text} ({error.details})" if is_code and error.details else f"{text} {error.details}"
        from nfrun.engine.failures import user_place

        place = user_place(error, self._context.node, self._settings.folder) if is_code else ""
        return f"{type(error).__name__}: {text}" + (f" ({place})" if place else "")

    def _others(self, check: Check, name: str, table: pa.Table) -> dict[str, pa.Table | None]:
        """Return the tables that the columns of a check are compared with: this one, if the node refers to itself."""
        if check.kind != "references":
            return {}
        inputs = {item.name: item for item in self._context.node.references}
        found = {}
        for column in check.value:
            item = inputs.get(check.input_name(name, column))
            found[column] = table if item is None else self._referred(item)
        return found

    def _referred(self, item: Input) -> Any:
        read = item.read(self._given.__contains__)
        return self._settings.store.open(self._given[read[0]]) if read else None

    def _result(self, check: Check, ref: OutputRef, table: pa.Table, found: Finding) -> CheckResult:
        rows = table.num_rows
        ok = found.holds or (found.failing is not None and found.failing <= check.allowed(rows))
        evidence, path = found.evidence, None
        shown: tuple[Mapping[str, str], ...] = ()
        if evidence is not None and found.failing:
            shown = _shown(first_columns(evidence.slice(0, _SHOWN_ROWS), check))
            path = self._write(check, ref, evidence)
        return CheckResult(check.name, ref.id, check.severity, ok, found.failing, rows, path, found.reason, shown)

    def _write(self, check: Check, ref: OutputRef, evidence: pa.Table) -> str:
        from nfrun.tables.ipc import write_file

        stem = f"{file_stem(ref.id)}.{_NO_NAME.sub('_', check.name)[:_LONGEST_NAME]}"
        stem = f"{stem}-{check.index}" if stem.lower() in self._files else stem
        self._files.add(stem.lower())
        path = self._settings.evidence / f"{stem}.arrow"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_file(evidence.combine_chunks(), path, fsync=self._context.fsync)
        return str(path)


def first_columns(table: pa.Table, check: Check) -> pa.Table:
    """Return a few columns of a table: first those that the check is about."""
    value = check.value
    named = [value] if isinstance(value, str) else list(value) if isinstance(value, Mapping | Sequence) else []
    names = table.schema.names
    first = [names.index(name) for name in named if name in names]
    return table.select([*first, *(i for i in range(len(names)) if i not in first)][:_SHOWN_COLUMNS])


def _shown(table: pa.Table) -> tuple[Mapping[str, str], ...]:
    from nfrun.tables.python_values import values_of

    columns = [
        ["null" if value is None else ellipsize(str(value), 40) for value in values_of(c)] for c in table.columns
    ]
    return tuple([dict(zip(table.schema.names, row, strict=True)) for row in zip(*columns, strict=True)])


def absent_outputs(node: NodeSpec, results: Sequence[CheckResult]) -> tuple[OutputId, ...]:
    """Return the outputs that are absent, since a check with `severity: skip` does not hold."""
    skipped = {result.output for result in results if result.severity == "skip" and not result.ok}
    return tuple(output for output in node.output_ids if output in skipped)


def failure_of_checks(node: NodeSpec, results: Sequence[CheckResult]) -> Failure | None:
    """Return the failure of a node of which a check with `severity: error` does not hold, None if all hold."""
    failed = failed_checks(results)
    if not failed:
        return None
    first, *others = failed
    details = list(_details(first))
    for result in others:
        details += [f"also its check {_what(node, result)}", *_details(result)]
    subject = "does not have its schema" if first.name == SCHEMA and not first.shown else "failed its check"
    what = f"{_of(node, first)}: {first.reason}" if first.name == SCHEMA else f" {_what(node, first)}"
    return Failure(Cause.CHECK, "", f"{subject}{what}", details="\n".join(details))


def _of(node: NodeSpec, result: CheckResult) -> str:
    return f" of '{result.output}'" if len(node.outputs) > 1 else ""


def _what(node: NodeSpec, result: CheckResult) -> str:
    return f"'{result.name}'{_of(node, result)}: {result.text}"


def _details(result: CheckResult) -> Iterator[str]:
    for row in result.shown[1:]:
        yield f"  {row_text(row)}"
    if result.path is not None and (result.failing or 0) > 1:
        yield f"  {result.path}"
