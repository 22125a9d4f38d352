"""The plan of a run in the history: what is written is read again."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from nfrun.core.budgets import Budget
from nfrun.core.errors import SourceSpan
from nfrun.core.pipeline import Input, NodeSpec, OutputId, Pipeline
from nfrun.core.plan import plan_of
from nfrun.core.values import replace
from nfrun.history.database import DATABASE, Database
from nfrun.history.run_plan import Circumstances, PlannedNode, RunPlan, read_run_plan, write_run_plan
from nfrun.history.work_dir import WorkDir

ON = Circumstances(began=1.5, slots=3, executor="auto", cores=2, memory=1_000, platform="Linux")


def spec(id: str, *inputs: Input, line: int = 1, file: str = "p.yaml", **fields: object) -> NodeSpec:
    source = SourceSpan(file, line, 3)
    return NodeSpec(id, "sql", "select 1", inputs, {}, (), (), {}, source=source, **fields)  # type: ignore[arg-type]


def pipeline(folder: Path, *specs: NodeSpec, **fields: object) -> Pipeline:
    nodes = {each.id: each for each in specs}
    return Pipeline("p.yaml", str(folder), "p", "", {}, {}, nodes, {}, **fields)  # type: ignore[arg-type]


def written(work: Path, *parts: Any, **more: Any) -> RunPlan | None:
    """Write the plan of a run, and read it."""
    with closing(Database(WorkDir(work), print)) as database:
        write_run_plan(database, "1-20260101-000000", *parts, ON, **more)
    return read_run_plan(work / "runs" / "1-20260101-000000")


def test_a_run_without_a_plan_has_none(tmp_path: Path) -> None:
    assert read_run_plan(tmp_path / "runs" / "1-20260101-000000") is None


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("nodes:\n  a: it is hunter22\n    # more\n  b: other\n")
    file = str(tmp_path / "p.yaml")
    either = Input("x", OutputId("a", "left"), alternative=OutputId("c"))
    found = pipeline(
        tmp_path,
        replace(spec("a", file=file, line=2), outputs=("left", "right")),
        spec("c", file="gone.yaml", cell={"n": 1}, amounts={"gpu": 1.0}),
        replace(spec("b", either, file=file, line=7), needs=("c",)),
        budgets={"gpu": Budget(2.0, "2")},
        disabled={"off": "its 'if' is false"},
        disabled_nodes={"off": spec("off", file=file, line=9)},
    )
    plan = plan_of(found, slots=3, estimated_durations={"a": 0.25})
    read = written(tmp_path, found, plan, executors={"b": "process"}, redact=lambda text: text.replace("hun", "***"))
    assert read is not None
    assert read.on == ON
    assert read.nodes["off"] == PlannedNode("off", "sql", file, 9, disabled="its 'if' is false")
    assert {place: text for place, text in read.texts.items() if text} == {f"{file}:2": "a: it is ***ter22"}
    assert read.nodes["a"] == PlannedNode("a", "sql", file, 2, outputs=("left", "right"))
    cell = {"of": "c", "cell": {"n": 1}, "resources": ("gpu",)}
    assert read.nodes["c"] == PlannedNode("c", "sql", "gone.yaml", 1, **cell)
    reads = {"x": ("a.left", "c")}
    assert read.nodes["b"] == PlannedNode("b", "sql", file, 7, reads, needs=("c",), executor="process")
    assert read.nodes["a"].output_ids == (OutputId("a", "left"), OutputId("a", "right"))


def test_of_a_program_only_the_lines_of_nodes_are_kept(tmp_path: Path) -> None:
    program = tmp_path / "build.py"
    program.write_text('password = "tops3cret"\np.sql(\n    "a",\n    "select 1",\n)\nlogin(password)\n')
    found = pipeline(tmp_path, spec("a", file=str(program), line=2))
    read = written(tmp_path, found, plan_of(found), executors={})
    assert b"tops3cret" not in (tmp_path / DATABASE).read_bytes()
    assert read is not None
    assert read.texts == {f"{program}:2": 'p.sql(\n    "a",\n    "select 1",\n)'}
