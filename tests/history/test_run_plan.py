"""The plan of a run in its folder: what is written is read again, and damage gives none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfrun.core.budgets import Budget
from nfrun.core.errors import SourceSpan
from nfrun.core.pipeline import Input, NodeSpec, OutputId, Pipeline, Retry
from nfrun.core.plan import plan_of
from nfrun.core.values import replace
from nfrun.history.run_plan import PLAN, Circumstances, PlannedNode, read_run_plan, write_run_plan

ON = Circumstances(began=1.5, slots=3, executor="auto", keep_going=True, cores=2, memory=1_000, platform="Linux")


def spec(id: str, *inputs: Input, line: int = 1, file: str = "p.yaml", **fields: object) -> NodeSpec:
    source = SourceSpan(file, line, 3)
    return NodeSpec(id, "sql", "select 1", inputs, {}, (), (), {}, source=source, **fields)  # type: ignore[arg-type]


def pipeline(folder: Path, *specs: NodeSpec, **fields: object) -> Pipeline:
    nodes = {each.id: each for each in specs}
    return Pipeline("p.yaml", str(folder), "p", "", {}, {}, nodes, {}, **fields)  # type: ignore[arg-type]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("nodes: it is hunter22\n")
    file = str(tmp_path / "p.yaml")
    either = Input("x", OutputId("a", "left"), alternative=OutputId("c"))
    found = pipeline(
        tmp_path,
        replace(spec("a", file=file), outputs=("left", "right")),
        spec("c", file="gone.yaml", of="c", cell={"n": 1}, retry=Retry(2), timeout=3.0, amounts={"gpu": 1.0}),
        replace(spec("b", either, file=file, line=7, continue_on_error=True), needs=("c",)),
        budgets={"gpu": Budget(2.0, "2")},
        disabled={"off": "its 'if' is false"},
        disabled_nodes={"off": spec("off", file=file, line=9)},
    )
    plan = plan_of(found, slots=3, estimated_durations={"a": 0.25})
    write_run_plan(
        tmp_path, found, plan, ON, executors={"b": "process"}, redact=lambda text: text.replace("hun", "***")
    )
    assert (tmp_path / PLAN).stat().st_mode & 0o777 == 0o600
    read = read_run_plan(tmp_path)
    assert read is not None
    assert (read.on, read.budgets) == (ON, {"gpu": Budget(2.0, "2")})
    assert read.nodes["off"] == PlannedNode("off", "sql", file, 9, disabled="its 'if' is false")
    assert read.texts == {file: "nodes: it is ***ter22\n", "gone.yaml": ""}
    assert read.nodes["a"] == PlannedNode("a", "sql", file, 1, outputs=("left", "right"), estimated=0.25)
    takes = (("cpu", 1.0), ("gpu", 1.0))
    cell = {"of": "c", "cell": {"n": 1}, "estimated": 0.25, "takes": takes, "retry": Retry(2), "timeout": 3.0}
    assert read.nodes["c"] == PlannedNode("c", "sql", "gone.yaml", 1, **cell)
    reader = PlannedNode("b", "sql", file, 7, {"x": ("a.left", "c")}, needs=("c",), executor="process", estimated=0.25)
    assert read.nodes["b"] == replace(reader, continue_on_error=True)
    assert read.nodes["a"].output_ids == (OutputId("a", "left"), OutputId("a", "right"))


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version":3}', '{"version":2}', '{"version":2,"on":{"new":1}}'])
def test_a_damaged_plan_is_none(tmp_path: Path, damage: str) -> None:
    (tmp_path / PLAN).write_text(damage)
    assert read_run_plan(tmp_path) is None


def test_a_plan_that_is_cut_off_is_none_at_any_length(tmp_path: Path) -> None:
    found = pipeline(tmp_path, spec("a"))
    write_run_plan(tmp_path, found, plan_of(found), ON, executors={})
    whole = (tmp_path / PLAN).read_bytes()
    assert read_run_plan(tmp_path) is not None
    for length in range(0, len(whole), 7):
        (tmp_path / PLAN).write_bytes(whole[:length])
        assert read_run_plan(tmp_path) is None
    (tmp_path / PLAN).unlink()
    assert read_run_plan(tmp_path) is None


@given(data=st.data())
def test_a_plan_with_a_value_of_another_type_is_none_or_as_it_was(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("plan")
    budgets = {"gpu": Budget(2.0, "2")}
    nodes = spec("a", amounts={"gpu": 1.0}, retry=Retry(1)), spec("b", Input("x", OutputId("a")), timeout=1.0)
    found = pipeline(folder, *nodes, budgets=budgets)
    write_run_plan(folder, found, plan_of(found), ON, executors={"a": "process"})
    document = json.loads((folder / PLAN).read_text())
    place: Any = document
    while isinstance(place, dict | list) and place:
        holder, key = place, data.draw(st.sampled_from([*place] if isinstance(place, dict) else [*range(len(place))]))
        place = holder[key]
    holder[key] = data.draw(st.sampled_from([None, "text", 7, [], {}, [1], {"a": 1}, True]))
    (folder / PLAN).write_text(json.dumps(document))
    read = read_run_plan(folder)
    if read is not None:
        assert all(isinstance(node.line, int) and isinstance(node.kind, str) for node in read.nodes.values())
        assert all(isinstance(text, str) for text in (*read.texts, *read.texts.values()))


def test_of_a_program_only_the_lines_of_nodes_are_kept(tmp_path: Path) -> None:
    program = tmp_path / "build.py"
    program.write_text('password = "tops3cret"\np.sql(\n    "a",\n    "select 1",\n)\nlogin(password)\n')
    found = pipeline(tmp_path, spec("a", file=str(program), line=2))
    write_run_plan(tmp_path, found, plan_of(found), ON, executors={})
    assert "tops3cret" not in (tmp_path / PLAN).read_text()
    read = read_run_plan(tmp_path)
    assert read is not None
    assert read.texts[str(program)].split("\n") == ["", "p.sql(", '    "a",', '    "select 1",', ")", "", ""]
