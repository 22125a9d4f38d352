"""Expansion of a matrix against a slow, plain definition, for random axes, exclusions and references."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nfrun.pipeline_file.cells as cells_module
from nfrun.core.errors import Diagnostic, Problem, SpecError
from nfrun.core.pipeline import Axis, Gather, Input, NodeSpec, OutputId, Pipeline
from nfrun.pipeline_file.axes import with_values
from nfrun.pipeline_file.cells import expand
from nfrun.pipeline_file.resolve import resolve
from nfrun.pipeline_file.validate import validate_file

AXES = {
    "unit": [{"id": "a1", "group": "a"}, {"id": "a2", "group": "a"}, {"id": "b1", "group": "b"}],
    "group": ["a", "b"],  # follows from unit
    "fold": [0, 1],
    "day": ["mon", "tue", "wed"],
}
GROUP_OF = {"a1": "a", "a2": "a", "b1": "b"}
OWN = [("fold",), ("day",), ("fold", "day"), ("unit",), ("group",), ("unit", "fold"), ("group", "day"), ()]


def axes() -> dict[str, Axis]:
    found = {name: with_values(Axis(name, values), values) for name, values in AXES.items()}
    group = found["group"]
    found["group"] = Axis("group", None, (), "unit", group.values, group.keys, group.ids, follows=(0, 0, 1))
    return found


def keys(axis: str) -> list[Any]:
    return [value["id"] if isinstance(value, dict) else value for value in AXES[axis]]


def seen(cell: dict[str, Any]) -> dict[str, Any]:
    """The values of a cell on its axes and on the one that follows."""
    return {**cell, "group": GROUP_OF[cell["unit"]]} if "unit" in cell else cell


def cells(own: tuple[str, ...], exclude: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All combinations, the last axis fastest, but those with all the values of an entry."""
    found = [dict(zip(own, values, strict=True)) for values in product(*[keys(axis) for axis in own])]
    return [cell for cell in found if not any(entry.items() <= seen(cell).items() for entry in exclude)]


def id_of(node: str, cell: dict[str, Any]) -> str:
    return node + "".join(f"@{value}" for value in cell.values())


def node(name: str, own: tuple[str, ...], inputs: tuple[Input, ...] = (), needs: tuple[str, ...] = ()) -> NodeSpec:
    return NodeSpec(name, "run", "x", inputs, {}, (), needs, {}, axes=own)


@st.composite
def excluded(draw: st.DrawFn) -> list[dict[str, Any]]:
    entries = draw(st.lists(st.lists(st.sampled_from(sorted(AXES)), min_size=1, max_size=2, unique=True), max_size=3))
    return [{axis: draw(st.sampled_from(keys(axis))) for axis in entry} for entry in entries]


@given(st.sampled_from(OWN), st.sampled_from(OWN), excluded(), st.data())
def test_a_cell_reads_the_cells_that_agree_with_it(
    theirs: tuple[str, ...], mine: tuple[str, ...], exclude: list[dict[str, Any]], data: st.DataObject
) -> None:
    has = [axis for axis in AXES if axis in seen(dict.fromkeys(theirs, "a1"))] if theirs else []
    has_mine = [*mine, "group"] if "unit" in mine else [*mine]
    where: dict[str, Any] = {}
    for axis in data.draw(st.lists(st.sampled_from(has), unique=True, max_size=2)) if has else []:
        many = data.draw(st.lists(st.sampled_from(keys(axis)), unique=True, min_size=1))
        where[axis] = many if axis not in has_mine else many[0]
    pinned = [axis for axis, value in where.items() if not isinstance(value, list)]
    gathered = tuple(axis for axis in theirs if axis not in has_mine and axis not in pinned)
    if not gathered:
        where = {axis: value for axis, value in where.items() if axis in theirs and axis in pinned}
    gather = Gather("concat", gathered, {}, dict.fromkeys(gathered, "")) if gathered else None
    item = Input("x", OutputId("p"), gather=gather, where=where, optional=True)
    nodes = {"p": node("p", theirs), "r": node("r", mine, (item,), ("p",))}
    pipeline = Pipeline("", "", "", "", {}, {}, nodes, {}, axes=axes(), excluded=tuple(exclude))
    problems: list[Problem] = []
    found = expand(pipeline, problems).nodes
    readers, written = cells(mine, exclude), cells(theirs, exclude)
    if not readers or not written:
        assert problems
        return
    assert not problems
    assert list(found) == [id_of("p", cell) for cell in written] + [id_of("r", cell) for cell in readers]
    for cell in readers:
        spec, at = found[id_of("r", cell)], seen(cell)
        agreeing = [
            other
            for other in written
            if all(seen(other)[a] in (v if isinstance(v, list) else [v]) for a, v in where.items())
            and all(at[a] == v for a, v in seen(other).items() if a in at and a not in where)
        ]
        needed = [other for other in written if all(at[a] == v for a, v in seen(other).items() if a in at)]
        assert list(spec.needs) == [id_of("p", other) for other in needed]
        assert spec.cell == cell
        if not gather:  # an axis that is pinned decides alone
            agreeing = [o for o in written if all(where[a] == v if a in where else at[a] == v for a, v in o.items())]
        assert [str(output) for each in spec.inputs for output in each.outputs] == [id_of("p", o) for o in agreeing]
        if gather and agreeing:
            assert spec.inputs[0].gather is not None
            at_axes = [tuple(other[axis] for axis in gathered) for other in agreeing]
            assert list(spec.inputs[0].gather.cells.values()) == at_axes


def planned(folder: Path, text: str) -> Pipeline:
    (folder / "p.yaml").write_text(text)
    return resolve(folder / "p.yaml", given={}, params_file=None, environ={}, run_id="r", to_run=False).pipeline


def test_ids_are_texts_that_depend_on_the_value_alone(tmp_path: Path) -> None:
    values = [1, 0.5, True, "ä b", "x" * 50, "end.", ".a", {"id": "own", "x": 1}, "2024-01-01"]
    text = f"matrix: {{v: {json.dumps(values)}}}\nnodes: {{a: {{matrix: v, run: x}}}}\n"
    ids = [id.removeprefix("a@") for id in planned(tmp_path, text).nodes]
    assert ids == [
        *("1", "0.5", "true", "_b-83ec61", "x" * 33 + "-77cf12", "end.-2e1856", "a-36797c", "own", "2024-01-01"),
    ]
    text = f"matrix: {{v: {json.dumps(values[::-1])}}}\nnodes: {{a: {{matrix: v, run: x}}}}\n"
    assert [id.removeprefix("a@") for id in planned(tmp_path, text).nodes] == ids[::-1]


def test_each_cell_of_an_output_is_shown(tmp_path: Path) -> None:
    text = "matrix: {v: [1, 2]}\nnodes: {a: {matrix: v, run: x, outputs: [o, p]}}\noutputs: {late: a.p}\n"
    assert planned(tmp_path, text).outputs == {"late@1": "a@1.p", "late@2": "a@2.p"}
    assert list(planned(tmp_path, text.replace("outputs: {late: a.p}\n", "")).outputs) == [
        "a@1.o",
        "a@1.p",
        "a@2.o",
        "a@2.p",
    ]


def test_the_column_of_an_axis_has_the_type_of_all_its_values(tmp_path: Path) -> None:
    text = """
matrix: {n: [1, 2, {id: x}], m: [3, 4]}
nodes:
  a: {matrix: [n, m], if: "${{ matrix.n == 1 }}", sql: select 1 as v}
  b: {sql: select * from a, inputs: {a: {from: a, gather: concat}}}
  c: {sql: select * from a, inputs: {a: {from: a, where: {n: [1, 2]}, gather: concat, columns: [n]}}}
"""
    nodes = planned(tmp_path, text).nodes
    gathered = [nodes[name].inputs[0].gather for name in ("b", "c")]
    assert [found and found.columns for found in gathered] == [{"n": "string", "m": "int64"}, {"n": "string"}]


def test_a_node_may_declare_axes_that_others_name(tmp_path: Path) -> None:
    text = """
nodes:
  a: {matrix: {lang: [en, de], size: [1, 2]}, run: "x", with: {l: "${{ matrix.lang }}"}}
  b: {matrix: lang, run: x, inputs: {all: {from: a, gather: dict}}}
"""
    nodes = planned(tmp_path, text).nodes
    assert list(nodes) == ["a@en@1", "a@en@2", "a@de@1", "a@de@2", "b@en", "b@de"]
    assert nodes["b@de"].upstream == ("a@de@1", "a@de@2")


def test_as_many_cells_and_nodes_as_the_limits_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells_module, "MAX_CELLS", 6)
    monkeypatch.setattr(cells_module, "MAX_NODES", 12)
    text = """
matrix: {a: [1, 2], b: [1, 2, 3, 4], exclude: [{b: 4}]}
nodes:
  x: {matrix: [a, b], run: x}
  y: {matrix: [a, b], run: x}
"""
    assert len(planned(tmp_path, text).nodes) == 12
    with pytest.raises(SpecError) as caught:
        planned(tmp_path, text + "  z: {run: x}\n")
    assert caught.value.diagnostics[0].message.startswith("the pipeline has 13 nodes, and at most 12: ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("matrix: {a: [1, 2], b: [1, 2, 3, 4], exclude: [{a: 1, b: 4}, {a: 2, b: 1}]}", ""),
        ("matrix: {a: [{id: x, g: 1}, {id: y, g: 2}], g: {of: a}, b: [1, 2, 3, 4, 5, 6], exclude: [{g: 1}]}", ""),
        (
            "matrix: {a: [1, 2], b: [1, 2, 3, 4, 5], exclude: [{b: 5}, {a: 1, b: 4}]}",
            "'x' has more than 6 cells (a 2 x b 4)",
        ),
    ],
)
def test_excluded_combinations_do_not_count_towards_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    monkeypatch.setattr(cells_module, "MAX_CELLS", 6)
    text = f"{text}\nnodes: {{x: {{matrix: [a, b], run: x}}}}\n"
    if not told:
        assert len(planned(tmp_path, text).nodes) == 6
        return
    with pytest.raises(SpecError) as caught:
        planned(tmp_path, text)
    assert [found.message for found in caught.value.diagnostics] == [told]


def test_a_value_is_named_by_itself_or_by_its_text_in_ids(tmp_path: Path) -> None:
    text = """
matrix: {a: ["x y", z]}
nodes:
  p: {matrix: a, run: x}
  r: {run: x, inputs: {p: {from: p, where: {a: %s}}}}
"""
    first = next(iter(planned(tmp_path, text % "x y").nodes))
    by_value, by_id = (planned(tmp_path, text % name).nodes["r"] for name in ("x y", first.removeprefix("p@")))
    assert by_value.upstream == by_id.upstream == (first,)


def test_what_is_read_instead_of_a_cell_that_does_not_exist(tmp_path: Path) -> None:
    text = """
matrix: {a: [1, 2], b: [1, 2], exclude: [{b: 2, a: 2}]}
nodes:
  q: {run: x}
  o: {matrix: [a, b], run: x}
  r: {matrix: [a], run: x, inputs: {o: {from: o, where: {b: 2}, else: q}}}
"""
    nodes = planned(tmp_path, text).nodes
    assert [nodes[f"r@{a}"].upstream for a in (1, 2)] == [("o@1@2",), ("q",)]
    nodes = planned(tmp_path, text.replace("q: {run: x}", "q: {run: x, if: false}")).nodes
    assert list(nodes) == ["o@1@1", "o@1@2", "o@2@1", "r@1"]
    optional = text.replace("else: q", "else: q, optional: true").replace("q: {run: x}", "q: {run: x, if: false}")
    assert planned(tmp_path, optional).nodes["r@2"].inputs == ()


def test_a_name_twice_in_a_pattern_is_the_same_text(tmp_path: Path) -> None:
    for name in ("a_a.csv", "a_b.csv", "b_b.csv"):
        (tmp_path / name).write_text("x\n")
    nodes = planned(tmp_path, 'matrix: {f: {files: "{n}_{n}.csv"}}\nnodes: {r: {matrix: f, run: x}}\n').nodes
    assert list(nodes) == ["r@a", "r@b"]


def test_cells_that_are_pinned_do_not_count_towards_the_limit_of_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells_module, "MAX_READS", 8)
    text = """
matrix: {a: [1, 2], b: [1, 2, 3], c: [1, 2, 3, 4]}
nodes:
  p: {matrix: [b, c], run: x}
  r: {matrix: a, run: x, inputs: {p: {from: p, where: {b: 1}, gather: dict}}}
"""
    assert len(planned(tmp_path, text).nodes["r@1"].upstream) == 4


def test_axes_do_not_see_the_id_of_the_run(tmp_path: Path) -> None:
    nodes = planned(tmp_path, 'matrix: {k: "${{ run | list }}"}\nnodes: {a: {matrix: k, run: x}}\n').nodes
    assert list(nodes) == ["a@name", "a@folder"]


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ("fit: {matrix: [model, fold], run: x}", "'fit' has more than 10,000 cells (model 40 x fold 300)"),
        (
            ", ".join(f"n{i}: {{matrix: big, run: x}}" for i in range(11)),
            "the pipeline has 109,989 nodes, and at most 100,000: 'n0' has 9,999 (big 9,999)",
        ),
        (
            "a: {matrix: big, run: x}, b: {matrix: fold, run: x, inputs: {x: {from: a, gather: dict}}}",
            "300 cells of 'b' wait for 9,999 cells of 'a' each, and at most 2,000,000 in all",
        ),
    ],
)
def test_limits_are_told_with_the_axes_and_their_lengths(tmp_path: Path, nodes: str, told: str) -> None:
    axes = 'matrix: {model: "${{ 40 | range }}", fold: "${{ 300 | range }}", big: "${{ 9999 | range }}"}'
    with pytest.raises(SpecError) as caught:
        planned(tmp_path, f"{axes}\nnodes: {{{nodes}}}\n")
    assert [found.message for found in caught.value.diagnostics] == [told]


def test_keys_that_begin_with_x_are_a_place_for_anchors(tmp_path: Path) -> None:
    text = """
x-with: &with {v: "${{ matrix.v }}"}
matrix: {v: [1]}
nodes: {a: {matrix: v, run: x, with: *with}}
"""
    assert planned(tmp_path, text).nodes["a@1"].with_ == {"v": 1}


def test_tags_of_a_node_replace_those_of_the_defaults(tmp_path: Path) -> None:
    text = "defaults: {tags: [all]}\nnodes: {a: {run: x}, b: {run: x, tags: [one, two]}}\n"
    assert [spec.tags for spec in planned(tmp_path, text).nodes.values()] == [("all",), ("one", "two")]


def test_validate_needs_no_values_of_parameters_and_reads_no_table(tmp_path: Path) -> None:
    text = """
params: {n: {type: integer}}
matrix: {v: "${{ params.n | range }}", r: {rows: s.csv}}
nodes: {a: {matrix: [v, r], run: x}}
"""
    (tmp_path / "p.yaml").write_text(text)
    (tmp_path / "s.csv").write_bytes(b"\xff no table")
    warnings: list[Diagnostic] = []
    assert list(validate_file(tmp_path / "p.yaml", warnings.append).nodes) == ["a"]
    assert not warnings
    with pytest.raises(SpecError) as caught:
        planned(tmp_path, text)
    assert [found.message for found in caught.value.diagnostics] == ["the parameter 'n' has no value"]
