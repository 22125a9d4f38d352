"""Tests of `Redactor`: it masks secrets in four notations, whole or in chunks, and nothing else."""

from __future__ import annotations

import base64
import json
import random
import re
import textwrap
import urllib.parse
from collections.abc import Callable

import pytest
from random_seeds import seeds

from nfrun.system.logs.redaction import Redactor

PLAIN = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
ODD = "p@ss w0rd/+?=&'x\"`$HOME`\\é\t<€>"
KEY = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEA\r\n7bq93kfLw0q2\n}\n-----END KEY-----\n"

NOTATIONS: list[Callable[[str], str]] = [
    str,
    json.dumps,
    lambda v: json.dumps({"a": [v]}, ensure_ascii=False),
    lambda v: json.dumps(json.dumps(v)),
    lambda v: json.dumps(v).replace("/", "\\/"),
    urllib.parse.quote,
    lambda v: urllib.parse.quote(v, safe=""),
    lambda v: re.sub("%..", lambda found: found[0].lower(), urllib.parse.quote(v)),
    urllib.parse.quote_plus,
    lambda v: urllib.parse.urlencode({"t": v}),
    lambda v: urllib.parse.quote(v, safe="!'()*"),
    lambda v: urllib.parse.quote(v, safe=";,/?:@&=+$!'()*#"),
    lambda v: f"https://me:{v}@x.org/",
    lambda v: urllib.parse.quote(urllib.parse.quote(v)),
    lambda v: re.sub("%..", lambda found: found[0].lower(), urllib.parse.quote(v)).replace("%", "%25"),
    lambda v: base64.b64encode(b"id:" + v.encode()).decode().replace("/", "\\/"),
    lambda v: urllib.parse.quote(base64.b64encode(b"i:" + v.encode()).decode()),
]


class Texts:
    """The filter of a redactor, for texts."""

    def __init__(self, redactor: Redactor) -> None:
        found = redactor.filter()
        assert found is not None
        self.filter = found

    def feed(self, text: str) -> str:
        return self.filter.feed(text.encode()).decode()

    def end(self) -> str:
        return self.filter.end().decode()


@pytest.mark.parametrize("value", [PLAIN, ODD])
@pytest.mark.parametrize("notation", NOTATIONS)
def test_a_value_is_masked_in_each_notation(value: str, notation: Callable[[str], str]) -> None:
    text = Redactor([value])(f"before {notation(value)} after")
    assert text.startswith("before ")
    assert text.endswith(" after")
    assert "***" in text
    for part in ("p@ss", "w0rd", "HOME", "p%40", "16C7", "8B4a"):
        assert part not in text


@pytest.mark.parametrize("value", [PLAIN, ODD, "abcd", "abcde", "abcdef"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_value_is_masked_in_base64_at_any_offset(value: str, encode: Callable[[bytes], bytes]) -> None:
    redactor = Redactor([value])
    for before in range(7):
        for after in range(4):
            whole = encode(b"u" * before + value.encode() + b"v" * after).decode()
            for text in (whole, whole.rstrip("=")):
                rest = redactor(f"<{text}>")
                assert "***" in rest, (before, after)
                # The rest are characters that also encode the neighbours: less than one byte at each end.
                assert len(rest.replace("=", "")) - len("<***>") <= (before + after) * 4 / 3 + 3, rest
    assert redactor(encode(value.encode()).decode()) == "***"
    assert redactor(encode(value.encode()).decode().rstrip("=")) == "***"


def test_base64_in_lines_is_masked() -> None:
    value = "".join(random.Random(1).choice("abcdefghij0123456789") for _ in range(200))
    whole = base64.b64encode(value.encode()).decode()
    redactor = Redactor([value])
    for width in (76, 64):
        assert redactor(textwrap.fill(whole, width)) == "***"


def test_a_form_is_masked_although_another_begins_before_its_end() -> None:
    stream = Texts(Redactor(["aaaa"]))  # of FhYW and hYWFh
    assert stream.feed("F\nh\nY\n") == "F\nh\nY\n"
    assert stream.feed("W") == ""
    assert stream.feed("\nH\n") + stream.end() == "***\nH\n"


LINE_ENDS = ["\n", "\r\n", "\n  ", "\\n", "\\r\\n", "\\\\n", "\\\n", "\n\n"]
BASE64 = [base64.b64encode, base64.urlsafe_b64encode]


def in_lines(text: str, chance: random.Random) -> str:
    width = chance.choice([1, 2, 3, chance.randint(4, 90), 60, 64, 76])
    return chance.choice(LINE_ENDS).join(text[start : start + width] for start in range(0, len(text), width))


def redact_in_chunks(redactor: Redactor, text: str, chance: random.Random) -> str:
    stream, redacted, start = Texts(redactor), "", 0
    max_size = chance.choice([1, 3, 20, 200])
    while start < len(text):
        size = chance.randint(1, max_size)
        redacted += stream.feed(text[start : start + size])
        start += size
    return redacted + stream.end()


def any_value(chance: random.Random) -> str:
    letters = chance.choice(["abcdefghij0123456789", "aZ/+?\"'\\%é€", "".join(map(chr, range(33, 127)))])
    return "".join(chance.choices(letters, k=chance.randint(12, 150)))


@pytest.mark.parametrize("seed", seeds(4, 20))
def test_values_in_lines_and_in_chunks_are_masked(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(4):
        value, notation = any_value(chance), chance.choice(BASE64)
        data, before, after = value.encode(), *(chance.randbytes(chance.randint(0, 90)) for _ in range(2))
        text = f"the words before\n{in_lines(notation(before + data + after).decode(), chance)}\nand those after\n"
        redactor = Redactor([value, "another"])
        redacted = redact_in_chunks(redactor, text, chance)
        assert redacted == redactor(text), (value, text)
        assert "***" in redacted
        assert redacted.startswith("the words before\n")
        assert redacted.endswith("\nand those after\n")
        # the characters that depend on the value alone
        own = notation(before + data)[-(-len(before) * 8 // 6) : len(before + data) * 8 // 6].decode()
        redacted = re.sub(r"\\+[rn]|[^\w+/-]", "", redacted)
        assert not any(own[start : start + 8] in redacted for start in range(len(own) - 7)), (value, text)


@pytest.mark.parametrize("seed", seeds(2, 10))
def test_text_without_values_passes_unchanged(seed: int) -> None:
    chance = random.Random(seed)
    redactor = Redactor([any_value(chance) for _ in range(3)])
    for _ in range(5):
        text = in_lines(chance.choice(BASE64)(any_value(chance).encode()).decode(), chance)
        text += f"\n{any_value(chance)}\n{chance.randbytes(90).decode(errors='replace')}"
        assert redactor(text) == text
        assert redact_in_chunks(redactor, text, chance) == text


def test_a_line_whose_end_may_begin_a_value_is_not_held_back() -> None:
    whole = base64.b64encode(b"user" + PLAIN.encode()).decode()
    for count in range(1, 4):
        stream = Texts(Redactor([PLAIN]))
        first = f"a line {whole[6 : 6 + count]}\n"
        assert stream.feed(first) == first
        assert stream.feed(whole[6 + count :] + "\n") + stream.end() == "***E=\n", "bits of what comes after it"


def test_every_line_of_a_value_is_masked() -> None:
    redactor = Redactor([KEY])
    for line in KEY.splitlines():
        if line != "}":
            assert redactor(f"a {line} b") == "a *** b"
            assert redactor(f"a {base64.b64encode(line.encode()).decode()} b") == "a *** b"
    assert redactor("{}") == "{}", "what is as short as that says nothing and is everywhere"
    assert redactor(f"<{KEY}>") == "<***>"
    assert redactor(f"<{KEY.strip()}>") == "<***>"
    assert redactor(json.dumps(KEY)) == '"***"'


def test_a_short_value_is_masked() -> None:
    assert Redactor(["k9"])("a k9 b") == "a *** b"
    assert Redactor(["7"])("17 of 27") == "1*** of 2***"


def test_empty_values_mask_nothing() -> None:
    for redactor in (Redactor([]), Redactor([""]), Redactor(["", " ", "\n"])):
        assert not redactor
        assert redactor("all of it… ") == "all of it… "
        assert redactor.filter() is None
    assert Redactor(["x"])


def test_a_text_that_resembles_values_is_unchanged() -> None:
    text = "what a token ghp_16C7e42F292c6912E7710c838347Ae178B4 is, … and \x1b[0m\ud800"
    assert Redactor([PLAIN, ODD, KEY])(text) == text


def test_overlapping_values_are_masked_as_one() -> None:
    assert Redactor(["abcdef", "defghi"])("xabcdefghiy") == "x***y"
    assert Redactor(["abc", "abcdef"])("xabcdefy") == "x***y", "the longest first"
    assert Redactor(["abc"])("abcabc") == "******"
    assert Redactor(["aXa"])("aXaXa") == "***"


def test_a_value_with_invalid_utf8_is_masked() -> None:
    data = b"k\xff\xfeyy"
    value = data.decode(errors="surrogateescape")
    redactor = Redactor([value])
    assert redactor(f"a {value} b") == "a *** b"
    assert redactor(f"a {value.encode(errors='backslashreplace').decode()} b") == "a *** b"
    assert redactor(f"a {data.decode(errors='replace')} b") == "a *** b"


def test_truncated_values_are_masked() -> None:
    redactor = Redactor([PLAIN])
    assert redactor(f"a {PLAIN[:20]}… (5,000 characters)") == "a ***… (5,000 characters)"
    assert redactor(f"…{PLAIN[-20:]} b") == "…*** b"
    assert redactor(f"'{PLAIN[:15]}…{PLAIN[-10:]}'") == "'***…***'"
    assert redactor("g… gh…a") == "g… gh…a", "that little says nothing"


@pytest.mark.parametrize("seed", seeds(1, 4))
def test_text_in_chunks_is_masked_like_whole_text(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(100):
        letters = chance.choice(["ab", "ab\n", "aY W\nh", "a'\"%\\"])
        values = ["".join(chance.choices(letters, k=chance.randint(1, 9))) for _ in range(chance.randint(1, 3))]
        redactor = Redactor([*values, "another"])  # others may be blank
        text = "".join(chance.choices(letters + "x", k=chance.randint(0, 60)))
        text += "".join(chance.choice([text[-9:], *values, json.dumps(values[0])]) for _ in range(3))
        stream, redacted, start = Texts(redactor), "", 0
        while start < len(text):
            size = chance.randint(1, 7)
            redacted += stream.feed(text[start : start + size])
            start += size
        redacted += stream.end()
        assert redacted == redactor(text), (values, text)
        assert stream.feed("x") + stream.end() == "x", "it begins anew"


def test_values_with_a_common_prefix_are_told_apart() -> None:
    head = "0123456789abcdefghij"
    redactor = Redactor([head + "-one", head + "-other", "0123456"])
    assert redactor(f"{head}-one {head}-other {head}-third") == "*** *** ***789abcdefghij-third"
    assert redactor("012345 0123456") == "012345 ***"


def test_only_beginnings_of_values_are_held_back() -> None:
    stream = Texts(Redactor([PLAIN]))
    assert stream.feed(f"a {PLAIN[:5]}") == "a "
    assert stream.feed(PLAIN[5:-1]) == ""
    assert stream.feed(PLAIN[-1] + " b g") == "*** b "
    assert stream.feed("o on ") == "go on "
    assert stream.feed("gh") == ""
    assert stream.end() == "gh"


def test_the_held_back_text_is_bounded() -> None:
    stream = Texts(Redactor(["aaaa"]))
    assert "".join(stream.feed("a" * 1000) for _ in range(50)) == "***"
    assert len(stream.filter._held) < 10
    assert stream.feed("b") + stream.end() == "b"


def test_a_redacting_filter_masks_bytes() -> None:
    redactor = Redactor([ODD])
    data = b"\xff\x00 \xe2\x82" + f" {ODD} é".encode() + b"\xc3"
    for size in (1, 2, 3, 5, 100):
        redacting_filter = redactor.filter()
        assert redacting_filter is not None
        redacted = (
            b"".join(redacting_filter.feed(data[start : start + size]) for start in range(0, len(data), size))
            + redacting_filter.end()
        )
        assert redacted == b"\xff\x00 \xe2\x82 *** \xc3\xa9\xc3"
