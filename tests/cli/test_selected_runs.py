"""Runs of a part of a pipeline: what is not selected does not run, and nothing is read of it that is out of date."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nfrun.core.errors import SelectionError, UsageError
from nfrun.history.database import read_journal
from nfrun.history.work_dir import WorkDir
from nfrun.pipeline_file.resolve import resolve
from nfrun.session.options import PlanOptions, RunOptions
from nfrun.session.selection import selection_of
from tests.program_runs import RunResult, run_pipeline

CHAIN = """
nodes:
  data: {read: d.csv, tags: [source]}
  clean: {sql: select x + 1 as x from data, inputs: data}
  fit: {sql: select sum(x) as x from clean, inputs: clean}
  score: {sql: select x * 2 as x from fit, inputs: fit}
  other: {sql: select max(x) as x from clean, inputs: clean}
outputs: {score: score, other: other}
"""


class Project:
    """A pipeline in a folder, run in this process."""

    def __init__(self, folder: Path, text: str = CHAIN) -> None:
        self.folder, self.file = folder, folder / "p.yaml"
        self.file.write_text(text)
        (folder / "d.csv").write_text("x\n1\n2\n")

    def edit(self, old: str, new: str) -> None:
        assert old in self.file.read_text()
        self.file.write_text(self.file.read_text().replace(old, new))

    def lose_tables(self, node: str = "*") -> None:
        for path in self.folder.glob(f".nfrun/runs/*/{node}.1.arrow"):
            path.unlink()

    def run(self, **options: Any) -> RunResult:
        return run_pipeline(RunOptions(self.file, slots=2, **options))

    def selected(self, **options: str) -> list[str]:
        """Return the nodes that `plan` selects, in order of their names."""
        pipeline = resolve(self.file, given={}, params_file=None, environ={}, run_id="plan").pipeline
        plan = PlanOptions(self.file, **{name: [selector] for name, selector in options.items()})
        work = WorkDir.of_pipeline(pipeline, None)
        return sorted(selection_of(plan, pipeline, work).nodes or ())

    def statuses(self, **options: Any) -> dict[str, str]:
        """Return the statuses of a run, as its journal and its record have them: they are the same."""
        result = self.run(**options)
        left_out = dict.fromkeys(result.record.plan.not_selected, "not_selected")
        found = left_out | {name: node.status for name, node in result.record.nodes.items()}
        journal = read_journal(
            max((self.folder / ".nfrun/runs").iterdir(), key=lambda run: int(run.name.split("-")[0]))
        )
        recorded = {node.node: "reused" if node.reused else "ok" for node in journal.finished}
        recorded |= {node.node: node.status for node in journal.unfinished}
        assert recorded == found
        assert journal.ending is not None
        assert {s: n for s, n in journal.ending.counts.items() if n} == {
            s: n for s, n in result.record.counts().items() if n
        }
        return found

    def why_not(self, **options: Any) -> str:
        """Return why nothing runs; `plan` tells the same, and no run is left."""
        before = sorted((self.folder / ".nfrun/runs").glob("*"))
        with pytest.raises(SelectionError) as error:
            self.run(**options)
        assert sorted((self.folder / ".nfrun/runs").glob("*")) == before
        return str(error.value)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


LEFT_OUT = dict.fromkeys(("data", "clean", "fit", "score", "other"), "not_selected")


def test_what_is_selected_runs_if_it_changed_and_the_rest_does_not(project: Project) -> None:
    project.run()
    assert project.statuses(only="fit") == {**LEFT_OUT, "fit": "reused"}
    project.edit("sum(x)", "min(x)")
    assert project.statuses(until="fit", exclude="data") == {**LEFT_OUT, "clean": "reused", "fit": "ok"}
    result = project.run(only="score")
    assert result.tables["score"].to_pylist() == [{"x": 4}]
    assert result.tables["other"] is None
    assert project.statuses() == dict.fromkeys(LEFT_OUT, "reused"), "what runs with a selection made counts"


def test_force_and_fresh_concern_what_is_selected(project: Project) -> None:
    project.run()
    assert project.statuses(only="fit", force="*") == {**LEFT_OUT, "fit": "ok"}
    assert project.statuses(only="fit", force="clean") == {**LEFT_OUT, "fit": "reused"}
    assert project.statuses(from_="fit", fresh=True) == {**LEFT_OUT, "fit": "ok", "score": "ok"}
    everything = dict.fromkeys(LEFT_OUT, "reused")
    assert project.statuses(force="tag:source+1,kind:sql") == {**everything, "data": "ok", "clean": "ok"}


def test_a_result_that_is_out_of_date_is_an_error_before_anything_runs(project: Project) -> None:
    never = "it has not finished in any run that is kept"
    told = "'{}' is not selected, and has no result that is up to date ({}): select it too (--until {})"
    assert project.why_not(only="fit") == told.format("clean", never, "fit")
    project.run()
    project.edit("x + 1", "x + 2")
    assert project.why_not(only="score") == told.format("fit", "it reads 'clean', which is out of date", "score")
    assert project.why_not(only="fit") == told.format("clean", "its text changed", "fit")
    assert project.why_not(only=["clean", "score"]) == told.format("fit", "it reads 'clean', which runs", "score")
    assert project.statuses(until="fit") == {**LEFT_OUT, **dict.fromkeys(("data", "clean", "fit"), "ok")}
    assert project.statuses(only="score") == {**LEFT_OUT, "score": "ok"}


def test_nothing_is_read_of_a_node_whose_checks_changed_and_are_not_made(project: Project) -> None:
    project.run()
    project.edit("inputs: data}", "inputs: data, checks: [{range: {x: {max: 2}}}]}")
    told = "'{}' is not selected, and has no result that is up to date ({}): select it too (--until {})"
    assert project.why_not(only="fit") == told.format("clean", "a check of it is to be made first", "fit")
    assert project.why_not(only="score") == told.format("fit", "it reads 'clean', which is out of date", "score")
    assert project.statuses(until="fit")["clean"] == "failed"
    project.edit("max: 2", "max: 3")
    assert project.statuses(until="fit") == {**LEFT_OUT, **dict.fromkeys(("data", "clean", "fit"), "reused")}
    assert project.statuses(only="score") == {**LEFT_OUT, "score": "reused"}


def test_the_age_of_data_is_not_checked_where_its_node_is_not_selected(project: Project) -> None:
    fresh = "inputs: data, checks: [{fresh: {at: 1h}}]}"
    project.edit("select x + 1 as x from data, inputs: data}", f"'select x + 1 as x, now() as at from data', {fresh}")
    project.edit("clean: {", "clean: {cache: true, ")
    project.run()
    assert project.statuses(only="fit", force="fit") == {**LEFT_OUT, "fit": "ok"}


def test_a_table_that_is_not_kept_is_an_error_only_where_it_is_read(project: Project) -> None:
    project.run()
    project.lose_tables("fit")
    assert project.statuses(only="score") == {**LEFT_OUT, "score": "reused"}
    told = "'fit' is not selected, and its table is not kept: select it too (--until score), or keep it (cache: true)"
    assert project.why_not(only="score", force="score") == told
    project.lose_tables("clean")
    assert "'clean' is not selected, and its table is not kept" in project.why_not(from_="fit", force="score")
    assert project.statuses(until="score", force="score")["score"] == "ok"


def test_a_file_is_read_again_for_a_selected_node_unless_it_has_changed(project: Project) -> None:
    project.run()
    project.edit("x + 1", "x + 3")
    result = project.run(only="clean")
    assert result.record.plan.not_selected == ("data", "fit", "score", "other")
    assert result.record.counts()["ok"] == 1
    assert project.statuses(only="clean", force="clean") == {**LEFT_OUT, "clean": "ok"}
    (project.folder / "d.csv").write_text("x\n7\n")
    assert "'data' is not selected, and has no result that is up to date" in project.why_not(only="clean")


def test_outputs_of_the_last_good_run_of_all_nodes_stay(project: Project) -> None:
    project.run()
    project.run(only="fit", cache_size=0)
    assert project.statuses(only=["score", "other"]) == {**LEFT_OUT, "score": "reused", "other": "reused"}
    kept = sorted(path.name for path in project.folder.glob(".nfrun/runs/*/*.arrow"))
    assert kept == ["other.1.arrow", "score.1.arrow"]


def test_a_result_of_a_table_that_is_made_again_does_not_count(tmp_path: Path) -> None:
    reads = "  {0}: {{sql: select x from {1}, inputs: {1}}}\n"
    text = "nodes:\n  a: {sql: select random() as x}\n" + reads.format("b", "a") + reads.format("c", "b")
    project = Project(tmp_path, text + reads.format("d", "a") + "outputs: {c: c, d: d}\n")
    project.run()
    project.lose_tables("a")
    project.edit("d: {sql: select x", "d: {sql: select x + 1 as x")
    why = "a table that it reads is made again"
    told = f"'b' is not selected, and has no result that is up to date ({why}): select it too (--until c)"
    assert project.why_not(exclude="b") == told
    assert project.statuses(exclude="b", until="d") == {
        **{"a": "ok", "b": "not_selected", "c": "not_selected", "d": "ok"}
    }


def test_a_table_that_is_removed_during_the_run_fails_its_reader(project: Project) -> None:
    project.run()
    project.edit("select x * 2", "select x * 3")
    result = run_pipeline(RunOptions(project.file, only="score"), around=lambda run: _losing(project, "fit"))
    told = "a table of 'fit' was removed, or is out of date, since the run began: 'fit' is not selected (--until score)"
    assert [node.failure.error for node in result.record.failed.values() if node.failure] == [told]


@contextmanager
def _losing(project: Project, node: str) -> Iterator[None]:
    project.lose_tables(node)
    yield


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cache: false}", "it has 'cache: false'"),
        ("run: 'true'}", "it gave no output, so it runs for its effect"),
    ],
)
def test_a_node_that_runs_each_time_must_be_selected(tmp_path: Path, text: str, reason: str) -> None:
    first = text if text.startswith("run") else f"sql: select 1 as x, {text}"
    project = Project(tmp_path, f"nodes:\n  a: {{{first}\n  b: {{sql: select 2 as x, needs: a}}\n")
    project.run()
    told = f"'a' is not selected, and has no result that is up to date ({reason}): select it too (--until b)"
    assert project.why_not(only="b") == told


def test_nodes_at_the_end_run_under_every_selection(tmp_path: Path) -> None:
    script = 'test -z "$NFRUN_INPUT_a" || cp "$NFRUN_INPUT_a" seen.arrow; echo "$NFRUN_STATUS" > status.txt'
    project = Project(
        tmp_path,
        f"nodes:\n  a: {{sql: select 1 as x}}\n  b: {{sql: select 2 as x}}\n"
        f"finally:\n  stop: {{run: {json.dumps(script)}, inputs: a}}\n",
    )
    result = project.run(only="b")
    assert {name: node.status for name, node in result.record.nodes.items()} == {"b": "ok", "stop": "ok"}
    assert ((tmp_path / "status.txt").read_text(), (tmp_path / "seen.arrow").exists()) == ("ok\n", False)
    project.run(only="a")
    project.run(only="b")
    assert (tmp_path / "seen.arrow").exists(), "what is kept is there for it"
    with pytest.raises(UsageError, match=r"^no node matches 'stop'; "):
        project.run(only="stop")


def test_a_handoff_without_files_has_nothing_to_read(project: Project) -> None:
    project.run()
    told = "'clean' is not selected, and --handoff memory uses no results of earlier runs: select it too (--until fit)"
    assert project.why_not(only="fit", handoff="memory") == told
    assert project.run(until="fit", handoff="memory").record.counts()["ok"] == 3


def test_barriers_stand_between_the_stages_of_what_is_selected(project: Project) -> None:
    project.run()
    assert project.statuses(from_="fit", schedule="staged") == {**LEFT_OUT, "fit": "ok", "score": "ok"}


def test_the_status_of_the_last_run_selects_nodes(tmp_path: Path) -> None:
    project = Project(
        tmp_path,
        "nodes:\n  good: {sql: select 1 as x}\n  bad: {run: exit 1, cache: true}\n"
        "  behind: {sql: select * from bad, inputs: bad}\n  weak: {run: exit 1, continue_on_error: true}\n",
    )
    with pytest.raises(UsageError, match=r"there is none"):
        project.run(only="status:failed")
    project.run(keep_going=True)

    assert project.selected(only="status:failed") == ["bad", "weak"]
    assert project.selected(only="status:skipped") == ["behind"]
    assert project.selected(only="status:ok") == ["good", "weak"]
    project.edit("run: exit 1, cache", "sql: select 3 as x, cache")
    assert project.statuses(only=["status:failed", "status:skipped"], exclude="weak") == {
        **{"good": "not_selected", "weak": "not_selected", "bad": "ok", "behind": "ok"}
    }
    with pytest.raises(UsageError, match="no node has the status 'failed'; there is not_selected, ok"):
        project.run(only="status:failed")


@pytest.mark.parametrize(
    ("options", "flag", "what"),
    [
        ({"only": "fitt"}, "--only", "no node matches 'fitt'; did you mean 'fit'?"),
        ({"from_": ["fit", "x"]}, "--from", "no node matches 'x'; there is data, clean, fit, score, other"),
        ({"until": "tag:sourc"}, "--until", "no node has the tag 'sourc'; did you mean 'source'?"),
        ({"exclude": "kind:sq"}, "--exclude", "no node has the kind 'sq'; did you mean 'sql'?"),
        ({"force": "file:e.csv"}, "--force", "no node has the file 'e.csv'; did you mean 'd.csv'?"),
        ({"only": "fit", "exclude": "fit"}, "--only", "no node is selected"),
        ({"exclude": "*"}, "--exclude", "no node is selected"),
        ({"from_": "score", "until": "fit"}, "--from", "no node is selected"),
        ({"only": "a+b"}, "--only", "'a+b' has a '+' where none may be; write N+NODE or NODE+N, N is a number"),
        ({"only": ["fit", ""]}, "--only", "an empty name is no node"),
        (
            {"until": "state:failed"},
            "--until",
            "'state:failed' begins with no kind of selector; there is tag:, kind:, file: and status:",
        ),
    ],
)
def test_a_wrong_selection_is_an_error_of_its_option(
    project: Project, options: dict[str, Any], flag: str, what: str
) -> None:
    with pytest.raises(UsageError) as error:
        project.run(**options)
    assert (str(error.value), error.value.option) == (what, flag)


def test_a_file_is_named_as_in_the_pipeline_or_by_its_whole_path(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("x\n1\n")
    project = Project(
        tmp_path,
        f"nodes:\n  a: {{read: rows.csv}}\n  b: {{read: {rows}}}\n  c: {{write: out/./c.csv, inputs: a}}\n",
    )
    assert project.selected(only="file:rows.csv") == ["a", "b"]
    assert project.selected(only=f"file:{rows}") == ["a", "b"]
    assert project.selected(only=f"file:{tmp_path}/out/*") == ["c"]
    with pytest.raises(UsageError, match=r"^no node has the file '/rows.csv'; did you mean 'rows.csv'\?$"):
        project.selected(only="file:/rows.csv")


def test_a_disabled_node_is_told_when_nothing_else_is_selected(tmp_path: Path) -> None:
    project = Project(tmp_path, "nodes:\n  a: {sql: select 1 as x}\n  b: {sql: select 1 as x, if: false}\n")
    with pytest.raises(UsageError, match=r"^no node is selected; 'b' is disabled: its 'if' is false$"):
        project.run(only="b")
    assert project.statuses(only=["a", "b"]) == {"a": "ok"}


# -- nothing is ever out of date ---------------------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"n{i}" for i in range(draw(st.integers(2, 6)))]
    return {name: draw(st.lists(st.sampled_from(names[:i]), unique=True)) if i else [] for i, name in enumerate(names)}


class Sums:
    """A pipeline of sums: each node adds a constant to what it reads. The constant of `n0` is in a file."""

    def __init__(self, folder: Path, graph: dict[str, list[str]], shown: Sequence[str]) -> None:
        self.graph, self.shown = graph, shown
        self.constants = dict.fromkeys(graph, 0)
        self.folder = folder

    def write(self) -> None:
        lines = ["nodes:", "  n0: {read: d.csv}"]
        for name, reads in list(self.graph.items())[1:]:
            terms = " + ".join([f"{self.constants[name]}", *(f"{other}.v" for other in reads)])
            inputs = f", inputs: [{', '.join(reads)}]" if reads else ""
            tables = f" from {', '.join(reads)}" if reads else ""
            lines.append(f'  {name}: {{sql: "select ({terms})::bigint as v{tables}"{inputs}}}')
        lines.append(f"outputs: {{{', '.join(f'{name}: {name}' for name in self.shown)}}}")
        (self.folder / "p.yaml").write_text("\n".join(lines) + "\n")
        (self.folder / "d.csv").write_text(f"v\n{self.constants['n0']}\n")

    def value(self, name: str) -> int:
        return self.constants[name] + sum(map(self.value, self.graph[name]))

    def before(self, names: Sequence[str]) -> set[str]:
        return {*names, *(other for name in names for other in self.before(self.graph[name]))}


@contextmanager
def new_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@settings(max_examples=settings.default.max_examples // 3)
@given(st.data())
def test_runs_of_parts_give_what_a_run_from_nothing_gives(data: st.DataObject) -> None:
    graph = data.draw(graphs())
    names = st.sampled_from(list(graph))
    with new_folder() as folder:
        sums = Sums(folder, graph, data.draw(st.lists(names, min_size=1, unique=True)))
        for _ in range(data.draw(st.integers(2, 5))):
            for name in data.draw(st.lists(names, max_size=2)):
                sums.constants[name] = data.draw(st.integers(0, 2))
            sums.write()
            for name in data.draw(st.lists(names, max_size=2)):
                for path in folder.glob(f".nfrun/runs/*/{name}.1.arrow"):
                    path.unlink()
            chosen = {
                option: data.draw(st.lists(names, max_size=2), option)
                for option in data.draw(st.lists(st.sampled_from(["only", "from_", "until", "exclude"]), unique=True))
            }
            options = RunOptions(folder / "p.yaml", slots=2, force=data.draw(st.lists(names, max_size=1)), **chosen)
            try:
                result = run_pipeline(options)
            except UsageError as error:
                assert "no node is selected" in str(error)
                continue
            except SelectionError:
                assert any(chosen.values())
                assert "until" not in chosen or len(chosen) > 1
                continue
            assert result.end.status == "ok"
            selected = [name for name in graph if name not in result.record.plan.not_selected]
            for name in sums.shown:
                table = result.tables[name]
                if name in selected or table is not None:
                    assert table.to_pylist() == [{"v": sums.value(name)}], name
            if sums.before(selected) == {*selected} and options.what.force:
                assert all(result.record.nodes[name].status == "ok" for name in options.what.force if name in selected)
