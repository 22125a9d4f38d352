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

from nfrun.core.contracts import CheckResult
from nfrun.core.errors import Diagnostic
from nfrun.core.events import (
    AttemptStopped,
    ChecksStarted,
    Event,
    Failure,
    Frame,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeLogged,
    NodeRetrying,
    NodeStarted,
    OutputPublished,
    OutputRef,
    OutputReleased,
    RunFinished,
)
from nfrun.core.values import replace

MASK = "***"
CUT = "…"  # marks shortened text, next to which part of a value may be left

_LEAST = 4  # minimum characters of a value's line, or of its part of a base64 text, to be redacted alone
_LEAST_CUT = 3  # minimum characters of a value next to a cut; fewer reveal nothing
_JAVASCRIPT, _WHOLE_URL = "!'()*", ";,/?:@&=+$!'()*#"  # left as is by encodeURIComponent, encodeURI
_WIDTHS, _LEAST_LINE = (64, 76), 8  # of lines of base64, as programs write them; a shorter last line stays
_LOOK = 4  # leading characters that usually suffice to rule out every form

Span = tuple[int, int]


class Redactor:
    """Replaces each value, in every form, with `***`. Overlapping forms are replaced by a single mask."""

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values for form in forms_of(value)}
        self.forms, self._tails = _Words(forms), _Words(form[::-1] for form in forms)

    def __bool__(self) -> bool:
        """Return whether there is anything to redact."""
        return bool(self.forms.longest)

    def __call__(self, text: str) -> str:
        """Return the text with values redacted, also parts of values next to a cut, which is marked by `…`."""
        spans = sorted([*self.forms.found(text), *(self._halves(text) if CUT in text else ())])
        return _masked(text, spans) if spans else text

    def stream(self) -> Stream:
        """Return a redactor for one text that comes in pieces."""
        return Stream(self)

    def filter(self) -> RedactingFilter | None:
        """Return the same for bytes; None if there is nothing to redact."""
        return RedactingFilter(self.stream()) if self else None

    def _halves(self, text: str) -> Iterator[Span]:
        """Yield the spans of parts of values next to cuts."""
        for cut in re.finditer(f"{CUT}+", text):
            before = self.forms.begun(text[max(0, cut.start() - self.forms.longest) : cut.start()])
            if before >= _LEAST_CUT:
                yield cut.start() - before, cut.start()
            after = self._tails.begun(text[cut.end() : cut.end() + self._tails.longest][::-1])
            if after >= _LEAST_CUT:
                yield cut.end(), cut.end() + after


class Stream:
    """Redacts text that comes in pieces, and holds back what may be the beginning of a form.

    All results together equal the redacted whole text.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = ""
        self._past = 0  # leading characters of `_held` that are already returned or redacted

    def feed(self, text: str) -> str:
        """Add the next piece; return the redacted text that is certain by now."""
        return self._give(self._held + text, ended=False)

    def end(self) -> str:
        """Return the rest of the text, redacted. A piece after that begins a new text."""
        return self._give(self._held, ended=True) if self._held else ""

    def _give(self, text: str, *, ended: bool) -> str:
        forms = self._redactor.forms
        spans, until = sorted(forms.found(text)), len(text) - (0 if ended else forms.begun(text))
        given, done = [], 0
        for start, end in _merged([(0, self._past), *spans]):
            if start >= self._past:  # otherwise it is redacted already
                if start >= until:
                    break
                given += [text[done:start], MASK]
            done = end
        given.append(text[done:until])
        self._held, self._past = text[until:], max(done, until) - until
        return "".join(given)


class RedactingFilter:
    """A `Stream` over bytes, decoded as UTF-8. Invalid bytes pass unchanged."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode

    def feed(self, data: bytes) -> bytes:
        """Redact the next bytes as `Stream.feed` does."""
        return self._stream.feed(self._decode(data)).encode(errors="surrogateescape")

    def end(self) -> bytes:
        """Return the rest of the bytes as `Stream.end` does."""
        text = self._stream.feed(self._decode(b"", final=True)) + self._stream.end()
        return text.encode(errors="surrogateescape")


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


def forms_of(value: str) -> set[str]:
    """Return the forms of a value and of its lines of at least 4 characters.

    A value of fewer than 4 characters counts too, but not in base64; a blank one has no forms.
    """
    parts = _parts(value)
    data = [part.encode(errors="surrogateescape") for part in parts]
    written = {form for part in parts for form in _written(part) if form.strip()}
    return written.union(*(_base64(each) for each in data if len(each) >= _LEAST))


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
    """Yield the data in base64: alone, in lines, and inside longer data the characters that depend on no neighbour."""
    import base64
    from urllib.parse import quote

    alone = base64.b64encode(data).decode()
    found = {alone, alone.rstrip("=")}
    lines = (alone[at : at + width] for width in _WIDTHS for at in range(0, len(alone), width))
    found.update(line for line in lines if len(line) >= _LEAST_LINE)
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


# By class: the fields whose text may come from a node. Names of nodes and paths of outputs stay as they are.
_TEXTS: Mapping[type, tuple[str, ...]] = {
    NodeLogged: ("text",),
    NodeStarted: ("inputs",),
    ChecksStarted: ("inputs", "made"),
    NodeFinished: ("outputs", "checks"),
    NodeFailed: ("failure", "checks"),
    NodeRetrying: ("failure",),
    NodeCancelled: ("why",),
    AttemptStopped: ("why",),
    OutputPublished: ("ref",),
    OutputReleased: ("ref",),
    RunFinished: ("error",),
    Failure: ("type", "message", "frames", "details", "inputs", "rows", "sample"),
    Frame: ("file", "function", "source"),
    CheckResult: ("reason", "shown"),
    OutputRef: ("schema",),  # it has the names of columns
}


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
    names: tuple[str, ...] = next((_TEXTS[kind] for kind in type(found).__mro__ if kind in _TEXTS), ())
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
