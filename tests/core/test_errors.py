"""Diagnostics: the exact texts in which they are rendered."""

from __future__ import annotations

import errno

import pytest

from nfrun.core.errors import Cause, Diagnostic, SourceSpan, SpecError, cause_of, render, render_all
from nfrun.core.text import closest_match, ellipsize, escape_controls


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), Cause.IO),
        (OSError(errno.EPERM, "Operation not permitted"), Cause.PERMISSION),
        (MemoryError(), Cause.IO),
        (ImportError("libarrow.so.2600: failed to map segment from shared object"), Cause.IO),
        (ImportError("cannot create shared object descriptor: Cannot allocate memory"), Cause.IO),
        (ImportError("libssl.so.1: cannot open shared object file: No such file or directory"), Cause.INTERNAL),
        (ModuleNotFoundError("No module named 'nfrun.gone'"), Cause.INTERNAL),
        (RuntimeError("failed to map segment"), Cause.INTERNAL),
    ],
)
def test_cause_of_tells_errors_of_the_system_from_bugs(error: Exception, cause: Cause) -> None:
    assert cause_of(error) is cause


def test_closest_match_finds_a_misspelt_word() -> None:
    assert closest_match("extrat", ["users", "extract"]) == "extract"


def test_closest_match_ignores_case_and_returns_the_known_spelling() -> None:
    assert closest_match("EXTRACT", ["users", "Extract"]) == "Extract"


def test_closest_match_returns_the_closest_of_several() -> None:
    assert closest_match("reed", ["users", "reads", "read"]) == "read"


@pytest.mark.parametrize("word", ["", "zzz", "e"])
def test_closest_match_returns_none_if_no_word_is_similar(word: str) -> None:
    assert closest_match(word, ["extract", "users"]) is None
    assert closest_match(word, []) is None


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain: ä, 漢, 🙂 'quoted'", "plain: ä, 漢, 🙂 'quoted'"),
        ("line\n\tindented", "line\n\tindented"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("over\rwritten", r"over\x0dwritten"),
        ("\x00\x08\x0b\x0c\x1f\x7f\x80\x9f", r"\x00\x08\x0b\x0c\x1f\x7f\x80\x9f"),
        ("\u061c\u200e\u200f\u2028\u2029\u202a\u202e", r"\u061c\u200e\u200f\u2028\u2029\u202a\u202e"),
        ("\u2066\u2069\ufeff", r"\u2066\u2069\ufeff"),
        ("caf\udce9.csv", r"caf\udce9.csv"),
        ("\u00a0\u200d\u2027\u202f\u2065\u206a", "\u00a0\u200d\u2027\u202f\u2065\u206a"),
    ],
)
def test_escape_controls_escapes_control_characters_and_leaves_other_text(text: str, escaped: str) -> None:
    assert escape_controls(text) == escaped
    assert escape_controls(escaped) == escaped
    assert escaped.encode()


def test_ellipsize_leaves_out_the_middle() -> None:
    assert ellipsize("abcdefghij", 10) == "abcdefghij"
    assert ellipsize("abcdefghijk", 10) == "abcdef…ijk"
    assert ellipsize("a" * 60) == "a" * 60
    assert ellipsize("a" * 40 + "b" * 21) == "a" * 39 + "…" + "b" * 20


def test_ellipsize_escapes_line_breaks_before_it_counts() -> None:
    assert ellipsize("one\ntwo\tthree\x1b") == r"one\ntwo\tthree\x1b"
    assert ellipsize("\n\n\n", 5) == r"\n\…n"


@pytest.mark.parametrize("limit", range(1, 12))
def test_ellipsize_never_exceeds_the_limit(limit: int) -> None:
    assert len(ellipsize("abcdefghijklm", limit)) == limit


def test_a_source_span_prints_as_file_line_and_column_or_as_the_file() -> None:
    assert str(SourceSpan("etl.yaml", 14, 12)) == "etl.yaml:14:12"
    assert str(SourceSpan("etl.yaml")) == "etl.yaml"


def test_a_diagnostic_shows_its_line_a_caret_and_the_hint() -> None:
    span = SourceSpan("pipelines/etl.yaml", 14, 14, 6, "    inputs: [extrat, users]")
    diagnostic = Diagnostic(
        span, "node 'join' reads 'extrat', which is not defined", "did you mean 'extract' (line 6)?"
    )
    assert render(diagnostic) == (
        "pipelines/etl.yaml:14:14: node 'join' reads 'extrat', which is not defined\n"
        "   14 |     inputs: [extrat, users]\n"
        "      |              ^^^^^^ did you mean 'extract' (line 6)?"
    )


def test_a_diagnostic_without_a_hint_ends_with_the_caret() -> None:
    assert (
        render(Diagnostic(SourceSpan("a.yaml", 1, 4, 1, "x: 12"), "no"))
        == "a.yaml:1:4: no\n    1 | x: 12\n      |    ^"
    )


def test_a_diagnostic_of_the_whole_file_shows_no_line() -> None:
    assert render(Diagnostic(SourceSpan("a.yaml"), "it is empty")) == "a.yaml: it is empty"
    assert render(Diagnostic(SourceSpan("a.yaml"), "it is empty", "see --help")) == "a.yaml: it is empty\n   see --help"


def test_a_diagnostic_without_the_text_of_its_line_shows_the_span_only() -> None:
    assert render(Diagnostic(SourceSpan("a.yaml", 3, 2), "no", "do this")) == "a.yaml:3:2: no\n   do this"


def test_a_long_line_number_moves_the_caret_along() -> None:
    assert render(Diagnostic(SourceSpan("a.yaml", 1234567, 2, 2, "abc"), "no")) == (
        "a.yaml:1234567:2: no\n1234567 | abc\n        |  ^^"
    )


def test_there_is_always_a_caret_and_never_more_than_forty() -> None:
    text = "y" * 100
    assert render(Diagnostic(SourceSpan("a", 1, 1, 0, text), "no")).splitlines()[2] == "      | ^"
    assert render(Diagnostic(SourceSpan("a", 1, 1, 99, text), "no")).splitlines()[2] == "      | " + "^" * 40


def test_the_caret_is_aligned_after_escapes_and_tabs() -> None:
    assert render(Diagnostic(SourceSpan("a\x1b\n.yaml", 3, 5, 3, "\ta\x1b: bad"), "no\x07", "\u202ehint")) == (
        "a\\x1b\\n.yaml:3:5: no\\x07\n"
        "    3 | \ta\\x1b: bad\n"
        "      | \t      ^^^ \\u202ehint"
    )  # fmt: skip


def test_a_very_long_line_is_cut_to_the_part_around_the_caret() -> None:
    text = "a" * 300 + "BBBBB" + "c" * 300
    assert render(Diagnostic(SourceSpan("a.yaml", 1, 301, 5, text), "far", "here")) == (
        "a.yaml:1:301: far\n"
        f"    1 | {'a' * 80}BBBBB{'c' * 75}\n"
        f"      | {' ' * 80}^^^^^ here"
    )  # fmt: skip
    assert render(Diagnostic(SourceSpan("a.yaml", 1, 3, 1, text), "near", "here")) == (
        "a.yaml:1:3: near\n"
        f"    1 | {'a' * 160}\n"
        "      |   ^ here"
    )  # fmt: skip
    exactly = "a" * 160
    assert render(Diagnostic(SourceSpan("a.yaml", 1, 160, 9, exactly), "end")) == (
        f"a.yaml:1:160: end\n    1 | {exactly}\n      | {' ' * 159}^"
    )


def test_diagnostics_are_sorted_by_file_line_and_column() -> None:
    diagnostics = [
        Diagnostic(SourceSpan("b.yaml", 1, 1), "third"),
        Diagnostic(SourceSpan("a.yaml", 10, 1), "second"),
        Diagnostic(SourceSpan("a.yaml", 9, 7), "first, at the right"),
        Diagnostic(SourceSpan("a.yaml", 9, 2), "first, at the left"),
        Diagnostic(SourceSpan("a.yaml"), "the whole"),
    ]
    assert render_all(diagnostics) == (
        "a.yaml: the whole\n"
        "a.yaml:9:2: first, at the left\n"
        "a.yaml:9:7: first, at the right\n"
        "a.yaml:10:1: second\n"
        "b.yaml:1:1: third"
    )
    assert render_all([]) == ""


def test_only_the_first_diagnostics_are_shown_and_the_rest_are_counted() -> None:
    diagnostics = [Diagnostic(SourceSpan("a", line), "no") for line in range(1, 54)]
    lines = render_all(diagnostics).splitlines()
    assert len(lines) == 51
    assert lines[49:] == ["a:50: no", "… and 3 more problems"]
    assert render_all(diagnostics[:3], limit=2) == "a:1: no\na:2: no\n… and 1 more problem"
    assert render_all(diagnostics[:2], limit=2) == "a:1: no\na:2: no"


def test_a_spec_error_counts_and_shows_its_diagnostics() -> None:
    diagnostic = Diagnostic(SourceSpan("a"), "no")
    assert SpecError([diagnostic]).summary == "1 problem"
    assert SpecError([diagnostic, diagnostic]).summary == "2 problems"
    assert str(SpecError([diagnostic, diagnostic])) == "a: no\na: no"
    assert SpecError([diagnostic]).diagnostics == (diagnostic,)


def test_the_caret_stands_under_wide_characters() -> None:
    span = SourceSpan("p.yaml", 2, 3, 3, "  日本語: {rn: echo}")
    assert render(Diagnostic(span, "what")).split("\n")[1:] == ["    2 |   日本語: {rn: echo}", "      |   ^^^^^^"]
    after = SourceSpan("p.yaml", 2, 9, 2, "  日本語: {rn: echo}")
    assert render(Diagnostic(after, "what")).split("\n")[2] == "      |            ^^"
