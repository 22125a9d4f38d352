"""Budgets at the top of a file, and what nodes take of them: how they are read, and what is told of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.core.budgets import Budget
from nfrun.core.errors import SpecError
from nfrun.core.pipeline import Pipeline
from nfrun.pipeline_file.resolve import resolve

FORMS = "(write a number, a size such as 12GB, or a rate such as 50/s, 3000/min or 10/h)"
FIXED = "(expressions stand in with, env, files, if, timeout, retries, resources, executor, cache, map, read, write)"

WRONG_BUDGETS = [
    ("{gpu: -1}", 18, "'gpu' must be at least 0, not -1"),
    ("{gpu: .nan}", 18, "this number is not finite, or does not fit in 64 bits (put it in quotes if it is text)"),
    ("{gpu: .inf}", 18, "this number is not finite, or does not fit in 64 bits (put it in quotes if it is text)"),
    (
        "{gpu: many}",
        18,
        "'gpu' cannot be 'many' " + FORMS,
    ),
    ("{gpu: 12G}", 18, f"'gpu' cannot be '12G' {FORMS}"),
    ("{api: 50/sec}", 18, f"'api' cannot be '50/sec' {FORMS}"),
    ("{api: 50 per minute}", 18, f"'api' cannot be '50 per minute' {FORMS}"),
    (
        "{api: 50/d}",
        18,
        "'api' cannot be '50/d' " + FORMS,
    ),
    (
        "{api: /s}",
        18,
        "'api' cannot be '/s' " + FORMS,
    ),
    (
        "{gpu: '${{ params.n }}'}",
        19,
        "an expression is not evaluated here " + FIXED,
    ),
    ("{cpu: 4}", 13, "the budget of 'cpu' is -j (remove it, and give -j to the command)"),
    ("{memory: 12}", 21, "'memory' is a size, and this is 12 (write 12GB)"),
    ("{memory: 5/s}", 21, "the budget of 'memory' is a size, not a rate (for example memory: 12GB)"),
    ("{run: 1}", 13, "'run' cannot be the name of a budget: $NFRUN_RUN is another variable (rename it)"),
    ("{gpu: 1, GPU: 2}", 21, "'GPU' differs from 'gpu' only in case (rename one)"),
    (
        "{my-gpu: 1}",
        13,
        "'my-gpu' cannot be a name in 'resources' (a name has letters, digits and _, and does not start with a digit)",
    ),
    (
        "{gpu: [0, 1]}",
        18,
        "'gpu' must be a number or a string, not a list " + FORMS,
    ),
    (
        "{gpu: {count: 1}}",
        18,
        "'gpu' must be a number or a string, not a mapping " + FORMS,
    ),
    (
        "{gpu: '1'}",
        18,
        "'gpu' cannot be '1' " + FORMS,
    ),
    ("{gpu: }", 13, "'gpu' is empty " + FORMS),
    ("{}", 12, "'resources' is empty (for example resources: {gpu: 1, api: 50/s})"),
    ("[gpu]", 12, "'resources' must be a mapping, not a list (for example resources: {gpu: 1, api: 50/s})"),
    (
        "{gpu: true}",
        18,
        "'gpu' must be a number or a string, not true " + FORMS,
    ),
    (
        "{disk: 12XB}",
        19,
        "'disk' cannot be '12XB' " + FORMS,
    ),
    (
        "{api: 50/s/s}",
        18,
        "'api' cannot be '50/s/s' " + FORMS,
    ),
]
WRONG_AMOUNTS = [
    ("{gpus: 1}", 27, "there is no budget for 'gpus' (did you mean 'gpu'?)"),
    ("{gpu: 2}", 32, "'a' takes 2 of 'gpu', and there is 1"),
    ("{gpu: -1}", 32, "'gpu' must be at least 0, not -1"),
    ("{gpu: .nan}", 32, "this number is not finite, or does not fit in 64 bits (put it in quotes if it is text)"),
    ("{gpu: all}", 32, "'gpu' cannot be 'all' (write a number, or a size such as 12GB)"),
    ("{api: 1/s}", 32, "'api' cannot be '1/s' (write a number, or a size such as 12GB)"),
    ("{memory: 4}", 35, "'memory' is a size, and this is 4 (write 4GB)"),
    ("{memory: 4G}", 35, "'memory' cannot be '4G' (write a size such as 4GB)"),
    ("{memory: '${{ 1 + 1 }}'}", 35, "'memory' is a size, and this is 2 (write 2GB)"),
    ("{gpu: '${{ 2 * 2 }}'}", 32, "'a' takes 4 of 'gpu', and there is 1"),
    ("{gpu: '${{ params.n }}'}", 33, "'params' has no 'n' (the file has none)"),
    ("{gpu: \"${{ 'x' }}\"}", 32, "'gpu' cannot be 'x' (write a number, or a size such as 12GB)"),
    (
        "{tokens: 100}",
        27,
        "there is no budget for 'tokens' (say at the top of the file how much there is: resources: {tokens: 100})",
    ),
    ("{api: 51}", 32, "'a' takes 51 of 'api', and there is 50/s"),
    ("{cpus: 2}", 27, "there is no budget for 'cpus' (did you mean 'cpu'?)"),
    ("{gpu: 1GB}", 32, "'a' takes 1000000000 of 'gpu', and there is 1"),
    ("{disk: 30GB}", 33, "'a' takes 30.0 GB of 'disk', and there is 20GB"),
    ("{disk: 5}", 33, "'disk' is a size, and this is 5 (write 5GB)"),
    ("{gpu: [0]}", 32, "'gpu' must be a number or a string, not a list (write a number, or a size such as 12GB)"),
    ("{gpu: '${{ 1 - 2 }}'}", 32, "'gpu' must be at least 0, not -1"),
]


def read(folder: Path, text: str, profile: str = "", far: bool = False) -> Pipeline:
    (folder / "p.yaml").write_text(text)
    given = {"params_file": None, "environ": {}, "run_id": "1", "profile": profile, "far": far}
    return resolve(folder / "p.yaml", given={}, **given).pipeline  # type: ignore[arg-type]


def mistakes(folder: Path, text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(SpecError) as error:
        read(folder, text)
    return [
        (found.span.line, found.span.column, f"{found.message} ({found.hint})" if found.hint else found.message)
        for found in error.value.diagnostics
    ]


@pytest.mark.parametrize(("written", "column", "told"), WRONG_BUDGETS, ids=[row[0] for row in WRONG_BUDGETS])
def test_wrong_budgets(tmp_path: Path, written: str, column: int, told: str) -> None:
    text = f"resources: {written}\nnodes:\n  a: {{run: x}}\n"
    assert mistakes(tmp_path, text) == [(1, column, told)]


@pytest.mark.parametrize(("written", "column", "told"), WRONG_AMOUNTS, ids=[row[0] for row in WRONG_AMOUNTS])
def test_wrong_amounts(tmp_path: Path, written: str, column: int, told: str) -> None:
    text = f"resources: {{gpu: 1, api: 50/s, disk: 20GB}}\nnodes:\n  a: {{run: x, resources: {written}}}\n"
    assert mistakes(tmp_path, text) == [(3, column, told)]


RAG = """\
name: rag
params: {docs: docs, model: minilm}
resources: {gpu: 1}                           # what this machine has; -j is the budget of cpu
nodes:
  chunks: {run: x}
  embed:
    run: x
    inputs: {chunks: chunks}
    resources: {gpu: 1}
    cache: true
"""


def test_the_wrong_inputs_of_the_contract(tmp_path: Path) -> None:
    read(tmp_path, RAG)
    unknown = RAG.replace("resources: {gpu: 1}\n    cache", "resources: {gpus: 1}\n    cache")
    assert mistakes(tmp_path, unknown) == [(9, 17, "there is no budget for 'gpus' (did you mean 'gpu'?)")]
    more = RAG.replace("resources: {gpu: 1}\n    cache", "resources: {gpu: 2}\n    cache")
    assert mistakes(tmp_path, more) == [(9, 22, "'embed' takes 2 of 'gpu', and there is 1")]


def test_numbers_sizes_and_rates(tmp_path: Path) -> None:
    text = "resources: {gpu: 2, disk: 1.5GB, a: 50/s, b: 3000/min, c: 10/h, d: 90k/min}\nnodes:\n  n: {run: x}\n"
    assert read(tmp_path, text).budgets == {
        "gpu": Budget(2.0, "2"),
        "disk": Budget(1.5e9, "1.5GB", is_size=True),
        "a": Budget(50.0, "50/s", per=1.0),
        "b": Budget(3000.0, "3000/min", per=60.0),
        "c": Budget(10.0, "10/h", per=3600.0),
        "d": Budget(90_000.0, "90k/min", per=60.0),
    }


def test_memory_without_a_budget_is_that_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nfrun.pipeline_file.budgets.available_memory", lambda: 8_000_000_000)
    text = "nodes:\n  a: {run: x, resources: {memory: 4GB}}\n"
    pipeline = read(tmp_path, text)
    assert pipeline.budgets == {"memory": Budget(8e9, is_size=True)}
    assert pipeline.nodes["a"].amounts == {"memory": 4e9}
    told = [(2, 35, "'a' takes 16.0 GB of 'memory', and there is 8.0 GB")]
    assert mistakes(tmp_path, text.replace("4GB", "16GB")) == told
    assert read(tmp_path, "resources: {memory: 32GB}\n" + text.replace("4GB", "16GB")).budgets["memory"].amount == 32e9


def test_nodes_on_other_machines_take_more_memory_than_this_one_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nfrun.pipeline_file.budgets.available_memory", lambda: 8_000_000_000)
    text = "nodes:\n  far: {run: x, resources: {memory: 40GB}}\n  here: {run: x, resources: {memory: 9GB}}\n"
    pipeline = read(tmp_path, text.replace("9GB", "6GB"), far=True)
    assert pipeline.budgets["memory"].amount == 40e9
    pipeline = read(tmp_path, f"resources: {{memory: 50GB}}\n{text}", far=True)
    assert pipeline.budgets["memory"].amount == 50e9, "the file says how much there is"


def test_amounts_of_defaults_are_merged_key_by_key(tmp_path: Path) -> None:
    text = """\
resources: {gpu: 2, api: 4, other: 1}
defaults: {resources: {api: 1, gpu: 1, cpu: 2}}
nodes:
  a: {run: x}
  b: {run: x, resources: {gpu: 2}}
  c: {run: x, resources: {gpu: 0, cpu: "${{ 1 + 2 }}"}}
"""
    nodes = read(tmp_path, text).nodes
    assert nodes["a"].amounts == {"api": 1.0, "gpu": 1.0}
    assert nodes["b"].amounts == {"api": 1.0, "gpu": 2.0}
    assert nodes["c"].amounts == {"api": 1.0}
    assert [nodes[name].cpu for name in "abc"] == [2, 2, 3]
    wrong = text.replace("api: 1,", "api: '${{ 2 * 3 }}',")
    assert mistakes(tmp_path, wrong) == [
        (2, 29, "'a' takes 6 of 'api', and there is 4"),
        (2, 29, "'b' takes 6 of 'api', and there is 4"),
        (2, 29, "'c' takes 6 of 'api', and there is 4"),
    ]


def test_cells_take_what_their_values_say(tmp_path: Path) -> None:
    text = """\
resources: {gpu: 1}
matrix: {model: [{id: big, gpu: 1}, {id: small}]}
nodes:
  fit: {matrix: model, run: x, resources: {gpu: "${{ matrix.model.gpu | default(0) }}"}}
"""
    nodes = read(tmp_path, text).nodes
    assert {name: dict(spec.amounts) for name, spec in nodes.items()} == {"fit@big": {"gpu": 1.0}, "fit@small": {}}
    told = [(4, 49, "'fit' takes 3 of 'gpu', and there is 1")]
    assert mistakes(tmp_path, text.replace("big, gpu: 1", "big, gpu: 3")) == told


def test_a_profile_has_budgets_of_its_own(tmp_path: Path) -> None:
    text = """\
resources: {gpu: 0, api: 4}
nodes:
  fit: {run: x, resources: {gpu: 1}}
profiles:
  prod: {resources: {gpu: 8}}
"""
    assert mistakes(tmp_path, text) == [(3, 34, "'fit' takes 1 of 'gpu', and there is 0")]
    budgets = read(tmp_path, text, "prod").budgets
    assert {name: budget.amount for name, budget in budgets.items()} == {"gpu": 8.0, "api": 4.0}
