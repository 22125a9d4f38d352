"""Redacts the values of secrets in text, in four notations: as they are, in JSON, in URLs and in base64.

Text may come at once or in pieces, and in events and diagnostics. `node_logs.py` applies this to what nodes print,
`system/std_streams.py` to messages and stderr, and `reports/summary.py` to previews of tables.
"""

from __future__ import annotations

import codecs
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from nfrun.core.errors import Diagnostic
from nfrun.core.events import Event, Failure, OutputRef
from nfrun.core.values import replace

MASK = "***"
CUT = "…"  # marks shortened text, next to which part of a value may be left

_LEAST = 4  # minimum characters of a value's line, or of its part of a base64 text, to be redacted alone
_LEAST_CUT = 3  # minimum characters of a value next to a cut; fewer reveal nothing
_JAVASCRIPT, _WHOLE_URL = "!'()*", ";,/?:@&=+$!'()*#"  # left as is by encodeURIComponent, encodeURI
_LOOK = 4  # leading characters that usually suffice to rule out every form

# A gap is what stands between two lines of base64: line ends, also escaped ones, and the blanks of an indent.
_GAP = re.compile(r"(?:[\r\n]|\\{1,2}(?:[rn\s]|\Z))(?:\\{0,2}\s|\\{1,2}(?:[rn]|\Z))*+")
_LONGEST_GAP = 120  # characters, which limits the text held back

Span = tuple[int, int]


class Redactor:
    """Replaces each value, in every form, with `***`. Overlapping forms are replaced by a single mask."""

    def __init__(self, values: Iterable[str]) -> None:
        values = list(values)
        in_lines = {form for value in values for form in base64_forms_of(value)}
        forms = in_lines.union(*map(forms_of, values))
        self._forms, self._in_lines = _Words(forms), _Words(in_lines)
        self._tails = _Words(form[::-1] for form in forms)

    def __bool__(self) -> bool:
        """Return whether there is anything to redact."""
        return bool(self._forms.longest)

    def __call__(self, text: str) -> str:
        """Return the text with values redacted, also parts of values next to a cut, which is marked by `…`."""
        spans, _, _ = self._found(text)
        if CUT in text:
            spans = sorted([*spans, *self._halves(text)])
        return _masked(text, spans) if spans else text

    def filter(self) -> RedactingFilter | None:
        """Return a redactor for bytes that come in pieces; None if there is nothing to redact."""
        return RedactingFilter(self) if self else None

    def _found(self, text: str) -> tuple[list[Span], int, int]:
        """Return the sorted spans of forms, which may overlap, and two indexes for a form that may continue later.

        From the first index, the beginning of such a form, the text is held back. Output may go up to the second, where
        the form's redaction starts. Both are len(text) if there is none.
        """
        spans = list(self._forms.found(text))
        kept = until = len(text) - self._forms.begun(text)
        joined = _JoinedLines(text) if self._in_lines.longest else None
        if joined and joined.text != text:
            starts = []
            if begun := self._in_lines.begun(joined.text):
                starts.append(len(joined.text) - begun)
                until = min(until, joined.shown(starts[0]))
            for start, end in self._in_lines.found(joined.text):
                spans.append((joined.shown(start), joined.index(end - 1) + 1))
                if joined.shown(start) >= until:  # it is redacted later, and must be found again
                    starts.append(start)
            kept = min([kept, *map(joined.index, starts)])
        return sorted(spans), kept, until

    def _halves(self, text: str) -> Iterator[Span]:
        """Yield the spans of parts of values next to cuts."""
        for cut in re.finditer(f"{CUT}+", text):
            before = self._forms.begun(text[max(0, cut.start() - self._forms.longest) : cut.start()])
            if before >= _LEAST_CUT:
                yield cut.start() - before, cut.start()
            after = self._tails.begun(text[cut.end() : cut.end() + self._tails.longest][::-1])
            if after >= _LEAST_CUT:
                yield cut.end(), cut.end() + after


class RedactingFilter:
    """Redacts bytes that come in pieces, as UTF-8, and holds back what may be the beginning of a form.

    All results together equal the redacted whole text. Invalid bytes pass unchanged.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._held = ""
        self._past = 0  # leading characters of `_held` that are already returned or redacted

    def feed(self, data: bytes) -> bytes:
        """Add the next piece; return the redacted bytes that are certain by now."""
        return self._give(self._held + self._decode(data), ended=False)

    def end(self) -> bytes:
        """Return the rest of the bytes, redacted. A piece after that begins a new text."""
        return self._give(self._held + self._decode(b"", final=True), ended=True)

    def _give(self, text: str, *, ended: bool) -> bytes:
        spans, kept, until = self._redactor._found(text)
        if ended:
            kept = until = len(text)
        given, done = [], 0
        for start, end in _merged([(0, self._past), *spans]):
            if start >= self._past:  # otherwise it is redacted already
                if start >= until:
                    break
                given += [text[done:start], MASK]
            done = end
        given.append(text[done:until])
        self._held, self._past = text[kept:], max(done, until) - kept
        return "".join(given).encode(errors="surrogateescape")


class _Words:
    """Finds words in a text, and the beginning of a word at its end. One search a word is faster than a pattern."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = sorted(words)
        self._begins = {word[:size] for word in self._words for size in range(1, _LOOK + 1)}
        self.longest = max(map(len, self._words), default=0)

    def found(self, text: str) -> Iterator[Span]:
        """Yield the spans of all words in the text, which may overlap."""
        for word in self._words:
            at = text.find(word)
            while at >= 0:
                yield at, at + len(word)
                at = text.find(word, at + 1)

    def begun(self, text: str) -> int:
        """Return the length of the longest end of the text that begins a word but is not all of it; 0 if none."""
        for start in range(max(0, len(text) - self.longest + 1), len(text)):
            if text[start : start + _LOOK] in self._begins:
                tail = text[start:]
                at = bisect_right(self._words, tail)
                if at < len(self._words) and self._words[at].startswith(tail):
                    return len(tail)
        return 0


class _JoinedLines:
    """A text without its gaps, in `text`, and where its characters stand in the whole text."""

    def __init__(self, whole: str) -> None:
        parts, done, size = [], 0, 0
        self._cuts: list[int] = []  # indexes in `text` before which there is a gap
        self._after: list[int] = []  # by gap: the index in `whole` after it
        self._line_ends: dict[int, int] = {}  # by gap that ends a line: the same; it is not only an escaped line end
        for gap in _GAP.finditer(whole):
            if gap.end() - gap.start() <= _LONGEST_GAP:
                parts.append(whole[done : gap.start()])
                size += gap.start() - done
                done = gap.end()
                self._cuts.append(size)
                self._after.append(done)
                if "\n" in gap[0] or "\r" in gap[0]:
                    self._line_ends[size] = done
        self.text = "".join([*parts, whole[done:]])

    def index(self, at: int) -> int:
        """Return where the character with this index in `text` stands in the whole text."""
        gap = bisect_right(self._cuts, at) - 1
        return at if gap < 0 else self._after[gap] + at - self._cuts[gap]

    def shown(self, start: int) -> int:
        """Return the index in the whole text from which a form that starts here is redacted.

        Lines often end with fewer than 4 characters that may begin a form. They are shown without delay, because users
        wait for them.
        """
        ends = (self._line_ends.get(at) for at in range(start + _LEAST - 1, start, -1))
        return next((end for end in ends if end is not None), self.index(start))


def forms_of(value: str) -> set[str]:
    """Return the forms of a value but for base64: itself, its lines of at least 4 characters, both in JSON and URLs.

    A value of fewer than 4 characters counts too; a blank one has no forms.
    """
    return {form for part in _parts(value) for form in _written(part) if form.strip()}


def base64_forms_of(value: str) -> set[str]:
    """Return the base64 forms of a value, and of its lines, if they have at least 4 bytes."""
    parts = [part.encode(errors="surrogateescape") for part in _parts(value)]
    return {form for data in parts if len(data) >= _LEAST for form in _base64(data)}


def _parts(value: str) -> set[str]:
    if not value.strip():
        return set()
    return {value, value.strip()} | {line.strip() for line in value.splitlines() if len(line.strip()) >= _LEAST}


def _written(text: str) -> Iterator[str]:
    """Yield the text as it is, in strings of JSON, also in JSON within JSON, and in URLs, also in URLs within URLs."""
    from urllib.parse import quote, quote_plus

    sound = text.encode(errors="backslashreplace").decode()
    yield from (text, sound, text.encode(errors="surrogateescape").decode(errors="replace"))
    for ascii_only in (True, False):
        as_json = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield from (as_json, as_json.replace("/", "\\/"), json.dumps(as_json)[1:-1])
    for url in (*(quote(sound, safe=safe) for safe in ("", "/", _JAVASCRIPT, _WHOLE_URL)), quote_plus(sound)):
        for one in (url, _in_lower_case(url)):
            yield from (one, one.replace("%", "%25"))


def _base64(data: bytes) -> Iterator[str]:
    """Yield the data in base64, alone and inside longer data: the characters that depend on no neighbour."""
    import base64
    from urllib.parse import quote

    alone = base64.b64encode(data).decode()
    found = {alone, alone.rstrip("=")}
    for before in range(3):
        text = base64.b64encode(bytes(before) + data).decode()
        found.add(text[-(-before * 8 // 6) : (before + len(data)) * 8 // 6])
    for form in found:
        url = quote(form, safe="")
        yield from (form, form.replace("+", "-").replace("/", "_"), form.replace("/", "\\/"), url, _in_lower_case(url))


def _in_lower_case(url: str) -> str:
    """Return a URL with its escapes in lower case, as some programs write them."""
    return re.sub("%..", lambda found: found[0].lower(), url)


def _merged(spans: Iterable[Span]) -> Iterator[Span]:
    """Yield sorted spans with overlapping ones merged and empty ones dropped."""
    start = end = 0
    for one, other in spans:
        if one < end:
            end = max(end, other)
            continue
        if end > start:
            yield start, end
        start, end = one, other
    if end > start:
        yield start, end


def _masked(text: str, spans: Iterable[Span]) -> str:
    parts, done = [], 0
    for start, end in _merged(spans):
        parts += [text[done:start], MASK]
        done = end
    return "".join([*parts, text[done:]])


# ------------------------------------------------------------------ events and diagnostics


# The fields whose text may come from a node, with `type` of a failure. Names of nodes and paths of outputs stay as they
# are. A schema has the names of columns.
_TEXTS = frozenset(
    (
        *("text", "why", "error", "failure", "checks", "inputs", "made", "outputs", "ref", "schema"),  # of events
        *("message", "frames", "details", "rows", "sample"),  # of failures
        *("file", "function", "source", "reason", "shown"),  # of frames and of checks
    )
)


def redact_events(redactor: Redactor, emit: Callable[[Event], None]) -> Callable[[Event], None]:
    """Wrap `emit` so that it gets events with redacted text. Without secrets, returns `emit` itself."""
    return (lambda event: emit(redacted(event, redactor))) if redactor else emit


def redacted(found: Any, redact: Callable[[str], str]) -> Any:
    """Return an event, or a value in one, with all text redacted that may come from a node."""
    if isinstance(found, str):
        return redact(found)
    if isinstance(found, tuple):
        return tuple([redacted(item, redact) for item in found])
    if isinstance(found, Mapping):
        return {key if isinstance(v, OutputRef) else redact(key): redacted(v, redact) for key, v in found.items()}
    texts = {*_TEXTS, "type"} if isinstance(found, Failure) else _TEXTS
    names = [name for name in getattr(found, "__dataclass_fields__", ()) if name in texts]
    return replace(found, **{name: redacted(getattr(found, name), redact) for name in names}) if names else found


def redact_diagnostic(diagnostic: Diagnostic, redact: Callable[[str], str]) -> Diagnostic:
    """Return the diagnostic with its message, hint and source line redacted."""
    where = replace(diagnostic.span, text=redact(diagnostic.span.text))
    return Diagnostic(where, redact(diagnostic.message), redact(diagnostic.hint))


def redact_value(value: Any, redact: Callable[[str], str]) -> Any:
    """Return a JSON value with all text in it redacted. A number that is a secret becomes a text."""
    if isinstance(value, Mapping):
        return {redact(str(key)): redact_value(item, redact) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_value(item, redact) for item in value]
    text = value if isinstance(value, str) else json.dumps(value)
    redacted = redact(text)
    return value if redacted == text else redacted
