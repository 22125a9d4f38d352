"""Expressions: their types, the limits of what they can reach, and the exact error messages."""

from __future__ import annotations

from typing import Any

import pytest

from nfrun.core.errors import Problem
from nfrun.core.pipeline import has_expression
from nfrun.pipeline_file.expressions import ExpressionError, check, evaluate

NAMES: dict[str, dict[str, Any]] = {
    "params": {"x": 3, "s": "ab", "l": [1, 2], "d": {"a": 1}, "b": True, "f": 1.5, "n": None},
    "env": {"HOME": "/h"},
    "run": {"id": "r1", "name": "n", "folder": "/f"},
}
KNOWN = {"params": list(NAMES["params"]), "env": None, "run": list(NAMES["run"])}


def Found(start: int, length: int, message: str, hint: str = "") -> Problem:
    return Problem((), message, hint, start=start, length=length)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("${{ params.x }}", 3),
        ("${{params.x}}", 3),
        ("  ${{ params.x }}\n", 3),
        ("${{ params.b }}", True),
        ("${{ params.f }}", 1.5),
        ("${{ params.s }}", "ab"),
        ("${{ params.l }}", [1, 2]),
        ("${{ params.d }}", {"a": 1}),
        ("${{ params.n }}", None),
        ("${{ params }}", NAMES["params"]),
        ("${{ params['d'].a + 1 }}", 2),
        ("${{ [params.x, (1, 2)] }}", [3, [1, 2]]),
        ("${{ {'k': params.x} }}", {"k": 3}),
        ("${{ params.x > 2 and not params.b }}", False),
        ("${{ 'big' if params.x > 2 else 'small' }}", "big"),
        ("a ${{ params.x }} b ${{ params.b }} ${{ params.f }}", "a 3 b true 1.5"),
        ("${{ params.x }}${{ params.x }}", "33"),
        ("${{ params.x }} ", 3),
        ("x${{ params.x }}", "x3"),
        ("${{ '}}' ~ \"}}\" }}", "}}}}"),
        ("${{ params.x }} }}", "3 }}"),
        ("${{ 1 }}{# no comment #}{% no tag %}{{ no }}", "1{# no comment #}{% no tag %}{{ no }}"),
        ("${{ params.s | upper }}", "AB"),
        ("${{ params.l | join('-') }}", "1-2"),
        ("${{ params.l | sum }}", 3),
        ("${{ env.NOPE | default('z') }}", "z"),
        ("${{ '%02d' % params.x }}", "03"),
        ("${{ '{:02}'.format(params.x) }}", "03"),
        ("${{ params.s.replace('a', 'c') }}", "cb"),
        ("${{ '<&>' }}", "<&>"),
        ("${{ 10 // 3 }}", 3),
        ("${{ 2 ** 10 }}", 1024),
        ("${{ '-' * 3 }}", "---"),
    ],
)
def test_value(text: str, value: Any) -> None:
    found = evaluate(text, NAMES)
    assert (found, type(found)) == (value, type(value))
    assert list(check(text, KNOWN)) == []


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("env.NOPE", "'env.NOPE': there is no 'NOPE'"),
        ("params.d.q", "'params.d.q': there is no 'q'"),
        ("params.x + params.s", "'params.x + params.s': TypeError: unsupported operand type(s) for +: 'int' and 'str'"),
        ("params.x / 0", "'params.x / 0': ZeroDivisionError: division by zero"),
        ("params.x()", "'params.x()': TypeError: 'int' object is not callable"),
        ("1e308 * 10", "'1e308 * 10' is not a finite number"),
        ("(-1) ** 0.5", "'(-1) ** 0.5' is a complex, not a value"),
        ("params.s.upper", "'params.s.upper' is a builtin_function_or_method, not a value"),
        # Not accessible.
        ("params.x.__class__", "'params.x.__class__': access to attribute '__class__' of 'int' object is unsafe."),
        ("''['__class__']", "'''['__class__']': access to attribute '__class__' of 'str' object is unsafe."),
        ("params.l.append(1)", "'params.l.append(1)': access to attribute 'append' of 'list' object is unsafe."),
        ("params.d.update(a=2)", "'params.d.update(a=2)': access to attribute 'update' of 'dict' object is unsafe."),
        ("params.d.pop('a')", "'params.d.pop('a')': access to attribute 'pop' of 'dict' object is unsafe."),
        ("range(9)", "'range(9)': 'range' is undefined"),
        ("'{0.__class__}'.format(1)", "''{0.__class__}'.format(1)': "
         "access to attribute '__class__' of 'int' object is unsafe."),
        ("'a' | attr('upper')", "''a' | attr('upper')': No filter named 'attr'."),
        # Too large.
        ("9 ** 9 ** 9", "'9 ** 9 ** 9': this power is too large"),
        ("'a' * 10000000", "''a' * 10000000': this product is too large"),
        ("10000000 * [0]", "'10000000 * [0]': this product is too large"),
        ("[[0] * 1000000] * 1000000", "'[[0] * 1000000] * 1000000' is too large"),
        ("'x'.encode()", "''x'.encode()' is a bytes, not a value"),
        ("'a' | center(99999)", "''a' | center(99999)': No filter named 'center'."),
    ],
)  # fmt: skip
def test_error(code: str, why: str) -> None:
    before = repr(NAMES)
    with pytest.raises(ExpressionError) as caught:
        evaluate(f"a ${{{{ 1 }}}} ${{{{ {code} }}}}", NAMES)
    assert str(caught.value) == why
    assert (caught.value.start, caught.value.length) == (11, len(code) + 7)
    assert repr(NAMES) == before


@pytest.mark.parametrize("name", ["l", "d", "n"])
def test_values_that_cannot_be_part_of_a_text(name: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(f"v${{{{ params.{name} }}}}", NAMES)
    kind = {"l": "a list", "d": "a dict", "n": "null"}[name]
    assert str(caught.value) == f"'params.{name}' is {kind}, which cannot be part of a text"
    assert caught.value.start == 1


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("a ${{ params.x", [Found(2, 3, "this expression has no end", "close it with }}")]),
        ("${{ 'a }}", [Found(0, 3, "this expression has no end", "close it with }}")]),
        ("${{ params.x }", [Found(0, 3, "this expression has no end", "close it with }}")]),
        ("${{ }}", [Found(0, 6, "this expression is empty", "write one of params, env, run")]),
        ("${{ x }}", [Found(0, 8, "there is nothing called 'x' in expressions", "there is params, env, run")]),
        ("${{ prams.x }}", [Found(0, 14, "there is nothing called 'prams' in expressions", "did you mean 'params'?")]),
        ("${{ nodes.a }}", [Found(0, 14, "there is nothing called 'nodes' in expressions",
                                 "there is params, env, run")]),
        ("${{ secrets.a }}", [Found(0, 16, "a secret can be used in 'env' only",
                                   "put it under 'env': python and run nodes read the variable")]),
        ("${{ github.sha }}", [Found(0, 17, "there is nothing called 'github' in expressions",
                                    "there is params, env, run")]),
        ("${{ ref('a') }}", [Found(0, 15, "there is nothing called 'ref' in expressions",
                                  "there is params, env, run")]),
        ("${{ y.a + y.b }}", [Found(0, 16, "there is nothing called 'y' in expressions", "there is params, env, run")]),
        ("${{ params.y }}", [Found(0, 15, "'params' has no 'y'", "there is x, s, l, d, b, f, n")]),
        ("${{ params['y'] }}", [Found(0, 18, "'params' has no 'y'", "there is x, s, l, d, b, f, n")]),
        ("${{ run.nam }}", [Found(0, 14, "'run' has no 'nam'", "did you mean 'name'?")]),
        ("${{ env.WHATEVER }}", []),
        ("${{ params[params.s] }}", []),
        ("${{ params.x }}${{ params.y }}", [Found(15, 15, "'params' has no 'y'", "there is x, s, l, d, b, f, n")]),
        ("${{ 1 | uper }}", [Found(0, 15, "there is no filter 'uper' in expressions", "did you mean 'upper'?")]),
        ("${{ 1 is nonee }}", [Found(0, 17, "there is no test 'nonee' in expressions", "did you mean 'none'?")]),
        ("${{ ''.__class__ }}", [Found(0, 19, "'__class__' is out of reach of expressions")]),
        ("${{ ''['__class__'] }}", [Found(0, 22, "'__class__' is out of reach of expressions")]),
        ("${{ 1 + }}", [Found(0, 10, "'1 +' is not an expression: unexpected 'end of expression'")]),
        ("${{ a; b }}", [Found(0, 11, "'a; b' is not an expression: expected token 'end of expression', got ';'")]),
        ("${{ a = 1 }}", [Found(0, 12, "'a = 1' is not an expression: expected token 'end of expression', got '='")]),
        ("${{ # }}", [Found(0, 8, "'#' is not an expression: unexpected char '#'")]),
    ],
)  # fmt: skip
def test_findings_of_the_check(text: str, findings: list[Problem]) -> None:
    assert list(check(text, KNOWN)) == findings


@pytest.mark.parametrize(
    "code", ["(" * 3000 + "1" + ")" * 3000, "1" + "+1" * 3000, "-" * 3000 + "1", "not " * 3000 + "1"]
)
def test_deep_nesting(code: str) -> None:
    text = f"${{{{ {code} }}}}"
    assert all("nested too deeply" in finding.message for finding in check(text, KNOWN))
    try:
        evaluate(text, NAMES)
    except ExpressionError as error:
        assert "nested too deeply" in str(error)
        assert len(str(error)) < 200


def test_a_file_without_params() -> None:
    assert [finding.hint for finding in check("${{ params.x }}", {"params": [], "env": None})] == ["the file has none"]


def test_has_expression() -> None:
    assert has_expression("a ${{ x }}")
    assert not has_expression("a {{ x }} ${x} $x")


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("'-'.join(['a', 'b'] | unique)", "a-b"),
        ("'-'.join('abc' | reverse)", "c-b-a"),
        ("[1, 2] | join('-')", "1-2"),
        ("'a.b'.replace('.', '/', 1)", "a/b"),
        ("'a.b' | replace('.', '/')", "a/b"),
        ("'{}-{:>5}'.format('12345', 1)", "12345-    1"),
        ("'{{{a}}}'.format(a=1)", "{1}"),
        ("'%s-%05.1f' % ('a', 2)", "a-002.0"),
        ("'a\\tb'.expandtabs(4)", "a   b"),
        ("2.345 | round(1)", 2.3),
    ],
)
def test_what_makes_a_small_value_is_allowed(code: str, value: object) -> None:
    assert evaluate(f"${{{{ {code} }}}}", {}) == value


def test_an_expression_of_fixed_values_is_evaluated_by_the_check() -> None:
    text = "${{ 'x' * 9999999 }} ${{ 1 + 1 }} ${{ params.n * 10 ** 99 }}"
    assert [(d.start, d.message) for d in check(text, {"params": ["n"]})] == [
        (0, "''x' * 9999999': this product is too large")
    ]


@pytest.mark.parametrize("name", ["items", "keys", "values", "get", "copy", "pop", "update"])
def test_a_parameter_may_have_the_name_of_a_method(name: str) -> None:
    names = {"params": {name: "mine", "nested": {name: [1], "other": 2}}, "env": {name: "text"}}
    assert evaluate(f"${{{{ params.{name} }}}}", names) == "mine"
    assert evaluate(f"${{{{ params.nested.{name} }}}}", names) == [1]
    assert evaluate(f"${{{{ params['{name}'] ~ env.{name} }}}}", names) == "minetext"


def test_methods_of_mappings_work_where_no_key_hides_them() -> None:
    assert evaluate("${{ params.m.get('a', 1) + params.m.keys() | length }}", {"params": {"m": {"b": 2}}}) == 2
