"""Tests of what a run and its hosts send to each other: every value comes back as it was, and nothing else does."""

from __future__ import annotations

import datetime
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from nfrun.cluster.wire import (
    Ended,
    HostConfig,
    RemoteOrder,
    Told,
    WireError,
    from_text,
    to_text,
)
from nfrun.core.contracts import Check, CheckResult, Contract
from nfrun.core.errors import Cause, SourceSpan
from nfrun.core.events import CallStarted, ChecksStarted, Failure, Frame, NodeStarted, Outcome, OutputRef
from nfrun.core.file_source import FileSource, SourceFile
from nfrun.core.map_spec import MapForm, MapSpec
from nfrun.core.observation import Observation, SharedObservation
from nfrun.core.pipeline import Gather, Input, NodeSpec, OutputId, Pipeline, Retry
from nfrun.core.values import fields
from nfrun.engine.executors.worker import AttemptOrder, CallOrder
from nfrun.rows.piece import Piece
from nfrun.rows.recorder import WorkerData

A, B = OutputId("a.b", "left"), OutputId("b")
REF = OutputRef(A, 3, 24, "n: int64", digest="x:1", schema_digest="n", files=None, checksum="c", size=99)
NODE = NodeSpec(
    "fit@lr",
    "python",
    "cv:fit",
    (Input("t", A, gather=Gather("concat", ("m",), {A: ("lr", 1), B: (None, 2.5)}, {"m": "string"}), type=".pkl"),),
    {"spec": {"$": "odd", "id": "lr"}, "day": datetime.date(2024, 1, 2), "list": [1, (2,), {"k": None}]},
    ("left",),
    ("x",),
    {"LOG": "a\ud800b"},
    retry=Retry(3, 0.5),
    timeout=1.5,
    contracts={"left": Contract({"n": "int"}, (Check("range", {"n": [0, 1]}, "r"),))},
    types={"left": ".pkl"},
    source=SourceSpan("p.yaml", 3, 4, included=(SourceSpan("q.yaml"),)),
    map=MapSpec("t", 7, keep=("a",), form=MapForm(False, ("a",), per_row=True), max_failed=2),
)
START = NodeStarted(1.5, NODE.id, 2, {A: REF}, 0.25, {"gpu": (0, 1)})
SOURCE = FileSource((SourceFile("a", "/a", "c", (1, 2), ("DE", None)),), ("n",), b"\x00\xff", ("c",))
SEEN = Observation(
    {"f.txt": "1"}, hosts=("h:1",), shared=(SharedObservation((("f.py", 3),), True, ("a",), False, Observation()),)
)
VALUES = [
    AttemptOrder(NODE, START, (A, B), True),
    CallOrder(
        NODE,
        CallStarted(0.0, "a", 1, {}, 0.0, None, 4, ((3, 0, 1),), 2, True),
        (),
        pieces=(Piece(b"k" * 16, 1, 2, b"\x01"),),
        data=WorkerData("file:///s/data/x.arrow", "/f", "1-x", True, {"r": "1"}),
    ),
    AttemptOrder(NODE, ChecksStarted(0.0, "a", 1, made={A: REF}), ()),
    Ended(
        "t", Outcome("a", 1, None, {B: OutputRef(B, 0, 5, "", files=SOURCE, type="folder")}, 0.5, input_waits={A: 1.0})
    ),
    Ended(
        "t",
        Outcome(
            "a",
            1,
            Failure(Cause.NODE, "ValueError", "no\nü", (Frame("s.py", 1, "f", "x"),), "d", ("i",), 28, 1.0),
            observation=SEEN,
            checks=(CheckResult("u", A, "error", False, 3, 9, "p", "", ({"n": "1"},), "k"),),
        ),
    ),
    Ended("t", records=b"\x00" * 9, evidence={"p": "data/checks-t-0.arrow"}, lost="why"),
    Told("t", "printed", ("stdout", bytes(range(256)))),
    Told("t", "logged", (("info", "a\x1b\u2028"),)),
    Told("t", "progressed", (1, None)),
    Told("t", "progressed", (math.inf, 2.5)),
    RemoteOrder(
        "t",
        HostConfig(
            "run", "1-x", Pipeline("p.yaml", "/p", "p", "", {}, {"A": "1"}, {}, {"o": A}), "/store", folders=("../x",)
        ),
        AttemptOrder(NODE, START, ()),
        {"V": "1"},
    ),
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    text = to_text(value)
    found = from_text(text)
    assert text.isascii()
    assert found == value
    assert to_text(found) == text
    same_types(found, value)


def same_types(found: Any, value: Any) -> None:
    """Check that also what is equal but not the same, as 1 and True or an id and a text, is of its type."""
    assert type(found) is type(value)
    if isinstance(value, OutputId):
        assert (found.node, found.name) == (value.node, value.name)
    elif isinstance(value, dict):
        for one, other in zip(found.items(), value.items(), strict=True):
            same_types(one, other)
    elif isinstance(value, list | tuple):
        for one, other in zip(found, value, strict=True):
            same_types(one, other)
    elif hasattr(value, "__dataclass_fields__"):
        for each in fields(value):
            same_types(getattr(found, each.name), getattr(value, each.name))


@pytest.mark.parametrize(
    "plain",
    [
        datetime.datetime(2024, 1, 2, 3, 4, 5, 6, datetime.UTC),
        datetime.time(1, 2),
        Decimal("1.50"),
        frozenset({("b",), ("a",)}),
        Path("/a/b"),
        10**30,
        {1: "a", None: True},
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_in_the_file_comes_back_as_it_was(plain: Any) -> None:
    found = from_text(to_text(plain))
    assert found == plain
    assert type(found) is type(plain)


@pytest.mark.parametrize(
    "wrong", [object(), lambda: None, {"k": {1, 2}}, bytearray(b"x")], ids=lambda w: type(w).__name__
)
def test_what_is_no_value_is_not_sent(wrong: Any) -> None:
    with pytest.raises(WireError, match="cannot be sent"):
        to_text(wrong)


def _text(value: Any, version: Any = 1) -> str:
    return json.dumps({"version": version, "value": value})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a message is damaged (JSONDecodeError: Expecting value: line 1 column 1 (char 0))"),
        ("[1]", "a message is damaged (TypeError: list indices must be integers or slices, not str)"),
        ("{}", "a message is damaged (KeyError: 'version')"),
        ("[" * 100_000, "a message is damaged (RecursionError: maximum recursion depth exceeded"),
        (_text(1, 2), "a message has version 2, and this nfrun has 1"),
        (_text({"$": "Popen", "args": "ls"}), "a message has a 'Popen', which this nfrun does not know"),
        (_text({"$": ["x"]}), "a message is damaged (TypeError"),
        (_text({"$": "Told", "token": "t", "more": 1}), "a 'Told' has 'more', which this nfrun does not know"),
        (_text({"$": "Told"}), "a message is damaged (TypeError"),
        (_text({"$": "id", "v": [1, 2]}), "a message is damaged (an id is two texts)"),
        (_text({"$": "bytes", "v": "ä"}), "a message is damaged (ValueError"),
        (_text({"$": "cause", "v": "none"}), "a message is damaged (ValueError: 'none' is not a valid Cause)"),
    ],
    ids=range(12),
)
def test_a_text_that_is_not_ours_is_refused(text: str, message: str) -> None:
    with pytest.raises(WireError) as error:
        from_text(text)
    assert str(error.value).startswith(message)
