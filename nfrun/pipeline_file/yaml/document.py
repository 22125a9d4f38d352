"""Reads a YAML file into a `Document`: plain values, and the span of each in the file.

The syntax errors of libyaml become messages for users, each with its place and a hint.
"""

from __future__ import annotations

import bisect
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from yaml import YAMLError, events
from yaml._yaml import CParser

from nfrun.core.errors import Diagnostic, Problem, SourceSpan, SpecError
from nfrun.core.text import ellipsize
from nfrun.core.values import field, frozen
from nfrun.pipeline_file.yaml.text_file import ASCII, NOT_TEXT, read_text, refuse
from nfrun.system.runtime import gc_paused

MAX_ALIASED = 100_000
MAX_PROBLEMS = 1_000

# An offset is one int, the cheapest form: index of the first character << 32 | length in characters. Lines and columns
# are computed only when something needs them.
Offset = int
LENGTH = 0xFFFF_FFFF

# Strings, compiled when a file needs them. Matching TEXT is faster than searching for other characters.
_TEXT = "[\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*"
_CONTROL = "[\x00-\x08\x0b-\x1f\x7f-\x9f]"
_ANCHOR = "&[0-9A-Za-z_-]+(?:[ \t\r\n\u2028\u2029]|#[^\r\n\u2028\u2029]*)*"
_TAG = r"!\S*"
_OPEN = object()  # in place of the value of an anchor that is not complete

# Plain scalars are those of the core schema of YAML 1.2: https://yaml.org/spec/1.2.2/#103-core-schema
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile("[-+]?[0-9]+")
_BASED = "0o[0-7]+|0x[0-9a-fA-F]+"
_FLOAT = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
_NOT_FINITE = r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
_NUMERIC = "-+.0123456789"
_SUSPECT = f"{_NUMERIC}~nNtTfF"  # a plain scalar that starts with anything else is a string

Keys = tuple[str | int, ...]  # the steps to a value: keys of mappings and indices of lists


class Source:
    """Holds the text of a file, its values, and where each of them stands.

    `top` is a list with the document, empty if there are only comments. `places` has the offsets of the items of a list
    or, in turn, of the keys and the values of a mapping, by the `id` of that. `included` are the places that include
    the file, the nearest first.
    """

    def __init__(self, file: str, text: str, included: tuple[SourceSpan, ...] = ()) -> None:
        self.file, self.text, self.included = file, text, included
        self.top: list[Any] = []
        self.places: dict[int, list[Offset]] = {}
        self._starts: list[int] = []
        # Diagnostics in one line share one string: 1,000 copies of a line of 10 MB would fill the memory.
        self._lines: dict[int, str] = {}
        self._indices: dict[int, dict[str, int]] = {}

    def find(self, path: tuple[str | int, ...]) -> tuple[Offset, Offset, Any]:
        """Return the offset of the key at `path`, that of the value, and the value, of the last step that exists."""
        value, key = self.top[0], self.places[id(self.top)][0]
        offset = key
        for step in path:
            if type(value) is dict and step in value:
                i = self._index(value)[str(step)]
                key, offset = self.places[id(value)][i : i + 2]
                offset = offset if offset & LENGTH else key  # an empty value has the place of its key
            elif type(value) is list and type(step) is int and 0 <= step < len(value):
                key = offset = self.places[id(value)][step]
            else:
                break
            value = value[step]
        return key, offset, value

    def _index(self, value: dict[str, Any]) -> dict[str, int]:
        """Return where the key of each entry of a mapping is among its places."""
        found = self._indices.get(id(value))
        if found is None:
            found = self._indices[id(value)] = dict(zip(value, range(0, 2 * len(value), 2), strict=True))
        return found

    def line(self, index: int) -> tuple[int, int]:
        """Return the number, from 1, of the line with the character at `index`, and the line's start."""
        if not self._starts:
            self._starts = [0, *(m.end() for m in BREAK.finditer(self.text))]
        number = bisect.bisect_right(self._starts, index)
        return number, self._starts[number - 1]

    def span(self, offset: Offset) -> SourceSpan:
        number, first = self.line(offset >> 32)
        if number not in self._lines:
            end = BREAK.search(self.text, first)
            self._lines[number] = self.text[first : end.start() if end else None]
        text = self._lines[number]
        column = (offset >> 32) - first + 1
        length = max(1, min(offset & LENGTH, len(text) - column + 1))
        return SourceSpan(self.file, number, column, length, text, self.included)


@frozen
class Document:
    """A parsed YAML file. `file` is its name in messages; `root` is a dict, list, str, int, float or bool.

    `moved` has for values of `root` that the file has elsewhere the path there, by the path in `root`.
    `others` are the documents of pipelines that nodes name, by their files.
    """

    file: str
    root: Any
    _source: Source = field(repr=False, compare=False)
    moved: Mapping[Keys, Keys] = field(default_factory=dict)
    others: Mapping[str, Document] = field(default_factory=dict)

    def place(self, path: Keys, *, at_key: bool = False, start: int = 0, length: int = 0) -> SourceSpan:
        """Return the span of the value at `path`, of its key if `at_key`, or of `length` characters from `start` on.

        An empty value (`key:`) has the span of its key. A value given by an alias has the span of the alias; the values
        inside it have theirs at the anchor. A path that does not exist gives the span of its last existing step.
        Characters are those of a string; if it is behind an alias, returns the span of the whole value.
        """
        key, offset, value = self._find(path)
        if length and isinstance(value, str):
            written = self._source.text[offset >> 32 : (offset >> 32) + (offset & LENGTH)]
            if (inner := place_in_scalar(written, value, start, length)) is not None:
                offset = ((offset >> 32) + inner[0]) << 32 | inner[1]
        return self._source.span(key if at_key and not length else offset)

    def span(self, *path: str | int) -> SourceSpan:
        """Return the span of the value at `path`, as in `span("nodes", "join", "inputs", 0)`."""
        return self.place(path)

    def key_span(self, *path: str | int) -> SourceSpan:
        """Return the span of the key that the last step of `path` names, of the value if that step is an index."""
        return self.place(path, at_key=True)

    def of_file(self, file: str) -> Document:
        """Return the document of a file: one of the `others`, and otherwise this one."""
        return self.others.get(file, self)

    def told(self, problem: Problem, at: Keys = ()) -> Diagnostic:
        """Return the diagnostic for a problem, whose path begins `at` a path of the document."""
        path, at_key = (*at, *problem.path), problem.at_key
        span = self.place(path, at_key=at_key, start=problem.start, length=problem.length)
        return Diagnostic(span, problem.message, problem.hint)

    def start_of_entry(self, section: str, key: str) -> SourceSpan:
        """Return where the entry `key` of the top-level mapping `section` starts: a span without the line's text."""
        start = self._find((section, key))[0] >> 32
        line, first = self._source.line(start)
        return SourceSpan(self.file, line, start - first + 1, included=self._source.included)

    def _find(self, path: Keys) -> tuple[Offset, Offset, Any]:
        """Return the offset of the key, that of the value, and the value."""
        return self._source.find(self.written(path))

    def written(self, path: Keys) -> Keys:
        """Return the path of a value in the file: another one than in `root` if it is moved."""
        for i in range(len(path) if self.moved else 0, 0, -1):
            if path[:i] in self.moved:
                return (*self.moved[path[:i]], *path[i:])
        return path


def mapping(value: Any) -> dict[str, Any]:
    """Return the value if it is a mapping, and otherwise an empty one: the schema has reported it."""
    return value if isinstance(value, dict) else {}


def entries(value: Any) -> Iterable[tuple[Any, Any]]:
    """Return the keys and values of a mapping, or the indices and items of a list; nothing for other values."""
    return value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()


def items(value: Any) -> Iterator[tuple[Keys, Any]]:
    """Yield the items of a string, list or mapping (such as `inputs`), each with the steps that lead to it."""
    if isinstance(value, str):
        yield (), value
    for key, item in entries(value):
        yield (key,), item


def parse(text: str, file: str, included: tuple[SourceSpan, ...] = ()) -> Document:
    """Parse the one YAML document in `text`; `file` is its name in messages, `included` where it is included.

    Raises SpecError with all problems, in file order. The search ends at the first syntax error, at a second document,
    at nesting or aliases over the limit (MAX_DEPTH, MAX_ALIASED), and after MAX_PROBLEMS.
    """
    # Remove the byte order mark: libyaml skips it without counting it, so all columns would be off by one.
    text = text.lstrip("\ufeff")
    source = Source(file, text if text.isascii() else re.sub("[\ud800-\udfff]", "\ufffd", text), included)
    builder = _Builder(source)
    with gc_paused(), suppress(_SearchEnded):
        try:
            builder.build(CParser(builder.clean(text)).get_event)
        except YAMLError as error:
            start, length, what, hint = explain(error, source.text)
            builder.diagnostics.append(Diagnostic(source.span(start << 32 | length), what, hint))
    if builder.diagnostics:
        raise SpecError(sorted(builder.diagnostics, key=lambda p: (p.span.line, p.span.column)))
    if not source.top or source.top[0] is None:
        refuse(file, "the file is empty", "a pipeline file has at least 'nodes:'")
    return Document(file, source.top[0], source)


def load(path: str | os.PathLike[str], included: tuple[SourceSpan, ...] = ()) -> Document:
    """Read and parse the YAML file `path`; `included` are the places that include it.

    Raises SpecError if the file cannot be read, and with all its problems.
    """
    return parse(read_text(Path(path), os.fspath(path)), os.fspath(path), included)


class _SearchEnded(Exception):
    """Raised to end the search for problems."""


class _Builder:
    """Builds the values of a source from libyaml's events, and collects the problems."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text
        self.diagnostics: list[Diagnostic] = []
        self.anchors: dict[str, Any] = {}
        self.sizes: dict[int, tuple[int, int]] = {}  # of the collections that aliases repeat
        self.aliased = 0

    def add(self, start: int, length: int, what: str, hint: str) -> None:
        self.diagnostics.append(Diagnostic(self.source.span(start << 32 | length), what, hint))
        if len(self.diagnostics) >= MAX_PROBLEMS:
            raise _SearchEnded

    def build(self, get_event: Callable[[], Any]) -> None:
        """Add the values to the source. Raises _SearchEnded and YAMLError."""
        scalar, mapping, sequence = events.ScalarEvent, events.MappingStartEvent, events.SequenceStartEvent
        ends = events.MappingEndEvent, events.SequenceEndEvent
        text, places = self.text, self.source.places
        keys: dict[str, str] = {}  # nodes repeat the same few keys, so they share one string each
        box: Any = self.source.top
        spots = places[id(box)] = []
        key: str | None = None
        start, anchor = 0, None  # of the box
        above: list[tuple[Any, list[Offset], str | None, int, str | None]] = []
        # One loop with few calls: 100,000 nodes are 1.8 million events, and libyaml needs only 0.5 us for each.
        for event in iter(get_event, None):
            kind = type(event)
            if kind is scalar:
                value, at, end = event.value, event.start_mark.index, event.end_mark.index
                if event.tag is not None or event.anchor is not None:
                    value, at = self.unusual(event, at, end)
                elif not value.isprintable() if event.style else value[:1] in _SUSPECT:
                    value = self.scalar(event, at, end)
                length = end - at
            elif kind is mapping or kind is sequence:
                above.append((box, spots, key, start, anchor))
                start, anchor, key = event.start_mark.index, event.anchor, None
                if len(above) > MAX_DEPTH:
                    # Stop here: libyaml's time grows with the square of the depth.
                    self.add(start, 1, *TOO_DEEP)
                    raise _SearchEnded
                if anchor is not None or event.tag is not None:
                    start = self.properties(event, start)
                box = {} if kind is mapping else []
                spots = places[id(box)] = []
                continue
            elif kind in ends:
                value, at, length = box, start, 1
                if text[at] in "{[":
                    length = event.end_mark.index - at
                elif spots and type(box) is dict:  # a mapping is underlined at its first key, a list at its first dash
                    length = spots[0] & LENGTH
                if anchor is not None:
                    self.anchors[anchor] = box
                box, spots, key, start, anchor = above.pop()
            elif kind is events.AliasEvent:
                value, at, length = self.alias(event, len(above))
            elif kind is events.DocumentStartEvent and self.source.top:
                self.add(event.start_mark.index, 3, "a second document starts here", "a file holds only one")
                break
            else:
                continue

            spots.append(at << 32 | length)
            if type(box) is list:
                box.append(value)
            elif key is not None:
                box[key] = value
                key = None
            elif type(value) is str and value not in box and value != "<<":
                key = keys.setdefault(value, value)
            else:
                key = self.check_key(box, value, at, length)

    def unusual(self, event: Any, start: int, end: int) -> tuple[Any, int]:
        """Return the value of a scalar that has an anchor or a tag, and where it starts."""
        start = min(self.properties(event, start), end)
        value = self.scalar(event, start, end)
        if event.anchor is not None:
            self.anchors[event.anchor] = value
        return value, start

    def scalar(self, event: Any, start: int, end: int) -> Any:
        """Return the value of a scalar. Refuses numbers that are too large, and escapes of control characters."""
        if event.style == '"' and re.search(_CONTROL, event.value):
            what = "an escape in this text makes a control character"
            self.add(start, end - start, what, r"only newline (\n) and tab (\t) are allowed")
        try:
            return event.value if event.style else plain_scalar(event.value)
        except ValueError as error:
            self.add(start, end - start, *error.args)
            return event.value

    def properties(self, event: Any, start: int) -> int:
        """Return the start of the value itself, which for libyaml starts at its anchor or tag. Refuses tags."""
        if event.anchor is not None:
            self.anchors[event.anchor] = _OPEN
        if event.tag is not None and (tag := re.compile(_TAG).search(self.text, start)):
            what = f"the tag '{ellipsize(tag[0])}' is not supported"
            self.add(tag.start(), len(tag[0]), what, "remove it; to make a value a string, put it in quotes")
        return found.end() if (found := re.compile(_ANCHOR).match(self.text, start)) else start

    def alias(self, event: Any, depth: int) -> tuple[Any, int, int]:
        """Return the value of an alias that is inside `depth` mappings and lists, its start and its length."""
        name, start = event.anchor, event.start_mark.index
        shown, length, value = ellipsize(name), event.end_mark.index - start, self.anchors.get(name, _OPEN)
        size, levels = self.size(value)
        if value is not _OPEN and depth + levels <= MAX_DEPTH:
            self.aliased += size
            if self.aliased <= MAX_ALIASED:
                return value, start, length
            self.add(start, length, f"aliases expand to more than {MAX_ALIASED:,} values", "repeat less")
            raise _SearchEnded
        what = f"the alias '*{shown}' has no anchor '&{shown}' that is complete above it"
        told = (what, "put the value in quotes if '*' is part of it") if value is _OPEN else TOO_DEEP
        self.add(start, length, *told)
        return "", start, length

    def size(self, value: Any) -> tuple[int, int]:
        """Return how many values are in a value, keys and itself counted, and how many levels, aliases expanded."""
        if not isinstance(value, dict | list):
            return 1, 0
        if id(value) not in self.sizes:
            inner = [self.size(item) for item in (value.values() if isinstance(value, dict) else value)]
            count = 1 + sum(size for size, _ in inner) + (len(value) if isinstance(value, dict) else 0)
            self.sizes[id(value)] = count, 1 + max((levels for _, levels in inner), default=0)
        return self.sizes[id(value)]

    def check_key(self, box: dict[str, Any], value: Any, start: int, length: int) -> str:
        """Add a problem and return a placeholder unlike any key in the file. Returns a quoted "<<" as it is."""
        written, hint = self.text[start : start + min(length, 100)], "put it in quotes if it is text"
        if isinstance(value, str) and value in box:
            first = self.source.places[id(box)][2 * [*box].index(value)]
            what = f"'{ellipsize(value)}' is already defined in line {self.source.line(first >> 32)[0]}"
            hint = "rename or remove one of the two"
        elif value == "<<" and not written.startswith("<<"):
            return "<<"  # in quotes it is a string like any other
        elif value == "<<":
            what = "the merge key '<<' is not part of YAML 1.2"
            hint = "write the keys out, or use 'defaults:' for what all nodes share"
        else:
            what, hint = "this key is no text", "put it in quotes, or the whole value if it has {{ … }}"
        self.add(start, length, what, hint)
        return f"\0{start}"

    def clean(self, text: str) -> str:
        """Return `text` with the characters that are not text replaced one by one, and add them to the problems."""
        if re.fullmatch(ASCII if text.isascii() else _TEXT, text):
            return text
        for found in re.finditer(NOT_TEXT, text):
            what = f"the character U+{ord(found[0][0]):04X} is no text in UTF-8"
            self.add(found.start(), len(found[0]), what, "remove it, or save the file as UTF-8")
        return re.sub(NOT_TEXT, lambda m: "\ufffd" * len(m[0]), text)


def plain_scalar(text: str) -> bool | int | float | str | None:
    """Return the value of a plain scalar in the YAML 1.2 core schema.

    Raises ValueError(message, hint) for an integer beyond 64 bits, and for a float that is too large or not finite.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC:
        return text
    if _INT.fullmatch(text):
        # Count the digits first: int() raises ValueError above 4,300 digits.
        if len(text.lstrip("+-0")) <= 19 and -(2**63) <= (number := int(text)) < 2**63:
            return number
    elif re.fullmatch(_BASED, text):
        if (number := int(text[2:], 8 if text[1] == "o" else 16)) < 2**63:
            return number
    elif re.fullmatch(_FLOAT, text):
        if abs(real := float(text)) != float("inf"):
            return real
    elif not re.fullmatch(_NOT_FINITE, text):
        return text
    raise ValueError("this number is not finite, or does not fit in 64 bits", "put it in quotes if it is text")


def place_in_scalar(written: str, value: str, start: int, length: int) -> tuple[int, int] | None:
    """Return the index and the length in a scalar's text of `length` characters of its value, from `start` on.

    Returns None where the file does not have them as they are: it may fold and escape texts.
    """
    part = re.compile(re.escape(value[start : start + length].strip()))
    header = written.find("\n") + 1 if written[:1] in ("|", ">") else 0  # it may have a comment
    places = [found.span() for found in part.finditer(written, header)]
    if not part.pattern or len(places) != len(part.findall(value)):
        return None
    begin, end = places[len(part.findall(value[:start]))]
    return begin, end - begin


MAX_DEPTH = 64

# The line breaks of libyaml except NEL, a control character that `document.py` replaces beforehand.
BREAK = re.compile("\r\n|[\r\n\u2028\u2029]")
_WORD = re.compile(r"\w[^\s:]*|.?", re.DOTALL)

TAB = "a tab where YAML needs spaces", "use spaces to indent and to separate"
QUOTE = "put the whole value in quotes"
TOO_DEEP = f"nesting deeper than {MAX_DEPTH} levels", "write it flatter, or close a bracket"
# Part of libyaml's message; whether to show the error where the construct began; our message; the hint.
_SYNTAX = (
    ("expected alphabetic or numeric", True, "'{char}' at the start of a value makes it an anchor or alias", QUOTE),
    ("expected <document start>", False, "this does not belong to what is above it",
     "check the indentation, and that the brackets and quotes above end where they should"),
    ("expected '-' indicator", False, "this is not a list item, but the lines above it are", "start it with '- '"),
    ("expected ',' or", False, "{ } or [ ] is not closed here, or a text in it needs quotes",
     "close the bracket, and put a text that has one of : , { } [ ] # in quotes, such as ${{ … }}"),
    ("expected comment or line break", False, "'|' or '>' stands before this", "start the text on the next line"),
    ("expected ':'", True, "there is no ': ' after this key", "write 'key: value', with a space after the colon"),
    ("expected key", False, "this does not fit what is above it",
     "the keys of a mapping start in the same column; a text with quotes or brackets in it needs quotes around it"),
    ("mapping values are not allowed", False, "there cannot be a ': ' here",
     "put a text that has it in quotes, or check the indentation"),
    ("expected node content", False, "a value cannot start with '{char}'", QUOTE),
    ("cannot start any token", False, "a value cannot start with '{char}'", QUOTE),
    ("found unexpected", True, "this quote is never closed",
     "end the value with the same quote; inside '…' write '' for a quote"),
    ("unknown escape character", False, "'{pair}' is no escape in double quotes",
     r"write '\\' for a backslash, or use single quotes"),
    ("maximum nesting depth", False, *TOO_DEEP),
)  # fmt: skip


def explain(error: Any, text: str) -> tuple[int, int, str, str]:
    """Return the offset and length of a libyaml error in `text`, in characters, and its message and hint for users."""
    said, at = str(getattr(error, "problem", error)), getattr(getattr(error, "problem_mark", None), "index", 0)
    began: int = getattr(getattr(error, "context_mark", None), "index", at)
    if text.startswith("\t", at):
        return at, 1, *TAB
    others = (("", False, f"this is not YAML: {ellipsize(said, 200)}", QUOTE),)
    _, at_began, what, hint = next(row for row in (*_SYNTAX, *others) if row[0] in said)
    # A bracket is at fault if what does not fit is on another line, or behind the end, where there is nothing to show.
    is_open = "expected ',' or" in said and "\n" in text[began:at]
    at = min(began if at_began or is_open or at >= len(text.rstrip()) else at, max(0, len(text.rstrip()) - 1))
    what = what.replace("{char}", ellipsize(text[at : at + 1])).replace("{pair}", ellipsize(text[at : at + 2]))
    word = _WORD.match(text, at)
    return at, word.end() - at if word else 1, what, hint
