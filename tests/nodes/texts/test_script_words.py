"""Tests of the variables that a script reads of the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nfrun.history.cache.cache_key import CacheKeys
from nfrun.nodes.texts.script_words import read_variables
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.resolve import bind


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("echo $A ${B} ${C:-1} ${#D} ${E%x} \\$F $1 $? $$", {"A", "B", "C", "D", "E"}),
        ("x = os.environ['A'] + os.getenv('B') + os.environ.get(\"C\")", {"A", "B", "C"}),
        ("process.env.A; ENV['B']; $ENV{C}; Sys.getenv('D')", {"A", "B", "C", "D"}),
        ("A=$A; echo $A", {"A"}),
        ("echo $A; A=1", {"A"}),
        ("echo $HOME $PATH $LC_ALL $NFRUN_OUTPUT $GITHUB_OUTPUT $AWS_SECRET_ACCESS_KEY $GH_TOKEN", set()),
        ("echo $AUTHOR $GITHUB_SHA $CI $HOST $ID", {"AUTHOR", "GITHUB_SHA", "CI", "HOST", "ID"}),
    ],
)
def test_variables_that_a_script_reads(text: str, names: set[str]) -> None:
    assert read_variables(text) == names


def test_a_secret_is_not_in_the_key_and_no_value_is_there_in_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.yaml").write_text("secrets: [DB]\nnodes:\n  node: {run: echo $DB $FOO}\n")
    monkeypatch.setenv("DB", "hidden in the environment")
    monkeypatch.setenv("FOO", "the value of a variable")
    pipeline = bind(*read_pipeline(tmp_path / "p.yaml"), given={}, typed={}, environ=os.environ, run_id="plan")
    found = CacheKeys(pipeline).definition("node")
    assert {name for name in found if name.startswith("variable")} == {"variable FOO"}
    assert not any(value in str(found) for value in ("hidden", "the value"))
