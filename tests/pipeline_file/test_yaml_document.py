"""YAML documents: the accepted YAML, the exact messages for the rest, and the source spans of all values."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from yaml._yaml import CParser

from nfrun.core.errors import SpecError, render
from nfrun.pipeline_file.yaml.document import BREAK, MAX_PROBLEMS, Document, Source, load, parse
from nfrun.pipeline_file.yaml.text_file import MAX_BYTES, read_text

FLIGHTS = """\
name: flights
params: {month: 1, "carrier": 'UA'}
nodes:
  clean: &clean
    sql: |
      select *
      from flights
    inputs: [flights, users]
  other: *clean
  empty:
list:
- a
-
- - b
  - c: 1
"""


def diagnostics_of(text: str) -> str:
    """The rendered diagnostics of `text`."""
    with pytest.raises(SpecError) as caught:
        parse(text, "p.yaml")
    return "\n".join(render(p) for p in caught.value.diagnostics)


def diagnostics_of_file(path: Path | str) -> str:
    with pytest.raises(SpecError) as caught:
        parse(read_text(Path(path), "p.yaml"), "p.yaml")
    return "\n".join(render(p) for p in caught.value.diagnostics)


def test_values() -> None:
    root = parse(FLIGHTS, "p.yaml").root
    clean = {"sql": "select *\nfrom flights\n", "inputs": ["flights", "users"]}
    assert root == {
        "name": "flights",
        "params": {"month": 1, "carrier": "UA"},
        "nodes": {"clean": clean, "other": clean, "empty": None},
        "list": ["a", None, ["b", {"c": 1}]],
    }


@pytest.mark.parametrize(
    ("path", "line", "column", "underlined"),
    [
        ((), 1, 1, "name"),
        (("name",), 1, 7, "flights"),
        (("params",), 2, 9, "{month: 1, \"carrier\": 'UA'}"),
        (("params", "carrier"), 2, 31, "'UA'"),
        (("nodes", "clean"), 5, 5, "sql"),
        (("nodes", "clean", "sql"), 5, 10, "|"),
        (("nodes", "clean", "inputs"), 8, 13, "[flights, users]"),
        (("nodes", "clean", "inputs", 1), 8, 23, "users"),
        (("nodes", "other"), 9, 10, "*clean"),
        (("nodes", "other", "inputs", 0), 8, 14, "flights"),
        (("nodes", "empty"), 10, 3, "empty"),
        (("list",), 12, 1, "-"),
        (("list", 1), 13, 2, ""),
        (("list", 2, 1), 15, 5, "c"),
        (("nodes", "clean", "no", "such"), 5, 5, "sql"),
        (("list", 7), 12, 1, "-"),
        (("list", "a"), 12, 1, "-"),
        (("name", 0), 1, 7, "flights"),
    ],
)
def test_source_spans_of_values(path: tuple[str | int, ...], line: int, column: int, underlined: str) -> None:
    span = parse(FLIGHTS, "p.yaml").span(*path)
    assert (span.file, span.line, span.column) == ("p.yaml", line, column)
    assert span.text == FLIGHTS.split("\n")[line - 1]
    assert span.text[column - 1 : column - 1 + span.length] == underlined
    assert span.length == max(1, len(underlined))


def test_source_spans_of_keys() -> None:
    found = parse(FLIGHTS, "p.yaml")
    for path, line, text in [
        (("name",), 1, "name"),
        (("params", "carrier"), 2, '"carrier"'),
        (("nodes", "other"), 9, "other"),
        (("nodes", "clean", "inputs", 0), 8, "flights"),
        (("nodes", "clean", "nothing"), 4, "clean"),
    ]:
        span = found.key_span(*path)
        assert (span.line, span.text[span.column - 1 :][: span.length]) == (line, text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("on", "on"), ("Yes", "Yes"), ("n", "n"), ("1:30", "1:30"), ("2024-01-01", "2024-01-01"),
        ("y", "y"), ("012", 12), ("0o14", 12), ("0x1F", 31), ("0xff", 255), ("-0x1F", "-0x1F"), ("+0o7", "+0o7"),
        ("0b1", "0b1"), ("0o8", "0o8"), ("1_000", "1_000"), ("1,000", "1,000"), ("-12", -12), ("+12", 12), ("0", 0),
        ("-0", 0), ("00000000000000000000000012", 12), ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)), ("0x7fffffffffffffff", 2**63 - 1), ("~", None), ("null", None),
        ("Null", None), ("NULL", None), ("nULL", "nULL"), ("", None), ("true", True), ("True", True), ("TRUE", True),
        ("tRUE", "tRUE"), ("false", False), ("False", False), ("FALSE", False), ("1.", 1.0), (".5", 0.5),
        ("1e3", 1000.0), ("-.5E+3", -500.0), ("1.5", 1.5), ("+1.5", 1.5), ("01.5", 1.5), ("1e-400", 0.0), (".", "."),
        ("-.", "-."), (".e3", ".e3"), ("1e", "1e"), ("1.5.0", "1.5.0"), (".nano", ".nano"), ("inf", "inf"),
        ("nan", "nan"), ("-x", "-x"), ("--", "--"), ("+", "+"), ("\uff11", "\uff11"), ("\u0663", "\u0663"),
        ("'1'", "1"), ('"true"', "true"), ("|\n  1", "1\n"), (">-\n  null", "null"), ("''", ""),
        ('"\\t\\n\\x41"', "\t\nA"), ("${{ x }}", "${{ x }}"), ("a#b", "a#b"), ("a # b", "a"), ("<<", "<<"),
        ("x\ty", "x\ty"), ("a\n  b", "a b"),
    ],
)  # fmt: skip
def test_core_schema(text: str, value: Any) -> None:
    found = parse(f"x: {text}\n", "p.yaml").root["x"]
    assert found == value
    assert type(found) is type(value)


PINNED = [
    ("a: 1\nb: {c: 1,\n  c: 2}\na: 3", """\
p.yaml:3:3: 'c' is already defined in line 2
    3 |   c: 2}
      |   ^ rename or remove one of the two
p.yaml:4:1: 'a' is already defined in line 1
    4 | a: 3
      | ^ rename or remove one of the two"""),
    ("1: a\ntrue: b\nnull: c\n1.5: d", """\
p.yaml:1:1: this key is no text
    1 | 1: a
      | ^ put it in quotes, or the whole value if it has {{ … }}
p.yaml:2:1: this key is no text
    2 | true: b
      | ^^^^ put it in quotes, or the whole value if it has {{ … }}
p.yaml:3:1: this key is no text
    3 | null: c
      | ^^^^ put it in quotes, or the whole value if it has {{ … }}
p.yaml:4:1: this key is no text
    4 | 1.5: d
      | ^^^ put it in quotes, or the whole value if it has {{ … }}"""),
    ("? [a]\n: 1\n? {b: c}\n: 2\n? x: y\n: 3", """\
p.yaml:1:3: this key is no text
    1 | ? [a]
      |   ^^^ put it in quotes, or the whole value if it has {{ … }}
p.yaml:3:3: this key is no text
    3 | ? {b: c}
      |   ^^^^^^ put it in quotes, or the whole value if it has {{ … }}
p.yaml:5:3: this key is no text
    5 | ? x: y
      |   ^ put it in quotes, or the whole value if it has {{ … }}"""),
    ("?\n: 1", """\
p.yaml:1:2: this key is no text
    1 | ?
      |  ^ put it in quotes, or the whole value if it has {{ … }}"""),
    ("a: {{ params.x }}", """\
p.yaml:1:5: this key is no text
    1 | a: {{ params.x }}
      |     ^^^^^^^^^^^^ put it in quotes, or the whole value if it has {{ … }}"""),
    ("a: &x {b: 1}\nc:\n  <<: *x\n  d: 2", """\
p.yaml:3:3: the merge key '<<' is not part of YAML 1.2
    3 |   <<: *x
      |   ^^ write the keys out, or use 'defaults:' for what all nodes share"""),
    ("a: !!str 5\nb: !x\n  - 1\nc: &k !y z", """\
p.yaml:1:4: the tag '!!str' is not supported
    1 | a: !!str 5
      |    ^^^^^ remove it; to make a value a string, put it in quotes
p.yaml:2:4: the tag '!x' is not supported
    2 | b: !x
      |    ^^ remove it; to make a value a string, put it in quotes
p.yaml:4:7: the tag '!y' is not supported
    4 | c: &k !y z
      |       ^^ remove it; to make a value a string, put it in quotes"""),
    ("- .nan\n- -.Inf\n- 1e999\n- 9223372036854775808\n- 0x8000000000000000", """\
p.yaml:1:3: this number is not finite, or does not fit in 64 bits
    1 | - .nan
      |   ^^^^ put it in quotes if it is text
p.yaml:2:3: this number is not finite, or does not fit in 64 bits
    2 | - -.Inf
      |   ^^^^^ put it in quotes if it is text
p.yaml:3:3: this number is not finite, or does not fit in 64 bits
    3 | - 1e999
      |   ^^^^^ put it in quotes if it is text
p.yaml:4:3: this number is not finite, or does not fit in 64 bits
    4 | - 9223372036854775808
      |   ^^^^^^^^^^^^^^^^^^^ put it in quotes if it is text
p.yaml:5:3: this number is not finite, or does not fit in 64 bits
    5 | - 0x8000000000000000
      |   ^^^^^^^^^^^^^^^^^^ put it in quotes if it is text"""),
    ('a: "x\\e\\\\e\\x07"\nb: "\\u009b\\t\\n\\r"\n"\\0": "\\U0000007F"', """\
p.yaml:1:4: an escape in this text makes a control character
    1 | a: "x\\e\\\\e\\x07"
      |    ^^^^^^^^^^^^ only newline (\\n) and tab (\\t) are allowed
p.yaml:2:4: an escape in this text makes a control character
    2 | b: "\\u009b\\t\\n\\r"
      |    ^^^^^^^^^^^^^^ only newline (\\n) and tab (\\t) are allowed
p.yaml:3:1: an escape in this text makes a control character
    3 | "\\0": "\\U0000007F"
      | ^^^^ only newline (\\n) and tab (\\t) are allowed
p.yaml:3:7: an escape in this text makes a control character
    3 | "\\0": "\\U0000007F"
      |       ^^^^^^^^^^^^ only newline (\\n) and tab (\\t) are allowed"""),
    ("a: x\x07\x1by # \x7f\nb: \x85\nc: \ud800\ud800", """\
p.yaml:1:5: the character U+0007 is no text in UTF-8
    1 | a: x\\x07\\x1by # \\x7f
      |     ^^^^^^^^ remove it, or save the file as UTF-8
p.yaml:1:11: the character U+007F is no text in UTF-8
    1 | a: x\\x07\\x1by # \\x7f
      |                 ^^^^ remove it, or save the file as UTF-8
p.yaml:2:4: the character U+0085 is no text in UTF-8
    2 | b: \\x85
      |    ^^^^ remove it, or save the file as UTF-8
p.yaml:3:4: the character U+D800 is no text in UTF-8
    3 | c: \ufffd\ufffd
      |    ^^ remove it, or save the file as UTF-8"""),
    ("a: 1\n--- # again\nb: 2", """\
p.yaml:2:1: a second document starts here
    2 | --- # again
      | ^^^ a file holds only one"""),
    ("x: &x [*x]\ny: &abc 1\nz: *abd\nw: *_", """\
p.yaml:1:8: the alias '*x' has no anchor '&x' that is complete above it
    1 | x: &x [*x]
      |        ^^ put the value in quotes if '*' is part of it
p.yaml:3:4: the alias '*abd' has no anchor '&abd' that is complete above it
    3 | z: *abd
      |    ^^^^ put the value in quotes if '*' is part of it
p.yaml:4:4: the alias '*_' has no anchor '&_' that is complete above it
    4 | w: *_
      |    ^^ put the value in quotes if '*' is part of it"""),
    ("a:\n\tb: 1\n", """\
p.yaml:2:1: a tab where YAML needs spaces
    2 | \tb: 1
      | ^ use spaces to indent and to separate"""),
    ("a: |\n  x\n\ty\n", """\
p.yaml:3:1: a tab where YAML needs spaces
    3 | \ty
      | ^ use spaces to indent and to separate"""),
    ("", "p.yaml: the file is empty\n   a pipeline file has at least 'nodes:'"),
    ("# only\n# comments\n", "p.yaml: the file is empty\n   a pipeline file has at least 'nodes:'"),
    ("--- ~\n...\n", "p.yaml: the file is empty\n   a pipeline file has at least 'nodes:'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), PINNED, ids=[repr(text[:20]) for text, _ in PINNED])
def test_diagnostics(text: str, message: str) -> None:
    assert diagnostics_of(text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run: echo a: b", "1:12: there cannot be a ': ' here"),
        ("a: 1\n b: 2", "2:3: there cannot be a ': ' here"),
        ("a\nb: 2", "2:2: there cannot be a ': ' here"),
        ("a: 1\nb:2\nc: 3", "2:1: there is no ': ' after this key"),
        ("a:\n  b: 1\n c: 2", "3:2: this does not fit what is above it"),
        ("  a: 1\nb: 2", "2:1: this does not belong to what is above it"),
        ("- a\nb: 1", "2:1: this is not a list item, but the lines above it are"),
        ("a: - b", "1:4: this is not YAML: block sequence entries are not allowed in this context"),
        ("a: 'b\n", "1:4: this quote is never closed"),
        ('a: "b\n---\n', "1:4: this quote is never closed"),
        ("a: 'it's'", "1:8: this does not fit what is above it"),
        ("a: [1, 2\nb: 3", "1:4: { } or [ ] is not closed here, or a text in it needs quotes"),
        ("a: {b: 1\nc: 3", "1:4: { } or [ ] is not closed here, or a text in it needs quotes"),
        ("a: [1,\n\n", "1:6: a value cannot start with ','"),
        ("a: @b", "1:4: a value cannot start with '@'"),
        ("a: `b`", "1:4: a value cannot start with '`'"),
        ("a: %b", "1:4: a value cannot start with '%'"),
        ("%b", "1:1: this is not YAML: found unknown directive name"),
        ("a: ]", "1:4: a value cannot start with ']'"),
        ("a: *.csv", "1:4: '*' at the start of a value makes it an anchor or alias"),
        ('a: "C:\\dir"', "1:7: '\\d' is no escape in double quotes"),
        ("a: |x\n  b", "1:5: '|' or '>' stands before this"),
        ("%YAML 2.0\n---\na: 1", "1:1: this is not YAML: found incompatible YAML document"),
        ('a: "\\ud800"', "1:7: this is not YAML: found invalid Unicode character escape code"),
    ],
)
def test_syntax(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text, "p.yaml")
    (diagnostic,) = caught.value.diagnostics
    assert f"{diagnostic.span.line}:{diagnostic.span.column}: {diagnostic.message}" == message
    assert diagnostic.hint


def test_all_diagnostics_come_together_and_a_syntax_error_last() -> None:
    with pytest.raises(SpecError) as caught:
        parse("a: \x07\na: .inf\n1: !x 2\nb: 'c\n", "p.yaml")
    assert [p.span.line for p in caught.value.diagnostics] == [1, 2, 2, 3, 3, 4]


def test_the_number_of_diagnostics_is_limited() -> None:
    with pytest.raises(SpecError) as caught:
        parse("[" + "{1: 1}, " * 5000 + "]", "p.yaml")
    assert len(caught.value.diagnostics) == MAX_PROBLEMS
    assert len({id(p.span.text) for p in caught.value.diagnostics}) == 1


def test_messages_quote_only_short_parts_of_the_file() -> None:
    long = "k" * 900
    for text in [f"{long}: 1\n{long}: 2", f"a: *{long}", f"a: &{long} [*{long}]", f"a: !{long} b", f"{'1' * 900}: 1"]:
        with pytest.raises(SpecError) as caught:
            parse(text, "p.yaml")
        assert all(len(p.message) + len(p.hint) < 300 for p in caught.value.diagnostics)


def test_aliases() -> None:
    root = parse("a: &x {b: 1}\nc: *x\n&k d: *k\ne: &x 2\nf: [*x, *x]\n&m g: 1\nh: {*m : 1}", "p.yaml").root
    assert root == {"a": {"b": 1}, "c": {"b": 1}, "d": "d", "e": 2, "f": [2, 2], "g": 1, "h": {"g": 1}}
    document = parse("a: &x   foo\nb: &y # note\n  c: 1\nd: &z\n", "p.yaml")
    assert (document.span("a").column, document.span("a").length) == (9, 3)
    assert (document.span("b").line, document.span("b").column, document.span("d").line) == (3, 3, 4)


def alias_bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


def test_alias_bomb() -> None:
    assert parse(alias_bomb(4), "p.yaml").root["a3"][0][0][0][0] == "x"
    assert (
        diagnostics_of(alias_bomb(20))
        == """\
p.yaml:6:10: aliases expand to more than 100,000 values
    6 | a5: &a5 [*a4, *a4, *a4, *a4, *a4, *a4, *a4, *a4, *a4]
      |          ^^^ repeat less"""
    )
    ten = "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\nb: ["  # ten values, counting the sequence itself
    assert len(parse(f"{ten}{'*a, ' * 10_000}]", "p.yaml").root["b"]) == 10_000
    assert "aliases expand" in diagnostics_of(f"{ten}{'*a, ' * 10_001}]")


def test_nesting() -> None:
    assert parse("[" * 64 + "]" * 64, "p.yaml").root
    assert parse("- " * 64 + "a", "p.yaml").root
    assert diagnostics_of("[" * 65 + "]" * 65).startswith("p.yaml:1:65: nesting deeper than 64 levels\n")
    assert diagnostics_of("- " * 65 + "a").startswith("p.yaml:1:129: nesting deeper than 64 levels\n")
    half = "[" * 32
    assert parse(f"- &a {half}{half[1:]}{']' * 63}\n- *a", "p.yaml").root
    text = f"- &a {half}x{']' * 32}\n- &b {half[2:]}*a{']' * 30}\n- [*b]\n- [[*b]]"
    assert (
        diagnostics_of(text)
        == """\
p.yaml:4:5: nesting deeper than 64 levels
    4 | - [[*b]]
      |     ^^ write it flatter, or close a bracket"""
    )


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"{' ' * i}a:\n" for i in range(1000)),
        "[" * 5000,
        "[" * 900 + "]" * 900,
        "- " * 100_000,
        "? " * 100_000,
        alias_bomb(60),
        "a: " + "x" * 3_000_000,
        "a: " + "1" * 3_000_000,
        "a: 1." + "1" * 3_000_000,
        "x" * 3_000_000 + ": 1",
        "\x07 " * 1_000_000,
        "[" + ", ".join(f"&a{i} x" for i in range(50_000)) + ", *b" * 5000 + "]",
    ],
    ids=lambda text: f"{text[:10]!r}",
)
def test_hostile_input_ends_with_a_document_or_short_messages(text: str) -> None:
    try:
        assert parse(text, "p.yaml").file == "p.yaml"
    except SpecError as error:
        assert all(len(render(p)) < 1000 for p in error.diagnostics)


def test_line_ends_and_wide_characters() -> None:
    text = "é😀: 😀b\r\nc: '\u2028x'\rd: '\u2029y'\n# \u2028e: 1\nf: g"  # libyaml ends a comment at U+2028
    for plain in (text, "\ufeff" + text):
        found = parse(plain, "p.yaml")
        at = {k: (found.span(k).line, found.span(k).column, found.span(k).text) for k in found.root}
        assert at == {
            "é😀": (1, 5, "é😀: 😀b"),
            "c": (2, 4, "c: '"),
            "d": (4, 4, "d: '"),
            "e": (7, 4, "e: 1"),
            "f": (8, 4, "f: g"),
        }


BREAKS = ["a", "é", "😀", "'", " ", "- ", ": ", "\n", "\r", "\r\n", "\u2028", "\u2029", "#", "[", "]", "&a ", "|\n "]


@given(st.lists(st.sampled_from(BREAKS), max_size=40))
def test_lines_and_columns_are_those_of_libyaml(parts: list[str]) -> None:
    text = "".join(parts)
    source = Source("p.yaml", text)
    try:
        for event in iter(CParser(text).get_event, None):
            if type(event) is yaml.ScalarEvent:
                mark = event.start_mark
                span = source.span(mark.index << 32)
                assert (span.line, span.column) == (mark.line + 1, mark.column + 1)
    except yaml.MarkedYAMLError as error:
        if error.problem_mark.index < len(text):  # libyaml adds a line at the end of the text
            span = source.span(error.problem_mark.index << 32)
            assert (span.line, span.column) == (error.problem_mark.line + 1, error.problem_mark.column + 1)


def paths_and_values(found: Document) -> list[tuple[tuple[str | int, ...], Any]]:
    todo: list[tuple[tuple[str | int, ...], Any]] = [((), found.root)]
    for path, value in todo:
        if isinstance(value, dict):
            todo += [((*path, key), inner) for key, inner in value.items()]
        elif isinstance(value, list):
            todo += [((*path, i), inner) for i, inner in enumerate(value)]
    return todo


def check_spans(found: Document, text: str) -> None:
    lines = BREAK.split(text)
    for path, value in paths_and_values(found):
        for span in (found.span(*path), found.key_span(*path)):
            assert span.text == lines[span.line - 1]
            assert 1 <= span.column <= len(span.text) + 1
            assert 1 <= span.length <= max(1, len(span.text) - span.column + 1)
        span = found.span(*path)
        shown = span.text[span.column - 1 : span.column - 1 + span.length]
        if isinstance(value, str) and value and shown[:1] not in ("'", '"', "|", ">", "*"):
            # The span of a plain scalar of several lines covers its first line.
            assert shown.startswith(value) or value.startswith(shown.rstrip()), (path, value, span)


def check_parse(text: str) -> None:
    try:
        found = parse(text, "p.yaml")
    except SpecError as error:
        assert error.diagnostics
        for diagnostic in error.diagnostics:
            shown = render(diagnostic)
            assert len(diagnostic.message) + len(diagnostic.hint) < 500
            assert not any(c < " " and c not in "\n\t" for c in shown)
            shown.encode()
    else:
        check_spans(found, text.lstrip("\ufeff"))


@given(st.text())
@example("a: \ufeffx")
@example("\ufeff\ufeffa: 1\nb: @")
@example("? a\n? b\n")
def test_any_text_gives_a_document_or_diagnostics(text: str) -> None:
    check_parse(text)


TOKENS = ["a", "b: ", "? ", "- ", ": ", "[", "]", "{", "}", ",", ", ", "\n", "\n  ", "\n    ", "&x ", "*x ", "!t ", "'",
          '"', "|", ">", "\t", "#", " # ", "%", "@", "---\n", "...\n", "<<: ", "1", "~", ".nan", "\\", "\\e", "\\n",
          "\x07", "\x85", "\u2028", "\r", "\ufeff", "\ud800", "\udce4", "😀", "true", "0x1", "1e999",
          "9" * 20]  # fmt: skip


@given(st.lists(st.sampled_from(TOKENS), max_size=40))
def test_random_yaml_tokens_give_a_document_or_diagnostics(parts: list[str]) -> None:
    check_parse("".join(parts))


@given(st.lists(st.tuples(st.integers(0, len(FLIGHTS)), st.integers(0, 3), st.sampled_from(TOKENS)), max_size=4))
def test_mutated_yaml_gives_a_document_or_diagnostics(edits: list[tuple[int, int, str]]) -> None:
    text = FLIGHTS
    for at, cut, insert in edits:
        text = text[:at] + insert + text[at + cut :]
    check_parse(text)


KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
DATA = st.recursive(
    st.none() | st.booleans() | NUMBERS | KEYS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(KEYS, DATA, min_size=1, max_size=4), st.sampled_from([None, True, False]), st.booleans())
@example({"a": "no", "b": "012", "c": "1:30", "d": "2024-01-01", "e": "0o14", "<<": "0x1F"}, None, True)
@example({"a": ["1e3", "1.", ".5", "~", "", "-.5E+3", "line\nline"]}, True, False)
def test_dumped_data_is_read_back(data: dict[str, Any], flow: bool | None, wide: bool) -> None:
    text = yaml.dump(data, Dumper=QuotingDumper, default_flow_style=flow, allow_unicode=wide, width=10_000)
    found = parse(text, "p.yaml")
    assert found.root == data
    check_spans(found, text)


class QuotingDumper(yaml.SafeDumper):
    """A safe dumper for YAML 1.2. PyYAML's own does not quote 1e3 and 0o14, which are numbers in YAML 1.2."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def represent(dumper: QuotingDumper, text: str) -> yaml.ScalarNode:
    number = text[:1] in tuple("-+.0123456789") and text != "."
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if number else None)


QuotingDumper.add_representer(str, represent)


def test_load(tmp_path: Path) -> None:
    path = tmp_path / "etl.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: \xc3\xa9\r\nnodes: {}\r\n")
    found = load(path)
    assert found.root == {"name": "é", "nodes": {}}
    assert (found.file, found.span("name").column, found.span("nodes").line) == (str(path), 7, 2)


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flights.yaml").write_text("a: 1")
    (tmp_path / "flight.txt").write_text("a: 1")
    os.mkfifo(tmp_path / "pipe.yaml")
    monkeypatch.chdir(tmp_path)
    assert diagnostics_of_file("flihgts.yml") == "p.yaml: there is no such file\n   did you mean 'flights.yaml'?"
    assert diagnostics_of_file(tmp_path / "zzz") == "p.yaml: there is no such file\n   check the path"
    assert diagnostics_of_file("no/such/flights.yaml") == "p.yaml: there is no such file\n   check the path"
    assert diagnostics_of_file("flights.yaml/x.yaml") == "p.yaml: there is no such file\n   check the path"
    assert diagnostics_of_file(tmp_path) == "p.yaml: this is a folder, not a file\n   name a file in it"
    for special_file in ("pipe.yaml", "/dev/null"):
        expected = "p.yaml: this is not a regular file\n   save what it gives to a file, and give that"
        assert diagnostics_of_file(special_file) == expected
    assert diagnostics_of_file("x" * 5000) == "p.yaml: this file cannot be read: File name too long"
    nul = "stat: embedded null character in path" if sys.version_info >= (3, 13) else "embedded null byte"
    assert diagnostics_of_file("a\0b") == f"p.yaml: this file cannot be read: {nul}"
    surrogate = r"'utf-8' codec can't encode character '\ud800' in position 1: surrogates not allowed"
    assert diagnostics_of_file("a\ud800b") == f"p.yaml: this file cannot be read: {surrogate}"

    def deny(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)  # the mode of a file does not restrict root
    assert diagnostics_of_file("flights.yaml") == (
        "p.yaml: there is no permission to read this file\n   check its mode, and those of the folders above it"
    )


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert diagnostics_of_file(path) == "p.yaml: this file has 64.0 MB; the limit is 64 MB\n   is it a data file?"


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_other_encodings(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes("name: flights\nnodes: {a: {run: ls}}\n".encode(codec))
    assert diagnostics_of_file(path) == "p.yaml: this is not UTF-8 text\n   save it as UTF-8"


def test_bytes_that_are_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes("name: größe\n# für\nnodes: {}".encode("latin-1"))
    assert (
        diagnostics_of_file(path)
        == """\
p.yaml:1:9: the character U+DCF6 is no text in UTF-8
    1 | name: gr\ufffd\ufffde
      |         ^^ remove it, or save the file as UTF-8
p.yaml:2:4: the character U+DCFC is no text in UTF-8
    2 | # f\ufffdr
      |    ^ remove it, or save the file as UTF-8"""
    )
    binary = "p.yaml: this is not UTF-8 text\n   save it as UTF-8"
    for data in (b"PAR1\x15\x04\x00\x00", b"name: x\0"):
        path.write_bytes(data)
        assert diagnostics_of_file(path) == binary


BYTES = [b"a: ", b"\n", b"\xe4", b"\xff\xfe", b"\0", b"\xef\xbb\xbf", b"[", b"'"]


@given(st.binary() | st.lists(st.sampled_from(BYTES)).map(b"".join))
def test_any_bytes_give_a_document_or_diagnostics(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(data)
    try:
        load(path)
    except SpecError as error:
        assert all(render(diagnostic).encode() for diagnostic in error.diagnostics)


def test_parse_leaves_garbage_collection_as_it_was() -> None:
    parse("a: 1", "p.yaml")
    assert gc.isenabled()
    gc.disable()
    try:
        diagnostics_of("a: [")
        assert not gc.isenabled()
    finally:
        gc.enable()
    diagnostics_of("a: [")
    assert gc.isenabled()


@given(
    st.text(st.sampled_from("ab'\"\\: #-{}[],&*|>%@`é\u2028\n\n  \t$"), min_size=1, max_size=60),
    st.sampled_from(["|", ">", '"', "'", None]),
    st.integers(10, 80),
)
@example('it\'s "one"\n\n  two\n', ">", 20)
@example('it\'s "one"\n\n  two\n', '"', 20)
def test_the_place_of_each_character_of_a_text(text: str, style: str | None, width: int) -> None:
    written = yaml.safe_dump({"a": {"v": text}}, default_style=style, width=width, allow_unicode=True)
    try:
        document = parse(written, "p.yaml")
    except SpecError:  # a tab outside of a text
        return
    value, whole = document.root["a"]["v"], document.span("a", "v")
    lines = BREAK.split(written)
    for i, char in enumerate(value):
        span = document.place(("a", "v"), start=i, length=1)
        if not char.isspace() and isinstance(value, str) and span != whole:  # the file may write it in another way
            assert lines[span.line - 1][span.column - 1 : span.column - 1 + span.length] == char
            before = document.place(("a", "v"), start=i - 1, length=1)
            assert not i or before == whole or (before.line, before.column) < (span.line, span.column)
