"""Tests of the questions to workers before a run: all problems at once, in words that say what to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from nfrun.cluster.base import Cluster, RemoteWorker
from nfrun.cluster.preflight import preflight
from nfrun.cluster.wire import VERSION, Answer, Ended, HostConfig, Question, from_text, to_text
from nfrun.core.errors import ClusterError
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.tables.places.folder import Folder

OURS = {"nfrun": "1.0", "python": "3.12.1", "pyarrow": "26.0.0"}
Reply = Callable[[Question], "Answer | str"]


class Asked:
    """An engine whose workers reply as they are told."""

    def __init__(self, replies: Mapping[str, Reply], resources: Mapping[str, float]) -> None:
        self._replies, self._resources = replies, resources
        self.questions: list[Question] = []
        self.left: list[str] = []

    def workers(self) -> list[RemoteWorker]:
        return [RemoteWorker(address, 1.0, self._resources) for address in self._replies if address not in self.left]

    def leave_out(self, workers: Collection[str]) -> None:
        self.left = [*workers]

    def ask(self, question: str, seconds: float) -> dict[str, str]:
        self.questions.append(from_text(question))
        found = {address: reply(self.questions[-1]) for address, reply in self._replies.items()}
        return {address: text if isinstance(text, str) else to_text(text) for address, text in found.items()}


@pytest.fixture
def place(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "store")


def sees(place: Folder, **more: Any) -> Reply:
    """Return the reply of a worker that sees the store."""

    def reply(question: Question) -> Answer:
        assert place.get(question.nonce).read_text() == question.nonce
        return Answer(**{"versions": OURS, **more})

    return reply


def ask(
    place: Folder,
    replies: Mapping[str, Reply],
    *nodes: NodeSpec,
    modules: tuple[str, ...] = (),
    problems: tuple[str, ...] = (),
    **has: float,
) -> Any:
    engine: Any = Asked(replies, has)
    environ = {"TOKEN": "s3cret", "OMP_NUM_THREADS": "1"}
    config = HostConfig("r", "r", Pipeline("p.yaml", "/", "p", "", {}, environ, {}, {}), place.uri, environ=environ)
    try:
        return preflight(Cluster(engine, config, place), modules, nodes, OURS, problems)
    finally:
        assert engine.questions[0].modules == modules
        assert "s3cret" not in to_text(engine.questions[0])
        assert engine.questions[0].config.environ == {"OMP_NUM_THREADS": "1"}, "numpy reads it when a host starts"
        assert [*place.names()] == [], "nothing is left in the store"


def test_workers_that_can_run_the_pipeline_give_no_words(place: Folder) -> None:
    assert ask(place, {"a": sees(place), "b": sees(place)}, modules=("numpy",)) == []


def test_all_problems_are_told_at_once(place: Folder) -> None:
    node = NodeSpec("fit", "python", "m:f", (), {}, (), (), {}, amounts={"gpu": 2.0, "memory": 16e9})
    replies: dict[str, Reply] = {
        "tcp://a:1": sees(place, missing=("polars", "numpy"), versions={**OURS, "nfrun": "0.9"}),
        "tcp://b:1": sees(place, missing=("polars",)),
        "tcp://c:1": lambda question: "ModuleNotFoundError: No module named 'nfrun'",
        "tcp://d:1": lambda question: Answer(OURS, store_problem="/s/x is not there any more"),
        "tcp://e:1": lambda question: Answer(OURS, store_problem="it has another folder of that name"),
        "tcp://g:1": lambda question: "it does not answer",
        "tcp://h:1": lambda question: '{"version": "0.9", "value": {}}',
    }
    with pytest.raises(ClusterError) as error:
        ask(place, replies, node, modules=("polars", "numpy"), problems=("known",), gpu=1.0)
    assert str(error.value) == (
        "the cluster cannot run this pipeline:\n"
        "   worker tcp://c:1 cannot be used: it has no nfrun: install it there\n"
        f"   worker tcp://h:1 cannot be used: a message has version '0.9', and this nfrun has {VERSION}\n"
        "   worker tcp://a:1 has nfrun 0.9, and this machine 1.0\n"
        "   2 workers (tcp://a:1, tcp://b:1) have no module 'polars': install it there\n"
        "   worker tcp://a:1 has no module 'numpy': install it there\n"
        "   worker tcp://d:1 does not see the store: /s/x is not there any more\n"
        "   worker tcp://e:1 does not see the store: it has another folder of that name\n"
        "   node 'fit' takes 16 GB of 'memory', and no worker says that it has any\n"
        "   node 'fit' takes 2 of 'gpu', and no worker has more than 1\n"
        "   known"
    )


def test_a_problem_of_all_workers_is_one_line(place: Folder) -> None:
    with pytest.raises(ClusterError, match=r":\n   all 5 workers have no module 'polars': install it there$"):
        ask(place, {f"w{i}": sees(place, missing=("polars",)) for i in range(5)}, modules=("polars",))


def test_other_versions_of_python_and_arrow_are_warnings(place: Folder) -> None:
    replies = {
        "a": sees(place, versions={**OURS, "python": "3.12.9", "pyarrow": "26.1.0"}),
        "b": sees(place, versions={**OURS, "python": "3.11.9", "pyarrow": "27.0.0"}),
    }
    assert ask(place, replies) == [
        "worker b has python 3.11.9, and this machine 3.12.1: results may differ",
        "worker b has pyarrow 27.0.0, and this machine 26.0.0: results may differ",
    ]


LOST = {
    "it has left the cluster": "it has left the cluster",
    "it does not answer": "it does not answer",
    "OSError: Timed out trying to connect to tcp://w:1": "OSError: Timed out trying to connect to tcp://w:1",
    "no host could be started: No space left on device": "no host could be started: No space left on device",
    "": "its answer is none",
    "{": "a message is damaged (JSONDecodeError: Expecting property name enclosed in double quotes: "
    "line 1 column 2 (char 1))",
    "[1]": "[1]",
    "{}": "a message is damaged (KeyError: 'version')",
    to_text(Ended("t", lost="its host has ended")): "its host has ended",
    to_text(Question(HostConfig("r", "r", Pipeline("", "", "", "", {}, {}, {}, {}), ""))): "its answer is none",
}


@pytest.mark.parametrize("text", LOST)
def test_a_worker_that_gives_no_answer_is_left_out_with_a_warning(place: Folder, text: str) -> None:
    replies: dict[str, Reply] = {"a": sees(place), "b": lambda question: text, "c": sees(place)}
    assert ask(place, replies, modules=("numpy",)) == [f"worker b is left out: {LOST[text]}"]


def test_a_run_goes_on_with_the_one_worker_that_answers(place: Folder) -> None:
    silent: dict[str, Reply] = {f"w{i}": lambda question: "it does not answer" for i in range(5)}
    told = ["5 workers (w0, w1, w2 and 2 more) are left out: it does not answer"]
    assert ask(place, {**silent, "a": sees(place)}) == told
    with pytest.raises(ClusterError, match=r":\n   all 5 workers cannot be used: it does not answer$"):
        ask(place, silent)


def test_what_a_worker_lacks_that_answers_refuses_the_run_also_beside_one_that_is_left_out(place: Folder) -> None:
    replies: dict[str, Reply] = {"a": sees(place, missing=("polars",)), "b": lambda question: "it does not answer"}
    with pytest.raises(ClusterError, match=r":\n   worker a has no module 'polars': install it there$"):
        ask(place, replies, modules=("polars",))


def test_what_only_a_worker_has_that_is_left_out_is_missing(place: Folder) -> None:
    node = NodeSpec("fit", "python", "m:f", (), {}, (), (), {}, amounts={"gpu": 1.0})
    engine: Any = Asked({"a": sees(place), "b": lambda question: "it does not answer"}, {})
    engine.workers = lambda: [
        RemoteWorker("a", 1.0, {}),
        *([] if engine.left else [RemoteWorker("b", 1.0, {"gpu": 1.0})]),
    ]
    config = HostConfig("r", "r", Pipeline("p.yaml", "/", "p", "", {}, {}, {}, {}), place.uri)
    with pytest.raises(ClusterError, match="node 'fit' takes 1 of 'gpu', and no worker says that it has any"):
        preflight(Cluster(engine, config, place), (), (node,), OURS)
