# ruff: noqa: E501 (a message is one line)
"""The sections `on_failure` and `finally` of a pipeline file: what they may hold, and wrong inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.core.errors import SpecError
from nfrun.core.pipeline import Input, OutputId, Pipeline
from nfrun.pipeline_file.resolve import resolve

STEPS = "def f(): pass\ndef g(a=None, context=None): pass\ndef h(a): pass\n"
NODES = "matrix: {m: [1, 2]}\nnodes:\n  a: {sql: select 1 as n}\n  c: {sql: select 1 as n, matrix: m}\n"


def bound(folder: Path, text: str, **given: str) -> Pipeline:
    (folder / "steps.py").write_text(STEPS)
    (folder / "p.yaml").write_text(text, encoding="utf-8")
    return resolve(folder / "p.yaml", given=given, params_file=None, environ={}, run_id="r").pipeline


def test_nodes_are_read_with_defaults_and_expressions(tmp_path: Path) -> None:
    text = """
params: {who: me, tell: true}
defaults: {retries: 2, env: {A: x}, cache: true}
nodes:
  a: {sql: select 1 as n}
  off: {sql: select 1 as n, if: false}
on_failure:
  tell: {run: 'echo $A', env: {B: "${{ params.who }}"}, if: "${{ params.tell }}"}
finally:
  stop: {python: 'steps:g', inputs: [a, off], with: {}, timeout: 30s}
"""
    (tmp_path / "steps.py").write_text(STEPS)
    pipeline = bound(tmp_path, text.replace("[a, off]", "a"))
    tell, stop = pipeline.on_failure["tell"], pipeline.finally_["stop"]
    assert (dict(tell.env), tell.retry.max, tell.cache) == ({"A": "x", "B": "me"}, 2, None)
    assert (stop.inputs, stop.timeout) == ((Input("a", OutputId("a"), optional=True),), 30.0)
    assert (stop.source.line, stop.section) == (10, "finally")
    assert not bound(tmp_path, text.replace("[a, off]", "a"), tell="false").on_failure
    assert bound(tmp_path, text.replace("[a, off]", "{a: off}")).finally_["stop"].inputs == (), "it is disabled"


THERE = "(there is python, run, use, inputs, with, if, continue_on_error, format, retries, timeout, env, description)"
WRONG = {
    "finally: {a: {run: x}}": "5:11: there is a node 'a' already (line 3) (rename one)",
    "finally: {A: {run: x}}": "5:11: 'A' differs from 'a' (line 3) only in case (files would clash on some systems: "
    "rename one)",
    "finally: {s: {sql: select 1}}": f"5:15: 'sql' is not a key of a node under 'finally' {THERE}",
    "finally: {s: {read: x.csv}}": f"5:15: 'read' is not a key of a node under 'finally' {THERE}",
    "finally: {s: {}}": "5:11: node 's' has no kind (give it one of python, run, use)",
    "finally: {s: {run: x, python: steps:f}}": "5:23: node 's' has 2 kinds: run, python (a node is one of them; make it "
    "several nodes)",
    "finally: {s: {run: x, needs: a}}": f"5:23: 'needs' is not a key of a node under 'finally' {THERE}",
    "finally: {s: {run: x, outputs: [o]}}": f"5:23: 'outputs' is not a key of a node under 'finally' {THERE}",
    "finally: {s: {run: x, matrix: m}}": f"5:23: 'matrix' is not a key of a node under 'finally' {THERE}",
    "finally: {s: {run: x, cache: false}}": f"5:23: 'cache' is not a key of a node under 'finally' {THERE}",
    "finally: {s: {run: x, executor: process}}": f"5:23: 'executor' is not a key of a node under 'finally' {THERE}",
    "finally: {s: {run: x, time_limit: 5s}}": "5:23: 'time_limit' is not a key of a node under 'finally' (did you mean "
    "'timeout'?)",
    "finally: {s: {run: x, inputs: b}}": "5:31: node 's' reads 'b', which is not defined (there is 'a', 'c')",
    "finally: {s: {run: x, inputs: c}}": "5:31: 'c' is a node for each of its cells, and a node under 'finally' reads one "
    "(gather them in a node, and read that)",
    "finally: {s: {python: 'steps:h', inputs: a}}": "5:42: h() cannot do without 'a' (give it a default: a=None)",
    "finally: {s: {python: 'steps:k'}}": "5:23: steps.py has no function 'k' (there is f, g, h)",
    "finally: {s: {run: 'echo $NFRUN_INPUT_a'}}": "5:27: the script reads $NFRUN_INPUT_a, which is not set for this node "
    "(there is $NFRUN_OUTPUT; 'inputs', 'with' and 'outputs' give more)",
    "finally: {s: {run: x, if: 'no'}}": "5:27: 'if' must be true, false or one expression (write true, false or ${{ … }})",
    "finally: {s: {run: x, timeout: soon}}": "5:32: 'timeout' cannot be 'soon' (write 200ms, 30s, 10m, 1.5h, or a number "
    "of seconds)",
    "finally: [s]": "5:10: 'finally' must be a mapping, not a list (for example finally: {stop: {run: "
    "./stop-servers.sh, timeout: 30s}})",
    "finally: ./stop.sh": "5:10: 'finally' must be a mapping, not './stop.sh' (for example finally: {stop: {run: "
    "./stop-servers.sh, timeout: 30s}})",
    "finally: {}": "5:10: 'finally' is empty (for example finally: {stop: {run: ./stop-servers.sh, timeout: 30s}})",
    "finally: {s: ./stop.sh}": "5:14: node 's' must be a mapping, not './stop.sh' (for example s: {run: ./stop-servers.sh})",
    "finally: {s t: {run: x}}": "5:11: 's t' cannot be a name in 'finally' (the name of a node has letters, digits, _ and "
    "-, starts with a letter, and has at most 64 characters)",
    "finaly: {s: {run: x}}": "5:1: 'finaly' is not a key of a pipeline file (did you mean 'finally'?)",
    "always: {s: {run: x}}": "5:1: 'always' is not a key of a pipeline file (nodes that run at the end stand at the top of the file: finally: {clean: {run: …}})",
    "teardown: {s: {run: x}}": "5:1: 'teardown' is not a key of a pipeline file (nodes that run at the end stand at the top of the file: finally: {clean: {run: …}})",
    "on_failure: {s: {run: x, needs: a}}": f"5:26: 'needs' is not a key of a node under 'on_failure' {THERE}",
    "on_failure: {s: {write: x.csv}}": f"5:18: 'write' is not a key of a node under 'on_failure' {THERE}",
    "on_failure: {a: {run: x}}": "5:14: there is a node 'a' already (line 3) (rename one)",
    "on_failure: {s: {run: x}}\nfinally: {s: {run: x}}": "6:11: there is a node 's' already (line 5) (rename one)",
    "on_failure: notify": "5:13: 'on_failure' must be a mapping, not 'notify' (for example on_failure: {tell: {run: "
    './notify.sh "$NFRUN_FAILED"}})',
    "on_failure: {s: {run: x, env: {A: '${{ matrix.m }}'}}}": "5:36: there is no 'matrix' here (only a node with "
    "'matrix: AXIS' has it)",
    "on_failure: {s: {run: 'echo ${{ params.x }}'}}": "5:29: an expression is not evaluated here (put it under 'with' and "
    'write "$NFRUN_WITH_name": values are never pasted into a script)',
    "on_failure: {s: {python: 'steps:f', format: csv}}": "5:37: a python node has no 'format' (remove it)",
    "on_failure: {s: {run: x, uses: y}}": "5:26: 'uses' is not a key of a node under 'on_failure' (did you "
    "mean 'use'?)",
    "on_failure: {s: {run: x, inputs: s}}": "5:34: node 's' reads itself (a node reads the outputs of others)",
    "on_error: {s: {run: x}}": "5:1: 'on_error' is not a key of a pipeline file (nodes that run at the end stand at the top of the file: finally: {clean: {run: …}})",
    "on_failures: {s: {run: x}}": "5:1: 'on_failures' is not a key of a pipeline file (did you mean 'on_failure'?)",
}


def test_a_node_whose_condition_is_false_is_listed_as_disabled(tmp_path: Path) -> None:
    text = "params: {p: false}\nnodes: {a: {run: x}}\non_failure: {t: {run: x, if: '${{ params.p }}'}}\nfinally: {s: {run: x, if: false}}\n"
    pipeline = bound(tmp_path, text)
    assert (pipeline.last_nodes, list(pipeline.disabled_nodes)) == ({}, ["t", "s"])
    assert pipeline.disabled == dict.fromkeys("ts", "its 'if' is false")


@pytest.mark.parametrize("section", WRONG)
def test_wrong_sections(tmp_path: Path, section: str) -> None:
    with pytest.raises(SpecError) as caught:
        bound(tmp_path, f"{NODES}{section}\n")
    found = caught.value.diagnostics
    told = [f"{d.span.line}:{d.span.column}: {d.message}{f' ({d.hint})' if d.hint else ''}" for d in found]
    assert "\n".join(told) == WRONG[section]
