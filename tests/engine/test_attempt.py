"""Tests of a single attempt at a node: its failure, its figures, and the scratch folder and tables it releases."""

from __future__ import annotations

import errno
import gc
import io
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import Trial, failed

from nfrun.core.errors import Cause, HandoffError
from nfrun.core.events import Failure, NodeStarted, OutputRef
from nfrun.nodes.base import CancelToken, NodeContext
from nfrun.nodes.kind import Kind, Runs, Says
from nfrun.nodes.registry import KINDS
from nfrun.system.logs.print_capture import current_attempt
from nfrun.tables.store import TableStore

NUMBERS = pa.table({"n": [1, 2, 3]})


def shown_frames(failure: Failure, trial: Trial) -> list[tuple[str, int, str, str]]:
    """Return the frames of a failure, with `steps.py` for the numbered module."""
    assert all(not frame.file.startswith(str(trial.folder)) for frame in failure.frames)
    return [
        ("steps.py" if f.file.startswith("steps_") else f.file, f.line, f.function, f.source) for f in failure.frames
    ]


# ------------------------------------------------------------------ failures


def test_an_error_shows_the_users_frames_and_the_inputs(trial: Trial) -> None:
    source = """
        def f(table, other):
            return g(table)

        def g(table):
            raise ValueError("no good")
    """
    failure = failed(trial.python(source, {"table": NUMBERS, "other": pa.table({"s": ["x"], "b": [True]})}))
    assert (failure.cause, failure.type, failure.message, failure.details) == (Cause.NODE, "ValueError", "no good", "")
    assert failure.inputs == ("table: 3 rows, n: int64", "other: 1 row, s: string, b: bool")
    assert shown_frames(failure, trial) == [
        ("steps.py", 3, "f", "return g(table)"),
        ("steps.py", 6, "g", 'raise ValueError("no good")'),
    ]


def test_only_the_last_frame_of_a_library_is_shown(trial: Trial) -> None:
    failure = failed(trial.python("import json\ndef f():\n    json.loads('{')"))
    first, last = shown_frames(failure, trial)
    assert first == ("steps.py", 3, "f", "json.loads('{')")
    assert last[0].endswith("json/decoder.py")


def test_compiled_modules_have_no_frames(trial: Trial) -> None:
    failure = failed(trial.python("import pyarrow as pa\ndef f():\n    pa.table({'a': [1]}).cast(pa.schema([]))"))
    assert [f.function for f in failure.frames] == ["f"]


def test_an_error_in_a_coroutine_shows_the_users_frames(trial: Trial) -> None:
    source = """
        async def f():
            await g()
        async def g():
            raise ValueError("no good")
    """
    failure = failed(trial.python(source))
    assert [f.function for f in failure.frames] == ["f", "g"]


def test_a_failed_import_shows_the_frames_of_the_modules(trial: Trial) -> None:
    inner = trial.module("def f(): pass\nimport steps_not_there")
    outer = trial.module(f"import {inner}\ndef f(): pass")
    failure = failed(trial.run("python", f"{outer}:f"))
    assert (failure.type, failure.message) == ("ModuleNotFoundError", "No module named 'steps_not_there'")
    assert [(f.file, f.line, f.function) for f in failure.frames] == [
        (f"{outer}.py", 1, "<module>"),
        (f"{inner}.py", 2, "<module>"),
    ]


def test_a_syntax_error_shows_its_line(trial: Trial) -> None:
    inner = trial.module("x = 1\ndef f(:\n")
    outer = trial.module(f"import {inner}")
    failure = failed(trial.run("python", f"{outer}:f"))
    assert failure.type == "SyntaxError"
    assert [(f.file, f.line, f.source) for f in failure.frames] == [
        (f"{outer}.py", 1, f"import {inner}"),
        (f"{inner}.py", 2, "def f(:"),
    ]


def test_a_wrong_call_has_no_frames(trial: Trial) -> None:
    failure = failed(trial.python("def f(a): pass"))
    assert failure.type == "TypeError"
    assert failure.message == "f() missing 1 required positional argument: 'a'"
    assert failure.frames == ()


def test_a_recursion_shows_its_two_ends(trial: Trial) -> None:
    failure = failed(trial.python("def f():\n    g()\ndef g():\n    g()"))
    assert failure.type == "RecursionError"
    assert len(failure.frames) == 12
    assert failure.frames[0].function == "f"


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        ("SystemExit(3)", "SystemExit", "the node called sys.exit(3)"),
        ("SystemExit()", "SystemExit", "the node called sys.exit()"),
        ("KeyboardInterrupt()", "KeyboardInterrupt", "KeyboardInterrupt"),
        ("GeneratorExit()", "GeneratorExit", "GeneratorExit"),
        ("KeyError('x')", "KeyError", "'x'"),
        ("ValueError()", "ValueError", "ValueError"),
        ("Bad()", "Bad", "<its message cannot be shown: ZeroDivisionError>"),
        ("Worse()", "Worse", "<its message cannot be shown: SystemExit>"),
        ("Listed()", "Listed", "Listed"),
        ("ValueError('x' * 5000)", "ValueError", "x" * 4000 + "… (5,000 characters)"),
        ("ValueError('half \\ud800')", "ValueError", "half \\ud800"),
        ("MemoryError('all of it')", "MemoryError", "all of it"),
    ],
)
def test_any_exception_becomes_a_failure(trial: Trial, raised: str, kind: str, message: str) -> None:
    source = f"""
        class Bad(Exception):
            def __str__(self): return 1 / 0
        class Worse(Exception):
            def __str__(self): raise SystemExit
        class Listed(Exception):
            exceptions = 3
        def f():
            raise {raised}
    """
    failure = failed(trial.python(source))
    assert (failure.cause, failure.type, failure.message) == (Cause.NODE, kind, message)


@pytest.mark.parametrize(
    ("body", "details"),
    [
        ("raise ValueError('a') from KeyError('b')", "caused by KeyError: 'b'"),
        ("raise ValueError('a') from None", ""),
        (
            "raise ExceptionGroup('several', [ValueError('a'), KeyError('b'), OSError('c'), OSError('d')])",
            "caused by ValueError: a\ncaused by KeyError: 'b'\ncaused by OSError: c",
        ),
        (
            "\n    try: 1 / 0\n    except Exception: raise ValueError('a')",
            "caused by ZeroDivisionError: division by zero\n  FILE:3 in f\n    try: 1 / 0",
        ),
        (
            "g()\n\ndef h(): return {}['k']\n\ndef g():\n    try: h()\n"
            "    except Exception as error: raise ValueError('a') from error",
            "caused by KeyError: 'k'\n  FILE:7 in g\n    try: h()\n  FILE:4 in h\n    def h(): return {}['k']",
        ),
        (
            "\n    try:\n        try: 1 / 0\n        except Exception: {}['k']\n"
            "    except Exception: raise ValueError('a')",
            "caused by KeyError: 'k'\n  FILE:5 in f\n    except Exception: {}['k']\n"
            "caused by ZeroDivisionError: division by zero\n  FILE:4 in f\n    try: 1 / 0",
        ),
        (
            "\n    try: raise OSError('o')\n    except OSError as e: one = e\n"
            "    try: raise LookupError('l') from one\n    except LookupError as e: two = e\n"
            "    raise ExceptionGroup('several', [two])",
            "caused by LookupError: l\n  FILE:5 in f\n    try: raise LookupError('l') from one\n"
            "caused by OSError: o\n  FILE:3 in f\n    try: raise OSError('o')",
        ),
    ],
)
def test_causes_are_shown(trial: Trial, body: str, details: str) -> None:
    failure = failed(trial.python(f"def f():\n    {body}"))
    assert failure.details == details.replace("FILE", failure.frames[0].file)


def test_a_circle_of_causes_and_a_deep_one_are_shown_in_short(trial: Trial) -> None:
    source = """
        def f(n=40):
            if n:
                return f(n - 1)
            first, second = ValueError("a"), KeyError("b")
            first.__cause__, second.__cause__ = second, first
            raise first
    """
    assert failed(trial.python(source)).details.count("caused by") == 2
    source = """
        def f():
            try: g(40)
            except Exception: raise OSError("b")

        def g(n):
            if n: return g(n - 1)
            raise ValueError("a")
    """
    assert len(failed(trial.python(source)).details.splitlines()) == 5


@pytest.mark.parametrize(
    ("raised", "cause"),
    [("OSError(28, 'No space left on device')", Cause.IO), ("OSError(13, 'Permission denied')", Cause.NODE)],
)
def test_a_full_disk_is_io_even_if_user_code_raises_it(trial: Trial, raised: str, cause: Cause) -> None:
    failure = failed(trial.python(f"def f(): raise {raised}"))
    assert failure.cause is cause
    assert [f.function for f in failure.frames] == ["f"]


def test_an_output_that_cannot_be_published_is_io(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    def publish(output: str, attempt: int, value: Any) -> Any:
        raise HandoffError("cannot write it")

    monkeypatch.setattr(trial.store, "publish", publish)
    failure = failed(trial.python("def f(): return {'n': 1}"))
    assert (failure.cause, failure.type, failure.message) == (Cause.IO, "", "cannot write it")


def broken(*arguments: Any, **options: Any) -> Any:
    raise KeyError("x")


@pytest.mark.parametrize("method", ["publish", "open"])
def test_an_error_in_the_store_is_internal(trial: Trial, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    inputs = {"t": pa.table({"n": [1]})} if method == "open" else {}
    if method == "publish":
        monkeypatch.setattr(trial.store, "publish", broken)
    else:
        monkeypatch.setattr(trial.store, "open", broken)
    failure = failed(trial.python("def f(**inputs): return {'n': 1}", inputs))
    assert (failure.cause, failure.type, failure.message) == (Cause.INTERNAL, "KeyError", "'x'")
    assert failure.details == "this is a bug in nfrun, please report it"


def test_an_error_of_a_reader_is_one_of_the_node(trial: Trial) -> None:
    source = """
        import pyarrow as pa
        def f():
            def batches():
                yield pa.record_batch({"n": [1]})
                raise KeyError("x")
            return pa.RecordBatchReader.from_batches(pa.schema({"n": pa.int64()}), batches())
    """
    failure = failed(trial.python(source))
    assert (failure.cause, failure.type, failure.details) == (Cause.NODE, "KeyError", "")


@pytest.mark.parametrize("mode", ["auto", "mmap", "memory"])
def test_a_batch_that_does_not_fit_the_schema_of_its_reader_is_an_error_of_the_node(trial: Trial, mode: str) -> None:
    trial.store = TableStore(trial.folder / "store", mode=mode)
    source = """
        import pyarrow as pa
        def f():
            schema = pa.schema([pa.field("n", pa.int64(), nullable=False)])
            return pa.RecordBatchReader.from_batches(schema, iter([pa.record_batch({"n": [1]})]))
    """
    failure = failed(trial.python(source))
    assert (failure.cause, failure.type) == (Cause.NODE, "")
    assert failure.message == "it returned a reader with a batch that does not fit the reader's schema"
    assert failure.details == "schema: n: int64 not null\nbatch: n: int64"
    trial.store.close()


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(errno.EMFILE, "Too many open files"), Cause.IO),
        (PermissionError(errno.EACCES, "Permission denied"), Cause.PERMISSION),
        (MemoryError("no room"), Cause.IO),
        (RuntimeError("a bug"), Cause.INTERNAL),
    ],
)
def test_an_error_while_nfrun_describes_that_of_the_node_shows_both(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, error: Exception, cause: Cause
) -> None:
    def fail(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr("nfrun.engine.failures.failure_of", fail)
    failure = failed(trial.python("def f(): raise ValueError('no good')"))
    assert (failure.cause, failure.type, failure.message) == (cause, "ValueError", "no good")
    first, *more = failure.details.splitlines()
    assert first == f"then nfrun itself failed: {type(error).__name__}: {error}"
    assert more == ["this is a bug in nfrun, please report it"] * (cause is Cause.INTERNAL)


def test_an_error_after_that_of_the_node_shows_both(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nfrun.engine.gil_contention.GilContention.end", broken)
    failure = failed(trial.python("def f(): raise ValueError('no good')"))
    assert (failure.cause, failure.type, failure.message) == (Cause.INTERNAL, "ValueError", "no good")
    assert [frame.function for frame in failure.frames] == ["f"]
    assert failure.details.startswith("then nfrun itself failed: KeyError: 'x'")


def test_outputs_published_before_a_failure_are_released(trial: Trial) -> None:
    source = """
        import pyarrow as pa
        def batches():
            raise ValueError("late")
            yield
        def f():
            late = pa.RecordBatchReader.from_batches(pa.schema([("n", pa.int64())]), batches())
            return {"a": {"n": 1}, "b": late}
    """
    failure = failed(trial.python(source, outputs=("a", "b")))
    assert (failure.type, failure.message) == ("ValueError", "late")
    assert [f.function for f in failure.frames] == ["batches"]
    assert not trial.store._entries


def test_a_missing_input_fails_the_node(trial: Trial) -> None:
    work = trial.work(trial.spec("python", f"{trial.module('def f(t): pass')}:f", {"t": NUMBERS}))
    outcome = work(NodeStarted(0.0, "node", 1, {}), CancelToken(), trial.wait)
    assert failed(outcome).message == "the input 't' has no data: 'from_t' handed nothing on"


def test_an_input_that_is_gone_is_io(trial: Trial) -> None:
    ref = trial.store.publish("from_t", 1, NUMBERS)
    trial.store.release(ref)
    work = trial.work(trial.spec("python", f"{trial.module('def f(t): pass')}:f", {"t": NUMBERS}))
    outcome = work(NodeStarted(0.0, "node", 1, {"from_t": ref}), CancelToken(), trial.wait)
    assert failed(outcome).cause is Cause.IO


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[NodeContext], dict[str, Any]]], None]:
    """A function that adds a kind `try`, until the end of the test."""
    return lambda run: monkeypatch.setitem(KINDS, "try", Kind("try", Says(), Runs(run)))


def test_an_error_after_a_kind_has_handled_that_of_an_input_is_one_of_the_node(
    trial: Trial, registered: Callable[..., None]
) -> None:
    def run(context: NodeContext) -> dict[str, Any]:
        with suppress(HandoffError):
            context.table("t")
        raise ValueError("no good")

    registered(run)
    ref = trial.store.publish("from_t", 1, NUMBERS)
    trial.store.release(ref)
    work = trial.work(trial.spec("try", "", {"t": NUMBERS}))
    failure = failed(work(NodeStarted(0.0, "node", 1, {"from_t": ref}), CancelToken(), trial.wait))
    assert (failure.cause, failure.type, failure.message) == (Cause.NODE, "ValueError", "no good")


@pytest.mark.parametrize("inputs", [{}, {"t": NUMBERS}])
def test_a_kind_that_reads_an_unknown_input_fails_the_node(
    trial: Trial, registered: Callable[..., None], inputs: dict[str, pa.Table]
) -> None:
    registered(lambda context: {"": context.table("typo")})
    failure = failed(trial.run("try", "", inputs))
    assert (failure.cause, failure.message) == (Cause.NODE, "the node has no input 'typo'")


def test_a_stopped_attempt_that_raises_is_cancelled(trial: Trial) -> None:
    source = """
        def f(context):
            assert not context.stopped
            context._node_context.cancel_token.cancel()
            assert context.stopped
            raise ValueError("as I was told to stop")
    """
    assert failed(trial.python(source)).cause is Cause.CANCELLED


def test_a_stopped_attempt_may_end_well(trial: Trial) -> None:
    outcome = trial.python("def f(context):\n    context._node_context.cancel_token.cancel()\n    return {'n': 1}")
    assert outcome.failure is None


# ------------------------------------------------------------------ outcome, prints, scratch


def test_an_outcome_has_its_times(trial: Trial) -> None:
    outcome = trial.python("def f(a, b): return a", {"a": NUMBERS, "b": NUMBERS})
    assert outcome.duration > 0
    assert outcome.publish_wait > 0
    assert set(outcome.input_waits) == {"from_a", "from_b"}
    assert (outcome.node, outcome.attempt) == ("node", 1)


def test_the_current_attempt_is_set_in_a_node(trial: Trial) -> None:
    source = """
        from nfrun.system.logs.print_capture import current_attempt
        async def f():
            return {"node": current_attempt.get()[0]}
    """
    assert trial.table(trial.python(source)).to_pylist() == [{"node": "node"}]
    assert current_attempt.get() is None


def test_an_unfinished_line_is_logged_at_the_end_of_the_attempt(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    from nfrun.system.logs.print_capture import PrintRouter

    monkeypatch.setattr("sys.stdout", PrintRouter("stdout", io.StringIO()))
    trial.python("def f(): print('begun', end='')")
    assert trial.logged == [("stdout", "begun")]
    assert (trial.folder / "logs" / "node.1.stdout").read_text() == "begun"


def test_a_scratch_folder_that_cannot_be_made_is_io(trial: Trial) -> None:
    trial.folder.joinpath("scratch").write_text("")
    work = trial.work(trial.spec("run", "true"))
    failure = failed(work(NodeStarted(0.0, "node", 1, {}), trial.stop, trial.wait))
    assert failure.cause is Cause.IO
    assert failure.message == f"cannot make a folder for the node 'node' in {trial.scratch}: File exists"


def test_the_scratch_folder_is_removed_even_after_a_failure(trial: Trial) -> None:
    source = """
        def f(context):
            (context.scratch / "deep" / "er").mkdir(parents=True)
            (context.scratch / "deep" / "file").write_text(str(context.scratch))
            raise ValueError(context.scratch)
    """
    folder = Path(failed(trial.python(source)).message)
    assert folder.parent == trial.scratch
    assert folder.name.startswith("node.1.")
    assert not folder.exists()


@pytest.mark.parametrize("end", ["return table", "raise ValueError('no')"])
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_no_reference_to_a_table_is_left(trial: Trial, end: str, kind: str) -> None:
    """Threads, event loops, errors and frames keep none, even without a garbage collection."""
    module = trial.module(f"{kind} f(table):\n    {end}")
    table = pa.table({"n": [1]})
    gone = weakref.ref(table)
    gc.collect()
    gc.disable()
    try:
        ref = trial.store.publish("from_table", 1, table)
        del table
        work = trial.work(trial.spec("python", f"{module}:f", {"table": NUMBERS}))
        outcome = work(NodeStarted(0.0, "node", 1, {"from_table": ref}), trial.stop, trial.wait)
        for output in outcome.outputs.values():
            trial.store.release(output)
        trial.store.release(ref)
        idle = threading.Event()
        trial.loop._started().call_soon_threadsafe(idle.set)
        assert idle.wait(10)
        assert gone() is None
    finally:
        gc.enable()


# ------------------------------------------------------------------ durations, files


def test_the_duration_includes_making_the_batches_of_a_reader(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("nfrun.engine.attempt.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr("builtins.tick", lambda: clock.__setitem__(0, clock[0] + 1.0), raising=False)
    source = """
        import pyarrow as pa
        def f():
            schema = pa.schema([("n", pa.int64())])
            def batches():
                for n in range(3):
                    tick()
                    yield pa.record_batch([[n]], schema=schema)
            tick()
            return pa.RecordBatchReader.from_batches(schema, batches())
    """
    outcome = trial.python(source)
    assert trial.table(outcome).num_rows == 3
    assert (outcome.duration, outcome.publish_wait) == (4.0, 0.0)


@pytest.mark.parametrize("end", ["return None", "raise ValueError('no')"])
def test_the_duration_excludes_waiting_for_inputs(trial: Trial, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    clock = [0.0]
    seconds = {"from_a": 2.0, "from_b": 8.0}
    monkeypatch.setattr("nfrun.engine.attempt.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr("builtins.tick", lambda: clock.__setitem__(0, clock[0] + 1.0), raising=False)
    real = trial.store.open

    def slow(ref: OutputRef) -> Any:
        clock[0] += seconds[ref.id]
        return real(ref)

    monkeypatch.setattr(trial.store, "open", slow)
    outcome = trial.python(f"def f(a, b):\n    tick()\n    {end}", {"a": NUMBERS, "b": NUMBERS})
    assert (outcome.duration, outcome.input_waits) == (1.0, seconds)


def test_notes_of_an_error_are_shown(trial: Trial) -> None:
    source = """
        def f():
            error = ValueError("no good")
            error.add_note("row 7")
            raise error
    """
    assert failed(trial.python(source)).details == "row 7"


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (
            PermissionError(13, "denied", "a/x.csv"),
            (Cause.PERMISSION, "PermissionError", "cannot read a/x.csv: Permission denied"),
        ),
        (OSError(5, "Error reading bytes from file"), (Cause.IO, "", "cannot read x.csv: Input/output error")),
        (OSError("AWS Error SLOW_DOWN"), (Cause.NODE, "OSError", "AWS Error SLOW_DOWN")),
    ],
)
def test_a_file_that_cannot_be_read_fails_the_node(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, error: OSError, failure: tuple[Cause, str, str]
) -> None:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise error

    monkeypatch.setattr("nfrun.tables.file_io.read_table", refuse)
    found = failed(trial.run("read", "x.csv"))
    assert (found.cause, found.type, found.message) == failure
    assert (found.frames, found.details) == ((), "")


@pytest.mark.parametrize(
    ("error", "cause", "why"), [(13, Cause.PERMISSION, "Permission denied"), (5, Cause.IO, "Input/output error")]
)
def test_a_file_that_cannot_be_written_fails_the_node(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, error: int, cause: Cause, why: str
) -> None:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise OSError(error, "Error writing bytes to file")

    monkeypatch.setattr("nfrun.tables.file_io.write_table", refuse)
    failure = failed(trial.run("write", "out/x.csv", inputs={"t": pa.table({"n": [1, 2, 3]})}))
    assert (failure.cause, failure.errno, failure.message) == (
        cause,
        error,
        f"cannot write out/x.csv (24 bytes): {why}",
    )
    assert failure.frames == ()


@pytest.mark.parametrize(("kind", "body", "waits"), [("run", "sleep 0.1", False), ("python", "", True)])
def test_only_nodes_in_this_process_wait_for_the_gil(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, kind: str, body: str, waits: bool
) -> None:
    monkeypatch.setattr("nfrun.engine.gil_contention.GilContention.end", lambda self: (0.0, 1e-6))
    outcome = trial.run(kind, body) if body else trial.python("def f(): return {'n': 1}")
    assert outcome.failure is None
    assert (outcome.gil_wait > 0.0) is waits


# ------------------------------------------------------------------ context variables

SHOWN = """
    import decimal

    def change():
        decimal.getcontext().prec = 5

    async def change_later():
        change()

    def show():
        return [{"a": str(decimal.Decimal(1) / 3)}]
"""


@pytest.mark.parametrize("change", ["change", "change_later"])
@pytest.mark.parametrize(("import_time", "digits"), [("", 28), ("\n    decimal.getcontext().prec = 9\n", 9)])
def test_a_node_changes_context_variables_for_itself_only(
    trial: Trial, change: str, import_time: str, digits: int
) -> None:
    module = trial.module(SHOWN + import_time)
    names = ("show", change, "show")
    specs = [replace(trial.spec("python", f"{module}:{name}"), id=f"n{i}") for i, name in enumerate(names)]
    run = trial.work(*specs)
    outcomes = [run(NodeStarted(0.0, spec.id, 1), trial.stop, trial.wait) for spec in specs]
    assert [trial.table(outcome).to_pylist() for outcome in outcomes[::2]] == [[{"a": "0." + "3" * digits}]] * 2
