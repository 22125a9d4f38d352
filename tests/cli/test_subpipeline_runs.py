"""The pipelines of `docs/sub-pipelines.md`: what their nodes are, and what a change of them runs again."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.session.options import RunOptions
from tests.docs.pages import write_files
from tests.program_runs import run_pipeline


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of the page, which is the working directory."""
    write_files("docs/sub-pipelines.md", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ran(file: str, **options: object) -> tuple[list[str], dict[str, list[dict[str, object]]]]:
    """Run a file. Return the nodes that were not reused, and the rows of its outputs."""
    result = run_pipeline(RunOptions(Path(file), **options))  # type: ignore[arg-type]
    assert result.end.status == "ok"
    names = [name for name, node in result.record.nodes.items() if node.status == "ok"]
    return names, {name: table.to_pylist() for name, table in result.tables.items()}


ALL = [
    {"country": "DE", "id": 1, "amount": 3.0},
    {"country": "FR", "id": 2, "amount": 4.0},
    {"country": "DE", "id": 3, "amount": 6.0},
]


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_the_files_of_the_page_run(folder: Path, executor: str) -> None:
    assert ran("etl.yaml", executor=executor)[1] == {"all": ALL}
    assert ran("clean.yaml", inputs={"rates": "data/rates.csv"}, executor=executor)[1] == {
        "orders": [{"id": 7, "amount": 1.0}]
    }


def test_what_is_given_has_no_file_of_its_own(folder: Path) -> None:
    ran("etl.yaml")
    assert sorted(path.name for path in folder.glob(".nfrun/runs/*/clean@*.arrow")) == [
        f"clean@{country}+{name}.1.arrow" for country in ("DE", "FR") for name in ("euros", "mine")
    ]


def test_a_change_runs_what_it_concerns(folder: Path) -> None:
    names, _ = ran("etl.yaml")
    assert len(names) == 11
    assert ran("etl.yaml") == ([], {"all": ALL})
    clean = Path("clean.yaml").read_text()
    Path("clean.yaml").write_text(clean.replace("amount * rate", "amount * rate * 1"))
    # Tables of sources are read again for what runs, and `all` runs only if what it reads differs.
    handed_on = ["rates", "clean@DE/rates", "clean@FR/rates"]
    assert sorted(ran("etl.yaml")[0]) == sorted([*handed_on, "clean@DE/euros", "clean@FR/euros"])
    # One more cell in front, and one more node that is the same pipeline: nothing that was there runs again.
    etl = Path("etl.yaml").read_text().replace("[DE, FR]", "[NL, DE, FR]")
    more = "nodes:\n  more: {pipeline: clean.yaml, inputs: rates}\n"
    Path("etl.yaml").write_text(etl.replace("nodes:\n", more, 1))
    names, tables = ran("etl.yaml")
    inside = {name for name in names if "/" in name}
    assert inside == {f"{at}/{name}" for at in ("clean@NL", "more") for name in ("orders", "rates", "mine", "euros")}
    assert tables["all"] == [*ALL, {"country": "NL", "id": 4, "amount": 18.0}]
    assert tables["more/euros"] == [{"id": 7, "amount": 1.0}]


def test_python_nodes_of_the_other_file_find_their_functions_and_logs_are_in_a_folder(folder: Path) -> None:
    Path("steps.py").write_text("def double(t):\n    print('hello')\n    return t.append_column('n', t['id'])\n")
    Path("p.yaml").write_text("inputs: {t: {}}\nnodes: {d: {python: 'steps:double', inputs: t}}\noutputs: {d: d}\n")
    Path("q.yaml").write_text(
        "nodes:\n  o: {read: data/orders.csv}\n  p: {pipeline: p.yaml, inputs: {t: o}}\noutputs: {d: p}\n"
    )
    for executor in ("thread", "process"):
        tables = ran("q.yaml", executor=executor, fresh=True)[1]
        assert [row["n"] for row in tables["d"]] == [1, 2, 3, 4]
    assert {path.name for path in folder.glob(".nfrun/runs/*/logs/*")} == {"p+d.1.stdout"}
