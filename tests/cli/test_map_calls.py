"""Runs mapped nodes whose calls fail, wait, time out or are limited, on threads, in processes and on the event loop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import forked
import pyarrow as pa
import pytest
from conftest import Here, wait_until

from nfrun.tables.ipc import open_file

ROWS = "sql: select range as id, 'text ' || range as text from range({})"


def write(folder: Path, node: str, source: str, rows: int = 100, more: str = "", top: str = "") -> None:
    (folder / "steps.py").write_text(source)
    text = f'name: p\n{top}nodes:\n  texts: {{{ROWS.format(rows).replace("sql: ", "sql: " + chr(34), 1)}"}}\n'
    (folder / "p.yaml").write_text(f"{text}  f: {{python: 'steps:f', inputs: {{texts: texts}}, {node}}}\n{more}")


def run(here: Here, folder: Path, *words: str, code: int = 0) -> dict[str, Any]:
    done = here(folder, "run", "p.yaml", "--json", *words)
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    found["stderr"] = done.stderr
    return found


def table(found: dict[str, Any], name: str = "f") -> pa.Table:
    return open_file(Path(found["outputs"][name]["path"]))


def counts(found: dict[str, Any]) -> tuple[int, int, int, int]:
    of_map = found["nodes"]["f"]["map"]
    return of_map["rows"], of_map["reused"], of_map["failed"], of_map["calls"]


EACH = ("thread", "process")
BAD_ROW = """
def f(text: list[str]):
    if "text 437" in text:
        raise ValueError("no")
    return {"n": [len(t) for t in text]}
"""

BAD_TABLE = """
def f(texts):
    if "text 437" in texts["text"].to_pylist():
        raise ValueError("no")
    return texts
"""


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", EACH)
def test_one_bad_row_costs_at_most_twelve_more_calls(here: Here, tmp_path: Path, executor: str) -> None:
    more = "outputs: {f: f, errors: f.errors}"
    write(tmp_path, f"map: {{over: texts, on_error: collect}}, executor: {executor}", BAD_ROW, 1000, more)
    found = run(here, tmp_path)
    assert counts(found) == (1000, 0, 1, 16 + 12)
    assert table(found).column("id").to_pylist() == [i for i in range(1000) if i != 437]
    error = {"text": "text 437", "error": "ValueError", "message": "no", "attempts": 7}
    assert table(found, "errors").to_pylist() == [error]
    again = run(here, tmp_path)
    assert counts(again) == (1000, 999, 1, 1)
    assert again["nodes"]["f"]["status"] == "ok"
    assert again["outputs"]["f"]["digest"] == found["outputs"]["f"]["digest"]


@pytest.mark.parametrize("executor", EACH)
def test_a_batch_of_the_table_that_fails_is_halved(here: Here, tmp_path: Path, executor: str) -> None:
    more = "outputs: {f: f, errors: f.errors}"
    node = f"map: {{over: texts, on_error: collect}}, executor: {executor}, retries: {{max: 1, delay: 0}}"
    write(tmp_path, node, BAD_TABLE, 1000, more)
    found = run(here, tmp_path)
    assert counts(found) == (1000, 0, 1, 16 + 1 + 12)
    assert table(found).column("id").to_pylist() == [i for i in range(1000) if i != 437]
    error = {"row": 438, "rows": 1, "error": "ValueError", "message": "no", "attempts": 8}
    assert table(found, "errors").to_pylist() == [error]
    again = run(here, tmp_path)
    assert counts(again) == (1000, 999, 1, 2)  # its call, and that again
    assert again["outputs"]["f"]["digest"] == found["outputs"]["f"]["digest"]
    write(tmp_path, f"map: texts, executor: {executor}", BAD_TABLE, 1000)
    assert ": row 438 of 1,000 of 'f' failed: ValueError: no\n" in run(here, tmp_path, code=1)["stderr"]


@pytest.mark.parametrize("executor", EACH)
def test_a_bad_row_fails_the_node_and_the_next_run_goes_on(here: Here, tmp_path: Path, executor: str) -> None:
    write(tmp_path, f"map: texts, executor: {executor}", BAD_ROW, 1000)
    done = here(tmp_path, "run", "p.yaml", "-q")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "\np.yaml:4:3: row 438 of 1,000 of 'f' failed: ValueError: no (text: \"text 437\")\n  steps.py:4 in f\n"
    )
    (tmp_path / "steps.py").write_text(BAD_ROW)
    rows, reused, failed, calls = counts(run(here, tmp_path, code=1))
    assert (rows, failed, calls) == (1000, 1, calls)
    assert reused >= 437 - 64
    assert calls < 28


def test_more_failed_rows_than_may_fail_the_node(here: Here, tmp_path: Path) -> None:
    source = "def f(text: str):\n    if text.endswith('1'):\n        raise KeyError(text)\n    return 1\n"
    write(tmp_path, "map: {over: texts, batch: 1, on_error: collect, max_failed: 3}, resources: {cpu: 4}", source)
    done = here(tmp_path, "run", "p.yaml", "-q")
    assert done.returncode == 1
    what = "p.yaml:4:3: node 'f' failed: 4 of 100 rows failed, and 'max_failed' lets 3\n  the first: row 2 of 100: "
    assert what in done.stderr


def test_a_bad_group_is_told_by_its_values(here: Here, tmp_path: Path) -> None:
    source = "def f(texts):\n    if texts['k'][0].as_py() == 2: raise ValueError('no')\n    return texts\n"
    (tmp_path / "steps.py").write_text(source)
    node = "  f: {{python: 'steps:f', inputs: {{texts: texts}}, map: {{over: texts, by: k{}}}}}\n"
    text = "nodes:\n  texts: {sql: select range % 4 as k from range(20)}\n"
    (tmp_path / "p.yaml").write_text(text + node.format(""))
    assert "group k: 2 of 'f' failed: ValueError: no\n" in run(here, tmp_path, code=1)["stderr"]
    (tmp_path / "p.yaml").write_text(text + node.format(", on_error: collect"))
    found = run(here, tmp_path, code=1)
    assert "5 of 20 rows failed, and 'max_failed' lets 10 %" in found["stderr"]
    assert "the first: group k: 2: ValueError: no\n" in found["stderr"]


def test_what_does_not_fit_the_rows_is_an_error_of_the_node(here: Here, tmp_path: Path) -> None:
    write(tmp_path, "map: texts", "def f(text: list[str]):\n    return {'n': [1]}\n", 3)
    found = run(here, tmp_path, code=1)
    assert found["nodes"]["f"]["error"] == "the function returned 1 value for the column 'n' for 3 rows"
    assert counts(found) == (3, 0, 0, 1)


@pytest.mark.parametrize("node", ["map: {over: texts, batch: 8, on_error: collect}", "map: texts"])
@pytest.mark.parametrize("executor", EACH)
def test_no_row_is_to_blame_if_the_class_cannot_be_made(here: Here, tmp_path: Path, node: str, executor: str) -> None:
    source = f"""
class f:
    def __init__(self):
        open({str(tmp_path / "made")!r}, "a").write("x")
        raise OSError("no model")
    def __call__(self, text: str):
        return 1
"""
    write(tmp_path, f"{node}, retries: {{max: 2, delay: 0}}, executor: {executor}, resources: {{cpu: 2}}", source)
    found = run(here, tmp_path, "-j", "2", code=1)
    assert "node 'f' failed: OSError: no model" in found["stderr"] and "row 1" not in found["stderr"]
    assert (counts(found)[2:], (tmp_path / "made").read_text()) == ((0, 3), "xxx")


def test_a_module_that_cannot_be_imported_fails_the_node(here: Here, tmp_path: Path) -> None:
    write(
        tmp_path, "map: {over: texts, on_error: collect}", "def f(text: str):\n    return 1\nraise OSError('no')\n", 99
    )
    found = run(here, tmp_path, "-j", "1", code=1)
    assert found["nodes"]["f"]["error"] == "OSError: no"
    assert counts(found) == (99, 0, 0, 1)


def test_what_a_call_draws_in_a_worker_depends_on_its_rows(here: Here, tmp_path: Path) -> None:
    source = "import random\ndef f(text: str):\n    return random.random()\n"
    node = "map: {over: NAME, batch: 1}, executor: process"
    back = "sql: 'from texts order by id desc', inputs: texts"
    more = f"  back: {{{back}}}\n  g: {{python: 'steps:f', inputs: back, {node.replace('NAME', 'back')}}}\n"
    write(tmp_path, node.replace("NAME", "texts"), source, 9, more + "outputs: {f: f, g: g}")
    found = run(here, tmp_path, "--fresh", "-j", "1")
    drawn = table(found).column("f").to_pylist()
    assert table(found, "g").column("g").to_pylist() == drawn[::-1]
    assert len(set(drawn)) == 9


@pytest.mark.parametrize("case", ["no rows", "all failed", "none for a row"])
def test_a_result_without_rows_has_the_columns_of_the_schema(here: Here, tmp_path: Path, case: str) -> None:
    settings = {"all failed": "on_error: collect, max_failed: 100%", "none for a row": "explode: true"}.get(case, "")
    returned = "[]" if case == "none for a row" else "{'n': 1 / 0}"
    more = "  q: {sql: 'select n + 1 as n, v, list from f', inputs: f}\noutputs: {f: f, q: q}"
    node = f"map: {{over: texts, {settings}}}"
    write(tmp_path, node, f"def f(text: str): return {returned}", 0 if case == "no rows" else 3, more)
    assert "q failed" in run(here, tmp_path, code=1)["stderr"]
    node += ", schema: {id: int64, text: string, n: 'int32?', v: 'fixed_size_list<float>[2]', list: list}"
    write(tmp_path, node, f"def f(text: str): return {returned}", 0 if case == "no rows" else 3, more)
    found = run(here, tmp_path)
    assert {field.name: str(field.type) for field in table(found).schema} == {
        "id": "int64", "text": "string", "n": "int32", "v": "fixed_size_list<item: float>[2]", "list": "null",
    }  # fmt: skip
    assert table(found, "q").num_rows == 0


CSV = r"""
nodes:
  texts:
    sql: "select * from (values (1, 7), (2, 8), (3, 9), (4, 0)) t(g, n)"
  r:
    inputs: texts
    map: {over: texts, by: g}
    format: csv
    run: |
      case $(tail -1 "$NFRUN_INPUT_texts") in
      *7) printf 'a,b,c,d,e\n007,1,7,,NA\n' ;;
      *8) printf 'a,b,c,d,e\n"x ""y"",",2.5,1,"",1\n,,,,\n' ;;
      *9) printf 'a,b,c,d,f\nNA,nan,1,v,2026-01-01\n' ;;
      *) printf 'a,b,c,d\n' ;;
      esac > "$NFRUN_OUTPUT"
outputs: {f: r}
"""


@pytest.mark.parametrize("groups", [[1, 2, 3, 4], [4, 3, 2, 1], [1], [4]])
def test_the_types_of_csv_columns_are_those_of_all_pieces(here: Here, tmp_path: Path, groups: list[int]) -> None:
    order = " ".join(f"when {group} then {place}" for place, group in enumerate(groups))
    (tmp_path / "p.yaml").write_text(
        CSV.replace("t(g, n)", f"t(g, n) where list_contains({groups}, g) order by case g {order} end")
    )
    found = table(run(here, tmp_path))
    kinds = {"a": "string", "b": "double", "c": "int64", "d": "string", "e": "int64", "f": "date32[day]"}
    rows = {
        1: [{"a": "007", "b": 1.0, "c": 7, "d": None, "e": None, "f": None}],
        2: [{"a": 'x "y",', "b": 2.5, "c": 1, "d": "", "e": 1, "f": None}, dict.fromkeys("abcdef")],
        3: [{"a": "NA", "b": None, "c": 1, "d": "v", "e": None, "f": date(2026, 1, 1)}],
        4: [],
    }
    if len(groups) == 1:
        kinds = {
            1: {"a": "int64", "b": "int64", "c": "int64", "d": "null", "e": "string"},
            4: dict.fromkeys("abcd", "null"),
        }[groups[0]]
        rows[1] = [{"a": 7, "b": 1, "c": 7, "d": None, "e": "NA"}]
    assert {field.name: str(field.type) for field in found.schema} == kinds
    assert found.select(sorted(kinds)).to_pylist() == [row for group in groups for row in rows[group]]


def test_csv_columns_that_are_no_texts_or_empty_are_joined(here: Here, tmp_path: Path) -> None:
    header, node = CSV.split("case")[0], r"printf 'a,b\ntrue,1\nfalse,\n'"
    (tmp_path / "p.yaml").write_text(f'{header}{node} > "$NFRUN_OUTPUT"\noutputs: {{f: r}}\n')
    found = table(run(here, tmp_path)).to_pylist()
    assert found == [{"a": True, "b": 1}, {"a": False, "b": None}] * 4
    (tmp_path / "p.yaml").write_text(f'{header}{node.replace("a,b", "a,a")} > "$NFRUN_OUTPUT"\n')
    what = "what the script wrote to $NFRUN_OUTPUT has two columns called 'a', and a map joins columns by name"
    assert what in run(here, tmp_path, code=1)["stderr"]


def test_errors_of_a_script_have_a_name(here: Here, tmp_path: Path) -> None:
    more = "  r: {run: exit 3, inputs: texts, map: {over: texts, by: id, on_error: collect, max_failed: 100%}}\n"
    write(tmp_path, "map: texts", "def f(text: str): return 1", 2, more + "outputs: {errors: r.errors}")
    errors = table(run(here, tmp_path), "errors").to_pylist()
    message = "the script exited with status 3"
    assert errors == [{"id": i, "error": "ScriptFailed", "message": message, "attempts": 1} for i in range(2)]


def test_retries_are_those_of_a_call(here: Here, tmp_path: Path) -> None:
    source = """
import threading
seen = {}
lock = threading.Lock()
def f(id: int, text: str, context):
    with lock:
        seen[id] = seen.get(id, 0) + 1
        assert context.attempt == seen[id]
    if id % 7 == 0 and context.attempt < 3:
        raise OSError("busy")
    return {"attempt": context.attempt}
"""
    write(tmp_path, "map: {over: texts, batch: 1}, retries: {max: 2, delay: 0}, executor: thread", source, 50)
    found = run(here, tmp_path)
    assert counts(found) == (50, 0, 0, 50 + 2 * 8)
    assert table(found).column("attempt").to_pylist() == [3 if i % 7 == 0 else 1 for i in range(50)]


def test_a_worker_that_dies_costs_its_piece_one_more_call(here: Here, tmp_path: Path) -> None:
    source = """
import os, pathlib
def f(text: list[str], mark):
    if "text 70" in text and not os.path.exists(mark):
        pathlib.Path(mark).touch()
        os._exit(3)
    return [len(t) for t in text]
"""
    write(tmp_path, f"map: texts, executor: process, cache: true, with: {{mark: '{tmp_path / 'mark'}'}}", source, 200)
    found = run(here, tmp_path)
    assert counts(found) == (200, 0, 0, 5)


@pytest.mark.parametrize("executor", EACH)
def test_short_calls_are_made_once_each_beside_one_that_fails(here: Here, tmp_path: Path, executor: str) -> None:
    source = f"""
import os
def f(id: list[int], context):
    with open({str(tmp_path / "log")!r}, "a") as log:
        log.write(f"{{id[0]}} {{context.attempt}}\\n")
    if id == [237]:
        if {executor == "process"}:
            os._exit(3)
        raise ValueError("no")
    return [-id[0]]
"""
    node = f"map: {{over: texts, batch: 1, on_error: collect}}, retries: {{max: 1, delay: 0}}, executor: {executor}"
    write(tmp_path, node, source, 400, "outputs: {f: f, errors: f.errors}")
    found = run(here, tmp_path)
    assert counts(found) == (400, 0, 1, 401)
    assert table(found).column("f").to_pylist() == [-i for i in range(400) if i != 237]
    (error,) = table(found, "errors").to_pylist()
    assert (error["id"], error["attempts"]) == (237, 2)
    called = sorted((tmp_path / "log").read_text().splitlines(), key=lambda line: [*map(int, line.split())])
    assert called == [f"{i} {tries}" for i in range(400) for tries in ((1, 2) if i == 237 else (1,))]


def test_a_row_that_kills_its_worker_is_an_error_like_others(here: Here, tmp_path: Path) -> None:
    source = "import os\ndef f(text: list[str]):\n    if 'text 5' in text:\n        os._exit(3)\n    return text\n"
    node = "map: {over: texts, batch: 8, on_error: collect}, executor: process"
    write(tmp_path, node, source, 40, "outputs: {errors: f.errors}")
    found = run(here, tmp_path)
    (error,) = table(found, "errors").to_pylist()
    assert (error["text"], error["error"]) == ("text 5", "WorkerLost")
    assert "exited with status 3" in error["message"]


@pytest.mark.parametrize(
    ("executor", "source"),
    [
        ("thread", "import time\ndef f(text: str):\n    time.sleep(30 if text == 'text 3' else 0)\n    return 1\n"),
        ("process", "import time\ndef f(text: str):\n    time.sleep(30 if text == 'text 3' else 0)\n    return 1\n"),
        (
            "thread",
            "import asyncio\nasync def f(text: str):\n    await asyncio.sleep(30 if text == 'text 3' else 0)\n"
            "    return 1\n",
        ),
    ],
    ids=["thread", "process", "loop"],
)
def test_a_call_that_takes_too_long_is_an_error_row(tmp_path: Path, executor: str, source: str) -> None:
    node = f"map: {{over: texts, batch: 1, on_error: collect}}, timeout: 2, executor: {executor}"
    write(tmp_path, node, source, 8, "outputs: {f: f, errors: f.errors}")
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml", "--json", "-j", "2"]  # a call may run on
    found = json.loads(forked.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    assert counts(found) == (8, 0, 1, 8)
    (error,) = table(found, "errors").to_pylist()
    assert (error["text"], error["message"]) == ("text 3", "took longer than its timeout of 2 s")


@pytest.mark.parametrize("executor", EACH)
def test_a_run_that_was_interrupted_goes_on_from_the_rows_that_it_has(tmp_path: Path, executor: str) -> None:
    source = """
import os, time
def f(text: list[str]):
    if int(text[0].split()[1]) >= 20 and "GO" not in os.environ:
        time.sleep(60)
    print(text[0], flush=True)
    return [len(t) for t in text]
"""
    write(tmp_path, f"map: {{over: texts, batch: 2}}, cache: true, executor: {executor}", source, 30)
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml", "--json", "-j", "2", "--grace", "0"]
    with (tmp_path / "err").open("w") as err:
        process = forked.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=err)
        wait_until(lambda: (tmp_path / "err").read_text().count(" f | ") == 10, lambda: process.poll() is None)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    done = forked.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=True, env={**os.environ, "GO": "yes"}
    )
    found = json.loads(done.stdout)
    assert counts(found) == (30, 20, 0, 5)
    assert table(found).column("f").to_pylist() == [len(f"text {i}") for i in range(30)]


# -- limits ------------------------------------------------------------------------------------------------------------

GAUGE = """
import threading
lock, now, most = threading.Lock(), 0, 0
def enter():
    global now, most
    with lock:
        now += 1
        most = max(most, now)
def leave():
    global now
    with lock:
        now -= 1
"""


def test_no_more_calls_run_at_once_than_their_resources_allow(here: Here, tmp_path: Path) -> None:
    source = f"""{GAUGE}
import time
def f(text: str, context):
    enter()
    units = context.granted["gpu"]
    time.sleep(0.002)
    leave()
    return {{"unit": units[0], "most": most}}
"""
    node = "map: {over: texts, batch: 1}, resources: {cpu: 0.1, gpu: 1}, executor: thread"
    write(tmp_path, node, source, 60, top="resources: {gpu: 3}\n")
    found = table(run(here, tmp_path, "-j", "8"))
    assert set(found.column("unit").to_pylist()) == {0, 1, 2}
    assert max(found.column("most").to_pylist()) == 3


def test_calls_of_a_coroutine_occupy_no_threads(here: Here, tmp_path: Path) -> None:
    source = """
import asyncio, threading
waiting, everybody = 0, asyncio.Event()
async def f(text: str):
    global waiting
    waiting += 1
    if waiting == 40:
        everybody.set()
    await everybody.wait()
    return {"threads": threading.active_count()}
"""
    write(tmp_path, "map: texts, resources: {cpu: 0.1}", source, 40)
    found = table(run(here, tmp_path, "-j", "4"))
    assert max(found.column("threads").to_pylist()) < 30


KEEPS_A_QUEUE = """
import asyncio
class f:
    async def start(self): self.loop, self.queue = asyncio.get_running_loop(), asyncio.Queue()
    async def __call__(self, text: str):
        if not hasattr(self, "queue"): await self.start()
        asyncio.get_running_loop().call_later(0.001, self.queue.put_nowait, text)
        return await self.queue.get()
    async def close(self):
        open("closed", "a").write(str(asyncio.get_running_loop() is self.loop))
"""


def test_calls_of_a_coroutine_in_a_worker_share_an_event_loop(here: Here, tmp_path: Path) -> None:
    write(tmp_path, "map: texts, executor: process, resources: {cpu: 1}", KEEPS_A_QUEUE, 5, "outputs: {f: f}")
    assert table(run(here, tmp_path, "-j", "1")).column("f").to_pylist() == [f"text {i}" for i in range(5)]
    assert (tmp_path / "closed").read_text() == "True"


def test_prints_of_calls_are_those_of_the_node(here: Here, tmp_path: Path) -> None:
    source = (
        "async def f(text: str, context):\n    print('saw', text)\n    context.log.warning('warned')\n    return 1\n"
    )
    write(tmp_path, "map: texts", source, 3)
    done = here(tmp_path, "run", "p.yaml")
    assert sorted(line[line.index("f | ") :] for line in done.stderr.splitlines() if " f | " in line) == [
        *["f | saw text 0", "f | saw text 1", "f | saw text 2"],
        *["f | warned"] * 3,
    ]


# -- a server ----------------------------------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """Answers each path as `answer(path, how often it was asked)` says. `asked` has the paths with their times."""

    daemon_threads = True

    def __init__(self, answer: Callable[[str, int], tuple[int, dict[str, str], str]]) -> None:
        self.answer, self.asked, self.lock = answer, list[tuple[float, str]](), threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.asked.append((time.monotonic(), self.path))
            times = sum(path == self.path for _, path in self.server.asked)
        status, headers, body = self.server.answer(self.path, times)
        if status == 0:  # nothing: the connection is closed
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *words: object) -> None:
        """Print nothing."""


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(answer: Callable[[str, int], tuple[int, dict[str, str], str]]) -> Server:
        servers.append(Server(answer))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


CLIENT = """
import asyncio, json, urllib.request
class Refused(Exception):
    def __init__(self, response):
        super().__init__(f"status {response.status}")
        self.response = response
def get(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        error.response = error
        raise
async def f(id: int, url):
    found = await asyncio.to_thread(get, f"{url}/{id}")
    return {"answer": found["answer"]}
"""


def unsteady(path: str, times: int) -> tuple[int, dict[str, str], str]:
    """Answer 429, 500, garbage and nothing, to some paths at first and to others always."""
    number = int(path[1:])
    good = (200, {}, json.dumps({"answer": number * 2}))
    if number % 10 == 3 and times == 1:
        return 429, {"Retry-After": "0.02"}, "slowly"
    if number % 10 == 4 and times <= 2:
        return 500, {}, "broken"
    if number == 55:
        return 500, {}, "always broken"
    if number == 66:
        return 200, {}, "<html>garbage"
    if number == 77:
        return 0, {}, ""
    return good


def test_an_unsteady_server_gives_right_rows_and_right_errors(
    here: Here, tmp_path: Path, serve: Callable[..., Server]
) -> None:
    server = serve(unsteady)
    node = (
        f"with: {{url: '{server.url}'}}, map: {{over: texts, on_error: collect}}, cache: true, "
        "resources: {cpu: 0.1, api: 1}, retries: {max: 3, delay: 0.01}"
    )
    write(tmp_path, node, CLIENT, 100, "outputs: {f: f, errors: f.errors}", "resources: {api: 500/s}\n")
    found = run(here, tmp_path, "-j", "4")
    bad = {55: "HTTPError", 66: "JSONDecodeError", 77: "RemoteDisconnected"}
    assert {row["id"]: row["error"] for row in table(found, "errors").to_pylist()} == bad
    assert {row["attempts"] for row in table(found, "errors").to_pylist()} == {4}
    assert table(found).select(["id", "answer"]).to_pylist() == [
        {"id": i, "answer": 2 * i} for i in range(100) if i not in bad
    ]
    asked = Counter(path for _, path in server.asked)
    assert [asked[f"/{i}"] for i in (0, 3, 4, 55, 66, 77)] == [1, 2, 3, 4, 4, 4]
    assert counts(found) == (100, 0, 3, len(server.asked))
    before = len(server.asked)
    again = run(here, tmp_path, "-j", "4")
    assert counts(again) == (100, 97, 3, 12)
    assert len(server.asked) == before + 12


def test_a_rate_holds_by_the_count_of_the_server(here: Here, tmp_path: Path, serve: Callable[..., Server]) -> None:
    server = serve(lambda path, times: (429, {"Retry-After": "0"}, "") if times == 1 else (200, {}, '{"answer": 1}'))
    node = (
        f"with: {{url: '{server.url}'}}, map: texts, cache: true, resources: {{cpu: 0.05, api: 1}}, "
        "retries: {max: 1, delay: 0}"
    )
    write(tmp_path, node, CLIENT, 40, top="resources: {api: 100/s}\n")
    run(here, tmp_path, "-j", "4")
    times = sorted(at for at, _ in server.asked)
    assert len(times) == 80
    # Requests take some time to arrive: two that were sent at the right distance may come closer together.
    assert times[-1] - times[0] >= 79 * 0.01 - 0.2


def test_a_pause_that_is_longer_than_allowed_fails_the_call(
    here: Here, tmp_path: Path, serve: Callable[..., Server]
) -> None:
    server = serve(lambda path, times: (429, {"Retry-After": "3600"}, ""))
    node = f"with: {{url: '{server.url}'}}, map: texts, retries: {{max: 5, delay: 0, max_delay: 60}}"
    write(tmp_path, node, CLIENT, 1)
    found = run(here, tmp_path, code=1)
    assert counts(found) == (1, 0, 1, 1)
    assert found["nodes"]["f"]["error"] == "HTTPError: HTTP Error 429: Too Many Requests"
