"""Tests of the tables that stay after a run, from the command line: budget, removal, and tables that are made again."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nfrun.history.database import read_journal

Here = Callable[..., Any]

STEPS = """
import time
import pyarrow as pa

def log(name):
    open("calls.log", "a").write(name + "\\n")

def make(value=0, **tables):
    log("make")
    return pa.table({"n": [value, *(row for table in tables.values() for row in table["n"].to_pylist())]})

def even(table):
    log("even")
    return pa.table({"n": [n - n % 2 for n in table["n"].to_pylist()]})

def by_chance():
    return pa.table({"n": [str(time.perf_counter_ns())]})
"""


class Trial:
    def __init__(self, path: Path, here: Here) -> None:
        self.path, self._here = path, here
        (path / "steps.py").write_text(STEPS)

    def write(self, text: str) -> None:
        (self.path / "p.yaml").write_text(textwrap.dedent(text))

    def replace(self, old: str, new: str) -> None:
        text = (self.path / "p.yaml").read_text()
        assert old in text
        self.write(text.replace(old, new))

    def run(self, *words: str, code: int = 0) -> Any:
        done = self._here(self.path, "run", "p.yaml", "--resume", "--json", *words)
        assert done.returncode == code, done.stderr
        self.stderr = done.stderr
        return json.loads(done.stdout)

    def ran(self, *words: str) -> str:
        """Return the names of the nodes that ran."""
        self.document = self.run(*words)
        return " ".join(name for name, node in self.document["nodes"].items() if node["status"] == "ok")

    def reasons(self) -> dict[str, str]:
        done = self._here(self.path, "plan", "p.yaml", "--resume", "--format", "json")
        nodes = json.loads(done.stdout)["nodes"]
        return {name: node["why"] for name, node in nodes.items() if node["resume"] == "run"}

    def clean(self, *words: str) -> Any:
        return self._here(self.path, "clean", *words)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.path.glob(".nfrun/runs/*/*.arrow"))

    def lines(self, node: str) -> list[Any]:
        """Return the lines of a node in the journal of the last run."""
        runs = [read_journal(folder) for folder in (self.path / ".nfrun/runs").iterdir()]
        last = max(runs, key=lambda run: run.started.number if run.started else 0)
        return [finished for finished in last.finished if finished.node == node]


@pytest.fixture
def trial(tmp_path: Path, here: Here) -> Trial:
    return Trial(tmp_path, here)


CHAIN = """
    nodes:
      a: {python: "steps:make", with: {value: 1}}
      b: {python: "steps:even", inputs: {table: a}}
      c: {python: "steps:make", inputs: {t: b}}
      d: {python: "steps:make", inputs: {t: c}, with: {value: 7}}
      e: {python: "steps:make", inputs: {t: b}}
      f: {python: "steps:make", with: {value: 5}, needs: b}
    outputs: {d: d, e: e, f: f}
"""


def test_an_output_has_one_file_however_often_it_is_reused(trial: Trial) -> None:
    trial.write(CHAIN)
    assert trial.ran() == "a b c d e f"
    paths = {name: output["path"] for name, output in trial.document["outputs"].items()}
    for _ in range(2):
        assert trial.ran() == ""
        assert {name: output["path"] for name, output in trial.document["outputs"].items()} == paths
    assert len(trial.files()) == 6
    (line,) = trial.lines("a")
    assert [Path(paths["d"]).parent.name] == [output.home for output in line.outputs]


def test_a_removed_table_runs_no_node_before_a_reader_runs(trial: Trial) -> None:
    trial.write(CHAIN)
    trial.run("--cache-size", "0")
    assert trial.files() == ["d.1.arrow", "e.1.arrow", "f.1.arrow"]
    assert trial.ran() == ""
    trial.replace("value: 7", "value: 8")
    made_again = {name: f"its table is made again, as '{reader}' reads it" for name, reader in ("ab", "bc", "cd")}
    assert trial.reasons() == {**made_again, "d": "the value 'value' changed"}
    assert trial.ran() == "a b c d"
    assert trial.document["outputs"]["d"]["rows"] == 3
    assert [line.reason for line in trial.lines("b")] == [made_again["b"]]
    assert [line.reused for line in trial.lines("e")] == [True]


def test_a_table_that_only_a_pending_node_reads_is_made_again_when_it_runs(trial: Trial) -> None:
    trial.write(CHAIN)
    trial.run("--cache-size", "0")
    trial.replace("{value: 1}", "{value: 0}")  # `b` gives the same table as before
    assert trial.ran("--cache-size", "0") == "a b f"
    trial.replace("{value: 0}", "{value: 2}")
    assert trial.ran("--cache-size", "0") == "a b c d e f"


def test_a_reader_that_turns_out_to_run_has_its_other_inputs_made_again(trial: Trial) -> None:
    trial.write(
        """
        nodes:
          a: {python: "steps:make", with: {value: 1}}
          b: {python: "steps:even", inputs: {table: a}}
          x: {python: "steps:make", with: {value: 3}}
          y: {python: "steps:make", inputs: {t: x}, executor: process}
          c: {run: cat "$NFRUN_INPUT_b" "$NFRUN_INPUT_y" > "$NFRUN_OUTPUT", inputs: [b, y], format: csv}
        """
    )
    first = trial.run("--cache-size", "0")["outputs"]["c"]["digest"]
    assert trial.files() == ["c.1.arrow"]
    trial.replace("value: 1", "value: 0")
    assert trial.ran("--cache-size", "0") == "a b"
    assert trial.document["outputs"]["c"]["digest"] == first
    trial.replace("value: 0", "value: 4")
    assert trial.ran() == "a b x y c"
    reasons = [[(line.reused, line.reason) for line in trial.lines(name)] for name in "xy"]
    again = "its table is made again, as '{}' reads it"
    assert reasons == [[(True, ""), (False, again.format("y"))], [(True, ""), (False, again.format("c"))]]


def test_one_of_several_outputs_may_have_been_removed(trial: Trial) -> None:
    (trial.path / "steps.py").write_text(
        STEPS + "\ndef two():\n    log('two')\n    return {'x': make(1), 'y': make(2)}\n"
    )
    trial.write(
        """
        nodes:
          a: {python: "steps:two", outputs: [x, y]}
          b: {python: "steps:make", inputs: {t: a.x}, with: {value: 1}}
          c: {python: "steps:make", inputs: {t: a.y}, with: {value: 2}}
        """
    )
    trial.run()
    (x,) = trial.path.glob(".nfrun/runs/*/a.x.1.arrow")
    x.unlink()
    trial.replace("with: {value: 2}", "with: {value: 3}")
    assert trial.ran() == "c"
    trial.replace("with: {value: 1}", "with: {value: 4}")
    assert trial.ran() == "a b"


def test_an_output_that_is_shown_from_now_on_is_made_again(trial: Trial) -> None:
    trial.write(CHAIN)
    trial.run("--cache-size", "0")
    trial.replace("outputs: {d: d", "outputs: {d: d, a: a")
    assert trial.reasons() == {"a": "its table is made again, as the run shows it"}
    assert trial.ran() == "a"


def test_a_table_that_is_another_one_when_it_is_made_again_is_warned_about(trial: Trial) -> None:
    trial.write(
        """
        nodes:
          a: {python: "steps:by_chance"}
          b: {python: "steps:make", inputs: {t: a}, with: {value: x}}
          c: {python: "steps:make", inputs: {t: a}, with: {value: y}}
        """
    )
    trial.run("--cache-size", "0")
    trial.replace("value: x", "value: z")
    assert trial.ran() == "a b c", "all readers have the same table"
    assert trial.stderr.count("warning") == 1
    assert (
        "nfrun: warning: the table of node 'a' was made again and differs from the one that was removed: say "
        "'cache: true' to keep its tables, or 'cache: false' to run it each time\n"
    ) in trial.stderr


def test_no_node_reads_two_versions_of_a_table_that_was_made_again(trial: Trial) -> None:
    trial.write(
        """
        nodes:
          drawn: {python: "steps:by_chance"}
          reused: {python: "steps:make", inputs: {t: drawn}, with: {value: a}}
          behind: {python: "steps:make", inputs: {t: reused}, with: {value: b}}
          ran: {python: "steps:make", inputs: {t: reused}, with: {value: c}}
          late: {python: "steps:make", inputs: {t: drawn, u: ran}, with: {value: d}}
          joined: {python: "steps:make", inputs: {t: behind, u: late}, with: {value: e}}
        """
    )
    trial.run("--keep")
    (drawn,) = trial.path.glob(".nfrun/runs/*/drawn.1.arrow")
    drawn.unlink()
    trial.replace("value: c", "value: g")
    assert trial.ran() == "drawn reused behind ran late joined"
    with pa.memory_map(trial.document["outputs"]["joined"]["path"]) as file:
        rows = pa.ipc.open_file(file).read_all()["n"].to_pylist()
    assert len({row for row in rows if len(row) > 1}) == 1, "one draw"
    outdated = "a table that it had read was made again and is another one now"
    assert [trial.lines(name)[-1].reason for name in ("drawn", "reused", "behind", "ran")] == [
        "its table is made again, as 'late' reads it", outdated, outdated, outdated,
    ]  # fmt: skip
    assert trial.stderr.count("warning") == 1
    assert trial.ran() == ""


def test_tables_of_local_sources_are_read_again_and_not_kept(trial: Trial) -> None:
    (trial.path / "x.csv").write_text("n\n1\n")
    trial.write(
        """
        nodes:
          x: {read: x.csv}
          kept: {read: x.csv, cache: true}
          s: {run: cat "$NFRUN_INPUT_x" > "$NFRUN_OUTPUT", inputs: [x], format: csv}
          p: {python: "steps:make", inputs: {t: x}, executor: process}
          q: {sql: "select * from x, kept", inputs: [x, kept]}
        outputs: {s: s, p: p, q: q}
        """
    )
    trial.run()
    assert trial.files() == ["kept.1.arrow", "p.1.arrow", "q.1.arrow", "s.1.arrow"]
    assert trial.ran() == ""
    trial.replace("from x, kept", "from kept, x")
    assert trial.reasons() == {"x": "its table is made again, as 'q' reads it", "q": "its text changed"}
    assert trial.ran() == "x q"
    assert trial.ran() == ""
    trial.replace("p: p", "p: p, x: x")
    assert trial.ran() == "x"
    assert "x.1.arrow" in trial.files()


@pytest.mark.parametrize("ended", ["ok", "failed"])
def test_a_run_removes_what_is_over_the_budget_also_after_a_failure(
    trial: Trial, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial.write(CHAIN)
    monkeypatch.setenv("NFRUN_CACHE_SIZE", "0")
    trial.run("--keep")
    assert len(trial.files()) == 6
    if ended == "failed":
        trial.replace("outputs:", "  g: {run: exit 3, needs: [d, e, f]}\noutputs:")
    trial.run(code=ended == "failed")
    assert trial.files() == ["d.1.arrow", "e.1.arrow", "f.1.arrow"]


def test_the_summary_says_when_what_is_never_removed_is_over_the_budget(trial: Trial, here: Here) -> None:
    trial.write(CHAIN)
    done = here(trial.path, "run", "p.yaml", "--cache-size", "1kB")
    assert (
        "kept tables take 1.4 kB, more than the budget of 1.0 kB: outputs of the last runs and of 'cache: true' nodes "
        "are not removed" in " ".join(done.stderr.split())
    )
    assert "kept tables" not in here(trial.path, "run", "p.yaml").stderr


WRONG = ["", "10", "ten", "10 apples", "-1GB", "512M", "1e9", "0x10", "10GB/s", "nan", "٣GB", "9" * 30]


@pytest.mark.parametrize("size", [size for size in WRONG if size != "10"])
def test_a_wrong_size_is_refused_before_anything_runs(trial: Trial, here: Here, size: str) -> None:
    trial.write(CHAIN)
    for command in (("run", "p.yaml"), ("clean",)):
        done = here(trial.path, *command, "--cache-size", size)
        assert done.returncode == 2
        assert f"'{size}' is not a size such as 10GB, 500MiB or 0" in " ".join(done.stderr.split())
    assert not (trial.path / ".nfrun").exists()


@pytest.mark.parametrize("command", [("run", "p.yaml"), ("clean",)])
def test_a_wrong_variable_is_refused_unless_the_option_is_there(
    trial: Trial, here: Here, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    trial.write(CHAIN)
    monkeypatch.setenv("NFRUN_CACHE_SIZE", "much")
    done = here(trial.path, *command)
    assert done.returncode == 2
    message = " ".join(done.stderr.replace("│", " ").split())
    assert "NFRUN_CACHE_SIZE" in message
    assert "'much' is not a size such as 10GB, 500MiB or 0" in message
    assert here(trial.path, *command, "--cache-size", "1GB").returncode == 0


def test_the_variable_is_the_budget_if_there_is_no_option(
    trial: Trial, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial.write(CHAIN)
    monkeypatch.setenv("NFRUN_CACHE_SIZE", "0")
    trial.run("--cache-size", "1GB")
    assert len(trial.files()) == 6
    monkeypatch.setenv("NFRUN_CACHE_SIZE", "")
    trial.run()
    assert len(trial.files()) == 6
    monkeypatch.setenv("NFRUN_CACHE_SIZE", "0")
    trial.run()
    assert len(trial.files()) == 3


def test_what_a_failed_node_reads_stays_for_the_next_run(trial: Trial) -> None:
    trial.write("""
        nodes:
          a: {python: "steps:make", with: {value: 7}}
          b: {python: "steps:even", inputs: {table: a}}
          c: {sql: "select n + missing as n from b", inputs: b}
          d: {python: "steps:make", inputs: {t: c, u: a}}
          e: {python: "steps:make", with: {value: 8}}
          f: {python: "steps:even", inputs: {table: e}}
    """)
    trial.run("--cache-size", "0", code=1)
    assert trial.files() == ["a.1.arrow", "b.1.arrow", "f.1.arrow"]
    trial.replace("n + missing", "n")
    assert trial.ran("--cache-size", "0") == "c d"


def test_clean_changes_no_decision(trial: Trial) -> None:
    """Whatever state of the file is taken up again: within the budget, only files go that no run needs."""
    trial.write(CHAIN)
    states = []
    for old, new in (("value: 7", "value: 8"), ("value: 1", "value: 2"), ("value: 8", "value: 7"), ("", "")):
        trial.run("--cache-size", "1500")
        states.append((trial.path / "p.yaml").read_text())
        trial.replace(old, new)
    (first,) = (trial.path / ".nfrun/runs").glob("1-*")
    (first / "half.arrow.partial").touch()
    (first / "a.1.arrow.bad").touch()

    def decisions() -> list[dict[str, str]]:
        found = []
        for state in states:
            trial.write(state)
            found.append(trial.reasons())
        return found

    before = decisions()
    assert before[-1] == {}
    done = trial.clean("--cache-size", "1500").stdout
    assert done.startswith("removed 2 files")
    assert decisions() == before
