"""Tests of what `nfrun doctor` says of the line that tells editors where the schema of a pipeline file is."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.core.errors import SpecError
from nfrun.core.health import NOTE, OK
from nfrun.nodes.schemas import document_schema
from nfrun.pipeline_file.schema import check_modeline


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        ("", OK, "p.yaml does not tell editors where its schema is"),
        ("# yaml-language-server: $schema=s.json", OK, "s.json is the schema of this nfrun"),
        ("#yaml-language-server:$schema=./s.json  # as it is", OK, "./s.json is the schema of this nfrun"),
        ("# yaml-language-server: $schema=https://x.org/s.json", OK, "p.yaml names the schema https://x.org/s.json"),
        ("# $schema: s.json", OK, "s.json is the schema of this nfrun"),
        ("# yaml-language-server: $schema=x.json", NOTE, "p.yaml names the schema x.json, which is not there"),
        ("# yaml-language-server: $schema=.", NOTE, "p.yaml names the schema ., which is not there"),
        (
            "# yaml-language-server: $schema=old.json",
            NOTE,
            "old.json is not the schema of this nfrun: editors may refuse what it can, or offer what it cannot",
        ),
    ],
)
def test_the_schema_of_a_modeline(line: str, level: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(document_schema("pipeline"))
    (tmp_path / "old.json").write_text("{")
    (tmp_path / "p.yaml").write_text(f"{line}\nnodes: {{}}\n")
    found = check_modeline(tmp_path / "p.yaml")
    assert (found.level, found.text) == (level, text)
    assert bool(found.advice) == (level == NOTE)


def test_the_schema_of_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes(b"\0\1\2")
    with pytest.raises(SpecError):
        check_modeline(tmp_path / "p.yaml")
