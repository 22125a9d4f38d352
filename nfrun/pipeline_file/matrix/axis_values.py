"""Checks the values of axes, and makes the texts for them in the ids of cells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nfrun.core.pipeline import Axis, has_expression
from nfrun.core.text import ellipsize
from nfrun.core.values import replace
from nfrun.pipeline_file.parameters import env_text
from nfrun.pipeline_file.yaml.document import Keys

MAX_ID = 200  # characters of the id of a node
MAX_NODES = 100_000  # of a pipeline
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,39}")
_KEPT = 33  # characters of a text that is shortened, before "-" and the checksum
_DIGITS = 6


def key_of(value: Any) -> Any:
    """Return what stands for a value of an axis outside of expressions: the id of a mapping, otherwise the value."""
    return value.get("id") if isinstance(value, Mapping) else value


def text_of(key: Any) -> str:
    """Return a key as text: a string as it is, anything else as in JSON."""
    if type(key) is int:
        return str(key)  # json.dumps takes 20 times as long
    return key if isinstance(key, str) else json.dumps(key)


def id_of(key: Any) -> str:
    """Return the text for a value of an axis in the ids of cells: at most 40 letters, digits, `.`, `_` and `-`.

    A text that has other characters or is longer is cleaned and shortened, and ends with digits of its checksum.
    """
    text = text_of(key)
    if _PLAIN.fullmatch(text) and not text.endswith("."):
        return text
    clean = re.sub("[^A-Za-z0-9._-]+", "_", text).lstrip(".")[:_KEPT] or "_"
    import hashlib  # few pipelines have such cells

    return f"{clean}-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:_DIGITS]}"


OWN_ID = "remove one, or give it an id of its own: {id: …, …}"
Found = tuple[Keys, str, str]  # the steps from the values of the axis, the message, the hint


def with_values(axis: Axis, values: Sequence[Any]) -> Axis:
    """Return the axis with these values, which `check_values` has found to be right."""
    keys = [key_of(value) for value in values]
    return replace(axis, values=tuple(values), keys=tuple(keys), ids=tuple([id_of(key) for key in keys]))


def check_values(name: str, values: Sequence[Any]) -> Iterator[Found]:
    """Yield what is wrong with the values of the axis: no scalars or mappings, no id, two with the same id."""
    seen: dict[str, str] = {}
    for i, value in enumerate(values):
        step: Keys = (i,)
        if isinstance(value, Mapping):
            if "id" not in value:
                what = f"a mapping on the axis '{ellipsize(name)}' needs an 'id'"
                yield step, what, "it names the cell: {id: a, …}"
                continue
            step = (i, "id")
        elif not isinstance(value, str | int | float):
            what = f"a value of the axis '{ellipsize(name)}' is a scalar or a mapping, not {shown(value)}"
            yield step, what, "write a string, a number, true, false, or {id: a, …}"
            continue
        key = key_of(value)
        if step != (i,) and (isinstance(key, bool) or not isinstance(key, str | int) or key == ""):
            what = f"an 'id' on the axis '{ellipsize(name)}' is a string or a whole number, not {shown(key)}"
            yield step, what, "it names the cell: {id: a, …}"
            continue
        if isinstance(key, str) and has_expression(key):
            continue  # not known yet
        text = text_of(key)
        id = id_of(key).lower()
        if first := seen.get(id):
            if id_of(first) == id_of(text):
                yield step, f"two values of the axis '{ellipsize(name)}' have the id '{ellipsize(text)}'", OWN_ID
            else:
                both = f"'{ellipsize(first)}' and '{ellipsize(text)}'"
                yield step, f"the values {both} of the axis '{ellipsize(name)}' differ only in case", OWN_ID
        seen.setdefault(id, text)


def is_literal(source: Any) -> bool:
    """Whether the values are known from the file alone: a list without expressions in what names the cells."""
    return isinstance(source, list) and not any(
        isinstance(key := key_of(value), str) and has_expression(key) for value in source
    )


def indices(axis: Axis) -> dict[str, int]:
    """Return the index of each value of an axis by the texts that a file may name it by: the value, or its id."""
    by_id = {id: i for i, id in enumerate(axis.ids)}
    return {**by_id, **{text_of(key): i for i, key in enumerate(axis.keys)}}


def shown(value: Any) -> str:
    """Return a value as text for a message."""
    if isinstance(value, str):
        return f"'{ellipsize(value)}'"
    return "a mapping" if isinstance(value, Mapping) else "a list" if isinstance(value, list) else env_text(value)
