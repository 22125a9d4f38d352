"""Hides the values of secrets in text, in all the forms that values take on their way into it.

Knows neither where values come from nor where the text goes.
"""

from __future__ import annotations

import codecs
import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator

HIDDEN = "***"
CUT = "…"  # where text was shortened, half of a value may be left

_LEAST = 4  # characters of a line, or of what is seen of a value in base64, that are hidden by themselves
_LEAST_CUT = 3  # characters of a value at a cut; fewer tell nothing
_WRAPPED = (76, 64)  # characters that programs write in a line of base64
_JAVASCRIPT, _WHOLE_URL = "!'()*", ";,/?:@&=+$!'()*#"  # what its functions for a part and for a whole leave as it is

_HEAD = 16  # characters of a form that are searched for
_LOOK = 4  # characters that tell most of the time that no form begins with them

Span = tuple[int, int]


class Redactor:
    """Puts `***` in place of each value, and of every form of it: where forms overlap, once for all of it."""

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values for form in forms_of(value)}
        self._heads = _Prefixes(forms)
        self._tails = _Prefixes(form[::-1] for form in forms)
        # To compile whole forms takes seconds where they are long: their heads are searched for, and the rest compared.
        self._forms: dict[str, list[str]] = {}
        for form in sorted(forms, key=lambda form: (-len(form), form)):
            self._forms.setdefault(form[:_HEAD], []).append(form)
        self._sizes = sorted({len(head) for head in self._forms}, reverse=True)
        self._pattern = _pattern(self._forms) if forms else None

    def __bool__(self) -> bool:
        """Whether there is anything to hide."""
        return self._pattern is not None

    def __call__(self, text: str) -> str:
        """The text without the values; also without the part of one that is left where the text was cut by `…`."""
        if self._pattern is None:
            return text
        spans = list(self._spans(text))
        if CUT in text:
            spans = sorted([*spans, *self._halves(text)])
        return _hidden(text, spans) if spans else text

    def stream(self) -> Stream:
        """What hides values in a text that comes in pieces."""
        return Stream(self)

    def sieve(self) -> Sieve | None:
        """The same for bytes; None where there is nothing to hide."""
        return Sieve(self.stream()) if self else None

    def _spans(self, text: str) -> Iterator[Span]:
        """Where forms are, the longest at each start, in order; they may overlap."""
        assert self._pattern is not None
        found = self._pattern.search(text)
        while found:
            start = found.start()
            for size in self._sizes:
                heads = self._forms.get(text[start : start + size], ())
                longest = next((form for form in heads if text.startswith(form, start)), "")
                if longest:
                    yield start, start + len(longest)
                    break
            found = self._pattern.search(text, start + 1)

    def _halves(self, text: str) -> Iterator[Span]:
        for cut in re.finditer(f"{CUT}+", text):
            before = self._heads.begun(text[max(0, cut.start() - self._heads.longest) : cut.start()])
            if before >= _LEAST_CUT:
                yield cut.start() - before, cut.start()
            after = self._tails.begun(text[cut.end() : cut.end() + self._tails.longest][::-1])
            if after >= _LEAST_CUT:
                yield cut.end(), cut.end() + after


class Stream:
    """Gives back what it is fed, hidden, but for what may be the beginning of a form. All together is as if at once."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = ""
        self._covered = 0  # characters at the begin of what is held that are part of what is hidden already

    def feed(self, text: str) -> str:
        """Take the next piece; returns what can be given away by now."""
        if not self._redactor:
            return text
        text = self._held + text
        return self._give(text, len(text) - self._redactor._heads.begun(text))

    def end(self) -> str:
        """What is left, after the last piece. The next one begins anew."""
        return self._give(self._held, len(self._held)) if self._held else ""

    def _give(self, text: str, until: int) -> str:
        spans = [(0, self._covered), *self._redactor._spans(text)]
        given, done = [], 0
        for start, end in _merged(spans):
            if start >= self._covered:  # else it is hidden already
                if start >= until:
                    break
                given += [text[done:start], HIDDEN]
            done = end
        given.append(text[done:until])
        self._held, self._covered = text[until:], max(0, done - until)
        return "".join(given)


class Sieve:
    """A stream of bytes, taken for UTF-8; those that are not stay what they are."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode

    def feed(self, data: bytes) -> bytes:
        """As `Stream.feed`."""
        return self._stream.feed(self._decode(data)).encode(errors="surrogateescape")

    def end(self) -> bytes:
        """As `Stream.end`."""
        text = self._stream.feed(self._decode(b"", final=True)) + self._stream.end()
        return text.encode(errors="surrogateescape")


class _Prefixes:
    """Finds what may become one of several words."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = sorted(words)
        self._begins = {word[:size] for word in self._words for size in range(1, _LOOK + 1)}
        self.longest = max(map(len, self._words), default=0)

    def begun(self, text: str) -> int:
        """How many characters at the end of the text are the beginning of a word, and not all of it; the most."""
        for start in range(max(0, len(text) - self.longest + 1), len(text)):
            if text[start : start + _LOOK] in self._begins:
                tail = text[start:]
                at = bisect_left(self._words, tail)
                at += at < len(self._words) and self._words[at] == tail
                if at < len(self._words) and self._words[at].startswith(tail):
                    return len(tail)
        return 0


def forms_of(value: str) -> set[str]:
    """All that is to be hidden of a value: itself, its lines, and both as they are written in other notations.

    Of a value that is shorter than 4 characters, itself and what escapes it; nothing of a blank one.
    """
    forms: set[str] = set()
    if not value.strip():
        return forms
    parts = {value, value.strip()} | {line.strip() for line in value.splitlines() if len(line.strip()) >= _LEAST}
    for part in parts:
        forms.update(_escaped(part))
        data = part.encode(errors="surrogateescape")
        forms.add(data.decode(errors="replace"))
        if len(data) >= _LEAST:
            forms.update(_base64(data))
    return {form for form in forms if form.strip()}


def _escaped(text: str) -> Iterator[str]:
    """The text in strings of JSON, Python, URLs, HTML and shells."""
    import html
    import shlex
    from urllib.parse import quote, quote_plus

    sound = text.encode(errors="backslashreplace").decode()
    yield from (text, sound)
    for ascii_only in (True, False):
        as_json = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield from (as_json, as_json.replace("/", "\\/"), json.dumps(as_json)[1:-1])
    yield from (repr(text)[1:-1], repr(text + "'\"")[1:-4], repr(text.encode(errors="surrogateescape"))[2:-1])
    yield from (html.escape(text), html.escape(text, quote=False), html.escape(text).replace("&#x27;", "&#39;"))
    for url in (*(quote(sound, safe=safe) for safe in ("", "/", _JAVASCRIPT, _WHOLE_URL)), quote_plus(sound)):
        yield from (url, re.sub("%..", lambda found: found[0].lower(), url))
    yield from (shlex.quote(text), text.replace("'", "'\"'\"'"), text.replace("'", "'\\''"))
    yield re.sub(r"([^\w@%+=:,./-])", r"\\\1", text)
    yield re.sub(r"^[#~]|[\s'\"\\|&;()<>!{}*\[\]?^$`,]", lambda found: f"\\{found[0]}", text)  # bash's %q
    yield from (_in_dollar_quotes(text, bytewise=False), _in_dollar_quotes(text, bytewise=True))
    yield from (ascii(text)[1:-1], ascii(text + "'\"")[1:-4], text.encode("ascii", "backslashreplace").decode())
    yield text.replace("/", "\\/")
    yield re.sub(r'([$`"\\])', r"\\\1", text)


def _in_dollar_quotes(text: str, *, bytewise: bool) -> str:
    """The text as bash has it within $'…', characters beyond ASCII as bytes where they are not the locale's."""
    named = dict(zip("\a\b\x1b\f\n\r\t\v\\'", "abEfnrtv\\'", strict=True))

    def written(character: str) -> str:
        if character in named:
            return f"\\{named[character]}"
        if character.isprintable() and (character.isascii() or not bytewise):
            return character
        return "".join(f"\\{byte:03o}" for byte in character.encode(errors="surrogateescape"))

    return "".join(map(written, text))


def _base64(data: bytes) -> Iterator[str]:
    """The data in base64, alone and as a part of more, wherever in it: those characters that nothing else decides."""
    import base64

    alone = base64.b64encode(data).decode()
    found = {alone, alone.rstrip("=")}
    for width in _WRAPPED:
        lines = {alone[start : start + width] for start in range(0, len(alone), width)}
        found |= {line for line in lines if len(line.rstrip("=")) >= _LEAST}
    for before in range(3):
        text = base64.b64encode(bytes(before) + data).decode()
        found.add(text[-(-before * 8 // 6) : (before + len(data)) * 8 // 6])
    for form in found:
        yield from (form, form.replace("+", "-").replace("/", "_"))


def _pattern(heads: Iterable[str]) -> re.Pattern[str]:
    """Matches where one of the heads is. By first characters, so that few of many are tried."""
    groups: dict[str, list[str]] = {}
    for head in heads:
        groups.setdefault(head[0], []).append(re.escape(head[1:]))
    return re.compile("|".join(f"{re.escape(first)}(?:{'|'.join(rest)})" for first, rest in groups.items()))


def _merged(spans: Iterable[Span]) -> Iterator[Span]:
    """Spans in order, those that overlap as one; none for those of nothing."""
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


def _hidden(text: str, spans: Iterable[Span]) -> str:
    parts, done = [], 0
    for start, end in _merged(spans):
        parts += [text[done:start], HIDDEN]
        done = end
    return "".join([*parts, text[done:]])
