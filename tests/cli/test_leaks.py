"""Tests with pipelines that try to leak secrets: nfrun writes no secret, and no cache key depends on its value."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import forked
import pytest
from recorded_lines import text_of

VALUE = 'hunter2/Zq+7 "ésesame, and so long that programs break its base64 into lines: /Qx8+t0p'
LINES = "first-line-of-it\nsecond-line-of-it"

STEPS = """
import base64, json, os, re, subprocess, sys, threading, urllib.parse, warnings
from pathlib import Path
import pyarrow as pa

def value():
    return os.environ["AUTH"].removeprefix("Bearer ")

def leak(context):
    v = value()
    print(v)
    print("in", "one", v, "line", file=sys.stderr)
    print(v[:7], end="")
    print(v[7:])
    for before in ("", "u", "us", "user:"):
        print(base64.b64encode((before + v).encode()).decode(), base64.urlsafe_b64encode((before + v).encode()))
        print(base64.encodebytes((before + v).encode()).decode(), base64.encodebytes((before + v).encode()))
        sys.stdout.flush()
        for line in base64.encodebytes((before + v).encode()).splitlines(True):
            os.write(1, line)
    print(urllib.parse.quote(v), urllib.parse.quote_plus(v))
    print(re.sub("%..", lambda found: found[0].lower(), urllib.parse.quote(v)))
    print(json.dumps({"v": v}))
    print(os.environ["MORE"])
    sys.stdout.buffer.write(v.encode() + b"\\n")
    os.write(1, v.encode() + b"\\n")
    os.write(2, v[:5].encode())
    os.write(2, v[5:].encode() + b"\\n")
    subprocess.run('echo "$AUTH"; echo "$AUTH" >&2', shell=True)
    subprocess.run('echo "$AUTH"', shell=True, stdout=sys.stderr)
    thread = threading.Thread(target=lambda: (print(v), 1 / 0 if not v else [].index(v)))
    thread.start()
    thread.join()
    warnings.warn(v)
    print("y" * 16_380 + v)
    context.log.info(v)
    return pa.table({f"column {v}": [1]})

def read(table):
    raise KeyError(f"no {value()}")

async def chained():
    error = ValueError("x" * 3990 + value())
    error.add_note(f"note {value()}")
    try:
        raise TypeError(value())
    except TypeError as cause:
        raise error from cause

def row(text: str):
    raise ValueError("no")

def texts():
    return pa.table({"text": ["x" * 40 + value(), value()]})

def own(texts=None):
    raise type(value(), (Exception,), {})("own")

def arguments():
    found = [p for p in Path("/proc").glob("[0-9]*/cmdline") if value().encode() in content(p)]
    assert not found, "in the arguments of a process"
    return {"processes": len(list(Path("/proc").glob("[0-9]*")))}

def content(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""

def number():
    digits = os.environ["NUM"]
    print(float(digits))
    return pa.table({"f": [float(digits), 0.5], "i": [int(digits) if digits.isdigit() else 5, 7], "all": [digits, "x"]})

def shown():
    return pa.table({f"column {value()}": [f"cell {value()}", value(), "x" * 70 + value()], "n": [1, 2, 3]})
"""

LEAKS = """\
name: leaks
secrets: [SECRET_ONE, SECRET_MORE]
env: {AUTH: "Bearer ${{ secrets.SECRET_ONE }}", MORE: "${{ secrets.SECRET_MORE }}"}
nodes:
  leak: {python: "steps:leak"}
  read: {python: "steps:read", inputs: {table: leak}, retries: {max: 1, delay: 10ms}}
  leak_there: {python: "steps:leak", executor: process}
  read_there: {python: "steps:read", inputs: {table: leak_there}, executor: process}
  chained: {python: "steps:chained"}
  own: {python: "steps:own", executor: process}
  texts: {python: "steps:texts"}
  row: {python: "steps:row", inputs: texts, map: {over: texts, batch: 1}}
  group: {python: "steps:own", inputs: texts, map: {over: texts, by: text}}
  arguments: {python: "steps:arguments", needs: [leak_there]}
  script:
    run: |
      set -x
      echo "$HERE"; echo "$AUTH" >&2; echo "$MORE"
      printf %s "$HERE" | base64; printf %s "$HERE" | base64 -w 0 >&2
      echo "$HERE" | base64; echo "$AUTH" | base64 -w 61
      exit 3
    env: {HERE: "user:${{ secrets.SECRET_ONE }}"}
"""


class Trial:
    """A folder with a pipeline and values for its secrets, in which nfrun runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {**os.environ, "SECRET_ONE": VALUE, "SECRET_MORE": LINES, "COLUMNS": "120"}
        (folder / "steps.py").write_text(STEPS, encoding="utf-8")

    def pipeline(self, text: str) -> None:
        (self.folder / "p.yaml").write_text(textwrap.dedent(text), encoding="utf-8")

    def nfrun(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "nfrun", *words]
        done = forked.run(
            command, check=False, cwd=self.folder, env=self.environ, capture_output=True, timeout=120, text=False
        )
        assert done.returncode == code, done.stderr.decode()
        return done

    def statuses(self, *words: str) -> dict[str, str]:
        nodes = json.loads(self.nfrun("run", "p.yaml", "--json", *words).stdout)["nodes"]
        return {name: node["status"] for name, node in nodes.items()}

    def written(self) -> dict[str, bytes]:
        """Return all files except those of the test and the tables of nodes."""
        files = [path for path in self.folder.rglob("*") if path.is_file() and path.name not in ("p.yaml", "steps.py")]
        return {str(path): path.read_bytes() for path in files if path.suffix not in (".arrow", ".pyc")}


def found_in(text: bytes) -> list[str]:
    """Return the parts of the secrets that are in the text."""
    coded = [base64.b64encode(b"x" * before + VALUE.encode()).decode()[before + 2 : -6] for before in range(3)]
    parts = [word[start : start + 12] for word in coded for start in range(0, len(word) - 11, 6)]
    looked_for = ["hunter", "Zq+7", "Zq%2", "sesame", "Qx8", "so long that", "first-line", "second-line", *parts]
    looked_for += [word.replace("+", "-").replace("/", "_") for word in parts]
    return [word for word in looked_for if word.encode() in text]


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_a_run_writes_no_secret(trial: Trial) -> None:
    trial.pipeline(LEAKS)
    for words in (["--verbose"], ["--json", "--quiet"]):
        done = trial.nfrun("run", "p.yaml", "-k", "--keep", "--fresh", "--events", "events.jsonl", *words, code=1)
        assert found_in(done.stdout) == []
        assert found_in(done.stderr) == []
        for path, content in trial.written().items():
            assert found_in(content) == [], path
        events = (trial.folder / "events.jsonl").read_text()
        assert events.count("***") > 50, "there was much to hide"
        nodes = {event["node"] for event in map(json.loads, events.splitlines()) if event["event"] == "node_finished"}
        assert nodes == {"leak", "leak_there", "arguments", "texts"}
    nodes_of_document = json.loads(done.stdout)["nodes"]
    assert nodes_of_document["read"]["error"] == "KeyError: 'no ***'"
    assert nodes_of_document["own"]["error"] == "***: own"
    assert nodes_of_document["script"]["error"] == "the script exited with status 3"
    assert "column ***" in text_of(trial.folder / ".nfrun")


def test_secrets_in_shown_tables_are_masked(trial: Trial) -> None:
    trial.pipeline("""\
        secrets: [SECRET_ONE]
        env: {AUTH: "${{ secrets.SECRET_ONE }}"}
        nodes:
          shown: {python: "steps:shown"}
    """)
    done = trial.nfrun("run", "p.yaml")
    assert found_in(done.stdout + done.stderr) == []
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    assert ["column", "***", "n"] in lines
    assert ["cell", "***", "1"] in lines
    assert ["x" * 70 + "***", "3"] in lines


@pytest.mark.parametrize("number", ["4815162.5", "481516.51623421", "4815162342"])
def test_a_secret_number_is_masked_and_json_stays_valid(trial: Trial, number: str) -> None:
    trial.pipeline("""\
        secrets: [NUM]
        env: {NUM: "${{ secrets.NUM }}"}
        nodes:
          number: {python: "steps:number"}
    """)
    trial.environ["NUM"] = number
    done = trial.nfrun("run", "p.yaml", "--events", "events.jsonl")
    assert b"481516" not in done.stdout + done.stderr
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    assert any(line[0] == line[-1] == "***" for line in lines if line)
    assert any(line[0] == "0.5" for line in lines if line)
    assert [json.loads(line) for line in (trial.folder / "events.jsonl").read_text().splitlines()]
    assert json.loads(trial.nfrun("run", "p.yaml", "--json").stdout)["nodes"]["number"]["rows"] == 2


def test_nodes_run_again_if_the_expression_of_a_secret_changes_and_not_if_its_value_does(trial: Trial) -> None:
    text = """\
        secrets: [SECRET_ONE, SECRET_MORE]
        params: {user: me}
        nodes:
          a:
            run: 'echo "$T" | wc -c > $NFRUN_OUTPUT'
            format: csv
            env: {T: "${{ params.user }}:${{ secrets.SECRET_ONE }}"}
    """
    trial.pipeline(text)
    assert trial.statuses() == {"a": "ok"}
    assert trial.statuses("--resume") == {"a": "reused"}
    trial.environ["SECRET_ONE"] = "another"
    assert trial.statuses("--resume") == {"a": "reused"}
    del trial.environ["SECRET_ONE"]
    assert "reuse  a" in trial.nfrun("plan", "p.yaml", "--resume").stdout.decode(), "a plan needs no values"
    changed = trial.nfrun("plan", "p.yaml", "--resume", "-p", "user=you").stdout.decode()
    assert "the variable T changed" in changed
    trial.pipeline(text.replace("secrets.SECRET_ONE", "secrets.SECRET_MORE"))
    assert "the variable T changed" in trial.nfrun("plan", "p.yaml", "--resume").stdout.decode()


def test_only_run_needs_the_values_of_secrets(trial: Trial) -> None:
    trial.pipeline('secrets: [NOT_SET]\nnodes:\n  a: {run: "true", env: {T: "${{ secrets.NOT_SET }}"}}\n')
    trial.nfrun("validate", "p.yaml")
    trial.nfrun("plan", "p.yaml")
    trial.nfrun("plan", "p.yaml", "--format", "json")
    message = """\
p.yaml:1:11: the secret 'NOT_SET' is not set
    1 | secrets: [NOT_SET]
      |           ^^^^^^^ give it a value: export NOT_SET=…
"""
    assert trial.nfrun("run", "p.yaml", code=2).stderr.decode() == message
    done = trial.nfrun("run", "p.yaml", "--json", code=2)
    assert done.stderr.decode() == message
    assert json.loads(done.stdout)["problems"] == [
        {
            "file": "p.yaml",
            "line": 1,
            "column": 11,
            "message": "the secret 'NOT_SET' is not set",
            "hint": "give it a value: export NOT_SET=…",
        }
    ]
    assert not (trial.folder / ".nfrun").exists(), "nothing was begun"
    assert trial.nfrun("bench", "p.yaml", "--yes", code=2).stderr.decode() == message


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_secret_in_a_wrong_parameter_is_masked(trial: Trial, command: str) -> None:
    trial.pipeline("secrets: [SECRET_ONE]\nparams: {n: 1}\nnodes:\n  a: {run: x}\n")
    trial.environ["SECRET_ONE"] = value = "hunter2/Zq+7 \"é'sesame"
    message = "p.yaml: the parameter 'n' must be of type integer, not '***'\n"
    assert trial.nfrun(command, "p.yaml", "-p", f"n={value}", code=2).stderr.decode() == message
    trial.environ["SECRET_ONE"] = "hunter2/Zq+7" * 20
    message = "p.yaml: the parameter 'n' must be of type integer, not '***…***'\n"
    given = f"n={trial.environ['SECRET_ONE']}"
    assert trial.nfrun(command, "p.yaml", "-p", given, code=2).stderr.decode() == message
    if command == "run":
        done = trial.nfrun(command, "p.yaml", "--json", "-p", given, code=2)
        assert found_in(done.stdout) == []
        assert json.loads(done.stdout)["problems"][0]["message"] == message.removeprefix("p.yaml: ").strip()


def test_a_folder_name_that_is_a_secret_is_masked(trial: Trial) -> None:
    trial.pipeline("secrets: [SECRET_ONE]\nnodes:\n  a: {run: x}\n")
    trial.environ["SECRET_ONE"] = "hunter2"
    (trial.folder / "hunter2").write_text("a file")
    done = trial.nfrun("run", "p.yaml", "--work", "hunter2", code=74)
    assert found_in(done.stderr) == []


def test_a_warning_masks_a_secret_in_the_path_of_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "secrets: [AUTH]\nnodes:\n  a: {sql: select 1 as n, cache: true}\noutputs: {a: a}\n"
    )
    command = [sys.executable, "-m", "nfrun", "run", "p.yaml", "--quiet", "--work", "hunter2"]
    for damaged in (False, True):
        for path in tmp_path.glob("hunter2/runs/*/a.1.arrow") if damaged else ():
            path.chmod(0o644)
            path.write_bytes(b"damaged")
        done = forked.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "AUTH": "hunter2"},
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.stderr.startswith("nfrun: warning: ") and "is damaged and is not used" in done.stderr
    assert "/***/runs/" in done.stderr and "hunter2" not in done.stderr
