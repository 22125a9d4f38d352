"""The keys `if` and `continue_on_error`, and the nodes that planning takes out."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from random_seeds import seeds

from nfrun.core.errors import SpecError, render_all
from nfrun.core.pipeline import Gather, Input, NodeSpec, OutputId, Pipeline
from nfrun.pipeline_file.conditions import without_disabled
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.resolve import resolve


def bound(folder: Path, text: str, **given: str) -> Pipeline:
    file = folder / "p.yaml"
    file.write_text(text, encoding="utf-8")
    return resolve(file, given=given, params_file=None, environ={}, run_id="r").pipeline


def told(folder: Path, text: str, **given: str) -> str:
    """Return the diagnostics of a pipeline file, each on one line, without the folder."""
    with pytest.raises(SpecError) as caught:
        bound(folder, text, **given)
    found = caught.value.diagnostics
    return "\n".join(f"{d.span.line}:{d.span.column}: {d.message}{f' ({d.hint})' if d.hint else ''}" for d in found)


# -- reading -----------------------------------------------------------------------------------------------------------

NODE = "params: {go: true, n: 1, s: 'true', l: [1], m: {type: object, default: {a: 1}}}\nnodes:\n  a: {run: x, %s}\n"


@pytest.mark.parametrize(
    ("setting", "enabled"),
    [
        ("if: true", True),
        ("if: false", False),
        ("if: '${{ params.go }}'", True),
        ("if: ' ${{ not params.go }} '", False),
        ("if: \"${{ params.s == 'true' }}\"", True),
        ("if: '${{ params.n > 1 or run.name != \"p\" }}'", False),
        ("if: '${{ env.CI is defined }}'", False),
        ("if: '${{ run | list | length == 2 }}'", True),  # without the id
    ],
)
def test_a_condition_is_true_or_false(tmp_path: Path, setting: str, enabled: bool) -> None:
    pipeline = bound(tmp_path, NODE % setting)
    assert ("a" in pipeline.nodes) is enabled
    assert dict(pipeline.disabled) == ({} if enabled else {"a": "its 'if' is false"})


WRONG = {
    "if: params.go": "3:19: 'if' must be true, false or one expression (write true, false or ${{ … }})",
    "if: 'true'": "3:19: 'if' must be true, false or one expression (write true, false or ${{ … }})",
    "if: yes": "3:19: 'if' must be true, false or one expression (write true, false or ${{ … }})",
    "if: 'off'": "3:19: 'if' must be true, false or one expression (write true, false or ${{ … }})",
    "if: '${{ params.go }} and ${{ params.n }}'": "3:19: 'if' must be true, false or one expression "
    "(write true, false or ${{ … }})",
    "if: 'not ${{ params.go }}'": "3:19: 'if' must be true, false or one expression (write true, false or ${{ … }})",
    "if: 1": "3:19: 'if' must be true or false or a string, not 1 (for example if: ${{ params.publish }})",
    "if: ": "3:15: 'if' is empty (for example if: ${{ params.publish }})",
    "if: ''": "3:19: 'if' is empty (for example if: ${{ params.publish }})",
    "if: [a]": "3:19: 'if' must be true or false or a string, not a list (for example if: ${{ params.publish }})",
    "if: '${{ params.og }}'": "3:20: 'params' has no 'og' (there is go, n, s, l, m)",
    "if: '${{ params.s }}'": "3:19: 'if' must be true or false, and this is 'true' "
    "(compare it, as in ${{ … != none }})",
    "if: '${{ params.n }}'": "3:19: 'if' must be true or false, and this is 1 (compare it, as in ${{ … != none }})",
    "if: '${{ params.l }}'": "3:19: 'if' must be true or false, and this is a list "
    "(compare it, as in ${{ … != none }})",
    "if: '${{ params.m }}'": "3:19: 'if' must be true or false, and this is a mapping "
    "(compare it, as in ${{ … != none }})",
    "if: '${{ none }}'": "3:19: 'if' must be true or false, and this is null (compare it, as in ${{ … != none }})",
    "if: '${{ run.id == \"\" }}'": "3:20: 'run' has no 'id' (there is name, folder)",
    "if: '${{ run.date == \"\" }}'": "3:20: 'run' has no 'date' (there is name, folder)",
    "if: '${{ now }}'": "3:20: there is nothing called 'now' in expressions (there is params, env, run)",
    "if: '${{ secrets.X }}'": "3:20: a secret can be used in 'env' only (put it under 'env': python and run nodes read "
    "the variable)",
    "if: '${{ params.n / 0 > 1 }}'": "3:20: 'params.n / 0 > 1': ZeroDivisionError: division by zero",
    "if: '${{ params.go'": "3:20: this expression has no end (close it with }})",
    "continue_on_error: 'true'": "3:34: 'continue_on_error' must be true or false, not 'true'",
    "continue_on_error: 1": "3:34: 'continue_on_error' must be true or false, not 1",
    "continue_on_error: '${{ params.go }}'": "3:35: an expression is not evaluated here (expressions stand in with, "
    "env, files, if, timeout, retries, resources, executor, cache, map, read, write)",
    "continue_on_error: ": "3:15: 'continue_on_error' is empty",
    "continue_on_error: [a]": "3:34: 'continue_on_error' must be true or false, not a list",
    "continue_on_error: {a: 1}": "3:34: 'continue_on_error' must be true or false, not a mapping",
    "continue_on_error: yes": "3:34: 'continue_on_error' must be true or false, not 'yes'",
    "continue_on_errors: true": "3:15: 'continue_on_errors' is not a key of a node (did you mean 'continue_on_error'?)",
    "continueOnError: true": "3:15: 'continueOnError' is not a key of a node (did you mean 'continue_on_error'?)",
    "soft_fail: true": "3:15: 'soft_fail' is not a key of a node (did you mean 'continue_on_error'?)",
}


@pytest.mark.parametrize("setting", WRONG)
def test_wrong_settings(tmp_path: Path, setting: str) -> None:
    assert told(tmp_path, NODE % setting) == WRONG[setting]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "if: true\nnodes: {a: {run: x}}\n",
            "1:1: 'if' is not a key of a pipeline file (there is name, description, params, secrets, env, timezone, "
            "inputs, matrix, resources, defaults, profiles, nodes and 3 more)",
        ),
        (
            "defaults: {if: true}\nnodes: {a: {run: x}}\n",
            "1:12: 'if' is not a key of 'defaults' (there is retries, timeout, executor, cache, continue_on_error, "
            "resources, env, format, tags)",
        ),
    ],
)
def test_a_condition_stands_in_a_node(tmp_path: Path, text: str, message: str) -> None:
    assert told(tmp_path, text) == message


def test_a_condition_is_shown_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        bound(tmp_path, "nodes:\n  a: {run: x, if: params.go}\n")
    assert render_all(caught.value.diagnostics) == (
        f"{tmp_path}/p.yaml:2:19: 'if' must be true, false or one expression\n"
        "    2 |   a: {run: x, if: params.go}\n"
        "      |                   ^^^^^^^^^ write true, false or ${{ … }}"
    )


def test_nodes_are_allowed_to_fail_by_themselves_or_by_default(tmp_path: Path) -> None:
    text = "defaults: {continue_on_error: true}\nnodes:\n  a: {run: x}\n  b: {run: x, continue_on_error: false}\n"
    assert [spec.continue_on_error for spec in bound(tmp_path, text).nodes.values()] == [True, False]


def test_the_conditions_of_a_pipeline_that_is_not_bound_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(NODE % "if: '${{ params.go }}'")
    pipeline, _ = read_pipeline(tmp_path / "p.yaml")
    assert pipeline.nodes["a"].if_ == "${{ params.go }}"


def test_a_disabled_node_needs_no_files_and_writes_none(tmp_path: Path) -> None:
    text = """
        params: {fast: true}
        nodes:
          a: {read: data.csv, if: "${{ not params.fast }}"}
          b: {sql: select 1 as n}
          c: {write: out.csv, inputs: b, if: "${{ params.fast }}"}
          d: {write: out.csv, inputs: b, if: "${{ not params.fast }}"}
        """
    pipeline = bound(tmp_path, text)
    assert list(pipeline.nodes) == ["b", "c"]
    assert (
        told(tmp_path, text, fast="false")
        == "4:21: there is no file 'data.csv' (a path is relative to the pipeline file)"
    )


def test_a_file_that_is_missing_may_be_read_by_a_node_that_may_fail(tmp_path: Path) -> None:
    assert "a" in bound(tmp_path, "nodes: {a: {read: data.csv, continue_on_error: true}}").nodes


# The text of `evals.yaml` that is replaced, what replaces it, and what is told.
IN_EVALS = [
    (
        '"${{ params.judge }}"',
        "params.judge",
        "22:39: 'if' must be true, false or one expression (write true, false or ${{ … }})",
    ),
    (
        "judge: true",
        'judge: "true"',
        "22:39: 'if' must be true or false, and this is 'true' (compare it, as in ${{ … != none }})",
    ),
    (
        "else: answer",
        "else: anwser",
        "23:97: node 'scored' reads 'anwser', which is not defined (did you mean 'answer' (line 11)?)",
    ),
    (
        "{from: scored, gather: concat}",
        "{from: scored, gather: concat, optional: true}",
        "27:48: a sql node cannot do without a table (say what is read instead: else: NODE)",
    ),
]


@pytest.fixture
def evals(tmp_path: Path) -> str:
    """The text of a pipeline that compares models, with the files that it needs."""
    (tmp_path / "prompts.csv").write_text("id,template\nplain,Say: {}\ncot,Think: {}\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "questions.jsonl").touch()
    contract = Path(__file__).parents[1] / "contract"
    (tmp_path / "evals.py").write_text((contract / "evals.py").read_text())
    return (contract / "evals.yaml").read_text()


@pytest.mark.parametrize(("old", "new", "message"), IN_EVALS)
def test_mistakes_in_a_comparison_of_models(tmp_path: Path, evals: str, old: str, new: str, message: str) -> None:
    assert old in evals
    assert told(tmp_path, evals.replace(old, new, 1)) == message


def test_a_judge_can_be_left_out_of_a_comparison(tmp_path: Path, evals: str) -> None:
    without = bound(tmp_path, evals, judge="false")
    cells = ["small@plain", "small@cot", "large@plain", "large@cot"]
    assert without.disabled == {f"judged@{cell}": "its 'if' is false" for cell in cells}
    assert without.nodes["scored@small@cot"].upstream == ("answer@small@cot",)
    judged = bound(tmp_path, evals)
    assert judged.nodes["scored@small@cot"].upstream == ("judged@small@cot", "answer@small@cot")
    assert (list(judged.on_failure), list(judged.finally_)) == (["tell"], ["stop"])


# -- what planning takes out -------------------------------------------------------------------------------------------


def node(name: str, *inputs: Input | str, needs: tuple[str, ...] = (), **settings: Any) -> NodeSpec:
    items = tuple(Input(item, OutputId(item)) if isinstance(item, str) else item for item in inputs)
    return NodeSpec(name, "python", "m:f", items, {}, (), needs, {}, **settings)


def item(output: str, *, otherwise: str = "", optional: bool = False) -> Input:
    return Input(output, OutputId(output), OutputId(otherwise) if otherwise else None, optional)


def gathered(*outputs: str, otherwise: str = "") -> Input:
    cells = {OutputId(output): (output,) for output in outputs}
    other = OutputId(otherwise) if otherwise else None
    return Input("g", OutputId("g"), other, gather=Gather("concat", ("axis",), cells))


def planned(*nodes: NodeSpec, outputs: Mapping[str, str] | None = None) -> Pipeline:
    shown = {name: OutputId(output) for name, output in (outputs or {}).items()}
    all_nodes = {spec.id: spec for spec in nodes}
    return without_disabled(
        Pipeline("p.yaml", "/", "p", "", {}, {}, all_nodes, shown, names_outputs=outputs is not None)
    )


def test_a_pipeline_without_conditions_stays_the_same() -> None:
    pipeline = Pipeline("p.yaml", "/", "p", "", {}, {}, {"a": node("a"), "b": node("b", "a")}, {})
    assert without_disabled(pipeline) is pipeline


def test_what_reads_a_disabled_node_is_disabled_and_what_needs_it_is_not() -> None:
    found = planned(node("a", if_=False), node("b", "a"), node("c", "b"), node("d", needs=("a", "b", "e")), node("e"))
    assert found.disabled == {
        "a": "its 'if' is false",
        "b": "it reads 'a', which is disabled",
        "c": "it reads 'b', which is disabled",
    }
    assert found.nodes["d"].needs == ("e",)


def test_an_alternative_takes_the_place_of_what_is_disabled() -> None:
    found = planned(node("a", if_=False), node("b"), node("c", item("a", otherwise="b")))
    assert found.nodes["c"].inputs == (Input("a", OutputId("b")),)


def test_an_alternative_is_left_out_where_one_cell_is_there_in_any_case() -> None:
    failing, well = node("p", continue_on_error=True), node("q")
    found = planned(failing, well, node("b"), node("c", gathered("p", "q", otherwise="b")))
    assert found.nodes["c"].inputs == (gathered("p", "q"),)


def test_an_alternative_is_left_out_for_a_node_whose_absent_input_is_optional() -> None:
    failing = node("p", continue_on_error=True)
    found = planned(failing, node("a", item("p", optional=True)), node("b"), node("c", item("a", otherwise="b")))
    assert found.nodes["c"].inputs == (Input("a", OutputId("a")),)


def test_an_alternative_that_cannot_be_needed_is_left_out() -> None:
    found = planned(node("a"), node("b"), node("c", item("a", otherwise="b")))
    assert found.nodes["c"].inputs == (Input("a", OutputId("a")),)


def test_an_alternative_of_a_node_that_may_turn_out_absent_stays() -> None:
    nodes = [node("a", continue_on_error=True), node("b"), node("x", "a"), node("c", item("x", otherwise="b"))]
    assert planned(*nodes).nodes["c"].inputs == (item("x", otherwise="b"),)
    assert planned(*nodes, node("off", if_=False)).nodes["c"].upstream == ("x", "b")


def test_nothing_of_two_alternatives_is_enabled() -> None:
    nodes = [node("a", if_=False), node("b", if_=False), node("c", item("a", otherwise="b"))]
    assert planned(*nodes).disabled["c"] == "it reads 'a' or 'b', which are disabled"


def test_an_optional_input_of_a_disabled_node_is_left_out() -> None:
    found = planned(node("a", if_=False), node("b"), node("c", item("a", optional=True), "b"))
    assert found.nodes["c"].inputs == (Input("b", OutputId("b")),)


def test_disabled_cells_are_not_gathered_and_all_of_them_disable_the_reader() -> None:
    nodes = [
        node("x1", if_=False),
        node("x2"),
        node("c", gathered("x1", "x2", otherwise="x2")),
        node("d", gathered("x1")),
    ]
    found = planned(*nodes)
    assert found.nodes["c"].inputs == (gathered("x2"),)
    assert found.disabled["d"] == "it reads all that it gathers, which is disabled"


def test_outputs_of_disabled_nodes_are_left_out() -> None:
    nodes = [node("a", if_=False), node("b"), node("c", "a")]
    found = planned(*nodes, outputs={"x": "c", "y": "b"})
    assert (found.outputs, found.absent_outputs) == ({"y": OutputId("b")}, {"x": OutputId("c")})
    assert planned(*nodes, node("d", "b", if_=False)).outputs == {"b": OutputId("b")}, "nobody reads 'b' now"


@pytest.mark.parametrize("seed", seeds(15, 150))
def test_random_graphs_follow_the_rule(seed: int) -> None:
    """What stays and what it reads, against the rule written down slowly, for every way that nodes may end absent."""
    dice = random.Random(seed)
    nodes: list[NodeSpec] = []
    for i in range(dice.randint(2, 14)):
        before = [spec.id for spec in nodes]
        inputs = []
        for k in range(dice.randint(0, 3) if before else 0):
            other = dice.choice(["", dice.choice(before)])
            if dice.random() < 0.3:
                cells = gathered(*dice.sample(before, dice.randint(1, min(3, len(before)))), otherwise=other)
                inputs.append(replace(cells, name=f"i{k}"))
            else:
                one = item(dice.choice(before), otherwise=other, optional=dice.random() < 0.3)
                inputs.append(replace(one, name=f"i{k}"))
        needs = tuple(dice.sample(before, min(len(before), dice.randint(0, 1))))
        may_fail = dice.random() < 0.3
        nodes.append(node(f"n{i}", *inputs, needs=needs, if_=dice.random() > 0.25, continue_on_error=may_fail))
    dice.shuffle(nodes)
    found = planned(*nodes, node("end", if_=False))
    for _ in range(5):
        failed = {spec.id for spec in nodes if spec.continue_on_error and dice.random() < 0.5}
        before_planning = ends({spec.id: spec for spec in nodes}, failed)
        after = ends(found.nodes, failed)
        assert after == {name: end for name, end in before_planning.items() if name in found.nodes}
        assert all(before_planning[name] is None for name in found.disabled if name != "end")
    everything = ends({spec.id: spec for spec in nodes}, set())
    assert {name for name, end in everything.items() if end is None} == set(found.disabled) - {"end"}


def ends(nodes: Mapping[str, NodeSpec], failed: set[str]) -> dict[str, dict[str, tuple[str, ...]] | None]:
    """Return what each node reads by input, None for one that is absent before it starts."""
    found: dict[str, dict[str, tuple[str, ...]] | None] = {}

    def present(output: OutputId) -> bool:
        return end_of(output.node) is not None and output.node not in failed

    def end_of(name: str) -> dict[str, tuple[str, ...]] | None:
        if name not in found:
            spec = nodes[name]
            read = {each.name: each.read(present) for each in spec.inputs}
            lacks = any(not read[each.name] and not each.optional for each in spec.inputs)
            given = {input_name: outputs for input_name, outputs in read.items() if outputs}
            found[name] = None if lacks or not spec.if_ else given
        return found[name]

    for name in nodes:
        end_of(name)
    return found
