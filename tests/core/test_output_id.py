"""`OutputId`: a text that keeps the two parts that it was made of."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from nfrun.core.events import NodeFinished, OutputRef, to_json
from nfrun.core.pipeline import NodeSpec, OutputId

IDS = [
    (OutputId("fit"), "fit", "fit", ""),
    (OutputId("fit", "metrics"), "fit.metrics", "fit", "metrics"),
    (OutputId("etl@DE/fit@lr", "metrics"), "etl@DE/fit@lr.metrics", "etl@DE/fit@lr", "metrics"),
    (OutputId("fit@v1.5"), "fit@v1.5", "fit@v1.5", ""),
    (OutputId("fit@v1.5", "metrics"), "fit@v1.5.metrics", "fit@v1.5", "metrics"),
]


@pytest.mark.parametrize(("id", "text", "node", "name"), IDS)
def test_it_is_its_text_and_has_its_parts(id: OutputId, text: str, node: str, name: str) -> None:
    assert (str(id), id, id.node, id.name) == (text, text, node, name)
    assert {id: 1}[text] == {text: 1}[id] == 1  # type: ignore[index]
    assert json.dumps({id: [id]}) == json.dumps({text: [text]})


@pytest.mark.parametrize(("id", "text", "node", "name"), IDS)
def test_copies_keep_the_parts(id: OutputId, text: str, node: str, name: str) -> None:
    for copied in (pickle.loads(pickle.dumps(id)), copy.copy(id), copy.deepcopy(id)):
        assert (type(copied), copied, copied.node, copied.name) == (OutputId, text, node, name)


def test_the_ids_of_a_node() -> None:
    node = NodeSpec("fit@v1.5", "python", "cv:fit", (), {}, ("model", "metrics"), (), {})
    assert [(id.node, id.name) for id in node.output_ids] == [("fit@v1.5", "model"), ("fit@v1.5", "metrics")]
    plain = NodeSpec("fit", "python", "cv:fit", (), {}, (), (), {})
    assert [(id, id.node, id.name) for id in plain.output_ids] == [("fit", "fit", "")]


def test_events_have_it_as_text() -> None:
    id = OutputId("fit@v1.5", "metrics")
    event = NodeFinished(1.0, "fit@v1.5", 1, {id: OutputRef(id, 1, 8, "n: int64")}, input_waits={OutputId("a"): 0.5})
    found = json.loads(json.dumps(to_json(event)))
    assert (found["outputs"]["fit@v1.5.metrics"]["id"], found["opened"]) == ("fit@v1.5.metrics", {"a": 0.5})
