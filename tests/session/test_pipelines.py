"""`nfrun.load`, `plan` and `run`: the same results, keys and mistakes as the command line, from a Python program."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import forked
import pyarrow as pa
import pytest

import nfrun
from nfrun.engine.runner import Runner
from nfrun.history.cache.run_cache import RunCache

PIPELINE = """
name: demo
params: {most: 2, fails: false}
inputs:
  orders: {read: orders.csv, schema: {id: integer, amount: number}}
matrix: {country: [DE, FR]}
nodes:
  clean: {python: "steps:clean", inputs: {orders: orders}, with: {most: "${{ params.most }}"}}
  parts: {python: "steps:parts", inputs: {orders: clean}, outputs: [small, large]}
  score: {matrix: country, python: "steps:score", inputs: {orders: clean}, with: {of: "${{ matrix.country }}"}}
  text: {python: "steps:text", inputs: {orders: parts.large}, outputs: {txt: .txt}}
  bad: {if: "${{ params.fails }}", python: "steps:bad", inputs: {orders: clean}}
  after: {python: "steps:clean", inputs: {orders: bad}, with: {most: 1}}
outputs: {clean: clean, text: text, score: score}
"""
STEPS = """
def clean(orders, most):
    print("cleaning", most)
    return orders.slice(0, most)


def parts(orders):
    return {"small": orders.slice(0, 1), "large": orders.slice(1)}


def score(orders, of):
    return {"rows": orders.num_rows, "of": of}


def text(orders, context):
    path = context.output("a.txt")
    path.write_text(f"{orders.num_rows} rows")
    return path


def bad(orders):
    raise ValueError("no good")
"""
ORDERS = [{"id": 1, "amount": 1.5}, {"id": 2, "amount": 2.5}, {"id": 3, "amount": 3.0}]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "orders.csv").write_text("id,amount\n1,1.5\n2,2.5\n3,3\n")
    path = tmp_path / "demo.yaml"
    path.write_text(PIPELINE)
    return path


def nfrun_stdout(file: Path, *words: str) -> str:
    """What the command prints, in the folder of the file."""
    command = [sys.executable, "-m", "nfrun", *words]
    return forked.run(command, cwd=file.parent, capture_output=True, text=True, check=False).stdout


def test_a_run_returns_its_nodes_and_its_outputs(file: Path) -> None:
    result = nfrun.load(file).run()
    assert (result.status, result.error, result.number, result.failures) == ("ok", "", 1, ())
    assert result.check() is result
    assert list(result) == ["clean", "text", "score@DE", "score@FR"]
    assert len(result) == 4 and "clean" in result and "orders" not in result
    assert result["clean"].to_pylist() == ORDERS[:2]
    assert result["parts.large"].to_pylist() == ORDERS[1:2]
    assert result["text"].read_text() == "1 rows"
    assert result.nodes["clean"].status == "ok"
    assert result.nodes["clean"].took > 0
    assert result.nodes["clean"].log() == "cleaning 2\n"
    assert result.nodes["clean"].log("stderr") == ""
    assert result.nodes["bad"].status == result.nodes["after"].status == "disabled"
    assert result.nodes["bad"].because == "its 'if' is false"
    assert list(result.nodes)[:3] == ["orders", "clean", "parts"] and len(result.nodes) == 8
    assert result.counts == {"ok": 6}
    assert re.fullmatch(r"<run 1 of demo: ok, 6 ran, .* m?s>", repr(result))


def test_results_keep_neither_the_cache_nor_the_runner_of_their_runs(file: Path) -> None:
    """A program may keep many of them."""

    def left() -> int:
        gc.collect()
        return sum(isinstance(found, RunCache | Runner) for found in gc.get_objects())

    before = left()
    result = nfrun.load(file).run()
    assert (result.status, left()) == ("ok", before)


def test_cells_are_gathered_as_a_node_would_read_them(file: Path) -> None:
    result = nfrun.load(file).run()
    assert result.gather("score").to_pylist() == [
        {"country": "DE", "rows": 2, "of": "DE"},
        {"country": "FR", "rows": 2, "of": "FR"},
    ]
    assert list(result.gather("score", form="dict")) == ["DE", "FR"]
    assert result.gather("score", columns=[]).column_names == ["rows", "of"]
    with pytest.raises(nfrun.UsageError, match="'score' has no axis 'land'; it has country"):
        result.gather("score", columns=["land"])


def test_cells_that_collect_failed_rows_are_gathered_without_and_with_their_names(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text("def f(a: int, k):\n    assert a != k, 'no'\n    return {'b': a + k}\n")
    (tmp_path / "p.yaml").write_text(
        "matrix: {k: [1, 2]}\nnodes:\n  t: {sql: select 1 as a union all select 2 as a}\n"
        "  x: {matrix: k, python: 's:f', inputs: t, with: {k: '${{ matrix.k }}'},"
        " map: {over: t, batch: 1, on_error: collect, max_failed: 1}}\n"
    )
    result = nfrun.load(tmp_path / "p.yaml").run()
    assert result.gather("x").to_pylist() == [{"k": 1, "a": 2, "b": 3}, {"k": 2, "a": 1, "b": 3}]
    assert result.gather("x.errors").column("a").to_pylist() == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (("scor",), nfrun.NotRecorded, "'scor' has no cells; did you mean 'score'?"),
        (("clean",), nfrun.NotRecorded, "'clean' has no cells; there is score"),
        (("score", "list"), nfrun.UsageError, "form: 'list' is neither 'concat' nor 'dict'"),
        (("score.x",), nfrun.NotRecorded, "no cell of 'score.x' has an output in run 1"),
    ],
)
def test_what_cannot_be_gathered_says_why(file: Path, arguments: Any, error: type[Exception], text: str) -> None:
    result = nfrun.load(file).run()
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        result.gather(*arguments)


def test_an_output_that_is_not_there_says_why(file: Path) -> None:
    result = nfrun.load(file).run()
    for name, text in (("claen", "did you mean 'clean'"), ("bad", "bad"), ("score", "such as .score@")):
        with pytest.raises(nfrun.NotRecorded, match=text):
            result[name]
    assert result.get("claen") is None
    with pytest.raises(TypeError, match="an output has a name, and 3 is none"):
        result[3]  # type: ignore[index]
    with pytest.raises(nfrun.NotRecorded, match="there is no node 'claen'; did you mean 'clean'"):
        result.nodes["claen"]
    with pytest.raises(nfrun.UsageError, match="'out' is none of stdout, stderr, log"):
        result.nodes["clean"].log("out")


def test_a_failed_node_raises_nothing_but_in_check(file: Path) -> None:
    result = nfrun.load(file).run(params={"fails": True})
    assert result.status == "failed"
    assert result.nodes["after"].because == "bad"
    (failure,) = result.failures
    assert (failure.node, failure.type, failure.message) == ("bad", "ValueError", "no good")
    assert [(frame.file, frame.line, frame.source) for frame in failure.frames] == [
        ("steps.py", 22, 'raise ValueError("no good")')
    ]
    assert failure.traceback.splitlines()[:3] == [
        f"{file}:12:3: node 'bad' failed: ValueError: no good",
        "  steps.py:22 in bad",
        '    raise ValueError("no good")',
    ]
    with pytest.raises(nfrun.RunFailed) as caught:
        result.check()
    assert caught.value.result is result
    assert failure.traceback in str(caught.value)


def test_all_ways_have_the_same_keys_and_reuse_the_results_of_each_other(file: Path) -> None:
    """By file, and by the command line; `test_builder.py` has the third way."""
    assert nfrun.load(file).run(inputs={"orders": str(file.with_name("orders.csv"))}).counts == {"ok": 6}
    command = json.loads(nfrun_stdout(file, "run", "demo.yaml", "--json"))
    assert command["counts"]["reused"] == 6
    again = nfrun.load(file).run()
    assert again.counts == {"reused": 6}
    assert {name: out["digest"] for name, out in again.to_dict()["outputs"].items()} == {
        name: out["digest"] for name, out in command["outputs"].items()
    }


def test_a_plan_is_that_of_the_command_line(file: Path) -> None:
    pipeline = nfrun.load(file)
    plan = pipeline.plan()
    command = nfrun_stdout(file, "plan", "demo.yaml", "--format", "json")
    assert plan.to_dict() == json.loads(command)
    assert plan.runs == ("orders", "clean", "parts", "score@DE", "score@FR", "text")
    assert str(plan) + "\n" == nfrun_stdout(file, "plan", "demo.yaml")
    assert repr(plan) == "<plan of demo: 6 of 6 nodes would run>"
    pipeline.run()
    assert pipeline.plan().runs == ()
    assert pipeline.plan(params={"most": 3}).runs == ("orders", "clean", "parts", "score@DE", "score@FR", "text")
    assert pipeline.plan(only="clean", force=["clean"]).runs == ("clean",)


def test_the_file_is_read_again_for_each_run(file: Path) -> None:
    pipeline = nfrun.load(file)
    pipeline.run()
    file.write_text(PIPELINE.replace("most: 2", "most: 1"))
    assert pipeline.run()["clean"].num_rows == 1


@pytest.mark.parametrize(
    "orders",
    [
        [{"id": 7, "amount": 1.0}],
        pa.table({"id": [7], "amount": [1.0]}),
        pa.table({"id": [7], "amount": [1.0]}).to_reader(),
        pa.table({"id": [7], "amount": [1.0]}).to_pandas(),
    ],
    ids=["rows", "table", "reader", "pandas"],
)
def test_inputs_may_be_tables_which_count_by_their_content(file: Path, orders: Any) -> None:
    pipeline = nfrun.load(file)
    assert pipeline.run(inputs={"orders": orders})["clean"].to_pylist() == [{"id": 7, "amount": 1.0}]
    again = [{"id": 7, "amount": 1.0}]
    assert pipeline.plan(inputs={"orders": again}).runs == ()
    assert pipeline.run(inputs={"orders": again}).counts == {"reused": 6}
    assert pipeline.plan(inputs={"orders": [{"id": 9, "amount": 1.0}]}).runs[0] == "orders"


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view()], ids=str)
def test_texts_of_given_tables_may_have_each_type(file: Path, kind: pa.DataType) -> None:
    file.write_text(PIPELINE.replace("amount: number}", "amount: number, note: string}"))
    table = pa.table({"id": [7, 8], "amount": [1.0, 1.0], "note": pa.array(["a", "b"], kind)})
    pipeline = nfrun.load(file)
    result = pipeline.run(inputs={"orders": table})
    assert result["clean"].column("note").to_pylist() == ["a", "b"]
    assert pipeline.run(inputs={"orders": table}).counts == {"reused": 6}


def test_given_tables_are_read_as_such_whatever_the_file_says_of_its_own(file: Path) -> None:
    with_options = "with: {format: csv, delimiter: ';', columns: [id, amount]}"
    file.write_text(PIPELINE.replace("read: orders.csv", f"read: orders.txt, {with_options}"))
    result = nfrun.load(file).run(inputs={"orders": [{"id": 7, "amount": 1.0, "more": 2}]})
    assert result["clean"].to_pylist() == [{"id": 7, "amount": 1.0}]


def test_given_tables_stay_as_long_as_their_runs(file: Path) -> None:
    from nfrun.history.database import Database
    from nfrun.history.prune import plan_prune
    from nfrun.history.work_dir import WorkDir

    nfrun.load(file).run(inputs={"orders": ORDERS})
    work = WorkDir(file.parent / ".nfrun")
    (kept,) = (work.path / "inputs").iterdir()
    lost = kept.with_name(f"{'0' * 32}.arrow")
    lost.write_bytes(b"x")
    assert plan_prune(Database(work)).files == (lost,)
    assert {kept, lost} <= {*plan_prune(Database(work), everything=True).files}


def test_given_tables_of_earlier_runs_go_when_they_take_more_than_the_budget(file: Path) -> None:
    for i in range(3):
        nfrun.load(file).run(inputs={"orders": [{"id": i, "amount": 1.0}]}, cache_size=1)
        assert len([*(file.parent / ".nfrun" / "inputs").iterdir()]) == 1


def test_the_html_of_a_result_has_the_first_rows_of_outputs_escaped(tmp_path: Path) -> None:
    b = nfrun.Pipeline("x", folder=tmp_path)
    b.sql("a", "select range as n, '<b>' || range as \"<i>\" from range(9)")
    html = b.run()._repr_html_()
    assert "&lt;b&gt;4\n" in html and "   &lt;i&gt;\n" in html
    assert "<i>" not in html and "<b>" not in html


def test_a_given_table_is_checked_as_the_file_says(file: Path) -> None:
    result = nfrun.load(file).run(inputs={"orders": [{"id": "x", "amount": 1.0}]})
    assert result.status == "failed"
    assert "'id'" in result.failures[0].message


WRONG = {
    "jobs=0": ({"jobs": 0}, nfrun.UsageError, "jobs: '0' is neither auto nor a number from 1 to 10,000"),
    "params=3": ({"params": 3}, nfrun.UsageError, "params: 3 is no mapping of names to values"),
    "a key": ({"params": {1: 2}}, nfrun.UsageError, "params: 1 is no name of a parameter"),
    "a set": (
        {"params": {"most": {1}}},
        nfrun.UsageError,
        "params: a file cannot have the value of 'most': it is {1}, a set",
    ),
    "nan": (
        {"params": {"most": float("nan")}},
        nfrun.UsageError,
        "params: a file cannot have the value of 'most': it is nan, which is no number that a file can have",
    ),
    "a name": (
        {"params": {"mots": 1}},
        nfrun.SpecError,
        "{file}: the pipeline has no parameter 'mots'\n   did you mean 'most'?",
    ),
    "a type": (
        {"params": {"most": "1"}},
        nfrun.SpecError,
        "{file}: the parameter 'most' must be of type integer, not 1",
    ),
    "no such input": (
        {"inputs": {"order": [{"id": 1}]}},
        nfrun.SpecError,
        "{file}: the pipeline has no input 'order'\n   did you mean 'orders'?",
    ),
    "no rows": (
        {"inputs": {"orders": []}},
        nfrun.UsageError,
        "inputs: 'orders' has no rows, so it has no columns: give a table that has them",
    ),
    "inputs=[]": ({"inputs": []}, nfrun.UsageError, "inputs: [] is no mapping of names to tables or paths"),
    "an int": (
        {"inputs": {"orders": 5}},
        nfrun.UsageError,
        "inputs: 'orders' is an int, which is not a table (give a path, a table, or a list of mappings)",
    ),
    "no path": ({"inputs": {"orders": ""}}, nfrun.UsageError, "inputs: the input 'orders' has no file"),
    "no list": ({"only": 5}, nfrun.UsageError, "only: 5 is neither a selector nor a list of them"),
    "an empty list": ({"only": []}, nfrun.UsageError, "only: it selects no node: leave it out, or name nodes"),
    "only": (
        {"only": "claen"},
        nfrun.UsageError,
        "only: no node matches 'claen'; did you mean 'clean'?",
    ),
    "executor": (
        {"executor": "spark"},
        nfrun.UsageError,
        "executor: 'spark' is not one of 'file', 'thread', 'process', 'dask', 'auto'.",
    ),
    "wait": ({"wait": "soon"}, nfrun.UsageError, "wait: 'soon' is not a duration such as 30s, 10m or 2h, at most 366d"),
    "profile": ({"profile": "x"}, nfrun.SpecError, "{file}: there is no profile 'x'; the file has no profiles"),
    "store": ({"store": "/x"}, nfrun.UsageError, "store: it is for clusters: give executor dask, too"),
    "work": ({"work": ""}, nfrun.UsageError, "work: an empty name is no folder"),
    "params_file": ({"params_file": "no.yaml"}, nfrun.SpecError, "no.yaml: there is no such file\n   check the path"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_told_by_their_names_in_python(file: Path, name: str) -> None:
    arguments, error, text = WRONG[name]
    with pytest.raises(error) as caught:
        nfrun.load(file).run(**arguments)
    assert isinstance(caught.value, nfrun.Error)
    assert str(caught.value).startswith(text.replace("{file}", str(file)))


def test_messages_name_arguments_and_not_options(file: Path) -> None:
    text = PIPELINE.replace("most: 2", "most: {type: integer}").replace("{read: orders.csv, schema", "{schema")
    file.write_text(text)
    with pytest.raises(nfrun.SpecError) as caught:
        nfrun.load(file).run(inputs={"orders": ORDERS})
    assert [problem.hint for problem in caught.value.problems] == ["give it with params most=…"]
    with pytest.raises(nfrun.SpecError) as caught:
        nfrun.load(file).run(params={"most": 1})
    assert [problem.hint for problem in caught.value.problems] == ["inputs orders=FILE"]
    with pytest.raises(nfrun.SelectionError, match=r"select it too \(until score@DE\)"):
        nfrun.load(file).run(params={"most": 1}, inputs={"orders": ORDERS}, only="score@DE")
    with pytest.raises(nfrun.UsageError, match=r"^from_: no node matches 'x'"):
        nfrun.load(file).run(params={"most": 1}, inputs={"orders": ORDERS}, from_="x")


def test_mistakes_of_a_file_are_those_of_validate(file: Path) -> None:
    file.write_text(PIPELINE.replace("steps:clean", "steps:claen").replace("matrix: country", "matrix: county"))
    with pytest.raises(nfrun.SpecError) as caught:
        nfrun.load(file)
    command = json.loads(nfrun_stdout(file, "validate", "demo.yaml", "--json"))
    found = [(p.line, p.column, p.message, p.hint) for p in caught.value.problems]
    assert found == [(p["line"], p["column"], p["message"], p["hint"]) for p in command["files"][0]["problems"]]
    assert str(caught.value).startswith(f"{file}:8:")
    assert len(caught.value.problems) == 3


def test_the_working_directory_may_change_after_load(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    pipeline = nfrun.load("demo.yaml")
    (file.parent / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert pipeline.run().status == "ok"


def test_check_finds_what_validate_finds(file: Path) -> None:
    text = PIPELINE.replace("  after:", "  wrong: {sql: selec 1}\n  after:")
    file.write_text(text)
    with pytest.raises(nfrun.SpecError, match="syntax error"):
        nfrun.load(file).check()
    file.write_text(PIPELINE)
    assert nfrun.load(file).check() == ()


def test_the_log_of_a_reused_node_is_that_of_the_run_in_which_it_ran(file: Path) -> None:
    nfrun.load(file).run()
    assert nfrun.load(file).run().nodes["clean"].log() == "cleaning 2\n"


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(nfrun.SpecError, match=r"no\.yaml: "):
        nfrun.load(tmp_path / "no.yaml")


def test_a_locked_folder_is_an_error_of_its_own(file: Path) -> None:
    from nfrun.history.work_dir import WorkDir

    pipeline = nfrun.load(file)
    bound = pipeline._read()
    with WorkDir.of_pipeline(bound, None).start_run(bound), pytest.raises(nfrun.WorkDirLocked):
        pipeline.run()


def test_secrets_are_in_no_error(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "hunter2-hunter2")
    file.write_text(PIPELINE + 'secrets: [TOKEN]\nenv: {KEY: "${{ secrets.TOKEN }}"}\n')
    with pytest.raises(nfrun.SpecError) as caught:
        nfrun.load(file).run(params={"most": "hunter2-hunter2"})
    assert "hunter2" not in str(caught.value) and "***" in str(caught.value)


def test_warnings_are_logged_and_kept(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "nfrun"):
        result = nfrun.load(file).run(only=["clean", "orders"], date="2026-01-31")
    assert result.warnings == ("--date has no effect: no expression reads run.date",)
    assert [record.getMessage() for record in caplog.records] == [f"warning: {text}" for text in result.warnings]


def test_ctrl_c_cancels_the_run_and_returns_it(file: Path) -> None:
    (file.parent / "steps.py").write_text(
        STEPS.replace("    print(", "    import os, signal, time\n    os.kill(os.getpid(), signal.SIGINT)\n    print(")
    )
    before = signal.getsignal(signal.SIGINT)
    result = nfrun.load(file).run(jobs=1)
    assert result.status == "cancelled"
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt, match="demo: cancelled"):
        result.check()


def test_runs_may_be_in_threads_and_beside_an_event_loop(file: Path, tmp_path: Path) -> None:
    pipeline, found = nfrun.load(file), dict[str, Any]()

    def run(name: str) -> None:
        found[name] = pipeline.run(work=tmp_path / name, params={"most": len(name)})

    threads = [threading.Thread(target=run, args=["x" * length]) for length in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: result["clean"].num_rows for name, result in found.items()} == {"x": 1, "xx": 2, "xxx": 3}

    async def main() -> Any:
        return pipeline.run(work=tmp_path / "x"), await asyncio.to_thread(pipeline.run, work=tmp_path / "xx")

    assert [result.status for result in asyncio.run(main())] == ["ok", "ok"]


def test_importing_nfrun_imports_nothing_else() -> None:
    code = "import sys; before = {*sys.modules}; import nfrun; dir(nfrun); print(*sorted({*sys.modules} - before))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "nfrun\n"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'nfrun' has no attribute 'laod'"):
        nfrun.laod  # noqa: B018  # type: ignore[attr-defined]
    assert {"load", "Pipeline", "Error"} <= {*dir(nfrun)}
