"""The keys of checks: what makes a check anew on a table that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nfrun.cache.check_keys import with_keys
from nfrun.code.distributions import Distributions
from nfrun.code.fingerprint import Fingerprints
from nfrun.core.contracts import CheckResult
from nfrun.spec.loader import read_pipeline


def key(folder: Path, check: str) -> str:
    """Return the key of the only check of a node."""
    (folder / "p.yaml").write_text(f"nodes:\n  a: {{sql: select 1 as id, checks: [{{{check}}}]}}\n")
    spec = read_pipeline(folder / "p.yaml")[0].nodes["a"]
    (made,) = spec.contracts[""].checks
    result = CheckResult(made.name, "a", "error", ok=True)
    return with_keys((result,), spec, Fingerprints(folder), {})[0].key


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
