"""The binding of a pipeline: parameters from text and from files, expressions and their types, and the messages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nfrun.core.errors import SpecError, render_all
from nfrun.core.pipeline import Pipeline
from nfrun.pipeline_file.loader import read_pipeline
from nfrun.pipeline_file.resolve import bind
from nfrun.pipeline_file.yaml.document import parse


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read_and_bind(
    text: str,
    given: Mapping[str, str] | None = None,
    typed: str = "{}",
    environ: Mapping[str, str] | None = None,
    to_run: bool = True,
) -> Pipeline:
    Path("p.yaml").write_text(text, encoding="utf-8")
    pipeline, document = read_pipeline("p.yaml")
    return bind(
        pipeline,
        document,
        given=given or {},
        typed=parse(typed, "params.yaml").root,
        environ=environ or {},
        run_id="r1",
        to_run=to_run,
    )


def errors_of(text: str, given: Mapping[str, str] | None = None, typed: str = "{}") -> str:
    with pytest.raises(SpecError) as caught:
        read_and_bind(text, given, typed)
    return render_all(caught.value.diagnostics)


def value_of_param(param: str, given: str | None = None, typed: str = "{}") -> Any:
    """The bound value of a parameter `x`."""
    text = f'params: {{x: {param}}}\nnodes:\n  a: {{run: x, with: {{v: "${{{{ params.x }}}}"}}}}\n'
    return read_and_bind(text, {} if given is None else {"x": given}, typed).nodes["a"].with_["v"]


def errors_of_param(param: str, given: str | None = None, typed: str = "{}") -> str:
    """The errors of a parameter `x`."""
    return errors_of(f"params: {{x: {param}}}\nnodes:\n  a: {{run: x}}\n", {} if given is None else {"x": given}, typed)


@pytest.mark.parametrize(
    ("param", "given", "expected"),
    [
        ("1", "2", 2),
        ("1", " 2 ", 2),
        ("1", "-5", -5),
        ("1", "0x10", 16),
        ("1.5", "2", 2),
        ("1.5", "1e3", 1000.0),
        ("1.5", "-.5", -0.5),
        ("a", "b", "b"),
        ("a", "", ""),
        ("a", " b ", " b "),
        ("a", "1", "1"),
        ("a", "true", "true"),
        ("a", "null", "null"),
        ("a", "[1, 2]", "[1, 2]"),
        ("a", "k=v=w", "k=v=w"),
        ("a", "${{ params.x }}", "${{ params.x }}"),
        ("a", "é\u202e\x1b", "é\u202e\x1b"),
        ("true", "false", False),
        ("true", "no", False),
        ("true", "0", False),
        ("false", "True", True),
        ("false", "on", True),
        ("false", "YES", True),
        ("[1]", "[1, {a: b}]", [1, {"a": "b"}]),
        ("[1]", "- 1\n- 2", [1, 2]),
        ("[1]", "[]", []),
        ("{default: {k: v}}", "{k: [w]}", {"k": ["w"]}),
        ("{default: {k: v}}", "k: w", {"k": "w"}),
        ("{enum: [UA, DL]}", "DL", "DL"),
        ("{enum: [1, 2]}", "2", 2),
        ("{type: number, enum: [1, 2.5]}", "1", 1),
    ],
)
def test_a_value_as_text(param: str, given: str, expected: Any) -> None:
    found = value_of_param(param, given)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("param", "typed", "expected"),
    [
        ("1", "{x: 2}", 2),
        ("1.5", "{x: 2}", 2),
        ("a", "{x: b}", "b"),
        ("true", "{x: false}", False),
        ("[1]", "{x: [2]}", [2]),
        ("{default: {}}", "{x: {k: v}}", {"k": "v"}),
        ("{type: string}", "{x: ''}", ""),
    ],
)
def test_a_value_from_a_file(param: str, typed: str, expected: Any) -> None:
    found = value_of_param(param, None, typed)
    assert (found, type(found)) == (expected, type(expected))


def test_a_value_as_text_comes_before_the_file_and_the_default() -> None:
    assert value_of_param("1") == 1
    assert value_of_param("1", "3", "{x: 2}") == 3


@pytest.mark.parametrize(
    ("param", "given", "message"),
    [
        ("1", "two", "the parameter 'x' must be of type integer, not 'two'"),
        ("1", "", "the parameter 'x' must be of type integer, not ''"),
        ("1", "1.5", "the parameter 'x' must be of type integer, not '1.5'"),
        ("1", "true", "the parameter 'x' must be of type integer, not 'true'"),
        ("1", "'1'", "the parameter 'x' must be of type integer, not ''1''"),
        ("1", "99999999999999999999", "the parameter 'x' must be of type integer, not '99999999999999999999'"),
        ("1.5", "nan", "the parameter 'x' must be of type number, not 'nan'"),
        ("1.5", ".inf", "the parameter 'x' must be of type number, not '.inf'"),
        ("true", "maybe", "the parameter 'x' must be of type boolean, not 'maybe'"),
        ("true", "", "the parameter 'x' must be of type boolean, not ''"),
        ("[1]", "1", "the parameter 'x' must be of type array, not '1'"),
        ("[1]", "[1", "the parameter 'x' must be of type array, not '[1'"),
        ("[1]", "*a", "the parameter 'x' must be of type array, not '*a'"),
        ("{default: {}}", "[1]", "the parameter 'x' must be of type object, not '[1]'"),
        ("{default: {}}", "a: 1\n\ta: 2", "the parameter 'x' must be of type object, not 'a: 1\\n\\ta: 2'"),
        ("1", "\x1b[31m\u202e", "the parameter 'x' must be of type integer, not '\\x1b[31m\\u202e'"),
        ("1", "9" * 500, f"the parameter 'x' must be of type integer, not '{'9' * 39}…{'9' * 20}'"),
        ("{enum: [UA, DL]}", "ua", "the parameter 'x' must be one of UA, DL, not 'ua'"),
        ("{enum: [true]}", "no", "the parameter 'x' must be one of true, not 'no'"),
        (
            "{default: 1, help: Which month}",
            "two",
            "the parameter 'x' must be of type integer, not 'two'\n   Which month",
        ),
    ],
)
def test_invalid_text_for_a_parameter(param: str, given: str, message: str) -> None:
    assert errors_of_param(param, given) == f"p.yaml: {message}"


@pytest.mark.parametrize(
    ("param", "typed", "message"),
    [
        ("1", "{x: '2'}", "the parameter 'x' must be of type integer, not 2"),
        ("1", "{x: 2.0}", "the parameter 'x' must be of type integer, not 2.0"),
        ("1", "{x: }", "the parameter 'x' must be of type integer, not nothing"),
        ("{default: {}}", "{x: null}", "the parameter 'x' must be of type object, not nothing"),
        ("1", "{x: true}", "the parameter 'x' must be of type integer, not true"),
        ("a", "{x: 1}", "the parameter 'x' must be of type string, not 1"),
        ("{enum: [UA, DL]}", "{x: AA}", "the parameter 'x' must be one of UA, DL, not AA"),
    ],
)
def test_invalid_values_from_a_file(param: str, typed: str, message: str) -> None:
    assert errors_of_param(param, None, typed) == f"p.yaml: {message}"


def test_unknown_and_missing_parameters_are_reported_together() -> None:
    text = "params: {month: 1, day: {type: integer, help: Day of the month}, x: {}}\nnodes:\n  a: {run: x}\n"
    text = text.replace(", x: {}", ", carrier: {type: string}")
    assert errors_of(text, {"mnth": "1", "q\x1b": "2"}, "{zzz: 1}") == "\n".join(
        [
            "p.yaml: the pipeline has no parameter 'zzz'",
            "   its parameters: month, day, carrier",
            "p.yaml: the pipeline has no parameter 'mnth'",
            "   did you mean 'month'?",
            "p.yaml: the pipeline has no parameter 'q\\x1b'",
            "   its parameters: month, day, carrier",
            "p.yaml: the parameter 'day' has no value",
            "   give it with -p day=… (Day of the month)",
            "p.yaml: the parameter 'carrier' has no value",
            "   give it with -p carrier=…",
        ]
    )


def test_a_pipeline_without_parameters() -> None:
    message = errors_of("nodes:\n  a: {run: x}\n", {"x": "1"})
    assert message == "p.yaml: the pipeline has no parameter 'x'\n   its parameters: none"


# -- expressions -------------------------------------------------------------------------------------------------------

TEXT = """\
params: {month: 2, names: [a, b], on: true}
env: {TZ: UTC, HERE: "${{ env.HOME }}/x", M: "${{ params.month }}", ON: "${{ params.on }}"}
defaults: {env: {D: "${{ env.M }}"}}
nodes:
  a:
    run: x
    env: {A: "${{ env.HERE }}", B: 1}
    with:
      month: "${{ params.month }}"
      text: "month ${{ params.month }}"
      deep: [{names: "${{ params.names }}", run: "${{ run.id }}"}]
      plain: [1, null]
  r: {read: "data/${{ params.month }}.csv", with: {columns: "${{ params.names }}"}}
  w: {write: "${{ run.name }}/${{ env.M }}.parquet", inputs: r}
"""


def test_expressions_are_evaluated_in_every_place() -> None:
    pipeline = read_and_bind(TEXT, environ={"HOME": "/home/u"})
    assert pipeline.env == {"TZ": "UTC", "HERE": "/home/u/x", "M": "2", "ON": "true"}
    nodes = pipeline.nodes
    assert nodes["a"].with_ == {
        "month": 2,
        "text": "month 2",
        "deep": [{"names": ["a", "b"], "run": "r1"}],
        "plain": [1, None],
    }
    assert nodes["a"].env == {"D": "2", "A": "/home/u/x", "B": "1"}
    assert (nodes["r"].body, nodes["r"].with_) == ("data/2.csv", {"columns": ["a", "b"]})
    assert nodes["w"].body == "p/2.parquet"
    assert nodes["a"].body == "x"


def test_values_are_plain_data() -> None:
    with_ = read_and_bind(TEXT, environ={"HOME": "/"}).nodes["a"].with_
    assert type(with_["deep"]) is list and type(with_["deep"][0]) is dict and type(with_["deep"][0]["names"]) is list


def test_all_errors_with_their_source_spans() -> None:
    text = """\
params: {x: 3, l: [1]}
env: {E: "a ${{ env.NOPE }}"}
defaults: {env: {D: "${{ params.l }}"}}
nodes:
  a:
    run: x
    with:
      v: |
        first
        then ${{ params.x / 0 }}
      w: ["${{ params.l.append(1) }}", "${{ 1 }} and ${{ params.l }}"]
  r: {read: "${{ params.x }}"}
  s: {read: "${{ params.l }}"}
"""
    assert errors_of(text) == "\n".join(
        [
            "p.yaml:2:13: 'env.NOPE': there is no 'NOPE'",
            '    2 | env: {E: "a ${{ env.NOPE }}"}',
            "      |             ^^^^^^^^^^^^^^^",
            "p.yaml:3:21: variable 'D' must be a string, a number or true or false, not [1]",
            '    3 | defaults: {env: {D: "${{ params.l }}"}}',
            "      |                     ^^^^^^^^^^^^^^^^^",
            "p.yaml:10:14: 'params.x / 0': ZeroDivisionError: division by zero",
            "   10 |         then ${{ params.x / 0 }}",
            "      |              ^^^^^^^^^^^^^^^^^^^",
            "p.yaml:11:12: 'params.l.append(1)': access to attribute 'append' of 'list' object is unsafe.",
            '   11 |       w: ["${{ params.l.append(1) }}", "${{ 1 }} and ${{ params.l }}"]',
            "      |            ^^^^^^^^^^^^^^^^^^^^^^^^^",
            "p.yaml:11:54: 'params.l' is a list, which cannot be part of a text",
            '   11 |       w: ["${{ params.l.append(1) }}", "${{ 1 }} and ${{ params.l }}"]',
            "      |                                                      ^^^^^^^^^^^^^^^",
            "p.yaml:12:13: 'read' must be a string, and this is 3",
            '   12 |   r: {read: "${{ params.x }}"}',
            "      |             ^^^^^^^^^^^^^^^^^",
            "p.yaml:13:13: 'read' must be a string, and this is [1]",
            '   13 |   s: {read: "${{ params.l }}"}',
            "      |             ^^^^^^^^^^^^^^^^^",
        ]
    )


def test_an_error_in_a_default_is_reported_once() -> None:
    nodes = "nodes:\n  a: {run: x}\n  b: {run: x}\n  c: {run: x}\n"
    message = errors_of('defaults: {env: {D: "${{ env.NOPE }}"}}\n' + nodes)
    assert message.count("p.yaml:") == 1
    assert message.startswith("p.yaml:1:22: 'env.NOPE': there is no 'NOPE'\n")


def test_results_of_expressions_are_checked_before_the_run() -> None:
    text = """\
params: {ending: csv, sep: ";"}
nodes:
  a: {read: "x.${{ params.ending }}", with: {delimiter: "${{ params.sep }}"}}
  b: {write: "y.${{ params.ending }}", inputs: a}
"""
    assert read_and_bind(text).nodes["a"].with_ == {"delimiter": ";"}
    message = errors_of(text, {"ending": "xlsx", "sep": ";;"})
    assert [line for line in message.split("\n") if line.startswith("p.yaml")] == [
        "p.yaml:3:13: the ending of this file does not tell its format",
        "p.yaml:3:57: 'delimiter' must be one ASCII character",
        "p.yaml:4:14: the ending of this file does not tell its format",
    ]


@pytest.mark.parametrize("kind", ["read", "write"])
@pytest.mark.parametrize(
    ("path", "given", "folder"),
    [
        ("out/${{ params.f }}", "../../esc.csv", "out"),
        ("out/${{ params.f }}", "x/../../y.csv", "out"),
        ("out/part-${{ params.f }}.csv", "/../../y", "out"),
        ("../data/${{ params.f }}", "../y.csv", "../data"),
        ("/srv/data/${{ params.f }}", "../y.csv", "/srv/data"),
    ],
)
def test_a_value_inside_a_path_cannot_leave_the_folder_in_the_file(
    kind: str, path: str, given: str, folder: str
) -> None:
    reads = ", inputs: b" if kind == "write" else ""
    text = f'params: {{f: x.csv}}\nnodes:\n  b: {{run: x}}\n  a: {{{kind}: "{path}"{reads}}}\n'
    read_and_bind(text)
    read_and_bind(text, {"f": "deep/../er/x.csv"})
    shown = path.replace("${{ params.f }}", given)
    assert errors_of(text, {"f": given}).split("\n")[0].endswith(f"'{shown}' leads out of the folder '{folder}'")


def test_a_path_that_is_one_expression_may_lead_anywhere() -> None:
    text = 'params: {f: x.csv}\nnodes:\n  b: {run: x}\n  a: {write: "${{ params.f }}", inputs: b}\n'
    for path in ("/tmp/x.csv", "../x.csv"):
        assert read_and_bind(text, {"f": path}).nodes["a"].body == path
    message = errors_of(text, {"f": "a\x1b[2J.csv"})
    assert message.split("\n")[0] == "p.yaml:4:14: 'a\\x1b[2J.csv' has a control character"
    assert "no file should have such a name" in message


SECRET = """\
secrets: [TOKEN, OTHER]
params: {user: me}
env: {AUTH: "${{ params.user }}:${{ secrets.TOKEN }}", PLAIN: "${{ params.user }}"}
defaults: {env: {D: "${{ secrets.OTHER }}"}}
nodes:
  a: {run: x, env: {OWN: "Bearer ${{ secrets.TOKEN }}", AUTH: mine}}
  b: {run: x, with: {all: "${{ env }}"}}
"""
VALUES = {"TOKEN": "hunter2", "OTHER": "k9k9", "HOME": "/h"}


def test_only_variables_can_hold_secrets() -> None:
    pipeline = read_and_bind(SECRET, environ=VALUES)
    assert pipeline.env == {"AUTH": "me:hunter2", "PLAIN": "me"}
    assert pipeline.redacted_env == {"AUTH": "me:\0TOKEN\0"}
    a, b = pipeline.nodes.values()
    assert a.env == {"D": "k9k9", "OWN": "Bearer hunter2", "AUTH": "mine"}
    assert a.redacted_env == {"D": "\0OTHER\0", "OWN": "Bearer \0TOKEN\0"}
    assert b.env == {"D": "k9k9"}
    assert b.with_ == {"all": {"HOME": "/h", "PLAIN": "me"}}, "expressions see no secret, nor what is made of one"


def test_without_a_run_secrets_need_no_values() -> None:
    for environ in ({}, VALUES):
        pipeline = read_and_bind(SECRET, environ=environ, to_run=False)
        assert pipeline.env["AUTH"] == "me:***"
        assert pipeline.redacted_env == {"AUTH": "me:\0TOKEN\0"}


def test_secrets_without_a_value() -> None:
    text = "secrets: [TOKEN, OTHER, BLANK]\nnodes:\n  a: {run: x}\n"
    with pytest.raises(SpecError) as caught:
        read_and_bind(text, {"x": "1"}, environ={"OTHER": "", "BLANK": " \n"})
    assert (
        render_all(caught.value.diagnostics)
        == """\
p.yaml: the pipeline has no parameter 'x'
   its parameters: none
p.yaml:1:11: the secret 'TOKEN' is not set
    1 | secrets: [TOKEN, OTHER, BLANK]
      |           ^^^^^ give it a value: export TOKEN=…
p.yaml:1:18: the secret 'OTHER' is empty
    1 | secrets: [TOKEN, OTHER, BLANK]
      |                  ^^^^^ give it a value: export OTHER=…
p.yaml:1:25: the secret 'BLANK' is empty
    1 | secrets: [TOKEN, OTHER, BLANK]
      |                         ^^^^^ give it a value: export BLANK=…"""
    )
