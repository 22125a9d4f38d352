"""Reads the values of plain YAML quickly, without their offsets.

Files with anchors, tags, tabs or any problem are left to `offset_parser.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from yaml import YAMLError, events
from yaml._yaml import CParser

from nfrun.pipeline_file.yaml.scalars import SUSPECT, plain_scalar
from nfrun.pipeline_file.yaml.syntax_messages import MAX_DEPTH
from nfrun.pipeline_file.yaml.text_file import ASCII

# Matching this is faster than searching for other characters.
TEXT = "[\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*"
CONTROL = "[\x00-\x08\x0b-\x1f\x7f-\x9f]"


Marks = dict[tuple[str | None, str], Any]  # libyaml's marks, with `line` and `column` from 0


def plain_values(text: str) -> tuple[list[Any], Marks] | None:
    """Return the one document of the text in a list, which is empty if there are only comments.

    Also returns the marks of the keys in the top-level mappings whose value is a mapping or a list, such as the nodes:
    each by the key of the mapping and the key in it. Returns None if the text has anything that `offset_parser.py`
    refuses or that needs care: anchors, tabs, tags.
    """
    if "\t" in text or not re.fullmatch(ASCII if text.isascii() else TEXT, text):
        return None
    try:
        return _values(CParser(text).get_event)
    except (YAMLError, ValueError):
        return None


class _Unusual(ValueError):
    """Raised for YAML that this module leaves to `offset_parser.py`."""


def _values(get_event: Callable[[], Any]) -> tuple[list[Any], Marks]:
    """Build the values and marks from libyaml's events. Raises ValueError and YAMLError."""
    scalar, alias, document = events.ScalarEvent, events.AliasEvent, events.DocumentStartEvent
    opens = events.MappingStartEvent, events.SequenceStartEvent
    ends = events.MappingEndEvent, events.SequenceEndEvent
    keys: dict[str, str] = {}  # nodes repeat the same few keys, so they share one string each
    root: list[Any] = []
    box: Any = root
    key: str | None = None
    section: str | None = None  # the key at the top level
    marks: Marks = {}
    mark: Any = None  # of the key
    above: list[Any] = []
    # One loop without calls: 100,000 nodes are 1.8 million events, and libyaml needs only 0.5 us for each.
    for event in iter(get_event, None):
        kind = type(event)
        if kind is scalar:
            value = event.value
            if event.anchor is not None or event.tag is not None:
                raise _Unusual
            if not event.style:
                if value[:1] in SUSPECT:
                    value = plain_scalar(value)
            elif event.style == '"' and not value.isprintable() and re.search(CONTROL, value):
                raise _Unusual
            if type(box) is list:
                box.append(value)
            elif key is not None:
                box[key] = value
                key = None
            elif type(value) is not str or value in box or value == "<<":
                raise _Unusual
            else:
                key = keys.setdefault(value, value)
                mark = event.start_mark
        elif kind in opens:
            new: Any = {} if kind is opens[0] else []
            above.append(box)
            if event.anchor is not None or event.tag is not None or len(above) > MAX_DEPTH:
                raise _Unusual
            if type(box) is list:
                box.append(new)
            elif key is None:
                raise _Unusual
            else:
                if len(above) == 3:
                    marks[section, key] = mark
                elif len(above) == 2:
                    section = key
                box[key] = new
                key = None
            box = new
        elif kind in ends:
            box = above.pop()
        elif kind is alias or (kind is document and root):
            raise _Unusual
    return root, marks
