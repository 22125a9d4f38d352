"""Turns the syntax errors of libyaml into messages for users, each with its place and a hint."""

from __future__ import annotations

import re
from typing import Any

from nfrun.core.text import ellipsize

MAX_DEPTH = 64

# The line breaks of libyaml except NEL, a control character that `document.py` replaces beforehand.
BREAK = re.compile("\r\n|[\r\n\u2028\u2029]")
_WORD = re.compile(r"\w[^\s:]*|.?", re.DOTALL)

TAB = "a tab where YAML needs spaces", "use spaces to indent and to separate"
QUOTE = "put the whole value in quotes"
TOO_DEEP = f"nesting deeper than {MAX_DEPTH} levels", "write it flatter, or close a bracket"
_AFTER_END = "more text after the end of a value"
_UNCLOSED = "this quote is never closed", "end the value with the same quote; inside '…' write '' for a quote"
# Part of libyaml's message; whether to show the error where the construct began; our message; the hint.
_SYNTAX = (
    ("expected alphabetic or numeric", True, "'{char}' at the start of a value makes it an anchor or alias", QUOTE),
    ("expected <document start>", False, "this does not belong to what is above it",
     "check the indentation, and that the brackets and quotes above end where they should"),
    ("expected comment or line break", False, "'{char}' cannot follow '|' or '>'", "start the text on the next line"),
    ("expected '-' indicator", False, "this is not a list item, but the lines above it are",
     "start it with '- ', or indent it like what it belongs to"),
    ("expected ',' or ']'", True, "this '[' is not closed, or a ',' is missing inside it", "close it with ']'"),
    ("expected ',' or '}'", True, "this '{' is not closed, or a ',' is missing inside it", "close it with '}'"),
    ("expected node content", False, "a value cannot start with '{char}'", QUOTE),
    ("expected ':'", True, "there is no ': ' after this key", "write 'key: value', with a space after the colon"),
    ("expected key", False, _AFTER_END, f"{QUOTE}; inside '…' write '' for a quote"),
    ("cannot start any token", False, "a value cannot start with '{char}'", QUOTE),
    ("mapping keys are not allowed", False, "a value cannot start with '? '", QUOTE),
    ("unknown directive name", True, "a line cannot start with '%'", QUOTE),
    ("incompatible YAML document", False, "this version of YAML is not supported", "remove the line, or write 1.2"),
    ("maximum nesting depth", False, *TOO_DEEP),
    ("unexpected end of stream", True, *_UNCLOSED),
    ("unexpected document indicator", True, *_UNCLOSED),
    ("unknown escape character", False, "'{pair}' is no escape in double quotes",
     r"write '\\' for a backslash, or use single quotes"),
    ("block sequence entries are not allowed", False, "a list cannot start here",
     "put each '- ' on a line of its own; a text that starts with '- ' needs quotes"),
)  # fmt: skip


def explain(error: Any, text: str) -> tuple[int, int, str, str]:
    """Return the offset and length of a libyaml error in `text`, in characters, and its message and hint for users."""
    said, at = str(getattr(error, "problem", error)), getattr(getattr(error, "problem_mark", None), "index", 0)
    began: int = getattr(getattr(error, "context_mark", None), "index", at)
    before = BREAK.split(text[:at])[-1]
    at_end = at >= len(text.rstrip())
    what, hint = f"this is not YAML: {ellipsize(said, 200)}", ""
    if text.startswith("\t", at):
        return at, 1, *TAB
    if after_end := _after_end(before, said):
        at, what, hint = at - len(before) + after_end, _AFTER_END, f"{QUOTE}; inside '…' write '' for a quote"
    elif "expected ',' or" in said and (found := _in_brackets(text, at, before)):
        at, what, hint = found
    elif "expected node content" in said and text.startswith(",", at):
        what, hint = "there is nothing before this ','", "remove it"
    elif "expected key" in said and text.startswith(("]", "}"), at):
        what, hint = f"this '{text[at]}' closes nothing", "remove it, or open it before"
    elif "mapping values are not allowed" in said and re.search(r":\s", before):
        what, hint = "a ': ' inside a value", QUOTE
    elif "mapping values are not allowed" in said:
        at -= len(before.lstrip())
        what, hint = "a key cannot stand here", "check the indentation, and that the line above has its ':'"
    elif "expected key" in said and not before.strip():
        what, hint = "this line does not fit the mapping above it", "the keys of a mapping start in the same column"
    elif "expected node content" in said and at_end:
        at, what, hint = began, "the file ends in the middle of this", "close the brackets"
    else:
        for needle, at_began, meaning, suggestion in _SYNTAX:
            if needle in said:
                at, hint = began if at_began else at, suggestion
                what = meaning.replace("{char}", ellipsize(text[at : at + 1])).replace(
                    "{pair}", ellipsize(text[at : at + 2])
                )
                break
    line = BREAK.split(text[len(text[:at]) - len(before) : at + 1000])[0]
    if "expected ',' or" in said and " #" in line:
        hint = f"{hint}; ' #' starts a comment: a text that has it needs quotes"
    at = min(at, max(0, len(text.rstrip()) - 1))  # not after the end of the file, where there is no text to show
    word = _WORD.match(text, at)
    return at, word.end() - at if word else 1, what, hint


def _after_end(before: str, said: str) -> int:
    """Return where in the line an operator follows a value that has ended, as in `run: "x" && y`; 0 if none does."""
    found = re.search(r"""(?:["'\]}]) *([&|>][&|>=]* *)$""", before) or re.search(r"""["'\]}] +()$""", before)
    is_it = "alphabetic or numeric" in said or "comment or line break" in said
    return found.start(1) if found and is_it else 0


def _in_brackets(text: str, at: int, before: str) -> tuple[int, str, str] | None:
    """Return the place, message and hint for a value in brackets that needs quotes; None if brackets are at fault."""
    char = text[at : at + 1]
    if before.rstrip().endswith("$") and text.startswith("{{", at):
        return at - 1, "an expression in { } or [ ] without quotes", f'{QUOTE}: "${{{{ … }}}}"'
    if char == ":" and re.search(r":\s", before):
        word = re.search(r"\w*$", before)
        is_key = f"; if '{word[0]}' is a key, write a ',' before it" if word and word[0] else ""
        return at, "a ': ' inside a value", QUOTE + is_key
    if char and char in "{[":
        return at, f"a '{char}' inside a value", QUOTE
    if before.rstrip().endswith(("'", '"')) and char and char not in "]}":
        key = re.compile(r"(\w+)\s*:\s").match(text, at)
        is_key = f"if '{key[1]}' is a key, write a ',' before it" if key else "inside '…' write '' for a quote"
        return at, _AFTER_END, f"{QUOTE}; {is_key}"
    return None
