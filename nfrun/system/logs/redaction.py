"""Redacts the values of secrets in text, in the forms that programs write: escaped, quoted, in URLs, base64 or hex.

Text may come at once or in pieces. `event_redaction.py` applies this to events, and `system/std_streams.py` to stderr.
"""

from __future__ import annotations

import codecs
import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator

from nfrun.core.values import frozen

MASK = "***"
CUT = "…"  # marks shortened text, next to which part of a value may be left

_LEAST = 4  # minimum characters of a value's line, or of its part of a base64 text, to be redacted alone
_LEAST_CUT = 3  # minimum characters of a value next to a cut; fewer reveal nothing
_WRAPPED = (76, 64)  # characters in a line of base64, by program
_JAVASCRIPT, _WHOLE_URL = "!'()*", ";,/?:@&=+$!'()*#"  # left as is by encodeURIComponent, encodeURI

_UNSAFE = ("<>&", "<>&='", "<>&'+`")  # escaped in JSON for web pages by Go, Gson, .NET

_HEAD = 16  # leading characters of a form that the pattern searches for
_SPREAD_HEAD = 4  # the same for a form that gaps may spread
_GAP = 40  # maximum line ends, blanks and separators in a gap, which limits the text held back
_SPREAD_SIZE = _SPREAD_HEAD + 3 * _GAP * (_SPREAD_HEAD - 1)  # maximum characters of such a head with gaps
_LOOK = 4  # leading characters that usually suffice to rule out every form

Span = tuple[int, int]


@frozen
class Gaps:
    """What programs put between the characters of a form: line ends, indents, separators of bytes.

    `between` matches a gap or nothing. `one` matches a gap; at the end of a text, also the beginning of a gap.
    """

    between: str
    one: re.Pattern[str]

    def end(self, form: str, text: str, start: int) -> int:
        """Return the end of the form at `start`; `start` if it is not there; len(text) + 1 if the text ends first."""
        at, done = start, 0
        while not text.startswith(form[done:], at):
            gap = self.one.search(text, at, at + len(form) + 3 * _GAP)  # a search without limit is slow
            piece = text[at : gap.start()] if gap else text[at : at + len(form)]
            if not piece or not form.startswith(piece, done):
                return start
            done += len(piece)
            at = gap.end() if gap else len(text)
            if at == len(text):
                return at + 1
        return at + len(form) - done

    def shown(self, text: str, start: int) -> int:
        """Return the index from which a form at `start` is redacted: after its first lines if they have little of it.

        Lines often end with fewer than 4 characters that may begin a form. They are shown without delay, because users
        wait for them.
        """
        shown, inside = start, 0
        for gap in self.one.finditer(text, start, start + _SPREAD_SIZE):
            inside += gap.end() - gap.start()
            if gap.end() - start - inside >= _SPREAD_HEAD:
                break
            if "\n" in gap[0] or "\r" in gap[0]:
                shown = gap.end()
        return shown


# `re` tries millions of positions: the first character must suffice to rule out a gap.
_MORE_LINES, _GROUP = rf"(?:\\{{0,2}}\s|\\{{1,2}}[rn]){{0,{_GAP - 1}}}+", r"[\s:;,%&#xrn\\-]"
LINES = Gaps(
    rf"(?:[\r\n\\](?:(?<=[\r\n])|\\?[rn\s]){_MORE_LINES}|)",
    re.compile(rf"(?:[\r\n]|\\{{1,2}}[rn\s]){_MORE_LINES}(?:\\{{1,2}}\Z)?|\\{{1,2}}\Z"),
)
GROUPS = Gaps(rf"(?:{_GROUP}{_GROUP}{{0,{_GAP - 1}}}+|)", re.compile(rf"{_GROUP}{{1,{_GAP}}}+"))


class Redactor:
    """Replaces each value, in every form, with `***`. Overlapping forms are replaced by a single mask."""

    def __init__(self, values: Iterable[str]) -> None:
        values = list(values)
        forms = {form for value in values for form in forms_of(value)}
        spread = {form: gaps for value in values for form, gaps in spread_forms_of(value)}
        self._heads = _Prefixes(forms | spread.keys())
        self._tails = _Prefixes(form[::-1] for form in forms | spread.keys())
        # Compiling long forms takes seconds: the pattern finds only their heads, and the rest is compared.
        self._forms = _by_heads(forms, _HEAD)
        self._spread = {
            gaps: _by_heads((form for form in spread if spread[form] is gaps), _SPREAD_HEAD) for gaps in (LINES, GROUPS)
        }
        self._sizes = sorted({len(head) for head in self._forms}, reverse=True)
        heads = [(word, gaps.between) for gaps, words in self._spread.items() for word in words]
        self._pattern = re.compile(_matching([*((head, "") for head in self._forms), *heads])) if forms else None
        self._begins = [(gaps, *_beginning(words, gaps.between)) for gaps, words in self._spread.items() if words]

    def __bool__(self) -> bool:
        """Return whether there is anything to redact."""
        return self._pattern is not None

    def __call__(self, text: str) -> str:
        """Return the text with values redacted, also parts of values next to a cut, which is marked by `…`."""
        if self._pattern is None:
            return text
        spans, _, _ = self._found(text)
        if CUT in text:
            spans = sorted([*spans, *self._halves(text)])
        return _masked(text, spans) if spans else text

    def stream(self) -> Stream:
        """Return a redactor for one text that comes in pieces."""
        return Stream(self)

    def filter(self) -> RedactingFilter | None:
        """Return the same for bytes; None if there is nothing to redact."""
        return RedactingFilter(self.stream()) if self else None

    def _found(self, text: str) -> tuple[list[Span], int, int]:
        """Return the sorted spans of forms, which may overlap, and two indexes for a form that may continue later.

        From the first index, the beginning of such a form, the text is held back. Output may go up to the second, where
        the form's redaction starts. Both are len(text) if there is none.
        """
        assert self._pattern is not None
        spans, kept, until = [], *self._begun(text)
        found = self._pattern.search(text)
        while found:
            start = found.start()
            ends = list(self._ends(text, start))
            if any(end > len(text) for _, end in ends):
                kept, until = min(kept, start), min(until, *(shown for shown, end in ends if end > len(text)))
            spans += [(shown, end) for shown, end in ends if end <= len(text)]
            found = self._pattern.search(text, start + 1)
        return sorted(spans), kept, until

    def _ends(self, text: str, start: int) -> Iterator[Span]:
        """Yield the spans to redact of forms that begin at `start`; an end is beyond the text if that ends first."""
        for size in self._sizes:
            for form in self._forms.get(text[start : start + size], ()):
                if text.startswith(form, start):
                    yield start, start + len(form)
        for gaps, forms in self._spread.items():
            if forms:
                head = text[start : start + _SPREAD_HEAD]
                if gaps.one.search(head):
                    head = gaps.one.sub("", text[start : start + _SPREAD_SIZE])[:_SPREAD_HEAD]
                for form in forms.get(head, ()):
                    end = gaps.end(form, text, start)
                    if end > start:
                        yield gaps.shown(text, start), end

    def _begun(self, text: str) -> tuple[int, int]:
        """Return the last two results of `_found` for beginnings shorter than a spread form's head or another form."""
        until = kept = len(text) - self._heads.begun(text)
        for gaps, pattern, begins in self._begins:
            begun = pattern.search(text, max(0, len(text) - _SPREAD_SIZE))
            while begun:
                if gaps.one.sub("", begun[0]) in begins:
                    kept, until = min(kept, begun.start()), min(until, gaps.shown(text, begun.start()))
                begun = pattern.search(text, begun.start() + 1)
        return kept, until

    def _halves(self, text: str) -> Iterator[Span]:
        """Yield the spans of parts of values next to cuts."""
        for cut in re.finditer(f"{CUT}+", text):
            before = self._heads.begun(text[max(0, cut.start() - self._heads.longest) : cut.start()])
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
        if not self._redactor:
            return text
        return self._give(self._held + text, ended=False)

    def end(self) -> str:
        """Return the rest of the text, redacted. A piece after that begins a new text."""
        return self._give(self._held, ended=True) if self._held else ""

    def _give(self, text: str, *, ended: bool) -> str:
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


class _Prefixes:
    """Finds texts that end with the beginning of one of several words."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = sorted(words)
        self._begins = {word[:size] for word in self._words for size in range(1, _LOOK + 1)}
        self.longest = max(map(len, self._words), default=0)

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
    """Return the forms of a value to redact: itself, its lines of at least 4 characters, and both in other notations.

    A value of fewer than 4 characters counts too; a blank one has no forms.
    """
    forms: set[str] = set()
    for part in _parts(value):
        forms.update(_escaped(part))
        forms.add(part.encode(errors="surrogateescape").decode(errors="replace"))
    return {form for form in forms if form.strip()}


def spread_forms_of(value: str) -> Iterator[tuple[str, Gaps]]:
    """Yield the base64 and hex forms with the gaps that may be in them, for values and lines of at least 4 bytes."""
    for part in _parts(value):
        data = part.encode(errors="surrogateescape")
        if len(data) >= _LEAST:
            yield from ((form, LINES) for form in _base64(data))
            yield from ((form, GROUPS) for form in (data.hex(), data.hex().upper()))


def _parts(value: str) -> set[str]:
    if not value.strip():
        return set()
    return {value, value.strip()} | {line.strip() for line in value.splitlines() if len(line.strip()) >= _LEAST}


def _escaped(text: str) -> Iterator[str]:
    """Yield the text as written in strings of JSON, Python, URLs, HTML and shells."""
    import html
    import shlex
    from urllib.parse import quote, quote_plus

    sound = text.encode(errors="backslashreplace").decode()
    yield from (text, sound)
    for ascii_only in (True, False):
        as_json = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield from (as_json, as_json.replace("/", "\\/"), json.dumps(as_json)[1:-1])
        for characters in _UNSAFE:
            safe = re.sub(f"[{characters}]", lambda found: f"\\u{ord(found[0]):04x}", as_json)
            yield from (safe, _capital(safe), _capital(safe.replace('\\"', "\\u0022")))
    yield from (repr(text)[1:-1], repr(text + "'\"")[1:-4], repr(text.encode(errors="surrogateescape"))[2:-1])
    yield from (html.escape(text), html.escape(text, quote=False), html.escape(text).replace("&#x27;", "&#39;"))
    for url in (*(quote(sound, safe=safe) for safe in ("", "/", _JAVASCRIPT, _WHOLE_URL)), quote_plus(sound)):
        for one in (url, re.sub("%..", lambda found: found[0].lower(), url)):
            yield from (one, one.replace("%", "%25"))
    yield from (shlex.quote(text), text.replace("'", "'\"'\"'"), text.replace("'", "'\\''"))
    yield re.sub(r"([^\w@%+=:,./-])", r"\\\1", text)
    yield re.sub(r"^[#~]|[\s'\"\\|&;()<>!{}*\[\]?^$`,]", lambda found: f"\\{found[0]}", text)  # bash's %q
    yield from (_in_dollar_quotes(text, bytewise=False), _in_dollar_quotes(text, bytewise=True))
    yield from (ascii(text)[1:-1], ascii(text + "'\"")[1:-4], text.encode("ascii", "backslashreplace").decode())
    yield text.replace("/", "\\/")
    yield re.sub(r'([$`"\\])', r"\\\1", text)


def _capital(text: str) -> str:
    return re.sub(r"\\u[0-9a-f]{4}", lambda found: f"\\u{found[0][2:].upper()}", text)


def _in_dollar_quotes(text: str, *, bytewise: bool) -> str:
    """Return the text as bash writes it in $'…'. `bytewise`: non-ASCII characters are octal bytes, as in C locales."""
    named = dict(zip("\a\b\x1b\f\n\r\t\v\\'", "abEfnrtv\\'", strict=True))

    def written(character: str) -> str:
        if character in named:
            return f"\\{named[character]}"
        if character.isprintable() and (character.isascii() or not bytewise):
            return character
        return "".join(f"\\{byte:03o}" for byte in character.encode(errors="surrogateescape"))

    return "".join(map(written, text))


def _base64(data: bytes) -> Iterator[str]:
    """Yield the data in base64, alone and inside longer data: the characters that depend on no neighbour."""
    import base64
    from urllib.parse import quote

    alone = base64.b64encode(data).decode()
    found = {alone, alone.rstrip("=")}
    for width in _WRAPPED:
        lines = {alone[start : start + width] for start in range(0, len(alone), width)}
        found |= {line for line in lines if len(line.rstrip("=")) >= _LEAST}
    for before in range(3):
        text = base64.b64encode(bytes(before) + data).decode()
        found.add(text[-(-before * 8 // 6) : (before + len(data)) * 8 // 6])
    for form in found:
        url = quote(form, safe="")
        yield from (form, form.replace("+", "-").replace("/", "_"), form.replace("/", "\\/"))
        yield from (url, re.sub("%..", lambda found: found[0].lower(), url))


def _by_heads(forms: Iterable[str], size: int) -> dict[str, list[str]]:
    """Group the forms by their first `size` characters, the longest form first."""
    found: dict[str, list[str]] = {}
    for form in sorted(forms, key=lambda form: (-len(form), form)):
        found.setdefault(form[:size], []).append(form)
    return found


def _matching(heads: Iterable[tuple[str, str]]) -> str:
    """Return a pattern that matches any of the heads, each given with the pattern of gaps between its characters.

    Alternatives are grouped by first characters, so that few are tried.
    """
    rests: dict[tuple[str, str], list[str]] = {}
    for head, between in heads:
        rests.setdefault((head[0], between), []).append(head[1:])
    firsts: dict[str, list[str]] = {}
    for (first, between), left in rests.items():
        inner = "" if "" in left else f"{between}{_matching((rest, between) for rest in left)}"
        firsts.setdefault(first, []).append(inner)
    return _either([re.escape(first) + _either(inner) for first, inner in firsts.items()])


def _either(patterns: list[str]) -> str:
    return patterns[0] if len(patterns) == 1 else f"(?:{'|'.join(patterns)})"


def _beginning(heads: Iterable[str], between: str) -> tuple[re.Pattern[str], set[str]]:
    """Return a pattern for the end of a text that may begin a head, and the set of all beginnings of heads."""
    begins = {head[:size] for head in heads for size in range(1, _SPREAD_HEAD)}
    one = f"[{''.join(sorted(map(re.escape, set().union(*begins))))}]"
    return re.compile(rf"{one}(?:{between}{one}){{0,{_SPREAD_HEAD - 2}}}{between}\\{{0,2}}\Z"), begins


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
