"""Tests of the question to a worker before a run: all problems at once, in words that say what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nfrun.cluster.base import Cluster, RemoteWorker
from nfrun.cluster.preflight import preflight
from nfrun.cluster.wire import VERSION, Answer, Ended, HostConfig, from_text, to_text
from nfrun.core.errors import ClusterError
from nfrun.core.pipeline import Pipeline
from nfrun.tables.places.folder import Folder

OURS = {"python": "3.12.1", "pyarrow": "26.0.0"}
CONFIG = HostConfig("r", "r", Pipeline("p.yaml", "/", "p", "", {}, {}, {}, {}), "/store", modules=("numpy",))


class Asked:
    """An engine whose workers all give one answer. `asked` are those that were asked."""

    def __init__(self, answer: str, *workers: str) -> None:
        self._answer, self._workers = answer, workers
        self.asked: list[str] = []

    def workers(self) -> list[RemoteWorker]:
        return [RemoteWorker(address, 1) for address in self._workers]

    def ask(self, worker: str, question: str, seconds: float) -> str:
        assert from_text(question) == CONFIG
        self.asked.append(worker)
        return self._answer


def ask(engine: Any, *problems: str) -> list[str]:
    return preflight(Cluster(engine, CONFIG, Folder(Path("/nowhere"))), OURS, problems)


def test_one_worker_is_asked_and_one_that_can_run_the_pipeline_gives_no_words() -> None:
    engine = Asked(to_text(Answer(OURS)), "a", "b")
    assert ask(engine) == []
    assert engine.asked == ["a"]


def test_other_versions_of_python_and_arrow_are_warnings() -> None:
    assert ask(Asked(to_text(Answer({"python": "3.12.9", "pyarrow": "26.1.0"})), "a")) == []
    assert ask(Asked(to_text(Answer({"python": "3.11.9", "pyarrow": "27.0.0"})), "a")) == [
        "worker a has python 3.11.9, and this machine 3.12.1: results may differ",
        "worker a has pyarrow 27.0.0, and this machine 26.0.0: results may differ",
    ]


PROBLEMS = {
    "h has no module 'x': install it there\nh has nfrun 0.9": [
        "worker a: h has no module 'x': install it there",
        "worker a: h has nfrun 0.9",
    ],
    "ModuleNotFoundError: No module named 'nfrun'": ["worker a: it has no nfrun: install it there"],
    "no host could be started: No space left": ["worker a: no host could be started: No space left"],
    '{"version": "0.9", "value": {}}': [f"worker a: a message has version '0.9', and this nfrun has {VERSION}"],
    to_text(Ended("t", lost="its host has ended")): ["worker a: its host has ended"],
}


@pytest.mark.parametrize("text", PROBLEMS)
def test_what_the_worker_lacks_refuses_the_run(text: str) -> None:
    with pytest.raises(ClusterError) as error:
        ask(Asked(text, "a", "b"))
    assert str(error.value).splitlines() == [
        "the cluster cannot run this pipeline:",
        *(f"   {problem}" for problem in PROBLEMS[text]),
    ]


def test_problems_that_are_known_refuse_the_run_and_nothing_is_sent() -> None:
    engine = Asked("", "a")
    with pytest.raises(ClusterError, match=r":\n   known$"):
        ask(engine, "known")
    assert not engine.asked


def test_a_cluster_without_workers_and_a_worker_that_does_not_answer_refuse_nothing() -> None:
    assert ask(Asked("")) == []
    assert ask(Asked("", "a", "b")) == [
        "worker a does not answer: the run begins without knowing whether workers can make its nodes"
    ]
