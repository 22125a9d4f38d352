"""Parses YAML into values with the offset of each, and reports the problems of the file.

`fast_parser.py` is faster and reads plain files only.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from yaml import YAMLError, events
from yaml._yaml import CParser

from nfrun.core.errors import Diagnostic, SourceSpan, SpecError
from nfrun.core.text import closest_match, ellipsize
from nfrun.pipeline_file.yaml.fast_parser import CONTROL, TEXT, Marks
from nfrun.pipeline_file.yaml.scalars import SUSPECT, plain_scalar
from nfrun.pipeline_file.yaml.syntax_messages import BREAK, MAX_DEPTH, QUOTE, TAB, TOO_DEEP, explain
from nfrun.pipeline_file.yaml.text_file import NOT_TEXT
from nfrun.system.runtime import gc_paused

MAX_ALIASED = 100_000
MAX_PROBLEMS = 1_000

# An offset is one int, the cheapest form: index of the first character << 32 | length in characters. Lines and columns
# are computed only when a message needs them.
Offset = int
LENGTH = 0xFFFF_FFFF

# Strings, compiled when a file needs them.
_ESCAPE = r"(?s)\\(?:x(.{2})|u(.{4})|U(.{8})|(.))"
_COMMENT_OR_TAB = "#[^\r\n\u2028\u2029]*|\t+"
_ANCHOR = "&[0-9A-Za-z_-]+(?:[ \t\r\n\u2028\u2029]|#[^\r\n\u2028\u2029]*)*"
_TAG = r"!\S*"


class Map(dict[str, Any]):
    """A mapping. `offsets` has for each key the offset of the key and that of the value."""

    __slots__ = ("offsets",)
    offsets: dict[str, tuple[Offset, Offset]]


class Seq(list[Any]):
    """A sequence. `offsets` has the offset of each item."""

    __slots__ = ("offsets",)
    offsets: list[Offset]


class Source:
    """Holds the text of a file and its lines. `placed` has the values with offsets once they were needed.

    `marks` are those of `fast_parser.py`.
    """

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.starts: list[int] = []
        # Diagnostics in one line share one string: 1,000 copies of a line of 10 MB would fill the memory.
        self.lines: dict[int, str] = {}
        self.placed: Seq | None = None
        self.marks: Marks = {}

    def line(self, offset: int) -> tuple[int, int]:
        """Return the number, from 1, of the line with the character at index `offset`, and the line's start."""
        if not self.starts:
            self.starts = [0, *(m.end() for m in BREAK.finditer(self.text))]
        number = bisect.bisect_right(self.starts, offset)
        return number, self.starts[number - 1]

    def span(self, offset: Offset) -> SourceSpan:
        number, first = self.line(offset >> 32)
        if number not in self.lines:
            end = BREAK.search(self.text, first)
            self.lines[number] = self.text[first : end.start() if end else None]
        text = self.lines[number]
        column = (offset >> 32) - first + 1
        return SourceSpan(self.file, number, column, max(1, min(offset & LENGTH, len(text) - column + 1)), text)


class _SearchEnded(Exception):
    """Raised to end the search for problems."""


class _Anchor(NamedTuple):
    value: Any
    size: int  # number of values in it, aliases expanded
    depth: int  # levels of mappings and sequences in it, aliases expanded


class _Open:
    """A mapping or sequence that is being filled."""

    __slots__ = ("anchor", "before", "box", "depth", "key", "key_offset", "start")

    def __init__(self, box: Any, start: int = 0, anchor: str | None = None, before: int = 0) -> None:
        self.box = box
        box.offsets = {} if type(box) is Map else []
        self.start = start
        self.anchor = anchor
        self.before = before  # number of values in the document before it
        self.depth = 0  # levels of mappings and sequences inside
        self.key: str | None = None  # the key whose value comes next
        self.key_offset = 0


class _Builder:
    """Builds values with offsets from libyaml's events, and collects the problems."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text
        self.diagnostics: list[Diagnostic] = []
        self.anchors: dict[str, _Anchor | None] = {}  # None: still open
        self.count = self.aliased = 0
        self.checked_to = 0  # index up to which tabs were checked
        self.has_tabs = "\t" in source.text

    def add(self, start: int, length: int, what: str, hint: str) -> None:
        self.diagnostics.append(Diagnostic(self.source.span(start << 32 | length), what, hint))
        if len(self.diagnostics) >= MAX_PROBLEMS:
            raise _SearchEnded

    def build(self, get_event: Callable[[], Any]) -> Seq:
        """Return the document in a sequence, empty if there are only comments. Raises _SearchEnded and YAMLError."""
        root = Seq()
        here = _Open(root)
        above: list[_Open] = []
        scalar, opens, ends = events.ScalarEvent, events.CollectionStartEvent, events.CollectionEndEvent
        for event in iter(get_event, None):
            kind = type(event)
            if kind is scalar:
                value, offset = self.scalar(event)
            elif issubclass(kind, opens):
                above.append(here)
                here = self.open(event, len(above))
                continue
            elif issubclass(kind, ends):
                value, offset = self.close(here, event.end_mark.index)
                depth = here.depth + 1
                here = above.pop()
                here.depth = max(here.depth, depth)
            elif kind is events.AliasEvent:
                start, end = event.start_mark.index, event.end_mark.index
                value, size, depth = self.alias(event.anchor, start, end - start, len(above))
                offset = start << 32 | end - start
                self.count += size
                here.depth = max(here.depth, depth)
            else:
                if kind is events.DocumentStartEvent and root:
                    self.add(event.start_mark.index, 3, "a second document starts here", "a file holds only one")
                    break
                continue

            box = here.box
            if type(box) is Seq:
                box.append(value)
                box.offsets.append(offset)
            elif here.key is not None:
                box[here.key] = value
                box.offsets[here.key] = here.key_offset, offset if offset & LENGTH else here.key_offset
                here.key = None
            else:
                plain = type(value) is str and value not in box and value != "<<"
                here.key = value if plain else self.check_key(box, value, offset)
                here.key_offset = offset
        self.tabs(len(self.text))
        return root

    def scalar(self, event: Any) -> tuple[Any, Offset]:
        value, style = event.value, event.style
        start, end = event.start_mark.index, event.end_mark.index
        if event.anchor is not None or event.tag is not None:
            start = min(self.properties(event), end)
        if not style:
            if value[:1] in SUSPECT:
                try:
                    value = plain_scalar(value)
                except ValueError as error:
                    self.add(start, end - start, *error.args)
        elif style == '"' and re.search(CONTROL, value):
            self.escapes(start, end)
        if self.has_tabs:
            self.tabs(start)
            self.checked_to = end
        self.count += 1
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchor(value, 1, 0)
        return value, start << 32 | end - start

    def properties(self, event: Any) -> int:
        """Return the start of the value itself, which for libyaml starts at its anchor or tag. Refuses tags."""
        start: int = event.start_mark.index
        if event.tag is not None and (tag := re.compile(_TAG).search(self.text, start)):
            what = f"the tag '{ellipsize(tag[0])}' is not supported"
            self.add(tag.start(), len(tag[0]), what, "remove it; to make a value a string, put it in quotes")
        return found.end() if (found := re.compile(_ANCHOR).match(self.text, start)) else start

    def open(self, event: Any, depth: int) -> _Open:
        start = event.start_mark.index
        if depth > MAX_DEPTH:
            # Stop here: libyaml's time grows with the square of the depth.
            self.add(start, 1, *TOO_DEEP)
            raise _SearchEnded
        if event.anchor is not None or event.tag is not None:
            start = self.properties(event)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        self.count += 1
        return _Open(Map() if type(event) is events.MappingStartEvent else Seq(), start, event.anchor, self.count - 1)

    def close(self, done: _Open, end: int) -> tuple[Any, Offset]:
        box, length = done.box, 1  # the dash of a block sequence
        if self.text.startswith(("{", "["), done.start):
            length = end - done.start
        elif type(box) is Map and box.offsets:
            length = next(iter(box.offsets.values()))[0] & LENGTH  # the first key of a block mapping
        if done.anchor is not None:
            self.anchors[done.anchor] = _Anchor(box, self.count - done.before, done.depth + 1)
        return box, done.start << 32 | length

    def alias(self, name: str, start: int, length: int, depth: int) -> _Anchor:
        """Return the anchor of the alias `name`, which is inside `depth` mappings and sequences."""
        shown, anchor = ellipsize(name), self.anchors.get(name)
        if anchor is not None and depth + anchor.depth <= MAX_DEPTH:
            self.aliased += anchor.size
            if self.aliased <= MAX_ALIASED:
                return anchor
            self.add(start, length, f"aliases expand to more than {MAX_ALIASED:,} values", "repeat less")
            raise _SearchEnded
        if anchor is not None:
            what, hint = f"nesting deeper than {MAX_DEPTH} levels, aliases expanded", "write it flatter"
        elif name in self.anchors:
            what, hint = f"the alias '*{shown}' is inside its own anchor", "an alias can only repeat what is complete"
        else:
            what = f"the alias '*{shown}' has no anchor '&{shown}' above it"
            known = closest_match(name[:80], islice(self.anchors, 100))  # not all: that could take minutes
            hint = f"did you mean '*{ellipsize(known)}'?" if known else "put the value in quotes if '*' is part of it"
        self.add(start, length, what, hint)
        return _Anchor("", 1, 0)

    def check_key(self, box: Map, value: Any, offset: Offset) -> str:
        """Add a problem and return a placeholder unlike any key in the file. Returns a quoted "<<" as it is."""
        start, length = offset >> 32, offset & LENGTH
        written, hint = self.text[start : start + min(length, 100)], "put it in quotes if it is text"
        if isinstance(value, str) and value in box:
            what = f"'{ellipsize(value)}' is already defined in line {self.source.line(box.offsets[value][0] >> 32)[0]}"
            hint = "rename or remove one of the two"
        elif value == "<<" and not written.startswith("<<"):
            return "<<"  # in quotes it is a string like any other
        elif value == "<<":
            what = "the merge key '<<' is not part of YAML 1.2"
            hint = "write the keys out, or use 'defaults:' for what all nodes share"
        elif isinstance(value, Map) and start and self.text.startswith("{{", start - 1):
            what, hint = "'{{' starts a mapping inside a mapping", f'{QUOTE}: "{{{{ … }}}}"'
        elif isinstance(value, Map | Seq):
            what = f"a {'mapping' if isinstance(value, Map) else 'list'} cannot be a key"
        elif not written:
            what, hint = "the key is empty", "write a name before the ':'"
        else:
            kind = {bool: "a boolean", int: "an integer", float: "a number"}.get(type(value), "null")
            what, hint = f"this key is {kind}, not a string", f'put it in quotes: "{ellipsize(written)}"'
        self.add(start, length, what, hint)
        return f"\0{start}"

    def escapes(self, start: int, end: int) -> None:
        """Refuse the escapes in a double-quoted scalar that produce control characters."""
        for found in re.compile(_ESCAPE).finditer(self.text, start, end):
            code = found[1] or found[2] or found[3]
            if re.match(CONTROL, chr(int(code, 16))) if code else found[4] in "0abvfreN":
                what = f"the escape '{found[0]}' makes a control character"
                self.add(found.start(), len(found[0]), what, r"only newline (\n) and tab (\t) are allowed")

    def tabs(self, end: int) -> None:
        """Refuse the tabs before `end` that are outside scalars and comments."""
        if self.has_tabs:
            for found in re.compile(_COMMENT_OR_TAB).finditer(self.text, self.checked_to, end):
                if found[0][0] == "\t":
                    self.add(found.start(), len(found[0]), *TAB)


def _clean(builder: _Builder, text: str) -> str:
    """Return `text` with the characters that are not text replaced one by one, and add them to the problems."""
    if re.fullmatch(TEXT, text):
        return text
    for found in re.finditer(NOT_TEXT, text):
        code, length = ord(found[0][0]), len(found[0])
        if 0xDC80 <= code <= 0xDCFF:
            what, hint = f"the byte 0x{code - 0xDC00:02x} is not UTF-8", "save the file as UTF-8"
        else:
            what, hint = f"the {'character' if code >= 0xD800 else 'control character'} U+{code:04X}", "remove it"
        builder.add(found.start(), length, what, hint)
    return re.sub(NOT_TEXT, lambda m: "\ufffd" * len(m[0]), text)


def parse_with_offsets(source: Source, text: str) -> Seq:
    """Parse `text` into values with offsets and keep them in `source`. Raises SpecError with all problems."""
    builder = _Builder(source)
    top = Seq()
    with gc_paused(), suppress(_SearchEnded):
        try:
            top = builder.build(CParser(_clean(builder, text)).get_event)
        except YAMLError as error:
            start, length, what, hint = explain(error, source.text)
            builder.diagnostics.append(Diagnostic(source.span(start << 32 | length), what, hint))
    if builder.diagnostics:
        raise SpecError(sorted(builder.diagnostics, key=lambda p: (p.span.line, p.span.column)))
    source.placed = top
    return top
