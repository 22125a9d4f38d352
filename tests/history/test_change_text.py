"""The words for what changed of a node between two runs."""

from __future__ import annotations

import pytest

from nfrun.history.cache.change_text import changes


@pytest.mark.parametrize(
    ("before", "now", "text"),
    [
        ({"text": "1"}, {"text": "2"}, "its text changed"),
        ({}, {"value n": "1"}, "the value 'n' is new"),
        ({"value n": "1"}, {}, "the value 'n' is gone"),
        ({"code m:f": "1", "text": "1"}, {"code m:f": "2", "text": "2"}, "the function m:f, its text changed"),
        ({"code m:C": "1", "code a.m:A_B": "1"}, {}, "the definition m:C, the definition a.m:A_B are gone"),
        ({"code a.m:*": "1"}, {"code a.m:*": "unreadable"}, "the module a.m changed"),
        ({}, {"code a.m:import": "1"}, "what runs when a.m is imported is new"),
        ({}, {f"file {n}": "1" for n in "abcdef"}, "the file a, the file b, the file c, the file d and 2 more are new"),
        ({"input t": "1"}, {"input t": "2"}, "the input 't' changed"),
        ({"needs a": "1"}, {"needs a": "2"}, "what 'a' depends on changed"),
        ({"variable TZ": "1"}, {"variable TZ": "2"}, "the variable TZ changed"),
        ({"file a b.csv": "1"}, {"file a b.csv": "2"}, "the file a b.csv changed"),
        ({"outputs": ""}, {"outputs": "a"}, "the names of its outputs changed"),
        ({"format": "csv"}, {"format": "arrow"}, "its format changed"),
        ({"code p:**": "1"}, {"code p:**": "2"}, "which modules there are below p changed"),
        ({"code :**": "1"}, {"code :**": "2"}, "which modules there are below the folder changed"),
        ({"scheme": "1", "kind": "run"}, {"scheme": "2", "kind": "sql"}, "how nfrun runs it, its kind changed"),
        ({"node": "a"}, {"node": "b"}, "its name changed"),
        ({"endpoint": "1", "header A": ""}, {"endpoint": "2"}, "its endpoint changed, its header A is gone"),
        ({"package polars": "1.3"}, {"package polars": "1.4"}, "polars 1.3 -> 1.4"),
        ({f"package {n}": "1" for n in "abcdef"}, {f"package {n}": "2" for n in "abcdef"},
         "a 1 -> 2, b 1 -> 2, c 1 -> 2, d 1 -> 2, 2 more packages changed"),
        ({"interpreter": "3.11", "kind": ""}, {"interpreter": "3.12", "kind": "1"},
         "its kind changed, Python 3.11 -> 3.12"),
        ({"package a": "1", "package b": "1"}, {"package b": "2", "interpreter": "3.11"},
         "the version of Python is new, the package a is gone, b 1 -> 2"),
        ({"file a": ""}, {"file b": "", "text": ""}, "the file b, its text are new, the file a is gone"),
    ],
)  # fmt: skip
def test_changes_are_described(before: dict[str, str], now: dict[str, str], text: str) -> None:
    assert changes(before, now) == text
