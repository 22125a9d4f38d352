"""What of a document is masked: texts and users' numbers, but no times, no sizes, and no names of nodes."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from nfrun.lookback.page.run_data import masked
from nfrun.system.logs.redaction import Redactor

_ROWS = {"checks": [{"name": "a", "failing_rows": [{"id": "***", "kind": "k***", "***": "***"}]}]}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"reason": "1234 it"}, {"reason": "*** it"}),
        ({"1234": ["1234"]}, {"***": ["***"]}),
        ({"id": "1234", "edges": [["1234", "b", "data"]], "nodes": ["1234"]}, None),
        ({"rows": 1234, "began": 1234.5, "seconds": 0.1234, "kept": True}, None),
        ({"first_rows": [[1234, 12340.5, 5, None, True]]}, {"first_rows": [["***", "***0.5", 5, None, True]]}),
        ({"params": {"n": 1234}}, {"params": {"n": "***"}}),
        ({"checks": [{"name": "a", "failing_rows": [{"id": "1234", "kind": "k1234", "1234": "1234"}]}]}, _ROWS),
        ({"params": {"node": "1234", "edges": ["1234"]}}, {"params": {"node": "***", "edges": ["***"]}}),
        ({"inputs": {"output": "1234"}}, {"inputs": {"output": "***"}}),
        ({"inputs": [{"name": "1234", "output": "1234"}]}, {"inputs": [{"name": "***", "output": "1234"}]}),
        ({"matrix": {"group": "1234"}}, {"matrix": {"group": "***"}}),
        ({"nulls": [1234]}, None),
        ({"schema": [["1234", "int64"]]}, {"schema": [["***", "int64"]]}),
        ({"media": {"type": "image/png", "data": "1234"}}, None),
        ({"media": {"type": "text/html", "data": "<p>1234"}}, {"media": {"type": "text/html", "data": "<p>***"}}),
    ],
)
def test_masked(found: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert masked(found, Redactor(["1234"])) == (found if expected is None else expected)


def test_the_text_of_a_drawing_is_masked() -> None:
    drawing = {"type": "image/svg+xml", "data": base64.b64encode(b"<svg>1234 \xc3\xa4</svg>").decode()}
    (found,) = masked([drawing], Redactor(["1234"]))
    assert base64.b64decode(found["data"]).decode() == "<svg>*** ä</svg>"
