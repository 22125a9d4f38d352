"""Inputs at the top of a file, and nodes that are other pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nfrun.core.errors import Diagnostic, SpecError, render_all
from nfrun.core.pipeline import Pipeline
from nfrun.nodes.external_files import used_files
from nfrun.pipeline_file.resolve import resolve
from nfrun.pipeline_file.validate import validate_file
from nfrun.tables.contracts.type_names import TypeNameError

CLEAN = """\
# clean.yaml
name: clean
inputs:
  orders: {read: data/sample-orders.csv, description: a row each}
  rates: {}                                   # no file of its own: must be given
params: {country: {type: string, default: DE}}
nodes:
  mine:
    sql: select * from orders where country = $country
    inputs: orders
    with: {country: "${{ params.country }}"}
  euros: {sql: "select id, amount * rate as amount from mine, rates", inputs: [mine, rates]}
outputs: {orders: euros}
"""
ETL = """\
# etl.yaml
name: etl
params: {source: data/sample, publish: false, out: out/dev}
env: {TZ: UTC}
defaults: {retries: 1, env: {LOG: info}}
nodes:
  orders: {read: "${{ params.source }}/orders-*.parquet"}
  rates: {read: "${{ params.source }}/rates.csv"}
  clean:
    matrix: {country: [DE, FR, NL]}
    pipeline: clean.yaml
    inputs: {orders: orders, rates: rates}
    with: {country: "${{ matrix.country }}"}
  all: {sql: select * from clean, inputs: {clean: {from: clean, gather: concat}}, tags: [report]}
  save: {write: "${{ params.out }}/orders.parquet", inputs: all}
  push: {run: ./push.sh, inputs: all, if: "${{ params.publish }}", retries: 5, env: {LOG: debug}}
profiles:
  prod:
    params: {source: /srv/data, publish: true, out: /srv/out}
    defaults: {executor: process, timeout: 1h, env: {LOG: warning}}
    jobs: 16
    work: /srv/nfrun
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with both files and their data, which is the working directory."""
    (tmp_path / "data/sample").mkdir(parents=True)
    (tmp_path / "data/sample/orders-1.parquet").touch()
    (tmp_path / "data/sample/rates.csv").touch()
    (tmp_path / "data/sample-orders.csv").touch()
    (tmp_path / "clean.yaml").write_text(CLEAN, encoding="utf-8")
    (tmp_path / "etl.yaml").write_text(ETL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bound(file: str = "etl.yaml", **more: Any) -> Pipeline:
    settings = {"given": {}, "params_file": None, "environ": {}, "run_id": "r", **more}
    return resolve(Path(file), **settings).pipeline


def written(file: str, text: str) -> None:
    Path(file).write_text(text, encoding="utf-8")


def told(file: str = "etl.yaml", **more: Any) -> str:
    with pytest.raises(SpecError) as caught:
        bound(file, **more)
    return "\n".join(
        f"{d.span}: {d.message}{f' ({d.hint})' if d.hint else ''}" + "".join(f" < {place}" for place in d.span.included)
        for d in caught.value.diagnostics
    )


# -- expansion ---------------------------------------------------------------------------------------------------------


def test_the_nodes_of_the_other_file_take_the_place_of_the_node(folder: Path) -> None:
    pipeline = bound()
    cells = [f"clean@{c}/{name}" for c in ("DE", "FR", "NL") for name in ("orders", "rates", "mine", "euros")]
    assert list(pipeline.nodes) == ["orders", "rates", *cells, "all", "save"]
    assert pipeline.disabled == {"push": "its 'if' is false"}
    upstream = {name: spec.upstream for name, spec in pipeline.nodes.items()}
    assert upstream["clean@FR/orders"] == ("orders",)
    assert upstream["clean@FR/mine"] == ("clean@FR/orders",)
    assert upstream["clean@FR/euros"] == ("clean@FR/mine", "clean@FR/rates")
    assert upstream["all"] == ("clean@DE/euros", "clean@FR/euros", "clean@NL/euros")
    assert [spec.kind for spec in pipeline.nodes.values()][2:6] == ["input", "input", "sql", "sql"]
    assert pipeline.nodes["clean@NL/mine"].with_ == {"country": "NL"}
    assert str(pipeline.nodes["clean@NL/mine"].source) == "clean.yaml:8:3"
    gather = pipeline.nodes["all"].inputs[0].gather
    assert gather is not None
    assert list(gather.cells.values()) == [("DE",), ("FR",), ("NL",)]


def test_the_nodes_of_the_cells_of_a_node_are_cells_too(folder: Path) -> None:
    written("inner.yaml", "nodes:\n  f: {run: x, matrix: {country: [a, b], k: [1]}}\n  g: {run: x}\n")
    written("outer.yaml", "nodes:\n  i: {pipeline: inner.yaml, matrix: {n: [1, 2]}}\n  j: {pipeline: inner.yaml}\n")
    written("a.yaml", "nodes:\n  o: {pipeline: outer.yaml, matrix: {country: [DE, FR]}}\n")
    nodes = bound("a.yaml").nodes
    f = nodes["o@DE/i@2/f@b@1"]
    assert (f.of, f.local_name, f.cell) == ("o/i/f", "f", {"o.country": "DE", "n": 2, "country": "b", "k": 1})
    assert (nodes["o@FR/i@1/g"].of, nodes["o@FR/i@1/g"].cell) == ("o/i/g", {"country": "FR", "n": 1})
    assert (nodes["o@FR/j/g"].of, nodes["o@FR/j/g"].cell) == ("o/j/g", {"country": "FR"})
    assert [spec.of for spec in bound("inner.yaml").nodes.values()] == ["f", "f", ""]
    assert [spec.of for name, spec in bound("outer.yaml").nodes.items() if name.startswith("j")] == ["j/f", "j/f", ""]


def test_cells_of_another_file_that_write_one_file_are_told_as_nodes(folder: Path) -> None:
    written("inner.yaml", "nodes:\n  r: {read: data/sample-orders.csv}\n  w: {write: out.csv, inputs: r}\n")
    written("a.yaml", "nodes:\n  i: {pipeline: inner.yaml, matrix: {n: [1, 2]}}\n")
    assert told("a.yaml") == (
        "inner.yaml:3:14: node 'i@1/w' (inner.yaml:3:14) writes this file too (rename one) < a.yaml:2:17"
    )


def test_settings_of_the_node_hold_for_its_nodes(folder: Path) -> None:
    settings = "needs: x\n    tags: [t]\n    continue_on_error: true\n    with"
    text = ETL.replace("    with", f"    {settings}", 1).replace("nodes:\n", "nodes:\n  x: {run: x}\n", 1)
    written("etl.yaml", text.replace("  push:", "  last: {run: y, needs: clean}\n  push:"))
    pipeline = bound()
    inside = [spec for name, spec in pipeline.nodes.items() if "/" in name]
    assert len(inside) == 12
    assert all(spec.tags == ("t",) and spec.continue_on_error for spec in inside)
    # The nodes that read nothing inside wait for what the node needs, and so do the others through these.
    assert [spec.needs for spec in inside[:4]] == [("x",), ("x",), (), ()]
    assert pipeline.nodes["last"].needs == tuple(spec.id for spec in inside)
    # Settings and defaults of the including file do not reach into the other one.
    assert all(spec.retry.max == 0 and not spec.env for spec in inside)


def test_an_input_that_has_a_file_may_be_left_out(folder: Path) -> None:
    written("etl.yaml", ETL.replace("{orders: orders, rates: rates}", "rates"))
    nodes = bound().nodes
    assert (nodes["clean@DE/orders"].kind, nodes["clean@DE/orders"].body) == ("read", "data/sample-orders.csv")


@pytest.mark.parametrize("condition", ["false", '"${{ params.publish }}"'])
def test_a_node_that_is_disabled_disables_its_nodes(folder: Path, condition: str) -> None:
    written("etl.yaml", ETL.replace("    with", f"    if: {condition}\n    with", 1))
    pipeline = bound()
    assert list(pipeline.nodes) == ["orders", "rates"]
    assert len(pipeline.disabled) == 15
    assert pipeline.disabled["clean@DE/orders"] == "the 'if' of 'clean@DE' is false"
    assert pipeline.disabled["all"] == "it reads all that it gathers, which is disabled"


def test_the_reason_of_a_disabled_node_names_the_node_whose_if_is_false(folder: Path) -> None:
    written("a.yaml", "nodes:\n  x: {pipeline: b.yaml}\n  y: {pipeline: b.yaml, if: false}\n")
    written("b.yaml", "nodes:\n  c: {pipeline: c.yaml, if: false}\n  own: {run: x, if: false}\n")
    written("c.yaml", "nodes:\n  n: {run: x, if: false}\n  m: {run: x}\n")
    of_x, of_y, own = "the 'if' of 'x/c' is false", "the 'if' of 'y' is false", "its 'if' is false"
    inside = {"y/c/n": of_y, "y/c/m": of_y, "y/own": of_y}
    assert bound("a.yaml").disabled == {"x/c/n": of_x, "x/c/m": of_x, "x/own": own, **inside}


def test_files_may_include_files(folder: Path) -> None:
    written("a.yaml", "nodes:\n  b: {pipeline: b.yaml, with: {n: 3}}\n  end: {sql: select 1, inputs: {t: b.deep}}\n")
    written(
        "b.yaml",
        "params: {n: 1}\nenv: {N: 'n${{ params.n }}'}\nnodes:\n"
        "  c: {pipeline: c.yaml, with: {text: '${{ env.N }}'}}\noutputs: {deep: c}\n",
    )
    written("c.yaml", "params: {text: x}\nnodes:\n  d: {run: x, with: {t: '${{ params.text }}'}}\noutputs: {out: d}\n")
    pipeline = bound("a.yaml")
    assert list(pipeline.nodes) == ["b/c/d", "end"]
    assert pipeline.nodes["b/c/d"].with_ == {"t": "n3"}
    assert pipeline.nodes["end"].upstream == ("b/c/d",)
    assert pipeline.env == {"N": "n3"}
    written("c.yaml", "params: {text: x}\nnodes:\n  d: {run: x, with: {t: '${{ params.txt }}'}}\noutputs: {out: d}\n")
    assert told("a.yaml") == "c.yaml:3:26: 'params' has no 'txt' (did you mean 'text'?) < b.yaml:4:17 < a.yaml:2:17"


def test_the_environment_of_the_including_file_wins(folder: Path) -> None:
    files = "env: {A: outer}\nnodes:\n  b: {pipeline: b.yaml, with: {v: x}}\n  c: {pipeline: b.yaml, with: {v: %s}}\n"
    written(
        "b.yaml", "params: {v: 1}\nenv: {A: inner, B: '${{ params.v }}'}\nnodes: {n: {run: '1'}}\n".replace("1", "q")
    )
    written("a.yaml", files % "x")
    assert bound("a.yaml").env == {"A": "outer", "B": "x"}
    written("a.yaml", files % "z")
    assert told("a.yaml") == (
        "b.yaml:2:20: 'B' has another value in 'c' than elsewhere, and a process has one "
        "(set it in 'env' of a.yaml, or in 'env' of nodes) < a.yaml:3:17"
    )


def test_budgets_are_those_of_the_file_that_is_run(folder: Path) -> None:
    written("b.yaml", "resources: {api: 9}\nnodes: {n: {run: x, resources: {api: 3}}}\n")
    written("a.yaml", "resources: {api: 4}\nnodes:\n  b: {pipeline: b.yaml}\n")
    assert bound("a.yaml").nodes["b/n"].amounts == {"api": 3.0}
    written("a.yaml", "resources: {api: 2}\nnodes:\n  b: {pipeline: b.yaml}\n")
    assert told("a.yaml") == "b.yaml:2:38: 'b/n' takes 3 of 'api', and there is 2 < a.yaml:3:17"


# -- inputs at the top -------------------------------------------------------------------------------------------------


def test_alone_an_input_is_a_read_node(folder: Path) -> None:
    assert told("clean.yaml") == "clean.yaml:5:3: the input 'rates' must be given (--input rates=FILE)"
    Path("r.csv").touch()
    pipeline = bound("clean.yaml", inputs={"rates": str(folder / "r.csv")})
    assert list(pipeline.nodes) == ["orders", "rates", "mine", "euros"]
    assert [spec.kind for spec in pipeline.nodes.values()][:2] == ["read", "read"]
    assert pipeline.nodes["orders"].description == "a row each"
    assert pipeline.nodes["rates"].body == "r.csv"


WRONG_INPUTS = {
    "{i: 1}": "p.yaml:1:13: 'i' must be a string or a mapping, not 1 (for example i: data/orders.csv)",
    "{i: }": "p.yaml:1:10: 'i' is empty (for example i: data/orders.csv)",
    "{i: ''}": "p.yaml:1:13: 'i' is empty (for example i: data/orders.csv)",
    "[i]": "p.yaml:1:9: 'inputs' must be a mapping, not a list (for example inputs: {orders: data/orders.csv})",
    "{}": "p.yaml:1:9: 'inputs' is empty (for example inputs: {orders: data/orders.csv})",
    "{a-b: x.csv}": "p.yaml:1:10: 'a-b' cannot be a name in 'inputs' (a name has letters, digits and _, and does not "
    "start with a digit)",
    "{n: x.csv}": "p.yaml:2:9: there is a node 'n' already (line 1) (rename one)",
    "{N: x.csv}": "p.yaml:2:9: 'n' differs from 'N' (line 1) only in case (files would clash on some systems: rename "
    "one)",
    "{i: {red: x.csv}}": "p.yaml:1:14: 'red' is not a key of 'i' (did you mean 'read'?)",
    "{i: {schema: {a: int}}}": f"p.yaml:1:26: there is no type 'int' ({TypeNameError.hint})",
    "{i: {checks: []}}": "p.yaml:1:22: 'checks' is empty (for example checks: [{unique: id}])",
    "{i: x.foo}": "p.yaml:1:13: the ending of this file does not tell its format",
    "{i: {read: x.csv, with: {delim: ','}}}": "p.yaml:1:34: a read node has no option 'delim'",
    "{i: '${{ params.x }}.csv'}": "p.yaml:1:14: 'params' has no 'x'",
    "{i: missing.csv}": "p.yaml:1:13: there is no file 'missing.csv'",
}


@pytest.mark.parametrize("text", WRONG_INPUTS)
def test_what_is_wrong_with_inputs_is_told(folder: Path, text: str) -> None:
    written("p.yaml", f"inputs: {text}\nnodes: {{n: {{run: x}}}}\n")
    assert told("p.yaml").startswith(WRONG_INPUTS[text])


def test_an_input_that_is_not_there(folder: Path) -> None:
    assert told("clean.yaml", inputs={"rate": "/r.csv"}) == (
        "clean.yaml: the pipeline has no input 'rate' (did you mean 'rates'?)"
    )


# -- wrong nodes -------------------------------------------------------------------------------------------------------

CONTRACT = [
    ("clean.yaml", "claen.yaml", "etl.yaml:11:15: 'claen.yaml': there is no such file (did you mean 'clean.yaml'?)"),
    (
        "{orders: orders, rates: rates}",
        "{orders: orders}",
        "etl.yaml:11:15: 'clean.yaml' must be given the input 'rates' (inputs: {rates: NODE})",
    ),
    (
        "{from: clean, gather",
        "{from: clean.euros, gather",
        "etl.yaml:14:58: 'clean.yaml' has no output 'euros' (there is 'clean.orders')",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), CONTRACT)
def test_wrong_nodes_of_the_contract(folder: Path, old: str, new: str, message: str) -> None:
    assert old in ETL
    written(
        "etl.yaml",
        ETL.replace(
            f"pipeline: {old}" if old == "clean.yaml" else old, f"pipeline: {new}" if old == "clean.yaml" else new, 1
        ),
    )
    assert told() == message


def test_wrong_nodes_of_the_contract_in_the_other_file(folder: Path) -> None:
    written("clean.yaml", CLEAN.replace("[mine, rates]", "[mine, rate]"))
    assert told() == (
        "clean.yaml:12:86: node 'euros' reads 'rate', which is not defined (did you mean 'rates' (line 5)?)"
        " < etl.yaml:11:15"
    )
    with pytest.raises(SpecError) as caught:
        bound()
    assert render_all(caught.value.diagnostics).endswith("\n   included at etl.yaml:11:15")
    query = "sql: select * from orders where country = $country"
    written("clean.yaml", CLEAN.replace(query, "pipeline: etl.yaml"))
    assert told() == "clean.yaml:9:15: 'etl.yaml' includes itself: etl.yaml -> clean.yaml -> etl.yaml < etl.yaml:11:15"


WRONG = {
    "pipeline: ''": "a.yaml:2:16: 'pipeline' is empty (for example pipeline: clean.yaml)",
    "pipeline: 1": "a.yaml:2:16: 'pipeline' must be a string, not 1 (for example pipeline: clean.yaml)",
    "pipeline: clean.txt": "a.yaml:2:16: 'pipeline' cannot be 'clean.txt' (write the path of a pipeline file, such as "
    "clean.yaml)",
    "pipeline: '${{ params.x }}.yaml'": "a.yaml:2:17: an expression is not evaluated here (which files are read is the "
    "same in every run)",
    "pipeline: clean.yaml, inputs: r, sql: select 1": "a.yaml:2:39: node 'n' has 2 kinds: pipeline, sql (a node is one "
    "of them; make it several nodes)",
    "pipeline: clean.yaml, inputs: {rates: r, order: r}": "a.yaml:2:47: 'clean.yaml' has no input 'order' (did you "
    "mean 'orders'?)",
    "pipeline: clean.yaml, inputs: [r]": "a.yaml:2:37: 'clean.yaml' has no input 'r' (its inputs: orders, rates)",
    "pipeline: clean.yaml, inputs: {rates: q}": "a.yaml:2:44: node 'n' reads 'q', which is not defined (there is "
    "'r', 'm')",
    "pipeline: clean.yaml, inputs: {rates: {from: r, optional: true}}": "a.yaml:2:54: a pipeline node cannot do "
    "without a table (say what is read instead: else: NODE)",
    "pipeline: clean.yaml, inputs: {rates: r}, with: {contry: DE}": "a.yaml:2:55: 'clean.yaml' has no parameter "
    "'contry' (did you mean 'country'?)",
    "pipeline: clean.yaml, inputs: {rates: r}, with: {country: 1}": "a.yaml:2:64: the parameter 'country' of "
    "'clean.yaml' must be of type string, not integer",
    "pipeline: clean.yaml, inputs: {rates: r}, with: {country: '${{ 1 }}'}": "a.yaml:2:64: the parameter 'country' of "
    "'clean.yaml' must be of type string, not integer",
    "pipeline: clean.yaml, inputs: {rates: r}, retries: 3": "a.yaml:2:48: a pipeline node has no 'retries' (it stands "
    "in clean.yaml)",
    "pipeline: clean.yaml, inputs: {rates: r}, outputs: [a]": "a.yaml:2:48: a pipeline node has no 'outputs' (it "
    "stands in clean.yaml)",
    "pipeline: clean.yaml, inputs: {rates: r}, executor: process": "a.yaml:2:48: a pipeline node has no 'executor' (it "
    "stands in clean.yaml)",
    "pipeline: a.yaml": "a.yaml:2:16: 'a.yaml' includes itself: a.yaml -> a.yaml",
    "pipeline: broken.yaml": "broken.yaml:1:1: a pipeline file needs 'nodes' < a.yaml:2:16",
    "pipeline: none.yaml": "a.yaml:2:16: 'none.yaml': there is no such file (check the path)",
    "pipeline: dta/other.yaml": "a.yaml:2:16: 'dta/other.yaml': there is no such file (check the path)",
    "pipeline: ../none/x.yaml": "a.yaml:2:16: '../none/x.yaml': there is no such file (check the path)",
    "pipeline: data/folder.yaml": "a.yaml:2:16: 'data/folder.yaml': this is a folder, not a file (name a file in it)",
    "pipeline: data/other.yaml": "a.yaml:2:16: 'data/other.yaml' must be given the input 'rates' "
    "(inputs: {rates: NODE})",
    "pipeline: quiet.yaml": "a.yaml:4:22: 'quiet.yaml' has no outputs (name in it what others may read: outputs: "
    "{name: node})",
    "pipeline: cells.yaml": "a.yaml:4:22: 'cells.yaml' has this output for each of its cells (gather them there, and "
    "show that)",
    "pipeline: needy.yaml": "a.yaml:2:16: 'needy.yaml' must be given the parameter 'x' (with: {x: …})",
}


@pytest.mark.parametrize("node", WRONG)
def test_what_is_wrong_with_a_node_is_told(folder: Path, node: str) -> None:
    written("a.yaml", f"nodes:\n n: {{{node}}}\n r: {{run: x}}\n m: {{run: x, inputs: n}}\n")
    written("broken.yaml", "name: x\n")
    written("data/other.yaml", CLEAN)
    Path("data/folder.yaml").mkdir()
    written("quiet.yaml", "nodes: {n: {run: x}}\n")
    written("cells.yaml", "nodes: {n: {run: x, matrix: {a: [1, 2]}}}\noutputs: {o: n}\n")
    written("needy.yaml", "params: {x: {type: integer}}\nnodes: {n: {run: x}}\noutputs: {o: n}\n")
    assert told("a.yaml") == WRONG[node]


def test_there_are_at_most_16_levels(folder: Path) -> None:
    for level in range(18):
        written(f"l{level}.yaml", f"nodes: {{n: {{pipeline: l{level + 1}.yaml}}}}\n")
    assert told("l0.yaml").startswith(
        "l16.yaml:1:23: 'l17.yaml' is at level 17 of sub-pipelines, and at most 16 < l15.yaml"
    )
    written("l16.yaml", "nodes: {n: {run: x}}\n")
    assert list(bound("l0.yaml").nodes) == ["/".join(["n"] * 17)]


def test_ids_are_at_most_200_characters_long(folder: Path) -> None:
    name = "n" * 64
    for level in range(4):
        written(f"l{level}.yaml", f"nodes: {{{name}: {{pipeline: l{level + 1}.yaml}}}}\n")
    written("l4.yaml", f"nodes: {{{name}: {{run: x}}}}\n")
    assert told("l0.yaml").startswith("l1.yaml:1:86: the id of a node has 259 characters, and at most 200: 'nnn")


# -- other folders -----------------------------------------------------------------------------------------------------


def test_paths_are_relative_to_the_file_that_has_them(folder: Path) -> None:
    (folder / "data/in/deep").mkdir(parents=True)
    for name in ("1.csv", "2.csv"):
        (folder / "data/in" / name).write_text("n\n1\n", encoding="utf-8")
    written("data/in/rows.csv", "id\na\n")
    written("data/in/x.sql", "select 1")
    written("data/in/inner.yaml", "nodes:\n  d: {pipeline: deep/deep.yaml}\n  b: {pipeline: ../back.yaml}\n")
    written(
        "data/in/deep/deep.yaml",
        "nodes:\n  each: {matrix: {f: {files: ../*.csv}}, read: '${{ matrix.f.path }}'}\n"
        "  rows: {matrix: {r: {rows: ../rows.csv}}, sql: ../x.sql, files: ../1.csv}\n",
    )
    written("data/back.yaml", "nodes:\n  n: {write: new.csv, inputs: home}\n  home: {pipeline: ../home.yaml}\n")
    written("home.yaml", "nodes:\n  h: {read: data/sample-orders.csv}\noutputs: {h: h}\n")
    written("a.yaml", "nodes:\n  i: {pipeline: data/in/inner.yaml}\n  r: {read: data/new.csv, needs: i}\n")
    nodes = bound("a.yaml").nodes
    assert {name: spec.folder for name, spec in nodes.items()} == {
        "i/d/each@1": "data/in/deep",
        "i/d/each@2": "data/in/deep",
        "i/d/each@rows": "data/in/deep",
        "i/d/rows@a": "data/in/deep",
        "i/b/n": "data",
        "i/b/home/h": "",
        "r": "",
    }
    assert nodes["i/d/rows@a"].body == "select 1"
    assert used_files(nodes["i/d/each@1"], folder) == {"data/in/1.csv"}
    assert used_files(nodes["i/d/rows@a"], folder) == {"data/in/1.csv"}
    assert used_files(nodes["i/b/n"], folder) == {"data/new.csv"}  # which `r` may read
    warnings: list[Diagnostic] = []
    validate_file(Path("a.yaml"), warnings.append)
    assert not warnings


# -- budgets and limits ------------------------------------------------------------------------------------------------


def test_amounts_of_another_file_are_compared_with_the_budgets_of_the_run(folder: Path) -> None:
    text = "resources: {gpu: 8}\nparams: {g: 2}\nnodes:\n  a: {run: x, resources: {gpu: '${{ params.g }}'}}\n"
    written("data/inner.yaml", f"{text}  b: {{run: x, resources: {{own: 1}}}}\n")
    written("a.yaml", "resources: {gpu: 1}\nnodes:\n  x: {pipeline: data/inner.yaml}\n")
    inner = (
        "data/inner.yaml:5:27: there is no budget for 'own' (say at the top of a.yaml how much there is: resources: "
    )
    of_b = f"{inner}{{own: 1}}) < a.yaml:3:17"
    assert told("a.yaml") == f"data/inner.yaml:4:32: 'x/a' takes 2 of 'gpu', and there is 1 < a.yaml:3:17\n{of_b}"
    with pytest.raises(SpecError) as caught:
        validate_file(Path("a.yaml"), lambda warning: None)
    assert [str(found.span) for found in caught.value.diagnostics] == ["data/inner.yaml:5:27"]
    written("a.yaml", "resources: {gpu: 1, own: 1}\nnodes:\n  x: {pipeline: data/inner.yaml, with: {g: 1}}\n")
    assert bound("a.yaml").budgets.keys() == {"gpu", "own"}


WIDE = "nodes:\n  fit: {run: x, matrix: {a: '${{ 4 | range }}', b: '${{ 4 | range }}'}}\n  one: {run: x}\n"
BIG = "nodes:\n  x: {pipeline: wide.yaml, matrix: {country: '${{ 10 | range }}'}}\n"
MANY = "the pipeline has more than 100 nodes with those of other files (make it several pipelines)"
TOO_MANY = f"big.yaml:2:17: {MANY}"


@pytest.mark.parametrize(
    ("file", "text", "shown"),
    [
        ("big.yaml", BIG, TOO_MANY),
        ("top.yaml", "nodes: {t: {pipeline: big.yaml}}\n", f"{TOO_MANY} < top.yaml:1:23"),
        (
            "top.yaml",
            "nodes:\n  t: {pipeline: mid.yaml, matrix: {k: [1, 2]}}\n",
            f"top.yaml:2:17: {MANY}",
        ),
    ],
)
def test_the_limit_holds_for_all_files_together(
    folder: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str, shown: str
) -> None:
    monkeypatch.setattr("nfrun.pipeline_file.resolve.MAX_NODES", 100)
    written("wide.yaml", WIDE)
    written("big.yaml", BIG)
    written("mid.yaml", "nodes:\n  m: {pipeline: wide.yaml, matrix: {c: '${{ 5 | range }}'}}\n  o: {run: x}\n")
    written(file, text)
    assert told(file) == shown


def test_axes_that_depend_on_what_is_given_count_with_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nfrun.pipeline_file.resolve.MAX_NODES", 20)
    written("wide.yaml", "params: {n: 1}\nnodes:\n  f: {run: x, matrix: {a: '${{ params.n | range }}'}}\n")
    of = "nodes:\n  x: {pipeline: wide.yaml, matrix: {m: [5, 7, LAST]}, with: {n: '${{ matrix.m }}'}}\n"
    written("a.yaml", of.replace("LAST", "8"))
    assert len(bound("a.yaml").nodes) == 20
    written("a.yaml", of.replace("LAST", "9"))
    assert told("a.yaml") == f"a.yaml:2:17: {MANY.replace('100', '20')}"
