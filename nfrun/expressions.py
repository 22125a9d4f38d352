"""Evaluates `${{ ... }}`: sandboxed expressions over params, env and run. Knows no pipeline and no places in files."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from nfrun.errors import near, shorten

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

OPEN = "${{"
_EXPRESSION = re.compile(r"""\$\{\{((?:[^"'}]|"[^"]*"|'[^']*'|\}(?!\}))*)\}\}""")
_MOST = 1_000_000  # characters or items that one operation may make


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong in a text, at which characters of it, and what to do."""

    start: int
    length: int
    what: str
    hint: str = ""


class ExpressionError(ValueError):
    """An expression that cannot be evaluated; the text says why."""


def has_expression(text: str) -> bool:
    """Whether there is anything to evaluate in the text."""
    return OPEN in text


def check(text: str, names: Mapping[str, Collection[str] | None]) -> Iterator[Flaw]:
    """What is wrong with the expressions in the text, without evaluating any.

    `names` are the known top names with the keys each has, None where those are only known at the run.
    """
    end = 0
    while (start := text.find(OPEN, end)) >= 0:
        match = _EXPRESSION.match(text, start)
        if match is None:
            yield Flaw(start, 3, "this expression has no end", "close it with }}")
            return
        end = match.end()
        for what, hint in _check_one(match[1].strip(), names):
            yield Flaw(start, end - start, what, hint)


def evaluate(text: str, names: Mapping[str, Mapping[str, Any]]) -> Any:
    """The text with its expressions replaced; a text that is one whole expression gives that value with its type.

    Raises ExpressionError.
    """
    stripped = text.strip()
    whole = _EXPRESSION.fullmatch(stripped)
    if whole:
        return _value(whole[1].strip(), names)

    def as_text(match: re.Match[str]) -> str:
        value = _value(match[1].strip(), names)
        if isinstance(value, bool):
            return "true" if value else "false"
        if value is None or isinstance(value, list | dict):
            raise ExpressionError(f"'{shorten(match[1].strip())}' is {_kind(value)}, which cannot be part of a text")
        return str(value)

    return _EXPRESSION.sub(as_text, text)


def _check_one(code: str, names: Mapping[str, Collection[str] | None]) -> Iterator[tuple[str, str]]:
    from jinja2 import nodes
    from jinja2.exceptions import TemplateSyntaxError

    if not code:
        yield "this expression is empty", f"write one of {', '.join(names)}"
        return
    try:
        tree = _environment().parse("{{ " + code + " }}")
    except TemplateSyntaxError as error:
        yield f"'{shorten(code)}' is not an expression: {shorten(error.message or 'syntax error', 100)}", ""
        return
    for name in tree.find_all(nodes.Name):
        if name.ctx == "load" and name.name not in names:
            guess = near(name.name, names)
            hint = f"did you mean '{guess}'?" if guess else f"there is {', '.join(names)}"
            yield f"there is nothing called '{shorten(name.name)}' in expressions", hint
    uses: list[nodes.Getattr | nodes.Getitem] = [*tree.find_all(nodes.Getattr), *tree.find_all(nodes.Getitem)]
    for use in uses:
        if not isinstance(use.node, nodes.Name):
            continue
        known = names.get(use.node.name)
        key = (
            use.attr if isinstance(use, nodes.Getattr) else use.arg.value if isinstance(use.arg, nodes.Const) else None
        )
        if known is not None and isinstance(key, str) and key not in known:
            guess = near(key, known)
            hint = f"did you mean '{guess}'?" if guess else ""
            yield f"'{use.node.name}' has no '{shorten(key)}'", hint


def _value(code: str, names: Mapping[str, Mapping[str, Any]]) -> Any:
    from jinja2 import Undefined
    from jinja2.exceptions import TemplateError

    try:
        value = _environment().compile_expression(code, undefined_to_none=False)(**names)
        if isinstance(value, Undefined):
            str(value)  # a strict undefined raises, saying what is missing
        return _plain(value, code)
    except ExpressionError:
        raise
    except TemplateError as error:
        raise ExpressionError(f"'{shorten(code)}': {shorten(error.message or type(error).__name__, 200)}") from None
    except Exception as error:  # whatever the operators of the values raise
        raise ExpressionError(f"'{shorten(code)}': {type(error).__name__}: {shorten(str(error), 200)}") from None


def _plain(value: Any, code: str) -> Any:
    """The value as what YAML could have said; anything else, such as a generator or a function, is refused."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(item, code) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item, code) for key, item in value.items()}
    raise ExpressionError(f"'{shorten(code)}' is {_kind(value)}, not a value")


def _kind(value: Any) -> str:
    return "null" if value is None else f"a {type(value).__name__}"


@cache
def _environment() -> SandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Bounded(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "**" and (abs(left) > _MOST or abs(right) > 64):
                raise SecurityError("this power is too large")
            if operator == "*":
                for one, other in ((left, right), (right, left)):
                    if isinstance(one, str | list | tuple) and isinstance(other, int) and len(one) * other > _MOST:
                        raise SecurityError("this product is too large")
            return super().call_binop(context, operator, left, right)

    environment = Bounded(undefined=StrictUndefined, autoescape=False)
    environment.globals.clear()
    return environment
