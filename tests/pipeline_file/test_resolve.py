"""`resolve`: from the file to the bound pipeline in one call."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.core.errors import SpecError, render_all
from nfrun.pipeline_file.resolve import resolve
from nfrun.system.logs.redaction import Redactor, redact_diagnostic

TEXT = """\
params: {n: {type: integer, default: 1}, m: 2}
secrets: [TOKEN]
nodes:
  a: {run: "true", with: {sum: "${{ params.n }} ${{ params.m }} ${{ run.id }}"}}
"""
ENVIRON = {"TOKEN": "s3cret-value"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "p.yaml").write_text(TEXT)
    return tmp_path / "p.yaml"


def test_the_pipeline_is_bound_and_comes_with_its_redactor(file: Path, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("{n: 3, m: 4}")
    found = resolve(file, given={"n": "5"}, params_file=tmp_path / "params.yaml", environ=ENVIRON, run_id="r1")
    assert found.pipeline.nodes["a"].with_ == {"sum": "5 4 r1"}
    assert found.pipeline.nodes["a"].source.line == 4
    assert found.redactor("it is s3cret-value") == "it is ***"


def test_the_redactor_is_set_before_an_error_of_binding(file: Path) -> None:
    redactors: list[Redactor] = []
    given = {"n": "s3cret-value"}
    with pytest.raises(SpecError) as caught:
        resolve(file, given=given, params_file=None, environ=ENVIRON, run_id="r", set_redactor=redactors.append)
    (redactor,) = redactors
    shown = render_all([redact_diagnostic(diagnostic, redactor) for diagnostic in caught.value.diagnostics])
    assert shown == f"{file}: the parameter 'n' must be of type integer, not '***'"


def test_a_file_with_problems_sets_no_redactor(file: Path) -> None:
    file.write_text(TEXT.replace("run:", "rum:"))
    redactors: list[Redactor] = []
    with pytest.raises(SpecError):
        resolve(file, given={}, params_file=None, environ=ENVIRON, run_id="r", set_redactor=redactors.append)
    assert redactors == []


def test_to_look_at_a_pipeline_its_secrets_need_no_value(file: Path) -> None:
    found = resolve(file, given={}, params_file=None, environ={}, run_id="plan", to_run=False)
    assert found.pipeline.nodes["a"].with_ == {"sum": "1 2 plan"}
    with pytest.raises(SpecError):
        resolve(file, given={}, params_file=None, environ={}, run_id="r")


def test_a_pipeline_without_secrets_has_nothing_to_mask(file: Path) -> None:
    file.write_text(TEXT.replace("secrets: [TOKEN]", ""))
    assert not resolve(file, given={}, params_file=None, environ=ENVIRON, run_id="r").redactor
