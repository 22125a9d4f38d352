"""Mistakes that people make in YAML, in flow style and in block style: each message has a place and says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.core.errors import SpecError, render
from nfrun.pipeline_file.loader import read_pipeline

SPACE = "a tab where YAML needs spaces|use spaces to indent and to separate"
COLON = "there cannot be a ': ' here|put a text that has it in quotes, or check the indentation"
BRACKET = (
    "{ } or [ ] is not closed here, or a text in it needs quotes"
    "|close the bracket, and put a text that has one of : , { } [ ] # in quotes, such as ${{ … }}"
)
COMMA = "is not a key of a node|a text with a ',' needs quotes inside { }"

# The lines of a node, and the place, message and hint. The node begins in line 2.
MISTAKES = [
    ("a: {run: echo a: b}", f"2:18: {BRACKET}"),
    ("a: {run: echo 'a: b'}", f"2:19: {BRACKET}"),
    ('a: {run: "a": b}', f"2:15: {BRACKET}"),
    ("a: {run: x needs: y}", f"2:19: {BRACKET}"),
    ("a: {run: x; needs: y}", f"2:20: {BRACKET}"),
    ("a: {python: steps: f}", f"2:20: {BRACKET}"),
    ("a: {sql: select a, b from t}", f"2:22: 'b from t' {COMMA}"),
    ("a: {read: ${{ params.f }}}", f"2:14: {BRACKET}"),
    ("a: {read: data/${{ params.f }}.csv, needs: x}", f"2:19: {BRACKET}"),
    ("a: {run: x, with: {y: ${{ params.y }}}}", f"2:26: {BRACKET}"),
    ("a: {run: x, files: [${{ params.y }}, z]}", f"2:24: {BRACKET}"),
    ("a: {run: jq '.a[0]'}", f"2:18: {BRACKET}"),
    ("a: {run: awk '{print $1}' x}", f"2:17: {BRACKET}"),
    ('a: {run: "echo" b}', f"2:19: {BRACKET}"),
    ("a: {run: 'it's'}", f"2:16: {BRACKET}"),
    ('a: {sql: "select 1" inputs: x}', f"2:23: {BRACKET}"),
    ("a: {run: x}}", '2:14: this does not fit what is above it'
     '|the keys of a mapping start in the same column; a text with quotes or brackets in it needs quotes around it'),
    ("a: {run: x,, needs: y}", "2:14: a value cannot start with ','|put the whole value in quotes"),
    ("a: {run: [echo, b}", f"2:20: {BRACKET}"),
    ("a: {run: x", f"2:6: {BRACKET}"),
    ("a: {run: cat x #y}", f"2:6: {BRACKET}"),
    ("a: {run:x}", "2:7: 'run:x' is not a key of a node|did you mean 'run'?"),
    ("a: {run: x, needs:y}", "2:15: 'needs:y' is not a key of a node|did you mean 'needs'?"),
    ("a: {run: {{ params.x }}}", '2:13: this key is no text|put it in quotes, or the whole value if it has {{ … }}'),
    ("a: {run: x} needs: y", '2:15: this does not fit what is above it'
     '|the keys of a mapping start in the same column; a text with quotes or brackets in it needs quotes around it'),
    ("a:\n\trun: x", f"3:3: {SPACE}"),
    ("a:\n  run: echo a: b", f"3:16: {COLON}"),
    ("a:\n  run: curl http://x/y: z", f"3:25: {COLON}"),
    ("a:\n  sql: select {'x': 1}", f"3:21: {COLON}"),
    ("a:\r\n  run: x: y\r", f"3:11: {COLON}"),
    ("a:\n  run:x\n  needs: y", f"4:10: {COLON}"),
    ("a:\n  run: x\n  needs y", "4:5: there is no ': ' after this key"
     "|write 'key: value', with a space after the colon"),
    ("a:\n  run: 'x' | y", "3:16: '|' or '>' stands before this|start the text on the next line"),
    ('a:\n  run: "x" && y', "3:14: '&' at the start of a value makes it an anchor or alias"
     "|put the whole value in quotes"),
    ("a:\n  run: [ -f x ] && y", "3:19: '&' at the start of a value makes it an anchor or alias"
     "|put the whole value in quotes"),
    ("a:\n  run: {x} y", '3:14: this does not fit what is above it'
     '|the keys of a mapping start in the same column; a text with quotes or brackets in it needs quotes around it'),
    ("a:\n  run: %x", "3:10: a value cannot start with '%'|put the whole value in quotes"),
    ("a:\n  run: @x", "3:10: a value cannot start with '@'|put the whole value in quotes"),
    ("a:\n  run: `x`", "3:10: a value cannot start with '`'|put the whole value in quotes"),
    ("a:\n  run: ? x", '3:10: this is not YAML: mapping keys are not allowed in this context'
     '|put the whole value in quotes'),
    ("a:\n  run: *x", "3:10: the alias '*x' has no anchor '&x' that is complete above it"
     "|put the value in quotes if '*' is part of it"),
    ("a:\n  read: *.csv", "3:11: '*' at the start of a value makes it an anchor or alias"
     "|put the whole value in quotes"),
    ("a:\n  run: !x y", "3:10: the tag '!x' is not supported|remove it; to make a value a string, put it in quotes"),
    ("a:\n  run: > x", "3:12: '|' or '>' stands before this|start the text on the next line"),
    ("a:\n  run: - x", '3:10: this is not YAML: block sequence entries are not allowed in this context'
     '|put the whole value in quotes'),
    ("a:\n  - run: x", "3:5: node 'a' must be a mapping, not a list"
     "|for example a: {python: steps:clean, inputs: flights}"),
    ("a: read:x.csv", "2:6: node 'a' must be a mapping, not 'read:x.csv'"
     "|for example a: {python: steps:clean, inputs: flights}"),
    ("a:\n  python:steps:f", "3:5: node 'a' must be a mapping, not 'python:steps:f'"
     "|for example a: {python: steps:clean, inputs: flights}"),
    ("a: pyton:steps:f", "2:6: node 'a' must be a mapping, not 'pyton:steps:f'"
     "|for example a: {python: steps:clean, inputs: flights}"),
    ("a: steps:f", "2:6: node 'a' must be a mapping, not 'steps:f'"
     "|for example a: {python: steps:clean, inputs: flights}"),
    ("a:\n  run: x\n - needs: y", '4:4: this does not fit what is above it'
     '|the keys of a mapping start in the same column; a text with quotes or brackets in it needs quotes around it'),
    ("a:\n run: x\n  needs: y", f"4:10: {COLON}"),
    ('a:\n  run: "C:\\data"', "3:13: '\\d' is no escape in double quotes"
     "|write '\\\\' for a backslash, or use single quotes"),
    ("a:\n  run: 'x\n  needs: y", "3:10: this quote is never closed"
     "|end the value with the same quote; inside '…' write '' for a quote"),
]  # fmt: skip


@pytest.mark.parametrize(("node", "message"), MISTAKES, ids=[repr(node) for node, _ in MISTAKES])
def test_mistakes(tmp_path: Path, node: str, message: str) -> None:
    text = "nodes:\n" + "".join(f"  {line}\n" for line in node.split("\n"))
    (tmp_path / "p.yaml").write_bytes(text.encode())
    with pytest.raises(SpecError) as caught:
        read_pipeline(tmp_path / "p.yaml")
    (found,) = caught.value.diagnostics
    place, said = render(found).removeprefix(f"{tmp_path}/p.yaml:").split(": ", 1)
    assert f"{place}: {said.partition(chr(10))[0]}|{found.hint}" == message


@pytest.mark.parametrize(
    "node",
    [
        "a: {run: 'echo a: b'}",
        'a: {sql: "select a, b from t"}',
        "a: {sql: 'select ''a: b'''}",
        "a:\n  sql: select a, b",
        "a: {run: http://x/y:z}",
        "a: {run: a:b}",
        "a: {run: x#y}",
        "a:\n  run: echo [x] {y}, z",
        "a:\n  run: echo ${{x",
        "a:\n  run:\tx",
    ],
)
def test_what_is_no_mistake(tmp_path: Path, node: str) -> None:
    text = "nodes:\n" + "".join(f"  {line}\n" for line in node.split("\n"))
    (tmp_path / "p.yaml").write_text(text.replace("${{x", "$x"))
    assert len(read_pipeline(tmp_path / "p.yaml")[0].nodes) == 1
