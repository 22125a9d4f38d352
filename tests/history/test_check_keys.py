"""The keys of checks: what makes a check anew on a table that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nfrun.code.distributions import Distributions
from nfrun.code.fingerprint import Fingerprints
from nfrun.core.contracts import CheckResult
from nfrun.core.pipeline import NodeSpec, OutputId
from nfrun.core.values import replace
from nfrun.history.cache.check_keys import checks_to_make, refusal, with_keys
from nfrun.history.journal import RecordedNode
from nfrun.pipeline_file.loader import read_pipeline


def node(folder: Path, checks: str) -> NodeSpec:
    """Return a node with these checks."""
    (folder / "p.yaml").write_text(f"nodes:\n  a: {{sql: select 1 as id, checks: [{checks}]}}\n")
    return read_pipeline(folder / "p.yaml")[0].nodes["a"]


def results(spec: NodeSpec, *, ok: bool) -> tuple[CheckResult, ...]:
    """Return results of all checks of a node, with their keys."""
    made = spec.contracts[""].checks
    found = tuple(CheckResult(check.name, OutputId("a"), check.severity, ok) for check in made)
    return with_keys(found, spec, Fingerprints(Path(spec.folder)), {})


def key(folder: Path, check: str) -> str:
    """Return the key of the only check of a node."""
    return results(node(folder, f"{{{check}}}"), ok=True)[0].key


@pytest.mark.parametrize(
    ("check", "changes"), [("sql: from this where id > 1", True), ("unique: id", False), ("python: 'checks:f'", False)]
)
def test_the_answers_of_a_query_are_those_of_a_version_of_duckdb(
    check: str, changes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checks.py").write_text("def f(table):\n    return True\n")
    before, version = key(tmp_path, check), Distributions.version

    def newer(self: Any, name: str) -> str | None:
        return "99" if name == "duckdb" else version(self, name)

    monkeypatch.setattr(Distributions, "version", newer)
    assert (key(tmp_path, check) != before) == changes and before


UNIQUE, SAME = "{unique: id}", "its check 'unique: id' failed"


@pytest.mark.parametrize(
    ("then", "now", "why"),
    [
        (UNIQUE, UNIQUE, SAME),
        (UNIQUE, "{rows: 1}, {unique: id, name: other}", SAME),
        (UNIQUE, "{unique: id, allow: 1}", ""),
        (UNIQUE, "{unique: id, severity: warn}", ""),
        (UNIQUE, "{rows: 1}", ""),
        (f"{UNIQUE}, {{rows: 2}}", f"{UNIQUE}, {{rows: 1}}", SAME),
        ("{fresh: {at: 1d}}", "{fresh: {at: 1d}}", "its check 'fresh: at' failed"),
        ("{fresh: {at: 1d}}", "{fresh: {at: 2d}}", ""),
        ("{sql: from 'f.csv'}", "{sql: from 'f.csv'}", "its check 'sql: from 'f.csv'' failed"),
        ("{sql: from 'f.csv'}", "{sql: from 'g.csv'}", ""),
        ("{unique: id, severity: warn}", "{unique: id, severity: warn}", ""),  # that let no node fail
    ],
)
def test_a_result_whose_check_failed_is_used_when_all_of_these_are_others(
    then: str, now: str, why: str, tmp_path: Path
) -> None:
    entry = RecordedNode("a", "ok", "key", {}, (), {}, checks=results(node(tmp_path, then), ok=False))
    assert refusal(node(tmp_path, now), entry, Fingerprints(tmp_path), {}) == why


def test_a_check_that_is_always_made_has_no_key_where_it_holds(tmp_path: Path) -> None:
    spec = node(tmp_path, "{fresh: {at: 1d}}")
    assert [result.key for result in results(spec, ok=True)] == [""]
    failed = RecordedNode("a", "ok", "key", {}, (), {}, checks=results(spec, ok=False))
    assert checks_to_make(spec, failed, Fingerprints(tmp_path), {}) == ("fresh: at",)


def test_a_good_result_is_not_refused(tmp_path: Path) -> None:
    spec = node(tmp_path, UNIQUE)
    entry = RecordedNode("a", "ok", "key", {}, (), {}, checks=results(spec, ok=True))
    assert refusal(spec, entry, Fingerprints(tmp_path), {}) == ""


def key_of(spec: NodeSpec, code: Fingerprints) -> str:
    """Return the key of the only check of a node, which holds."""
    result = CheckResult(spec.contracts[""].checks[0].name, OutputId("a"), "error", True)
    return with_keys((result,), spec, code, {})[0].key


@pytest.mark.parametrize(
    "check",
    ["sql: from this where day < current_date", "sql: from this using sample 10%", "python: 'checks:day'",
     "python: 'checks:local'"],
)  # fmt: skip
def test_a_check_that_asks_for_the_time_is_always_made(check: str, tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text(
        "from datetime import date, datetime\ndef day(t): return t['d'] < date.today()\n"
        "def local(t): return t['d'] < datetime.fromtimestamp(0)\n"
    )
    assert key_of(node(tmp_path, f"{{{check}}}"), Fingerprints(tmp_path)) == ""


def test_a_query_of_a_check_has_another_key_in_another_time_zone(tmp_path: Path) -> None:
    spec = node(tmp_path, "{sql: from this where id > 1}")
    code = Fingerprints(tmp_path)  # which remembers what it has read
    keys = [key_of(of, code) for of in (spec, replace(spec, timezone="Asia/Tokyo"), spec)]
    assert keys[0] == keys[2] != keys[1]
