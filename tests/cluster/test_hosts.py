"""Tests of hosts: attempts of all kinds are made there as on the machine of the run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hosts import NODE, Trial

from nfrun.cluster import hosted
from nfrun.cluster.wire import Ended, from_text, to_text
from nfrun.core.contracts import Check, Contract
from nfrun.core.errors import Cause
from nfrun.core.events import Failure, Frame, Outcome
from nfrun.core.map_spec import MapForm, MapSpec
from nfrun.core.pipeline import Gather, Input, OutputId
from nfrun.core.values import replace
from nfrun.engine.executors.worker import AttemptOrder
from nfrun.rows.piece import Piece
from nfrun.rows.streams import START, Record, records_in
from tests.tables.s3_server import S3Server

FILES = {
    "steps.py": """
        import os, pathlib, sys
        import pyarrow as pa

        def double(table): return pa.table({"n": [2 * n for n in table["n"].to_pylist()]})
        def fail(table):
            raise ValueError(f"no {pathlib.Path('words.txt').absolute()}")
        def speak(context):
            print("out"); print("err", file=sys.stderr); context.log.info("logged"); context.progress(1, 2)
        def where():
            return {"file": __file__, "cwd": os.getcwd(), "given": os.environ["GIVEN"], "path": os.environ["PATH"]}
        async def co(): return {"n": 7}
        def words():
            with open("words.txt") as file, open("out.txt", "w") as out:
                out.write("x")
                return {"word": file.read(), "other": pathlib.Path("../other/data.txt").read_text()}
        def model(table, context):
            path = context.output("model.bin")
            path.write_bytes(b"m" * 10)
            return path
        def size(model): return {"size": len(model.read_bytes()), "ending": model.suffix}
        def folder(context):
            path = context.output("all")
            path.mkdir()
            (path / "a.txt").write_text("a")
            return path
        def listing(folder): return {"names": " ".join(path.name for path in folder.iterdir())}
        def text(model): return {"n": len(open(model).read())}
        def positive(table): return table.filter(pa.compute.greater(table["n"], 1))
        def die(): os._exit(3)

        class Doubler:
            made = 0
            def __init__(self):
                Doubler.made += 1
                self.number = Doubler.made
            def __call__(self, n: list[int]):
                return {"twice": [2 * x for x in n], "by": [f"{os.getpid()}-{self.number}"] * len(n)}
            def close(self): raise RuntimeError("closed")
        def wide(n: int): return {"text": os.urandom(50_000).hex()}
    """,
    "words.txt": "hello",
    "../other/data.txt": "beside",
    "../other/steps.py": """
        def other(): return {'file': __file__}
        def fail(): raise KeyError('k')
        def check(this):
            import pyarrow.compute as pc
            with open("../other/data.txt"):
                return this.filter(pc.greater(this["n"], 1))
        """,
}
N = pa.table({"n": [1, 2, 3]})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """A run with one host for all tests of this file: to start a host takes longer than most of them."""
    folder = tmp_path_factory.mktemp("run")
    trial = Trial(folder, f"test_hosts of {os.getpid()}", FILES, settings={"folders": ("../other",)})
    yield trial
    assert hosted.end(trial.name) == []
    assert not list((folder / "store").glob("tmp/*")), "nothing half-written is left"


@pytest.fixture
def trial(run: Trial) -> Trial:
    run.messages.clear()
    return run


def test_python_sql_and_run_nodes_are_made(trial: Trial) -> None:
    assert trial.table(trial.run("python", "steps:double", {"table": N})) == [{"n": 2}, {"n": 4}, {"n": 6}]
    assert trial.table(trial.run("python", "steps:co")) == [{"n": 7}]
    assert trial.table(trial.run("sql", "select sum(n)::int as n from t", {"t": N})) == [{"n": 6}]
    made = trial.run("run", 'cat words.txt >&2; cp "$NFRUN_INPUT_table" "$NFRUN_OUTPUT"', {"table": N})
    assert trial.table(made) == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert trial.printed("stderr") == b"hello"
    assert not trial.told("begun"), "without a timeout, nobody needs to know"


def test_the_begin_of_an_attempt_with_a_timeout_is_told(trial: Trial) -> None:
    trial.run("python", "steps:co", timeout=60.0)
    trial.run("run", "true", timeout=60.0)
    assert len({message.token for message in trial.messages if message.what == "begun"}) == 2


def test_an_output_has_digest_checksum_and_size_and_equal_ones_are_stored_once(trial: Trial) -> None:
    (first,) = trial.run("python", "steps:double", {"table": N}).outputs.values()
    (second,) = trial.run("python", "steps:double", {"table": N}, attempt=2).outputs.values()
    assert first.digest == trial.put("same", pa.table({"n": [2, 4, 6]})).digest
    assert first.checksum
    assert first.size == trial.stored(first).stat().st_size
    assert (first.stored, second.attempt) == (second.stored, 2)


def test_prints_lines_and_progress_are_told(trial: Trial) -> None:
    trial.run("python", "steps:speak", timeout=60.0)
    assert trial.told("begun") == [()]
    assert (trial.printed("stdout"), trial.printed("stderr")) == (b"out\n", b"err\n")
    assert trial.told("logged") == [(("info", "logged"),)]
    assert trial.told("progressed") == [(1, 2)]


def test_an_error_shows_the_files_of_the_project(trial: Trial) -> None:
    failure = trial.run("python", "steps:fail", {"table": N}).failure
    assert failure is not None
    assert failure.message == "no /home/user/p/words.txt"
    assert [(frame.file, frame.line, frame.function) for frame in failure.frames] == [("steps.py", 7, "fail")]
    assert failure.inputs == ("table: 3 rows, n: int64",)


def test_a_node_sees_its_files_and_the_environment_of_the_host_with_that_of_the_file(trial: Trial) -> None:
    (row,) = trial.table(trial.run("python", "steps:where"))
    assert (row["given"], row["path"]) == ("1", os.environ["PATH"])
    assert row["file"] == f"{row['cwd']}/steps.py"
    assert not Path(row["cwd"]).is_relative_to(trial.folder)


def test_a_node_of_a_file_in_another_folder_has_its_modules(trial: Trial) -> None:
    (row,) = trial.table(trial.run("python", "steps:other", folder="../other"))
    assert row["file"].endswith("/other/steps.py")
    failure = trial.run("python", "steps:fail", folder="../other").failure
    assert failure is not None
    assert failure.frames == (Frame("../other/steps.py", 3, "fail", "def fail(): raise KeyError('k')"),)


def test_what_a_node_opens_is_named_as_on_the_machine_of_the_run(trial: Trial) -> None:
    outcome = trial.run("python", "steps:words")
    seen = outcome.observation
    assert seen is not None
    assert set(seen.reads) - {"/."} == {"words.txt", "/home/user/other/data.txt"}
    assert set(seen.writes) == {"out.txt"}
    assert seen.shared[0].lines[0][0] == "/home/user/p/steps.py"


def test_files_and_folders_are_outputs_and_inputs(trial: Trial) -> None:
    made = trial.run("python", "steps:model", {"table": N}, types={"": ".bin"}).outputs[NODE]
    assert (made.type, made.size, made.path) == (".bin", 10, None)
    assert trial.stored(made).name.endswith(".bin")
    assert trial.stored(made).stat().st_mode & 0o222 == 0
    assert trial.table(trial.run("python", "steps:size", {"model": made})) == [{"size": 10, "ending": ".bin"}]
    used = trial.run("python", "steps:text", {"model": made})
    assert used.observation is None or not used.observation.reads, "an input is no file that it names itself"
    folder = trial.run("python", "steps:folder", types={"": "folder"}).outputs[NODE]
    assert trial.table(trial.run("python", "steps:listing", {"folder": folder})) == [{"names": "a.txt"}]
    script = trial.run(
        "run", 'cp "$NFRUN_INPUT_model" "$NFRUN_OUTPUT"; chmod +x "$NFRUN_OUTPUT"', {"model": made}, types={"": ".sh"}
    )
    assert script.failure is None, script.failure
    assert os.access(trial.stored(script.outputs[NODE]), os.X_OK)


def test_cells_are_gathered(trial: Trial) -> None:
    cells = {OutputId("c@1"): (1,), OutputId("c@2"): (2,)}
    refs = {id: replace(trial.put(id, pa.table({"n": [n]})), id=id) for id, (n,) in cells.items()}
    gather = Gather("concat", ("axis",), cells, {"axis": "int64"})
    spec = replace(
        trial.spec("sql", "select axis, n from c order by n"), inputs=(Input("c", OutputId("c"), gather=gather),)
    )
    order = trial.order("sql", "-")
    start = replace(order.order.start, inputs=refs)
    ended = trial.make(replace(order, order=AttemptOrder(spec, start, (NODE,))))
    assert ended.outcome is not None
    assert trial.table(ended.outcome) == [{"axis": 1, "n": 1}, {"axis": 2, "n": 2}]


def test_failing_rows_are_sent_as_the_files_of_the_run(trial: Trial) -> None:
    contract = Contract({}, (Check("unique", "n", "unique: n"), Check("range", {"n": {"min": 2}}, "range: n")))
    for kind, body in (("python", "steps:double"), ("run", 'cp "$NFRUN_INPUT_table" "$NFRUN_OUTPUT"')):
        table = pa.table({"n": [1, 1, 0]})
        ended = trial.make(trial.order(kind, body, {"table": table}, contracts={"": contract}))
        assert ended.outcome is not None
        assert ended.outcome.failure is not None
        assert ended.outcome.failure.cause is Cause.CHECK
        paths = [result.path for result in ended.outcome.checks if result.path]
        assert set(paths) == set(ended.evidence)
        assert all(path.startswith("/home/user/.nfrun/checks/") for path in paths)
        assert pa.ipc.open_file(trial.place.get(ended.evidence[paths[0]])).read_all().num_rows == 2
        trial.place.remove([*ended.evidence.values()])


def test_a_check_in_python_of_a_script_has_the_modules_of_its_folder(trial: Trial) -> None:
    contract = Contract({}, (Check("python", "steps:check", "python: steps:check"),))
    body = 'cp "$NFRUN_INPUT_table" "$NFRUN_OUTPUT"'
    outcome = trial.run("run", body, {"table": N}, contracts={"": contract}, folder="../other")
    assert outcome.failure is not None
    assert outcome.failure.message == "failed its check 'python: steps:check': 2 rows of 3; the first: n: 2"
    assert outcome.observation is not None
    assert "/home/user/other/data.txt" in outcome.observation.reads


MAP = MapSpec("table", form=MapForm(False, ("n",), batches={"n": "list"}))
KEYS = [bytes([i]) * 16 for i in range(3)]


def sent(records: bytes) -> list[Record]:
    return [*records_in(pa.py_buffer(START + records[8:]))]


def test_calls_of_a_mapped_node_give_their_results_and_share_an_instance(tmp_path: Path) -> None:
    trial = Trial(tmp_path / "run", f"test_calls of {os.getpid()}", FILES)
    over, spec = trial.put("table", N), trial.spec("python", "steps:Doubler", {"table": N}, map=MAP)
    rows: list[dict[str, Any]] = []
    for call, pieces in enumerate(([Piece(KEYS[0] + KEYS[1], 0, 2)], [Piece(KEYS[2], 2, 3)]), 1):
        ended = trial.make(trial.calls(spec, over, tuple(pieces), call))
        assert ended.outcome is not None
        assert (ended.outcome.failure, ended.outcome.call, ended.outcome.made) == (None, call, 1)
        (record,) = sent(ended.records)
        assert record.keys.buffers()[1].to_pybytes() == pieces[0].keys
        rows += record.table().to_pylist()
    assert [row["twice"] for row in rows] == [2, 4, 6]
    assert len({row["by"] for row in rows}) == 1, "it is made once in a process"
    assert not trial.told("begun"), "without a timeout, nobody needs to know"
    (message,) = hosted.end(trial.name)
    assert "RuntimeError: closed" in message, "the instance is closed at the end"


def test_large_results_of_calls_are_stored(trial: Trial) -> None:
    spec = trial.spec("python", "steps:wide", {"table": N}, map=replace(MAP, form=MapForm(False, ("n",), per_row=True)))
    ended = trial.make(trial.calls(spec, trial.put("table", N), (Piece(b"".join(KEYS), 0, 3),)))
    assert ended.records == b""
    (record,) = sent(trial.place.get(ended.stored_records).read_bytes())
    assert record.table().num_rows == 3
    trial.place.remove([ended.stored_records])


def test_scripts_are_called_for_pieces(trial: Trial) -> None:
    body = 'tail -n +2 "$NFRUN_INPUT_table" | sed s/^/1/ > rows; (echo m; cat rows) > "$NFRUN_OUTPUT"; rm rows'
    spec = trial.spec("run", body, {"table": N}, format="csv", map=MapSpec("table", 0, parts=2))
    ended = trial.make(trial.calls(spec, trial.put("table", N), (Piece(KEYS[0], 0, 3, row_wise=False),)))
    assert ended.outcome is not None
    assert ended.outcome.failure is None, ended.outcome.failure
    (record,) = sent(ended.records)
    assert record.table().to_pylist() == [{"m": "11"}, {"m": "12"}, {"m": "13"}]


@pytest.mark.parametrize(
    "damage", [lambda path: path.unlink(), lambda path: os.truncate(path, 100)], ids=["gone", "cut"]
)
def test_an_input_that_is_gone_or_cut_off_is_lacking(trial: Trial, damage: Callable[[Path], None]) -> None:
    ref = trial.put("table", pa.table({"n": [5, 6]}))
    trial.stored(ref).chmod(0o644)
    damage(trial.stored(ref))
    outcome = trial.run("python", "steps:double", {"table": ref})
    assert replace(outcome, input_waits={}) == Outcome("node", 1, lacking=(ref,))


@pytest.mark.parametrize("gone", ["more", "table"])
def test_a_call_whose_input_is_gone_lacks_it(trial: Trial, gone: str) -> None:
    refs = {"table": trial.put("table", N), "more": trial.put("more", pa.table({"n": [7]}))}
    trial.stored(refs[gone]).unlink()
    spec = trial.spec("python", "steps:Doubler", refs, map=MAP)
    order = trial.calls(spec, refs["table"], (Piece(KEYS[0], 0, 1),), call=3)
    start = replace(order.order.start, inputs={"more": refs["more"]})
    outcome = trial.make(replace(order, order=replace(order.order, start=start))).outcome
    assert outcome is not None
    assert (outcome.call, outcome.failure, [ref.id for ref in outcome.lacking]) == (3, None, [gone])


def test_a_call_whose_input_was_put_together_of_several_outputs_that_are_gone_fails(trial: Trial) -> None:
    ref = trial.put("table", N)
    trial.stored(ref).unlink()
    spec = trial.spec("python", "steps:Doubler", {"table": ref}, map=MAP)
    spec = replace(spec, inputs=tuple(replace(item, gather=Gather("concat", (), {})) for item in spec.inputs))
    outcome = trial.make(trial.calls(spec, ref, (Piece(KEYS[0], 0, 1),), call=3)).outcome
    assert outcome is not None
    what = "the input 'table' is gone from the store: the next run puts it there again"
    assert (outcome.call, outcome.failure) == (3, Failure(Cause.IO, "", what))


def test_files_that_texts_write_are_told_as_they_are_on_the_host(trial: Trial) -> None:
    script = 'cat words.txt > made.txt; (echo n; echo 1) > "$NFRUN_OUTPUT"'
    ended = trial.make(trial.order("run", script, format="csv"))
    assert ended.named["words.txt"]
    assert ended.outcome is not None
    assert ended.outcome.observation is not None
    assert ended.outcome.observation.writes == {"made.txt": ended.named["words.txt"]}
    query = trial.run("sql", "copy (select 1 as n) to 'made.csv'; select 1 as n")
    assert query.observation is not None
    assert query.observation.writes["made.csv"]


def test_a_worker_process_that_ends_is_lost(trial: Trial) -> None:
    failure = trial.run("python", "steps:die").failure
    assert failure is not None
    assert failure.cause is Cause.LOST
    assert failure.message == "its worker process exited with status 3 while the node ran"
    assert trial.table(trial.run("python", "steps:co")) == [{"n": 7}], "the next attempt has another"


def test_a_store_that_cannot_be_read_fails_the_attempt(trial: Trial, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "bad.zip").write_text("no archive")
    trial.place.put(tmp_path / "bad.zip", "code/bad.zip")
    for config, message in (
        (
            replace(trial.config, store=str(tmp_path / "file" / "store")),
            f"the store {tmp_path}/file/store cannot be a folder: {tmp_path}/file is a file",
        ),
        (replace(trial.config, code="code/none.zip"), f"{trial.folder}/store/code/none.zip is not there any more"),
        (
            replace(trial.config, code="code/bad.zip"),
            f"{trial.folder}/store/code/bad.zip is damaged: File is not a zip file",
        ),
    ):
        order = replace(trial.order("python", "steps:co"), config=replace(config, run=f"{config.run}, wrong"))
        ended = trial.make(order)
        assert ended.outcome is not None
        assert ended.outcome.failure is not None
        assert ended.outcome.failure.cause is Cause.IO
        assert ended.outcome.failure.message == message
        hosted.end(f"{config.run}, wrong")


def test_a_host_whose_code_is_not_there_yet_tries_again(trial: Trial, tmp_path: Path) -> None:
    later = replace(trial.config, run=f"{trial.name}, later", code="code/later.zip")
    order = replace(trial.order("python", "steps:co"), config=later)
    first = trial.make(order)
    assert first.outcome is not None
    assert first.outcome.failure is not None
    trial.place.put(trial.place.get(trial.config.code), later.code, moved=False)
    second = trial.make(replace(order, token=f"{order.token} again"))
    assert second.outcome is not None
    assert trial.table(second.outcome) == [{"n": 7}]
    hosted.end(later.run)


def test_outputs_in_object_storage_are_written_once_and_read_once_a_host(
    s3: tuple[S3Server, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, address = s3
    trial = Trial(tmp_path / "run", f"test_s3 of {os.getpid()}", FILES, address)
    ref = trial.put("table", N)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache of the host"))
    try:
        trial.run("python", "steps:co")
        server.requests.clear()
        waits = [trial.begin(trial.order("python", "steps:double", {"table": ref})) for _ in range(3)]
        outcomes = [outcome for wait in waits if (outcome := wait().outcome)]
        asked = [request.split("/")[0].strip() + (" ?" if "?" in request else "") for request in server.requests]
        assert [trial.table(outcome) for outcome in outcomes] == [[{"n": 2}, {"n": 4}, {"n": 6}]] * 3
        assert asked.count("GET") + asked.count("HEAD") <= 2, server.requests
        assert 1 <= asked.count("PUT") <= 3, "equal outputs of attempts that end at once may be put more than once"
        model = trial.run("python", "steps:model", {"table": N}, types={"": ".bin"}).outputs[NODE]
        folder = trial.run("python", "steps:folder", types={"": "folder"}).outputs[NODE]
        assert trial.table(trial.run("python", "steps:size", {"model": model})) == [{"size": 10, "ending": ".bin"}]
        listing = trial.run("python", "steps:listing", {"folder": folder})
        assert trial.table(listing) == [{"names": "a.txt"}]
        assert listing.observation is None or not listing.observation.reads, "the cache of the host is no input"
    finally:
        hosted.end(trial.name)


def test_an_order_of_another_version_is_lost(trial: Trial) -> None:
    order = trial.order("python", "steps:co")
    text = to_text(order).replace('"version":1', '"version":2')
    ended = from_text(trial.make_text(trial.name, order.token, text))
    assert ended == Ended(order.token, lost="a message has version 2, and this nfrun has 1")
