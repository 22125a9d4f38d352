"""Checks and evaluates `${{ ... }}`: sandboxed Jinja expressions over params, env, run and secrets.

The sandbox limits powers and products. `expression_checks.py` applies `check` to a pipeline file, `resolve.py` applies
`evaluate` to a pipeline.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from nfrun.core.errors import Problem
from nfrun.core.pipeline import EXPRESSION_START, has_expression
from nfrun.core.text import did_you_mean, ellipsize
from nfrun.pipeline_file.parameters import env_text
from nfrun.pipeline_file.yaml.document import Keys

if TYPE_CHECKING:
    from datetime import datetime

    from jinja2.sandbox import SandboxedEnvironment

SECRET_INSTEAD = "put it under 'env': python and run nodes read the variable"
_EXPRESSION = re.compile(r"""\$\{\{((?:[^"'}]|"[^"]*"|'[^']*'|\}(?!\}))*)\}\}""")
# The usual expressions are checked and evaluated here, since importing Jinja takes longer than reading most files.
_MEMBER = re.compile(r"([A-Za-z_]\w*)\.([A-Za-z_]\w*)(?:\.([A-Za-z_]\w*))?", re.ASCII)
_MAX_GUESSES = 300  # among more names, a closest match for each mistake takes too long


class ExpressionError(ValueError):
    """Raised for an expression that cannot be evaluated; its text says why.

    `start` and `length` locate the expression in the evaluated text, in characters.
    """

    start = 0
    length = 1


def is_one_expression(text: str) -> bool:
    """Whether the text is one whole expression, so that its value keeps its type."""
    return _EXPRESSION.fullmatch(text.strip()) is not None


def has_secret(text: str) -> bool:
    """Whether the text uses a secret. Reliable only for text in which `check` finds no problem."""
    return any(_is_secret(match[1].strip()) for match in _EXPRESSION.finditer(text))


def _is_secret(code: str) -> bool:
    return (member := _MEMBER.fullmatch(code)) is not None and member[1] == "secrets" and not member[3]


# The top-level names that expressions see, each with its keys, or None if these are known only at run time.
Seen = Mapping[str, Collection[str] | None]


def check(text: str, seen: Seen, withheld: Collection[str] = ()) -> Iterator[Problem]:
    """Yield the problems of the expressions in the text, without evaluating any.

    Expressions cannot read keys of `env` that are `withheld`, as they are secret.
    """
    end = 0
    while (start := text.find(EXPRESSION_START, end)) >= 0:
        match = _EXPRESSION.match(text, start)
        if match is None:
            yield Problem((), "this expression has no end", "close it with }}", start=start, length=3)
            return
        end = match.end()
        for what, hint in _check_one(match[1].strip(), seen, withheld):
            yield Problem((), what, hint, start=start, length=end - start)


def evaluate(text: str, names: Mapping[str, Mapping[str, Any]]) -> Any:
    """Evaluate the expressions in the text.

    A text that is one expression gives the expression's value with its type; any other text gives a string. Raises
    ExpressionError.
    """

    whole = _EXPRESSION.fullmatch(text, len(text) - len(text.lstrip()), len(text.rstrip()))

    def value_of(match: re.Match[str]) -> Any:
        try:
            value = _value(match[1].strip(), names)
            return value if whole else _as_text(value, match[1].strip())
        except ExpressionError as error:
            error.start, error.length = match.start(), len(match[0])
            raise

    return value_of(whole) if whole else _EXPRESSION.sub(value_of, text)


def evaluate_all(value: Any, path: Keys, evaluated: Callable[[str, Keys], Any]) -> Any:
    """Return a nested value with its expressions evaluated by a function that gets the text and the path of each."""
    if isinstance(value, str):
        return evaluated(value, path) if has_expression(value) else value
    if isinstance(value, dict):
        return {key: evaluate_all(item, (*path, key), evaluated) for key, item in value.items()}
    if isinstance(value, list):
        return [evaluate_all(item, (*path, i), evaluated) for i, item in enumerate(value)]
    return value


def _as_text(value: Any, code: str) -> str:
    """Return the value as part of a string. Raises ExpressionError for null, lists and mappings."""
    if value is None or isinstance(value, list | dict):
        raise ExpressionError(f"'{ellipsize(code)}' is {_type_name(value)}, which cannot be part of a text")
    return env_text(value)


def _check_one(code: str, seen: Seen, withheld: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the message and the hint for each problem of one expression: the text between the braces."""
    if (member := _MEMBER.fullmatch(code)) and member[1] in seen and ".__" not in code:
        keys = seen[member[1]]
        if (keys is None or member[2] in keys) and not (member[1] == "env" and member[2] in withheld):
            return

    from jinja2 import nodes
    from jinja2.exceptions import TemplateSyntaxError

    if not code:
        yield "this expression is empty", f"write one of {', '.join(seen)}"
        return
    try:
        tree = _environment().parse("{{ " + code + " }}")
        found = dict.fromkeys(_check_tree(tree, code, seen, withheld))
        yield from found
        if not found and not list(tree.find_all(nodes.Name)):  # its value is fixed
            _value(code, {})
    except ExpressionError as error:
        yield str(error), ""
    except RecursionError:
        yield f"'{ellipsize(code)}' is nested too deeply", ""
    except TemplateSyntaxError as error:
        why = (error.message or "syntax error").replace("end of print statement", "end of expression")
        yield f"'{ellipsize(code)}' is not an expression: {ellipsize(re.sub(' at [0-9]+$', '', why), 100)}", ""


def _check_tree(tree: Any, code: str, seen: Seen, withheld: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the message and the hint for each unknown name, filter, test or key, and each misplaced secret."""
    from jinja2 import nodes

    for name in [use.name for use in tree.find_all(nodes.Name)]:
        if name == "secrets" and name not in seen:
            yield "a secret can be used in 'env' only", SECRET_INSTEAD
        elif name == "secrets" and not _is_secret(code):
            # A secret changed by an operator or filter could not be recognised, and so not redacted.
            yield "a secret must be a whole expression", "write ${{ secrets.NAME }}, and other text before or after it"
        elif name == "matrix" and name not in seen:
            yield "there is no 'matrix' here", "only a node with 'matrix: AXIS' has it"
        elif name not in seen:
            yield f"there is nothing called '{ellipsize(name)}' in expressions", _suggest(name, seen)
    for kind, what, known in ((nodes.Filter, "filter", FILTERS), (nodes.Test, "test", _environment().tests)):
        for use in tree.find_all(kind):
            if use.name not in known:
                yield f"there is no {what} '{ellipsize(use.name)}' in expressions", _suggest(use.name, known)
    for use in (*tree.find_all(nodes.Getattr), *tree.find_all(nodes.Getitem)):
        key = use.attr if isinstance(use, nodes.Getattr) else getattr(use.arg, "value", None)
        of = use.node.name if isinstance(use.node, nodes.Name) else ""
        keys = seen.get(of)
        if isinstance(key, str) and key.startswith("__"):
            yield f"'{ellipsize(key)}' is out of reach of expressions", ""
        elif isinstance(key, str) and of == "env" and key in withheld:
            hint = "write the secret itself: ${{ secrets.NAME }}" if "secrets" in seen else SECRET_INSTEAD
            yield f"'{ellipsize(key)}' is secret, and not in 'env' of expressions", hint
        elif keys is not None and isinstance(key, str) and key not in keys:
            declare = f"name it at the top of the file: secrets: [{ellipsize(key)}]"
            yield f"'{of}' has no '{ellipsize(key)}'", declare if of == "secrets" and not keys else _suggest(key, keys)


def _suggest(word: str, known: Collection[str]) -> str:
    """Return the hint for an unknown word: the closest match, or else the known words."""
    there = f"there is {ellipsize(', '.join(known), 300)}" if known else "the file has none"
    return did_you_mean(word, [*known][:_MAX_GUESSES], there)


def _value(code: str, names: Mapping[str, Mapping[str, Any]]) -> Any:
    """Evaluate one expression to plain data. Raises ExpressionError, whatever goes wrong."""
    if member := _MEMBER.fullmatch(code):
        value: Any = names
        steps = [step for step in member.groups() if step]
        while steps and isinstance(value, Mapping) and steps[0] in value:
            value = value[steps.pop(0)]
        if not steps:
            return _plain(value, code, [MAX_SIZE])

    from jinja2 import Undefined
    from jinja2.exceptions import TemplateError

    try:
        value = _compiled(code)(**names)
        if isinstance(value, Undefined):
            str(value)  # a strict undefined raises an error that says what is missing
        return _plain(value, code, [MAX_SIZE])
    except ExpressionError:
        raise
    except TemplateError as error:
        why = re.sub(r"^'\w+ object' has no attribute", "there is no", error.message or type(error).__name__)
        raise ExpressionError(f"'{ellipsize(code)}': {ellipsize(why, 200)}") from None
    except RecursionError:
        raise ExpressionError(f"'{ellipsize(code)}' is nested too deeply") from None
    except ValueError as error:
        raise ExpressionError(f"'{ellipsize(code)}': {ellipsize(str(error), 200)}") from None
    except Exception as error:  # the operators of the values may raise anything
        raise ExpressionError(f"'{ellipsize(code)}': {type(error).__name__}: {ellipsize(str(error), 200)}") from None


def _plain(value: Any, code: str, left: list[int]) -> Any:
    """Return the value as data that YAML can express. Raises ExpressionError for anything else, such as a function.

    `left` holds the number of values still allowed. It is counted because a list that contains one list many times is
    small in memory, but not when copied.
    """
    left[0] -= 1
    if left[0] < 0:
        raise ExpressionError(f"'{ellipsize(code)}' is too large")
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ExpressionError(f"'{ellipsize(code)}' is not a finite number")
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(item, code, left) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item, code, left) for key, item in value.items()}
    raise ExpressionError(f"'{ellipsize(code)}' is {_type_name(value)}, not a value")


def _type_name(value: Any) -> str:
    return "null" if value is None else f"a {type(value).__name__}"


@lru_cache(maxsize=1_000)
def _compiled(code: str) -> Callable[..., Any]:
    """Return the function that evaluates an expression. Compiling takes 20 times as long: cells share it."""
    return _environment().compile_expression(code, undefined_to_none=False)


@cache
def _environment() -> SandboxedEnvironment:
    """Return the Jinja sandbox, with limits on the size of powers and products."""
    from jinja2 import StrictUndefined
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Bounded(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "**" and (abs(left) > MAX_SIZE or abs(right) > 64):
                raise SecurityError("this power is too large")
            if operator == "*":
                for one, other in ((left, right), (right, left)):
                    if isinstance(one, str | list | tuple) and isinstance(other, int) and len(one) * other > MAX_SIZE:
                        raise SecurityError("this product is too large")
            return super().call_binop(context, operator, left, right)

        def getattr(self, obj: Any, attribute: str) -> Any:
            """Return the value of a mapping before its method of that name: a parameter may be called `items`."""
            is_key = isinstance(obj, Mapping) and attribute in obj
            return obj[attribute] if is_key else super().getattr(obj, attribute)

    # An optimized one writes the values of constant expressions, such as long ranges, into the code that it compiles.
    environment = Bounded(undefined=StrictUndefined, autoescape=False, optimized=False)
    environment.globals.clear()
    known = {**environment.filters, "range": _range, "dates": dates}
    environment.filters = {name: known[name] for name in FILTERS}
    return environment


MAX_SIZE = 1_000_000  # values that an expression may give, and characters or items of a product
MAX_DATES = 200_000
FILTERS = (
    *("abs", "capitalize", "dates", "default", "first", "float", "int", "items", "join", "last", "length", "list"),
    *("lower", "max", "min", "range", "replace", "reverse", "round", "sort", "string", "sum", "title", "trim"),
    *("unique", "upper"),
)
_DATE = len("2024-01-31")
_HOURS = {"day": 24, "week": 168, "hour": 1}


def _range(value: Any) -> list[int]:
    if isinstance(value, bool) or not isinstance(value, int) or value > MAX_SIZE:
        raise ValueError(f"'range' takes a whole number of at most {MAX_SIZE:,}, not {value!r:.60}")
    return list(range(value))


def dates(ends: Any, step: Any = "day") -> list[str]:
    """Return every day, or every `step`, from the first to the last of two dates, both included, as ISO texts.

    A month later is the same day of the next month, or its last day. Hours are written `2024-01-31T05`; a last date
    without an hour includes all of its hours. Raises ValueError.
    """
    from datetime import timedelta

    if not (isinstance(ends, list | tuple) and len(ends) == 2 and all(isinstance(end, str) for end in ends)):
        raise ValueError("'dates' takes two dates: [first, last] | dates")
    if step not in ("day", "week", "month", "hour"):
        raise ValueError(f"'dates' goes by 'day', 'week', 'month' or 'hour', not {step!r:.60}")
    first, last = _moment(ends[0]), _moment(ends[1])
    if step == "hour" and len(ends[1]) == _DATE:
        last += timedelta(hours=23)
    elif step != "hour" and max(map(len, ends)) > _DATE:
        raise ValueError(f"'dates' by {step} takes dates without an hour")
    found: list[str] = []
    at = first
    while at <= last:
        if len(found) == MAX_DATES:
            raise ValueError(f"'dates' gives at most {MAX_DATES:,} dates")
        found.append(at.isoformat(timespec="hours") if step == "hour" else at.date().isoformat())
        count = len(found)
        try:
            at = _months_later(first, count) if step == "month" else first + timedelta(hours=count * _HOURS[step])
        except (OverflowError, ValueError):
            break  # the calendar ends with the year 9999
    return found


def _moment(text: str) -> datetime:
    """Parse a date, or a date with an hour. Raises ValueError."""
    from datetime import datetime

    if len(text) not in (_DATE, _DATE + 3):
        raise ValueError(f"{text!r:.60} is no date such as 2024-01-31")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r:.60} is no date such as 2024-01-31") from None


def _months_later(first: datetime, count: int) -> datetime:
    from calendar import monthrange

    years, month = divmod(first.month - 1 + count, 12)
    year, month = first.year + years, month + 1
    return first.replace(year=year, month=month, day=min(first.day, monthrange(year, month)[1]))
