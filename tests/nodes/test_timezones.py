"""Tests in which time zone queries run, and what is said of names of zones."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Here

DAY = "'2026-07-01 23:30:00+00'::timestamptz::date::varchar as day"
HOME = {"New York": "America/New_York", "Tokyo": "Asia/Tokyo"}
# A query at the end of a line of a file, by what runs it: all on instances of their own, in parts and in checks.
QUERIES = {
    "on the shared instance": f'{{sql: "select {DAY}"%s}}',
    "with threads of its own": f'{{sql: "select {DAY}", resources: {{cpu: 2}}%s}}',
    "in several statements": f'{{sql: "create table t as select {DAY}; from t"%s}}',
    "over a table": f'{{sql: "select {DAY} from one", inputs: one%s}}',
}


@pytest.fixture(params=HOME.values(), ids=HOME)
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the machine have another time zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("file", "node", "day"),
    [("", "", "2026-07-01"), ("Europe/Berlin", "", "2026-07-02"), ("Europe/Berlin", "UTC", "2026-07-01"),
     ("", "Asia/Tokyo", "2026-07-02")],
)  # fmt: skip
def test_queries_run_in_the_time_zone_that_the_file_says(
    here: Here, tmp_path: Path, file: str, node: str, day: str
) -> None:
    own = f", timezone: {node}" if node else ""
    nodes = {f"n{i}": text % own for i, text in enumerate(QUERIES.values())}
    lines = [f"timezone: {file}"] * bool(file) + ["nodes:", '  one: {sql: "select 1 as n"}']
    (tmp_path / "p.yaml").write_text("\n".join([*lines, *(f"  {name}: {of}" for name, of in nodes.items())]) + "\n")
    assert here(tmp_path, "run", "p.yaml", "-q").returncode == 0
    for name in nodes:
        assert f'"{day}"' in here(tmp_path, "open", name, "--format", "csv").stdout, name


@pytest.mark.usefixtures("machine")
def test_a_check_runs_in_the_time_zone_of_its_file_or_node(here: Here, tmp_path: Path) -> None:
    check = "checks: [{sql: \"select 1 from this where current_setting('TimeZone') <> '%s'\"}]"
    (tmp_path / "steps.py").write_text("def f(): return {'n': 1}\n")
    (tmp_path / "p.yaml").write_text(
        "timezone: Europe/Berlin\nnodes:\n"
        f"  a: {{python: 'steps:f', {check % 'Europe/Berlin'}}}\n"
        f"  b: {{sql: 'select 1 as n', timezone: Asia/Tokyo, {check % 'Asia/Tokyo'}}}\n"
        f"  c: {{sql: 'select 1 as n', timezone: UTC, {check % 'UTC'}}}\n"
    )
    done = here(tmp_path, "run", "p.yaml")
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("machine")
def test_a_file_that_another_includes_has_a_time_zone_of_its_own(here: Here, tmp_path: Path) -> None:
    query = "{sql: \"select current_setting('TimeZone') as zone\"}"
    (tmp_path / "inner.yaml").write_text(f"nodes:\n  a: {query}\noutputs: {{a: a}}\n")
    (tmp_path / "other.yaml").write_text(f"timezone: Asia/Tokyo\nnodes:\n  a: {query}\noutputs: {{a: a}}\n")
    (tmp_path / "p.yaml").write_text(
        f"timezone: Europe/Berlin\nnodes:\n  own: {query}\n  i: {{pipeline: inner.yaml}}\n"
        "  o: {pipeline: other.yaml}\n"
    )
    done = here(tmp_path, "run", "p.yaml")
    assert done.returncode == 0, done.stderr
    zones = {node: here(tmp_path, "open", node, "--format", "csv").stdout.split()[1] for node in ("own", "i/a", "o/a")}
    assert zones == {"own": '"Europe/Berlin"', "i/a": '"UTC"', "o/a": '"Asia/Tokyo"'}


@pytest.mark.usefixtures("machine")
def test_a_query_in_a_shell_has_the_time_zone_of_the_node(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.yaml").write_text("nodes:\n  a: {sql: 'select 1 as n', timezone: Asia/Tokyo}\n")
    assert here(tmp_path, "run", "p.yaml", "-q").returncode == 0
    asked = b"print(query(\"select current_setting('TimeZone') as z\")['z'][0])\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(asked)))
    assert "Asia/Tokyo" in here(tmp_path, "shell", "a").stdout


# DuckDB does not know the one that begins with `posix`.
WRONG = ["Europe/Berln", "New York", "CEST", "+02:00", "GMT+1", "/etc/passwd"]


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize(("text", "at"), [("timezone: '%s'\nnodes: {a: {sql: select 1}}\n", "1:11"),
                                          ("nodes:\n  a: {sql: select 1, timezone: '%s'}\n", "2:32")])  # fmt: skip
def test_a_time_zone_that_there_is_not_is_told_with_its_place(
    here: Here, tmp_path: Path, name: str, text: str, at: str
) -> None:
    (tmp_path / "p.yaml").write_text(text % name)
    done = here(tmp_path, "validate", "p.yaml")
    assert done.returncode == 2
    assert f"p.yaml:{at}: there is no time zone '{name}'\n" in done.stderr + done.stdout
    assert " write its name as in Europe/Berlin; on a machine that has no zones: pip install tzdata\n" in done.stderr


def test_only_a_query_has_a_time_zone_of_its_own(here: Here, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("nodes:\n  a: {run: 'true', timezone: UTC}\n")
    done = here(tmp_path, "validate", "p.yaml")
    assert done.stderr + done.stdout == (
        "p.yaml:2:20: a run node has no 'timezone'\n"
        "    2 |   a: {run: 'true', timezone: UTC}\n"
        "      |                    ^^^^^^^^ remove it\n"
    )
