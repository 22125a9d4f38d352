"""A YAML file as plain values that remember where they stand: decides which YAML is taken; knows no pipeline."""

from __future__ import annotations

import bisect
import gc
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from yaml import YAMLError, events
from yaml._yaml import CParser

from nfrun.errors import Problem, SpecError, Where, near, shorten

MAX_BYTES = 67_108_864
MAX_DEPTH = 64
MAX_ALIASED = 100_000
MAX_PROBLEMS = 1_000

# A place is one int, the cheapest thing that says it all: offset of the first character << 32 | length in characters.
# Lines and columns are worked out when somebody asks, which is only for a message.
Place = int
_LENGTH = 0xFFFF_FFFF

# What libyaml counts as a line break, less NEL: that is a control character, which it never gets to see (`_clean`).
_BREAK = re.compile("\r\n|[\r\n\u2028\u2029]")
_NOT_TEXT = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]+|[\udc80-\udcff]+|[\ud800-\udc7f\udd00-\udfff\ufffe\uffff]+"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_TEXT = re.compile("[\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")  # scans fast
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ESCAPE = re.compile(r"\\(?:x(.{2})|u(.{4})|U(.{8})|(.))", re.DOTALL)
_COMMENT_OR_TAB = re.compile("#[^\r\n\u2028\u2029]*|\t+")
_ANCHOR = re.compile("&[0-9A-Za-z_-]+(?:[ \t\r\n\u2028\u2029]|#[^\r\n\u2028\u2029]*)*")
_TAG = re.compile(r"!\S*")
_WORD = re.compile(r"\w[^\s:]*|.?", re.DOTALL)

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile("[-+]?[0-9]+")
_BASED = re.compile("0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_SUSPECT = "-+.0123456789~nNtTfF"  # a plain scalar that starts with anything else is a string

_TAB = "a tab where YAML needs spaces", "use spaces to indent and to separate"
_QUOTE = "put the whole value in quotes"
_TOO_DEEP = f"nesting deeper than {MAX_DEPTH} levels", "write it flatter, or close a bracket"
_UNCLOSED = "this quote is never closed", "end the value with the same quote; inside '…' write '' for a quote"
# What libyaml says, whether it is best shown where the construct began, what it means, and what to do about it.
_SYNTAX = (
    ("expected alphabetic or numeric", True, "'{char}' at the start of a value makes it an anchor or alias", _QUOTE),
    ("expected <document start>", False, "this does not belong to what is above it",
     "check the indentation, and that the brackets and quotes above end where they should"),
    ("expected comment or line break", False, "'{char}' cannot follow '|' or '>'", "start the text on the next line"),
    ("expected '-' indicator", False, "this is not a list item, but the lines above it are",
     "start it with '- ', or indent it like what it belongs to"),
    ("expected ',' or ']'", True, "this '[' is not closed, or a ',' is missing inside it", "close it with ']'"),
    ("expected ',' or '}'", True, "this '{' is not closed, or a ',' is missing inside it", "close it with '}'"),
    ("expected node content", False, "a value cannot start with '{char}'", _QUOTE),
    ("expected ':'", True, "there is no ': ' after this key", "write 'key: value', with a space after the colon"),
    ("expected key", False, "more text after the end of a value", f"{_QUOTE}; inside '…' write '' for a quote"),
    ("cannot start any token", False, "a value cannot start with '{char}'", _QUOTE),
    ("unknown directive name", True, "a line cannot start with '%'", _QUOTE),
    ("incompatible YAML document", False, "this version of YAML is not supported", "remove the line, or write 1.2"),
    ("maximum nesting depth", False, *_TOO_DEEP),
    ("unexpected end of stream", True, *_UNCLOSED),
    ("unexpected document indicator", True, *_UNCLOSED),
    ("unknown escape character", False, "'{pair}' is no escape in double quotes",
     r"write '\\' for a backslash, or use single quotes"),
    ("block sequence entries are not allowed", False, "a list cannot start here",
     "put each '- ' on a line of its own; a text that starts with '- ' needs quotes"),
)  # fmt: skip


class Map(dict[str, Any]):
    """A mapping. `places` has, for each key, the place of the key and that of the value; `place` is the whole's."""

    __slots__ = ("place", "places")
    place: Place
    places: dict[str, tuple[Place, Place]]


class Seq(list[Any]):
    """A sequence. `places` has the place of each item; `place` is the whole's."""

    __slots__ = ("place", "places")
    place: Place
    places: list[Place]


class _Source:
    """The text of a file, and what stands in which of its lines."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.starts: list[int] = []
        # Problems in one line share one string: a thousand of them in a line of 10 MB would fill the memory.
        self.lines: dict[int, str] = {}

    def line(self, offset: int) -> tuple[int, int]:
        """The number of the line, from 1, in which the character at `offset` stands, and the offset of its start."""
        if not self.starts:
            self.starts = [0, *(m.end() for m in _BREAK.finditer(self.text))]
        number = bisect.bisect_right(self.starts, offset)
        return number, self.starts[number - 1]

    def where(self, place: Place) -> Where:
        number, first = self.line(place >> 32)
        if number not in self.lines:
            end = _BREAK.search(self.text, first)
            self.lines[number] = self.text[first : end.start() if end else None]
        text = self.lines[number]
        column = (place >> 32) - first + 1
        return Where(self.file, number, column, max(1, min(place & _LENGTH, len(text) - column + 1)), text)


@dataclass(frozen=True, slots=True)
class Document:
    """What a YAML file says. `file` is for messages; `root` is a Map, Seq, str, int, float or bool."""

    file: str
    root: Any
    _place: Place = field(repr=False, compare=False)
    _source: _Source = field(repr=False, compare=False)

    def where(self, *path: str | int) -> Where:
        """The place of the value at `path`, as in `where("nodes", "join", "inputs", 0)`.

        A value that was left empty (`key:`) is shown at its key. What comes from an alias stands at the alias, what is
        inside it at the anchor. A path that does not exist gives the place of the last part of it that does.
        """
        return self._source.where(self._find(path)[1])

    def where_key(self, *path: str | int) -> Where:
        """The place of the key that the last step of `path` names; of the value where that step is an index."""
        return self._source.where(self._find(path)[0])

    def _find(self, path: tuple[str | int, ...]) -> tuple[Place, Place]:
        value, key, place = self.root, self._place, self._place
        for step in path:
            if isinstance(value, Map) and isinstance(step, str) and step in value.places:
                key, place = value.places[step]
                value = value[step]
            elif isinstance(value, Seq) and isinstance(step, int) and 0 <= step < len(value):
                key = place = value.places[step]
                value = value[step]
            else:
                break
        return key, place


class _Enough(Exception):
    """There is no point in looking for more problems."""


class _Anchor(NamedTuple):
    value: Any
    size: int  # values in it, aliases expanded
    depth: int  # levels of mappings and sequences in it, aliases expanded


class _Open:
    """A mapping or sequence that is being filled."""

    __slots__ = ("anchor", "before", "box", "depth", "key", "key_place", "start")

    def __init__(self, box: Any, start: int = 0, anchor: str | None = None, before: int = 0) -> None:
        self.box = box
        box.places = {} if type(box) is Map else []
        self.start = start
        self.anchor = anchor
        self.before = before  # values in the document before it
        self.depth = 0  # of what is inside
        self.key: str | None = None  # the one that waits for its value
        self.key_place = 0


def _plain(text: str) -> bool | int | float | str | None:
    """What a plain scalar means in the YAML 1.2 core schema; ValueError(what, hint) if it is refused."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        # Counted first: int() raises for more than 4,300 digits.
        if len(text.lstrip("+-0")) <= 19 and -(2**63) <= (number := int(text)) < 2**63:
            return number
    elif _BASED.fullmatch(text):
        if (number := int(text[2:], 8 if text[1] == "o" else 16)) < 2**63:
            return number
    elif _FLOAT.fullmatch(text):
        if abs(real := float(text)) != float("inf"):
            return real
        raise ValueError("this number is too large", "put it in quotes if it is text; the largest is about 1.8e308")
    elif _NOT_FINITE.fullmatch(text):
        raise ValueError(f"'{text}' is not a finite number", "put it in quotes if it is text")
    else:
        return text
    raise ValueError("this integer does not fit in 64 bits", "put it in quotes if it is text; the largest is 2^63 - 1")


class _Builder:
    """Makes values of libyaml's events, and collects what is wrong with them."""

    def __init__(self, source: _Source) -> None:
        self.source = source
        self.text = source.text
        self.problems: list[Problem] = []
        self.anchors: dict[str, _Anchor | None] = {}  # None: still open
        self.count = self.aliased = 0
        self.seen = 0  # up to here there was a look for tabs
        self.has_tabs = "\t" in source.text

    def add(self, start: int, length: int, what: str, hint: str) -> None:
        self.problems.append(Problem(self.source.where(start << 32 | length), what, hint))
        if len(self.problems) >= MAX_PROBLEMS:
            raise _Enough

    def build(self, get_event: Callable[[], Any]) -> Seq:
        """The document, in a sequence that is empty if the file has only comments. Raises _Enough, YAMLError."""
        root = Seq()
        here = _Open(root)
        above: list[_Open] = []
        scalar, opens, ends = events.ScalarEvent, events.CollectionStartEvent, events.CollectionEndEvent
        for event in iter(get_event, None):
            kind = type(event)
            if kind is scalar:
                value, place = self.scalar(event)
            elif issubclass(kind, opens):
                above.append(here)
                here = self.open(event, len(above))
                continue
            elif issubclass(kind, ends):
                value, place = self.close(here, event.end_mark.index)
                depth = here.depth + 1
                here = above.pop()
                here.depth = max(here.depth, depth)
            elif kind is events.AliasEvent:
                start, end = event.start_mark.index, event.end_mark.index
                value, size, depth = self.alias(event.anchor, start, end - start, len(above))
                place = start << 32 | end - start
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
                box.places.append(place)
            elif here.key is not None:
                box[here.key] = value
                box.places[here.key] = here.key_place, place if place & _LENGTH else here.key_place
                here.key = None
            else:
                plain = type(value) is str and value not in box and value != "<<"
                here.key = value if plain else self.odd_key(box, value, place)
                here.key_place = place
        self.tabs(len(self.text))
        return root

    def scalar(self, event: Any) -> tuple[Any, Place]:
        value, style = event.value, event.style
        start, end = event.start_mark.index, event.end_mark.index
        if event.anchor is not None or event.tag is not None:
            start = min(self.properties(event), end)
        if not style:
            if value[:1] in _SUSPECT:
                try:
                    value = _plain(value)
                except ValueError as error:
                    self.add(start, end - start, *error.args)
        elif style == '"' and _CONTROL.search(value):
            self.escapes(start, end)
        if self.has_tabs:
            self.tabs(start)
            self.seen = end
        self.count += 1
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchor(value, 1, 0)
        return value, start << 32 | end - start

    def properties(self, event: Any) -> int:
        """Where the value itself starts: for libyaml it starts at its anchor or tag."""
        start: int = event.start_mark.index
        if event.tag is not None and (tag := _TAG.search(self.text, start)):
            what = f"the tag '{shorten(tag[0])}' is not supported"
            self.add(tag.start(), len(tag[0]), what, "remove it; to make a value a string, put it in quotes")
        return found.end() if (found := _ANCHOR.match(self.text, start)) else start

    def open(self, event: Any, depth: int) -> _Open:
        start = event.start_mark.index
        if depth > MAX_DEPTH:
            # Not worth going on: libyaml's time grows with the square of the depth.
            self.add(start, 1, *_TOO_DEEP)
            raise _Enough
        if event.anchor is not None or event.tag is not None:
            start = self.properties(event)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        self.count += 1
        return _Open(Map() if type(event) is events.MappingStartEvent else Seq(), start, event.anchor, self.count - 1)

    def close(self, done: _Open, end: int) -> tuple[Any, Place]:
        box, length = done.box, 1  # the dash of a block sequence
        if self.text.startswith(("{", "["), done.start):
            length = end - done.start
        elif type(box) is Map and box.places:
            length = next(iter(box.places.values()))[0] & _LENGTH  # the first key of a block mapping
        box.place = done.start << 32 | length
        if done.anchor is not None:
            self.anchors[done.anchor] = _Anchor(box, self.count - done.before, done.depth + 1)
        return box, box.place

    def alias(self, name: str, start: int, length: int, depth: int) -> _Anchor:
        """What the alias `name`, inside `depth` mappings and sequences, stands for."""
        shown, anchor = shorten(name), self.anchors.get(name)
        if anchor is not None and depth + anchor.depth <= MAX_DEPTH:
            self.aliased += anchor.size
            if self.aliased <= MAX_ALIASED:
                return anchor
            self.add(start, length, f"aliases expand to more than {MAX_ALIASED:,} values", "repeat less")
            raise _Enough
        if anchor is not None:
            what, hint = f"nesting deeper than {MAX_DEPTH} levels, aliases expanded", "write it flatter"
        elif name in self.anchors:
            what, hint = f"the alias '*{shown}' is inside its own anchor", "an alias can only repeat what is complete"
        else:
            what = f"the alias '*{shown}' has no anchor '&{shown}' above it"
            known = near(name[:80], islice(self.anchors, 100))  # not all: that could take minutes
            hint = f"did you mean '*{shorten(known)}'?" if known else "put the value in quotes if '*' is part of it"
        self.add(start, length, what, hint)
        return _Anchor("", 1, 0)

    def odd_key(self, box: Map, value: Any, place: Place) -> str:
        """Says what is wrong with a key; answers a name that no key in the file can have, to go on with."""
        start, length = place >> 32, place & _LENGTH
        written, hint = self.text[start : start + min(length, 100)], "put it in quotes if it is text"
        if isinstance(value, str) and value in box:
            what = f"'{shorten(value)}' is already defined in line {self.source.line(box.places[value][0] >> 32)[0]}"
            hint = "rename or remove one of the two"
        elif value == "<<" and not written.startswith("<<"):
            return "<<"  # in quotes it is a string like any other
        elif value == "<<":
            what = "the merge key '<<' is not part of YAML 1.2"
            hint = "write the keys out, or use 'defaults:' for what all nodes share"
        elif isinstance(value, Map) and start and self.text.startswith("{{", start - 1):
            what, hint = "'{{' starts a mapping inside a mapping", f'{_QUOTE}: "{{{{ … }}}}"'
        elif isinstance(value, Map | Seq):
            what = f"a {'mapping' if isinstance(value, Map) else 'list'} cannot be a key"
        elif not written:
            what, hint = "the key is empty", "write a name before the ':'"
        else:
            kind = {bool: "a boolean", int: "an integer", float: "a number"}.get(type(value), "null")
            what, hint = f"this key is {kind}, not a string", f'put it in quotes: "{shorten(written)}"'
        self.add(start, length, what, hint)
        return f"\0{start}"

    def escapes(self, start: int, end: int) -> None:
        """Refuses the escapes in a double-quoted scalar that make control characters."""
        for found in _ESCAPE.finditer(self.text, start, end):
            code = found[1] or found[2] or found[3]
            if _CONTROL.match(chr(int(code, 16))) if code else found[4] in "0abvfreN":
                what = f"the escape '{found[0]}' makes a control character"
                self.add(found.start(), len(found[0]), what, r"only newline (\n) and tab (\t) are allowed")

    def tabs(self, end: int) -> None:
        """Refuses the tabs before `end` that are in no scalar; in comments they do no harm."""
        if self.has_tabs:
            for found in _COMMENT_OR_TAB.finditer(self.text, self.seen, end):
                if found[0][0] == "\t":
                    self.add(found.start(), len(found[0]), *_TAB)


def _syntax(error: Any, text: str) -> tuple[int, int, str, str]:
    """libyaml's words for what it could not read in a reader's: offset and length in `text`, what it is, a hint."""
    said, at = str(getattr(error, "problem", error)), getattr(getattr(error, "problem_mark", None), "index", 0)
    began: int = getattr(getattr(error, "context_mark", None), "index", at)
    before = _BREAK.split(text[:at])[-1]
    at_end = at >= len(text.rstrip())
    what, hint = f"this is not YAML: {shorten(said, 200)}", ""
    if text.startswith("\t", at):
        return at, 1, *_TAB
    if "mapping values are not allowed" in said and re.search(r":\s", before):
        what, hint = "a ': ' inside a value", _QUOTE
    elif "mapping values are not allowed" in said:
        at -= len(before.lstrip())
        what, hint = "a key cannot stand here", "check the indentation, and that the line above has its ':'"
    elif "expected key" in said and not before.strip():
        what, hint = "this line does not fit the mapping above it", "the keys of a mapping start in the same column"
    elif "expected node content" in said and at_end:
        at, what, hint = began, "the file ends in the middle of this", "close the brackets"
    else:
        for needle, at_began, known, advice in _SYNTAX:
            if needle in said:
                at, hint = began if at_began else at, advice
                what = known.replace("{char}", shorten(text[at : at + 1])).replace("{pair}", shorten(text[at : at + 2]))
                break
    at = min(at, max(0, len(text.rstrip()) - 1))  # not after the end of the file, where there is nothing to see
    word = _WORD.match(text, at)
    return at, word.end() - at if word else 1, what, hint


def _clean(builder: _Builder, text: str) -> str:
    """`text` as libyaml can read it, of the same length: what is no text is refused here and replaced there."""
    if _TEXT.fullmatch(text):
        return text
    for found in _NOT_TEXT.finditer(text):
        code, length = ord(found[0][0]), len(found[0])
        if 0xDC80 <= code <= 0xDCFF:
            what, hint = f"the byte 0x{code - 0xDC00:02x} is not UTF-8", "save the file as UTF-8"
        else:
            what, hint = f"the {'character' if code >= 0xD800 else 'control character'} U+{code:04X}", "remove it"
        builder.add(found.start(), length, what, hint)
    return _NOT_TEXT.sub(lambda m: "\ufffd" * len(m[0]), text)


def parse(text: str, file: str) -> Document:
    """The one YAML document in `text`; `file` is its name in messages.

    Raises SpecError with everything that is wrong, in file order. The search ends at the first place where the text is
    no YAML at all, at a second document, at nesting or aliases over the limit, and after MAX_PROBLEMS.
    """
    # Without its byte order mark: libyaml skips one and does not count it, which would put all columns off by one.
    text = text.lstrip("\ufeff")
    source = _Source(file, text if text.isascii() else _SURROGATE.sub("\ufffd", text))
    builder = _Builder(source)
    top = Seq()
    collecting = gc.isenabled()
    gc.disable()  # a big file makes a million objects and no garbage: looking for some takes a tenth of the time
    try:
        top = builder.build(CParser(_clean(builder, text)).get_event)
    except _Enough:
        pass
    except YAMLError as error:
        start, length, what, hint = _syntax(error, source.text)
        builder.problems.append(Problem(source.where(start << 32 | length), what, hint))
    finally:
        if collecting:
            gc.enable()
    if builder.problems:
        raise SpecError(sorted(builder.problems, key=lambda p: (p.where.line, p.where.column)))
    if not top or top[0] is None:
        _refuse(file, "the file is empty", "a pipeline file has at least 'name:' and 'nodes:'")
    return Document(file, top[0], top.places[0], source)


def _refuse(file: str, what: str, hint: str) -> NoReturn:
    raise SpecError([Problem(Where(file), what, hint)])


def load(path: str | os.PathLike[str], shown: str | None = None) -> Document:
    """The YAML document in the file `path`, called `shown` (the path itself if None) in messages.

    Only regular files are read, in UTF-8, up to MAX_BYTES. Raises SpecError for everything that is wrong.
    """
    name = os.fspath(path) if shown is None else shown
    path = Path(path)
    data = b""
    try:
        status = path.stat()  # before opening: a FIFO would wait for its writer
        if stat.S_ISDIR(status.st_mode):
            _refuse(name, "this is a folder, not a file", "give the YAML file inside it")
        if not stat.S_ISREG(status.st_mode):
            _refuse(name, "this is not a regular file", "save what it gives to a file, and give that")
        if status.st_size <= MAX_BYTES:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)  # it may have grown
    except (FileNotFoundError, NotADirectoryError):
        _refuse(name, "there is no such file", _similar(path))
    except PermissionError:
        _refuse(name, "there is no permission to read this file", "check its mode, and those of the folders above it")
    except (OSError, ValueError) as error:  # ValueError: a NUL or a lone surrogate in the path
        _refuse(name, f"this file cannot be read: {(isinstance(error, OSError) and error.strerror) or error}", "")
    if max(status.st_size, len(data)) > MAX_BYTES:
        size = max(status.st_size, len(data)) / 2**20
        _refuse(name, f"this file has {size:,.1f} MB; the limit is {MAX_BYTES >> 20} MB", "is it a data file?")
    return parse(_decode(data, name), name)


def _similar(path: Path) -> str:
    """The hint for a file that is not there."""
    try:
        found = near(path.name, [p.name for p in path.parent.iterdir() if p.suffix in (".yaml", ".yml")])
    except (OSError, ValueError):
        found = None
    return f"did you mean '{shorten(str(path.with_name(found)), 200)}'?" if found else "check the path"


def _decode(data: bytes, name: str) -> str:
    for wide, mark, bare in (
        ("UTF-32", (b"\xff\xfe\0\0", b"\0\0\xfe\xff"), rb"(?:\0\0\0[^\0])+|(?:[^\0]\0\0\0)+"),
        ("UTF-16", (b"\xff\xfe", b"\xfe\xff"), rb"(?:\0[^\0])+|(?:[^\0]\0)+"),
    ):
        if data.startswith(mark) or re.fullmatch(bare, data[:64]):
            _refuse(name, f"this file is {wide}", "save it as UTF-8")
    # Bytes that are not UTF-8 become lone surrogates, one each: `parse` can show each of them in its place.
    text = data.decode("utf-8", "surrogateescape")
    sample = text[:10_000]
    if "\0" in text or sum(len(m[0]) for m in _NOT_TEXT.finditer(sample)) > 0.3 * len(sample):
        _refuse(name, "this is a binary file, not text", "a pipeline file is YAML text in UTF-8")
    return text
