"""The run of one node of each kind: python, read, write, run and sql."""

from __future__ import annotations

import datetime as dt
import errno
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Trial, failed

import nfrun.tables.file_io
from nfrun.core.errors import Cause
from nfrun.core.events import Outcome
from nfrun.nodes.base import CancelToken
from nfrun.nodes.returned_tables import to_table
from nfrun.tables.file_io import write_table

NUMBERS = pa.table({"n": [1, 2, 3]})


# ------------------------------------------------------------------ python: calling


def test_inputs_and_values_come_by_name(trial: Trial) -> None:
    source = """
        def f(table, times, *, word="x", unused=None):
            return {"rows": table.num_rows * times, "word": word}
    """
    outcome = trial.python(source, {"table": NUMBERS}, with_={"times": 2, "word": "y"})
    assert trial.table(outcome).to_pylist() == [{"rows": 6, "word": "y"}]


def test_keyword_rest_takes_the_remaining_inputs_and_values(trial: Trial) -> None:
    source = """
        def f(a, **rest):
            return {"rest": ",".join(rest), "a": a.num_rows}
    """
    outcome = trial.python(source, {"a": NUMBERS, "b": NUMBERS}, with_={"c": 1})
    assert trial.table(outcome).to_pylist() == [{"rest": "b,c", "a": 3}]


def test_the_context(trial: Trial) -> None:
    source = """
        def f(context):
            assert context.scratch == context.scratch and context.scratch.is_dir()
            (context.scratch / "file").write_text("left behind")
            context.log.info("two %s", "words")
            context.log.debug("a\\nb")
            context.log.warning("not %d", "a number")
            for i in range(1000):
                context.progress(i, 1000)
            context.progress(1000, 1000)
            return {"run": context.run, "node": context.node, "attempt": context.attempt,
                    "stopped": context.stopped, "env": context.env["COLOUR"]}
    """
    outcome = trial.python(source, attempt=3, env={"COLOUR": "red"})
    expected = {"run": "run-1", "node": "node", "attempt": 3, "stopped": False, "env": "red"}
    assert trial.table(outcome).to_pylist() == [expected]
    assert trial.logged == [("info", "two words"), ("debug", "a"), ("debug", "b")]
    assert trial.progress[0] == (0, 1000)
    assert trial.progress[-1] == (1000, 1000)
    assert len(trial.progress) < 1000


def test_a_value_named_context_replaces_the_context(trial: Trial) -> None:
    outcome = trial.python("def f(context): return {'c': context}", with_={"context": "mine"})
    assert trial.table(outcome).to_pylist() == [{"c": "mine"}]


def test_values_are_fresh_in_every_attempt(trial: Trial) -> None:
    values = {"items": [1]}
    module = trial.module("def f(items):\n    items.append(2)\n    return {'n': len(items)}")
    for attempt in (1, 2):
        outcome = trial.run("python", f"{module}:f", attempt=attempt, with_=values)
        assert trial.table(outcome).to_pylist() == [{"n": 2}]


def test_modules_beside_the_pipeline_file_can_be_imported(trial: Trial) -> None:
    other = trial.module("WORD = 'hello'")
    outcome = trial.python(f"def f():\n    import {other}\n    return {{'w': {other}.WORD}}")
    assert trial.table(outcome).to_pylist() == [{"w": "hello"}]


def test_two_coroutines_run_on_one_loop_at_the_same_time(trial: Trial) -> None:
    source = """
        import asyncio
        seen, met = [], None
        async def f():
            global met
            met = met or asyncio.Event()
            seen.append(asyncio.get_running_loop())
            if len(seen) == 2:
                met.set()
            await asyncio.wait_for(met.wait(), 10)    # each needs the other to have begun
            return {"loops": len(set(map(id, seen)))}
    """
    module = trial.module(source)
    outcomes: list[Outcome] = []
    threads = [
        threading.Thread(target=lambda n=n: outcomes.append(trial.run("python", f"{module}:f", attempt=n)))  # type: ignore[misc]
        for n in (1, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [trial.table(o).to_pylist() for o in outcomes] == [[{"loops": 1}]] * 2


def test_any_awaitable_result_is_awaited(trial: Trial) -> None:
    source = """
        class Soon:
            def __await__(self):
                yield
                return {"n": 1}
        def f():
            return Soon()
    """
    assert trial.table(trial.python(source)).to_pylist() == [{"n": 1}]


def test_a_cancel_ends_a_coroutine_and_waits_for_its_cleanup(trial: Trial) -> None:
    source = """
        import asyncio
        done = []
        async def f(context):
            context.log.info("begun")
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                done.append(context.scratch.exists())
    """
    module = trial.module(source)
    begun = threading.Event()
    trial.logged = EventOnLog(begun)  # type: ignore[assignment]
    stopper = threading.Thread(target=lambda: begun.wait(10) and trial.stop.cancel())
    stopper.start()
    failure = failed(trial.run("python", f"{module}:f"))
    assert failure.cause is Cause.CANCELLED
    assert __import__(module).done == [True]
    stopper.join(10)


class EventOnLog(list[tuple[str, str]]):
    """Sets an event at the first line that is logged."""

    def __init__(self, event: threading.Event) -> None:
        self.event = event

    def append(self, line: tuple[str, str]) -> None:
        super().append(line)
        self.event.set()


def test_a_coroutine_that_is_cancelled_before_its_start_does_not_run(trial: Trial) -> None:
    trial.stop.cancel()
    failure = failed(trial.python("ran = []\nasync def f():\n    ran.append(1)"))
    assert failure.cause is Cause.CANCELLED


@pytest.mark.parametrize("how", ["sys.exit(3)", "await asyncio.create_task(leave())", "raise KeyboardInterrupt"])
def test_an_exit_inside_a_coroutine_leaves_the_loop_running(trial: Trial, how: str) -> None:
    source = f"""
        import asyncio, sys
        async def leave():
            sys.exit(3)
        async def f():
            {how}
    """
    assert failed(trial.python(source)).type in ("SystemExit", "KeyboardInterrupt")
    assert trial.table(trial.python("async def f(): return {'n': 1}")).num_rows == 1


# ------------------------------------------------------------------ python: what it returns


class Stream:
    """A table with the Arrow stream interface, as polars and duckdb have it."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.table.__arrow_c_stream__(requested_schema)


class Struct:
    def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
        return pa.array([{"n": 1}]).__arrow_c_array__(requested_schema)


RETURNS: list[tuple[Any, list[dict[str, Any]]]] = [
    (NUMBERS, [{"n": 1}, {"n": 2}, {"n": 3}]),
    (NUMBERS.to_batches()[0], [{"n": 1}, {"n": 2}, {"n": 3}]),
    (NUMBERS.to_reader(), [{"n": 1}, {"n": 2}, {"n": 3}]),
    (Stream(NUMBERS), [{"n": 1}, {"n": 2}, {"n": 3}]),
    (Struct(), [{"n": 1}]),
    ([{"a": 1, "b": "x"}, {"c": None, "a": 2.5}], [{"a": 1, "b": "x", "c": None}, {"a": 2.5, "b": None, "c": None}]),
    (({"a": 1},), [{"a": 1}]),
    ([], []),
    ({"n": 1, "d": dt.date(2024, 1, 1), "x": None}, [{"n": 1, "d": dt.date(2024, 1, 1), "x": None}]),
    ({}, []),
    ([{1: 2}], [{"1": 2}]),
    ([{"nested": {"a": [1]}}], [{"nested": {"a": [1]}}]),
]


@pytest.mark.parametrize(("value", "rows"), RETURNS, ids=lambda v: type(v).__name__)
def test_return_values_that_become_tables(value: Any, rows: list[dict[str, Any]]) -> None:
    table = to_table(value)
    assert (table.read_all() if isinstance(table, pa.RecordBatchReader) else table).to_pylist() == rows


def test_pandas_becomes_a_table() -> None:
    pandas = pytest.importorskip("pandas")
    assert to_table(pandas.DataFrame({"a": [1, 2], "b": ["x", None]})).to_pydict() == {"a": [1, 2], "b": ["x", None]}


def test_duckdb_becomes_a_table() -> None:
    duckdb = pytest.importorskip("duckdb")
    assert to_table(duckdb.sql("select 1 as a, 'x' as b")).to_pydict() == {"a": [1], "b": ["x"]}


def test_a_returned_input_is_passed_on_as_the_same_object(trial: Trial) -> None:
    outcome = trial.python("def f(t): return t", {"t": NUMBERS})
    assert trial.table(outcome) is NUMBERS


def test_none_is_no_output(trial: Trial) -> None:
    outcome = trial.python("def f(): pass")
    assert outcome.failure is None
    assert outcome.outputs == {}


def test_none_is_an_error_if_the_output_has_a_reader(trial: Trial) -> None:
    failure = failed(trial.python("def f(): pass", read=True))
    assert (failure.type, failure.message) == ("", "it has not made 'node', but other nodes read it")
    failure = failed(
        trial.python("def f(): return {'a': None, 'b': [{'x': 1}]}", outputs=("a", "b"), read=True, attempt=2)
    )
    assert failure.message == "it has not made 'node.a', but other nodes read it"


def test_several_outputs(trial: Trial) -> None:
    outcome = trial.python("def f(): return {'b': {'n': 2}, 'a': {'n': 1}}", outputs=("a", "b"))
    assert {k: t.to_pylist() for k, t in trial.tables(outcome).items()} == {"node.a": [{"n": 1}], "node.b": [{"n": 2}]}


def test_one_output_with_a_name(trial: Trial) -> None:
    outcome = trial.python("def f(): return {'n': 2}", outputs=("only",))
    assert {k: t.to_pylist() for k, t in trial.tables(outcome).items()} == {"node.only": [{"n": 2}]}


SCALARS = "null, a boolean, a number, a string, bytes, a date or a time"
FORMS = "return an Arrow table (pyarrow, polars, pandas, duckdb), a list of mappings, a mapping of scalars, or None"
AB = "the node has the outputs 'a', 'b'"
WRONG: list[tuple[str, tuple[str, ...], str, str]] = [
    ("3", (), "the function returned an int, which is not a table", FORMS),
    ("'text'", (), "the function returned a str, which is not a table", FORMS),
    ("[1, 2]", (), "the function returned a list, which is not a table", FORMS),
    ("(x for x in ())", (), "the function returned a generator, which is not a table", FORMS),
    (
        "{'a': [1, 2]}",
        (),
        "the function returned a mapping whose 'a' is a list",
        f"a mapping makes one row and holds scalars ({SCALARS}); for columns return pyarrow.table(...)",
    ),
    ("NUMBERS", ("a", "b"), f"{AB}, but the function returned a Table, not a mapping of those", ""),
    ("None", ("a", "b"), f"{AB}, but the function returned None, not a mapping of those", ""),
    ("{'a': None}", ("a", "b"), f"{AB}, but it did not return 'b'", ""),
    ("{'a': None, 'c': 1}", ("a", "b"), f"{AB}, but it also returned 'c'", ""),
]  # fmt: skip


@pytest.mark.parametrize(("value", "outputs", "message", "details"), WRONG, ids=[w[0] for w in WRONG])
def test_return_values_that_are_not_tables(
    trial: Trial, value: str, outputs: tuple[str, ...], message: str, details: str
) -> None:
    source = f"import pyarrow as pa\nNUMBERS = pa.table({{'n': [1]}})\ndef f(): return {value}"
    failure = failed(trial.python(source, outputs=outputs))
    assert (failure.cause, failure.type, failure.message, failure.details) == (Cause.NODE, "", message, details)


@pytest.mark.parametrize(
    "value", ["[{'a': 1}, {'a': 'x'}]", "[{'a': object()}]", "{'a': 2**70}", "{'a': '\\ud800'}", "pa.array([1])"]
)
def test_values_that_arrow_rejects(trial: Trial, value: str) -> None:
    failure = failed(trial.python(f"import pyarrow as pa\ndef f(): return {value}"))
    assert failure.message.startswith("the function returned a")
    assert failure.frames == ()


# ------------------------------------------------------------------ python: not a function


def test_a_reference_that_is_not_a_function(trial: Trial) -> None:
    module = trial.module("f = 3")
    assert failed(trial.run("python", f"{module}:f")).message == f"'{module}:f' is an int, not a function"
    failure = failed(trial.run("python", f"{module}:g", attempt=2))
    assert failure.message == f"the module '{module}' has no function 'g'"


def test_a_module_hidden_by_another(trial: Trial) -> None:
    (trial.folder / "json.py").write_text("def f(): pass")
    failure = failed(trial.run("python", "json:f"))
    assert failure.message.startswith("the module 'json' beside the pipeline file is hidden by another of that name (")
    assert failure.details == "give it another name"


def test_a_module_that_does_not_exist(trial: Trial) -> None:
    failure = failed(trial.run("python", "steps_not_there:f"))
    assert (failure.type, failure.message) == ("ModuleNotFoundError", "No module named 'steps_not_there'")
    assert failure.frames == ()


# ------------------------------------------------------------------ read and write


def test_read(trial: Trial) -> None:
    write_table(NUMBERS, trial.folder / "data" / "n.csv")
    assert trial.table(trial.run("read", "data/n.csv")).equals(NUMBERS)
    outcome = trial.run("read", "data/*.csv", outputs=("rows",), with_={"columns": ["n"]}, attempt=2)
    assert list(outcome.outputs) == ["node.rows"]


def test_a_csv_file_that_is_read_as_one_column_is_told(trial: Trial) -> None:
    (trial.folder / "t.csv").write_text("id;city\n1;Berlin\n")
    (trial.folder / "one.csv").write_text("id\n1\n")
    (trial.folder / "two.csv").write_text("id;a,b\n1,2\n")
    trial.run("read", "one.csv")
    trial.run("read", "two.csv")
    trial.run("read", "t.csv", with_={"delimiter": ","})
    assert not trial.logged
    trial.run("read", "t.csv", with_={"filename": True})
    how = "'with: {delimiter: \";\"}' makes several of it"
    assert trial.logged == [("warning", f"the table has one column, 'id;city': {how}")]


def test_read_a_missing_file(trial: Trial) -> None:
    failure = failed(trial.run("read", "no.csv"))
    assert (failure.cause, failure.type, failure.message) == (Cause.NODE, "", "no such file: no.csv")
    assert failure.frames == ()


def test_write(trial: Trial) -> None:
    outcome = trial.run("write", "out/n.parquet", {"t": NUMBERS})
    path = trial.folder / "out" / "n.parquet"
    assert pq.read_table(path).equals(NUMBERS)
    (row,) = trial.table(outcome).to_pylist()
    assert row == {"path": "out/n.parquet", "rows": 3, "bytes": path.stat().st_size}
    assert [p.name for p in path.parent.iterdir()] == ["n.parquet"]


def test_write_onto_a_folder(trial: Trial) -> None:
    (trial.folder / "n.csv").mkdir()
    assert failed(trial.run("write", "n.csv", {"t": NUMBERS})).message == "n.csv is a folder: not replaced"


# ------------------------------------------------------------------ run


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "arrow"])
def test_a_script_sees_and_writes_files(trial: Trial, form: str) -> None:
    body = 'cp "$NFRUN_INPUT_t" "$NFRUN_OUTPUT"; basename "$NFRUN_INPUT_t" | sed "s/.*[.]//"'
    outcome = trial.run("run", body, {"t": NUMBERS}, format=form)
    assert trial.table(outcome).equals(NUMBERS)
    assert trial.logged == [("stdout", form)]


def test_a_script_gets_its_values_as_variables(trial: Trial) -> None:
    trial.environ |= {"NFRUN_INPUT_outer": "x", "NFRUN_OUTPUT_outer": "x", "NFRUN_WITH_outer": "x", "MINE": "1"}
    values = {"s": "a b", "n": 1.5, "b": True, "z": None, "l": [1, "é"], "m": {"a": None}}
    body = 'env | grep -E "^(NFRUN_|MINE|TZ)" | grep -v NFRUN_OUTPUT= | sort; pwd; cat; umask'
    trial.run("run", body, with_=values, env={"TZ": "UTC"}, attempt=2)
    assert [line for _, line in trial.logged[:-1]] == [
        "MINE=1",
        "NFRUN_ATTEMPT=2",
        "NFRUN_NODE=node",
        "NFRUN_RUN=run-1",
        "NFRUN_WITH_b=true",
        'NFRUN_WITH_l=[1, "é"]',
        'NFRUN_WITH_m={"a": null}',
        "NFRUN_WITH_n=1.5",
        "NFRUN_WITH_s=a b",
        "NFRUN_WITH_z=",
        "TZ=UTC",
        str(trial.folder),
    ]


@pytest.mark.parametrize("value", ["$(touch pwned)", "`touch pwned`", "'; touch pwned; '", '"; touch pwned; "', "a\nb"])
def test_a_value_is_never_executed(trial: Trial, value: str) -> None:
    body = 'printf "v\\n\\"%s\\"\\n" "$(printf %s "$NFRUN_WITH_v" | tr -d \'"\')" > "$NFRUN_OUTPUT"'
    outcome = trial.run("run", body, with_={"v": value}, format="csv")
    assert trial.table(outcome).to_pylist() == [{"v": value.replace('"', "")}]
    assert not (trial.folder / "pwned").exists()


def test_a_script_with_several_outputs(trial: Trial) -> None:
    body = 'echo n > "$NFRUN_OUTPUT_a"; echo 1 >> "$NFRUN_OUTPUT_a"; test -z "${NFRUN_OUTPUT-}"'
    outcome = trial.run("run", body, outputs=("a", "b"), format="csv")
    assert {k: t.to_pylist() for k, t in trial.tables(outcome).items()} == {"node.a": [{"n": 1}]}
    failure = failed(trial.run("run", body, outputs=("a", "b"), format="csv", read=True, attempt=2))
    assert failure.message == "it has not made 'node.b', but other nodes read it"


def test_a_script_with_one_named_output(trial: Trial) -> None:
    outcome = trial.run("run", 'test "$NFRUN_OUTPUT" = "$NFRUN_OUTPUT_a"; echo "{}" > "$NFRUN_OUTPUT"',
                        outputs=("a",), format="jsonl")  # fmt: skip
    assert list(outcome.outputs) == ["node.a"]


def test_a_script_that_writes_nothing(trial: Trial) -> None:
    assert trial.run("run", "true").outputs == {}
    failure = failed(trial.run("run", "true", read=True))
    assert failure.message == "it has not made 'node', but other nodes read it"


@pytest.mark.parametrize(
    ("body", "form", "message", "details"),
    [
        (
            'echo hello > "$NFRUN_OUTPUT"',
            "arrow",
            "what the script wrote to $NFRUN_OUTPUT is not arrow",
            "output.arrow cannot be read as arrow: Expected to read 1819043176 metadata bytes, but only read 2; "
            "if it is text, 'format: csv' reads a table from it",
        ),
        (
            ': > "$NFRUN_OUTPUT"',
            "csv",
            "what the script wrote to $NFRUN_OUTPUT is not csv",
            "output.csv cannot be read as csv: the file is empty",
        ),
        ('mkfifo "$NFRUN_OUTPUT"', "csv", "$NFRUN_OUTPUT is not an ordinary file", ""),
        ('mkdir "$NFRUN_OUTPUT"', "csv", "$NFRUN_OUTPUT is not an ordinary file", ""),
        ('ln -s /dev/zero "$NFRUN_OUTPUT"', "csv", "$NFRUN_OUTPUT is not an ordinary file", ""),
    ],
)
def test_a_script_that_writes_something_else(trial: Trial, body: str, form: str, message: str, details: str) -> None:
    failure = failed(trial.run("run", body, format=form))
    assert (failure.type, failure.message, failure.details) == ("", message, details)


@pytest.mark.parametrize(
    ("body", "message", "details"),
    [
        ("echo fine; echo oh no >&2; exit 3", "the script exited with status 3", "oh no\n"),
        ("false | true; echo never", "the script exited with status 1", ""),
        ("false; echo never", "the script exited with status 1", ""),
        ("kill -SEGV $$", "the script was killed by SIGSEGV; compiled code in it crashed", ""),
        ("exit 126", "the script exited with status 126 (not executable)", ""),
        ("kill -40 $$", "the script was killed by signal 40", ""),
    ],
)
def test_a_script_that_fails(trial: Trial, body: str, message: str, details: str) -> None:
    failure = failed(trial.run("run", body, {"t": NUMBERS}))
    assert (failure.cause, failure.type, failure.message, failure.details) == (Cause.NODE, "", message, details)
    assert failure.inputs == ("t: 3 rows, n: int64",)


def test_a_command_that_is_not_there(trial: Trial) -> None:
    failure = failed(trial.run("run", "no-such-command"))
    assert failure.message == "the script exited with status 127 (command not found)"
    assert "no-such-command" in failure.details


def test_an_error_shows_the_end_of_stderr(trial: Trial) -> None:
    failure = failed(trial.run("run", "seq 1 100000 >&2; printf '\\377' >&2; exit 1"))
    log = trial.folder / "logs" / "node.1.stderr"
    assert failure.details.startswith("…")
    assert failure.details.endswith(f"\n99999\n100000\n�\nthe rest of stderr: {log}")
    assert len(failure.details) <= 4097 + len(f"\nthe rest of stderr: {log}")
    lines = [line for level, line in trial.logged if level == "stderr"]
    assert lines[-2:] == ["10000", f"… the rest of 588,896 bytes is in {log}"]
    assert log.read_bytes() == "".join(f"{n}\n" for n in range(1, 100_001)).encode() + b"\377"


@pytest.mark.parametrize(("count", "more"), [(19, ""), (20, "\nthe rest of stderr: LOG")])
def test_an_error_of_many_lines_names_the_file(trial: Trial, count: int, more: str) -> None:
    """The summary shows the last 20 lines."""
    details = failed(trial.run("run", f"seq {count} >&2; exit 1")).details
    lines = "\n".join(str(n) for n in range(1, count + 1))
    assert details.rstrip("\n") == lines + more.replace("LOG", str(trial.folder / "logs" / "node.1.stderr"))


def test_what_a_script_prints_is_logged(trial: Trial) -> None:
    trial.run("run", "printf '10%%\\r90%%\\r\\n\\nlast'; echo err >&2")
    assert [pair for pair in trial.logged if pair[0] == "stdout"] == [
        ("stdout", "90%"),
        ("stdout", ""),
        ("stdout", "last"),
    ]
    assert [pair for pair in trial.logged if pair[0] == "stderr"] == [("stderr", "err")]
    assert (trial.folder / "logs" / "node.1.stdout").read_bytes() == b"10%\r90%\r\n\nlast"


def test_output_of_a_script_is_logged_while_it_runs(trial: Trial) -> None:
    """The script waits until its first line is logged."""
    os.mkfifo(trial.folder / "heard")
    logged: list[tuple[str, str]] = []

    class WriteOnLog(list[tuple[str, str]]):
        def append(self, pair: tuple[str, str]) -> None:
            logged.append(pair)
            if pair == ("stdout", "here"):
                (trial.folder / "heard").write_text("yes")

    trial.logged = WriteOnLog()
    trial.run("run", "echo here; cat heard")
    assert logged == [("stdout", "here"), ("stdout", "yes")]


@pytest.mark.parametrize("how", ["sleep 1000 &", "setsid sleep 1000 &", "setsid yes &"])
def test_a_background_process_that_holds_the_pipe_is_not_waited_for(trial: Trial, how: str) -> None:
    body = how + ' printf "pid\n$!\n" > "$NFRUN_OUTPUT"; until [ -e /proc/$! ]; do :; done; echo last >&2'
    outcome = trial.run("run", body, format="csv")
    (row,) = trial.table(outcome).to_pylist()
    assert ("stderr", "last") in trial.logged
    with suppress(ProcessLookupError):
        os.kill(row["pid"], signal.SIGKILL)


def test_an_input_that_cannot_be_written_is_an_io_failure(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(table: Any, path: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(nfrun.tables.file_io, "write_table", full)
    failure = failed(trial.run("run", "true", {"t": NUMBERS}, format="csv"))
    what = "cannot write the input 't' of the node 'node' (24 bytes) to input_t.csv: No space left on device"
    assert (failure.cause, failure.type, failure.message) == (Cause.IO, "", what)


def test_an_output_of_a_script_without_read_permission_is_an_io_failure(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_error(*arguments: Any, **options: Any) -> None:
        raise PermissionError(errno.EACCES, "Failed to open local file")

    monkeypatch.setattr(nfrun.tables.file_io, "read_table", raise_error)
    failure = failed(trial.run("run", 'echo a > "$NFRUN_OUTPUT"', format="csv"))
    what = "cannot read what the script of the node 'node' wrote to $NFRUN_OUTPUT (output.csv): Permission denied"
    assert (failure.cause, failure.errno, failure.message) == (Cause.PERMISSION, errno.EACCES, what)


def test_a_background_child_neither_delays_nor_outlives_the_node(trial: Trial) -> None:
    outcome = trial.run("run", 'sleep 1000 & echo "pid" > "$NFRUN_OUTPUT"; echo $! >> "$NFRUN_OUTPUT"', format="csv")
    (row,) = trial.table(outcome).to_pylist()
    assert wait_process_end(row["pid"])


def test_a_script_has_a_process_group_of_its_own(trial: Trial) -> None:
    outcome = trial.run("run", 'echo g > "$NFRUN_OUTPUT"; ps -o pgid= -p $$ >> "$NFRUN_OUTPUT" || echo 0 >> "$NFRUN_OUTPUT"', format="csv")  # fmt: skip  # noqa: E501
    assert trial.table(outcome).to_pylist()[0]["g"] != os.getpgrp()


@pytest.mark.parametrize(
    ("error", "cause"),
    [(OSError(24, "Too many open files"), Cause.IO), (OSError(7, "Argument list too long"), Cause.NODE)],
)
def test_a_lack_of_system_resources_is_an_io_failure(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, error: OSError, cause: Cause
) -> None:
    def raise_error(*arguments: Any, **options: Any) -> Any:
        raise error

    monkeypatch.setattr("subprocess.Popen", raise_error)
    failure = failed(trial.run("run", "true"))
    assert (failure.cause, failure.message) == (cause, f"the script cannot be started: {error.strerror}")


def test_a_script_that_cannot_be_started(trial: Trial) -> None:
    failure = failed(trial.run("run", "true", with_={"v": "x" * 200_000}))
    assert failure.message.startswith("the script cannot be started: Argument list too long")
    failure = failed(trial.run("run", "true", env={"A": "x\0y"}))
    assert failure.message == "the script cannot be started: embedded null byte"


def wait_process_end(pid: int) -> bool:
    """Wait up to 10 s for the end of the process and return whether it ended. It may still be a zombie."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 10)[0])
    finally:
        os.close(process)


def call_after_write(trial: Trial, name: str, callback: Callable[[], object]) -> threading.Thread:
    """Call it on a thread after a script has written to the named pipe. The write blocks until the thread reads."""
    os.mkfifo(trial.folder / name)

    def read_then_call() -> None:
        with (trial.folder / name).open() as pipe:
            pipe.read()
        callback()

    thread = threading.Thread(target=read_then_call, daemon=True)
    thread.start()
    return thread


def test_a_cancel_ends_a_script(trial: Trial) -> None:
    thread = call_after_write(trial, "ready", trial.stop.cancel)
    failure = failed(trial.run("run", "trap 'echo bye > said; exit 1' TERM; sleep 1000 & echo > ready; wait"))
    assert failure.cause is Cause.CANCELLED
    assert (trial.folder / "said").read_text() == "bye\n"
    thread.join(10)


def test_an_empty_process_group_is_probed_but_not_killed(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    killpg = os.killpg

    def recording_killpg(group: int, number: int) -> None:
        try:
            killpg(group, number)
        except ProcessLookupError:
            sent.append((group, number))
            raise

    monkeypatch.setattr("os.killpg", recording_killpg)
    thread = call_after_write(trial, "ready", trial.stop.cancel)
    assert failed(trial.run("run", "echo > ready; exec sleep 1000")).cause is Cause.CANCELLED
    assert [number for _, number in sent] == [0], "it was only asked for"
    thread.join(10)


def test_a_script_that_ignores_sigterm_is_killed_after_the_grace_period(trial: Trial) -> None:
    trial.grace = 0.01
    thread = call_after_write(trial, "ready", trial.stop.cancel)
    failure = failed(trial.run("run", "trap '' TERM; echo $$ > pid; echo > ready; while :; do sleep 1000; done"))
    assert failure.cause is Cause.CANCELLED
    assert wait_process_end(int((trial.folder / "pid").read_text()))
    thread.join(10)


def test_a_kill_does_not_wait(trial: Trial) -> None:
    trial.grace = 1000.0
    thread = call_after_write(trial, "ready", trial.stop.kill)
    failure = failed(trial.run("run", "trap '' TERM; echo > ready; while :; do sleep 1000; done"))
    assert failure.cause is Cause.CANCELLED
    thread.join(10)


def test_a_script_that_is_cancelled_before_its_start_does_not_run(trial: Trial) -> None:
    trial.stop.cancel()
    assert failed(trial.run("run", "touch ran")).cause is Cause.CANCELLED
    assert not (trial.folder / "ran").exists()


# ------------------------------------------------------------------ cancel tokens


def test_a_cancel_token_calls_active_callbacks_once() -> None:
    stop, calls = CancelToken(), []
    with stop.on_cancel(lambda: calls.append("over")):
        pass
    with stop.on_cancel(lambda: calls.append("under way"), lambda: calls.append("kill")):
        assert stop.killable
        stop.cancel()
        stop.cancel()
        assert calls == ["under way"]
        stop.kill()
    assert calls == ["under way", "kill"]
    assert not stop.killable
    with stop.on_cancel(lambda: calls.append("late"), lambda: calls.append("late kill")):
        pass
    assert calls[2:] == ["late", "late kill"]


# ------------------------------------------------------------------ sql


def query(trial: Trial, body: str, inputs: dict[str, pa.Table] | None = None, **more: Any) -> list[dict[str, Any]]:
    return trial.table(trial.run("sql", body, inputs or {}, **more)).to_pylist()


def test_a_query(trial: Trial) -> None:
    tables = {"a": NUMBERS, "b": pa.table({"n": [2, 3], "s": ["x", None]})}
    assert query(trial, "select a.n, s from a join b using (n) order by n", tables) == [
        {"n": 2, "s": "x"},
        {"n": 3, "s": None},
    ]


def test_the_output_of_a_query_may_have_a_name(trial: Trial) -> None:
    assert list(trial.run("sql", "select 1 as n", outputs=("rows",)).outputs) == ["node.rows"]


VALUES = [1, -1.5, True, "it's; drop table a --", "", None, 2**62, [1, 2], ["a", None], [], {"a": 1}, [{"a": "x"}]]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_are_bound(trial: Trial, value: Any) -> None:
    assert query(trial, "select $v as v", with_={"v": value, "unused": 1}) == [{"v": value}]


def test_values_in_a_condition(trial: Trial) -> None:
    rows = query(trial, "select n from a where n in $list and n > $least", {"a": NUMBERS}, with_={"list": [1, 3], "least": 1})  # fmt: skip  # noqa: E501
    assert rows == [{"n": 3}]


@pytest.mark.parametrize(
    "first",
    ["select 1 as b", "values (1)", "show tables", "create table t as select 1 as b; from t", "from range(5000)"],
)
def test_a_statement_with_rows_before_the_last_one(trial: Trial, first: str) -> None:
    assert query(trial, f"{first}; select n + 1 as a from a where n < 3", {"a": NUMBERS}) == [{"a": 2}, {"a": 3}]


def test_several_statements_give_the_last_result(trial: Trial) -> None:
    body = "create table t as select n + $k as n from a; insert into t values (100); select sum(n)::int as s from t"
    assert query(trial, body, {"a": NUMBERS}, with_={"k": 1}) == [{"s": 109}]


@pytest.mark.parametrize("name", ["NUMBERS", "context", "wanted", "connection"])
def test_python_variables_are_no_tables(trial: Trial, name: str) -> None:
    wanted = NUMBERS
    failure = failed(trial.run("sql", f"select * from {name}", {"a": wanted}))
    assert failure.message == f"Catalog Error: Table with name {name} does not exist!"
    assert failure.frames == ()


def test_a_syntax_error_shows_its_position(trial: Trial) -> None:
    failure = failed(trial.run("sql", "select n frm a", {"a": NUMBERS}))
    assert failure.type == ""
    assert failure.message.startswith("Parser Error: syntax error")
    assert "LINE 1: select n frm a" in failure.details
    assert failure.inputs == ("a: 3 rows, n: int64",)


def test_a_value_that_is_missing(trial: Trial) -> None:
    assert "v" in failed(trial.run("sql", "select $v as v")).message


def test_an_empty_query(trial: Trial) -> None:
    assert failed(trial.run("sql", " -- nothing\n ")).message == "the query is empty"


SPILL = """
    set memory_limit = '30MB'; set threads = 1; set max_temp_directory_size = '4MB';
    select md5(i::varchar) as m from range(1000000) t(i) order by m
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (SPILL, "there is no room for what the query cannot hold in memory: Out of Memory Error: "),
        ("copy (select 1) to '/dev/full' (format csv); select 1", "cannot run the query: IO Error: "),
    ],
)
def test_a_full_disk_in_a_query_is_an_io_failure(trial: Trial, body: str, message: str) -> None:
    failure = failed(trial.run("sql", body))
    assert failure.cause is Cause.IO
    assert failure.message.startswith(message)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_system_errors_of_duckdb_are_io_failures(trial: Trial, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    duckdb = pytest.importorskip("duckdb")

    def raise_error(*_: Any, **__: Any) -> None:
        raise duckdb.IOException(f'IO Error: Could not write file "x.tmp": {os.strerror(number)}')

    monkeypatch.setattr("duckdb.connect", raise_error)
    failure = failed(trial.run("sql", "select 1"))
    assert failure.cause is (Cause.PERMISSION if number == errno.EACCES else Cause.IO)
    assert failure.errno == number
    assert failure.message == f'cannot run the query: IO Error: Could not write file "x.tmp": {os.strerror(number)}'


def test_a_query_without_duckdb(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    failure = failed(trial.run("sql", "select 1"))
    assert failure.message == "a sql node needs DuckDB, which is not installed"
    assert failure.details == "install it with: pip install 'duckdb>=1.5'"


@pytest.mark.parametrize("body", ["from 'absent.csv'", "copy (select 1) to 'no/folder.csv'; select 1"])
def test_missing_files_in_a_query_are_errors_of_the_query(trial: Trial, body: str) -> None:
    assert failed(trial.run("sql", body)).cause is Cause.NODE


@pytest.mark.parametrize("text", [os.strerror(errno.ENOSPC), "max_temp_directory_size"])
def test_texts_of_system_errors_in_a_query_are_errors_of_the_query(trial: Trial, text: str) -> None:
    assert failed(trial.run("sql", f"select '{text}'::int")).cause is Cause.NODE


def test_a_query_finds_files_beside_the_pipeline_file(trial: Trial) -> None:
    write_table(NUMBERS, trial.folder / "beside.csv")
    assert query(trial, "select count(*)::int as n from 'beside.csv'") == [{"n": 3}]


def test_a_query_causes_no_warnings(trial: Trial, recwarn: pytest.WarningsRecorder) -> None:
    query(trial, "select 1 as n")
    assert not recwarn.list


def test_a_cancel_interrupts_a_query(trial: Trial) -> None:
    duckdb = pytest.importorskip("duckdb")
    table = pa.table({"n": range(100_000)})
    stopped = threading.Event()

    class RepeatingToken(CancelToken):
        def on_cancel(self, callback: Callable[[], object], kill: Callable[[], object] | None = None) -> Any:
            def interrupt_repeatedly() -> None:  # an interrupt just before the query begins has no effect
                with suppress(duckdb.ConnectionException):  # the connection is closed: the query has ended
                    while not stopped.wait(0.001):
                        callback()

            thread = threading.Thread(target=interrupt_repeatedly, daemon=True)
            thread.start()
            return super().on_cancel(lambda: None)

    trial.stop = RepeatingToken()
    failure = failed(trial.run("sql", "select sum(a.n * b.n % 7 + sqrt(c.n)) from a, a b, a c", {"a": table}))
    stopped.set()
    assert failure.message.startswith("INTERRUPT Error")


def test_a_query_that_is_cancelled_before_its_start_does_not_run(trial: Trial) -> None:
    trial.stop.cancel()
    assert failed(trial.run("sql", "select 1 as n")).cause is Cause.CANCELLED
