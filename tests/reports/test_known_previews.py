"""Tests that a run shows tables that an earlier run has shown, without opening them, and never those of others."""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from kept_json import kept_in

from nfrun.core.events import OutputRef
from nfrun.core.file_source import DIGEST_OF_FILES
from nfrun.core.pipeline import OutputId
from nfrun.core.values import replace
from nfrun.reports.printing import PlainConsole
from nfrun.reports.table_preview import KnownPreviews, preview_of, print_preview

REF = OutputRef(OutputId("a"), 2, 16, "n: int64", "/runs/1/a.arrow", "d1", schema_digest="s1")
TABLE = pa.table({"n": [1, 2]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "p.yaml.json"


def show(path: Path, table: pa.Table, ref: OutputRef = REF, redact: Callable[[str], str] = str) -> tuple[str, int]:
    """Show a table as a run of its own. Returns what is printed, and how often the table was opened."""
    opened: list[str] = []

    def open_table(id: str) -> pa.Table:
        opened.append(id)
        return table

    previews = KnownPreviews(*kept_in(path), refs={ref.id: ref}, table=open_table, redact=redact)
    preview = previews.of(ref.id)
    assert preview is not None
    previews.close()
    out = io.StringIO()
    print_preview(PlainConsole(out), "a", preview, ref.path, redact)
    return out.getvalue(), len(opened)


def opened(path: Path, ref: OutputRef = REF, redact: Callable[[str], str] = str, table: pa.Table = TABLE) -> int:
    return show(path, table, ref, redact)[1]


def test_what_was_shown_is_shown_again_without_the_table(path: Path) -> None:
    day = datetime.date(2024, 2, 29)
    values = {
        "float": [0.1, float("nan"), -0.0, 1e300] * 7,
        "whole": [1, -(2**53), 2**63 - 1, None] * 7,
        "text": ["a", "", "\x1b[31m", "e\u0301 \U0001f600"] * 7,
        "day": [day, None, day, day] * 7,
        "list": [[1, None], [], None, [2]] * 7,
        "flag": [True, False, None, True] * 7,
        "bytes": [b"\xff", b"", None, b"x"] * 7,
    }
    table = pa.table({**values, **{f"more{i}": [i] * 28 for i in range(9)}})
    expected = io.StringIO()
    print_preview(PlainConsole(expected), "a", preview_of(table), REF.path)
    assert "… and 18 more rows" in expected.getvalue()
    assert show(path, table) == (expected.getvalue(), 1)
    assert show(path, pa.table({})) == (expected.getvalue(), 0)


@pytest.mark.parametrize(
    "change",
    [{"digest": "d2"}, {"schema_digest": "s2"}, {"schema": "m: int64"}, {"id": OutputId("b")}],
    ids=str,
)
def test_another_table_is_opened(path: Path, change: dict[str, object]) -> None:
    assert [opened(path), opened(path)] == [1, 0]
    assert opened(path, replace(REF, **change)) == 1


@pytest.mark.parametrize(
    "change", [{"digest": None}, {"path": None}, {"digest": f"{DIGEST_OF_FILES}1"}], ids=["none", "no file", "of files"]
)
def test_a_table_without_a_digest_of_its_own_is_not_remembered(path: Path, change: dict[str, object]) -> None:
    ref = replace(REF, **change)
    assert [opened(path, ref), opened(path, ref)] == [1, 1]
    assert not path.exists()


@pytest.mark.parametrize("table", [{"n": ["my secret"]}, {"secret": [1]}, {"n": [7.25]}, {"n": ["long" * 300]}])
def test_secrets_and_long_texts_are_not_remembered(path: Path, table: dict[str, list[object]]) -> None:
    hidden = lambda text: text.replace("secret", "***").replace("7.25", "***")  # noqa: E731
    assert [opened(path, redact=hidden, table=pa.table(table)) for _ in range(2)] == [1, 1]
    assert not path.exists()


def test_a_secret_that_is_new_is_hidden_in_what_is_remembered(path: Path) -> None:
    table = pa.table({"n": ["my secret"]})
    assert "my secret" in show(path, table)[0]
    printed, count = show(path, table, redact=lambda text: text.replace("secret", "***"))
    assert "my ***" in printed and "secret" not in printed
    assert count == 0


def test_it_is_written_only_if_something_is_new(path: Path) -> None:
    opened(path)
    before = path.stat().st_mtime_ns, path.stat().st_ino
    opened(path)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before


def test_previews_of_other_outputs_stay(path: Path) -> None:
    other = replace(REF, id=OutputId("b"))
    assert [opened(path), opened(path, other), opened(path), opened(path, other)] == [1, 1, 0, 0]
