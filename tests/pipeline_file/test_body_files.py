"""Queries in files: what is read, where their mistakes are shown, and files that cannot be read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from nfrun.core.errors import Diagnostic, SpecError, render_all
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.resolve import resolve
from nfrun.pipeline_file.validate import validate_file

PIPELINE = """\
nodes:
  a: {sql: select 1 as n}
  b: {sql: models/late.sql, inputs: a, with: {k: 2}}
"""


@pytest.fixture
def query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of the query of node `b`, in the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(PIPELINE)
    Path("models").mkdir()
    return Path("models/late.sql")


def problems() -> str:
    """Return what `validate` says: errors, or else warnings."""
    warnings: list[Diagnostic] = []
    try:
        validate_file(Path("p.yaml"), warnings.append)
    except SpecError as error:
        return render_all(error.diagnostics)
    return render_all(warnings)


def test_the_text_of_the_file_is_the_query(query: Path) -> None:
    query.write_text("select n + $k as m from a", encoding="utf-8-sig")
    pipeline, _ = read_pipeline("p.yaml")
    assert (pipeline.nodes["b"].body, pipeline.nodes["b"].body_file) == ("select n + $k as m from a", "models/late.sql")
    assert (pipeline.nodes["a"].body, pipeline.nodes["a"].body_file) == ("select 1 as n", "")
    bound = resolve(Path("p.yaml"), given={}, params_file=None, environ={}, run_id="r").pipeline
    assert bound.nodes["b"].body == "select n + $k as m from a"
    assert not problems()


def test_a_check_may_have_its_query_in_a_file(query: Path) -> None:
    query.write_text("select * from this where n > 1")
    node = "nodes:\n  a: {sql: select 1 as n, checks: [{sql: models/late.sql}]}\n"
    Path("p.yaml").write_text(node)
    pipeline, _ = read_pipeline("p.yaml")
    (check,) = pipeline.nodes["a"].contracts[""].checks
    assert (check.name, check.value) == ("sql: models/late.sql", "select * from this where n > 1")
    Path("p.yaml").write_text(node.replace("late", "lat"))
    assert (
        problems()
        == """p.yaml:2:42: 'models/lat.sql': there is no such file
    2 |   a: {sql: select 1 as n, checks: [{sql: models/lat.sql}]}
      |                                          ^^^^^^^^^^^^^^ did you mean 'models/late.sql'?"""
    )


def test_expressions_in_the_file_are_text(query: Path) -> None:
    query.write_text("select '${{ params.x }}' as t, $k as k from a")
    assert read_pipeline("p.yaml")[0].nodes["b"].body.startswith("select '${{ params.x }}'")


@pytest.mark.parametrize(
    "body", ["select 'x.sql'", "from read_csv('a.csv') -- like x.sql", "a.sql b.sql", "models.sqlx"]
)
def test_a_query_is_no_name(query: Path, body: str) -> None:
    Path("p.yaml").write_text(f'nodes:\n  b: {{sql: "{body}"}}\n')
    assert read_pipeline("p.yaml")[0].nodes["b"].body_file == ""


MISTAKES = [
    (
        "select n + $k as m\nfrom a\nwhere n > $kk\n",
        """models/late.sql:3:11: no 'with' value gives $kk
    3 | where n > $kk
      |           ^^^ did you mean 'k'?""",
    ),
    (
        "-- ä\r\nselect $k as k from aa\r\n",
        """models/late.sql:2:21: the query reads the table 'aa', which is not there
    2 | select $k as k from aa
      |                     ^^ did you mean 'a'?""",
    ),
    (
        "\n\nselec 1",
        """models/late.sql:3:1: DuckDB cannot parse this query: syntax error at or near "selec"
    3 | selec 1
      | ^^^^^ look before it; quote reserved names, and write values as $name""",
    ),
    (
        "select n from a",
        """p.yaml:3:47: the query does not use the value 'k'
    3 |   b: {sql: models/late.sql, inputs: a, with: {k: 2}}
      |                                               ^ write $k in the query, or remove the value""",
    ),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_mistakes_are_shown_where_they_stand(query: Path, text: str, message: str) -> None:
    query.write_bytes(text.encode())
    assert problems() == message


def test_the_place_is_given_as_the_pipeline_file_is(query: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    query.write_text("select $x from a")
    folder = Path.cwd()
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    with pytest.raises(SpecError) as error:
        validate_file(Path("../p.yaml"), lambda warning: None)
    assert [str(found.span) for found in error.value.diagnostics] == ["../models/late.sql:1:8"]
    with pytest.raises(SpecError) as error:
        validate_file(folder / "p.yaml", lambda warning: None)
    assert [str(found.span) for found in error.value.diagnostics] == [f"{folder}/models/late.sql:1:8"]


def wrong(what: str, hint: str, body: str = "models/late.sql") -> str:
    line = f"  b: {{sql: {body}, inputs: a, with: {{k: 2}}}}"
    return f"p.yaml:3:12: {what}\n    3 | {line}\n      | {' ' * 11}{'^' * len(body)} {hint}"


@pytest.mark.parametrize(
    ("there", "body", "what", "hint"),
    [
        ("", "models/late.sql", "there is no such file", "check the path"),
        ("models/lates.sql", "models/late.sql", "there is no such file", "did you mean 'models/lates.sql'?"),
        ("models/Late.SQL", "models/lat.sql", "there is no such file", "did you mean 'models/Late.SQL'?"),
        ("models/late.sql", "model/late.sql", "there is no such file", "check the path"),
        ("models/late.sql", "late.sql", "there is no such file", "check the path"),
        ("models/late.sql", "models/*.sql", "there is no such file", "check the path"),
        ("models/late.sql/x", "models/late.sql", "this is a folder, not a file", "name a file in it"),
        ("", "s3://b/late.sql", "there is no such file", "check the path"),
        ("", "~/late.sql", "there is no such file", "check the path"),
        ("", "models/late.sql/x.sql", "there is no such file", "check the path"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_there(query: Path, there: str, body: str, what: str, hint: str) -> None:
    if there:
        Path(there).parent.mkdir(exist_ok=True)
        Path(there).write_text("select 1")
    Path("p.yaml").write_text(PIPELINE.replace("models/late.sql", body))
    assert problems() == wrong(f"'{body}': {what}", hint, body)


@pytest.mark.parametrize(
    ("content", "what", "hint"),
    [
        (b"", "'models/late.sql': this file is empty", "write what belongs under 'sql' into it"),
        (b" \n\t", "'models/late.sql': this file is empty", "write what belongs under 'sql' into it"),
        (b"select '\xff'", "'models/late.sql': this file is not UTF-8", "save it as UTF-8"),
        ("select 1".encode("utf-16"), "'models/late.sql': this is not UTF-8 text", "save it as UTF-8"),
        (b"select 1\0", "'models/late.sql': this is not UTF-8 text", "save it as UTF-8"),
    ],
)
def test_a_file_without_a_query(query: Path, content: bytes, what: str, hint: str) -> None:
    query.write_bytes(content)
    assert problems() == wrong(what, hint)


def test_a_pipe_is_not_read(query: Path) -> None:
    os.mkfifo(query)
    what = "'models/late.sql': this is not a regular file"
    assert problems() == wrong(what, "save what it gives to a file, and give that")


def test_a_file_that_cannot_be_read(query: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    query.write_text("select 1")

    opened = Path.open

    def refuse(path: Path, *args: Any) -> Any:
        if path.suffix == ".sql":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args)

    monkeypatch.setattr(Path, "open", refuse)
    what = "'models/late.sql': there is no permission to read this file"
    assert problems() == wrong(what, "check its mode, and those of the folders above it")


def test_an_expression_is_no_name(query: Path) -> None:
    Path("p.yaml").write_text(PIPELINE.replace("models/late.sql", '"models/${{ params.x }}.sql"'))
    assert "write $name: values are bound, never pasted into a query" in problems()
