"""The package and the pipeline of `docs/plugins.md`: its mistakes, and a table without rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import Here
from plugin_site import as_installed, on_path

from nfrun.nodes.schemas import document_schema
from tests.docs.pages import ROOT, write_files


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Path]:
    """A folder with the pipeline of the page. Its package is as if it were installed from there."""
    write_files("docs/plugins.md", tmp_path)
    (tmp_path / "words" / "words_kinds" / "__init__.py").touch()
    with ExitStack() as stack:
        for place in as_installed(tmp_path / "words", tmp_path / "site"):
            stack.enter_context(on_path(place))
        yield tmp_path


def test_its_table_without_rows_has_columns(here: Here, package: Path) -> None:
    (package / "p.yaml").write_text(
        "nodes:\n  texts: {sql: \"select 'a' as text where false\"}\n"
        "  words: {use: words.count, inputs: texts, with: {column: text}}\n"
        "  n: {sql: 'select count(word) + sum(count) as n from words', inputs: words}\noutputs: {n: n}\n"
    )
    done = here(package, "run", "p.yaml", "-q")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("column: text, ", "", "p.yaml:3:46: 'words.count' needs 'column'"),
        ("least: 2", "leats: 2", "p.yaml:3:67: 'words.count' has no 'leats'"),
        ("least: 2", "least: 0", "p.yaml:3:74: 'least' must be at least 1, not 0"),
        (
            "@1",
            "@2",
            "p.yaml:3:16: 'words.count' is installed in version 1.0 (of words-for-nfrun 1.0), and this asks for 2",
        ),
        ("words.count", "word.count", "p.yaml:3:16: no installed package has the kind 'word.count'"),
    ],
)
def test_its_mistakes_are_told_before_a_run(here: Here, package: Path, old: str, new: str, message: str) -> None:
    (package / "p.yaml").write_text((package / "count.yaml").read_text().replace(old, new))
    done = here(package, "validate", "p.yaml")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, message)


def test_the_table_has_all_keys_of_a_static_half() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    table = page[page.index("## The static half") : page.index("## The running half")]
    keys = {*json.loads(document_schema("kind"))["properties"]} - {"$schema", "description"}
    assert {*re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)} == keys
