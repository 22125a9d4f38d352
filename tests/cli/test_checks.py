"""Checks in runs: what fails, what is told, what is kept as evidence, and what is made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Here

Run = Callable[..., dict[str, Any]]
SEED = "select unnest([1, 2, 2, null]) as id, unnest(['a', 'b', 'b', 'secret']) as name"


@pytest.fixture
def run(tmp_path: Path, here: Here) -> Run:
    """Run a pipeline whose nodes are given as text, and return its document; `code` has the exit code."""

    def run_nodes(nodes: str, *arguments: str) -> dict[str, Any]:
        (tmp_path / "p.yaml").write_text(f"nodes:\n{nodes}")
        done = here(tmp_path, "run", "p.yaml", "--json", *arguments)
        return {**json.loads(done.stdout), "code": done.returncode, "told": done.stderr}

    return run_nodes


def statuses(document: dict[str, Any]) -> dict[str, str]:
    return {name: node["status"] for name, node in document["nodes"].items()}


def rows(path: str) -> list[dict[str, Any]]:
    return pa.ipc.open_file(path).read_all().to_pylist()  # type: ignore[no-any-return]


def test_all_checks_of_a_node_run_and_the_failing_rows_are_kept(run: Run, tmp_path: Path) -> None:
    done = run(
        f'  a: {{sql: "{SEED}", checks: [{{unique: id}}, {{not_null: id}}, {{rows: 4}}]}}\n'
        "  b: {sql: select * from a, inputs: a}\n"
    )
    assert (done["code"], statuses(done)) == (1, {"a": "failed", "b": "skipped"})
    node = done["nodes"]["a"]
    assert node["error"] == "failed its check 'unique: id': 2 rows of 4; the first: id: 2, name: b"
    unique, not_null, count = node["checks"]
    assert [check["ok"] for check in node["checks"]] == [False, False, True]
    assert unique == {
        **{"name": "unique: id", "output": "a", "severity": "error", "ok": False, "failing": 2, "rows": 4},
        "path": str(tmp_path / ".nfrun/runs" / done["run"] / "checks" / "a.unique_id.arrow"),
    }
    assert rows(unique["path"]) == [{"id": 2, "name": "b"}] * 2
    assert rows(not_null["path"]) == [{"id": None, "name": "secret"}]
    assert (count["failing"], count["path"]) == (None, None)


def test_what_a_failed_check_prints(tmp_path: Path, here: Here) -> None:
    text = f'nodes:\n  a: {{sql: "{SEED}", checks: [{{unique: id}}, {{rows: {{min: 5}}}}]}}\n'
    (tmp_path / "p.yaml").write_text(text)
    done = here(tmp_path, "run", "p.yaml")
    path = next(tmp_path.glob(".nfrun/runs/*/checks/*"))
    told = done.stderr[done.stderr.index("p.yaml:2:3") :].splitlines()
    assert told[:4] == [
        "p.yaml:2:3: node 'a' failed its check 'unique: id': 2 rows of 4; the first: id: 2, name: b",
        "    id: 2, name: b",
        f"    {path}",
        "  also its check 'rows: min 5': 4 rows, and not at least 5",
    ]


def test_values_that_python_cannot_have_are_shown(run: Run) -> None:
    done = run("  a: {sql: \"select '20000-01-01'::timestamp as at\", checks: [{range: {at: {max: '2024-01-01'}}}]}\n")
    assert done["nodes"]["a"]["error"] == (
        "failed its check 'range: at': 1 row of 1; the first: at: 20000-01-01 00:00:00.000000"
    )


def test_the_schema_comes_first_and_alone(run: Run) -> None:
    query = "create temp table t as select 1::int as id, 'x' as b; from t"  # planning does not know its columns
    done = run(f'  a: {{sql: "{query}", schema: {{id: int64, c: string}}, checks: [{{rows: 9}}]}}\n')
    node = done["nodes"]["a"]
    assert node["error"] == (
        "does not have its schema: 'id' is int32 and not int64; there is no column 'c' (but 'b')"
        "; the column 'b' is not in the schema"
    ).replace(" (but 'b')", "")
    assert [check["name"] for check in node["checks"]] == ["schema"]


def test_a_failed_check_is_not_retried(run: Run) -> None:
    done = run("  a: {sql: select 1 as id, retries: 3, checks: [{rows: 2}]}\n")
    assert (done["nodes"]["a"]["attempts"], done["nodes"]["a"]["status"]) == (1, "failed")


def test_a_warning_is_told_also_when_the_node_is_reused(run: Run) -> None:
    nodes = f'  a: {{sql: "{SEED}", checks: [{{unique: id, severity: warn}}, {{not_null: id, allow: 25%}}]}}\n'
    first = run(nodes)
    (warned, allowed) = first["nodes"]["a"]["checks"]
    assert (first["code"], warned["ok"], warned["failing"]) == (0, False, 2)
    assert (allowed["ok"], allowed["failing"]) == (True, 1)
    again = run(nodes)
    assert statuses(again) == {"a": "reused"}
    assert again["nodes"]["a"]["checks"] == first["nodes"]["a"]["checks"], "with the evidence of the first run"


def test_a_changed_check_is_made_on_the_table_that_is_there(run: Run, tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text("def make():\n    open('made', 'a').write('x')\n    return {'id': 1}\n")
    nodes = "  a: {python: 'steps:make', cache: true, checks: [CHECKS]}\n  b: {sql: select * from a, inputs: a}\n"
    assert statuses(run(nodes.replace("CHECKS", "{rows: 1}"))) == {"a": "ok", "b": "ok"}
    again = run(nodes.replace("CHECKS", "{rows: 1}, {unique: id}"))
    assert statuses(again) == {"a": "reused", "b": "reused"}
    assert [check["name"] for check in again["nodes"]["a"]["checks"]] == ["rows: 1", "unique: id"]
    failed = run(nodes.replace("CHECKS", "{rows: 2}"))
    assert statuses(failed) == {"a": "failed", "b": "skipped"}
    assert statuses(run(nodes.replace("CHECKS", "{rows: 1}"))) == {"a": "reused", "b": "reused"}
    assert (tmp_path / "made").read_text() == "x", "the function ran once"


def ran(document: dict[str, Any], tmp_path: Path) -> bool:
    """Return whether the node `a`, which prints something, ran in this run."""
    return bool(list((tmp_path / ".nfrun/runs" / document["run"]).glob("logs/a.*")))


MADE = """
  a: {python: "steps:make", EXTRA checks: [CHECKS]}
  b: {sql: select * from a, inputs: a}
"""
MAKE = "def make():\n    print('ran')\n    return [{'id': id} for id in (1, 1, 2)]\n"


@pytest.mark.parametrize("extra", ["executor: process,", "schema: {id: int64},"])
def test_a_table_whose_check_failed_is_kept_for_another_check(run: Run, tmp_path: Path, extra: str) -> None:
    (tmp_path / "steps.py").write_text(MAKE)
    nodes = MADE.replace("EXTRA", extra)
    failed = run(nodes.replace("CHECKS", "{unique: id}, {rows: 3}"))
    assert (statuses(failed), ran(failed, tmp_path)) == ({"a": "failed", "b": "skipped"}, True)
    still = run(nodes.replace("CHECKS", "{unique: id, allow: 1}, {rows: 3}"))
    assert (statuses(still), ran(still, tmp_path)) == ({"a": "failed", "b": "skipped"}, False)
    assert still["nodes"]["a"]["error"].startswith("failed its check 'unique: id': 2 rows of 3")
    relaxed = run(nodes.replace("CHECKS", "{unique: id, allow: 2}, {rows: 3}"))
    assert statuses(relaxed) == {"a": "reused", "b": "ok"}
    assert (tmp_path / ".nfrun/runs" / failed["run"] / "a.1.arrow").exists()
    assert statuses(run(nodes.replace("CHECKS", "{rows: 3}"))) == {"a": "reused", "b": "reused"}


def test_a_node_whose_failed_check_is_the_same_runs_again(run: Run, tmp_path: Path, here: Here) -> None:
    (tmp_path / "steps.py").write_text(MAKE)
    nodes = MADE.replace("EXTRA", "cache: true,")
    run(nodes.replace("CHECKS", "{unique: id}"))
    again = run(nodes.replace("CHECKS", "{rows: 3}, {unique: id}"))
    assert (statuses(again), ran(again, tmp_path)) == ({"a": "failed", "b": "skipped"}, True)
    assert "its check 'unique: id' failed" in here(tmp_path, "show", "a").stdout


def test_nothing_reads_a_table_whose_check_failed(run: Run, tmp_path: Path, here: Here) -> None:
    (tmp_path / "steps.py").write_text(MAKE)
    nodes = MADE.replace("EXTRA", "")
    run(nodes.replace("CHECKS", "{unique: id}"))

    def only_b(checks: str) -> Any:
        (tmp_path / "p.yaml").write_text("nodes:" + nodes.replace("CHECKS", checks))
        return here(tmp_path, "run", "p.yaml", "--only", "b", "--json")

    failed, other = "its check 'unique: id' failed", "a check of it is to be made first"
    for checks, why in (("{unique: id}", failed), ("{unique: id, allow: 2}", other)):
        refused = only_b(checks)
        assert refused.returncode == 2
        told = json.loads(refused.stdout)["error"]
        assert told.startswith(f"'a' is not selected, and has no result that is up to date ({why})")
    assert statuses(run(nodes.replace("CHECKS", "{unique: id, allow: 2}"), "--only", "a"))["a"] == "reused"
    assert statuses(json.loads(only_b("{unique: id, allow: 2}").stdout))["b"] == "ok"


def test_a_table_whose_check_failed_stays_until_the_next_run(run: Run, tmp_path: Path, here: Here) -> None:
    (tmp_path / "steps.py").write_text(MAKE)
    nodes = MADE.replace("EXTRA", "").replace("CHECKS", "{unique: id}")
    kept = tmp_path / ".nfrun/runs" / run(nodes, "--cache-size", "0")["run"] / "a.1.arrow"
    assert here(tmp_path, "clean", "--cache-size", "0").returncode == 0
    assert kept.exists()
    run("  other: {sql: select 1 as id}\n", "--cache-size", "0")
    assert not kept.exists(), "it is over the budget"
    relaxed = run(nodes.replace("unique: id", "unique: id, allow: 2"))
    assert (statuses(relaxed), ran(relaxed, tmp_path)) == ({"a": "ok", "b": "ok"}, True)


def test_a_failed_reference_is_made_again_on_the_table_that_is_there(run: Run, tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text(MAKE)
    nodes = '  c: {sql: "select 1 as id"}\n' + MADE.replace("EXTRA", "").replace("CHECKS", "{references: {id: c(id)}}")
    assert statuses(run(nodes))["a"] == "failed"
    done = run(nodes.replace("select 1 as id", "select range as id from range(1, 3)"))
    assert (statuses(done), ran(done, tmp_path)) == ({"c": "ok", "a": "reused", "b": "ok"}, False)
    again = run(nodes)
    assert (statuses(again), ran(again, tmp_path)) == ({"c": "reused", "a": "failed", "b": "skipped"}, False)


def test_a_tolerated_node_whose_check_failed_is_kept_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text(MAKE)
    nodes = MADE.replace("EXTRA", "continue_on_error: true,")
    assert run(nodes.replace("CHECKS", "{unique: id}"))["code"] == 0
    done = run(nodes.replace("CHECKS", "{unique: id, allow: 2}"))
    assert (statuses(done), ran(done, tmp_path)) == ({"a": "reused", "b": "ok"}, False)


SKIP = """
  new: {sql: select * from range(COUNT) t(id), checks: [{rows: {min: 1}, severity: skip}]}
  load: {sql: select * from new, inputs: new}
  other: {sql: "select count(*) as n from new", inputs: {new: {from: new, else: empty}}}
  empty: {sql: select 1 as id where false}
"""


def test_skip_makes_the_output_absent(run: Run) -> None:
    first = run(SKIP.replace("COUNT", "0"))
    assert (first["code"], statuses(first)) == (0, {"new": "ok", "load": "skipped", "other": "ok", "empty": "ok"})
    assert first["nodes"]["load"]["tolerated"]
    again = run(SKIP.replace("COUNT", "0"))
    assert statuses(again) == {"new": "reused", "load": "skipped", "other": "reused", "empty": "reused"}
    there = run(SKIP.replace("COUNT", "1"))
    assert statuses(there) == {"new": "ok", "load": "ok", "other": "ok", "empty": "reused"}
    assert statuses(run(SKIP.replace("COUNT", "1")))["load"] == "reused"
    changed = run(SKIP.replace("COUNT", "1").replace("min: 1", "min: 2"))
    assert statuses(changed) == {"new": "reused", "load": "skipped", "other": "reused", "empty": "reused"}


def test_an_absent_output_of_the_file_is_left_out(tmp_path: Path, here: Here) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("nodes:\n  a: {sql: select 1 as id where false, checks: [{rows: {min: 1}, severity: skip}]}\n")
    done = here(tmp_path, "run", "p.yaml")
    assert "the output 'a' is absent: the check 'rows: min 1' of node 'a' does not hold: 0 rows" in done.stderr
    assert done.returncode == 0
    assert json.loads(here(tmp_path, "run", "p.yaml", "--json").stdout)["outputs"] == {}


REFERENCES = """
  orders: {sql: "select unnest([1, 2, IDS]) as id", checks: [{references: {id: customers(id)}}]}
  customers: {sql: "select unnest([1, 2, MORE]) as id"}
"""


def test_references_are_checked_again_when_the_other_table_changes(run: Run) -> None:
    def nodes(ids: str, more: str) -> str:
        return REFERENCES.replace("IDS", ids).replace("MORE", more)

    assert statuses(run(nodes("2", "3"))) == {"orders": "ok", "customers": "ok"}
    changed = run(nodes("2", "null"))
    assert statuses(changed) == {"orders": "reused", "customers": "ok"}
    failed = run(nodes("7", "null"))
    assert failed["nodes"]["orders"]["error"] == "failed its check 'references: id': 1 row of 3; the first: id: 7"
    assert statuses(run(nodes("7", "7"))) == {"orders": "reused", "customers": "ok"}


def test_a_node_may_refer_to_itself(run: Run) -> None:
    sql = "select unnest([1, 2]) as id, unnest([null, 3]) as boss"
    done = run(f"  a: {{sql: '{sql}', checks: [{{references: {{boss: a(id)}}}}]}}\n")

    assert done["nodes"]["a"]["error"].startswith("failed its check 'references: boss': 1 row of 2")


def test_fresh_is_checked_in_every_run(run: Run) -> None:
    nodes = "  a: {sql: select now()::timestamp - interval 2 hour as at, cache: true, checks: [{fresh: {at: AGE}}]}\n"
    assert statuses(run(nodes.replace("AGE", "1d"))) == {"a": "ok"}
    assert statuses(run(nodes.replace("AGE", "1d"))) == {"a": "reused"}
    failed = run(nodes.replace("AGE", "1h"))
    assert failed["nodes"]["a"]["error"].startswith("failed its check 'fresh: at': the latest 'at' is ")


def test_checks_by_query_and_by_function(run: Run, tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text(
        "def few(table, most):\n    return table.slice(most)\n"
        "def why(table):\n    return 'it is never right'\n"
        "def fine(table, context):\n    return True\n"
        "def broken(table):\n    raise ValueError('no')\n"
        "def odd(table):\n    return 7\n"
        "def leaves(table):\n    raise SystemExit(3)\n"
    )
    done = run(
        f'  a:\n    sql: "{SEED}"\n    checks:\n'
        "      - {sql: select * from this where id > $most, with: {most: 1}, name: small}\n"
        "      - {sql: \"select 'x'::int from this\", severity: warn}\n"
        "      - {python: 'checks:few', with: {most: 3}, severity: warn}\n"
        "      - {python: 'checks:why', severity: warn}\n"
        "      - {python: 'checks:fine', severity: warn}\n"
        "      - {python: 'checks:broken', severity: warn}\n"
        "      - {python: 'checks:odd', severity: warn}\n"
        "      - {python: 'checks:leaves', severity: warn}\n"
    )
    small, cast, few, why, fine, broken, odd, leaves = done["nodes"]["a"]["checks"]
    assert (small["name"], small["failing"]) == ("small", 2)
    assert "Could not convert string 'x' to INT32" in cast["reason"]
    assert (few["failing"], few["ok"]) == (1, False)
    assert (why["reason"], why["failing"]) == ("it is never right", None)
    assert fine["ok"]
    assert broken["reason"] == "ValueError: no (checks.py:8 in broken)"
    told = "return None, true or false, a text that says why, or a table of the failing rows"
    assert odd["reason"] == f"its function returned an int ({told})"
    assert leaves["reason"] == "SystemExit: 3 (checks.py:12 in leaves)"


def test_a_check_by_a_function_is_made_again_when_the_function_changes(run: Run, tmp_path: Path) -> None:
    code = tmp_path / "checks.py"
    code.write_text("def check(table):\n    return table.num_rows < 5\n")
    nodes = "  a: {sql: select 1 as id, checks: [{python: 'checks:check'}]}\n"
    assert statuses(run(nodes)) == {"a": "ok"}
    code.write_text("def check(table):\n    return table.num_rows < 1\n")
    assert run(nodes)["nodes"]["a"]["error"] == "failed its check 'python: checks:check': it returned false"


def test_a_check_by_a_function_is_made_again_when_a_file_that_it_read_changes(run: Run, tmp_path: Path) -> None:
    """Also if it was made alone, on the table of an earlier run: then no node has read the file."""
    code, limit = tmp_path / "checks.py", tmp_path / "limit"
    nodes = "  a: {sql: select 3 as id, checks: [{python: 'checks:check'}]}\n"
    code.write_text("def check(table):\n    return None\n")
    assert statuses(run(nodes)) == {"a": "ok"}
    code.write_text(
        "from pathlib import Path\ndef check(table):\n"
        "    return table['id'][0].as_py() <= int(Path('limit').read_text())\n"
    )
    limit.write_text("5")
    assert statuses(run(nodes)) == {"a": "reused"}
    assert statuses(run(nodes)) == {"a": "reused"}
    limit.write_text("1")
    assert statuses(run(nodes)) == {"a": "failed"}


def test_a_check_whose_code_reads_files_by_a_library_is_made_in_every_run(run: Run, tmp_path: Path) -> None:
    """What libraries read is not seen, so the code is looked at."""
    (tmp_path / "checks.py").write_text(
        "import pyarrow.parquet as pq\n"
        "def old(table):\n    return None\n"
        "def check(table):\n    return table.num_rows == pq.read_table('wanted.parquet').num_rows\n"
    )
    nodes = "  a: {sql: select 3 as id, checks: [{python: 'checks:FUNCTION'}]}\n"
    pq.write_table(pa.table({"id": [1]}), tmp_path / "wanted.parquet")
    assert statuses(run(nodes.replace("FUNCTION", "old"))) == {"a": "ok"}
    assert statuses(run(nodes.replace("FUNCTION", "check"))) == {"a": "reused"}
    pq.write_table(pa.table({"id": [1, 2]}), tmp_path / "wanted.parquet")
    assert statuses(run(nodes.replace("FUNCTION", "check"))) == {"a": "failed"}


def test_a_check_whose_code_changes_while_it_runs_is_made_again(run: Run, tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text(
        "from pathlib import Path\ndef check(table):\n    Path(__file__).write_text('def check(table): return False')\n"
    )
    nodes = "  a: {sql: select 1 as id, checks: [{python: 'checks:check'}]}\n"
    assert statuses(run(nodes)) == {"a": "ok"}
    assert statuses(run(nodes)) == {"a": "failed"}


def test_a_changed_check_needs_no_table_that_its_node_has_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text("def make():\n    return {'id': 1}\ndef same(a):\n    return a\n")
    nodes = "  a: {python: 'steps:make'}\n  b: {python: 'steps:same', inputs: a, checks: [{rows: 1}]}\n"
    assert statuses(run(nodes)) == {"a": "ok", "b": "ok"}
    for path in tmp_path.glob(".nfrun/runs/*/a.1.arrow"):
        path.unlink()
    assert statuses(run(nodes.replace("rows: 1", "unique: id"))) == {"a": "reused", "b": "reused"}


def test_cells_are_checked_each(run: Run) -> None:
    done = run(
        "  a: {matrix: {n: [1, 2]}, sql: select $n as n, with: {n: '${{ matrix.n }}'}, "
        "checks: [{range: {n: {max: 1}}}]}\n",
        "-k",
    )
    assert statuses(done) == {"a@1": "ok", "a@2": "failed"}


def test_checks_in_a_worker_process(run: Run, tmp_path: Path) -> None:
    code = "def make():\n    return [{'id': 1}, {'id': 1}]\ndef check(table):\n    return None\n"
    (tmp_path / "steps.py").write_text(code)
    done = run("  a: {python: 'steps:make', executor: process, checks: [{unique: id}, {python: 'steps:check'}]}\n")
    assert done["nodes"]["a"]["error"].startswith("failed its check 'unique: id': 2 rows of 2")
    assert rows(done["nodes"]["a"]["checks"][0]["path"]) == [{"id": 1}] * 2


def test_values_of_failing_rows_pass_through_the_hiding_of_secrets(
    tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    text = f'secrets: [TOKEN]\nnodes:\n  a: {{sql: "{SEED}", checks: [{{not_null: id}}]}}\n'
    (tmp_path / "p.yaml").write_text(text)
    done = here(tmp_path, "run", "p.yaml")
    assert "id: null, name: ***" in done.stderr
    assert "secret" not in done.stderr + done.stdout


def test_a_node_without_a_table_fails_its_checks(run: Run, tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text("def none():\n    return None\n")
    done = run("  a: {python: 'steps:none', checks: [{rows: 0}]}\n")
    assert done["nodes"]["a"]["error"] == "it handed on no table, and its 'schema' and 'checks' are about one"


def test_show_lists_the_checks_of_a_node(run: Run, tmp_path: Path, here: Here) -> None:
    done = run(
        f'  a: {{sql: "{SEED}", checks: [{{rows: 4}}, {{unique: id, severity: warn}}, {{not_null: id, allow: 1}}]}}\n'
    )
    shown = here(tmp_path, "show", "a").stdout
    folder = f"{tmp_path}/.nfrun/runs/{done['run']}/checks"
    assert shown[shown.index("\nchecks") :].splitlines()[1:7] == [
        "checks",
        "  ok  rows: 4",
        "  warn  unique: id: 2 rows of 4; the first: id: 2, name: b",
        f"    {folder}/a.unique_id.arrow",
        "  ok  not_null: id (1 of 4 rows fail, which is allowed)",
        f"    {folder}/a.not_null_id.arrow",
    ]
    document = json.loads(here(tmp_path, "show", "a", "--json").stdout)
    assert document["checks"] == done["nodes"]["a"]["checks"]
    run(f'  a: {{sql: "{SEED}", checks: [{{rows: 5}}]}}\n')
    assert "  failed  rows: 5: 4 rows, and not exactly 5" in here(tmp_path, "show", "a").stdout


def test_the_rows_that_failed_stay_as_long_as_their_run(run: Run, tmp_path: Path, here: Here) -> None:
    done = run(f'  a: {{sql: "{SEED}", checks: [{{unique: id, severity: warn}}]}}\n')
    path = Path(done["nodes"]["a"]["checks"][0]["path"])
    assert here(tmp_path, "clean", "p.yaml").returncode == 0
    assert path.exists()
    here(tmp_path, "clean", "p.yaml", "--all")
    assert not path.exists()


CLEAN = """
inputs:
  orders: {read: sample.csv, schema: {id: integer, amount: "float64?", "*": any}, checks: [{unique: id}]}
nodes:
  euros: {sql: "select id, amount * 2 as amount from orders", inputs: orders}
outputs: {orders: euros}
"""
GIVEN = """
  orders: {sql: "select unnest([1, 2]) as id, TYPE as amount, 'DE' as country"}
  clean: {matrix: {country: [DE, FR]}, pipeline: clean.yaml, inputs: {orders: orders}}
"""


def test_what_is_given_to_another_pipeline_is_checked(run: Run, tmp_path: Path, here: Here) -> None:
    (tmp_path / "clean.yaml").write_text(CLEAN)
    (tmp_path / "sample.csv").write_text("id,amount,more\n1,0.5,x\n2,,y\n")
    alone = json.loads(here(tmp_path, "run", "clean.yaml", "--json").stdout)
    assert statuses(alone) == {"orders": "ok", "euros": "ok"}
    assert [check["ok"] for check in alone["nodes"]["orders"]["checks"]] == [True, True]
    good = run(GIVEN.replace("TYPE", "1.5::double"))
    assert good["code"] == 0
    assert [check["name"] for check in good["nodes"]["clean@FR/orders"]["checks"]] == ["schema", "unique: id"]
    bad = run(GIVEN.replace("TYPE", "1.5::float"), "-k")
    assert {name for name, status in statuses(bad).items() if status == "failed"} == {
        "clean@DE/orders",
        "clean@FR/orders",
    }
    assert bad["nodes"]["clean@DE/orders"]["error"] == "does not have its schema: 'amount' is float and not float64"


def test_a_check_of_an_included_file_refers_to_a_node_beside_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(
        "nodes:\n  a: {sql: select 1 as id}\n"
        "  b: {sql: select 2 as id, checks: [{references: {id: a(id)}}]}\noutputs: {b: b}\n"
    )
    done = run("  o: {pipeline: other.yaml}\n")
    assert statuses(done) == {"o/a": "ok", "o/b": "failed"}
    assert done["nodes"]["o/b"]["checks"][0]["output"] == "o/b"


def test_a_node_with_several_outputs_has_checks_under_each(run: Run, tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text("def f():\n    return {'x': [{'a': 1}], 'y': [{'a': 1}, {'a': 1}]}\n")
    nodes = (
        "  n: {python: 'steps:f', outputs: {x: {schema: {a: int64}}, y: {checks: [{unique: a, severity: skip}]}}}\n"
        "  r: {sql: select * from x, inputs: n.x}\n  s: {sql: select * from y, inputs: n.y}\n"
    )
    done = run(nodes)
    assert statuses(done) == {"n": "ok", "r": "ok", "s": "skipped"}
    assert [(check["output"], check["ok"]) for check in done["nodes"]["n"]["checks"]] == [("n.x", True), ("n.y", False)]
    changed = run(nodes.replace("x: {schema: {a: int64}}, ", "x: {}, ").replace("unique: a", "not_null: a"))
    assert statuses(changed) == {"n": "reused", "r": "reused", "s": "ok"}


WRONG = [
    ("{not_null: customer_id}", "{notnull: customer_id}", "11:38: 'notnull' is not a key of an item of 'checks'"),
    (
        "customers(customer_id)",
        "customer(customer_id)",
        "31:35: a check of 'orders' refers to 'customer', which is not",
    ),
    ("order_date: date", "order_date: datte", "6:92: there is no type 'datte'"),
    (
        "user_id as customer_id",
        "usr_id as customer_id",
        "13:33: the query of 'stg_orders' reads the column 'usr_id', which 'raw_orders' does not have\n",
    ),
    (
        "checks: [{unique: customer_id}, {not_null: customer_id}]\n  orders",
        "checks: [{references: {customer_id: orders(customer_id)}}]\n  orders",
        "20:3: these nodes need one another in a circle: customers -> orders -> customers",
    ),
    (
        "{unique: order_id}, {not_null",
        "{unique: order}, {not_null",
        "15:23: a check of 'stg_orders' names the column 'order'",
    ),
    (
        "{unique: order_id}, {not_null",
        "{sql: from ths}, {not_null",
        "15:25: the query reads the table 'ths', which is not",
    ),
    (
        "{unique: order_id}, {not_null",
        "{sql: from this where x}, {not_null",
        "15:36: a check of 'stg_orders' reads the column",
    ),
    ("allow: 1%", "allow: 101%", "32:60: 'allow' cannot be '101%'"),
    ("status: string", "status: list<string>", "6:106: csv cannot be read as list<string>"),
]


@pytest.mark.parametrize("command", ["validate", "plan", "run"])
@pytest.mark.parametrize(("before", "after", "told"), WRONG)
def test_mistakes_in_the_jaffle_shop_are_told_before_anything_runs(
    command: str, before: str, after: str, told: str, tmp_path: Path, here: Here
) -> None:
    contract = Path(__file__).parents[1] / "contract"
    (tmp_path / "models").symlink_to(contract / "models")
    (tmp_path / "seeds").mkdir()
    for name in ("customers", "orders", "payments"):
        (tmp_path / f"seeds/raw_{name}.csv").write_text("")
    text = (contract / "jaffle.yaml").read_text()
    assert before in text
    (tmp_path / "jaffle.yaml").write_text(text.replace(before, after, 1))
    done = here(tmp_path, command, "jaffle.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"jaffle.yaml:{told}") and done.stderr.count("jaffle.yaml:") == 1
    assert not (tmp_path / ".nfrun/runs").exists() or not [*(tmp_path / ".nfrun/runs").iterdir()]


@pytest.mark.parametrize(("column", "told"), [("int64", ""), ("string", "'n' is int64 and not string")])
def test_the_schema_of_a_file_that_queries_read_is_held_against_its_end(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str, told: str
) -> None:
    """The table of a million rows is never made."""
    pq.write_table(pa.table({"n": range(1_000_000)}), tmp_path / "t.parquet")
    nodes = f"  t: {{read: t.parquet, schema: {{n: {column}}}}}\n  s: {{sql: select max(n) from t, inputs: t}}\n"
    monkeypatch.setattr("nfrun.tables.file_table.read_source", None)
    done = run(nodes)
    assert statuses(done) == ({"t": "failed", "s": "skipped"} if told else {"t": "ok", "s": "ok"})
    assert done["nodes"]["t"].get("error") == (f"does not have its schema: {told}" if told else None)
    (check,) = done["nodes"]["t"]["checks"]
    assert (check["ok"], check["rows"]) == (not told, 1_000_000)


def test_files_of_a_pattern_without_an_ending_are_read_by_their_own_and_the_schema(run: Run, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.csv").write_text("zip\n01067\n")
    (tmp_path / "d/b.jsonl").write_text('{"zip": "10115"}\n')
    pq.write_table(pa.table({"zip": ["20095"]}), tmp_path / "d/c.parquet")
    check = "{sql: \"from this where zip not in ('01067', '10115', '20095')\"}"
    done = run(f"  a: {{read: 'd/*', schema: {{zip: string}}, checks: [{check}]}}\n")
    assert (statuses(done), done["nodes"]["a"]["checks"][1]["rows"]) == ({"a": "ok"}, 3)


def test_plan_says_which_checks_are_made_on_tables_that_are_there(run: Run, tmp_path: Path, here: Here) -> None:
    node = "  a: {{sql: select 1 as id, checks: [{}]}}\n  b: {{sql: select id from a, inputs: a}}\n"

    def planned(checks: str) -> tuple[list[str], Any]:
        (tmp_path / "p.yaml").write_text("nodes:\n" + node.format(checks))
        text, document = (here(tmp_path, "plan", "p.yaml", *more).stdout for more in ((), ("--format", "json")))
        lines = [line.strip() for line in text.splitlines() if "reuse" in line or "check" in line or "run  " in line]
        return lines, json.loads(document)["nodes"]["a"].get("checks")

    run(node.format("{unique: id}"))
    lines, checks = planned("{unique: id}")
    assert checks is None and not [line for line in lines if "check" in line]
    lines, checks = planned("{unique: id}, {rows: 1}")
    assert checks == ["rows: 1"] and "its check 'rows: 1' is made on the table that is there" in lines
    assert "nfrun run reuses 2 of 2 nodes" in lines
    lines, checks = planned("{rows: 1}, {not_null: id}")
    assert "its checks 'rows: 1', 'not_null: id' are made on the table that is there" in lines
    assert statuses(run(node.format("{rows: 1}, {not_null: id}"))) == {"a": "reused", "b": "reused"}
    assert planned("{rows: 1}, {not_null: id}")[1] is None


def test_a_table_that_is_gone_is_made_again_for_its_checks(run: Run, tmp_path: Path, here: Here) -> None:
    pq.write_table(pa.table({"n": [1]}), tmp_path / "t.parquet")
    node = "  t: {{read: t.parquet, checks: [{}]}}\n  s: {{sql: select n from t, inputs: t}}\n"
    run(node.format("{rows: 1}"))
    (tmp_path / "p.yaml").write_text("nodes:\n" + node.format("{rows: {min: 1}}"))
    lines = [line.strip() for line in here(tmp_path, "plan", "p.yaml").stdout.splitlines()]
    assert "its table is made again, as a check of it is to be made" in lines
    assert statuses(run(node.format("{rows: {min: 1}}"))) == {"t": "ok", "s": "reused"}


TIGHTENED = {
    "a query": "a: {sql: 'select unnest([1, 1, 2]) as id', CHECKS}",
    "a function": "a: {python: 'steps:make', CHECKS}",
    "a function in a worker": "a: {python: 'steps:make', executor: process, CHECKS}",
    "a script": "a: {run: 'printf \"id\\n1\\n1\\n2\\n\" > $NFRUN_OUTPUT', format: csv, CHECKS}",
    "a file": "a: {read: a.csv, CHECKS}",
    "a file with cache": "a: {read: a.csv, cache: true, CHECKS}",
    "a column file": "a: {read: a.parquet, CHECKS}",
    "a map": "n: {sql: 'select unnest([1, 1, 2]) as id'}\n  a: {python: 'steps:one', map: n, inputs: n, CHECKS}",
    "a node of another file": "x: {pipeline: q.yaml}",
    "a cell": "a: {matrix: {k: [u, v]}, sql: 'select unnest([1, 1, 2]) as id', CHECKS}",
    "one of several outputs": "a: {python: 'steps:two', outputs: {l: {CHECKS}, r: {}}}",
}
OPENED = {"a node of another file": "x/a", "a cell": "a@u", "one of several outputs": "a.l"}


@pytest.mark.parametrize("what", TIGHTENED)
def test_the_table_of_a_check_that_was_tightened_can_be_opened(tmp_path: Path, here: Here, what: str) -> None:
    """The table is that of an earlier run, in which the check held. Then the check is loosened again."""
    (tmp_path / "steps.py").write_text(
        "def make():\n    return [{'id': n} for n in (1, 1, 2)]\ndef one(id: int):\n    return {'id': id}\n"
        "def two():\n    return {'l': make(), 'r': make()}\n"
    )
    (tmp_path / "a.csv").write_text("id\n1\n1\n2\n")
    pq.write_table(pa.table({"id": [1, 1, 2]}), tmp_path / "a.parquet")
    output = OPENED.get(what, "a")

    def run(checks: str) -> int:
        (tmp_path / "q.yaml").write_text(f"nodes:\n  a: {{sql: 'select unnest([1, 1, 2]) as id', {checks}}}\n")
        (tmp_path / "p.yaml").write_text(f"nodes:\n  {TIGHTENED[what].replace('CHECKS', checks)}\n")
        return here(tmp_path, "run", "p.yaml").returncode

    codes = []
    for checks in ("checks: [{rows: 3}]", "checks: [{unique: id}]", "checks: [{unique: id}]", "checks: [{rows: 4}]"):
        codes.append(run(checks))
        opened = here(tmp_path, "open", output, "--format", "csv", "--pipeline", "p.yaml")
        assert opened.stdout == '"id"\n1\n1\n2\n', opened.stderr
        assert opened.stderr.startswith("nfrun: no node reads this table: ") == (checks != "checks: [{rows: 3}]")
    assert codes == [0, 1, 1, 1]
    assert run("checks: [{rows: 3}]") == 0
    assert here(tmp_path, "open", output, "--format", "csv", "--pipeline", "p.yaml").stderr == ""
