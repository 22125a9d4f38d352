"""The files that a query may read, found by the names in its text, compared with the files that DuckDB reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from nfrun.nodes.texts.sql_files import files_elsewhere, sql_files

FILES = (
    "a.csv",
    "b.csv",
    "it's.csv",
    "x[1].csv",
    ".hidden.csv",
    "sub/c.csv",
    "sub/.h/d.csv",
    "elsewhere/e.csv",
    "db/x.db",
    "db/x.db.wal",
)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / "base [1]" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("n\n1\n")
    return tmp_path / "base [1]"


CASES: dict[str, set[str]] = {
    "from read_csv('a.csv')": {"a.csv"},
    "from read_csv(['a.csv', 'sub/c.csv', 'absent.csv'])": {"a.csv", "sub/c.csv"},
    "from 'it''s.csv'": {"it's.csv"},
    'from "a.csv" join b.csv using (n)': {"a.csv", "b.csv"},
    "from read_csv(E'a.csv')": {"a.csv"},
    "from read_csv($$a.csv$$) -- or $t$b.csv$t$": {"a.csv"},
    "from read_csv($t$b.csv$t$)": {"b.csv"},
    "-- it's\nfrom 'a.csv' /* isn't */ where x = 'y'": {"a.csv"},
    "from 'x[1].csv'": {"x[1].csv"},
    "from './a.csv'": {"./a.csv"},
    "from '[ab].csv'": {"a.csv", "b.csv"},
    "from '*b*.csv'": {"b.csv"},
    "from 'sub/**/*.csv'": {"sub/c.csv", "sub/.h/d.csv"},
    "from '*.csv'": {"a.csv", "b.csv", "it's.csv", "x[1].csv", ".hidden.csv"},
    "from read_csv('sub')": {"sub/c.csv", "sub/.h/d.csv"},
    "from READ_CSV ( ['sub/'])": {"sub/c.csv", "sub/.h/d.csv"},
    "select 1 where kind = 'sub'": set(),
    "select '*', '**', '.*', '/', '/*/*.csv', '%.csv', '', '.', 'a'": set(),
    "from read_csv('.')": set(),
    "from read_csv($file)": {"b.csv"},
    "from read_csv($many)": {"a.csv", "b.csv"},
    "from read_csv($folder)": {"sub/c.csv", "sub/.h/d.csv"},
    "select $folder, $none, $absent": set(),
    "from 's3://bucket/a.csv'": set(),
    "select '\0', 'a\0*'": set(),
    "attach 'db/x.db'": {"db/x.db", "db/x.db.wal"},
    "ATTACH OR REPLACE DATABASE 'db/x.db' as x (type sqlite)": {"db/x.db", "db/x.db.wal"},
    "attach if not exists 'db/x.db'": {"db/x.db", "db/x.db.wal"},
    "select 'db/x.db'": {"db/x.db"},
    "import database 'elsewhere'": {"elsewhere/e.csv"},
    "IMPORT  DATABASE\n'elsewhere/'": {"elsewhere/e.csv"},
}
VALUES: dict[str, Any] = {
    "file": "b.csv", "many": ["a.csv", {"x": "b.csv"}, 1], "folder": "sub", "none": None, "unused": "elsewhere/e.csv"
}  # fmt: skip


@pytest.mark.parametrize("text", CASES)
def test_files_named_in_a_query(base: Path, text: str) -> None:
    found = sql_files(text, VALUES, base)
    assert set(found) == CASES[text]
    assert all(path == base / name for name, path in found.items())


@pytest.mark.parametrize("prefix", ["", "file:", "file://", "file://localhost"])
def test_absolute_paths_and_file_urls(base: Path, prefix: str) -> None:
    assert sql_files(f"from '{prefix}{base}/a.csv'", {}, Path("/nowhere")) == {f"{base}/a.csv": base / "a.csv"}


def test_a_string_too_long_for_a_path_is_no_file(base: Path) -> None:
    for length in (300, 100_000):
        assert sql_files(f"select '{'a' * length}', '{'*a' * length}' from a.csv", {}, base) == {
            "a.csv": base / "a.csv"
        }


def test_the_folder_comes_before_the_working_directory(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.csv", "z.csv"):
        (tmp_path / name).write_text("n\n2\n")
    monkeypatch.chdir(tmp_path)
    found = {"a.csv": base / "a.csv", "b.csv": base / "b.csv", "z.csv": Path("z.csv")}
    assert sql_files("from 'a.csv' join '[b].csv' join 'z.csv'", {}, base) == found
    assert files_elsewhere("from 'a.csv' join '[b].csv' join 'z.csv'", {}, base) == (["z.csv"], ["a.csv"])


def test_a_tilde_is_the_home_folder(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(base))
    assert set(sql_files("from read_csv('~/a.csv')", {}, Path("/nowhere"))) == {f"{base}/a.csv"}


def test_devices_and_pipes_are_no_files(base: Path) -> None:
    os.mkfifo(base / "pipe")
    assert sql_files("from 'pipe', '/dev/zero', 'p*e'", {}, base) == {}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("copy (select 1) to 'out/x.csv'", {"out/x.csv"}),
        ("COPY t TO './x.csv' (header)", {"x.csv"}),
        ("export database 'dump'", {"dump"}),
        ("from 'a.csv'", set()),
    ],
)
def test_what_a_query_writes(base: Path, text: str, written: set[str]) -> None:
    assert sql_files(text, {}, base).written == written


_DIFFERENT = ("absent", "s3:", "'.'", " join ", "-- or")  # DuckDB cannot run these, or reads other files


@pytest.mark.parametrize(
    "text", [text for text in CASES if text.startswith("from") and not any(part in text for part in _DIFFERENT)]
)
def test_duckdb_reads_the_same_files(base: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    duckdb = pytest.importorskip("duckdb")
    base = base.rename(base.with_name("base"))
    monkeypatch.chdir("/")
    for name in FILES:
        (base / name).write_text(f"name,n\n{name},1\n")
    connection = duckdb.connect(config={"file_search_path": str(base), "python_enable_replacements": "false"})
    [statement] = connection.extract_statements(text)
    values = {**VALUES, "many": ["a.csv", "b.csv"]}
    rows = connection.execute(statement, {name: values[name] for name in statement.named_parameters}).fetchall()
    connection.close()
    assert {row[0] for row in rows} == {name.removeprefix("./") for name in sql_files(text, VALUES, base)}
