"""The pipelines of `docs/databases.md` with the plug-in of this repository: what runs again, and what is wrong."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import Here
from plugin_site import as_installed, on_path

from tests.docs.pages import write_files

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with the pipelines of the page, and the plug-in installed."""
    write_files("docs/databases.md", tmp_path)
    with ExitStack() as stack:
        for place in as_installed(ROOT / "plugins" / "nfrun-adbc", tmp_path / "site"):
            stack.enter_context(on_path(place))
        yield tmp_path


def rows(here: Here, folder: Path, output: str) -> list[dict[str, object]]:
    shown = here(folder, "open", output, "--format", "jsonl")
    assert shown.returncode == 0, shown.stderr
    return [json.loads(line) for line in shown.stdout.splitlines()]


def test_a_repeated_upsert_changes_what_has_changed(here: Here, folder: Path) -> None:
    done = here(folder, "run", "shop.yaml", "-q", "--json")
    assert done.returncode == 0, done.stderr
    assert rows(here, folder, "saved") == [{"table": "orders", "mode": "upsert", "rows": 3}]
    (folder / "orders.csv").write_text("id,customer,day,amount\n3,bob,2024-03-01,2\n4,eve,2024-01-01,9\n")
    assert here(folder, "run", "shop.yaml", "-q", "-p", "since=2024-02-01").returncode == 0
    assert rows(here, folder, "large") == [{"customer": "bob", "amount": 9}]
    with sqlite3.connect(folder / "shop.db") as connection:
        assert connection.execute("select count(*) from orders").fetchall() == [(4,)]
    connection.close()


def test_both_run_each_time(here: Here, folder: Path) -> None:
    for _ in range(2):
        done = here(folder, "run", "shop.yaml", "-q", "--json")
        nodes = json.loads(done.stdout)["nodes"]
        assert (nodes["save"]["status"], nodes["large"]["status"]) == ("ok", "ok")


def test_with_cache_true_a_write_is_made_again_when_something_has_changed(
    here: Here, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is that of the last write, also after rows that were written before come back."""
    monkeypatch.setenv("ADBC_URI", "sqlite:a.db")

    def written(amount: int, *, mode: str = "replace") -> str:
        (folder / "c.yaml").write_text(
            f"nodes:\n  n: {{sql: 'select 1 as id, {amount} as amount'}}\n"
            f"  save: {{use: adbc.write, inputs: n, with: {{table: t, mode: {mode}}}, cache: true}}\n"
        )
        done = here(folder, "run", "c.yaml", "-q", "--json")
        return str(json.loads(done.stdout)["nodes"]["save"]["status"])

    def amounts(file: str) -> list[int]:
        connection = sqlite3.connect(folder / file)
        found = [amount for (amount,) in connection.execute("select amount from t")]
        connection.close()
        return found

    assert [written(5), written(5), written(6), written(5), written(5)] == ["ok", "reused", "ok", "ok", "reused"]
    assert amounts("a.db") == [5]
    monkeypatch.setenv("ADBC_URI", "sqlite:b.db")
    assert [written(5), written(5)] == ["ok", "reused"]
    assert amounts("b.db") == [5]
    assert [written(7, mode="append") for _ in range(2)] == ["ok", "reused"]
    assert amounts("b.db") == [5, 7]
    (folder / "b.db").unlink()  # what others do to the database is not seen
    assert written(7, mode="append") == "reused"
    assert here(folder, "run", "c.yaml", "-q", "--force", "save").returncode == 0
    assert amounts("b.db") == [7]


WRONG = {
    ("mode: {upsert: [id]}", "mode: upsert"): "shop.yaml:5:71: 'mode' must be replace or append, not 'upsert'",
    ("mode: {upsert: [id]}", "mode: apend"): "shop.yaml:5:71: 'mode' must be replace or append, not 'apend'",
    ("mode: {upsert: [id]}", "mode: {upsert: []}"): "shop.yaml:5:80: 'upsert' is empty",
    ("mode: {upsert: [id]}", "mode: {upsert: id}"): "shop.yaml:5:80: 'upsert' must be a list, not 'id'",
    ("mode: {upsert: [id]}", "mode: {upsert: [id, id]}"): "shop.yaml:5:85: 'upsert' has 'id' twice",
    ("mode: {upsert: [id]}", "mode: {upsrt: [id]}"): "shop.yaml:5:72: 'mode' has no 'upsrt'",
    (", mode: {upsert: [id]}", ""): "shop.yaml:5:43: 'adbc.write' needs 'mode'",
    ("table: orders", "tabel: orders"): "shop.yaml:5:50: 'adbc.write' has no 'tabel'",
    ("table: orders", "table: ''"): "shop.yaml:5:57: 'table' is empty",
    ("table: orders", "table: mart.orders"): "shop.yaml:5:57: 'table' cannot be 'mart.orders'",
    ("inputs: orders, ", ""): "shop.yaml:5:10: 'adbc.write' has 1 input; this node has none",
    ("      sql: select", "      sq: select"): "shop.yaml:10:7: 'adbc.query' has no 'sq'",
    ('["${{ params.since }}"]', "2024"): "shop.yaml:11:19: 'parameters' must be a list, not 2024",
    ('["${{ params.since }}"]', "[[1]]"): "shop.yaml:11:20: an item of 'parameters' must be a string, a number, "
    "true or false or null, not a list",
    ("adbc.query", "adbc.qery"): "shop.yaml:7:10: no installed package has the kind 'adbc.qery'",
    (
        'env: {ADBC_URI: "sqlite:shop.db"}\n',
        "",
    ): "shop.yaml:4:15: 'adbc.write' needs the variable ADBC_URI, which is not set",
}


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change[1] or change[0])
def test_what_is_wrong_is_told_before_a_run(here: Here, folder: Path, change: tuple[str, str]) -> None:
    text = (folder / "shop.yaml").read_text()
    assert change[0] in text
    (folder / "shop.yaml").write_text(text.replace(*change, 1))
    done = here(folder, "plan", "shop.yaml")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, WRONG[change])
